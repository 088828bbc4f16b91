"""Pictures with sentences on them: `{"image": tf.uint8[height, width, 3], "captions": tf.string[n]}`.

Pictures are looked through once when they are loaded, and decoded when they are asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import operator
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, BinaryIO

import tensorflow as tf

from keras_apps.data import demo_scenes
from keras_apps.data.folders import SPLITS, Folder, given_folder, named_tables, only
from keras_apps.data.pictures import (
    IMAGE_NAMES,
    Pictures,
    Rows,
    chosen,
    complete,
    dataset,
    decoded,
    encoded,
    find_pictures,
)
from keras_apps.data.splits import Splits, check_fractions
from keras_apps.data.tables import CAPTION_NAMES, BadRows, Column, is_utf8, read_lines, read_table
from keras_apps.data.tfds_source import prepared
from keras_apps.errors import UserError

logger = logging.getLogger(__name__)

LAYOUTS = (
    "a folder, .tar or .zip with pictures and captions.csv (image, caption; or .tsv, .jsonl), or train/captions.csv "
    "and so on; with Flickr8k.token.txt and its lists of pictures; or with Karpathy's dataset_flickr8k.json or the like"
)
_NUMBERED = re.compile(rf"({'|'.join(CAPTION_NAMES)})s?[ _-]?\d+")
# Not Flickr8k.lemma.token.txt, which is beside Flickr8k.token.txt and has words without their endings.
_TOKENS = re.compile(r"(?!.*lemma).*token(\.txt)?")
_LISTS = re.compile(r"(?:.*[._])?(train|dev|val|test)images\.txt")
_KARPATHY = re.compile(r"dataset.*\.json")
_MAX_JSON = 2**30


@dataclasses.dataclass(frozen=True)
class _Entry:
    """What a file says of one picture: its split, its name as written there, and captions."""

    split: str
    picture: str
    captions: list[str]
    where: str


def load(
    data: str | os.PathLike = "demo",
    *,
    image_key: str | None = None,
    caption_key: str | None = None,
    max_bad_rows: int = 100,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Splits:
    """Loads captioned pictures, and carves the splits that the data lacks out of its training part.

    Splits are drawn by picture: all captions of one, and pictures of the same content, are on one side; where the
    data brings its own parts, pictures that validation or test have too are not trained on, and those that test has
    are not in validation; they are the `left_out` part, but for a set of tensorflow-datasets that has all three parts,
    which are taken as they are. A picture that can't be read is skipped with its captions. The
    pictures of a folder stay in their files; those of an archive are held in memory as they are, encoded. Training
    pictures come shuffled by split_seed.

    Args:
        data: `demo`, `tfds:NAME[/CONFIG]`, or the path of a folder or a .tar.
        image_key: the column with the picture's name, where it can't be guessed.
        caption_key: the column with the caption, where it can't be guessed.
        max_bad_rows: how many malformed rows and unreadable pictures to skip before giving up.
        validation_fraction: of the training pictures, where the data has no validation split; 0 for none.
        test_fraction: of the training pictures, where the data has no test split; 0 for none.
        split_seed: what the demo scenes are generated from and the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split.
    """
    fractions = check_fractions(validation_fraction, test_fraction)
    data = os.fspath(data)
    if data == "demo":
        return drawn(demo_scenes, split_seed)
    image, caption = Column(IMAGE_NAMES, "--image_key", image_key), Column(CAPTION_NAMES, "--caption_key", caption_key)
    if data.startswith("tfds:"):
        return load_tfds(data.removeprefix("tfds:"), image, caption, written_captions, fractions, split_seed)
    bad_rows = BadRows(max_bad_rows)
    folder = given_folder(Path(data), LAYOUTS, bad_rows)
    entries = list(_read(folder, image, caption, bad_rows))
    captions = _placed(entries, folder, bad_rows)
    pictures = Pictures(folder, {name for _, name in captions})
    digests = pictures.check(bad_rows)
    bad_rows.summarize()
    rows: dict[str, Rows] = {entry.split: [] for entry in entries} or {"train": []}
    for split, name in captions:
        if name in digests:
            rows[split].append((digests[name], (split, name)))
    parts = complete(rows, data, fractions, split_seed)
    return Splits(
        **{
            part: dataset([name for _, name in keys], pictures.read, {"captions": _ragged(map(captions.get, keys))})
            for part, keys in parts.items()
        }
    )


def drawn(demo: ModuleType, seed: int) -> Splits:
    """A generated set: its `generate(seed)` gives pictures with `captions`, and its `draw` the pixels of one."""
    return Splits(
        **{
            split: dataset(
                range(len(pictures)),
                # Each is drawn when it is asked for.
                lambda index, pictures=pictures: demo.draw(pictures[index]),
                {"captions": _ragged(picture.captions for picture in pictures)},
            )
            for split, pictures in demo.generate(seed).items()
        }
    )


def _ragged(captions: Iterable[Sequence[str]]) -> tf.RaggedTensor:
    captions = list(captions)
    flat = tf.constant([caption for texts in captions for caption in texts])
    return tf.RaggedTensor.from_row_lengths(flat, [len(texts) for texts in captions])


def _read(folder: Folder, image: Column, caption: Column, bad_rows: BadRows) -> Iterator[_Entry]:
    """Reads the captions of a folder in any of the layouts."""
    where = str(folder.path)
    names = {kind: [name for name in folder.names if kind.fullmatch(_base(name))] for kind in (_KARPATHY, _TOKENS)}
    if tables := named_tables(folder.names, "captions", where):
        split_of = {name: split for split, name in tables.items()}
        for name, file in folder.open(split_of):
            yield from _table_entries(file, f"{where}/{name}", split_of[name], image, caption, bad_rows)
    elif files := names[_KARPATHY]:
        for _, file in folder.open([only(files, where)]):
            yield from _karpathy_entries(file, f"{where}/{files[0]}", bad_rows)
    elif files := names[_TOKENS]:
        yield from _token_entries(folder, only(files, where), bad_rows)
    else:
        raise UserError(f"{where}: nothing that is understood; use {LAYOUTS}")


def _base(name: str) -> str:
    return PurePosixPath(name).name.lower()


def _table_entries(
    file: BinaryIO, where: str, split: str, image: Column, caption: Column, bad_rows: BadRows
) -> Iterator[_Entry]:
    def columns(header: Sequence[str], _: str) -> list[Column]:
        """One column of captions, or as many as there are with numbers."""
        numbered = [key for key in header if _NUMBERED.fullmatch(key.strip().lower())]
        if caption.key is None and numbered and not any(key.strip().lower() in CAPTION_NAMES for key in header):
            return [image, *(Column((), caption.flag, key, optional=True) for key in numbered)]
        return [image, caption]

    for line, (picture, *captions) in read_table(file, columns, bad_rows, where):
        yield _Entry(split, picture, list(filter(None, captions)), f"{where}:{line}")


def _token_entries(folder: Folder, tokens: str, bad_rows: BadRows) -> Iterator[_Entry]:
    """Lines `name.jpg#0<TAB>caption`, and lists of the pictures in each split (Hodosh et al. 2013, Flickr8k)."""
    lists = {name: SPLITS[match[1]] for name in folder.names if (match := _LISTS.fullmatch(_base(name)))}
    split_of: dict[str, str] = {}
    lines: list[str] = []
    where = f"{folder.path}/{tokens}"
    for name, file in folder.open([tokens, *lists]):
        if name == tokens:
            lines = list(read_lines(file, where))
        else:
            split_of |= {line.strip(): lists[name] for line in read_lines(file, f"{folder.path}/{name}")}
    unlisted = set()
    for number, line in enumerate(lines, 1):
        picture, _, caption = line.strip().partition("\t")
        picture = picture.rpartition("#")[0]
        if not picture or not caption.strip() or not is_utf8(line):
            bad_rows.add(f"{where}:{number}", "not `picture#number<TAB>caption` in UTF-8")
        elif lists and picture not in split_of:
            unlisted.add(picture)
        else:
            yield _Entry(split_of.get(picture, "train"), picture, [caption.strip()], f"{where}:{number}")
    if unlisted:
        logger.info("%s: %d pictures are in no split's list and are left out", where, len(unlisted))


def _karpathy_entries(file: BinaryIO, where: str, bad_rows: BadRows) -> Iterator[_Entry]:
    """A JSON object with pictures, their splits and sentences; see cs.stanford.edu/people/karpathy/deepimagesent."""
    content = file.read(_MAX_JSON + 1)
    try:
        if len(content) > _MAX_JSON:
            raise ValueError(f"longer than {_MAX_JSON:,} bytes")
        images = json.loads(content)["images"]
        if not isinstance(images, list):
            raise TypeError
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        problem = (
            f"broken JSON ({error})" if isinstance(error, ValueError | RecursionError) else "no list `images` in it"
        )
        raise UserError(f"{where}: {problem}; Karpathy's dataset_*.json is wanted") from error
    for number, image in enumerate(images):
        at = f"{where}: images[{number}]"
        try:
            split = "train" if image["split"] == "restval" else SPLITS[image["split"]]
            picture = f"{image.get('filepath', '')}/{image['filename']}".lstrip("/")
            captions = [sentence["raw"].strip() for sentence in image["sentences"]]
        except (KeyError, TypeError, AttributeError):
            bad_rows.add(at, "`filename`, `split` and `sentences` with `raw` are wanted")
            continue
        yield _Entry(split, picture, [caption for caption in captions if caption and is_utf8(caption)], at)


def _placed(entries: Sequence[_Entry], folder: Folder, bad_rows: BadRows) -> dict[tuple[str, str], list[str]]:
    """Finds the pictures' files; returns captions by split and name in the folder."""
    names = find_pictures(folder, [(entry.picture, entry.where) for entry in entries], bad_rows)
    captions: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry, name in zip(entries, names, strict=True):
        if name is not None and not entry.captions:
            bad_rows.add(entry.where, f"no caption of {entry.picture!r}")
        elif name is not None:
            captions[entry.split, name] += entry.captions
    return dict(captions)


