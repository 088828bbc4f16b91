"""House fronts generated from a seed, as a map of their parts and as a "photo", in the manner of the CMP facades.

The map is the ground truth: every pixel has exactly one of the `COLOURS`, that of the part which is seen there. The
photo shows the same parts, built of materials and under a light that are drawn anew for each house: brick, stone or
plaster, shadows under whatever juts out, panes that mirror the sky or show a lamp, a curtain or the dark. So no colour
belongs to one kind of part: windows are as blue or grey as the sky, and doors as red as roofs and walls.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

SIZES = {"train": 400, "validation": 50, "test": 100}
PIXELS = 64
COLOURS = {
    "sky": (0, 0, 150),
    "wall": (0, 100, 255),
    "window": (0, 230, 230),
    "door": (235, 30, 30),
    "balcony": (255, 225, 0),
    "cornice": (255, 130, 0),
    "roof": (130, 0, 50),
}
"""What each kind of part is painted with in the map; sills are cornices, and chimneys belong to the roof."""

_SCALE = 4
_WALLS = {
    "brick": ((158, 84, 66), (134, 74, 62), (176, 112, 78), (190, 150, 104), (120, 88, 80), (196, 188, 178)),
    "plaster": (
        (232, 216, 184), (222, 178, 110), (214, 150, 128), (178, 196, 204), (188, 202, 168), (236, 232, 224),
        (170, 164, 160), (204, 118, 88), (126, 150, 176), (232, 200, 190), (146, 70, 62),
    ),
    "stone": ((200, 192, 174), (168, 160, 150), (210, 186, 150), (150, 152, 158)),
}  # fmt: skip
_TRIMS = ((236, 230, 218), (214, 204, 184), (184, 174, 160), (150, 140, 132), (120, 74, 60), (96, 98, 104))
_FRAMES = ((240, 238, 232), (240, 238, 232), (92, 60, 42), (48, 66, 56), (40, 40, 44), (150, 144, 136))
_DOORS = (
    (142, 42, 36), (44, 84, 62), (38, 62, 104), (98, 62, 38), (52, 40, 34), (206, 200, 190), (120, 140, 150),
    (186, 142, 60),
)  # fmt: skip
_RAILS = ((34, 34, 38), (34, 34, 38), (232, 230, 224), (58, 84, 74), (110, 80, 60))
_ROOFS = ((92, 100, 114), (166, 84, 58), (110, 72, 58), (96, 132, 122), (64, 62, 68), (188, 120, 84))
_SKIES = (
    ((74, 132, 206), (176, 208, 236)), ((112, 162, 214), (222, 230, 236)), ((150, 158, 170), (208, 210, 212)),
    ((84, 112, 176), (246, 206, 168)), ((48, 62, 110), (206, 132, 128)), ((182, 196, 208), (236, 232, 222)),
)  # fmt: skip
_LAMP = (250, 208, 128)

Colour = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a house: its kind, its box (left, top, right, bottom) in pixels, and its outline in it."""

    kind: str
    box: tuple[int, int, int, int]
    shape: str = "box"


@dataclasses.dataclass(frozen=True)
class Facade:
    """The parts of a house, those in front last, and what their looks are drawn from."""

    parts: tuple[Part, ...]
    seed: int


def generate(seed: int = 0) -> dict[str, list[Facade]]:
    """Generates the three parts of the set; no layout is in two of them, or twice in one."""
    rng = random.Random(seed)
    seen: set[tuple[Part, ...]] = set()
    return {split: list(_facades(rng, size, seen)) for split, size in SIZES.items()}


def _facades(rng: random.Random, size: int, seen: set[tuple[Part, ...]]) -> Iterator[Facade]:
    for _ in range(size):
        while (parts := tuple(_layout(rng))) in seen:
            pass
        seen.add(parts)
        yield Facade(parts, rng.getrandbits(32))


# Layout.


