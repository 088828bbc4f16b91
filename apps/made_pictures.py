"""How apps that make pictures measure them."""

from __future__ import annotations

import dataclasses
from typing import Any

from apps import runner


@dataclasses.dataclass(frozen=True)
class MeasuringFlags:
    """What FID and KID see pictures with."""

    features: str = "scratch"
    """scratch (a fixed random net), squeezenet, or a keras.applications name (InceptionV3, ...)."""
    feature_weights: str = ""
    """Of a pre-trained one: imagenet, which Keras fetches (not for squeezenet), or a weights .h5; empty for scratch."""


def measure(model: Any, examples: Any, batch_size: int, options: MeasuringFlags) -> runner.Line:
    """The model's metrics, with FID and KID."""
    from keras_apps.layers.picture_features import extractor

    return model.measure(examples, batch_size, extractor(options.features, options.feature_weights))


def table(metrics: runner.Line) -> list[str]:
    """The metrics for the terminal."""
    return [f"{name:<26} {value:.4f}" for name, value in metrics.items() if isinstance(value, float)]
