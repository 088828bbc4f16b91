"""How many pairs a second Koch's network learns from: `python -m benchmarks.siamese_training`.

`SiameseNetwork(embedding="koch", objective="weighted_l1")` at full size, 32 pairs of 105 x 105 a step, as the apps
train it; and the same layers as a plain Keras model that is called once for either picture of a pair, in float32, with
Keras's own training step and Adam. Some steps of the one and some of the other in turn, on the same pairs. Then, how
soon one picture is found among 20 classes, by the network of the defaults and by Koch's.
"""

from __future__ import annotations

import argparse
import functools

import keras
import numpy as np
import tensorflow as tf

from benchmarks import timing
from keras_apps.models.siamese import SiameseNetwork
from keras_apps.training import hardware


class Plain:
    """The same network as examples have it."""

    name = "plain Keras, two calls, float32"

    def __init__(self):
        network = keras.Sequential(
            [
                keras.Input((105, 105, 1)),
                keras.layers.Conv2D(64, 10, activation="relu"),
                keras.layers.MaxPooling2D(),
                keras.layers.Conv2D(128, 7, activation="relu"),
                keras.layers.MaxPooling2D(),
                keras.layers.Conv2D(128, 4, activation="relu"),
                keras.layers.MaxPooling2D(),
                keras.layers.Conv2D(256, 4, activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(4096, activation="sigmoid"),
            ]
        )
        pair = [keras.Input((105, 105, 1)) for _ in range(2)]
        first, second = (network(picture) for picture in pair)
        distance = keras.ops.abs(first - second)
        self.model = keras.Model(pair, keras.layers.Dense(1, activation="sigmoid")(distance))
        self.model.compile("adam", "binary_crossentropy")

    def step(self, batch: dict[str, np.ndarray]) -> float:
        """One step, from pictures of 0 to 255; the loss."""
        pictures = batch["images"].astype(np.float32) / 255
        return self.model.train_on_batch([pictures[:, 0], pictures[:, 1]], batch["same"])


class Ours:
    """The network as the apps train it, but for the moving average, which the other has not."""

    def __init__(self, precision: str):
        dtype = hardware.choose_precision(precision, SiameseNetwork)
        self.name = f"SiameseNetwork, {dtype}"
        self.model = SiameseNetwork(embedding="koch", objective="weighted_l1", channels=1, dtype=dtype)
        self.model.compile(averaging=0.0)
        self._step = tf.function(lambda batch: self.model.train_step(batch)["loss"], autograph=False)

    def step(self, batch: dict[str, np.ndarray]) -> float:
        """The same."""
        return float(self._step({name: tf.constant(values) for name, values in batch.items()}))


def training(precision: str, batch_size: int, rounds: int, steps: int) -> str:
    """The table of a training step."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (batch_size, 2, 105, 105, 1), np.uint8)
    batch = {"images": images, "same": (np.arange(batch_size) % 2 == 0).astype(np.float32)}
    contenders = [Plain(), Ours(precision)]
    for each in contenders:
        timing.progress(each.name)
        for _ in range(2):
            each.step(batch)
    seconds: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for times, each in zip(seconds, contenders, strict=True):
            began = timing.now()
            for _ in range(steps):
                each.step(batch)
            times.append((timing.now() - began) / steps)
    rows = []
    for name, of_rounds in (("median", np.median), ("fastest round", np.min)):
        plain, ours = (float(of_rounds(times)) for times in seconds)
        rows.append([f"ms per step, {name}", f"{1e3 * plain:.0f}", f"{1e3 * ours:.0f}", f"{plain / ours:.2f}"])
        rates = [f"{batch_size / each:.1f}" for each in (plain, ours)]
        rows.append([f"pairs/s, {name}", *rates, f"{plain / ours:.2f}"])
    ours = contenders[1].model
    counts = [contenders[0].model.count_params(), ours.network.count_params() + ours.head.count_params()]
    rows.append(["million weights", *(f"{each / 1e6:.2f}" for each in counts), ""])
    return timing.table(["", *(each.name for each in contenders), "times as fast"], rows)


def classifying(precision: str, classes: int, calls: int, seconds: float) -> str:
    """The table of one picture among several classes."""
    dtype = hardware.choose_precision(precision, SiameseNetwork)
    picture = np.full((105, 105, 1), 255, np.uint8)
    picture[20:85, 50:53] = 0
    query = tf.constant([tf.io.encode_png(picture).numpy()])
    rows = []
    for embedding, objective in (("small", "prototypical"), ("koch", "weighted_l1")):
        model = SiameseNetwork(embedding=embedding, objective=objective, channels=1, dtype=dtype)
        request = {"query_bytes": query, "support": tf.random.stateless_normal([1, classes, model.units], [0, 1])}
        ways = [
            functools.partial(tf.function(model.signatures()["classify"].function(xla), autograph=False), request)
            for xla in (False, True)
        ]
        for ask in ways:
            ask()
        times = timing.time_calls(ways, calls=calls, seconds=seconds)
        rows.append([f"{embedding}, {dtype}", *(f"{1e3 * v:.2f}" for each in times for v in (each.median, each.p95))])
    return timing.table(
        [f"one picture among {classes}, ms", "portable, median", "p95", "compiled by XLA, median", "p95"], rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.siamese_training", description=__doc__)
    parser.add_argument("--batch_size", type=int, default=32, help="pairs in a step")
    parser.add_argument("--rounds", type=int, default=8, help="of each, in turn")
    parser.add_argument("--steps", type=int, default=3, help="in a round")
    parser.add_argument("--classes", type=int, default=20, help="among which a picture is found")
    parser.add_argument("--calls", type=int, default=200, help="of each")
    parser.add_argument("--seconds", type=float, default=20.0, help="for the calls of a network")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "mixed_bfloat16"))
    args = parser.parse_args()
    print(timing.machine(), end="\n\n")
    print(training(args.precision, args.batch_size, args.rounds, args.steps), end="\n\n")
    print(classifying(args.precision, args.classes, args.calls, args.seconds))


if __name__ == "__main__":
    main()
