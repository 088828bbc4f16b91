import numpy as np
import pytest

from keras_apps.metrics.one_shot import (
    draw_map,
    draw_roc,
    episodes,
    equal_error,
    error_rates,
    is_right,
    mean_and_interval,
    roc_points,
)


def test_a_tie_is_wrong_and_so_is_what_is_no_number():
    scores = np.array([[0.9, 0.1, 0.1], [0.9, 0.9, 0.1], [0.2, 0.9, 0.1], [np.nan, 0.1, 0.1], [0.9, np.nan, 0.1]])
    assert is_right(scores, np.zeros(5, int)).tolist() == [True, False, False, False, False]
    assert is_right(scores[None], np.array([[0, 1, 1, 1, 2]])).tolist() == [[True, False, True, False, False]]
    # A network that answers the same whatever it sees.
    assert not is_right(np.ones((20, 20)), np.arange(20)).any()


def test_the_interval_is_that_of_the_mean():
    mean, half = mean_and_interval(np.array([0.5, 0.7, 0.9, 0.7]))
    # The standard deviation is sqrt(0.08 / 3).
    assert mean == pytest.approx(0.7) and half == pytest.approx(1.96 * np.sqrt(0.08 / 3) / 2)
    assert mean_and_interval(np.array([0.5])) == (0.5, 0.0)


def labelled():
    """Alphabets of 5, 3 and 4 characters with 4 drawings each, and one character of the second with one drawing."""
    groups = np.repeat([0, 1, 2], [20, 12, 16])
    labels = np.repeat(np.arange(12), 4)
    return np.append(labels, 12), np.append(groups, 1)


def test_episodes_are_within_a_group_and_of_different_pictures():
    labels, groups = labelled()
    drawn = episodes(labels, groups, ways=4, shots=2, count=60, seed=0)
    assert len(drawn) == 60
    seen = set()
    for each in drawn:
        pictures = np.column_stack([each.queries, each.supports])
        assert pictures.shape == (4, 3) and len(set(pictures.flat)) == 12
        assert len(set(groups[pictures.flat])) == 1
        np.testing.assert_array_equal(labels[each.supports], labels[each.queries][:, None].repeat(2, 1))
        assert len(set(labels[each.queries])) == 4
        seen.add(int(groups[each.queries[0]]))
    # The second has three characters with pictures enough.
    assert seen == {0, 2}
    assert len({each.queries.tobytes() for each in drawn}) > 50


def test_too_few_classes_make_fewer_ways_or_none():
    labels, groups = labelled()
    assert {len(each.queries) for each in episodes(labels, groups, ways=20, shots=1, count=3, seed=0)} == {5}
    assert episodes(labels, groups, ways=20, shots=4, count=3, seed=0) == []
    assert episodes(np.zeros(4, int), np.zeros(4, int), ways=2, shots=1, count=3, seed=0) == []


def test_error_rates_by_hand():
    scores = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9])
    same = np.array([False] * 4 + [True] * 4)
    assert error_rates(scores, same, 0.5) == (0.25, 0.25)
    assert error_rates(scores, same, 0.4) == (0.25, 0.0)
    rate, threshold = equal_error(scores, same)
    assert rate == 0.25 and 0.4 < threshold <= 0.6
    curve = roc_points(scores, same)
    assert (0.25, 0.25) in set(zip(curve["false_accept_rate"], curve["false_reject_rate"], strict=True))
    assert curve["false_accept_rate"][0] == curve["false_reject_rate"][-1] == 0


def test_equal_error_at_its_ends():
    same = np.array([False] * 50 + [True] * 50)
    rate, threshold = equal_error(np.arange(100.0), same)
    assert rate == 0 and 49 < threshold <= 50
    assert equal_error(-np.arange(100.0), same)[0] == 1
    # All alike: any rate can be had, and equal ones are a half.
    assert equal_error(np.ones(100), same)[0] == 0.5


def test_pictures_are_written(tmp_path):
    rng = np.random.default_rng(0)
    draw_roc(roc_points(rng.normal(size=50), np.arange(50) % 2 == 0), tmp_path / "roc.png")
    images = rng.integers(0, 255, (6, 30, 20, 3), np.uint8)
    draw_map(rng.normal(size=(6, 2)), images, np.arange(6) % 3, tmp_path / "map.png")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
