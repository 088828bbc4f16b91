"""How near one set of pictures is to another, by features of them.

Every function takes features of the real and of the fake ones, `<float>[n, units]`, whoever computed them, and works in
float64. Values can be compared only where the features are those of the same network.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from keras_apps.errors import UserError


def distribution_report(real: np.ndarray, fake: np.ndarray, k: int = 5, seed: int = 0) -> dict[str, float]:
    """FID, KID with its standard error, precision, recall, density and coverage.

    Low recall and coverage with a fair precision say that the fakes are good but all alike.

    Args:
        real: `<float>[n, units]`.
        fake: `<float>[m, units]`.
        k: which of the nearest neighbours bounds a ball.
        seed: of the subsets for KID.

    Returns:
        Plain values.

    Raises:
        UserError: where there are too few examples to measure by.
    """
    kid, error = kernel_distance(real, fake, seed=seed)
    precision, recall = precision_recall(real, fake, k)
    density, coverage = density_coverage(real, fake, k)
    return {
        "fid": frechet_distance(real, fake),
        "kid": kid,
        "kid_standard_error": error,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """The Frechet distance of two gaussians with the sets' means and covariances, FID (Heusel 2017).

    ||mean_r - mean_f||^2 + trace(C_r + C_f - 2 (C_r C_f)^(1/2)), of 0 up (https://arxiv.org/abs/1706.08500). Fewer
    examples give a greater value, even of sets from one distribution, and by how much depends on the network: compare
    values for the same numbers of examples only, and take KID for few of them.

    Args:
        real: `<float>[n, units]`; n may be less than the units.
        fake: `<float>[m, units]`.

    Raises:
        UserError: where a set has less than 2 examples, or the sets are of unlike units.
    """
    real, fake = _checked(real, fake, 2)
    means, factors = [], []
    for features in (real, fake):
        means.append(features.mean(0))
        centred = (features - means[-1]) / np.sqrt(len(features) - 1)
        # The covariance is R^T R.
        factors.append(np.linalg.qr(centred, mode="r"))
    # C_r C_f has the same eigenvalues, but for zeros, as (R_r R_f^T) (R_r R_f^T)^T: the trace of its root is the sum of
    # the singular values, which unlike a matrix root is real and exact for covariances of any rank.
    common = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    spread = sum(np.square(factor).sum() for factor in factors)
    return float(max(np.square(means[0] - means[1]).sum() + spread - 2 * common, 0.0))


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The squared maximum mean discrepancy with the kernel (x . y / units + 1)^3, KID (Binkowski 2018).

    The mean of the unbiased estimate over random subsets of both sets (https://arxiv.org/abs/1801.01401): 0 on average
    for sets from one distribution however few the examples, so it may be negative.

    Args:
        real: `<float>[n, units]`.
        fake: `<float>[m, units]`.
        subsets: how many to draw.
        subset_size: examples of each set in one; at most half of the smaller set.
        seed: of the drawing.

    Returns:
        The distance and its standard error, which comes from how subsets that are part of the set differ, scaled to
        the size of the smaller set.

    Raises:
        UserError: where a set has less than 4 examples, or the sets are of unlike units.
    """
    real, fake = _checked(real, fake, 4)
    count = min(len(real), len(fake))
    size = min(subset_size, count // 2)
    random = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        x, y = (features[random.choice(len(features), size, replace=False)] for features in (real, fake))
        within = sum(kernel.sum() - np.trace(kernel) for kernel in (_polynomial(x, x), _polynomial(y, y)))
        values.append(within / (size * (size - 1)) - 2 * _polynomial(x, y).mean())
    # Means of `size` out of `count` without replacement vary by (count - size) / size times the variance of the mean
    # of all.
    return float(np.mean(values)), float(np.std(values, ddof=1) * np.sqrt(size / (count - size)))


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """How many fakes look real, and how many of the real are covered (Kynkaanniemi 2019).

    Precision is the share of fakes in the ball around any real example that reaches its k-th nearest real neighbour,
    recall the same with the sets exchanged (https://arxiv.org/abs/1904.06991).

    Args:
        real: `<float>[n, units]`.
        fake: `<float>[m, units]`.
        k: which neighbour.

    Returns:
        Precision and recall, of 0 to 1.

    Raises:
        UserError: where a set has not more than k examples, or the sets are of unlike units.
    """
    real, fake = _checked(real, fake, k + 1)
    return float(_inside(real, fake, k).any(0).mean()), float(_inside(fake, real, k).any(0).mean())


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Precision and recall that outliers can't spoil (Naeem 2020, https://arxiv.org/abs/2002.09797).

    With the balls around real examples alone: density is the number of balls that a fake is in over k, on average;
    coverage the share of balls that any fake is in. Sets from one distribution have a density of 1 on average, and a
    coverage near 1 - 2^-k.

    Args:
        real: `<float>[n, units]`.
        fake: `<float>[m, units]`.
        k: which neighbour.

    Returns:
        Density of 0 up, coverage of 0 to 1.

    Raises:
        UserError: where a set has not more than k examples, or the sets are of unlike units.
    """
    real, fake = _checked(real, fake, k + 1)
    inside = _inside(real, fake, k)
    return float(inside.sum(0).mean() / k), float(inside.any(1).mean())


def _checked(real: np.ndarray, fake: np.ndarray, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    if min(len(real), len(fake)) < at_least:
        raise UserError(
            f"{len(real)} real and {len(fake)} fake pictures are too few to compare; give at least {at_least} of each"
        )
    if real.shape[1:] != fake.shape[1:]:
        raise UserError(f"features must be of the same network; received {real.shape[1:]} and {fake.shape[1:]} units")
    return real, fake


def _polynomial(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _inside(centres: np.ndarray, others: np.ndarray, k: int) -> np.ndarray:
    """Which others are in each ball, `<bool>[centres, others]`: it reaches the k-th nearest of the other centres."""
    radii = np.partition(euclidean_distances(centres), k, axis=1)[:, k]
    # The distance of equal rows is the root of a rounding error, some 1e-8 of their length, and the radius may be 0.
    rounding = 1e-6 * np.linalg.norm(centres, axis=1)
    return euclidean_distances(centres, others) <= (radii + rounding)[:, None]
