"""The page on a ninth app, followed to the letter."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "new_app.md").read_text()
SHORT = ["--epochs", "1", "--steps_per_epoch", "2", "--image_size", "32", "--filters", "4", "--depth", "1"]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the repository with what the page says to write."""
    house = tmp_path_factory.mktemp("house")
    for folder in ("keras_apps", "apps", "tests"):
        shutil.copytree(ROOT / folder, house / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", house)
    model, app, promises = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    model_file, app_file, promises_file = (house / path for path in re.findall(r"^## \d\. .*`(.*?)`$", PAGE, re.M))
    model_file.write_text(model)
    app_file.write_text(app)
    promises_file.write_text(promises_file.read_text().replace("TASKS = {\n", "TASKS = {\n" + promises))
    return house


# In one process of the copy, whose children are forked from what has imported the copy once.
FOLLOWED = """
import json, sys
from pathlib import Path
import pytest
from tests import warm_process

for command in json.loads(sys.argv[1]):
    result = warm_process.run(command, Path.cwd(), None, {}, timeout=300)
    assert result.returncode == 0, f"{command} {result.stdout} {result.stderr}"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "tests/apps/test_promises.py", "-k", "denoising"]))
"""


def test_a_ninth_app_trains_answers_is_exported_and_is_held_to_the_promises(house):
    photo = np.zeros([20, 30, 3], np.uint8)
    Image.fromarray(photo).save(house / "photo.jpg")
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    verbs = [shlex.split(line)[1:] for line in commands.splitlines()]
    assert [verb for _, verb, *_ in verbs] == ["train", "evaluate", "export", "predict", "serve"]
    verbs = [[*command, *(SHORT if "train" in command else ())] for command in verbs[:4]]
    result = subprocess.run(
        [sys.executable, "-c", FOLLOWED, json.dumps(verbs)], cwd=house, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0 and re.search(r"\b9 passed", result.stdout), result.stdout + result.stderr[-3000:]
    with Image.open(house / "clean" / "photo.png") as clean:
        assert clean.size == (30, 20)
