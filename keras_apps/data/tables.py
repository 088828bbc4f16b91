"""Reads CSV, TSV and JSON-lines tables, plain or gzipped, without trusting them.

CSV is quoted as RFC 4180 has it, so a field may span lines. TSV is never quoted: a line is a row and a `"` is an
ordinary character, as in the SST and GLUE files, where a stray one would otherwise swallow the lines that follow it.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import gzip
import itertools
import json
import logging
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from keras_apps.errors import UserError, brief, printable, shortened

logger = logging.getLogger(__name__)

FORMATS = ("csv", "tsv", "jsonl")
# What a column of texts goes by, in training and where answers are asked.
TEXT_NAMES = ("text", "sentence", "review", "comment", "content", "description", "body", "message", "tweet", "phrase")
SOURCE_NAMES = ("source", "src", "source_text", "source_sentence")
CAPTION_NAMES = ("caption", "captions", "captions/text", "text", "sentence", "comment", "description")
MAX_BYTES = 8 * 2**30
MAX_FIELD = 2**24
_PART_NAMES = ("split", "set", "partition", "subset")
_REPORTED = 5
_HEADER_ROWS = 100


@dataclasses.dataclass(frozen=True)
class Column:
    """A column that a task needs: the names it goes by, the flag that names it, and the name if the user gave one.

    A row may leave an `optional` one empty.
    """

    names: tuple[str, ...]
    flag: str
    key: str | None = None
    optional: bool = False

    def choose(self, columns: Sequence[str], where: str) -> str:
        """Picks this column among those that `where` has.

        Raises:
            UserError: if it is not there, or several could be meant.
        """
        if self.key is not None and columns.count(self.key) == 1:
            return self.key
        wanted = self.names if self.key is None else (self.key.lower(),)
        found = [column for column in columns if column.strip().lower() in wanted]
        if len(found) == 1:
            return found[0]
        listed = ", ".join(map(_short, columns)) or "none"
        if len(set(found)) == 1:
            raise UserError(f"{where}: {len(found)} columns are called {found[0]!r}; rename all but one")
        if found:
            problem = f"{' and '.join(map(repr, found))} could all be meant"
        elif self.key is not None:
            problem = f"there is no column {self.key!r}"
        elif len(columns) == 1 and ";" in columns[0]:
            problem = "its columns are parted by semicolons; save it with commas, or as .tsv with tabs"
        else:
            problem = f"there is no column {' or '.join(map(repr, self.names[:3]))}"
        raise UserError(f"{where}: {problem}; its columns are: {listed}; name the one to use with {self.flag}")


class BadRows:
    """Counts the rows that had to be skipped, reports the first few, and gives up after `limit`.

    One is shared by all the files of a data set. Where nothing is to be skipped, and no flag allows it, there is none.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.count = 0
        self._first: list[str] = []

    def add(self, where: str, problem: str, rows: int = 1) -> None:
        """Counts `rows` skipped at `where`.

        Raises:
            UserError: if there are more than the limit by now.
        """
        self.count += rows
        said = shortened(printable(f"{where}: {problem}"), 400)
        if self.limit is None:
            raise UserError(f"{said}; correct it")
        if len(self._first) < _REPORTED:
            self._first.append(said)
            logger.warning("skipped %s", said)
        if self.count > self.limit:
            raise UserError(
                f"more than {self.limit} malformed rows; correct them or raise --max_bad_rows; the first: "
                + "; ".join(self._first)
            )

    def summarize(self) -> None:
        """Logs how many rows were skipped in all, if any were."""
        if self.count:
            logger.warning("skipped %d malformed rows in all", self.count)


def table_format(name: str) -> str | None:
    """Returns `csv`, `tsv` or `jsonl` by the file's name, with or without `.gz`; None if it is no table."""
    suffix = name.lower().removesuffix(".gz").rpartition(".")[2]
    return suffix if suffix in FORMATS else None


