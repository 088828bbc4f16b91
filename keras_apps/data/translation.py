"""Sentences with their translations: `{"source": tf.string, "target": tf.string}`."""

from __future__ import annotations

import glob
import logging
import operator
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import tensorflow as tf

from keras_apps.data import demo_translation, grouping
from keras_apps.data.folders import SPLITS, given_folder, split_files, split_tables
from keras_apps.data.splits import Splits, check_carved, check_fractions, check_given, leave_out_scored
from keras_apps.data.tables import SOURCE_NAMES, BadRows, Column, is_utf8, read_lines, read_table, table_format
from keras_apps.data.tfds_source import prepared
from keras_apps.errors import UserError

logger = logging.getLogger(__name__)

TARGET_NAMES = ("target", "tgt", "trg", "target_text", "target_sentence")
LAYOUTS = (
    "a table of pairs (.tsv, with or without a header, .csv or .jsonl); a Moses prefix, as corpus/train for "
    "corpus/train.en and corpus/train.de with --source_key en --target_key de; a folder, .tar or .zip with train.tsv, "
    "or train.en and train.de (and val, test); all may be .gz"
)
_RATIO_FROM = 8
"""Words of the longer side, from which on the ratio is held against a pair: `Would you mind?` is `¿Molesto?`."""
# Scripts that put no spaces between words: a character of Chinese or Japanese is about as much as a word, and so are
# four of Thai, Lao, Burmese and Khmer.
_DENSE, _LOOSE = "぀-ヿ㐀-䶿一-鿿豈-﫿", "฀-\u0effက-႟ក-\u17ff"
_WORD = re.compile(f"[{_DENSE}]|[{_LOOSE}]{{1,4}}|[^\\s{_DENSE}{_LOOSE}]+")
_OUTER = re.compile(r"^[\W_]+|[\W_]+$")
_TEXT = tf.TensorSpec((), tf.string)

Pair = tuple[str, str]
Rows = list[Pair]


def load(
    data: str | os.PathLike = "demo",
    *,
    source_key: str | None = None,
    target_key: str | None = None,
    max_bad_rows: int = 100,
    max_words: int = 100,
    max_ratio: float = 3.0,
    validation_fraction: float = 0.05,
    test_fraction: float = 0.05,
    split_seed: int = 0,
) -> Splits:
    """Loads sentence pairs, and carves the splits that the data lacks out of its training part.

    Splits are drawn by source sentence, regardless of case, white space and the punctuation around it, so that no
    source of the validation and test parts is trained on; where the data brings those parts itself, such sources are
    taken out of training, and those of test out of validation. Pairs that are repeated, too long or too unequal are not
    trained on either, but the test part is never thinned out: a score is for all that it holds. What is left out is
    counted in the log and is the `left_out` part. Training rows come shuffled by split_seed.

    Args:
        data: `demo`, `tfds:NAME[/CONFIG]`, the path of a table, a folder or a .tar, or a Moses prefix.
        source_key: the column, or the language in a set's or file's name, that is translated.
        target_key: the column or language that it is translated into.
        max_bad_rows: how many malformed rows to skip before giving up.
        max_words: of the longer side of a pair to train on, at the most.
        max_ratio: of the words of a pair's longer side to those of the shorter, where the longer has 8 or more.
        validation_fraction: of the training rows, where the data has no validation split; 0 for none.
        test_fraction: of the training rows, where the data has no test split; 0 for none.
        split_seed: what the demo sentences are generated from and the splits are drawn by.

    Raises:
        UserError: if the data can't be found, read, or split.
    """
    fractions = check_fractions(validation_fraction, test_fraction)
    if max_words < 1 or not max_ratio >= 1:
        raise UserError(f"max_words={max_words} and max_ratio={max_ratio} must be at least 1")
    if source_key is not None and source_key == target_key:
        raise UserError(f"source_key and target_key are both {source_key!r}; name two columns or languages")
    data = os.fspath(data)
    if data == "demo":
        return Splits(**{split: _dataset(rows) for split, rows in demo_translation.generate(split_seed).items()})
    bad_rows = BadRows(max_bad_rows)
    if data.startswith("tfds:"):
        rows = _read_tfds(data.removeprefix("tfds:"), source_key, target_key, bad_rows)
    else:
        rows = _read(Path(data), source_key, target_key, bad_rows)
    bad_rows.summarize()
    check_given(rows, data)
    if "train" not in rows:
        return Splits(**{split: _dataset(part) for split, part in rows.items()})
    return _complete(rows, data, fractions, split_seed, max_words, max_ratio)


