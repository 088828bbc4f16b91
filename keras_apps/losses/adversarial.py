"""Adversarial losses in discriminator and generator pairs, and what keeps a discriminator smooth.

All are pure: what is random (the weights of an interpolation, flipped labels) is drawn by the caller. All are computed
in float32, whatever the discriminator computes in, and give one value per example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, get_args

import tensorflow as tf

from keras_apps.errors import UserError

AdversarialLoss = Literal["minimax", "non_saturating", "least_squares", "wasserstein", "hinge"]

# Inside the root of a norm, whose gradient at 0 would be 0 / 0.
_EPSILON = 1e-12


class _Pair(NamedTuple):
    """(logits, label) -> the discriminator's loss; logits of fakes -> the generator's."""

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    generator: Callable[[tf.Tensor], tf.Tensor]
    soft_labels: bool


def _cross_entropy(logits: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    return tf.nn.softplus(logits) - label * logits


_PAIRS = {
    "minimax": _Pair(_cross_entropy, lambda logits: -tf.nn.softplus(logits), True),
    "non_saturating": _Pair(_cross_entropy, lambda logits: tf.nn.softplus(-logits), True),
    "least_squares": _Pair(
        lambda logits, label: tf.square(logits - label) / 2, lambda logits: tf.square(logits - 1) / 2, True
    ),
    "wasserstein": _Pair(lambda logits, label: (1 - 2 * label) * logits, lambda logits: -logits, False),
    "hinge": _Pair(lambda logits, label: tf.nn.relu(1 + (1 - 2 * label) * logits), lambda logits: -logits, False),
}


def check_labels(name: str, real_label: float, fake_label: float) -> None:
    """Raises UserError for an unknown loss, or labels that it can't be trained towards.

    Args:
        name: of the loss.
        real_label: what the discriminator is to say of what is real; 1, or less where labels are smoothed (.9 is the
            one-sided smoothing of Salimans 2016, https://arxiv.org/abs/1606.03498).
        fake_label: what it is to say of fakes; 0, or more where both sides are smoothed.
    """
    pair = _pair(name)
    if not 0 <= fake_label < real_label <= 1:
        raise UserError(
            f"labels must be 0 <= fake_label < real_label <= 1; received fake_label={fake_label}, "
            f"real_label={real_label}"
        )
    if not pair.soft_labels and (real_label, fake_label) != (1, 0):
        soft = ", ".join(each for each, pair in _PAIRS.items() if pair.soft_labels)
        raise UserError(f"the loss {name} knows real and fake alone; label smoothing is for {soft}")


def discriminator_loss(name: AdversarialLoss, logits: tf.Tensor, label: tf.Tensor | float) -> tf.Tensor:
    """The loss of a discriminator on examples that it is to give this label.

    With x the logit and y the label:
        `minimax`, `non_saturating`: -y log sigmoid(x) - (1 - y) log(1 - sigmoid(x)) (Goodfellow 2014,
        https://arxiv.org/abs/1406.2661), of 0 up;
        `least_squares`: (x - y)^2 / 2 (Mao 2017, https://arxiv.org/abs/1611.04076), of 0 up;
        `wasserstein`: -x where real, x where fake (Arjovsky 2017, https://arxiv.org/abs/1701.07875), unbounded;
        `hinge`: max(0, 1 - x) where real, max(0, 1 + x) where fake (Lim 2017, https://arxiv.org/abs/1705.02894).

    Args:
        name: of the loss.
        logits: `<float>[batch]`, or `<float>[batch, ...]` with one for each patch, over which the mean is taken.
        label: 1 real, 0 fake, in between where `check_labels` lets it; or `<float>[batch]`, such as labels of which
            some are flipped.

    Returns:
        `<float32>[batch]`.

    Raises:
        UserError: for an unknown loss.
    """
    label = tf.reshape(tf.cast(label, tf.float32), [-1, 1])
    return tf.reduce_mean(_pair(name).discriminator(_patches(logits), label), axis=1)


def generator_loss(name: AdversarialLoss, logits: tf.Tensor) -> tf.Tensor:
    """The loss of a generator whose fakes the discriminator gives these logits.

    With x the logit: `minimax` log(1 - sigmoid(x)), of 0 down, whose gradient vanishes where the discriminator is sure;
    `non_saturating` -log sigmoid(x); `least_squares` (x - 1)^2 / 2; `wasserstein` and `hinge` -x. The papers are those
    of `discriminator_loss`.

    Args:
        name: of the loss.
        logits: `<float>[batch]`, or `<float>[batch, ...]` with one for each patch, over which the mean is taken.

    Returns:
        `<float32>[batch]`.

    Raises:
        UserError: for an unknown loss.
    """
    return tf.reduce_mean(_pair(name).generator(_patches(logits)), axis=1)


def gradient_penalty(
    discriminator: Callable[[Any], tf.Tensor],
    real: Any,
    fake: Any,
    weights: tf.Tensor,
    target: float = 1.0,
    one_sided: bool = False,
) -> tf.Tensor:
    """How far the slope of a discriminator is from the target, between real and fake (Gulrajani 2017).

    (||gradient of D at x||_2 - target)^2 at x = weight * real + (1 - weight) * fake, D being the mean over patches
    (https://arxiv.org/abs/1704.00028, which adds 10 times this to the loss). A discriminator with batch normalisation
    has no gradient of its own for each example, and is no use here.

    Args:
        discriminator: inputs -> logits `<float>[batch, ...]`.
        real: its inputs, `<float>[batch, ...]` or a tuple, list or dict of them. A part that is the same tensor in
            `fake`, such as the sentence that a picture goes with, is passed on as it is and not differentiated.
        fake: the like.
        weights: `<float>[batch]`, uniform in 0 to 1 (not normal, as is found in places).
        target: of the norm; 0 asks for a flat discriminator.
        one_sided: whether a smaller slope than the target is as good.

    Returns:
        `<float32>[batch]`, of 0 up.
    """

    def between(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        if one is other:
            return one
        weight = tf.reshape(tf.cast(weights, tf.float32), [-1] + [1] * (one.shape.rank - 1))
        return tf.cast(weight * tf.cast(one, tf.float32) + (1 - weight) * tf.cast(other, tf.float32), one.dtype)

    mixed = tf.nest.map_structure(between, real, fake)
    distance = tf.sqrt(_squared_slope(discriminator, mixed, fake) + _EPSILON) - target
    return tf.square(tf.nn.relu(distance) if one_sided else distance)


def r1_penalty(discriminator: Callable[[Any], tf.Tensor], real: Any, fake: Any = None) -> tf.Tensor:
    """Half the squared norm of a discriminator's gradient at what is real (Mescheder 2018).

    ||gradient of D at x||_2^2 / 2, D being the mean over patches (https://arxiv.org/abs/1801.04406, which adds 10
    times this to the loss).

    Args:
        discriminator: inputs -> logits `<float>[batch, ...]`.
        real: its inputs, `<float>[batch, ...]` or a tuple, list or dict of them.
        fake: the like. Parts of `real` that are the same tensors in it are not differentiated; None where every part
            of `real` is to be.

    Returns:
        `<float32>[batch]`, of 0 up.
    """
    return _squared_slope(discriminator, real, fake) / 2


def clip_weights(variables: Iterable[tf.Variable], limit: float) -> None:
    """Brings every weight back to -limit..limit after a step, the first way to bound a slope (Arjovsky 2017).

    Args:
        variables: the trainable ones of the discriminator.
        limit: .01 in the paper, https://arxiv.org/abs/1701.07875.
    """
    for variable in variables:
        variable.assign(tf.clip_by_value(variable, -limit, limit))


def _pair(name: str) -> _Pair:
    if name not in _PAIRS:
        raise UserError(
            f"the adversarial loss must be one of {', '.join(get_args(AdversarialLoss))}; received {name!r}"
        )
    return _PAIRS[name]


def _patches(logits: tf.Tensor) -> tf.Tensor:
    """`<float>[batch, ...]` -> `<float32>[batch, patches]`."""
    return tf.reshape(tf.cast(logits, tf.float32), [tf.shape(logits)[0], -1])


def _squared_slope(discriminator: Callable[[Any], tf.Tensor], inputs: Any, others: Any) -> tf.Tensor:
    """The squared norm of the gradient at each example, with respect to what is not the same tensor in `others`."""
    flat = tf.nest.flatten(inputs)
    known = {id(part) for part in tf.nest.flatten(others)}
    moving = [part for part in flat if id(part) not in known]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(moving)
        score = tf.reduce_mean(_patches(discriminator(inputs)), axis=1)
    gradients = tape.gradient(score, moving, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.add_n([tf.reduce_sum(tf.square(_patches(gradient)), axis=1) for gradient in gradients])
