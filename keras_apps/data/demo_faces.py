"""Cartoon faces generated from a seed: people with features of their own, drawn at any age from 0 to 90.

What makes a person stays for life: the shape of the face, skin, eyes and their distance, brows, nose, mouth, ears, the
way the hair is worn, glasses, freckles and moles. What age does is the same for all, though grey and bald come to one
earlier than to another: a child has a round head with large, low eyes and a small nose; from twenty on lines come
around mouth, eyes and forehead, lids sink, lips grow thin, nose and ears grow, cheeks hang, hair thins and turns grey.

How a head is held, the light, the clothes and the background are drawn anew for each picture.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

SIZES = {"train": 3000, "validation": 300, "test": 600}
PIXELS = 64
OLDEST = 90

_PER_IDENTITY = 10
_SKINS = ((255, 226, 202), (246, 205, 172), (230, 178, 134), (204, 142, 96), (158, 104, 68), (112, 74, 54))
_EYES = {"brown": (96, 58, 30), "blue": (62, 124, 206), "green": (70, 142, 80), "grey": (120, 132, 144)}
_HAIRS = {
    "black": (36, 30, 32),
    "brown": (92, 58, 36),
    "chestnut": (140, 78, 42),
    "blond": (226, 186, 104),
    "red": (190, 84, 36),
}
_STYLES = ("short", "parted", "fringe", "curly", "spiky", "long", "bob", "bun")
_LONG = ("long", "bob")
_GLASSES = ("", "", "", "round", "square")
_CLOTHES = ((196, 72, 68), (66, 104, 168), (78, 138, 96), (222, 176, 82), (110, 92, 146), (70, 74, 84), (224, 224, 220))
_BACKGROUNDS = ((188, 210, 222), (216, 206, 190), (190, 212, 190), (214, 196, 212), (166, 176, 188), (232, 222, 200))
_GREY = (214, 214, 218)
_SCALE = 3


@dataclasses.dataclass(frozen=True)
class Identity:
    """What stays the same in a person's face for life; numbers are from -1 to 1 unless something else is said."""

    number: int
    skin: float  # From 0, fair, to 1, dark.
    width: float
    length: float
    jaw: float
    eye_colour: str
    eye_distance: float
    eye_size: float
    eye_tilt: float
    brow: float
    brow_tilt: float
    nose_length: float
    nose_width: float
    mouth_width: float
    lips: float
    ears: float
    hair_colour: str
    hair_style: str
    grey_from: float  # In years.
    balding: float  # From 0 to 1.
    glasses: str
    freckles: bool
    mole: complex | None  # Where, from the middle of the face, in pixels.


@dataclasses.dataclass(frozen=True)
class Face:
    """A person at an age, and what the picture varies by."""

    identity: Identity
    age: int
    seed: int


def generate(seed: int = 0) -> dict[str, list[Face]]:
    """Generates the three parts; each person is in one of them, at ten ages, one in every nine years."""
    rng = random.Random(seed)
    number = 0
    parts: dict[str, list[Face]] = {}
    for split, size in SIZES.items():
        parts[split] = []
        for _ in range(size // _PER_IDENTITY):
            parts[split] += _life(rng, _identity(rng, number))
            number += 1
        rng.shuffle(parts[split])
    return parts


def _identity(rng: random.Random, number: int) -> Identity:
    def either_way() -> float:
        return rng.uniform(-1, 1)

    style = rng.choice(_STYLES)
    return Identity(
        number=number,
        skin=rng.random(),
        width=either_way(),
        length=either_way(),
        jaw=either_way(),
        eye_colour=rng.choice(list(_EYES)),
        eye_distance=either_way(),
        eye_size=either_way(),
        eye_tilt=either_way(),
        brow=either_way(),
        brow_tilt=either_way(),
        nose_length=either_way(),
        nose_width=either_way(),
        mouth_width=either_way(),
        lips=either_way(),
        ears=either_way(),
        hair_colour=rng.choice(list(_HAIRS)),
        hair_style=style,
        grey_from=rng.uniform(35, 50),
        balding=0.0 if style in (*_LONG, "bun", "fringe") else rng.choice((0.0, rng.uniform(0.4, 1))),
        glasses=rng.choice(_GLASSES),
        freckles=rng.random() < 0.2,
        mole=complex(rng.choice((-1, 1)) * rng.uniform(6, 9), rng.uniform(4, 9)) if rng.random() < 0.25 else None,
    )


def _life(rng: random.Random, identity: Identity) -> Iterator[Face]:
    step = (OLDEST + 1) / _PER_IDENTITY
    for stage in range(_PER_IDENTITY):
        yield Face(identity, int(step * (stage + rng.random())), rng.getrandbits(32))


# Drawing. Points are complex numbers, in pixels from the middle of the face: x to the right, y down.

_CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 28, endpoint=False))
_SIDES = (-1, 1)
_ROWS, _COLUMNS = np.mgrid[:PIXELS, :PIXELS].astype(np.float32) + 0.5

