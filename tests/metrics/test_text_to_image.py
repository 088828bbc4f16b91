import itertools

import numpy as np
import tensorflow as tf

from keras_apps.metrics.text_to_image import pair_distance, r_precision


def test_precision_of_retrieval_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    pictures, sentences = rng.normal(size=(2, 30, 5))
    texts = [f"sentence {index}" for index in range(30)]
    scores = pictures @ sentences.T
    expected = [np.all(np.delete(scores[index], index) < scores[index, index]) for index in range(30)]
    np.testing.assert_array_equal(r_precision(pictures, sentences, texts), expected)
    # The same sentence twice is no mistake, a tie of two sentences is.
    twice = np.repeat(np.eye(2), 2, axis=0)
    assert r_precision(twice, twice, ["a", "a", "b", "b"]).all()
    assert not r_precision(np.ones((2, 3)), np.ones((2, 3)), ["a", "b"]).any()
    one = np.repeat(rng.normal(size=(1, 256)) / 16, 50, axis=0).astype(np.float32)
    looks = (rng.normal(size=(50, 256)) / 16).astype(np.float32)
    assert not r_precision(looks, one, texts + [f"other {index}" for index in range(20)]).any()
    # What there is nothing to be told from is no hit.
    assert not r_precision(twice, twice, ["a"] * 4).any()
    # Nor is the same sentence in another spelling.
    assert r_precision(twice, twice, ["A dog.", "a dog", "a cat", "a  Cat!"]).all()
    among = np.mean([r_precision(pictures, sentences, texts, ranked=2, seed=seed) for seed in range(40)])
    brute = np.mean([scores[i, j] < scores[i, i] for i, j in itertools.permutations(range(30), 2)])
    assert abs(among - brute) < 0.05


def test_the_distance_of_pairs_is_without_bias_and_sees_wrong_pairs():
    rng = np.random.default_rng(0)
    sentences = np.eye(4)[rng.integers(0, 4, 64)]
    pictures, others = (sentences + 0.1 * rng.normal(size=sentences.shape) for _ in range(2))

    def distance(made):
        true, made = (tf.constant(np.concatenate([each, sentences], 1), tf.float32) for each in (pictures, made))
        return float(pair_distance(true, made))

    assert abs(distance(others)) < 0.05 < distance(np.roll(others, 1, axis=0))
    left, right = rng.normal(size=(2, 3, 2)).astype(np.float32)
    pairs = list(itertools.permutations(range(3), 2))
    expected = np.mean(
        [
            (left[i] @ left[j] + 1) ** 3 + (right[i] @ right[j] + 1) ** 3 - 2 * (left[i] @ right[j] + 1) ** 3
            for i, j in pairs
        ]
    )
    np.testing.assert_allclose(pair_distance(tf.constant(left), tf.constant(right)), expected, rtol=1e-4)