CaptionsOf = Callable[[Mapping[str, Any], Mapping[str, Any], Column, str], Callable[[Mapping[str, Any]], tf.Tensor]]
"""From the features of a set, the specs of all but its pictures, the column wanted, and the set's name: what makes
`<string>[n]` of a row."""


def load_tfds(
    name: str,
    image: Column,
    caption: Column,
    captions_of: CaptionsOf,
    fractions: dict[str, float],
    seed: int,
) -> Splits:
    """Streams the splits of a data set; only where one must be carved are the pictures gone through first."""
    builder = prepared(name)
    where = f"tfds:{name}"
    there: dict[str, tf.data.Dataset] = {}
    for split, sources in (("train", ("train", "restval")), ("validation", ("validation",)), ("test", ("test",))):
        found = [source for source in sources if source in builder.info.splits]
        if found:
            examples = _captioned(builder, "+".join(found), image, caption, captions_of, where)
            if any(len(example["captions"]) for example in examples.take(1)):
                there[split] = examples
            else:
                logger.info("%s: the %s split has no captions and is left out", where, split)
    if not there:
        raise UserError(f"{where}: it has no captions in a train, validation or test split")
    if "train" in there and any(fraction and split not in there for split, fraction in fractions.items()):
        rows: dict[str, Rows] = {}
        for split, examples in there.items():
            images = examples.map(operator.itemgetter("image")).as_numpy_iterator()
            rows[split] = [(hashlib.sha256(image).digest(), (split, index)) for index, image in enumerate(images)]
        dealt = complete(rows, where, fractions, seed)
        train = there.pop("train")
        carved = {part: [index for _, index in keys] for part, keys in dealt.items() if part not in there}
        there |= {part: chosen(train, indices) for part, indices in carved.items()}
    return Splits(
        **{split: examples.map(decoded, num_parallel_calls=tf.data.AUTOTUNE) for split, examples in there.items()}
    )


