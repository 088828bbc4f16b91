import keras
import pytest

from benchmarks.sentiment_training import recurrent_flops


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_every_entry_of_the_kernels_is_used_once_a_step(cell):
    layer = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell](5)
    layer.build((None, None, 7))
    entries = sum(int(kernel.value.shape.num_elements()) for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel))
    assert recurrent_flops(cell, 7, 5, 1, tokens=11, training=False) == 2 * 11 * entries


def test_training_and_a_second_direction():
    forward = recurrent_flops("lstm", 128, 64, 1, tokens=100, training=False)
    assert forward == 2 * 100 * 4 * 64 * 192
    assert recurrent_flops("lstm", 128, 64, 2, tokens=100) == 6 * forward
