"""Pictures of shapes generated from a seed, with captions whose truth can be checked exactly.

A scene is one or two groups of like shapes, in a row or in a column, on a plain background. The rules, which are the
ground truth of a caption:
- a noun phrase ("two small red circles") stands for all the shapes that fit it, and their number must be the one it
  names; it names no size, or one, but always colour and shape;
- a sentence lists one to three such phrases, of which no two share a shape, or relates two: every shape of the first
  must be left of, right of, above or below every shape of the second, along the line in which the scene is laid out;
- the background, where it is named, must be the scene's;
- what is no sentence of this grammar is false; there is no sentence that says next to nothing.

The captions of a picture name every group with its size and relate every two neighbours, and one names the background.
So the scene can be found from the captions alone (`scene_of`), and any other caption be checked by them.

No scene is in two parts, or twice in one. It takes all that a captioner must do - find things, name each with its own
colour, shape, size and number, and put two of them in order - at a difficulty that a laptop learns in half an hour.
"""

from __future__ import annotations

import dataclasses
import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

import numpy as np
from PIL import Image, ImageDraw

SIZES = {"train": 6000, "validation": 300, "test": 500}
PIXELS = 96

_COUNTS = {"a": 1, "an": 1, "two": 2, "three": 3}
_RADII = {"small": 8.0, "large": 14.0}
_COLOURS = {
    "red": (216, 48, 44),
    "orange": (243, 134, 32),
    "yellow": (246, 209, 52),
    "green": (58, 158, 76),
    "blue": (46, 104, 214),
    "purple": (128, 68, 170),
    "pink": (244, 142, 186),
}
_SHAPES = ("circle", "square", "triangle", "cross")
_BACKGROUNDS = {"white": (250, 250, 248), "grey": (176, 182, 188), "black": (34, 36, 42), "beige": (232, 216, 184)}
# What is said of two things along a line, by whether the first comes first.
_RELATIONS = {
    "row": {True: ("left of", "to the left of"), False: ("right of", "to the right of")},
    "column": {True: ("above", "over"), False: ("below", "under")},
}
_ORDER = {
    words: (axis, in_order)
    for axis, orders in _RELATIONS.items()
    for in_order, relations in orders.items()
    for words in relations
}
# One group alone has no relations, and there are not many such scenes.
_GROUPS = (1, 2, 2, 2)
_MAX_SHAPES = 4
_SCALE = 3


@dataclasses.dataclass(frozen=True)
class Group:
    """So many shapes of one size, colour and kind."""

    count: int
    size: str
    colour: str
    shape: str