def read_table(
    source: str | os.PathLike | BinaryIO,
    columns: Sequence[Column] | Callable[[Sequence[str], str], Sequence[Column]],
    bad_rows: BadRows,
    name: str | None = None,
    optional_header: bool = False,
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields, for each sound row, its first line's number and its values in the order of `columns`.

    None of them is empty, but for optional ones.

    Args:
        source: a path, or an open binary file, whose `name` must then be given.
        columns: what to read of each row, or a function of the header and the file's name that tells.
        bad_rows: where malformed rows are counted.
        name: what to call the file in messages; its ending also tells the format.
        optional_header: a TSV may have none: where its first line doesn't name the columns, and no key does, that line
            is a row, and the columns are the first ones in their order; further ones are ignored.

    Raises:
        UserError: if the file can't be read, lacks a column, or has too many malformed rows.
    """
    name = os.fspath(source) if name is None else name
    read = {"csv": _csv_records, "tsv": _tsv_records, "jsonl": _json_records}.get(table_format(name))
    if read is None:
        raise UserError(f"{name}: not a table; its name must end in {', '.join(FORMATS)}, with or without .gz")
    lines = read_lines(source, name)
    if optional_header and read is _tsv_records:
        start = []
        for line in lines:
            start.append(line)
            if line.strip():
                break
        lines = itertools.chain(start, lines)
        if not _is_header(name, columns, start[-1]):
            read = functools.partial(_bare_records, [column.names[0] for column in columns])
    header, records = read(name, lines, bad_rows)
    columns = columns(header, name) if callable(columns) else columns
    keys = [column.choose(header, name) for column in columns]
    for column in header:
        if column.strip().lower() in _PART_NAMES and column not in keys:
            logger.warning(
                "%s: the column %s is passed over and all rows are read; to part them, put them into files named "
                "train, validation and test",
                name,
                _short(column),
            )
    for line, record in records:
        values = tuple(_as_text(record.get(key)) or "" for key in keys)
        cells = zip(columns, keys, values, strict=True)
        problems = (_problem(key, value, record) for column, key, value in cells if value or not column.optional)
        problem = next(filter(None, problems), None)
        if problem:
            bad_rows.add(f"{name}:{line}", problem)
        else:
            yield line, values


def read_lines(source: str | os.PathLike | BinaryIO, name: str | None = None) -> Iterator[str]:
    """Yields a text file's lines with their ends, ungzipped if its name says so.

    Bytes that are no UTF-8 become surrogates, which can't be encoded again.

    Args:
        source: a path, or an open binary file, whose `name` must then be given.
        name: what to call the file in messages.

    Raises:
        UserError: if the file can't be read, is empty, has other line ends, or a line of monstrous length.
    """
    name = os.fspath(source) if name is None else name
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(source, "rb")) if isinstance(source, str | os.PathLike) else source
            content = gzip.GzipFile(fileobj=file) if name.lower().endswith(".gz") else file
            yield from _lines(name, content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: can't be read: {brief(error)}") from error


def _lines(name: str, file: BinaryIO) -> Iterator[str]:
    total = 0
    for number in itertools.count(1):
        line = file.readline(MAX_FIELD + 1)
        total += len(line)
        if len(line) > MAX_FIELD:
            raise UserError(f"{name}:{number}: the line is longer than {MAX_FIELD:,} bytes; is this a table?")
        if total > MAX_BYTES:
            raise UserError(f"{name}:{number}: the file holds more than {MAX_BYTES:,} bytes; split it")
        if not line:
            if not total:
                raise UserError(f"{name}: the file is empty")
            return
        if number == 1:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise UserError(f"{name}: the file is UTF-16; save it as UTF-8")
            if b"\r" in line.rstrip(b"\r\n"):
                raise UserError(f"{name}: the lines end in carriage returns alone; save it with line feeds")
            line = line.removeprefix(b"\xef\xbb\xbf")
        yield line.decode("utf-8", "surrogateescape")


def _csv_records(
    name: str, lines: Iterator[str], bad_rows: BadRows
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    csv.field_size_limit(MAX_FIELD)
    return _delimited(name, csv.reader(lines, strict=True), bad_rows)


class _TsvReader:
    """The part of csv.reader's interface that is used here, for lines that are never quoted."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.line_num = 0

    def __iter__(self) -> _TsvReader:
        return self

    def __next__(self) -> list[str]:
        line = next(self._lines).rstrip("\r\n")
        self.line_num += 1
        return line.split("\t") if line else []


def _tsv_records(
    name: str, lines: Iterator[str], bad_rows: BadRows
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    return _delimited(name, _TsvReader(lines), bad_rows)


def _is_header(name: str, columns: Sequence[Column], line: str) -> bool:
    cells = {cell.strip().lower() for cell in line.split("\t")}
    keyed = [column for column in columns if column.key is not None]
    for column in keyed:
        if column.key.strip().lower() not in cells:
            raise UserError(
                f"{name}: the first line names no column {column.key!r}; leave {column.flag} out where there is no "
                "header"
            )
    return bool(keyed) or all(cells & set(column.names) for column in columns)


def _bare_records(
    header: list[str], name: str, lines: Iterator[str], bad_rows: BadRows
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    def records() -> Iterator[tuple[int, dict[str, str]]]:
        for number, row in enumerate(_TsvReader(lines), 1):
            if len(row) >= len(header):
                yield number, dict(zip(header, row, strict=False))
            elif row:
                bad_rows.add(f"{name}:{number}", f"{len(row)} fields where {len(header)} are needed")

    return header, records()


def _delimited(
    name: str, reader: Iterator[list[str]], bad_rows: BadRows
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    try:
        header = next((row for row in reader if any(map(str.strip, row))), [])
    except csv.Error as error:
        raise UserError(f"{name}:1: the header can't be read: {error}") from error

    def records() -> Iterator[tuple[int, dict[str, str]]]:
        while True:
            first = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # A quote that is never closed swallows lines, each of which counts: the loss must not pass for one row.
                last = reader.line_num
                lines = f"{first}" if last == first else f"{first}-{last}"
                bad_rows.add(f"{name}:{lines}", f"a quote is out of place ({error})", last - first + 1)
                continue
            if not row:
                continue
            if len(row) != len(header):
                bad_rows.add(f"{name}:{first}", f"{len(row)} fields where the header has {len(header)}")
                continue
            yield first, dict(zip(header, row, strict=True))

    return header, records()


def _json_records(
    name: str, lines: Iterator[str], bad_rows: BadRows
) -> tuple[list[str], Iterator[tuple[int, dict[str, object]]]]:
    def records() -> Iterator[tuple[int, dict[str, object]]]:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                bad_rows.add(f"{name}:{number}", f"broken JSON ({error})")
                continue
            if isinstance(record, dict):
                # The wrapping that translation sets have: {"translation": {"en": ..., "de": ...}}.
                wrapped = next(iter(record.values())) if len(record) == 1 else None
                yield number, wrapped if isinstance(wrapped, dict) else record
            else:
                bad_rows.add(f"{name}:{number}", "a JSON object is wanted, with a value for each column")

    everything = records()
    first = list(itertools.islice(everything, _HEADER_ROWS))
    header = list(dict.fromkeys(key for _, record in first for key in record))
    return header, itertools.chain(first, everything)


def _as_text(value: object) -> str | None:
    """A cell as text; None if it is absent or nothing that a cell can be."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value) if value.is_integer() else value)
    return None


def _problem(key: str, value: str, record: Mapping[str, object]) -> str | None:
    if not value:
        return (
            f"{key!r} is a list; give a row to each of its values"
            if isinstance(record.get(key), list)
            else f"no {key!r}"
        )
    return None if is_utf8(value) else f"{key!r} is not UTF-8"


def is_utf8(text: str) -> bool:
    """Tells whether a text has no bytes that were no UTF-8, which Python keeps as halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(column: str) -> str:
    text = column.encode("utf-8", "replace").decode()
    return repr(text if len(text) <= 40 else text[:37] + "...")
