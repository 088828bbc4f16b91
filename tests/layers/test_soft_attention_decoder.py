import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.layers.decoding import decode
from keras_apps.layers.soft_attention_decoder import SoftAttentionDecoder

SIZES = {"vocabulary_size": 7, "embedding_dim": 6, "units": 5}


@pytest.fixture(params=["lstm", "gru"])
def decoder(request):
    layer = SoftAttentionDecoder(**SIZES, cell=request.param, attention_units=4, dropout=0.5, seed=3)
    layer.build((None, None, 8))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(0, 0.5, weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.fixture
def memory():
    return tf.constant(np.random.default_rng(1).normal(size=(2, 9, 8)), tf.float32)


def remembered(decoder, memory, mask=None):
    return decoder.remember(memory, tf.ones(memory.shape[:2], tf.bool) if mask is None else mask)


TOKENS = tf.constant([[2, 4, 5, 1], [2, 3, 6, 6]])


def test_one_step_is_that_of_the_paper(decoder, memory):
    constants = remembered(decoder, memory)
    state = decoder.initial_state(constants, 1)
    logits, after = decoder.step(TOKENS[:, 1], tf.constant(0), state, constants)

    mean = memory.numpy().mean(axis=1)
    first = np.tanh(mean @ decoder.first.kernel.numpy() + decoder.first.bias.numpy())
    hidden = first[:, :5]
    attention = decoder.attention
    keys = np.tanh(
        (hidden @ attention.query_kernel.numpy())[:, None] + memory.numpy() @ attention.memory_kernel.numpy()
    )
    scores = np.exp((keys @ attention.scale.numpy())[..., 0])
    context = np.einsum("bp,bpu->bu", scores / scores.sum(1, keepdims=True), memory.numpy())
    gate = 1 / (1 + np.exp(-(hidden @ decoder.gate.kernel.numpy() + decoder.gate.bias.numpy())))
    context = gate * context
    embedded = decoder.embedding(TOKENS[:, 1]).numpy()

    # Keras's own cell, given what ours is.
    kernel = np.concatenate([decoder.from_token.kernel.numpy(), decoder.from_context.kernel.numpy()])
    given = tf.constant(np.concatenate([embedded, context], axis=1), tf.float32)
    biases = decoder.from_token.bias.numpy(), decoder.from_hidden.bias.numpy()
    if decoder.cell == "lstm":
        cell, states = keras.layers.LSTMCell(5), [first[:, :5], first[:, 5:]]
        bias = sum(biases)
        bias[5:10] += 1
    else:
        cell, states, bias = keras.layers.GRUCell(5), [first], np.stack(biases)
    cell.build(given.shape)
    cell.set_weights([kernel, decoder.from_hidden.kernel.numpy(), bias])
    expected, _ = cell(given, [tf.constant(each) for each in states])
    np.testing.assert_allclose(after["hidden"], expected, atol=1e-6)

    deep = np.concatenate([expected, context], axis=1) @ decoder.combine.kernel.numpy() + decoder.combine.bias.numpy()
    expected_logits = np.tanh(embedded + deep) @ decoder.embedding.embeddings.numpy().T
    np.testing.assert_allclose(logits, expected_logits, atol=1e-5)


def test_all_steps_at_once_are_one_after_the_other(decoder, memory):
    constants = remembered(decoder, memory)
    logits, weights = decoder(TOKENS, constants)
    state = decoder.initial_state(constants, 4)
    for at in range(4):
        each, state = decoder.step(TOKENS[:, at], tf.constant(at), state, constants)
        np.testing.assert_allclose(each, logits[:, at], atol=1e-5)
    assert weights.shape == (2, 4, 9) and weights.dtype == tf.float32
    np.testing.assert_allclose(tf.reduce_sum(weights, -1), np.ones((2, 4)), atol=1e-6)


def test_captions_of_one_picture_share_its_memory(decoder, memory):
    rows = tf.constant([[2, 4, 5], [2, 3, 6], [2, 1, 1], [2, 5, 4]])
    logits, weights = decoder(rows, remembered(decoder, memory))
    alone = decoder(rows, remembered(decoder, tf.repeat(memory, 2, axis=0)))
    np.testing.assert_allclose(logits, alone[0], atol=1e-5)
    np.testing.assert_allclose(weights, alone[1], atol=1e-6)


def test_a_replica_may_be_without_pictures(decoder, memory):
    with tf.GradientTape() as tape:
        logits, weights = decoder(TOKENS[:0], remembered(decoder, memory[:0]), training=True)
    assert logits.shape == (0, 4, 7) and weights.shape == (0, 4, 9)
    for gradient in tape.gradient(logits, decoder.trainable_weights):
        assert not np.any(tf.convert_to_tensor(gradient))


def test_padding_of_the_memory_is_not_seen(decoder, memory):
    longer = tf.concat([memory, 100 * tf.ones([2, 3, 8])], axis=1)
    mask = tf.constant([[True] * 9 + [False] * 3] * 2)
    logits, weights = decoder(TOKENS, remembered(decoder, longer, mask))
    np.testing.assert_allclose(logits, decoder(TOKENS, remembered(decoder, memory))[0], atol=1e-5)
    assert not np.any(weights[:, :, 9:])


def test_gradients_reach_every_weight(decoder, memory):
    with tf.GradientTape() as tape:
        logits, _ = decoder(TOKENS, remembered(decoder, memory), training=True)
        loss = tf.reduce_sum(logits**2)
    for weight, gradient in zip(decoder.trainable_weights, tape.gradient(loss, decoder.trainable_weights), strict=True):
        assert gradient is not None and np.any(tf.convert_to_tensor(gradient)), weight.path


def test_the_decoding_loop_takes_its_step(decoder, memory):
    """Greedy search finds what each step alone finds most probable."""
    constants = remembered(decoder, memory)
    first = decoder.initial_state(constants, 6)
    found = decode(decoder.step, first, constants, batch=2, start=2, end=1, max_length=6, banned=(0, 1)).tokens[:, 0]
    logits, _ = decoder(tf.concat([[[2], [2]], found[:, :-1]], axis=1), constants)
    best = 2 + tf.argmax(logits[..., 2:], axis=-1, output_type=tf.int32)
    np.testing.assert_array_equal(found, best)


def test_precision_and_configuration(memory):
    layer = SoftAttentionDecoder(**SIZES, cell="gru", score="general", dtype="mixed_bfloat16", name="decoder")
    layer.build(memory.shape)
    logits, weights = layer(TOKENS, remembered(layer, tf.cast(memory, tf.bfloat16)))
    state = layer.initial_state(remembered(layer, tf.cast(memory, tf.bfloat16)), 1)
    assert state["hidden"].dtype == tf.bfloat16 and weights.dtype == tf.float32
    assert {weight.dtype for weight in layer.trainable_weights} == {"float32"}
    again = SoftAttentionDecoder.from_config(layer.get_config())
    again.build(memory.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(TOKENS, remembered(again, tf.cast(memory, tf.bfloat16)))[0], logits)
