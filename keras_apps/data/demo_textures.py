"""Pictures generated from a seed to transfer styles between: landscapes for content, textures for style.

A landscape has a sky with a sun and clouds, ranges of hills, and on the nearer ones houses and trees. A texture is of
one of the `KINDS`, which are the ground truth of what style is. Those of a kind have like elements, and no two of them
the same colours, scale and direction.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZES = {"train": 240, "validation": 24, "test": 24}
"""Of the landscapes of each part, and of its textures."""
PIXELS = 160
KINDS = ("strokes", "dots", "stripes", "mosaic", "bricks", "clouds", "scales", "hatching")

_SCALE = 2
_SKIES = (
    ((70, 130, 210), (200, 225, 245)),
    ((240, 150, 90), (250, 220, 160)),
    ((60, 70, 130), (190, 160, 190)),
)
Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A landscape, or a texture of a kind, and what it is drawn by."""

    kind: str
    seed: int


def generate(seed: int) -> dict[str, dict[str, list[Picture]]]:
    """Chooses the pictures of each part, by role (`content`, `style`); all of them differ."""
    rng = random.Random(f"textures {seed}")
    seeds = iter(rng.sample(range(2**31), 2 * sum(SIZES.values())))
    return {
        part: {
            "content": [Picture("landscape", next(seeds)) for _ in range(count)],
            "style": [Picture(KINDS[number % len(KINDS)], next(seeds)) for number in range(count)],
        }
        for part, count in SIZES.items()
    }


def draw(picture: Picture) -> np.ndarray:
    """`<uint8>[160, 160, 3]`."""
    rng = random.Random(picture.seed)
    noise = np.random.default_rng(picture.seed)
    is_content = picture.kind == "landscape"
    image = _landscape(rng) if is_content else _TEXTURES[picture.kind](rng, noise, _palette(rng))
    pixels = np.asarray(image.resize((PIXELS, PIXELS), Image.Resampling.BOX), np.float32)
    return np.clip(pixels + noise.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)


def _landscape(rng: random.Random) -> Image.Image:
    side = PIXELS * _SCALE
    high, low = rng.choice(_SKIES)
    sky = np.linspace(0, 1, side)[:, None, None] * np.subtract(low, high) + high
    image = Image.fromarray(np.broadcast_to(sky, (side, side, 3)).astype(np.uint8))
    canvas = ImageDraw.Draw(image, "RGBA")
    x, y, radius = rng.uniform(0.1, 0.9) * side, rng.uniform(0.08, 0.3) * side, rng.uniform(0.04, 0.09) * side
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 240, 190))
    for _ in range(rng.randrange(4)):
        x, y = rng.uniform(0, side), rng.uniform(0.05, 0.35) * side
        for _ in range(5):
            puff, across = rng.uniform(8, 20), rng.gauss(0, 20)
            canvas.ellipse(
                (x + across - puff, y - puff / 2, x + across + puff, y + puff / 2), fill=(255, 255, 255, 150)
            )
    green = _mix((50, 110, 50), (150, 140, 60), rng.random())
    for distance in (3, 2, 1, 0):
        base, height = side * (0.86 - 0.13 * distance), side * rng.uniform(0.04, 0.12)
        waves = [(rng.uniform(0.5, 3), rng.uniform(0, 6.3), rng.uniform(0.3, 1)) for _ in range(3)]
        columns = np.arange(0, side + 4, 4)
        ridge = base - height * sum(s * np.sin(f * 6.3 * columns / side + p) for f, p, s in waves)
        tone = _mix(green, low, 0.25 * distance)
        canvas.polygon([(0, side), *zip(columns.tolist(), ridge.tolist(), strict=True), (side, side)], fill=tone)
        if distance in (0, 1):
            for _ in range(rng.randint(2, 6)):
                at = rng.randrange(len(columns))
                where = float(columns[at]), float(ridge[at]) + rng.uniform(2, 0.06 * side)
                (_house if rng.random() < 0.4 else _tree)(canvas, rng, *where, side * (0.07 - 0.03 * distance))
    return image


def _house(canvas: ImageDraw.ImageDraw, rng: random.Random, x: float, y: float, size: float) -> None:
    wall = _mix((240, 230, 210), (200, 120, 90), rng.random())
    roof = _mix((160, 60, 40), (80, 80, 100), rng.random())
    canvas.rectangle((x - size, y - size, x + size, y), fill=wall)
    canvas.polygon([(x - 1.2 * size, y - size), (x, y - 1.9 * size), (x + 1.2 * size, y - size)], fill=roof)
    for side in (-0.6, 0.2):
        canvas.rectangle((x + side * size, y - 0.8 * size, x + (side + 0.4) * size, y - 0.4 * size), fill=(50, 60, 80))


