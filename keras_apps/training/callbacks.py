"""What happens around Keras's `fit`: averaged weights in validation, a stop on Ctrl-C or NaN, each epoch's record."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

import keras
import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.models.servable import ServableModel
from keras_apps.training.checkpoint import Progress, save_checkpoint
from keras_apps.training.run_directory import RunDirectory

# Reading a loss waits for the device, so it is looked at now and then, and at the end of each epoch.
_STEPS_BETWEEN_CHECKS = 50
# Of a training's time, what drawing its curves may take.
_DRAWING_SHARE = 0.05

logger = logging.getLogger(__name__)


class AveragedValidation(keras.callbacks.Callback):
    """Validates with the moving averages of the weights, where the optimizer keeps them."""

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Puts the averages in place."""
        self._within = contextlib.ExitStack()
        self._within.enter_context(self.model.averaged_weights())

    def on_test_end(self, logs: dict | None = None) -> None:
        """Puts the weights back."""
        self._within.close()


class Interruption(keras.callbacks.Callback):
    """Ends a training on Ctrl-C, after the step at the latest; to be entered around `fit`, from the main thread.

    Python raises KeyboardInterrupt wherever it is. Where TensorFlow or a destructor has called it, that is lost.
    """

    def __enter__(self) -> Self:
        """Listens to SIGINT; what listened before is called too."""
        self._asked = False
        self._previous = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(self._previous):
            signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        """Listens no more."""
        if signal.getsignal(signal.SIGINT) == self._ask:
            signal.signal(signal.SIGINT, self._previous)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._previous(number, frame)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Raises KeyboardInterrupt where it was lost."""
        if self._asked:
            raise KeyboardInterrupt

    on_test_batch_end = on_train_batch_end


class StopOnNaN(keras.callbacks.Callback):
    """Ends a training whose loss is no number any more, before anything of it is saved."""

    def __init__(self):
        super().__init__()
        self.epoch = 0
        self.looks = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Remembers where we are."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Looks now and then."""
        self.looks += 1
        if self.looks % _STEPS_BETWEEN_CHECKS == 1:
            self._check(logs, f"step {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks at the whole epoch."""
        self._check(logs, "its end")

    def _check(self, logs: dict | None, where: str) -> None:
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                raise UserError(
                    f"training diverged: {name} is {float(value)} in epoch {self.epoch + 1} at {where}; try a smaller "
                    "--learning_rate (and another --run_dir); this one keeps what was saved before"
                )


class EpochRecorder(keras.callbacks.Callback):
    """After each epoch: history, the best model so far, early stopping, and a checkpoint, in this order.

    Which epoch is the best and when to stop follow from the history alone, so that a resumed run decides alike.

    Args:
        run: where to write.
        phase: index of the model's phase.
        history: rows of the epochs done before; added to.
        patience: epochs without a better score before stopping; 0 for never.

    Attributes:
        best: the best model, as it was saved; None where no epoch so far was better than those done before.
    """

    def __init__(self, run: RunDirectory, phase: int, history: list[dict[str, Any]], patience: int):
        super().__init__()
        self.run = run
        self.phase = phase
        self.history = history
        self.patience = patience
        self.best: ServableModel | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history of this phase."""
        name = self.model.phases[self.phase]
        return [row for row in self.history if row["phase"] == name]

    @property
    def best_epoch(self) -> int | None:
        """Index of the best epoch of this phase, the first of equals; the last where nothing is validated."""
        metric, mode = self.model.monitor
        scores = [row.get(metric) for row in self.rows]
        if not scores:
            return None
        if None in scores:
            return len(scores) - 1
        return scores.index(max(scores) if mode == "max" else min(scores))

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return bool(self.patience and self.rows and len(self.rows) - 1 - self.best_epoch >= self.patience)

    @property
    def why_exhausted(self) -> str:
        """In words."""
        return f"no better {self.model.monitor[0]} in {self.patience} epochs"

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Records the epoch."""
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        self.history.append(
            {"phase": self.model.phases[self.phase], "epoch": epoch + 1}
            | metrics
            | {"seconds": round(time.monotonic() - self._began, 3)}
        )
        if self.best_epoch == len(self.rows) - 1:
            self._keep_best()
        trouble = self.model.trouble(metrics)
        if trouble:
            logger.warning(trouble)
            self.run.log(trouble)
        scores = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.run.log(f"{self.model.phases[self.phase]} epoch {epoch + 1}: {scores}")
        # The checkpoint comes last: a run killed before it does this epoch again, and writes the same files again.
        self.run.write_history(self.history)
        save_checkpoint(
            self.run.checkpoints,
            self.model,
            Progress(self.phase, epoch + 1, self.history, self.model.get_config()),
        )
        if self.exhausted:
            message = f"{self.why_exhausted}: stopping"
            logger.info(message)
            self.run.log(message)
            self.model.stop_training = True

    def _keep_best(self) -> None:
        with self.model.averaged_weights():
            # Built once: that takes longer than an epoch of little data.
            if self.best is None:
                self.best = self.model.snapshot()
            else:
                self.best.set_weights(self.model.get_weights())
        self.best.save_for_inference(self.run.model_file)


class Curves(keras.callbacks.Callback):
    """Draws the curves after an epoch, but not after each where epochs are short.

    Args:
        run: where to write.
        history: rows of the epochs done.
    """

    def __init__(self, run: RunDirectory, history: list[dict[str, Any]]):
        super().__init__()
        self.run = run
        self.history = history

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts the clock."""
        self._next = time.monotonic() + 1 / _DRAWING_SHARE

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Draws where it is time to."""
        began = time.monotonic()
        if began >= self._next:
            self.run.write_curves(self.history)
            self._next = began + (time.monotonic() - began) / _DRAWING_SHARE


class Samples(keras.callbacks.Callback):
    """After each epoch: what the model makes of a few examples, and a contact sheet of how that changed.

    Args:
        run: where to write.
        phase: the model's phase.
        examples: raw ones.
    """

    def __init__(self, run: RunDirectory, phase: str, examples: tf.data.Dataset):
        super().__init__()
        self.run = run
        self.phase = phase
        self.examples = examples

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the samples."""
        with self.model.averaged_weights():
            pictures = self.model.sample(self.examples)
        if pictures is not None:
            self.run.write_samples(f"{self.phase}-{epoch + 1:04d}", pictures)
            names = [f"{self.phase}-{number + 1:04d}" for number in range(epoch + 1)]
            there = [name for name in names if (self.run.samples / f"{name}.png").exists()]
            self.run.write_progress(there, pictures.shape[2:4])
