"""The verbs that all apps share: flags in, library calls out. TensorFlow is imported by a verb, not by the parser."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import logging as python_logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import simple_parsing
from absl import app as absl_app
from absl import flags, logging
from absl.flags import argparse_flags

from keras_apps.errors import RequestRefused, UserError, brief, printable
from keras_apps.files import disk_trouble
from keras_apps.training.config import TrainingConfig

if TYPE_CHECKING:
    import argparse

    import tensorflow as tf

    from keras_apps.data.splits import Splits
    from keras_apps.models.servable import ServableModel

Line = dict[str, Any]
SAVED_MODELS = "saved_models"
"""Folder of the exports, where no other is named."""


@dataclasses.dataclass(frozen=True)
class NoFlags:
    """Nothing to change."""


@dataclasses.dataclass(frozen=True)
class SplitFlags:
    """What is passed over, and what parts are made where the data has none."""

    max_bad_rows: int = 100
    """Rows that are malformed and pictures that can't be used to skip before giving up."""
    validation_fraction: float = 0.1
    """Of the training examples, where the data has no validation part."""
    test_fraction: float = 0.1
    """Of the training examples, where the data has no test part."""
    split_seed: int = 0
    """What the parts are drawn by."""


@dataclasses.dataclass(frozen=True)
class App:
    """What one task adds to the verbs.

    Args:
        name: of the task: its file here, and its model on a server.
        summary: one line.
        model: `module:class` of the ServableModel.
        load: `module:function` that reads `--data` into Splits; the fields of `data_flags` and `splitting` are its
            arguments.
        model_flags: dataclass of the model's constructor arguments.
        compile_flags: dataclass of the arguments of its `compile`.
        data_flags: dataclass of the arguments of `load` that say what to read.
        predict_flags: dataclass of what `predict` reads requests from.
        requests: `predict_flags` -> the signature, and for each request what its printed line begins with and its
            inputs, of one element each, or functions that read them.
        measure: the model, raw examples, a batch size and `measuring_flags` -> the metrics and, under `answers`, a dict
            per example.
        table: metrics -> the lines that `evaluate` prints.
        draw: writes pictures into a folder, from the metrics, the `answers` of `measure`, and the examples.
        present: `predict_flags`, the request's number, what its line begins with, its inputs and its outcome -> what
            is printed; writes pictures.
        overview: `predict_flags` and how many requests there were -> a last line to print, if any; draws what shows all
            the answers together. Not of a shard.
        together: `predict_flags` -> how many requests, one after the other, a shard is to have together; 0 for all.
        answering_flags: dataclass of constructor arguments that no weight depends on, None for the model's own;
            `evaluate`, `predict` and `export` take them.
        measuring_flags: dataclass of what else `evaluate` measures with.
        predict_batch: requests that `predict` asks at once.
        splitting: how parts are made unless other flags are given.
        training: how to train unless other flags are given.
    """

    name: str
    summary: str
    model: str
    load: str
    model_flags: type
    compile_flags: type
    data_flags: type
    predict_flags: type
    requests: Callable[[Any], tuple[str, Iterable[tuple[Line, Line]]]]
    table: Callable[[Line], Iterable[str]]
    draw: Callable[[Line, list[Line], tf.data.Dataset, Path], None] = lambda metrics, answers, examples, folder: None
    present: Callable[[Any, int, Line, Line, Line], Line] = lambda options, index, shown, request, outcome: (
        shown | outcome
    )
    overview: Callable[[Any, int], Line | None] = lambda options, count: None
    together: Callable[[Any], int] = lambda options: 1
    measure: Callable[[ServableModel, tf.data.Dataset, int, Any], Line] = lambda model, examples, batch_size, options: (
        model.measure(examples, batch_size)
    )
    answering_flags: type = NoFlags
    measuring_flags: type = NoFlags
    predict_batch: int = 64
    splitting: SplitFlags = SplitFlags()
    training: TrainingConfig = TrainingConfig()

    def model_class(self) -> type[ServableModel]:
        """The model's class; imports TensorFlow."""
        return _imported(self.model)

    def splits(self, settings: dict[str, Any]) -> Splits:
        """The raw examples that data flags name."""
        return _imported(self.load)(**settings)


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
    """Folder for metrics.json and pictures; by default the run directory."""
    batch_size: int = 64
    """Examples at a time."""


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
    """A run directory or a .keras file."""
    saved_models: str = SAVED_MODELS
    """Folder that a server watches; the next version is written below it."""
    server_xla: bool = False
    """The server runs with XLA: warm up the compiled signatures, and start it so in docker-compose.yml."""


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


