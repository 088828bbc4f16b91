"""Whether pictures show what their sentences say, by embeddings of both."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

RANKED = 100
"""Sentences among which R-precision looks for a picture's own."""

# Equal sentences score no more than that apart by rounding, in whichever batches they were embedded.
_TIE = 1e-5


def pair_distance(true: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
    """The squared distance of two distributions in the space of the cubic kernel, as in KID, without bias: around 0.

    Where a row is a picture's features and its sentence's, it tells good pictures of the wrong sentence too. Rows of
    one place have one sentence, and are not compared.

    Args:
        true: `<float>[batch, units]`, of length about 1.
        made: likewise.
    """

    def kernel(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        return (tf.matmul(left, right, transpose_b=True) + 1) ** 3

    differences = kernel(true, true) + kernel(made, made) - 2 * kernel(true, made)
    others = tf.cast(tf.shape(true)[0] - 1, tf.float32)
    together = tf.reduce_sum(differences) - tf.linalg.trace(differences)
    return together / tf.maximum(others * (others + 1), 1)


def r_precision(
    pictures: np.ndarray, sentences: np.ndarray, texts: Sequence[str], ranked: int = RANKED, seed: int = 0
) -> np.ndarray:
    """Whether each picture is nearer to its own sentence than to other ones (Xu 2018, AttnGAN, with R = 1).

    Args:
        pictures: `<float>[n, units]`, their embeddings, of length about 1.
        sentences: `<float>[n, units]`, those of the sentences.
        texts: the sentences; of those with the same words in any case only one's own is looked at.
        ranked: sentences among which is a picture's own; the others are drawn, or all where there are not so many.
        seed: of the draw.

    Returns:
        `<bool>[n]`; a tie counts as wrong, and so does a sentence without others.
    """
    rng = np.random.default_rng(seed)
    words = [" ".join(re.findall(r"\w+", text.casefold())) for text in texts]
    _, first, kind = np.unique(words, return_index=True, return_inverse=True)
    hits = np.empty(len(texts), bool)
    for index, picture in enumerate(pictures):
        others = np.delete(first, kind[index])
        others = rng.choice(others, min(ranked - 1, len(others)), replace=False)
        scores = sentences @ picture
        hits[index] = len(others) > 0 and np.all(scores[others] < scores[index] - _TIE)
    return hits
