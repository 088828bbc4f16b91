import os

import numpy as np
import pytest
import tensorflow as tf

from keras_apps.models.servable import ServableModel
from keras_apps.training import pipeline
from keras_apps.training.features import with_features


class Summer(ServableModel):
    """Its features are a picture's sums by colour, times a factor that the key does not know of."""

    def __init__(self, key="first"):
        super().__init__()
        self.key = key
        self.factor = tf.Variable(1.0)

    def prepare(self, example):
        return example

    def features_key(self):
        return self.key

    def features(self, images):
        return tf.cast(self.factor * tf.reduce_sum(tf.cast(images, tf.float32), axis=(1, 2)), tf.float16)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_APPS_CACHE", str(tmp_path))
    return tmp_path / "features" / "first"


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 9, (70, 4, 4, 3)).astype(np.uint8)


@pytest.fixture
def prepared(pictures):
    return tf.data.Dataset.from_tensor_slices({"image": pictures, "number": np.arange(70)})


def rows(dataset):
    found = list(dataset.as_numpy_iterator())
    return np.stack([row["features"] for row in found]), [int(row["number"]) for row in found]


def test_each_picture_gets_its_own_features(folder, prepared, pictures):
    examples = with_features(Summer(), prepared)
    assert set(examples.element_spec) == {"features", "number"} and int(examples.cardinality()) == 70
    features, numbers = rows(examples)
    assert features.dtype == np.float16 and numbers == list(range(70))
    np.testing.assert_array_equal(features, pictures.sum(axis=(1, 2)))
    assert len(list(folder.glob("*.npy"))) == 70
    np.testing.assert_array_equal(rows(examples)[0], features)  # once more, as every epoch does


def test_what_is_there_is_not_computed_again_and_what_is_damaged_is(folder, prepared, pictures):
    model = Summer()
    with_features(model, prepared)
    files = sorted(folder.glob("*.npy"))
    files[0].write_bytes(files[0].read_bytes()[:-3])
    files[1].write_bytes(b"")
    np.save(files[2], np.zeros(4, np.float16))
    np.save(files[3], np.array([{"a": 1}] * 3), allow_pickle=True)
    files[4].unlink()
    kept = files[5].stat().st_mtime_ns
    model.factor.assign(2.0)
    features, _ = rows(with_features(model, prepared))
    factors = features.sum(axis=-1) / pictures.sum(axis=(1, 2, 3))
    assert sorted(factors.tolist()) == [1.0] * 65 + [2.0] * 5
    assert files[5].stat().st_mtime_ns == kept


def test_other_weights_have_other_features(folder, prepared, pictures):
    with_features(Summer(), prepared)
    model = Summer("second")
    model.factor.assign(3.0)
    np.testing.assert_array_equal(rows(with_features(model, prepared))[0], 3 * pictures.sum(axis=(1, 2)))


def test_an_interrupted_pass_goes_on(folder, prepared):
    class Interrupted(Exception):
        pass

    def fail(number):
        if number == 65:
            raise Interrupted
        return number

    broken = prepared.map(
        lambda row: row | {"number": tf.ensure_shape(tf.numpy_function(fail, [row["number"]], tf.int64), [])}
    )
    with pytest.raises(tf.errors.OpError):
        with_features(Summer(), broken)
    there = {path: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    assert 0 < len(there) < 70
    with_features(Summer(), prepared)
    assert len(list(folder.glob("*.npy"))) == 70
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())


def test_pictures_alike_share_a_file_and_leftovers_are_removed(folder, prepared):
    folder.mkdir(parents=True)
    leftover = folder / ".incomplete-0000-x.npy"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    features, _ = rows(with_features(Summer(), prepared.take(1).repeat(40)))
    assert features.shape == (40, 3) and len(list(folder.iterdir())) == 1


def test_the_pipeline_asks_only_models_that_have_features(folder, prepared):
    assert "features" in pipeline.prepare(Summer(), prepared).element_spec
    assert "image" in pipeline.prepare(Summer(None), prepared).element_spec
