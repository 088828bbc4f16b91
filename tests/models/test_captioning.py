import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.models.captioning import ImageCaptioner, _waves_over

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 60), "blue": (30, 60, 220)}
SMALL = {
    "image_size": 32,
    "units": 16,
    "embedding_dim": 16,
    "feedforward_units": 16,
    "heads": 2,
    "depth": 1,
    "dropout": 0.0,
    "beams": 2,
    "max_length": 8,
}
SQUEEZENET = SMALL | {"encoder": "squeezenet", "encoder_weights": ""}


def picture(left, right):
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, :20], image[:, 20:] = COLOURS[left], COLOURS[right]
    return image


def rows():
    pairs = [(left, right) for left in COLOURS for right in COLOURS]
    captions = [[f"A {left} half, left of {right}.", f"{right} to the right of {left}"] for left, right in pairs]
    return np.stack([picture(*pair) for pair in pairs]), captions


def examples():
    images, captions = rows()
    return without_tuning(tf.data.Dataset.from_tensor_slices({"image": images, "captions": captions}))


def built(**arguments):
    model = ImageCaptioner(**(SMALL | arguments))
    model.adapt(examples())
    return model


def one_batch(model):
    prepared = examples().map(model.prepare)
    return next(iter(model.batches(prepared, 9, training=False)))


def trained(epochs, **arguments):
    model = built(**arguments)
    model.compile(learning_rate=1e-2, warmup_steps=30, attention_penalty=0.1)
    prepared = examples().map(model.prepare).cache()
    model.fit(model.batches(prepared, 9, training=True, seed=1).repeat(epochs), verbose=0)
    return model


def png(image):
    return tf.io.encode_png(image).numpy()


