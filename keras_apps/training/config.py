"""How a model is fitted: the settings that all apps share. Free of TensorFlow, so that a command line can read it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from keras_apps.errors import check_range


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How to train."""

    epochs: int = 10
    """Passes over the training examples, in each phase of the model."""
    batch_size: int = 64
    """Examples in a step, over all devices together."""
    steps_per_epoch: int = 0
    """Cuts an epoch short; 0 for all examples."""
    patience: int = 3
    """Stops after so many epochs without a better validation score; 0 for never."""
    seed: int = 0
    """Of the initial weights, the order of the examples and all that is random in training."""
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    """Number format of the computation; auto is what was measured best for the model on this kind of device."""
    xla: Literal["auto", "on", "off"] = "auto"
    """Compile the computation of losses and gradients."""
    distribute: Literal["none", "mirrored", "multi_worker"] = "none"
    """Gives each device a share of every batch: all GPUs of this machine (mirrored), or of all in TF_CONFIG."""
    steps_per_execution: int = 1
    """Training steps in one call; fewer where that does not divide those of an epoch, one on several devices."""

    def __post_init__(self):
        check_range(self, ("epochs", "batch_size", "steps_per_execution"), at_least=1)
        check_range(self, ("steps_per_epoch", "patience", "seed"), at_least=0)
