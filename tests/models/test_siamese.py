import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data import demo_characters
from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.losses.contrastive import PAIR_LOSSES
from keras_apps.models.siamese import SiameseNetwork, koch_embedding
from keras_apps.training import pipeline

FLOAT32 = keras.dtype_policies.DTypePolicy("float32")
OBJECTIVES = ("weighted_l1", "contrastive", "cosine", "triplet", "prototypical")


def characters(alphabets=2, drawers=6, classes=6, seed=0):
    """The first characters of some alphabets, in the colours of `SiameseNetwork`'s examples."""
    drawings = demo_characters.invent(alphabets, drawers, seed)
    first = {}
    for each in drawings:
        first.setdefault(each.character.alphabet, each.character.number)
    some = [each for each in drawings if each.character.number < first[each.character.alphabet] + classes]
    return without_tuning(
        tf.data.Dataset.from_tensor_slices(
            {
                "image": np.stack([demo_characters.draw(each) for each in some]),
                "label": np.array([each.character.number for each in some], np.int32),
                "group": np.array([each.character.alphabet for each in some], np.int32),
            }
        )
    )


@pytest.fixture(scope="module")
def examples():
    return characters()


def small(examples, **settings):
    model = SiameseNetwork(**{"image_size": 24, "units": 32, "ways": 8, "dtype": "float32"} | settings)
    model.adapt(examples)
    return model


def test_what_was_fitted_to_similarities_is_not_that_of_others(examples):
    parent = small(examples)
    parent.calibration.assign([30.0, -20.0])
    for objective, expected in (("prototypical", [30, -20]), ("weighted_l1", [1, 0])):
        child = SiameseNetwork.from_config(parent.get_config() | {"objective": objective})
        child.inherit(parent)
        assert child.calibration.numpy().tolist() == expected
        np.testing.assert_array_equal(child.network.weights[0], parent.network.weights[0])


def prepared(model, examples):
    return examples.map(model.prepare).cache()


def fit(model, examples, epochs, batch_size=8, **settings):
    """The loss of each step."""
    model.compile(**{"warmup_steps": 20, "averaging": 0.0} | settings)
    step = tf.function(model.train_step, autograph=False)
    ready = prepared(model, examples)
    steps = pipeline.count_steps(model.batches(ready, batch_size, training=True), 0)
    history = []
    for batch in pipeline.epochs_of_batches(
        model, ready, batch_size=batch_size, steps=steps, epochs=range(epochs), phase=0, seed=0
    ):
        model.reset_metrics()
        history.append(float(step(batch)["loss"]))
    return history


def png(image):
    return tf.io.encode_png(image).numpy()


def test_koch_at_full_size_is_that_of_the_paper():
    network = koch_embedding(105, 1, 4096, 0, FLOAT32)
    shapes = [layer.output.shape[1:] for layer in network.layers if "convolution" in layer.name]
    assert shapes == [(96, 96, 64), (42, 42, 128), (18, 18, 128), (6, 6, 256)]
    # Figure 4: weights and biases of four convolutions, and 9216 x 4096.
    convolutions = [(10 * 10, 1, 64), (7 * 7, 64, 128), (4 * 4, 128, 128), (4 * 4, 128, 256)]
    expected = sum((field * before + 1) * after for field, before, after in convolutions) + 9217 * 4096
    assert network.count_params() == expected == 38_947_648


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_learns_a_handful_of_characters(examples, objective):
    model = small(examples, objective=objective, rotations=False, distortion=0.0)
    epochs = {"weighted_l1": 100, "contrastive": 50, "cosine": 80}.get(objective, 20)
    history = fit(model, examples, epochs, learning_rate=5e-3)
    assert np.mean(history[-10:]) < 0.5 * np.mean(history[:10])
    report = model.measure(examples)
    assert report["6_way_1_shot_accuracy"] > 0.8 and report["equal_error_rate"] < 0.2


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_default_batch_is_of_the_objective(examples, objective):
    model = small(examples, objective=objective, shots=2)
    batches = model.batches(prepared(model, examples), 16, True, 5)
    first = next(iter(batches))
    if objective in PAIR_LOSSES:
        assert first["images"].shape == (16, 2, 24, 24, 1) and sum(first["same"].numpy()) == 8
        # Every picture as often as there are ways to turn it.
        assert int(batches.cardinality()) == 4 * 72 // 32
    else:
        assert first["images"].shape == (2, 8, 3, 24, 24, 1)
        assert int(batches.cardinality()) == 4 * 72 // 48
    again = next(iter(model.batches(prepared(model, examples), 16, True, tf.constant(5, tf.int64))))
    other = next(iter(model.batches(prepared(model, examples), 16, True, 6)))
    np.testing.assert_array_equal(first["images"], again["images"])
    assert (first["images"] != other["images"]).numpy().any()


