import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.layers.convolution import StandardizedConv2D


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_noise_keeps_its_variance_through_many_layers(policy):
    values = tf.random.stateless_normal([8, 24, 24, 16], [1, 2])
    for level in range(6):
        values = StandardizedConv2D(32, seed=level, dtype=policy)(values)
    assert values.shape == (8, 24, 24, 32) and values.dtype == keras.dtype_policies.DTypePolicy(policy).compute_dtype
    # Borders, which see zeros, have less.
    variance = np.asarray(tf.cast(values, tf.float32))[:, 8:-8, 8:-8].var()
    assert 0.4 < variance < 2


def test_is_the_convolution_with_the_standardised_kernel():
    layer = StandardizedConv2D(4)
    values = tf.random.stateless_normal([2, 6, 5, 3], [3, 4])
    layer.build(values.shape)
    layer.kernel.assign(tf.random.stateless_uniform(layer.kernel.shape, [5, 6], -3, 9))
    layer.gain.assign([1, 2, 3, 4])
    layer.bias.assign([0.1, -0.2, 0.3, 0])
    kernel = np.asarray(layer.kernel).reshape(27, 4)
    kernel = (kernel - kernel.mean(0)) / kernel.std(0) / np.sqrt(27) * [1, 2, 3, 4]
    patches = tf.image.extract_patches(values, [1, 3, 3, 1], [1] * 4, [1] * 4, "SAME").numpy()
    expected = np.maximum(patches @ kernel + [0.1, -0.2, 0.3, 0], 0) * np.sqrt(2 / (1 - 1 / np.pi))
    np.testing.assert_allclose(layer(values), expected, rtol=1e-3, atol=1e-4)


def test_is_saved_with_its_arguments(tmp_path):
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, StandardizedConv2D(3, seed=5, name="one")(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_layer("one").get_config()["seed"] == 5
    values = tf.random.stateless_normal([1, 8, 8, 2], [1, 2])
    np.testing.assert_array_equal(model(values), again(values))