def written_captions(
    features: Mapping[str, Any], spec: Mapping[str, Any], caption: Column, where: str
) -> Callable[[Mapping[str, Any]], tf.Tensor]:
    """The captions that a data set brings, one or several of a picture."""
    del features
    texts = {"/".join(path): path for path, one in _flat(spec) if one.dtype == tf.string and one.shape.rank in (0, 1)}
    path = texts[caption.choose(list(texts), where)]
    return lambda row: tf.reshape(functools.reduce(operator.getitem, path, row), [-1])


def _captioned(
    builder: Any, split: str, image: Column, caption: Column, captions_of: CaptionsOf, where: str
) -> tf.data.Dataset:
    examples, image_key = encoded(builder, split, image, where)
    spec = {key: value for key, value in examples.element_spec.items() if key != image_key}
    captions = captions_of(builder.info.features, spec, caption, where)

    @tf.autograph.experimental.do_not_convert
    def example(row: dict[str, Any]) -> dict[str, tf.Tensor]:
        return {"image": row[image_key], "captions": captions(row)}

    return examples.map(example)


def _flat(spec: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], tf.TensorSpec]]:
    """The dense tensors of a nested structure, each with the keys that lead to it."""
    for key, value in spec.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*above, key))
        elif isinstance(value, tf.TensorSpec):
            yield (*above, key), value
