import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.layers.text import (
    WordTokenizer,
    hashed_ngrams,
    learn_vocabulary,
    pad_to_lengths,
    split_words,
)


def words_of(text):
    return [word.decode() for word in split_words(tf.constant([text]))[0].numpy()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Not bad!", ["not", "bad", "!"]),
        ("I didn't like it", ["i", "did", "n't", "like", "it"]),
        ("I didn\u2019t", ["i", "did", "n't"]),
        ("great<br /><br />film", ["great", "film"]),
        ("ÜBER-schön, d'accord", ["über", "-", "schön", ",", "d", "'", "accord"]),
        ("b*****d", ["b*****d"]),
        ("2 < 3 and 4 > 1", ["2", "<", "3", "and", "4", ">", "1"]),
        ("", []),
    ],
)
def test_splits_into_words_and_punctuation(text, expected):
    assert words_of(text) == expected


def test_bytes_that_are_no_utf8_are_replaced():
    assert [w.decode() for w in split_words(tf.constant([b"bad \xff end"]))[0].numpy()] == ["bad", "\ufffd", "end"]


def test_words_that_are_all_rare_are_said():
    with pytest.raises(UserError, match="no word is found 2 times"):
        learn_vocabulary(tf.data.Dataset.from_tensors(["each of these", "is here once"]), 10)


def test_vocabulary_is_by_frequency_then_spelling_and_cut():
    texts = tf.data.Dataset.from_tensor_slices(["b a a", "c b a d", "c"]).batch(2)
    assert learn_vocabulary(texts, size=10) == ["a", "b", "c"]
    assert learn_vocabulary(texts, size=2) == ["a", "b"]
    assert learn_vocabulary(texts, size=10, min_count=1) == ["a", "b", "c", "d"]


def test_tokenizer_numbers_words_from_two_and_survives_its_config():
    tokenizer = WordTokenizer(["film", "good"])
    assert tokenizer(tf.constant(["good film!", "film"])).to_list() == [[3, 2, 1], [2]]
    assert tokenizer.size == 4
    again = WordTokenizer.from_config(tokenizer.get_config())
    assert again(tf.constant(["good"])).to_list() == [[3]]
    assert keras.saving.get_registered_name(WordTokenizer) == "keras_apps>WordTokenizer"


def test_ngrams_are_a_set_of_all_orders():
    words = tf.ragged.constant([["a", "b", "a", "b"], ["c"], []], dtype=tf.string)
    grams = hashed_ngrams(words, order=2, buckets=2**20)
    expected = {1 + int(tf.strings.to_hash_bucket_fast(gram, 2**20 - 1)) for gram in ("a", "b", "a b", "b a")}
    assert set(grams[0].numpy()) == expected and len(grams[0]) == 4
    assert [len(row) for row in grams] == [4, 1, 0]


def test_ngrams_spread_over_the_table():
    words = tf.ragged.constant([[f"w{n}" for n in range(3000)]], dtype=tf.string)
    counts = collections.Counter(hashed_ngrams(words, order=1, buckets=101)[0].numpy().tolist())
    assert set(counts) == set(range(1, 101))


def test_padding_goes_to_the_next_length_and_cuts_at_the_last():
    ragged = tf.ragged.constant([[1, 2, 3], [4]], dtype=tf.int32)
    np.testing.assert_array_equal(pad_to_lengths(ragged, [2, 4, 8]), [[1, 2, 3, 0], [4, 0, 0, 0]])
    np.testing.assert_array_equal(pad_to_lengths(ragged, [1, 2]), [[1, 2], [4, 0]])
    assert pad_to_lengths(ragged[:, :0], [2, 4]).shape == (2, 2)
    assert pad_to_lengths(ragged, [2, 4, 8], at_least=5).shape == (2, 8)
