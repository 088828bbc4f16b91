"""Translation with attention: a recurrent or a transformer encoder and decoder over sub-words."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError, check_choices, check_range
from keras_apps.layers.attention import Score
from keras_apps.layers.decoding import Decoded, decode
from keras_apps.layers.optimizers import FusedAdam, moving_average
from keras_apps.layers.recurrent import SequencePooling, recurrent_layer
from keras_apps.layers.recurrent_decoder import RecurrentDecoder
from keras_apps.layers.requests import check_each
from keras_apps.layers.schedules import InverseSquareRoot
from keras_apps.layers.text import length_that_holds, pad_to_lengths
from keras_apps.layers.tokenizers import SpacedWordTokenizer, SubwordTokenizer, TokenizerKind
from keras_apps.layers.transformer import TransformerDecoder, TransformerEncoderLayer
from keras_apps.losses.sequence import token_cross_entropy
from keras_apps.metrics.translation import translation_report
from keras_apps.models.servable import ServableModel, Signature, Tensors
from keras_apps.progress import told

logger = logging.getLogger(__name__)


_AS_WIDE = ("dot", "scaled_dot")
_TRIED_WORDS = 64


@keras.saving.register_keras_serializable(package="keras_apps")
class Translator(ServableModel):
    """A sentence of one language to one of another.

    `rnn`: a bidirectional encoder, its last state passed on, and a decoder with attention and input feeding
    (`layers.recurrent_decoder`). `transformer`: pre-norm layers (`layers.transformer`). In both one matrix embeds the
    tokens of both languages and gives the logits (Press 2017, https://aclanthology.org/E17-2025/).

    Args:
        architecture: `rnn` or `transformer`.
        tokenizer: `subwords` or `words`.
        vocabulary_size: how many tokens to learn at the most, for both languages together.
        max_length: tokens of a sentence at the most; longer ones are cut in training and refused in requests.
        units: of the states: of the encoder's, in each direction, and of the decoder's; in a transformer also of the
            embeddings.
        depth: layers of the encoder, and as many of the decoder.
        dropout: between the layers.
        cell: of the rnn, `lstm` or `gru`.
        embedding_dim: of the rnn.
        attention: of the rnn: `additive`, `dot`, `general`, `concat`, `scaled_dot`, or `none`. For the two dots, which
            compare states of one width, those of the encoder's directions are added and not side by side.
        heads: of the transformer's attention.
        feedforward_units: of the transformer's hidden layers.
        positions: of the transformer, `sinusoidal` or `learned`.
        beams: width of the beam search that answers; 1 is greedy.
        length_penalty: hypotheses are ranked by log-probability / length ** length_penalty.
        seed: of the initial weights and the dropout.
        vocabulary: learned by `adapt` unless given.
    """

    # Of the next token, given the true ones before it: it follows BLEU more closely than the loss, which begins to
    # rise, for a model that becomes too sure, while its translations still become better.
    monitor = ("val_accuracy", "max")
    bucket_boundaries = (8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256)
    typical_length = 16
    sequences = ("source", "target")

    def __init__(
        self,
        architecture: Literal["rnn", "transformer"] = "rnn",
        tokenizer: TokenizerKind = "subwords",
        vocabulary_size: int = 4_000,
        max_length: int = 128,
        units: int = 256,
        depth: int = 1,
        dropout: float = 0.3,
        cell: Literal["lstm", "gru"] = "lstm",
        embedding_dim: int = 256,
        attention: Score | Literal["none"] = "general",
        heads: int = 4,
        feedforward_units: int = 512,
        positions: Literal["sinusoidal", "learned"] = "sinusoidal",
        beams: int = 4,
        length_penalty: float = 1.0,
        seed: int = 0,
        vocabulary: str | Sequence[str] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.architecture = architecture
        self.tokenizer = tokenizer
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.units = units
        self.depth = depth
        self.dropout = dropout
        self.cell = cell
        self.embedding_dim = embedding_dim
        self.attention = attention
        self.heads = heads
        self.feedforward_units = feedforward_units
        self.positions = positions
        self.beams = beams
        self.length_penalty = length_penalty
        self.seed = seed
        self.vocabulary = vocabulary
        sizes = ("units", "depth", "embedding_dim", "heads", "feedforward_units", "beams")
        check_choices(self, Translator.__init__)
        check_range(self, sizes, at_least=1)
        check_range(self, ("vocabulary_size", "max_length"), at_least=8)
        check_range(self, ("length_penalty",), at_least=0)
        check_range(self, ("dropout",), at_least=0, below=1)
        if vocabulary is not None and isinstance(vocabulary, str) != (tokenizer == "subwords"):
            raise UserError(f"tokenizer={tokenizer} can't have the vocabulary of the other one; leave it as it was")
        if architecture == "transformer" and units % (2 * heads):
            raise UserError(f"units={units} must be a multiple of twice heads={heads}")
        if vocabulary is not None:
            self._build_network()

    def _build_network(self) -> None:
        dtype = self.dtype_policy
        # Lengths that serving pads to, for few static shapes; training pads to the longest sentence of a batch.
        self.lengths = [length for length in (16, 32, 64, 128, 256) if length < self.max_length] + [self.max_length]
        kind = {"subwords": SubwordTokenizer, "words": SpacedWordTokenizer}[self.tokenizer]
        self.tokens = kind(self.vocabulary, name="tokens", dtype=dtype)
        if self.architecture == "transformer":
            self.decoder = TransformerDecoder(
                self.tokens.size,
                self.units,
                self.depth,
                self.heads,
                self.feedforward_units,
                self._target_limit(self.max_length) if self.positions == "learned" else 0,
                self.dropout,
                self.seed,
                name="decoder",
                dtype=dtype,
            )
            self.encoder = [
                TransformerEncoderLayer(
                    self.heads,
                    self.feedforward_units,
                    self.dropout,
                    self.seed + 1000 + 100 * level,
                    name=f"encoder_{level}",
                    dtype=dtype,
                )
                for level in range(self.depth)
            ]
            self.encoder_norm = keras.layers.LayerNormalization(epsilon=1e-5, name="encoder_norm", dtype=dtype)
        else:
            self.decoder = RecurrentDecoder(
                self.tokens.size,
                self.embedding_dim,
                self.units,
                self.depth,
                self.cell,
                self.attention,
                self.dropout,
                self.seed,
                name="decoder",
                dtype=dtype,
            )
            self.encoder = [
                recurrent_layer(
                    self.cell,
                    self.units,
                    bidirectional=True,
                    seed=self.seed + 1000 + 100 * level,
                    name=f"encoder_{level}",
                    dtype=dtype,
                )
                for level in range(self.depth)
            ]
            self.last_state = SequencePooling("last", bidirectional=True, name="last_state", dtype=dtype)
        self.drop_source = keras.layers.Dropout(self.dropout, seed=self.seed + 1, dtype=dtype)
        self({name: keras.Input((None,), dtype="int32", name=name) for name in ("source", "target")})

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Learns the tokens of both languages together, where not given, and builds."""
        if self.vocabulary is None:
            kind = {"subwords": SubwordTokenizer, "words": SpacedWordTokenizer}[self.tokenizer]
            self.vocabulary = kind.learn(_texts(examples), self.vocabulary_size)
        if not self.built:
            self._build_network()

    def prepare(self, example: Tensors) -> Tensors:
        """`source` and `target` -> their tokens with the end token, `<int32>[steps]`, and the texts left out."""
        both = self._encode(tf.stack([example["source"], example["target"]]))
        return {"source": both[0], "target": both[1]}

    def length(self, example: Tensors) -> tf.Tensor:
        """The number of tokens of the longer side."""
        return tf.maximum(tf.shape(example["source"])[0], tf.shape(example["target"])[0])

    def _encode(self, texts: tf.Tensor) -> tf.RaggedTensor:
        tokens = self.tokens.tokenize(texts)[:, : self.max_length - 1]
        ends = tf.fill([tf.shape(texts)[0], 1], self.tokens.end)
        return tf.concat([tokens, tf.RaggedTensor.from_tensor(ends, row_splits_dtype=tokens.row_splits.dtype)], axis=1)

    # The network.

    def call(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """`source` `<int32>[batch, positions]`, `target` `<int32>[batch, steps]` -> logits `<float>[..., size]`.

        Each step is given the true tokens before it (teacher forcing).
        """
        return self.force(inputs, training)[0]

    def force(self, inputs: Tensors, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Does the same, and returns the weights over the source too, `<float32>[batch, steps, positions]`."""
        target = tf.cast(inputs["target"], tf.int32)
        before = tf.concat([tf.fill([tf.shape(target)[0], 1], self.tokens.start), target[:, :-1]], axis=1)
        return self.decoder(before, self.read(inputs["source"], training), training=training)

    def read(self, source: tf.Tensor, training: bool = False) -> dict:
        """`<int32>[batch, positions]` -> what the decoder remembers of it."""
        source = tf.cast(source, tf.int32)
        mask = source != 0
        if self.architecture == "transformer":
            if not self.decoder.built:
                self.decoder.build((None, None, self.units))
            states = self.decoder.embedding(source, training=training)
            for layer in self.encoder:
                states = layer(states, mask, training=training)
            return self.decoder.remember(self.encoder_norm(states), mask)
        if not self.decoder.built:
            self.decoder.build((None, None, self.units if self.attention in _AS_WIDE else 2 * self.units))
        states = self.decoder.embedding(source)
        for layer in self.encoder:
            states = layer(self.drop_source(states, training=training), mask=mask, training=training)
        summary = self.last_state(states, mask=mask)
        if self.attention in _AS_WIDE:
            states, summary = (tf.add(*tf.split(each, 2, axis=-1)) for each in (states, summary))
        return self.decoder.remember(self.drop_source(states, training=training), mask, summary)

    def translate(self, source: tf.Tensor) -> Decoded:
        """`<int32>[batch, positions]`, the end token included -> the best hypotheses, best first."""
        limit = self._target_limit(tf.shape(source)[1])
        # Whatever stands beside a text, it has the steps that it would have alone.
        lengths = tf.reduce_sum(tf.cast(source != 0, tf.int32), axis=1)
        constants = self.read(source)
        return decode(
            self.decoder.step,
            self.decoder.initial_state(constants, limit),
            constants,
            batch=tf.shape(source)[0],
            start=self.tokens.start,
            end=self.tokens.end,
            max_length=limit,
            limits=self._target_limit(length_that_holds(lengths, self.lengths)),
            beams=self.beams,
            length_penalty=self.length_penalty,
            banned=self.tokens.unproducible,
        )

    @staticmethod
    def _target_limit(source_length: tf.Tensor | int) -> tf.Tensor | int:
        return 2 * source_length

    # Training.

    def compile(
        self,
        learning_rate: float = 2e-3,
        warmup_steps: int = 500,
        label_smoothing: float = 0.1,
        clip_norm: float = 1.0,
        averaging: float = 0.0,
        xla: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Adam (0.9, 0.98), its learning rate rising to a peak and falling with the inverse square root of the step.

        Args:
            learning_rate: at the peak.
            warmup_steps: when it is reached; 0 for a constant learning rate.
            label_smoothing: probability given to all tokens alike.
            clip_norm: the greatest norm of the gradient.
            averaging: momentum of the moving average of the weights that is evaluated and saved; 0 for none.
            xla: compile losses and gradients.
            steps_per_execution: training steps in one call of the graph.
        """
        self.label_smoothing = label_smoothing
        check_range(self, ("label_smoothing",), at_least=0, below=1)
        schedule = InverseSquareRoot(learning_rate, warmup_steps)
        super().compile(
            FusedAdam(schedule, beta_2=0.98, **moving_average(averaging)),
            ["loss", "accuracy"],
            xla=xla,
            clip_norm=clip_norm,
            steps_per_execution=steps_per_execution,
        )

    def losses_and_gradients(self, batch: Tensors, tokens: tf.Tensor) -> tuple[Tensors, list[tf.Tensor]]:
        """Smoothed losses and hits by token, and the gradients of the losses' sum, divided by the number of tokens."""
        with tf.GradientTape() as tape:
            losses, hits = token_cross_entropy(self(batch, training=True), batch["target"], self.label_smoothing)
            loss = tf.reduce_sum(losses) / tokens
        # Dense, since sums across replicas and compiled functions are; Adam would make them dense anyway.
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, self.trainable_variables)]
        return {"loss": losses, "accuracy": hits}, gradients

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """One step of Adam on the mean over the tokens of all replicas."""
        tokens = self.global_sum(tf.cast(batch["target"] != 0, tf.float32))
        by_token, gradients = self.accelerate(self.losses_and_gradients)(batch, tokens)
        self.apply_gradients(self.optimizer, gradients, self.trainable_variables)
        return self.track(by_token, tf.cast(batch["target"] != 0, tf.float32))

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """Loss, without smoothing, and accuracy of a batch, dropout off."""
        losses, hits = token_cross_entropy(self(batch, training=False), batch["target"])
        return self.track({"loss": losses, "accuracy": hits}, tf.cast(batch["target"] != 0, tf.float32))

    def measure(self, examples: tf.data.Dataset, batch_size: int = 64) -> dict[str, Any]:
        """BLEU and chrF of the served translations, also by sentence length, and the `answers`."""
        pairs = [(row["source"].decode(), row["target"].decode()) for row in examples.as_numpy_iterator()]
        sources, references = map(list, zip(*pairs, strict=True))
        texts, scores = self._translate_all(sources, batch_size)
        answers = [
            {"source": source, "reference": reference, "translation": text, "score": score}
            for source, reference, text, score in zip(sources, references, texts, scores, strict=True)
        ]
        return translation_report(texts, references, sources) | {"answers": answers}

    def _translate_all(self, sources: Sequence[str], batch_size: int) -> tuple[list[str], list[float | None]]:
        """Sentences of like length together; one that is too long or empty gets an empty translation."""
        lengths = self.tokens.tokenize(tf.constant(sources)).row_lengths().numpy()
        if too_long := int(np.sum(lengths >= self.max_length)):
            logger.warning(
                "%d of %d sentences have more than the %d tokens that are read; they count as not translated",
                too_long,
                len(sources),
                self.max_length - 1,
            )
        texts, scores = [""] * len(sources), [None] * len(sources)
        order = [
            int(index)
            for index in np.argsort(lengths, kind="stable")
            if sources[index].strip() and 0 < lengths[index] < self.max_length
        ]
        batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
        for some in told(batches, "translating: batch", len(batches)):
            answer = self.serve(text=[sources[index] for index in some])
            for index, text, score in zip(some, answer["text"].numpy(), answer["score"].numpy(), strict=True):
                texts[index], scores[index] = text.decode("utf-8", "replace"), float(score)
        return texts, scores

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """`serving_default`: the best translation; `n_best`: all of the beam; `explain`: the attention."""
        inputs = {"text": tf.TensorSpec([None], tf.string, name="text")}
        examples = [{"text": text} for text in self._of_all_lengths()]

        def signature(core: Any, encode: Any) -> Signature:
            return Signature(inputs, self._decode, core, encode, examples)

        answers = {"serving_default": signature(self._search, self._best), "n_best": signature(self._search, self._all)}
        if self.architecture == "transformer" or self.attention != "none":
            answers["explain"] = signature(self._search_and_attend, self._explain)
        return answers

    def _of_all_lengths(self) -> list[str]:
        """Texts of as many tokens, the end token included: a common word that is one, over and over."""
        ids = np.arange(self.tokens.size, dtype=np.int32)
        pieces = [piece.decode() for piece in self.tokens.pieces(tf.constant(ids)).numpy()]
        begun = [piece[1:] for piece in pieces if piece.startswith("▁") and piece != "▁"]
        words = sorted([*begun, "a"], key=lambda word: not word.isalpha())[:_TRIED_WORDS]
        # A piece that begins a word need not be one: signs above letters stand alone, and so may what follows them.
        times = 8
        tokens = self.tokens.tokenize(tf.constant([" ".join([word] * times) for word in words])).row_lengths().numpy()
        word = words[np.argmin(tokens)]
        return [" ".join([word] * max((length - 1) * times // tokens.min(), 1)) for length in self.lengths]

    def _decode(self, inputs: Tensors) -> Tensors:
        text = inputs["text"]
        steps = tf.cast(self.tokens.tokenize(text).row_lengths(), tf.int32)
        checks = [
            check_each(tf.strings.length(tf.strings.strip(text)) > 0, "text {} of the request is empty"),
            check_each(
                steps < self.max_length,
                f"text {{}} of the request has more than the {self.max_length - 1} tokens that are read",
            ),
        ]
        with tf.control_dependencies(checks):
            return {"source": pad_to_lengths(self._encode(text), self.lengths)}

    def _search(self, inputs: Tensors) -> Tensors:
        found = self.translate(inputs["source"])
        return {"hypotheses": found.tokens, "scores": found.scores}

    def _best(self, outputs: Tensors) -> Tensors:
        return {"text": self.tokens.detokenize(outputs["hypotheses"][:, 0]), "score": outputs["scores"][:, 0]}

    def _all(self, outputs: Tensors) -> Tensors:
        """`texts` and `scores`, `[batch, beams]`, best first."""
        hypotheses = outputs["hypotheses"]
        shape = tf.shape(hypotheses)
        texts = self.tokens.detokenize(tf.reshape(hypotheses, [-1, shape[2]]))
        return {"texts": tf.reshape(texts, shape[:2]), "scores": outputs["scores"]}

    def _search_and_attend(self, inputs: Tensors) -> Tensors:
        best = self.translate(inputs["source"]).tokens[:, 0]
        _, weights = self.force(inputs | {"target": best})
        return {"source": inputs["source"], "target": best, "weights": weights}

    def _explain(self, outputs: Tensors) -> Tensors:
        """Pieces of source and translation, "" beyond the end of each, and the weights of the one for the other."""
        source, target = outputs["source"], outputs["target"]
        steps, positions = (
            tf.reduce_max(tf.reduce_sum(tf.cast(tokens != 0, tf.int32), axis=1)) for tokens in (target, source)
        )
        return {
            "source_tokens": self.tokens.pieces(source[:, :positions]),
            "tokens": self.tokens.pieces(target[:, :steps]),
            "weights": outputs["weights"][:, :steps, :positions],
        }


def _texts(examples: tf.data.Dataset) -> Iterator[str]:
    for row in examples.as_numpy_iterator():
        yield row["source"].decode()
        yield row["target"].decode()
