import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.layers.images import scale_pixels
from keras_apps.models.face_aging import FaceAging, _pairs_of
from keras_apps.training.pipeline import epochs_of_batches

SMALL = {
    "image_size": 32,
    "filters": 4,
    "discriminator_filters": 4,
    "observer_filters": 4,
    "identity_units": 8,
    "noise_units": 8,
    "bounds": (0, 20, 40),
    "dtype": "float32",
}


def faces(people=4, ages=(10, 30, 50), seed=0, known=True):
    """A person is a colour, an age how dark the lower half is."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        colour = rng.integers(90, 250, 3)
        for age in ages:
            image = np.empty([32, 32, 3])
            image[:], image[16:] = colour, colour * (1 - age / 70)
            rows.append((np.clip(image + rng.normal(0, 2, image.shape), 0, 255), age, person if known else -1))
    images, ages, identities = (
        np.asarray(column, dtype)
        for column, dtype in zip(zip(*rows, strict=True), (np.uint8, np.int32, np.int32), strict=True)
    )
    return without_tuning(tf.data.Dataset.from_tensor_slices({"image": images, "age": ages, "identity": identities}))


def fit(model, examples, phase, steps, **settings):
    """Steps on all the examples at once."""
    model.begin_phase(phase)
    model.compile(**settings)
    prepared = examples.map(model.prepare).cache()
    batches = epochs_of_batches(model, prepared, batch_size=24, steps=1, epochs=range(steps), phase=0, seed=0)
    step = tf.function(model.train_step, autograph=False)
    history = []
    for batch in batches:
        model.reset_metrics()
        history.append({name: float(value) for name, value in step(batch).items()})
    return history


@pytest.fixture(scope="module")
def trained():
    """A direct model after both phases, and how they went."""
    model = FaceAging(**SMALL)
    examples = faces(8)
    model.adapt(examples)
    recognition = fit(model, examples, "recognition", 40, recognition_learning_rate=3e-3)
    weights = {"identity_weight": 5.0, "age_weight": 1.0, "averaging": 0.0}
    gan = fit(model, examples, "gan", 60, learning_rate=5e-3, discriminator_learning_rate=1e-3, **weights)
    return model, recognition, gan


def test_an_age_is_shared_by_the_two_groups_around_it():
    model = FaceAging(**SMALL)
    assert model.centres.tolist() == [10, 30, 50] and model.group_names == ["0-19", "20-39", "40+"]
    expected = [[1, 0, 0], [1, 0, 0], [0.75, 0.25, 0], [0, 1, 0], [0, 0.1, 0.9], [0, 0, 1], [0, 0, 1]]
    np.testing.assert_allclose(model.age_weights(tf.constant([0, 10, 15, 30, 48, 50, 120])), expected, atol=1e-6)
    uneven = FaceAging(**SMALL | {"bounds": (5, 6, 30)})
    assert uneven.centres.tolist() == [5.5, 18, 42]
    np.testing.assert_allclose(uneven.age_weights(tf.constant(24)), [0, 0.75, 0.25], atol=1e-6)


def test_the_observers_never_share_a_person():
    model = FaceAging(**SMALL)
    rows = list(faces(40).map(model.prepare).as_numpy_iterator())
    halves = {(row["identity"], row["half"]) for row in rows}
    assert len(halves) == 40 and {half for _, half in halves} == {0, 1}
    # Where nobody is known it is by picture, and the same again.
    first, second = ([int(row["half"]) for row in faces(40, known=False).map(model.prepare)] for _ in range(2))
    assert first == second and 30 < sum(first) < 90
    model.begin_phase("recognition")
    model.compile()
    batch = next(iter(model.batches(faces(40).map(model.prepare), 120, True)))
    np.testing.assert_array_equal(batch["share"], 2 * np.eye(2)[batch["half"]])
    with tf.GradientTape() as tape:
        values = model._recognition_values(batch | {"share": batch["share"] * [1, 0]})
    assert all(
        gradient is None or not np.any(gradient)
        for gradient in tape.gradient(values["recognition_loss"], model.examiner.trainable_variables)
    )


def test_recognition_sees_two_pictures_of_a_person_side_by_side_and_each_once():
    model = FaceAging(**SMALL)
    model.begin_phase("recognition")
    model.compile()
    prepared = faces(6, ages=(10, 20, 30, 40)).map(model.prepare)
    batches = list(model.batches(prepared, 8, True, 3).as_numpy_iterator())
    identities = np.concatenate([batch["identity"] for batch in batches])
    assert sorted(identities) == sorted(np.repeat(np.arange(6), 4))
    np.testing.assert_array_equal(identities[::2], identities[1::2])
    again = list(model.batches(prepared, 8, True, 3).as_numpy_iterator())
    np.testing.assert_array_equal(batches[0]["views"], again[0]["views"])
    assert not np.array_equal(batches[0]["views"][:, 0], batches[0]["views"][:, 1])


def test_learns_a_handful_of_faces(trained):
    model, recognition, gan = trained
    assert recognition[-1]["identity_loss"] < 0.8 * recognition[0]["identity_loss"]
    assert recognition[-1]["age_accuracy"] > 0.9
    # A generator that changes next to nothing keeps who it is: what has been learned shows from the worst on.
    assert gan[-1]["age"] < 0.3 * gan[0]["age"]
    assert gan[-1]["identity"] < 0.6 * max(step["identity"] for step in gan)
    report = model.measure(faces(8))
    by_group = [report[f"verified_{name}"] for name in model.group_names]
    assert report["age_hit"] > 0.8 and report["verified"] == pytest.approx(np.mean(by_group))
    assert 0 < report["verified"] < 1 and 0 < report["true_verified"] < 1
    assert {"age_error_0-19", "age_hit_40+", "verified_20-39"} <= report.keys() and "fid_0-19" not in report
    assert model.sample(faces(8)).shape == (6, 4, 32, 32, 3)


def test_faces_of_one_person_are_measured_but_for_who_they_are(trained, caplog):
    report = trained[0].measure(faces(1))
    assert report.keys() >= {"age_hit", "true_age_error", "age_hit_40+"}
    assert not [name for name in report if "verified" in name or name == "threshold"]
    assert "all faces are one person's" in caplog.text


def test_the_age_asked_for_matters_and_what_is_served_is_what_training_saw(trained):
    model, _, _ = trained
    example = next(iter(faces(1).batch(3)))
    png = [tf.io.encode_png(image).numpy() for image in example["image"]]
    young, old = (model.serve(image_bytes=png, age=[age] * 3)["image_bytes"].numpy() for age in (5, 50))
    pixels = [np.stack([tf.io.decode_png(each) for each in some]).astype(int) for some in (young, old)]
    assert pixels[0].shape == (3, 32, 32, 3) and np.abs(pixels[0] - pixels[1]).mean() > 5
    batch = {"image": example["image"], "target": model.age_weights(tf.fill([3], 50))}
    seen = (model.generate(batch, training=True) + 1) * 127.5
    assert np.abs(seen - pixels[1]).max() <= 1


def test_a_saved_model_answers_alike(trained, tmp_path):
    model, _, _ = trained
    model.save_for_inference(tmp_path / "model.keras")
    again = FaceAging.load(tmp_path / "model.keras")
    assert again.get_config() == model.get_config() and again.phase == "gan"
    png = tf.io.encode_png(next(iter(faces(1)))["image"]).numpy()
    answers = [each.serve(image_bytes=[png], age=[44])["image_bytes"].numpy() for each in (model, again)]
    assert answers[0] == answers[1]
    latent = FaceAging(**SMALL | {"method": "latent"})
    copied, total = latent.inherit(model)
    assert copied == total - len(latent.generator.weights) - len(latent.encoder.weights)


def test_ages_and_sizes_of_requests(trained):
    model, _, _ = trained
    picture = tf.io.encode_png(np.full((40, 26, 3), 200, np.uint8)).numpy()
    (answer,) = model.serve(image_bytes=[picture], age=[120])["image_bytes"].numpy()
    assert tf.io.decode_png(answer).shape == (40, 26, 3)
    for age in (300, -1):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"age 1 of the request is {age}; it must be 0 to 120"):
            model.serve(image_bytes=[picture, picture], age=[20, age])


def test_a_latent_code_is_improved_within_a_compiled_core():
    model = FaceAging(**SMALL | {"method": "latent", "latent_steps": 30})
    assert model.phases == ("recognition", "gan", "encoder")
    examples = faces(4)
    losses = fit(model, examples, "encoder", 10)
    assert losses[-1]["encoder_loss"] < losses[0]["encoder_loss"]
    image = next(iter(examples.batch(3)))["image"]
    scaled = scale_pixels(image)
    seen = model.guide(scaled)
    before, after = (
        model.latent_objective(code, scaled, seen["identity"], tf.nn.softmax(seen["age"])).numpy()
        for code in (model.encoder(scaled), model.latent_code(scaled))
    )
    assert np.all(after < before) and after.mean() < 0.8 * before.mean()
    requests = {"image_bytes": tf.constant([tf.io.encode_png(image[0]).numpy()]), "age": tf.constant([40])}
    # After many steps of a search the rounding of the first ones tells.
    short = model.snapshot(latent_steps=2)
    np.testing.assert_allclose(short.latent_code(scaled[:1]), short.latent_code(scaled)[:1], atol=1e-3)
    signature = short.signatures()["serving_default"]
    plain, compiled = (
        tf.io.decode_png(signature.function(xla)(requests)["image_bytes"][0]).numpy().astype(int)
        for xla in (False, True)
    )
    assert np.abs(plain - compiled).mean() < 2


def test_pairs_of_people():
    embeddings = np.eye(4)[[0, 0, 1, 1, 1]]
    genuine, impostors = _pairs_of(embeddings, np.array([5, 5, 7, -1, -1]))
    assert genuine.tolist() == [1] and sorted(impostors) == [0] * 6 + [1] * 3


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"image_size": 40}, "image_size must be a multiple of 16"),
        ({"method": "magic"}, "method must be one of direct, latent; received magic"),
        ({"bounds": (10, 10)}, "each above the one before"),
        ({"bounds": (0,)}, "two or more ages"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        FaceAging(**SMALL | settings)


def test_faces_that_can_teach_nothing_are_refused_and_a_missing_age_group_is_said(caplog):
    with pytest.raises(UserError, match="all of one age group, 20-39"):
        FaceAging(**SMALL).adapt(faces(8, ages=(30, 35)))
    with pytest.raises(UserError, match="too few people"):
        FaceAging(**SMALL).adapt(faces(1))
    FaceAging(**SMALL).adapt(faces(8, ages=(10, 30)))
    assert "no training face is of the age group 40+" in caplog.text
