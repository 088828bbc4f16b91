"""Transformer layers (Vaswani 2017, https://arxiv.org/abs/1706.03762), pre-norm, with a cache for decoding."""

from __future__ import annotations

import keras
import tensorflow as tf

Cache = tuple[tf.Tensor, tf.Tensor]


@keras.saving.register_keras_serializable(package="keras_apps")
class MultiHeadAttention(keras.layers.MultiHeadAttention):
    """Keras's layer, with its two halves apart: keys and values are projected once, and attended to many times."""

    def project(self, memory: tf.Tensor) -> Cache:
        """`<float>[batch, positions, units]` -> keys, values: `<float>[batch, positions, heads, head_units]`."""
        return self._key_dense(memory), self._value_dense(memory)

    def attend(self, query: tf.Tensor, cache: Cache, mask: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Attends to projected keys and values.

        Args:
            query: `<float>[batch, steps, units]`.
            cache: from `project`.
            mask: `<bool>[batch, 1 or steps, positions]`.
            training: dropout on the weights.

        Returns:
            `<float>[batch, steps, units]`, and the weights `<float>[batch, heads, steps, positions]`.
        """
        keys, values = cache
        context, weights = self._compute_attention(
            self._query_dense(query), keys, values, mask, training=training, return_attention_scores=True
        )
        return self._output_dense(context), weights


class _TransformerLayer(keras.layers.Layer):
    """What an encoder's and a decoder's layer share: self-attention and a feed-forward network, each on a residual."""

    def __init__(self, heads: int, feedforward_units: int, dropout: float = 0.1, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        self.feedforward_units = feedforward_units
        self.dropout = dropout
        self.seed = seed

    def build(self, input_shape: tuple) -> None:
        units = input_shape[-1]
        self.self_attention = self._attention(units, 1, "self_attention")
        self.attention_norm = self._norm("attention_norm", input_shape)
        self.feedforward = [
            keras.layers.Dense(
                self.feedforward_units,
                "relu",
                kernel_initializer=keras.initializers.GlorotUniform(self.seed + 2),
                name="feedforward",
                dtype=self.dtype_policy,
            ),
            keras.layers.Dense(
                units,
                kernel_initializer=keras.initializers.GlorotUniform(self.seed + 3),
                name="feedforward_output",
                dtype=self.dtype_policy,
            ),
        ]
        self.feedforward[0].build(input_shape)
        self.feedforward[1].build((*input_shape[:-1], self.feedforward_units))
        self.feedforward_norm = self._norm("feedforward_norm", input_shape)
        self.drop = keras.layers.Dropout(self.dropout, seed=self.seed + 4, dtype=self.dtype_policy)

    def _attention(self, units: int, offset: int, name: str) -> MultiHeadAttention:
        layer = MultiHeadAttention(
            self.heads,
            units // self.heads,
            kernel_initializer=keras.initializers.GlorotUniform(self.seed + 10 * offset),
            name=name,
            dtype=self.dtype_policy,
        )
        layer.build((None, None, units), (None, None, units))
        return layer

    def _norm(self, name: str, input_shape: tuple) -> keras.layers.Layer:
        layer = keras.layers.LayerNormalization(epsilon=1e-5, name=name, dtype=self.dtype_policy)
        layer.build(input_shape)
        return layer

    def _feed_forward(self, states: tf.Tensor, training: bool) -> tf.Tensor:
        hidden = self.drop(self.feedforward[0](self.feedforward_norm(states)), training=training)
        return states + self.drop(self.feedforward[1](hidden), training=training)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {
            "heads": self.heads,
            "feedforward_units": self.feedforward_units,
            "dropout": self.dropout,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="keras_apps")
class TransformerEncoderLayer(_TransformerLayer):
    """Self-attention over a sequence, and a feed-forward network.

    Args:
        heads: of the attention; they share the units.
        feedforward_units: of the hidden layer.
        dropout: of what each sub-layer adds, and of the hidden layer.
        seed: of the initial weights and the dropout.
    """

    def call(self, states: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`<float>[batch, steps, units]`, mask `<bool>[batch, steps]` -> `<float>[batch, steps, units]`."""
        normed = self.attention_norm(states)
        added, _ = self.self_attention.attend(normed, self.self_attention.project(normed), mask[:, None], training)
        return self._feed_forward(states + self.drop(added, training=training), training)


@keras.saving.register_keras_serializable(package="keras_apps")
class TransformerDecoderLayer(_TransformerLayer):
    """Causal self-attention, attention to an encoder's memory, and a feed-forward network.

    Args:
        heads: of the attention; they share the units.
        feedforward_units: of the hidden layer.
        dropout: of what each sub-layer adds, and of the hidden layer.
        seed: of the initial weights and the dropout.
    """

    def build(self, input_shape: tuple) -> None:
        """Makes the attention to the memory, which has as many units."""
        super().build(input_shape)
        self.cross_attention = self._attention(input_shape[-1], 2, "cross_attention")
        self.cross_norm = self._norm("cross_norm", input_shape)

    def call(
        self, states: tf.Tensor, memory: Cache, memory_mask: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """All steps at once, each seeing those before it.

        Args:
            states: `<float>[batch, steps, units]`.
            memory: from `project_memory`.
            memory_mask: `<bool>[batch, positions]`.
            training: dropout.

        Returns:
            `<float>[batch, steps, units]`, and the weights over the memory `<float>[batch, heads, steps, positions]`.
        """
        steps = tf.shape(states)[1]
        causal = tf.range(steps)[:, None] >= tf.range(steps)
        cache = self.self_attention.project(self.attention_norm(states))
        return self._decode(states, cache, causal[None], memory, memory_mask, training)

    def step(
        self, state: tf.Tensor, cache: Cache, position: tf.Tensor, memory: Cache, memory_mask: tf.Tensor
    ) -> tuple[tf.Tensor, Cache]:
        """One step, those before it in the cache.

        Args:
            state: `<float>[batch, 1, units]`.
            cache: keys and values of all steps, `<float>[batch, max_steps, heads, head_units]`.
            position: `<int32>[]`, of this step.
            memory: from `project_memory`.
            memory_mask: `<bool>[batch, positions]`.

        Returns:
            `<float>[batch, 1, units]`, and the cache with this step in it.
        """
        projected = self.self_attention.project(self.attention_norm(state))
        steps = tf.range(tf.shape(cache[0])[1])
        # Not by ops.slice_update, which is an operation of XLA's also where nothing is compiled: TensorFlow Serving
        # refuses those unless it is told otherwise.
        here = (steps == position)[:, None, None]
        cache = tuple(tf.where(here, new, old) for old, new in zip(cache, projected, strict=True))
        seen = steps <= position
        output, _ = self._decode(state, cache, seen[None, None], memory, memory_mask, training=False)
        return output, cache

    def project_memory(self, memory: tf.Tensor) -> Cache:
        """`<float>[batch, positions, units]` -> what `call` and `step` take as memory."""
        return self.cross_attention.project(memory)

    def _decode(
        self,
        states: tf.Tensor,
        cache: Cache,
        mask: tf.Tensor,
        memory: Cache,
        memory_mask: tf.Tensor,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        added, _ = self.self_attention.attend(self.attention_norm(states), cache, mask, training)
        states = states + self.drop(added, training=training)
        added, weights = self.cross_attention.attend(self.cross_norm(states), memory, memory_mask[:, None], training)
        states = states + self.drop(added, training=training)
        return self._feed_forward(states, training), weights


def sinusoidal_positions(positions: tf.Tensor, units: int) -> tf.Tensor:
    """`<int32>[steps]` -> `<float32>[steps, units]`: sines, then cosines of the same angles."""
    half = units // 2
    rates = tf.exp(-tf.math.log(10000.0) * tf.range(half, dtype=tf.float32) / max(half - 1, 1))
    angles = tf.cast(positions, tf.float32)[:, None] * rates
    return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)


@keras.saving.register_keras_serializable(package="keras_apps")
class TransformerDecoder(keras.layers.Layer):
    """Tokens so far and an encoder's memory -> logits of the next token, by the embeddings' own transpose (Press 2017).

    It has the members of every decoder here: `remember`, `call`, `initial_state` and `step`, the last of which is a
    step of `layers.decoding.decode`.

    Args:
        vocabulary_size: of the tokens.
        units: of a token, a state and the memory.
        depth: how many layers.
        heads: of the attention.
        feedforward_units: of the hidden layers.
        max_positions: 0 for sinusoidal positions; else that many learned ones.
        dropout: of the embeddings and within the layers.
        seed: of the initial weights and the dropout.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        depth: int,
        heads: int,
        feedforward_units: int,
        max_positions: int = 0,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.depth = depth
        self.heads = heads
        self.feedforward_units = feedforward_units
        self.max_positions = max_positions
        self.dropout = dropout
        self.seed = seed
        dtype = self.dtype_policy
        self.embedding = TokenAndPosition(
            vocabulary_size, units, max_positions, dropout, seed, name="embedding", dtype=dtype
        )
        self.stack = [
            TransformerDecoderLayer(
                heads, feedforward_units, dropout, seed + 100 * (level + 1), name=f"layer_{level}", dtype=dtype
            )
            for level in range(depth)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm", dtype=dtype)

    def build(self, memory_shape: tuple) -> None:
        """Makes the weights for a memory of that shape."""
        self.embedding.build((None, None))
        for layer in (*self.stack, self.norm):
            layer.build((None, None, self.units))

    def remember(self, memory: tf.Tensor, mask: tf.Tensor) -> dict:
        """What no step changes.

        Args:
            memory: the encoder's states, `<float>[batch, positions, units]`.
            mask: `<bool>[batch, positions]`.
        """
        return {"memory": [layer.project_memory(memory) for layer in self.stack], "mask": mask}

    def initial_state(self, constants: dict, max_steps: tf.Tensor | int) -> list[Cache]:
        """An empty cache of keys and values for each layer, `<float>[batch, max_steps, heads, head_units]`."""
        keys = constants["memory"][0][0]
        empty = tf.zeros(tf.stack([tf.shape(keys)[0], max_steps, self.heads, self.units // self.heads]), keys.dtype)
        return [(empty, empty) for _ in self.stack]

    def step(
        self, tokens: tf.Tensor, position: tf.Tensor, state: list[Cache], constants: dict
    ) -> tuple[tf.Tensor, list[Cache]]:
        """`<int32>[batch]` -> logits `<float>[batch, vocabulary]`, and the cache."""
        output = self.embedding(tokens[:, None], start=position)
        caches = []
        for layer, cache, memory in zip(self.stack, state, constants["memory"], strict=True):
            output, cache = layer.step(output, cache, position, memory, constants["mask"])
            caches.append(cache)
        return self.embedding.logits(self.norm(output))[:, 0], caches

    def call(self, tokens: tf.Tensor, constants: dict, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """All steps, with teacher forcing.

        Args:
            tokens: those before each step, `<int32>[batch, steps]`.
            constants: from `remember`.
            training: dropout.

        Returns:
            Logits `<float>[batch, steps, vocabulary]`, and the weights of the last layer over the memory, the mean of
            its heads, `<float32>[batch, steps, positions]`.
        """
        output = self.embedding(tokens, training=training)
        for layer, memory in zip(self.stack, constants["memory"], strict=True):
            output, weights = layer(output, memory, constants["mask"], training=training)
        return self.embedding.logits(self.norm(output)), tf.reduce_mean(tf.cast(weights, tf.float32), axis=1)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "depth": self.depth,
            "heads": self.heads,
            "feedforward_units": self.feedforward_units,
            "max_positions": self.max_positions,
            "dropout": self.dropout,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable(package="keras_apps")
class TokenAndPosition(keras.layers.Layer):
    """Embeddings of tokens, scaled by sqrt(units), and of their positions.

    Args:
        vocabulary_size: of the tokens.
        units: of an embedding.
        max_positions: 0 for sinusoidal positions; else that many learned ones.
        dropout: of the sum.
        seed: of the initial weights and the dropout.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        max_positions: int = 0,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.max_positions = max_positions
        self.dropout = dropout
        self.seed = seed
        self.tokens = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            units,
            embeddings_initializer=keras.initializers.RandomNormal(0, units**-0.5, seed=seed),
            name="tokens",
            dtype=self.dtype_policy,
        )
        self.drop = keras.layers.Dropout(dropout, seed=seed + 1, dtype=self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        """Makes the embeddings."""
        self.tokens.build()
        if self.max_positions:
            self.positions = self.add_weight(
                name="positions",
                shape=(self.max_positions, self.units),
                initializer=keras.initializers.RandomNormal(0, 0.02, seed=self.seed + 2),
            )

    def call(self, tokens: tf.Tensor, start: tf.Tensor | int = 0, training: bool = False) -> tf.Tensor:
        """`<int32>[batch, steps]`, the first of which is at position `start` -> `<float>[batch, steps, units]`."""
        at = start + tf.range(tf.shape(tokens)[1])
        if self.max_positions:
            positions = tf.gather(tf.convert_to_tensor(self.positions), tf.minimum(at, self.max_positions - 1))
        else:
            positions = sinusoidal_positions(at, self.units)
        embedded = self.tokens(tokens)
        return self.drop(embedded * self.units**0.5 + tf.cast(positions, embedded.dtype), training=training)

    def logits(self, states: tf.Tensor) -> tf.Tensor:
        """`<float>[batch, steps, units]` -> `<float>[batch, steps, vocabulary]`, by the transpose of the embeddings."""
        return self.tokens(states, reverse=True)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "max_positions": self.max_positions,
            "dropout": self.dropout,
            "seed": self.seed,
        }
