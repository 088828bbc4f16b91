import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data import demo_textures
from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.layers.canvases import CanvasMasks, Styles, fitted, inner_size, lit
from keras_apps.models.style_transfer import StyleTransfer

SMALL = {
    "content_layers": ["conv2_1"],
    "style_layers": ["conv1_1", "conv2_1"],
    "image_size": 64,
    "crop_size": 64,
    "filters": 4,
    "steps": 12,
    "scales": 1,
    "dtype": "float32",
}


def pictures(contents=6, styles=4):
    """Examples, drawn by the demo: contents first."""
    parts = demo_textures.generate(0)["test"]
    some = [("content", picture) for picture in parts["content"][:contents]]
    some += [("style", picture) for picture in parts["style"][:styles]]
    images = np.stack([demo_textures.draw(picture) for _, picture in some])
    return without_tuning(tf.data.Dataset.from_tensor_slices({"image": images, "role": [role for role, _ in some]}))


def small(**settings):
    model = StyleTransfer(**SMALL | settings)
    model.adapt(pictures())
    return model


@pytest.fixture(scope="module")
def searcher():
    return small()


@pytest.fixture(scope="module")
def painter():
    return small(method="arbitrary")


def png(height, width, seed=0):
    return tf.io.encode_png(picture(height, width, seed)).numpy()


def picture(height, width, seed=0):
    image = demo_textures.draw(demo_textures.generate(1)["test"]["style" if seed else "content"][seed])
    return tf.cast(tf.image.resize(image, [height, width]), tf.uint8).numpy()


def ask(model, content, style=b"", weight=1.0):
    (answer,) = model.serve(content_bytes=[content], style_bytes=[style], style_weight=[weight])["image_bytes"].numpy()
    return tf.io.decode_png(answer).numpy()


def made(model, content, style, **settings):
    """What is made of one content in one style, without building a graph for it."""
    inputs = {"content": content[None], "style": style[None]}
    return np.clip(model.snapshot(**settings)(inputs)[0], 0, 255)


def found(model, given, steps, scales=1):
    """The losses of what a search finds."""
    content, size, styles = model._opened(given)
    return model._judged(model.search(content, size, styles, given["style_weight"], steps, scales)[0], given)


def fit(model, phase, steps, batch_size=4, **settings):
    """The losses of step after step on one batch."""
    model.begin_phase(phase)
    model.compile(**settings)
    prepared = pictures().map(model.prepare)
    batch = next(iter(model.batches(prepared, batch_size, True, 0)))
    step = tf.function(model.train_step, autograph=False)
    history = []
    for _ in range(steps):
        model.reset_metrics()
        history.append({name: float(value) for name, value in step(batch).items()})
    return history


# The search.


def test_a_search_finds_the_style_and_keeps_the_content(searcher):
    given = searcher._asked(picture(64, 64), picture(64, 64, 1))
    start = searcher._judged(tf.cast(given["content"], tf.float32), given)
    short, long = (found(searcher, given, steps) for steps in (4, 25))
    assert start["content_loss"] == 0 and start["style_loss"] > 2 * short["style_loss"]
    assert start["loss"] > short["loss"] > long["loss"]
    # The content is aimed at, too.
    drifted = found(searcher.snapshot(content_weight=0.0), given, 25)
    assert drifted["content_loss"] > 1.1 * long["content_loss"]


def test_only_what_changes_is_computed_in_the_loop(searcher):
    """Public examples compute the features of content and style again at every step."""
    given = searcher._asked(picture(64, 64), picture(64, 64, 1))
    graph = tf.function(lambda given: searcher._core(given)["image"], autograph=False).get_concrete_function(given)
    definition = graph.graph.as_graph_def()
    convolutions = {
        function.signature.name: sum(node.op == "Conv2D" for node in function.node_def)
        for function in definition.library.function
    }
    outside = sum(node.op == "Conv2D" for node in definition.node)
    layers = len([layer for layer in searcher.eye.body.layers if "conv" in layer.name])
    assert outside == 2 * layers and max(convolutions.values()) == layers


def test_pictures_of_a_batch_are_searched_for_one_by_one(searcher):
    contents, styles = [png(64, 64), png(48, 64, 3)], [png(64, 64, 1), png(64, 40, 2)]
    both = searcher.serve(content_bytes=contents, style_bytes=styles, style_weight=[1.0, 3.0])["image_bytes"].numpy()
    alone = ask(searcher, contents[0], styles[0])
    assert np.abs(tf.io.decode_png(both[0]).numpy().astype(int) - alone).mean() < 1
    assert tf.io.decode_png(both[1]).shape == (48, 64, 3)


