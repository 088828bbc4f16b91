"""Texts with a class each: `{"text": tf.string, "label": tf.string}`, the label being the name of the class."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from keras_apps.data import demo_reviews, grouping
from keras_apps.data.folders import class_files, given_folder, split_tables
from keras_apps.data.splits import Splits, check_carved, check_fractions, check_given, leave_out_scored
from keras_apps.data.tables import MAX_FIELD, TEXT_NAMES, BadRows, Column, read_table, table_format
from keras_apps.data.tfds_source import prepared
from keras_apps.errors import UserError, shortened

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

LABEL_NAMES = ("label", "class", "sentiment", "category", "target", "polarity")
LAYOUTS = (
    "a .csv, .tsv or .jsonl table; a folder, .tar or .zip with train.csv (and dev.csv, test.csv); "
    "one with pos/*.txt and neg/*.txt, or train/pos/*.txt and so on; tables may be .gz"
)

_FEW_CLASSES = 100

Rows = list[tuple[str, str]]


def load(
    data: str | os.PathLike = "demo",
    *,
    text_key: str | None = None,
    label_key: str | None = None,
    max_bad_rows: int = 100,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
) -> Splits:
    """Loads labelled texts, and carves the splits that the data lacks out of its training part.

    What is carved keeps near-duplicates and, as far as can be told, one topic on one side: else a validation score
    flatters. Where a file or folder brings its own parts, training texts that validation or test have too, case and
    punctuation aside, are not trained on, and those that test has are not in validation; they are the `left_out` part.
    Training rows come shuffled by split_seed.

    Args:
        data: `demo`, `tfds:NAME[/CONFIG]`, or the path of a table, a folder or a .tar.
        text_key: the column with the text, where it can't be guessed.
        label_key: the column with the class, where it can't be guessed.
        max_bad_rows: how many malformed rows to skip before giving up.
        validation_fraction: of the training rows, where the data has no validation split; 0 for none.
        test_fraction: of the training rows, where the data has no test split; 0 for none.
        split_seed: what the demo reviews are generated from and the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split.
    """
    fractions = check_fractions(validation_fraction, test_fraction)
    data = os.fspath(data)
    text = Column(TEXT_NAMES, "--text_key", text_key)
    label = Column(LABEL_NAMES, "--label_key", label_key)
    if data == "demo":
        rows = {
            split: [(r.text, r.label) for r in reviews] for split, reviews in demo_reviews.generate(split_seed).items()
        }
        return Splits(**{split: _dataset(split_rows) for split, split_rows in rows.items()})
    if data.startswith("tfds:"):
        return _load_tfds(data.removeprefix("tfds:"), text, label, fractions, split_seed)
    bad_rows = BadRows(max_bad_rows)
    rows = _read(Path(data), (text, label), bad_rows)
    bad_rows.summarize()
    check_given(rows, data)
    rows, left_out = leave_out_scored(rows, lambda row: grouping.normalized(row[0]), data, "texts")
    _check_labels(rows, data)
    train = rows.pop("train", None)
    if left_out:
        logger.info("%s: %d texts that validation or test have too are left out", data, len(left_out))
        rows["left_out"] = left_out
    others = {split: _dataset(rows[split]) for split in rows}
    return _complete(train, others, data, fractions, split_seed) if train else Splits(**others)


def _read(path: Path, columns: tuple[Column, Column], bad_rows: BadRows) -> dict[str, Rows]:
    """Reads a path in any of the layouts; returns the rows of the splits that are there."""
    if path.is_file() and table_format(path.name):
        return {"train": [values for _, values in read_table(path, columns, bad_rows)]}
    folder = given_folder(path, LAYOUTS, bad_rows)
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
    unplaced = [name for name in folder.names if name.lower().endswith(".txt") and name not in place]
    if unplaced:
        logger.info("%s: %d texts are in no class and left out, such as %s", path, len(unplaced), unplaced[0])
    rows: dict[str, Rows] = {split: [] for split in classes}
    for name, file in folder.open(place):
        split, label = place[name]
        content = file.read(MAX_FIELD + 1)
        try:
            text = content.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            bad_rows.add(f"{path}/{name}", "not UTF-8")
            continue
        if text and len(content) <= MAX_FIELD:
            rows[split].append((text, label))
        else:
            bad_rows.add(f"{path}/{name}", f"longer than {MAX_FIELD:,} bytes" if text else "empty")
    return rows


def _check_labels(rows: dict[str, Rows], where: str) -> None:
    """Warns of given parts with classes that training does not have.

    Raises:
        UserError: where validation has no others, so that nothing could be chosen by it.
    """
    if not rows.get("train"):
        return
    known = {label for _, label in rows["train"]}
    for split in ("validation", "test"):
        unknown = [label for _, label in rows.get(split, ()) if label not in known]
        if not unknown:
            continue
        names = shortened(", ".join(sorted(set(unknown))), 100)
        said = f"{where}: {len(unknown)} of the {len(rows[split])} {split} examples have a class that training has not"
        if split == "validation" and len(unknown) == len(rows[split]):
            raise UserError(f"{said}: {names}; training has {shortened(', '.join(sorted(known)), 100)}")
        logger.warning("%s: %s", said, names)


def _load_tfds(name: str, text: Column, label: Column, fractions: dict[str, float], seed: int) -> Splits:
    """Streams the splits of a data set; only where one must be carved is the training part read into memory."""
    builder = prepared(name)
    where = f"tfds:{name}"
    parts: dict[str, tf.data.Dataset] = {}
    for split in ("train", "validation", "test"):
        if split in builder.info.splits:
            examples = builder.as_dataset(split=split)
            text_key = text.choose(list(examples.element_spec), where)
            label_key = label.choose(list(examples.element_spec), where)
            feature = builder.info.features[label_key]
            _check_spec(examples.element_spec, text_key, label_key, where)
            examples = _labelled(examples, label_key, feature, f"{where}: {split}")
            if examples is not None:
                parts[split] = examples.map(functools.partial(_as_example, text_key, label_key, feature))
    if "train" not in parts:
        raise UserError(f"{where}: it has no train split; its splits are: {', '.join(builder.info.splits)}")
    if "test" not in parts and "validation" in parts:
        # Published scores of such sets (GLUE's) are those on their validation split, so it must not choose the model.
        parts["test"] = parts.pop("validation")
        logger.info("%s: the validation split serves as the test split", where)
    if all(split in parts or not fraction for split, fraction in fractions.items()):
        return Splits(**parts)
    train = [(row["text"].decode(), row["label"].decode()) for row in parts.pop("train").as_numpy_iterator()]
    return _complete(train, parts, where, fractions, seed)


def _check_spec(spec: dict[str, tf.TensorSpec], text_key: str, label_key: str, where: str) -> None:
    for key, is_fit, flag in (
        (text_key, lambda dtype: dtype == tf.string, "--text_key"),
        (label_key, lambda dtype: dtype == tf.string or dtype == tf.bool or dtype.is_integer, "--label_key"),
    ):
        found = spec[key]
        if not isinstance(found, tf.TensorSpec) or found.shape.rank != 0 or not is_fit(found.dtype):
            raise UserError(f"{where}: {key!r} holds no {flag[2:-4]} but {found}; name another with {flag}")


def _labelled(
    examples: tf.data.Dataset, key: str, feature: tfds.features.FeatureConnector, where: str
) -> tf.data.Dataset | None:
    """Leaves out what has no class, which is -1 there; None of test splits that are kept secret, with -1 throughout."""
    if not hasattr(feature, "num_classes"):
        return examples
    # Many at a time: one by one, the way into Python takes ten times as long as to read them.
    masks = examples.map(lambda row: row[key] >= 0).batch(4096)
    has_label = np.concatenate([np.zeros(0, bool), *masks.as_numpy_iterator()])
    if not has_label.any():
        logger.info("%s split: it has no labels and is left out", where)
        return None
    if has_label.all():
        return examples
    lacking = np.sum(~has_label)
    logger.warning("%s split: %d of %d examples have no label and are left out", where, lacking, len(has_label))
    labelled = examples.filter(lambda row: row[key] >= 0)
    return labelled.apply(tf.data.experimental.assert_cardinality(np.sum(has_label)))


def _as_example(
    text_key: str, label_key: str, feature: tfds.features.FeatureConnector, row: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    label = row[label_key]
    names = getattr(feature, "names", None)
    if names:
        label = tf.gather(tf.constant(names), label)
    elif label.dtype == tf.bool:
        label = tf.where(label, "true", "false")
    elif label.dtype != tf.string:
        label = tf.strings.as_string(label)
    return {"text": row[text_key], "label": label}


def _complete(
    train: Rows, others: dict[str, tf.data.Dataset], where: str, fractions: dict[str, float], seed: int
) -> Splits:
    """Carves the splits that are not among `others` out of the training rows."""
    missing = {split: fraction for split, fraction in fractions.items() if fraction and split not in others}
    texts, labels = zip(*train, strict=True)
    if (classes := len(set(labels))) > max(_FEW_CLASSES, len(labels) / 2):
        raise UserError(f"{where}: {classes:,} classes in {len(labels):,} rows; name the class with --label_key")
    parts = grouping.split(texts, labels, missing, seed)
    check_carved(parts, where)
    carved = {split: _dataset([train[index] for index in indices]) for split, indices in parts.items()}
    splits = {**others, **carved}
    logger.info("%s: %s", where, ", ".join(f"{int(part.cardinality())} {name}" for name, part in splits.items()))
    return Splits(**splits)


def _dataset(rows: Iterable[tuple[str, str]]) -> tf.data.Dataset:
    texts, labels = zip(*rows, strict=True)
    return tf.data.Dataset.from_tensor_slices({"text": tf.constant(texts), "label": tf.constant(labels)})
