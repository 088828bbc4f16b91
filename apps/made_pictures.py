"""What apps that make pictures by a generator and a discriminator have in common."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from apps import runner


@dataclasses.dataclass(frozen=True)
class AdversarialFlags:
    """The game of generator and discriminator (AdversarialModel)."""

    adversarial_loss: Literal["minimax", "non_saturating", "least_squares", "wasserstein", "hinge"] = "non_saturating"
    """How generator and discriminator play."""
    regulariser: Literal["none", "weight_clipping", "gradient_penalty", "r1"] = "none"
    """Of the discriminator."""
    regulariser_weight: float = 10.0
    """Of it in the loss; of weight_clipping the limit, such as 0.01."""
    learning_rate: float = 2e-4
    """Of the generator's Adam."""
    discriminator_learning_rate: float = 2e-4
    """Of the discriminator's."""
    beta_1: float = 0.5
    """Decay of the first moment of both."""
    updates: Literal["simultaneous", "alternating"] = "simultaneous"
    """Of both networks at once, or of the discriminator first."""
    n_critic: int = 1
    """Steps of the discriminator to one of the generator; more than one with --updates alternating."""
    real_label: float = 1.0
    """The discriminator's target for what is real; below 1 for one-sided label smoothing."""
    fake_label: float = 0.0
    """Its target for what is not; above 0 for two-sided smoothing."""
    flipped_labels: float = 0.0
    """Share of the examples whose target is that of the other side."""
    averaging: float = 0.0
    """Momentum of the moving average of the generator that is evaluated and saved; 0 for none."""


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
