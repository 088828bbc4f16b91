import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.layers.gan import InstanceNormalization
from keras_apps.models.pix2pix import Pix2Pix, patch_discriminator, unet

FLOAT32 = keras.dtype_policies.DTypePolicy("float32")


def pairs(count, height=32, width=48, seed=0):
    """A block of one of two colours on grey, to be turned into the other, by place: both halves of a rule."""
    rng = np.random.default_rng(seed)
    inputs = np.full((count, height, width, 3), 128, np.uint8)
    targets = inputs.copy()
    for index in range(count):
        top, left = rng.integers(0, height - 12), rng.integers(0, width - 12)
        inputs[index, top : top + 12, left : left + 12] = (220, 40, 40)
        targets[index, top : top + 12, left : left + 12] = (40, 40, 220)
    return without_tuning(tf.data.Dataset.from_tensor_slices({"input": inputs, "target": targets}))


def small(**settings):
    model = Pix2Pix(**{"height": 32, "width": 48, "filters": 8, "patch": 16, "dtype": "float32"} | settings)
    model.adapt(pairs(4))
    return model


def fit(model, examples, epochs, **settings):
    model.compile(**{"learning_rate": 2e-3, "discriminator_learning_rate": 1e-3} | settings)
    batches = [batch for epoch in range(epochs) for batch in model.batches(examples.map(model.prepare), 8, True, epoch)]
    step = tf.function(model.train_step, autograph=False)
    return [{name: float(value) for name, value in step(batch).items()} for batch in batches]


def test_the_full_size_is_that_of_the_paper():
    generator, discriminator = unet(256, 256, 64, 0, FLOAT32), patch_discriminator(70, 64, 0, FLOAT32)
    assert round(generator.count_params() / 1e6, 1) == 54.4
    assert round(discriminator.count_params() / 1e6, 1) == 2.8


@pytest.mark.parametrize("patch", [1, 16, 70, 286])
def test_a_logit_depends_on_a_patch_of_this_size(patch):
    discriminator = patch_discriminator(patch, 2, 0, FLOAT32)
    side = patch + 2 * 32 + 2
    pair = tf.random.stateless_normal([1, side, side, 6], [1, 2])
    # Instance normalisation looks at all of the picture: the field is that of the convolutions.
    plain = keras.models.clone_model(
        discriminator,
        clone_function=lambda layer: (
            keras.layers.Identity()
            if isinstance(layer, InstanceNormalization)
            else layer.__class__.from_config(layer.get_config())
        ),
    )
    with tf.GradientTape() as tape:
        tape.watch(pair)
        logits = plain(pair)
        middle = logits.shape[1] // 2
        logit = logits[0, middle, middle, 0]
    seen = np.abs(tape.gradient(logit, pair)[0].numpy()).max(-1) > 0
    rows, columns = np.where(seen.any(1))[0], np.where(seen.any(0))[0]
    assert rows[-1] - rows[0] + 1 == columns[-1] - columns[0] + 1 == patch


def test_colours_of_another_number_are_learned_anew():
    config = small(label_colours=2).get_config()
    other = Pix2Pix.from_config(config | {"label_colours": 3})
    assert other.palette is None and not other.built
    assert Pix2Pix.from_config(config | {"label_colours": 0}).palette is None
    tuned = Pix2Pix.from_config(small(label_colours=2).config_for(pairs(4)))
    tuned.adapt(pairs(4).map(lambda pair: {"input": pair["input"], "target": 255 - pair["target"]}))
    assert sorted(tuned.palette) == [[127, 127, 127], [215, 215, 35]]
    assert Pix2Pix(label_colours=2, palette=[[0, 0, 0], [9, 9, 9]]).palette and Pix2Pix.from_config(config).palette


def test_what_is_exactly_right_has_no_ratio_to_its_noise(monkeypatch):
    model = small(label_colours=2)
    monkeypatch.setattr(model, "_make", lambda inputs: inputs)
    same = pairs(2).map(lambda pair: pair | {"input": pair["target"]})
    monkeypatch.setattr(model, "_pixels", lambda answer: answer)
    assert model.measure(same)["psnr"] is None


