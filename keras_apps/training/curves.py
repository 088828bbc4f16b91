"""Pictures of a training's course."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def draw_curves(history: list[dict[str, Any]], path: Path) -> None:
    """One panel a metric, training and validation together, the phases divided by a line.

    Args:
        history: a row for each epoch: `phase`, `epoch`, metrics and `val_` metrics.
        path: of the picture to write.
    """
    metrics = [
        name
        for name in dict.fromkeys(key.removeprefix("val_") for row in history for key in row)
        if name not in ("phase", "epoch", "seconds")
    ]
    columns = min(len(metrics), 3)
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = range(1, len(history) + 1)
    starts = [n for n in range(1, len(history)) if history[n]["phase"] != history[n - 1]["phase"]]
    for index, metric in enumerate(metrics):
        axes = figure.add_subplot(rows, columns, index + 1)
        for key, label, colour in ((metric, "training", "tab:blue"), (f"val_{metric}", "validation", "tab:orange")):
            points = [(epoch, row[key]) for epoch, row in zip(epochs, history, strict=True) if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label, color=colour)
        for start in starts:
            axes.axvline(start + 0.5, color="grey", linewidth=0.8, linestyle="--")
        axes.set_title(metric.replace("_", " "))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
