"""How fast sentiment classifiers learn: `python -m benchmarks.sentiment_training --data PATH`.

The plain Keras BiLSTM that one copies from the public example, and SentimentClassifier through the real pipeline, one
after the other in one process, on the same training and validation texts. The first table is of their steps; the
second of the input pipeline alone; the third of the time until a validation accuracy is reached.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from apps.sentiment import CompileFlags, ModelFlags
from benchmarks import timing
from benchmarks.machine_peak import matmul_peak
from keras_apps.data import sentiment
from keras_apps.data.splits import Splits
from keras_apps.errors import UserError
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.training import hardware, pipeline

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
# Evaluating is not counted, so both do it in the batches that are done soonest.
EVALUATION_BATCH = 256
# More than any run here has.
MAX_EPOCHS = 10_000


def recurrent_flops(cell: str, inputs: int, units: int, directions: int, tokens: int, training: bool = True) -> int:
    """Operations in the matrix products of one recurrent layer, all else (gates, embedding, optimizer) left out.

    A step of one direction multiplies its input and its last state, `inputs + units` numbers, with a matrix of
    `gates * units` columns; each entry costs a multiplication and an addition:

        forward = 2 * tokens * directions * gates * units * (inputs + units)

    with 1, 4 or 3 gates for `rnn`, `lstm` or `gru`. Backward there is one product as large for the gradient of the
    left factor and one for that of the matrix, so that training costs 3 times as much.

    Args:
        cell: `rnn`, `lstm` or `gru`.
        inputs: size of the layer's input at a step.
        units: in each direction.
        directions: 2 if bidirectional.
        tokens: steps of all examples together, padding included where it is computed.
        training: forward and backward.
    """
    forward = 2 * tokens * directions * GATES[cell] * units * (inputs + units)
    return 3 * forward if training else forward


class Contender(Protocol):
    """A fresh model with its data prepared.

    Attributes:
        name: a heading.
        settings: what it is, in a line.
        preparation: seconds to prepare the training texts and build the model, by what they were spent on.
    """

    name: str
    settings: str
    preparation: dict[str, float]

    def fit(self, clock: keras.callbacks.Callback, steps: int | None = None) -> None:
        """Trains for so many steps, or until the clock stops it."""

    def token_batches(self, steps: int) -> Iterator[np.ndarray]:
        """The tokens `<int>[batch, length]`, 0 for padding, of the batches that `fit` trains on."""

    def accuracy(self) -> float:
        """On the validation texts."""

    def flops(self, tokens: int) -> int:
        """Of the recurrent layers in training, for so many steps of examples."""


class PlainBiLSTM:
    """The public example: 20,000 words, the last 200 of a review, padded in front, no mask, Keras's own train_step.

    https://keras.io/examples/nlp/bidirectional_lstm_imdb/
    """

    name = "plain Keras BiLSTM"
    words, length, dimensions, units, batch_size = 20_000, 200, 128, 64, 32

    def __init__(self, splits: Splits, seed: int):
        keras.utils.set_random_seed(seed + 1)
        laps = _Laps()
        self.vectorize = keras.layers.TextVectorization(max_tokens=self.words)
        self.vectorize.adapt(splits.train.map(lambda example: example["text"]).batch(512))
        laps.end("vocabulary")
        self.names = sorted(set(_labels(splits.train)))
        if len(self.names) != 2:
            raise UserError(f"the plain model is for two classes, and this data has {len(self.names)}: {self.names}")
        self.x, self.y = self._arrays(splits.train)
        laps.end("tokens")
        inputs = keras.Input(shape=(None,), dtype="int32")
        x = keras.layers.Embedding(self.words, self.dimensions)(inputs)
        x = keras.layers.Bidirectional(keras.layers.LSTM(self.units, return_sequences=True))(x)
        x = keras.layers.Bidirectional(keras.layers.LSTM(self.units))(x)
        self.model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
        self.model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
        laps.end("model")
        self.preparation = laps.seconds
        self.settings = f"2 x LSTM({self.units}), {self.words} words, {self.length} tokens, batch {self.batch_size}"
        self.validation = self._arrays(splits.validation)

    def _arrays(self, examples: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
        rows = [row for batch in examples.batch(512) for row in self.vectorize(batch["text"]).numpy()]
        # `vectorize` has padded to the longest of 512, which `pad_sequences` would take for words.
        x = keras.utils.pad_sequences([row[row > 0] for row in rows], maxlen=self.length)
        return x, np.array([self.names.index(label) for label in _labels(examples)], "float32")

    def _rows(self, steps: int) -> np.ndarray:
        return np.resize(np.arange(len(self.x)), steps * self.batch_size)

    def fit(self, clock: keras.callbacks.Callback, steps: int | None = None) -> None:
        """As the example does, from arrays; in their order where the number of steps is given."""
        x, y = (self.x, self.y) if steps is None else (self.x[self._rows(steps)], self.y[self._rows(steps)])
        self.model.fit(
            x,
            y,
            batch_size=self.batch_size,
            epochs=MAX_EPOCHS if steps is None else 1,
            shuffle=steps is None,
            callbacks=[clock],
            verbose=0,
        )

    def token_batches(self, steps: int) -> Iterator[np.ndarray]:
        """Always of the same shape."""
        yield from self.x[self._rows(steps)].reshape(steps, self.batch_size, self.length)

    def accuracy(self) -> float:
        """On the validation texts."""
        return self.model.evaluate(*self.validation, batch_size=EVALUATION_BATCH, verbose=0, return_dict=True)[
            "accuracy"
        ]

    def flops(self, tokens: int) -> int:
        """Of both layers; the backward half of the upper one computes all its states too."""
        lower = recurrent_flops("lstm", self.dimensions, self.units, 2, tokens)
        return lower + recurrent_flops("lstm", 2 * self.units, self.units, 2, tokens)


class Ours:
    """SentimentClassifier, prepared and fed by the pieces that the apps use."""

    name = "SentimentClassifier"

    def __init__(
        self, splits: Splits, seed: int, batch_size: int, model_flags: dict[str, Any], compile_flags: dict[str, Any]
    ):
        keras.utils.set_random_seed(seed + 1)
        self.batch_size = batch_size
        self.seed = seed
        laps = _Laps()
        dtype = hardware.choose_precision("auto", SentimentClassifier)
        xla = hardware.choose_xla("auto", SentimentClassifier)
        self.model = SentimentClassifier(**model_flags, seed=seed, dtype=dtype)
        self.model.adapt(splits.train)
        self.model.compile(**compile_flags, xla=xla)
        laps.end("vocabulary, model" if not self.model.ngrams else "vocabulary, model, n-grams")
        self.train = splits.train
        self.prepared = pipeline.prepare(self.model, self.train)
        self.steps_per_epoch = pipeline.count_steps(self.model.batches(self.prepared, batch_size, training=True), 0)
        laps.end("tokens")
        self.preparation = laps.seconds
        defaults = dataclasses.asdict(ModelFlags()) | dataclasses.asdict(CompileFlags())
        changed = [f"{k} {v}" for k, v in (model_flags | compile_flags).items() if defaults[k] != v]
        self.settings = ", ".join(
            [
                f"{self.model.depth} x {self.model.cell.upper()}({self.model.units})",
                f"{self.model.vocabulary_size} words",
                f"{self.model.max_length} tokens",
                f"batch {batch_size} of like length",
                *(changed or ["else its defaults"]),
            ]
        )
        validation = pipeline.prepare(self.model, splits.validation)
        self.validation = self.model.batches(validation, EVALUATION_BATCH, training=False)

    def batches(self, epochs: int) -> tf.data.Dataset:
        """The training batches of so many epochs."""
        return pipeline.epochs_of_batches(
            self.model,
            self.prepared,
            batch_size=self.batch_size,
            steps=self.steps_per_epoch,
            epochs=range(epochs),
            phase=0,
            seed=self.seed,
        )

    def fit(self, clock: keras.callbacks.Callback, steps: int | None = None) -> None:
        """As `keras_apps.training.fit` does."""
        self.model.fit(
            self.batches(MAX_EPOCHS),
            epochs=MAX_EPOCHS if steps is None else 1,
            steps_per_epoch=steps or self.steps_per_epoch,
            shuffle=False,
            callbacks=[clock],
            verbose=0,
        )

    def token_batches(self, steps: int) -> Iterator[np.ndarray]:
        """The same seed gives the same batches once more."""
        return (batch["tokens"] for batch in self.batches(MAX_EPOCHS).take(steps).as_numpy_iterator())

    def accuracy(self) -> float:
        """On the validation texts, with the averaged weights where there are such."""
        with self.model.averaged_weights():
            return self.model.evaluate(self.validation, verbose=0, return_dict=True)["accuracy"]

    def flops(self, tokens: int) -> int:
        """Of all layers."""
        model, directions = self.model, 2 if self.model.bidirectional else 1
        inputs = [model.embedding_dim] + [directions * model.units] * (model.depth - 1)
        return sum(recurrent_flops(model.cell, size, model.units, directions, tokens) for size in inputs)


class StepClock(keras.callbacks.Callback):
    """Takes the time of the steps after the first ones, which trace the graph and fill the buffers.

    Args:
        warm_up: steps before the clock starts.
        steps: to time.
    """

    def __init__(self, warm_up: int, steps: int):
        super().__init__()
        self.marks = [warm_up, warm_up + steps]
        self.times: list[float] = []
        self.steps = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Reads the clock after the last step of the warm-up, and after the last of all."""
        self.steps += 1
        if self.steps in self.marks:
            self.times.append(timing.now())

    @property
    def seconds(self) -> float:
        """Of the timed steps together."""
        began, ended = self.times
        return ended - began


