"""Face aging: `python -m apps.face_aging VERB`, or `keras-apps face_aging VERB`."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from apps import inputs, made_pictures, runner
from keras_apps.errors import UserError
from keras_apps.training.config import TrainingConfig

AGES = (5, 15, 25, 35, 45, 55, 65, 75)
"""The centres of the age groups, unless others are chosen."""
OLDEST = 120
"""In years, of the ages that a model takes."""


@dataclasses.dataclass(frozen=True)
class ModelFlags:
    """The networks (FaceAging)."""

    method: Literal["direct", "latent"] = "direct"
    """direct repaints a face in one pass; latent finds a code that the face could be made of, and changes the age."""
    bounds: tuple[int, ...] = (0, 10, 20, 30, 40, 50, 60, 70)
    """The age groups, by their lower bounds in years: --bounds 0 20 40 60."""
    image_size: int = 64
    """Of a side of the pictures, a multiple of 16."""
    filters: int = 16
    """Of the generator's level of all pixels."""
    discriminator_filters: int = 32
    """Of the first level of the discriminator."""
    observer_filters: int = 16
    """Of the first level of the networks that tell who a face is and of what age."""
    identity_units: int = 64
    """Of what they say of who it is."""
    noise_units: int = 64
    """Of a latent code."""
    latent_steps: int = 60
    """By which the latent code of a face is improved."""
    flip: bool = True
    """Mirror half of the pictures in training."""


@dataclasses.dataclass(frozen=True)
class CompileFlags(made_pictures.AdversarialFlags):
    """The losses and the optimizers."""

    recognition_learning_rate: float = 1e-3
    """Of the Adam of the networks that recognise, and of the encoder's."""
    identity_weight: float = 3.0
    """Of being another person, in the generator's loss (direct)."""
    age_weight: float = 0.5
    """Of being of another age, likewise."""
    l1_weight: float = 5.0
    """Of what is changed in a face that is asked for at its own age, likewise (direct)."""
    regulariser: Literal["none", "weight_clipping", "gradient_penalty", "r1"] = "r1"
    """Of the discriminator."""
    regulariser_weight: float = 2.0
    """Of it in the loss; of weight_clipping the limit, such as 0.01."""
    learning_rate: float = 5e-4
    """Of the generator's Adam."""
    discriminator_learning_rate: float = 5e-4
    """Of the discriminator's."""
    averaging: float = 0.99
    """Momentum of the moving average of the generator that is evaluated and saved; 0 for none."""


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The examples."""

    data: str = "demo"
    """demo, tfds:NAME[/CONFIG], or a folder (.tar, .zip) with ages.csv, UTKFace's file names, or folders by age."""
    image_key: str | None = None
    """Column with the picture's name, where it can't be guessed."""
    age_key: str | None = None
    """Column with the age in years, where it can't be guessed."""
    identity_key: str | None = None
    """Column that tells who it is, where it can't be guessed."""


@dataclasses.dataclass(frozen=True)
class AnsweringFlags:
    """How to answer, in place of the model's own settings; fixed in what is exported."""

    latent_steps: int | None = None
    """By which the latent code of a face is improved; by default the model's own."""


@dataclasses.dataclass(frozen=True)
class PredictFlags(inputs.PictureFlags):
    """The faces."""

    age: list[int] = inputs.repeated(int)
    """In years; may be given several times. By default 5, 15, and so on to 75."""
    output: str = ""
    """Folder for the answers: NAME-AGE.png, and NAME-ages.png with the face and all its ages in a row."""

    def __post_init__(self):
        for age in self.age:
            if not 0 <= age <= OLDEST:
                raise UserError(f"--age must be from 0 to {OLDEST}; received {age}")


def requests(options: PredictFlags) -> tuple[str, Iterable[tuple[runner.Line, runner.Line]]]:
    """The signature, and a request for each picture at each age."""
    inputs.check_output(options.output)
    images = inputs.chosen(options.image, options.input)
    inputs.check_outputs({image: [*_paths(options, image).values(), _row(options, image)] for image in images})

    def each() -> Iterator[tuple[runner.Line, runner.Line]]:
        for shown, request in inputs.pictures(images):
            for age in _ages(options):
                yield shown | {"age": age}, request | {"age": age}

    return "serving_default", each()


def _ages(options: PredictFlags) -> list[int]:
    return list(dict.fromkeys(options.age)) or list(AGES)


def _paths(options: PredictFlags, image: str) -> dict[int, Path]:
    """Of each age the file of the picture at it."""
    return {age: Path(options.output) / f"{Path(image).stem}-{age}.png" for age in _ages(options)}


def _row(options: PredictFlags, image: str) -> Path:
    return Path(options.output) / f"{Path(image).stem}-ages.png"


def present(
    options: PredictFlags, index: int, shown: runner.Line, request: runner.Line, outcome: runner.Line
) -> runner.Line:
    """Where the picture was written; after the last age of a face, those of all ages beside each other."""
    del index
    from keras_apps.files import atomic_file

    paths = _paths(options, shown["image"])
    path = paths[shown["age"]]
    with atomic_file(path) as temporary:
        temporary.write_bytes(outcome["image_bytes"])
    line = shown | {"output": str(path)}
    if shown["age"] != _ages(options)[-1]:
        return line
    row = _row(options, shown["image"])
    with atomic_file(row) as temporary:
        _draw_row([request["image_bytes"], *(path.read_bytes() for path in paths.values())], temporary)
    return line | {"row": str(row)}


def _draw_row(encoded: list[bytes], path: Path) -> None:
    import numpy as np
    from PIL import Image

    from keras_apps.drawing import draw_tiles

    pictures = [np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in encoded]
    draw_tiles(np.stack(pictures)[None], path)


APP = runner.App(
    name="face_aging",
    summary="A face in, the same person at another age out.",
    model="keras_apps.models.face_aging:FaceAging",
    load="keras_apps.data.face_aging:load",
    model_flags=ModelFlags,
    compile_flags=CompileFlags,
    data_flags=DataFlags,
    predict_flags=PredictFlags,
    requests=requests,
    measure=made_pictures.measure,
    table=made_pictures.table,
    present=present,
    together=lambda options: len(_ages(options)),
    answering_flags=AnsweringFlags,
    measuring_flags=made_pictures.MeasuringFlags,
    predict_batch=32,
    training=TrainingConfig(epochs=15, batch_size=16, patience=0),
)

if __name__ == "__main__":
    runner.main(APP)