def test_a_style_of_no_weight_leaves_the_content(searcher):
    content = picture(64, 64)
    weightless = ask(searcher, tf.io.encode_png(content).numpy(), png(64, 64, 1), 0.0)
    strong, weak = (ask(searcher, png(64, 64), png(64, 64, 1), weight) for weight in (10.0, 0.05))
    none, little, much = (np.abs(each.astype(int) - content).mean() for each in (weightless, weak, strong))
    assert none < 0.1 < little < 0.5 * much
    with pytest.raises(tf.errors.InvalidArgumentError, match="it must be 0 to 100"):
        ask(searcher, png(64, 64), png(64, 64, 1), 101.0)


def test_a_coarser_search_comes_first():
    model = small(image_size=128, scales=2, steps=10)
    given = model._asked(picture(128, 96), picture(64, 64, 1))
    once, twice = (found(model, given, 10, scales)["loss"] for scales in (1, 2))
    assert twice < once


def test_a_small_style_is_not_shrunk_to_nothing(monkeypatch):
    model = small(image_size=256, style_scale=0.25, scales=3, steps=1)
    given, sides = model._asked(picture(256, 192), picture(64, 64, 1)), []
    see = model.see
    monkeypatch.setattr(model, "see", lambda image: sides.append(int(tf.shape(image)[1])) or see(image))
    content, size, styles = model._opened(given)
    model.search(content, size, styles, given["style_weight"], 1, 3)
    assert min(sides) == 32


def test_pictures_of_the_way_are_answered_too(searcher):
    model = searcher.snapshot(intermediates=2)
    given = model._asked(picture(64, 48), picture(64, 64, 1))
    answer = model._encode(model._core(given))
    assert answer["intermediate_bytes"].shape == (1, 2)
    way = [*answer["intermediate_bytes"][0], answer["image_bytes"][0]]
    way = [tf.io.decode_png(each).numpy().astype(int) for each in way]
    assert way[0].shape == (64, 48, 3)
    changes = [np.abs(each - picture(64, 48)).mean() for each in way]
    assert 0 < changes[0] < changes[2]
    # The way is the same whether it is looked at or not.
    (alone,) = searcher._encode(searcher._core(given))["image_bytes"].numpy()
    np.testing.assert_allclose(way[2], tf.io.decode_png(alone), atol=1)


def test_progress_is_printed_and_never_saved(searcher, capfd):
    model = searcher.snapshot(progress=4)
    model({"content": picture(64, 64)[None], "style": picture(64, 64, 1)[None]})
    said = capfd.readouterr().err
    assert "step 4 of 12: loss" in said and "step 12 of 12" in said and "step 5" not in said
    assert model.snapshot().progress == 0


# Sizes, shapes and colours.


@pytest.mark.parametrize(("height", "width"), [(64, 64), (20, 50), (150, 40)])
def test_answers_have_the_size_of_the_content(painter, height, width):
    assert ask(painter, png(height, width), png(30, 90, 1)).shape == (height, width, 3)


def test_the_shape_of_a_style_is_kept_and_what_fills_up_does_not_count():
    """A style that is squashed to a square has other strokes than the picture."""
    wide = np.zeros((30, 90, 3), np.uint8)
    wide[:, 30:60] = 255
    whole = fitted(tf.constant(wide), 96).numpy()
    assert inner_size(tf.constant([30, 90]), 96).numpy().tolist() == [32, 96]
    # A square of 32 is white in the picture, and mirrored below it.
    assert (whole[:, 36:60] > 250).all() and (whole[:, :28] < 5).all() and (whole[:, 68:] < 5).all()
    steps = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((40, 80, 3), np.uint8)
    mirrored = fitted(tf.constant(steps), 80).numpy()
    np.testing.assert_array_equal(mirrored[40:], mirrored[39::-1])
    mask = CanvasMasks(tf.constant([96, 96]), tf.constant([[32, 96]]))(tf.zeros([1, 24, 24, 5])).numpy()
    assert mask[0, :8].all() and not mask[0, 8:].any()


def test_contents_are_worked_on_in_no_more_than_they_need(searcher):
    shapes = [
        searcher._asked(picture(*size), picture(64, 64, 1))["content"].shape[1:3]
        for size in ((64, 64), (60, 80), (80, 30))
    ]
    assert shapes == [(64, 64), (48, 64), (64, 48)]


