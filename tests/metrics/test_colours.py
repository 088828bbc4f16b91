import numpy as np
import pytest

from keras_apps.data import demo_flowers
from keras_apps.metrics.colours import COLOURS, dominant_colour, name_colours

PLAIN = {
    (220, 20, 30): "red",
    (130, 10, 20): "red",
    (250, 130, 20): "orange",
    (255, 220, 40): "yellow",
    (250, 250, 250): "white",
    (200, 200, 205): "white",
    (250, 140, 190): "pink",
    (245, 160, 160): "pink",
    (230, 40, 150): "pink",
    (130, 60, 190): "purple",
    (40, 70, 220): "blue",
    (30, 190, 185): "turquoise",
}
NO_PETALS = [(60, 140, 50), (20, 20, 25), (70, 0, 0), (110, 78, 52), (110, 110, 110), (0, 0, 0)]


@pytest.mark.parametrize("pixel", PLAIN)
def test_plain_pictures(pixel):
    image = np.full((10, 20, 3), pixel, np.uint8)
    assert dominant_colour(image) == PLAIN[pixel]
    assert (name_colours(image) == COLOURS.index(PLAIN[pixel])).all()


@pytest.mark.parametrize("pixel", NO_PETALS)
def test_what_is_around_flowers_has_no_name(pixel):
    image = np.full((16, 16, 3), pixel, np.uint8)
    assert dominant_colour(image) == ""
    image[7, 7] = (220, 20, 30)
    assert dominant_colour(image) == "red"


def test_what_is_in_the_middle_counts():
    image = np.full((64, 64, 3), (150, 200, 240), np.uint8)
    image[14:50, 14:50] = (250, 220, 40)
    image[30:34, 30:34] = (220, 20, 30)
    assert dominant_colour(image) == "yellow"
    assert dominant_colour(np.roll(image, 32, 0)) == "blue"
    assert dominant_colour(image[::2]) == "yellow"


def test_hues_agree_with_the_definition():
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 3), np.uint8)
    names = name_colours(pixels)
    colorsys = pytest.importorskip("colorsys")
    for pixel, name in zip(pixels, names, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
        if saturation > 0.6 and value > 0.6 and not 66 <= 360 * hue < 160:
            middles = {"red": 0, "orange": 27, "yellow": 53, "turquoise": 178, "blue": 225, "purple": 280, "pink": 325}
            distance = min(abs(360 * hue - middles[COLOURS[name]] + turn) for turn in (-360, 0, 360))
            assert distance <= 31


def test_drawn_flowers():
    pictures = demo_flowers.generate(0)["test"][:120]
    right = [dominant_colour(demo_flowers.draw(picture)) == picture.flower.colour for picture in pictures]
    assert np.mean(right) >= 0.95
