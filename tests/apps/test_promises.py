"""What every app promises, held against each by name; a new app joins by a line in TASKS."""

import csv
import dataclasses
import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from apps.command_line import all_apps
from keras_apps.data import (
    demo_characters,
    demo_facades,
    demo_faces,
    demo_flowers,
    demo_reviews,
    demo_scenes,
    demo_textures,
    demo_translation,
)
from keras_apps.data.splits import Splits
from keras_apps.export.saved_model import export
from keras_apps.serving.client import Client
from keras_apps.serving.embedded import EmbeddedServer
from keras_apps.training.callbacks import EpochRecorder
from keras_apps.training.config import TrainingConfig
from keras_apps.training.fit import train

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Task:
    """A tiny model of an app, a few raw examples, requests good and bad, and what dropout and the like are called.

    The examples are of like length, so that XLA has few shapes to compile. The request has the inputs of all signatures.
    A loss that compares the examples of a batch differs a little where each device has a batch of its own; `learned` is
    one that falls when a few examples are seen again and again, or the accuracy, which rises.
    """

    model: dict
    compile: dict
    examples: Callable[[int, int], tf.data.Dataset]
    request: dict
    noise: tuple[str, ...]
    bad: dict
    refusal: str
    loss: str = "loss"
    learned: str = "loss"
    tolerance: float = 1e-3
    precision: str = "auto"

    @property
    def still(self):
        """Settings by which nothing is left to chance."""
        return dict.fromkeys(self.noise, 0.0)

    def asks(self, inputs):
        return {name: self.request[name] for name in inputs}


@functools.cache
def demo(module):
    return module.generate(0)


def pairs(start, stop):
    alike = [pair for pair in demo(demo_translation)["train"] if max(len(text.split()) for text in pair) == 7]
    sources, targets = zip(*alike[start:stop], strict=True)
    return tf.data.Dataset.from_tensor_slices({"source": list(sources), "target": list(targets)})


def reviews(start, stop):
    some = [review for review in demo(demo_reviews)["train"] if len(review.text.split()) < 25][start:stop]
    return tf.data.Dataset.from_tensor_slices(
        {"text": [review.text for review in some], "label": [review.label for review in some]}
    )


def scenes(start, stop):
    some = demo(demo_scenes)["train"][start:stop]
    return tf.data.Dataset.from_generator(
        lambda: ({"image": demo_scenes.draw(scene), "captions": list(scene.captions)} for scene in some),
        output_signature={
            "image": tf.TensorSpec([None, None, 3], tf.uint8),
            "captions": tf.TensorSpec([None], tf.string),
        },
    ).apply(tf.data.experimental.assert_cardinality(stop - start))


def facades(start, stop):
    drawn = [demo_facades.draw(facade) for facade in demo(demo_facades)["train"][start:stop]]
    inputs, targets = (np.stack(side) for side in zip(*drawn, strict=True))
    return tf.data.Dataset.from_tensor_slices({"input": inputs, "target": targets})


def faces(start, stop):
    some = demo(demo_faces)["train"][start:stop]
    return tf.data.Dataset.from_tensor_slices(
        {
            "image": np.stack([demo_faces.draw(face) for face in some]),
            "age": [face.age for face in some],
            "identity": [face.identity.number for face in some],
        }
    )


def flowers(start, stop):
    some = demo(demo_flowers)["train"][start:stop]
    return tf.data.Dataset.from_generator(
        lambda: ({"image": demo_flowers.draw(each), "captions": list(each.captions)} for each in some),
        output_signature={
            "image": tf.TensorSpec([None, None, 3], tf.uint8),
            "captions": tf.TensorSpec([None], tf.string),
        },
    ).apply(tf.data.experimental.assert_cardinality(stop - start))


def characters(start, stop):
    some = demo_characters.invent(1, 12, 0)[start:stop]
    return tf.data.Dataset.from_tensor_slices(
        {
            "image": np.stack([demo_characters.draw(each) for each in some]),
            "label": np.array([each.character.number for each in some], np.int32),
            "group": np.zeros(len(some), np.int32),
        }
    )


def landscapes(start, stop):
    parts = demo(demo_textures)["train"]
    some = [
        (role, picture) for pair in zip(*parts.values(), strict=True) for role, picture in zip(parts, pair, strict=True)
    ]
    images = np.stack([demo_textures.draw(picture) for _, picture in some[start:stop]])
    return tf.data.Dataset.from_tensor_slices({"image": images, "role": [role for role, _ in some[start:stop]]})