@pytest.mark.parametrize(
    "arguments",
    [{"architecture": "rnn", "cell": "gru", "attention": "general"}, {"architecture": "transformer"}],
    ids=str,
)
def test_tells_left_from_right(arguments):
    model = trained(350, **arguments)
    images, captions = rows()
    report = model.measure(examples(), batch_size=4)
    assert report["bleu_4"] > 95 and report["examples"] == 9
    answer = report["answers"][3]
    assert answer["references"] == captions[3] and -0.5 < answer["score"] <= 0
    served = model.serve(image_bytes=[png(images[3]), png(images[1])])
    assert served["caption"][0].numpy().decode() == answer["caption"]
    assert served["score"][0].numpy() == pytest.approx(answer["score"], abs=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_caption_without_end_is_cut_off(beams):
    model = built(max_length=3, beams=beams)
    step = model.decoder.step

    def never_ending(*arguments):
        logits, state = step(*arguments)
        return logits - tf.one_hot(model.words.end, model.words.size, 1e4), state

    model.decoder.step = never_ending
    found = model.caption(tf.zeros([2, 32, 32, 3], tf.uint8))
    assert found.tokens.shape[1:] == (beams, 3) and np.all(found.tokens != 0) and np.all(found.lengths == 3)


def test_captions_are_words_without_punctuation():
    model = built()
    found = model.prepare(
        {
            "image": tf.zeros([3, 5, 3], tf.uint8),
            "captions": tf.constant(["A RED half,  left-of \u2018blue\u2019 .", "'' - ...", "red"]),
        }
    )
    assert found["image"].shape == (32, 32, 3) and found["image"].dtype == tf.uint8
    pieces = model.words.pieces(found["captions"]).numpy().tolist()
    assert [piece.decode() for piece in pieces[1]][:2] == ["\u2581red", "[END]"] and len(pieces) == 2
    assert "[UNK]" in [piece.decode() for piece in pieces[0]]
    assert model.words.detokenize(
        model.words.tokenize(tf.constant(["a red half left of blue"])).to_tensor()
    ).numpy() == [b"a red half left of blue"]


def test_a_picture_whose_captions_have_no_word_has_an_empty_one():
    model = ImageCaptioner(**SMALL, vocabulary=["\u2581a", "\u2581red"])
    example = {"image": tf.zeros([4, 4, 3], tf.uint8), "captions": tf.constant(["!!", ".."])}
    prepared = model.prepare(example)
    np.testing.assert_array_equal(prepared["captions"], [[model.words.end]])
    model.compile()
    assert np.isfinite(model.train_step({name: each[None] for name, each in prepared.items()})["loss"])


def test_a_long_caption_is_cut_and_ends():
    model = built()
    captions = tf.constant(["a red half left of green to the right of blue"])
    found = model.prepare({"image": tf.zeros([4, 4, 3], tf.uint8), "captions": captions})["captions"]
    assert found.shape == (1, SMALL["max_length"] + 1) and found[0, -1] == model.words.end


def test_padding_changes_no_loss_and_no_gradient():
    model = built()
    model.compile()
    batch = one_batch(model)
    longer = batch | {"captions": tf.pad(batch["captions"], [[0, 0], [0, 1], [0, 3]])}
    (few, gradients), (many, same) = (
        model.losses_and_gradients(each, tf.constant(100.0), tf.constant(18.0)) for each in (batch, longer)
    )
    assert float(tf.reduce_sum(few["loss"])) == pytest.approx(float(tf.reduce_sum(many["loss"])), rel=1e-5)
    for one, other in zip(gradients, same, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_penalty_is_that_of_the_paper():
    """Its share of the gradient, against that of the formula written out over captions, words and places."""
    model = built()
    model.compile(attention_penalty=0.7)
    batch = one_batch(model)
    _, with_penalty = model.losses_and_gradients(batch, tf.constant(1.0), tf.constant(18.0))
    model.compile(attention_penalty=0.0)
    _, without = model.losses_and_gradients(batch, tf.constant(1.0), tf.constant(18.0))
    with tf.GradientTape() as tape:
        _, weights = model.force(batch)
        total = 0.0
        for row, caption in zip(weights, tf.reshape(batch["captions"], [18, -1]), strict=True):
            length = int(tf.math.count_nonzero(caption))
            total += 0.7 * tf.reduce_mean((1 - tf.reduce_sum(row[:length], axis=0)) ** 2) / 18
    for one, other, share in zip(with_penalty, without, tape.gradient(total, model.trainable_variables), strict=True):
        share = 0 if share is None else tf.convert_to_tensor(share)
        np.testing.assert_allclose(one - other, share + tf.zeros_like(one), atol=2e-4)


def test_features_stand_for_the_picture():
    model = ImageCaptioner(**SQUEEZENET, vocabulary=["\u2581a", "\u2581red"])
    model.compile()
    images = tf.constant(rows()[0][:, :32, :32])
    captions = tf.fill([9, 2, 4], 4)
    features = model.features(images)
    assert features.dtype == tf.float16 and features.shape == (9, 1, 512)
    by_image, by_features = (
        model({**each, "captions": captions}) for each in ({"image": images}, {"features": features})
    )
    np.testing.assert_allclose(by_image, by_features, atol=1e-2)
    key = model.features_key()
    assert key == model.features_key()
    weight = model.backbone.weights[0]
    weight.assign(weight + 1)
    assert model.features_key() != key


def test_an_encoder_is_frozen_or_trained_at_its_own_rate():
    model = ImageCaptioner(**SQUEEZENET, vocabulary=["\u2581a", "\u2581red"])
    batch = {"image": tf.constant(rows()[0][:, :32, :32]), "captions": tf.fill([9, 2, 4], 4)}

    def changes():
        before = [[weight.numpy() for weight in part.weights] for part in (model.backbone, model.decoder)]
        model.train_step(batch)
        after = [[weight.numpy() for weight in part.weights] for part in (model.backbone, model.decoder)]
        return [
            max(np.abs(one - other).max() for one, other in zip(*pair, strict=True))
            for pair in zip(before, after, strict=True)
        ]

    model.compile(learning_rate=1e-2, warmup_steps=0)
    encoder, decoder = changes()
    assert encoder == 0 and decoder == pytest.approx(1e-2, rel=0.01) and len(model.optimizers) == 1
    model.compile(learning_rate=1e-2, encoder_learning_rate=1e-4, warmup_steps=0)
    assert model.features_key() is None and len(model.optimizers) == 2
    encoder, decoder = changes()
    assert encoder == pytest.approx(1e-4, rel=0.02) and decoder == pytest.approx(1e-2, rel=0.01)


def test_explains_where_each_word_looks():
    model = built(image_size=48, architecture="transformer")
    answer = model.serve("explain", image_bytes=[png(picture("red", "blue")), png(picture("green", "blue"))])
    words, weights = answer["words"].numpy(), answer["weights"].numpy()
    assert weights.shape == (*words.shape, *model.grid[:2])
    there = words != b""
    np.testing.assert_allclose(weights.sum(axis=(2, 3))[there], 1, atol=1e-5)
    captions = model.serve(image_bytes=[png(picture("red", "blue")), png(picture("green", "blue"))])["caption"].numpy()
    assert [b" ".join(row[row != b""]) for row in words] == captions.tolist()


def test_what_is_no_picture_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a picture"):
        built().serve(image_bytes=[png(picture("red", "blue")), b"nothing of the kind"])


def test_a_saved_transformer_answers_the_same(tmp_path):
    model = trained(3, architecture="transformer")
    model.save_for_inference(tmp_path / "model.keras")
    again = ImageCaptioner.load(tmp_path / "model.keras")
    request = [png(image) for image in rows()[0]]
    one, other = model.serve(image_bytes=request), again.serve(image_bytes=request)
    np.testing.assert_array_equal(one["caption"], other["caption"])
    np.testing.assert_array_equal(one["score"], other["score"])


def test_an_application_is_read_from_a_file_once(tmp_path):
    network = keras.applications.MobileNetV3Small(weights=None, include_top=False, input_shape=(32, 32, 3))
    network.save_weights(tmp_path / "mobilenet.weights.h5")
    arguments = {"encoder": "MobileNetV3Small", "encoder_weights": str(tmp_path / "mobilenet.weights.h5")}
    model = built(**arguments)
    assert model.encoder_weights == ""
    image = tf.constant(rows()[0][:1, :32, :32])
    expected = network(keras.applications.mobilenet_v3.preprocess_input(tf.cast(image, tf.float32)))
    np.testing.assert_allclose(model.features(image)[0, 0], expected[0, 0, 0], atol=1e-2)

    for weight in network.weights:
        weight.assign(weight / 2)
    network.save_weights(tmp_path / "other.weights.h5")
    tuned = ImageCaptioner.from_config(
        model.config_for(examples()) | {"encoder_weights": str(tmp_path / "other.weights.h5")}
    )
    tuned.adapt(examples())
    tuned.inherit(model)
    np.testing.assert_array_equal(tuned.backbone.weights[0], model.backbone.weights[0] / 2)

    (tmp_path / "mobilenet.weights.h5").unlink()
    child = ImageCaptioner.from_config(model.config_for(examples()))
    child.adapt(examples())
    child.inherit(model)
    np.testing.assert_array_equal(child.features(image), model.features(image))
    with pytest.raises(UserError, match="can't be had"):
        built(**arguments)


def test_fine_tuning_keeps_words_and_weights_and_asks_for_those_of_another_encoder():
    parent = built()
    config = parent.config_for(examples().take(1))
    child = ImageCaptioner.from_config(config | {"beams": 1})
    child.adapt(examples().take(1))
    copied, total = child.inherit(parent)
    assert copied == total and child.vocabulary == parent.vocabulary
    other = ImageCaptioner.from_config(config | {"encoder": "squeezenet"})
    other.adapt(examples())
    with pytest.raises(UserError, match="--encoder_weights"):
        other.inherit(parent)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "VGG15"}, "encoder must be scratch, squeezenet or one of .*VGG16"),
        ({"encoder": "squeezenet"}, "--encoder_weights"),
        ({"encoder": "squeezenet", "image_size": 20}, "too small"),
        ({"encoder": "VGG16", "image_size": 20}, "image_size=20 does not suit encoder VGG16"),
        ({"architecture": "transfomer"}, "architecture must be one of rnn, transformer; received transfomer"),
        ({"architecture": "transformer", "heads": 3}, "multiple of twice heads"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    with pytest.raises(UserError, match=message):
        built(**arguments)


def test_places_are_told_by_waves_along_rows_and_columns():
    waves = _waves_over(3, 4, 8).reshape(3, 4, 8)
    assert np.ptp(waves[..., ::2], axis=1).max() < 1e-6 and np.ptp(waves[..., 1::2], axis=0).max() < 1e-6
    np.testing.assert_allclose(waves[:, 0, 0], np.sin(2 * np.pi * np.arange(3) / 4), atol=1e-6)
    np.testing.assert_allclose(waves[0, :, 7], np.cos(2 * np.pi * np.arange(4) / 400), atol=1e-6)
    assert len(np.unique(waves.reshape(12, 8).round(4), axis=0)) == 12