def test_learns_a_handful_of_pairs_and_its_labels():
    examples = pairs(16)
    model = small(label_colours=2, jitter=0.0, flip=False)
    assert sorted(model.palette) == [[40, 40, 220], [128, 128, 128]]
    history = fit(model, examples, 30)
    assert history[-1]["l1"] < 0.3 * history[0]["l1"]
    report = model.measure(pairs(16, seed=1))
    assert report["pixel_accuracy"] > 0.97 and report["mean_iou"] > 0.85 and report["ssim"] > 0.6


def test_what_is_served_is_what_training_saw():
    """Batch statistics or dropout would make the exported generator another one than the one that was trained."""
    model = small()
    fit(model, pairs(8), 3)
    batch = next(iter(pairs(4).map(model.prepare).batch(4)))
    np.testing.assert_allclose(model.generate(batch, training=True), model.generate(batch, training=False), atol=1e-6)
    png = [tf.io.encode_png(image).numpy() for image in batch["input"]]
    answers = model.serve(image_bytes=png)["image_bytes"].numpy()
    seen = model._pixels({"image": model.generate(batch, training=True)})["image"].numpy()
    for answer, picture in zip(answers, seen, strict=True):
        assert np.abs(tf.io.decode_png(answer).numpy().astype(int) - picture).max() <= 1


@pytest.mark.parametrize("height, width", [(32, 48), (20, 20), (64, 31), (300, 40)])
def test_pictures_of_any_size_come_back_at_their_size(height, width):
    model = small()
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    (answer,) = model.serve(image_bytes=[tf.io.encode_png(picture).numpy()])["image_bytes"].numpy()
    assert tf.io.decode_png(answer).shape == (height, width, 3)


def test_grey_and_transparent_pictures_are_read():
    model = small()
    grey = tf.io.encode_png(np.full((32, 48, 1), 90, np.uint8)).numpy()
    transparent = tf.io.encode_png(np.full((32, 48, 4), (10, 20, 30, 0), np.uint8)).numpy()
    white = tf.io.encode_png(np.full((32, 48, 3), 255, np.uint8)).numpy()
    answers = model.serve(image_bytes=[grey, transparent, white])["image_bytes"].numpy()
    assert answers[1] == answers[2] != answers[0]


def test_fitting_keeps_the_shape_and_the_colours_of_labels():
    model = small(label_colours=2)
    wide = np.zeros((10, 60, 3), np.uint8)
    wide[:, 30:] = (200, 0, 100)
    fitted = model._fitted(tf.constant(wide), "nearest").numpy()
    assert {tuple(colour) for colour in fitted.reshape(-1, 3)} == {(0, 0, 0), (200, 0, 100)}
    assert model._inner_size(tf.constant([10, 60])).numpy().tolist() == [8, 48]


def test_both_pictures_of_a_pair_are_shifted_and_mirrored_alike():
    model = small(jitter=0.2)
    model.compile()
    picture = np.random.default_rng(0).integers(0, 255, (32, 48, 3), np.uint8)
    moved = [
        model.augment(
            {"input": tf.constant(picture), "target": tf.constant(255 - picture)}, tf.constant([1, n], tf.int64)
        )
        for n in range(8)
    ]
    for pair in moved:
        np.testing.assert_array_equal(pair["input"], 255 - pair["target"])
    assert len({pair["input"].numpy().tobytes() for pair in moved}) == 8
    again = model.augment(
        {"input": tf.constant(picture), "target": tf.constant(255 - picture)}, tf.constant([1, 3], tf.int64)
    )
    np.testing.assert_array_equal(again["input"], moved[3]["input"])


def test_takes_its_size_from_the_data():
    model = Pix2Pix(filters=2)
    model.adapt(pairs(3, 40, 600))
    assert (model.height, model.width) == (16, 256)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"height": 40}, "height must be a multiple of 16; received 40"),
        ({"patch": 7}, "patch must be one of 1, 16, 70, 286"),
        ({"patch": 286}, "patch=286 is too large for pictures of 32 x 48"),
        ({"label_colours": 1}, "at least 2"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        small(**settings)


def test_without_a_distance_none_is_reported_to_choose_an_epoch_by():
    model = small()
    model.compile(l1_weight=0)
    examples = pairs(4).map(model.prepare)
    batch = next(iter(model.batches(examples, 4, False)))
    assert model.monitor == ("val_l1", "min") and "l1" not in model.test_step(batch)
    with pytest.raises(UserError, match="l1_weight must be at least 0"):
        model.compile(l1_weight=-1)
