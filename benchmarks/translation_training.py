"""How fast translators learn: `python -m benchmarks.translation_training --data PREFIX`.

The GRU with attention that one copies from TensorFlow's tutorial, and Translator through the real pipeline, on the same
sentences cut into the same tokens. Both are trained in one process by the compiled step that Keras's `fit` calls, some
steps of the one and some of the other in turn. The first table is of their steps, the second of their input pipelines.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import simple_parsing
import tensorflow as tf

from apps.translation import CompileFlags, DataFlags, ModelFlags
from benchmarks import timing
from benchmarks.machine_peak import matmul_peak
from keras_apps.data import translation
from keras_apps.errors import UserError
from keras_apps.layers.tokenizers import SpacedWordTokenizer, SubwordTokenizer
from keras_apps.models.translation import Translator
from keras_apps.training import hardware, pipeline

# More than any run here has.
MAX_EPOCHS = 10_000


def weight_flops(source_entries: int, target_entries: int, source_steps: int, target_steps: int) -> int:
    """Operations in the products with weights of a training step, all else (scores, gates, optimizer) left out.

    Each entry of a matrix costs a multiplication and an addition at each step, and training costs 3 times the forward
    pass: there is one more product for the gradient of either factor.

    Args:
        source_entries: of the matrices that the steps of the source are multiplied with.
        target_entries: of those of the target, logits included.
        source_steps: of all sentences together, padding included where it is computed.
        target_steps: likewise.
    """
    return 3 * 2 * (source_entries * source_steps + target_entries * target_steps)


def matrix_entries(layers: Iterable[keras.layers.Layer], without: Sequence[str] = ()) -> int:
    """Numbers in the layers' matrices; a GRU has a bias of rank 2, which is none.

    Args:
        layers: whose weights to count, each once.
        without: parts of paths of weights to leave out.
    """
    weights = {weight.path: weight for layer in layers for weight in layer.trainable_weights}
    return sum(
        int(np.prod(weight.shape))
        for path, weight in weights.items()
        if len(weight.shape) > 1 and not any(part in path for part in ("bias", *without))
    )


@dataclasses.dataclass(frozen=True)
class Work:
    """What is in a batch, or in several.

    Args:
        pairs: of sentences.
        tokens: of the targets, the end included and padding left out.
        source_steps: padding included.
        target_steps: padding included.
    """

    pairs: int = 0
    tokens: int = 0
    source_steps: int = 0
    target_steps: int = 0

    @classmethod
    def of(cls, source: np.ndarray, target: np.ndarray) -> Work:
        """A batch of sources and of targets, `<int>[batch, steps]`, 0 for padding."""
        return cls(len(target), int(np.count_nonzero(target)), source.size, target.size)

    def __add__(self, other: Work) -> Work:
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Work(*(a + b for a, b in zip(mine, theirs, strict=True)))


class Contender(Protocol):
    """A fresh model with its data.

    Attributes:
        name: a heading.
        settings: what it is, in a line.
        model: compiled.
        steps_per_epoch: how many batches an epoch has.
    """

    name: str
    settings: str
    model: keras.Model
    steps_per_epoch: int

    def batches(self) -> tf.data.Dataset:
        """What the model is trained on, without end; the same at every call."""

    def work(self, batch: Any) -> Work:
        """What one of those batches holds."""

    def flops(self, work: Work) -> int:
        """Of training on it (`weight_flops`)."""


class PlainAttention:
    """The public example: GRUs of 256 units and one head of attention, batches of 64 as they come.

    https://www.tensorflow.org/text/tutorials/nmt_with_attention

    Args:
        examples: raw training examples.
        tokens: what sentences are cut by; its size is that of both embeddings and of the softmax.
        max_length: of a sentence, as Translator's.
        seed: of weights and batches.
        units: of everything.
        batch_size: pairs in a step.
    """

    name = "plain Keras GRU with attention"

    def __init__(
        self,
        examples: tf.data.Dataset,
        tokens: SpacedWordTokenizer | SubwordTokenizer,
        max_length: int,
        seed: int,
        units: int = 256,
        batch_size: int = 64,
    ):
        keras.utils.set_random_seed(seed + 1)
        self.examples = examples
        self.tokens = tokens
        self.max_length = max_length
        self.seed = seed
        self.batch_size = batch_size
        self.steps_per_epoch = -(-int(examples.cardinality()) // batch_size)

        def gru() -> keras.layers.GRU:
            return keras.layers.GRU(units, return_sequences=True, recurrent_initializer="glorot_uniform")

        source = keras.Input((None,), dtype="int32")
        encoder = keras.layers.Bidirectional(gru(), merge_mode="sum")
        context = encoder(keras.layers.Embedding(tokens.size, units, mask_zero=True)(source))
        before = keras.Input((None,), dtype="int32")
        decoder = [gru(), keras.layers.MultiHeadAttention(1, units), keras.layers.Dense(tokens.size)]
        x = decoder[0](keras.layers.Embedding(tokens.size, units, mask_zero=True)(before))
        x = keras.layers.LayerNormalization()(keras.layers.add([x, decoder[1](query=x, value=context)]))
        self.model = keras.Model([source, before], decoder[2](x))
        self.model.compile(optimizer="adam", loss=masked_loss, metrics=[masked_accuracy, masked_loss])
        self._entries = matrix_entries([encoder]), matrix_entries(decoder)
        self.settings = f"GRU({units}), {tokens.size} tokens, batch {batch_size} as they come, padded per batch"

    def batches(self) -> tf.data.Dataset:
        """As in the example: shuffled, batched, and tokenised in every epoch."""
        shuffled = self.examples.shuffle(max(1, int(self.examples.cardinality())), seed=self.seed + 1)
        return shuffled.batch(self.batch_size).map(self._tokenize, tf.data.AUTOTUNE).repeat().prefetch(tf.data.AUTOTUNE)

    def _tokenize(self, texts: dict[str, tf.Tensor]) -> tuple:
        source, target = (self._with_end(texts[side]) for side in ("source", "target"))
        before = tf.concat([tf.fill([tf.shape(target)[0], 1], self.tokens.start), target[:, :-1]], axis=1)
        return (source, before), target

    def _with_end(self, texts: tf.Tensor) -> tf.Tensor:
        tokens = self.tokens.tokenize(texts)[:, : self.max_length - 1]
        ends = tf.RaggedTensor.from_tensor(
            tf.fill([tf.shape(texts)[0], 1], self.tokens.end), row_splits_dtype=tokens.row_splits.dtype
        )
        return tf.concat([tokens, ends], axis=1).to_tensor()

    def work(self, batch: tuple) -> Work:
        """Of ((source, before), target)."""
        (source, _), target = batch
        return Work.of(source, target)

    def flops(self, work: Work) -> int:
        """The keys and values of the attention are taken for the target's, which is about as long."""
        return weight_flops(*self._entries, work.source_steps, work.target_steps)


