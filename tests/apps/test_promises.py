"""What every app promises, held against each by name; a new app joins by a line in TASKS."""

import concurrent.futures
import contextlib
import csv
import dataclasses
import functools
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

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
from keras_apps.training import pipeline
from keras_apps.training.callbacks import EpochRecorder
from keras_apps.training.config import TrainingConfig
from keras_apps.training.fit import train
from tests import warm_process


@dataclasses.dataclass(frozen=True)
class Task:
    """A tiny model of an app, a few raw examples, requests good and bad, and what dropout and the like are called.

    The examples are of like length, so that XLA has few shapes to compile. The request has the inputs of all signatures.
    A loss that compares the examples of a batch differs a little where each device has a batch of its own; `learned` is
    one that falls when a `few` examples are seen again and again, in so many `steps` an epoch, fewer where they take long
    on a CPU that has no units for bfloat16.
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
    few: int = 16
    steps: int = 8

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
    alike = [review for review in demo(demo_reviews)["train"] if 21 <= len(re.findall(r"\w+|\S", review.text)) <= 24]
    some = alike[start:stop]
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
    # Not by TensorFlow, which must not have begun when it is told of two devices.
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


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
        {"units": 16, "heads": 2, "feedforward_units": 16, "depth": 1, "image_size": 32, "beams": 2, "max_length": 7},
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
        steps=2,
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
        # One content and one style, for the loss tells pairs apart more than it falls in a few steps.
        few=2,
        steps=2,
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
        steps=2,
    ),
    "translation": Task(
        {"units": 16, "embedding_dim": 8, "vocabulary_size": 330, "beams": 2, "max_length": 24},
        {"averaging": 0.9, "warmup_steps": 4},
        pairs,
        {"text": ["I see a dog.", "A girl helps."]},
        ("dropout",),
        {"text": ["I see a dog.", " "]},
        "text 1 of the request is empty",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def graphs_as_they_are_traced():
    """But for those of an export, which answers elsewhere."""
    warm_process.optimise_graphs(False)
    yield
    warm_process.optimise_graphs(True)


@pytest.fixture(scope="module", params=TASKS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def task(name):
    return TASKS[name]


@pytest.fixture(scope="module")
def app(name):
    return app_of(name)


def app_of(name):
    return all_apps()[name.split()[0]]


def fit(app, task, run_dir, **options):
    """An epoch without noise, so that one device can be compared with two."""
    splits = Splits(train=task.examples(0, 48), validation=task.examples(48, 64))
    config = TrainingConfig(epochs=1, batch_size=16, precision=task.precision, **options)
    model = task.model | dict.fromkeys(task.noise, 0.0)
    return train(app.model_class(), splits, run_dir, model=model, compile=task.compile, config=config)


def tune(app, task, parent, run_dir):
    """On other examples, with noise, in mixed precision."""
    other = Splits(train=task.examples(100, 100 + task.few).repeat(16 * task.steps // task.few))
    config = TrainingConfig(epochs=2, batch_size=16, precision="mixed_bfloat16")
    model = dict.fromkeys(task.noise, 0.1)
    return train(app.model_class(), other, run_dir, model=model, compile=task.compile, config=config, init_from=parent)


def history(run_dir, metric):
    """Of each epoch; a phase without this metric has none."""
    rows = list(csv.DictReader((Path(run_dir) / "history.csv").open()))
    return [float(row[metric]) for row in rows if row[metric]]


@pytest.fixture(scope="module")
def trained(app, task, tmp_path_factory):
    """A model as training left it in memory, and its run."""
    path = tmp_path_factory.mktemp("runs") / "first"
    return fit(app, task, path), path


@pytest.fixture(scope="module")
def run_dir(trained):
    return trained[1]


@pytest.fixture(scope="module")
def model(trained):
    return trained[0]


@pytest.fixture(scope="module")
def tuned(app, task, run_dir):
    """A model and its run; beside that, in `stopped`, what was on the disk after the first epoch of its last phase."""
    path = run_dir.with_name("tuned")
    original = EpochRecorder.on_epoch_end

    def and_copy(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 0 and self.phase == len(self.model.phases) - 1:
            shutil.copytree(path, path.with_name("stopped"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EpochRecorder, "on_epoch_end", and_copy)
        return tune(app, task, run_dir, path), path


@pytest.fixture(scope="module")
def answers(model, task):
    return dict(answers_of(model, task))


def answers_of(model, task):
    """What each signature answers in Python."""
    for name, signature in model.signatures().items():
        answer = model.serve(name, **task.asks(signature.inputs))
        yield name, {key: value.numpy() for key, value in answer.items()}


@pytest.fixture(scope="module")
def version(app, model, tmp_path_factory):
    """An export, moved elsewhere."""
    folder = tmp_path_factory.mktemp("exports")
    export(model, folder / "first", app.name)
    shutil.move(folder / "first", folder / "elsewhere")
    return folder / "elsewhere" / app.name / "1"


def state_of(run_dir):
    (checkpoint,) = (run_dir / "checkpoints").iterdir()
    history = json.loads((checkpoint / "state.json").read_text())["progress"]["history"]
    with np.load(checkpoint / "variables.npz") as file:
        return [row | {"seconds": 0} for row in history], {name: file[name] for name in file.files}


def test_stopped_and_gone_on_with_equals_never_stopped(app, task, run_dir, tuned):
    stopped = tuned[1].with_name("stopped")
    tune(app, task, run_dir, stopped)
    (history, variables), (same_history, same_variables) = state_of(tuned[1]), state_of(stopped)
    assert history == same_history and variables.keys() == same_variables.keys()
    for name, value in variables.items():
        np.testing.assert_array_equal(value, same_variables[name], err_msg=name)


def answer_and_fit(name, model_file, version, run_dir):
    """In another process: what the saved and the exported model answer by each signature, and a run on two devices."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    with contextlib.suppress(ImportError):
        import tensorflow_text  # noqa: F401
    found = {}
    task, app = TASKS[name], app_of(name)
    loaded = tf.saved_model.load(str(version))
    for signature, function in loaded.signatures.items():
        specs = function.structured_input_signature[1]
        inputs = {key: tf.constant(value, specs[key].dtype) for key, value in task.asks(specs).items()}
        found["export", signature] = {key: value.numpy() for key, value in function(**inputs).items()}
    found |= {
        ("keras", signature): outputs for signature, outputs in answers_of(app.model_class().load(model_file), task)
    }
    warm_process.optimise_graphs(False)
    fit(app, task, run_dir, distribute="mirrored", xla="on")
    return found


