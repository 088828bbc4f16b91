import numpy as np
import pytest
import tensorflow as tf

from keras_apps.losses import contrastive as losses


def unit(*angles):
    """Embeddings of two units at these angles, in degrees."""
    radians = np.deg2rad(np.array(angles, np.float32))
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1)


def test_contrastive_by_hand():
    # At 60 degrees the squared distance is 1, at 90 it is 2.
    cosines, same = np.array([0.5, 0.5, 0.0, 1.0], np.float32), np.array([1, 0, 0, 1], np.float32)
    found = losses.contrastive(cosines, same, 1.2)
    np.testing.assert_allclose(found, [0.5, 0.5 * 0.2**2, 0, 0], atol=1e-6)


def test_the_gradient_of_contrastive_is_finite_where_two_pictures_are_alike():
    cosines = tf.constant([1.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(cosines)
        loss = losses.contrastive(cosines, tf.constant([1.0, 0.0]), 1.0)
    assert np.isfinite(tape.gradient(loss, cosines)).all()


def test_cosine_by_hand():
    cosines, same = np.array([0.5, -1, 0.5, 0.2, -0.5], np.float32), np.array([1, 1, 0, 0, 0], np.float32)
    np.testing.assert_allclose(losses.cosine(cosines, same, 0.3), [0.0625, 1, 0.25, 0, 0])
    np.testing.assert_allclose(losses.cosine(cosines, same, 0.0), [0.0625, 1, 0.25, 0.04, 0], atol=1e-7)


def test_cross_entropy_by_hand():
    found = losses.cross_entropy(np.array([np.log(3.0)] * 2, np.float32), np.array([1, 0], np.float32))
    np.testing.assert_allclose(found, [np.log(4 / 3), np.log(4)], rtol=1e-6)


def test_semi_hard_triplets_against_brute_force():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(2, 4, 3, 5)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=-1, keepdims=True)
    found = losses.semi_hard_triplet(tf.constant(embeddings), 0.3)
    for episode, loss in zip(embeddings, found.numpy(), strict=True):
        pictures = [(label, vector) for label, vectors in enumerate(episode) for vector in vectors]
        terms = []
        for a, (label, anchor) in enumerate(pictures):
            to = [float(np.sum((anchor - other) ** 2)) for _, other in pictures]
            negatives = [to[n] for n, (other, _) in enumerate(pictures) if other != label]
            for p, (other, _) in enumerate(pictures):
                if other == label and p != a:
                    farther = [distance for distance in negatives if distance > to[p]]
                    terms.append(max(0.0, to[p] - (min(farther) if farther else max(negatives)) + 0.3))
        assert loss == pytest.approx(np.mean(terms), rel=1e-4)


def test_prototypes_by_hand():
    # Two classes at 0 and 90 degrees, each of whose two pictures is the other's prototype.
    embeddings = tf.constant(np.stack([unit(0, 0), unit(90, 90)])[None])
    found = losses.prototypical(embeddings, tf.constant(2.0))
    np.testing.assert_allclose(found, [np.log(1 + np.exp(-2))], rtol=1e-6)
    # With three, a picture is compared with the mean of the two others.
    embeddings = np.stack([unit(0, 20, 40), unit(90, 110, 130)])[None].astype(np.float32)
    found = losses.prototypical(tf.constant(embeddings), tf.constant(1.0))
    terms = []
    for query in range(3):
        means = np.deg2rad([(sum(a) - a[query]) / 2 for a in ((0, 20, 40), (90, 110, 130))])
        for own, angle in enumerate(np.deg2rad([20 * query, 90 + 20 * query])):
            logits = np.cos(angle - means)
            terms.append(np.log(np.exp(logits).sum()) - logits[own])
    np.testing.assert_allclose(found, [np.mean(terms)], rtol=1e-5)


def test_the_supervised_contrastive_loss_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(7, 3))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels, counts = np.array([0, 1, 0, 2, 1, 0, 0]), np.array([1, 1, 1, 1, 1, 1, 0], bool)
    expected = np.zeros(7)
    for i in np.flatnonzero(counts):
        others = [a for a in np.flatnonzero(counts) if a != i]
        total = sum(np.exp(embeddings[i] @ embeddings[a] / 0.1) for a in others)
        positives = [p for p in others if labels[p] == labels[i]]
        if positives:
            expected[i] = -np.mean([np.log(np.exp(embeddings[i] @ embeddings[p] / 0.1) / total) for p in positives])
    found = losses.supervised_contrastive(
        tf.constant(embeddings, tf.float32), tf.constant(labels), tf.constant(counts), 0.1
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
