import argparse
import dataclasses
import importlib
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import time
import unicodedata
import urllib.request
from pathlib import Path

import pytest

from apps import inputs, runner, verbs
from apps.command_line import all_apps
from keras_apps.data import tables
from keras_apps.errors import UserError
from keras_apps.files import EXPORTED_MODEL
from keras_apps.models.adversarial import AdversarialModel
from keras_apps.training.config import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
APPS = sorted(all_apps())


@pytest.fixture(scope="module")
def demo_run(command, tmp_path_factory):
    """A sentiment model trained on the demo reviews through the command line: quality, export and answers hang on it."""
    run_dir = tmp_path_factory.mktemp("runs") / "demo"
    flags = ["--units", 32, "--embedding_dim", 32, "--learning_rate", 4e-3, "--averaging", 0.9, "--epochs", 8]
    command("sentiment", "train", "--run_dir", run_dir, "--ngram_buckets", 4096, *flags)
    return run_dir


@pytest.fixture(scope="module")
def demo_export(command, demo_run, tmp_path_factory):
    """The folder of exports with one version of the demo model in it."""
    saved_models = tmp_path_factory.mktemp("saved_models")
    command("sentiment", "export", "--model", demo_run, "--saved_models", saved_models, "--server_xla")
    return saved_models


# Flags and the Python API.


@pytest.mark.parametrize("name", APPS)
def test_flags_are_the_arguments_of_the_python_api(name):
    app = all_apps()[name]
    model = app.model_class()
    module, function = app.load.split(":")
    pairs = [
        ((app.model_flags,), model.__init__, {"self", "seed", "vocabulary", "class_names", "palette", "kwargs"}),
        ((app.compile_flags,), model.compile, {"self", "xla", "steps_per_execution"}),
        ((app.data_flags, app.splitting), getattr(importlib.import_module(module), function), set()),
    ]
    for flags, target, others in pairs:
        parameters = arguments_of(target, getattr(model, "game", {})).items()
        parameters = {name: default for name, default in parameters if name not in others}
        defaults = {name: value for group in flags for name, value in defaults_of(group).items()}
        assert defaults.keys() == parameters.keys(), target.__qualname__
        for name, value in defaults.items():
            assert value == parameters[name] and type(value) is type(parameters[name]), name


def arguments_of(function, game):
    """Their defaults by name; what a model's `compile` hands on to AdversarialModel's, with its own defaults."""
    parameters = {name: each.default for name, each in inspect.signature(function).parameters.items()}
    if parameters.pop("game", None) is None:
        return parameters
    return arguments_of(AdversarialModel.compile, {}) | game | parameters


def defaults_of(group):
    """Of a dataclass of flags, or of one with defaults of its own."""
    is_class = isinstance(group, type)
    return {
        field.name: field.default if is_class else getattr(group, field.name) for field in dataclasses.fields(group)
    }


