"""The page on a ninth app, followed to the letter."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def run(house, *arguments):
    result = subprocess.run([sys.executable, "-m", *arguments], cwd=house, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr[-3000:]
    return result.stdout


def test_a_ninth_app_trains_answers_and_is_exported(house):
    import tensorflow as tf

    (house / "photo.jpg").write_bytes(tf.io.encode_jpeg(tf.zeros([20, 30, 3], tf.uint8)).numpy())
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    verbs = [shlex.split(line)[1:] for line in commands.splitlines()]
    assert [verb for _, verb, *_ in verbs] == ["train", "evaluate", "export", "predict", "serve"]
    for command in verbs[:4]:
        run(house, "apps.command_line", *command, *(SHORT if "train" in command else ()))
    assert tf.io.decode_png((house / "clean" / "photo.png").read_bytes()).shape == (20, 30, 3)


def test_a_ninth_app_is_held_to_the_promises(house):
    said = run(house, "pytest", "-q", "-p", "no:cacheprovider", "tests/apps/test_promises.py", "-k", "denoising")
    assert re.search(r"\b8 passed", said), said
