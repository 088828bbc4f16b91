import json
import os
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.files import EXPORTED_MODEL, MODEL, atomic_file
from keras_apps.models.sentiment import SentimentClassifier
from keras_apps.models.servable import SCHEMA_VERSION, ServableModel, Signature


def test_strings_pass_by_the_core():
    def core(dense):
        assert set(dense) == {"lengths"}
        return {"doubled": dense["lengths"] * 2}

    signature = Signature(
        inputs={"text": tf.TensorSpec([None], tf.string)},
        decode=lambda raw: {"lengths": tf.strings.length(raw["text"]), "text": raw["text"]},
        core=core,
        encode=lambda out: {"answer": tf.strings.join([out["text"], tf.strings.as_string(out["doubled"])])},
        examples=[{"text": "a"}],
    )
    for xla in (False, True):
        answer = signature.function(xla)({"text": tf.constant(["ab", "c"])})
        assert answer["answer"].numpy().tolist() == [b"ab4", b"c2"]


def test_what_is_named_passes_by_the_core_which_is_compiled_once():
    traced = []

    def core(dense):
        traced.append(set(dense))
        return {"doubled": dense["x"] * 2}

    signature = Signature(
        inputs={"x": tf.TensorSpec([None], tf.float32), "rows": tf.TensorSpec([None, None], tf.float32)},
        decode=lambda raw: dict(raw),
        core=core,
        encode=lambda out: {"answer": out["doubled"] + tf.reduce_sum(out["rows"], axis=-1)},
        examples=[],
        beside=("rows",),
    )
    answer = tf.function(signature.function(xla=True), input_signature=[dict(signature.inputs)])
    for columns in (1, 3):
        given = {"x": tf.constant([1.0, 2.0]), "rows": tf.ones([2, columns])}
        assert answer(given)["answer"].numpy().tolist() == [2 + columns, 4 + columns]
    assert set(map(frozenset, traced)) == {frozenset({"x"})}


def test_only_the_signature_that_is_asked_is_traced():
    inputs = {"x": tf.TensorSpec([None], tf.float32)}

    def same(tensors):
        return tensors

    def broken(tensors):
        raise AssertionError("traced")

    class Two(ServableModel):
        def signatures(self):
            return {
                "serving_default": Signature(inputs, same, lambda dense: {"twice": 2 * dense["x"]}, same, []),
                "other": Signature(inputs, same, broken, same, []),
            }

    model = Two()
    assert model.serve(x=[1.0, 2.0])["twice"].numpy().tolist() == [2, 4]
    with pytest.raises(AssertionError, match="traced"):
        model.serve("other", x=[1.0])


def test_what_is_reported_is_the_mean_of_the_epoch():
    model = Bucketed()
    dense = keras.layers.Dense(1)
    dense.build((None, 1))
    model.compile(keras.optimizers.SGD(), ["loss"], variables=dense.trainable_variables)
    assert float(model.track({"loss": tf.constant([1.0, 2.0]), "unwanted": tf.constant(9.0)})["loss"]) == 1.5
    # Of three examples and three of a weight of their own.
    assert float(model.track({"loss": tf.constant([6.0])})["loss"]) == 3
    weighted = model.track({"loss": tf.constant([5.0, 9.0])}, weights=tf.constant([3.0, 0.0]))
    assert list(weighted) == ["loss"] and float(weighted["loss"]) == 4


class Bucketed(ServableModel):
    bucket_boundaries = (2, 4)

    def length(self, example):
        return tf.shape(example["x"])[0]

    def augment(self, example, seed):
        return example | {"noise": tf.random.stateless_uniform([], seed)}


def ragged_examples(lengths):
    rows = tf.ragged.constant([[n] * n for n in lengths], dtype=tf.int32)
    return without_tuning(tf.data.Dataset.from_tensor_slices({"x": rows})).map(lambda e: {"x": e["x"]})


def test_batches_hold_each_example_once_with_others_of_like_length():
    lengths = [1, 2, 3, 4, 4, 2, 1, 9, 3, 1]
    batches = list(Bucketed().batches(ragged_examples(lengths), 2, training=True, seed=5))
    seen = sorted(int(row.max()) for batch in batches for row in batch["x"].numpy())
    assert seen == sorted(lengths)
    for batch in batches:
        sizes = {int(row.max()) for row in batch["x"].numpy()}
        assert sizes <= {1, 2} or sizes <= {3, 4} or sizes == {9}


