"""How well classes are told from a picture or a few of each: one-shot episodes, and verification of pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn import metrics as sklearn_metrics


@dataclasses.dataclass(frozen=True)
class Episode:
    """A question for each of some classes of one group, by the numbers of pictures.

    Args:
        supports: `<int>[ways, shots]`, the pictures that show what the classes are.
        queries: `<int>[ways]`, another picture of each, in the same order.
    """

    supports: np.ndarray
    queries: np.ndarray


def episodes(
    labels: np.ndarray, groups: np.ndarray, *, ways: int, shots: int, count: int, seed: int
) -> Sequence[Episode]:
    """Draws episodes as Lake (2015) does: all classes of one are of one group, an alphabet, say.

    Groups take turns; those with fewer classes than `ways` are left out, unless all have fewer: then there are as many
    ways as the largest has classes.

    Args:
        labels: `<int>[pictures]`, the class of each.
        groups: `<int>[pictures]`.
        ways: classes in an episode.
        shots: pictures that show a class; classes with no more than these are left out.
        count: of the episodes.
        seed: of what is drawn.

    Returns:
        None at all where no group has two classes to tell apart.
    """
    rng = np.random.default_rng(seed)
    pictures: dict[int, dict[int, np.ndarray]] = {}
    for label in np.unique(labels):
        (of_class,) = np.nonzero(labels == label)
        if len(of_class) > shots:
            pictures.setdefault(int(groups[of_class[0]]), {})[int(label)] = of_class
    ways = min(ways, max(map(len, pictures.values()), default=0))
    if ways < 2:
        return []
    large = [some for some in pictures.values() if len(some) >= ways]
    drawn = []
    for number in range(count):
        group = large[number % len(large)]
        classes = rng.choice(list(group), ways, replace=False)
        chosen = [rng.choice(group[label], shots + 1, replace=False) for label in classes]
        drawn.append(Episode(np.stack([each[1:] for each in chosen]), np.array([each[0] for each in chosen])))
    return drawn


def is_right(scores: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Whether the right class has the greatest score of all, alone: a tie is wrong, and so is what is no number.

    Args:
        scores: `<float>[..., ways]`.
        answers: `<int>[...]`, the right class.

    Returns:
        `<bool>[...]`.
    """
    own = np.take_along_axis(scores, answers[..., None], axis=-1)
    # The right class itself is the one that does not exceed.
    return np.count_nonzero(own > scores, axis=-1) == scores.shape[-1] - 1


def mean_and_interval(values: np.ndarray) -> tuple[float, float]:
    """The mean, and half the width of its 95 % confidence interval, by the normal approximation.

    Args:
        values: `<float>[episodes]`, of each its accuracy.
    """
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return float(np.mean(values)), float(1.96 * spread / np.sqrt(len(values)))


def error_rates(scores: np.ndarray, same: np.ndarray, threshold: float) -> tuple[float, float]:
    """The shares of false accepts and of false rejects where what reaches the threshold is accepted.

    Args:
        scores: `<float>[pairs]`.
        same: `<bool>[pairs]`, whether it should be accepted; there are both kinds.
        threshold: of the scores.
    """
    accepted = scores >= threshold
    return float(np.mean(accepted[~same])), float(np.mean(~accepted[same]))


def equal_error(scores: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """The rate at which false accepts are as frequent as false rejects, and the threshold where they are.

    Args:
        scores: `<float>[pairs]`.
        same: `<bool>[pairs]`; there are both kinds.
    """
    false_accepts, true_accepts, thresholds = sklearn_metrics.roc_curve(same, scores, drop_intermediate=False)
    gap = false_accepts - (1 - true_accepts)
    after = int(np.argmax(gap >= 0))
    before = max(after - 1, 0)
    # Between two thresholds both rates are taken to be straight lines.
    part = 0.0 if gap[after] == gap[before] else -gap[before] / (gap[after] - gap[before])
    rate = false_accepts[before] + part * (false_accepts[after] - false_accepts[before])
    low, high = thresholds[after], thresholds[before]
    return float(rate), float(high + part * (low - high) if np.isfinite(high) else low)


def roc_points(scores: np.ndarray, same: np.ndarray, points: int = 100) -> dict[str, list[float]]:
    """False-accept and false-reject rates from the highest threshold to the lowest, about so many of each."""
    false_accepts, true_accepts, _ = sklearn_metrics.roc_curve(same, scores)
    # As many where either rate is small, which is where thresholds are chosen.
    chosen = (
        np.unique(
            np.concatenate(
                [
                    np.geomspace(1, len(false_accepts), points),
                    len(false_accepts) + 1 - np.geomspace(1, len(false_accepts), points),
                ]
            ).astype(int)
        )
        - 1
    )
    return {
        "false_accept_rate": false_accepts[chosen].tolist(),
        "false_reject_rate": (1 - true_accepts[chosen]).tolist(),
    }


def draw_roc(points: Mapping[str, Sequence[float]], path: Path) -> None:
    """Writes the curve of false rejects over false accepts (`roc_points`), both on logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xscale="log", yscale="log")
    rates = [np.maximum(points[name], 1e-4) for name in ("false_accept_rate", "false_reject_rate")]
    axes.plot(*rates)
    axes.plot([1e-4, 1], [1e-4, 1], color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel="false accepts", ylabel="false rejects", title="are two pictures of one class?")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def draw_map(positions: np.ndarray, images: Sequence[np.ndarray], labels: np.ndarray, path: Path) -> None:
    """Writes a map of embeddings: each picture at its place, framed in the colour of its class.

    Args:
        positions: `<float>[pictures, 2]`.
        images: `<uint8>[height, width, 3]` each.
        labels: `<int>[pictures]`.
        path: of the picture to write.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage
    from PIL import Image

    figure = Figure(figsize=(12, 12), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.scatter(*positions.T, s=0)
    axes.margins(0.04)
    axes.set(xticks=(), yticks=())
    colours = colormaps["hsv"]
    classes = {label: index for index, label in enumerate(np.unique(labels))}
    for position, image, label in zip(positions, images, labels, strict=True):
        small = np.asarray(Image.fromarray(image).resize((18, 18), Image.Resampling.LANCZOS))
        # Neighbours in number are far apart in colour.
        colour = colours((classes[label] * 0.618034) % 1)
        frame = {"edgecolor": colour, "linewidth": 1.4}
        axes.add_artist(AnnotationBbox(OffsetImage(small), position, pad=0.05, bboxprops=frame))
    figure.savefig(path, dpi=110)
