import numpy as np
import scipy.sparse

from benchmarks.sentiment_linear import LinearModel, log_count_ratio

TEXTS = ["good film", "good , not bad", "not good", "bad film", "great fun", "a great film", "dull", "a dull film"]
LABELS = np.array(["pos", "pos", "neg", "neg", "pos", "pos", "neg", "neg"])


def test_log_count_ratio_by_hand():
    features = scipy.sparse.csr_matrix(np.array([[1, 1], [1, 0], [0, 1]], np.float64))
    ratio = log_count_ratio(features, np.array([True, True, False]))
    # In the class 2 and 1, outside 0 and 1, each and one more: shares 3/5 and 2/5 against 1/3 and 2/3.
    np.testing.assert_allclose(ratio, np.log([3 / 5 / (1 / 3), 2 / 5 / (2 / 3)]))


def test_bigrams_tell_what_words_alone_do_not():
    model = LinearModel(order=2, naive_bayes=True, strength=10.0, min_texts=1)
    features = model.features(TEXTS, fit=True)
    model.fit(features, LABELS)
    assert model.accuracy(features, LABELS) == 1.0


def test_three_classes():
    labels = np.array(["a", "b", "c"] * 4)
    texts = [f"{label}word {label}other" for label in labels]
    model = LinearModel(order=1, naive_bayes=True, strength=1.0)
    features = model.features(texts, fit=True)
    model.fit(features, labels)
    assert model.accuracy(features, labels) == 1.0
