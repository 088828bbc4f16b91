"""Pictures of flowers generated from a seed, with sentences on them whose truth can be measured in the pixels.

A flower has so many petals of one shape and colour around a centre of another colour, on a background. Its captions
name some or all of that, and always the colour of the petals; what they don't name, and how the flower is turned, how
large it is, where it stands and how the light falls, is left open.

Some combinations of colour, shape and centre never occur in the training and validation parts, and every test flower is
one of them; so a picture for such a caption can't be remembered, and has to be put together.
"""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Iterable

import numpy as np
from PIL import Image

from keras_apps.metrics.colours import dominant_colour

SIZES = {"train": 2000, "validation": 200, "test": 400}
PIXELS = 64

_COUNTS = {4: "four", 5: "five", 6: "six", 8: "eight"}
_SHAPES = {
    "round": ("round", "rounded"),
    "pointed": ("pointed", "pointy"),
    "notched": ("notched", "heart-shaped"),
    "narrow": ("narrow", "slender"),
}
_COLOURS = {
    "red": (216, 34, 42),
    "orange": (246, 128, 24),
    "yellow": (252, 214, 44),
    "white": (250, 248, 246),
    "pink": (246, 132, 184),
    "purple": (138, 66, 196),
    "blue": (48, 92, 226),
    "turquoise": (40, 196, 190),
}
_CENTRES = {"yellow": (250, 206, 48), "brown": (98, 56, 26), "green": (88, 148, 52), "white": (250, 248, 238)}
_BACKGROUNDS = {"grass": (66, 128, 52), "dark": (24, 26, 32), "sky": (158, 202, 240), "soil": (112, 78, 52)}
_PLACES = {
    "grass": ("in the grass", "on green grass"),
    "dark": ("on a dark background", "in the dark"),
    "sky": ("against the sky", "in front of the sky"),
    "soil": ("on bare soil", "on brown soil"),
}
_NOUNS = ("flower", "blossom", "bloom")
_SENTENCES = (
    "{a_colour} {noun}",
    "this {noun} is {colour}",
    "a photo of {a_colour} {noun} {place}",
    "this {noun} has {shape} {colour} petals",
    "a {noun} with {count} {colour} petals",
    "a {noun} with {count} {shape} {colour} petals",
    "{a_colour} {noun} with {a_centre} centre",
    "the petals are {colour} and {shape}, and the centre is {centre}",
    "{count} {colour} petals around {a_centre} centre",
    "{a_colour} {noun} {place}",
    "{a_colour} {noun} with {shape} petals {place}",
    "this {colour} {noun} has {count} petals and {a_centre} centre",
)
_COMPLETE = (
    "a {noun} with {count} {shape} {colour} petals and {a_centre} centre {place}",
    "{place} there is {a_colour} {noun} with {count} {shape} petals and {a_centre} centre",
    "this {noun} {place} has {count} {shape} {colour} petals around {a_centre} centre",
)