class QualityClock(keras.callbacks.Callback):
    """Trains until a validation accuracy is reached or time is up; the time it takes to find out is not counted.

    Args:
        contender: what is trained.
        target: accuracy to reach.
        check_every: steps between looks.
        max_seconds: of preparation and training together.
    """

    def __init__(self, contender: Contender, target: float, check_every: int, max_seconds: float):
        super().__init__()
        self.contender = contender
        self.target = target
        self.check_every = check_every
        self.left = max_seconds - sum(contender.preparation.values())
        self.steps = 0
        self.seconds = 0.0
        self.best = 0.0
        self.reached = False
        self.outside = 0.0
        self.began = timing.now()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Looks, now and then, how good the model is."""
        self.steps += 1
        if self.steps % self.check_every:
            return
        stopped = timing.now()
        self.seconds = stopped - self.began - self.outside
        accuracy = self.contender.accuracy()
        self.best = max(self.best, accuracy)
        self.reached = accuracy >= self.target
        timing.progress(f"{self.contender.name}: {self.seconds:7.1f} s  step {self.steps:6d}  accuracy {accuracy:.4f}")
        if self.reached or self.seconds > self.left:
            self.model.stop_training = True
        self.outside += timing.now() - stopped


@dataclasses.dataclass(frozen=True)
class Steps:
    """What a number of training steps did."""

    steps: int
    seconds: float
    examples: int
    tokens: int
    padded_tokens: int
    flops: int


def measure_steps(contender: Contender, steps: int, warm_up: int) -> Steps:
    """Times steps of a fresh model, and counts what was in their batches."""
    clock = StepClock(warm_up, steps)
    contender.fit(clock, steps=warm_up + steps)
    timed = list(contender.token_batches(warm_up + steps))[warm_up:]
    padded = sum(tokens.size for tokens in timed)
    return Steps(
        steps=steps,
        seconds=clock.seconds,
        examples=sum(len(tokens) for tokens in timed),
        tokens=sum(int(np.count_nonzero(tokens)) for tokens in timed),
        padded_tokens=padded,
        flops=contender.flops(padded),
    )


def step_table(names: Sequence[str], measured: Sequence[Steps], peak: float) -> str:
    """Rows of measures, a column for each model, and the last to the first."""
    rows = []

    def add(measure: str, form: str, of: Callable[[Steps], float]) -> None:
        values = [of(each) for each in measured]
        rows.append([measure, *(format(value, form) for value in values)])
        if len(values) > 1:
            rows[-1].append(f"{values[-1] / values[0]:.2f}" if values[0] else "")

    add("ms per step", ".1f", lambda m: 1e3 * m.seconds / m.steps)
    add("examples/s", ",.0f", lambda m: m.examples / m.seconds)
    add("real tokens/s", ",.0f", lambda m: m.tokens / m.seconds)
    add("real tokens per step", ",.0f", lambda m: m.tokens / m.steps)
    add("padding, % of what is computed", ".1f", lambda m: 100 * (1 - m.tokens / m.padded_tokens))
    add("recurrent GFLOP/s", ".1f", lambda m: m.flops / m.seconds / 1e9)
    add(f"% of this machine's {peak:.0f} GFLOP/s", ".1f", lambda m: 100 * m.flops / m.seconds / 1e9 / peak)
    return timing.table(["", *names, *(["ratio"] if len(names) > 1 else [])], rows)


def pipeline_table(ours: Ours, epochs: int, step_seconds: float) -> str:
    """Iterates over the training batches with no model, beginning with an empty cache."""
    ours.prepared = pipeline.prepare(ours.model, ours.train)
    rows = []
    iterator = iter(ours.batches(epochs))
    for epoch in range(epochs):
        began = time.perf_counter()
        next(iterator)
        first = time.perf_counter() - began
        for _ in range(ours.steps_per_epoch - 1):
            next(iterator)
        each = (time.perf_counter() - began) / ours.steps_per_epoch
        rows.append(
            [
                f"{epoch + 1} ({'from memory' if epoch else 'tokenised'})",
                f"{1e3 * first:.0f}",
                f"{1 / each:,.0f}",
                f"{1e3 * each:.2f}",
                f"{each / step_seconds:.3f}",
            ]
        )
    return timing.table(["epoch", "ms to first batch", "batches/s", "ms per batch", "of a training step"], rows)


def quality_table(clocks: Sequence[QualityClock], max_seconds: float) -> str:
    """A column for each model, and the last to the first."""
    rows: list[list[str]] = []

    def add(measure: str, form: str, of: Callable[[QualityClock], float], ratio: bool = True) -> None:
        values = [of(clock) for clock in clocks]
        rows.append([measure, *(format(value, form) for value in values)])
        if len(values) > 1:
            rows[-1].append(f"{values[-1] / values[0]:.2f}" if ratio and values[0] else "")

    all_reached = all(clock.reached for clock in clocks)
    add("preparation, s", ".1f", lambda c: sum(c.contender.preparation.values()))
    add("training, s", ".1f", lambda c: c.seconds, ratio=all_reached)
    add("together, s", ".1f", lambda c: sum(c.contender.preparation.values()) + c.seconds, ratio=all_reached)
    add("steps", ",d", lambda c: c.steps, ratio=all_reached)
    add("best accuracy seen", ".4f", lambda c: c.best, ratio=False)
    reached = ["yes" if clock.reached else f"not in {max_seconds:.0f} s" for clock in clocks]
    rows.append([f"reached {clocks[0].target}", *reached, *([""] if len(clocks) > 1 else [])])
    names = [clock.contender.name for clock in clocks]
    return timing.table(["", *names, *(["ratio"] if len(names) > 1 else [])], rows)


class _Laps:
    """Seconds between one `end` and the next."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._began = timing.now()

    def end(self, name: str) -> None:
        ended = timing.now()
        self.seconds[name] = ended - self._began
        self._began = ended


