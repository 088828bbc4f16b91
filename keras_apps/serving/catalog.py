"""The models of a folder: which versions are on disk, which is loaded, and what became of the others.

The folder is laid out as TensorFlow Serving wants it: `<model>/<version>/saved_model.pb`, the version being an integer.
Importing this module imports no TensorFlow; loading a model does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import re
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from keras_apps.errors import UserError
from keras_apps.files import TEMPORARY_MARK
from keras_apps.serving.request_error import not_found

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

logger = logging.getLogger(__name__)

SAVED_MODEL_FILE = "saved_model.pb"
BATCHING_FILE = "batching_params.pbtxt"
_LARGEST_VERSION = 2**63 - 1  # the protocol carries versions as int64


def versions_on_disk(model_folder: Path) -> dict[int, Path]:
    """The complete versions below `model_folder`, by number; whatever else lies there is ignored."""
    found = {}
    for folder in model_folder.iterdir() if model_folder.is_dir() else ():
        name = folder.name
        if (
            name.isascii()
            and name.isdigit()
            and int(name) <= _LARGEST_VERSION
            and (folder / SAVED_MODEL_FILE).is_file()
        ):
            found[int(name)] = folder
    return found


def models_on_disk(saved_models: Path, names: Collection[str] | None = None) -> dict[str, dict[int, Path]]:
    """The models below `saved_models` that have a version, each with its versions.

    Args:
        saved_models: the folder of all models.
        names: the models wanted; None for all.

    Raises:
        UserError: if the folder is missing, or a model that is wanted isn't there, or none is.
    """
    found = _scan(saved_models, names)
    missing = sorted(set(names or ()) - set(found))
    if missing or not found:
        what = f"no model {', '.join(missing)}" if missing else "no model"
        here = f"; there is: {', '.join(sorted(_scan(saved_models)))}" if _scan(saved_models) else ""
        raise UserError(
            f"{what} in {saved_models}: expected <model>/<version>/{SAVED_MODEL_FILE}, as `export` writes it{here}"
        )
    return found


def _scan(saved_models: Path, names: Collection[str] | None = None) -> dict[str, dict[int, Path]]:
    if not saved_models.is_dir():
        raise UserError(f"no such folder: {saved_models}; export a model into it first, or name another folder")
    found = {}
    for folder in sorted(saved_models.iterdir()):
        if folder.name.startswith(TEMPORARY_MARK) or (names is not None and folder.name not in names):
            continue
        if versions := versions_on_disk(folder):
            found[folder.name] = versions
    return found


@dataclasses.dataclass(frozen=True)
class LoadedVersion:
    """One version of one model, ready to be called; whoever holds it can finish with it even after it is replaced."""

    model: str
    version: int
    signature_defs: Mapping[str, SignatureDef]
    functions: Mapping[str, Any]
    owner: Any  # the loaded object: its variables live as long as it does
    max_batch_size: int | None  # the most examples of a request; None where the version doesn't say


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What became of a version, in TensorFlow Serving's terms."""

    version: int
    state: str  # LOADING, AVAILABLE or END, as in ModelVersionStatus.State
    code: grpc.StatusCode = grpc.StatusCode.OK
    message: str = ""


