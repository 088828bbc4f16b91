"""Texts with a class each: `{"text": tf.string, "label": tf.string}`, the label being the name of the class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf
from absl import logging

from keras_apps.data import demo_reviews, grouping
from keras_apps.data.folders import Folder, class_files, split_tables
from keras_apps.data.splits import Splits
from keras_apps.data.tables import MAX_FIELD, BadRows, Column, read_table, table_format
from keras_apps.errors import UserError

TEXT_NAMES = ("text", "sentence", "review", "comment", "content", "description", "body", "message", "tweet", "phrase")
LABEL_NAMES = ("label", "class", "sentiment", "category", "target", "polarity")
LAYOUTS = (
    "a .csv, .tsv or .jsonl table; a folder or .tar with train.csv (and dev.csv, test.csv); "
    "one with pos/*.txt and neg/*.txt, or train/pos/*.txt and so on; tables may be .gz"
)

Rows = list[tuple[str, str]]


def load(
    data: str | os.PathLike = "demo",
    *,
    text_key: str | None = None,
    label_key: str | None = None,
    max_bad_rows: int = 100,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> Splits:
    """Loads labelled texts, and carves the splits that the data lacks out of its training part.

    What is carved keeps near-duplicates and, as far as can be told, one topic on one side: else a validation score
    flatters, by about two points for film reviews. Training rows come shuffled by the seed.

    Args:
        data: `demo`, `tfds:NAME[/CONFIG]`, or the path of a table, a folder or a .tar.
        text_key: the column with the text, where it can't be guessed.
        label_key: the column with the class, where it can't be guessed.
        max_bad_rows: how many malformed rows to skip before giving up.
        validation_fraction: of the training rows, where the data has no validation split; 0 for none.
        test_fraction: of the training rows, where the data has no test split; 0 for none.
        seed: what the demo reviews are generated from and the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split.
    """
    if not (validation_fraction >= 0 and test_fraction >= 0 and validation_fraction + test_fraction < 1):
        raise UserError(
            f"validation_fraction={validation_fraction} and test_fraction={test_fraction}: neither may be "
            "negative, and together they must be below 1"
        )
    data = os.fspath(data)
    text = Column(TEXT_NAMES, "--text_key", text_key)
    label = Column(LABEL_NAMES, "--label_key", label_key)
    if data == "demo":
        rows = {split: [(r.text, r.label) for r in reviews] for split, reviews in demo_reviews.generate(seed).items()}
        return Splits(**{split: _dataset(split_rows) for split, split_rows in rows.items()})
    bad_rows = BadRows(max_bad_rows)
    rows = _read(Path(data), (text, label), bad_rows)
    bad_rows.summarize()
    return _complete(rows, data, validation_fraction, test_fraction, seed)


def _read(path: Path, columns: tuple[Column, Column], bad_rows: BadRows) -> dict[str, Rows]:
    """Reads a path in any of the layouts; returns the rows of the splits that are there."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; --data takes demo, tfds:NAME, or {LAYOUTS}")
    if path.is_file() and table_format(path.name):
        return {"train": [values for _, values in read_table(path, columns, bad_rows)]}
    if not Folder.is_one(path):
        raise UserError(f"{path}: not a kind of data that is understood; use {LAYOUTS}")
    folder = Folder(path, bad_rows)
    tables = split_tables(folder.names, str(path))
    if tables:
        split_of = {name: split for split, name in tables.items()}
        return {
            split_of[name]: [values for _, values in read_table(file, columns, bad_rows, f"{path}/{name}")]
            for name, file in folder.open(split_of)
        }
    classes = class_files(folder.names, (".txt",))
    if not classes:
        raise UserError(f"{path}: nothing that is understood; use {LAYOUTS}")
    place = {name: (split, label) for split, files in classes.items() for name, label in files}
    rows: dict[str, Rows] = {split: [] for split in classes}
    for name, file in folder.open(place):
        split, label = place[name]
        try:
            text = file.read(MAX_FIELD).decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            bad_rows.add(f"{path}/{name}", "not UTF-8")
            continue
        if text:
            rows[split].append((text, label))
        else:
            bad_rows.add(f"{path}/{name}", "empty")
    return rows


def _complete(rows: dict[str, Rows], where: str, validation_fraction: float, test_fraction: float, seed: int) -> Splits:
    """Checks the rows that were read and carves the splits they lack out of `train`."""
    for split, split_rows in rows.items():
        if not split_rows:
            raise UserError(f"{where}: there are no rows in the {split} split")
    if "train" not in rows:
        raise UserError(f"{where}: there is {' and '.join(rows)} but no train split to go with it")
    classes = Counter(label for _, label in rows["train"])
    if len(classes) < 2:
        raise UserError(f"{where}: every row has the class {next(iter(classes))!r}; at least two classes are needed")
    fractions = {"validation": validation_fraction, "test": test_fraction}
    missing = {split: fraction for split, fraction in fractions.items() if fraction and split not in rows}
    train = rows["train"]
    texts, labels = zip(*train, strict=True)
    parts = grouping.split(texts, labels, missing, seed)
    carved = {split: [train[index] for index in indices] for split, indices in parts.items()}
    for split in missing:
        if not carved[split]:
            raise UserError(
                f"{where}: {len(train)} rows are too few, or too alike, to carve a {split} split from; add some or set "
                "its fraction to 0"
            )
    logging.info("%s: %s", where, ", ".join(f"{len(r)} {split}" for split, r in {**rows, **carved}.items()))
    return Splits(**{split: _dataset(split_rows) for split, split_rows in {**rows, **carved}.items()})


def _dataset(rows: Iterable[tuple[str, str]]) -> tf.data.Dataset:
    texts, labels = zip(*rows, strict=True)
    return tf.data.Dataset.from_tensor_slices({"text": tf.constant(texts), "label": tf.constant(labels)})