@dataclasses.dataclass(frozen=True)
class Scene:
    """Groups from left to right (`row`) or from top to bottom (`column`; no axis for one alone) on a background."""

    groups: tuple[Group, ...]
    axis: str
    background: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A scene, true captions of it, and what its drawing varies by."""

    scene: Scene
    captions: tuple[str, ...]
    seed: int


def generate(seed: int = 0) -> dict[str, list[Picture]]:
    """Generates the three parts; no scene is in two of them, or twice in one."""
    rng = random.Random(seed)
    seen: set[Scene] = set()
    return {split: list(_part(rng, size, seen)) for split, size in SIZES.items()}


def _part(rng: random.Random, size: int, seen: set[Scene]) -> Iterator[Picture]:
    for _ in range(size):
        while True:
            scene = _scene(rng)
            if scene not in seen:
                break
        seen.add(scene)
        yield Picture(scene, tuple(_captions(rng, scene)), rng.getrandbits(32))


def _scene(rng: random.Random) -> Scene:
    number = rng.choice(_GROUPS)
    while True:
        groups = tuple(
            Group(
                rng.choice((1, 1, 2, 2, 3)), rng.choice(list(_RADII)), rng.choice(list(_COLOURS)), rng.choice(_SHAPES)
            )
            for _ in range(number)
        )
        kinds = {(group.size, group.colour, group.shape) for group in groups}
        if len(kinds) == number and sum(group.count for group in groups) <= _MAX_SHAPES:
            axis = rng.choice(list(_RELATIONS)) if number > 1 else ""
            return Scene(groups, axis, rng.choice(list(_BACKGROUNDS)))


# Captions.


def _captions(rng: random.Random, scene: Scene) -> list[str]:
    """Three to five captions, in any order; what `scene_of` needs is among them."""
    groups = scene.groups
    pairs = [(first, first + 1) for first in range(len(groups) - 1)]
    captions = [_relation(rng, scene, *pair, with_size=True) for pair in pairs]
    captions = captions or [_list(rng, groups, with_size=True)]
    captions[rng.randrange(len(captions))] += _setting(scene)
    wanted = rng.randint(3, 5)
    while len(captions) < wanted:
        if len(groups) > 1 and rng.random() < 0.5:
            first, second = sorted(rng.sample(range(len(groups)), 2))
            caption = _relation(rng, scene, first, second)
        else:
            some = rng.sample(groups, rng.randint(1, len(groups)))
            caption = _list(rng, some)
        if rng.random() < 0.3:
            caption += _setting(scene)
        # Without its size a phrase may fit more shapes than it counts.
        if caption not in captions and is_true(caption, scene):
            captions.append(caption)
    rng.shuffle(captions)
    return captions


def _setting(scene: Scene) -> str:
    return f" on a {scene.background} background"


def _be(group: Group) -> str:
    return "is" if group.count == 1 else "are"


def _phrase(rng: random.Random, group: Group, with_size: bool) -> str:
    words = [group.colour, _noun(group.shape, group.count)]
    if with_size or rng.random() < 0.4:
        words.insert(0, group.size)
    if group.count == 1:
        words.insert(0, _article(words[0]))
    else:
        words.insert(0, next(word for word, count in _COUNTS.items() if count == group.count))
    return " ".join(words)


def _noun(shape: str, count: int) -> str:
    return shape if count == 1 else shape + ("es" if shape.endswith("s") else "s")


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _relation(rng: random.Random, scene: Scene, first: int, second: int, with_size: bool = False) -> str:
    in_order = rng.random() < 0.5
    relation = rng.choice(_RELATIONS[scene.axis][in_order])
    groups = scene.groups[first], scene.groups[second]
    one, other = groups if in_order else groups[::-1]
    here, there = _phrase(rng, one, with_size), _phrase(rng, other, with_size)
    form = rng.choice(
        ("{here} {be} {relation} {there}", "there {be} {here} {relation} {there}", "{here} {relation} {there}")
    )
    return form.format(here=here, be=_be(one), relation=relation, there=there)


def _list(rng: random.Random, groups: Iterable[Group], with_size: bool = False) -> str:
    groups = list(groups)
    phrases = [_phrase(rng, group, with_size) for group in groups]
    joined = {1: "{}", 2: rng.choice(("{} and {}", "{} with {}")), 3: "{} with {} and {}"}[len(groups)].format(*phrases)
    return rng.choice(("{}", "there {be} {}", "a picture of {}")).format(joined, be=_be(groups[0]))


# Truth.


def _alternatives(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_NOUNS = {_noun(shape, count): shape for shape in _SHAPES for count in (1, 2)}
_PHRASE = (
    rf"(?:{_alternatives(_COUNTS)}) (?:(?:{_alternatives(_RADII)}) )?"
    rf"(?:{_alternatives(_COLOURS)}) (?:{_alternatives(_NOUNS)})"
)
_SENTENCE = re.compile(
    rf"(?P<opening>a picture of |there is |there are )?(?P<first>{_PHRASE})"
    rf"(?:(?P<be> is| are)? (?P<relation>{_alternatives(_ORDER)}) (?P<other>{_PHRASE})"
    rf"| (?:and|with) (?P<second>{_PHRASE})| with (?P<middle>{_PHRASE}) and (?P<last>{_PHRASE}))?"
    rf"(?: on a (?P<background>{_alternatives(_BACKGROUNDS)}) background)?"
)


@dataclasses.dataclass(frozen=True)
class _Claim:
    """What a sentence says: groups (of size `""` where none is named), their order along an axis, a background."""

    groups: tuple[Group, ...]
    axis: str
    background: str


def _parse(caption: str) -> _Claim | None:
    match = _SENTENCE.fullmatch(" ".join(caption.casefold().split()).removesuffix(".").rstrip())
    if match is None:
        return None
    phrases = [match[name] for name in ("first", "second", "middle", "last", "other") if match[name]]
    groups = [_group(phrase) for phrase in phrases]
    if None in groups:
        return None
    opening, be, relation = match["opening"], match["be"], match["relation"]
    if be and opening or (opening or "").startswith("there") and opening.split()[1] != _be(groups[0]):
        return None
    if be and be.strip() != _be(groups[0]):
        return None
    axis, in_order = _ORDER.get(relation, ("", True))
    return _Claim(tuple(groups if in_order else groups[::-1]), axis, match["background"] or "")


def _group(phrase: str) -> Group | None:
    """What a phrase stands for; None where article, number and noun do not agree."""
    count, *size, colour, noun = phrase.split()
    group = Group(_COUNTS[count], "".join(size), colour, _NOUNS[noun])
    agrees = noun == _noun(group.shape, group.count) and (group.count > 1 or count == _article([*size, colour][0]))
    return group if agrees else None


def is_true(caption: str, scene: Scene) -> bool:
    """Tells whether a caption is a sentence of the grammar and holds for a scene; case and a full stop don't matter."""
    claim = _parse(caption)
    if claim is None or claim.background not in ("", scene.background):
        return False
    places = [_places(group, scene) for group in claim.groups]
    mentioned = [place for some in places for place in some]
    if not all(places) or len(set(mentioned)) < len(mentioned):
        return False
    return not claim.axis or (claim.axis == scene.axis and max(places[0]) < min(places[1]))


def _places(phrase: Group, scene: Scene) -> list[int]:
    """The groups of a scene that a phrase stands for; none where their number is another than it names."""
    fitting = [
        place
        for place, group in enumerate(scene.groups)
        if (group.colour, group.shape) == (phrase.colour, phrase.shape) and phrase.size in ("", group.size)
    ]
    return fitting if sum(scene.groups[place].count for place in fitting) == phrase.count else []