def test_batches_have_few_shapes_where_each_is_compiled():
    class Compiled(Bucketed):
        sequences = ("x",)
        xla = True

    examples = ragged_examples([1, 2, 3, 4, 3, 9, 7])
    for batch in Compiled().batches(examples, 1, training=True, seed=5):
        (row,) = batch["x"].numpy()
        length = int(row.max())
        assert len(row) == next((end for end in Compiled.bucket_boundaries if end >= length), length)
        np.testing.assert_array_equal(row, [length] * length + [0] * (len(row) - length))
    for batch in Compiled().batches(examples, 1, training=False):
        assert 0 not in batch["x"].numpy()


def test_epochs_differ_by_seed_repeat_by_seed_and_have_equally_many_batches():
    examples = ragged_examples([1 + n % 5 for n in range(37)])

    def epoch(seed):
        return [batch["x"].numpy().tolist() for batch in Bucketed().batches(examples, 4, training=True, seed=seed)]

    assert epoch(1) == epoch(1) != epoch(2)
    assert len({len(epoch(seed)) for seed in range(8)}) == 1


def test_augmentation_hangs_on_seed_and_place_alone():
    def noise(seed):
        batches = Bucketed().batches(ragged_examples([1] * 6), 6, training=True, seed=seed)
        return next(iter(batches))["noise"].numpy()

    assert len(set(noise(1))) == 6
    np.testing.assert_array_equal(noise(1), noise(1))
    assert not np.array_equal(noise(1), noise(2))
    assert "noise" not in next(iter(Bucketed().batches(ragged_examples([1]), 1, training=False)))


@pytest.fixture(scope="module")
def model():
    network = SentimentClassifier(
        units=4, embedding_dim=4, vocabulary=["good", "bad"], class_names=["neg", "pos"], seed=7
    )
    network.branch_scales.assign([0.5])
    return network


