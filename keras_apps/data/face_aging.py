"""Faces with their ages: `{"image": tf.uint8[height, width, 3], "age": tf.int32, "identity": tf.int32}`.

The identity is a number, the same for pictures of one person, and -1 where it isn't known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tensorflow as tf

from keras_apps.data import demo_faces, grouping
from keras_apps.data.folders import SPLITS, Folder, given_folder, named_tables
from keras_apps.data.images import SUFFIXES, check_image
from keras_apps.data.pictures import (
    IMAGE_NAMES,
    Pictures,
    Rows,
    annotated,
    complete,
    dataset,
    dealt,
    decoded,
    encoded,
    find_pictures,
    scalar_keys,
)
from keras_apps.data.splits import Splits, check_fractions
from keras_apps.data.tables import BadRows, Column, read_table
from keras_apps.data.tfds_source import prepared
from keras_apps.errors import UserError

AGE_NAMES = ("age", "ages", "apparent_age", "real_age", "years")
IDENTITY_NAMES = ("identity", "person", "person_id", "subject", "subject_id", "celebrity")
OLDEST = 120
LAYOUTS = (
    "a folder, .tar or .zip with pictures and ages.csv (image, age, and identity if it is known; or .tsv, .jsonl); "
    "with pictures whose names begin with the age, as UTKFace's 25_0_1_20170116.jpg; or with pictures in folders by "
    "age (25/, 0-9/, 60+/); each with train/ and so on, where there are such parts"
)
# UTKFace has 25_0_1_DATE.jpg, with fields missing here and there, and CACD 25_Some_Name_0001.jpg.
_IN_NAME = re.compile(r"(\d{1,3})_(?:([^\W\d_].*)_\d+\.)?.*")
# The two of them for certain: any running number may begin a name.
_SURELY_IN_NAME = re.compile(r"(\d{1,3})_(?:[01]_\d|[^\W\d_]+_[^\W\d_].*_\d+\.)")
# 25, 0-9, 60+, and (25, 32) as Adience has it; 2,5 is what some write for 2.5.
_AGE = re.compile(
    r"(?:ages?[ _]?)?(\()?(?P<first>\d{1,3})(?:\.\d+)?"
    r"(?:[ _]?(?:-|to|,(?(1)|(?= ))|_)[ _]?(?P<last>\d{1,3})|\+)?\)?"
)
_NOBODY = ("", "-1", "unknown", "nan", "none", "null", "?", "n/a")
# Where UTKFace's gender and race are written out they look like a name.
_TRAITS = {
    *("m", "f", "male", "female", "man", "woman", "boy", "girl"),
    *("white", "black", "asian", "indian", "hispanic", "latino", "other", "others"),
}


@dataclasses.dataclass(frozen=True)
class _Face:
    """What is known of one picture: its split, its name in the folder, its age, and who it is, if that is known."""

    split: str
    name: str
    age: int
    identity: str


def load(
    data: str | os.PathLike = "demo",
    *,
    image_key: str | None = None,
    age_key: str | None = None,
    identity_key: str | None = None,
    max_bad_rows: int = 100,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Splits:
    """Loads faces with ages, and carves the splits that the data lacks out of its training part.

    Pictures of one person, and pictures of the same content, are on one side; where the data brings its own parts,
    pictures of what validation or test have too are not trained on, and of what test has are not in validation; they
    are the `left_out` part. All pictures are looked through once; one that can't be read, or whose age isn't one, is
    skipped with all that is said of it. The pictures of a folder stay in their files; those of an archive are held in
    memory as they are, encoded.

    Args:
        data: `demo`, `tfds:NAME[/CONFIG]`, or the path of a folder or a .tar.
        image_key: the column with the picture's name, where it can't be guessed.
        age_key: the column with the age in years, where it can't be guessed.
        identity_key: the column that tells who it is, where it can't be guessed.
        max_bad_rows: how many malformed rows, unreadable pictures and wrong ages to skip before giving up.
        validation_fraction: of the training pictures, where the data has no validation split; 0 for none.
        test_fraction: of the training pictures, where the data has no test split; 0 for none.
        split_seed: what the demo faces are generated from and the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split.
    """
    fractions = check_fractions(validation_fraction, test_fraction)
    data = os.fspath(data)
    if data == "demo":
        return _drawn(split_seed)
    columns = (
        Column(IMAGE_NAMES, "--image_key", image_key),
        Column(AGE_NAMES, "--age_key", age_key),
        Column(IDENTITY_NAMES, "--identity_key", identity_key, optional=True),
    )
    bad_rows = BadRows(max_bad_rows)
    if data.startswith("tfds:"):
        return _load_tfds(data.removeprefix("tfds:"), columns, bad_rows, fractions, split_seed)
    folder = given_folder(Path(data), LAYOUTS, bad_rows)
    # A picture and what is known of it are one, so that what is skipped can't shift the ages of others.
    faces = list(_read(folder, columns, bad_rows))
    pictures = Pictures(folder, {face.name for face in faces})
    digests = pictures.check(bad_rows)
    bad_rows.summarize()
    sound = [face for face in faces if face.name in digests]
    if len({face.identity for face in sound}) == 1:
        # What is said of all tells nobody from another: 25_photo_0001.jpg names no person.
        sound = [dataclasses.replace(face, identity="") for face in sound]
    groups = grouping.tied([_ties(digests[face.name], face.identity) for face in sound])
    rows: dict[str, Rows] = {face.split: [] for face in faces} or {"train": []}
    for face, group in zip(sound, groups, strict=True):
        rows[face.split].append((group, face))
    numbers = _numbers(face.identity for face in sound)
    return Splits(
        **{
            part: dataset(
                [face.name for face in some],
                pictures.read,
                _columns([face.age for face in some], [numbers[face.identity] for face in some]),
            )
            for part, some in complete(rows, data, fractions, split_seed).items()
        }
    )


def _drawn(seed: int) -> Splits:
    return Splits(
        **{
            split: dataset(
                range(len(faces)),
                # Each is drawn when it is asked for.
                lambda index, faces=faces: demo_faces.draw(faces[index]),
                _columns([face.age for face in faces], [face.identity.number for face in faces]),
            )
            for split, faces in demo_faces.generate(seed).items()
        }
    )


def _columns(ages: Sequence[int], identities: Sequence[int]) -> dict[str, tf.Tensor]:
    return {"age": tf.constant(ages, tf.int32), "identity": tf.constant(identities, tf.int32)}


def _numbers(identities: Iterable[str]) -> dict[str, int]:
    """A number for each person, and -1 for the one whose name is empty."""
    known = sorted(set(identities) - {""})
    return {"": -1} | {identity: number for number, identity in enumerate(known)}


def _who(text: str) -> str:
    return "" if text.strip().lower() in _NOBODY else text


def _named(text: str) -> str:
    """Who the name of a file says it is, if it says more than of what kind."""
    return "" if set(re.findall(r"[^\W_]+", text.lower())) <= _TRAITS else _who(text)


def _ties(digest: bytes, identity: str) -> list[Hashable]:
    return [digest, identity] if identity else [digest]


def _age(text: str) -> int | None:
    """An age in whole years; of a range its middle, and where it is open its start. None for what is no age."""
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        return None
    first, last = int(match["first"]), int(match["last"] or match["first"])
    return (first + last + 1) // 2 if first <= last <= OLDEST else None


def _includes(text: str, age: int) -> bool:
    """Tells whether an age, a range of ages, or an open one, has this age in it."""
    match = _AGE.fullmatch(text.lower())
    return int(match["first"]) <= age <= (OLDEST if "+" in text else int(match["last"] or match["first"]))


def _no_age(text: str) -> str:
    return f"{text!r} is no age from 0 to {OLDEST}"


def _read(folder: Folder, columns: Sequence[Column], bad_rows: BadRows) -> Iterator[_Face]:
    """Finds the pictures and their ages in any of the layouts."""
    where = str(folder.path)
    if tables := named_tables(folder.names, "ages", where):
        return _in_tables(folder, tables, columns, bad_rows)
    pictures = [PurePosixPath(name) for name in folder.names if name.lower().endswith(SUFFIXES)]
    if not pictures:
        raise UserError(f"{where}: there are no pictures in it; use {LAYOUTS}")
    in_names = {path: match for path in pictures if (match := _IN_NAME.fullmatch(path.name))}
    in_folders = {path: path.parent.name for path in pictures if _AGE.fullmatch(path.parent.name.lower())}
    # One folder with a number for a name may be anything; UTKFace's pictures could lie in `96`.
    if in_folders and (not in_names or len(set(in_folders.values())) > 1):
        known = {path: (age, "") for path, age in in_folders.items()}
        problem = "it is in no folder whose name is an age"
    else:
        known = {path: (match[1], _named(match[2] or "")) for path, match in in_names.items()}
        problem = "its name doesn't begin with an age, as 25_0_1.jpg does"
    if not known:
        raise UserError(f"{where}: there are {len(pictures)} pictures in it, but no ages; use {LAYOUTS}")
    return _in_paths(where, pictures, known, problem, bad_rows)


def _in_tables(
    folder: Folder, tables: Mapping[str, str], columns: Sequence[Column], bad_rows: BadRows
) -> Iterator[_Face]:
    *needed, identity = columns

    def present(header: Sequence[str], _: str) -> Sequence[Column]:
        known = identity.key is not None or any(key.strip().lower() in identity.names for key in header)
        return columns if known else needed

    split_of = {name: split for split, name in tables.items()}
    rows: list[tuple[str, str, str, str, str]] = []
    for table, file in folder.open(split_of):
        for line, (picture, text, *who) in read_table(file, present, bad_rows, f"{folder.path}/{table}"):
            rows.append((f"{folder.path}/{table}:{line}", split_of[table], picture, text, "".join(who)))
    names = find_pictures(folder, [(picture, where) for where, _, picture, _, _ in rows], bad_rows)
    seen: set[tuple[str, str]] = set()
    for name, (where, split, picture, text, who) in zip(names, rows, strict=True):
        if name is None:
            continue
        if (age := _age(text)) is None:
            bad_rows.add(where, _no_age(text))
        elif (split, name) in seen:
            bad_rows.add(where, f"{picture!r} is there a second time")
        else:
            seen.add((split, name))
            yield _Face(split, name, age, _who(who))


def _in_paths(
    where: str,
    pictures: Iterable[PurePosixPath],
    known: Mapping[PurePosixPath, tuple[str, str]],
    problem: str,
    bad_rows: BadRows,
) -> Iterator[_Face]:
    for path in pictures:
        if path not in known:
            bad_rows.add(f"{where}/{path}", problem)
            continue
        text, identity = known[path]
        if (age := _age(text)) is None:
            bad_rows.add(f"{where}/{path}", _no_age(text))
            continue
        in_name = _SURELY_IN_NAME.match(path.name)
        if in_name and not _includes(text, int(in_name[1])):
            bad_rows.add(f"{where}/{path}", f"its name says {in_name[1]} years, but its folder {text}")
            continue
        split = next((SPLITS[part.lower()] for part in path.parts[:-1] if part.lower() in SPLITS), "train")
        yield _Face(split, str(path), age, identity)


def _load_tfds(
    name: str, columns: Sequence[Column], bad_rows: BadRows, fractions: dict[str, float], seed: int
) -> Splits:
    """Goes through the splits of a data set once, and streams them from then on."""
    builder = prepared(name)
    where = f"tfds:{name}"
    there: dict[str, tf.data.Dataset] = {}
    found: list[tuple[str, int, int, str]] = []
    ties: list[list[Hashable]] = []
    for split in ("train", "validation", "test"):
        if split not in builder.info.splits:
            continue
        there[split], age_of, identity_of = _keyed(builder, split, columns, where)
        for index, row in enumerate(there[split].as_numpy_iterator()):
            at, age = f"{where}: {split}[{index}]", _age(age_of(row))
            try:
                check_image(row["image"], "the picture")
            except UserError as error:
                bad_rows.add(at, str(error))
                continue
            if age is None:
                bad_rows.add(at, _no_age(age_of(row)))
                continue
            found.append((split, index, age, identity_of(row)))
            ties.append(_ties(hashlib.sha256(row["image"]).digest(), identity_of(row)))
    bad_rows.summarize()
    if not there:
        raise UserError(f"{where}: it has no train, validation or test split")
    numbers = _numbers(identity for *_, identity in found)
    rows: dict[str, Rows] = {split: [] for split in there}
    known = {split: np.full([len(examples), 2], -1, np.int32) for split, examples in there.items()}
    for (split, index, age, identity), group in zip(found, grouping.tied(ties), strict=True):
        rows[split].append((group, (split, index)))
        known[split][index] = age, numbers[identity]
    annotations = {split: annotated(examples, ("age", "identity"), known[split]) for split, examples in there.items()}
    return dealt(annotations, complete(rows, where, fractions, seed), decoded)


_TextOf = Callable[[Mapping[str, Any]], str]


def _keyed(builder: Any, split: str, columns: Sequence[Column], where: str) -> tuple[tf.data.Dataset, _TextOf, _TextOf]:
    """One split with its encoded pictures under `image`, and what gives the age and the identity of a row as text."""
    image, age, identity = columns
    examples, image_key = encoded(builder, split, image, where)
    features = builder.info.features
    scalars = scalar_keys(examples, image_key)

    def text_of(column: Column) -> _TextOf:
        key = column.choose(scalars, where)
        names = getattr(features[key], "names", None)

        def text(row: Mapping[str, Any]) -> str:
            value = row[key]
            if names:
                return names[value] if value >= 0 else ""
            return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

        return text

    def with_image(row: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {key: row[key] for key in scalars} | {"image": row[image_key]}

    is_known = identity.key is not None or any(key.lower() in identity.names for key in scalars)
    who = text_of(identity) if is_known else lambda row: ""
    return examples.map(with_image), text_of(age), lambda row: _who(who(row))