@dataclasses.dataclass(frozen=True)
class Flower:
    """What a caption can say of a flower."""

    count: int
    shape: str
    colour: str
    centre: str
    background: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A flower, true captions of it, and what its drawing varies by."""

    flower: Flower
    captions: tuple[str, ...]
    seed: int


def generate(seed: int = 0) -> dict[str, list[Picture]]:
    """Generates the three parts."""
    rng = random.Random(seed)
    return {split: [_picture(rng, split == "test") for _ in range(size)] for split, size in SIZES.items()}


def is_held_out(flower: Flower) -> bool:
    """Tells whether a combination of colour, shape and centre is kept for the test part."""
    ranks = [
        list(known).index(name)
        for known, name in ((_COLOURS, flower.colour), (_SHAPES, flower.shape), (_CENTRES, flower.centre))
    ]
    return sum(ranks) % 4 == 0


def _picture(rng: random.Random, test: bool) -> Picture:
    while True:
        flower = Flower(*(rng.choice(list(known)) for known in (_COUNTS, _SHAPES, _COLOURS, _CENTRES, _BACKGROUNDS)))
        if flower.colour != flower.centre and is_held_out(flower) == test:
            return Picture(flower, tuple(_captions(rng, flower)), rng.getrandbits(32))


def _captions(rng: random.Random, flower: Flower) -> list[str]:
    """Three to five captions, in any order; one says everything."""
    sentences = [rng.choice(_COMPLETE), *rng.sample(_SENTENCES, rng.randint(2, 4))]
    rng.shuffle(sentences)
    return [
        sentence.format(
            noun=rng.choice(_NOUNS),
            count=_COUNTS[flower.count],
            shape=rng.choice(_SHAPES[flower.shape]),
            colour=flower.colour,
            a_colour=_with_article(flower.colour),
            centre=flower.centre,
            a_centre=_with_article(flower.centre),
            place=rng.choice(_PLACES[flower.background]),
        )
        for sentence in sentences
    ]


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


# Truth.


def _any(words: Iterable[str]) -> str:
    return rf"\b({'|'.join(words)})\b"


_CLAIMED_CENTRE = re.compile(rf"{_any(_CENTRES)} (?:centre|center)|(?:centre|center) is {_any(_CENTRES)}")
_CLAIMED_BACKGROUND = re.compile(r"\b(?:green )?(grass)\b|\b(dark)\b|\b(?:blue )?(sky)\b|\b(?:brown )?(soil)\b")
_CLAIMED_COLOUR = re.compile(_any(_COLOURS))
_CLAIMED_COUNT = re.compile(_any(_COUNTS.values()))
_CLAIMED_SHAPE = re.compile(_any(word for words in _SHAPES.values() for word in words))


def attributes_of(caption: str) -> dict[str, str | int]:
    """What a caption says of a flower: those attributes of `Flower` that it names."""
    text = " ".join(caption.casefold().split())
    found: dict[str, str | int] = {}
    # The colour of a centre, of grass or of the sky is not that of the petals.
    for attribute, claimed in (("centre", _CLAIMED_CENTRE), ("background", _CLAIMED_BACKGROUND)):
        if match := claimed.search(text):
            found[attribute] = next(filter(None, match.groups()))
            text = claimed.sub(" ", text)
    if match := _CLAIMED_COLOUR.search(text):
        found["colour"] = match[1]
    if match := _CLAIMED_COUNT.search(text):
        found["count"] = next(count for count, word in _COUNTS.items() if word == match[1])
    if match := _CLAIMED_SHAPE.search(text):
        found["shape"] = next(shape for shape, words in _SHAPES.items() if match[1] in words)
    return found


def measure(image: np.ndarray) -> dict[str, str | int]:
    """Finds what a picture shows in its pixels: all attributes but the shape of the petals.

    Args:
        image: `<uint8>[64, 64, 3]`, drawn or made by a model.
    """
    pixels = image.astype(np.float32)
    around = np.median(pixels[_IS_CORNER], 0)
    contrast = np.abs(pixels - around).max(-1)
    # The corners also tell how much the background varies by itself.
    is_flower = (_RADIUS < _REACH) & (contrast > max(36, 1.15 * np.percentile(contrast[_IS_CORNER], 95)))
    place = np.argwhere(is_flower)
    y, x = place.mean(0) + 0.5 if len(place) else (PIXELS / 2, PIXELS / 2)
    return {
        "count": _count(is_flower, y, x),
        "colour": dominant_colour(np.where(is_flower[..., None], image, 0)),
        "centre": _nearest(np.median(pixels[np.hypot(_Y - y, _X - x) < 3], 0), _CENTRES),
        "background": _nearest(around, _BACKGROUNDS),
    }


def agreement(caption: str, image: np.ndarray) -> dict[str, bool]:
    """Tells, of each attribute that a caption names and that can be measured, whether the picture has it."""
    shown = measure(image)
    return {name: shown[name] == value for name, value in attributes_of(caption).items() if name in shown}


_Y, _X = np.mgrid[:PIXELS, :PIXELS] + 0.5
_RADIUS = np.hypot(_Y - PIXELS / 2, _X - PIXELS / 2)
_REACH = 31
_IS_CORNER = _RADIUS > 36


def _nearest(colour: np.ndarray, known: dict[str, tuple[int, int, int]]) -> str:
    """The one of some named colours that is nearest, whatever the light is."""
    return min(known, key=lambda name: float(np.sum((np.asarray(known[name]) - colour) ** 2)))


def _count(is_flower: np.ndarray, y: float, x: float) -> int:
    """The number of petals: how often the outline goes out and in on the way around."""
    angles = np.linspace(0, math.tau, 96, endpoint=False)[:, None]
    radii = np.arange(1, _REACH)
    rows = np.clip((y + radii * np.sin(angles)).astype(int), 0, PIXELS - 1)
    columns = np.clip((x + radii * np.cos(angles)).astype(int), 0, PIXELS - 1)
    waves = np.abs(np.fft.rfft(is_flower[rows, columns].sum(1)))
    return max(_COUNTS, key=lambda count: waves[count])


# Drawing.

_GRID = np.arange(PIXELS, dtype=np.float32) + 0.5 - PIXELS / 2


def draw(picture: Picture) -> np.ndarray:
    """Draws a picture, the same whenever it is drawn.

    Returns:
        `<uint8>[64, 64, 3]`.
    """
    rng = np.random.default_rng(picture.seed)
    flower = picture.flower
    radius = rng.uniform(22, 27)
    light = rng.uniform(0, math.tau)
    x, y = _GRID[None] - np.float32(rng.uniform(-2, 2)), _GRID[:, None] - np.float32(rng.uniform(-2, 2))
    distance = np.sqrt(x**2 + y**2)
    canvas = _background(rng, flower.background)
    if flower.background != "sky":
        fallen = np.hypot(x + 2.5 * math.cos(light), y + 2.5 * math.sin(light))
        canvas *= (1 - 0.45 * np.exp(-((fallen / (0.8 * radius)) ** 4)))[..., None]

    # The direction of each pixel, from petal to petal; a pixel may lie on the petal before or on the one after it, and
    # the one before is on top, all the way around.
    sector = np.float32(math.tau / flower.count)
    turn = (np.arctan2(y, x) - np.float32(rng.uniform(0, math.tau))) % np.float32(math.tau) / sector
    number = turn.astype(int) % flower.count
    after = (turn % 1) * sector
    lengths = (radius * rng.uniform(0.93, 1.0, flower.count)).astype(np.float32)
    tones = rng.uniform(0.94, 1.05, flower.count).astype(np.float32)
    # The middle of a petal's two sides is lit by how it lies to the light.
    tones *= 1 + 0.1 * np.cos(np.arange(flower.count, dtype=np.float32) * sector - np.float32(light))
    top = None
    for each, angle in (((number + 1) % flower.count, after - sector), (number, after)):
        along, across = distance * np.cos(angle), distance * np.sin(angle)
        edge, shade = _petal(flower, along / lengths[each], across / radius)
        edge *= radius
        shade *= tones[each]
        if top is None:
            top = edge
        else:
            # The petal on top throws a shadow on the one below.
            canvas *= 1 - 0.3 * np.exp(-np.clip(-edge, 0, None) / 1.5)[..., None] * (top > 0)[..., None]
        _paint(canvas, edge, _shaded(_COLOURS[flower.colour], shade))

    size = 0.24 * radius * rng.uniform(0.9, 1.1)
    canvas *= 1 - 0.25 * np.exp(-(((distance - size) / 2) ** 2))[..., None]
    grains = _smooth_noise(rng, 32)
    dome = 1.04 - 0.25 * (distance / size) ** 2 + 0.09 * grains
    dome += 0.02 * (x * math.cos(light) + y * math.sin(light))
    _paint(canvas, size - distance, _shaded(_CENTRES[flower.centre], dome))

    tint = rng.uniform(0.9, 1.06) * rng.uniform(0.98, 1.02, 3)
    grain = 1.5 * rng.standard_normal((PIXELS, PIXELS, 1), np.float32)
    return np.clip(canvas * tint.astype(np.float32) + grain, 0, 255).astype(np.uint8)


def _petal(flower: Flower, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far inside a petal's edge points are, in its lengths, and how light it is there.

    Args:
        flower: whose petal it is.
        along: `<float>[...]`, the way from the base, at 0, to the tip, at 1.
        across: `<float>[...]`, the way from the line between them.
    """
    half = min(0.64 * math.tan(math.pi / flower.count), 0.4)
    t = np.clip(along, 0, 1)
    if flower.shape == "pointed":
        width = 1.1 * half * np.sin(math.pi * t**0.85)
    else:
        half = 0.5 * half if flower.shape == "narrow" else half
        widest = 0.66
        width = half * np.sqrt(
            np.clip(1 - np.where(t > widest, (t - widest) / (1 - widest), 0.8 * (widest - t) / widest) ** 2, 0, None)
        )
    side = np.abs(across)
    edge = np.minimum(width - side, np.minimum(along, 1 - along) + 0.02)
    if flower.shape == "notched":
        edge = np.minimum(edge, 0.82 - along + 0.26 * side / half)
    bend = np.minimum(side / np.maximum(width, 0.02), 1)
    shade = 0.77 + 0.36 * t - 0.18 * bend**2 - 0.06 * np.exp(-((across / 0.025) ** 2))
    return edge, shade


