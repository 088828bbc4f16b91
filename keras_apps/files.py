"""Files and folders that are either wholly there or not there at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_apps.errors import UserError

TEMPORARY_MARK = ".incomplete-"

MODEL = "model.keras"
"""The file of a model in its run directory."""

EXPORTED_MODEL = Path("assets.extra", MODEL)
"""Where, in an exported version, the model is for Keras."""

_OF_THE_DISK = tuple(
    os.strerror(number)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
)


def disk_trouble(error: BaseException) -> str | None:
    """What the operating system said where a file could not be written, as that the disk is full; None for the rest.

    TensorFlow and h5py have exceptions of their own for it, in whose text it stands; NumPy says how much was written.

    Args:
        error: any exception.
    """
    said = f"{getattr(error, 'strerror', '')} {error}"
    if isinstance(error, OSError) and error.errno is None and "requested and" in said:
        return os.strerror(errno.ENOSPC)
    return next((trouble for trouble in _OF_THE_DISK if trouble in said), None)


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Within it a full disk or a folder that may not be written to is the user's to put right, whoever finds it out.

    Raises:
        UserError: that names `path` and what the operating system says.
    """
    try:
        yield
    except Exception as error:
        trouble = disk_trouble(error)
        if trouble is None or isinstance(error, UserError):
            raise
        raise UserError(
            f"{path}: can't be written: {trouble}; what was there before is as it was; make room or name another folder"
        ) from error


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on success it is renamed over `path`, on an error it is removed.

    The temporary name keeps the suffix of `path`, since many writers choose their format by it.
    """
    path = Path(path)
    temporary = path.parent / f"{TEMPORARY_MARK}{uuid.uuid4().hex[:8]}-{path.name}"
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush_to_disk(temporary)
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a new folder beside `path` to fill; on success it is renamed to `path`, on an error it is removed.

    Raises:
        OSError: if `path` exists and is not an empty folder.
    """
    path = Path(path)
    temporary = path.parent / f"{TEMPORARY_MARK}{uuid.uuid4().hex[:8]}-{path.name}"
    try:
        with writing(path):
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _flush_to_disk(file)
            os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_incomplete(folder: str | os.PathLike, older_than: float = 0) -> None:
    """Removes what writers that were killed left in `folder`, where it was last changed `older_than` seconds ago."""
    for leftover in Path(folder).glob(f"{TEMPORARY_MARK}*"):
        # A writer that lives may rename it meanwhile; one that may not be removed does no harm.
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime < older_than:
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """Within it nobody else can lock `path`, an empty file that is made for it and left.

    The system takes the lock from a process that is killed. Where a file system has no locks, nobody is kept out.

    Raises:
        BlockingIOError: where somebody else has locked it.
    """
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        try:
            yield
        finally:
            # To close it is not enough where a process was forked meanwhile, for that has it too.
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)


def exported_version(path: str | os.PathLike) -> Path | None:
    """The folder of a SavedModel: the path itself, or the newest of the numbered versions in it; None without one."""
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    versions = [p.parent for p in path.glob("*/saved_model.pb") if p.parent.name.isdigit()] if path.is_dir() else []
    return max(versions, key=lambda folder: int(folder.name), default=None)


def model_file(where: str | os.PathLike) -> Path:
    """The `.keras` file that a run directory, an export (its newest version) or a `.keras` path names.

    Raises:
        UserError: where there is none.
    """
    path = Path(where)
    if path.suffix == ".keras":
        if not path.is_file():
            raise UserError(f"{path}: no such model file")
        return path
    if not path.is_dir():
        raise UserError(f"{path}: no such run directory, export or .keras file")
    version = exported_version(path)
    for file in (path / MODEL, version and version / EXPORTED_MODEL):
        if file and file.is_file():
            return file
    raise UserError(f"{path}: holds no {MODEL}; train first, or name another run directory, export or .keras file")


def export_description(version: Path | None) -> dict[str, Any]:
    """What an exported version says of itself in signature.json; nothing where there is none of ours."""
    try:
        found = json.loads((version / "signature.json").read_text()) if version else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _flush_to_disk(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