Colour = np.ndarray
"""`<float>[3]`, from 0 to 255."""


class _Pen:
    """Draws on a picture that is larger than it will be, where the head is turned and moved."""

    def __init__(self, background: Colour, move: complex, turn: float, zoom: float) -> None:
        self.image = Image.new("RGB", (PIXELS * _SCALE, PIXELS * _SCALE), _rgb(background))
        self._canvas = ImageDraw.Draw(self.image)
        self._turn = _SCALE * zoom * complex(np.cos(turn), np.sin(turn))
        self._move = _SCALE * move

    def shape(self, points: np.ndarray, colour: Colour) -> None:
        """Fills an outline."""
        self._canvas.polygon(self._placed(points), fill=_rgb(colour))

    def blob(self, middle: complex, width: float, height: float, colour: Colour) -> None:
        """Fills an ellipse, of half that width and height to each side."""
        self.shape(middle + width * _CIRCLE.real + 1j * height * _CIRCLE.imag, colour)

    def line(self, points: np.ndarray, colour: Colour, width: float) -> None:
        """Draws a curve through points."""
        self._canvas.line(self._placed(points), _rgb(colour), max(1, round(width * _SCALE)), "curve")

    def _placed(self, points: np.ndarray) -> list[float]:
        return (np.asarray(points, complex) * self._turn + self._move).view(float).tolist()


def _rgb(colour: Colour) -> tuple[int, ...]:
    return tuple(np.clip(colour, 0, 255).astype(int).tolist())


def _mixed(one: Colour, other: Colour | tuple[int, ...], share: float) -> Colour:
    return one + (np.asarray(other, float) - one) * share


def _arc(start: complex, end: complex, bend: float) -> np.ndarray:
    """A curve between two points that is `bend` pixels lower in its middle."""
    t = np.linspace(0, 1, 9)
    return start + (end - start) * t + 1j * bend * 4 * t * (1 - t)


class _Look:
    """What a person looks like at an age: colours, and where things are."""

    def __init__(self, who: Identity, age: float) -> None:
        self.who, self.age = who, age
        self.child = child = max(0.0, 1 - age / 20)
        old = self.since(20, 90)
        place = who.skin * (len(_SKINS) - 1)
        low = min(int(place), len(_SKINS) - 2)
        skin = _mixed(np.asarray(_SKINS[low], float), _SKINS[low + 1], place - low)
        # Young skin is rosy, old skin sallow.
        self.skin = _mixed(_mixed(skin, (255, 168, 150), 0.13 * child), (208, 192, 168), 0.28 * old)
        self.shadow = self.skin * (0.74, 0.66, 0.63)
        hair = np.asarray(_HAIRS[who.hair_colour], float)
        self.hair = _mixed(_mixed(hair, self.skin, 0.55 * max(0.0, 1 - age / 3)), _GREY, 0.95 * self.greyness())
        self.width = 15.2 + 1.1 * who.width + 0.5 * child
        self.top = 19.0
        self.chin = (18.6 + 1.1 * who.length) * (1 - 0.17 * child)
        self.eyes_at = -1.2 + 4.2 * child
        self.eye_gap = 6.4 + 0.9 * who.eye_distance
        self.eye_size = (3.0 + 0.35 * who.eye_size) * (1 + 0.42 * child - 0.14 * old)
        self.nose_at = 6.2 + 0.9 * who.nose_length + 1.2 * old + 0.4 * child
        self.mouth_at = 11.0 + 0.3 * who.length - 0.7 * child + 0.3 * old

    def since(self, start: float, end: float) -> float:
        """How far age is on the way between two ages, from 0 to 1."""
        return min(1.0, max(0.0, (self.age - start) / (end - start)))

    def greyness(self) -> float:
        return self.since(self.who.grey_from, self.who.grey_from + 28)

    def crease(self, depth: float) -> Colour:
        """The colour of a line in the skin."""
        return _mixed(self.skin, self.shadow * 0.85, depth)


