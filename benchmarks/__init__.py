"""One script for each claim about speed; README.md says how to run them."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
