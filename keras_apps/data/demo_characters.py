"""Invented alphabets, drawn by hand as it were: strokes that turn, cross and meet, each drawer with a hand of its own.

An alphabet has a manner (straight or round, simple or rich) and a few strokes that its characters share; some of its
characters differ from another by one stroke only, as `e` from `c`. What a character is stays the same in all its
drawings: the strokes, how each turns, and where one meets another. How large, wide, slanted and steady it is drawn is
the drawer's; the rest is chance. The pictures look like those of Omniglot (Lake 2015): black on white, 105 x 105.
"""

from __future__ import annotations

import cmath
import dataclasses
import math
import random
from collections.abc import Iterator

import numpy as np

ALPHABETS = {"train": 16, "validation": 2, "test": 4}
DRAWERS = 12
PIXELS = 105

_FEWEST, _MOST = 20, 40
_POINTS = 10
_PEN = 3
_STRAIGHT, _ROUND = (0.0, 0.0, 0.6, -0.6), (1.6, -1.6, 3.1, -3.1, 4.6, -4.6, 5.9, -5.9)
_CORNERS = (1.2, -1.2, 1.6, -1.6, 2.3, -2.3, 2.7, -2.7)


@dataclasses.dataclass(frozen=True)
class Stroke:
    """A line without a lift of the pen: it sets out in a direction, and bends in arcs with corners between them."""

    heading: float
    arcs: tuple[tuple[float, float, float], ...]  # Of each the corner before it, the length, and by how much it turns.
    place: complex = 0j  # Of its start, where it meets no other stroke.
    meets: int | None = None  # The earlier stroke that it meets,
    there: float = 0.0  # at which part of that one's length,
    here: float = 0.0  # and at which of its own.


@dataclasses.dataclass(frozen=True)
class Character:
    """What is the same in all drawings; `number` and `alphabet` count from 0."""

    number: int
    alphabet: int
    strokes: tuple[Stroke, ...]


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A character by a drawer."""

    character: Character
    drawer: int
    seed: int


def generate(seed: int = 0) -> dict[str, list[Drawing]]:
    """Generates the three parts, of which none shares an alphabet or a drawer's hand with another."""
    rng = random.Random(seed)
    drawings = invent(sum(ALPHABETS.values()), DRAWERS, rng.getrandbits(32))
    parts: dict[str, list[Drawing]] = {}
    start = 0
    for split, count in ALPHABETS.items():
        parts[split] = [each for each in drawings if start <= each.character.alphabet < start + count]
        rng.shuffle(parts[split])
        start += count
    return parts


def invent(alphabets: int, drawers: int, seed: int) -> list[Drawing]:
    """Every character of so many new alphabets, once by each of so many drawers, who are others in every alphabet."""
    rng = random.Random(seed)
    drawings = []
    number = 0
    for alphabet in range(alphabets):
        hands = [rng.getrandbits(32) for _ in range(drawers)]
        for strokes in _alphabet(rng):
            character = Character(number, alphabet, strokes)
            drawings += [Drawing(character, hand, rng.getrandbits(32)) for hand in hands]
            number += 1
    return drawings


def draw(drawing: Drawing) -> np.ndarray:
    """`<uint8>[105, 105, 3]`, black on white."""
    rng, hand = np.random.default_rng(drawing.seed), np.random.default_rng(drawing.drawer)
    unsteadiness = hand.uniform(0.5, 1.3)
    lines = _placed(_lines(drawing.character.strokes, rng, unsteadiness), hand, rng)
    return np.repeat(_ink(lines)[..., None], 3, axis=-1)


# Alphabets.