def _tree(canvas: ImageDraw.ImageDraw, rng: random.Random, x: float, y: float, size: float) -> None:
    leaves = _mix((30, 90, 40), (110, 130, 30), rng.random())
    canvas.rectangle((x - 0.12 * size, y - size, x + 0.12 * size, y), fill=(90, 60, 40))
    if rng.random() < 0.5:
        for tier in range(3):
            top, foot = y - (1.7 + 0.6 * tier) * size, y - (0.5 + 0.6 * tier) * size
            canvas.polygon([(x - 0.8 * size, foot), (x, top), (x + 0.8 * size, foot)], fill=leaves)
    else:
        canvas.ellipse((x - size, y - 2.6 * size, x + size, y - 0.8 * size), fill=leaves)


def _palette(rng: random.Random) -> list[Colour]:
    """Four colours, the first for the ground, with light and dark among them."""
    tint = _any_colour(rng)
    colours = [_mix(_any_colour(rng), tint, rng.uniform(0, 0.4)) for _ in range(2)]
    light, dark = _mix(tint, (255, 255, 255), rng.uniform(0.4, 0.8)), _mix(tint, (0, 0, 0), rng.uniform(0.4, 0.8))
    colours += [light, dark]
    rng.shuffle(colours)
    return colours


def _any_colour(rng: random.Random) -> Colour:
    return tuple(rng.randrange(20, 250) for _ in "rgb")


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def _ground(colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    side = PIXELS * _SCALE
    image = Image.new("RGB", (side, side), colour)
    return image, ImageDraw.Draw(image, "RGBA"), side


def _flow(rng: random.Random, side: int) -> Callable[[float, float], float]:
    """A direction at every place, which turns slowly from place to place."""
    start, turn = rng.uniform(0, 3.14), rng.uniform(0.3, 2.5)
    across, down, phase = rng.uniform(1, 6) / side, rng.uniform(1, 6) / side, rng.uniform(0, 6.3)
    return lambda x, y: start + turn * np.sin(across * x + phase) * np.cos(down * y)


def _strokes(rng: random.Random, noise: np.random.Generator, palette: list[Colour]) -> Image.Image:
    del noise
    image, canvas, side = _ground(palette[0])
    direction, length, width = _flow(rng, side), rng.uniform(10, 34), rng.randint(3, 8)
    for _ in range(5000 // width):
        x, y = rng.uniform(0, side), rng.uniform(0, side)
        colour = _mix(rng.choice(palette), rng.choice(palette), rng.uniform(0, 0.3))
        points = [(x, y)]
        for _ in range(4):
            angle = direction(*points[-1])
            points.append((points[-1][0] + length / 4 * np.cos(angle), points[-1][1] + length / 4 * np.sin(angle)))
        canvas.line(points, fill=colour, width=width, joint="curve")
    return image


def _dots(rng: random.Random, noise: np.random.Generator, palette: list[Colour]) -> Image.Image:
    del noise
    image, canvas, side = _ground(palette[0])
    pitch, spread = rng.uniform(9, 26), rng.uniform(0, 0.3)
    for row in range(int(side / pitch) + 2):
        for column in range(int(side / pitch) + 2):
            x = (column + 0.5 * (row % 2) + rng.uniform(-spread, spread)) * pitch
            y = (row + rng.uniform(-spread, spread)) * pitch
            radius = pitch * rng.uniform(0.25, 0.45)
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rng.choice(palette[1:]))
    return image


def _stripes(rng: random.Random, noise: np.random.Generator, palette: list[Colour]) -> Image.Image:
    rows, columns = _grid()
    angle, period, sway = rng.uniform(0, 3.14), rng.uniform(12, 40), rng.uniform(0, 14)
    along = rows * np.cos(angle) + columns * np.sin(angle)
    along = along + sway * np.sin((rows * np.sin(angle) - columns * np.cos(angle)) * 6.3 / rng.uniform(60, 160))
    del noise
    return _coloured((along / period * len(palette)).astype(int) % len(palette), palette)


def _mosaic(rng: random.Random, noise: np.random.Generator, palette: list[Colour]) -> Image.Image:
    rows, columns = (each[::2, ::2] for each in _grid())
    cells = rng.randint(60, 260)
    nearest, second, which = np.full(rows.shape, 1e9, np.float32), np.full(rows.shape, 1e9, np.float32), 0
    for number, (row, column) in enumerate(noise.uniform(0, PIXELS * _SCALE, (cells, 2)).astype(np.float32)):
        distance = np.square(rows - row) + np.square(columns - column)
        which = np.where(distance < nearest, number, which)
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    colours = [_mix(rng.choice(palette[1:]), rng.choice(palette[1:]), rng.uniform(0, 0.4)) for _ in range(cells)]
    is_joint = np.sqrt(second) - np.sqrt(nearest) < rng.uniform(2, 4)
    image = _coloured(np.where(is_joint, cells, which), [*colours, palette[0]])
    return image.resize((PIXELS * _SCALE, PIXELS * _SCALE), Image.Resampling.BICUBIC)


def _bricks(rng: random.Random, noise: np.random.Generator, palette: list[Colour]) -> Image.Image:
    rows, columns = _grid()
    height = rng.uniform(10, 24)
    width, joint = height * rng.uniform(1.5, 3), rng.uniform(1.5, 4)
    layer = (rows / height).astype(int)
    shifted = columns + (layer % 2) * width / 2
    colours = [_mix(palette[1], palette[2], share) for share in np.linspace(0, 0.6, 12)]
    which = noise.integers(0, 12, 4096)[(layer * 61 + (shifted / width).astype(int)) % 4096]
    return _coloured(np.where((rows % height < joint) | (shifted % width < joint), 12, which), [*colours, palette[0]])


def _clouds(rng: random.Random, noise: np.random.Generator, palette: list[Colour]) -> Image.Image:
    side = PIXELS * _SCALE
    field = np.zeros((side, side), np.float32)
    for size in (4, 8, 16, 32, 64):
        coarse = Image.fromarray(noise.standard_normal((size, size), np.float32))
        field += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)) / size**0.6
    field = (field - field.min()) / np.ptp(field) * (len(palette) - 1) * 0.999
    low = field.astype(int)
    share = np.clip((field - low) * rng.uniform(1, 3), 0, 1)[..., None]
    colours = np.asarray(palette, np.float32)
    return Image.fromarray((colours[low] * (1 - share) + colours[low + 1] * share).astype(np.uint8))


