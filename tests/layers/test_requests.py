import pytest
import tensorflow as tf

from keras_apps.layers.requests import check_each


@tf.function(
    input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.bool)],
    jit_compile=False,
    autograph=False,
)
def checked(values, sound):
    with tf.control_dependencies([check_each(sound, "age {} of the request is {}; it must be less", values)]):
        return tf.identity(values)


def test_the_first_that_is_wrong_is_named_with_its_value():
    with pytest.raises(tf.errors.InvalidArgumentError, match="age 1 of the request is 8; it must be less"):
        checked([7, 8, 9], [True, False, False])


def test_what_is_sound_passes_and_so_does_an_empty_batch():
    assert checked([7, 8], [True, True]).numpy().tolist() == [7, 8]
    assert checked(tf.zeros([0], tf.int32), tf.zeros([0], tf.bool)).shape == [0]


def test_a_message_may_leave_the_value_out():
    with pytest.raises(tf.errors.InvalidArgumentError, match="text 0 of the request is empty"):
        check_each(tf.constant([False, True]), "text {} of the request is empty")
