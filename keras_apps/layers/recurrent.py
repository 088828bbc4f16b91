"""Recurrent encoders and the ways to make one vector of their states."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

Cell = Literal["rnn", "lstm", "gru"]
Pooling = Literal["last", "mean", "max", "attention"]


def recurrent_layer(
    cell: Cell,
    units: int,
    *,
    bidirectional: bool = False,
    dropout: float = 0.0,
    seed: int = 0,
    name: str,
    dtype: Any = None,
) -> keras.layers.Layer:
    """One recurrent layer that returns all its states, `<float>[batch, steps, units or 2 * units]`.

    Args:
        cell: `rnn` (Elman 1990), `lstm` (Hochreiter and Schmidhuber 1997, forget-gate bias 1 after Gers 2000) or
            `gru` (Cho 2014).
        units: in each direction.
        bidirectional: read the text both ways (Schuster and Paliwal 1997).
        dropout: of the inputs.
        seed: of the initial weights and the dropout.
        name: of the layer; the paths of its weights begin with it.
        dtype: policy.
    """
    common = {
        "return_sequences": True,
        "kernel_initializer": keras.initializers.GlorotUniform(seed),
        "recurrent_initializer": keras.initializers.Orthogonal(seed=seed + 1),
        "dropout": dropout,
        "seed": seed,
        "dtype": dtype,
        "name": name,
    }
    layer = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell](units, **common)
    if not bidirectional:
        return layer
    backward = layer.__class__.from_config(
        layer.get_config()
        | {
            "name": f"{name}_backward",
            "go_backwards": True,
            "kernel_initializer": keras.initializers.GlorotUniform(seed + 2),
            "recurrent_initializer": keras.initializers.Orthogonal(seed=seed + 3),
        }
    )
    return keras.layers.Bidirectional(layer, backward_layer=backward, name=name, dtype=dtype)


def avoid_cudnn(model: keras.Model) -> None:
    """Keeps a model's recurrent layers from cuDNN's kernels: only a GPU has them, and XLA can't compile them.

    To be told so they need not be made anew, and the layers that `Bidirectional` makes can't be told otherwise.

    Args:
        model: whose layers are changed.
    """
    for layer in uses_cudnn(model):
        layer.use_cudnn = False


def uses_cudnn(model: keras.Model) -> list[keras.layers.Layer]:
    """The recurrent layers that take cuDNN's kernels where there is a GPU."""
    return [layer for layer in model._flatten_layers() if getattr(layer, "use_cudnn", False)]


@keras.saving.register_keras_serializable(package="keras_apps")
class SequencePooling(keras.layers.Layer):
    """One vector from the states of a sequence, padding left out.

    Args:
        mode: `last` (the last state of the forward half, the first of the backward half), `mean`, `max`, or
            `attention` (a learned softmax over the steps, Yang 2016, https://aclanthology.org/N16-1174/).
        bidirectional: whether the states' second half was read backwards; only `last` asks.
        seed: of the attention's initial weights.
    """

    def __init__(self, mode: Pooling, bidirectional: bool = False, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.mode = mode
        self.bidirectional = bidirectional
        self.seed = seed
        if mode not in ("last", "mean", "max", "attention"):
            raise ValueError(f"pooling must be last, mean, max or attention; received {mode!r}")

    def build(self, input_shape: tuple) -> None:
        """Makes the projection and the query of attention."""
        if self.mode == "attention":
            units = input_shape[-1]
            self.projection = self.add_weight(
                name="projection", shape=(units, units), initializer=keras.initializers.GlorotUniform(self.seed)
            )
            self.query = self.add_weight(
                name="query", shape=(units,), initializer=keras.initializers.RandomNormal(0, 0.05, seed=self.seed + 1)
            )

    def call(self, states: Any, mask: Any = None) -> Any:
        """`<float>[batch, steps, units]`, mask `<bool>[batch, steps]` -> `<float>[batch, units]`.

        A sequence that is all padding gives zeros.
        """
        if mask is None:
            mask = ops.ones(ops.shape(states)[:2], "bool")
        inside = ops.cast(mask, states.dtype)[..., None]
        if self.mode == "attention":
            return ops.einsum("bs,bsu->bu", self.weights_of_steps(states, mask), states)
        if self.mode == "mean":
            return ops.sum(states * inside, 1) / ops.maximum(ops.sum(inside, 1), 1)
        if self.mode == "max":
            lowest = ops.where(inside > 0, states, ops.cast(-1e4, states.dtype))
            return ops.max(lowest, 1) * ops.max(inside, 1)
        last = ops.maximum(ops.sum(ops.cast(mask, "int32"), 1) - 1, 0)
        final = ops.take_along_axis(states, last[:, None, None], axis=1)[:, 0]
        if self.bidirectional:
            half = states.shape[-1] // 2
            final = ops.concatenate([final[:, :half], states[:, 0, half:]], -1)
        return final * ops.max(inside, 1)

    def weights_of_steps(self, states: Any, mask: Any) -> Any:
        """The attention, `<float>[batch, steps]`: sums to 1 over the steps inside the mask, 0 on padding."""
        scores = ops.tanh(ops.matmul(states, ops.cast(self.projection, states.dtype)))
        scores = ops.cast(ops.matmul(scores, ops.cast(self.query, states.dtype)[:, None])[..., 0], "float32")
        weights = ops.softmax(ops.where(mask, scores, -1e9), axis=-1)
        return ops.cast(weights * ops.cast(mask, "float32"), states.dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """A vector has no mask."""

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"mode": self.mode, "bidirectional": self.bidirectional, "seed": self.seed}