def train(app: App, options: argparse.Namespace) -> None:
    """Train or fine-tune; resumes by itself."""
    _import_tensorflow()
    from keras_apps.training import hardware
    from keras_apps.training.fit import train as fit

    hardware.strategy(options.training.distribute)
    model = dataclasses.asdict(options.model_flags)
    if options.train.init_from:
        model = {name: value for name, value in model.items() if name in options.given}
    data = _data_settings(options)
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
    except KeyboardInterrupt:
        print(f"\ninterrupted; give the same command again to go on, or use {where} as it is", file=sys.stderr)
        sys.exit(130)
    print(f"trained: {where} holds model.keras, history.csv and curves.png; next: evaluate --model {where}")


def evaluate(app: App, options: argparse.Namespace) -> None:
    """Measure a trained model on examples it has not seen."""
    _import_tensorflow()
    from keras_apps.training.fit import model_file
    from keras_apps.training.run_directory import RunDirectory

    where = options.evaluate.model or _exports(app)
    run = RunDirectory(where)
    model = _changed(app.model_class().load(model_file(where)), options)
    data = _data_settings(options)
    split = options.evaluate.split
    own = _own_data(where)
    split = split or ("test" if "data" not in options.given or data["data"] == own["data"] else "all")
    if "data" not in options.given:
        if _are_like(own, data):
            data = own | {name: data[name] for name in options.given & data.keys()}
        elif own["data"] != data["data"] and (own["data"] or run.config_file.exists()):
            raise UserError(f"{where}: does not hold the data that it was trained on; name examples with --data")
    examples = app.splits(data).split(split)
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
    if model:
        _import_tensorflow()
    number, shards = where.part
    answer = open_answerer(app.name, app.model_class, model, where.server, where.protocol, _changes(options))
    own = (
        (index, shown, {name: each() if callable(each) else each for name, each in request.items()})
        for index, (shown, request) in enumerate(requests)
        if not where.shard or index // together % shards == number - 1
    )
    count = refused = 0
    for batch in _batched(own, app.predict_batch):
        outcomes = _answered(answer, [request for _, _, request in batch], signature)
        for (index, shown, request), outcome in zip(batch, outcomes, strict=True):
            count = index + 1
            if isinstance(outcome, RequestRefused):
                refused += 1
                line = shown | {"error": str(outcome)}
            else:
                line = app.present(options.predict_flags, index, shown, request, outcome)
            print(json.dumps(line, ensure_ascii=False), flush=True)
    if not where.shard and count > refused and (overview := app.overview(options.predict_flags, count)):
        print(json.dumps(overview, ensure_ascii=False))
    if refused:
        raise UserError("some requests were refused; their lines say why")


def export(app: App, options: argparse.Namespace) -> None:
    """Write the next version of a SavedModel for TensorFlow Serving."""
    _import_tensorflow()
    from keras_apps.export.saved_model import export as write
    from keras_apps.training.fit import model_file

    wanted = options.export
    model = _changed(app.model_class().load(model_file(wanted.model)), options)
    own = _own_data(wanted.model)
    # Where it was here is of no use elsewhere.
    data = own["data"] if own["data"].startswith("tfds:") else Path(own["data"]).name
    path = write(model, wanted.saved_models, app.name, server_xla=wanted.server_xla, summary=app.summary, data=data)
    print(f"exported: {path}; next: serve --saved_models {wanted.saved_models}")


def serve(app: App, options: argparse.Namespace) -> None:
    """Serve the exports over gRPC and REST."""
    from keras_apps.serving.launch import serve as launch

    wanted = options.serve
    launch(wanted.saved_models, wanted.port, wanted.grpc_port, model=app.name, engine=wanted.engine, xla=wanted.xla)


def main(app: App, argv: Sequence[str] | None = None) -> None:
    """Runs one app's command line."""

    def parse(arguments: Sequence[str]) -> argparse.Namespace:
        try:
            options = _parser(app).parse_args(arguments[1:])
        except UserError as error:
            fail(error)
        words = [word[2:].split("=")[0].replace("-", "_") for word in arguments if word.startswith("--")]
        # Whether a flag was given decides where its default would come from: these flags, or an older run's.
        options.given = set(words)
        twice = [word for word in options.given & _tuple_flags(options) if words.count(word) > 1]
        if twice:
            fail(f"--{twice[0]} is given twice; give all of its values after it once: --{twice[0]} ONE ANOTHER")
        return options

    def run(options: argparse.Namespace) -> None:
        _talk_plainly()
        try:
            options.verb(app, options)
        except UserError as error:
            if flags.FLAGS.verbosity >= 1:
                raise
            fail(error)
        except BrokenPipeError:
            # Whoever read our output has enough of it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            from_system = isinstance(error, OSError) and error.errno is not None
            trouble = error.filename or "input or output" if from_system else disk_trouble(error)
            if flags.FLAGS.verbosity >= 1 or trouble is None:
                raise
            fail(printable(f"{trouble}: {brief(error)}"))

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    absl_app.run(run, argv=list(argv or sys.argv), flags_parser=parse)


