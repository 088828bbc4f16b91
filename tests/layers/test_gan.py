import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.layers.gan import (
    InstanceNormalization,
    MinibatchDiscrimination,
    MinibatchStandardDeviation,
    SpectralNormalization,
)

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.normal(2, 3, size=(4, 6, 5, 3)).astype("float32")
FEATURES = RANDOM.normal(size=(4, 6)).astype("float32")
MIXED = keras.dtype_policies.DTypePolicy("mixed_bfloat16")


def layers(dtype=None):
    """Each layer, and what it takes."""
    return {
        "instance": (InstanceNormalization(dtype=dtype), PICTURES),
        "discrimination": (MinibatchDiscrimination(2, 3, seed=1, dtype=dtype), FEATURES),
        "deviation": (MinibatchStandardDeviation(2, dtype=dtype), PICTURES),
        "spectral_dense": (SpectralNormalization(keras.layers.Dense(4, dtype=dtype), seed=1, dtype=dtype), FEATURES),
        "spectral_convolution": (
            SpectralNormalization(keras.layers.Conv2D(4, 3, 2, "same", dtype=dtype), seed=1, dtype=dtype),
            PICTURES,
        ),
    }


NAMES = list(layers())


def normalised(pictures):
    mean, variance = pictures.mean((1, 2), keepdims=True), pictures.var((1, 2), keepdims=True)
    return (pictures - mean) / np.sqrt(variance + 1.001e-5)


@pytest.mark.parametrize("name", NAMES)
def test_saved_in_a_model_and_read_back(name, tmp_path):
    layer, inputs = layers()[name]
    data = keras.Input(inputs.shape[1:])
    model = keras.Model(data, layer(data))
    model(inputs, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(model(inputs), again(inputs))


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_is_bfloat16_outside_and_float32_in_the_weights(name):
    layer, inputs = layers(MIXED)[name]
    exact = layers()[name][0]
    coarse = layer(inputs)
    exact.build(inputs.shape)
    exact.set_weights(layer.get_weights())
    assert coarse.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} <= {"float32"}
    np.testing.assert_allclose(tf.cast(coarse, tf.float32), exact(inputs), atol=0.05, rtol=0.02)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_compiled_and_with_a_free_batch_and_size_outputs_and_gradients_are_the_same(name, policy):
    layer, inputs = layers(keras.dtype_policies.DTypePolicy(policy))[name]
    layer.build(inputs.shape)
    start = layer.get_weights()
    free = tf.TensorSpec([None] * (inputs.ndim - 1) + [inputs.shape[-1]])

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = tf.cast(layer(x, training=True) if "spectral" in name else layer(x), tf.float32)
            loss = tf.reduce_sum(output**3)
        return output, tape.gradient(loss, x)

    expected = run(tf.constant(inputs))
    assert expected[0].shape == layer.compute_output_shape(inputs.shape)
    for xla in (False, True):
        layer.set_weights(start)
        compiled = tf.function(run, input_signature=[free], jit_compile=xla, autograph=False)
        for one, other in zip(compiled(inputs), expected, strict=True):
            scale = np.abs(other).max()
            np.testing.assert_allclose(one / scale, other / scale, atol=1e-5 if policy == "float32" else 0.03)


def test_instance_normalisation_follows_the_formula():
    layer = InstanceNormalization()
    layer.build(PICTURES.shape)
    layer.set_weights([np.array([1.0, 2.0, -1.0]), np.array([0.0, 0.5, 3.0])])
    expected = normalised(PICTURES) * [1.0, 2.0, -1.0] + [0.0, 0.5, 3.0]
    np.testing.assert_allclose(layer(PICTURES), expected, atol=1e-5)
    np.testing.assert_allclose(layer(PICTURES[1:2]), expected[1:2], atol=1e-5)


