import concurrent.futures
import contextlib
import errno
import fcntl
import itertools
import json
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import Splits
from keras_apps.errors import UserError
from keras_apps.files import locked
from keras_apps.layers.tokenizers import SubwordTokenizer
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.models.servable import ServableModel
from keras_apps.training.callbacks import EpochRecorder, StopOnNaN
from keras_apps.training.checkpoint import latest_checkpoint
from keras_apps.training.config import TrainingConfig
from keras_apps.training.fit import train
from tests import warm_process

DROPPING = {"cell": "rnn", "bidirectional": False, "units": 4, "embedding_dim": 4}
TINY = DROPPING | {"word_dropout": 0.0, "embedding_dropout": 0.0, "dropout": 0.0}


def reviews(count, start=0):
    texts = [f"{'good' if n % 2 else 'bad'} film {'x ' * (n % 7)}" for n in range(start, start + count)]
    return tf.data.Dataset.from_tensor_slices(
        {"text": texts, "label": ["pos" if n % 2 else "neg" for n in range(count)]}
    )


@pytest.fixture
def splits():
    return Splits(train=reviews(64), validation=reviews(16), test=None)


def test_a_run_directory_holds_what_a_person_wants(splits, tmp_path):
    best = train(SentimentClassifier, splits, tmp_path, model=TINY, config=TrainingConfig(epochs=3, batch_size=16))
    assert list(tmp_path.glob("tensorboard/train/events.*")) and list(tmp_path.glob("tensorboard/validation/events.*"))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "log.txt", "history.csv", "curves.png", "checkpoints", "model.keras"} <= names
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model"]["units"] == 4 and config["training"]["epochs"] == 3
    again = SentimentClassifier.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        best.serve(text=["good film"])["probabilities"], again.serve(text=["good film"])["probabilities"]
    )
    assert float(again.branch_scales[0]) != 1.0


def test_what_is_saved_is_the_average_of_the_weights(tmp_path, monkeypatch):
    seen = {}
    original = EpochRecorder.on_epoch_end

    def and_look(self, epoch, logs=None):
        original(self, epoch, logs)
        seen["raw"] = self.model.get_weights()
        with self.model.averaged_weights():
            seen["average"] = self.model.get_weights()

    monkeypatch.setattr(EpochRecorder, "on_epoch_end", and_look)
    config = TrainingConfig(epochs=1, batch_size=16)
    train(SentimentClassifier, Splits(reviews(64)), tmp_path, model=TINY, compile={"averaging": 0.9}, config=config)
    for saved, average in zip(SentimentClassifier.load(tmp_path).get_weights(), seen["average"], strict=True):
        np.testing.assert_array_equal(saved, average)
    assert not all(map(np.array_equal, seen["raw"], seen["average"]))


def test_no_thread_is_waited_for_that_tunes_the_input(splits, tmp_path, monkeypatch):
    class Given(Exception):
        pass

    def fit(self, batches, validation_data, **arguments):
        raise Given([each.options().autotune.enabled for each in (batches, validation_data)])

    monkeypatch.setattr(SentimentClassifier, "fit", fit)
    with pytest.raises(Given, match=r"\[False, False\]"):
        train(SentimentClassifier, splits, tmp_path, model=TINY)


def test_the_best_epoch_is_kept_and_patience_ends_the_run(splits, tmp_path):
    """Validation labels turned round: the longer it trains the worse it scores, so the first epoch is the best."""
    turned = splits.validation.map(lambda e: e | {"label": tf.where(e["label"] == "pos", "neg", "pos")})
    train(
        SentimentClassifier,
        Splits(train=splits.train, validation=turned),
        tmp_path,
        model=TINY,
        compile={"learning_rate": 0.05},
        config=TrainingConfig(epochs=9, batch_size=8, patience=2),
    )
    history = (tmp_path / "history.csv").read_text().splitlines()
    scores = [float(line.split(",")[history[0].split(",").index("val_accuracy")]) for line in history[1:]]
    best = scores.index(max(scores))
    assert len(scores) == best + 3 < 9
    # The same command again changes nothing, nor do more epochs.
    before = (tmp_path / "history.csv").read_bytes()
    train(
        SentimentClassifier,
        Splits(train=splits.train, validation=turned),
        tmp_path,
        model=TINY,
        compile={"learning_rate": 0.05},
        config=TrainingConfig(epochs=10, batch_size=8, patience=2),
    )
    assert (tmp_path / "history.csv").read_bytes() == before
    assert "raise --patience too" in (tmp_path / "log.txt").read_text()


