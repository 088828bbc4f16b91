"""What it saves to look at each picture once: `python -m benchmarks.captioning_training --data FOLDER`.

ImageCaptioner on cached features, as the apps train it with a frozen encoder, and the same model with that encoder run
at every step, as public examples do; on the same batches, some steps of the one and some of the other in turn. Then
the captions a second of an export.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import simple_parsing
import tensorflow as tf

from apps.captioning import CompileFlags, DataFlags, ModelFlags
from benchmarks import timing
from benchmarks.translation_decoding import ANSWER, export, rate_table, rates
from benchmarks.translation_training import MAX_EPOCHS, rounds_of_steps
from keras_apps.data import captioning
from keras_apps.errors import UserError
from keras_apps.models.captioning import ImageCaptioner
from keras_apps.training import hardware, pipeline


class Contender:
    """A fresh captioner with a frozen encoder, and its batches.

    Args:
        examples: raw training examples.
        cached: the encoder looks at each picture once; else at every step.
        batch_size: pictures in a step.
        seed: of weights and batches.
        model_flags: of ImageCaptioner.
        compile_flags: of its `compile`.
    """

    def __init__(
        self,
        examples: tf.data.Dataset,
        cached: bool,
        batch_size: int,
        seed: int,
        model_flags: dict[str, Any],
        compile_flags: dict[str, Any],
    ):
        self.name = "features cached" if cached else "encoder at every step"
        self.batch_size = batch_size
        self.seed = seed
        dtype = hardware.choose_precision("auto", ImageCaptioner)
        self.model = ImageCaptioner(**model_flags, seed=seed, dtype=dtype)
        self.model.adapt(examples)
        self.model.compile(**compile_flags, xla=hardware.choose_xla("auto", ImageCaptioner))
        if self.model.features_key() is None:
            raise UserError("this encoder is trained, so that nothing can be cached; give another --encoder")
        began = timing.now()
        if cached:
            self.prepared = pipeline.prepare(self.model, examples)
        else:
            self.prepared = examples.map(self.model.prepare, tf.data.AUTOTUNE).cache()
        self.steps_per_epoch = pipeline.count_steps(self.model.batches(self.prepared, batch_size, training=True), 0)
        self.preparation = timing.now() - began

    def batches(self) -> tf.data.Dataset:
        """As `keras_apps.training.fit` has them; of both contenders the same captions in the same order."""
        return pipeline.epochs_of_batches(
            self.model,
            self.prepared,
            batch_size=self.batch_size,
            steps=self.steps_per_epoch,
            epochs=range(MAX_EPOCHS),
            phase=0,
            seed=self.seed,
        )


@dataclasses.dataclass(frozen=True)
class Work:
    """What is in the batches of a round."""

    pictures: int
    captions: int
    words: int

    @classmethod
    def of(cls, batches: Sequence[np.ndarray]) -> Work:
        """Batches of captions, `<int>[pictures, captions, steps]`, 0 for padding."""
        return cls(
            sum(len(captions) for captions in batches),
            sum(int(np.count_nonzero(captions[..., 0])) for captions in batches),
            sum(int(np.count_nonzero(captions)) for captions in batches),
        )


def step_table(contenders: Sequence[Contender], seconds: Sequence[Sequence[float]], work: Sequence[Work]) -> str:
    """Rows of measures, a column for each contender, and how many times as fast the last is as the first.

    Args:
        contenders: in order.
        seconds: of each round of each.
        work: of each round, the same of all.
    """
    rows = []

    def add(measure: str, form: str, values: Sequence[float], ratio: float | None = None) -> None:
        rows.append([measure, *(format(value, form) for value in values), "" if ratio is None else f"{ratio:.2f}"])

    def median(done: str, scale: float = 1.0) -> list[float]:
        return [
            scale * float(np.median([taken / getattr(each, done) for taken, each in zip(times, work, strict=True)]))
            for times in seconds
        ]

    for what in ("captions", "pictures"):
        each = median(what, 1e3)
        add(f"ms per {what[:-1]}", ".2f", each, each[0] / each[-1])
    by_word = median("words")
    add("words/s", ",.0f", [1 / value for value in by_word], by_word[0] / by_word[-1])
    add("before the first step, s", ".1f", [each.preparation for each in contenders])
    return timing.table(["", *(each.name for each in contenders), "times as fast"], rows)


def jpegs(examples: tf.data.Dataset, count: int) -> list[bytes]:
    """The first pictures as files."""
    return [tf.io.encode_jpeg(row["image"]).numpy() for row in examples.take(count).as_numpy_iterator()]


def main() -> None:
    parser = simple_parsing.ArgumentParser(prog="benchmarks.captioning_training", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=("steps", "export"), default=["steps", "export"])
    parser.add_argument("--pictures", type=int, default=1_000, help="to train on, at the most")
    parser.add_argument("--rounds", type=int, default=10, help="of each, in turn")
    parser.add_argument("--steps", type=int, default=5, help="in a round")
    parser.add_argument("--warm_up", type=int, default=10, help="steps of each before")
    parser.add_argument("--batch_size", type=int, default=64, help="pictures in a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="", help="a run directory or a .keras file to export; else fresh weights")
    parser.add_argument("--beam_width", type=int, default=5)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8, 32], help="of requests")
    parser.add_argument("--calls", type=int, default=100, help="of each for each row of requests, at the most")
    parser.add_argument("--seconds", type=float, default=60, help="for each row of requests")
    parser.add_arguments(DataFlags, "data_flags")
    # Of random weights, which take as long as others.
    squeezenet = ModelFlags(encoder="squeezenet", encoder_weights="", image_size=160)
    parser.add_arguments(ModelFlags, "model_flags", default=squeezenet)
    parser.add_arguments(CompileFlags, "compile_flags")
    args = parser.parse_args()

    print(timing.machine(), end="\n\n")
    splits = captioning.load(**dataclasses.asdict(args.data_flags))
    if splits.train is None:
        raise UserError("the data has no pictures to train on; see --data")
    examples = splits.train.take(args.pictures)
    flags = dataclasses.asdict(args.model_flags), dataclasses.asdict(args.compile_flags)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["KERAS_APPS_CACHE"] = cache
        if "steps" in args.parts:
            contenders = [Contender(examples, cached, args.batch_size, args.seed, *flags) for cached in (False, True)]
            timing.progress(f"{args.rounds} rounds of {args.steps} steps of each")
            seconds = rounds_of_steps(
                [each.model for each in contenders],
                [each.batches() for each in contenders],
                warm_up=args.warm_up,
                steps=args.steps,
                rounds=args.rounds,
            )
            batches = contenders[-1].batches().skip(args.warm_up).take(args.steps * len(seconds[0]))
            captions = [batch["captions"] for batch in batches.as_numpy_iterator()]
            work = [Work.of(captions[begin : begin + args.steps]) for begin in range(0, len(captions), args.steps)]
            size, each = args.model_flags.image_size, sum(w.captions for w in work) / sum(w.pictures for w in work)
            print(
                f"Encoder {args.model_flags.encoder}, {int(examples.cardinality()):,} pictures of {size} x {size}, "
                f"{each:.1f} captions each, {args.batch_size} pictures in a batch; "
                f"{args.rounds} rounds of {args.steps} steps of each in turn.",
                end="\n\n",
            )
            print(step_table(contenders, seconds, work), end="\n\n", flush=True)
        if "export" in args.parts:
            if args.model:
                model = ImageCaptioner.load(args.model)
                weights = f"the weights of {args.model}, so that captions end where they end"
            else:
                model = ImageCaptioner(**flags[0], seed=args.seed)
                model.adapt(examples)
                weights = f"fresh weights, with which hardly a caption ends before {model.max_length + 1} words"
            pictures = jpegs(examples, max(args.batch_sizes))
            for beams in (1, args.beam_width):
                searching = model.snapshot(beams=beams)
                signature = searching.signatures()[ANSWER]
                exports = [export(searching, signature.function(xla), signature) for xla in (False, True)]
                rows = rates(
                    exports,
                    lambda batch: {
                        "image_bytes": tf.constant(list(itertools.islice(itertools.cycle(pictures), batch)))
                    },
                    args.batch_sizes,
                    args.calls,
                    args.seconds,
                )
                search = f"Beam search of {beams}" if beams > 1 else "Greedy"
                print(f"{search}, JPEG in, caption out; encoder {model.encoder}, {weights}.", end="\n\n")
                print(rate_table("captions", rows), end="\n\n", flush=True)


if __name__ == "__main__":
    timing.run(main)