def fail(reason: object) -> NoReturn:
    """Says in one line what the user's mistake was, and exits with status 2."""
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(2)


def _talk_plainly() -> None:
    """What this library says goes to stderr as it is; TensorFlow's own news only with --verbosity=0 or more."""
    # A file's name need not be UTF-8; what stands for it then is JSON's own way to write such a character.
    sys.stdout.reconfigure(errors="backslashreplace")
    handler = python_logging.StreamHandler()
    handler.setFormatter(python_logging.Formatter("%(message)s"))
    ours = python_logging.getLogger("keras_apps")
    ours.addHandler(handler)
    ours.setLevel(python_logging.INFO)
    ours.propagate = False
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)


class Parser(argparse_flags.ArgumentParser, simple_parsing.ArgumentParser):
    """Flags from dataclasses, absl's own among them; a mistake is one line."""

    def error(self, message: str) -> None:
        """Prints what is wrong and exits with status 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _import_tensorflow() -> None:
    """Imports TensorFlow and finds the devices, without the lines that its C++ libraries print before any setting."""
    if logging.get_verbosity() > logging.WARNING:
        return
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _parser(app: App) -> Parser:
    parser = Parser(prog=f"keras-apps {app.name}", description=app.summary, allow_abbrev=False)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    of_verbs: dict[Callable, dict[str, Any]] = {
        train: {
            "train": TrainFlags,
            "data_flags": app.data_flags,
            "splitting": app.splitting,
            "model_flags": app.model_flags,
            "compile_flags": app.compile_flags,
            "training": app.training,
        },
        evaluate: {
            "evaluate": EvaluateFlags,
            "measuring": app.measuring_flags,
            "answering": app.answering_flags,
            "data_flags": app.data_flags,
            "splitting": app.splitting,
        },
        predict: {"answer": AnswerFlags, "answering": app.answering_flags, "predict_flags": app.predict_flags},
        export: {"export": ExportFlags, "answering": app.answering_flags},
        serve: {"serve": ServeFlags},
    }
    for verb, groups in of_verbs.items():
        sub = verbs.add_parser(verb.__name__, help=verb.__doc__, description=verb.__doc__, allow_abbrev=False)
        for destination, group in groups.items():
            if group is NoFlags:
                sub.set_defaults(**{destination: NoFlags()})
            else:
                # A dataclass, or one with defaults of its own.
                sub.add_arguments(group, dest=destination)
        sub.set_defaults(verb=verb)
    return parser


def _tuple_flags(options: argparse.Namespace) -> set[str]:
    """The flags of several values, of which the last one given would silently be all."""
    groups = [group for group in vars(options).values() if dataclasses.is_dataclass(group)]
    return {field.name for group in groups for field in dataclasses.fields(group) if "tuple" in str(field.type)}


def _imported(path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)


def _exports(app: App) -> str:
    """The app's exports."""
    return f"{SAVED_MODELS}/{app.name}"


def _data_settings(options: argparse.Namespace) -> dict[str, Any]:
    return dataclasses.asdict(options.data_flags) | dataclasses.asdict(options.splitting)


def _own_data(where: str) -> dict[str, Any]:
    """The settings by which the data of a run were read; of an export their name; `data` is empty where unknown."""
    from keras_apps.files import exported_version
    from keras_apps.training.run_directory import RunDirectory

    run, version = RunDirectory(where), exported_version(where)
    own = None
    if run.config_file.exists():
        own = run.read_settings().get("data")
    elif version:
        own = {"data": json.loads((version / "signature.json").read_text()).get("data")}
    # From Python a run may have been given anything.
    return own if isinstance(own, dict) and isinstance(own.get("data"), str) else {"data": ""}


def _are_like(own: dict[str, Any], data: dict[str, Any]) -> bool:
    """Whether data settings have the names and types of others."""
    like = json.loads(json.dumps(data))
    return own.keys() == like.keys() and all(
        None in (value, own[name]) or type(own[name]) is type(value) for name, value in like.items()
    )


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that the answering flags change."""
    return {name: value for name, value in dataclasses.asdict(options.answering).items() if value is not None}


def _changed(model: ServableModel, options: argparse.Namespace) -> ServableModel:
    changes = _changes(options)
    return model.snapshot(**changes) if changes else model


def _batched(requests: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(requests)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def _answered(
    answer: Callable[..., dict[str, list]], batch: list[dict[str, Any]], signature: str
) -> list[dict[str, Any] | RequestRefused]:
    """The answer to each request; where a batch is refused, its requests are asked one by one."""
    try:
        columns = answer({name: [request[name] for request in batch] for name in batch[0]}, signature)
    except RequestRefused as error:
        return [error] if len(batch) == 1 else [_answered(answer, [request], signature)[0] for request in batch]
    return [{name: values[index] for name, values in columns.items()} for index in range(len(batch))]