def _read(path: Path, source_key: str | None, target_key: str | None, bad_rows: BadRows) -> dict[str, Rows]:
    """Reads a path in any of the layouts; returns the rows of the splits that are there."""
    columns = Column(SOURCE_NAMES, "--source_key", source_key), Column(TARGET_NAMES, "--target_key", target_key)
    where = str(path)

    def pairs(source: Path | BinaryIO, name: str) -> Rows:
        return [values for _, values in read_table(source, columns, bad_rows, name, optional_header=True)]

    if not path.exists():
        beside = path.parent.glob(f"{glob.escape(path.name)}.*")
        files = _by_language([file.name for file in beside], lambda stem: stem == path.name)
        if files:
            direction = _direction(list(files), source_key, target_key, where)
            names = [_only(files[language], where) for language in direction]
            sides = [(str(path.parent / name), list(read_lines(path.parent / name))) for name in names]
            return {"train": _paired(sides, bad_rows)}
    if path.is_file() and table_format(path.name):
        return {"train": pairs(path, where)}
    folder = given_folder(path, LAYOUTS, bad_rows)
    tables = split_tables(folder.names, where)
    if tables:
        split_of = {name: split for split, name in tables.items()}
        return {split_of[name]: pairs(file, f"{path}/{name}") for name, file in folder.open(split_of)}
    files = _by_language(folder.names, lambda stem: stem.lower() in SPLITS)
    if not files:
        raise UserError(f"{path}: nothing that is understood; use {LAYOUTS}")
    direction = _direction(list(files), source_key, target_key, where)
    source, target = (split_files(files[language], where) for language in direction)
    for split in sorted(source.keys() ^ target.keys()):
        logger.info("%s: the %s split is in one of the languages only and is left out", where, split)
    wanted = {split: (source[split], target[split]) for split in source if split in target}
    if not wanted:
        raise UserError(f"{path}: no split is in both {direction[0]} and {direction[1]}")
    sides = {
        name: (f"{path}/{name}", list(read_lines(file, f"{path}/{name}")))
        for name, file in folder.open([name for names in wanted.values() for name in names])
    }
    return {split: _paired([sides[name] for name in names], bad_rows) for split, names in wanted.items()}