def test_without_validation_the_last_epoch_is_kept(splits, tmp_path):
    best = train(
        SentimentClassifier,
        Splits(train=splits.train),
        tmp_path,
        model=TINY,
        config=TrainingConfig(epochs=2, batch_size=8, patience=1),
    )
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3
    assert float(best.branch_scales[0]) == 1.0


def test_a_loss_that_is_no_number_ends_the_run_in_one_line(splits, tmp_path):
    with pytest.raises(UserError, match="training diverged: .* smaller --learning_rate"):
        train(
            SentimentClassifier,
            splits,
            tmp_path,
            model=TINY,
            compile={"learning_rate": 1e38},
            config=TrainingConfig(epochs=2),
        )
    assert latest_checkpoint(tmp_path / "checkpoints") is None and not (tmp_path / "model.keras").exists()


def test_ctrl_c_ends_a_run_also_where_tensorflow_loses_it(splits, tmp_path, monkeypatch):
    def lost(self, batch, logs=None):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(StopOnNaN, "on_train_batch_end", lost)
    # In the background of a script it is ignored.
    listened = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(SentimentClassifier, splits, tmp_path, model=TINY, config=TrainingConfig(epochs=2, batch_size=16))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, listened)
    assert SentimentClassifier.load(tmp_path / "model.keras").serve(text=["good film"])


def test_fine_tuning_begins_with_the_other_runs_weights(splits, tmp_path):
    config = TrainingConfig(epochs=8, batch_size=8)
    train(SentimentClassifier, splits, tmp_path / "first", model=TINY, compile={"learning_rate": 0.03}, config=config)
    tuned = train(
        SentimentClassifier,
        splits,
        tmp_path / "second",
        init_from=tmp_path / "first",
        compile={"learning_rate": 0.0, "freeze_encoder": True},
        config=TrainingConfig(epochs=1),
    )
    parent = SentimentClassifier.load(tmp_path / "first" / "model.keras")
    assert tuned.units == 4
    np.testing.assert_array_equal(tuned.embedding.embeddings, parent.embedding.embeddings)
    assert tuned.measure(splits.validation)["accuracy"] == parent.measure(splits.validation)["accuracy"] == 1.0


def test_several_steps_in_one_call_and_xla_learn_the_same(splits, tmp_path):
    def weights(run, **options):
        config = TrainingConfig(epochs=2, batch_size=8, **options)
        model = train(SentimentClassifier, splits, tmp_path / run, model=TINY, config=config)
        return np.array(model.head.kernel)

    one = weights("one")
    np.testing.assert_array_equal(one, weights("four", steps_per_execution=4))
    np.testing.assert_allclose(one, weights("xla", xla="on"), atol=1e-5)


def test_mixed_precision_is_the_models_own_when_it_is_read_again(splits, tmp_path):
    config = TrainingConfig(epochs=1, batch_size=8, precision="mixed_bfloat16")
    train(SentimentClassifier, splits, tmp_path, model=TINY, config=config)
    again = SentimentClassifier.load(tmp_path / "model.keras")
    assert again.dtype_policy.name == again.encoder[0].dtype_policy.name == "mixed_bfloat16"
    assert again.embedding.embeddings.dtype == "float32" and again.head.compute_dtype == "float32"


def test_seeds_decide(splits, tmp_path):
    def weights(run, seed):
        config = TrainingConfig(epochs=1, batch_size=16, seed=seed)
        model = train(SentimentClassifier, splits, tmp_path / run, model=DROPPING, config=config)
        return np.array(model.head.kernel)

    first = weights("a", 1)
    np.testing.assert_array_equal(first, weights("b", 1))
    assert not np.array_equal(first, weights("c", 2))