class Catalog:
    """Keeps the newest version of every model loaded, like TensorFlow Serving's default version policy.

    An old version goes when a newer one is loaded. A version that fails to load takes nothing down: the newest one
    that does load is served, the failure is in the status, and it is tried again once its files have changed (somebody
    may still be copying them).

    Args:
        saved_models: the folder of all models.
        names: the models to serve; None for all, those that appear later included.
    """

    def __init__(self, saved_models: Path, names: Collection[str] | None = None) -> None:
        self._folder = saved_models
        self._names = names
        self._lock = threading.Lock()  # held for a look or a swap, never while loading
        self._loaded: dict[str, LoadedVersion] = {}
        self._statuses: dict[str, dict[int, VersionStatus]] = {}
        self._failed: dict[Path, frozenset] = {}  # folders that didn't load, with what was in them

    def load(self) -> None:
        """Loads all models for the first time.

        Raises:
            UserError: if there is nothing to serve, or none of it loads.
        """
        models_on_disk(self._folder, self._names)
        self.refresh()
        if not self._loaded:
            failures = [
                f"{model} version {status.version}: {status.message}"
                for model, statuses in self._statuses.items()
                for status in statuses.values()
            ]
            raise UserError(f"no model in {self._folder} could be loaded; " + "; ".join(failures))

    def refresh(self) -> None:
        """Looks at the folder once: loads what is new, drops what is gone."""
        try:
            on_disk = _scan(self._folder, self._names)
        except (UserError, OSError) as error:
            logger.warning("cannot look for new versions, serving those loaded: %s", error)
            return
        for model in set(self._statuses) - set(on_disk):
            logger.info("%s: gone from %s, unloaded", model, self._folder)
            with self._lock:
                self._loaded.pop(model, None)
                del self._statuses[model]
        for model, versions in on_disk.items():
            self._refresh_model(model, versions)

    def _refresh_model(self, model: str, versions: Mapping[int, Path]) -> None:
        current = self._loaded.get(model)
        for version in sorted(versions, reverse=True):
            if current and version == current.version:
                break
            loaded = self._try_load(model, version, versions[version])
            if loaded:
                with self._lock:
                    self._loaded[model] = loaded
                    self._statuses[model][version] = VersionStatus(version, "AVAILABLE")
                    if current:
                        self._statuses[model][current.version] = VersionStatus(current.version, "END")
                logger.info("%s: version %d is served", model, version)
                break
        with self._lock:  # statuses of folders that are gone go too
            statuses = self._statuses.get(model, {})
            self._statuses[model] = {
                version: status
                for version, status in statuses.items()
                if version in versions or status.state == "AVAILABLE"
            }

    def _try_load(self, model: str, version: int, folder: Path) -> LoadedVersion | None:
        content = _fingerprint(folder)
        if self._failed.get(folder) == content:
            return None
        self._set_status(model, VersionStatus(version, "LOADING"))
        try:
            loaded = _load(model, version, folder)
        except Exception as error:  # whatever is wrong with a file must not end the server
            reason = " ".join(str(error).split())[:500] or type(error).__name__
            logger.warning("%s: version %d does not load: %s", model, version, reason)
            self._failed[folder] = content
            self._set_status(model, VersionStatus(version, "END", grpc.StatusCode.UNKNOWN, f"does not load: {reason}"))
            return None
        self._failed.pop(folder, None)
        return loaded

    def _set_status(self, model: str, status: VersionStatus) -> None:
        with self._lock:
            self._statuses.setdefault(model, {})[status.version] = status

    def models(self) -> list[str]:
        """The names of the models that are served."""
        with self._lock:
            return sorted(self._loaded)

    def get(self, model: str, version: int | None = None) -> LoadedVersion:
        """The loaded version of a model.

        Args:
            model: its name.
            version: the version that must be the loaded one; None for any.

        Raises:
            RequestError: NOT_FOUND if there's no such model or the version isn't loaded.
        """
        with self._lock:
            loaded = self._loaded.get(model)
            known = sorted(self._loaded)
        if loaded is None:
            raise not_found(f"no model {model!r} is served here; there is: {', '.join(known)}")
        if version is not None and version != loaded.version:
            raise not_found(f"version {version} of model {model!r} is not loaded; version {loaded.version} is")
        return loaded

    def status(self, model: str, version: int | None = None) -> list[VersionStatus]:
        """What became of a model's versions, the newest first.

        Raises:
            RequestError: NOT_FOUND if there is no such model or version.
        """
        with self._lock:
            statuses = list(self._statuses.get(model, {}).values())
        chosen = [status for status in statuses if version in (None, status.version)]
        if not chosen:
            wanted = f"model {model!r}" if version is None else f"version {version} of model {model!r}"
            raise not_found(f"could not find {wanted}")
        return sorted(chosen, key=lambda status: -status.version)


def _fingerprint(folder: Path) -> frozenset:
    """What a folder holds, as far as names, sizes and times tell."""
    found = set()
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            stat = file.stat()
            found.add((str(file), stat.st_size, stat.st_mtime_ns))
    return frozenset(found)


def load_saved_model(folder: Path) -> Any:
    """A SavedModel's graphs for a server; TensorFlow Text is imported where one asks for its operations, as few do."""
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder), tags=["serve"])
    except Exception as error:
        if "Op type not registered" not in str(error) or not importlib.util.find_spec("tensorflow_text"):
            raise
    importlib.import_module("tensorflow_text")
    return tf.saved_model.load(str(folder), tags=["serve"])


def _load(model: str, version: int, folder: Path) -> LoadedVersion:
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL_FILE).read_bytes())
    graphs = [graph for graph in saved_model.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not graphs:
        raise ValueError(f"{folder / SAVED_MODEL_FILE} has no graph tagged 'serve'")
    owner = load_saved_model(folder)
    return LoadedVersion(
        model, version, dict(graphs[0].signature_def), dict(owner.signatures), owner, _max_batch_size(folder)
    )


def _max_batch_size(folder: Path) -> int | None:
    try:
        said = (folder / BATCHING_FILE).read_text(errors="replace")
    except OSError:
        return None
    found = re.search(r"^\s*max_batch_size\s*:?\s*\{\s*value\s*:\s*(\d+)", said, re.MULTILINE)
    return int(found[1]) if found else None