def test_what_is_drawn_keeps_the_options_of_the_examples(examples, recwarn):
    model = small(examples)
    ready = prepared(model, examples)
    assert model.batches(ready, 24, False).options().autotune.enabled is False
    epochs = pipeline.epochs_of_batches(model, ready, batch_size=24, steps=1, epochs=range(1), phase=0, seed=0)
    assert epochs.options().autotune.enabled is False and not recwarn.list


def test_two_pictures_of_a_pair_are_never_the_same_one(examples):
    """A picture is equal to itself, and that is all that there would be to learn from it."""
    model = small(examples, objective="contrastive", distortion=0.0, rotations=False)
    for batch in model.batches(prepared(model, examples), 16, True, 0):
        images = batch["images"].numpy()
        assert (images[:, 0] != images[:, 1]).any(axis=(1, 2, 3)).all()


def test_turned_characters_are_classes_of_their_own(examples):
    model = small(examples, distortion=0.0)
    ready = prepared(model, examples)
    originals = [(e["image"].astype(int), int(e["label"])) for e in ready.as_numpy_iterator()]
    seen = set()
    for batch in model.batches(ready, 8, True, 0):
        for pictures in batch["images"].numpy()[0]:
            found = set()
            for picture in pictures:
                # What was done to the original, and which it was; the distortion cuts off what is between grey levels.
                for turns in range(4):
                    upright = np.rot90(picture, -turns)
                    found |= {(turns, label) for image, label in originals if np.abs(upright - image).max() <= 1}
            assert len(found) == 1
            seen |= {turns for turns, _ in found}
    assert seen == set(range(4))


def test_validation_is_undistorted_episodes_whatever_is_learned_from(examples):
    model = small(examples, objective="weighted_l1")
    model.compile()
    ready = prepared(model, examples)
    batches = list(model.batches(ready, 24, False))
    assert {batch["images"].shape[1:] for batch in batches} == {(12, 2, 24, 24, 1)} and len(batches) == 25
    there = {example["image"].tobytes() for example in ready.as_numpy_iterator()}
    assert all(picture.tobytes() in there for picture in batches[0]["images"].numpy().reshape(-1, 24, 24, 1))
    assert 0 <= float(model.test_step(batches[0])["one_shot_accuracy"]) < 0.6


def test_a_constant_network_is_right_nowhere(examples):
    model = small(examples)
    model.network.get_layer("embedding").kernel.assign(tf.zeros_like(model.network.get_layer("embedding").kernel))
    model.network.get_layer("embedding").bias.assign(tf.ones([32]))
    model.compile()
    report = model.measure(examples)
    assert report["6_way_1_shot_accuracy"] == 0 and report["equal_error_rate"] == 0.5
    batch = next(iter(model.batches(prepared(model, examples), 24, False)))
    assert float(model.test_step(batch)["one_shot_accuracy"]) == 0


@pytest.fixture(scope="module")
def trained():
    examples = characters(12, 6, 12, seed=1)
    model = small(examples, ways=24)
    fit(model, examples, 3, batch_size=24, learning_rate=3e-3)
    return model


