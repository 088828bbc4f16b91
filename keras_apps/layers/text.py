"""From raw text to numbers, inside the TensorFlow graph: words, vocabularies, hashed n-grams."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from keras_apps.errors import UserError

PADDING = ""
UNKNOWN = "[UNK]"

# What stands between two words of a review as people type it: HTML line breaks and white space.
_MARKUP = r"<[a-zA-Z/][^<>]{0,200}>"
# Contractions keep their negation as a word of its own (did | n't), since a sentiment hangs on it.
_NEGATION = r"n['\x{2019}]t\b"
_TOKEN = r"n't|[\p{L}\p{N}\p{M}_*]+|[^\s\p{L}\p{N}\p{M}_*]"


def split_words(text: tf.Tensor) -> tf.RaggedTensor:
    """Lower-cases text and splits it into words and single punctuation marks.

    Args:
        text: `<string>[batch]`, UTF-8; bytes that are not are replaced.

    Returns:
        `<string>[batch, (words)]`.
    """
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    text = tf.strings.regex_replace(text, _MARKUP, " ")
    text = tf.strings.lower(text, encoding="utf-8")
    text = tf.strings.regex_replace(text, _NEGATION, " n't ")
    text = tf.strings.regex_replace(text, f"({_TOKEN})", r" \1 ")
    return tf.strings.split(text)


@keras.saving.register_keras_serializable(package="keras_apps")
class WordTokenizer(keras.layers.Layer):
    """Words to the integers of a learned vocabulary; 0 is padding and 1 any unknown word.

    Args:
        vocabulary: the known words, most frequent first.
    """

    def __init__(self, vocabulary: Sequence[str], **kwargs):
        super().__init__(**kwargs)
        self.vocabulary = tuple(vocabulary)
        self.lookup = keras.layers.StringLookup(
            vocabulary=list(vocabulary), mask_token=PADDING, oov_token=UNKNOWN, name="lookup"
        )
        self.built = True

    @property
    def size(self) -> int:
        """The number of integers it gives, padding and unknown included."""
        return len(self.vocabulary) + 2

    def call(self, text: tf.Tensor) -> tf.RaggedTensor:
        """`<string>[batch]` -> `<int32>[batch, (words)]`."""
        return self.ids(split_words(text))

    def ids(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        """`<string>[batch, (words)]` -> `<int32>[batch, (words)]`."""
        return words.with_flat_values(tf.cast(self.lookup(words.flat_values), tf.int32))

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"vocabulary": list(self.vocabulary)}


def learn_vocabulary(texts: tf.data.Dataset, size: int, min_count: int = 2) -> list[str]:
    """The most frequent words of texts, ties broken by spelling so that the order of the texts does not matter.

    Args:
        texts: batches `<string>[batch]`.
        size: how many words at the most.
        min_count: a rarer word is left out.

    Raises:
        UserError: where all words are rarer.
    """
    counts: collections.Counter[bytes] = collections.Counter()
    for words in texts.map(lambda batch: split_words(batch).flat_values, tf.data.AUTOTUNE).as_numpy_iterator():
        counts.update(words.tolist())
    return most_frequent(counts, size, min_count)


def most_frequent(counts: Mapping[bytes, int], size: int, min_count: int = 2) -> list[str]:
    """At most `size` of the words that are found `min_count` times, ties broken by spelling.

    Raises:
        UserError: where all words are rarer.
    """
    frequent = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
    if not frequent:
        raise UserError(f"no word is found {min_count} times in the training texts; give more of them")
    return [word.decode() for word in frequent[:size]]


def hashed_ngrams(words: tf.RaggedTensor, order: int, buckets: int) -> tf.RaggedTensor:
    """The set of a text's n-grams of 1 to `order` words, hashed.

    Args:
        words: `<string>[batch, (words)]`.
        order: the longest n-gram.
        buckets: the size of the hash table, entry 0 (padding) included.

    Returns:
        `<int32>[batch, (n-grams)]` in 1 to buckets - 1, sorted, each once a text.
    """
    grams = tf.concat([tf.strings.ngrams(words, n, separator=" ") for n in range(1, order + 1)], axis=1)
    hashes = tf.cast(tf.strings.to_hash_bucket_fast(grams.flat_values, buckets - 1), tf.int32) + 1
    # Sorted row by row, with padding moved to the front, a repetition stands right behind its first occurrence.
    table = tf.sort(grams.with_flat_values(hashes).to_tensor(), axis=1)
    repeated = tf.concat([tf.zeros_like(table[:, :1], tf.bool), table[:, 1:] == table[:, :-1]], axis=1)
    return tf.ragged.boolean_mask(table, (table > 0) & ~repeated)


def pad_to_lengths(ragged: tf.RaggedTensor, lengths: Sequence[int], at_least: int | tf.Tensor = 0) -> tf.Tensor:
    """Rows cut to the last of `lengths` and zero-padded to the smallest of them that holds the longest, and `at_least`.

    A few fixed lengths keep the shapes that XLA compiles few, without paying for the longest text at every request.
    """
    sizes = tf.concat([[tf.cast(at_least, tf.int64)], ragged.row_lengths()], axis=0)
    return to_length(ragged, length_that_holds(tf.cast(tf.reduce_max(sizes), tf.int32), lengths))


def length_that_holds(sizes: tf.Tensor, lengths: Sequence[int]) -> tf.Tensor:
    """The smallest of `lengths` that is not below each size, or the last of them, `<int32>` of the shape of `sizes`."""
    index = tf.reduce_sum(tf.cast(sizes[..., None] > tf.constant(lengths[:-1], tf.int32), tf.int32), axis=-1)
    return tf.gather(tf.constant(lengths, tf.int32), index)


def to_length(ragged: tf.RaggedTensor, length: tf.Tensor) -> tf.Tensor:
    """Rows cut or padded to a length that is known only in the graph."""
    return ragged.to_tensor(shape=tf.stack([-1, length]))
