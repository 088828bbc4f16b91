"""Image captioning: `python -m apps.captioning VERB`, or `keras-apps captioning VERB`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from apps import inputs, runner
from keras_apps.errors import UserError

SHOWN = 24
"""Pictures on the contact sheet."""


@dataclasses.dataclass(frozen=True)
class ModelFlags:
    """The network (ImageCaptioner)."""

    encoder: str = "scratch"
    """scratch (a small net trained with the rest), squeezenet, or a keras.applications name (MobileNetV3Small, ...)."""
    encoder_weights: str = "imagenet"
    """Of a pre-trained encoder: imagenet, which Keras fetches (not for squeezenet), or a weights .h5."""
    image_size: int = 96
    """Side of the square that pictures are squashed to."""
    architecture: Literal["rnn", "transformer"] = "transformer"
    """The decoder: that of Show, Attend and Tell, or a transformer."""
    vocabulary_size: int = 4_000
    """Words to learn at the most."""
    max_length: int = 32
    """Words of a caption at the most; longer ones are cut in training."""
    units: int = 256
    """Units of the decoder's states."""
    dropout: float = 0.3
    """Dropout of the features and in the decoder."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Recurrent cell of the rnn."""
    embedding_dim: int = 256
    """Size of a word's vector in the rnn; a transformer's is units."""
    attention: Literal["additive", "dot", "general", "concat", "scaled_dot"] = "additive"
    """Score of the rnn's attention."""
    depth: int = 2
    """Layers of the transformer."""
    heads: int = 4
    """Heads of the transformer's attention."""
    feedforward_units: int = 512
    """Hidden units of the transformer's layers."""
    beams: int = 4
    """Width of the beam search that answers; 1 is greedy."""
    length_penalty: float = 1.0
    """Hypotheses are ranked by log-probability / length ** length_penalty."""


@dataclasses.dataclass(frozen=True)
class CompileFlags:
    """The optimizer."""

    learning_rate: float = 1e-3
    """Of Adam, at its peak."""
    encoder_learning_rate: float = 0.0
    """Of a pre-trained encoder; 0 keeps it as it is, and computes its features once."""
    warmup_steps: int = 500
    """Steps until the peak, after which it falls with the inverse square root; 0 for a constant rate."""
    label_smoothing: float = 0.0
    """Probability given to all words alike."""
    attention_penalty: float = 1.0
    """Weight of the penalty on places that a caption attends to too little or too much."""
    clip_norm: float = 1.0
    """Greatest norm of the gradient."""
    averaging: float = 0.0
    """Momentum of the moving average of the weights that is evaluated and saved, say 0.998; 0 for none."""


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The examples."""

    data: str = "demo"
    """demo, tfds:NAME[/CONFIG], or a folder (.tar, .zip) with pictures and captions.csv, or as Flickr8k or Karpathy."""
    image_key: str | None = None
    """Column with the picture's name, where it can't be guessed."""
    caption_key: str | None = None
    """Column with the caption, where it can't be guessed."""


@dataclasses.dataclass(frozen=True)
class PredictFlags(inputs.PictureFlags):
    """The pictures."""

    explain: bool = False
    """Answer with where each word looks."""
    output: str = ""
    """Folder for pictures of what each word looks at, with --explain."""


@dataclasses.dataclass(frozen=True)
class AnsweringFlags:
    """How to search for the words, in place of the model's own settings; fixed in what is exported."""

    beams: int | None = None
    """Width of the beam search; 1 is greedy."""
    length_penalty: float | None = None
    """Hypotheses are ranked by log-probability / length ** length_penalty."""


def requests(options: PredictFlags) -> tuple[str, Iterable[tuple[runner.Line, runner.Line]]]:
    """The signature, and a request for each picture."""
    if options.output and not options.explain:
        raise UserError("--output is for pictures of attention; give --explain too")
    images = inputs.chosen(options.image, options.input)
    return "explain" if options.explain else "serving_default", inputs.pictures(images)


def present(
    options: PredictFlags, index: int, shown: runner.Line, request: runner.Line, outcome: runner.Line
) -> runner.Line:
    """The caption; what each word looks at as a picture where there is `--output`."""
    del request
    if not options.explain:
        return shown | outcome
    words = [word for word in outcome["words"] if word]
    weights = outcome["weights"][: len(words)]
    if not options.output:
        return shown | {"words": words, "weights": weights}
    from keras_apps.data.images import read_image
    from keras_apps.drawing import draw_attention_on_image
    from keras_apps.files import atomic_file

    path = Path(options.output) / f"attention_{index:04d}.png"
    with atomic_file(path) as temporary:
        draw_attention_on_image(read_image(shown["image"]), words, weights, temporary)
    return shown | {"words": words, "attention": str(path)}


def measure(model: Any, examples: Any, batch_size: int, options: runner.NoFlags) -> runner.Line:
    """The model's metrics; on the generated scenes, whose captions tell the truth, also the share of true captions."""
    del options
    from keras_apps.data.demo_scenes import share_of_true

    metrics = model.measure(examples, batch_size)
    share = share_of_true((answer["caption"], answer["references"]) for answer in metrics["answers"])
    return metrics if share is None else metrics | {"true_captions": share}


def table(metrics: runner.Line) -> list[str]:
    """The metrics for the terminal."""
    from keras_apps.metrics.captions import report_lines

    lines = report_lines(metrics)
    if "true_captions" in metrics:
        lines.append(f"{'true captions':<26} {metrics['true_captions']:.4f}")
    return lines


def draw(metrics: runner.Line, answers: list[runner.Line], examples: Any, folder: Path) -> None:
    """Writes contact_sheet.png, the first pictures with their captions."""
    del metrics
    from keras_apps.drawing import draw_contact_sheet
    from keras_apps.files import atomic_file

    images = [example["image"] for example in examples.take(SHOWN).as_numpy_iterator()]
    captions = [answer["caption"] for answer in answers[: len(images)]]
    with atomic_file(folder / "contact_sheet.png") as temporary:
        draw_contact_sheet(images, captions, temporary)


APP = runner.App(
    name="captioning",
    summary="A picture in, a sentence on it out.",
    model="keras_apps.models.captioning:ImageCaptioner",
    load="keras_apps.data.captioning:load",
    model_flags=ModelFlags,
    compile_flags=CompileFlags,
    data_flags=DataFlags,
    predict_flags=PredictFlags,
    requests=requests,
    measure=measure,
    table=table,
    draw=draw,
    present=present,
    answering_flags=AnsweringFlags,
    predict_batch=32,
)

if __name__ == "__main__":
    runner.main(APP)
