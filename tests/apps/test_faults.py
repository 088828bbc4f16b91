"""Full disks and read-only folders: one line, status 2, and what was there before is as it was."""

import functools
import hashlib
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from tests.faults import small_files, without_privileges

TINY = "--cell rnn --nobidirectional --units 4 --embedding_dim 4 --vocabulary_size 50"
FLAGS = f"{TINY} --batch_size 32 --patience 0 --steps_per_epoch 2 --validation_fraction 0".split()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    path.write_text("text,label\n" + "".join(f"a {'good' if n % 2 else 'bad'} film {n},{n % 2}\n" for n in range(60)))
    return path


@pytest.fixture(scope="module")
def run(command, table, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    command("sentiment", "train", "--run_dir", path, "--data", table, "--epochs", 1, *FLAGS)
    command("sentiment", "evaluate", "--model", path)
    return path


@pytest.fixture(scope="module")
def saved_models(command, run, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved_models")
    command("sentiment", "export", "--model", run, "--saved_models", path)
    return path


def content(folder):
    """What is in a folder, but for a log that says what happened and events that are only looked at."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "log.txt" and "tensorboard" not in path.parts
    }


def the_error(result):
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert "Traceback" not in result.stderr and result.stderr.splitlines()[-1] == error
    return error


@pytest.fixture
def read_only():
    """read_only(folder): nobody may write to it till the test is over; gives what a process does first to be nobody."""
    if os.geteuid() == 0 and sys.platform != "linux":
        pytest.skip("root may write everywhere here")
    changed = []

    def make(folder):
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir():
                changed.append(path)
                path.chmod(0o555)
        return without_privileges

    yield make
    for path in changed:
        path.chmod(0o755)


def arrays(run_dir):
    (checkpoint,) = (run_dir / "checkpoints").iterdir()
    with np.load(checkpoint / "variables.npz") as file:
        return {name: file[name].tolist() for name in file.files}


@pytest.mark.parametrize(("size", "what"), [(1000, "config.json"), (9000, "model.keras")])
def test_train_on_a_full_disk(command, run, table, tmp_path, size, what):
    mine = shutil.copytree(run, tmp_path / "run")
    before = content(mine)
    ask = ["sentiment", "train", "--run_dir", mine, "--data", table, "--epochs", 2, *FLAGS]
    error = the_error(command(*ask, status=2, before=functools.partial(small_files, size)))
    assert error.startswith(f"error: {mine / what}: can't be written: File too large")
    after = content(mine)
    checkpoint = {name for name in before if name.startswith("checkpoints")}
    assert checkpoint and {name: after[name] for name in checkpoint} == {name: before[name] for name in checkpoint}
    assert after.keys() == before.keys()
    if size == 9000:
        command("sentiment", "predict", "--model", mine, "--text", "good")
        command(*ask)
        undisturbed = shutil.copytree(run, tmp_path / "undisturbed")
        command(*ask[:3], undisturbed, *ask[4:])
        assert arrays(mine) == arrays(undisturbed)


def test_train_in_a_read_only_folder(command, run, table, read_only):
    before = content(run)
    ask = ["sentiment", "train", "--run_dir", run, "--data", table, "--epochs", 2, *FLAGS]
    error = the_error(command(*ask, status=2, before=read_only(run)))
    assert str(run) in error and "Permission denied" in error
    assert content(run) == before
    assert "label" in command("sentiment", "predict", "--model", run, "--text", "good").stdout


def test_a_run_directory_below_a_file(command, table):
    error = the_error(command("sentiment", "train", "--run_dir", table / "run", "--data", table, status=2))
    assert "reviews.csv" in error and "Not a directory" in error


def test_evaluate_on_a_full_disk(command, run, tmp_path):
    mine = shutil.copytree(run, tmp_path / "run")
    before = content(mine)
    full = functools.partial(small_files, 2000)
    error = the_error(command("sentiment", "evaluate", "--model", mine, status=2, before=full))
    assert error.startswith(f"error: {mine / 'confusion_matrix.png'}: can't be written: File too large")
    assert content(mine) == before


def test_export_to_a_full_disk(command, run, saved_models):
    before = content(saved_models)
    ask = ["sentiment", "export", "--model", run, "--saved_models", saved_models]
    # It ends within the variables, which TensorFlow writes.
    error = the_error(command(*ask, status=2, before=functools.partial(small_files, 20_000)))
    assert error.startswith(f"error: {saved_models / 'sentiment' / '2'}: can't be written: File too large")
    assert content(saved_models) == before


def test_export_to_a_read_only_folder(command, run, saved_models, read_only):
    before = content(saved_models)
    ask = ["sentiment", "export", "--model", run, "--saved_models", saved_models]
    error = the_error(command(*ask, status=2, before=read_only(saved_models)))
    assert str(saved_models) in error and "Permission denied" in error
    assert content(saved_models) == before


def test_predict_to_a_full_disk_and_to_a_read_only_folder(command, tmp_path, read_only):
    from keras_apps.models.style_transfer import StyleTransfer

    model = StyleTransfer(method="feedforward", image_size=64, filters=2)
    model.save_for_inference(tmp_path / "model.keras")
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "content.png")
    made = tmp_path / "made"
    made.mkdir()
    ask = ["style_transfer", "predict", "--model", tmp_path / "model.keras", "--image", tmp_path / "content.png"]
    ask += ["--output", made]
    error = the_error(command(*ask, status=2, before=functools.partial(small_files, 2000)))
    assert str(made) in error and "can't be written: File too large" in error and not list(made.iterdir())
    error = the_error(command(*ask, status=2, before=read_only(made)))
    assert str(made) in error and "can't be written: Permission denied" in error
