"""Which pictures a step of training sees, drawn in the graph by a seed, and how they are distorted."""

from __future__ import annotations

import math

import tensorflow as tf

GENERATED = 1_000_000
"""Groups with numbers from here on are generated."""


class Classes:
    """Pictures by class, those with one picture left out.

    Args:
        labels: `<int32>[pictures]`, the class of each.
        groups: `<int32>[pictures]`, the group of its class.
        generated_share: of what is drawn, where some groups are generated and some are not; within either kind all
            groups are drawn alike.
    """

    def __init__(self, labels: tf.Tensor, groups: tf.Tensor, generated_share: float = 0.5):
        # By class, so that each is a run of rows.
        self._order = tf.argsort(labels, stable=True)
        _, _, counts = tf.unique_with_counts(tf.gather(labels, self._order))
        starts = tf.cumsum(counts, exclusive=True)
        large = counts > 1
        self._counts, self._starts = tf.boolean_mask(counts, large), tf.boolean_mask(starts, large)
        names = tf.gather(groups, tf.gather(self._order, self._starts))
        self.count = tf.size(self._counts)
        """`<int32>[]`, of the classes."""
        kinds, self._group_of, _ = tf.unique_with_counts(names)
        generated = tf.cast(kinds >= GENERATED, tf.float32)
        share = tf.where(
            (tf.reduce_min(generated) < 1) & (tf.reduce_max(generated) > 0),
            generated_share * generated / tf.maximum(tf.reduce_sum(generated), 1)
            + (1 - generated_share) * (1 - generated) / tf.maximum(tf.reduce_sum(1 - generated), 1),
            tf.ones_like(generated),
        )
        self._log_share = tf.math.log(share)

    def episode(self, seed: tf.Tensor, ways: tf.Tensor, pictures: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws classes, group by group, so that most are told from others of their group, and pictures of each.

        Args:
            seed: `<int64>[2]`.
            ways: `<int32>[]`, how many classes, at most `count`.
            pictures: of each class, different ones where it has as many.

        Returns:
            `<int32>[ways, pictures]`, the rows of the pictures, and `<int32>[ways]`, the group of each class, from 0.
        """
        noise = tf.random.stateless_uniform(tf.shape(self._log_share), seed, minval=1e-6)
        # The Gumbel trick: without replacement, as likely as their shares.
        place = tf.argsort(tf.argsort(tf.math.log(-tf.math.log(noise)) - self._log_share))
        within = tf.random.stateless_uniform([self.count], seed + 1)
        chosen = tf.argsort(tf.cast(tf.gather(place, self._group_of), tf.float32) + within)[:ways]
        return self._pictures(seed + 2, chosen, pictures), tf.gather(self._group_of, chosen)

    def pairs(self, seed: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws pairs of two pictures, in turn of one class and of two classes of one group, if it has two.

        Args:
            seed: `<int64>[2]`.
            count: of the pairs.

        Returns:
            `<int32>[count, 2]`, the rows of the pictures, and `<bool>[count]`, whether they are of one class.
        """
        of_groups = tf.cast(tf.math.bincount(self._group_of), tf.float32)
        log_share = tf.gather(self._log_share - tf.math.log(of_groups), self._group_of)
        first = tf.random.stateless_categorical(log_share[None], count, seed, tf.int32)[0]
        keys = tf.random.stateless_uniform([count, self.count], seed + 1)
        keys += tf.cast(self._group_of == tf.gather(self._group_of, first)[:, None], tf.float32)
        keys -= 3 * tf.one_hot(first, self.count)
        other = tf.argmax(keys, axis=1, output_type=tf.int32)
        same = tf.range(count) % 2 == 0
        of_first = self._pictures(seed + 2, first, 2)
        of_other = self._pictures(seed + 3, other, 1)
        return tf.stack([of_first[:, 0], tf.where(same, of_first[:, 1], of_other[:, 0])], axis=1), same

    def _pictures(self, seed: tf.Tensor, chosen: tf.Tensor, pictures: int) -> tf.Tensor:
        """`<int32>[chosen, pictures]`: rows of different pictures; of small classes some twice."""
        counts = tf.gather(self._counts, chosen)[:, None]
        width = tf.maximum(tf.reduce_max(self._counts), pictures)
        keys = tf.random.stateless_uniform([tf.size(chosen), width], seed)
        picked = tf.math.top_k(tf.where(tf.range(width) < counts, keys, -keys), pictures).indices
        return tf.gather(self._order, tf.gather(self._starts, chosen)[:, None] + picked % counts)


def distort(images: tf.Tensor, turns: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Turns pictures, and gives each an affine distortion of its own (Koch 2015, section 4.3, about).

    Turned by up to 12 degrees, sheared by up to 0.2, scaled by 0.8 to 1.2 each way and moved by up to 6 %; the borders
    are carried on.

    Args:
        images: `<uint8>[batch, size, size, channels]`.
        turns: `<int32>[batch]`, the right angles to turn each by.
        strength: by which the distortion is multiplied; 0 for none.
        seed: `<int64>[2]`.

    Returns:
        `<uint8>[batch, size, size, channels]`.
    """
    size = images.shape[1]
    chance = strength * tf.random.stateless_uniform([6, tf.shape(images)[0]], seed, -1, 1)
    angle = 0.21 * chance[0] + math.pi / 2 * tf.cast(turns, tf.float32)
    wide, high, shear = 1 + 0.2 * chance[1], 1 + 0.2 * chance[2], 0.2 * chance[3]
    cosine, sine = tf.cos(angle), tf.sin(angle)
    # What a place of the result is read from, about the middle: turned after it was sheared and scaled.
    a, b = cosine * wide, cosine * shear * high - sine * high
    c, d = sine * wide, sine * shear * high + cosine * high
    middle = (size - 1) / 2
    x, y = middle + 0.06 * size * chance[4], middle + 0.06 * size * chance[5]
    zero = tf.zeros_like(a)
    transforms = tf.stack([a, b, middle - a * x - b * y, c, d, middle - c * x - d * y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )
