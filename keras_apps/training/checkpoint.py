"""Exact resume: everything that a run's future hangs on, in one folder that is wholly there or not at all."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_apps.errors import UserError, brief
from keras_apps.files import atomic_directory, remove_incomplete
from keras_apps.models.servable import SCHEMA_VERSION, ServableModel, check_schema_version

_NAME = re.compile(r"phase-(\d+)-epoch-(\d+)")


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Args:
        phase: index of the model's phase that is under way.
        epoch: how many epochs of it are done.
        history: a row of metrics for each epoch of all phases.
        model_config: of the model, with what `adapt` learned.
    """

    phase: int
    epoch: int
    history: list[dict[str, Any]]
    model_config: dict[str, Any]


def save_checkpoint(folder: Path, model: ServableModel, progress: Progress) -> None:
    """Writes a new checkpoint below `folder`, beside and renamed, then removes the older ones."""
    path = folder / f"phase-{progress.phase:02d}-epoch-{progress.epoch:05d}"
    if path.exists():
        return
    with atomic_directory(path) as temporary:
        arrays = {f"{index:05d}": keras.ops.convert_to_numpy(v) for index, (_, v) in enumerate(_variables(model))}
        np.savez(temporary / "variables.npz", **arrays)
        state = {
            "schema_version": SCHEMA_VERSION,
            "variables": [name for name, _ in _variables(model)],
            "progress": dataclasses.asdict(progress),
        }
        (temporary / "state.json").write_text(json.dumps(state))
    for other in folder.iterdir():
        if other != path and _NAME.fullmatch(other.name):
            shutil.rmtree(other)


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint below `folder`; what killed writers left there is removed."""
    remove_incomplete(folder)
    names = sorted(path.name for path in folder.glob("phase-*") if _NAME.fullmatch(path.name))
    return folder / names[-1] if names else None


def read_progress(checkpoint: Path) -> Progress:
    """How far the run of a checkpoint has come.

    Raises:
        UserError: where the checkpoint is damaged or of another schema version.
    """
    try:
        state = json.loads((checkpoint / "state.json").read_text())
        check_schema_version(state["schema_version"], str(checkpoint))
        progress = Progress(**state["progress"])
        _check_types(progress)
        return progress
    except UserError:
        raise
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(checkpoint, error) from error


def model_of(checkpoint: Path, progress: Progress, model_class: type[ServableModel]) -> ServableModel:
    """The model that a checkpoint is of, its weights not yet restored.

    Raises:
        UserError: where the checkpoint is damaged or of another schema version.
    """
    try:
        return model_class.from_config(progress.model_config)
    except UserError:
        raise
    except Exception as error:
        raise _damaged(checkpoint, error) from error


def restore_checkpoint(checkpoint: Path, model: ServableModel) -> None:
    """Gives a compiled model the weights, the optimizers' state and the random state of a checkpoint.

    Raises:
        UserError: where the checkpoint is damaged or belongs to another model.
    """
    try:
        names = json.loads((checkpoint / "state.json").read_text())["variables"]
        with np.load(checkpoint / "variables.npz", allow_pickle=False) as file:
            arrays = [file[f"{index:05d}"] for index in range(len(names))]
    except Exception as error:
        # Zip, its compressions and the arrays in it each fail in their own way on bytes that chance wrote.
        raise _damaged(checkpoint, error) from error
    variables = _variables(model)
    if [name for name, _ in variables] != names or any(
        tuple(v.shape) != a.shape for (_, v), a in zip(variables, arrays, strict=True)
    ):
        raise UserError(f"{checkpoint}: belongs to a model of other settings; give another --run_dir")
    for (_, variable), array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _check_types(progress: Progress) -> None:
    rows = progress.history if isinstance(progress.history, list) else [None]
    if not (
        all(type(number) is int and number >= 0 for number in (progress.phase, progress.epoch))
        and all(isinstance(row, dict) and isinstance(row.get("phase"), str) for row in rows)
        and all(isinstance(value, int | float) for row in rows for name, value in row.items() if name != "phase")
        and isinstance(progress.model_config, dict)
    ):
        raise TypeError("its progress is not of the types that were written")


def _variables(model: ServableModel) -> list[tuple[str, keras.Variable]]:
    """Weights, seed generators and optimizer state; not the metrics, which each epoch begins afresh."""
    of_metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    named = [(f"model/{index}", v) for index, v in enumerate(model.variables) if id(v) not in of_metrics]
    for index, optimizer in enumerate(model.optimizers):
        named += [(f"optimizer_{index}/{number}", v) for number, v in enumerate(optimizer.variables)]
    return named


def _damaged(checkpoint: Path, error: Exception) -> UserError:
    return UserError(
        f"{checkpoint}: damaged ({type(error).__name__}: {brief(error)}); "
        "delete this folder to train from the beginning, or go on from model.keras with --init_from"
    )
