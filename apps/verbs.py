"""The five verbs, the same for every app, and their flags. What costs time to import is imported by a verb."""

from __future__ import annotations

import dataclasses
import functools
import glob
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from keras_apps.errors import RequestRefused, UserError, check_range
from keras_apps.quiet import import_tensorflow

if TYPE_CHECKING:
    import argparse

    from apps.runner import App
    from keras_apps.training.run_directory import RunDirectory

SAVED_MODELS = "saved_models"
"""Folder of the exports, where no other is named."""
_BATCH_BYTES = 2**23


@dataclasses.dataclass(frozen=True)
class TrainFlags:
    """Where a run is kept and what it starts from."""

    run_dir: str
    """Folder of the run; the same command again goes on where it was stopped."""
    init_from: str = ""
    """A run directory, an export or a .keras file to fine-tune; model flags not given are its own."""


@dataclasses.dataclass(frozen=True)
class EvaluateFlags:
    """What to evaluate, and on what."""

    model: str = ""
    """A run directory, an export or a .keras file; by default the app's newest export in saved_models/."""
    split: str = ""
    """train, validation, test or all; by default test, or all where --data names other data than the run's."""
    output: str = ""
    """Folder for metrics.json and pictures; by default the run directory, or for an export the current folder."""
    batch_size: int = 64
    """Examples at a time."""

    def __post_init__(self):
        check_range(self, ("batch_size",), at_least=1)


@dataclasses.dataclass(frozen=True)
class AnswerFlags:
    """Who answers."""

    model: str = ""
    """A run directory, an export or a .keras file; by default the app's newest export in saved_models/."""
    server: str = ""
    """host:port of a running server, instead of --model."""
    protocol: Literal["rest", "grpc"] = "rest"
    """How to talk to the server."""
    shard: str = ""
    """I/N answers the I-th of every N requests, so that N processes or machines can share them."""

    def __post_init__(self):
        number, count = self.part
        if not 1 <= number <= count:
            raise UserError(f"--shard must be I/N, from 1/N to N/N; received {self.shard}")

    @property
    def part(self) -> tuple[int, int]:
        """Which of how many shards; the first of one where there are none."""
        found = re.fullmatch(r"(\d+)/(\d+)", self.shard or "1/1")
        return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclasses.dataclass(frozen=True)
class ExportFlags:
    """What to export, and where to."""

    model: str
    """A run directory, an export or a .keras file."""
    saved_models: str = SAVED_MODELS
    """Folder that a server watches; the next version is written below it."""
    server_xla: bool = False
    """The server runs with XLA: warm up the compiled signatures, and start it so in docker-compose.yml."""
    precision: Literal["own", "float32", "mixed_bfloat16"] = "own"
    """What the export computes in; own is what the model was trained in."""


@dataclasses.dataclass(frozen=True)
class ServeFlags:
    """What to serve, and where."""

    saved_models: str = SAVED_MODELS
    """Folder with the exports."""
    port: int = 8501
    """For REST."""
    grpc_port: int = 8500
    """For gRPC."""
    engine: Literal["auto", "tensorflow_model_server", "docker", "embedded"] = "auto"
    """auto takes the first of the three that is installed."""
    xla: bool = False
    """Start TensorFlow Serving with XLA."""


def computes(verb: Callable[[App, argparse.Namespace], None]) -> Callable[[App, argparse.Namespace], None]:
    """Imports TensorFlow before a verb, and keeps AutoGraph out of it, which takes seconds and nothing here needs."""

    @functools.wraps(verb)
    def with_tensorflow(app: App, options: argparse.Namespace) -> None:
        import_tensorflow()
        import tensorflow as tf

        tf.autograph.experimental.do_not_convert(verb)(app, options)

    return with_tensorflow


