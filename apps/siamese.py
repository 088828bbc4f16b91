"""Siamese one-shot recognition: `python -m apps.siamese VERB`, or `keras-apps siamese VERB`."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from apps import inputs, runner
from keras_apps.errors import UserError

if TYPE_CHECKING:
    from keras_apps.serving.gallery import Gallery

_MISTAKES = 12


@dataclasses.dataclass(frozen=True)
class ModelFlags:
    """The network (SiameseNetwork)."""

    embedding: Literal["small", "koch"] = "small"
    """The network that looks at a picture; koch is that of the paper at full size."""
    objective: Literal["weighted_l1", "contrastive", "cosine", "triplet", "prototypical"] = "prototypical"
    """What is learned by: pairs (the first three; weighted_l1 is Koch's), or episodes of many classes."""
    image_size: int | None = None
    """Of a side of the pictures; by default 48, for koch 105."""
    units: int | None = None
    """Of an embedding; by default 256, for koch 4096."""
    channels: int | None = None
    """1 for grey, 3 for colours; by default what the data are."""
    ways: int = 64
    """Classes in an episode of training, at most --batch_size."""
    shots: int = 1
    """Pictures of each class beside the one that is asked for."""
    rotations: bool = True
    """Take pictures turned by right angles for further classes; false for what is always upright."""
    distortion: float = 1.0
    """How much pictures are turned, sheared, scaled and moved in training."""
    generated_share: float = 0.5
    """Of what is trained on, where some alphabets are invented and some are not."""


@dataclasses.dataclass(frozen=True)
class CompileFlags:
    """The optimizer."""

    learning_rate: float = 2e-3
    """Of Adam, at its peak."""
    warmup_steps: int = 500
    """Steps until the peak, after which it falls with the inverse square root; 0 for a constant rate."""
    margin: float | None = None
    """Of contrastive (a distance, by default 1), cosine (a cosine, 0) and triplet (squared distances, 0.2)."""
    averaging: float = 0.998
    """Momentum of the moving average of the weights that is evaluated and saved; 0 for none."""


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The examples."""

    data: str = "demo"
    """demo, tfds:NAME[/CONFIG], or a folder (.tar, .zip) of class folders, or of ALPHABET/CHARACTER/1.png."""
    image_key: str | None = None
    """Feature of a tfds set that is the picture, where it can't be guessed."""
    label_key: str | None = None
    """Feature of a tfds set that is the class, where it can't be guessed."""
    group_key: str | None = None
    """Feature of a tfds set that is what the class belongs to, where it can't be guessed."""
    invented_alphabets: int | None = None
    """Generated ones to train on besides; by default 60 beside a folder's alphabets, else none."""


@dataclasses.dataclass(frozen=True)
class MeasuringFlags:
    """Other questions."""

    runs: str = ""
    """A folder, .tar or .zip with Lake's one-shot runs of Omniglot (run01, ...), to be answered besides."""


@dataclasses.dataclass(frozen=True)
class PredictFlags:
    """The pictures."""

    first: list[str] = inputs.repeated(str)
    """A picture's file, to be compared with --second; may be given several times."""
    second: list[str] = inputs.repeated(str)
    """Likewise, one for each --first."""
    image: list[str] = inputs.repeated(str)
    """A picture's file, to be found in the gallery; may be given several times."""
    input: str = ""
    """A folder of pictures to be found in the gallery."""
    support: str = ""
    """A folder (.tar, .zip) with a folder of pictures for each class, to be enrolled in the gallery."""
    remove: str = ""
    """A class to be taken out of the gallery."""
    gallery: str = "gallery.npz"
    """The file of the classes that are known."""
    threshold: float | None = None
    """Score below which a picture is of no known class; by default the one that was chosen on validation data."""


def requests(options: PredictFlags) -> tuple[str, Iterable[tuple[runner.Line, runner.Line]]]:
    """The signature of what is asked for, and its requests."""
    asked = {
        "--first and --second": bool(options.first or options.second),
        "--support": bool(options.support),
        "--remove": bool(options.remove),
        "--image or --input": bool(options.image or options.input),
    }
    if sum(asked.values()) != 1:
        raise UserError(f"give one of {', '.join(asked)}")
    if asked["--first and --second"]:
        if len(options.first) != len(options.second):
            raise UserError(f"there are {len(options.first)} --first but {len(options.second)} --second; give pairs")
        return "serving_default", _pairs(options)
    if options.support:
        return "enrol", _supports(options.support)
    if options.remove:
        return "enrol", _removed(options)
    gallery = _gallery(options.gallery)
    if not gallery.names:
        raise UserError(f"{options.gallery}: no class is enrolled; make the gallery with --support FOLDER")
    pictures = inputs.pictures(inputs.chosen(options.image, options.input))
    return "classify", (
        (shown, {"query_bytes": request["image_bytes"], "support": gallery.embeddings}) for shown, request in pictures
    )


def _pairs(options: PredictFlags) -> Iterator[tuple[runner.Line, runner.Line]]:
    from keras_apps.data.images import image_bytes

    for first, second in zip(options.first, options.second, strict=True):
        read = [functools.partial(image_bytes, path) for path in (first, second)]
        yield {"first": first, "second": second}, dict(zip(("first_bytes", "second_bytes"), read, strict=True))


def _supports(support: str) -> Iterable[tuple[runner.Line, runner.Line]]:
    from keras_apps.data.folders import Folder
    from keras_apps.data.images import SUFFIXES, image_bytes
    from keras_apps.data.tables import BadRows

    if not Path(support).exists() or not Folder.is_one(support):
        raise UserError(f"{support}: no such folder, .tar or .zip of class folders")
    folder = Folder(support, BadRows(None))
    names = [name for name in folder.names if name.lower().endswith(SUFFIXES) and "/" in name]
    if not names:
        raise UserError(f"{support}: there are no pictures in folders in it; put those of a class into one of its name")

    folders = {PurePosixPath(name).parent for name in names}
    # Alphabets have characters of the same names.
    named = Counter(folder.name for folder in folders)
    classes = {folder: folder.name if named[folder.name] == 1 else str(folder) for folder in folders}

    def each() -> Iterator[tuple[runner.Line, runner.Line]]:
        for name, file in folder.open(names):
            where = f"{support}/{name}"
            shown = {"class": classes[PurePosixPath(name).parent], "image": where}
            # Read at once, while the archive is open.
            yield shown, {"image_bytes": functools.partial(image_bytes, file, where)}

    return each()


def _removed(options: PredictFlags) -> Iterator[tuple[runner.Line, runner.Line]]:
    """No requests; the class is taken out once it is clear that all flags make sense."""
    gallery = _gallery(options.gallery)
    gallery.remove(options.remove)
    gallery.save()
    print(f"{options.gallery}: {options.remove} is taken out", file=sys.stderr)
    yield from ()


@functools.cache
def _gallery(path: str) -> Gallery:
    from keras_apps.serving.gallery import Gallery

    return Gallery(path)


def present(
    options: PredictFlags, index: int, shown: runner.Line, request: runner.Line, outcome: runner.Line
) -> runner.Line:
    """The name of the class, or what was enrolled."""
    del index, request
    if "probability" in outcome:
        return shown | outcome
    gallery = _gallery(options.gallery)
    limits = {name: outcome[name] for name in ("threshold", "false_accept_rate", "false_reject_rate")}
    if "embedding" in outcome:
        gallery.add(shown["class"], outcome["embedding"], tuple(limits.values()))
        gallery.save()
        return shown | {"gallery": options.gallery} | limits
    gallery.check(tuple(limits.values()))
    nearest, score = gallery.names[outcome["index"]], outcome["scores"][outcome["index"]]
    threshold = gallery.limits[0] if options.threshold is None else options.threshold
    return shown | {"class": nearest if score >= threshold else "unknown", "score": score, "nearest": nearest}


def measure(model: Any, examples: Any, batch_size: int, options: MeasuringFlags) -> runner.Line:
    """The model's metrics, with Lake's runs where they are given."""
    from keras_apps.data.siamese import read_runs

    return model.measure(examples, batch_size, read_runs(options.runs) if options.runs else ())


def table(metrics: runner.Line) -> list[str]:
    """The metrics for the terminal."""
    lines = []
    for name, value in metrics.items():
        if name.endswith("_accuracy"):
            interval = metrics[name.replace("_accuracy", "_interval")]
            lines.append(f"{name:<26} {value:.4f} +- {interval:.4f}")
        elif isinstance(value, float) and not name.endswith("_interval"):
            lines.append(f"{name:<26} {value:.4f}")
    return lines


def draw(metrics: runner.Line, answers: list[runner.Line], examples: Any, folder: Path) -> None:
    """Writes roc.png, map.png, and, where there are any, mistakes.png: asked for, its class, what it was taken for."""
    import numpy as np

    from keras_apps.drawing import draw_contact_sheet
    from keras_apps.files import atomic_file
    from keras_apps.metrics.one_shot import draw_map, draw_roc

    with atomic_file(folder / "roc.png") as temporary:
        draw_roc(metrics["roc"], temporary)
    mistakes = sorted((each for each in answers if each.get("ahead", -1) >= 0), key=lambda each: -each["ahead"])
    kinds = {"picture": "asked for", "shown": "its class", "taken_for": "taken for"}
    rows = [(each[kind], title) for each in mistakes[:_MISTAKES] for kind, title in kinds.items()]
    mapped = [each for each in answers if "place" in each]
    wanted = {index for index, _ in rows} | {each["picture"] for each in mapped}
    pictures = {
        index: example["image"] for index, example in enumerate(examples.as_numpy_iterator()) if index in wanted
    }
    if rows:
        with atomic_file(folder / "mistakes.png") as temporary:
            draw_contact_sheet(
                [pictures[index] for index, _ in rows], [title for _, title in rows], temporary, columns=6
            )
    if mapped:
        with atomic_file(folder / "map.png") as temporary:
            draw_map(
                np.array([each["place"] for each in mapped]),
                [pictures[each["picture"]] for each in mapped],
                np.array([each["label"] for each in mapped]),
                temporary,
            )


APP = runner.App(
    name="siamese",
    summary="Two pictures in, whether they are of one class out; or which of a few classes shown once a picture is of.",
    model="keras_apps.models.siamese:SiameseNetwork",
    load="keras_apps.data.siamese:load",
    model_flags=ModelFlags,
    compile_flags=CompileFlags,
    data_flags=DataFlags,
    predict_flags=PredictFlags,
    requests=requests,
    measure=measure,
    table=table,
    draw=draw,
    present=present,
    # All write the same gallery.
    together=lambda options: 0 if options.support or options.remove else 1,
    measuring_flags=MeasuringFlags,
)

if __name__ == "__main__":
    runner.main(APP)