def test_other_models_keep_their_subwords_and_what_others_seeded_changes_nothing(tmp_path):
    words = [f"{a}{b}" for a in ("good", "bad", "old", "new") for b in ("film", "plot", "cast", "scene")] * 20
    tokenizer = SubwordTokenizer(SubwordTokenizer.learn(words, 300))
    splits = Splits(train=tf.data.Dataset.from_tensor_slices({"x": [1.0, 2.0, 3.0, 4.0, 5.0]}))

    def numbers(run):
        model = train(TwoPhases, splits, tmp_path / run, config=TrainingConfig(epochs=2, batch_size=1))
        return [float(number) for number in model.numbers]

    first = numbers("first")
    assert tokenizer.detokenize(tokenizer.tokenize(tf.constant(["goodfilm"])).to_tensor()) == ["goodfilm"]
    tf.random.set_seed(0)
    assert numbers("second") == first


def test_classes_that_only_validation_has_do_not_stop_a_training(splits, tmp_path):
    odd = splits.validation.concatenate(reviews(1).map(lambda e: e | {"label": tf.constant("odd")}))
    best = train(SentimentClassifier, Splits(splits.train, odd), tmp_path, model=TINY, config=TrainingConfig(epochs=1))
    assert best.class_names == ["neg", "pos"] and np.isfinite(float(best.branch_scales[0]))


def test_a_run_that_kept_nothing_may_begin_again_with_other_settings(splits, tmp_path):
    with pytest.raises(UserError, match="dropout"):
        train(SentimentClassifier, splits, tmp_path, model=TINY | {"dropout": 2.0})
    train(SentimentClassifier, splits, tmp_path, model=TINY, config=TrainingConfig(epochs=1))
    with pytest.raises(UserError, match=r"units = 4, not 5"):
        train(SentimentClassifier, splits, tmp_path, model=TINY | {"units": 5}, config=TrainingConfig(epochs=1))


def test_one_class_only_is_refused(tmp_path):
    same = reviews(8).map(lambda e: e | {"label": tf.constant("pos")})
    with pytest.raises(UserError, match=r"one class only \(pos\)"):
        train(SentimentClassifier, Splits(same), tmp_path, model=TINY)


@keras.saving.register_keras_serializable(package="keras_apps_tests")
class TwoPhases(ServableModel):
    """Learns a number in its first phase, and another in its second."""

    phases = ("first", "second")

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.numbers = [self.add_weight(name=name, shape=(), initializer="zeros") for name in self.phases]
        self.built = True
        self.current = 0

    def adapt(self, examples):
        pass

    def prepare(self, example):
        return example

    def begin_phase(self, phase):
        self.current = self.phases.index(phase)

    def compile(self, xla=False, steps_per_execution=1):
        super().compile(keras.optimizers.Adam(0.1), ["loss"], xla=xla, steps_per_execution=steps_per_execution)

    def train_step(self, batch):
        number = self.numbers[self.current]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((number - batch["x"]) ** 2)
        self.apply_gradients(self.optimizer, tape.gradient(loss, [number]), [number])
        return self.track({"loss": loss})

    def test_step(self, batch):
        return self.track({"loss": tf.reduce_mean((self.numbers[self.current] - batch["x"]) ** 2)})

    def measure(self, examples, batch_size=64):
        return {}

    def signatures(self):
        return {}

    def call(self, inputs):
        return inputs


@keras.saving.register_keras_serializable(package="keras_apps_tests")
class OnePhase(TwoPhases):
    """Learns one number."""

    phases = ("only",)


def test_an_epoch_is_the_same_whatever_the_number_of_steps_in_a_call(tmp_path):
    splits = Splits(train=tf.data.Dataset.from_tensor_slices({"x": np.arange(12, dtype=np.float32)}))

    def run(name, epochs, steps):
        config = TrainingConfig(epochs=epochs, batch_size=2, steps_per_execution=steps)
        train(OnePhase, splits, tmp_path / name, config=config)
        return ended(tmp_path / name)

    straight = run("straight", 3, 1)
    assert all(row["loss"] > 0 for row in straight[1])
    run("resumed", 1, 4)
    # Of the steps of an epoch, 6, a call can take 3.
    assert run("resumed", 3, 4) == run("four", 3, 4) == straight
    assert "3 steps in one call, not 4" in (tmp_path / "four" / "log.txt").read_text()


