import numpy as np
import pytest
import tensorflow as tf

from keras_apps.losses.sequence import token_cross_entropy

LOGITS = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
TARGETS = np.array([[4, 1, 0], [2, 2, 3]], "int32")


def expected(smoothing):
    """By the definition: the cross-entropy with a true distribution that is written out."""
    log_probabilities = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    truth = (1 - smoothing) * np.eye(5)[TARGETS] + smoothing / 5
    return -(truth * log_probabilities).sum(-1) * (TARGETS != 0), truth, np.exp(log_probabilities)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("xla", [False, True])
def test_losses_and_gradients_follow_the_definition(smoothing, xla):
    weights = np.array([[1.0, 2.0, 9.0], [0.5, 1.0, 3.0]], "float32")

    @tf.function(jit_compile=xla)
    def run(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses, hits = token_cross_entropy(logits, tf.constant(TARGETS), smoothing)
            total = tf.reduce_sum(losses * weights)
        return losses, hits, tape.gradient(total, logits)

    losses, hits, gradients = run(tf.constant(LOGITS))
    wanted, truth, probabilities = expected(smoothing)
    np.testing.assert_allclose(losses, wanted, rtol=1e-5)
    np.testing.assert_array_equal(hits, (LOGITS.argmax(-1) == TARGETS) & (TARGETS != 0))
    np.testing.assert_allclose(gradients, (probabilities - truth) * (weights * (TARGETS != 0))[..., None], atol=1e-6)


def test_bfloat16_logits_give_float32_losses():
    losses, _ = token_cross_entropy(tf.cast(LOGITS, tf.bfloat16), tf.constant(TARGETS), 0.1)
    assert losses.dtype == tf.float32
    np.testing.assert_allclose(losses, expected(0.1)[0], rtol=0.02)


def test_of_equally_probable_bfloat16_tokens_one_is_right():
    targets = tf.constant([[1], [2], [3]])
    _, hits = token_cross_entropy(tf.constant([[[0, 1.001, 1, 0]]] * 3, tf.bfloat16), targets)
    assert hits.numpy().ravel().tolist() == [1, 0, 0]
