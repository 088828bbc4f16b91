"""Learning-rate schedules that Keras does not have."""

from __future__ import annotations

import keras
from keras import ops

from keras_apps.errors import check_number


@keras.saving.register_keras_serializable(package="keras_apps")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to its peak and falls with the inverse square root of the step (Vaswani 2017, section 5.3).

    Args:
        peak: the highest learning rate.
        warmup_steps: when it is reached; 0 for a constant rate.

    Raises:
        UserError: where one of them is below 0.
    """

    def __init__(self, peak: float, warmup_steps: int):
        super().__init__()
        check_number("a learning rate", peak, at_least=0)
        check_number("warmup_steps", warmup_steps, at_least=0)
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        if not self.warmup_steps:
            return self.peak
        ratio = (ops.cast(step, "float32") + 1) / self.warmup_steps
        return self.peak * ops.minimum(ratio, ops.rsqrt(ratio))

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}
