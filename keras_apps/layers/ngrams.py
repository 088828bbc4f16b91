"""The linear model of n-grams that recurrent nets find hard to beat."""

from __future__ import annotations

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="keras_apps")
class NaiveBayesNGrams(keras.layers.Layer):
    """Logits from the n-grams present in a text, each weighted by its naive-Bayes log-count ratio and a learned factor.

    An n-gram g adds `scale * (1 + gain * change[g, class]) * ratio[g, class]`. With all changes at 0, as they begin,
    this is multinomial naive Bayes but for the scale; trained, it is the NB-weighted logistic regression of Wang and
    Manning 2012, "Baselines and Bigrams" (https://aclanthology.org/P12-2018/). The scale makes up for naive Bayes
    counting what many n-grams say in common as often as they say it. The gain lets an optimizer whose steps are sized
    for a recurrent net move these weights, each of which few texts touch, as fast as they need. Two classes share one
    column, their ratios being opposite.

    Args:
        buckets: the size of the hash table, entry 0 (padding) included.
        classes: the number of classes.
        scale: of all terms.
        gain: of the learned changes.
        dropout: the share of a text's n-grams left out in training.
        seed: of the dropout.
    """

    def __init__(
        self,
        buckets: int,
        classes: int,
        scale: float = 0.05,
        gain: float = 30.0,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.buckets = buckets
        self.classes = classes
        self.scale = scale
        self.gain = gain
        self.dropout = dropout
        self.seed = seed
        self.columns = 1 if classes == 2 else classes
        self.noise = keras.layers.Dropout(dropout, seed=seed, dtype="float32")

    def build(self, input_shape: tuple | None = None) -> None:
        """Makes the two tables and the bias, in float32: sums of hundreds of small terms need it."""
        shape = (self.buckets, self.columns)
        self.ratios = self.add_weight(name="ratios", shape=shape, initializer="zeros", trainable=False, dtype="float32")
        self.changes = self.add_weight(name="changes", shape=shape, initializer="zeros", dtype="float32")
        self.bias = self.add_weight(name="bias", shape=(self.columns,), initializer="zeros", dtype="float32")

    def set_ratios(self, texts: Iterable[tuple[np.ndarray, np.ndarray]], smoothing: float = 1.0) -> None:
        """Counts in how many texts of each class an n-gram occurs, and sets the log-count ratios.

        Args:
            texts: batches of n-grams `<int32>[batch, grams]` (0 is padding, each n-gram once a text) and
                class indices `<int32>[batch]`.
            smoothing: added to every count.
        """
        counts = np.zeros((self.classes, self.buckets), np.float64)
        for grams, labels in texts:
            grams, labels = np.asarray(grams), np.asarray(labels)
            for label in range(self.classes):
                counts[label] += np.bincount(grams[labels == label].ravel(), minlength=self.buckets)
        counts[:, 0] = 0
        seen = counts.sum(0) > 0
        inside = counts + smoothing
        outside = counts.sum(0) - counts + smoothing
        ratios = np.log(inside / inside.sum(1, keepdims=True)) - np.log(outside / outside.sum(1, keepdims=True))
        ratios = np.where(seen, ratios, 0.0)
        self.ratios.assign((ratios[1:] if self.columns == 1 else ratios).T.astype("float32"))

    def call(self, grams: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`<int32>[batch, grams]` -> `<float32>[batch, classes]`."""
        grams = tf.cast(grams, tf.int32)  # Keras, exporting, traces layers with inputs of its own float type
        present = tf.cast(grams > 0, tf.float32)[..., None]
        present = self.noise(present, training=training)
        terms = tf.gather(self.ratios.value, grams) * (1 + self.gain * tf.gather(self.changes.value, grams)) * present
        scores = self.scale * tf.reduce_sum(terms, axis=1) + self.bias
        return tf.concat([-scores / 2, scores / 2], axis=-1) if self.columns == 1 else scores

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        own = ("buckets", "classes", "scale", "gain", "dropout", "seed")
        return super().get_config() | {name: getattr(self, name) for name in own}