def test_probability_and_threshold_are_calibrated_on_other_characters(trained):
    unseen = characters(4, 8, 20, seed=9)
    assert trained.unknown.numpy().tolist() == [np.finfo(np.float32).min, 1, 0]
    assert trained.calibrate(unseen)
    threshold, accepts, rejects = trained.unknown.numpy()
    assert -1 < threshold < 1 and accepts == pytest.approx(rejects, abs=0.05) and 0 < accepts < 0.5
    # As many pairs of one class as of two: what is held for as likely as not is so.
    report = trained.measure(characters(4, 8, 20, seed=10))
    assert abs(report["verify_false_accept_rate"] - report["verify_false_reject_rate"]) < 0.2
    assert report["unknown_threshold"] == pytest.approx(float(threshold))
    assert report["unknown_false_accept_rate"] == pytest.approx(accepts, abs=0.15)
    assert (
        report["20_way_1_shot_accuracy"] > 0.3 and report["20_way_5_shot_accuracy"] > report["20_way_1_shot_accuracy"]
    )
    # Accuracy on the demo is not chance, and an interval of 400 episodes is small.
    assert 0 < report["20_way_1_shot_interval"] < 0.02


def test_signatures_agree_with_each_other(trained):
    pictures = [example["image"] for example in characters(1, 3, 2, seed=20).as_numpy_iterator()]
    encoded = [png(each) for each in pictures]
    embedded = trained.serve("embed", image_bytes=encoded)["embedding"].numpy()
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    verified = trained.serve(first_bytes=encoded[:3], second_bytes=encoded[3:])
    cosines = np.sum(embedded[:3] * embedded[3:], axis=1)
    np.testing.assert_allclose(verified["similarity"], cosines, atol=1e-5)
    slope, offset = trained.calibration.numpy()
    np.testing.assert_allclose(verified["probability"], 1 / (1 + np.exp(-slope * cosines - offset)), rtol=1e-4)
    # Two classes of three shots each; the mean of three is shorter than each, which must not matter.
    support = embedded.reshape(2, 3, 32).mean(1)
    answer = trained.serve("classify", query_bytes=encoded, support=np.stack([support] * 6))
    expected = embedded @ (support / np.linalg.norm(support, axis=1, keepdims=True)).T
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    np.testing.assert_array_equal(answer["index"], expected.argmax(1))
    # What is compiled does not depend on the number of classes.
    assert list(trained.signatures()["classify"]._parts[1].structured_input_signature[0][0]) == ["image"]
    enrolled = trained.serve("enrol", image_bytes=encoded[:2])
    np.testing.assert_allclose(enrolled["embedding"], embedded[:2], atol=1e-6)
    np.testing.assert_array_equal(enrolled["threshold"], [trained.unknown.numpy()[0]] * 2)


def test_weighted_l1_ranks_by_log_odds(examples):
    model = small(examples, objective="weighted_l1")
    pictures = [png(example["image"]) for example in examples.take(2).as_numpy_iterator()]
    first, second = model.serve("embed", image_bytes=pictures)["embedding"].numpy()
    weights, bias = model.head.get_weights()
    expected = np.abs(first - second) @ weights + bias
    np.testing.assert_allclose(
        model.serve(first_bytes=[pictures[0]], second_bytes=[pictures[1]])["similarity"], expected, rtol=1e-4
    )
    scores = model.serve("classify", query_bytes=[pictures[0]], support=[[second, first]])["scores"]
    np.testing.assert_allclose(scores, [[expected[0], bias[0]]], rtol=1e-4, atol=1e-5)