@computes
def train(app: App, options: argparse.Namespace) -> None:
    """Train or fine-tune; resumes by itself."""
    from keras_apps.training import hardware
    from keras_apps.training.fit import train as fit

    hardware.strategy(options.training.distribute)
    model = dataclasses.asdict(options.model_flags)
    if options.train.init_from:
        model = {name: value for name, value in model.items() if name in options.given}
    data = _data_settings(options)
    _check_parts_of_parent(options.train.init_from, data)
    where = options.train.run_dir
    try:
        fit(
            app.model_class(),
            app.splits(data),
            where,
            model=model,
            compile=dataclasses.asdict(options.compile_flags),
            config=options.training,
            init_from=options.train.init_from or None,
            settings={"app": app.name, "data": data},
        )
    except KeyboardInterrupt as stop:
        use = f", or use {where} as it is" if stop.args else ""
        print(f"\ninterrupted; give the same command again to go on{use}", file=sys.stderr)
        sys.exit(130)
    print(
        f"trained: {where} holds model.keras, history.csv and curves.png; "
        f"next: keras-apps {app.name} evaluate --model {shlex.quote(where)}"
    )


@computes
def evaluate(app: App, options: argparse.Namespace) -> None:
    """Measure a trained model on examples it has not seen."""
    from keras_apps.training.run_directory import RunDirectory

    where = options.evaluate.model or _exports(app)
    run = _run_of(where)
    model = app.model_class().load(where, **_changes(options))
    data = _data_settings(options)
    own = _own_data(where)
    is_named = "data" in options.given
    is_own = _are_own(own, data, is_named, run.config_file.exists())
    if not is_own and not is_named:
        raise UserError(f"{where}: does not hold the data that it was trained on; name examples with --data")
    split = options.evaluate.split or ("test" if is_own else "all")
    if is_own and _are_like(own, data):
        # By the same settings the parts are the same as in training.
        data = own | {name: data[name] for name in options.given & data.keys()}
        if split != "all":
            _check_parts(where, own, data)
    if split == "all":
        # No part is carved out, for which a few examples may be too few.
        fractions = {"validation_fraction", "test_fraction"} & data.keys() - options.given
        data = data | dict.fromkeys(fractions, 0.0)
    splits = app.splits(data)
    may_change = is_own and run.config_file.exists() and not _is_anywhere(own["data"])
    if may_change and split != "all" and data | {"data": own["data"]} == own:
        _check_unchanged(where, run.read_settings().get("examples"), splits.sizes)
    examples = splits.split(split)
    metrics = app.measure(model, examples, options.evaluate.batch_size, options.measuring)
    answers = metrics.pop("answers", [])
    metrics = {"data": data["data"], "split": split} | metrics
    for line in app.table(metrics):
        print(line)
    output = RunDirectory(options.evaluate.output or (run.path if run.config_file.exists() else "."))
    output.write_metrics(metrics, answers)
    app.draw(metrics, answers, examples, output.path)
    pictures = model.sample(examples)
    if pictures is not None:
        output.write_samples(split, pictures)
    print(f"written: {output.metrics_file}" + (f", {output.answers_file}" if answers else ""))


def predict(app: App, options: argparse.Namespace) -> None:
    """Answer requests, one JSON line each."""
    from keras_apps.serving.answerer import open_answerer

    where = options.answer
    signature, requests = app.requests(options.predict_flags)
    together = app.together(options.predict_flags)
    if where.shard and not together:
        raise UserError("--shard: these requests belong together; ask them in one run")
    model = where.model or ("" if where.server else _exports(app))
    _check_exported(app, model)
    if model or where.protocol == "grpc":
        import_tensorflow()
    number, shards = where.part
    answer = open_answerer(app.name, app.model_class, model, where.server, where.protocol, _changes(options))
    own = (
        (index, shown, _read(request))
        for index, (shown, request) in enumerate(requests)
        if not where.shard or index // together % shards == number - 1
    )
    answered, refused = [], 0
    for batch in _batched(own, app.predict_batch):
        readable = [request for _, _, request in batch if not isinstance(request, UserError)]
        outcomes = iter(_answered(answer, readable, signature))
        for index, shown, request in batch:
            outcome = request if isinstance(request, UserError) else next(outcomes)
            if isinstance(outcome, UserError):
                refused += 1
                line = shown | {"error": str(outcome)}
            else:
                line = app.present(options.predict_flags, index, shown, request, outcome)
                if app.overview and not where.shard:
                    answered.append(line)
            print(json.dumps(line, ensure_ascii=False), flush=True)
    if answered and (overview := app.overview(options.predict_flags, answered)):
        print(json.dumps(overview, ensure_ascii=False))
    if refused:
        raise UserError("some requests were refused; their lines say why")


