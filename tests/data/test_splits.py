import pytest
import tensorflow as tf

from keras_apps.data.splits import Splits, leave_out_scored
from keras_apps.errors import UserError


def test_split_by_name_and_all_in_order():
    splits = Splits(train=tf.data.Dataset.range(3), test=tf.data.Dataset.range(10, 12))
    assert list(splits.split("train").as_numpy_iterator()) == [0, 1, 2]
    assert list(splits.split("all").as_numpy_iterator()) == [0, 1, 2, 10, 11]
    assert int(splits.split("all").cardinality()) == 5
    with pytest.raises(UserError, match="no split 'validation'; choose one of train, test, all"):
        splits.split("validation")


def test_what_is_added_is_trained_on_and_in_no_part():
    train, added = tf.data.Dataset.range(3), tf.data.Dataset.range(10, 12)
    splits = Splits(train=train, validation=tf.data.Dataset.range(5, 6), added=added)
    assert list(splits.trained_on.as_numpy_iterator()) == [0, 1, 2, 10, 11]
    assert list(splits.split("train").as_numpy_iterator()) == [0, 1, 2]
    assert list(splits.split("all").as_numpy_iterator()) == [0, 1, 2, 5]
    assert splits.sizes == {"train": 3, "validation": 1}
    assert list(Splits(train=train).trained_on.as_numpy_iterator()) == [0, 1, 2] and Splits().trained_on is None


def test_what_is_made_of_a_part_is_not_tuned_but_runs_in_parallel():
    splits = Splits(train=tf.data.Dataset.range(40), validation=tf.data.Dataset.range(2))
    assert splits.test is None
    made = splits.split("all").map(lambda number: number + 1, tf.data.AUTOTUNE).shuffle(42).batch(4)
    assert made.options().autotune.enabled is False
    assert sorted(made.unbatch().as_numpy_iterator()) == sorted([*range(1, 41), 1, 2])


def test_each_part_keeps_nothing_of_a_stricter_part():
    rows = {"train": ["a", "B", "c", "C", "d"], "validation": ["b", "D", "e"], "test": ["c", "E", "e"]}
    kept, left_out = leave_out_scored(rows, str.lower, "letters.csv", "letters")
    assert kept == {"train": ["a"], "validation": ["b", "D"], "test": ["c", "E", "e"]}
    assert left_out == ["e", "B", "c", "C", "d"]
    assert leave_out_scored({"train": ["a", "A"]}, str.lower, "letters.csv", "letters") == ({"train": ["a", "A"]}, [])
    kept, left_out = leave_out_scored({"train": ["a"], "test": ["A", "b"]}, str.lower, "letters.csv", "letters")
    assert kept == {"train": [], "test": ["A", "b"]} and left_out == ["a"]
    with pytest.raises(UserError, match=r"^letters\.csv: the test split has all letters of the validation split;"):
        leave_out_scored({"validation": ["a"], "test": ["A", "b"]}, str.lower, "letters.csv", "letters")
