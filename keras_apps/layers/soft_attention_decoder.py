"""The recurrent decoder of Show, Attend and Tell."""

from __future__ import annotations

from typing import Literal

import keras
import tensorflow as tf

from keras_apps.layers.attention import Attention, Score

Tensors = dict[str, tf.Tensor]


@keras.saving.register_keras_serializable(package="keras_apps")
class SoftAttentionDecoder(keras.layers.Layer):
    """Tokens so far and a picture's grid -> logits of the next token (Xu 2015, https://arxiv.org/abs/1502.03044).

    Before each word the state looks at the grid: context = sigmoid(gate(h)) * attention(h, memory). Then
    h = cell([embedding; context], h), and the deep output is tanh(embedding + W [h; context]) E^T, where E are the
    embeddings. The first state is made of the grid's mean.

    It has the members of every decoder here: `remember`, `call`, `initial_state` and `step`, the last of which is a
    step of `layers.decoding.decode`. There may be several captions to a picture, one after the other in the tokens'
    rows: they share the picture's memory, which is never copied for them.

    Args:
        vocabulary_size: of the tokens.
        embedding_dim: of a token.
        units: of the recurrent cell.
        cell: `lstm` or `gru`.
        score: of the attention.
        attention_units: inside the attention's tanh (`additive` and `concat`).
        dropout: of the embeddings and of the deep output.
        seed: of the initial weights and the dropout.
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        units: int,
        cell: Literal["lstm", "gru"] = "lstm",
        score: Score = "additive",
        attention_units: int = 128,
        dropout: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.units = units
        self.cell = cell
        self.score = score
        self.attention_units = attention_units
        self.dropout = dropout
        self.seed = seed
        dtype = self.dtype_policy
        self.embedding = keras.layers.ReversibleEmbedding(
            vocabulary_size,
            embedding_dim,
            embeddings_initializer=keras.initializers.RandomNormal(0, embedding_dim**-0.5, seed=seed),
            name="embedding",
            dtype=dtype,
        )

        def dense(units: int, name: str, offset: int, **settings) -> keras.layers.Dense:
            settings = {"kernel_initializer": keras.initializers.GlorotUniform(seed + offset)} | settings
            return keras.layers.Dense(units, name=name, dtype=dtype, **settings)

        gates = {"lstm": 4, "gru": 3}[cell] * units
        self.from_token = dense(gates, "from_token", 1)
        self.from_context = dense(gates, "from_context", 2, use_bias=False)
        self.from_hidden = dense(
            gates, "from_hidden", 3, kernel_initializer=keras.initializers.Orthogonal(seed=seed + 3)
        )
        self.first = dense({"lstm": 2, "gru": 1}[cell] * units, "first", 4, activation="tanh")
        self.gate = dense(1, "gate", 5, activation="sigmoid")
        self.combine = dense(embedding_dim, "combine", 6)
        self.attention = Attention(score, attention_units, seed + 7, name="attention", dtype=dtype)
        self.drop_embedding = keras.layers.Dropout(dropout, seed=seed + 10, dtype=dtype)
        self.drop_output = keras.layers.Dropout(dropout, seed=seed + 11, dtype=dtype)

    def build(self, memory_shape: tuple) -> None:
        """Makes the weights for a memory of that shape."""
        memory_units = memory_shape[-1]
        self.embedding.build()
        self.from_token.build((None, self.embedding_dim))
        self.from_context.build((None, memory_units))
        self.from_hidden.build((None, self.units))
        self.first.build((None, memory_units))
        self.gate.build((None, self.units))
        self.combine.build((None, self.units + memory_units))
        self.attention.build((None, self.units), memory_shape)

    def remember(self, memory: tf.Tensor, mask: tf.Tensor) -> Tensors:
        """What no step changes.

        Args:
            memory: the grid, `<float>[batch, positions, memory_units]`.
            mask: `<bool>[batch, positions]`.
        """
        return {"memory": memory, "mask": mask, "keys": self.attention.project(memory)}

    def initial_state(self, constants: Tensors, max_steps: tf.Tensor | int) -> Tensors:
        """The state before the first token, `<float>[batch, units]` each."""
        del max_steps
        inside = tf.cast(constants["mask"], constants["memory"].dtype)[..., None]
        count = tf.maximum(tf.reduce_sum(inside, axis=1), 1)
        first = self.first(tf.reduce_sum(constants["memory"] * inside, axis=1) / count)
        if self.cell == "gru":
            return {"hidden": first}
        hidden, cell = tf.split(first, 2, axis=-1)
        return {"hidden": hidden, "cell": cell}

    def step(
        self, tokens: tf.Tensor, position: tf.Tensor, state: Tensors, constants: Tensors
    ) -> tuple[tf.Tensor, Tensors]:
        """`<int32>[batch]` -> logits `<float>[batch, vocabulary]`, and the state."""
        del position
        embedded = self.embedding(tokens)
        state, context, _ = self._advance(self.from_token(embedded), state, constants)
        return self._logits(embedded, state["hidden"], context, training=False), state

    def call(self, tokens: tf.Tensor, constants: Tensors, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """All steps, with teacher forcing.

        Args:
            tokens: those before each step, `<int32>[rows, steps]`; as many rows to each picture, one picture's after
                the other's.
            constants: from `remember`.
            training: dropout.

        Returns:
            Logits `<float>[rows, steps, vocabulary]`, and the weights over the memory
            `<float32>[rows, steps, positions]`.
        """
        embedded = self.drop_embedding(self.embedding(tokens), training=training)
        # What needs no state is done for all steps in one product each, here and in `_logits`.
        given = self.from_token(embedded)
        rows, steps = tf.unstack(tf.shape(tokens))
        by_step = tf.TensorArray(given.dtype, steps).unstack(tf.transpose(given, [1, 0, 2]))
        # Of several replicas one may be without a picture.
        captions = rows // tf.maximum(tf.shape(constants["memory"])[0], 1)
        state = {name: tf.repeat(each, captions, axis=0) for name, each in self.initial_state(constants, steps).items()}
        outputs = tuple(tf.TensorArray(dtype, steps) for dtype in (given.dtype, given.dtype, tf.float32))

        def body(at: tf.Tensor, state: Tensors, outputs: tuple[tf.TensorArray, ...]) -> tuple:
            state, context, weights = self._advance(by_step.read(at), state, constants)
            made = (state["hidden"], context, weights)
            return at + 1, state, tuple(array.write(at, each) for array, each in zip(outputs, made, strict=True))

        _, _, outputs = tf.while_loop(lambda at, *_: at < steps, body, (0, state, outputs), maximum_iterations=steps)
        hidden, context, weights = (tf.transpose(array.stack(), [1, 0, 2]) for array in outputs)
        hidden = tf.ensure_shape(hidden, [None, None, self.units])
        context = tf.ensure_shape(context, [None, None, constants["memory"].shape[-1]])
        return self._logits(embedded, hidden, context, training), weights

    def _advance(self, given: tf.Tensor, state: Tensors, constants: Tensors) -> tuple[Tensors, tf.Tensor, tf.Tensor]:
        """The next state, the gated context `<float>[rows, memory_units]`, the weights `<float32>[rows, positions]`."""
        memory, before = constants["memory"], state["hidden"]
        pictures = tf.shape(memory)[0]
        queries = tf.reshape(before, [pictures, tf.shape(before)[0] // tf.maximum(pictures, 1), self.units])
        context, weights = self.attention(queries, memory, constants["mask"], constants["keys"])
        context = self.gate(before) * tf.reshape(context, [-1, memory.shape[-1]])
        weights = tf.reshape(weights, [-1, tf.shape(memory)[1]])
        given += self.from_context(context)
        of_hidden = self.from_hidden(before)
        if self.cell == "lstm":
            write, forget, candidate, show = tf.split(given + of_hidden, 4, axis=-1)
            # Forgets little at first (Jozefowicz 2015, https://proceedings.mlr.press/v37/jozefowicz15.html).
            cell = tf.sigmoid(forget + 1) * state["cell"] + tf.sigmoid(write) * tf.tanh(candidate)
            return {"hidden": tf.sigmoid(show) * tf.tanh(cell), "cell": cell}, context, weights
        keep, reset, candidate = tf.split(given, 3, axis=-1)
        keep_hidden, reset_hidden, candidate_hidden = tf.split(of_hidden, 3, axis=-1)
        keep = tf.sigmoid(keep + keep_hidden)
        candidate = tf.tanh(candidate + tf.sigmoid(reset + reset_hidden) * candidate_hidden)
        return {"hidden": keep * before + (1 - keep) * candidate}, context, weights

    def _logits(self, embedded: tf.Tensor, hidden: tf.Tensor, context: tf.Tensor, training: bool) -> tf.Tensor:
        deep = tf.tanh(embedded + self.combine(tf.concat([hidden, context], axis=-1)))
        return self.embedding(self.drop_output(deep, training=training), reverse=True)

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "units": self.units,
            "cell": self.cell,
            "score": self.score,
            "attention_units": self.attention_units,
            "dropout": self.dropout,
            "seed": self.seed,
        }
