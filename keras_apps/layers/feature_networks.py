"""Networks that see a picture's content and style: RGB of 0 to 255 in, the features of layers named out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_apps.errors import UserError, brief
from keras_apps.layers.picture_encoders import IMAGENET, SCRATCH, SQUEEZENET
from keras_apps.layers.squeezenet import SqueezeNet

DEFAULT_LAYERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    SCRATCH: (("conv3_2",), ("conv1_1", "conv2_1", "conv3_1", "conv4_1")),
    SQUEEZENET: (("fire4",), ("conv1", "fire3", "fire5", "fire7")),
    "VGG16": (("block4_conv2",), tuple(f"block{block}_conv1" for block in range(1, 6))),
    "VGG19": (("block4_conv2",), tuple(f"block{block}_conv1" for block in range(1, 6))),
}
"""Of each network, the layers for the content and those for the style, unless others are chosen."""

_FILTERS = {1: (32, 32), 2: (64, 64), 3: (128, 128), 4: (128, 128)}
"""Of the convolutions of each block of the network from scratch."""
_MEAN_BGR = (103.939, 116.779, 123.68)


@keras.saving.register_keras_serializable(package="keras_apps")
class FeatureNetwork(keras.layers.Layer):
    """`<float>[batch, height, width, 3]` of 0 to 255 -> `<float>[batch, rows, columns, channels]` of each layer.

    Nothing is computed that no layer asked for depends on.

    Args:
        network: `scratch`, a small net of blocks of 3 x 3 convolutions (`conv1_1` to `conv4_2`) to be trained here;
            `squeezenet` (`conv1`, `fire2` to `fire9`); `VGG16` or `VGG19` of `keras.applications` (`block1_conv1` and
            so on; Simonyan 2015, https://arxiv.org/abs/1409.1556).
        layers: names, in any order; the answer is in theirs.
        seed: of the initial weights.

    Raises:
        UserError: where there is no such network or layer.
    """

    def __init__(self, network: str, layers: Sequence[str], seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.layers = list(layers)
        self.seed = seed
        if network not in DEFAULT_LAYERS:
            raise UserError(f"encoder must be one of {', '.join(DEFAULT_LAYERS)}; received {network!r}")
        if network == SQUEEZENET:
            self.body = SqueezeNet(seed, name="squeezenet", dtype=self.dtype_policy)
            self.body.build((None, None, None, 3))
            known = ["conv1", *(f"fire{number}" for number in range(2, 10))]
        else:
            whole = _scratch(seed, self.dtype_policy) if network == SCRATCH else self._application(None)
            known = [layer.name for layer in whole.layers if isinstance(layer, keras.layers.Conv2D)]
        for layer in self.layers:
            if layer not in known:
                raise UserError(f"{network} has no layer {layer!r}; it has {', '.join(known)}")
        if network != SQUEEZENET:
            self.body = keras.Model(whole.input, [whole.get_layer(layer).output for layer in self.layers], name=network)
        self.built = True

    def call(self, images: tf.Tensor) -> list[tf.Tensor]:
        """The features of each layer."""
        images = tf.cast(images, tf.float32)
        if self.network == SQUEEZENET:
            found: dict[str, tf.Tensor] = {}
            for name, grid in self.body.stages(images):
                found[name] = grid
                if found.keys() >= set(self.layers):
                    break
            return [found[layer] for layer in self.layers]
        images = images / 127.5 - 1 if self.network == SCRATCH else images[..., ::-1] - tf.constant(_MEAN_BGR)
        outputs = self.body(tf.cast(images, self.compute_dtype))
        return outputs if isinstance(outputs, list) else [outputs]

    def channels(self) -> list[int]:
        """Of each layer's features."""
        if self.network == SQUEEZENET:
            return [self.body.channels(layer) for layer in self.layers]
        return [output.shape[-1] for output in self.body.outputs]

    def strides(self) -> list[int]:
        """Pixels from one place to the next in each layer's features."""
        if self.network == SQUEEZENET:
            return [self.body.stride(layer) for layer in self.layers]
        # Each block but the first begins with pooling, and a layer's name with its block.
        return [2 ** (int(re.search(r"\d", layer)[0]) - 1) for layer in self.layers]

    def read_weights(self, source: str) -> None:
        """Reads what the network has learned elsewhere; nothing for one from scratch.

        Args:
            source: `imagenet` for what Keras fetches and keeps (VGG16, VGG19), or a weights file.

        Raises:
            UserError: where the weights can't be had.
        """
        if self.network == SCRATCH:
            return
        if self.network == SQUEEZENET:
            if source == IMAGENET:
                raise UserError(
                    "the weights of squeezenet are nowhere to be fetched from; name their .h5: --encoder_weights FILE"
                )
            self.body.read_weights(source)
            return
        try:
            pretrained = self._application(source)
        except Exception as error:
            raise UserError(
                f"the {source} weights of {self.network} can't be had ({brief(error)}); without a network name a "
                f"weights file without top (--encoder_weights FILE), or use --encoder {SCRATCH}"
            ) from error
        for layer in filter(lambda layer: layer.weights, self.body.layers):
            layer.set_weights(pretrained.get_layer(layer.name).get_weights())

    def _application(self, weights: str | None) -> keras.Model:
        """The network of `keras.applications`, which takes no dtype of its own, with ours."""
        whole = getattr(keras.applications, self.network)(weights=weights, include_top=False)
        copy = keras.models.clone_model(
            whole, clone_function=lambda layer: layer.from_config(layer.get_config() | {"dtype": self.dtype_policy})
        )
        if weights:
            copy.set_weights(whole.get_weights())
        return copy

    def get_config(self) -> dict:
        """The arguments of the constructor."""
        return super().get_config() | {"network": self.network, "layers": self.layers, "seed": self.seed}


def _scratch(seed: int, dtype: keras.dtype_policies.DTypePolicy) -> keras.Model:
    output = inputs = keras.Input((None, None, 3))
    for block, filters in _FILTERS.items():
        if block > 1:
            output = keras.layers.AveragePooling2D(2, dtype=dtype)(output)
        for number, units in enumerate(filters, 1):
            # Zeros around a picture would be seen, and framed in what is searched for.
            output = keras.ops.pad(output, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric")
            output = keras.layers.Conv2D(
                units,
                3,
                activation="relu",
                kernel_initializer=keras.initializers.HeNormal(seed + 10 * block + number),
                name=f"conv{block}_{number}",
                dtype=dtype,
            )(output)
    return keras.Model(inputs, output)
