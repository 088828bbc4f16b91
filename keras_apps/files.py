"""Files and folders that are either wholly there or not there at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_MARK = ".incomplete-"

EXPORTED_MODEL = Path("assets.extra", "model.keras")
"""Where, in an exported version, the model is for Keras."""


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on success it is renamed over `path`, on an error it is removed.

    The temporary name keeps the suffix of `path`, since many writers choose their format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_MARK}{uuid.uuid4().hex[:8]}-{path.name}"
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a new folder beside `path` to fill; on success it is renamed to `path`, on an error it is removed.

    Raises:
        OSError: if `path` exists and is not an empty folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f"{TEMPORARY_MARK}{uuid.uuid4().hex[:8]}-{path.name}"
    temporary.mkdir()
    try:
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
        if time.time() - leftover.stat().st_mtime < older_than:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def exported_version(path: str | os.PathLike) -> Path | None:
    """The folder of a SavedModel: the path itself, or the newest of the numbered versions in it; None without one."""
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    versions = [p.parent for p in path.glob("*/saved_model.pb") if p.parent.name.isdigit()] if path.is_dir() else []
    return max(versions, key=lambda folder: int(folder.name), default=None)


def _flush_to_disk(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
