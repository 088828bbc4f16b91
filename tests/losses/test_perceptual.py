import numpy as np
import pytest
import tensorflow as tf

from keras_apps.losses import perceptual


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_gram_matrix_by_hand():
    # Two places of two channels, (1, 2) and (3, 4): the mean of the products.
    features = tf.constant([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_allclose(perceptual.gram_matrix(features), [[[5.0, 7.0], [7.0, 10.0]]])
    mask = tf.constant([[[1.0, 0.0]]])
    np.testing.assert_allclose(perceptual.gram_matrix(features, mask), [[[1.0, 2.0], [2.0, 4.0]]])


def test_the_gradient_of_a_gram_matrix_is_the_numerical_one():
    features, mask, weights = random(2, 3, 4, 5), (random(2, 3, 4, seed=1) > 0).astype(np.float32), random(5, 5, seed=2)
    mask[:, 0, 0] = 1

    def value(features):
        return tf.reduce_sum(perceptual.gram_matrix(features, mask) * weights)

    theory, numeric = tf.test.compute_gradient(value, [tf.constant(features)], delta=1e-2)
    np.testing.assert_allclose(theory[0], numeric[0], atol=2e-3)


def test_a_gram_matrix_of_many_places_is_added_up_in_float32():
    """In bfloat16 a sum stops growing at 256 times what is added to it."""
    features = np.ones([1, 200, 100, 2], np.float32)
    features[..., 1] = 0.5
    gram = perceptual.gram_matrix(tf.cast(features, tf.bfloat16))
    assert gram.dtype == tf.float32
    np.testing.assert_allclose(gram, [[[1.0, 0.5], [0.5, 0.25]]], rtol=0.005)


def test_moments_and_adain_against_numpy():
    features, style = random(2, 4, 5, 3), 3 * random(2, 6, 2, 3, seed=1) + 1
    mean, deviation = perceptual.moments(tf.constant(features))
    np.testing.assert_allclose(mean, features.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(deviation, features.std((1, 2)), rtol=1e-4)
    wanted = perceptual.moments(tf.constant(style))
    made = perceptual.adaptive_instance_normalization(tf.constant(features), (mean, deviation), wanted).numpy()
    np.testing.assert_allclose(made.mean((1, 2)), style.mean((1, 2)), atol=1e-4)
    np.testing.assert_allclose(made.std((1, 2)), style.std((1, 2)), rtol=1e-3)
    # And nothing but mean and deviation has changed.
    np.testing.assert_allclose(np.corrcoef(made[0, ..., 0].ravel(), features[0, ..., 0].ravel())[0, 1], 1, atol=1e-5)


def test_what_is_masked_does_not_count():
    inner = random(1, 4, 3, 2)
    outer, other = np.full([1, 5, 6, 2], 9, np.float32), random(1, 4, 3, 2, seed=1)
    outer[:, :4, :3] = inner
    mask = np.zeros([1, 5, 6], np.float32)
    mask[:, :4, :3] = 1
    target = np.zeros_like(outer)
    target[:, :4, :3] = other
    for function in (
        perceptual.gram_matrix,
        lambda *given: perceptual.moments(*given)[1],
        perceptual.total_variation,
    ):
        np.testing.assert_allclose(
            function(tf.constant(outer), tf.constant(mask)), function(tf.constant(inner)), rtol=1e-4
        )
    np.testing.assert_allclose(
        perceptual.content_loss(tf.constant(outer), tf.constant(target), tf.constant(mask)),
        perceptual.content_loss(tf.constant(inner), tf.constant(other)),
        rtol=1e-5,
    )


def test_losses_by_hand():
    target = tf.constant([[[[3.0], [4.0]]], [[[1.0], [1.0]]]])
    features = tf.constant([[[[3.0], [4.0]]], [[[2.0], [1.0]]]])
    # The first picture is the same; of the second a mean of 1/2 beside a mean square of 1.
    np.testing.assert_allclose(perceptual.content_loss(features, target), [0.0, 0.5], atol=1e-4)
    loss = perceptual.statistics_loss(
        (tf.constant([[1.0, 0.0]]), tf.constant([[2.0]])), (tf.constant([[1.0, 2.0]]), tf.constant([[0.0]]))
    )
    np.testing.assert_allclose(loss, [(4 + 4) / (1 + 4)], rtol=1e-5)
    image = tf.constant([[[[0.0], [1.0], [3.0]], [[0.0], [0.0], [0.0]]]])
    np.testing.assert_allclose(perceptual.total_variation(image), [(0 + 1 + 3) / 3 + (1 + 2 + 0 + 0) / 4], rtol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_losses_do_not_depend_on_how_large_features_are(scale):
    features, target = random(1, 4, 4, 3), random(1, 4, 4, 3, seed=1)
    content, style = (
        (
            perceptual.content_loss(tf.constant(a), tf.constant(b)),
            perceptual.statistics_loss(
                (perceptual.gram_matrix(tf.constant(a)),), (perceptual.gram_matrix(tf.constant(b)),)
            ),
        )
        for a, b in ((features, target), (scale * features, scale * target))
    )
    np.testing.assert_allclose(content, style, rtol=0.01)
