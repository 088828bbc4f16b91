"""Translation with attention: `python -m apps.translation VERB`, or `keras-apps translation VERB`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from apps import inputs, runner
from keras_apps.errors import UserError


@dataclasses.dataclass(frozen=True)
class ModelFlags:
    """The network (Translator)."""

    architecture: Literal["rnn", "transformer"] = "rnn"
    """Recurrent encoder and decoder with attention, or a transformer."""
    tokenizer: Literal["subwords", "words"] = "subwords"
    """What sentences are cut into."""
    vocabulary_size: int = 4_000
    """Tokens to learn at the most, for both languages together."""
    max_length: int = 128
    """Tokens of a sentence at the most; longer ones are cut in training and refused in requests."""
    units: int = 256
    """Units of the states."""
    depth: int = 1
    """Layers of the encoder, and as many of the decoder."""
    dropout: float = 0.3
    """Dropout between the layers."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell of the rnn."""
    embedding_dim: int = 256
    """Size of a token's vector in the rnn; a transformer's is units."""
    attention: Literal["additive", "dot", "general", "concat", "scaled_dot", "none"] = "general"
    """Score of the rnn's attention."""
    heads: int = 4
    """Heads of the transformer's attention."""
    feedforward_units: int = 512
    """Hidden units of the transformer's layers."""
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    """How the transformer tells places apart."""
    beams: int = 4
    """Width of the beam search that answers; 1 is greedy."""
    length_penalty: float = 1.0
    """Hypotheses are ranked by log-probability / length ** length_penalty."""


@dataclasses.dataclass(frozen=True)
class CompileFlags:
    """The optimizer."""

    learning_rate: float = 2e-3
    """Of Adam, at its peak."""
    warmup_steps: int = 500
    """Steps until the peak, after which it falls with the inverse square root; 0 for a constant rate."""
    label_smoothing: float = 0.1
    """Probability given to all tokens alike."""
    clip_norm: float = 1.0
    """Greatest norm of the gradient."""
    averaging: float = 0.0
    """Momentum of the moving average of the weights that is evaluated and saved, say 0.998; 0 for none."""


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The examples."""

    data: str = "demo"
    """demo, tfds:NAME[/CONFIG], a table of pairs, a prefix of parallel files (corpus/train), a folder (.tar, .zip)."""
    source_key: str | None = None
    """Column or language (of parallel files) to translate."""
    target_key: str | None = None
    """Column or language to translate into."""
    max_words: int = 100
    """Words of the longer side of a pair to train on."""
    max_ratio: float = 3.0
    """Words of the longer side to those of the shorter, in a pair to train on."""


@dataclasses.dataclass(frozen=True)
class PredictFlags(inputs.TextFlags):
    """The sentences."""

    n_best: bool = False
    """Answer with all hypotheses of the beam, best first."""
    explain: bool = False
    """Answer with what each piece of the translation attends to (for models with attention)."""
    output: str = ""
    """Folder for a picture of each sentence's attention, with --explain."""


@dataclasses.dataclass(frozen=True)
class AnsweringFlags:
    """How to search for the words, in place of the model's own settings; fixed in what is exported."""

    beams: int | None = None
    """Width of the beam search; 1 is greedy."""
    length_penalty: float | None = None
    """Hypotheses are ranked by log-probability / length ** length_penalty."""


def requests(options: PredictFlags) -> tuple[str, Iterable[tuple[runner.Line, runner.Line]]]:
    """The signature, and a request for each sentence."""
    if options.n_best and options.explain:
        raise UserError("--n_best and --explain are two questions; ask one at a time")
    if options.output and not options.explain:
        raise UserError("--output is for pictures of attention; give --explain too")
    signature = "n_best" if options.n_best else "explain" if options.explain else "serving_default"
    texts = inputs.texts(options)
    return signature, (({"source": text}, {"text": text}) for text in texts)


def present(
    options: PredictFlags, index: int, shown: runner.Line, request: runner.Line, outcome: runner.Line
) -> runner.Line:
    """The answer; its attention as a picture where there is `--output`."""
    del request
    if not options.explain:
        return shown | outcome
    source = [token for token in outcome["source_tokens"] if token]
    target = [token for token in outcome["tokens"] if token]
    weights = [row[: len(source)] for row in outcome["weights"][: len(target)]]
    if not options.output:
        return shown | {"source_tokens": source, "tokens": target, "weights": weights}
    from keras_apps.drawing import draw_attention
    from keras_apps.files import atomic_file

    path = Path(options.output) / f"attention_{index:04d}.png"
    with atomic_file(path) as temporary:
        draw_attention(source, target, weights, temporary)
    return shown | {"tokens": target, "attention": str(path)}


def table(metrics: dict[str, Any]) -> list[str]:
    """The metrics for the terminal."""
    from keras_apps.metrics.translation import report_lines

    return report_lines(metrics)


def draw(metrics: runner.Line, answers: list[runner.Line], examples: Any, folder: Path) -> None:
    """Writes hypotheses.txt, a translation on each line, in the order of the examples."""
    del metrics, examples
    from keras_apps.files import atomic_file

    with atomic_file(folder / "hypotheses.txt") as temporary:
        temporary.write_text("".join(" ".join(answer["translation"].split()) + "\n" for answer in answers))


APP = runner.App(
    name="translation",
    summary="A sentence in, its translation out.",
    model="keras_apps.models.translation:Translator",
    load="keras_apps.data.translation:load",
    model_flags=ModelFlags,
    compile_flags=CompileFlags,
    data_flags=DataFlags,
    splitting=runner.SplitFlags(validation_fraction=0.05, test_fraction=0.05),
    predict_flags=PredictFlags,
    requests=requests,
    table=table,
    draw=draw,
    present=present,
    answering_flags=AnsweringFlags,
)

if __name__ == "__main__":
    runner.main(APP)
