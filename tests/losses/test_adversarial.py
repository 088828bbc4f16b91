import math

import numpy as np
import pytest
import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.losses.adversarial import (
    check_labels,
    clip_weights,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)

NAMES = ["minimax", "non_saturating", "least_squares", "wasserstein", "hinge"]
LOG2, LOG3 = math.log(2), math.log(3)


@pytest.mark.parametrize(
    ("name", "logit", "label", "expected"),
    [
        # A logit of log 3 is a probability of 3/4.
        ("minimax", LOG3, 1.0, math.log(4 / 3)),
        ("minimax", LOG3, 0.0, math.log(4)),
        ("minimax", LOG3, 0.9, 0.9 * math.log(4 / 3) + 0.1 * math.log(4)),
        ("non_saturating", LOG3, 0.1, 0.1 * math.log(4 / 3) + 0.9 * math.log(4)),
        ("non_saturating", 0.0, 1.0, LOG2),
        ("least_squares", 3.0, 1.0, 2.0),
        ("least_squares", 3.0, 0.0, 4.5),
        ("least_squares", 3.0, 0.9, 2.205),
        ("wasserstein", 3.0, 1.0, -3.0),
        ("wasserstein", 3.0, 0.0, 3.0),
        ("hinge", 3.0, 1.0, 0.0),
        ("hinge", 0.25, 1.0, 0.75),
        ("hinge", 3.0, 0.0, 4.0),
        ("hinge", -2.0, 0.0, 0.0),
    ],
)
def test_discriminator_losses_by_hand(name, logit, label, expected):
    np.testing.assert_allclose(discriminator_loss(name, tf.constant([logit]), label), [expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "logit", "expected"),
    [
        ("minimax", LOG3, -math.log(4)),  # log(1 - 3/4)
        ("non_saturating", LOG3, math.log(4 / 3)),
        ("least_squares", 3.0, 2.0),
        ("wasserstein", 3.0, -3.0),
        ("hinge", 3.0, -3.0),
    ],
)
def test_generator_losses_by_hand(name, logit, expected):
    np.testing.assert_allclose(generator_loss(name, tf.constant([logit])), [expected], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_which_some_are_flipped_are_those_of_each_example(name):
    logits = tf.constant([1.5, -0.5, 2.0])
    flipped = discriminator_loss(name, logits, tf.constant([1.0, 0.0, 1.0]))
    one_by_one = [discriminator_loss(name, logits[i : i + 1], label)[0] for i, label in enumerate([1.0, 0.0, 1.0])]
    np.testing.assert_allclose(flipped, one_by_one, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_patches_are_averaged_in_float32(name):
    logits = np.random.default_rng(0).normal(size=(2, 3, 4, 1)).astype("float32")
    for loss in (lambda x: discriminator_loss(name, x, tf.constant([1.0, 0.0])), lambda x: generator_loss(name, x)):
        expected = [np.mean([loss(np.full(2, x))[i] for x in logits[i].ravel()]) for i in range(2)]
        np.testing.assert_allclose(loss(logits), expected, rtol=1e-5)
        coarse = loss(tf.cast(logits, tf.bfloat16))
        assert coarse.dtype == tf.float32
        np.testing.assert_allclose(coarse, expected, atol=0.02)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("xla", [False, True])
def test_sure_discriminators_give_finite_losses_and_gradients(name, xla):
    @tf.function(jit_compile=xla)
    def run(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = [discriminator_loss(name, logits, 1.0), discriminator_loss(name, logits, 0.0)]
            losses.append(generator_loss(name, logits))
        return losses, tape.gradient(losses, logits)

    losses, gradient = run(tf.constant([-1e4, -100.0, 0.0, 100.0, 1e4]))
    assert np.isfinite(losses).all() and np.isfinite(gradient).all()


def test_the_minimax_generator_learns_nothing_from_a_sure_discriminator():
    logits = tf.constant([-20.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        losses = {name: generator_loss(name, logits) for name in ("minimax", "non_saturating")}
    assert abs(tape.gradient(losses["minimax"], logits)[0]) < 1e-8
    np.testing.assert_allclose(tape.gradient(losses["non_saturating"], logits), [-1.0], rtol=1e-6)


def test_labels_are_checked():
    for name in NAMES:
        check_labels(name, 1.0, 0.0)
    check_labels("minimax", 0.9, 0.1)
    check_labels("least_squares", 0.9, 0.0)
    with pytest.raises(UserError, match="smoothing is for minimax, non_saturating, least_squares"):
        check_labels("hinge", 0.9, 0.0)
    with pytest.raises(UserError, match="fake_label < real_label"):
        check_labels("minimax", 0.1, 0.9)
    for call in (
        lambda: check_labels("w", 1.0, 0.0),
        lambda: discriminator_loss("w", tf.zeros(1), 1.0),
        lambda: generator_loss("w", tf.zeros(1)),
    ):
        with pytest.raises(UserError, match="hinge; received 'w'"):
            call()


SLOPE = tf.constant([[3.0], [4.0]])
REAL, FAKE = tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([[5.0, 0.0], [-1.0, 2.0]])
WEIGHTS = tf.constant([0.25, 1.0])


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("xla", [False, True])
def test_penalties_of_a_linear_discriminator_follow_from_its_norm(xla, dtype):
    def linear(x):
        return tf.cast(x, dtype) @ tf.cast(SLOPE, dtype)

    @tf.function(jit_compile=xla)
    def run(real, fake, weights):
        return {
            "two_sided": gradient_penalty(linear, real, fake, weights),
            "target": gradient_penalty(linear, real, fake, weights, target=7.0),
            "one_sided": gradient_penalty(linear, real, fake, weights, target=7.0, one_sided=True),
            "steep": gradient_penalty(linear, real, fake, weights, target=2.0, one_sided=True),
            "r1": r1_penalty(linear, real),
        }

    penalties = run(tf.cast(REAL, dtype), tf.cast(FAKE, dtype), WEIGHTS)
    for name, expected in {"two_sided": 16, "target": 4, "one_sided": 0, "steep": 9, "r1": 12.5}.items():
        assert penalties[name].dtype == tf.float32
        np.testing.assert_allclose(penalties[name], [expected] * 2, rtol=1e-5, err_msg=name)


def test_the_slope_is_that_at_the_interpolated_point():
    # The gradient of |x|^2 / 2 is x.
    penalty = gradient_penalty(lambda x: tf.reduce_sum(x**2, axis=1) / 2, REAL, FAKE, WEIGHTS)
    points = np.array([[4.0, 0.5], [3.0, 4.0]])
    np.testing.assert_allclose(penalty, (np.linalg.norm(points, axis=1) - 1) ** 2, rtol=1e-5)


def test_patches_count_by_their_mean():
    penalty = r1_penalty(lambda x: tf.reshape(x @ tf.constant([[1.0, 3.0], [0.0, 0.0]]), [-1, 1, 2]), REAL)
    np.testing.assert_allclose(penalty, [2.0, 2.0])


@pytest.mark.parametrize("xla", [False, True])
def test_a_flat_discriminator_has_finite_penalties_and_gradients(xla):
    kernel = tf.Variable(tf.zeros([2, 1]))

    @tf.function(jit_compile=xla)
    def run():
        with tf.GradientTape() as tape:
            penalties = (
                gradient_penalty(lambda x: x @ kernel, REAL, FAKE, WEIGHTS),
                r1_penalty(lambda x: x @ kernel, REAL),
            )
        return penalties, tape.gradient(penalties, kernel)

    (between, r1), gradient = run()
    np.testing.assert_allclose(between, [1.0, 1.0], rtol=1e-5)
    np.testing.assert_array_equal(r1, [0.0, 0.0])
    np.testing.assert_array_equal(gradient, tf.zeros([2, 1]))
    np.testing.assert_allclose(gradient_penalty(lambda x: tf.zeros([2, 1]), REAL, FAKE, WEIGHTS), [1.0, 1.0], rtol=1e-5)


def test_the_gradient_of_a_penalty_reaches_the_discriminator():
    kernel = tf.Variable(SLOPE)
    with tf.GradientTape() as tape:
        penalty = tf.reduce_mean(gradient_penalty(lambda x: x @ kernel, REAL, FAKE, WEIGHTS))
    # Of (|w| - 1)^2 it is 2 (|w| - 1) w / |w|.
    np.testing.assert_allclose(tape.gradient(penalty, kernel), 2 * 4 * SLOPE / 5, rtol=1e-5)


def test_what_the_groups_share_is_no_part_of_the_slope():
    condition, tokens = tf.constant([[2.0], [7.0]]), tf.constant([3, 5])
    seen = []

    def discriminator(inputs):
        seen.append(inputs)
        return inputs["image"] @ SLOPE + 100 * inputs["condition"]

    real = {"image": REAL, "condition": condition, "tokens": tokens}
    fake = real | {"image": FAKE}
    np.testing.assert_allclose(gradient_penalty(discriminator, real, fake, WEIGHTS), [16, 16], rtol=1e-5)
    np.testing.assert_allclose(r1_penalty(discriminator, real, fake), [12.5, 12.5], rtol=1e-5)
    for inputs in seen:
        assert inputs["condition"] is condition and inputs["tokens"] is tokens
    pair = gradient_penalty(lambda x: x[0] @ SLOPE + x[1] @ SLOPE, (REAL, REAL), (FAKE, FAKE), WEIGHTS)
    np.testing.assert_allclose(pair, [(math.sqrt(50) - 1) ** 2] * 2, rtol=1e-5)


@pytest.mark.parametrize("xla", [False, True])
def test_clipped_weights_stay_within_the_limit(xla):
    variables = [tf.Variable([-3.0, 0.005]), tf.Variable([[0.02]])]
    tf.function(lambda: clip_weights(variables, 0.01), jit_compile=xla)()
    np.testing.assert_allclose(variables[0], [-0.01, 0.005])
    np.testing.assert_allclose(variables[1], [[0.01]])


def dirac_gan(name, penalty, alternating, steps=2000, rate=0.05):
    """Mescheder 2018, section 2: real is 0, the generator gives theta, D(x) = psi x. -> distances from (0, 0)."""
    zero, weight = tf.zeros([1]), tf.constant([0.5])

    def discriminator_slope(theta, psi):
        with tf.GradientTape() as tape:
            tape.watch(psi)
            loss = discriminator_loss(name, psi * zero, 1.0) + discriminator_loss(name, psi * theta, 0.0)
            if penalty == "r1":
                loss += r1_penalty(lambda x: psi * x, zero)
            elif penalty == "gradient_penalty":
                loss += gradient_penalty(lambda x: psi * x, zero, theta, weight)
        return tape.gradient(loss, psi)

    def generator_slope(theta, psi):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            loss = generator_loss(name, psi * theta)
        return tape.gradient(loss, theta)

    @tf.function(jit_compile=True)
    def run():
        theta, psi = tf.ones([1]), tf.ones([1])
        distances = tf.TensorArray(tf.float32, steps)
        for step in tf.range(steps):
            new_psi = psi - rate * discriminator_slope(theta, psi)
            theta -= rate * generator_slope(theta, new_psi if alternating else psi)
            psi = new_psi
            distances = distances.write(step, tf.sqrt(theta**2 + psi**2)[0])
        return distances.stack()

    return run().numpy()


@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize("name", ["minimax", "non_saturating", "wasserstein"])
def test_dirac_gan_converges_with_r1(name, alternating):
    assert dirac_gan(name, "r1", alternating)[-1] < 1e-4


@pytest.mark.parametrize("name", ["minimax", "wasserstein"])
def test_dirac_gan_spirals_outwards_with_simultaneous_steps_and_circles_with_alternating_ones(name):
    assert dirac_gan(name, None, alternating=False)[-1] > 2
    circle = dirac_gan(name, None, alternating=True)[-500:]
    assert circle.min() > 1.2 and circle.max() < 1.7


def test_dirac_gan_does_not_settle_with_the_non_saturating_loss_alone():
    assert dirac_gan("non_saturating", None, alternating=False)[-500:].min() > 0.3
    assert dirac_gan("non_saturating", None, alternating=True)[-500:].min() > 0.2


def test_dirac_gan_circles_with_the_gradient_penalty():
    for alternating in (False, True):
        assert dirac_gan("wasserstein", "gradient_penalty", alternating)[-500:].min() > 1