def _layout(rng: random.Random) -> Iterator[Part]:
    """Storeys of equal windows in columns, a door or two at the bottom, and what they are trimmed with."""
    left, right = (rng.choice((0, 0, 2, 3, 5)) for _ in range(2))
    right = PIXELS - right
    top = rng.randint(8, 20)
    yield from _roof(rng, left, right, top)
    yield Part("wall", (left, top, right, PIXELS))

    ground = rng.randint(14, 18)
    upper = rng.choice([storeys for storeys in (1, 2, 3) if 11 <= (PIXELS - ground - top - 3) // storeys <= 22])
    heights = [(PIXELS - ground - top - 3) // upper] * upper + [ground]
    columns = rng.randint(3, 5) if right - left > 58 else rng.randint(2, 4)
    width = min(rng.randint(5, 9), (right - left) // columns - 4)
    pitch = (right - left - 4) // columns
    first = (left + right - pitch * (columns - 1) - width) // 2
    doors = {rng.randrange(columns)} | ({rng.randrange(columns)} if columns > 3 and rng.random() < 0.4 else set())
    balconies = _balconies(rng, upper, columns)
    has_sills, has_bands = rng.random() < 0.6, rng.random() < 0.5
    sills: list[Part] = []
    fronts: list[Part] = []
    base = top + 3
    for storey, height in enumerate(heights):
        is_ground = storey == upper
        shape = rng.choice(("box", "box", "arch"))
        head = base + rng.randint(2, 3)
        foot = min(base + height - rng.randint(3, 4), PIXELS - 7)
        for column in range(columns):
            start = first + pitch * column
            if is_ground and column in doors:
                yield Part("door", (start, head, start + max(6, width), PIXELS - 1), shape)
            elif (storey, column) in balconies:
                yield Part("window", (start, head, start + width, foot + 1), shape)
            else:
                yield Part("window", (start, head, start + width, foot), shape)
                sills.append(Part("cornice", (start - 1, foot, start + width + 1, foot + 1)))
        spans = [(column, column) for level, column in sorted(balconies) if level == storey]
        if len(spans) == columns and rng.random() < 0.5:
            # One balcony that runs along the whole storey.
            spans = [(0, columns - 1)]
        for one, other in spans:
            start, end = first + pitch * one - 2, first + pitch * other + width + 2
            fronts.append(Part("balcony", (start, foot - min(4, (foot - head) // 2), end, foot + 2)))
        base += height
        if not is_ground and (has_bands or storey == upper - 1 and rng.random() < 0.6):
            yield Part("cornice", (left, base - 1, right, base + (storey == upper - 1)))
    if has_sills:
        yield from sills
    yield Part("cornice", (max(left - 1, 0), top, min(right + 1, PIXELS), top + rng.randint(2, 3)))
    yield from fronts


def _balconies(rng: random.Random, storeys: int, columns: int) -> set[tuple[int, int]]:
    """The places above the ground, by storey and column, that have a balcony."""
    places = [(storey, column) for storey in range(storeys) for column in range(columns)]
    chosen = rng.randrange(columns)
    kind = rng.choice(("none", "none", "row", "column", "some"))
    if kind == "some":
        return {place for place in places if rng.random() < 0.3}
    return {
        (storey, column)
        for storey, column in places
        if kind == "row" and storey == storeys - 1 or kind == "column" and column == chosen
    }


def _roof(rng: random.Random, left: int, right: int, top: int) -> Iterator[Part]:
    kind = rng.choice(("flat", "mansard", "mansard", "gable", "hip"))
    if kind == "flat":
        return
    ridge = rng.randint(1, 4) if kind == "gable" else max(1, top - rng.randint(7, 11))
    for _ in range(rng.choice((0, 1, 1, 2))):
        at = rng.randint(left + 8, right - 12)
        yield Part("roof", (at, max(0, ridge - 3), at + rng.randint(3, 4), top))
    yield Part("roof", (left, ridge, right, top), kind)
    if kind == "mansard" and top - ridge > 6 and rng.random() < 0.7:
        count = rng.randint(2, 3)
        for number in range(count):
            middle = left + (right - left) * (2 * number + 1) // (2 * count)
            yield Part("window", (middle - 2, ridge + 2, middle + 2, top - 1), "arch")


def _outline(part: Part) -> list[tuple[float, float]]:
    """The corners of a part, in pixels of the large canvas."""
    left, top, right, bottom = (_SCALE * edge for edge in part.box)
    right, bottom = right - 1, bottom - 1
    middle, radius = (left + right) / 2, (right - left) / 2
    if part.shape == "arch":
        height = min(radius, (bottom - top) / 2)
        turns = [math.pi * step / 12 for step in range(13)]
        arc = [(middle - radius * math.cos(turn), top + height * (1 - math.sin(turn))) for turn in turns]
        return [(left, bottom), *arc, (right, bottom)]
    inset = {"box": 0.0, "mansard": 3.0 * _SCALE, "hip": 0.5 * radius, "gable": radius}[part.shape]
    return [(left, bottom), (left + inset, top), (right - inset, top), (right, bottom)]


# Drawing.


def draw(facade: Facade) -> tuple[np.ndarray, np.ndarray]:
    """Draws the map and the photo of a house, the same whenever they are drawn.

    Returns:
        The map and the photo, each `<uint8>[64, 64, 3]`.
    """
    return _draw_map(facade), _draw_photo(facade)


def _draw_map(facade: Facade) -> np.ndarray:
    image = Image.new("RGB", (PIXELS * _SCALE, PIXELS * _SCALE), COLOURS["sky"])
    canvas = ImageDraw.Draw(image)
    for part in facade.parts:
        canvas.polygon(_outline(part), fill=COLOURS[part.kind])
    # One of the small pixels for each large one: nothing is blended.
    return np.asarray(image)[_SCALE // 2 :: _SCALE, _SCALE // 2 :: _SCALE].copy()


def _draw_photo(facade: Facade) -> np.ndarray:
    rng = random.Random(facade.seed)
    noise = np.random.default_rng(facade.seed)
    photo = _Photo(rng, noise)
    for part in facade.parts:
        photo.paint(part)
    small = np.asarray(photo.image.reduce(_SCALE), np.float32)
    small *= np.float32(rng.uniform(0.86, 1.06)) * np.array([rng.uniform(0.97, 1.03) for _ in "rgb"], np.float32)
    small += 3.5 * noise.standard_normal(small.shape, np.float32)
    return np.clip(small, 0, 255).astype(np.uint8)


class _Photo:
    """A photo that is painted part by part, with the materials and the light of one house."""

    def __init__(self, rng: random.Random, noise: np.random.Generator) -> None:
        self._rng, self._noise = rng, noise
        self._sky = rng.choice(_SKIES)
        self._masonry = rng.choice(list(_WALLS))
        self._wall = _jitter(rng, rng.choice(_WALLS[self._masonry]), 14)
        self._trim = _jitter(rng, rng.choice((*_TRIMS, _shade(self._wall, 1.2), _shade(self._wall, 0.8))), 8)
        self._frame = rng.choice(_FRAMES)
        self._door = _jitter(rng, rng.choice(_DOORS), 12)
        self._rail = rng.choice(_RAILS)
        self._roof = _jitter(rng, rng.choice(_ROOFS), 12)
        self._panes = rng.choice(("cross", "cross", "two", "six", "one"))
        self._solid_balconies = rng.random() < 0.25
        self._surrounds = rng.random() < 0.5
        # How far a shadow falls of what juts out by one pixel, and how dark it is.
        self._slope = rng.choice((-1, 1)) * rng.uniform(0.4, 1.1), rng.uniform(0.7, 1.3)
        self._shadow = (16, 18, 40, rng.randint(70, 140))
        self.image = self._heaven()
        self._canvas = ImageDraw.Draw(self.image, "RGBA")
        self._clip = (0, 0, 0, 0)

    def paint(self, part: Part) -> None:
        """Paints a part over those behind it."""
        getattr(self, f"_paint_{part.kind}")(part)

    def _paint_roof(self, part: Part) -> None:
        colour = self._roof if part.shape != "box" else _shade(self._wall, 0.8)
        self._canvas.polygon(_outline(part), fill=colour)
        left, top, right, bottom = (_SCALE * edge for edge in part.box)
        if part.shape == "box":
            self._canvas.rectangle((left - 1, top, right, top + 2), fill=_shade(colour, 0.7))
            dark = left if self._slope[0] < 0 else right - 5
            self._canvas.rectangle((dark, top + 3, dark + 4, bottom), fill=(0, 0, 0, 60))
            return
        tones = np.repeat(np.linspace(-6, 6, PIXELS, dtype=np.float32)[:, None], PIXELS, 1)
        self._build(part, colour, tones, self._blocks(7, 5, 10))

    def _paint_wall(self, part: Part) -> None:
        left, _, right, bottom = self._clip = tuple(_SCALE * edge for edge in part.box)
        blocks = None
        if self._masonry == "brick":
            blocks = self._blocks(12, 5, 9, mortar=16 if sum(self._wall) > 480 else -18)
        elif self._masonry == "stone":
            blocks = self._blocks(40, 22, 5, mortar=12)
        tones = 5 * self._blotches(6) + 3 * self._blotches(24)
        # Walls are darker towards the street, and where the light leaves them.
        ramp = np.linspace(-1, 1, PIXELS, dtype=np.float32)
        self._build(part, self._wall, tones - 7 * ramp[:, None] - 5 * np.sign(self._slope[0]) * ramp, blocks)
        plinth = bottom - 3 * _SCALE
        self._canvas.rectangle((left, plinth, right - 1, bottom), fill=(*_shade(self._trim, 0.7), 130))

    def _paint_window(self, part: Part) -> None:
        left, top, right, bottom = (_SCALE * edge for edge in part.box)
        outline = _outline(part)
        if self._surrounds:
            middle = (left + right) / 2, (top + bottom) / 2
            self._canvas.polygon(_grown(outline, middle, 2.5), fill=_shade(self._trim, 0.95))
        self._canvas.polygon(outline, fill=self._frame)
        size = right - left, bottom - top
        glass = self._glass().resize(size, Image.Resampling.BILINEAR)
        pane = ImageDraw.Draw(glass, "RGBA")
        self._furnish(pane, *size)
        self._reveal(pane, *size)
        self._mullions(pane, *size)
        self.image.paste(glass, (left, top), _glazing(*size, part.shape))

    def _glass(self) -> Image.Image:
        """Panes mirror what is across the street: the sky above, something darker below."""
        rng = self._rng
        mirrored = rng.uniform(0.15, 0.95)
        high = _mix((36, 42, 52), self._sky[0], mirrored)
        low = _mix((30, 32, 38), self._sky[1], mirrored * rng.uniform(0.2, 1.0))
        corners = [high, _mix(high, low, rng.uniform(0, 0.6)), _mix(low, high, rng.uniform(0, 0.6)), low]
        return Image.frombytes("RGB", (2, 2), bytes(value for corner in corners for value in corner))

    def _furnish(self, pane: ImageDraw.ImageDraw, width: int, height: int) -> None:
        """Lamps, curtains and blinds behind the panes, and a streak of light on them."""
        rng = self._rng
        what = rng.random()
        if what < 0.1:
            pane.rectangle((0, 0, width, height), fill=(*_LAMP, rng.randint(150, 230)))
        elif what < 0.35:
            cloth = (*_jitter(rng, (222, 214, 200), 24), rng.randint(140, 220))
            share = rng.uniform(0.2, 0.36) * width
            pane.polygon([(0, 0), (share, 0), (share * 0.8, height), (0, height)], fill=cloth)
            pane.polygon([(width, 0), (width - share, 0), (width - 0.8 * share, height), (width, height)], fill=cloth)
        elif what < 0.5:
            pane.rectangle((0, 0, width, rng.uniform(0.25, 0.7) * height), fill=(*_jitter(rng, self._trim, 16), 200))
        if rng.random() < 0.5:
            at, tilt = rng.uniform(-0.2, 0.8) * width, 0.5 * height
            streak = [(at, height), (at + tilt, 0), (at + tilt + 0.3 * width, 0), (at + 0.3 * width, height)]
            pane.polygon(streak, fill=(255, 255, 255, rng.randint(25, 80)))

    def _reveal(self, pane: ImageDraw.ImageDraw, width: int, height: int) -> None:
        """The shadow of the wall on a window that is set into it."""
        across, down = 3.5 * self._slope[0], 3.5 * self._slope[1] + 2
        pane.rectangle((0, 0, width, down), fill=self._shadow)
        # The light comes from the side that shadows fall away from.
        side = (0, down, across + 2, height) if across > 0 else (width + across - 3, down, width, height)
        pane.rectangle(side, fill=self._shadow)

    def _mullions(self, pane: ImageDraw.ImageDraw, width: int, height: int) -> None:
        across = {"cross": (0.36,), "six": (0.34, 0.67)}.get(self._panes, ())
        if self._panes != "one":
            pane.line((width / 2 - 0.5, 0, width / 2 - 0.5, height), fill=self._frame, width=2)
        for share in across:
            pane.line((0, share * height, width, share * height), fill=self._frame, width=2)

    def _paint_door(self, part: Part) -> None:
        left, top, right, bottom = (_SCALE * edge for edge in part.box)
        outline = _outline(part)
        middle = (left + right) / 2, (top + bottom) / 2
        self._canvas.polygon(_grown(outline, middle, 4), fill=_shade(self._trim, 1.02))
        self._canvas.polygon(outline, fill=self._door)
        light = top + 0.3 * (bottom - top)
        glass = _grown([(x, min(y, light)) for x, y in outline], (middle[0], (top + light) / 2), -2.5)
        self._canvas.polygon(glass, fill=_mix((40, 44, 52), self._sky[1], self._rng.uniform(0.1, 0.7)))
        self._canvas.line((left, light, right - 1, light), fill=_shade(self._door, 0.6), width=2)
        for start, end in ((left + 4, middle[0] - 2), (middle[0] + 2, right - 5)):
            for head, foot in (
                (light + 4, light + 0.5 * (bottom - light)),
                (light + 0.6 * (bottom - light), bottom - 4),
            ):
                self._canvas.rectangle((start, head, end, foot), fill=_shade(self._door, 0.78))
                self._canvas.line((start, foot, end, foot), fill=_shade(self._door, 1.3))
        self._canvas.line((middle[0], light, middle[0], bottom), fill=_shade(self._door, 0.5))
        self._canvas.rectangle((left, top, right - 1, top + 4 * self._slope[1] + 2), fill=self._shadow)
        self._canvas.rectangle((left - 4, bottom, right + 4, bottom + _SCALE), fill=_shade(self._trim, 0.9))

    def _paint_cornice(self, part: Part) -> None:
        left, top, right, bottom = (_SCALE * edge for edge in part.box)
        height = bottom - top
        self._cast(part, 2.0 + 0.35 * height)
        self._canvas.rectangle((left, top, right - 1, bottom - 1), fill=_shade(self._trim, 1.0))
        self._canvas.rectangle((left, top, right - 1, top + height // 4), fill=_shade(self._trim, 1.18))
        self._canvas.rectangle(
            (left, bottom - max(1, height // 5), right - 1, bottom - 1), fill=_shade(self._trim, 0.72)
        )
        if height > 7 and self._surrounds:
            for at in range(left + 2, right - 3, 7):
                self._canvas.rectangle((at, top + height // 2, at + 2, bottom - 1), fill=_shade(self._trim, 0.62))

    def _paint_balcony(self, part: Part) -> None:
        left, top, right, bottom = (_SCALE * edge for edge in part.box)
        slab = bottom - _SCALE
        self._cast(part, 9)
        if self._solid_balconies:
            self._canvas.rectangle((left, top, right - 1, slab), fill=_shade(self._trim, 0.92))
            self._canvas.rectangle((left, top + 5, right - 1, slab), fill=(0, 0, 0, 26))
        else:
            self._canvas.rectangle((left, top, right - 1, slab), fill=(*_shade(self._rail, 0.9), 70))
            for at in range(left + 1, right - 1, 4):
                self._canvas.line((at, top, at, slab), fill=self._rail, width=2)
        self._canvas.rectangle((left, top, right - 1, top + 2), fill=_shade(self._rail, 1.15))
        self._canvas.rectangle((left, slab, right - 1, bottom - 1), fill=_shade(self._trim, 1.08))
        self._canvas.line((left, bottom - 1, right - 1, bottom - 1), fill=_shade(self._trim, 0.6))

    def _cast(self, part: Part, depth: float) -> None:
        """Darkens what the shadow of a part that juts out by `depth` falls on; it stays on the wall."""
        left, top, right, bottom = (_SCALE * edge for edge in part.box)
        across, down = depth * self._slope[0], depth * self._slope[1]
        far = [(right - 1 + across, bottom + down), (left + across, bottom + down)]
        if across > 0:
            corners = [(left, top), (right - 1, top), (right - 1 + across, top + down), *far, (left, bottom)]
        else:
            corners = [(left, top), (right - 1, top), (right - 1, bottom), *far, (left + across, top + down)]
        low, high = self._clip[0], self._clip[2] - 1
        self._canvas.polygon([(min(max(x, low), high), y) for x, y in corners], fill=self._shadow)

    def _heaven(self) -> Image.Image:
        """A sky with clouds, thicker on some days."""
        high, low = (np.array(colour, np.float32) for colour in self._sky)
        # The horizon is hidden, so that all of the change is where the sky is seen.
        sky = high + (low - high) * np.linspace(0, 1.4, PIXELS, dtype=np.float32).clip(0, 1)[:, None, None]
        veil = np.clip(0.5 * self._blotches(4) * self._rng.uniform(0.1, 1.0), 0, 0.6)[..., None]
        image = Image.fromarray((sky + (np.float32(245) - sky) * veil).astype(np.uint8))
        # They shrink back to what they were: smoothing would be lost.
        return image.resize((PIXELS * _SCALE, PIXELS * _SCALE), Image.Resampling.NEAREST)

    def _build(self, part: Part, colour: Colour, tones: np.ndarray, blocks: np.ndarray | None) -> None:
        """Paints a part in one colour, lighter and darker by the percentages in `tones` and, finer, in `blocks`."""
        left, top, right, bottom = part.box
        tones = Image.fromarray((100 + tones[top:bottom, left:right]).astype(np.uint8))
        box = left, top, right, bottom = tuple(_SCALE * edge for edge in part.box)
        tones = tones.resize((right - left, bottom - top), Image.Resampling.NEAREST)
        if blocks is not None:
            tones = Image.fromarray((np.asarray(tones) + blocks[top:bottom, left:right]).clip(0, 255).astype(np.uint8))
        scale = np.arange(256) / 100
        bands = [tones.point((value * scale).clip(max=255).astype(int).tolist()) for value in colour]
        mask = Image.new("L", tones.size)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in _outline(part)], fill=255)
        self.image.paste(Image.merge("RGB", bands), box, mask)

    def _blotches(self, cells: int) -> np.ndarray:
        """Smooth noise with so many blotches across the picture."""
        coarse = Image.fromarray(self._noise.standard_normal((cells, cells), np.float32))
        return np.asarray(coarse.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC))

    def _blocks(self, width: int, height: int, spread: float, mortar: int = -20) -> np.ndarray:
        """Noise that is constant on each brick, stone or tile, with mortar between them."""
        number = _masonry(width, height)
        tones = (spread * self._noise.standard_normal(number.max() + 1, np.float32)).astype(np.int16)
        tones[0] = mortar
        return tones[number]


@functools.cache
def _masonry(width: int, height: int) -> np.ndarray:
    """The number of the block at each place, every other row of them shifted by a half; 0 in the joints."""
    y, x = np.mgrid[: PIXELS * _SCALE, : PIXELS * _SCALE]
    row = y // height
    shifted = x + (row % 2) * (width // 2)
    number = 1 + row * (PIXELS * _SCALE // width + 2) + shifted // width
    return np.where((y % height == 0) | (shifted % width == 0), 0, number)


@functools.cache
def _glazing(width: int, height: int, shape: str) -> Image.Image:
    """Where a window of this size is glass, within its frame."""
    mask = Image.new("L", (width, height))
    outline = _outline(Part("window", (0, 0, width // _SCALE, height // _SCALE), shape))
    ImageDraw.Draw(mask).polygon(_grown(outline, (width / 2 - 0.5, height / 2 - 0.5), -2.2), fill=255)
    return mask


def _grown(corners: list[tuple[float, float]], middle: tuple[float, float], by: float) -> list[tuple[float, float]]:
    """An outline that reaches further from its middle, or less far, by so many pixels along each axis."""
    reach = [max(abs(corner[axis] - middle[axis]) for corner in corners) for axis in (0, 1)]
    scale = [max(0.0, 1 + by / max(1.0, each)) for each in reach]
    return [tuple(m + (c - m) * s for c, m, s in zip(corner, middle, scale, strict=True)) for corner in corners]


def _shade(colour: Colour, share: float) -> Colour:
    return tuple(min(255, round(value * share)) for value in colour)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))


def _jitter(rng: random.Random, colour: Colour, most: float) -> Colour:
    return tuple(min(255, max(0, round(value + rng.uniform(-most, most)))) for value in colour)
