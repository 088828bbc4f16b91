"""What `predict` reads its requests from."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    if re.search(r"\.(csv|tsv|jsonl)(\.gz)?$", file.lower()):
        return _column(file, options.text_key)
    # What is no UTF-8 comes from the command line as halves of surrogate pairs, which nothing takes.
    return [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in given] or _lines(file)


def chosen(given: Sequence[str], folder: str) -> list[str]:
    """The pictures of `--image`, or those of `--input`.

    Args:
        given: the files themselves.
        folder: where all pictures are meant.

    Raises:
        UserError: where there are both, or neither, or no such file or folder, or none in it.
    """
    if bool(given) == bool(folder):
        raise UserError("give either --image FILE (once or more) or --input FOLDER")
    for path in given:
        if not Path(path).is_file():
            raise UserError(f"{path}: no such picture file")
    return list(given) or files(folder)


def pictures(paths: Iterable[str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Of each picture its name and a request that reads its bytes, once."""
    from keras_apps.data.images import image_bytes

    for path in paths:
        yield {"image": path}, {"image_bytes": functools.cache(functools.partial(image_bytes, path))}


def check_output(output: str) -> None:
    """Raises UserError where no folder is named for the pictures that are made."""
    if not output:
        raise UserError("give --output FOLDER for the pictures to be made")


def check_outputs(outputs: Mapping[str, Iterable[str | os.PathLike]]) -> None:
    """Refuses answers that would be one file, or take the place of a picture that is asked about.

    Args:
        outputs: of each picture, the files that its answers will be.

    Raises:
        UserError: where there are such.
    """
    asked = {_place(picture) for picture in outputs}
    taken: dict[str, str] = {}
    for picture, files in outputs.items():
        for file in files:
            place = _place(file)
            if place in asked:
                raise UserError(f"{file}: the answer to {picture} would take its place; name another --output")
            if place in taken:
                raise UserError(
                    f"{file}: would be the answer to {taken[place]} and to {picture}; "
                    "rename one of them, or ask twice with an --output each"
                )
            taken[place] = picture


def _place(file: str | os.PathLike) -> str:
    """The same for what is one file: a Mac's disk takes letters, small or large, in one piece or composed, for one."""
    place = os.path.realpath(file)
    return unicodedata.normalize("NFC", place).casefold() if sys.platform == "darwin" else place


def files(folder: str) -> list[str]:
    """The pictures of a folder, by name.

    Raises:
        UserError: where there is no such folder, or none in it.
    """
    from keras_apps.data.images import SUFFIXES

    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such folder; --input names a folder of pictures, --image a picture")
    shown = (path for path in Path(folder).iterdir() if not path.name.startswith("."))
    found = sorted(str(path) for path in shown if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    return found


def _column(file: str, key: str | None) -> Iterator[str]:
    from keras_apps.data.tables import CAPTION_NAMES, SOURCE_NAMES, TEXT_NAMES, BadRows, Column, read_table

    names = (*TEXT_NAMES, *SOURCE_NAMES, *CAPTION_NAMES)
    # An empty text is refused by itself.
    for _, (text,) in read_table(file, [Column(names, "--text_key", key, optional=True)], BadRows(None)):
        yield text


def _lines(path: str) -> Iterator[str]:
    # A mark at the beginning and other ends of lines come from Windows.
    if path == "-":
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")
        yield from (line.rstrip("\r\n") for line in sys.stdin)
        return
    from keras_apps.data.tables import read_lines

    for line in read_lines(path):
        yield line.rstrip("\r\n").encode(errors="surrogateescape").decode(errors="replace")
