"""Pictures of classes, to be told from a few of each.

`{"image": tf.uint8[height, width, 3], "label": tf.int32, "group": tf.int32}`

A label is the number of a class, such as a character or a person; a group is that of what the class belongs to, such as
its alphabet. Where there are no groups all classes are in group 0; those from `layers.episodes.GENERATED` on are
invented. The parts share no class, and no group where there are several: what is learned must hold for classes that
were never seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tensorflow as tf

from keras_apps.data import demo_characters, grouping
from keras_apps.data.folders import SPLITS, Folder, given_folder
from keras_apps.data.images import MAX_BYTES, SUFFIXES, check_image, read_image
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
    scalar_keys,
)
from keras_apps.data.splits import Splits, check_fractions
from keras_apps.data.tables import BadRows, Column
from keras_apps.data.tfds_source import prepared
from keras_apps.errors import UserError
from keras_apps.layers.episodes import GENERATED

logger = logging.getLogger(__name__)

LABEL_NAMES = ("label", "class", "identity", "person", "category", "product")
GROUP_NAMES = ("alphabet", "group", "language", "domain")
LAYOUTS = (
    "a folder, .tar or .zip with a folder of pictures for each class (CLASS/1.png), or, as Omniglot has it, for each "
    "class of each group (ALPHABET/CHARACTER/1.png); in train/, val/ and test/, where there are such parts"
)
_PARTS = SPLITS | {"images_background": "train", "images_evaluation": "test"}
_DRAWERS = 10

_Picture = tuple[str, str, str, str]
"""Of one picture the split, the group, the class and the name in the folder."""


def load(
    data: str | os.PathLike = "demo",
    *,
    image_key: str | None = None,
    label_key: str | None = None,
    group_key: str | None = None,
    invented_alphabets: int | None = None,
    max_bad_rows: int = 100,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Splits:
    """Loads pictures of classes, and carves the splits that the data lacks out of its training part, by whole groups.

    Where there are fewer than three groups it is by whole classes. Classes with one picture only, pictures that can't
    be read, and those that a class has twice are skipped; classes that have a picture in common are on one side. Where
    the data brings its own parts, those of training that validation or test have too, and of validation those of test,
    are the `left_out` part. The pictures of a folder stay in their files; those of an archive are held in memory as
    they are, encoded.

    Args:
        data: `demo` (characters of invented alphabets), `tfds:NAME[/CONFIG]`, or the path of a folder, .tar or .zip.
        image_key: the feature of a tensorflow-datasets set that is the picture, where it can't be guessed.
        label_key: the one that is the class, likewise.
        group_key: the one that is the group, likewise.
        invented_alphabets: how many of them to train on besides; by default 60 beside a folder's alphabets, else none.
        max_bad_rows: how many pictures that are unreadable, repeated or alone in their class to skip before giving up.
        validation_fraction: of the training pictures, where the data has no validation split, and no less than two
            classes; 0 for none.
        test_fraction: of the training pictures, where the data has no test split, and no less than two classes; 0 for
            none.
        split_seed: what is generated, and what the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split.
    """
    fractions = check_fractions(validation_fraction, test_fraction)
    if invented_alphabets is not None and invented_alphabets < 0:
        raise UserError(f"invented_alphabets must be at least 0; received {invented_alphabets}")
    data = os.fspath(data)
    if data == "demo":
        drawings = demo_characters.generate(split_seed)
        splits = Splits(**{split: _drawn(some) for split, some in drawings.items()})
        return _with_invented(splits, invented_alphabets or 0, split_seed)
    bad_rows = BadRows(max_bad_rows)
    if data.startswith("tfds:"):
        keys = (
            Column(IMAGE_NAMES, "--image_key", image_key),
            Column(LABEL_NAMES, "--label_key", label_key),
            Column(GROUP_NAMES, "--group_key", group_key, optional=True),
        )
        splits = _load_tfds(data.removeprefix("tfds:"), keys, bad_rows, fractions, split_seed)
        return _with_invented(splits, invented_alphabets or 0, split_seed)
    folder = given_folder(Path(data), LAYOUTS, bad_rows)
    found = _classes(folder)
    pictures = Pictures(folder, {name for *_, name in found})
    digests = pictures.check(bad_rows)
    sound = _sound(found, digests, data, bad_rows)
    bad_rows.summarize()
    labels, groups = _numbers(label for _, _, label, _ in sound), _numbers(group for _, group, _, _ in sound)
    parts = _parts((split for split, *_ in found), sound, digests, data, fractions, split_seed)
    splits = Splits(
        **{
            part: dataset(
                [name for *_, name in some],
                pictures.read,
                _columns([labels[label] for _, _, label, _ in some], [groups[group] for _, group, _, _ in some]),
            )
            for part, some in parts.items()
        }
    )
    if invented_alphabets is None:
        invented_alphabets = 60 if len(groups) > 1 else 0
    return _with_invented(splits, invented_alphabets, split_seed)


def _columns(labels: Sequence[int], groups: Sequence[int]) -> dict[str, tf.Tensor]:
    return {"label": tf.constant(labels, tf.int32), "group": tf.constant(groups, tf.int32)}


# Generated ones.


def _drawn(drawings: Sequence[demo_characters.Drawing], before: int = 0) -> tf.data.Dataset:
    """Drawings that are made when they are asked for, as classes and groups that are numbered from `before` on."""
    return dataset(
        range(len(drawings)),
        lambda index: demo_characters.draw(drawings[index]),
        _columns(
            [before + each.character.number for each in drawings],
            [before + each.character.alphabet for each in drawings],
        ),
    )


def _with_invented(splits: Splits, alphabets: int, seed: int) -> Splits:
    if not alphabets or splits.train is None:
        return splits
    drawings = demo_characters.invent(alphabets, _DRAWERS, seed + 1)
    logger.info("%d generated drawings of %d invented alphabets to train on besides", len(drawings), alphabets)
    return dataclasses.replace(splits, added=_drawn(drawings, before=GENERATED))


# Folders.


def _classes(folder: Folder) -> list[_Picture]:
    """Finds the split, the group and the class of each picture, by the folders that it is in."""
    where = str(folder.path)
    paths = [PurePosixPath(name) for name in folder.names if name.lower().endswith(SUFFIXES)]
    if not paths:
        raise UserError(f"{where}: there are no pictures in it; use {LAYOUTS}")
    # What holds folders of classes can be a part; a class may be called as one is.
    part_of = {
        path: next((above for above in reversed(path.parents[1:]) if above.name.lower() in _PARTS), None)
        for path in paths
    }
    parts = {part for part in part_of.values() if part}
    above_parts = {above for part in parts for above in part.parents}
    found = []
    for path, part in part_of.items():
        label = path.parent
        if part:
            label = part.parent / label.relative_to(part)
        elif label == PurePosixPath() or label in above_parts or (parts and label.name.lower() in _PARTS):
            continue
        split = _PARTS[part.name.lower()] if part else "train"
        found.append((split, str(label.parent), str(label), str(path)))
    if not found:
        raise UserError(f"{where}: its pictures are in no folders of classes; use {LAYOUTS}")
    if len(found) < len(paths):
        logger.warning("%s: %d pictures are in no folder of a class and are left out", where, len(paths) - len(found))
    return found


def _sound(found: Sequence[_Picture], digests: Mapping[str, bytes], where: str, bad_rows: BadRows) -> list[_Picture]:
    """Those that can be read, of classes that have two or more, each once in its class."""
    first: dict[tuple[str, bytes], str] = {}
    sound = []
    for picture in found:
        _, _, label, name = picture
        if name not in digests:
            continue
        same = first.setdefault((label, digests[name]), name)
        if same == name:
            sound.append(picture)
        else:
            bad_rows.add(f"{where}/{name}", f"the same picture as {same}")
    counts = Counter((split, label) for split, _, label, _ in sound)
    for split, _, label, name in sound:
        if counts[split, label] == 1:
            bad_rows.add(f"{where}/{name}", "it is the only picture of its class; two or more make one")
    sound = [picture for picture in sound if counts[picture[0], picture[2]] > 1]
    if len({label for _, _, label, _ in sound}) < 2:
        raise UserError(f"{where}: there are not two classes with two or more pictures in it; use {LAYOUTS}")
    return sound


def _numbers(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(sorted(set(names)))}


def _parts(
    splits: Iterable[str],
    sound: Sequence[_Picture],
    digests: Mapping[str, bytes],
    where: str,
    fractions: dict[str, float],
    seed: int,
) -> dict[str, list[_Picture]]:
    """Carves the splits that are missing, by whole groups, or where there are fewer than three by whole classes.

    Those that have a picture in common stay together. Each that is carved gets two classes, where that leaves two to
    train on.

    Raises:
        UserError: if it gets one.
    """
    by_group = len({group for _, group, _, _ in sound}) > 2
    classes_of = Counter(digest for digest, _ in {(digests[name], label) for _, _, label, name in sound})
    if shared := sum(count > 1 for count in classes_of.values()):
        logger.warning("%s: %d pictures are in several classes; such classes are kept on one side", where, shared)
    ties = [[group if by_group else label, digests[name]] for _, group, label, name in sound]
    rows: dict[str, Rows] = {split: [] for split in splits}
    for picture, tie in zip(sound, grouping.tied(ties), strict=True):
        rows[picture[0]].append((tie, picture))
    taken = {tie for split in rows if split != "train" for tie, _ in rows[split]}
    classes = len({label for tie, (_, _, label, _) in rows.get("train", []) if tie not in taken})
    missing = {part: fraction for part, fraction in fractions.items() if fraction and part not in rows}
    raised = {part: max(fraction, 2 / max(classes, 1)) for part, fraction in missing.items()}
    if classes * (1 - sum(raised.values())) >= 2:
        missing = raised
    parts = complete(rows, where, missing, seed)
    for part in missing:
        if part in parts and len({label for _, _, label, _ in parts[part]}) < 2:
            raise UserError(
                f"{where}: of the {classes} classes to train on the {part} split gets one, which tells nothing apart; "
                f"set --{part}_fraction so high that it gets two, or to 0"
            )
    return parts


# Sets of tensorflow-datasets.


def _load_tfds(
    name: str, columns: Sequence[Column], bad_rows: BadRows, fractions: dict[str, float], seed: int
) -> Splits:
    """Goes through the splits of a data set once, and streams them from then on."""
    builder = prepared(name)
    where = f"tfds:{name}"
    there: dict[str, tf.data.Dataset] = {}
    found: list[_Picture] = []
    digests: dict[str, bytes] = {}
    for split in ("train", "validation", "test"):
        if split not in builder.info.splits:
            continue
        there[split], label_of, group_of = _keyed(builder, split, columns, where)
        for index, row in enumerate(there[split].as_numpy_iterator()):
            at = f"{split}[{index}]"
            try:
                check_image(row["image"], "the picture")
            except UserError as error:
                bad_rows.add(f"{where}: {at}", str(error))
                continue
            digests[at] = hashlib.sha256(row["image"]).digest()
            found.append((split, group_of(row), label_of(row), at))
    if not there:
        raise UserError(f"{where}: it has no train, validation or test split")
    sound = _sound(found, digests, where, bad_rows)
    bad_rows.summarize()
    labels, groups = _numbers(label for _, _, label, _ in sound), _numbers(group for _, group, _, _ in sound)
    places = {at: (split, int(at[len(split) + 1 : -1])) for split, _, _, at in sound}
    known = {split: np.full([len(examples), 2], -1, np.int32) for split, examples in there.items()}
    for _, group, label, at in sound:
        split, index = places[at]
        known[split][index] = labels[label], groups[group]
    annotations = {split: annotated(examples, ("label", "group"), known[split]) for split, examples in there.items()}
    parts = _parts(there, sound, digests, where, fractions, seed)
    return dealt(annotations, {part: [places[at] for *_, at in some] for part, some in parts.items()}, decoded)


_TextOf = Callable[[Mapping[str, Any]], str]


def _keyed(builder: Any, split: str, columns: Sequence[Column], where: str) -> tuple[tf.data.Dataset, _TextOf, _TextOf]:
    """One split with its encoded pictures under `image`, and what gives the class and the group of a row as text."""
    image, label, group = columns
    examples, image_key = encoded(builder, split, image, where)
    scalars = scalar_keys(examples, image_key)

    def text_of(column: Column) -> _TextOf:
        key = column.choose(scalars, where)
        return lambda row: row[key].decode(errors="replace") if isinstance(row[key], bytes) else str(row[key])

    is_grouped = group.key is not None or any(key.lower() in group.names for key in scalars)
    group_of = text_of(group) if is_grouped else lambda row: ""
    label_of = text_of(label)
    examples = examples.map(lambda row: {key: row[key] for key in scalars} | {"image": row[image_key]})
    return examples, lambda row: f"{group_of(row)}/{label_of(row)}", group_of


# Lake's runs.


def read_runs(path: str | os.PathLike) -> list[tuple[list[np.ndarray], list[np.ndarray], np.ndarray]]:
    """Reads the one-shot runs of Omniglot: the pictures, and which belong together.

    Each run is a folder (`run01`, ...) with `class_labels.txt`, whose lines name a test picture and the training
    picture of its class by their paths: `run01/test/item01.png run01/training/class08.png`.

    Args:
        path: of a folder, .tar or .zip that holds the runs, at any depth.

    Returns:
        For each run, in order, the training pictures, the test pictures, and the number of the right training picture
        of each.

    Raises:
        UserError: where it can't be read, holds no runs, or a line names a picture that is not there.
    """
    where = Path(path)
    if not where.exists() or not Folder.is_one(where):
        raise UserError(f"{where}: no such folder, .tar or .zip of one-shot runs")
    folder = Folder(where, BadRows(None))
    tables = sorted(name for name in folder.names if PurePosixPath(name).name == "class_labels.txt")
    if not tables:
        raise UserError(f"{where}: there is no class_labels.txt in it; it takes folders run01, run02, ... of Omniglot")
    lines = {table: _pairs(file.read(2**20), f"{where}/{table}") for table, file in folder.open(tables)}
    supports, queries = {}, {}
    for table, pairs in lines.items():
        root = PurePosixPath(table).parent.parent
        queries[table] = [(str(root / query), str(root / of_class)) for query, of_class in pairs]
        beside = PurePosixPath(queries[table][0][1]).parent
        supports[table] = sorted(
            name for name in folder.names if PurePosixPath(name).parent == beside and name.lower().endswith(SUFFIXES)
        )
        for query, of_class in queries[table]:
            if query not in folder.names or of_class not in supports[table]:
                missing = query if query not in folder.names else of_class
                raise UserError(f"{where}/{table}: it names {missing}, which is not there")
    wanted = {name for table in tables for name in (*supports[table], *(query for query, _ in queries[table]))}
    pictures = {
        name: read_image(io.BytesIO(file.read(MAX_BYTES + 1)), f"{where}/{name}") for name, file in folder.open(wanted)
    }
    return [
        (
            [pictures[name] for name in supports[table]],
            [pictures[query] for query, _ in queries[table]],
            np.array([supports[table].index(of_class) for _, of_class in queries[table]]),
        )
        for table in tables
    ]


def _pairs(content: bytes, where: str) -> list[tuple[str, str]]:
    lines = [line.split() for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if len(line) != 2:
            raise UserError(f"{where}:{number}: a line names a test and a training picture; this has {len(line)} names")
    if not lines:
        raise UserError(f"{where}: the file is empty")
    return [(query, of_class) for query, of_class in lines]
