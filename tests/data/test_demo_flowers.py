from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageFilter

from keras_apps.data import demo_flowers
from keras_apps.data.demo_flowers import Flower, agreement, attributes_of, draw, generate, is_held_out, measure
from keras_apps.metrics.colours import COLOURS


@pytest.fixture(scope="module")
def parts():
    return generate(0)


@pytest.fixture(scope="module")
def drawn(parts):
    return [(picture.flower, draw(picture)) for picture in parts["test"][:250]]


def test_captions_are_true_and_one_says_everything(parts):
    lengths = Counter()
    for pictures in parts.values():
        for picture in pictures:
            truth = vars(picture.flower)
            claims = [attributes_of(caption) for caption in picture.captions]
            assert all(claim.items() <= truth.items() and "colour" in claim for claim in claims)
            assert truth in claims
            assert len(set(picture.captions)) == len(picture.captions)
            lengths[len(claims)] += 1
    assert set(lengths) == {3, 4, 5} and min(lengths.values()) > 500


@pytest.mark.parametrize(
    "caption, claims",
    {
        "A flower with FIVE pointed red petals and a yellow centre": {
            "count": 5, "shape": "pointed", "colour": "red", "centre": "yellow",
        },
        "this blossom is orange": {"colour": "orange"},
        "a yellow center, white petals, on green grass": {"colour": "white", "centre": "yellow", "background": "grass"},
        "the centre is white": {"centre": "white"},
        "heart-shaped purple petals against a blue sky": {"shape": "notched", "colour": "purple", "background": "sky"},
        "in the dark, a blue bloom": {"colour": "blue", "background": "dark"},
        "eight tired dogs": {"count": 8},
        "a greenish thing": {},
    }.items(),
)  # fmt: skip
def test_what_a_caption_claims(caption, claims):
    assert attributes_of(caption) == claims


def test_test_flowers_are_new_combinations_of_known_things(parts):
    assert {name: len(pictures) for name, pictures in parts.items()} == demo_flowers.SIZES
    kinds = {name: {(p.flower.colour, p.flower.shape, p.flower.centre) for p in parts[name]} for name in parts}
    assert kinds["test"].isdisjoint(kinds["train"] | kinds["validation"])
    assert all(is_held_out(picture.flower) for picture in parts["test"])
    assert {kind[0] for kind in kinds["test"]} == {kind[0] for kind in kinds["train"]} == set(COLOURS)
    words = {word for picture in parts["train"] for caption in picture.captions for word in caption.split()}
    assert words >= {word for picture in parts["test"] for caption in picture.captions for word in caption.split()}
    assert all(picture.flower.colour != picture.flower.centre for pictures in parts.values() for picture in pictures)


def shares(measured):
    return {
        name: np.mean([found[name] == getattr(truth, name) for truth, found in measured]) for name in measured[0][1]
    }


def test_what_is_drawn_can_be_measured(drawn):
    found = shares([(flower, measure(image)) for flower, image in drawn])
    assert min(found["colour"], found["centre"], found["background"]) >= 0.98 and found["count"] >= 0.94, found


def test_imperfect_pictures_can_be_measured(drawn):
    """Blurred, shifted, and with the noise that a young generator has."""
    rng = np.random.default_rng(0)
    measured = []
    for flower, image in drawn:
        blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.2))
        rough = np.roll(np.asarray(blurred, float), rng.integers(-2, 3, 2), (0, 1)) + rng.normal(0, 12, image.shape)
        measured.append((flower, measure(np.clip(rough, 0, 255).astype(np.uint8))))
    found = shares(measured)
    assert min(found["colour"], found["centre"], found["background"]) >= 0.95 and found["count"] >= 0.8, found


def test_agreement_is_of_what_is_claimed_and_can_be_measured(drawn):
    flower, image = next((flower, image) for flower, image in drawn if flower.colour == "red")
    place = demo_flowers._PLACES[flower.background][0]
    assert agreement(f"a pointed red flower {place}", image) == {"colour": True, "background": True}
    assert agreement("a blue flower", image) == {"colour": False}
    assert agreement("a flower", image) == {}
    for value in (0, 200):
        plain = np.full((64, 64, 3), value, np.uint8)
        assert not agreement("a red flower", plain)["colour"]


def test_pictures_of_one_flower_differ_and_the_seed_decides(parts):
    flower = Flower(5, "round", "red", "yellow", "sky")
    images = [draw(demo_flowers.Picture(flower, (), seed)) for seed in (1, 1, 2)]
    assert images[0].shape == (64, 64, 3) and images[0].dtype == np.uint8
    np.testing.assert_array_equal(images[0], images[1])
    assert np.abs(images[0].astype(int) - images[2]).mean() > 5
    assert generate(0) == parts and generate(1)["validation"] != parts["validation"]
