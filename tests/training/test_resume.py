import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests import warm_process

ROOT = Path(__file__).resolve().parents[2]
TINY = "--cell rnn --nobidirectional --units 4 --embedding_dim 4"
FLAGS = f"{TINY} --ngram_buckets 64 --averaging 0.9 --batch_size 8 --patience 0".split()


def arguments(run_dir, table, epochs):
    data = ["--data", str(table), "--validation_fraction", "0.2", "--test_fraction", "0"]
    return ["sentiment", "train", "--run_dir", str(run_dir), "--epochs", str(epochs), *data, *FLAGS]


def state_of(run_dir):
    (checkpoint,) = (run_dir / "checkpoints").iterdir()
    state = json.loads((checkpoint / "state.json").read_text())
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in state["progress"]["history"]]
    with np.load(checkpoint / "variables.npz") as file:
        return history, {name: file[name] for name in file.files}


def assert_equal_runs(one, other):
    (history, variables), (other_history, other_variables) = state_of(one), state_of(other)
    assert history == other_history
    assert variables.keys() == other_variables.keys()
    for name, value in variables.items():
        np.testing.assert_array_equal(value, other_variables[name])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    words = random.Random(0)
    rows = [f"{' '.join(words.choices('abcdefgh', k=words.randint(1, 40)))},{n % 2}" for n in range(300)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def straight(command, table, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("straight") / "run"
    command(*arguments(run_dir, table, 4))
    return run_dir


def test_killed_at_any_moment_and_begun_again_for_more_epochs_equals_never_killed(command, table, straight, tmp_path):
    run_dir = tmp_path / "run"
    moments = random.Random(1)
    for epoch in (0, 1, 3):
        # The first two only want two epochs.
        process = warm_process.start(arguments(run_dir, table, 4 if epoch > 1 else 2), ROOT, [os.devnull] * 3)
        deadline = time.monotonic() + 300
        reached = run_dir / "checkpoints" / f"phase-00-epoch-{epoch:05d}"
        while epoch and not reached.exists() and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.3) if epoch else moments.uniform(0, 2))
        process.kill()
        process.join()
    command(*arguments(run_dir, table, 4))
    assert_equal_runs(straight, run_dir)
    assert (run_dir / "history.csv").read_text().count("\n") == 5
    assert not [name for _, _, names in os.walk(run_dir) for name in names if name.startswith(".incomplete")]


def test_ctrl_c_leaves_a_usable_run(command, table, tmp_path):
    run_dir = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "apps.command_line", *arguments(run_dir, table, 400)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a script have inherited that it is ignored.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 300
    while not list(run_dir.glob("checkpoints/phase-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and "same command again" in errors and "Traceback" not in errors
    answer = command("sentiment", "predict", "--model", run_dir, "--text", "a b c")
    assert json.loads(answer.stdout)["label"] in ("0", "1")


def test_other_settings_are_refused_and_nothing_is_lost(command, table, straight):
    before = state_of(straight)
    flags = arguments(straight, table, 4)
    flags[flags.index("--units") + 1] = "8"
    result = command(*flags, status=2)
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert "units = 4, not 8" in error and "Traceback" not in result.stderr
    assert str(before) == str(state_of(straight))


def test_a_damaged_checkpoint_is_said(command, table, straight, tmp_path):
    import shutil

    run_dir = tmp_path / "run"
    shutil.copytree(straight, run_dir)
    (checkpoint,) = (run_dir / "checkpoints").iterdir()
    file = checkpoint / "variables.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    result = command(*arguments(run_dir, table, 5), status=2)
    assert "damaged" in result.stderr and str(checkpoint) in result.stderr
    assert (run_dir / "model.keras").exists()


def test_a_folder_that_is_no_run_is_refused(command, table, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    result = command(*arguments(tmp_path, table, 1), status=2)
    assert "holds thesis.tex but no config.json" in result.stderr
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(("version", "word"), [(99, "newer"), (0, "older")])
def test_a_run_of_another_schema_version_says_so(command, table, straight, tmp_path, version, word):
    config = json.loads((straight / "config.json").read_text()) | {"schema_version": version}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert word in command(*arguments(tmp_path, table, 4), status=2).stderr