def _scales(rng: random.Random, noise: np.random.Generator, palette: list[Colour]) -> Image.Image:
    del noise
    image, canvas, side = _ground(palette[0])
    radius = rng.uniform(10, 24)
    for row in range(int(2 * side / radius) + 3, -2, -1):
        for column in range(int(side / radius / 2) + 2):
            x, y = (2 * column + row % 2) * radius, row * radius / 2
            for ring, colour in enumerate(palette[1:]):
                size = radius * (1 - 0.3 * ring)
                canvas.ellipse((x - size, y - size, x + size, y + size), fill=colour)
    return image


def _hatching(rng: random.Random, noise: np.random.Generator, palette: list[Colour]) -> Image.Image:
    del noise
    image, canvas, side = _ground(palette[0])
    pitch, angles = rng.uniform(6, 16), [rng.uniform(0, 3.14)]
    angles += [angles[0] + rng.uniform(0.8, 1.6)] * (rng.random() < 0.6)
    for angle, colour in zip(angles, palette[1:], strict=False):
        step, along = np.array([-np.sin(angle), np.cos(angle)]) * pitch, np.array([np.cos(angle), np.sin(angle)]) * side
        for number in range(-int(1.5 * side / pitch), int(1.5 * side / pitch)):
            middle = np.array([side / 2, side / 2]) + step * (number + rng.uniform(-0.25, 0.25))
            canvas.line([*(middle - along), *(middle + along)], fill=colour, width=rng.randint(1, 4))
    return image.filter(ImageFilter.GaussianBlur(0.8))


_TEXTURES: dict[str, Callable[[random.Random, np.random.Generator, list[Colour]], Image.Image]] = {
    "strokes": _strokes,
    "dots": _dots,
    "stripes": _stripes,
    "mosaic": _mosaic,
    "bricks": _bricks,
    "clouds": _clouds,
    "scales": _scales,
    "hatching": _hatching,
}


def _grid() -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.mgrid[: PIXELS * _SCALE, : PIXELS * _SCALE].astype(np.float32))


def _coloured(which: np.ndarray, colours: list[Colour]) -> Image.Image:
    return Image.fromarray(np.asarray(colours, np.uint8)[which])
