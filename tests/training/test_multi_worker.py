"""Several processes that train together, as on several machines, here on one."""

import contextlib
import csv
import json
import os
import socket
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import Splits
from keras_apps.errors import UserError
from keras_apps.layers.recurrent import uses_cudnn
from keras_apps.models.pix2pix import Pix2Pix
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.training import hardware, pipeline
from keras_apps.training.config import TrainingConfig
from keras_apps.training.fit import train
from keras_apps.training.run_directory import RunDirectory
from tests import warm_process

STILL = {
    "cell": "rnn",
    "bidirectional": False,
    "units": 4,
    "embedding_dim": 4,
    "word_dropout": 0.0,
    "embedding_dropout": 0.0,
    "dropout": 0.0,
}


def learn(folder, distribute):
    """Of the last batch of reviews there is one, so that one of two processes has none."""
    hardware.strategy(distribute)
    texts = [f"{'good' if n % 2 else 'bad'} film {'x ' * (n % 7)}" for n in range(44)]
    reviews = tf.data.Dataset.from_tensor_slices({"text": texts, "label": ["pos" if "good" in t else "neg" for t in texts]})  # fmt: skip
    config = TrainingConfig(epochs=3, batch_size=16, patience=0, distribute=distribute)
    splits = Splits(reviews.take(33), reviews.skip(33))
    train(SentimentClassifier, splits, f"{folder}/sentiment", model=STILL, compile={"learning_rate": 0.03}, config=config)  # fmt: skip
    pictures = np.random.default_rng(0).integers(0, 256, (2, 7, 16, 16, 3), np.uint8)
    pairs = tf.data.Dataset.from_tensor_slices({"input": pictures[0], "target": pictures[1]})
    config = TrainingConfig(epochs=2, batch_size=4, precision="float32", distribute=distribute, steps_per_execution=2)
    train(Pix2Pix, Splits(pairs), f"{folder}/pix2pix", model={"height": 16, "width": 16, "filters": 2, "patch": 16}, compile={"averaging": 0.9}, config=config)  # fmt: skip


@contextlib.contextmanager
def two_processes(folder):
    """Both, the chief first, and what they say."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(2)]
        for probe in probes:
            probe.bind(("localhost", 0))
        addresses = [f"localhost:{probe.getsockname()[1]}" for probe in probes]
    processes, said = [], [folder / f"said-{index}.txt" for index in range(2)]
    try:
        for index, path in enumerate(said):
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            processes.append(warm_process.context().Process(target=learn_together, args=(folder, cluster, path)))
            processes[-1].start()
        yield processes, said
    finally:
        for process in processes:
            process.kill()
            process.join()


def learn_together(folder, cluster, said):
    os.dup2(os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), sys.stdout.fileno())
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    os.environ |= {"TF_CONFIG": json.dumps(cluster), "CUDA_VISIBLE_DEVICES": ""}
    learn(folder, "multi_worker")


def history(folder, name):
    with open(folder / name / "history.csv") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with runs of two processes, that of sentiment killed after an epoch and gone on with; and one of one."""
    two, one = tmp_path_factory.mktemp("two"), tmp_path_factory.mktemp("one")
    with two_processes(two) as (processes, said):
        deadline = time.monotonic() + 240
        while not list(two.glob("sentiment/checkpoints/phase-00-epoch-*")):
            assert time.monotonic() < deadline and all(each.is_alive() for each in processes), said[0].read_text()
            time.sleep(0.02)
    assert len(history(two, "sentiment")) < 3
    with two_processes(two) as (processes, said):
        for process, path in zip(processes, said, strict=True):
            process.join(timeout=240)
            assert process.exitcode == 0, path.read_text()[-3000:]
    learn(one, "none")
    return two, one


@pytest.mark.parametrize("name", ["sentiment", "pix2pix"])
def test_two_processes_learn_what_one_does(runs, name):
    two, one = (history(folder, name) for folder in runs)
    assert len({row["loss" if name == "sentiment" else "l1"] for row in one}) == len(one) == len(two)
    for row, other in zip(one, two, strict=True):
        # How much the fakes of a batch vary is asked of each process's own.
        for key in row.keys() - {"phase", "seconds", "diversity"}:
            assert float(row[key]) == pytest.approx(float(other[key]), rel=1e-3), (row["epoch"], key)


