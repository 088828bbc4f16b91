"""Pairs of pictures: `{"input": tf.uint8[height, width, 3], "target": tf.uint8[height, width, 3]}`.

A and B are what the two pictures of a pair are called by the data sets for pix2pix (Isola et al. 2017). Both are of one
size, which may differ from pair to pair.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tensorflow as tf

from keras_apps.data import demo_facades, grouping
from keras_apps.data.folders import SPLITS, Folder, given_folder
from keras_apps.data.images import SUFFIXES, read_image
from keras_apps.data.pictures import Pictures, Rows, complete, dealt
from keras_apps.data.splits import Splits, check_fractions
from keras_apps.data.tables import BadRows, Column
from keras_apps.data.tfds_source import prepared
from keras_apps.errors import UserError

DIRECTIONS = ("AtoB", "BtoA")
INPUT_NAMES = ("input_image", "input", "image", "image_left", "a")
TARGET_NAMES = ("real_image", "target", "segmentation_mask", "segmentation_label", "annotation", "mask", "b")
LAYOUTS = (
    "a folder, .tar or .zip of pictures that show A and B side by side; or with equally named pictures in A/ and B/, "
    "or in trainA/ and trainB/; each with train/, val/ and test/, or valA/ and so on, where there are such parts"
)
_SIDE = re.compile(rf"(?:({'|'.join(SPLITS)})[_-]?)?([ab])")

_Pair = tuple[str, tuple[str, ...]]
"""The split of a pair, and its one or two files."""


def load(
    data: str | os.PathLike = "demo",
    *,
    direction: str = "AtoB",
    input_key: str | None = None,
    target_key: str | None = None,
    max_bad_rows: int = 100,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Splits:
    """Loads pairs of pictures, and carves the splits that the data lacks out of its training part.

    Pairs that share a picture, unless it is of one plain colour as an empty mask is, are on one side; where the data
    brings its own parts, training pairs that share one with validation or test, and validation pairs that share one
    with test, are in neither, but are the `left_out` part. All pictures are looked through once; a pair of which one
    can't be read is skipped. The pictures of a folder stay in their files; those of an archive are held in memory as
    they are, encoded. Training pairs of a folder come shuffled by split_seed.

    Args:
        data: `demo` (A is the map of a house front, B its photo), `tfds:NAME[/CONFIG]`, or the path of a folder or a
            .tar.
        direction: `AtoB`, or `BtoA` to make A out of B.
        input_key: A's feature in a tensorflow-datasets set, where it can't be guessed.
        target_key: B's.
        max_bad_rows: how many unreadable pictures, and pairs that are none, to skip before giving up.
        validation_fraction: of the training pairs, where the data has no validation split; 0 for none.
        test_fraction: of the training pairs, where the data has no test split; 0 for none.
        split_seed: what the demo facades are generated from and the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split.
    """
    fractions = check_fractions(validation_fraction, test_fraction)
    if direction not in DIRECTIONS:
        raise UserError(f"direction={direction!r}: it must be {' or '.join(DIRECTIONS)}")
    data = os.fspath(data)
    if data == "demo":
        return Splits(
            **{
                # Each is drawn when it is asked for.
                split: _dataset(
                    range(len(facades)), lambda i, facades=facades: demo_facades.draw(facades[i]), direction
                )
                for split, facades in demo_facades.generate(split_seed).items()
            }
        )
    bad_rows = BadRows(max_bad_rows)
    if data.startswith("tfds:"):
        keys = Column(INPUT_NAMES, "--input_key", input_key), Column(TARGET_NAMES, "--target_key", target_key)
        return _load_tfds(data.removeprefix("tfds:"), keys, direction, bad_rows, fractions, split_seed)
    folder = given_folder(Path(data), LAYOUTS, bad_rows)
    pairs = _pairs(folder, bad_rows)
    pictures = Pictures(folder, {name for _, names in pairs for name in names})
    digests = pictures.check(bad_rows)
    sound = [
        (split, names)
        for split, names in pairs
        if all(name in digests for name in names) and _is_pair(names, pictures.sizes, data, bad_rows)
    ]
    bad_rows.summarize()
    counts = Counter(digests[name] for _, names in sound for name in names)
    plain = {digests[name] for name in digests if counts[digests[name]] > 1 and _is_plain(pictures.read(name.encode()))}
    ties = [[digests[name] for name in names if digests[name] not in plain] for _, names in sound]
    rows: dict[str, Rows] = {split: [] for split, _ in pairs} or {"train": []}
    for (split, names), group in zip(sound, grouping.tied(ties), strict=True):
        rows[split].append((group, names))

    def read(names: Sequence[bytes]) -> Sequence[np.ndarray]:
        found = [pictures.read(name) for name in names]
        return np.split(found[0], 2, axis=1) if len(found) == 1 else found

    parts = complete(rows, data, fractions, split_seed)
    return Splits(**{part: _dataset(keys, read, direction) for part, keys in parts.items()})


def _pairs(folder: Folder, bad_rows: BadRows) -> list[_Pair]:
    """Finds the files of each pair in any of the layouts."""
    where = str(folder.path)
    places = {name: _place(name) for name in folder.names if name.lower().endswith(SUFFIXES)}
    if not places:
        raise UserError(f"{where}: there are no pictures in it; use {LAYOUTS}")
    if any(side for _, side, _ in places.values()):
        return _siblings(places, where, bad_rows)
    roots = sorted({str(PurePosixPath(rest).parent) for _, _, rest in places.values()})
    if len(roots) > 1:
        raise UserError(f"{where}: there are pictures in {' and in '.join(roots[:3])}; use {LAYOUTS}")
    return [(split, (name,)) for name, (split, _, _) in places.items()]


def _place(name: str) -> tuple[str, str, str]:
    """The split that a picture is in, the side (`a`, `b`, or none), and the rest of its path, without the suffix."""
    split, side, rest = "train", "", []
    for folder in PurePosixPath(name).parts[:-1]:
        if match := _SIDE.fullmatch(folder.lower()):
            split, side = SPLITS.get(match[1], split), match[2]
        elif folder.lower() in SPLITS:
            split = SPLITS[folder.lower()]
        else:
            rest.append(folder)
    return split, side, str(PurePosixPath(*rest, PurePosixPath(name).stem))


def _siblings(places: dict[str, tuple[str, str, str]], where: str, bad_rows: BadRows) -> list[_Pair]:
    found: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    example: dict[tuple[str, str], str] = {}
    for name, (split, side, rest) in places.items():
        if side:
            found[split, rest][side].append(name)
            example.setdefault((split, side), str(PurePosixPath(name).parent))
        else:
            bad_rows.add(f"{where}/{name}", "it is neither in a folder A nor in a folder B")
    for split, side in example:
        other = "ba"["ab".index(side)]
        if (split, other) not in example:
            raise UserError(
                f"{where}: the pictures in {example[split, side]} have no partners: there is no folder "
                f"{other.upper()} of the {split} split; use {LAYOUTS}"
            )
    pairs = []
    for (split, _), sides in found.items():
        names = [*sides["a"], *sides["b"]]
        if len(sides["a"]) == len(sides["b"]) == 1:
            pairs.append((split, tuple(names)))
        elif len(names) == 1:
            bad_rows.add(f"{where}/{names[0]}", f"it has no partner in {'B' if sides['a'] else 'A'}")
        else:
            bad_rows.add(
                f"{where}/{names[0]}", f"{' and '.join(names[1:])} go by the same name; keep one pair", len(names)
            )
    return pairs


def _is_pair(names: Sequence[str], sizes: dict[str, tuple[int, int]], where: str, bad_rows: BadRows) -> bool:
    """Tells whether two pictures are of one size, or one can be halved; if not, it is a bad row."""
    problem = ""
    (height, width), *other = (sizes[name] for name in names)
    if other:
        problem = _mismatch(sizes[names[0]], other[0], names[1])
    elif width % 2:
        problem = f"{width} x {height} pixels; two pictures side by side have an even width"
    if problem:
        bad_rows.add(f"{where}/{names[0]}", problem)
    return not problem


def _mismatch(size: Sequence[int], other: Sequence[int], name: str) -> str:
    (height, width), (other_height, other_width) = size, other
    if (height, width) == (other_height, other_width):
        return ""
    return f"{width} x {height} pixels, but {name} has {other_width} x {other_height}; a pair must be of one size"


def _is_plain(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[0, 0]).all())


def _dataset(
    keys: Sequence[int] | Sequence[tuple[str, ...]], read: Callable[[Any], Sequence[np.ndarray]], direction: str
) -> tf.data.Dataset:
    """Pairs that are read by their keys when they are asked for."""
    keys = tf.constant(keys)

    @tf.autograph.experimental.do_not_convert
    def example(index: tf.Tensor) -> dict[str, tf.Tensor]:
        return _example(tf.numpy_function(read, [keys[index]], [tf.uint8] * 2), direction)

    return tf.data.Dataset.range(keys.shape[0]).map(example, num_parallel_calls=tf.data.AUTOTUNE)


def _example(pair: Sequence[tf.Tensor], direction: str) -> dict[str, tf.Tensor]:
    a, b = (tf.ensure_shape(picture, [None, None, 3]) for picture in pair)
    return {"input": a, "target": b} if direction == "AtoB" else {"input": b, "target": a}


def _load_tfds(
    name: str,
    columns: tuple[Column, Column],
    direction: str,
    bad_rows: BadRows,
    fractions: dict[str, float],
    seed: int,
) -> Splits:
    """Goes through the splits of a data set once, and streams them from then on."""
    import tensorflow_datasets as tfds

    builder = prepared(name)
    where = f"tfds:{name}"
    features = builder.info.features
    images = [key for key in features if isinstance(features[key], tfds.features.Image)]
    keys = [column.choose(images, where) for column in columns]
    encoded: dict[str, tf.data.Dataset] = {}
    found: list[tuple[str, int]] = []
    ties: list[list[bytes]] = []
    for split in ("train", "validation", "test"):
        if split not in builder.info.splits:
            continue
        examples = builder.as_dataset(split=split, decoders={key: tfds.decode.SkipDecoding() for key in keys})
        encoded[split] = examples.map(lambda row: tuple(row[key] for key in keys))
        checked = encoded[split].map(
            lambda a, b: tf.numpy_function(lambda *pair: _checked(pair, keys), [a, b], [tf.string] * 3),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        for index, (problem, *digests) in enumerate(checked.as_numpy_iterator()):
            if problem:
                bad_rows.add(f"{where}: {split}[{index}]", problem.decode())
            else:
                found.append((split, index))
                ties.append([digest for digest in digests if digest])
    bad_rows.summarize()
    if not encoded:
        raise UserError(f"{where}: it has no train, validation or test split")
    rows: dict[str, Rows] = {split: [] for split in encoded}
    for (split, index), group in zip(found, grouping.tied(ties), strict=True):
        rows[split].append((group, (split, index)))

    def decoded(a: bytes, b: bytes) -> list[np.ndarray]:
        return [read_image(io.BytesIO(content), key) for content, key in zip((a, b), keys, strict=True)]

    @tf.autograph.experimental.do_not_convert
    def example(a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return _example(tf.numpy_function(decoded, [a, b], [tf.uint8] * 2), direction)

    return dealt(encoded, complete(rows, where, fractions, seed), example)


def _checked(pair: Sequence[bytes], keys: Sequence[str]) -> tuple[bytes, bytes, bytes]:
    """What is wrong with a pair, if anything, and the digests of the two pictures, empty where one is plain."""
    try:
        a, b = (read_image(io.BytesIO(content), key) for content, key in zip(pair, keys, strict=True))
    except UserError as error:
        return str(error).encode(), b"", b""
    if problem := _mismatch(a.shape[:2], b.shape[:2], keys[1]):
        return f"{keys[0]}: {problem}".encode(), b"", b""
    digests = (
        b"" if _is_plain(pixels) else hashlib.sha256(content).digest()
        for pixels, content in zip((a, b), pair, strict=True)
    )
    return b"", *digests
