import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from apps.translation import ModelFlags
from benchmarks.translation_training import (
    Ours,
    PlainAttention,
    Work,
    masked_accuracy,
    masked_loss,
    matrix_entries,
    measure,
    weight_flops,
)
from keras_apps.data.splits import without_tuning
from keras_apps.layers.tokenizers import SpacedWordTokenizer

PAIRS = [("a b", "x y"), ("b a c", "y x z"), ("a", "x"), ("c b", "z y")] * 8


@pytest.fixture
def examples():
    sources, targets = zip(*PAIRS, strict=True)
    return without_tuning(tf.data.Dataset.from_tensor_slices({"source": list(sources), "target": list(targets)}))


def test_flops_of_a_product_with_weights():
    # 3 steps of 10 entries and 5 of 20, a multiplication and an addition each, forward and twice backward.
    assert weight_flops(10, 20, 3, 5) == 6 * (30 + 100)


def test_the_plain_model_has_the_sizes_of_the_tutorial(examples):
    plain = PlainAttention(examples, SpacedWordTokenizer([f"w{n}" for n in range(4996)]), 128, seed=0)
    embeddings, gru, attention, logits = 2 * 5000 * 256, 3 * 256 * (512 + 2), 4 * 256 * 257, 257 * 5000
    assert plain.model.count_params() == embeddings + 3 * gru + attention + 2 * 256 + logits
    assert plain._entries == (2 * 3 * 256 * 512, 3 * 256 * 512 + 4 * 256 * 256 + 256 * 5000)


def test_matrices_are_counted_once_and_biases_not():
    layer = keras.layers.GRU(5)
    layer.build((None, None, 7))
    assert matrix_entries([layer, layer]) == 3 * 5 * (7 + 5)
    assert matrix_entries([layer], without=["recurrent"]) == 3 * 5 * 7


def test_padding_counts_in_neither_loss_nor_accuracy():
    target = np.array([[1, 2, 0]])
    logits = np.log(np.array([[[0.2, 0.7, 0.1], [0.5, 0.25, 0.25], [0.9, 0.05, 0.05]]], np.float32))
    np.testing.assert_allclose(masked_loss(target, logits), -(np.log(0.7) + np.log(0.25)) / 2, rtol=1e-6)
    assert float(masked_accuracy(target, logits)) == 0.5


def test_both_read_the_same_tokens_and_the_plain_one_learns(examples):
    flags = dataclasses.asdict(ModelFlags(cell="gru", tokenizer="words", units=8, embedding_dim=8))
    ours = Ours(examples, 0, 8, flags, {"warmup_steps": 0})
    plain = PlainAttention(examples, ours.model.tokens, 128, seed=0, units=16, batch_size=8)
    real = sum(len(target.split()) + 1 for _, target in PAIRS)
    for contender in (plain, ours):
        epoch = contender.batches().take(contender.steps_per_epoch).as_numpy_iterator()
        work = sum((contender.work(batch) for batch in epoch), Work())
        assert (work.pairs, work.tokens) == (len(PAIRS), real)
    before = plain.model.evaluate(plain.batches(), steps=4, verbose=0)[0]
    measured = measure([plain, ours], warm_up=40, steps=4, rounds=3)
    assert plain.model.evaluate(plain.batches(), steps=4, verbose=0)[0] < before / 2
    assert [len(each.seconds) for each in measured] == [3, 3]
    # A round is an epoch, so it holds every token once.
    assert [work.tokens for work in measured[0].work] == [real] * 3