def test_a_file_holds_everything(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save_for_inference(path)
    again = SentimentClassifier.load(path)
    assert again.get_config() == model.get_config()
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert os.listdir(tmp_path) == ["model.keras"]


def test_a_run_and_the_newest_of_exports_are_read_as_their_file_is(model, tmp_path):
    changed = SentimentClassifier.from_config(model.get_config())
    changed.head.bias.assign(changed.head.bias + 1)
    exports = tmp_path / "exports"
    for number, saved in (("9", model), ("10", changed)):
        saved.save_for_inference(exports / number / EXPORTED_MODEL)
        (exports / number / "saved_model.pb").touch()
    model.save_for_inference(tmp_path / "run" / MODEL)
    (tmp_path / "run" / "metrics.json").touch()

    for where, same in ((tmp_path / "run", model), (exports / "9", model), (exports, changed)):
        for ours, theirs in zip(same.weights, SentimentClassifier.load(str(where)).weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_settings_that_no_weight_depends_on_can_be_others_where_it_is_read(model, tmp_path):
    model.save_for_inference(tmp_path / MODEL)
    again = SentimentClassifier.load(tmp_path, dropout=0.25, dtype="mixed_bfloat16")
    assert (again.dropout, again.compute_dtype, model.compute_dtype) == (0.25, "bfloat16", "float32")
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_holds_no_optimizer(tmp_path):
    network = SentimentClassifier(units=4, embedding_dim=4, vocabulary=["good"], class_names=["a", "b"])
    network.compile()
    network.save_for_inference(tmp_path / "model.keras")
    assert not hasattr(SentimentClassifier.load(tmp_path / "model.keras"), "optimizer")
    weights = sum(np.asarray(w).nbytes for w in network.weights)
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert file.getinfo("model.weights.h5").file_size < 2 * weights + 60_000


@pytest.mark.parametrize(
    ("version", "word"), [(SCHEMA_VERSION + 1, "newer"), (SCHEMA_VERSION - 1, "older"), (None, "older")]
)
def test_other_schema_versions_are_refused(model, tmp_path, version, word):
    path = tmp_path / "model.keras"
    model.save_for_inference(path)
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["schema_version"] = version
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)
    with pytest.raises(UserError, match=word):
        SentimentClassifier.load(path)


def test_what_is_no_model_is_refused_in_one_line(model, tmp_path):
    with pytest.raises(UserError, match="no such model file"):
        SentimentClassifier.load(tmp_path / "none.keras")
    with pytest.raises(UserError, match=r"nowhere: no such run directory, export or \.keras file"):
        SentimentClassifier.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no model\.keras; train first"):
        SentimentClassifier.load(tmp_path)
    (tmp_path / "torn.keras").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UserError, match="can't be read as a model"):
        SentimentClassifier.load(tmp_path / "torn.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match="holds a Sequential, not a SentimentClassifier"):
        SentimentClassifier.load(tmp_path / "other.keras")


def test_code_in_a_model_file_is_not_run(tmp_path):
    evil = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    evil.save(tmp_path / "evil.keras")
    with pytest.raises(UserError, match="can't be read"):
        SentimentClassifier.load(tmp_path / "evil.keras")


def test_averages_are_in_place_only_within(model):
    network = SentimentClassifier(units=2, embedding_dim=2, vocabulary=["good"], class_names=["a", "b"])
    network.compile(averaging=0.5)
    bias = network.head.bias
    ones = [keras.ops.ones_like(v) for v in network.trainable_variables]
    network.optimizer.apply(ones, network.trainable_variables)
    network.optimizer.apply(ones, network.trainable_variables)
    raw = np.array(bias)
    with network.averaged_weights():
        averaged = np.array(bias)
    # Adam moves by the learning rate: -0.002, -0.004; the average begins at the first and halves the distance.
    np.testing.assert_allclose(raw, -0.004, rtol=1e-3)
    np.testing.assert_allclose(averaged, -0.003, rtol=1e-2)
    np.testing.assert_array_equal(bias, raw)


def test_gradients_are_clipped_by_their_joint_norm():
    network = SentimentClassifier(units=2, embedding_dim=2, vocabulary=["good"], class_names=["a", "b"])
    network.compile(clip_norm=1.0)
    kept = {}
    network.optimizer.apply = lambda gradients, variables: kept.update(
        zip([v.path for v in variables], gradients, strict=True)
    )
    variables = network.trainable_variables[:2]
    network.apply_gradients(network.optimizer, [tf.constant([3.0]), tf.constant([4.0])], variables)
    np.testing.assert_allclose([float(g[0]) for g in kept.values()], [0.6, 0.8], rtol=1e-6)


def test_what_a_replica_without_examples_makes_of_nothing_counts_for_nothing(monkeypatch):
    network = SentimentClassifier(units=2, embedding_dim=2, vocabulary=["good"], class_names=["a", "b"])
    network.compile(clip_norm=0.0)
    kept = []
    network.optimizer.apply = lambda gradients, variables: kept.extend(gradients)
    monkeypatch.setattr(type(tf.distribute.get_strategy()), "num_replicas_in_sync", 2)
    monkeypatch.setattr(network, "global_sum", lambda values: tf.constant(4.0))
    empty = {"tokens": tf.zeros([0, 3], tf.int32)}
    network.apply_gradients(network.optimizer, [tf.constant([np.nan])], network.trainable_variables[:1], empty)
    assert kept[0].numpy() == [0.0]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["kept.txt"]


class Nested(ServableModel):
    """An encoder and a head, each a functional network, as those of Keras are, within a layer."""

    def __init__(self, value, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.head = (keras.layers.Layer(name=name) for name in ("encoder", "head"))
        for layer in (self.encoder, self.head):
            image = keras.Input((3,))
            dense = keras.layers.Dense(
                2, kernel_initializer=keras.initializers.Constant(value), name=f"in_{layer.name}"
            )
            layer.body = keras.Model(image, dense(image))
            layer.built = True


@pytest.mark.parametrize(("skip", "copied"), [((), 4), (("encoder",), 2)])
def test_a_layer_that_keeps_its_weights_keeps_those_of_a_network_within_it(skip, copied):
    child = Nested(1.0)
    assert "in_encoder/kernel" in {weight.path for weight in child.weights}
    assert child.inherit(Nested(2.0), skip) == (copied, 4)
    assert child.encoder.weights[0].numpy().max() == (1 if skip else 2) and child.head.weights[0].numpy().min() == 2
