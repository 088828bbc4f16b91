"""A gallery: classes that were enrolled, each by the mean embedding of its pictures, in one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_apps.errors import UserError
from keras_apps.files import atomic_file

_ARRAYS = ("names", "embeddings", "counts", "limits")


class Gallery:
    """Classes by name; to add one or take one away needs no training.

    Args:
        path: of the file, an .npz; it need not be there yet.

    Raises:
        UserError: where there is a file that is no gallery.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.names: list[str] = []
        self.embeddings = np.zeros((0, 0), np.float32)
        """`<float32>[classes, units]`"""
        self._counts: list[int] = []
        self._renewed: set[str] = set()
        self.limits: tuple[float, float, float] | None = None
        """The score below which a picture is of none of the classes, and its rates of false accepts and rejects."""
        if self.path.suffix != ".npz":
            raise UserError(f"{path}: a gallery's name ends in .npz")
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                names, self.embeddings, counts, limits = (file[name] for name in _ARRAYS)
            fits = names.dtype.kind == "U" and self.embeddings.dtype == np.float32 and counts.dtype.kind == "i"
            fits &= self.embeddings.ndim == 2 and len(names) == len(self.embeddings) == len(counts)
            fits &= limits.shape == (3,) and bool(np.isfinite(self.embeddings).all())
        except Exception:
            # Zip, its compressions and the arrays in it each fail in their own way on bytes that chance wrote.
            fits = False
        if not fits:
            raise UserError(f"{self.path}: not a gallery, or damaged; make it anew with predict --support FOLDER")
        self.names, self._counts = names.tolist(), counts.tolist()
        self.limits = tuple(limits.tolist())

    def check(self, limits: tuple[float, float, float], units: int | None = None) -> None:
        """Raises UserError where a model of these limits, and so many units, is not the one that enrolled them."""
        if not self.names:
            return
        if units not in (None, self.embeddings.shape[1]) or not np.allclose(limits, self.limits, rtol=1e-5):
            raise UserError(
                f"{self.path}: holds what another model made of its pictures; enrol them anew, in another --gallery"
            )

    def add(self, name: str, embedding: Sequence[float], limits: tuple[float, float, float]) -> None:
        """Adds a picture to a class; the first one in this process makes the class new.

        Args:
            name: of the class.
            embedding: `<float>[units]`.
            limits: as above, of the model.

        Raises:
            UserError: where the gallery is another model's.
        """
        vector = np.asarray(embedding, np.float32)
        self.check(limits, len(vector))
        if name not in self._renewed and name in self.names:
            self.remove(name)
        self._renewed.add(name)
        self.limits = limits
        if name in self.names:
            index = self.names.index(name)
            self._counts[index] += 1
            self.embeddings[index] += (vector - self.embeddings[index]) / self._counts[index]
            return
        self.names.append(name)
        self._counts.append(1)
        self.embeddings = np.concatenate([self.embeddings.reshape(-1, len(vector)), vector[None]])

    def remove(self, name: str) -> None:
        """Takes a class away.

        Raises:
            UserError: where there is none of this name.
        """
        if name not in self.names:
            there = ", ".join(self.names[:10]) or "none"
            raise UserError(f"{self.path}: there is no class {name!r} in it; there is: {there}")
        index = self.names.index(name)
        del self.names[index], self._counts[index]
        self.embeddings = np.delete(self.embeddings, index, axis=0)

    def save(self) -> None:
        """Writes the file, beside and renamed."""
        with atomic_file(self.path) as temporary:
            np.savez(
                temporary,
                names=np.array(self.names, "U"),
                embeddings=self.embeddings,
                counts=np.array(self._counts, np.int64),
                limits=np.array(self.limits or (0, 0, 0), np.float64),
            )
