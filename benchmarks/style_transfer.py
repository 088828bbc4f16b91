"""How soon a search takes a step, and how many pictures a second are painted: `python -m benchmarks.style_transfer`.

StyleTransfer through VGG19 on a content of 384 x 512, its loop in the graph; and the public tutorial's way: a
tf.function with a gradient tape on a variable picture, the extractor in float32. Both look at the same layers, of a
network with random weights, which take as long as others. Some steps of the one and some of the other in turn. Then the
networks that paint in one pass, as they answer.
"""

from __future__ import annotations

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks import timing
from keras_apps.models.style_transfer import StyleTransfer
from keras_apps.training import hardware

CONTENT = ("block5_conv2",)
STYLE = tuple(f"block{block}_conv1" for block in range(1, 6))


class Tutorial:
    """The public tutorial's way: https://www.tensorflow.org/tutorials/generative/style_transfer."""

    name = "as the public tutorial, float32"

    def __init__(self, content: np.ndarray, style: np.ndarray):
        vgg = keras.applications.VGG19(include_top=False, weights=None)
        outputs = [vgg.get_layer(name).output for name in (*STYLE, *CONTENT)]
        extractor = keras.Model([vgg.input], outputs)
        extractor.trainable = False

        def seen(image: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
            found = extractor(keras.applications.vgg19.preprocess_input(image * 255.0))
            return [gram(each) for each in found[: len(STYLE)]], found[len(STYLE) :]

        def gram(features: tf.Tensor) -> tf.Tensor:
            shape = tf.shape(features)
            places = tf.cast(shape[1] * shape[2], tf.float32)
            return tf.linalg.einsum("bijc,bijd->bcd", features, features) / places

        targets, _ = seen(tf.constant(style[None] / 255, tf.float32))
        _, contents = seen(tf.constant(content[None] / 255, tf.float32))
        self.image = tf.Variable(content[None] / 255, dtype=tf.float32)
        optimizer = keras.optimizers.Adam(learning_rate=0.02, beta_1=0.99, epsilon=1e-1)
        optimizer.build([self.image])

        @tf.function
        def step() -> tf.Tensor:
            with tf.GradientTape() as tape:
                styles, found = seen(self.image)
                loss = 1e-2 / len(STYLE) * tf.add_n([tf.reduce_mean((a - b) ** 2) for a, b in zip(styles, targets)])  # noqa: B905
                loss += 1e4 * tf.add_n([tf.reduce_mean((a - b) ** 2) for a, b in zip(found, contents)])  # noqa: B905
                loss += 30 * tf.reduce_sum(tf.image.total_variation(self.image))
            optimizer.apply_gradients([(tape.gradient(loss, self.image), self.image)])
            self.image.assign(tf.clip_by_value(self.image, 0.0, 1.0))
            return loss

        self.step = step

    def run(self, steps: int) -> None:
        """Takes steps."""
        for _ in range(steps):
            loss = self.step()
        loss.numpy()


class Ours:
    """StyleTransfer's search, one call of the graph for all steps."""

    def __init__(self, content: np.ndarray, style: np.ndarray, precision: str):
        dtype = hardware.choose_precision(precision, StyleTransfer)
        self.name = f"StyleTransfer, {dtype}"
        size = max(content.shape)
        self.model = StyleTransfer(
            encoder="VGG19", content_layers=CONTENT, style_layers=STYLE, image_size=size, scales=1, dtype=dtype
        )
        self.given = self.model._asked(content, style)

    def run(self, steps: int) -> None:
        """Takes steps."""
        self.model._run("searched", self.given, steps, 1).numpy()


def seconds_per_step(contender: Tutorial | Ours, steps: int) -> tuple[float, float]:
    """Of many steps less one, so that what is done once does not count: by the clock, and of the processor."""
    taken = []
    for count in (1, 1 + steps):
        began, worked = timing.now(), time.process_time()
        contender.run(count)
        taken.append((timing.now() - began, time.process_time() - worked))
    return tuple((long - short) / steps for short, long in zip(*taken, strict=True))


def searching(args: argparse.Namespace, content: np.ndarray, style: np.ndarray) -> list[list[str]]:
    contenders = [Tutorial(content, style), Ours(content, style, args.precision)]
    for each in contenders:
        timing.progress(each.name)
        seconds_per_step(each, args.steps)
    found = np.array([[seconds_per_step(each, args.steps) for each in contenders] for _ in range(args.rounds)])
    rows = []
    for index, what in enumerate(("ms per step, median", "processor's ms per step, median")):
        tutorial, ours = (float(value) for value in np.median(found[:, :, index], axis=0))
        rows.append([what, f"{1e3 * tutorial:.0f}", f"{1e3 * ours:.0f}", f"{tutorial / ours:.2f}"])
    return [["", *(each.name for each in contenders), "times as fast"], *rows]


def painting(args: argparse.Namespace, content: np.ndarray, style: np.ndarray) -> list[list[str]]:
    rows = [["method", "encoder", "pixels", "ms a picture, median", "pictures/s"]]
    dtype = hardware.choose_precision(args.precision, StyleTransfer)
    for method in ("feedforward", "arbitrary"):
        for size in (256, 512):
            model = StyleTransfer(method=method, encoder="squeezenet", image_size=size, dtype=dtype)
            given = model._asked(content, style)
            if method == "feedforward":
                given = {name: given[name] for name in ("content", "size", "style_weight")}
            timing.progress(f"{method} {size}")
            model._run("answered", given)
            (found,) = timing.time_calls(
                [lambda model=model, given=given: model._run("answered", given).numpy()], calls=20, seconds=10
            )
            shape = " x ".join(map(str, given["content"].shape[1:3]))
            rows.append([method, "squeezenet", shape, f"{1e3 * found.median:.0f}", f"{1 / found.median:.1f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.style_transfer", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turn")
    parser.add_argument("--steps", type=int, default=5, help="in a round")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "mixed_bfloat16"))
    parser.add_argument("--only", default="", choices=("", "searching", "painting"))
    args = parser.parse_args()
    print(timing.machine(), end="\n\n")
    rng = np.random.default_rng(0)
    content, style = (rng.integers(0, 255, (384, 512, 3), np.uint8) for _ in range(2))
    for part in (searching, painting):
        if args.only in ("", part.__name__):
            header, *rows = part(args, content, style)
            print(timing.table(header, rows), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
