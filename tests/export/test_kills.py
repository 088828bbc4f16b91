"""Exports that are killed at any moment."""

import os
import random
import time
from pathlib import Path

import pytest
import tensorflow as tf

from keras_apps.files import TEMPORARY_MARK
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.serving.catalog import models_on_disk
from tests import warm_process

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    SentimentClassifier(
        units=2, embedding_dim=2, max_length=8, vocabulary=["good", "bad"], class_names=["neg", "pos"]
    ).save_for_inference(path)
    return path


def is_whole(version):
    """Whether a server could load it, and a person read it."""
    answer = tf.saved_model.load(str(version)).signatures["serving_default"](text=tf.constant(["good"]))
    SentimentClassifier.load(version / "assets.extra" / "model.keras")
    return "label" in answer and (version / "README.md").exists() and (version / "signature.json").exists()


def kill_exports(model, saved_models, moments):
    """Begins exports and kills them; returns how many seconds each lived, and looks at what they left."""
    folder = saved_models / "sentiment"
    looked_at, leftovers = set(), 0
    for moment in moments:
        process = warm_process.start(
            ["sentiment", "export", "--model", str(model), "--saved_models", str(saved_models)],
            ROOT,
            [Path(os.devnull)] * 3,
        )
        if isinstance(moment, str):  # what is there before it dies
            deadline = time.monotonic() + 60
            while not list(folder.glob(f"{TEMPORARY_MARK}*/{moment}")) and process.is_alive():
                assert time.monotonic() < deadline
                time.sleep(0.002)
        else:
            time.sleep(moment)
        process.kill()
        process.join()
        versions = {path for path in folder.glob("*") if path.name.isdigit()}
        for version in versions - looked_at:
            assert is_whole(version), (moment, version)
        looked_at |= versions
        leftovers += len(list(folder.glob(f"{TEMPORARY_MARK}*"))) > leftovers
    return len(looked_at), leftovers


def test_an_export_killed_at_any_moment_leaves_whole_versions_only(command, model, tmp_path):
    random.seed(0)
    moments = ["saved_model.pb", "variables", "signature.json", *(random.uniform(0.2, 2) for _ in range(3))]
    _, leftovers = kill_exports(model, tmp_path, moments)
    assert leftovers, "none was killed while it wrote"
    export = ["sentiment", "export", "--model", model, "--saved_models", tmp_path]
    folder = tmp_path / "sentiment"
    # A folder that somebody may still be writing is left alone; no server looks into it.
    hidden = list(folder.glob(f"{TEMPORARY_MARK}*"))
    stray = tmp_path / f"{TEMPORARY_MARK}12345678-models.config"
    stray.write_text("")
    command(*export)
    assert all(path.exists() for path in hidden)
    versions = models_on_disk(tmp_path)["sentiment"]
    assert all(is_whole(path) for path in versions.values())
    for path in (*hidden, stray):
        os.utime(path, (0, 0))
    command(*export)
    assert sorted(path.name for path in folder.iterdir()) == sorted(map(str, range(1, len(versions) + 2)))
    assert not list(tmp_path.glob(f"{TEMPORARY_MARK}*"))