def test_what_a_core_could_not_refuse_is_refused_before(trained):
    query = [png(np.zeros((9, 9, 3), np.uint8))]
    for support, said in (
        (np.zeros((1, 0, 32)), "support holds no class"),
        (np.full((1, 2, 32), np.nan), "no number"),
        (np.zeros((2, 2, 32)), "the classes of each query"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=said):
            trained.serve("classify", query_bytes=query, support=support)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a picture"):
        trained.serve("embed", image_bytes=[b"nothing"])


def test_pictures_of_other_sizes_and_modes_are_read(trained):
    wide = png(np.zeros((10, 300, 1), np.uint8))
    transparent = png(np.full((40, 30, 4), (9, 9, 9, 0), np.uint8))
    white = png(np.full((40, 30, 3), 255, np.uint8))
    embedded = trained.serve("embed", image_bytes=[wide, transparent, white])["embedding"].numpy()
    assert np.isfinite(embedded).all()
    # Not to the last bit: where a row is in its batch decides on some CPUs in which order its products are summed.
    np.testing.assert_allclose(embedded[1], embedded[2], atol=1e-6)
    assert np.abs(embedded[0] - embedded[2]).max() > 1e-3


def test_colours_count_where_there_are_some():
    rng = np.random.default_rng(0)
    pictures = np.repeat(rng.integers(0, 255, (12, 1, 1, 3), np.uint8), 400, axis=1).reshape(12, 20, 20, 3)
    coloured = without_tuning(
        tf.data.Dataset.from_tensor_slices(
            {"image": pictures, "label": np.arange(12, dtype=np.int32) // 2, "group": np.zeros(12, np.int32)}
        )
    )
    model = small(coloured, image_size=16)
    assert model.channels == 3 and model.prepare(next(iter(coloured)))["image"].shape == (16, 16, 3)
    assert model.pixels.numpy() == pytest.approx([pictures.mean(), pictures.std()], rel=0.02)


def test_lakes_runs_are_scored_by_the_nearest(trained):
    rng = np.random.default_rng(0)
    supports = [rng.integers(0, 255, (30, 30, 3), np.uint8) for _ in range(4)]
    # The very same pictures, in another order: all right but for the two whose answers are exchanged.
    order = [2, 0, 3, 1]
    runs = [
        (supports, [supports[index] for index in order], np.array(order)),
        (supports, [supports[2], supports[0]], np.array([2, 3])),
    ]
    report = trained.measure(characters(1, 4, 5, seed=30), runs=runs)
    assert report["accuracy_of_each_run"] == [1.0, 0.5] and report["runs"] == 2
    assert report["runs_accuracy"] == 0.75 and report["runs_interval"] == pytest.approx(1.96 * 0.25)


def test_answers_tell_of_mistakes_by_pictures_of_the_right_classes(trained):
    unseen = characters(2, 5, 20, seed=40)
    labels = [int(example["label"]) for example in unseen.as_numpy_iterator()]
    answers = trained.measure(unseen)["answers"]
    assert [answer["label"] for answer in answers] == labels
    asked = [answer for answer in answers if "ahead" in answer]
    assert asked and any(answer["ahead"] > 0 for answer in asked)
    for answer in asked:
        assert labels[answer["shown"]] == answer["label"] != labels[answer["taken_for"]]
        assert answer["shown"] != answer["picture"]
    assert all(len(answer["place"]) == 2 for answer in answers)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "koch", "image_size": 48}, "image_size must be at least 105 for koch; received 48"),
        ({"embedding": "smal"}, "embedding must be one of small, koch; received smal"),
        ({"objective": "triplett"}, "objective must be one of .*triplet.*; received triplett"),
        ({"channels": 2}, "channels must be 1 for grey or 3 for colours; received 2"),
        ({"ways": 1}, "ways must be at least 2"),
        ({"generated_share": 1.0}, "generated_share"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        SiameseNetwork(**settings)


def test_one_class_is_nothing_to_learn_from():
    alike = without_tuning(
        tf.data.Dataset.from_tensor_slices(
            {"image": np.zeros((4, 9, 9, 3), np.uint8), "label": [0, 0, 0, 1], "group": [0, 0, 0, 0]}
        )
    )
    model = small(alike)
    with pytest.raises(UserError, match="not two classes with two or more pictures"):
        model.batches(prepared(model, alike), 4, True, 0)
    with pytest.raises(UserError, match="nothing to measure"):
        model.measure(alike)
