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
    width, height = 4.6 * columns, 3.4 * rows
    figure = Figure(figsize=(width, height))
    # All panels being alike, what matplotlib's layouts find out in twice the time is known.
    figure.subplots_adjust(
        left=0.75 / width, right=1 - 0.15 / width, top=1 - 0.35 / height, bottom=0.55 / height, wspace=0.25, hspace=0.35
    )
    FigureCanvasAgg(figure)
    epochs = range(1, len(history) + 1)
    starts = [n for n in range(1, len(history)) if history[n]["phase"] != history[n - 1]["phase"]]
    explained = set()
    for index, metric in enumerate(metrics):
        axes = figure.add_subplot(rows, columns, index + 1)
        for key, label, colour in ((metric, "training", "tab:blue"), (f"val_{metric}", "validation", "tab:orange")):
            points = [(epoch, row[key]) for epoch, row in zip(epochs, history, strict=True) if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label, color=colour)
        for start in starts:
            axes.axvline(start + 0.5, color="grey", linewidth=0.8, linestyle="--")
        # Where y is given, matplotlib does not look at all else in the panel for a place.
        axes.set_title(metric.replace("_", " "), y=1.0)
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, len(history) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        labels = {line.get_label() for line in axes.lines if not line.get_label().startswith("_")}
        if not labels <= explained:
            axes.legend()
            explained |= labels
    figure.savefig(path, dpi=110)
