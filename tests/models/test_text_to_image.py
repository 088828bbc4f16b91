import numpy as np
import pytest
import tensorflow as tf

from apps import text_to_image as app
from keras_apps.data import demo_flowers
from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.models.text_to_image import TextToImage, other_sentences

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 60), "blue": (30, 60, 220), "white": (240, 240, 240)}
SMALL = {
    "image_size": 16,
    "filters": 8,
    "discriminator_filters": 8,
    "noise_units": 4,
    "condition_units": 8,
    "sentence_units": 16,
    "max_length": 8,
    "dtype": "float32",
}


def blobs(count=32, seed=0):
    """A block of one of four colours on black, somewhere, and two sentences on it."""
    rng = np.random.default_rng(seed)
    images, captions = np.zeros((count, 16, 16, 3), np.uint8), []
    for index in range(count):
        name = list(COLOURS)[index % len(COLOURS)]
        top, left = rng.integers(0, 5, 2)
        images[index, top : top + 12, left : left + 12] = COLOURS[name]
        captions.append([f"A {name} block", f"this block is {name}."])
    return without_tuning(tf.data.Dataset.from_tensor_slices({"image": images, "captions": captions}))


def small(**settings):
    model = TextToImage(**SMALL | settings)
    model.adapt(blobs())
    return model


def batches_of(model, examples, training=True, seed=0, size=16):
    return model.batches(examples.map(model.prepare), size, training, seed)


def fit(model, examples, phase, epochs, **settings):
    model.begin_phase(phase)
    model.compile(**settings)
    step = tf.function(model.train_step, autograph=False)
    prepared = examples.map(model.prepare).cache()
    batches = without_tuning(tf.data.Dataset.range(epochs)).flat_map(
        lambda epoch: model.batches(prepared, 32, True, epoch)
    )
    return [{name: float(value) for name, value in step(batch).items()} for batch in batches]


@pytest.fixture(scope="module")
def trained():
    model = small()
    fit(model, blobs(), "matching", 60, matching_learning_rate=3e-3)
    rates = {"learning_rate": 1e-3, "discriminator_learning_rate": 2e-3, "regulariser_weight": 0.5, "averaging": 0.98}
    fit(model, blobs(), "gan", 300, **rates)
    return model


def mean_colours(model, texts, seeds):
    return model.pictures(texts, seeds)[:, 5:11, 5:11].mean((1, 2))


def test_pictures_have_the_colour_that_the_sentence_says(trained):
    """Blocks of four colours, told by one word: a model that ignores the sentence, or lacks one colour, fails."""
    wanted = [name for name in COLOURS for _ in range(8)]
    made = mean_colours(trained, [f"a {name} block" for name in wanted], range(len(wanted)))
    distances = np.square(made[:, None] - np.array(list(COLOURS.values()))).sum(-1)
    right = np.array(list(COLOURS))[distances.argmin(1)] == wanted
    assert right.mean() > 0.8
    report = trained.measure(blobs(seed=1))
    assert report["r_precision"] > 0.7 and report["true_r_precision"] > 0.9
    assert {"text", "seed", "matched"} == report["answers"][0].keys()


