import numpy as np
import tensorflow as tf

from keras_apps.losses.variational import kl_from_normal


def test_divergence_from_the_standard_normal_distribution():
    mean, log_variance = tf.constant([[0.0, 0.0], [1.0, -2.0]]), tf.constant([[0.0, 0.0], [np.log(4.0), 0.0]])
    # (4 + 1 - 1 - log 4) / 2 of the first unit and (1 + 4 - 1 - 0) / 2 of the second.
    np.testing.assert_allclose(
        kl_from_normal(mean, tf.cast(log_variance, tf.float32)), [0, 2 - np.log(2) + 2], rtol=1e-6
    )
