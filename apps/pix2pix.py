"""pix2pix: `python -m apps.pix2pix VERB`, or `keras-apps pix2pix VERB`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from apps import inputs, made_pictures, runner
from keras_apps.training.config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class ModelFlags:
    """The networks (Pix2Pix)."""

    height: int | None = None
    """Of the pictures it works on, a multiple of 16; by default that of the data, at most 256."""
    width: int | None = None
    """Likewise."""
    filters: int = 32
    """Of the first level; 64 is the size of the paper."""
    patch: Literal[1, 16, 70, 286] = 70
    """Side of what the discriminator judges at once, in pixels."""
    label_colours: int = 0
    """Where the target is a label map, the number of its colours; 0 for a picture."""
    flip: bool = True
    """Mirror half of the pairs in training."""
    jitter: float = 0.06
    """Part of a side by which pairs are shifted in training, at most."""


@dataclasses.dataclass(frozen=True)
class CompileFlags(made_pictures.AdversarialFlags):
    """The losses and the optimizers."""

    l1_weight: float = 100.0
    """Of the distance to the true picture, in the generator's loss."""


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The examples."""

    data: str = "demo"
    """demo, tfds:NAME[/CONFIG], or a folder (.tar, .zip) of side-by-side pairs or with two sibling folders."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Which half, or folder, is the input."""
    input_key: str | None = None
    """Feature of a tfds set that is the input, where it can't be guessed."""
    target_key: str | None = None
    """Feature of a tfds set that is the target, where it can't be guessed."""


@dataclasses.dataclass(frozen=True)
class PredictFlags(inputs.PictureFlags):
    """The pictures."""

    output: str = ""
    """Folder for the answers, PNG files of the same names."""


def requests(options: PredictFlags) -> tuple[str, Iterable[tuple[runner.Line, runner.Line]]]:
    """The signature, and a request for each picture."""
    inputs.check_output(options.output)
    images = inputs.chosen(options.image, options.input)
    inputs.check_outputs({image: [_path(options, image)] for image in images})
    return "serving_default", inputs.pictures(images)


def _path(options: PredictFlags, image: str) -> Path:
    return Path(options.output) / f"{Path(image).stem}.png"


def present(
    options: PredictFlags, index: int, shown: runner.Line, request: runner.Line, outcome: runner.Line
) -> runner.Line:
    """Where the picture was written."""
    del index, request
    from keras_apps.files import atomic_file

    path = _path(options, shown["image"])
    with atomic_file(path) as temporary:
        temporary.write_bytes(outcome["image_bytes"])
    return shown | {"output": str(path)}


def table(metrics: runner.Line) -> list[str]:
    """The metrics for the terminal."""
    # Of a colour that neither has, there is no IoU.
    of_colours = zip(metrics.get("colours", ()), metrics.get("iou", ()), strict=True)
    return made_pictures.table(metrics | {f"IoU of {colour}": iou for colour, iou in of_colours})


APP = runner.App(
    name="pix2pix",
    summary="A picture in, a picture of another kind out.",
    model="keras_apps.models.pix2pix:Pix2Pix",
    load="keras_apps.data.pix2pix:load",
    model_flags=ModelFlags,
    compile_flags=CompileFlags,
    data_flags=DataFlags,
    predict_flags=PredictFlags,
    requests=requests,
    measure=made_pictures.measure,
    table=table,
    present=present,
    measuring_flags=made_pictures.MeasuringFlags,
    predict_batch=4,
    training=TrainingConfig(epochs=50, batch_size=4, patience=0),
)

if __name__ == "__main__":
    runner.main(APP)