def test_light_from_one_picture_and_colours_from_the_other():
    colours, light = (tf.constant(np.random.default_rng(n).uniform(60, 200, (1, 4, 4, 3)), tf.float32) for n in (0, 1))
    made = tf.image.rgb_to_yiq(lit(colours, light)).numpy()
    np.testing.assert_allclose(made[..., 0], tf.image.rgb_to_yiq(light)[..., 0], rtol=1e-3)
    np.testing.assert_allclose(made[..., 1:], tf.image.rgb_to_yiq(colours)[..., 1:], atol=0.2)


def test_a_matched_style_has_the_contents_colours():
    rng = np.random.default_rng(0)
    content = tf.constant(rng.normal([120, 90, 60], [20, 10, 5], (1, 40, 40, 3)), tf.float32)
    style = Styles.filling(tf.constant(rng.normal([150, 150, 140], [5, 15, 20], (1, 32, 32, 3)), tf.float32))
    matched = style.with_colours_of(content, CanvasMasks(tf.constant([40, 40]), tf.constant([[40, 40]]))).images[0, 0]
    found, wanted = (np.reshape(each, [-1, 3]).T for each in (matched, content[0]))
    np.testing.assert_allclose(found.mean(1), wanted.mean(1), atol=0.5)
    np.testing.assert_allclose(np.cov(found), np.cov(wanted), rtol=0.03, atol=2)


@pytest.mark.parametrize("keep_colours", ["luminance", "matched"])
def test_colours_are_kept_when_answering(searcher, keep_colours):
    content, style = picture(64, 64), picture(64, 64, 1)

    def tint(image):
        colour = image.mean((0, 1))
        return colour - colour.mean()

    kept, taken = (made(searcher, content, style, keep_colours=each) for each in (keep_colours, "no"))
    assert np.abs(tint(kept) - tint(content)).max() < 0.5 * np.abs(tint(taken) - tint(content)).max()


# Networks that paint.


def test_one_network_learns_any_of_a_few_styles():
    model = small(method="arbitrary", filters=8)
    history = fit(model, "transfer", 24, learning_rate=5e-3)
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    one, other = (made(model, picture(64, 64), picture(64, 64, n)) for n in (1, 2))
    assert np.abs(one - other).mean() > 5


def test_without_weight_a_style_says_nothing(painter):
    one, other = (ask(painter, png(64, 64), png(64, 64, n), 0.0) for n in (1, 2))
    np.testing.assert_array_equal(one, other)


def test_styles_are_mixed_by_their_shares(painter, searcher):
    both = [png(64, 64, 1), png(40, 64, 2)]

    def mix(model, shares):
        answer = model.serve(
            "mix", content_bytes=[png(64, 64)], styles_bytes=[both], shares=[shares], style_weight=[1.0]
        )
        return tf.io.decode_png(answer["image_bytes"][0]).numpy().astype(int)

    for model in (painter, searcher):
        first, second = (ask(model, png(64, 64), style).astype(int) for style in both)
        np.testing.assert_allclose(mix(model, [2.0, 0.0]), first, atol=1)
        even = mix(model, [0.5, 0.5])
        assert np.abs(even - first).mean() < np.abs(second - first).mean()
        assert np.abs(even - first).mean() > 1 < np.abs(even - second).mean()


def test_a_mix_is_of_two_or_four_styles_to_a_compiler(painter):
    decode = painter.signatures()["mix"].decode

    def shapes(count):
        decoded = decode(
            {
                "content_bytes": tf.constant([png(64, 64)]),
                "styles_bytes": tf.constant([[png(64, 64, 1)] * count]),
                "shares": tf.ones([1, count]),
                "style_weight": tf.ones([1]),
            }
        )
        return {name: each.shape for name, each in decoded.items()}

    assert shapes(1) == shapes(2) != shapes(3) == shapes(4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="of 4 styles at the most; the request has"):
        shapes(5)


