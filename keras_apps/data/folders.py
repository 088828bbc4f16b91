"""Reads folders, tar and zip archives of files alike, without unpacking, and finds the splits and classes in them."""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from keras_apps.data.tables import BadRows, is_utf8, table_format
from keras_apps.errors import UserError, brief

logger = logging.getLogger(__name__)

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
MAX_DEPTH = 8
MAX_BYTES = 64 * 2**30
_MAX_READ = 2**26
# NotImplementedError is for a kind of compression that Python does not know.
_BROKEN_ZIP = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_LEADS_OUT = "its path leads out of the archive"
_NOT_PLAIN = "neither a plain file nor a folder"
_UTF8 = 0x800
"""The flag of a zipped file whose name is in UTF-8; without it a name is read as code page 437."""


class Folder:
    """The files of a folder, or of a .tar, .tar.gz, .tgz or .zip archive, by their paths within it."""

    def __init__(self, path: str | os.PathLike, bad_rows: BadRows) -> None:
        """Lists the files.

        Raises:
            UserError: if the archive can't be read, or holds too many members that are refused.
        """
        self.path = Path(path)
        # Where in an archive each file is; of several of one name the last counts, as where it is unpacked.
        self._at: dict[str, int] = {}
        if self.path.is_dir():
            names = sorted(_walk(self.path))
        else:
            for name, at, is_file, problem in self._zipped() if self._is_zip else self._tarred():
                if problem:
                    bad_rows.add(f"{self.path}:{name}", problem)
                    self._at.pop(name, None)
                elif is_file and _is_shown(PurePosixPath(name)):
                    self._at[name] = at
            names = list(self._at)
        self.names: list[str] = []
        deep = []
        for name in names:
            if len(PurePosixPath(name).parts) > MAX_DEPTH:
                deep.append(name)
            elif is_utf8(name):
                self.names.append(name)
            else:
                bad_rows.add(f"{self.path}/{name}", "its name is not UTF-8")
        if deep:
            logger.warning("%s: what lies in more than %d folders is left out: %s", self.path, MAX_DEPTH - 1, deep[0])

    @staticmethod
    def is_one(path: str | os.PathLike) -> bool:
        """Tells whether `path` is a folder or is named as an archive."""
        return Path(path).is_dir() or re.search(r"\.(tar|tar\.gz|tgz|zip)$", os.fspath(path).lower()) is not None

    def open(self, names: Collection[str]) -> Iterator[tuple[str, BinaryIO]]:
        """Yields each of `names` with its content, to be read before the next one is asked for.

        Raises:
            UserError: if the archive or a file can't be read.
        """
        if self.path.is_dir():
            for name in sorted(names):
                try:
                    with open(self.path / name, "rb") as file:
                        yield name, file
                except OSError as error:
                    raise UserError(f"{self.path / name}: can't be read: {brief(error)}") from error
            return
        left = set(names)
        if self._is_zip:
            with self._zip() as archive:
                for member in archive.infolist():
                    name = _zipped_name(member)
                    if name in left and self._at.get(name) == member.header_offset:
                        yield name, io.BufferedReader(_Zipped(archive.open(member), self.path))
            return
        for member, archive in self._members():
            name = member.name.removeprefix("./")
            if name in left and self._at.get(name) == member.offset:
                yield name, archive.extractfile(member)

    def _zipped(self) -> Iterator[tuple[str, int, bool, str | None]]:
        """Of each member of a zip its name, where it is, whether it is a file, and why it is refused, if it is."""
        with self._zip() as archive:
            for member in archive.infolist():
                is_file = not member.filename.endswith(("/", "\\"))
                yield _zipped_name(member), member.header_offset, is_file, _refusal_of_zipped(member)

    def _tarred(self) -> Iterator[tuple[str, int, bool, str | None]]:
        """The same of a tar."""
        for member, _ in self._members():
            name = member.name.removeprefix("./")
            yield name, member.offset, member.isfile(), _refusal(member, name)

    @property
    def _is_zip(self) -> bool:
        return self.path.suffix.lower() == ".zip"

    @contextlib.contextmanager
    def _zip(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                total = sum(member.file_size for member in archive.infolist())
                if total > MAX_BYTES:
                    raise UserError(f"{self.path}: the archive holds more than {MAX_BYTES:,} bytes; split it")
                yield archive
        except _BROKEN_ZIP as error:
            raise _unreadable(self.path, error) from error

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
        try:
            with open(self.path, "rb") as file:
                compressed = file.read(2) == b"\x1f\x8b"
                file.seek(0)
                content = gzip.GzipFile(fileobj=file) if compressed else file
                with tarfile.open(fileobj=_Bounded(content, self.path), mode="r:") as archive:
                    while (member := archive.next()) is not None:
                        yield member, archive
                        # They are kept for look-ups that are not made here, and a hostile archive has millions.
                        archive.members.clear()
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise _unreadable(self.path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: can't be read: {brief(error)}")


class _Zipped(io.RawIOBase):
    """A file in a zip, which turns out to be damaged only while it is read."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        try:
            content = self._file.read(len(buffer))
        except _BROKEN_ZIP as error:
            raise _unreadable(self._path, error) from error
        buffer[: len(content)] = content
        return len(content)


class _Bounded:
    """A file that refuses what only a hostile archive asks for: header fields of gigabytes, or endless content."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self.seek, self.tell = self._checked_seek, file.tell

    def read(self, size: int) -> bytes:
        if size > _MAX_READ:
            raise UserError(f"{self._path}: a field of {size:,} bytes in the archive's headers; the archive is refused")
        return self._file.read(size)

    def _checked_seek(self, position: int) -> int:
        if position > MAX_BYTES:
            raise UserError(f"{self._path}: the archive holds more than {MAX_BYTES:,} bytes; split it")
        return self._file.seek(position)


def _walk(folder: Path) -> Iterator[str]:
    """Yields files, and folders that are too deep for any layout; links to what they are in are not followed."""
    pending = [(folder, PurePosixPath())]
    while pending:
        path, inside = pending.pop()
        try:
            entries = list(os.scandir(path))
        except OSError as error:
            raise UserError(f"{path}: can't be read: {brief(error)}") from error
        for entry in entries:
            name = inside / entry.name
            if not _is_shown(name):
                continue
            if entry.is_dir():
                if entry.is_symlink() and path.resolve().is_relative_to(Path(entry.path).resolve()):
                    continue
                if len(name.parts) > MAX_DEPTH:
                    yield str(name)
                else:
                    pending.append((Path(entry.path), name))
            elif entry.is_file():
                yield str(name)


def _is_shown(name: PurePosixPath) -> bool:
    """Tells whether a file is the user's, not one that an operating system leaves (`.DS_Store`, `__MACOSX/._a.txt`)."""
    return not any(part.startswith((".", "__MACOSX")) for part in name.parts)


def _leads_out(name: str) -> bool:
    return name.startswith("/") or ".." in PurePosixPath(name).parts


def _zipped_name(member: zipfile.ZipInfo) -> str:
    name = member.filename
    if not member.flag_bits & _UTF8:
        # The Finder writes UTF-8 and does not say so; a name that is not stays as it is.
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode()
    # Old tools of Windows write backslashes.
    return name.replace("\\", "/").removeprefix("./")


def _refusal_of_zipped(member: zipfile.ZipInfo) -> str | None:
    if not member.filename:
        return "it has no name"
    if _leads_out(_zipped_name(member)):
        return _LEADS_OUT
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return _NOT_PLAIN
    return "it is encrypted" if member.flag_bits & 1 else None


def _refusal(member: tarfile.TarInfo, name: str) -> str | None:
    if _leads_out(name):
        return _LEADS_OUT
    if not (member.isfile() or member.isdir()) or member.issparse():
        return _NOT_PLAIN
    return None


def given_folder(path: Path, layouts: str, bad_rows: BadRows, flag: str = "--data") -> Folder:
    """The folder or archive that a user gives as data.

    Args:
        path: of it.
        layouts: in words, what it may be.
        bad_rows: that collects what is refused of an archive.
        flag: by which it was given.

    Raises:
        UserError: where there is none, or it can't be read.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; {flag} takes demo, tfds:NAME, or {layouts}")
    if not Folder.is_one(path):
        raise UserError(f"{path}: not a kind of data that is understood; use {layouts}")
    return Folder(path, bad_rows)


def split_tables(names: Collection[str], where: str) -> dict[str, str]:
    """Finds `train.csv`, `dev.tsv.gz` and the like, at the top or in one folder; returns {split: name}.

    Raises:
        UserError: if two tables could be the same split.
    """
    return split_files([name for name in names if table_format(name)], where)


def named_tables(names: Collection[str], stem: str, where: str) -> dict[str, str]:
    """Finds `STEM.csv` or `train/STEM.csv` and so on at any depth, or else what `split_tables` does.

    Returns:
        {split: name}; a table in no split's folder is `train`.

    Raises:
        UserError: if two tables could be the same split.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        path = PurePosixPath(name)
        if table_format(name) and path.name.lower().split(".")[0] == stem:
            found[SPLITS.get(path.parent.name.lower(), "train")].append(name)
    return {split: only(files, where) for split, files in found.items()} or split_tables(names, where)


def only(names: Sequence[str], where: str) -> str:
    """Returns the one name that there is.

    Raises:
        UserError: if there are several.
    """
    if len(names) > 1:
        raise UserError(f"{where}: {' and '.join(names[:3])} could all be meant; keep one")
    return names[0]


def split_files(names: Collection[str], where: str) -> dict[str, str]:
    """Finds, of files of one kind, those whose names begin with a split's, at the top or in one folder.

    Raises:
        UserError: if two files could be the same split.
    """
    found: dict[str, str] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        split = SPLITS.get(path.name.lower().split(".")[0])
        if split is None or len(path.parts) > 2:
            continue
        if split in found:
            raise UserError(f"{where}: {found[split]} and {name} could both be the {split} split; keep one")
        found[split] = name
    return found


def class_files(names: Collection[str], suffixes: tuple[str, ...]) -> dict[str, list[tuple[str, str]]]:
    """Finds `train/pos/1.txt` or `pos/1.txt`, at the top or in one folder; returns {split: [(name, class)]}.

    Class folders that lie in no split are `train`. `unsup` of the aclImdb layout has no class and is left out.
    """
    found: dict[tuple[bool, str], dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    called_as_split: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in sorted(names):
        *above, label, file = ("", "", *PurePosixPath(name).parts)
        if not file.lower().endswith(suffixes) or not label or label == "unsup":
            continue
        if label.lower() in SPLITS:
            called_as_split["/".join(above)].append((name, label))
            continue
        split = SPLITS.get(above[-1].lower())
        root = "/".join(above[:-1] if split else above)
        found[split is not None, root][split or "train"].append((name, label))
    # Stray files beside the class folders look like a class of their own; the real root has splits, or more files.
    best = max(found, key=lambda root: (root[0], sum(map(len, found[root].values()))), default=None)
    if best is None:
        return {}
    has_splits, root = best
    # Where classes are in no splits, a folder among them is one, though it be called `train`.
    return dict(found[best]) if has_splits else {"train": found[best]["train"] + called_as_split[root]}
