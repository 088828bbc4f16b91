"""What `predict` reads its requests from."""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import simple_parsing

from keras_apps.errors import UserError


def repeated(kind: type) -> Any:
    """The field of a flag that may be given several times."""
    return simple_parsing.field(default_factory=list, action="append", type=kind, nargs=None, metavar=kind.__name__)


@dataclasses.dataclass(frozen=True)
class TextFlags:
    """The texts."""

    text: list[str] = repeated(str)
    """A text; may be given several times."""
    input: str = ""
    """A file with a text on each line, or a table (.csv, .tsv, .jsonl); - for lines from standard input."""
    text_key: str | None = None
    """The column of the table with the texts, where it can't be guessed."""


@dataclasses.dataclass(frozen=True)
class PictureFlags:
    """The pictures."""

    image: list[str] = repeated(str)
    """A picture's file; may be given several times."""
    input: str = ""
    """A folder of pictures."""


def texts(options: TextFlags) -> Iterable[str]:
    """The texts of `--text`, or those of `--input`: its lines, or of a table one column.

    Raises:
        UserError: where there are both, or neither, or no such file or column.
    """
    given, file = options.text, options.input
    if bool(given) == bool(file):
        raise UserError("give either --text (once or more) or --input FILE (- for standard input)")
    if file not in ("", "-") and not Path(file).is_file():
        raise UserError(f"{file}: no such file; --input names a text file, or - for standard input")
    if re.search(r"\.(csv|tsv|jsonl)(\.gz)?$", file):
        return _column(file, options.text_key)
    # What is no UTF-8 comes from the command line as halves of surrogate pairs, which nothing takes.
    return [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in given] or _lines(file)


def pictures(given: Sequence[str], folder: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Of each picture of `--image`, or of `--input`, its name and a request that reads its bytes, once.

    Args:
        given: the files themselves.
        folder: where all pictures are meant.

    Raises:
        UserError: where there are both, or neither, or no such folder, or none in it.
    """
    if bool(given) == bool(folder):
        raise UserError("give either --image FILE (once or more) or --input FOLDER")
    return _requests(given or files(folder))


def files(folder: str) -> list[str]:
    """The pictures of a folder, by name.

    Raises:
        UserError: where there is no such folder, or none in it.
    """
    from keras_apps.data.images import SUFFIXES

    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; --input names a folder of pictures, --image a picture")
    found = sorted(str(path) for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    return found


def _requests(paths: Iterable[str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    from keras_apps.data.images import image_bytes

    for path in paths:
        yield {"image": path}, {"image_bytes": functools.cache(functools.partial(image_bytes, path))}


def _column(file: str, key: str | None) -> Iterator[str]:
    from keras_apps.data.tables import CAPTION_NAMES, SOURCE_NAMES, TEXT_NAMES, BadRows, Column, read_table

    names = (*TEXT_NAMES, *SOURCE_NAMES, *CAPTION_NAMES)
    for _, (text,) in read_table(file, [Column(names, "--text_key", key)], BadRows(0)):
        yield text


def _lines(path: str) -> Iterator[str]:
    if path == "-":
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
        yield from (line.rstrip("\n") for line in sys.stdin)
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        yield from (line.rstrip("\n") for line in file)
