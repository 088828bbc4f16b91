"""Text to image: `python -m apps.text_to_image VERB`, or `keras-apps text_to_image VERB`."""

from __future__ import annotations

import dataclasses
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from apps import inputs, made_pictures, runner
from keras_apps.errors import UserError, check_range
from keras_apps.training.config import TrainingConfig

SHOWN = 32
"""Pictures on the contact sheet."""
MEASURABLE = 0.9
"""An attribute is measured in made pictures where this part of the true ones has what their captions say of it."""
DOMINANT = "dominant_colour"


@dataclasses.dataclass(frozen=True)
class ModelFlags:
    """The networks (TextToImage)."""

    image_size: Literal[16, 32, 64, 128, 256] = 64
    """Side of the pictures; others are cropped in the middle and resized."""
    filters: int = 16
    """Of the last level of the generator; the others have up to 8 times as many."""
    discriminator_filters: int = 32
    """Of the first level of the discriminator, likewise."""
    noise_units: int = 100
    """Numbers drawn for each picture."""
    condition_units: int = 64
    """What the generator knows of a sentence."""
    sentence_units: int = 128
    """Size of the embeddings by which sentences and pictures are matched."""
    vocabulary_size: int = 4_000
    """Words to learn at the most."""
    max_length: int = 32
    """Words of a sentence at the most; longer ones are cut in training and refused in requests."""
    flip: bool = True
    """Mirror half of the pictures in training."""
    word_dropout: float = 0.05
    """Part of the words that are taken for unknown in training."""


@dataclasses.dataclass(frozen=True)
class CompileFlags(made_pictures.AdversarialFlags):
    """The losses and the optimizers."""

    matching_learning_rate: float = 1e-3
    """Of the matching networks'."""
    kl_weight: float = 0.02
    """Of the condition's divergence from the standard normal distribution, in the generator's loss."""
    interpolation: float = 0.25
    """Part of the examples for which the generator is asked for what is between two sentences."""
    adversarial_loss: Literal["minimax", "non_saturating", "least_squares", "wasserstein", "hinge"] = "hinge"
    """How generator and discriminator play."""
    regulariser: Literal["none", "weight_clipping", "gradient_penalty", "r1"] = "r1"
    """Of the discriminator."""
    regulariser_weight: float = 2.0
    """Of it in the loss; of weight_clipping the limit, such as 0.01."""
    discriminator_learning_rate: float = 4e-4
    """Of the discriminator's."""
    beta_1: float = 0.0
    """Decay of the first moment of both."""
    averaging: float = 0.995
    """Momentum of the moving average of the generator that is evaluated and saved; 0 for none."""


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The examples."""

    data: str = "demo"
    """demo, tfds:NAME[/CONFIG], or a folder (.tar, .zip) with pictures and captions.csv, or as Flickr8k or Karpathy."""
    image_key: str | None = None
    """Column with the picture's name, where it can't be guessed."""
    caption_key: str | None = None
    """Column with the caption, or of a tfds set one with a class, where it can't be guessed."""


@dataclasses.dataclass(frozen=True)
class PredictFlags(inputs.TextFlags):
    """The sentences."""

    output: str = ""
    """Folder for the pictures, PNG files, and a contact sheet of the first ones."""
    count: int = 1
    """Pictures of each sentence."""
    seed: int = 0
    """Of the first picture of a sentence; of the next it is one more."""
    to: str = ""
    """A sentence to go to from each, in --steps pictures."""
    to_seed: int | None = None
    """Seed to go to likewise, alone or with --to."""
    steps: int | None = None
    """Pictures on the way, both ends included; by default 8."""

    def __post_init__(self):
        check_range(self, ("count",), at_least=1)
        if self.steps is not None:
            check_range(self, ("steps",), at_least=2)
            if not self.goes:
                raise UserError("--steps are on the way to another picture; give --to SENTENCE or --to_seed SEED too")
        # As many as an int32 of a request holds.
        check_range(self, ("seed",) if self.to_seed is None else ("seed", "to_seed"), at_least=-(2**31), below=2**31)
        if self.seed + self.count > 2**31:
            raise UserError(f"--seed {self.seed} with --count {self.count} goes beyond the last seed, {2**31 - 1}")

    @property
    def goes(self) -> bool:
        """Whether pictures on a way are wanted."""
        return bool(self.to) or self.to_seed is not None

    @property
    def pictures_on_way(self) -> int:
        """How many, where there is a way to go."""
        return self.steps or 8


def requests(options: PredictFlags) -> tuple[str, Iterable[tuple[runner.Line, runner.Line]]]:
    """The signature, and a request for each picture."""
    inputs.check_output(options.output)
    texts = inputs.texts(options)
    return "interpolate" if options.goes else "serving_default", _requests(options, texts)


