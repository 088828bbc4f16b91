"""What all sets of pictures share: they are found, looked through once, dealt out, and decoded when asked for."""

from __future__ import annotations

import hashlib
import io
import logging
import operator
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import tensorflow as tf

from keras_apps.data import grouping
from keras_apps.data.folders import SPLITS, Folder
from keras_apps.data.images import MAX_BYTES, check_image, read_image
from keras_apps.data.splits import Splits, check_carved, leave_out_scored
from keras_apps.data.tables import BadRows, Column
from keras_apps.errors import UserError
from keras_apps.layers.images import decode_image

logger = logging.getLogger(__name__)

IMAGE_NAMES = ("image", "image_name", "filename", "file_name", "file", "path", "picture")
"""What a column with the names of pictures is called."""

Rows = list[tuple[Hashable, Any]]
"""Of each picture what must stay together with it, such as the digest of its content, and what it is known by."""

_FAR = 2
"""How far off a picture is that has nothing but its base name in common with what a table names."""


def find_pictures(folder: Folder, named: Sequence[tuple[str, str]], bad_rows: BadRows) -> list[str | None]:
    """Finds the one file that is meant by each picture that a table names.

    It is where its name says, or else below the table, or anywhere, by the end of its path. A namesake in another
    folder is taken only if no other row means it, and nothing is taken from another split's folder.

    Args:
        folder: where all of them are.
        named: of each picture its name, or the end of its path, and the table and line that name it.
        bad_rows: where a picture is counted, once a table, of which there is no file, or several.

    Returns:
        The names in the folder; None for those that are bad rows.
    """
    by_end: dict[str, list[PurePosixPath]] = defaultdict(list)
    as_named = {_composed(name): name for name in folder.names}
    for path in as_named:
        for start in range(len(path.parts)):
            by_end["/".join(path.parts[start:])].append(path)
    root = f"{folder.path}/"
    keys = [(where.removeprefix(root).partition(":")[0], picture) for picture, where in named]
    matches: dict[tuple[str, str], tuple[PurePosixPath | None, int]] = {}
    claims: dict[PurePosixPath | None, set[tuple[int, PurePosixPath]]] = defaultdict(set)
    for table, picture in dict.fromkeys(keys):
        wanted = _composed(picture.replace("\\", "/"))
        matches[table, picture] = path, distance = _search(_composed(table), wanted, by_end)
        claims[path].add((distance, wanted))

    found: list[str | None] = []
    reported = set()
    for key, (picture, where) in zip(keys, named, strict=True):
        path, distance = matches[key]
        is_meant = path and distance == min(claims[path])[0] and (distance < _FAR or len(claims[path]) == 1)
        found.append(as_named[path] if is_meant else None)
        if found[-1] is None and key not in reported:
            reported.add(key)
            bad_rows.add(where, f"there is no picture {picture!r}, or there are several")
    return found


def _composed(path: str) -> PurePosixPath:
    """The same however accents are written: a Mac makes them marks of their own, and a table most likely does not."""
    return PurePosixPath(unicodedata.normalize("NFC", path))


def _search(
    table: PurePosixPath, wanted: PurePosixPath, by_end: Mapping[str, Sequence[PurePosixPath]]
) -> tuple[PurePosixPath | None, int]:
    """The one file, of those whose path ends so, and whether it is there (0), elsewhere (1) or a namesake (2)."""
    exact = PurePosixPath(posixpath.normpath(table.parent / wanted))
    if exact in by_end.get(str(exact), ()):
        return exact, 0
    split = _split_of(table / wanted.parent)

    def near(end: str) -> list[PurePosixPath]:
        paths = by_end.get(end, ())
        return [path for path in paths if not split or _split_of(path.parent) in (None, split)]

    ends = near(str(wanted))
    below = [path for path in ends if path.is_relative_to(table.parent)]
    for paths, distance in ((below, 1), (ends, 1), ([] if ends else near(wanted.name), _FAR)):
        if paths:
            return (paths[0] if len(paths) == 1 else None), distance
    return None, _FAR


def _split_of(path: PurePosixPath) -> str | None:
    """The split that the last of its parts is named for that is named for one."""
    return next((SPLITS[name] for part in reversed(path.parts) if (name := part.lower().split(".")[0]) in SPLITS), None)


class Pictures:
    """The pictures of a folder, by name; those of an archive are kept in memory, since it can't be read at random."""

    def __init__(self, folder: Folder, names: set[str]) -> None:
        self._path = folder.path
        self._names = sorted(names)
        self.sizes: dict[str, tuple[int, int]] = {}
        """Height and width of each that can be read, once they are checked."""
        self._contents: dict[str, bytes] | None = None
        if not folder.path.is_dir():
            self._contents = {name: file.read(MAX_BYTES + 1) for name, file in folder.open(names)}

    def check(self, bad_rows: BadRows) -> dict[str, bytes]:
        """Looks through all pictures; returns, by name, the digest of the content of each that can be read."""
        with ThreadPool() as pool:
            checked = list(zip(self._names, pool.imap(self._check, self._names, chunksize=16), strict=True))
        digests = {}
        for name, (digest, size, problem) in checked:
            if problem:
                bad_rows.add(f"{self._path}/{name}", problem)
            else:
                digests[name], self.sizes[name] = digest, size
        return digests

    def read(self, name: bytes) -> np.ndarray:
        """The pixels of a picture."""
        return read_image(io.BytesIO(self._content(name.decode())), f"{self._path}/{name.decode()}")

    def _check(self, name: str) -> tuple[bytes, tuple[int, int], str]:
        try:
            content = self._content(name)
            size = check_image(content, name)
        except (OSError, UserError) as error:
            return b"", (0, 0), str(error).removeprefix(f"{name}: ")
        return hashlib.sha256(content).digest(), size, ""

    def _content(self, name: str) -> bytes:
        if self._contents is not None:
            return self._contents[name]
        with open(self._path / name, "rb") as file:
            return file.read(MAX_BYTES + 1)