def test_phases_are_fitted_in_order_and_resumed_in_the_midst(tmp_path, monkeypatch):
    splits = Splits(train=tf.data.Dataset.from_tensor_slices({"x": [3.0] * 8}))
    config = TrainingConfig(epochs=3, batch_size=4)
    whole = train(TwoPhases, splits, tmp_path / "whole", config=config)
    assert all(float(n) > 0.3 for n in whole.numbers)

    class Killed(BaseException):
        pass

    steps = iter(range(100))
    original = keras.callbacks.CallbackList.on_train_batch_end

    def dies_in_the_second_phase(self, *arguments):
        original(self, *arguments)
        if next(steps) == 8:
            raise Killed

    monkeypatch.setattr(keras.callbacks.CallbackList, "on_train_batch_end", dies_in_the_second_phase)
    with pytest.raises(Killed):
        train(TwoPhases, splits, tmp_path / "torn", config=config)
    monkeypatch.undo()
    assert latest_checkpoint(tmp_path / "torn" / "checkpoints").name == "phase-01-epoch-00001"
    resumed = train(TwoPhases, splits, tmp_path / "torn", config=config)
    assert [float(n) for n in resumed.numbers] == [float(n) for n in whole.numbers]


def train_and_die(run_dir, deadly=None, after=False):
    """Trains in both phases; kills itself where it renames for the `deadly`-th time what it has written beside."""
    renames = itertools.count()

    def dying(original):
        def rename(*arguments):
            is_deadly = next(renames) == deadly
            if after or not is_deadly:
                original(*arguments)
            if is_deadly:
                os.kill(os.getpid(), signal.SIGKILL)

        return rename

    if deadly is not None:
        os.replace, os.rename = dying(os.replace), dying(os.rename)
    splits = Splits(train=tf.data.Dataset.from_tensor_slices({"x": [3.0] * 8}))
    config = TrainingConfig(epochs=2, batch_size=4)
    return [float(number) for number in train(TwoPhases, splits, run_dir, config=config).numbers]


def ended(run_dir):
    (checkpoint,) = (run_dir / "checkpoints").iterdir()
    history = json.loads((checkpoint / "state.json").read_text())["progress"]["history"]
    with np.load(checkpoint / "variables.npz") as file:
        arrays = {name: file[name].tolist() for name in file.files}
    return checkpoint.name, [row | {"seconds": 0} for row in history], arrays


