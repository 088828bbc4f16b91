"""Style transfer: `python -m apps.style_transfer VERB`, or `keras-apps style_transfer VERB`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import simple_parsing

from apps import inputs, runner
from keras_apps.errors import UserError
from keras_apps.training.config import TrainingConfig

_GRID = "grid.png"

TILE = 256
"""Side of a picture in the grid, in pixels."""


@dataclasses.dataclass(frozen=True)
class ModelFlags:
    """The method, the network that sees, and the losses (StyleTransfer)."""

    method: Literal["optimise", "feedforward", "arbitrary"] = "optimise"
    """optimise searches for each picture; feedforward (one style) and arbitrary (any) are trained and paint at once."""
    encoder: Literal["scratch", "squeezenet", "VGG16", "VGG19"] = "scratch"
    """What sees content and style; from scratch it is trained on the run's own pictures."""
    encoder_weights: str = "imagenet"
    """Of another one: imagenet, which Keras fetches (VGG16, VGG19), or a weights .h5."""
    content_layers: tuple[str, ...] = ()
    """By which content is compared, NAME or NAME:WEIGHT; by default those that suit the encoder."""
    style_layers: tuple[str, ...] = ()
    """By which style is compared, likewise."""
    statistics: str | None = simple_parsing.choice("gram", "moments", default=None)
    """Of a layer that are its style: Gram matrices, or mean and deviation of each channel (default for arbitrary)."""
    content_weight: float = 0.1
    """Of the content's loss; the style's counts once."""
    variation_weight: float | None = None
    """Of the total variation; by default 0.3, for an encoder from scratch 0.03."""
    image_size: int = 384
    """Longer side of the pictures that are worked on, a multiple of 32 up to 1024."""
    style_scale: float = 1.0
    """Size of the style beside that; a larger style has larger strokes."""
    steps: int = 100
    """Of the search, at each scale."""
    scales: int = 3
    """Of the search, each of twice the size of that before."""
    step_size: float = 8.0
    """By which a pixel of 0 to 255 may change in the first step of the search."""
    filters: int = 16
    """Of the painting network's level of all pixels."""
    crop_size: int = 128
    """Of the squares that are trained on, a multiple of 32."""
    keep_colours: Literal["no", "luminance", "matched"] = "no"
    """luminance keeps the content's colours, matched gives the style colours like the content's."""
    intermediates: int = 0
    """Pictures of the way there to answer too (optimise)."""
    progress: int = 0
    """Steps of the search after which losses are printed; 0 for never."""


@dataclasses.dataclass(frozen=True)
class CompileFlags:
    """The optimizers."""

    learning_rate: float = 1e-3
    """Of the network that paints."""
    encoder_learning_rate: float = 1e-3
    """Of an encoder from scratch."""
    averaging: float = 0.99
    """Momentum of the moving average of the painting network that is evaluated and saved; 0 for none."""


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The examples."""

    data: str = "demo"
    """demo, tfds:NAME[/CONFIG], or a folder (.tar, .zip) with content/ and style/, or of contents alone."""
    styles: tuple[str, ...] = ()
    """Where further styles are from: demo, tfds:NAME, folders; one or more."""
    style: str = ""
    """Name of the one picture to take for a style, say for feedforward."""
    image_key: str | None = None
    """Feature of a tfds set that is the picture, where it can't be guessed."""


@dataclasses.dataclass(frozen=True)
class AnsweringFlags:
    """How to answer, in place of the model's own settings; fixed in what is exported."""

    image_size: int | None = None
    """Longer side of the pictures that are worked on, a multiple of 32 up to 1024; by default the model's own."""
    style_scale: float | None = None
    """Size of the style beside that; by default the model's own."""
    steps: int | None = None
    """Of the search, at each scale; by default the model's own."""
    scales: int | None = None
    """Of the search, each of twice the size of that before; by default the model's own."""
    content_weight: float | None = None
    """Of the content's loss, where the search is the method; by default the model's own."""
    variation_weight: float | None = None
    """Of the total variation, likewise; by default the model's own."""
    keep_colours: str | None = simple_parsing.choice("no", "luminance", "matched", default=None)
    """luminance keeps the content's colours, matched gives the style colours like the content's."""
    intermediates: int | None = None
    """Pictures of the way there to answer too (optimise)."""
    progress: int | None = None
    """Print the losses of the search after every so many steps; not for what is exported."""


@dataclasses.dataclass(frozen=True)
class MeasuringFlags:
    """What to measure with."""

    pairs: int = 6
    """Contents to look at, each in one of the styles."""
    optimum_steps: int = 300
    """Of the search to compare with, at each scale; 0 for none."""


@dataclasses.dataclass(frozen=True)
class PredictFlags(inputs.PictureFlags):
    """The contents and the styles."""

    style: list[str] = inputs.repeated(str)
    """A style's file, or a folder of them; may be given several times. None for a feedforward model."""
    style_weight: float = 1.0
    """Of the style; 0 is the content as it is, and above 1 is for optimise alone."""
    share: list[float] = inputs.repeated(float)
    """Mixes all styles into one, up to four, this being the share of the first; give one for each style."""
    output: str = ""
    """Folder for the answers, CONTENT-STYLE.png, and grid.png with all of them, contents below each other."""