def png(seed):
    picture = np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)
    return tf.io.encode_png(picture).numpy()


LAYERS = {"content_layers": ["conv2_1"], "style_layers": ["conv1_1", "conv2_1"], "image_size": 64, "crop_size": 64}
STYLED = {
    "content_bytes": [png(0), png(1)],
    "style_bytes": [png(2), png(3)],
    "style_weight": [1.0, 0.5],
    "styles_bytes": [[png(2), png(3)], [png(3), png(2)]],
    "shares": [[0.5, 0.5], [2.0, 1.0]],
}

TASKS = {
    "captioning": Task(
        {"architecture": "rnn", "units": 16, "embedding_dim": 8, "image_size": 32, "beams": 2, "max_length": 7},
        {"averaging": 0.9, "warmup_steps": 4},
        scenes,
        {"image_bytes": [png(0), png(1)]},
        ("dropout",),
        {"image_bytes": [png(0), b"no picture"]},
        "not a picture",
    ),
    "face_aging": Task(
        {"image_size": 32, "filters": 4, "discriminator_filters": 4, "observer_filters": 4, "flip": False},
        {"averaging": 0.9},
        faces,
        {"image_bytes": [png(0), png(1)], "age": [20, 70]},
        (),
        {"image_bytes": [png(0), png(1)], "age": [20, 170]},
        "it must be 0 to 120",
        "discriminator_loss",
        "recognition_loss",
        tolerance=1e-2,
        precision="float32",
    ),
    "pix2pix": Task(
        {"height": 32, "width": 32, "filters": 4, "patch": 16},
        {"averaging": 0.9},
        facades,
        {"image_bytes": [png(0), png(1)]},
        (),
        {"image_bytes": [png(0), b"no picture"]},
        "not a picture",
        "l1",
        "l1",
    ),
    "text_to_image": Task(
        {"image_size": 16, "filters": 4, "discriminator_filters": 8, "sentence_units": 8, "noise_units": 4},
        {"averaging": 0.9},
        flowers,
        {
            "text": ["a red flower", "a zygomorphic one"],
            "seed": [1, 2],
            "other_text": ["blue", "a red flower"],
            "other_seed": [1, 3],
            "weight": [0.5, 1.0],
        },
        ("word_dropout",),
        {"text": ["a red flower", " "], "seed": [1, 2]},
        "empty",
        "discriminator_loss",
        "matching_loss",
        tolerance=1e-1,
        precision="float32",
    ),
    "sentiment": Task(
        {"units": 16, "embedding_dim": 8, "ngram_buckets": 64},
        {"averaging": 0.9, "clip_norm": 0.2},
        reviews,
        {"text": ["A great cast, but a dull film.", "💥"]},
        ("word_dropout", "embedding_dropout", "dropout", "ngram_dropout"),
        {"text": ["good", " "]},
        "text 1 of the request is empty",
        learned="accuracy",
    ),
    "siamese": Task(
        {"image_size": 32, "units": 16, "ways": 4},
        {"averaging": 0.9, "learning_rate": 1e-3, "warmup_steps": 4},
        characters,
        {
            **{f"{name}_bytes": [png(0), png(1)] for name in ("first", "image", "query")},
            "second_bytes": [png(2), png(3)],
            "support": np.random.default_rng(0).normal(size=(2, 3, 16)),
        },
        (),
        {"first_bytes": [png(0), png(0)], "second_bytes": [png(1), b"no picture"]},
        "not a picture",
        # In bfloat16, rounding tells what is compiled from what is not; in float32 it grows for a dozen steps of Adam.
        tolerance=1e-2,
        precision="float32",
    ),
    "style_transfer": Task(
        {"method": "arbitrary", "filters": 4} | LAYERS,
        {"averaging": 0.9},
        landscapes,
        STYLED,
        (),
        {"content_bytes": [png(0)], "style_bytes": [b"no picture"], "style_weight": [1.0]},
        "not a picture",
        precision="float32",
    ),
    "style_transfer search": Task(
        # Adam's first steps have one length whatever the gradient, and rounding tells the sign of a small one.
        {"steps": 2, "step_size": 0.5} | LAYERS,
        {},
        landscapes,
        STYLED,
        (),
        {"content_bytes": [png(0)], "style_bytes": [png(1)], "style_weight": [-1.0]},
        "it must be 0 to 100",
        "encoder_loss",
        "encoder_loss",
        precision="float32",
    ),
    "translation": Task(
        {"units": 16, "embedding_dim": 8, "tokenizer": "words", "beams": 2, "max_length": 24},
        {"averaging": 0.9, "warmup_steps": 4},
        pairs,
        {"text": ["I see a dog.", "My old sister helped a girl last week."]},
        ("dropout",),
        {"text": ["I see a dog.", " "]},
        "text 1 of the request is empty",
    ),
    "translation transformer": Task(
        {"architecture": "transformer", "units": 16, "heads": 2, "feedforward_units": 16, "vocabulary_size": 330, "beams": 2, "max_length": 16},
        {"averaging": 0.9, "warmup_steps": 4},
        pairs,
        {"text": ["I see a dog.", "A girl helps."]},
        ("dropout",),
        {"text": ["I see a dog.", " "]},
        "text 1 of the request is empty",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    return TASKS[request.param]


@pytest.fixture(scope="module")
def app(request, task):
    (name,) = [name for name, each in TASKS.items() if each is task]
    return all_apps()[name.split()[0]]


def fit(app, task, run_dir, model=(), epochs=2, **options):
    splits = Splits(train=task.examples(0, 48), validation=task.examples(48, 64))
    config = TrainingConfig(epochs=epochs, batch_size=16, patience=0, precision=task.precision, **options)
    return train(
        app.model_class(), splits, run_dir, model=task.model | dict(model), compile=task.compile, config=config
    )


def history(run_dir, metric):
    """Of each epoch; a phase without this metric has none."""
    rows = list(csv.DictReader((Path(run_dir) / "history.csv").open()))
    return [float(row[metric]) for row in rows if row[metric]]


@pytest.fixture(scope="module")
def run_dir(app, task, tmp_path_factory):
    """Two epochs, without a stop; in `stopped` what was on the disk after the first epoch of the last phase."""
    path = tmp_path_factory.mktemp("runs") / "straight"
    original = EpochRecorder.on_epoch_end

    def and_copy(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 0 and self.phase == len(self.model.phases) - 1:
            shutil.copytree(path, path.with_name("stopped"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochRecorder, "on_epoch_end", and_copy)
        fit(app, task, path)
    return path


@pytest.fixture(scope="module")
def model(app, run_dir):
    return app.model_class().load(run_dir / "model.keras")


@pytest.fixture(scope="module")
def answers(model, task):
    """What each signature answers in Python."""
    return {
        name: {key: value.numpy() for key, value in model.serve(name, **task.asks(signature.inputs)).items()}
        for name, signature in model.signatures().items()
    }


@pytest.fixture(scope="module")
def saved_models(app, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    export(model, folder / "first", app.name)
    shutil.move(folder / "first", folder / "elsewhere")
    return folder / "elsewhere"


def state_of(run_dir):
    (checkpoint,) = (run_dir / "checkpoints").iterdir()
    history = json.loads((checkpoint / "state.json").read_text())["progress"]["history"]
    with np.load(checkpoint / "variables.npz") as file:
        return [row | {"seconds": 0} for row in history], {name: file[name] for name in file.files}


def test_stopped_and_gone_on_with_equals_never_stopped(app, task, run_dir):
    fit(app, task, run_dir.with_name("stopped"))
    (history, variables), (same_history, same_variables) = state_of(run_dir), state_of(run_dir.with_name("stopped"))
    assert history == same_history and variables.keys() == same_variables.keys()
    for name, value in variables.items():
        np.testing.assert_array_equal(value, same_variables[name], err_msg=name)


ELSEWHERE = """
import sys, importlib
import numpy as np
import tensorflow as tf

tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, "tests/apps")
module, name, model_file, version, task, folder = sys.argv[1:]
try:
    import tensorflow_text
except ImportError:
    pass
loaded = tf.saved_model.load(version)
assert "keras_apps" not in sys.modules

import test_promises as promises
task, app = promises.TASKS[task], promises.all_apps()[name]
model = getattr(importlib.import_module(module), app.model.split(":")[1]).load(model_file)
def plain(value):
    # Strings of bytes in an array lose what they end with where that is zeros; a PNG never does.
    return value.astype("S") if value.dtype == object else value

found = {}
for signature, spec in model.signatures().items():
    for key, value in model.serve(signature, **task.asks(spec.inputs)).items():
        found[f"keras {signature} {key}"] = value.numpy()
for signature, function in loaded.signatures.items():
    specs = function.structured_input_signature[1]
    inputs = {key: tf.constant(value, specs[key].dtype) for key, value in task.asks(specs).items()}
    for key, value in function(**inputs).items():
        found[f"export {signature} {key}"] = value.numpy()
np.savez(folder + "/found.npz", **{key: plain(value) for key, value in found.items()})

promises.fit(app, task, folder + "/two", task.still, epochs=1, distribute="mirrored", xla="on")
if task.still:
    promises.fit(app, task, folder + "/one", task.still, epochs=1)
"""


@pytest.fixture(scope="module")
def elsewhere(app, task, run_dir, saved_models, tmp_path_factory):
    """A folder with runs without noise, and answers of the saved and of the exported model, in a new process."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (name,) = [name for name, each in TASKS.items() if each is task]
    where = [app.model.split(":")[0], app.name, run_dir / "model.keras", saved_models / app.name / "1", name, folder]
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(str, where)], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert result.returncode == 0, result.stderr[-3000:]
    with np.load(folder / "found.npz") as found:
        return folder, {key: found[key] for key in found.files}


def same(found, expected):
    if expected.dtype == object and is_png(expected.flat[0]):
        for one, other in zip(found.flat, expected.flat, strict=True):
            one, other = (tf.io.decode_png(each).numpy().astype(int) for each in (one, other))
            assert np.abs(one - other).max() <= 2
    elif expected.dtype == object:
        np.testing.assert_array_equal(found, expected.astype("S"))
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def is_png(value):
    return value.startswith(b"\x89PNG")


def test_a_saved_model_answers_alike_in_another_process(answers, elsewhere):
    for signature, outputs in answers.items():
        for key, expected in outputs.items():
            same(elsewhere[1][f"keras {signature} {key}"], expected)


def test_an_export_answers_alike_elsewhere_by_every_signature_compiled_or_not(answers, elsewhere):
    for signature, outputs in answers.items():
        compiled = "serving_xla" if signature == "serving_default" else f"{signature}_xla"
        for key, expected in outputs.items():
            same(elsewhere[1][f"export {signature} {key}"], expected)
            same(elsewhere[1][f"export {compiled} {key}"], expected)


def test_two_devices_with_xla_learn_what_one_does_without(task, run_dir, elsewhere):
    one = elsewhere[0] / "one" if task.still else run_dir
    for metric in (task.loss, f"val_{task.loss}"):
        (found,) = history(elsewhere[0] / "two", metric)
        assert found == pytest.approx(history(one, metric)[0], rel=task.tolerance)


def test_a_server_answers_alike_and_refuses_what_is_bad(app, task, answers, saved_models):
    with EmbeddedServer(saved_models, rest_port=0, grpc_port=0) as server:
        for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port)):
            client = Client(f"localhost:{port}", protocol)
            found = client.predict(app.name, task.asks(task.bad))
            for key, expected in answers["serving_default"].items():
                if expected.dtype == object and is_png(expected[0]):
                    same(np.asarray(found[key], object), expected)
                elif expected.dtype == object:
                    assert list(found[key]) == [text.decode() for text in expected]
                else:
                    np.testing.assert_allclose(found[key], expected, rtol=1e-3, atol=1e-5)
            with pytest.raises(ValueError, match=task.refusal):
                client.predict(app.name, task.bad)


def test_a_configuration_is_all_of_a_model_but_its_weights(model):
    config = model.get_config()
    assert json.loads(json.dumps(config)) == config
    again = type(model).from_config(config)
    assert again.get_config() == config
    again.set_weights(model.get_weights())


def test_fine_tuning_begins_where_the_other_model_ended_and_learns_a_few_examples(app, task, run_dir, tmp_path):
    other = Splits(train=task.examples(100, 116).repeat(8))
    tuned = train(
        app.model_class(), other, tmp_path, init_from=run_dir, compile=task.compile,
        config=TrainingConfig(epochs=2, batch_size=16, precision="mixed_bfloat16"),
    )  # fmt: skip
    copied, total = re.search(r"(\d+) of (\d+) weights come from", (tmp_path / "log.txt").read_text()).groups()
    assert copied == total
    first, second = history(tmp_path, task.learned)
    # Of a classifier's loss the scales that the other model was calibrated by are a part.
    assert second > first if task.learned == "accuracy" else second < first
    assert tuned.dtype_policy.name == "mixed_bfloat16"
    outputs = tuned.serve(**task.asks(task.bad))
    assert all(np.isfinite(value.numpy()).all() for value in outputs.values() if value.dtype.is_floating)
    assert all(value.dtype in (tf.float32, tf.string) for value in outputs.values())
