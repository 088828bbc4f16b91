"""Optimizers that Keras has, faster, and what they have in common."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def moving_average(momentum: float) -> dict[str, Any]:
    """Arguments by which any optimizer keeps a moving average of the weights; 0 for none."""
    return {"use_ema": momentum > 0, "ema_momentum": momentum or 0.99}


@keras.saving.register_keras_serializable(package="keras_apps")
class FusedAdam(keras.optimizers.Adam):
    """Adam (Kingma 2015, https://arxiv.org/abs/1412.6980) by TensorFlow's one kernel a variable.

    Keras's own makes a dozen passes over the memory of each variable, which tells where there are many weights and few
    examples in a step. The arguments and the state are those of `keras.optimizers.Adam`, without amsgrad.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Changes one variable and its moments."""
        index = self._get_variable_index(variable)
        # Within an update of tf.distribute a handle is that of this device's copy.
        handles = [getattr(each, "value", each) for each in (self._momentums[index], self._velocities[index])]
        steps = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=handles[0].handle,
            v=handles[1].handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), steps),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), steps),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