@pytest.fixture(scope="module")
def elsewhere(name, run_dir, version):
    """What `answer_and_fit` returns, and the run's directory."""
    two = run_dir.with_name("two")
    with concurrent.futures.ProcessPoolExecutor(1, warm_process.context()) as pool:
        return pool.submit(answer_and_fit, name, run_dir / "model.keras", version, two).result(900), two


def same(found, expected):
    if expected.dtype == object and is_png(expected.flat[0]):
        for one, other in zip(found.flat, expected.flat, strict=True):
            one, other = (tf.io.decode_png(each).numpy().astype(int) for each in (one, other))
            assert np.abs(one - other).max() <= 2
    elif expected.dtype == object:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def is_png(value):
    return value.startswith(b"\x89PNG")


def test_a_saved_model_answers_alike_in_another_process(answers, elsewhere):
    for signature, outputs in answers.items():
        for key, expected in outputs.items():
            same(elsewhere[0]["keras", signature][key], expected)


def test_an_export_answers_alike_elsewhere_by_every_signature_compiled_or_not(answers, elsewhere):
    for signature, outputs in answers.items():
        compiled = "serving_xla" if signature == "serving_default" else f"{signature}_xla"
        for key, expected in outputs.items():
            same(elsewhere[0]["export", signature][key], expected)
            same(elsewhere[0]["export", compiled][key], expected)


