import keras
import numpy as np
import pytest

from keras_apps.layers.optimizers import FusedAdam


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


def test_its_state_is_restored_from_its_configuration_and_variables():
    optimizer = FusedAdam.from_config(FusedAdam(0.3, beta_1=0.4).get_config())
    assert float(optimizer.learning_rate) == pytest.approx(0.3) and optimizer.beta_1 == 0.4