def draw(face: Face) -> np.ndarray:
    """Draws a face, the same whenever it is drawn.

    Returns:
        `<uint8>[64, 64, 3]`.
    """
    rng = np.random.default_rng(face.seed)
    look = _Look(face.identity, face.age)
    # A child's head is smaller.
    zoom = (1.04 - 0.1 * look.child) * rng.uniform(0.97, 1.03)
    middle = complex(32 + rng.uniform(-1.5, 1.5), 33 + rng.uniform(-1.2, 1.2))
    pen = _Pen(_picked(rng, _BACKGROUNDS), middle, rng.uniform(-0.09, 0.09), zoom)
    # Turning the head moves what is in front of it.
    turn = rng.uniform(-1.3, 1.3)
    _draw_behind(pen, look, _picked(rng, _CLOTHES))
    _draw_head(pen, look, turn)
    _draw_wrinkles(pen, look, turn)
    _draw_nose_and_mouth(pen, look, turn, smile=rng.uniform(0.4, 1.3))
    for side in _SIDES:
        _draw_eye(pen, look, side, turn, glance=rng.uniform(-0.4, 0.4))
    _draw_hair(pen, look, turn)
    if face.identity.glasses:
        _draw_glasses(pen, look, turn)
    pixels = np.asarray(pen.image.reduce(_SCALE), np.float32)

    x, y = (_COLUMNS - middle.real) / 22, (_ROWS - middle.imag) / 26
    angle = rng.uniform(np.pi, 2 * np.pi)
    light = 1.05 + 0.13 * (x * np.cos(angle) + y * np.sin(angle)) - 0.13 * np.minimum(x**2 + y**2, 1.6)
    tint = rng.uniform(0.94, 1.06) * rng.uniform(0.98, 1.02, 3)
    grain = 1.5 * rng.standard_normal((PIXELS, PIXELS, 1), np.float32)
    return np.clip(pixels * (light[..., None] * tint) + grain, 0, 255).astype(np.uint8)


def _picked(rng: np.random.Generator, colours: tuple[tuple[int, int, int], ...]) -> Colour:
    return np.asarray(colours[rng.integers(len(colours))], float) * rng.uniform(0.92, 1.06)


def _draw_behind(pen: _Pen, look: _Look, clothes: Colour) -> None:
    style = look.who.hair_style
    length = look.since(1, 7)
    if style in _LONG and length:
        down = (13 if style == "bob" else 24) * length
        back = look.width + (3.2 if style == "bob" else 2.4)
        pen.shape(
            np.concatenate(
                [
                    -1j * 2 + (back * _CIRCLE[14:].real + 1j * (look.top + 1) * _CIRCLE[14:].imag),
                    [
                        back + 1 + 1j * down,
                        back - 5 + 1j * (down + 2),
                        5 - back + 1j * (down + 2),
                        -back - 1 + 1j * down,
                    ],
                ]
            ),
            look.hair * 0.82,
        )
    elif style == "bun" and length:
        pen.blob(complex(0, -look.top - 3), 6.5 * length, 5.5 * length, look.hair * 0.9)
    neck = 6.5 - 1.8 * look.child
    pen.blob(complex(0, look.chin + 15), 25 - 6 * look.child, 13, clothes)
    pen.blob(complex(0, look.chin + 3.5), neck + 2.5, 4, clothes * 0.86)
    pen.shape(
        np.array([complex(-neck, 8), complex(neck, 8), complex(neck, look.chin + 4), complex(0, look.chin + 6.5),
                  complex(-neck, look.chin + 4)]),
        look.shadow * 1.08,
    )  # fmt: skip