def _alphabet(rng: random.Random) -> Iterator[tuple[Stroke, ...]]:
    """The characters of a new alphabet, no two of the same strokes."""
    straight = rng.choice((0.15, 0.4, 0.6, 0.85))
    richness = rng.choice((1, 2, 2, 3))
    most_strokes = rng.choice((2, 3, 3, 4)) if richness < 3 else 2
    shared = [_free_stroke(rng, straight, richness) for _ in range(rng.randint(3, 9))]
    likeness = rng.uniform(0.1, 0.5)
    # A bar, say, that every character hangs from.
    head = shared[0] if rng.random() < 0.12 else None
    made: list[tuple[Stroke, ...]] = []
    size = rng.randint(_FEWEST, _MOST)
    while len(made) < size:
        if made and rng.random() < likeness:
            strokes = _varied(rng, rng.choice(made), straight, richness)
        else:
            strokes = (head,) if head else ()
            for _ in range(rng.randint(min(2, most_strokes - 1), most_strokes)):
                stroke = rng.choice(shared) if rng.random() < 0.5 else _free_stroke(rng, straight, richness)
                strokes = (*strokes, _joined(rng, _turned(rng, stroke), len(strokes)))
        if strokes not in made and not _is_tangled(strokes):
            made.append(strokes)
            yield strokes


def _is_tangled(strokes: tuple[Stroke, ...]) -> bool:
    """Whether lines lie on one another, so that nobody could read, or remember, the character."""
    lines = _lines(strokes, np.random.default_rng(0), 0.0)
    every = np.concatenate(lines)
    scale = 80 / max(np.ptp(every.real), np.ptp(every.imag), 0.6)
    length = scale * sum(np.abs(np.diff(line)).sum() for line in lines)
    return (
        length > 550
        or np.count_nonzero(_ink([scale * (line - every.mean()) + 52 for line in lines]) == 0) < 2.2 * length
    )


def _free_stroke(rng: random.Random, straight: float, richness: int) -> Stroke:
    arcs = []
    for index in range(rng.randint(1, richness + 1)):
        turn = rng.choice(_STRAIGHT if rng.random() < straight else _ROUND) * rng.uniform(0.85, 1.15)
        corner = rng.choice(_CORNERS) * rng.uniform(0.9, 1.1) if index and rng.random() < 0.7 else 0.0
        arcs.append((corner, rng.uniform(0.4, 1.0) * (1 + 0.25 * abs(turn)), turn))
    # Most lines that people draw are level or upright.
    heading = rng.choice((0, 0.5, 0.5, 1, 0.25, 0.75, -0.5)) * math.pi + rng.gauss(0, 0.12)
    return Stroke(heading, tuple(arcs))


def _turned(rng: random.Random, stroke: Stroke) -> Stroke:
    """The same stroke, or its mirror image, or turned by a right angle, or smaller."""
    kind = rng.random()
    if kind < 0.55:
        return stroke
    if kind < 0.7:
        arcs = tuple((-corner, length, -turn) for corner, length, turn in stroke.arcs)
        return dataclasses.replace(stroke, heading=math.pi - stroke.heading, arcs=arcs)
    if kind < 0.85:
        return dataclasses.replace(stroke, heading=stroke.heading + rng.choice((-0.5, 0.5, 1)) * math.pi)
    return dataclasses.replace(stroke, arcs=tuple((corner, 0.5 * length, turn) for corner, length, turn in stroke.arcs))


def _joined(rng: random.Random, stroke: Stroke, earlier: int) -> Stroke:
    """The stroke in its place: by itself, or where it meets one of the `earlier` ones."""
    if not earlier or rng.random() < 0.3:
        place = complex(rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)) if earlier else 0j
        return dataclasses.replace(stroke, place=place, meets=None)
    there, here = (rng.choice((0.0, 0.5, 1.0, rng.random())) for _ in range(2))
    return dataclasses.replace(stroke, meets=rng.randrange(earlier), there=there, here=here)


def _varied(rng: random.Random, strokes: tuple[Stroke, ...], straight: float, richness: int) -> tuple[Stroke, ...]:
    """A character that differs by one stroke: another in its place, one more, or a dot."""
    kind = rng.random()
    if kind < 0.5:
        last = dataclasses.replace(strokes[-1], **_shape(_free_stroke(rng, straight, richness)))
        return (*strokes[:-1], last)
    if kind < 0.85:
        return (*strokes, _joined(rng, _free_stroke(rng, straight, max(1, richness - 1)), len(strokes)))
    place = complex(rng.uniform(-0.6, 0.6), rng.choice((-0.9, 0.9)))
    return (*strokes, Stroke(rng.uniform(0, math.pi), ((0.0, rng.choice((0.04, 0.2)), 0.0),), place))


def _shape(stroke: Stroke) -> dict:
    return {"heading": stroke.heading, "arcs": stroke.arcs}