def _shaded(colour: tuple[int, int, int], shade: np.ndarray) -> np.ndarray:
    """A colour in the shade, where it is also deeper, or in the light, where it is paler: `<float>[..., 3]`."""
    dark = np.clip(shade, 0, 1)[..., None] ** np.array([0.9, 1.2, 1.0], np.float32)
    return np.asarray(colour, np.float32) * dark + 160 * np.clip(shade - 1, 0, None)[..., None]


def _paint(canvas: np.ndarray, edge: np.ndarray, colour: np.ndarray) -> None:
    """Paints where `edge`, in pixels, is above 0, and so much of a pixel as the edge leaves of it."""
    canvas += np.clip(edge + 0.5, 0, 1)[..., None] * (colour - canvas)


def _background(rng: np.random.Generator, name: str) -> np.ndarray:
    """`<float>[64, 64, 3]`."""
    down = (_GRID[:, None] / PIXELS).astype(np.float32)
    if name == "grass":
        shade = 1 + 0.16 * _smooth_noise(rng, 5) + 0.13 * _smooth_noise(rng, 40, 9) + 0.1 * down
    elif name == "sky":
        shade = 0.98 + 0.14 * down + 0.05 * _smooth_noise(rng, 4, 6)
    elif name == "soil":
        shade = 1 + 0.08 * _smooth_noise(rng, 6) + 0.1 * _smooth_noise(rng, 40, 32)
    else:
        shade = np.minimum(1 + 0.2 * _smooth_noise(rng, 4) - 0.3 * down, 1.06)
    return _shaded(_BACKGROUNDS[name], shade)


def _smooth_noise(rng: np.random.Generator, columns: int, rows: int | None = None) -> np.ndarray:
    """A random field of so many hills: `<float>[64, 64]`."""
    coarse = rng.standard_normal((rows or columns, columns), np.float32)
    return np.asarray(Image.fromarray(coarse).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC))
