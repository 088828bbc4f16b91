"""The colour of a flower, by name, from its pixels."""

from __future__ import annotations

import numpy as np

COLOURS = ("red", "orange", "yellow", "white", "pink", "purple", "blue", "turquoise")
"""What petals can be; green, brown and black are taken for what is around them."""

# Upper ends of the hues, in degrees, and what is below each; None is foliage.
_HUES = (
    (14, "red"),
    (40, "orange"),
    (66, "yellow"),
    (160, None),
    (195, "turquoise"),
    (255, "blue"),
    (305, "purple"),
    (344, "pink"),
    (360, "red"),
)
_GREY = 0.26
# A red that is paler than this is pink.
_PALE_RED = 0.52
_WHITE = 0.58
_DARK = 0.3
# An orange that is darker than this is brown: soil, stalks, seeds.
_BROWN = 0.5
_BORDER = 0.85


def name_colours(image: np.ndarray) -> np.ndarray:
    """Names each pixel by its hue, saturation and value.

    Args:
        image: `<uint8>[..., 3]`.

    Returns:
        `<int>[...]`, places in `COLOURS`; -1 for what no petals are.
    """
    rgb = image.astype(np.float32) / 255
    high, low = rgb.max(-1), rgb.min(-1)
    spread = high - low
    saturation = spread / np.maximum(high, 1e-6)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    scale = 60 / np.maximum(spread, 1e-6)
    hue = np.where(
        high == red,
        (green - blue) * scale % 360,
        np.where(high == green, (blue - red) * scale + 120, (red - green) * scale + 240),
    )
    places = np.array([COLOURS.index(name) if name else -1 for _, name in _HUES])
    names = places[np.searchsorted([end for end, _ in _HUES[:-1]], hue, side="right")]
    names[(names == COLOURS.index("red")) & (saturation < _PALE_RED)] = COLOURS.index("pink")
    names[(high < _DARK) | ((names == COLOURS.index("orange")) & (high < _BROWN))] = -1
    is_grey = saturation < _GREY
    names[is_grey] = np.where(high[is_grey] > _WHITE, COLOURS.index("white"), -1)
    return names


def dominant_colour(image: np.ndarray) -> str:
    """The colour that most of a flower in the middle of a picture has.

    Pixels count the more, the nearer they are to the middle; what is seen along the border as well is background, and
    counts less. The limits between the colours are fitted to photographs (Oxford Flowers).

    Args:
        image: `<uint8>[height, width, 3]`.

    Returns:
        One of `COLOURS`; empty where nothing in the picture could be a petal.
    """
    names = name_colours(image)
    y, x = (np.linspace(-1, 1, size)[index] for size, index in zip(names.shape, np.indices(names.shape), strict=True))
    middle = np.exp(-2 * (x**2 + y**2))
    border = np.maximum(np.abs(x), np.abs(y)) > _BORDER
    weights = middle / middle.sum() - 0.3 * border / border.sum()
    votes = np.bincount(names.ravel() + 1, weights.ravel(), minlength=len(COLOURS) + 1)[1:]
    seen = np.isin(np.arange(len(COLOURS)), names)
    return COLOURS[np.argmax(np.where(seen, votes, -np.inf))] if seen.any() else ""