@pytest.mark.parametrize("name", APPS)
def test_no_flag_has_two_meanings(name):
    app = all_apps()[name]
    groups = (app.model_flags, app.compile_flags, app.data_flags, app.splitting, TrainingConfig)
    names = [field.name for group in groups for field in dataclasses.fields(group)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", APPS)
def test_every_flag_is_explained(name, capsys):
    for verb in ("train", "evaluate", "predict", "export", "serve"):
        with pytest.raises(SystemExit):
            runner._parser(all_apps()[name]).parse_args([verb, "--help"])
        lines = re.findall(r"^  --.*(?:\n {10,}.*)*", capsys.readouterr().out, re.M)
        assert lines
        for line in lines:
            described = re.split(r"\s{2,}|\n", line.strip(), maxsplit=1)
            assert len(described) == 2 and len(described[1].split("(default")[0].strip()) > 5, line


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "apps.command_line", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


# Help comes at once, because nothing heavy is imported for it.


def test_alone_it_lists_the_apps():
    result = run()
    assert result.returncode == 0
    for app in all_apps().values():
        assert re.search(rf"^  {app.name}\s+{re.escape(app.summary)}$", result.stdout, re.M)


@pytest.mark.parametrize("module", ["apps.command_line", "apps.runner", *(f"apps.{name}" for name in APPS)])
def test_the_parser_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(sorted({{'tensorflow', 'keras', 'numpy', 'sklearn', 'matplotlib', 'scipy'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_serve_looks_for_its_models_before_it_imports_tensorflow(tmp_path):
    code = """
import atexit, sys
from apps import command_line
atexit.register(lambda: print("tensorflow" in sys.modules))
sys.argv[0] = "keras-apps"
command_line.main()
"""
    arguments = ["sentiment", "serve", "--engine", "embedded", "--saved_models", tmp_path / "nowhere"]
    result = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "False\n") and "no such folder" in result.stderr


def test_no_verbs_help_imports_anything_heavy():
    code = """
import contextlib, io, sys
from apps import runner
from apps.command_line import all_apps
for app in all_apps().values():
    for verb in ("train", "evaluate", "predict", "export", "serve"):
        with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
            runner._parser(app).parse_args([verb, "--help"])
        assert "--help" in said.getvalue()
heavy = "tensorflow keras numpy PIL matplotlib scipy sklearn grpc uvicorn tensorflow_datasets keras_hub sacrebleu"
print(sorted(set(heavy.split()) & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_answers_from_a_server_need_no_tensorflow(tmp_path):
    """Of any app, of texts and of pictures: only what makes a request and what asks is imported."""
    code = """
import sys
from PIL import Image
from apps import runner
from apps.command_line import all_apps
picture = sys.argv[1] + "/a.png"
Image.new("RGB", (8, 8)).save(picture)
asks = {
    "sentiment": ["--text", "a"],
    "translation": ["--text", "a"],
    "captioning": ["--image", picture],
    "pix2pix": ["--image", picture, "--output", sys.argv[1] + "/made"],
    "text_to_image": ["--text", "a", "--output", sys.argv[1]],
    "face_aging": ["--image", picture, "--age", "30", "--output", sys.argv[1]],
    "style_transfer": ["--image", picture, "--style", picture, "--output", sys.argv[1]],
    "siamese": ["--first", picture, "--second", picture],
}
for app in all_apps().values():
    try:
        runner.main(app, ["x", "predict", "--server", "localhost:1", *asks[app.name]])
    except SystemExit as end:
        assert end.code == 2
    for name in ("tensorflow", "keras", "matplotlib", "sklearn", "scipy", "grpc"):
        assert name not in sys.modules, (app.name, name)
"""
    result = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("no model server at localhost:1") == len(APPS), result.stderr


# The whole way of a user's reviews.


def test_the_demo_is_learned_and_measured_on_unseen_reviews(command, demo_run, read_json):
    result = command("sentiment", "evaluate", "--model", demo_run)
    metrics = read_json(demo_run / "metrics.json")
    assert metrics["split"] == "test" and metrics["examples"] == 1000
    assert 0.97 <= metrics["accuracy"] <= 1 and metrics["calibration_error"] < 0.03
    assert f"{metrics['accuracy']:.4f}" in result.stdout
    assert (demo_run / "confusion_matrix.png").stat().st_size > 5000


def test_a_table_of_ones_own_from_training_to_fine_tuning(command, tiny_table, tmp_path, read_json):
    run_dir = tmp_path / "run"
    flags = "--cell rnn --nobidirectional --units 4 --embedding_dim 8 --learning_rate 0.03 --batch_size 8".split()
    command("sentiment", "train", "--run_dir", run_dir, "--data", tiny_table, "--split_seed", 7, "--epochs", 6, *flags)
    command("sentiment", "evaluate", "--model", run_dir)
    metrics = read_json(run_dir / "metrics.json")
    assert metrics["class_names"] == ["bad", "good", "so so"] and 0 < metrics["examples"] < 40
    assert metrics["accuracy"] > 0.9
    # However they are called, its data have the test part that it did not see.
    named = Path(os.path.relpath(tiny_table, ROOT))
    for where in (run_dir, run_dir / "model.keras"):
        command("sentiment", "evaluate", "--model", where, "--data", named)
        assert read_json(run_dir / "metrics.json") == metrics | {"data": str(named)}
    # Other parts of the same data would flatter it, or what is made of it.
    again = ["train", "--run_dir", tmp_path / "again", "--init_from", run_dir, "--data", tiny_table]
    result = command("sentiment", *again, status=2)
    assert "was trained with --split_seed 7; by 0 the validation and test parts would hold" in result.stderr
    rows = tiny_table.read_text()
    tiny_table.write_text(f"{rows}a lovely new film,good\n")
    result = command("sentiment", "evaluate", "--model", run_dir, status=2)
    assert "the data have changed" in result.stderr
    command("sentiment", "evaluate", "--model", run_dir, "--split", "all")
    further = ["--run_dir", run_dir, "--data", tiny_table, "--split_seed", 7, "--epochs", 7, *flags]
    assert "holds a run with " in command("sentiment", "train", *further, status=2).stderr
    tiny_table.write_text(rows)

    other = tmp_path / "other.jsonl"
    other.write_text(
        "\n".join(json.dumps({"text": f"a {w} film {n}", "label": w}) for n in range(20) for w in ("great", "dull"))
    )
    command("sentiment", "evaluate", "--model", run_dir, "--data", other, "--output", tmp_path / "report", status=2)
    tuned = tmp_path / "tuned"
    result = command("sentiment", "train", "--run_dir", tuned, "--init_from", run_dir, "--data", other, "--epochs", 1)
    assert re.search(r"\d+ of \d+ weights come from", result.stderr)
    assert (
        read_json(tuned / "checkpoints" / "phase-00-epoch-00001" / "state.json")["progress"]["model_config"]["units"]
        == 4
    )


@pytest.mark.parametrize("where", ["run", "file", "version", "folder of versions"])
def test_predict_answers_alike_from_wherever_the_model_is(command, demo_run, demo_export, where):
    path = {
        "run": demo_run,
        "file": demo_run / "model.keras",
        "version": demo_export / "sentiment" / "1",
        "folder of versions": demo_export / "sentiment",
    }[where]
    result = command(
        "sentiment",
        "predict",
        "--model",
        path,
        "--input",
        "-",
        input="This is a wonderful film.\nIt is not a wonderful film.\n",
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == ["pos", "neg"]
    assert answers[0]["text"] == "This is a wonderful film."
    assert answers[0]["score"] == max(answers[0]["probabilities"])


def test_an_export_computes_in_the_precision_that_is_asked_for(command, demo_run, tmp_path):
    import tensorflow as tf

    command("sentiment", "export", "--model", demo_run, "--saved_models", tmp_path, "--precision", "mixed_bfloat16")
    version, model_class = tmp_path / "sentiment" / "1", all_apps()["sentiment"].model_class()
    own, exported = (model_class.load(path) for path in (demo_run / "model.keras", version / EXPORTED_MODEL))
    assert exported.dtype_policy.name == "mixed_bfloat16"
    for weight, expected in zip(exported.get_weights(), own.get_weights(), strict=True):
        assert weight.dtype == expected.dtype and (weight == expected).all()
    asked = tf.constant(["This is a wonderful film.", "It is not a wonderful film."])
    exact = own.snapshot(dtype="float32").serve(text=asked)["probabilities"].numpy()
    rounded = tf.saved_model.load(str(version)).signatures["serving_default"](text=asked)["probabilities"].numpy()
    assert 0 < abs(rounded - exact).max() < 0.02


def test_two_examples_of_one_class_are_enough_to_be_measured(command, demo_run, tmp_path, read_json):
    (tmp_path / "two.csv").write_text("text,label\nA wonderful film.,pos\nA fine film.,pos\n")
    command("sentiment", "evaluate", "--model", demo_run, "--data", tmp_path / "two.csv", "--output", tmp_path)
    assert read_json(tmp_path / "metrics.json")["examples"] == 2


def test_one_bad_text_spoils_no_other(command, demo_run):
    result = command(
        "sentiment",
        "predict",
        "--model",
        demo_run,
        "--text",
        "a fine film",
        "--text",
        " ",
        "--text",
        "a dull film",
        status=2,
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["label" in answer for answer in answers] == [True, False, True]
    assert "empty" in answers[1]["error"]


def test_bytes_that_are_no_utf_8_are_no_traceback(command, demo_run):
    ask = ["sentiment", "predict", "--model", demo_run]
    (answer,) = map(json.loads, command(*ask, "--text", "a fine\udcff film").stdout.splitlines())
    assert answer["text"] == "a fine\ufffd film" and "label" in answer
    lines = b"a fine\xff film\n\0a dull film\n".decode("utf-8", "surrogateescape")
    answers = [json.loads(line) for line in command(*ask, "--input", "-", input=lines).stdout.splitlines()]
    assert [answer["text"] for answer in answers] == ["a fine\ufffd film", "\0a dull film"]


def test_words_are_weighed(command, demo_run):
    result = command("sentiment", "predict", "--model", demo_run, "--explain", "--text", "a truly dull film")
    answer = json.loads(result.stdout)
    assert answer["tokens"] == ["a", "truly", "dull", "film"] and sum(answer["weights"]) == pytest.approx(1, abs=1e-4)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_serve_answers_over_both_protocols_and_stops_cleanly(command, demo_export):
    rest, grpc = free_port(), free_port()
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "apps.command_line",
            "sentiment",
            "serve",
            "--saved_models",
            demo_export,
            "--port",
            str(rest),
        ]
        + ["--grpc_port", str(grpc), "--engine", "embedded"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://localhost:{rest}/v1/models/sentiment"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and server.poll() is None:
            try:
                urllib.request.urlopen(url, timeout=5).read()
                break
            except OSError:
                time.sleep(0.2)
        body = json.dumps({"instances": [{"text": "This is a wonderful film."}]}).encode()
        with urllib.request.urlopen(f"{url}:predict", body, timeout=60) as response:
            (prediction,) = json.load(response)["predictions"]
        assert prediction["label"] == "pos"
        for protocol, port in (("rest", rest), ("grpc", grpc)):
            result = command(
                "sentiment",
                "predict",
                "--server",
                f"localhost:{port}",
                "--protocol",
                protocol,
                "--text",
                "This is a wonderful film.",
            )
            answer = json.loads(result.stdout)
            assert answer["label"] == "pos" and answer["score"] == pytest.approx(prediction["score"], rel=1e-5)
        taken = command(
            "sentiment",
            "serve",
            "--saved_models",
            demo_export,
            "--port",
            rest,
            "--grpc_port",
            free_port(),
            "--engine",
            "embedded",
            status=2,
        )
        assert str(rest) in taken.stderr
    finally:
        server.terminate()
        output, errors = server.communicate(timeout=60)
    assert server.returncode == 0 and "Traceback" not in errors, errors


# Mistakes.


@pytest.mark.parametrize(
    ("content", "name", "flags", "said"),
    [
        (None, "none.csv", [], "no such file"),
        ("", "empty.csv", [], "empty"),
        ("text,label\n", "header.csv", [], "there are no rows"),
        ("text,label\n" + "good,pos\n" * 30, "one_class.csv", [], "class"),
        ("words,label\n" + "good,pos\nbad,neg\n" * 30, "columns.csv", [], "--text_key"),
        ("text,label\n" + "good,pos\nbad,neg\n" * 30, "key.csv", ["--text_key", "body"], "body"),
        ("text,label\n" + "good,pos\nbad,neg\n" * 30 + "x\n" * 9, "rows.csv", ["--max_bad_rows", "3"], "rows.csv:62"),
        ("hello", "reviews.docx", [], "not a kind of data"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_bad_data_is_one_line_and_status_2(command, tmp_path, content, name, flags, said):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    result = command("sentiment", "train", "--run_dir", tmp_path / "run", "--data", path, *flags, status=2)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and said in errors[0] and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "--run_dir"),
        (["train", "--run_dir", "x", "--cell", "transformer"], "invalid choice"),
        (["train", "--run_dir", "x", "--unitz", "3"], "--unitz"),
        (["train", "--run_dir", "x", "--epochs", "0"], "epochs must be at least 1; received 0"),
        (["fly"], "fly"),
        (["train", "--run_dir", "x", "--split_seed", "-1"], "split_seed must be at least 0; received -1"),
        (["evaluate", "--model", "/nowhere"], "/nowhere: no such run directory"),
        (["evaluate", "--batch_size", "0"], "batch_size must be at least 1; received 0"),
        (["predict", "--text", "a", "--model", "saved_models/siamese"], "holds a SiameseNetwork, not a Sentiment"),
        (["predict", "--text", "a", "--model", "m", "--server", "s"], "--model or --server"),
        (["predict", "--model", "/nowhere"], "--text"),
        (["predict", "--model", "/nowhere", "--input", "/none.txt"], "/none.txt: no such file"),
        (["serve", "--saved_models", "/nowhere"], "/nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_slip_at_the_command_line_is_one_line_and_status_2(command, arguments, said):
    result = command("sentiment", *arguments, status=2)
    assert said in result.stderr and result.stderr.count("\n") == 1, result.stderr


@pytest.mark.parametrize(
    ("app", "flags", "said"),
    [
        (
            "face_aging",
            ["--image", "a.png", "--age", "20", "--age", "130"],
            "--age must be from 0 to 120; received 130",
        ),
        ("text_to_image", ["--text", "a", "--seed", "3000000000"], "seed must be at least -2.14748e+09 and below"),
        ("pix2pix", ["--image", "none.png"], "none.png: no such picture file"),
    ],
)
def test_what_no_model_could_answer_is_said_before_one_is_read(command, tmp_path, app, flags, said):
    assert said in command(app, "predict", "--output", tmp_path, *flags, status=2).stderr


def test_a_switch_that_is_turned_off_is_given():
    options = runner._parser(all_apps()["siamese"]).parse_args(["train", "--run_dir", "x", "--norotations"])
    assert runner._given(["--run_dir=x", "--norotations", "--notes"], options) == ["run_dir", "rotations", "tes"]


@pytest.mark.parametrize(
    ("named", "is_run", "split_seed", "expected"),
    [
        (None, True, 0, True),
        ("sub/../a.csv", True, 0, True),
        ("b.csv", True, 0, False),
        ("elsewhere/a.csv", True, 0, False),
        # An export knows the name and not the place.
        (None, False, 0, False),
        ("elsewhere/a.csv", False, 0, True),
        ("elsewhere/b.csv", False, 0, False),
        # Settings of another version may mean other parts.
        ("a.csv", True, None, False),
    ],
)
def test_what_a_model_was_trained_on_is_known_again(named, is_run, split_seed, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").touch()
    own = {"data": "a.csv"} | ({} if split_seed is None else {"split_seed": split_seed})
    asked = {"data": named or "demo", "split_seed": 5}
    assert verbs._are_own(own, asked, named is not None, is_run) is expected
    assert verbs._are_own({"data": "demo"}, asked, named is not None, is_run) is (named is None)


def test_the_folder_one_is_in_is_named_as_it_is_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "reviews" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "reviews")
    for given, kept in ((".", tmp_path / "reviews"), ("..", tmp_path), ("sub", "sub"), ("demo", "demo")):
        flags = all_apps()["sentiment"].data_flags(data=given)
        options = argparse.Namespace(data_flags=flags, splitting=runner.NoFlags())
        assert verbs._data_settings(options)["data"] == str(kept)


def test_what_a_run_was_trained_on_is_known_again_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "corpus.en").touch()
    for folder, expected in ((tmp_path / "there", True), (tmp_path, False)):
        monkeypatch.chdir(folder)
        assert verbs._are_own({"data": "corpus"}, {"data": "../corpus"}, True, True) is expected
    assert verbs._are_own({"data": "corpus"}, {"data": "./corpus"}, True, True)


def test_an_export_names_its_data_by_what_parallel_files_begin_with():
    assert [verbs._name_of(data) for data in ("multi/train", "a.csv", "demo", "tfds:glue/sst2")] == [
        "train",
        "a.csv",
        "demo",
        "tfds:glue/sst2",
    ]


def test_a_flag_of_several_values_is_not_given_twice(command, tmp_path):
    flags = ["--run_dir", tmp_path, "--styles", "paintings", "--styles", "demo"]
    assert "--styles is given twice" in command("style_transfer", "train", *flags, status=2).stderr


def test_a_traceback_is_there_for_those_who_ask(command):
    result = command("sentiment", "evaluate", "--model", "/nowhere", "--verbosity=1", status=1)
    assert "Traceback" in result.stderr and "UserError" in result.stderr


def test_an_unknown_app_names_those_there_are():
    result = run("sentimental", "train")
    assert result.returncode == 2 and "there are: captioning" in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--run_dir", "x", "--lerning_rate", "1"], "there is no --lerning_rate, but --learning_rate"),
        (["serve", "--zzz=1"], "there is no --zzz"),
        (["serve", "8501"], "'8501' belongs to no flag"),
    ],
)
def test_a_flag_that_is_none(arguments, said):
    result = run("sentiment", *arguments)
    assert result.returncode == 2
    assert result.stderr == f"error: {said}; see keras-apps sentiment {arguments[0]} --help\n"


@pytest.mark.parametrize("given", [["--beams"], ["--beams", "--n_best"], ["--text_key"]])
def test_a_flag_without_its_value(given):
    result = run("translation", "predict", "--text", "A dog.", *given)
    assert result.returncode == 2
    assert (
        result.stderr
        == f"error: argument {given[0]}: expected one argument; see keras-apps translation predict --help\n"
    )


def test_texts_of_a_table(tmp_path):
    table = tmp_path / "reviews.csv"
    table.write_text('review,label,words\n"fine, really",pos,a\ndull,neg,b\n')
    for key, expected in ((None, ["fine, really", "dull"]), ("words", ["a", "b"])):
        assert list(inputs.texts(inputs.TextFlags(input=str(table), text_key=key))) == expected
    with pytest.raises(UserError, match=r"no column 'w'.*--text_key"):
        list(inputs.texts(inputs.TextFlags(input=str(table), text_key="w")))


def test_texts_from_windows(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\ntwo\r\n".encode())
    assert list(inputs.texts(inputs.TextFlags(input=str(tmp_path / "a.txt")))) == ["one", "two"]
    (tmp_path / "A.CSV").write_bytes("\ufefftext,label\r\none,pos\r\n,neg\r\n".encode())
    assert list(inputs.texts(inputs.TextFlags(input=str(tmp_path / "A.CSV")))) == ["one", ""]
    (tmp_path / "fields.csv").write_text("text,label\none,pos,more\n")
    with pytest.raises(UserError, match=r"fields.csv:2: 3 fields where the header has 2; correct it"):
        list(inputs.texts(inputs.TextFlags(input=str(tmp_path / "fields.csv"))))
    (tmp_path / "wide.txt").write_text("one\ntwo\n", encoding="utf-16")
    with pytest.raises(UserError, match=r"wide.txt: the file is UTF-16; save it as UTF-8"):
        list(inputs.texts(inputs.TextFlags(input=str(tmp_path / "wide.txt"))))
    (tmp_path / "latin.txt").write_bytes("café\n".encode("latin-1"))
    assert list(inputs.texts(inputs.TextFlags(input=str(tmp_path / "latin.txt")))) == ["caf\ufffd"]
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match="empty.txt: the file is empty"):
        list(inputs.texts(inputs.TextFlags(input=str(tmp_path / "empty.txt"))))


def test_lines_from_windows_through_a_pipe(command, demo_run):
    result = command(
        "sentiment", "predict", "--model", demo_run, "--input", "-", input="\ufeffA fine film.\r\nA dull film.\r\n"
    )
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["A fine film.", "A dull film."]


def test_pictures_of_a_folder_are_those_that_are_shown(tmp_path):
    for name in ("b.JPG", "a.png", "._a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [Path(path).name for path in inputs.chosen([], str(tmp_path))] == ["a.png", "b.JPG"]


def test_no_answer_takes_the_place_of_another_or_of_what_is_asked_about(tmp_path):
    a, b = tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.jpg"
    inputs.check_outputs({str(a): [tmp_path / "x.png", tmp_path / "y.png"], str(b): [tmp_path / "z.png"]})
    with pytest.raises(UserError, match=r"x.png: would be the answer to .*a/x.jpg and to .*b/x.jpg"):
        inputs.check_outputs({str(a): [tmp_path / "x.png"], str(b): [tmp_path / "b" / ".." / "x.png"]})
    with pytest.raises(
        UserError, match=r"b/x.jpg: the answer to .*a/x.jpg would take its place; name another --output"
    ):
        inputs.check_outputs({str(a): [b], str(b): []})


def test_names_that_a_mac_takes_for_one(monkeypatch, tmp_path):
    decomposed, composed = (unicodedata.normalize(form, "é") for form in ("NFD", "NFC"))
    for name, other in (("IMG", "img"), (decomposed, composed)):
        asked = {str(tmp_path / name): [tmp_path / f"{name}.png"], str(tmp_path / other): [tmp_path / f"{other}.png"]}
        monkeypatch.setattr(sys, "platform", "linux")
        inputs.check_outputs(asked)
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(UserError, match="would be the answer to"):
            inputs.check_outputs(asked)


def test_requests_are_asked_together_as_long_as_they_are_small():
    large = [(index, {}, {"image_bytes": b"." * 2**22, "age": 3}) for index in range(5)]
    assert [len(batch) for batch in verbs._batched(large, 64)] == [2, 2, 1]
    small = [(index, {}, {"styles_bytes": [b"."], "text": "a"}) for index in range(5)]
    assert [len(batch) for batch in verbs._batched(small, 3)] == [3, 2]


@pytest.mark.parametrize("name", [*tables.TEXT_NAMES, *tables.SOURCE_NAMES, *tables.CAPTION_NAMES])
def test_a_column_that_training_finds_is_found_where_answers_are_asked(tmp_path, name):
    (tmp_path / "asked.csv").write_text(f"id,{name.title()}\n1,fine\n")
    assert list(inputs.texts(inputs.TextFlags(input=str(tmp_path / "asked.csv")))) == ["fine"]
