import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from apps.captioning import CompileFlags, ModelFlags
from benchmarks.captioning_training import Contender, Work, step_table
from benchmarks.translation_training import rounds_of_steps
from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError

FLAGS = {
    "encoder_weights": "",
    "image_size": 48,
    "units": 8,
    "embedding_dim": 8,
    "heads": 2,
    "feedforward_units": 8,
    "depth": 1,
}


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    captions = [["a red square", "a square"], ["a circle"], ["a red circle", "a circle", "red"]] * 2
    pictures = without_tuning(tf.data.Dataset.from_tensor_slices(rng.integers(0, 255, (6, 20, 20, 3), np.uint8)))
    ragged = without_tuning(tf.data.Dataset.from_tensor_slices(tf.ragged.constant(captions)))
    return tf.data.Dataset.zip({"image": pictures, "captions": ragged.map(lambda row: row)})


def contender(examples, cached, encoder):
    model_flags = dataclasses.asdict(ModelFlags(encoder=encoder, **FLAGS))
    return Contender(examples, cached, 3, 0, model_flags, dataclasses.asdict(CompileFlags()))


def test_work_by_hand():
    first, second = np.array([[[4, 5, 3], [4, 3, 0]]]), np.array([[[4, 3], [0, 0]], [[5, 3], [0, 0]]])
    assert Work.of([first, second]) == Work(pictures=3, captions=4, words=9)


def test_ratio_by_hand(examples, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_APPS_CACHE", str(tmp_path))
    both = [contender(examples, cached, "squeezenet") for cached in (False, True)]
    batches = [list(each.batches().take(4).as_numpy_iterator()) for each in both]
    for looked, cached in zip(*batches, strict=True):
        np.testing.assert_array_equal(looked["captions"], cached["captions"])
        features = both[0].model.features(looked["image"])
        np.testing.assert_allclose(features, cached["features"], rtol=1e-2, atol=1e-2)
    seconds = rounds_of_steps(
        [each.model for each in both], [each.batches() for each in both], warm_up=1, steps=1, rounds=3
    )
    assert [len(each) for each in seconds] == [3, 3]
    # The encoder is a part of the model and of no step's gradient.
    np.testing.assert_array_equal(both[0].model.backbone.get_weights()[0], both[1].model.backbone.get_weights()[0])
    table = step_table(both, [[4.0, 6.0, 5.0], [1.0, 1.0, 1.0]], [Work(3, 5, 20)] * 3)
    (row,) = [line for line in table.splitlines() if line.startswith("| ms per caption")]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["1000.00", "200.00", "5.00"]


def test_an_encoder_that_is_trained_has_nothing_to_cache(examples):
    with pytest.raises(UserError, match="trained"):
        contender(examples, True, "scratch")