def test_a_feedforward_model_learns_the_first_style_and_takes_no_other():
    model = small(method="feedforward")
    history = fit(model, "transfer", 30, learning_rate=3e-3)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    style = next(iter(pictures().filter(lambda example: example["role"] == "style")))["image"].numpy()
    np.testing.assert_array_equal(model._own_style(), fitted(tf.constant(style), 128).numpy())
    np.testing.assert_allclose(ask(model, png(64, 64), weight=0.0), picture(64, 64), atol=1)
    assert list(model.signatures()) == ["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="leave style_bytes 0 of the request empty"):
        ask(model, png(64, 64), png(64, 64, 1))
    # Fine-tuned it learns the style of its own examples.
    other = StyleTransfer(**SMALL | {"method": "feedforward"})
    other.adapt(pictures().filter(lambda example: example["role"] == "content").concatenate(pictures(0, 4).skip(1)))
    before = other._own_style()
    copied, total = other.inherit(model)
    assert copied == total - 1
    np.testing.assert_array_equal(other._own_style(), before)


def test_an_encoder_learns_to_tell_pictures_apart():
    model = small(method="optimise")
    history = fit(model, "encoder", 40, batch_size=16, encoder_learning_rate=3e-3)
    assert history[-1]["encoder_loss"] < 0.8 * history[0]["encoder_loss"]
    assert history[-1]["encoder_accuracy"] > history[0]["encoder_accuracy"]


def test_all_contents_come_once_in_an_epoch_each_with_a_style(painter):
    painter.begin_phase("transfer")
    prepared = pictures(7, 2).map(painter.prepare)
    batches = list(painter.batches(prepared, 4, True, 3))
    assert [len(batch["content"]) for batch in batches] == [4, 3]
    again, other = (list(painter.batches(prepared, 4, True, seed)) for seed in (3, 4))
    np.testing.assert_array_equal(batches[0]["style"], again[0]["style"])
    assert np.any(batches[0]["content"] != other[0]["content"])
    still = [list(painter.batches(prepared, 4, False))[0]["content"] for _ in range(2)]
    np.testing.assert_array_equal(*still)


# Measures and mistakes.


def test_measures_beside_a_search(searcher):
    report = searcher.measure(pictures(2, 1), pairs=5, optimum_steps=30)
    assert report["pairs"] == 2 == len(report["answers"])
    assert report["optimum_loss"] < report["loss"] and report["steps_50_loss"] < report["loss"]
    assert 0 < report["ssim"] < 1 and report["seconds"] > 0
    with pytest.raises(UserError, match="no style picture"):
        searcher.measure(pictures(2, 0))


@pytest.mark.parametrize(
    ("style", "weight", "message"),
    [
        (b"", 1.0, "style 0 of the request is empty"),
        (b"no picture", 1.0, "not a picture"),
        (None, -1.0, "style_weight 0 of the request is -1; it must be 0 to 100"),
        (None, float("nan"), "style_weight 0 of the request is nan"),
    ],
)
def test_bad_requests_are_refused(searcher, style, weight, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ask(searcher, png(64, 64), png(64, 64, 1) if style is None else style, weight)


def test_bad_shares_are_refused(painter):
    ask = {"content_bytes": [png(64, 64)], "styles_bytes": [[png(64, 64, 1)] * 2], "style_weight": [1.0]}
    for shares, message in (
        ([[0.0, 0.0]], "one must be above 0"),
        ([[1.0, -0.5]], "may be negative"),
        ([[1.0]], "as many"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            painter.serve("mix", shares=shares, **ask)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must be 0 to 1"):
        painter.serve("mix", shares=[[1.0, 1.0]], **ask | {"style_weight": [2.0]})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "guess"}, "method must be one of optimise, feedforward, arbitrary"),
        ({"image_size": 1056}, "multiple of 32 from 64 to 1024"),
        ({"image_size": 100}, "multiple of 32"),
        ({"style_layers": ["conv1_1:0"]}, "NAME:WEIGHT with a weight above 0"),
        ({"style_layers": ["conv1_1:much"]}, "NAME:WEIGHT"),
        ({"content_layers": ["conv9_1"]}, "scratch has no layer 'conv9_1'"),
        ({"method": "feedforward", "keep_colours": "matched"}, "use luminance"),
        ({"intermediates": 12}, "fewer than steps=12"),
        ({"step_size": 0.0}, "above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        StyleTransfer(**SMALL | settings)


def test_examples_of_both_roles_are_needed():
    with pytest.raises(UserError, match="no style picture"):
        StyleTransfer(**SMALL).adapt(pictures(2, 0))


def test_layers_are_weighed():
    model = StyleTransfer(**SMALL | {"style_layers": ["conv1_1:3", "conv2_1"]})
    assert model.style_shares == {"conv1_1": 0.75, "conv2_1": 0.25}
    assert StyleTransfer.from_config(model.get_config()).style_shares == model.style_shares
