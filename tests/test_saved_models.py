"""The exports that come with the repository: each answers, is measured, is served, and can be started from."""

import base64
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from apps import runner
from apps.command_line import all_apps
from keras_apps.export import server_files
from keras_apps.export.answers import plain
from keras_apps.serving.client import Client
from keras_apps.serving.embedded import EmbeddedServer
from tests import warm_process

SAVED_MODELS = Path(__file__).resolve().parents[1] / "saved_models"
APPS = sorted(all_apps())
MEGABYTE = 1_000_000


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("name", APPS)
def test_each_app_has_a_small_one_with_a_card(name):
    assert size(SAVED_MODELS / name / "1") < 25 * MEGABYTE
    card = (SAVED_MODELS / name / "README.md").read_text()
    for heading in ("Data", "Licence", "Score", "Limits", "Command"):
        assert re.search(rf"^\| {heading} \| \S", card, re.M), heading


@pytest.mark.parametrize("name", APPS)
def test_the_command_on_a_card_is_one(name):
    (line,) = re.findall(r"^\| Command \| `keras-apps (.*?)`", (SAVED_MODELS / name / "README.md").read_text(), re.M)
    app, *words = shlex.split(line)
    assert app == name and words[0] == "train"
    runner._parser(all_apps()[name]).parse_args(words)


@pytest.mark.parametrize("name", APPS)
def test_each_takes_what_predict_asks_at_once(name):
    signatures = json.loads((SAVED_MODELS / name / "1" / "signature.json").read_text())["signatures"]
    assert all(all_apps()[name].predict_batch <= max(each["batch_sizes"]) for each in signatures.values())


@pytest.mark.parametrize("name", APPS)
def test_each_loads_on_a_server_that_may_not_compile(name):
    saved = saved_model_pb2.SavedModel.FromString((SAVED_MODELS / name / "1" / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    assert not [node.op for function in functions for node in function.node_def if node.op.startswith("Xla")]


def test_a_server_is_told_of_them_as_an_export_would():
    for name, text in server_files._server_files(SAVED_MODELS).items():
        assert (SAVED_MODELS / name).read_text() == text


def test_together_they_are_small():
    assert sum(size(SAVED_MODELS / name / "1") for name in APPS) < 120 * MEGABYTE


@pytest.fixture(scope="module", params=APPS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return all_apps()[name].model_class().load(SAVED_MODELS / name / "1" / "assets.extra" / "model.keras")


def test_each_answers_as_it_did_when_it_was_made_and_its_keras_model_does(name, model):
    import tensorflow_text  # noqa: F401

    folder = SAVED_MODELS / name / "1"
    loaded = tf.saved_model.load(str(folder))
    signature = model.signatures()["serving_default"]
    specs = loaded.signatures["serving_default"].structured_input_signature[1]
    given = {key: tf.constant([value], specs[key].dtype) for key, value in signature.examples[0].items()}
    exported = loaded.signatures["serving_default"](**given)
    then = json.loads((folder / "signature.json").read_text())["signatures"]["serving_default"]["example"]["answer"]
    for key, value in model.serve(**given).items():
        assert_alike(plain(key, value.numpy()), plain(key, exported[key].numpy()))
        assert_alike(then[key], plain(key, exported[key].numpy()))


def assert_alike(one, other):
    """Equal, but for what another machine rounds in its own way."""
    if isinstance(one, dict):
        one, other = (tf.io.decode_png(base64.b64decode(each["b64"])).numpy().astype(int) for each in (one, other))
        assert np.abs(one - other).mean() < 1
    elif isinstance(one, list):
        for each, corresponding in zip(one, other, strict=True):
            assert_alike(each, corresponding)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=0.02, abs=0.01)
    else:
        assert one == other


BOUNDS = {
    "captioning": ("bleu_4", 60, 100),
    "face_aging": ("age_hit", 0.9, 1),
    "pix2pix": ("pixel_accuracy", 0.15, 1),
    "sentiment": ("roc_auc", 0.6, 1),
    "siamese": ("20_way_1_shot_accuracy", 0.8, 1),
    "style_transfer": ("loss", 0, 0.1),
    "text_to_image": ("r_precision", 0.05, 1),
    "translation": ("length_ratio", 0.8, 1.25),
}
"""Where a score on the demo data lies that the model would not have with other weights, though it may not know them."""


QUICKLY = {"style_transfer": ["--pairs", 1, "--optimum_steps", 0]}


@pytest.mark.parametrize("name", APPS)
def test_each_is_measured_where_no_model_is_named(command, name, tmp_path, read_json):
    flags = ["--data", "demo", "--split", "test", "--output", tmp_path, *QUICKLY.get(name, [])]
    command(name, "evaluate", *flags, before=warm_process.in_passing)
    metric, least, most = BOUNDS[name]
    assert least <= read_json(tmp_path / "metrics.json")[metric] <= most


@pytest.mark.parametrize("name", APPS)
def test_each_can_be_started_from(command, name, tmp_path):
    flags = ["--run_dir", tmp_path / "run", "--epochs", 1, "--steps_per_epoch", 1, "--batch_size", 4]
    where = f"saved_models/{name}"
    result = command(name, "train", "--init_from", where, *flags, before=warm_process.step_by_step)
    copied, total = re.search(rf"(\d+) of (\d+) weights come from {where}", result.stderr).groups()
    assert copied == total != "0" and (tmp_path / "run" / "model.keras").exists()


def test_what_holds_no_data_wants_some(command):
    assert "name examples with --data" in command("sentiment", "evaluate", status=2).stderr


def test_they_are_served_together():
    with EmbeddedServer(SAVED_MODELS, rest_port=0, grpc_port=0) as server:
        client = Client(f"localhost:{server.rest_port}")
        assert client.predict("sentiment", {"text": ["Dull."]})["label"] == ["neg"]
        assert client.predict("translation", {"text": ["I am hungry."]})["text"] == ["Tengo hambre."]
        picture = client.predict("text_to_image", {"text": ["a red flower"], "seed": [1]})["image_bytes"][0]
        assert tf.io.decode_png(picture).shape == (64, 64, 3)
