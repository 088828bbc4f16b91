import collections

import numpy as np
import pytest

from keras_apps.data import demo_characters
from keras_apps.metrics.one_shot import episodes, is_right


@pytest.fixture(scope="module")
def parts():
    return demo_characters.generate(0)


def test_alphabets_are_in_one_part_and_characters_are_drawn_by_all_drawers(parts):
    alphabets = {split: {each.character.alphabet for each in drawings} for split, drawings in parts.items()}
    assert {split: len(some) for split, some in alphabets.items()} == demo_characters.ALPHABETS
    assert len(set.union(*alphabets.values())) == sum(demo_characters.ALPHABETS.values())
    for drawings in parts.values():
        of_characters = collections.Counter(each.character.number for each in drawings)
        assert set(of_characters.values()) == {demo_characters.DRAWERS}
        hands = collections.defaultdict(set)
        for each in drawings:
            hands[each.character.alphabet].add(each.drawer)
        assert {len(some) for some in hands.values()} == {demo_characters.DRAWERS}
        assert all(20 <= len({d.character for d in drawings if d.character.alphabet == a}) <= 40 for a in hands)


def test_a_seed_is_a_set(parts):
    again, other = demo_characters.generate(0), demo_characters.generate(1)
    assert again == parts != other
    drawing = parts["test"][0]
    np.testing.assert_array_equal(demo_characters.draw(drawing), demo_characters.draw(again["test"][0]))


def test_drawings_are_ink_on_paper_and_no_two_alike(parts):
    drawings = parts["train"][:300]
    pictures = [demo_characters.draw(each) for each in drawings]
    assert {(picture.shape, picture.dtype.name) for picture in pictures} == {((105, 105, 3), "uint8")}
    assert set(np.unique(pictures)) == {0, 255}
    ink = [np.mean(picture == 0) for picture in pictures]
    # Of Omniglot, 90 percent have from 0.04 to 0.12.
    assert np.percentile(ink, 10) > 0.02 and np.percentile(ink, 90) < 0.15
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def test_pixels_alone_tell_no_character(parts):
    """What is easily had by comparing pixels would not show that a model is broken."""
    drawings = parts["test"]
    pixels = np.stack([demo_characters.draw(each)[::3, ::3, 0] for each in drawings]).reshape(len(drawings), -1) < 128
    vectors = pixels - pixels.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    drawn = episodes(
        np.array([each.character.number for each in drawings]),
        np.array([each.character.alphabet for each in drawings]),
        ways=20, shots=1, count=100, seed=0,
    )  # fmt: skip
    right = is_right(
        np.stack([vectors[e.queries] @ vectors[e.supports[:, 0]].T for e in drawn]), np.tile(np.arange(20), (100, 1))
    )
    assert 0.1 < right.mean() < 0.5
