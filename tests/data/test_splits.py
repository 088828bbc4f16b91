import pytest
import tensorflow as tf

from keras_apps.data.splits import Splits
from keras_apps.errors import UserError


def test_split_by_name_and_all_in_order():
    splits = Splits(train=tf.data.Dataset.range(3), test=tf.data.Dataset.range(10, 12))
    assert list(splits.split("train").as_numpy_iterator()) == [0, 1, 2]
    assert list(splits.split("all").as_numpy_iterator()) == [0, 1, 2, 10, 11]
    assert int(splits.split("all").cardinality()) == 5
    with pytest.raises(UserError, match="no split 'validation'; choose one of train, test, all"):
        splits.split("validation")