def _draw_head(pen: _Pen, look: _Look, turn: float) -> None:
    who = look.who
    ear = (3.0 + 0.9 * who.ears) * (1 + 0.25 * look.since(20, 90))
    for side in _SIDES:
        at = complex(side * (look.width + 0.4) - 0.4 * turn, look.eyes_at + 2.5)
        pen.blob(at, 0.72 * ear, 1.15 * ear, look.skin * 0.93)
        pen.blob(at, 0.4 * ear, 0.75 * ear, look.shadow)
    angle = np.linspace(0, np.pi, 30)
    # Below the eyes a small exponent gives a square jaw, a large one a pointed chin; hanging cheeks come with age.
    jaw = 0.86 + 0.2 * who.jaw - 0.1 * look.child
    across, down = np.cos(angle), np.sin(angle)
    below = np.sign(across) * np.abs(across) ** jaw * look.width
    below = below + np.sign(across) * 2.3 * look.since(45, 92) * np.exp(-(((down - 0.82) / 0.1) ** 2))
    above = np.exp(1j * np.linspace(np.pi, 2 * np.pi, 20))
    outline = np.concatenate([below + 1j * look.chin * down, look.width * above.real + 1j * look.top * above.imag])
    pen.shape(outline, look.skin)
    blush = _mixed(look.skin, (236, 96, 92), 0.1 + 0.16 * look.child)
    for side in _SIDES:
        pen.blob(complex(side * 9 + 0.6 * turn, look.eyes_at + 8), 3.4, 2.6, blush)
        if who.freckles:
            for x, y in ((6.6, 5.2), (8.4, 6.6), (10.2, 5.4), (7.6, 8.0)):
                pen.blob(complex(side * x + 0.7 * turn, look.eyes_at + y), 0.42, 0.42, look.crease(0.55))
    if who.mole is not None:
        pen.blob(who.mole + 0.7 * turn, 0.9, 0.9, look.shadow * 0.45)


def _draw_wrinkles(pen: _Pen, look: _Look, turn: float) -> None:
    shift = 0.7 * turn
    for line, start in enumerate((32, 45, 58)):
        depth = look.since(start, start + 28)
        if depth:
            y, half = look.eyes_at - 7.0 - 2.4 * line, 7.5 - line
            pen.line(_arc(complex(-half + shift, y), complex(half + shift, y), -0.7), look.crease(0.75 * depth), 0.65)
    for side in _SIDES:
        eye = complex(side * look.eye_gap + shift, look.eyes_at)
        bag = look.since(26, 75)
        if bag:
            drop = look.eye_size * 0.95 + 1.2
            pen.line(_arc(eye + complex(-2.8, drop), eye + complex(2.8, drop), 1.2), look.crease(0.75 * bag), 0.7)
        for ray, start in ((-1.3, 36), (0.2, 44), (1.7, 54)):
            depth = look.since(start, start + 25)
            if depth:
                corner = eye + side * (look.eye_size + 1.0) + 0.5j * ray
                pen.line(np.array([corner, corner + complex(side * 2.9, 0.9 * ray)]), look.crease(0.8 * depth), 0.6)
        fold = look.since(20, 70)
        if fold:
            start = complex(side * 3.6 + shift, look.nose_at + 0.2)
            end = complex(side * (6.3 + 0.6 * look.who.mouth_width) + shift, look.mouth_at - 0.5 + 1.5 * fold)
            pen.line(_arc(start, end, -0.6), look.crease(0.9 * fold), 0.5 + 0.4 * fold)
        hang = look.since(50, 90)
        if hang:
            start = complex(side * 5.8 + shift, look.mouth_at + 2.2)
            pen.line(_arc(start, start + complex(side * 1.2, 3.0), 0.2), look.crease(0.7 * hang), 0.6)
        hollow = look.since(66, 92)
        if hollow:
            start = complex(side * 9.6 + shift, look.eyes_at + 6)
            pen.line(_arc(start, start + complex(-side * 0.6, 6.5), 0.3), look.crease(0.9 * hollow), 0.8)
        for x, y, start in ((10.5, -5.5, 62), (11.5, 6.5, 70), (6.5, -9.5, 78)):
            if look.age > start:
                pen.blob(complex(side * (x - 0.5 * side) + shift, look.eyes_at + y), 0.9, 0.7, look.crease(0.6))