# Drawings. Points are complex numbers, x to the right and y down.


def _complex(rng: np.random.Generator) -> complex:
    return complex(*rng.normal(size=2))


def _lines(strokes: tuple[Stroke, ...], rng: np.random.Generator, unsteadiness: float) -> list[np.ndarray]:
    """The points of each stroke, in no particular unit."""
    lines: list[np.ndarray] = []
    for stroke in strokes:
        line = _line(stroke, rng, unsteadiness)
        if stroke.meets is None:
            start = stroke.place + 0.06 * unsteadiness * _complex(rng)
        else:
            there = np.clip(stroke.there + 0.04 * unsteadiness * rng.normal(), 0, 1)
            start = _at(lines[stroke.meets], there) - _at(line, stroke.here) + 0.03 * unsteadiness * _complex(rng)
        lines.append(line + start)
    return lines


def _line(stroke: Stroke, rng: np.random.Generator, unsteadiness: float) -> np.ndarray:
    """The stroke's points, from 0, with each turn and length a little different in every drawing."""
    noise = unsteadiness * rng.normal(size=(len(stroke.arcs), 3))
    heading = stroke.heading + 0.07 * unsteadiness * rng.normal()
    steps = []
    for (corner, length, turn), (of_corner, of_length, of_turn) in zip(stroke.arcs, noise, strict=True):
        heading += corner + 0.1 * of_corner * bool(corner)
        turn = turn * (1 + 0.08 * of_turn) + 0.08 * of_turn
        headings = heading + turn * (np.arange(_POINTS) + 0.5) / _POINTS
        steps.append(length * math.exp(0.14 * of_length) / _POINTS * np.exp(1j * headings))
        heading += turn
    points = np.concatenate([[0], np.cumsum(np.concatenate(steps))])
    # An unsteady hand: slow waves beside the line.
    knots = 0.02 * unsteadiness * rng.normal(size=(2, 3 + len(points) // 8))
    along = np.linspace(0, knots.shape[1] - 1, len(points))
    waves = [np.interp(along, np.arange(knots.shape[1]), each) for each in knots]
    return points + waves[0] + 1j * waves[1]


def _at(line: np.ndarray, part: float) -> complex:
    return line[round(part * (len(line) - 1))]


def _placed(lines: list[np.ndarray], hand: np.random.Generator, rng: np.random.Generator) -> list[np.ndarray]:
    """The strokes in pixels: as large, wide, slanted and turned as the drawer makes them."""
    every = np.concatenate(lines)
    x, y = every.real, every.imag
    middle = complex(x.max() + x.min(), y.max() + y.min()) / 2
    extent = max(np.ptp(x), np.ptp(y), 0.6)
    size = hand.uniform(52, 88) * math.exp(0.1 * rng.normal())
    wide = math.exp(0.14 * hand.normal() + 0.08 * rng.normal())
    slant = 0.12 * hand.normal() + 0.05 * rng.normal()
    turn = cmath.exp(1j * (0.05 * hand.normal() + 0.05 * rng.normal()))
    size = min(size / extent, 92 / max(np.ptp(x) * wide, np.ptp(y) / wide, 0.3))
    shift = complex(PIXELS, PIXELS) / 2 + 3 * complex(*hand.normal(size=2)) + 4 * _complex(rng)
    placed = []
    for line in lines:
        line = size * turn * (line - middle)
        x = line.real * wide + slant * line.imag
        placed.append(x + 1j * line.imag / wide + shift)
    return placed


def _ink(lines: list[np.ndarray]) -> np.ndarray:
    """What a square pen leaves along the lines."""
    image = np.full((PIXELS, PIXELS), 255, np.uint8)
    last = PIXELS - _PEN
    for line in lines:
        lengths = np.concatenate([[0], np.cumsum(np.abs(np.diff(line)))])
        along = np.arange(0, lengths[-1] + 0.6, 0.6)
        x, y = (np.interp(along, lengths, each) for each in (line.real, line.imag))
        columns, rows = (np.clip(np.round(each).astype(int) - _PEN // 2, 0, last) for each in (x, y))
        for row in range(_PEN):
            for column in range(_PEN):
                image[rows + row, columns + column] = 0
    return image
