"""Optimizers that Keras has, faster, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_apps.errors import check_number


def steps_taken(optimizer: keras.optimizers.Optimizer) -> int:
    """How often it has changed the weights; on several devices too, where its count is a variable on each."""
    return int(keras.ops.convert_to_numpy(optimizer.iterations))


def moving_average(momentum: float) -> dict[str, Any]:
    """Arguments by which any optimizer keeps a moving average of the weights; 0 for none.

    Raises:
        UserError: where it is not from 0 to below 1.
    """
    check_number("averaging", momentum, at_least=0, below=1)
    return {"use_ema": momentum > 0, "ema_momentum": momentum or 0.99}


@keras.saving.register_keras_serializable(package="keras_apps")
class FusedAdam(keras.optimizers.Adam):
    """Adam (Kingma 2015, https://arxiv.org/abs/1412.6980) by TensorFlow's one kernel a variable.

    Keras's own makes a dozen passes over the memory of each variable, which tells where there are many weights and few
    examples in a step. What is the same for all variables is computed once, so that a step is traced sooner too. The
    arguments and the state are those of `keras.optimizers.Adam`, without amsgrad.

    Raises:
        UserError: where a number is out of range.
    """

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, **kwargs: Any):
        if isinstance(learning_rate, int | float):
            check_number("a learning rate", learning_rate, at_least=0)
        check_number("beta_1", beta_1, at_least=0, below=1)
        super().__init__(learning_rate, beta_1, **kwargs)

    def _backend_update_step(
        self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable], learning_rate: tf.Tensor
    ) -> None:
        steps = tf.cast(self.iterations + 1, tf.float32)
        beta_1, beta_2, epsilon = (tf.constant(each, tf.float32) for each in (self.beta_1, self.beta_2, self.epsilon))
        shared = {
            "lr": learning_rate,
            "beta1": beta_1,
            "beta2": beta_2,
            "beta1_power": tf.pow(beta_1, steps),
            "beta2_power": tf.pow(beta_2, steps),
            "epsilon": epsilon,
        }
        super()._backend_update_step(grads, trainable_variables, shared)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, shared: dict[str, tf.Tensor]) -> None:
        """Changes one variable and its moments by what is the same for all variables."""
        index = self._get_variable_index(variable)
        # Within an update of tf.distribute a handle is that of this device's copy.
        handles = [getattr(each, "value", each) for each in (self._momentums[index], self._velocities[index])]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=handles[0].handle,
            v=handles[1].handle,
            grad=tf.cast(gradient, variable.dtype),
            **{name: tf.cast(value, variable.dtype) for name, value in shared.items()},
        )

    def _update_model_variables_moving_average(self, trainable_variables: Sequence[keras.Variable]) -> None:
        # The first step has nothing to average with.
        share = tf.where(self.iterations == 0, 1.0, 1.0 - self.ema_momentum)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            distance = tf.subtract(variable.value, average.value)
            average.assign(tf.add(average.value, tf.multiply(distance, tf.cast(share, distance.dtype))))

    def _overwrite_model_variables_with_average_value(self, trainable_variables: Sequence[keras.Variable]) -> None:
        # Keras ends `fit` with all variables of the model, some of which may be another optimizer's.
        super()._overwrite_model_variables_with_average_value(self._trainable_variables)