def _requests(options: PredictFlags, texts: Iterable[str]) -> Iterator[tuple[runner.Line, runner.Line]]:
    for text in texts:
        for seed in range(options.seed, options.seed + options.count):
            request = {"text": text, "seed": seed}
            if not options.goes:
                yield dict(request), request
                continue
            end = {"other_text": options.to or text, "other_seed": seed if options.to_seed is None else options.to_seed}
            for step in range(options.pictures_on_way):
                on_way = request | end | {"weight": step / (options.pictures_on_way - 1)}
                yield dict(on_way), on_way


def present(
    options: PredictFlags, index: int, shown: runner.Line, request: runner.Line, outcome: runner.Line
) -> runner.Line:
    """Where the picture was written."""
    from PIL import Image, PngImagePlugin

    from keras_apps.files import atomic_file

    path = _path(options, index)
    says = PngImagePlugin.PngInfo()
    says.add_itxt("Description", _title(options, request))
    with atomic_file(path) as temporary:
        Image.open(io.BytesIO(outcome["image_bytes"])).save(temporary, "PNG", pnginfo=says)
    return shown | {"output": str(path)}


def _path(options: PredictFlags, index: int) -> Path:
    return Path(options.output) / f"picture_{index:04d}.png"


def _title(options: PredictFlags, request: runner.Line) -> str:
    if not options.goes:
        return f"{request['text']} ({request['seed']})"
    if request["weight"] in (0, 1):
        end = "other_" if request["weight"] else ""
        return f"{request[f'{end}text']} ({request[f'{end}seed']})"
    return f"{request['weight']:.2f}"


def overview(options: PredictFlags, answered: Sequence[runner.Line]) -> None:
    """Draws a contact sheet of the first pictures; a row is of one sentence where that is not too long."""
    import numpy as np
    from PIL import Image

    from keras_apps.drawing import draw_contact_sheet
    from keras_apps.files import atomic_file

    pictures = [Image.open(line["output"]) for line in answered[:SHOWN]]
    columns = options.pictures_on_way if options.goes else options.count
    with atomic_file(Path(options.output) / "contact_sheet.png") as temporary:
        draw_contact_sheet(
            [np.asarray(picture) for picture in pictures],
            [picture.info.get("Description", "") for picture in pictures],
            temporary,
            columns=columns if 1 < columns <= 10 else 4,
        )


def measure(model: Any, examples: Any, batch_size: int, options: made_pictures.MeasuringFlags) -> runner.Line:
    """The model's metrics, with FID and KID, and how often pictures have what their sentences say of a flower.

    The dominant colour is measured in any pictures; what the generated flowers are measured by, only where it is found
    in true pictures.
    """
    metrics = made_pictures.measure(model, examples, batch_size, options)
    texts, seeds = zip(*((answer["text"], answer["seed"]) for answer in metrics["answers"]), strict=True)
    true = (example["image"] for example in examples.as_numpy_iterator())
    of_made, of_true = (agreements(texts, pictures) for pictures in (model.pictures(texts, seeds, batch_size), true))
    for name, share in of_true.items():
        # Made pictures of another size than the generated flowers have no such attributes.
        if name in of_made and (name == DOMINANT or share >= MEASURABLE):
            metrics |= {f"{name}_accuracy": of_made[name], f"true_{name}_accuracy": share}
    return metrics


def agreements(texts: Iterable[str], pictures: Iterable[Any]) -> dict[str, float]:
    """Of each attribute of flowers that sentences name, how often their pictures have it.

    Args:
        texts: the sentences.
        pictures: one of each, `<uint8>[height, width, 3]`.
    """
    from keras_apps.data import demo_flowers
    from keras_apps.metrics.colours import dominant_colour

    found = defaultdict(list)
    for text, picture in zip(texts, pictures, strict=True):
        if colour := demo_flowers.attributes_of(text).get("colour"):
            found[DOMINANT].append(dominant_colour(picture) == colour)
        if picture.shape[:2] == (demo_flowers.PIXELS, demo_flowers.PIXELS):
            for name, agrees in demo_flowers.agreement(text, picture).items():
                found[name].append(agrees)
    return {name: sum(each) / len(each) for name, each in found.items()}


APP = runner.App(
    name="text_to_image",
    summary="A sentence in, a picture of it out.",
    model="keras_apps.models.text_to_image:TextToImage",
    load="keras_apps.data.text_to_image:load",
    model_flags=ModelFlags,
    compile_flags=CompileFlags,
    data_flags=DataFlags,
    predict_flags=PredictFlags,
    requests=requests,
    measure=measure,
    table=made_pictures.table,
    present=present,
    overview=overview,
    measuring_flags=made_pictures.MeasuringFlags,
    predict_batch=32,
    training=TrainingConfig(epochs=40, batch_size=32, patience=12),
)

if __name__ == "__main__":
    runner.main(APP)