class Ours:
    """Translator, prepared and fed by the pieces that the apps use."""

    name = "Translator"

    def __init__(
        self,
        examples: tf.data.Dataset,
        seed: int,
        batch_size: int,
        model_flags: dict[str, Any],
        compile_flags: dict[str, Any],
    ):
        keras.utils.set_random_seed(seed + 1)
        self.examples = examples
        self.seed = seed
        self.batch_size = batch_size
        dtype = hardware.choose_precision("auto", Translator)
        self.model = Translator(**model_flags, seed=seed, dtype=dtype)
        self.model.adapt(examples)
        self.model.compile(**compile_flags, xla=hardware.choose_xla("auto", Translator))
        self.forget()
        self.steps_per_epoch = pipeline.count_steps(self.model.batches(self.prepared, batch_size, training=True), 0)
        self._entries = (
            matrix_entries(self.model.encoder),
            # The embedding gives the logits; the bridge is crossed once a sentence.
            matrix_entries([self.model.decoder], without=("bridge", "position")),
        )
        defaults = dataclasses.asdict(ModelFlags()) | dataclasses.asdict(CompileFlags())
        changed = [
            f"{name} {value}" for name, value in (model_flags | compile_flags).items() if defaults[name] != value
        ]
        self.settings = ", ".join(
            [
                f"{self.model.architecture} of {self.model.units} units",
                f"{self.model.tokens.size} tokens",
                f"about {batch_size * self.model.typical_length} steps of like length in a batch",
                *changed,
                "else its defaults",
            ]
        )

    def forget(self) -> None:
        """Begins with an empty cache."""
        self.prepared = pipeline.prepare(self.model, self.examples)

    def batches(self) -> tf.data.Dataset:
        """As `keras_apps.training.fit` has them."""
        return pipeline.epochs_of_batches(
            self.model,
            self.prepared,
            batch_size=self.batch_size,
            steps=self.steps_per_epoch,
            epochs=range(MAX_EPOCHS),
            phase=0,
            seed=self.seed,
        )

    def work(self, batch: dict[str, np.ndarray]) -> Work:
        """Of `source` and `target`."""
        return Work.of(batch["source"], batch["target"])

    def flops(self, work: Work) -> int:
        """The keys and values of the attention are taken for the target's, which is about as long."""
        return weight_flops(*self._entries, work.source_steps, work.target_steps)