def _labels(examples: tf.data.Dataset) -> list[str]:
    return [label.decode() for batch in examples.batch(4096) for label in batch["label"].numpy()]


def _add_flags(parser: argparse.ArgumentParser, flags: type, without: Sequence[str] = ()) -> None:
    for field in dataclasses.fields(flags):
        if field.name in without:
            continue
        kind = {"action": argparse.BooleanOptionalAction} if field.type == "bool" else {"type": type(field.default)}
        parser.add_argument(f"--{field.name}", default=field.default, help=f"default {field.default}", **kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="as of `keras-apps sentiment train`")
    parser.add_argument(
        "--validation_fraction", type=float, default=0.1, help="of rows, where the data has no such part"
    )
    parser.add_argument("--parts", nargs="+", choices=("steps", "quality"), default=["steps", "quality"])
    parser.add_argument(
        "--contenders", nargs="+", choices=("plain", "ours"), default=["plain", "ours"], help="in order"
    )
    parser.add_argument("--steps", type=int, default=300, help="to time; 300")
    parser.add_argument("--warm_up", type=int, default=20, help="steps before those; 20")
    parser.add_argument("--target", type=float, default=0.86, help="validation accuracy to reach; 0.86")
    parser.add_argument("--check_every", type=int, default=25, help="steps between looks at it; 25")
    parser.add_argument("--max_seconds", type=float, default=1200, help="to reach it, for each; 1200")
    parser.add_argument("--seed", type=int, default=0)
    ours_flags = parser.add_argument_group("SentimentClassifier", "as of `keras-apps sentiment train`")
    ours_flags.add_argument("--batch_size", type=int, default=64, help="default 64")
    _add_flags(ours_flags, ModelFlags)
    _add_flags(ours_flags, CompileFlags, without=("freeze_encoder",))
    args = parser.parse_args()
    # Keras says so of every data set whose number of batches it learns by going through it.
    warnings.filterwarnings("ignore", message="Your input ran out of data")

    print(timing.machine(), end="\n\n")
    began = time.perf_counter()
    splits = sentiment.load(args.data, test_fraction=0, validation_fraction=args.validation_fraction)
    timing.progress(f"reading and splitting, the same for both and not counted: {time.perf_counter() - began:.1f} s")
    if splits.validation is None:
        raise UserError("there are no validation texts; set --validation_fraction")

    def fresh(name: str) -> PlainBiLSTM | Ours:
        keras.backend.clear_session()
        if name == "plain":
            return PlainBiLSTM(splits, args.seed)
        model_flags, compile_flags = (
            {f.name: getattr(args, f.name) for f in dataclasses.fields(flags) if hasattr(args, f.name)}
            for flags in (ModelFlags, CompileFlags)
        )
        return Ours(splits, args.seed, args.batch_size, model_flags, compile_flags)

    names, settings = [], []
    if "steps" in args.parts:
        peak = matmul_peak("float32").gflops
        measured, pipeline_rows = [], ""
        for name in args.contenders:
            contender = fresh(name)
            measured.append(measure_steps(contender, args.steps, args.warm_up))
            names.append(contender.name)
            settings.append(contender.settings)
            if isinstance(contender, Ours):
                pipeline_rows = pipeline_table(contender, 3, measured[-1].seconds / args.steps)
            del contender
        print("## A training step", end="\n\n")
        print(*(f"- {name}: {setting}" for name, setting in zip(names, settings, strict=True)), sep="\n", end="\n\n")
        print(step_table(names, measured, peak), end="\n\n", flush=True)
        if pipeline_rows:
            print("## The input pipeline of SentimentClassifier alone", end="\n\n")
            print(pipeline_rows, end="\n\n", flush=True)
    if "quality" in args.parts:
        clocks = []
        for name in args.contenders:
            contender = fresh(name)
            timing.progress(f"{contender.name}: {contender.settings}")
            clock = QualityClock(contender, args.target, args.check_every, args.max_seconds)
            contender.fit(clock)
            clocks.append(clock)
        count = int(splits.validation.cardinality())
        print(f"## Time to {args.target} accuracy on {count:,} validation texts", end="\n\n")
        for clock in clocks:
            spent = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in clock.contender.preparation.items())
            print(f"- {clock.contender.name}: {clock.contender.settings}; preparation: {spent}")
        print("", quality_table(clocks, args.max_seconds), sep="\n")


if __name__ == "__main__":
    timing.run(main)