def test_the_chief_alone_writes(runs):
    log = (runs[0] / "sentiment" / "log.txt").read_text()
    assert log.count("going on from") == 1 and log.count("epoch 3:") == 1
    assert "one step in one call, not 2: 2 devices" in (runs[0] / "pix2pix" / "log.txt").read_text()
    for name in ("sentiment", "pix2pix"):
        there, expected = ({path.name for path in (folder / name).iterdir()} for folder in runs)
        assert there == expected
    models = [SentimentClassifier.load(folder / "sentiment" / "model.keras") for folder in runs]
    one, two = (model.serve(text=["a good film"])["probabilities"] for model in models)
    np.testing.assert_allclose(one, two, rtol=1e-2)


def test_who_joins_a_run_gives_the_same_settings(tmp_path):
    run, settings = RunDirectory(tmp_path / "run"), {"training": {"epochs": 3}}
    with pytest.raises(UserError, match="all machines share"):
        run.join(settings)
    with run.open(settings):
        run.join(settings)
    with pytest.raises(UserError, match="epochs = 3, not 4"):
        run.join({"training": {"epochs": 4}})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "it is not set"),
        ("one:2222,two:2222", "received one:2222,two:2222"),
        ('{"cluster": {"worker": ["one:2222"]}}', "received"),
        ('{"cluster": {"worker": ["one:2222"]},\n "task": {"type": "worker", "index": 1}}', "received"),
        ('{"cluster": {"worker": ["one:2222"], "ps": []}, "task": {"type": "worker", "index": 0}}', "received"),
    ],
)
def test_a_cluster_that_is_not_described_is_one_line(command, tmp_path, given, said):
    flags = ["--run_dir", tmp_path / "run", "--distribute", "multi_worker"]
    result = command("sentiment", "train", *flags, env={"TF_CONFIG": given} if given else {}, status=2)
    assert "needs the environment variable TF_CONFIG" in result.stderr and said in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"worker": "one:2222"}, '"worker" is no list'),
        ({"worker": ["one:2222", "two"]}, '"two" is no HOST:PORT'),
        ({"worker": ["one:2222", 2223]}, "2223 is no HOST:PORT"),
        ({"chief": ["one:2222", "two:2222"], "worker": ["three:2222"]}, 'more than one is "chief"'),
        ({"chief": ["one:2222"], "worker": ["one:2222"]}, '"one:2222" stands twice'),
        ({"worker": ["one:2222"], "ps": ["two:2222"]}, '"ps" is neither "chief" nor "worker"'),
    ],
)
def test_what_is_wrong_with_a_cluster_is_said(monkeypatch, cluster, said):
    task = {"type": next(iter(cluster)), "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    with pytest.raises(UserError, match=f"received .*, where {said}$"):
        hardware.is_chief("multi_worker")


def test_devices_without_examples_are_refused_where_they_cant_be_computed(monkeypatch):
    model = Pix2Pix(height=16, width=16, filters=2, patch=16)
    batches = tf.data.Dataset.from_tensor_slices({"input": np.zeros((9, 16, 16, 3))}).batch(4)
    pipeline.check_shares(model, batches, training=True)
    monkeypatch.setattr(type(tf.distribute.get_strategy()), "num_replicas_in_sync", 2)
    pipeline.check_shares(model, batches.take(2), training=True)
    with pytest.raises(UserError, match="a batch has 1 of the examples, .* for 2 CPUs; .*--xla on"):
        pipeline.check_shares(model, batches, training=True)
    model.xla = True
    pipeline.check_shares(model, batches, training=True)
    # Which is not compiled.
    with pytest.raises(UserError, match="a batch has 1 of the validation examples, .* --batch_size$"):
        pipeline.check_shares(model, batches, training=False)


def test_gpus_without_examples_do_without_cudnn(monkeypatch):
    monkeypatch.setattr(pipeline, "has_gpu", lambda: True)
    monkeypatch.setattr(type(tf.distribute.get_strategy()), "num_replicas_in_sync", 2)
    model = SentimentClassifier(units=2, vocabulary=["good"], class_names=["a", "b"])
    batches = tf.data.Dataset.from_tensor_slices({"tokens": np.ones((9, 3))}).batch(4)
    pipeline.check_shares(model, batches.take(2), training=True)
    assert uses_cudnn(model)
    pipeline.check_shares(model, batches, training=True)
    assert not uses_cudnn(model)
    # Convolutions of a GPU take none.
    pipeline.check_shares(Pix2Pix(height=16, width=16, filters=2, patch=16), batches, training=True)


def test_a_cluster_of_one_is_this_machine(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"chief": ["one:2222"]}, "task": {"type": "chief", "index": 0}}')
    assert hardware.strategy("multi_worker").num_replicas_in_sync == 1 and hardware.is_chief("multi_worker")