def masked_loss(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The public example's: mean cross-entropy of the tokens that are no padding."""
    losses = keras.losses.sparse_categorical_crossentropy(target, logits, from_logits=True)
    inside = tf.cast(target != 0, losses.dtype)
    return tf.reduce_sum(losses * inside) / tf.reduce_sum(inside)


def masked_accuracy(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The public example's: share of the tokens that are the likeliest."""
    target = tf.cast(target, tf.int64)
    inside = tf.cast(target != 0, tf.float32)
    hits = tf.cast(tf.argmax(logits, axis=-1) == target, tf.float32)
    return tf.reduce_sum(hits * inside) / tf.reduce_sum(inside)


def rounds_of_steps(
    models: Sequence[keras.Model], batches: Sequence[tf.data.Dataset], *, warm_up: int, steps: int, rounds: int
) -> list[list[float]]:
    """Seconds of each round of training steps, the models' rounds in turn.

    Args:
        models: compiled.
        batches: of each model, in order, without end.
        warm_up: steps of each before the first round, which trace the graph and fill the buffers.
        steps: in a round.
        rounds: of each, at least 3.
    """

    def steps_of(model: keras.Model, batches: tf.data.Dataset) -> Callable[[int], None]:
        model.make_train_function()
        iterator = iter(batches)

        def train(steps: int) -> None:
            for _ in range(steps):
                model.train_function(iterator)

        return train

    trainers = [steps_of(*each) for each in zip(models, batches, strict=True)]
    for train in trainers:
        train(warm_up)
    calls = [lambda train=train: train(steps) for train in trainers]
    timings = timing.time_calls(calls, calls=rounds, seconds=float("inf"))
    return [list(each.seconds) for each in timings]


@dataclasses.dataclass(frozen=True)
class Measured:
    """A contender's rounds.

    Args:
        seconds: of each round.
        work: done in each.
        flops: done in each.
        steps: in each.
    """

    seconds: Sequence[float]
    work: Sequence[Work]
    flops: Sequence[int]
    steps: int

    def median_rate(self, done: Callable[[Work], float]) -> float:
        """Of what is done in a second."""
        return float(np.median([done(work) / taken for work, taken in zip(self.work, self.seconds, strict=True)]))

    @property
    def total(self) -> Work:
        """Of all rounds."""
        return sum(self.work, Work())


def measure(contenders: Sequence[Contender], *, warm_up: int, steps: int, rounds: int) -> list[Measured]:
    """Times the contenders' rounds in turn, and counts afterwards what was in their batches."""
    seconds = rounds_of_steps(
        [each.model for each in contenders],
        [each.batches() for each in contenders],
        warm_up=warm_up,
        steps=steps,
        rounds=rounds,
    )
    measured = []
    for contender, taken in zip(contenders, seconds, strict=True):
        batches = contender.batches().skip(warm_up).take(steps * len(taken)).as_numpy_iterator()
        works = [contender.work(batch) for batch in batches]
        by_round = [sum(works[begin : begin + steps], Work()) for begin in range(0, len(works), steps)]
        measured.append(Measured(taken, by_round, [contender.flops(work) for work in by_round], steps))
    return measured


def step_table(names: Sequence[str], measured: Sequence[Measured], peak: float) -> str:
    """Rows of measures, a column for each model, and the last to the first."""
    rows = []

    def add(measure: str, form: str, of: Callable[[Measured], float]) -> None:
        values = [of(each) for each in measured]
        rows.append([measure, *(format(value, form) for value in values)])
        rows[-1].append(f"{values[-1] / values[0]:.2f}" if values[0] else "")

    def gflops(each: Measured) -> float:
        return float(np.median(np.divide(each.flops, each.seconds))) / 1e9

    add("real target tokens/s, median", ",.0f", lambda m: m.median_rate(lambda work: work.tokens))
    add("real target tokens/s, all rounds", ",.0f", lambda m: m.total.tokens / sum(m.seconds))
    add("pairs/s, median", ",.0f", lambda m: m.median_rate(lambda work: work.pairs))
    add("ms per step, median", ".1f", lambda m: 1e3 * float(np.median(m.seconds)) / m.steps)
    add("real target tokens per step", ",.0f", lambda m: m.total.tokens / m.steps / len(m.seconds))
    add("padding, % of the target's steps", ".1f", lambda m: 100 * (1 - m.total.tokens / m.total.target_steps))
    add("GFLOP/s in products with weights", ".1f", gflops)
    add(f"% of this machine's {peak:.0f} GFLOP/s", ".1f", lambda m: 100 * gflops(m) / peak)
    return timing.table(["", *names, "ratio"], rows)


def pipeline_table(contenders: Sequence[Contender], measured: Sequence[Measured]) -> str:
    """Iterates over two epochs of batches with no model, those of Translator beginning with an empty cache."""
    rows = []
    for contender, steps in zip(contenders, measured, strict=True):
        if isinstance(contender, Ours):
            contender.forget()
        step_seconds = float(np.median(steps.seconds)) / steps.steps
        iterator = iter(contender.batches())
        for epoch in (1, 2):
            began = time.perf_counter()
            next(iterator)
            first = time.perf_counter() - began
            for _ in range(contender.steps_per_epoch - 1):
                next(iterator)
            each = (time.perf_counter() - began) / contender.steps_per_epoch
            rows.append(
                [f"{contender.name}, epoch {epoch}", f"{1e3 * first:.0f}", f"{1e3 * each:.2f}"]
                + [f"{each / step_seconds:.3f}"]
            )
    return timing.table(["input pipeline alone", "ms to first batch", "ms per batch", "of a training step"], rows)


def main() -> None:
    parser = simple_parsing.ArgumentParser(prog="benchmarks.translation_training", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="of each model, in turn")
    parser.add_argument("--steps", type=int, default=20, help="in a round")
    parser.add_argument("--warm_up", type=int, default=30, help="steps of each before")
    parser.add_argument("--batch_size", type=int, default=64, help="of Translator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_arguments(DataFlags, "data_flags")
    tutorial = ModelFlags(cell="gru", tokenizer="words", vocabulary_size=5_000)
    parser.add_arguments(ModelFlags, "model_flags", default=tutorial)
    parser.add_arguments(CompileFlags, "compile_flags")
    args = parser.parse_args()

    print(timing.machine(), end="\n\n")
    began = time.perf_counter()
    splits = translation.load(**dataclasses.asdict(args.data_flags))
    timing.progress(f"reading and splitting, the same for both and not counted: {time.perf_counter() - began:.1f} s")
    if splits.train is None:
        raise UserError("the data has no sentences to train on; see --data")
    ours = Ours(
        splits.train,
        args.seed,
        args.batch_size,
        dataclasses.asdict(args.model_flags),
        dataclasses.asdict(args.compile_flags),
    )
    contenders = [PlainAttention(splits.train, ours.model.tokens, ours.model.max_length, args.seed), ours]
    peak = matmul_peak("float32").gflops
    timing.progress(f"{args.rounds} rounds of {args.steps} steps of each")
    measured = measure(contenders, warm_up=args.warm_up, steps=args.steps, rounds=args.rounds)
    print(
        f"{int(splits.train.cardinality()):,} pairs to train on; {ours.model.tokenizer} are the tokens of both", end=""
    )
    print(f", {args.rounds} rounds of {args.steps} steps of each in turn.", end="\n\n")
    print(*(f"- {each.name}: {each.settings}" for each in contenders), sep="\n", end="\n\n")
    print(step_table([each.name for each in contenders], measured, peak), end="\n\n", flush=True)
    print(pipeline_table(contenders, measured))


if __name__ == "__main__":
    timing.run(main)
