import numpy as np
import pytest
import tensorflow as tf

from keras_apps.layers.episodes import GENERATED, Classes, distort


def seeds(count):
    return [tf.constant([7, 10 * number], tf.int64) for number in range(count)]


def labelled():
    """Three groups of 3, 2 and 4 classes with 5 pictures each, out of order, and a class with one picture."""
    labels = np.append(np.repeat(np.arange(9), 5), 9)
    groups = np.append(np.repeat([4, 4, 4, 2, 2, 8, 8, 8, 8], 5), 2)
    order = np.random.default_rng(0).permutation(len(labels))
    return labels[order].astype(np.int32), groups[order].astype(np.int32)


def test_an_episode_has_different_pictures_of_different_classes_and_whole_groups_first():
    labels, groups = labelled()
    classes = Classes(tf.constant(labels), tf.constant(groups))
    assert classes.count == 9
    firsts = set()
    for seed in seeds(40):
        rows, group = (each.numpy() for each in classes.episode(seed, tf.constant(6), 3))
        assert rows.shape == (6, 3) and len(set(rows.flat)) == 18
        assert (labels[rows] == labels[rows[:, :1]]).all() and len(set(labels[rows[:, 0]])) == 6
        # All classes of a group come before those of another, so at most one group is there in part.
        of_rows = groups[rows[:, 0]]
        assert len({(one, other) for one, other in zip(of_rows, group, strict=True)}) == len(set(of_rows))
        assert np.count_nonzero(of_rows[1:] != of_rows[:-1]) == len(set(of_rows)) - 1
        whole = {name: len(set(labels[(groups == name) & (labels < 9)])) for name in set(of_rows)}
        assert sum(np.count_nonzero(of_rows == name) < size for name, size in whole.items()) <= 1
        firsts.add(int(of_rows[0]))
    assert firsts == {2, 4, 8}


def test_a_seed_is_an_episode():
    labels, groups = labelled()
    classes = Classes(tf.constant(labels), tf.constant(groups))
    one, again, other = (classes.episode(seed, tf.constant(6), 2)[0].numpy() for seed in (*seeds(1) * 2, seeds(2)[1]))
    assert (one == again).all() and (one != other).any()


def test_pairs_are_of_two_pictures_and_balanced():
    labels, groups = labelled()
    classes = Classes(tf.constant(labels), tf.constant(groups))
    seen = []
    for seed in seeds(30):
        rows, same = (each.numpy() for each in classes.pairs(seed, 16))
        assert same.sum() == 8 and (rows[:, 0] != rows[:, 1]).all()
        np.testing.assert_array_equal(labels[rows[:, 0]] == labels[rows[:, 1]], same)
        # Those of two classes are of one group, where they are hard to tell apart.
        np.testing.assert_array_equal(groups[rows[:, 0]], groups[rows[:, 1]])
        seen += groups[rows[:, 0]].tolist()
    # Groups are drawn alike, however many classes they have.
    assert all(100 < seen.count(name) < 220 for name in (2, 4, 8)) and 9 not in labels[rows]


def test_pairs_of_a_group_with_one_class_are_made_with_another_group():
    labels = np.repeat(np.arange(3), 4).astype(np.int32)
    rows, same = Classes(tf.constant(labels), tf.constant(labels)).pairs(seeds(1)[0], 20)
    np.testing.assert_array_equal(labels[rows[:, 0]] == labels[rows[:, 1]], same)


def test_what_is_generated_has_its_share():
    labels = np.repeat(np.arange(44), 3).astype(np.int32)
    groups = np.where(labels < 4, labels // 2, GENERATED + labels // 2).astype(np.int32)
    classes = Classes(tf.constant(labels), tf.constant(groups), generated_share=0.25)
    first = np.array([groups[classes.episode(seed, tf.constant(2), 2)[0].numpy()[0, 0]] for seed in seeds(200)])
    assert 0.15 < np.mean(first >= GENERATED) < 0.35
    of_pairs = groups[classes.pairs(seeds(1)[0], 400)[0].numpy()[:, 0]]
    assert 0.15 < np.mean(of_pairs >= GENERATED) < 0.35


def test_classes_with_too_few_pictures_show_some_twice():
    labels = tf.constant([0, 0, 1, 1, 1, 1])
    rows = Classes(labels, tf.zeros_like(labels)).episode(seeds(1)[0], tf.constant(2), 4)[0].numpy()
    assert sorted(len(set(row)) for row in rows) == [2, 4]


def test_pictures_are_turned_exactly():
    images = np.random.default_rng(0).integers(0, 255, (4, 9, 9, 3), np.uint8)
    turned = distort(tf.constant(images), tf.range(4), 0.0, seeds(1)[0]).numpy()
    for turns, (before, after) in enumerate(zip(images, turned, strict=True)):
        # What is between two grey levels is cut off, not rounded.
        assert np.abs(after.astype(int) - np.rot90(before, turns)).max() <= 1


@pytest.mark.parametrize("size", [32, 48])
def test_a_distortion_moves_but_keeps_what_is_there(size):
    image = np.full((64, size, size, 1), 255, np.uint8)
    middle = size // 2
    image[:, middle - 4 : middle + 4, middle - 2 : middle + 2] = 0
    moved = distort(tf.constant(image), tf.zeros(64, tf.int32), 1.0, seeds(1)[0]).numpy()
    assert len({each.tobytes() for each in moved}) == 64
    ink = (moved < 128).sum(axis=(1, 2, 3))
    assert (ink > 32 * 0.5).all() and (ink < 32 * 2).all()
    rows = np.array([np.nonzero(each < 128)[0].mean() for each in moved])
    assert np.abs(rows - middle).max() < 0.12 * size and np.abs(rows - middle).max() > 0.03 * size
    # The borders are carried on.
    assert (moved[:, 0] >= 253).all()