def test_instance_normalisation_of_one_pixel_gives_beta():
    layer = InstanceNormalization()
    layer.build((None, 1, 1, 3))
    layer.beta.assign([1.0, -2.0, 0.5])
    np.testing.assert_allclose(layer(PICTURES[:2, :1, :1]), np.broadcast_to([1.0, -2.0, 0.5], (2, 1, 1, 3)), atol=1e-6)


@pytest.mark.parametrize("xla", [False, True])
def test_instance_normalisation_has_right_gradients_of_the_first_and_second_order(xla):
    layer = InstanceNormalization()
    layer.build(PICTURES.shape)
    layer.gamma.assign([1.0, 2.0, -1.0])
    up = tf.constant(RANDOM.normal(size=PICTURES.shape).astype("float32"))

    def plain(x):
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + 1.001e-5) * layer.gamma + layer.beta

    def run(function):
        @tf.function(jit_compile=xla, autograph=False)
        def gradients(x):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape(persistent=True) as inner:
                    inner.watch(x)
                    loss = tf.reduce_sum(function(x) ** 2 * up)
                slope = inner.gradient(loss, x)
                penalty = tf.reduce_sum(slope**2)
            of_weights = inner.gradient(loss, layer.trainable_variables)
            return slope, outer.gradient(penalty, x), of_weights

        return tf.nest.flatten(gradients(tf.constant(PICTURES)))

    for one, other in zip(run(layer), run(plain), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def test_minibatch_discrimination_follows_the_formula():
    layer = MinibatchDiscrimination(2, 3, seed=1)
    output = layer(FEATURES).numpy()
    rows = (FEATURES @ layer.kernel.numpy()).reshape(4, 2, 3)
    np.testing.assert_array_equal(output[:, :6], FEATURES)
    for i in range(4):
        for b in range(2):
            expected = sum(np.exp(-np.abs(rows[i, b] - rows[j, b]).sum()) for j in range(4) if j != i)
            assert output[i, 6 + b] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_minibatch_discrimination_sees_examples_that_are_alike():
    layer = MinibatchDiscrimination(5, 3)
    alike = layer(np.repeat(FEATURES[:1], 4, axis=0))
    np.testing.assert_allclose(alike[:, 6:], np.full((4, 5), 3), rtol=1e-6)
    np.testing.assert_allclose(layer(FEATURES[:1])[:, 6:], np.zeros((1, 5)), atol=1e-6)


@pytest.mark.parametrize(
    ("batch", "groups"),
    [(4, [[0, 2], [1, 3]]), (5, [[0, 2, 4], [1, 3]]), (1, [[0]]), (2, [[0, 1]])],
)
def test_minibatch_standard_deviation_follows_the_formula(batch, groups):
    pictures = np.concatenate([PICTURES, PICTURES[:1] * 2])[:batch]
    output = MinibatchStandardDeviation(2)(pictures).numpy()
    np.testing.assert_array_equal(output[..., :3], pictures)
    for group in groups:
        expected = np.sqrt(pictures[group].var(0) + 1e-8).mean()
        np.testing.assert_allclose(output[group, ..., 3], np.full((len(group), 6, 5), expected), rtol=1e-5)


def test_minibatch_standard_deviation_of_a_collapsed_batch_has_finite_gradients():
    inputs = tf.ones([4, 2, 2, 3])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = MinibatchStandardDeviation()(inputs)
    np.testing.assert_allclose(output[..., 3], np.full((4, 2, 2), 1e-4), rtol=1e-5)
    assert np.isfinite(tape.gradient(output, inputs)).all()


def largest(kernel):
    """The largest singular value, and the vector that goes with it."""
    _, values, vectors = np.linalg.svd(np.reshape(kernel, (-1, np.shape(kernel)[-1])))
    return values[0], vectors[:1]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", ["spectral_dense", "spectral_convolution"])
def test_spectral_normalisation_follows_the_formula_and_leaves_the_weights_alone(name, policy):
    dtype = keras.dtype_policies.DTypePolicy(policy)
    layer, inputs = layers(dtype)[name]
    layer.build(inputs.shape)
    inner = layer.layer
    inner.kernel.assign(inner.kernel * 7)
    inner.bias.assign([1.0, -1.0, 0.5, 2.0])
    before = inner.kernel.numpy()
    layer.vector.assign(largest(before)[1])
    output = layer(inputs, training=True)
    np.testing.assert_array_equal(inner.kernel, before)
    twin = type(inner).from_config(inner.get_config() | {"dtype": "float32"})
    twin.build(inputs.shape)
    twin.set_weights([before / largest(before)[0], inner.bias])
    tolerance = {"atol": 1e-4} if policy == "float32" else {"atol": 0.05, "rtol": 0.02}
    np.testing.assert_allclose(tf.cast(output, tf.float32), twin(inputs), **tolerance)


def test_spectral_normalisation_moves_its_vector_in_training_only():
    layer, inputs = layers()["spectral_dense"]
    layer(inputs)
    before = layer.vector.numpy()
    layer(inputs, training=False)
    np.testing.assert_array_equal(layer.vector, before)
    in_training = layer(inputs, training=True)
    assert not np.allclose(layer.vector, before)
    layer.vector.assign(before)
    np.testing.assert_array_equal(layer(inputs, training=False), in_training)


def test_the_vector_of_the_spectral_norm_converges():
    layer, inputs = layers()["spectral_convolution"]
    layer.build(inputs.shape)
    kernel = layer.layer.kernel
    left, _, right = np.linalg.svd(np.reshape(kernel, (-1, kernel.shape[-1])), full_matrices=False)
    # Each step brings it nearer by the square of how much larger the first is than the second.
    kernel.assign(np.reshape(left * 0.5 ** np.arange(len(right)) @ right, kernel.shape))
    for _ in range(20):
        layer(inputs, training=True)
    _, vector = largest(kernel)
    assert abs(np.sum(layer.vector * vector)) == pytest.approx(1, abs=1e-3)


def test_the_gradient_goes_through_the_spectral_norm():
    layer, inputs = layers()["spectral_dense"]
    layer.build(inputs.shape)
    kernel = tf.Variable(layer.layer.kernel.numpy())
    layer.vector.assign(largest(kernel)[1])
    with tf.GradientTape(persistent=True) as tape:
        loss = tf.reduce_sum(layer(inputs) ** 2)
        sigma = tf.linalg.svd(kernel, compute_uv=False)[0]
        expected = tf.reduce_sum((inputs @ (kernel / sigma)) ** 2)
    gradient = tape.gradient(loss, layer.trainable_variables)[0]
    np.testing.assert_allclose(gradient, tape.gradient(expected, kernel), rtol=1e-3, atol=1e-4)


def test_spectral_normalisation_of_zeros_is_zeros_with_finite_gradients():
    layer = SpectralNormalization(keras.layers.Dense(2, kernel_initializer="zeros"))
    with tf.GradientTape() as tape:
        output = layer(FEATURES, training=True)
    np.testing.assert_array_equal(output, np.zeros((4, 2)))
    assert all(np.isfinite(each).all() for each in tape.gradient(output, layer.trainable_variables))


ON_TWO_DEVICES = """
import keras, tensorflow as tf

tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_apps.layers.gan import SpectralNormalization

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = SpectralNormalization(keras.layers.Dense(4))
    layer.build((None, 6))
before = layer.vector.numpy()

def compiled(x):
    return tf.function(lambda x: layer(x, training=True), autograph=False, jit_compile=True)(x)

tf.function(lambda x: strategy.run(compiled, [x]), autograph=False)(tf.ones([2, 6]))
one, other = (each.numpy() for each in strategy.experimental_local_results(layer.vector.value))
assert (one == other).all() and (one != before).any()
"""


def test_spectral_normalisation_is_compiled_under_a_strategy():
    subprocess.run([sys.executable, "-c", ON_TWO_DEVICES], check=True)
