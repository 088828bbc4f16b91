import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.layers.ngrams import NaiveBayesNGrams


def test_ratios_are_those_of_naive_bayes():
    layer = NaiveBayesNGrams(buckets=4, classes=2)
    layer.build()
    # Class 0: texts {1, 2} and {1}; class 1: text {2, 3}.
    layer.set_ratios([(np.array([[1, 2], [0, 1]]), np.array([0, 0])), (np.array([[2, 3]]), np.array([1]))])
    # Counts with smoothing, over the whole table of 4 (entry 0, padding, counts nothing).
    class_0, class_1 = np.array([1, 3, 2, 1]), np.array([1, 1, 2, 2])
    expected = [math.log(class_1[g] / class_1.sum()) - math.log(class_0[g] / class_0.sum()) for g in (1, 2, 3)]
    np.testing.assert_allclose(layer.ratios[1:, 0], expected, rtol=1e-5)
    assert float(layer.ratios[0, 0]) == 0


def test_logits_are_the_sum_over_the_ngrams_present():
    layer = NaiveBayesNGrams(buckets=5, classes=3, scale=0.5)
    layer.build()
    ratios = np.arange(15, dtype="float32").reshape(5, 3)
    layer.ratios.assign(ratios)
    logits = layer(tf.constant([[1, 4, 0, 0], [0, 0, 0, 0]]))
    np.testing.assert_allclose(logits, [0.5 * (ratios[1] + ratios[4]), [0, 0, 0]])


def test_two_classes_share_a_column_of_opposite_signs():
    layer = NaiveBayesNGrams(buckets=3, classes=2)
    layer.build()
    assert layer.ratios.shape == (3, 1)
    layer.ratios.assign([[0.0], [2.0], [4.0]])
    logits = layer(tf.constant([[1, 2]])).numpy()[0]
    assert logits[0] == -logits[1] and logits[1] - logits[0] == pytest.approx(0.05 * 6)


def test_survives_its_config_and_drops_ngrams_in_training_only():
    layer = NaiveBayesNGrams(buckets=50, classes=4, dropout=0.5, seed=3)
    again = NaiveBayesNGrams.from_config(layer.get_config())
    again.build()
    again.ratios.assign(tf.ones((50, 4)))
    grams = tf.reshape(tf.range(1, 41), (1, 40))
    assert float(again(grams)[0, 0]) == pytest.approx(0.05 * 40)
    dropped = float(again(grams, training=True)[0, 0]) / 0.05 / 2
    assert 5 < dropped < 35 and dropped == pytest.approx(round(dropped))
    assert keras.saving.get_registered_name(NaiveBayesNGrams) == "keras_apps>NaiveBayesNGrams"
