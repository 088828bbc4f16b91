"""Pictures to transfer styles between: `{"image": tf.uint8[height, width, 3], "role": tf.string}`.

The role is `content` or `style`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow as tf

from keras_apps.data import demo_textures
from keras_apps.data.folders import SPLITS, given_folder
from keras_apps.data.images import SUFFIXES, check_image
from keras_apps.data.pictures import IMAGE_NAMES, Pictures, complete, dataset, decoded, encoded, picked
from keras_apps.data.splits import Splits, check_fractions
from keras_apps.data.tables import BadRows, Column
from keras_apps.data.tfds_source import prepared
from keras_apps.errors import UserError

logger = logging.getLogger(__name__)

ROLES = {"content": "content", "contents": "content", "style": "style", "styles": "style"}
LAYOUTS = (
    "a folder, .tar or .zip with pictures in content/ and style/, or with pictures that are all content and --styles "
    "for the others; each may have train/, val/ and test/"
)
FEW = 10
"""Contents or styles that are not divided: styles are then in every part, contents all in training."""


@dataclasses.dataclass(frozen=True)
class _Source:
    """Some pictures, and what makes examples of those with some keys.

    Args:
        where: what to call them in messages.
        found: of each picture its role, its split, a digest of its content and its key.
        examples: keys -> `{"image": ...}` each, in any order.
        name: key -> what a person calls the picture.
    """

    where: str
    found: Sequence[tuple[str, str, Hashable, Any]]
    examples: Callable[[list[Any]], tf.data.Dataset]
    name: Callable[[Any], str]


def load(
    data: str | os.PathLike = "demo",
    *,
    styles: Sequence[str] = (),
    style: str = "",
    image_key: str | None = None,
    max_bad_rows: int = 100,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Splits:
    """Loads contents and styles, and carves the splits that they lack out of their training parts.

    Both are dealt out, so that what is validated and tested is of unseen contents in unseen styles; pictures that are
    the same are on one side. Fewer than 10 styles are in every part, and fewer than 10 contents in training alone. All
    pictures are looked through once; one that can't be read is skipped.

    Args:
        data: `demo` (generated landscapes and textures), `tfds:NAME[/CONFIG]`, or the path of a folder or a .tar.
        styles: where further styles are from, each the like: of `demo` the textures, of others all pictures.
        style: name of the one picture to take for a style, of all that there are; with or without its suffix.
        image_key: the picture's feature in a tensorflow-datasets set, where it can't be guessed.
        max_bad_rows: how many unreadable pictures to skip before giving up.
        validation_fraction: of the training pictures, where there is no validation split; 0 for none.
        test_fraction: of the training pictures, where there is no test split; 0 for none.
        split_seed: what the demo is generated from and the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split, or there is no such style.
    """
    fractions = check_fractions(validation_fraction, test_fraction)
    bad_rows = BadRows(max_bad_rows)
    column = Column(IMAGE_NAMES, "--image_key", image_key)
    sources = [_source(os.fspath(data), None, "--data", column, bad_rows, split_seed)]
    sources += [_source(each, "style", "--styles", column, bad_rows, split_seed) for each in styles]
    bad_rows.summarize()
    contents = _dealt("content", sources, fractions, split_seed)
    if not contents:
        raise UserError(f"{data}: there are no pictures in it that are content; use {LAYOUTS}")
    needed = {part: fraction for part, fraction in fractions.items() if part in contents}
    of_styles = _dealt("style", sources, needed, split_seed, only=style)
    parts = {}
    for part, keys in contents.items():
        both = [_examples(sources, keys, "content")]
        some = of_styles.get(part) or of_styles.get("train")
        if some and part != "left_out":
            both.append(_examples(sources, some, "style"))
        parts[part] = both[0] if len(both) == 1 else both[0].concatenate(both[1])
    return Splits(**parts)


def _dealt(
    role: str, sources: Sequence[_Source], fractions: dict[str, float], seed: int, only: str = ""
) -> dict[str, list[tuple[int, Any]]]:
    """Of each part the pictures of a role, by the number of their source and their key."""
    rows: dict[str, list] = defaultdict(list)
    names = []
    for number, source in enumerate(sources):
        for found, split, digest, key in source.found:
            name = PurePosixPath(source.name(key))
            if found == role and (not only or only in (name.name, name.stem)):
                rows[split].append((digest, (number, key)))
            elif found == role:
                names.append(name.name)
    if only and not rows:
        raise UserError(f"--style {only}: there is no such style; there are {', '.join(names[:6]) or 'none'}")
    if only and sum(map(len, rows.values())) > 1:
        raise UserError(f"--style {only}: there are several pictures of this name; rename one")
    if not rows:
        return {}
    where = " and ".join(source.where for source in sources if any(found == role for found, *_ in source.found))
    if sum(map(len, rows.values())) >= FEW or "train" not in rows:
        return complete(rows, f"{role}s of {where}", fractions, seed)
    everything = [key for split in rows.values() for _, key in split]
    if role == "content":
        if rows.keys() == {"train"} and any(fractions.values()):
            logger.info("contents of %s: %d, too few to hold any back", where, len(everything))
        return {part: [key for _, key in some] for part, some in rows.items()}
    logger.info("%ss of %s: %d, in every part", role, where, len(everything))
    return {"train": everything}


def _examples(sources: Sequence[_Source], keys: Sequence[tuple[int, Any]], role: str) -> tf.data.Dataset:
    of_sources: dict[int, list] = defaultdict(list)
    for number, key in keys:
        of_sources[number].append(key)
    first, *rest = [sources[number].examples(some) for number, some in of_sources.items()]
    for each in rest:
        first = first.concatenate(each)
    return first.map(lambda example: {"image": example["image"], "role": tf.constant(role)})


def _source(data: str, role: str | None, flag: str, column: Column, bad_rows: BadRows, seed: int) -> _Source:
    """Opens one set of pictures; those without a role of their own are content."""
    if data == "demo":
        found = [
            (its, split, picture.seed, picture)
            for split, roles in demo_textures.generate(seed).items()
            for its, pictures in roles.items()
            for picture in pictures
            if role in (None, its)
        ]

        def drawn(keys: list[demo_textures.Picture]) -> tf.data.Dataset:
            # Each is drawn when it is asked for.
            return dataset(range(len(keys)), lambda index: demo_textures.draw(keys[index]), {})

        return _Source("demo", found, drawn, lambda key: f"{key.kind}-{key.seed}")
    if data.startswith("tfds:"):
        return _of_tfds(data, role or "content", column, bad_rows)
    folder = given_folder(Path(data), LAYOUTS, bad_rows, flag)
    names = [name for name in folder.names if name.lower().endswith(SUFFIXES)]
    if not names:
        raise UserError(f"{data}: there are no pictures in it; use {LAYOUTS}")
    pictures = Pictures(folder, set(names))
    digests = pictures.check(bad_rows)
    places = {name: [part.lower() for part in PurePosixPath(name).parts[:-1]] for name in digests}

    def place(name: str, known: dict[str, str], default: str) -> str:
        return next((known[part] for part in places[name] if part in known), default)

    found = [
        (role or place(name, ROLES, "content"), place(name, SPLITS, "train"), digest, name)
        for name, digest in digests.items()
    ]
    return _Source(data, found, lambda keys: dataset(keys, pictures.read, {}), str)


def _of_tfds(data: str, role: str, column: Column, bad_rows: BadRows) -> _Source:
    builder = prepared(data.removeprefix("tfds:"))
    there: dict[str, tf.data.Dataset] = {}
    found = []
    for split in ("train", "validation", "test"):
        if split not in builder.info.splits:
            continue
        examples, key = encoded(builder, split, column, data)
        there[split] = examples.map(lambda row, key=key: {"image": row[key]})
        for index, row in enumerate(there[split].as_numpy_iterator()):
            try:
                check_image(row["image"], "the picture")
            except UserError as error:
                bad_rows.add(f"{data}: {split}[{index}]", str(error))
            else:
                found.append((role, split, hashlib.sha256(row["image"]).digest(), (split, index)))
    if not there:
        raise UserError(f"{data}: it has no train, validation or test split")

    return _Source(data, found, lambda keys: picked(there, keys).map(decoded, tf.data.AUTOTUNE), str)
