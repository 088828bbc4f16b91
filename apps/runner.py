"""What an app is, and its command line: flags from dataclasses, and a mistake in one line."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import logging as python_logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import simple_parsing
from absl import app as absl_app
from absl import flags, logging
from absl.flags import argparse_flags
from simple_parsing.helpers.custom_actions import BooleanOptionalAction

from apps import verbs
from keras_apps.errors import UserError, brief, check_range, printable
from keras_apps.files import disk_trouble
from keras_apps.training.config import TrainingConfig

if TYPE_CHECKING:
    import argparse

    import tensorflow as tf

    from keras_apps.data.splits import Splits
    from keras_apps.models.servable import ServableModel

Line = dict[str, Any]


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

    def __post_init__(self):
        check_range(self, ("max_bad_rows", "split_seed"), at_least=0)


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
        overview: `predict_flags` and the lines printed of requests that were answered -> a last line to print, if any;
            draws what shows all the answers together. Not of a shard.
        together: `predict_flags` -> how many requests, one after the other, a shard is to have together; 0 for all.
        answering_flags: dataclass of constructor arguments that no weight depends on, None for the model's own;
            `evaluate`, `predict` and `export` take them.
        measuring_flags: dataclass of what else `evaluate` measures with.
        predict_batch: requests that `predict` asks at once, at most the largest of the signatures' batch sizes.
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
    overview: Callable[[Any, Sequence[Line]], Line | None] | None = None
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


def main(app: App, argv: Sequence[str] | None = None) -> None:
    """Runs one app's command line."""

    def parse(arguments: Sequence[str]) -> argparse.Namespace:
        try:
            options, unknown = _parser(app).parse_known_args(arguments[1:])
        except UserError as error:
            fail(error)
        if unknown:
            fail(f"{_unknown(unknown[0], options)}; see keras-apps {app.name} {options.verb.__name__} --help")
        given = _given(arguments, options)
        # Whether a flag was given decides where its default would come from: these flags, or an older run's.
        options.given = set(given)
        twice = [name for name in options.given & _tuple_flags(options) if given.count(name) > 1]
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


class HelpFormatter(simple_parsing.SimpleHelpFormatter):
    """Groups of flags under what they are for, and no default where there is none."""

    def start_section(self, heading: str | None) -> None:
        """Leaves the name of a dataclass out."""
        super().start_section(None if (heading or "").endswith("']") else heading)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        # A switch may be given without a value; to say so in brackets within brackets helps nobody.
        return super()._format_args(action, default_metavar).strip("[]")

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = super()._get_help_string(action)
        return text.removesuffix(" (default: %(default)s)") if action.default in (None, "", []) else text


class Parser(argparse_flags.ArgumentParser, simple_parsing.ArgumentParser):
    """Flags from dataclasses, absl's own among them; a mistake is one line."""

    def __init__(self, **kwargs: Any):
        super().__init__(allow_abbrev=False, formatter_class=HelpFormatter, **kwargs)

    def _parse_known_args(self, *arguments: Any, **options: Any) -> tuple[argparse.Namespace, list[str]]:
        # Of a flag that may be None simple_parsing would have it that its value may be left out.
        for action in self._actions:
            if action.nargs == "?" and not isinstance(action, BooleanOptionalAction):
                action.nargs = None
        return super()._parse_known_args(*arguments, **options)

    def error(self, message: str) -> None:
        """Prints what is wrong and exits with status 2."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def _parser(app: App) -> Parser:
    parser = Parser(prog=f"keras-apps {app.name}", description=app.summary)
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    of_verbs: dict[Callable, dict[str, Any]] = {
        verbs.train: {
            "train": verbs.TrainFlags,
            "data_flags": app.data_flags,
            "splitting": app.splitting,
            "model_flags": app.model_flags,
            "compile_flags": app.compile_flags,
            "training": app.training,
        },
        verbs.evaluate: {
            "evaluate": verbs.EvaluateFlags,
            "measuring": app.measuring_flags,
            "answering": app.answering_flags,
            "data_flags": app.data_flags,
            "splitting": app.splitting,
        },
        verbs.predict: {
            "answer": verbs.AnswerFlags,
            "answering": app.answering_flags,
            "predict_flags": app.predict_flags,
        },
        verbs.export: {"export": verbs.ExportFlags, "answering": app.answering_flags},
        verbs.serve: {"serve": verbs.ServeFlags},
    }
    for verb, groups in of_verbs.items():
        sub = subparsers.add_parser(verb.__name__, help=verb.__doc__, description=verb.__doc__)
        for destination, group in groups.items():
            if group is NoFlags:
                sub.set_defaults(**{destination: NoFlags()})
            else:
                # A dataclass, or one with defaults of its own.
                sub.add_arguments(group, dest=destination)
        sub.set_defaults(verb=verb)
    return parser


def _given(arguments: Sequence[str], options: argparse.Namespace) -> list[str]:
    """The names of the flags that were given, as often as they were; --nobidirectional gives `bidirectional`."""
    names = {field.name for field in _flags(options)}
    words = [word[2:].split("=")[0].replace("-", "_") for word in arguments if word.startswith("--")]
    return [word if word in names else word.removeprefix("no") for word in words]


def _unknown(word: str, options: argparse.Namespace) -> str:
    """What is wrong with a word that is no flag of the verb, and what may have been meant."""
    if not word.startswith("--"):
        return f"{printable(word)!r} belongs to no flag"
    flag = word[2:].split("=")[0]
    close = difflib.get_close_matches(flag, [field.name for field in _flags(options)], 1)
    return f"there is no --{printable(flag)}" + (f", but --{close[0]}" if close else "")


def _tuple_flags(options: argparse.Namespace) -> set[str]:
    """The flags of several values, of which the last one given would silently be all."""
    return {field.name for field in _flags(options) if "tuple" in str(field.type)}


def _flags(options: argparse.Namespace) -> list[dataclasses.Field]:
    """All flags of the verb."""
    groups = [group for group in vars(options).values() if dataclasses.is_dataclass(group)]
    return [field for group in groups for field in dataclasses.fields(group)]


def _imported(path: str) -> Any:
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)
