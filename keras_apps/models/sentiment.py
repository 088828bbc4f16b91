"""Sentiment classification: a recurrent reader of text, with an n-gram branch beside it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.special import softmax

from keras_apps.errors import UserError, check_choices, check_range, shortened
from keras_apps.layers.ngrams import NaiveBayesNGrams
from keras_apps.layers.optimizers import FusedAdam, moving_average
from keras_apps.layers.recurrent import Cell, Pooling, SequencePooling, recurrent_layer
from keras_apps.layers.requests import check_each
from keras_apps.layers.text import (
    WordTokenizer,
    hashed_ngrams,
    learn_vocabulary,
    pad_to_lengths,
    split_words,
    to_length,
)
from keras_apps.metrics.calibration import LEAST_SCALE, fit_scales
from keras_apps.metrics.classification import classification_report
from keras_apps.models.servable import ServableModel, Signature, Tensors
from keras_apps.progress import told

logger = logging.getLogger(__name__)


@keras.saving.register_keras_serializable(package="keras_apps")
class SentimentClassifier(ServableModel):
    """Text to one of two or more classes, with calibrated probabilities.

    Words -> embedding -> recurrent encoder -> pooling -> logits. With `ngram_buckets`, the logits of a naive-Bayes
    weighted linear model of n-grams are added (`layers.ngrams`). Each branch is trained by its own cross-entropy, so
    that the one that fits first does not silence the other; how much each counts in the sum is fitted on validation
    data (`calibrate`), which for a single branch is temperature scaling (Guo 2017, https://arxiv.org/abs/1706.04599).

    Args:
        cell: `rnn`, `lstm` or `gru`.
        units: of the recurrent layers, in each direction.
        depth: how many recurrent layers, one above the other.
        bidirectional: read the text both ways.
        pooling: `last`, `mean`, `max` or `attention` over the states.
        embedding_dim: of the words.
        vocabulary_size: how many words to learn at the most.
        max_length: words read of a text at the most; the rest is left out.
        training_window: words that the recurrent layers see of a longer text in training, another part in every epoch;
            0 for all.
        word_dropout: share of the words left out whole in training (Iyyer 2015).
        embedding_dropout: share of the embedding's dimensions left out for a whole text.
        dropout: of the recurrent layers' inputs, beyond the first, and of the pooled vector.
        ngram_buckets: size of the hash table of the n-gram branch; 0 for no such branch.
        ngram_order: words in its longest n-gram.
        ngram_dropout: share of a text's n-grams left out in training.
        seed: of the initial weights and the dropout.
        vocabulary: learned by `adapt` unless given; most frequent first.
        class_names: learned by `adapt` unless given.
    """

    monitor = ("val_accuracy", "max")
    # Measured: recurrent loops are fastest uncompiled in float32 on a CPU; on a GPU cuDNN's kernels need no XLA.
    precision = {"cpu": "float32", "gpu": "mixed_bfloat16"}
    xla_pays = {"cpu": False, "gpu": False}
    bucket_boundaries = (
        8,
        12,
        16,
        20,
        24,
        28,
        32,
        40,
        48,
        56,
        64,
        80,
        96,
        112,
        128,
        160,
        192,
        224,
        256,
        320,
        384,
        512,
        640,
        800,
    )

    def __init__(
        self,
        cell: Cell = "lstm",
        units: int = 64,
        depth: int = 1,
        bidirectional: bool = True,
        pooling: Pooling = "attention",
        embedding_dim: int = 64,
        vocabulary_size: int = 20_000,
        max_length: int = 400,
        training_window: int = 0,
        word_dropout: float = 0.2,
        embedding_dropout: float = 0.2,
        dropout: float = 0.3,
        ngram_buckets: int = 0,
        ngram_order: int = 2,
        ngram_dropout: float = 0.3,
        seed: int = 0,
        vocabulary: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.cell = cell
        self.units = units
        self.depth = depth
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.embedding_dim = embedding_dim
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.training_window = training_window
        self.word_dropout = word_dropout
        self.embedding_dropout = embedding_dropout
        self.dropout = dropout
        self.ngram_buckets = ngram_buckets
        self.ngram_order = ngram_order
        self.ngram_dropout = ngram_dropout
        self.seed = seed
        self.vocabulary = vocabulary
        self.class_names = class_names
        sizes = ("units", "depth", "embedding_dim", "vocabulary_size", "max_length", "ngram_order")
        check_choices(self, SentimentClassifier.__init__)
        check_range(self, sizes, at_least=1)
        check_range(self, ("training_window", "ngram_buckets"), at_least=0)
        if ngram_buckets == 1:
            raise UserError("ngram_buckets must be 0 for no n-grams, or at least 2; received 1")
        rates = ("word_dropout", "embedding_dropout", "dropout", "ngram_dropout")
        check_range(self, rates, at_least=0, below=1)
        if vocabulary is not None and class_names is not None:
            self._build_network()

    def _build_network(self) -> None:
        dtype = self.dtype_policy
        classes = len(self.class_names)
        # Lengths that serving pads to, for few static shapes; training pads to the longest text of a batch.
        self.lengths = [length for length in (32, 64, 128, 256, 512) if length < self.max_length] + [self.max_length]
        self.tokenizer = WordTokenizer(self.vocabulary, name="tokenizer", dtype=dtype)
        self.embedding = keras.layers.Embedding(
            self.tokenizer.size,
            self.embedding_dim,
            embeddings_initializer=keras.initializers.RandomUniform(-0.05, 0.05, seed=self.seed),
            name="embedding",
            dtype=dtype,
        )
        self.drop_words = keras.layers.Dropout(
            self.word_dropout, noise_shape=(None, None, 1), seed=self.seed + 1, dtype=dtype
        )
        self.drop_dimensions = keras.layers.SpatialDropout1D(self.embedding_dropout, seed=self.seed + 2, dtype=dtype)
        self.encoder = [
            recurrent_layer(
                self.cell,
                self.units,
                bidirectional=self.bidirectional,
                dropout=self.dropout if level else 0.0,
                seed=self.seed + 10 * (level + 1),
                name=f"encoder_{level}",
                dtype=dtype,
            )
            for level in range(self.depth)
        ]
        self.pool = SequencePooling(self.pooling, self.bidirectional, seed=self.seed + 3, name="pooling", dtype=dtype)
        self.drop_features = keras.layers.Dropout(self.dropout, seed=self.seed + 4, dtype=dtype)
        # Logits in float32: a sum over branches, and what REST carries.
        self.head = keras.layers.Dense(
            classes, kernel_initializer=keras.initializers.GlorotUniform(self.seed + 5), name="head", dtype="float32"
        )
        self.ngrams = None
        if self.ngram_buckets:
            self.ngrams = NaiveBayesNGrams(
                self.ngram_buckets,
                classes,
                dropout=self.ngram_dropout,
                seed=self.seed + 6,
                name="ngrams",
                dtype="float32",
            )
        self.branch_scales = self.add_weight(
            name="branch_scales",
            shape=(2 if self.ngrams else 1,),
            initializer="ones",
            trainable=False,
            dtype="float32",
            autocast=False,
        )
        self(
            {
                name: keras.Input((None,), dtype="int32", name=name)
                for name in ("tokens", "ngrams")[: 2 if self.ngrams else 1]
            }
        )

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Learns the vocabulary, the class names and the n-grams' naive-Bayes ratios, where not given, and builds."""
        batches = examples.batch(512).prefetch(2)
        if self.class_names is None:
            self.class_names = sorted(_classes(batches), key=_natural)
        if self.vocabulary is None:
            self.vocabulary = learn_vocabulary(batches.map(lambda batch: batch["text"]), self.vocabulary_size)
        if not self.built:
            self._build_network()
        if self.ngrams:
            grams = batches.map(
                lambda batch: (self._encode(batch["text"])["ngrams"].to_tensor(), self._index(batch["label"])),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            self.ngrams.set_ratios(grams.as_numpy_iterator())

    def config_for(self, examples: tf.data.Dataset) -> dict:
        """Keeps the vocabulary; keeps the class names, and with them the head, where they cover the new labels."""
        config = self.get_config()
        if not _classes(examples.batch(512)) <= set(self.class_names):
            config["class_names"] = None
        return config

    def inherit(self, other: ServableModel, skip: Sequence[str] = ()) -> tuple[int, int]:
        """Copies the weights that fit; a head for other classes starts afresh.

        N-grams that the other model has not seen keep their ratios, without which they would never count.
        """
        same = list(self.class_names) == list(other.class_names)
        own = keras.ops.convert_to_numpy(self.ngrams.ratios) if self.ngrams else None
        found = super().inherit(other, skip if same else (*skip, "head", "ngrams", "branch_scales"))
        if self.ngrams:
            ratios = keras.ops.convert_to_numpy(self.ngrams.ratios)
            self.ngrams.ratios.assign(np.where(ratios == 0, own, ratios))
        return found

    def prepare(self, example: Tensors) -> Tensors:
        """`text` and `label` -> `tokens`, `label` (an index; -1 for a class unknown to the model) and `ngrams`."""
        encoded = {name: rows[0] for name, rows in self._encode(example["text"][None]).items()}
        # A text without a word has one step of padding: recurrent layers can't do with none.
        encoded["tokens"] = tf.pad(encoded["tokens"], [[0, tf.cast(tf.size(encoded["tokens"]) == 0, tf.int32)]])
        return encoded | {"label": self._index(example["label"])}

    def _index(self, label: tf.Tensor) -> tf.Tensor:
        matches = tf.cast(label[..., None] == tf.constant(list(self.class_names)), tf.int32)
        return tf.where(tf.reduce_any(matches > 0, axis=-1), tf.argmax(matches, axis=-1, output_type=tf.int32), -1)

    def augment(self, example: Tensors, seed: tf.Tensor) -> Tensors:
        """A part of a text longer than `training_window`, at a random place."""
        if not self.training_window:
            return example
        tokens = example["tokens"]
        spare = tf.maximum(tf.shape(tokens)[0] - self.training_window, 0)
        start = tf.random.stateless_uniform([], seed, maxval=spare + 1, dtype=tf.int32)
        return example | {"tokens": tokens[start : start + self.training_window]}

    def length(self, example: Tensors) -> tf.Tensor:
        """The number of words that are read."""
        return tf.shape(example["tokens"])[0]

    def batches(
        self, examples: tf.data.Dataset, batch_size: int, training: bool, seed: int | tf.Tensor = 0
    ) -> tf.data.Dataset:
        """Texts of like length together; padded to few lengths where XLA compiles for each shape."""
        batches = super().batches(examples, batch_size, training, seed)
        if training and self.xla:
            batches = batches.map(self._pad_batch, tf.data.AUTOTUNE)
        return batches

    def _pad_batch(self, batch: Tensors) -> Tensors:
        ragged = {name: tf.RaggedTensor.from_tensor(batch[name], padding=0) for name in batch if name != "label"}
        return self._pad(ragged) | {"label": batch["label"]}

    def _encode(self, texts: tf.Tensor) -> dict[str, tf.RaggedTensor]:
        words = split_words(texts)[:, : self.max_length]
        encoded = {"tokens": self.tokenizer.ids(words)}
        if self.ngrams:
            encoded["ngrams"] = hashed_ngrams(words, self.ngram_order, self.ngram_buckets)
        return encoded

    def _pad(self, encoded: dict[str, tf.RaggedTensor]) -> Tensors:
        tokens = pad_to_lengths(encoded["tokens"], self.lengths)
        padded = {"tokens": tokens}
        if self.ngrams:
            # A whole text has no more n-grams than that, so that there are no more shapes than lengths; a text of
            # which training sees a part of the words has.
            lengths = [self.ngram_order * length for length in self.lengths]
            padded["ngrams"] = pad_to_lengths(
                encoded["ngrams"], lengths, at_least=self.ngram_order * tf.shape(tokens)[1]
            )
        return padded

    # The network.

    def call(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """`tokens` `<int32>[batch, steps]` and `ngrams` -> logits `<float32>[batch, classes]`."""
        return self.mix(self.branch_logits(inputs, training=training))

    def branch_logits(self, inputs: Tensors, training: bool = False) -> list[tf.Tensor]:
        """The logits of each branch, `<float32>[batch, classes]`, the recurrent one first."""
        states, mask = self.read(inputs["tokens"], training)
        logits = [self.head(self.drop_features(self.pool(states, mask=mask), training=training))]
        if self.ngrams:
            logits.append(self.ngrams(inputs["ngrams"], training=training))
        return logits

    def mix(self, logits: Sequence[tf.Tensor]) -> tf.Tensor:
        """The sum of the branches' logits, each as much as `calibrate` found right."""
        return sum(scale * each for scale, each in zip(tf.unstack(self.branch_scales.value), logits, strict=True))

    def read(self, tokens: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """The encoder's states `<float>[batch, steps, units]` and the mask of what is no padding."""
        mask = keras.ops.not_equal(tokens, 0)
        states = self.drop_dimensions(self.drop_words(self.embedding(tokens), training=training), training=training)
        # cuDNN takes no text of which nothing is read.
        is_read = keras.ops.concatenate([keras.ops.ones_like(mask[:, :1]), mask[:, 1:]], axis=1)
        for layer in self.encoder:
            states = layer(states, mask=is_read, training=training)
        return states, mask

    # Training.

    def compile(
        self,
        learning_rate: float = 2e-3,
        clip_norm: float = 1.0,
        averaging: float = 0.0,
        freeze_encoder: bool = False,
        xla: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Adam, with the gradient's norm clipped.

        Args:
            learning_rate: of Adam.
            clip_norm: the greatest norm of the gradient.
            averaging: momentum of the moving average of the weights that is evaluated and saved; 0 for none.
            freeze_encoder: keep the embedding and the recurrent layers as they are.
            xla: compile losses and gradients.
            steps_per_execution: training steps in one call of the graph.
        """
        for layer in (self.embedding, *self.encoder):
            layer.trainable = not freeze_encoder
        super().compile(
            FusedAdam(learning_rate, **moving_average(averaging)),
            ["loss", "accuracy"],
            xla=xla,
            clip_norm=clip_norm,
            steps_per_execution=steps_per_execution,
        )

    def losses_and_gradients(self, batch: Tensors) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The branches' logits, and the gradients of the sum of their mean cross-entropies."""
        with tf.GradientTape() as tape:
            logits = self.branch_logits(batch, training=True)
            loss = self.replica_mean(sum(_cross_entropy(batch["label"], each) for each in logits))
        # Dense, since sums across replicas and compiled functions are; Adam would make them dense anyway.
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, self.trainable_variables)]
        return logits, gradients

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """One step of Adam on the sum of the branches' cross-entropies."""
        logits, gradients = self.accelerate(self.losses_and_gradients)(batch)
        self.apply_gradients(self.optimizer, gradients, self.trainable_variables, batch)
        return self._reported(batch, logits)

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """Loss and accuracy of a batch, dropout off."""
        return self._reported(batch, self.branch_logits(batch))

    def _reported(self, batch: Tensors, logits: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        # By the plain sum: how another model was calibrated that this one goes on from says nothing of what it learns.
        logits = tf.add_n(logits)
        # A class that only validation examples have is left out here, and refused by `measure`.
        known = tf.cast(batch["label"] >= 0, tf.float32)
        labels = tf.maximum(batch["label"], 0)
        hits = tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels
        return self.track({"loss": _cross_entropy(labels, logits), "accuracy": tf.cast(hits, tf.float32)}, known)

    def calibrate(self, examples: tf.data.Dataset, batch_size: int = 64) -> bool:
        """Fits how much each branch counts, and so the temperature, by the log loss of validation data."""
        logits, labels = self._logits_and_labels(examples, batch_size)
        is_known = labels >= 0
        if not is_known.any():
            return False
        scales = fit_scales(logits[:, is_known], labels[is_known])
        if scales.max() <= LEAST_SCALE:
            logger.warning(
                "%d validation examples find no use in what was learned: classes are told, with probabilities hardly "
                "more than even; give more examples",
                is_known.sum(),
            )
        self.branch_scales.assign(scales)
        return True

    def measure(self, examples: tf.data.Dataset, batch_size: int = 64) -> dict[str, Any]:
        """Accuracy (also of each branch), macro F1, ROC AUC, log loss, calibration error and confusion matrix.

        Raises:
            UserError: where an example has a class that the model does not know.
        """
        logits, labels = self._logits_and_labels(examples, batch_size)
        unknown = int((labels < 0).sum())
        if unknown:
            labels_given = examples.map(lambda each: each["label"]).as_numpy_iterator()
            names = {label.decode("utf-8", "replace") for label in labels_given}
            others = shortened(", ".join(sorted(names - set(self.class_names))), 100)
            raise UserError(
                f"{unknown} of {len(labels)} examples have a class that the model does not know: {others}; it knows "
                f"{', '.join(self.class_names)}; train --init_from fine-tunes it on others"
            )
        mixed = np.tensordot(self.branch_scales.numpy(), logits, axes=1)
        report = classification_report(softmax(mixed.astype(np.float64), axis=-1), labels, list(self.class_names))
        if self.ngrams:
            alone = (logits.argmax(-1) == labels).mean(-1)
            report |= {"recurrent_branch_accuracy": float(alone[0]), "ngram_branch_accuracy": float(alone[1])}
        return report

    def _logits_and_labels(self, examples: tf.data.Dataset, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """`<float>[branches, examples, classes]` and `<int>[examples]`, of raw examples."""
        prepared = examples.map(self.prepare, tf.data.AUTOTUNE)
        branch_logits = tf.function(self.branch_logits, reduce_retracing=True, autograph=False)
        logits, labels = [], []
        batches = self.batches(prepared, batch_size, training=False)
        for batch in told(batches, "measuring: batch", int(batches.cardinality())):
            logits.append(np.stack([each.numpy() for each in branch_logits(batch)]))
            labels.append(batch["label"].numpy())
        return np.concatenate(logits, axis=1), np.concatenate(labels)

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """`serving_default`, and `explain` where the pooling is attention."""
        examples = [{"text": " ".join(["great"] * length)} for length in self.lengths]
        examples[0] = {"text": "A great cast, but a dull film."}
        inputs = {"text": tf.TensorSpec([None], tf.string, name="text")}
        answers = {"serving_default": Signature(inputs, self._decode, self._classify, self._name_class, examples)}
        if self.pooling == "attention":
            answers["explain"] = Signature(inputs, self._decode_with_words, self._attend, self._explain, examples)
        return answers

    def _decode(self, inputs: Tensors) -> Tensors:
        return self._pad(self._encode(_checked(inputs["text"])))

    def _classify(self, inputs: Tensors) -> Tensors:
        return {"probabilities": tf.nn.softmax(self(inputs, training=False))}

    def _name_class(self, outputs: Tensors) -> Tensors:
        probabilities = outputs["probabilities"]
        label = tf.gather(tf.constant(list(self.class_names)), tf.argmax(probabilities, axis=-1))
        return {"label": label, "score": tf.reduce_max(probabilities, axis=-1), "probabilities": probabilities}

    def _decode_with_words(self, inputs: Tensors) -> Tensors:
        words = split_words(_checked(inputs["text"]))[:, : self.max_length]
        tokens = pad_to_lengths(self.tokenizer.ids(words), self.lengths)
        return {"tokens": tokens, "words": to_length(words, tf.shape(tokens)[1])}

    def _attend(self, inputs: Tensors) -> Tensors:
        states, mask = self.read(inputs["tokens"], training=False)
        return {"weights": tf.cast(self.pool.weights_of_steps(states, mask), tf.float32)}

    def _explain(self, outputs: Tensors) -> Tensors:
        """The words, "" beyond a text's end, and the weight of each; as wide as the longest text."""
        longest = tf.reduce_max(tf.reduce_sum(tf.cast(outputs["words"] != "", tf.int32), axis=1))
        return {"tokens": outputs["words"][:, :longest], "weights": outputs["weights"][:, :longest]}


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _checked(texts: tf.Tensor) -> tf.Tensor:
    is_there = tf.strings.length(tf.strings.strip(texts)) > 0
    with tf.control_dependencies([check_each(is_there, "text {} of the request is empty")]):
        return tf.identity(texts)


def _classes(batches: tf.data.Dataset) -> set[str]:
    """The classes of examples to train on, which must be two or more."""
    classes = {label.decode() for batch in batches for label in batch["label"].numpy()}
    if len(classes) < 2:
        raise UserError(f"the examples to train on have one class only ({', '.join(classes)}); two are needed")
    return classes


def _natural(name: str) -> tuple[int, float, str]:
    """Sorts class names that are numbers by value, before those that are not."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name