def _draw_nose_and_mouth(pen: _Pen, look: _Look, turn: float, smile: float) -> None:
    who = look.who
    old = look.since(20, 90)
    wide = (2.5 + 0.75 * who.nose_width) * (1 - 0.25 * look.child + 0.2 * old)
    tip = complex(1.1 * turn, look.nose_at)
    bridge = complex(0.7 * turn + (1.2 if turn > 0 else -1.2), look.eyes_at + 1.5 + 2 * look.child)
    pen.shape(np.array([bridge, tip + complex(-wide, 0), tip + complex(wide, 0)]), _mixed(look.skin, look.shadow, 0.22))
    pen.blob(tip - 0.4j, wide, 1.5 + 0.2 * old, _mixed(look.skin, look.shadow, 0.3))
    pen.blob(tip - 0.9j, 0.62 * wide, 1.1, look.skin * 1.05)
    for side in _SIDES:
        pen.blob(tip + complex(side * 0.55 * wide, 0.5), 0.65, 0.45, look.shadow * 0.6)

    half = (5.0 + 0.9 * who.mouth_width) * (1 - 0.25 * look.child)
    full = (1.5 + 0.5 * who.lips) * (1 - 0.45 * look.since(30, 85))
    bend = smile * (1 - 0.5 * old)
    left, right = (complex(side * half + 0.8 * turn, look.mouth_at) for side in _SIDES)
    lips = _mixed(_mixed(look.skin, (190, 50, 66), 0.5), look.shadow, 0.25 * old)
    middle = _arc(left, right, bend)
    pen.shape(np.concatenate([_arc(left, right, bend - full), middle[::-1]]), lips * 0.92)
    pen.shape(np.concatenate([_arc(left, right, bend + 1.3 * full), middle[::-1]]), _mixed(lips, (255, 255, 255), 0.08))
    pen.line(middle, look.shadow * 0.55, 0.6)


def _draw_eye(pen: _Pen, look: _Look, side: int, turn: float, glance: float) -> None:
    who, size = look.who, look.eye_size
    eye = complex(side * look.eye_gap + 0.7 * turn, look.eyes_at)
    tilt = 0.5 * who.eye_tilt
    half = 1.18 * size
    inner, outer = eye + complex(-side * half, tilt), eye + complex(side * half, -tilt)
    sunk = look.since(25, 85)
    opening = size * (0.98 - 0.3 * sunk)
    lid = _arc(inner, outer, -opening)
    pen.shape(np.concatenate([_arc(inner, outer, 0.8 * opening), lid[::-1]]), np.array([250.0, 250, 248]))
    iris = np.asarray(_EYES[who.eye_colour], float)
    seen = eye + complex(glance + 0.3 * turn, -0.05 * opening)
    radius = 0.64 * size * (1 - 0.15 * sunk)
    pen.blob(seen, radius, min(radius, 0.82 * opening), iris * 0.8)
    pen.blob(seen + 0.15j * radius, 0.75 * radius, min(0.75 * radius, 0.7 * opening), iris * 1.2)
    pen.blob(seen, 0.45 * radius, 0.45 * radius, np.array([18.0, 16, 18]))
    pen.blob(seen + complex(-0.35, -0.4) * radius, 0.26 * radius, 0.26 * radius, np.array([255.0, 255, 255]))
    pen.line(lid, look.shadow * 0.35, 0.75)
    if sunk:
        pen.line(_arc(inner, outer, -opening - 1.3) - 0.2j, look.crease(0.3 + 0.6 * sunk), 0.6)

    thick = (1.25 + 0.6 * who.brow) * (1 - 0.35 * look.child)
    height = size + 2.5 - 0.7 * sunk + 0.3 * look.child
    slope = 0.9 * who.brow_tilt
    start, end = eye + complex(-side * 3.1, -height - slope), eye + complex(side * 3.9, -height + slope)
    brow = _mixed(np.asarray(_HAIRS[who.hair_colour], float) * 0.85, _GREY, 0.8 * look.greyness())
    pen.line(_arc(start, end, -1.1), _mixed(brow, look.skin, 0.45 * look.child), max(0.5, thick))


