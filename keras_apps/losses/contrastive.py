"""Losses by which embeddings of one class come together and those of two classes part.

`same` is 1.0 for two pictures of one class and 0.0 for those of two; embeddings have length 1.
"""

from __future__ import annotations

from typing import Literal

import tensorflow as tf

ContrastiveLoss = Literal["weighted_l1", "contrastive", "cosine", "triplet", "prototypical"]
PAIR_LOSSES = ("weighted_l1", "contrastive", "cosine")
"""Those of pairs; the others are of episodes."""
MARGINS = {"contrastive": 1.0, "cosine": 0.0, "triplet": 0.2}
"""By default."""


def cross_entropy(logits: tf.Tensor, same: tf.Tensor) -> tf.Tensor:
    """Of the verdict that two pictures are of one class (Koch 2015).

    Args:
        logits: `<float>[pairs]`.
        same: `<float>[pairs]`.

    Returns:
        `<float>[pairs]`.
    """
    return tf.nn.sigmoid_cross_entropy_with_logits(same, logits)


def contrastive(cosines: tf.Tensor, same: tf.Tensor, margin: float) -> tf.Tensor:
    """Half the squared distance of one class, and half the square of what two lack to the margin.

    Hadsell 2006, http://yann.lecun.com/exdb/publis/pdf/hadsell-chopra-lecun-06.pdf; on the unit sphere, where the
    squared distance is 2 - 2 cos.

    Args:
        cosines: `<float>[pairs]`.
        same: `<float>[pairs]`.
        margin: the distance, up to 2, from which on two classes are far enough apart.

    Returns:
        `<float>[pairs]`.
    """
    squared = tf.maximum(2 - 2 * cosines, 0.0)
    # The square root is steep without bound at 0.
    lacking = tf.maximum(margin - tf.sqrt(squared + 1e-9), 0.0)
    return 0.5 * (same * squared + (1 - same) * lacking**2)


def cosine(cosines: tf.Tensor, same: tf.Tensor, margin: float) -> tf.Tensor:
    """(1 - cos)^2 / 4 of one class, and cos^2 of two whose cosine is beyond the margin (Neculoiu 2016).

    See https://aclanthology.org/W16-1617/.

    Args:
        cosines: `<float>[pairs]`.
        same: `<float>[pairs]`.
        margin: the cosine, from -1, up to which two classes are far enough apart.

    Returns:
        `<float>[pairs]`.
    """
    beyond = tf.cast(cosines > margin, cosines.dtype)
    return same * (1 - cosines) ** 2 / 4 + (1 - same) * beyond * cosines**2


def semi_hard_triplet(embeddings: tf.Tensor, margin: float) -> tf.Tensor:
    """By how much a picture of another class is not farther, by the margin, than one of its own (Schroff 2015).

    Each picture is an anchor with each other one of its class. The negative is the nearest of those that are farther
    than that one, or, where there is none, the farthest of all (https://arxiv.org/abs/1503.03832).

    Args:
        embeddings: `<float>[episodes, ways, pictures, units]`.
        margin: of squared distances.

    Returns:
        `<float>[episodes]`, the mean over anchors and positives.
    """
    ways, pictures, units = (tf.shape(embeddings)[axis] for axis in (1, 2, 3))
    flat = tf.reshape(embeddings, [-1, ways * pictures, units])
    distances = tf.maximum(2 - 2 * tf.matmul(flat, flat, transpose_b=True), 0.0)
    label = tf.range(ways * pictures) // pictures
    alike = label[:, None] == label
    positive = alike & (tf.range(ways * pictures)[:, None] != tf.range(ways * pictures))
    # Axes: episode, anchor, positive, negative.
    negatives = tf.broadcast_to(distances[:, :, None, :], tf.shape(distances[:, :, :, None] + distances[:, :, None, :]))
    farther = ~alike[None, :, None, :] & (negatives > distances[:, :, :, None])
    nearest = tf.reduce_min(tf.where(farther, negatives, 1e9), axis=-1)
    farthest = tf.reduce_max(tf.where(alike[None, :, None, :], -1e9, negatives), axis=-1)
    chosen = tf.where(tf.reduce_any(farther, axis=-1), nearest, farthest)
    losses = tf.maximum(distances - chosen + margin, 0.0) * tf.cast(positive, distances.dtype)
    return tf.reduce_sum(losses, axis=[1, 2]) / tf.reduce_sum(tf.cast(positive, distances.dtype))


def prototypical(embeddings: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of each picture among the prototypes of the classes, made of the other pictures (Snell 2017).

    Prototypes are means, brought to length 1; what is compared is the cosine, times a scale that is learned
    (https://arxiv.org/abs/1703.05175, and Gidaris 2018 for the scale). Each picture in turn is the query.

    Args:
        embeddings: `<float>[episodes, ways, pictures, units]`, two pictures or more.
        scale: `<float>[]`.

    Returns:
        `<float>[episodes]`.
    """
    others = tf.reduce_sum(embeddings, axis=2, keepdims=True) - embeddings
    prototypes = tf.math.l2_normalize(others, axis=-1)
    # By the number of the picture, which is a query in one class and left out of the prototype in each.
    logits = scale * tf.einsum("ewpu,evpu->epwv", embeddings, prototypes)
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=-1) - tf.linalg.diag_part(logits), axis=[1, 2])


def supervised_contrastive(
    embeddings: tf.Tensor, labels: tf.Tensor, counts: tf.Tensor, temperature: float
) -> tf.Tensor:
    """The supervised contrastive loss (Khosla 2020, https://arxiv.org/abs/2004.11362, L_out).

    -1 / |P(i)| sum over p in P(i) of log(exp(z_i z_p / t) / sum over a != i of exp(z_i z_a / t)), where P(i) are the
    others with the label of i.

    Args:
        embeddings: `<float32>[batch, units]`, of length 1.
        labels: `<int>[batch]`.
        counts: `<bool>[batch]`; those that are not are compared with none.
        temperature: t.

    Returns:
        `<float32>[batch]`, of 0 up; 0 for what does not count, or has no other of its label.
    """
    logits = tf.matmul(embeddings, embeddings, transpose_b=True) / temperature
    others = counts[:, None] & counts[None] & ~tf.eye(tf.shape(labels)[0], dtype=tf.bool)
    # Low enough to count for nothing, and no infinity, which makes NaN where there is nothing else.
    log_share = logits - tf.reduce_logsumexp(tf.where(others, logits, -1e9), axis=1, keepdims=True)
    positives = tf.cast(others & (labels[:, None] == labels[None]), tf.float32)
    total = tf.reduce_sum(tf.where(positives > 0, log_share, 0.0), axis=1)
    return -total / tf.maximum(tf.reduce_sum(positives, axis=1), 1.0)