@computes
def export(app: App, options: argparse.Namespace) -> None:
    """Write the next version of a SavedModel for TensorFlow Serving."""
    from keras_apps.export.saved_model import export as write

    wanted = options.export
    precision = {} if wanted.precision == "own" else {"dtype": wanted.precision}
    model = app.model_class().load(wanted.model, **_changes(options) | precision)
    own = _own_data(wanted.model)
    data = {name: _without_folders(value) for name, value in own.items()} | {"data": _name_of(own["data"])}
    path = write(model, wanted.saved_models, app.name, server_xla=wanted.server_xla, summary=app.summary, data=data)
    served = shlex.quote(wanted.saved_models)
    print(f"exported: {path}; next: keras-apps {app.name} serve --saved_models {served}")


def serve(app: App, options: argparse.Namespace) -> None:
    """Serve the exports over gRPC and REST."""
    from keras_apps.serving.launch import choose_engine
    from keras_apps.serving.launch import serve as launch

    wanted = options.serve
    engine = choose_engine(wanted.engine)
    launch(wanted.saved_models, engine, wanted.port, wanted.grpc_port, model=app.name, xla=wanted.xla)


def _exports(app: App) -> str:
    """The app's exports."""
    return f"{SAVED_MODELS}/{app.name}"


def _check_exported(app: App, model: str) -> None:
    """Raises UserError where `model` is what another app exported."""
    from keras_apps.files import export_description, exported_version

    version = exported_version(model) if model else None
    made, own = export_description(version).get("model_class"), app.model.rpartition(":")[2]
    if made not in (None, own):
        raise UserError(f"{version}: holds a {made}, not a {own}; name an export of {app.name}")


def _run_of(where: str) -> RunDirectory:
    """The run that a model's place names: the folder itself, or that of a .keras file."""
    from keras_apps.training.run_directory import RunDirectory

    return RunDirectory(Path(where).parent if where.endswith(".keras") else where)


def _data_settings(options: argparse.Namespace) -> dict[str, Any]:
    data = dataclasses.asdict(options.data_flags)
    # A name that means the same from everywhere.
    named = data["data"] if Path(data["data"]).name not in ("", "..") else os.path.abspath(data["data"])
    return data | {"data": named} | dataclasses.asdict(options.splitting)


def _check_parts_of_parent(parent: str, data: dict[str, Any]) -> None:
    """Raises UserError where a model is trained further on its own data, and scored by what it was trained on."""
    if parent:
        own = _own_data(parent)
        if _are_own(own, data, True, _run_of(parent).config_file.exists()) and _are_like(own, data):
            _check_parts(parent, own, data)


def _check_parts(where: str, own: dict[str, Any], data: dict[str, Any]) -> None:
    """Raises UserError where other parts of the same data are wanted than those that a model was trained with."""
    for name in ("split_seed", "validation_fraction", "test_fraction"):
        if data[name] != own[name]:
            raise UserError(
                f"{where}: was trained with --{name} {own[name]}; by {data[name]} the validation and test parts would "
                f"hold examples that it was trained on; give --{name} {own[name]}"
            )


