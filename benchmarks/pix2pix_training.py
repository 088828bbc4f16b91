"""How soon a full-size pix2pix takes a step: `python -m benchmarks.pix2pix_training`.

Pix2Pix with `filters=64` on 256 x 256 pictures, one pair a step, as the apps train it; and networks of the same layers
trained as the public tutorial does: batch normalisation, dropout, float32, two gradient tapes in a plain tf.function,
two of Keras's Adams. Some steps of the one and some of the other in turn, on the same pairs.
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
import tensorflow as tf

from benchmarks import timing
from keras_apps.models.pix2pix import Pix2Pix
from keras_apps.training import hardware


def downsample(filters: int, norm: bool = True) -> keras.Sequential:
    layers = [keras.layers.Conv2D(filters, 4, 2, "same", use_bias=False)]
    layers += [keras.layers.BatchNormalization()] if norm else []
    return keras.Sequential([*layers, keras.layers.LeakyReLU()])


def upsample(filters: int, dropout: bool = False) -> keras.Sequential:
    layers = [keras.layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False), keras.layers.BatchNormalization()]
    layers += [keras.layers.Dropout(0.5)] if dropout else []
    return keras.Sequential([*layers, keras.layers.ReLU()])


def tutorial_generator(size: int) -> keras.Model:
    output = inputs = keras.Input((size, size, 3))
    skips = []
    for level, filters in enumerate((64, 128, 256, 512, 512, 512, 512, 512)):
        output = downsample(filters, norm=level > 0)(output)
        skips.append(output)
    for level, filters in enumerate((512, 512, 512, 512, 256, 128, 64)):
        output = upsample(filters, dropout=level < 3)(output)
        output = keras.layers.Concatenate()([output, skips[-2 - level]])
    output = keras.layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh")(output)
    return keras.Model(inputs, output)


def tutorial_discriminator(size: int) -> keras.Model:
    given, target = keras.Input((size, size, 3)), keras.Input((size, size, 3))
    output = keras.layers.Concatenate()([given, target])
    for level, filters in enumerate((64, 128, 256)):
        output = downsample(filters, norm=level > 0)(output)
    output = keras.layers.Conv2D(512, 4, 1, use_bias=False)(keras.layers.ZeroPadding2D()(output))
    output = keras.layers.LeakyReLU()(keras.layers.BatchNormalization()(output))
    output = keras.layers.Conv2D(1, 4, 1)(keras.layers.ZeroPadding2D()(output))
    return keras.Model([given, target], output)


class Tutorial:
    """The public tutorial's way to train."""

    name = "as the public tutorial, float32"

    def __init__(self, size: int):
        self.generator, self.discriminator = tutorial_generator(size), tutorial_discriminator(size)
        optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
        for optimizer, network in zip(optimizers, (self.generator, self.discriminator), strict=True):
            optimizer.build(network.trainable_variables)
        entropy = keras.losses.BinaryCrossentropy(from_logits=True)

        @tf.function
        def step(batch: dict[str, tf.Tensor]) -> tf.Tensor:
            given, target = (tf.cast(batch[name], tf.float32) / 127.5 - 1 for name in ("input", "target"))
            with tf.GradientTape() as tape, tf.GradientTape() as discriminator_tape:
                fake = self.generator(given, training=True)
                of_real = self.discriminator([given, target], training=True)
                of_fake = self.discriminator([given, fake], training=True)
                loss = entropy(tf.ones_like(of_fake), of_fake) + 100 * tf.reduce_mean(tf.abs(target - fake))
                d_loss = entropy(tf.ones_like(of_real), of_real) + entropy(tf.zeros_like(of_fake), of_fake)
            networks = (self.generator, self.discriminator)
            for optimizer, network, one, value in zip(
                optimizers, networks, (tape, discriminator_tape), (loss, d_loss), strict=True
            ):
                variables = network.trainable_variables
                optimizer.apply_gradients(zip(one.gradient(value, variables), variables, strict=True))
            return loss

        self.step = step


class Ours:
    """Pix2Pix as the apps train it."""

    def __init__(self, size: int, precision: str):
        dtype = hardware.choose_precision(precision, Pix2Pix)
        self.name = f"Pix2Pix, {dtype}"
        self.model = Pix2Pix(height=size, width=size, filters=64, dtype=dtype)
        self.model.compile()
        self.step = tf.function(lambda batch: self.model.train_step(batch)["l1"], autograph=False)
        self.generator, self.discriminator = self.model.generator, self.model.discriminator


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.pix2pix_training", description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="side of the pictures")
    parser.add_argument("--batch_size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=8, help="of each, in turn")
    parser.add_argument("--steps", type=int, default=5, help="in a round")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "mixed_bfloat16"))
    args = parser.parse_args()
    print(timing.machine(), end="\n\n")
    rng = np.random.default_rng(0)
    shape = (args.batch_size, args.size, args.size, 3)
    batch = {name: tf.constant(rng.integers(0, 255, shape, np.uint8)) for name in ("input", "target")}
    batch["chances"] = tf.fill([args.batch_size, 1, 3], 0.5)
    contenders = [Tutorial(args.size), Ours(args.size, args.precision)]
    for each in contenders:
        timing.progress(each.name)
        for _ in range(3):
            each.step(batch)
    seconds: list[list[float]] = [[] for _ in contenders]
    for _ in range(args.rounds):
        for times, each in zip(seconds, contenders, strict=True):
            began = timing.now()
            for _ in range(args.steps):
                value = each.step(batch)
            value.numpy()
            times.append((timing.now() - began) / args.steps)
    rows = []
    for name, of_rounds in (("median", np.median), ("fastest round", np.min)):
        tutorial, ours = (float(of_rounds(times)) for times in seconds)
        rows.append([f"ms per step, {name}", f"{1e3 * tutorial:.0f}", f"{1e3 * ours:.0f}", f"{tutorial / ours:.2f}"])
    for network in ("generator", "discriminator"):
        counts = [getattr(each, network).count_params() / 1e6 for each in contenders]
        rows.append([f"million weights, {network}", *(f"{each:.1f}" for each in counts), ""])
    print(timing.table(["", *(each.name for each in contenders), "times as fast"], rows))


if __name__ == "__main__":
    main()