def test_matching_learns_which_sentence_belongs_to_which_picture():
    model = small()
    history = fit(model, blobs(), "matching", 60, matching_learning_rate=3e-3)
    # Of a batch eight pictures have one colour, and sentences that say nothing else: log 8 is all that can be reached.
    # What is reported is the mean of all steps so far.
    assert history[0]["matching_loss"] > np.log(30) and history[-1]["matching_loss"] < 2.6
    generator = model.generator.get_weights()
    fit(model, blobs(), "matching", 1)
    for before, after in zip(generator, model.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_gan_leaves_the_matching_networks_alone():
    model = small()
    before = [variable.numpy() for variable in model.matching_variables]
    model.compile(averaging=0.9)
    # Keras's own fit, since that gives weights their averages when it ends.
    model.fit(batches_of(model, blobs(16)), verbose=0)
    for variable, value in zip(model.matching_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_each_phase_reports_what_it_watches():
    model = small()
    for phase in model.phases:
        model.begin_phase(phase)
        model.compile()
        metrics = model.evaluate(batches_of(model, blobs(), training=False), verbose=0, return_dict=True)
        assert model.monitor[0].removeprefix("val_") in metrics
        assert len(model.optimizers) == (1 if phase == "matching" else 2)
        assert (model.sample(blobs()) is None) == (phase == "matching")


def test_mean_and_variance_of_the_condition_are_read_from_different_weights():
    model = small()
    sentence = model.embed(model._read(tf.constant(["a red block", "a white block"])))
    made = model.paint(sentence, tf.zeros([2, 4]))
    assert made["mean"].shape == made["log_variance"].shape == (2, 8)
    assert np.abs(made["mean"] - made["log_variance"]).min() > 1e-4
    drawn = model.paint(sentence, tf.zeros([2, 4]), tf.ones([2, 8]))
    assert np.abs(drawn["image"] - made["image"]).max() > 1e-3


def test_the_wrong_sentence_is_never_one_of_the_pictures_own():
    rng = np.random.default_rng(0)
    captions = rng.integers(0, 3, (12, 3, 2))
    words = captions[np.arange(12), rng.integers(0, 3, 12)]
    other, is_wrong = (each.numpy() for each in other_sentences(tf.constant(captions), tf.constant(words)))
    for index in range(12):
        own = {tuple(each) for each in captions[index]}
        possible = [j for j in range(12) if tuple(words[j]) not in own]
        assert is_wrong[index] == bool(possible)
        if possible:
            assert other[index] in possible


def test_pictures_that_share_all_sentences_have_no_wrong_one():
    captions = tf.constant([[[5, 6]], [[5, 6]], [[7, 0]]])
    other, is_wrong = other_sentences(captions, captions[:, 0])
    assert other.numpy().tolist()[:2] == [2, 2] and is_wrong.numpy().all()
    _, alone = other_sentences(captions[:1], captions[:1, 0])
    assert not alone.numpy().any()
    model = small()
    model.compile()
    red = blobs().filter(lambda example: example["captions"][0] == "A red block")
    (batch,) = batches_of(model, red.map(lambda e: e | {"captions": e["captions"][:1]}))
    assert not batch["is_wrong"].numpy().any()
    groups = model.judged(model._part(batch, 0), _generated(model, batch))
    assert [group.is_real for group in groups] == [True, False, False]
    assert not np.any(groups[2].weight)


def _generated(model, batch):
    return model.generate(model._part(batch, 0), training=True)


def test_what_is_between_two_sentences_trains_the_generator_alone():
    model = small()
    model.compile(interpolation=0.5)
    (batch,) = batches_of(model, blobs(16))
    batch = model._part(batch, 0)
    between = batch["weight"].numpy() > 0
    assert 0 < between.sum() < 16
    fake = model.generate(batch, training=True)
    weights = model.judged(batch, fake)[1].weight.numpy()
    np.testing.assert_allclose(weights, np.where(between, 0, 1))
    ways = batch["weight"].numpy()[:, None]
    np.testing.assert_allclose(fake["asked"], (1 - ways) * fake["sentence"] + ways * fake["other"], atol=1e-6)


def test_all_examples_to_validate_by_count_alike_whatever_part_is_in_between():
    model = small()
    model.compile(interpolation=0.5)
    (batch,) = batches_of(model, blobs(16), training=False)
    groups = model.judged(batch, model.generate(batch, training=False))
    np.testing.assert_allclose(groups[1].weight, np.full(16, 0.5))


def test_all_that_is_drawn_follows_from_the_seed():
    model = small(word_dropout=0.5)
    model.compile(updates="alternating", n_critic=2)
    first, again, later = (next(iter(batches_of(model, blobs(), seed=seed))) for seed in (3, 3, 4))
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    for name in ("noise", "epsilon", "weight"):
        assert first[name].shape[:2] == (16, 2) and np.any(first[name] != later[name])
        assert np.any(first[name][:, 0] != first[name][:, 1])
    assert {1} < set(first["words"].numpy().ravel())
    values = model.train_step(first)
    assert all(np.isfinite(value) for value in values.values())


def test_unknown_words_make_pictures_too(trained):
    made = trained.pictures(["a purplish block", "qwxzy", "!", "a red block " * 9], [0] * 4)
    assert made.std((1, 2, 3)).min() > 5
    known, unknown = trained.pictures(["qwxzy asdfgh", "unheard words"], [0, 0])
    np.testing.assert_array_equal(known, unknown)


def test_the_seed_decides_the_picture(trained):
    answers = trained.serve(text=["a red block"] * 3, seed=[5, 5, 6])["image_bytes"].numpy()
    assert answers[0] == answers[1] != answers[2]
    alone = trained.serve(text=["a red block"], seed=[6])["image_bytes"].numpy()[0]
    differences = tf.io.decode_png(alone).numpy().astype(int) - tf.io.decode_png(answers[2])
    assert np.abs(differences).max() <= 1
    same = trained.pictures(["a red block"], [6])[0].astype(int)
    assert np.abs(same - tf.io.decode_png(alone)).max() <= 1


def test_the_ways_ends_are_the_pictures_of_both_sentences(trained):
    ends = trained.serve(text=["a red block", "a blue block"], seed=[1, 2])["image_bytes"].numpy()
    way = trained.serve(
        "interpolate",
        text=["a red block"] * 3,
        other_text=["a blue block"] * 3,
        seed=[1] * 3,
        other_seed=[2] * 3,
        weight=[0, 0.5, 1],
    )["image_bytes"].numpy()
    way, ends = ([tf.io.decode_png(each).numpy().astype(int) for each in some] for some in (way, ends))
    assert max(np.abs(way[0] - ends[0]).max(), np.abs(way[2] - ends[1]).max()) <= 1
    assert min(np.abs(way[1] - end).mean() for end in ends) > 2


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"text": ["a", " \n"]}, "text 1 of the request is empty"),
        (
            {"text": ["a", "one two three four five six seven eight nine"]},
            "text 1 of the request has more than the 8 words",
        ),
        ({"other_text": ["", "a"]}, "other_text 0 of the request is empty"),
        ({"weight": [0.5, 1.01]}, "weight 1 of the request is not from 0 to 1"),
        ({"weight": [float("nan"), 0]}, "weight 0 of the request is not from 0 to 1"),
    ],
)
def test_what_can_not_be_asked_is_refused(wrong, message):
    right = {"text": ["a", "b"], "other_text": ["a", "b"], "seed": [0, 1], "other_seed": [0, 1], "weight": [0.0, 1.0]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        small().serve("interpolate", **right | wrong)


def test_a_saved_model_paints_the_same(trained, tmp_path):
    trained.save_for_inference(tmp_path / "model.keras")
    loaded = TextToImage.load(tmp_path / "model.keras")
    assert loaded.get_config() == trained.get_config()
    texts = ["a red block", "this is a white one"]
    np.testing.assert_array_equal(loaded.pictures(texts, [0, 1]), trained.pictures(texts, [0, 1]))


def test_what_is_served_is_what_training_saw(trained):
    batch = {"words": trained._read(tf.constant(["a red block"])), "noise": tf.ones([1, 4])}
    sentence = trained.embed(batch["words"])
    seen = trained.paint(sentence, batch["noise"], training=True)["image"]
    np.testing.assert_allclose(trained(batch), seen, atol=1e-6)
    half = TextToImage(**SMALL | {"dtype": "mixed_bfloat16"}, vocabulary=trained.vocabulary)
    half.set_weights(trained.get_weights())
    near = half.paint(half.embed(batch["words"]), batch["noise"])["image"]
    assert near.dtype == tf.float32 and np.abs(near - seen).mean() < 0.05


def test_a_sentence_is_the_same_in_longer_padding():
    model = small()
    longer = TextToImage(**SMALL | {"max_length": 20}, vocabulary=model.vocabulary)
    longer.sentence_encoder.set_weights(model.sentence_encoder.get_weights())
    text = tf.constant(["this block is red.", "a"])
    np.testing.assert_allclose(model.embed(model._read(text)), longer.embed(longer._read(text)), atol=1e-6)


def test_fine_tuning_begins_with_the_weights_that_fit():
    model = small()
    narrower = TextToImage(**SMALL | {"noise_units": 3}, vocabulary=model.vocabulary, seed=9)
    copied, total = narrower.inherit(model)
    # The noise comes in at the first layer, and at each of three levels to scale and to move.
    assert total - copied == 1 + 2 * 3
    text = tf.constant(["a red block"])
    np.testing.assert_array_equal(narrower.embed(narrower._read(text)), model.embed(model._read(text)))


def test_captions_without_words_are_left_out_but_no_picture_is():
    model = small()
    image = tf.zeros([20, 30, 3], tf.uint8)
    prepared = model.prepare({"image": image, "captions": tf.constant(["", "a red block", "<br/>"])})
    assert prepared["image"].shape == (16, 16, 3) and prepared["captions"].shape[0] == 1
    nothing = model.prepare({"image": image, "captions": tf.constant([" "])})["captions"]
    assert nothing.numpy().tolist() == [[1] + [0] * 7]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"image_size": 60}, "image_size must be one of 16, 32, 64"),
        ({"word_dropout": 1.0}, "word_dropout must be"),
        ({"filters": 0}, "filters must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        small(**settings)


def test_a_picture_alone_is_told_from_nothing():
    model = small()
    prepared = tf.data.Dataset.from_tensors({"image": 0})
    with pytest.raises(UserError, match="batch_size must be at least 2"):
        model.batches(prepared, 1, training=True)
    with pytest.raises(UserError, match="one picture to validate by can be told from no other; give more"):
        model.batches(prepared, 4, training=False)


# The app.


def test_requests_of_several_pictures_and_of_a_way(tmp_path):
    plain = app.PredictFlags(text=["a", "b"], output=str(tmp_path), count=2, seed=7)
    signature, requests = app.requests(plain)
    assert signature == "serving_default"
    assert [(each["text"], each["seed"]) for _, each in requests] == [("a", 7), ("a", 8), ("b", 7), ("b", 8)]
    signature, requests = app.requests(app.PredictFlags(text=["a"], output=str(tmp_path), to="b", steps=3))
    assert signature == "interpolate"
    assert [each["weight"] for _, each in requests] == [0, 0.5, 1]
    _, requests = app.requests(app.PredictFlags(text=["a"], output=str(tmp_path), to_seed=9, steps=2))
    assert {(each["other_text"], each["seed"], each["other_seed"]) for _, each in requests} == {("a", 0, 9)}
    with pytest.raises(UserError, match="--output FOLDER"):
        app.requests(app.PredictFlags(text=["a"]))


def test_pictures_and_the_contact_sheet_are_written(tmp_path):
    options = app.PredictFlags(text=["a", "b"], output=str(tmp_path), count=2)
    _, requests = app.requests(options)
    png = tf.io.encode_png(np.full((16, 16, 3), 200, np.uint8)).numpy()
    lines = []
    for index, (shown, request) in enumerate(requests):
        lines.append(app.present(options, index, shown, request, {"image_bytes": png}))
        assert lines[-1] == request | {"output": str(tmp_path / f"picture_{index:04d}.png")}
    app.overview(options, lines)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["contact_sheet.png", *(f"picture_{index:04d}.png" for index in range(4))]


def test_attributes_are_measured_in_pictures():
    flowers = demo_flowers.generate(0)["validation"][:20]
    texts = [flower.captions[0] for flower in flowers]
    found = app.agreements(texts, [demo_flowers.draw(flower) for flower in flowers])
    assert found["colour"] > 0.9 and found[app.DOMINANT] > 0.5 and "count" in found
    shifted = app.agreements(texts[1:] + texts[:1], [demo_flowers.draw(flower) for flower in flowers])
    assert shifted["colour"] < 0.5