def _draw_hair(pen: _Pen, look: _Look, turn: float) -> None:
    style = look.who.hair_style
    bald = look.who.balding * look.since(24, 72)
    baby = max(0.0, 1 - look.age / 3)
    reach = 1.5 if style in ("short", "parted", "fringe") else 2.2
    wide, high = look.width + reach, look.top + reach * (1 - 0.6 * bald)
    # The hairline: how low it is in the middle and at the temples, and to which side it is parted.
    middle, temple, parting = {
        "short": (-10.5, -7.0, 0.0),
        "parted": (-10.0, -7.0, 4.5),
        "fringe": (-6.4, -5.4, 0.0),
        "curly": (-10.5, -7.0, 0.0),
        "spiky": (-9.5, -8.0, 0.0),
        "long": (-14.0, -3.5, 0.0),
        "bob": (-6.8, -4.5, 1.0),
        "bun": (-13.0, -8.0, 0.0),
    }[style]
    lift = 4 * bald + 4.5 * baby + 0.8 * look.since(40, 90)
    across = np.linspace(1, -1, 17)
    hairline = temple + (middle - temple) * (1 - across**2) + parting * across - lift
    # A receding hairline goes back at the temples first.
    hairline -= 7 * bald * np.exp(-(((np.abs(across) - 0.55) / 0.28) ** 2))
    if style == "spiky":
        hairline += np.where(np.arange(17) % 2, 1.4, -1.4)
    if style == "fringe":
        hairline += np.where(np.arange(17) % 2, 0.5, -0.5)
    inside = np.sqrt(1 - 0.93 * across**2)
    skull = -look.top * inside
    hairline = np.maximum(hairline, skull)
    arc = np.exp(1j * np.linspace(np.pi + 0.16, 2 * np.pi - 0.16, 25))
    rise = np.ones(25)
    if style == "spiky":
        rise = 1 + np.where(np.arange(25) % 2, 0.1, -0.03) * (1 - bald)
    # Where a head is bald nothing stands out above the skull.
    crown = np.exp(-((arc.real / 0.75) ** 2)) * min(1.0, max(0.0, 2.2 * bald - 0.9))
    outer = wide * arc.real * (rise + 0j) + 1j * (high * rise * (1 - crown) + (look.top - 4.5) * crown) * arc.imag
    if style == "curly":
        for point in outer[::2]:
            pen.blob(0.97 * point, 3.2 - 1.2 * bald, 3.2 - 1.2 * bald, look.hair * 0.95)
    line = wide * 0.965 * across + 0.4 * turn + 1j * np.maximum(hairline, outer.imag.min() + 0.3)
    shown = bald < 0.75
    if shown:
        pen.shape(np.concatenate([outer, line]), look.hair)
        gloss = 0.8 * outer[6:13] + 0.8
        pen.line(gloss, _mixed(look.hair, (255, 255, 255), 0.16), 1.6)
    for side in _SIDES:
        burns = np.array([
            complex(side * 0.87 * wide, -9), complex(side * 0.96 * wide, -4), complex(side * wide, look.eyes_at),
            complex(side * (look.width - 1.0), look.eyes_at + 1), complex(side * (look.width - 3.2), -8),
        ])  # fmt: skip
        if baby < 0.5:
            pen.shape(burns, look.hair * 0.93)
        if style in _LONG and look.age >= 3:
            down = (12 if style == "bob" else 19) * look.since(1, 7)
            pen.shape(
                np.array([
                    complex(side * (wide - 0.6), -9), complex(side * (wide + 1.6), down),
                    complex(side * (look.width - 1.5), down), complex(side * (look.width - 2.6), -5),
                ]),
                look.hair * 0.95,
            )  # fmt: skip


def _draw_glasses(pen: _Pen, look: _Look, turn: float) -> None:
    frame = np.array([46.0, 40, 44])
    size = 5.0
    rim = 1.05 * _CIRCLE if look.who.glasses == "round" else np.array([-1.1 - 0.8j, 1.1 - 0.8j, 1 + 0.8j, -1 + 0.8j])
    rim = size * np.append(rim, rim[:2])
    middles = [complex(side * look.eye_gap + 0.8 * turn, look.eyes_at + 0.3) for side in _SIDES]
    for side, middle in zip(_SIDES, middles, strict=True):
        pen.line(middle + rim, frame, 0.8)
        pen.line(np.array([middle + side * size, complex(side * (look.width + 0.3), look.eyes_at)]), frame, 0.8)
    pen.line(_arc(middles[0] + 0.95 * size, middles[1] - 0.95 * size, -0.5), frame, 0.8)
