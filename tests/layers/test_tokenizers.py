import numpy as np
import pytest
import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.layers.tokenizers import SpacedWordTokenizer, SubwordTokenizer

TEXTS = [
    "A man, tall and old, walks his dog.",
    "Ein großer Mann führt den Hund aus.",
    "Two dogs (brown) don't run.",
    "Der Mann läuft; die Hunde laufen!",
] * 20


@pytest.fixture(scope="module", params=[SubwordTokenizer, SpacedWordTokenizer])
def tokenizer(request):
    return request.param(request.param.learn(TEXTS, 400))


def test_known_text_comes_back_exactly(tokenizer):
    tokens = tokenizer.tokenize(tf.constant(TEXTS[:4])).to_tensor()
    assert [text.decode() for text in tokenizer.detokenize(tokens).numpy()] == TEXTS[:4]
    assert tokens.dtype == tf.int32 and 3 < int(tf.reduce_max(tokens)) < tokenizer.size <= 400


def test_pieces_spell_the_text(tokenizer):
    tokens = tokenizer.tokenize(tf.constant([TEXTS[1], "Mann"])).to_tensor()
    pieces = tokenizer.pieces(tokens).numpy()
    assert b"".join(pieces[0]).decode().replace("▁", " ").strip() == TEXTS[1]
    assert pieces[1, -1] == b""


def test_special_tokens_are_never_read_from_text(tokenizer):
    specials = {0, tokenizer.start, tokenizer.end}
    assert len(specials) == 3 and set(tokenizer.unproducible) == {0, tokenizer.start, tokenizer.unknown}
    for text in ("<s> </s> <pad>", "[START] [END]", "▁", "\x00"):
        tokens = tokenizer.tokenize(tf.constant([text])).flat_values.numpy().tolist()
        assert not specials & set(tokens), text


def test_configuration_round_trip(tokenizer):
    again = type(tokenizer).from_config(tokenizer.get_config())
    np.testing.assert_array_equal(
        tokenizer.tokenize(tf.constant(TEXTS[:1])).flat_values, again.tokenize(tf.constant(TEXTS[:1])).flat_values
    )


def test_a_tokenizer_is_made_without_a_word(capfd):
    SubwordTokenizer(SubwordTokenizer.learn(TEXTS, 390))
    assert capfd.readouterr().err == ""


def test_words_that_are_all_rare_are_said():
    with pytest.raises(UserError, match="no word is found 2 times"):
        SpacedWordTokenizer.learn(["each of these", "is here once"], 10)


def test_learning_twice_gives_the_same(tokenizer):
    assert type(tokenizer).learn(TEXTS, 400) == tokenizer.vocabulary


def test_subwords_lose_no_character():
    tokenizer = SubwordTokenizer(SubwordTokenizer.learn(TEXTS, 400))
    texts = ["Żółw 日本 💥!", "don’t", "x" * 300, "a\tb"]
    tokens = tokenizer.tokenize(tf.constant(texts)).to_tensor()
    assert [text.decode() for text in tokenizer.detokenize(tokens).numpy()] == texts
    assert tokenizer.unknown not in tokens.numpy()
    broken = tokenizer.tokenize(tf.constant([b"a \xff b"])).to_tensor()
    assert tokenizer.detokenize(broken).numpy()[0].decode() == "a \ufffd b"


def test_words_keep_case_and_spacing():
    tokenizer = SpacedWordTokenizer(["▁Hunde", ",", "▁laufen", "▁"])
    tokens = tokenizer.tokenize(tf.constant(["Hunde, laufen Hunde\n laufen x"]))
    assert [p.decode() for p in tokenizer.pieces(tokens.flat_values).numpy()] == [
        "▁Hunde",
        ",",
        "▁laufen",
        "▁Hunde",
        "▁laufen",
        "[UNK]",
    ]


def test_too_little_text_for_subwords_is_said():
    with pytest.raises(UserError, match="vocabulary_size=120: no sub-words can be learned.*--tokenizer words"):
        SubwordTokenizer.learn(TEXTS, 120)
    with pytest.raises(UserError, match="no sub-words can be learned"):
        SubwordTokenizer.learn([], 400)
