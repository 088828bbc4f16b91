import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from keras_apps.errors import UserError
from keras_apps.export.readme import write_readme
from keras_apps.export.saved_model import export
from keras_apps.export.server_files import write_server_files
from keras_apps.files import atomic_file, export_description
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.serving.launch import server_flags

TEXTS = ["A great cast, but a dull film.", "Not bad at all!", "word " * 300, "💥"]


def tiny_model(**arguments):
    return SentimentClassifier(
        units=4,
        embedding_dim=4,
        max_length=100,
        vocabulary=["good", "bad"],
        class_names=["neg", "pos"],
        ngram_buckets=64,
        **arguments,
    )


# Everything here is without keras_apps and without Keras: a server has neither.
ELSEWHERE = """
import json, sys
import tensorflow as tf

path, texts = sys.argv[1], json.loads(sys.argv[2])
answers = {}
for name, function in tf.saved_model.load(path).signatures.items():
    answers[name] = {key: value.numpy().tolist() for key, value in function(text=tf.constant(texts)).items()}

with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    meta = tf.compat.v1.saved_model.load(session, ["serve"], path)
    for name, signature in meta.signature_def.items():
        if name.startswith("__"):
            continue
        fetched = session.run(
            {key: info.name for key, info in signature.outputs.items()}, {signature.inputs["text"].name: texts}
        )
        answers[name + " in a session"] = {key: value.tolist() for key, value in fetched.items()}

assert not {"keras_apps", "tensorflow_text"} & set(sys.modules)
print(json.dumps(answers, default=lambda value: value.decode()))
"""


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The folder of exports with one version of the model in it."""
    saved_models = tmp_path_factory.mktemp("saved_models")
    export(model, saved_models, "sentiment", server_xla=True)
    return saved_models


@pytest.fixture(scope="module")
def elsewhere(exported, tmp_path_factory):
    """What the export answers in a new process, copied to another folder."""
    moved = tmp_path_factory.mktemp("elsewhere") / "some model"
    shutil.copytree(exported / "sentiment" / "1", moved)
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, moved, json.dumps(TEXTS)],
        cwd=moved.parent,
        capture_output=True,
        text=True,
        timeout=300,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@pytest.mark.parametrize("signature", ["serving_default", "explain"])
@pytest.mark.parametrize("suffix", ["", "_xla"])
@pytest.mark.parametrize("loader", ["", " in a session"])
def test_every_signature_answers_elsewhere_as_the_python_model_does(model, elsewhere, signature, suffix, loader):
    name = "serving_xla" if (signature, suffix) == ("serving_default", "_xla") else signature + suffix
    answer = elsewhere[name + loader]
    expected = model.serve(signature, text=TEXTS)
    assert answer.keys() == expected.keys()
    for key, value in expected.items():
        if value.dtype == tf.string:
            assert answer[key] == json.loads(json.dumps(value.numpy().tolist(), default=bytes.decode))
        else:
            np.testing.assert_allclose(answer[key], value, rtol=1e-4, atol=1e-6)


def test_the_folder_holds_what_a_server_and_a_person_need(exported, read_json):
    version = exported / "sentiment" / "1"
    names = {str(path.relative_to(version)) for path in version.rglob("*") if path.is_file()}
    assert {
        "saved_model.pb",
        "variables/variables.index",
        "batching_params.pbtxt",
        "assets.extra/tf_serving_warmup_requests",
        "assets.extra/model.keras",
        "signature.json",
        "README.md",
    } <= names
    description = read_json(version / "signature.json")
    example = description["signatures"]["serving_default"]["example"]
    again = SentimentClassifier.load(version / "assets.extra" / "model.keras").serve(**example["request"])
    assert example["answer"]["label"] == [again["label"].numpy()[0].decode()]
    np.testing.assert_allclose(example["answer"]["probabilities"], again["probabilities"], rtol=1e-5)
    assert json.dumps(example["request"]["text"], ensure_ascii=False) in (version / "README.md").read_text()
    assert description["signatures"]["serving_default"]["outputs"]["probabilities"] == {
        "dtype": "float32",
        "shape": [None, 2],
    }


@pytest.mark.parametrize("length", [10, 3000])
def test_a_request_too_long_for_a_command_is_a_file_beside_the_readme(tmp_path, read_json, length):
    request = {"text": ["é'" * length]}
    signature = {"xla": "", "inputs": {}, "outputs": {}, "example": {"request": request, "answer": {}}}
    described = {"model": "tiny", "version": 1, "model_class": "", "data": {"data": ""}, "server_xla": False}
    write_readme(tmp_path / "README.md", described | {"signatures": {"serving_default": signature}}, "")
    readme = (tmp_path / "README.md").read_text()
    if length > 1000:
        assert "-d '@request.json' http" in readme and read_json(tmp_path / "request.json") == {"inputs": request}
    else:
        assert "@" not in readme and not (tmp_path / "request.json").exists()


def test_the_server_batches_to_the_warm_sizes_only(exported):
    batching = (exported / "sentiment" / "1" / "batching_params.pbtxt").read_text()
    assert re.findall(r"allowed_batch_sizes: (\d+)", batching) == ["1", "8", "64"]
    assert "max_batch_size { value: 64 }" in batching


def test_models_config_is_what_the_server_parses(exported):
    config = text_format.Parse((exported / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path, model.model_platform) == ("sentiment", "/models/sentiment", "tensorflow")


def test_docker_compose_starts_the_server_as_serve_does(exported):
    compose = (exported / "docker-compose.yml").read_text()
    for flag in server_flags("/models/models.config", 8501, 8500, xla=False):
        assert compose.count(f"      - {flag}\n") == 2


def warmup_records(version):
    for record in tf.data.TFRecordDataset(str(version / "assets.extra" / "tf_serving_warmup_requests")):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        yield log.predict_log.request


def test_every_warm_up_request_runs_and_covers_all_sizes_and_lengths(exported):
    version = exported / "sentiment" / "1"
    signatures = tf.saved_model.load(str(version)).signatures
    seen = set()
    for request in warmup_records(version):
        text = tf.make_ndarray(request.inputs["text"])
        if len(text) < 64 or "xla" not in request.model_spec.signature_name:
            signatures[request.model_spec.signature_name](text=tf.constant(text))
        seen.add((request.model_spec.signature_name, len(text), len(text[0].split())))
    assert {size for _, size, _ in seen} == {1, 8, 64}
    assert {length for _, _, length in seen} == {7, 64, 100}
    assert {name for name, _, _ in seen} == {"serving_default", "serving_xla", "explain", "explain_xla"}
    assert len(seen) == 4 * 3 * 3


def test_a_server_without_xla_is_not_asked_to_compile(tmp_path, exported):
    version = export(tiny_model(), tmp_path, "tiny")
    assert {r.model_spec.signature_name for r in warmup_records(version)} == {"serving_default", "explain"}
    assert "xla" not in (tmp_path / "docker-compose.yml").read_text()
    compose = (exported / "docker-compose.yml").read_text()
    assert "--xla_cpu_compilation_enabled" in compose and "--xla_gpu_compilation_enabled" in compose


def version_of(saved_models, model, version, **described):
    folder = saved_models / model / str(version)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").touch()
    if described:
        (folder / "signature.json").write_text(json.dumps(described))


def test_the_server_is_started_with_xla_as_long_as_a_model_needs_it(tmp_path):
    version_of(tmp_path, "compiled", 9, server_xla=True)
    version_of(tmp_path, "plain", 1, server_xla=False)
    version_of(tmp_path, "somebody's", 1)
    version_of(tmp_path, "another's", 1, server_xla=["yes"])
    version_of(tmp_path, "damaged", 1)
    for text in ("{", "[1]", "\xe9", "[" * 10**5):
        (tmp_path / "damaged" / "1" / "signature.json").write_text(text, "latin-1")
        assert export_description(tmp_path / "damaged" / "1") == {}
    write_server_files(tmp_path)
    assert "--xla_cpu_compilation_enabled" in (tmp_path / "docker-compose.yml").read_text()
    version_of(tmp_path, "compiled", 10, server_xla=False)
    write_server_files(tmp_path)
    assert "xla" not in (tmp_path / "docker-compose.yml").read_text()


def test_a_model_exported_meanwhile_is_in_models_config(tmp_path, monkeypatch):
    version_of(tmp_path, "first", 1)

    def late(path):
        if not (tmp_path / "second").exists():
            version_of(tmp_path, "second", 1)
            write_server_files(tmp_path)
        return atomic_file(path)

    monkeypatch.setattr("keras_apps.export.server_files.atomic_file", late)
    write_server_files(tmp_path)
    assert all(f'"/models/{name}"' in (tmp_path / "models.config").read_text() for name in ("first", "second"))


def test_versions_follow_each_other_and_nothing_half_written_is_seen(tmp_path):
    model = tiny_model()
    (tmp_path / "tiny" / "7").mkdir(parents=True)
    (tmp_path / "tiny" / "notes").mkdir()
    seen = set()
    done = threading.Event()

    def look():
        for folder in (tmp_path / "tiny").glob("[0-9]*"):
            if folder.name != "7":
                seen.add((folder.name, (folder / "README.md").exists() and (folder / "saved_model.pb").exists()))

    def watch():
        """A server that polls: whatever it sees under a number must be whole."""
        while not done.wait(0.001):
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert export(model, tmp_path, "tiny").name == "8"
    assert export(model, tmp_path, "tiny").name == "9"
    done.set()
    watcher.join()
    look()
    assert ("9", True) in seen and all(whole for _, whole in seen)


def test_an_export_that_fails_leaves_no_version(tmp_path, monkeypatch):
    import keras_apps.export.saved_model as room

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "write_readme", full)
    with pytest.raises(UserError, match=r"tiny/1: can't be written: No space left"):
        export(tiny_model(), tmp_path, "tiny")
    assert os.listdir(tmp_path / "tiny") == []


def test_a_model_built_for_cudnn_is_exported_without(monkeypatch, tmp_path):
    """On a GPU `use_cudnn` is "auto" and would put kernels into the graph that no CPU has."""
    monkeypatch.setattr(importlib.import_module("keras.src.backend.tensorflow.rnn"), "_is_gpu_available", lambda: True)
    model = tiny_model()
    assert model.encoder[0].forward_layer.use_cudnn == "auto"
    version = export(model, tmp_path, "tiny")
    assert b"CudnnRNN" not in (version / "saved_model.pb").read_bytes()
    assert model.encoder[0].forward_layer.use_cudnn == "auto"


@pytest.mark.gpu
def test_a_model_trained_on_a_gpu_serves_on_a_cpu(tmp_path):
    version = export(tiny_model(), tmp_path, "tiny")
    assert b"CudnnRNN" not in (version / "saved_model.pb").read_bytes()
    with tf.device("CPU:0"):
        assert tf.saved_model.load(str(version)).signatures["serving_default"](text=tf.constant(["good"]))


def test_a_refusal_names_the_bad_element(exported):
    function = tf.saved_model.load(str(exported / "sentiment" / "1")).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="text 2 of the request is empty"):
        function(text=tf.constant(["a", "b", " "]))


def test_the_graph_stays_small(exported):
    assert Path(exported / "sentiment" / "1" / "saved_model.pb").stat().st_size < 2_000_000