def _check_unchanged(where: str, before: dict[str, int] | None, now: dict[str, int]) -> None:
    """Raises UserError where the parts that were trained with had other sizes."""
    for part in before or {}:
        if before[part] != now.get(part):
            raise UserError(
                f"{where}: the data have changed: {now.get(part, 0)} examples in the {part} part, {before[part]} when "
                "it was trained; parts drawn anew hold what it was trained on, so name the data as they were, or other "
                "data, with --data"
            )


def _own_data(where: str) -> dict[str, Any]:
    """The settings by which the data of a model were read; `data` is empty where unknown, and a name in an export."""
    from keras_apps.files import export_description, exported_version

    run = _run_of(where)
    known = run.read_settings() if run.config_file.exists() else export_description(exported_version(where))
    own = known.get("data")
    # From Python a run may have been given anything.
    return own if isinstance(own, dict) and isinstance(own.get("data"), str) else {"data": ""}


def _without_folders(value: Any) -> Any:
    """A setting without the folders that its files are in here, which are of no use elsewhere."""
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).exists() else value


def _name_of(data: str) -> str:
    """Data by name only, there or not: parallel files are named by what they begin with."""
    return data if _is_anywhere(data) else Path(data).name


def _is_anywhere(data: str) -> bool:
    """Whether data are the same wherever they are read."""
    return data == "demo" or data.startswith("tfds:")


def _are_own(own: dict[str, Any], data: dict[str, Any], is_named: bool, is_run: bool) -> bool:
    """Whether to evaluate on the data that the model was trained on, in parts that are known.

    Args:
        own: settings of the data that it was trained on.
        data: those of the flags.
        is_named: whether the data are among the flags.
        is_run: whether `own` are of a run, which have the path; of what was exported there is only the name.
    """
    if _is_anywhere(own["data"]):
        return not is_named or data["data"] == own["data"]
    if not is_named:
        return is_run and _are_like(own, data)
    path, trained_on = Path(data["data"]), Path(own["data"])
    is_same = path.resolve() == trained_on.resolve()
    # A run that was called from elsewhere has a path that leads nowhere from here.
    if not is_run or not any(trained_on.parent.glob(f"{glob.escape(trained_on.name)}*")):
        is_same = is_same or _name_of(data["data"]) == trained_on.name
    return is_same and _are_like(own, data)


def _are_like(own: dict[str, Any], data: dict[str, Any]) -> bool:
    """Whether data settings have the names and types of others."""
    like = json.loads(json.dumps(data))
    return own.keys() == like.keys() and all(
        None in (value, own[name]) or type(own[name]) is type(value) for name, value in like.items()
    )


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that the answering flags change."""
    return {name: value for name, value in dataclasses.asdict(options.answering).items() if value is not None}


def _read(request: dict[str, Any]) -> dict[str, Any] | UserError:
    """A request with all that is read for it, or why that can't be read."""
    try:
        return {name: each() if callable(each) else each for name, each in request.items()}
    except UserError as error:
        return error


def _batched(requests: Iterable[tuple[int, Any, Any]], size: int) -> Iterator[list[tuple[int, Any, Any]]]:
    """Requests together, no more than `size`, and fewer where they are large: a server takes so many bytes at once."""
    batch, held = [], 0
    for each in requests:
        batch.append(each)
        held += _bytes(each[2])
        if len(batch) == size or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _bytes(value: Any) -> int:
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, list) else 0


def _answered(
    answer: Callable[..., dict[str, list]], batch: list[dict[str, Any]], signature: str
) -> list[dict[str, Any] | RequestRefused]:
    """The answer to each request; where a batch is refused, its requests are asked one by one."""
    if not batch:
        return []
    try:
        columns = answer({name: [request[name] for request in batch] for name in batch[0]}, signature)
    except RequestRefused as error:
        return [error] if len(batch) == 1 else [_answered(answer, [request], signature)[0] for request in batch]
    return [{name: values[index] for name, values in columns.items()} for index in range(len(batch))]
