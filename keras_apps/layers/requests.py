"""Checks of raw requests, in the graph."""

from __future__ import annotations

import tensorflow as tf


def check_each(sound: tf.Tensor, message: str, values: tf.Tensor | None = None) -> tf.Operation:
    """Fails where an element of a request is not sound; for `tf.control_dependencies`, outside what XLA compiles.

    Args:
        sound: `<bool>[batch]`.
        message: with a place, `{}`, for the number of the first that is not, and one for its value, if given.
        values: `[batch]`.

    Raises:
        tf.errors.InvalidArgumentError: with the message.
    """
    # One more, so that there is a first where there is none that is wrong, or none at all.
    first = tf.argmin(tf.cast(tf.concat([sound, [False]], axis=0), tf.int32))
    places = [first]
    if values is not None:
        places.append(tf.concat([values, tf.zeros([1], values.dtype)], axis=0)[first])
    return tf.debugging.Assert(tf.reduce_all(sound), [tf.strings.format(message, places)])
