"""How soon an exported sentiment classifier answers: `python -m benchmarks.sentiment_serving --model RUN_DIR`.

Exports the model to a temporary folder, loads it as a server does, and asks its portable signature and the one whose
core is compiled by XLA, in turn, with the same texts.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks import timing
from keras_apps.export.saved_model import export, xla_name
from keras_apps.models.sentiment import SentimentClassifier

PORTABLE = "serving_default"
COMPILED = xla_name(PORTABLE)


def make_texts(vocabulary: list[str], batch: int, words: int, seed: int = 0) -> tf.Tensor:
    """Texts of frequent words, the longest of `words` and none shorter by more than a fifth."""
    rng = np.random.default_rng(seed)
    frequent = vocabulary[:5000]
    lengths = rng.integers(words - words // 5, words, batch, endpoint=True)
    lengths[0] = words
    return tf.constant([" ".join(rng.choice(frequent, length)) for length in lengths])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a run directory or a .keras file")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--words", type=int, nargs="+", default=[20, 100, 400], help="of the longest text of a batch")
    parser.add_argument("--calls", type=int, default=200, help="of each signature for each row, at the most; 200")
    parser.add_argument("--seconds", type=float, default=20, help="for each row; 20")
    args = parser.parse_args()

    model = SentimentClassifier.load(args.model)
    print(timing.machine(), end="\n\n")
    with tempfile.TemporaryDirectory() as folder:
        began = timing.now()
        version = export(model, folder, "sentiment")
        exported = timing.now()
        loaded = tf.saved_model.load(str(version))
        signatures = {name: loaded.signatures[name] for name in (PORTABLE, COMPILED)}
        print(
            f"{model.depth} x {model.cell.upper()}({model.units}), {model.pooling} pooling, "
            f"{model.ngram_buckets or 'no'} n-gram buckets, {model.max_length} words read at the most; "
            f"exported in {exported - began:.1f} s, loaded in {timing.now() - exported:.1f} s, "
            f"{sum(os.path.getsize(path) for path in version.rglob('*') if path.is_file()) / 1e6:.1f} MB",
            end="\n\n",
        )
        rows, differences = [], []
        for batch in args.batch_sizes:
            for words in args.words:
                texts = make_texts(list(model.vocabulary), batch, words)
                calls: list[Callable] = [functools.partial(signature, text=texts) for signature in signatures.values()]
                first, answers = [], []
                for call in calls:
                    began = timing.now()
                    answers.append(call()["probabilities"].numpy())
                    first.append(timing.now() - began)
                    call()
                differences.append(np.abs(answers[0] - answers[1]).max())
                portable, compiled = timing.time_calls(calls, calls=args.calls, seconds=args.seconds)
                rows.append(
                    [f"{batch} x {words}"]
                    + [f"{1e3 * value:.2f}" for value in (portable.median, portable.p95)]
                    + [f"{1e3 * value:.2f}" for value in (compiled.median, compiled.p95)]
                    + [f"{compiled.median / portable.median:.2f}", *(f"{1e3 * value:.0f}" for value in first)]
                )
                timing.progress(f"{rows[-1][0]}: {len(portable.seconds)} calls each")
        header = [
            "texts x words, ms",
            f"{PORTABLE} median",
            "p95",
            f"{COMPILED} median",
            "p95",
            "XLA / portable",
            "portable, first call",
            "XLA, first call",
        ]
        print(timing.table(header, rows))
        print(f"\nGreatest difference between the probabilities of the two: {max(differences):.1e}")


if __name__ == "__main__":
    timing.run(main)
