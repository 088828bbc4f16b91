"""A run directory whose files chance has changed: it is read, or refused in one line."""

import json
import random
from collections import Counter

import pytest
import tensorflow as tf

from keras_apps.data.splits import Splits
from keras_apps.errors import UserError
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.training import checkpoint as checkpoints
from keras_apps.training.callbacks import EpochRecorder
from keras_apps.training.config import TrainingConfig
from keras_apps.training.fit import train
from keras_apps.training.run_directory import RunDirectory
from tests.mutations import VALUES, changed, mutated

SETTINGS = {
    "model": {"cell": "rnn", "bidirectional": False, "units": 2, "embedding_dim": 2},
    "settings": {"data": {"data": "demo", "split_seed": 0}},
}
# A model of a billion units is no mistake that a test should try out.
SMALL = [value for value in VALUES if not isinstance(value, int) or value < 100]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    texts = tf.data.Dataset.from_tensor_slices({"text": ["a b", "c d"] * 4, "label": ["x", "y"] * 4})
    path = tmp_path_factory.mktemp("runs") / "run"
    train(SentimentClassifier, Splits(train=texts), path, config=TrainingConfig(epochs=1, batch_size=8), **SETTINGS)
    return RunDirectory(path)


def read_settings(run):
    with run.open(run.read_settings() | SETTINGS["settings"]):
        pass


def resume(run):
    checkpoint = checkpoints.latest_checkpoint(run.checkpoints)
    progress = checkpoints.read_progress(checkpoint)
    model = checkpoints.model_of(checkpoint, progress, SentimentClassifier)
    recorder = EpochRecorder(run, 0, progress.history, patience=2)
    recorder.set_model(model)
    assert recorder.exhausted in (True, False)


def restore(run, compiled=[]):  # noqa: B006 - a model is compiled once for all cases
    latest = checkpoints.latest_checkpoint(run.checkpoints)
    if not compiled:
        compiled.append(checkpoints.model_of(latest, checkpoints.read_progress(latest), SentimentClassifier))
        compiled[0].compile()
    checkpoints.restore_checkpoint(latest, compiled[0])


def load(run):
    SentimentClassifier.load(run.model_file).get_config()


READERS = {"config.json": read_settings, "state.json": resume, "variables.npz": restore, "model.keras": load}


def spoil(run, name, seed, count):
    generator, outcomes = random.Random(seed), Counter()
    (file,) = run.path.rglob(name)
    content = file.read_bytes()
    READERS[name](run)
    for _ in range(count):
        if name.endswith(".json") and generator.random() < 0.7:
            case = json.dumps(changed(json.loads(content), generator, SMALL)).encode()
        else:
            case = mutated(content, generator)
        file.write_bytes(case)
        try:
            READERS[name](run)
            outcomes["read"] += 1
        except UserError as error:
            outcomes["refused"] += 1
            assert "\n" not in str(error) and len(str(error)) < 1000
        finally:
            file.write_bytes(content)
    return outcomes


@pytest.mark.parametrize(
    ("name", "count"), [("config.json", 100), ("state.json", 40), ("variables.npz", 40), ("model.keras", 12)]
)
def test_files_in_which_chance_wrote(run, name, count):
    assert spoil(run, name, name, count)["refused"]