def test_one_process_at_a_time_trains_in_a_run_directory(tmp_path, monkeypatch):
    train_and_die(tmp_path)
    before = ended(tmp_path)
    # Another opening of the file is as another process's.
    with locked(tmp_path / ".lock"), pytest.raises(UserError, match="another process trains in it; wait for it"):
        train_and_die(tmp_path)
    assert ended(tmp_path) == before

    def flock(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with locked(tmp_path / ".lock"):
        monkeypatch.setattr(fcntl, "flock", flock)
        train_and_die(tmp_path)


@pytest.mark.parametrize("said", ["ENOLCK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"])
def test_where_a_disk_has_no_locks_nobody_is_kept_out(tmp_path, monkeypatch, said):
    # Two numbers on a Mac, one on Linux.
    monkeypatch.setattr(errno, "ENOTSUP", 45)

    def flock(file, operation):
        raise OSError(getattr(errno, said), "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path / ".lock"):
        pass


def test_a_process_forked_meanwhile_does_not_keep_the_run_directory(tmp_path, monkeypatch):
    original, those_of_the_child = fcntl.flock, []

    def flock(file, operation):
        those_of_the_child.append(os.dup(file.fileno()))
        original(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    for _ in range(2):
        with locked(tmp_path / ".lock"):
            pass
    for descriptor in those_of_the_child:
        os.close(descriptor)


def test_killed_while_it_writes_a_model_and_between_the_phases(tmp_path):
    numbers = train_and_die(tmp_path / "whole")
    torn = tmp_path / "torn"
    for deadly, after, left in (
        (1, False, None),  # the first model.keras, not yet in its place
        (3, True, "phase-00-epoch-00001"),  # a checkpoint, just in its place
        (4, False, "phase-00-epoch-00002"),  # the one that begins the second phase
        (5, True, "phase-01-epoch-00001"),  # a model.keras of that, which no checkpoint knows of
    ):
        process = warm_process.context().Process(target=train_and_die, args=(torn, deadly, after))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert [path.name for path in (torn / "checkpoints").glob("phase-*")] == [left] * bool(left)
        assert (torn / "model.keras").exists() is bool(left)
    assert train_and_die(torn) == numbers
    assert ended(torn) == ended(tmp_path / "whole")
    assert not list(torn.rglob(".incomplete-*"))


def test_a_phase_begins_with_the_best_of_the_one_before(tmp_path):
    examples = tf.data.Dataset.from_tensor_slices({"x": [3.0] * 8})
    # Adam goes 0.2 nearer to 3 in each epoch, and is nearest to 0.45 after the second.
    splits = Splits(train=examples, validation=examples.map(lambda example: {"x": example["x"] * 0.15}))
    best = train(TwoPhases, splits, tmp_path, config=TrainingConfig(epochs=4, batch_size=4, patience=0))
    np.testing.assert_allclose([float(number) for number in best.numbers], 0.4, atol=0.01)


@pytest.mark.parametrize("phase", ["first", "second"])
def test_on_ctrl_c_a_model_of_the_last_phase_is_one_to_use(tmp_path, monkeypatch, phase):
    def stop(model, metrics):
        if model.phases[model.current] == phase:
            raise KeyboardInterrupt

    monkeypatch.setattr(TwoPhases, "trouble", stop)
    examples = tf.data.Dataset.from_tensor_slices({"x": [3.0] * 8})
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(TwoPhases, Splits(examples), tmp_path, config=TrainingConfig(epochs=2, batch_size=4))
    assert (tmp_path / "model.keras").exists()
    assert stopped.value.args == ((str(tmp_path / "model.keras"),) if phase == "second" else ())


def test_ctrl_c_before_the_first_step_leaves_no_model(splits, tmp_path, monkeypatch):
    """Of its weights there would be no average yet."""

    def stop(self, batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(SentimentClassifier, "train_step", stop)
    config = TrainingConfig(epochs=1, batch_size=8)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(SentimentClassifier, splits, tmp_path, model=TINY, compile={"averaging": 0.9}, config=config)
    assert stopped.value.args == () and not (tmp_path / "model.keras").exists()


def test_a_run_goes_on_with_the_examples_that_it_began_with(splits, tmp_path):
    """Of one from before their number was kept it is not known."""

    def trained(examples, epochs):
        config = TrainingConfig(epochs=epochs, batch_size=8)
        train(SentimentClassifier, Splits(examples, splits.validation), tmp_path, model=TINY, config=config)

    trained(splits.train, 1)
    fewer = splits.train.take(8)
    with pytest.raises(UserError, match=r"holds a run with train examples = \d+, not 8; give the same flags and data"):
        trained(fewer, 2)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["examples"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    trained(splits.train, 2)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3


def test_weights_have_no_average_before_the_first_step(splits):
    model = SentimentClassifier(**TINY)
    model.adapt(splits.train)
    model.compile(averaging=0.9)
    before = np.array(model.head.kernel)
    with model.averaged_weights():
        np.testing.assert_array_equal(model.head.kernel, before)


def train_twice_on_two_devices(run_dir):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for epochs in (1, 2):
        config = TrainingConfig(epochs=epochs, batch_size=16, distribute="mirrored", steps_per_execution=2)
        averaged = {"averaging": 0.9}
        train(SentimentClassifier, Splits(reviews(64)), run_dir, model=DROPPING, compile=averaged, config=config)


def test_a_run_on_two_devices_goes_on(tmp_path):
    with concurrent.futures.ProcessPoolExecutor(1, warm_process.context()) as pool:
        pool.submit(train_twice_on_two_devices, tmp_path / "resumed").result(600)
    assert len((tmp_path / "resumed" / "history.csv").read_text().splitlines()) == 3
    log = (tmp_path / "resumed" / "log.txt").read_text()
    assert "going on from" in log and "one step in one call, not 2: 2 devices take no more at a time" in log