def scene_of(captions: Iterable[str]) -> Scene | None:
    """Finds the scene that a generated picture shows from its captions; None where they are not those of one."""
    claims = [_parse(caption) for caption in captions]
    if None in claims or not claims:
        return None
    background = next((claim.background for claim in claims if claim.background), None)
    complete = [claim for claim in claims if all(group.size for group in claim.groups)]
    after: dict[Group, set[Group]] = {}
    for claim in complete:
        if claim.axis:
            first, second = claim.groups
            after.setdefault(second, set()).add(first)
            after.setdefault(first, set())
    axis = next((claim.axis for claim in claims if claim.axis), "")
    if not axis:
        after = {claim.groups[0]: set() for claim in complete}
    try:
        groups = tuple(TopologicalSorter(after).static_order())
    except CycleError:
        return None
    if background is None or not groups:
        return None
    scene = Scene(groups, axis, background)
    return scene if all(is_true(caption, scene) for caption in captions) else None


def is_true_given(caption: str, captions: Iterable[str]) -> bool | None:
    """Tells whether a caption holds for the picture that has these captions; None where it is no generated one."""
    scene = scene_of(captions)
    return None if scene is None else is_true(caption, scene)


# Drawing.


def share_of_true(answers: Iterable[tuple[str, Sequence[str]]]) -> float | None:
    """The share of captions that are true; None where a picture is none of these scenes.

    Args:
        answers: of each picture a caption, and all those that it was generated with.
    """
    found = [is_true_given(caption, captions) for caption, captions in answers]
    return None if None in found or not found else sum(found) / len(found)


def draw(picture: Picture) -> np.ndarray:
    """Draws a picture, the same whenever it is drawn.

    Returns:
        `<uint8>[96, 96, 3]`.
    """
    rng = random.Random(picture.seed)
    scene = picture.scene
    image = Image.new("RGB", (PIXELS * _SCALE, PIXELS * _SCALE), _BACKGROUNDS[scene.background])
    canvas = ImageDraw.Draw(image)
    axis = scene.axis or rng.choice(list(_RELATIONS))
    slot = PIXELS / len(scene.groups)
    for index, group in enumerate(scene.groups):
        radius = _RADII[group.size]
        along = slot * (index + 0.5) + rng.uniform(-1, 1) * _room(slot, radius, 8 if scene.axis else 20)
        step = 2 * radius + rng.uniform(3, 4 if radius > 12 else 10)
        length = step * (group.count - 1)
        room = _room(PIXELS, length / 2 + radius, 5 if scene.axis else 20)
        start = PIXELS / 2 - length / 2 + rng.uniform(-1, 1) * room
        for number in range(group.count):
            place = along + rng.uniform(-1, 1), start + step * number + rng.uniform(-0.5, 0.5)
            _draw_shape(canvas, rng, group, place if axis == "row" else place[::-1], scene.background)
    small = np.asarray(image.reduce(_SCALE), np.float32)
    noise = np.random.default_rng(picture.seed).standard_normal((PIXELS, PIXELS, 1), np.float32)
    return np.clip(small + 3 * noise + rng.uniform(-6, 6), 0, 255).astype(np.uint8)


def _room(slot: float, radius: float, most: float) -> float:
    """How far something of this radius may lie from the middle of its slot."""
    return max(0.0, min(slot / 2 - radius - 2, most))


def _draw_shape(
    canvas: ImageDraw.ImageDraw, rng: random.Random, group: Group, centre: tuple[float, float], background: str
) -> None:
    light = rng.uniform(0.93, 1.05)
    fill, edge, shadow = (
        tuple(min(255, round(share * value)) for value in rgb)
        for share, rgb in (
            (light, _COLOURS[group.colour]),
            (0.74 * light, _COLOURS[group.colour]),
            (0.82, _BACKGROUNDS[background]),
        )
    )
    radius = _RADII[group.size] * rng.uniform(0.94, 1.06)
    angle = math.radians(rng.uniform(-12, 12))
    for colour, scale, shift in ((shadow, 1.0, 1.3), (edge, 1.0, 0.0), (fill, 0.86, 0.0)):
        points = [
            (
                _SCALE * (centre[0] + shift + radius * scale * (x * math.cos(angle) - y * math.sin(angle))),
                _SCALE * (centre[1] + shift + radius * scale * (x * math.sin(angle) + y * math.cos(angle))),
            )
            for x, y in _OUTLINES[group.shape]
        ]
        canvas.polygon(points, fill=colour)


def _polar(corners: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points given by turns, clockwise from the top, and distance."""
    return [(distance * math.sin(math.tau * turn), -distance * math.cos(math.tau * turn)) for turn, distance in corners]


_ARM = 0.36
_OUTLINES = {
    "circle": _polar((step / 40, 0.95) for step in range(40)),
    "square": [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)],
    "triangle": [(x, y + 0.18) for x, y in _polar((step / 3, 1.16) for step in range(3))],
    "cross": [
        (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
    ],
}  # fmt: skip
"""Outlines around the origin that reach about 1 from it."""
