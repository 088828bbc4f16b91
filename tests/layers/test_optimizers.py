import keras
import numpy as np
import pytest

from keras_apps.errors import UserError
from keras_apps.layers.optimizers import FusedAdam, moving_average
from keras_apps.layers.schedules import InverseSquareRoot


@pytest.mark.parametrize("use_ema", [False, True])
def test_adam_is_adam(use_ema):
    found = []
    for optimizer_class in (keras.optimizers.Adam, FusedAdam):
        variables = [keras.Variable(np.arange(6.0).reshape(2, 3)), keras.Variable(1.0)]
        optimizer = optimizer_class(0.1, beta_1=0.5, use_ema=use_ema)
        optimizer.build(variables)

        for _ in range(5):
            optimizer.apply([each.value**2 / 3 - 1 for each in variables], variables)
        found.append([np.asarray(each) for each in (*variables, *optimizer.variables)])
    for expected, fused in zip(*found, strict=True):
        np.testing.assert_allclose(fused, expected, rtol=1e-5, atol=1e-6)


def test_each_gives_the_averages_to_its_own_variables_of_a_model():
    variables = [keras.Variable(np.ones(2)), keras.Variable(np.ones(3)), keras.Variable(np.ones(4))]
    optimizer = FusedAdam(0.1, use_ema=True, ema_momentum=0.5)
    optimizer.build(variables[1:])
    for _ in range(2):
        optimizer.apply([np.ones(3, np.float32), np.ones(4, np.float32)], variables[1:])
    optimizer.finalize_variable_values(variables)
    # 0.9 after the first step and 0.8 after the second.
    for variable, expected in zip(variables, (1, 0.85, 0.85), strict=True):
        np.testing.assert_allclose(variable, np.full(variable.shape, expected), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FusedAdam(-1.0), "a learning rate must be at least 0; received -1"),
        (lambda: FusedAdam(float("nan")), "a learning rate must be at least 0"),
        (lambda: FusedAdam(0.1, beta_1=1.0), "beta_1 must be at least 0 and below 1"),
        (lambda: InverseSquareRoot(-1.0, 5), "a learning rate must be at least 0"),
        (lambda: InverseSquareRoot(1.0, -5), "warmup_steps must be at least 0"),
        (lambda: moving_average(1.5), "averaging must be at least 0 and below 1"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_its_state_is_restored_from_its_configuration_and_variables():
    optimizer = FusedAdam.from_config(FusedAdam(0.3, beta_1=0.4).get_config())
    assert float(optimizer.learning_rate) == pytest.approx(0.3) and optimizer.beta_1 == 0.4