def complete(rows: Mapping[str, Rows], where: str, fractions: Mapping[str, float], seed: int) -> dict[str, list[Any]]:
    """Carves the splits that are missing out of the training pictures; keeps together what belongs together.

    Training pictures that belong with one of validation or test are `left_out`, and so are those of validation that
    belong with one of test.

    Raises:
        UserError: if a split has no pictures, none but those of test, or too few to carve another out of it.
    """
    for split, part in rows.items():
        if not part:
            raise UserError(f"{where}: there are no pictures in the {split} split that can be used")
    kept, left_out = leave_out_scored(rows, operator.itemgetter(0), where, "pictures")
    parts = {split: [key for _, key in kept[split]] for split in rows if split != "train"}
    if "train" in rows:
        pool = kept["train"]
        missing = {split: fraction for split, fraction in fractions.items() if fraction and split not in parts}
        numbers: dict[Hashable, int] = {}
        groups = [numbers.setdefault(group, len(numbers)) for group, _ in pool]
        dealt = grouping.split_groups(groups, [""] * len(pool), missing, seed)
        check_carved(dealt, where)
        parts = {split: [pool[index][1] for index in indices] for split, indices in dealt.items()} | parts
    if left_out:
        logger.info("%s: %d pictures that validation or test have too are left out", where, len(left_out))
        parts["left_out"] = [key for _, key in left_out]
    logger.info("%s: %s", where, ", ".join(f"{len(part)} {split}" for split, part in parts.items()))
    return parts


def dataset(
    keys: Sequence[str] | Sequence[int],
    read: Callable[[Any], np.ndarray],
    columns: Mapping[str, tf.Tensor | tf.RaggedTensor],
) -> tf.data.Dataset:
    """Examples whose `image` is read by its key when it is asked for, with a value of each column."""
    keys = tf.constant(keys)

    @tf.autograph.experimental.do_not_convert
    def example(index: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.numpy_function(read, [keys[index]], tf.uint8)
        values = {name: column[index] for name, column in columns.items()}
        return {"image": tf.ensure_shape(image, [None, None, 3])} | values

    return tf.data.Dataset.range(keys.shape[0]).map(example, num_parallel_calls=tf.data.AUTOTUNE)


def encoded(builder: Any, split: str, image: Column, where: str) -> tuple[tf.data.Dataset, str]:
    """One split of a tensorflow-datasets set, its pictures still encoded, and the key that they are under.

    So they can be told apart and dealt out cheaply.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    key = image.choose([key for key in features if isinstance(features[key], tfds.features.Image)], where)
    return builder.as_dataset(split=split, decoders={key: tfds.decode.SkipDecoding()}), key


def scalar_keys(examples: tf.data.Dataset, image_key: str) -> list[str]:
    """What else than its picture is said of an example in one value."""
    return [
        key
        for key, spec in examples.element_spec.items()
        if key != image_key and isinstance(spec, tf.TensorSpec) and spec.shape.rank == 0
    ]


def annotated(examples: tf.data.Dataset, names: Sequence[str], values: np.ndarray) -> tf.data.Dataset:
    """The pictures, each with what was found out about it: a column of `<int>[examples, names]` under each name."""
    columns = dict(zip(names, tf.unstack(tf.constant(values), axis=1), strict=True))
    return examples.enumerate().map(
        lambda index, row: {"image": row["image"]} | {name: column[index] for name, column in columns.items()}
    )


@tf.autograph.experimental.do_not_convert
def decoded(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The same example with its `image` as pixels."""
    return example | {"image": decode_image(example["image"])}


def dealt(
    examples: Mapping[str, tf.data.Dataset],
    parts: Mapping[str, Sequence[tuple[str, int]]],
    decode: Callable[..., Any],
) -> Splits:
    """The completed splits of a tensorflow-datasets set.

    Args:
        examples: of each split that is there, still encoded.
        parts: of each split that is wanted, its examples: the split they are in, and their numbers there.
        decode: an encoded example, to what is trained on.
    """
    return Splits(**{part: picked(examples, places).map(decode, tf.data.AUTOTUNE) for part, places in parts.items()})


def picked(examples: Mapping[str, tf.data.Dataset], places: Sequence[tuple[str, int]]) -> tf.data.Dataset:
    """The examples in these splits with these numbers there, split by split."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for split, number in places:
        numbers[split].append(number)
    first, *rest = (chosen(examples[split], some) for split, some in numbers.items())
    for each in rest:
        first = first.concatenate(each)
    return first


def chosen(examples: tf.data.Dataset, indices: Sequence[int]) -> tf.data.Dataset:
    """The examples with these numbers, in their own order."""
    is_chosen = tf.scatter_nd(tf.constant(indices, tf.int64)[:, None], [True] * len(indices), [examples.cardinality()])
    some = examples.enumerate().filter(lambda index, _: is_chosen[index]).map(lambda _, example: example)
    return some.apply(tf.data.experimental.assert_cardinality(len(indices)))
