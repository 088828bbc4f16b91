"""Tokenizers that go both ways: sentences to integers and back, inside the TensorFlow graph.

Both kinds have the same members: `size`, the ids `start` and `end` (0 is padding), `unproducible` (ids that stand for
no text), `tokenize`, `detokenize` and `pieces`.
"""

from __future__ import annotations

import base64
import collections
import io
import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

import keras
import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.layers.text import most_frequent
from keras_apps.quiet import without_stderr

TokenizerKind = Literal["subwords", "words"]

# What stands for the space before a word, as in SentencePiece.
SPACE = "▁"
_WORD = rf"{SPACE}?[\p{{L}}\p{{N}}\p{{M}}]+|{SPACE}?[^\p{{L}}\p{{N}}\p{{M}}{SPACE}]|{SPACE}"


@keras.saving.register_keras_serializable(package="keras_apps")
class SubwordTokenizer(keras.layers.Layer):
    """Pieces of a SentencePiece unigram model (Kudo 2018, https://aclanthology.org/D18-2012/), cased, by keras-hub.

    A character that was never seen is spelled in bytes, so nothing is lost.

    Args:
        vocabulary: the model's proto in base64, from `learn`.
    """

    start, end, unknown = 1, 2, 3

    def __init__(self, vocabulary: str, **kwargs):
        import keras_hub  # it and TensorFlow Text take a second, which a model of words is spared

        super().__init__(**kwargs)
        self.vocabulary = vocabulary
        # SentencePiece has a line for each model that normalises nothing, as all from `learn`.
        with without_stderr():
            self.sentence_piece = keras_hub.tokenizers.SentencePieceTokenizer(
                base64.b64decode(vocabulary), dtype="int32", name="sentence_piece"
            )
        # Graphs, since keras-hub's eager tokenizers give Python lists.
        self._tokenize = tf.function(
            lambda text: self.sentence_piece.tokenize(_as_utf8(text)),
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )
        self._detokenize = tf.function(
            lambda tokens: self.sentence_piece.detokenize(tf.RaggedTensor.from_tensor(tokens, padding=0)),
            input_signature=[tf.TensorSpec([None, None], tf.int32)],
            autograph=False,
        )
        self.built = True

    @staticmethod
    def learn(texts: Iterable[str], size: int) -> str:
        """The vocabulary of at most `size` pieces that fits texts best.

        Raises:
            UserError: where the texts are too few for that.
        """
        import sentencepiece

        proto = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=proto,
                vocab_size=size,
                model_type="unigram",
                byte_fallback=True,
                normalization_rule_name="identity",
                character_coverage=0.9999,
                hard_vocab_limit=False,
                pad_id=0,
                bos_id=SubwordTokenizer.start,
                eos_id=SubwordTokenizer.end,
                unk_id=SubwordTokenizer.unknown,
                num_threads=1,  # several make the result depend on their timing
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            reason = str(error).rpartition("] ")[2].partition(". ")[0]
            raise UserError(
                f"vocabulary_size={size}: no sub-words can be learned from these texts ({reason}); give another "
                "--vocabulary_size, of 300 or more, or --tokenizer words"
            ) from error
        return base64.b64encode(proto.getvalue()).decode()

    @property
    def size(self) -> int:
        """The number of ids."""
        return self.sentence_piece.vocabulary_size()

    @property
    def unproducible(self) -> tuple[int, ...]:
        """Ids that no decoder may produce."""
        return 0, self.start, self.unknown

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """`<string>[batch]` -> `<int32>[batch, (steps)]`."""
        return self._tokenize(text)

    def detokenize(self, tokens: tf.Tensor) -> tf.Tensor:
        """`<int32>[batch, steps]`, 0-padded -> `<string>[batch]`."""
        return self._detokenize(tokens)

    def pieces(self, tokens: tf.Tensor) -> tf.Tensor:
        """`<int32>[...]` -> the piece of each, `<string>[...]`; "" for padding."""
        shape = tf.shape(tokens)
        pieces = tf.constant([self.sentence_piece.id_to_token(index) for index in range(self.size)])
        pieces = tf.tensor_scatter_nd_update(pieces, [[0]], [""])
        return tf.reshape(tf.gather(pieces, tf.reshape(tokens, [-1])), shape)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"vocabulary": self.vocabulary}


@keras.saving.register_keras_serializable(package="keras_apps")
class SpacedWordTokenizer(keras.layers.Layer):
    """Whole words and punctuation marks, cased, each with the space before it, so that they can be put together again.

    Args:
        vocabulary: the known words, most frequent first.
    """

    unknown, start, end = 1, 2, 3

    def __init__(self, vocabulary: Sequence[str], **kwargs):
        super().__init__(**kwargs)
        self.vocabulary = list(vocabulary)
        self.lookup = keras.layers.StringLookup(
            vocabulary=["[START]", "[END]", *vocabulary], mask_token="", oov_token="[UNK]", name="lookup"
        )
        self.built = True

    @staticmethod
    def learn(texts: Iterable[str], size: int) -> list[str]:
        """The most frequent words, ties broken by spelling; those that occur once are left out.

        Raises:
            UserError: where all do.
        """
        counts: collections.Counter[bytes] = collections.Counter()
        remaining = iter(texts)
        while batch := list(itertools.islice(remaining, 1000)):
            counts.update(_spaced_words(tf.constant(batch)).flat_values.numpy().tolist())
        return most_frequent(counts, size - 4)

    @property
    def size(self) -> int:
        """The number of ids."""
        return len(self.vocabulary) + 4

    @property
    def unproducible(self) -> tuple[int, ...]:
        """Ids that no decoder may produce."""
        return 0, self.unknown, self.start

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """`<string>[batch]` -> `<int32>[batch, (steps)]`."""
        words = _spaced_words(text)
        return words.with_flat_values(tf.cast(self.lookup(words.flat_values), tf.int32))

    def detokenize(self, tokens: tf.Tensor) -> tf.Tensor:
        """`<int32>[batch, steps]`, 0-padded -> `<string>[batch]`."""
        joined = tf.strings.reduce_join(self.pieces(tokens), axis=-1)
        return tf.strings.strip(tf.strings.regex_replace(joined, SPACE, " "))

    def pieces(self, tokens: tf.Tensor) -> tf.Tensor:
        """`<int32>[...]` -> the word of each, `<string>[...]`; "" for padding."""
        words = tf.constant(["", "[UNK]", "[START]", "[END]", *self.vocabulary])
        return tf.gather(words, tokens)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"vocabulary": self.vocabulary}


def _as_utf8(text: tf.Tensor) -> tf.Tensor:
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")


def _spaced_words(text: tf.Tensor) -> tf.RaggedTensor:
    text = tf.strings.strip(tf.strings.regex_replace(_as_utf8(text), rf"[\s{SPACE}]+", " "))
    text = tf.strings.regex_replace(tf.strings.join([SPACE, text]), " ", SPACE)
    return tf.strings.split(tf.strings.regex_replace(text, f"({_WORD})", r"\1 "))
