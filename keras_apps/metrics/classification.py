"""What to report of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import metrics as sklearn_metrics

from keras_apps.metrics.calibration import expected_calibration_error

_NUMBERED = 20


def classification_report(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, macro F1, ROC AUC, log loss, calibration error, and the confusion matrix.

    Args:
        probabilities: `<float>[examples, classes]`, rows sum to 1.
        labels: `<int>[examples]`.
        class_names: of the columns.

    Returns:
        Plain values. Macro F1 is the mean over the classes that occur or are predicted. ROC AUC of more than two
        classes is that of each against the rest, over those that occur; it is None where only one class occurs.
    """
    classes = len(class_names)
    probabilities = np.asarray(probabilities, np.float64)
    predicted = probabilities.argmax(-1)
    confusion = sklearn_metrics.confusion_matrix(labels, predicted, labels=range(classes))
    present = [c for c in range(classes) if 0 < np.sum(labels == c) < len(labels)]
    areas = [sklearn_metrics.roc_auc_score(labels == c, probabilities[:, c]) for c in present]
    return {
        "examples": len(labels),
        "accuracy": float((predicted == labels).mean()),
        "macro_f1": float(sklearn_metrics.f1_score(labels, predicted, average="macro", zero_division=0.0)),
        "roc_auc": float(np.mean(areas)) if areas else None,
        "log_loss": float(sklearn_metrics.log_loss(labels, probabilities, labels=range(classes))),
        "calibration_error": expected_calibration_error(probabilities, labels),
        "class_names": list(class_names),
        "confusion_matrix": confusion.tolist(),
    }


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report as a table for the terminal; rows of the confusion matrix are true classes."""
    lines = [f"{'data':<26} {report['data']} ({report['split']}, {report['examples']} examples)"]
    for name, value in report.items():
        if value is None or isinstance(value, float):
            lines.append(f"{name.replace('_', ' '):<26} " + ("-" if value is None else f"{value:.4f}"))
    names = report["class_names"]
    width = max(12, *(len(name) + 2 for name in names))
    lines.append(f"{'true / predicted':<26} " + "".join(f"{name:>{width}}" for name in names))
    for name, row in zip(names, report["confusion_matrix"], strict=True):
        lines.append(f"{name:<26} " + "".join(f"{count:>{width}}" for count in row))
    return lines


def draw_confusion_matrix(report: dict[str, Any], path: Path) -> None:
    """Writes the confusion matrix as a picture, coloured by the share of each true class."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.asarray(report["confusion_matrix"])
    names = report["class_names"]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    # Of more classes numbers could not be read.
    has_numbers = len(names) <= _NUMBERED
    size = 2.6 + 0.7 * min(len(names), _NUMBERED)
    rotation = 0 if len(names) <= 4 else 45 if has_numbers else 90
    font = {"parse_math": False, "fontsize": max(1, 10 * min(1, _NUMBERED / len(names)))}
    figure = Figure(figsize=(size, size), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=rotation, **font)
    axes.set_yticks(range(len(names)), names, **font)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"accuracy {report['accuracy']:.3f}")
    for row, column in np.ndindex(counts.shape) if has_numbers else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = f"{counts[row, column]}\n{shares[row, column]:.1%}"
        axes.text(column, row, text, ha="center", va="center", color=colour)
    figure.savefig(path, dpi=110)
