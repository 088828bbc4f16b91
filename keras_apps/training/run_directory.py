"""What a training leaves on disk: its settings, its log, its best model, its curves."""

from __future__ import annotations

import contextlib
import csv
import datetime
import json
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from keras_apps import __version__
from keras_apps.errors import UserError
from keras_apps.files import MODEL, atomic_file, locked, remove_incomplete, writing
from keras_apps.models.servable import SCHEMA_VERSION, check_schema_version

# Epochs on the sheet that shows how samples changed.
_PROGRESS_ROWS = 8
# Settings that may change between a run's beginning and its continuation.
_MAY_CHANGE = {("training", "epochs"), ("training", "patience"), ("training", "steps_per_execution")}


class RunDirectory:
    """A folder that holds one run.

    config.json, log.txt, history.csv, curves.png, checkpoints/, model.keras (the best so far), metrics.json,
    answers.jsonl, tensorboard/; of a model that makes pictures also samples/ and progress.png.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config_file = self.path / "config.json"
        self.model_file = self.path / MODEL
        self.checkpoints = self.path / "checkpoints"
        self.metrics_file = self.path / "metrics.json"
        self.answers_file = self.path / "answers.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.samples = self.path / "samples"

    @contextlib.contextmanager
    def open(self, settings: dict[str, dict[str, Any]]) -> Iterator[None]:
        """Begins a run with these settings, or finds that it is the one already here; within it no other process can.

        Args:
            settings: by section (`model`, `training`, `data`, ...), plain values.

        A run that was stopped before it had anything to keep may be begun again with other settings.

        Raises:
            UserError: where the folder holds something else, a run with other settings, or one that is under way.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: is a file; --run_dir names a folder")
        if not self.config_file.exists():
            foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".")] if self.path.exists() else []
            if foreign:
                raise UserError(
                    f"{self.path}: holds {foreign[0]} but no config.json, so it is no run; "
                    "name a new or empty --run_dir"
                )
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if self.config_file.exists():
                before = self.read_settings()
                if self.model_file.exists() or any(self.checkpoints.glob("*")):
                    self._check_same(before, settings)
            for folder in (self.path, self.samples):
                remove_incomplete(folder)
            self._write_json(self.config_file, {"schema_version": SCHEMA_VERSION} | settings)
            self.checkpoints.mkdir(exist_ok=True)
            self.log(f"keras_apps {__version__}, TensorFlow {version('tensorflow')}, Keras {version('keras')}")
            yield

    def join(self, settings: dict[str, dict[str, Any]]) -> None:
        """Finds that another process has begun the very same run.

        Raises:
            UserError: where the folder is not shared with it, or it was given other settings.
        """
        if not self.config_file.exists():
            raise UserError(
                f"{self.path}: the chief's config.json is not here; --run_dir must be on a disk all machines share"
            )
        self._check_same(self.read_settings(), settings, may_change=frozenset())

    def log(self, message: str) -> None:
        """Adds a line, with the time, to log.txt."""
        with writing(self.path / "log.txt"), open(self.path / "log.txt", "a") as file:
            file.write(f"{datetime.datetime.now().isoformat(sep=' ', timespec='seconds')}  {message}\n")

    def read_settings(self) -> dict[str, Any]:
        """The settings of the run that is here.

        Raises:
            UserError: where there is none, or of another schema version.
        """
        try:
            settings = json.loads(self.config_file.read_text())
            schema_version = settings.pop("schema_version", None)
        except (OSError, AttributeError, TypeError, ValueError, RecursionError) as error:
            raise UserError(
                f"{self.path}: no readable config.json ({type(error).__name__}); name the --run_dir of a run"
            ) from None
        check_schema_version(schema_version, str(self.config_file))
        return settings

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Writes history.csv."""
        columns = list(dict.fromkeys(name for row in history for name in row))
        with atomic_file(self.path / "history.csv") as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(history)

    def write_curves(self, history: list[dict[str, Any]]) -> None:
        """Writes curves.png, of one epoch or more."""
        if not history:
            return
        from keras_apps.training.curves import draw_curves

        with atomic_file(self.path / "curves.png") as temporary:
            draw_curves(history, temporary)

    def write_samples(self, name: str, pictures: np.ndarray) -> None:
        """Writes samples/NAME.png.

        Args:
            name: of the epoch, or of what it is of.
            pictures: `<uint8>[rows, columns, height, width, 3]`.
        """
        from keras_apps.drawing import draw_tiles

        self.samples.mkdir(exist_ok=True)
        with atomic_file(self.samples / f"{name}.png") as temporary:
            draw_tiles(pictures, temporary)

    def write_progress(self, names: Sequence[str], size: tuple[int, int]) -> None:
        """Writes progress.png: of some of these samples, in order, the first row.

        Args:
            names: of the samples.
            size: height and width of their pictures.
        """
        from keras_apps.drawing import draw_tiles, read_tiles

        chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), _PROGRESS_ROWS)).round().astype(int))
        rows = [read_tiles(self.samples / f"{names[index]}.png", size)[0] for index in chosen]
        with atomic_file(self.path / "progress.png") as temporary:
            draw_tiles(np.stack(rows), temporary)

    def write_metrics(self, metrics: dict[str, Any], answers: Sequence[dict[str, Any]] = ()) -> None:
        """Writes metrics.json, and answers.jsonl where there are answers, a line for each example."""
        self._write_json(self.metrics_file, metrics)
        if answers:
            with atomic_file(self.answers_file) as temporary:
                temporary.write_text("".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                with writing(self.path):
                    stack.enter_context(locked(self.path / ".lock"))
            except BlockingIOError:
                raise UserError(
                    f"{self.path}: another process trains in it; wait for it, or name another --run_dir"
                ) from None
            yield

    def _write_json(self, path: Path, content: dict[str, Any]) -> None:
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")

    def _check_same(
        self, old: dict[str, Any], new: dict[str, Any], may_change: Collection[tuple[str, str]] = _MAY_CHANGE
    ) -> None:
        # Runs of before 2026-11-24 do not say how many examples they have.
        unknown = {"examples"} - old.keys()
        for section in sorted((old.keys() | new.keys()) - unknown):
            before, now = old.get(section), json.loads(json.dumps(new.get(section)))
            if not isinstance(before, dict) or not isinstance(now, dict):
                before, now = {"": before}, {"": now}
            for key in sorted(before.keys() | now.keys()):
                if before.get(key) != now.get(key) and (section, key) not in may_change:
                    what = f"{key} examples" if section == "examples" else key or section
                    raise UserError(
                        f"{self.path}: holds a run with {what} = {before.get(key)!r}, not {now.get(key)!r}; "
                        "give the same flags and data to go on with it, or another --run_dir"
                    )
