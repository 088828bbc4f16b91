import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.layers.recurrent import SequencePooling, recurrent_layer

STATES = np.array([[[1.0, -5.0], [3.0, -7.0], [100.0, 100.0]], [[2.0, 4.0], [100.0, 100.0], [100.0, 100.0]]], "float32")
MASK = np.array([[True, True, False], [True, False, False]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("mean", [[2, -6], [2, 4]]), ("max", [[3, -5], [2, 4]]), ("last", [[3, -7], [2, 4]])],
)
def test_pooling_leaves_padding_out(mode, expected):
    np.testing.assert_allclose(SequencePooling(mode)(STATES, mask=MASK), expected)


def test_last_of_a_backward_half_is_its_first_step():
    np.testing.assert_allclose(SequencePooling("last", bidirectional=True)(STATES, mask=MASK), [[3, -5], [2, 4]])


def test_attention_is_a_softmax_over_the_words_inside_the_mask():
    layer = SequencePooling("attention")
    layer.build(STATES.shape)
    layer.projection.assign([[0.5, 0.0], [0.0, 0.1]])
    layer.query.assign([2.0, 1.0])
    scores = np.tanh(STATES @ np.diag([0.5, 0.1])) @ [2.0, 1.0]
    first = np.exp(scores[0, :2]) / np.exp(scores[0, :2]).sum()
    np.testing.assert_allclose(layer.weights_of_steps(STATES, MASK), [[*first, 0], [1, 0, 0]], rtol=1e-5)
    np.testing.assert_allclose(layer(STATES, mask=MASK)[0], first @ STATES[0, :2], rtol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "max", "last", "attention"])
def test_nothing_but_padding_gives_zeros(mode):
    np.testing.assert_array_equal(SequencePooling(mode)(STATES, mask=np.zeros_like(MASK)), np.zeros((2, 2)))


def test_unknown_pooling_is_refused():
    with pytest.raises(ValueError, match="last, mean, max or attention"):
        SequencePooling("middle")


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_no_state(cell, bidirectional):
    layer = recurrent_layer(cell, 3, bidirectional=bidirectional, seed=1, name="encoder")
    inputs = np.random.default_rng(0).normal(size=(1, 4, 2)).astype("float32")
    short = layer(inputs[:, :2], mask=np.ones((1, 2), bool))
    long = layer(inputs, mask=np.array([[True, True, False, False]]))
    np.testing.assert_allclose(long[:, :2], short, rtol=1e-5, atol=1e-6)


def test_lstm_begins_with_its_forget_gate_open():
    layer = recurrent_layer("lstm", 2, seed=0, name="encoder")
    layer.build((None, None, 3))
    np.testing.assert_array_equal(layer.cell.bias, [0, 0, 1, 1, 0, 0, 0, 0])


def test_directions_begin_with_weights_of_their_own():
    layer = recurrent_layer("gru", 2, bidirectional=True, seed=0, name="encoder")
    layer.build((None, None, 3))
    kernels = [w for w in layer.weights if w.path.endswith("cell/kernel")]
    assert len(kernels) == 2 and not np.allclose(kernels[0], kernels[1])


def test_mixed_precision_computes_in_bfloat16():
    policy = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    states = recurrent_layer("gru", 4, bidirectional=True, seed=0, name="encoder", dtype=policy)(tf.zeros((2, 3, 5)))
    assert states.dtype == tf.bfloat16
    assert SequencePooling("attention", dtype=policy)(states, mask=tf.ones((2, 3), tf.bool)).dtype == tf.bfloat16