def requests(options: PredictFlags) -> tuple[str, Iterable[tuple[runner.Line, runner.Line]]]:
    """The signature, and a request for each content in each style, or in all of them."""
    inputs.check_output(options.output)
    contents = inputs.chosen(options.image, options.input)
    styles = _styles(options)
    if options.share and len(options.share) != len(styles):
        raise UserError(
            f"there are {len(styles)} styles, but {len(options.share)} times --share; give one for each style"
        )

    shown_styles = ["mix"] if options.share else styles or [""]
    outputs = {content: [_path(options.output, content, style) for style in shown_styles] for content in contents}
    if sum(map(len, outputs.values())) > 1:
        outputs[contents[0]].append(Path(options.output) / _GRID)
    inputs.check_outputs(dict.fromkeys(styles, ()) | outputs)

    def each() -> Iterator[tuple[runner.Line, runner.Line]]:
        from keras_apps.data.images import image_bytes

        encoded = {style: image_bytes(style) for style in styles}
        for shown, content in inputs.pictures(contents):
            request = {"content_bytes": content["image_bytes"], "style_weight": options.style_weight}
            if options.share:
                yield (
                    shown | {"styles": styles},
                    request | {"styles_bytes": list(encoded.values()), "shares": options.share},
                )
            for style in [] if options.share else styles:
                yield shown | {"style": style}, request | {"style_bytes": encoded[style]}
            if not styles:
                yield shown, request | {"style_bytes": b""}

    return "mix" if options.share else "serving_default", each()


def _styles(options: PredictFlags) -> list[str]:
    return [path for style in options.style for path in (inputs.files(style) if Path(style).is_dir() else [style])]


def present(
    options: PredictFlags, index: int, shown: runner.Line, request: runner.Line, outcome: runner.Line
) -> runner.Line:
    """Where the pictures were written."""
    del index, request
    from keras_apps.files import atomic_file

    path = _path(options.output, shown["image"], "mix" if options.share else shown.get("style", ""))

    def write(path: Path, content: bytes) -> str:
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)
        return str(path)

    line = shown | {"output": write(path, outcome["image_bytes"])}
    if between := outcome.get("intermediate_bytes"):
        names = [path.with_name(f"{path.stem}-{number:02d}.png") for number in range(1, len(between) + 1)]
        line["intermediates"] = [write(*each) for each in zip(names, between, strict=True)]
    return line


def overview(options: PredictFlags, answered: Sequence[runner.Line]) -> runner.Line | None:
    """The grid of all pictures, where there are several."""
    from keras_apps.files import atomic_file

    if len(answered) == 1:
        return None
    made = {(line["image"], line.get("style", "")): line["output"] for line in answered}
    contents, styles = (list(dict.fromkeys(names)) for names in zip(*made, strict=True))
    grid = Path(options.output) / _GRID
    with atomic_file(grid) as temporary:
        rows = [[made.get((content, style)) for style in styles] for content in contents]
        _draw_grid(contents, styles if any(styles) else [], rows, temporary)
    return {"grid": str(grid)}


def _path(folder: str, content: str, style: str) -> Path:
    return Path(folder) / f"{'-'.join(filter(None, (Path(content).stem, Path(style).stem)))}.png"


def _draw_grid(
    contents: Sequence[str], styles: Sequence[str], made: Sequence[Sequence[str | None]], path: Path
) -> None:
    """A row for each content, which comes first, and above all the styles; what was refused is left white."""
    import numpy as np
    from PIL import Image, ImageOps

    from keras_apps.data.images import read_image
    from keras_apps.drawing import draw_tiles

    def tile(picture: str | None) -> np.ndarray:
        if picture is None:
            return np.full((TILE, TILE, 3), 255, np.uint8)
        return np.asarray(ImageOps.pad(Image.fromarray(read_image(picture)), (TILE, TILE), color="white"))

    rows = [[tile(content), *map(tile, row)] for content, row in zip(contents, made, strict=True)]
    draw_tiles(np.stack([[tile(None), *map(tile, styles)], *rows] if styles else rows), path)


def measure(model: Any, examples: Any, batch_size: int, options: MeasuringFlags) -> runner.Line:
    """The model's metrics, beside those of a search."""
    return model.measure(examples, batch_size, options.pairs, options.optimum_steps)


def table(metrics: runner.Line) -> list[str]:
    """The metrics for the terminal."""
    lines = [f"{'':<14} {'answered':>10} {'50 steps':>10} {'optimum':>10}"]
    for name in ("loss", "content_loss", "style_loss", "variation"):
        values = [metrics.get(f"{prefix}{name}") for prefix in ("", "steps_50_", "optimum_")]
        lines.append(f"{name:<14}" + "".join(f" {value:>10.4f}" for value in values if value is not None))
    return [*lines, f"{'ssim':<14} {metrics['ssim']:>10.4f}", f"{'seconds':<14} {metrics['seconds']:>10.3f}"]


APP = runner.App(
    name="style_transfer",
    summary="A picture and another one in, the first in the manner of the second out.",
    model="keras_apps.models.style_transfer:StyleTransfer",
    load="keras_apps.data.style_transfer:load",
    model_flags=ModelFlags,
    compile_flags=CompileFlags,
    data_flags=DataFlags,
    predict_flags=PredictFlags,
    requests=requests,
    measure=measure,
    table=table,
    present=present,
    overview=overview,
    answering_flags=AnsweringFlags,
    measuring_flags=MeasuringFlags,
    predict_batch=1,
    training=TrainingConfig(epochs=20, batch_size=8, patience=5),
)

if __name__ == "__main__":
    runner.main(APP)
