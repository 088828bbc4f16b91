import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What is compiled here runs a few times on little, and more than half of compiling is to make it fast.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false",
)
if "PYTEST_XDIST_WORKER" in os.environ:
    # There are no fewer workers than cores; more threads only wait for each other, those of BLAS and OpenMP by spinning.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
import random
from pathlib import Path

import pytest

from tests import warm_process

ROOT = Path(__file__).resolve().parents[1]
LONGEST = (
    "test_promises",
    "test_docs",
    "test_saved_models",
    "test_siamese",
    "test_translation",
    "test_captioning",
    "test_command_line",
    "test_fit",
    "test_new_app",
    "test_resume",
    "test_multi_worker",
)


def pytest_collection_modifyitems(items):
    """Begins with the files that take longest, so that no worker is left with one of them in the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    # Layers without a seed draw theirs by this, the same whichever tests ran before. TensorFlow's own seed is left alone:
    # to set it takes from SentencePiece what it has read.
    random.seed(1)
    if item.get_closest_marker("gpu"):
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            pytest.skip("needs a GPU, and TensorFlow sees none")


@pytest.fixture(scope="session")
def command():
    """Runs `keras-apps APP VERB ...` as a user would, in a process of its own."""

    def run(*arguments, input=None, status=0, env=None, before=None):
        given = [str(argument) for argument in arguments]
        result = warm_process.run(given, ROOT, input, env or {}, timeout=600, before=before)
        assert result.returncode == status, f"status {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    return run


@pytest.fixture
def tiny_table(tmp_path):
    """A CSV of 120 reviews with three classes."""
    words = {
        "good": ["fine", "great", "lovely"],
        "bad": ["dull", "awful", "weak"],
        "so so": ["fair", "middling", "okay"],
    }
    path = tmp_path / "reviews.csv"
    rows = [
        f'"a {word} film, number {n}",{label}'
        for n in range(40)
        for label, some in words.items()
        for word in [some[n % 3]]
    ]
    path.write_text("review,sentiment\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def read_json():
    return lambda path: json.loads(Path(path).read_text())
