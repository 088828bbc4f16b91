"""Sentiment classification: `python -m apps.sentiment VERB`, or `keras-apps sentiment VERB`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from apps import inputs, runner


@dataclasses.dataclass(frozen=True)
class ModelFlags:
    """The network (SentimentClassifier)."""

    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """Recurrent cell."""
    units: int = 64
    """Units of a recurrent layer, in each direction."""
    depth: int = 1
    """Recurrent layers, one above the other."""
    bidirectional: bool = True
    """Read the text both ways."""
    pooling: Literal["last", "mean", "max", "attention"] = "attention"
    """How the states become one vector; attention can be shown by predict --explain."""
    embedding_dim: int = 64
    """Size of a word's vector."""
    vocabulary_size: int = 20_000
    """Words to learn at the most."""
    max_length: int = 400
    """Words read of a text at the most."""
    training_window: int = 0
    """Words seen of a longer text in training, another part in every epoch; 0 for all."""
    word_dropout: float = 0.2
    """Share of the words left out in training."""
    embedding_dropout: float = 0.2
    """Share of the embedding's dimensions left out in training."""
    dropout: float = 0.3
    """Dropout between the layers."""
    ngram_buckets: int = 0
    """Size of the hash table of the n-gram branch, say 1048576; 0 for no such branch."""
    ngram_order: int = 2
    """Words in its longest n-gram."""
    ngram_dropout: float = 0.3
    """Share of a text's n-grams left out in training."""


@dataclasses.dataclass(frozen=True)
class CompileFlags:
    """The optimizer."""

    learning_rate: float = 2e-3
    """Of Adam."""
    clip_norm: float = 1.0
    """Greatest norm of the gradient."""
    averaging: float = 0.0
    """Momentum of the moving average of the weights that is evaluated and saved, say 0.99; 0 for none."""
    freeze_encoder: bool = False
    """Keep the embedding and the recurrent layers as they are (with --init_from)."""


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The examples."""

    data: str = "demo"
    """demo, tfds:NAME[/CONFIG], a .csv/.tsv/.jsonl table (or .gz), or a folder (.tar, .zip) of such or of classes."""
    text_key: str | None = None
    """Column with the text, where it can't be guessed."""
    label_key: str | None = None
    """Column with the class, where it can't be guessed."""


@dataclasses.dataclass(frozen=True)
class PredictFlags(inputs.TextFlags):
    """The texts."""

    explain: bool = False
    """Answer with the weight of each word instead (for models with attention pooling)."""


def requests(options: PredictFlags) -> tuple[str, Iterable[tuple[runner.Line, runner.Line]]]:
    """The signature, and a request for each text."""
    texts = inputs.texts(options)
    return "explain" if options.explain else "serving_default", (({"text": text}, {"text": text}) for text in texts)


def table(metrics: dict[str, Any]) -> list[str]:
    """The metrics for the terminal."""
    from keras_apps.metrics.classification import report_lines

    return report_lines(metrics)


def draw(metrics: runner.Line, answers: list[runner.Line], examples: Any, folder: Path) -> None:
    """Writes confusion_matrix.png."""
    del answers, examples
    from keras_apps.files import atomic_file
    from keras_apps.metrics.classification import draw_confusion_matrix

    with atomic_file(folder / "confusion_matrix.png") as temporary:
        draw_confusion_matrix(metrics, temporary)


APP = runner.App(
    name="sentiment",
    summary="Text in, its sentiment (or any other class) out, with calibrated probabilities.",
    model="keras_apps.models.sentiment:SentimentClassifier",
    load="keras_apps.data.sentiment:load",
    model_flags=ModelFlags,
    compile_flags=CompileFlags,
    data_flags=DataFlags,
    predict_flags=PredictFlags,
    requests=requests,
    table=table,
    draw=draw,
)

if __name__ == "__main__":
    runner.main(APP)