def test_an_export_has_no_operation_that_a_server_refuses(version):
    """None that is Python, and none that XLA alone has: they run on a server only that is told to compile."""
    saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    operations = {node.op for function in functions for node in function.node_def}
    assert operations and not [each for each in operations if "PyFunc" in each or each.startswith("Xla")]


def test_two_devices_with_xla_learn_what_one_does_without(task, run_dir, elsewhere):
    for metric in (task.loss, f"val_{task.loss}"):
        assert history(elsewhere[1], metric) == pytest.approx(history(run_dir, metric), rel=task.tolerance)


def test_a_server_answers_alike_and_refuses_what_is_bad(app, task, answers, version):
    with EmbeddedServer(version.parents[1], rest_port=0, grpc_port=0) as server:
        for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port)):
            client = Client(f"localhost:{port}", protocol)
            asked = task.asks(task.bad)
            # One by one, for a search takes no more at once.
            answered = [
                client.predict(app.name, {key: values[index : index + 1] for key, values in asked.items()})
                for index in range(len(next(iter(asked.values()))))
            ]
            found = {key: [one[key][0] for one in answered] for key in answered[0]}
            assert list(found) == sorted(answers["serving_default"])
            for key, expected in answers["serving_default"].items():
                if expected.dtype == object and is_png(expected[0]):
                    same(np.asarray(found[key], object), expected)
                elif expected.dtype == object:
                    assert list(found[key]) == [text.decode() for text in expected]
                else:
                    np.testing.assert_allclose(found[key], expected, rtol=1e-3, atol=1e-5)
            with pytest.raises(ValueError, match=task.refusal):
                client.predict(app.name, task.bad)


def test_a_training_step_moves_each_weight_and_validation_none(task, model):
    """One step of each optimizer, but of several of a critic's."""
    for phase in model.phases:
        learner = model.snapshot()
        learner.begin_phase(phase)
        learner.compile(**task.compile)
        prepared = pipeline.prepare(learner, task.examples(0, 48))
        held_out = pipeline.prepare(learner, task.examples(48, 64))
        before = values_of(learner)
        learner.test_step(next(iter(learner.batches(held_out, 16, training=False))))
        assert moved(before, values_of(learner)) == set()
        for batch in learner.batches(prepared, 16, training=True, seed=0).take(2):
            learner.train_step(batch)
        trained = {variable.path for each in learner.optimizers for variable in each._trainable_variables}
        assert trained and moved(before, values_of(learner)) >= trained
        assert [int(each.iterations) for each in learner.optimizers] == [2] * len(learner.optimizers)


def values_of(model):
    optimizers = [variable for each in model.optimizers for variable in each.variables]
    return {variable.path: np.array(variable) for variable in [*model.weights, *optimizers]}


def moved(before, after):
    return {path for path, value in after.items() if not np.array_equal(value, before[path])}


def test_a_configuration_is_all_of_a_model_but_its_weights(model):
    config = model.get_config()
    assert json.loads(json.dumps(config)) == config
    again = type(model).from_config(config)
    assert again.get_config() == config
    again.set_weights(model.get_weights())


def test_fine_tuning_begins_where_the_other_model_ended_and_learns_a_few_examples(task, tuned):
    model, path = tuned
    copied, total = re.search(r"(\d+) of (\d+) weights come from", (path / "log.txt").read_text()).groups()
    assert copied == total
    first, second = history(path, task.learned)
    assert second < first
    assert model.dtype_policy.name == "mixed_bfloat16"
    outputs = model.serve(**task.asks(task.bad))
    assert all(np.isfinite(value.numpy()).all() for value in outputs.values() if value.dtype.is_floating)
    assert all(value.dtype in (tf.float32, tf.string) for value in outputs.values())