def _by_language(names: Iterable[str], is_wanted: Callable[[str], bool]) -> dict[str, list[str]]:
    """Sorts files such as `train.en` and `train.de.gz` by language, if what comes before it is wanted."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        stem, _, language = PurePosixPath(name).name.removesuffix(".gz").rpartition(".")
        if is_wanted(stem) and not table_format(name):
            found[language].append(name)
    return dict(found)


def _only(names: list[str], where: str) -> str:
    if len(names) > 1:
        raise UserError(f"{where}: {' and '.join(names)} could both be meant; keep one")
    return names[0]


def _direction(languages: Sequence[str], source_key: str | None, target_key: str | None, where: str) -> Pair:
    """Returns the languages to translate from and into, as far as it takes no guess."""
    for key, flag in ((source_key, "--source_key"), (target_key, "--target_key")):
        if key is not None and key not in languages:
            raise UserError(f"{where}: there is no language {key!r} but {', '.join(languages)}; name one with {flag}")
    others = [language for language in languages if language not in (source_key, target_key)]
    if (source_key is None) != (target_key is None) and len(others) == 1:
        return source_key or others[0], target_key or others[0]
    if source_key is None or target_key is None:
        raise UserError(
            f"{where}: which language is translated into which? There are {', '.join(languages)}; name two of them "
            "with --source_key and --target_key"
        )
    return source_key, target_key


def _paired(sides: Sequence[tuple[str, list[str]]], bad_rows: BadRows) -> Rows:
    """Puts the lines of two files side by side, each given with its name."""
    (first, sources), (second, targets) = sides
    if len(sources) != len(targets):
        raise UserError(
            f"{first} has {len(sources):,} lines and {second} {len(targets):,}; line by line, one must be the "
            "translation of the other"
        )
    rows = []
    for number, pair in enumerate(zip(sources, targets, strict=True), 1):
        pair = tuple(side.strip() for side in pair)
        problems = [(f"{name}:{number}", _problem(side)) for (name, _), side in zip(sides, pair, strict=True)]
        bad = next((found for found in problems if found[1]), None)
        if bad:
            bad_rows.add(*bad)
        else:
            rows.append(pair)
    return rows


def _problem(text: str) -> str | None:
    if not text:
        return "it is empty"
    return None if is_utf8(text) else "it is not UTF-8"


def _read_tfds(name: str, source_key: str | None, target_key: str | None, bad_rows: BadRows) -> dict[str, Rows]:
    """Reads the splits of a data set into memory."""
    builder = prepared(name)
    where = f"tfds:{name}"
    rows: dict[str, Rows] = {}
    for split in ("train", "validation", "test"):
        if split not in builder.info.splits:
            continue
        examples = builder.as_dataset(split=split)
        spec = examples.element_spec
        texts = [key for key in spec if isinstance(spec[key], tf.TensorSpec) and spec[key].is_compatible_with(_TEXT)]
        if len(texts) < 2:
            raise UserError(f"{where}: it has no two texts to an example; its features are: {', '.join(spec)}")
        if source_key is None and target_key is None and len(texts) == 2:
            source, target = builder.info.supervised_keys or texts
        else:
            source, target = _direction(texts, source_key, target_key, where)
        logger.info("%s: %s is translated from %s into %s", where, split, source, target)
        rows[split] = []
        for number, row in enumerate(examples.map(operator.itemgetter(source, target)).as_numpy_iterator()):
            pair = tuple(side.decode("utf-8", "surrogateescape").strip() for side in row)
            problem = next(filter(None, map(_problem, pair)), None)
            if problem:
                bad_rows.add(f"{where}: {split}[{number}]", problem)
            else:
                rows[split].append(pair)
    if "train" not in rows:
        raise UserError(f"{where}: it has no train split; its splits are: {', '.join(builder.info.splits)}")
    return rows


def _complete(
    rows: dict[str, Rows], where: str, fractions: dict[str, float], seed: int, max_words: int, max_ratio: float
) -> Splits:
    """Carves the splits that are missing out of the training rows, and leaves out what is not to be trained on."""
    given = {split: rows[split] for split in fractions if split in rows}
    given, tested = leave_out_scored(given, lambda pair: _normalized(pair[0]), where, "sources")
    left_out: dict[str, Rows] = defaultdict(list)
    if tested:
        left_out["of validation with a source of test"] = tested
    scored = {_normalized(source) for pairs in given.values() for source, _ in pairs}
    seen: set[Pair] = set()
    pool: Rows = []
    for pair in rows["train"]:
        if pair in seen:
            left_out["repeated"].append(pair)
        elif _normalized(pair[0]) in scored:
            left_out["with a source of the validation or test part"].append(pair)
        else:
            pool.append(pair)
        seen.add(pair)
    if not pool:
        raise UserError(f"{where}: no pair is left to train on; {_counts(left_out)}")

    numbers: dict[str, int] = {}
    sources = [numbers.setdefault(_normalized(source), len(numbers)) for source, _ in pool]
    missing = {split: fraction for split, fraction in fractions.items() if fraction and split not in given}
    dealt = grouping.split_groups(sources, [""] * len(pool), missing, seed)
    check_carved(dealt, where)
    parts = given | {split: [pool[index] for index in indices] for split, indices in dealt.items()}

    train = []
    for pair in parts["train"]:
        shorter, longer = sorted(len(_WORD.findall(side)) for side in pair)
        if longer > max_words:
            left_out[f"longer than {max_words} words"].append(pair)
        elif longer >= _RATIO_FROM and longer > max_ratio * shorter:
            left_out[f"more unequal than {max_ratio:g} to 1"].append(pair)
        else:
            train.append(pair)
    if not train:
        raise UserError(f"{where}: no pair is left to train on; {_counts(left_out)}")
    datasets = {split: _dataset(part) for split, part in {**parts, "train": train}.items()}
    if left_out:
        datasets["left_out"] = _dataset([pair for pairs in left_out.values() for pair in pairs])
        logger.info("%s: left out: %s", where, _counts(left_out))
    logger.info("%s: %s", where, ", ".join(f"{int(part.cardinality())} {name}" for name, part in datasets.items()))
    return Splits(**datasets)


def _counts(left_out: dict[str, Rows]) -> str:
    return ", ".join(f"{len(pairs)} {why}" for why, pairs in left_out.items())


def _normalized(text: str) -> str:
    """What two sources have in common that are the same sentence: case, white space and outer punctuation aside."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return _OUTER.sub("", text) or text


def _dataset(rows: Rows) -> tf.data.Dataset:
    sources, targets = zip(*rows, strict=True)
    return tf.data.Dataset.from_tensor_slices({"source": tf.constant(sources), "target": tf.constant(targets)})
