"""SqueezeNet v1.1 without its top (Iandola 2016, https://arxiv.org/abs/1602.07360)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import h5py
import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError, brief

# Units of the squeeze and of each of the two expand convolutions, and whether pooling comes before (v1.1).
_FIRES = {
    2: (16, 64, True),
    3: (16, 64, False),
    4: (32, 128, True),
    5: (32, 128, False),
    6: (48, 192, True),
    7: (48, 192, False),
    8: (64, 256, False),
    9: (64, 256, False),
}
_MEAN_BGR = (103.939, 116.779, 123.68)


@keras.saving.register_keras_serializable(package="keras_apps")
class SqueezeNet(keras.layers.Layer):
    """RGB pictures of 0 to 255, `<float>[batch, height, width, 3]` -> `<float>[batch, rows, columns, 512]`.

    The grid is about a sixteenth of the picture's size: 9 x 9 for 160 x 160. Inside, the input is BGR minus the mean of
    ImageNet, as the published weights want it (https://github.com/rcmalli/keras-squeezenet).

    Args:
        seed: of the initial weights.
    """

    def __init__(self, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed

        def convolution(name: str, units: int, size: int, strides: int = 1, padding: str = "same") -> None:
            self.convolutions[name] = keras.layers.Conv2D(
                units,
                size,
                strides,
                padding,
                activation="relu",
                kernel_initializer=keras.initializers.HeNormal(seed + len(self.convolutions)),
                name=name.replace("/", "_"),
                dtype=self.dtype_policy,
            )

        self.convolutions: dict[str, keras.layers.Conv2D] = {}
        convolution("conv1", 64, 3, 2, "valid")
        for number, (squeeze, expand, _) in _FIRES.items():
            convolution(f"fire{number}/squeeze1x1", squeeze, 1)
            convolution(f"fire{number}/expand1x1", expand, 1)
            convolution(f"fire{number}/expand3x3", expand, 3)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights."""
        self.convolutions["conv1"].build(input_shape)
        units = 64
        for number, (squeeze, expand, _) in _FIRES.items():
            self.convolutions[f"fire{number}/squeeze1x1"].build((None, None, None, units))
            self.convolutions[f"fire{number}/expand1x1"].build((None, None, None, squeeze))
            self.convolutions[f"fire{number}/expand3x3"].build((None, None, None, squeeze))
            units = 2 * expand

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """The grid of features of each picture."""
        *_, (_, grid) = self.stages(images)
        return grid

    def stages(self, images: tf.Tensor) -> Iterator[tuple[str, tf.Tensor]]:
        """The name and the grid of each stage in order, `conv1` and `fire2` to `fire9`, made when it is asked for."""
        images = tf.cast(images, tf.float32)[..., ::-1] - tf.constant(_MEAN_BGR)
        output = self.convolutions["conv1"](tf.cast(images, self.compute_dtype))
        yield "conv1", output
        for number, (_, _, pool) in _FIRES.items():
            if pool:
                output = tf.nn.max_pool2d(output, 3, 2, "VALID")
            squeezed = self.convolutions[f"fire{number}/squeeze1x1"](output)
            expanded = [self.convolutions[f"fire{number}/expand{size}"](squeezed) for size in ("1x1", "3x3")]
            output = tf.concat(expanded, axis=-1)
            yield f"fire{number}", output

    @staticmethod
    def channels(stage: str) -> int:
        """Of the grid of a stage."""
        return 64 if stage == "conv1" else 2 * _FIRES[int(stage.removeprefix("fire"))][1]

    @staticmethod
    def stride(stage: str) -> int:
        """Pixels from one place of a stage's grid to the next."""
        number = 0 if stage == "conv1" else int(stage.removeprefix("fire"))
        return 2 * 2 ** sum(pool for fire, (_, _, pool) in _FIRES.items() if fire <= number)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Of the grid; a side of a convolution or pooling is (side - 3) // 2 + 1."""
        sides = list(input_shape[1:3])
        for _ in range(4):
            sides = [None if side is None else (side - 3) // 2 + 1 for side in sides]
        return (input_shape[0], *sides, 512)

    def read_weights(self, path: str | os.PathLike) -> None:
        """Reads a Keras 1 or 2 weights file (.h5), with or without top, by the layers' names.

        Raises:
            UserError: where it can't be read, or a layer is missing or of another shape.
        """
        if not os.path.isfile(path):
            raise UserError(f"{path}: no such weights file")
        try:
            with h5py.File(path, "r") as file:
                root = file.get("model_weights", file)
                values = {name: _of_layer(root, name, layer, path) for name, layer in self.convolutions.items()}
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"{path}: can't be read as a Keras weights file ({brief(error)})") from error
        for name, layer in self.convolutions.items():
            layer.set_weights(values[name])

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"seed": self.seed}


def _of_layer(
    root: h5py.Group, name: str, layer: keras.layers.Conv2D, path: str | os.PathLike
) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(root.get(name), h5py.Group):
        raise UserError(f"{path}: has no layer {name}; the weights of SqueezeNet v1.1 are wanted")
    found: dict[str, h5py.Dataset] = {}

    def note(at: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[at.rsplit("/")[-1].split(":")[0]] = item

    root[name].visititems(note)
    for part, weight in (("kernel", layer.kernel), ("bias", layer.bias)):
        shape = found[part].shape if part in found else None
        if shape != tuple(weight.shape):
            raise UserError(
                f"{path}: the {part} of {name} has shape {shape}, not {tuple(weight.shape)}; "
                "the weights of SqueezeNet v1.1 are wanted"
            )
    return found["kernel"][()].astype(np.float32), found["bias"][()].astype(np.float32)
