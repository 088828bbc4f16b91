from collections import Counter

import numpy as np
import pytest

from keras_apps.data import demo_scenes
from keras_apps.data.demo_scenes import Group, Scene, draw, generate, is_true, is_true_given, scene_of


@pytest.fixture(scope="module")
def parts():
    return generate(0)


def kinds(picture):
    return {(group.size, group.colour, group.shape) for group in picture.scene.groups}


SCENE = Scene(
    (Group(2, "small", "red", "circle"), Group(1, "large", "red", "circle"), Group(1, "large", "orange", "cross")),
    "row",
    "grey",
)
TRUE = """
two small red circles
Three red circles.
a large red circle with an orange cross
two small red circles with a large red circle and a large orange cross on a grey background
there are three red circles and an orange cross
there is an orange cross with two small red circles
two small red circles are to the left of an orange cross
an orange cross is right of three red circles
there are two small red circles left of a large red circle
a picture of a large orange cross on a grey background
""".strip().splitlines()
FALSE = """
a picture

a red circle
two red circles
a circle
three large red circles
two small blue circles
an orange cross is left of two small red circles
two small red circles above an orange cross
three red circles left of a large red circle
a large red circle and three red circles
an orange cross and an orange cross
a large orange cross on a white background
a orange cross
an large red circle
two small red circle
there is two small red circles
two small red circles is left of an orange cross
there are two small red circles are left of an orange cross
a large red circle a large orange cross
a large red circle and a large orange cross and two small red circles
a large red circle , honestly
on a grey background
""".strip().splitlines()


@pytest.mark.parametrize("caption", TRUE)
def test_what_holds_for_a_scene(caption):
    assert is_true(caption, SCENE)


@pytest.mark.parametrize("caption", FALSE)
def test_what_does_not_hold_or_is_no_sentence(caption):
    assert not is_true(caption, SCENE)


def test_all_captions_are_true_and_tell_the_whole_scene(parts):
    lengths = Counter()
    for pictures in parts.values():
        for picture in pictures:
            assert all(is_true(caption, picture.scene) for caption in picture.captions)
            assert scene_of(picture.captions) == picture.scene
            assert len(set(picture.captions)) == len(picture.captions)
            lengths[len(picture.captions)] += 1
    assert set(lengths) == {3, 4, 5} and min(lengths.values()) > 500


def test_truth_from_the_captions_of_another_picture(parts):
    ours, theirs = parts["test"][:2]
    assert is_true_given(ours.captions[0], ours.captions) is True
    assert is_true_given(ours.captions[0], theirs.captions) is is_true(ours.captions[0], theirs.scene) is False
    for captions in ([], ["A dog runs ."], [*ours.captions, *theirs.captions], ours.captions[:0]):
        assert is_true_given(ours.captions[0], captions) is None


def test_parts_share_no_scene_and_training_shows_all_there_is_to_know(parts):
    assert {name: len(pictures) for name, pictures in parts.items()} == demo_scenes.SIZES
    scenes = [picture.scene for pictures in parts.values() for picture in pictures]
    assert len(set(scenes)) == len(scenes)
    assert all(sum(group.count for group in scene.groups) <= 4 for scene in scenes)
    words = {word for picture in parts["train"] for caption in picture.captions for word in caption.split()}
    assert words >= {word for picture in parts["test"] for caption in picture.captions for word in caption.split()}
    assert len(set().union(*map(kinds, parts["train"]))) == 2 * 7 * 4


def test_no_caption_holds_for_many_pictures(parts):
    counts = Counter(caption for picture in parts["train"] for caption in picture.captions)
    scenes = [picture.scene for picture in parts["test"]]
    usual = [caption for caption, _ in counts.most_common(300)]
    assert 0.02 < max(sum(is_true(caption, scene) for scene in scenes) for caption in usual) / len(scenes) < 0.08


def test_the_seed_decides(parts):
    assert generate(0) == parts
    np.testing.assert_array_equal(draw(parts["test"][0]), draw(parts["test"][0]))
    assert generate(1)["validation"] != parts["validation"]


def test_shapes_lie_where_the_scene_says(parts):
    """Measured in the pixels: the order of the colours along the line, and more paint for larger and more shapes."""
    checked = 0
    for picture in parts["train"]:
        groups = picture.scene.groups
        if len({group.colour for group in groups}) < len(groups) or picture.scene.background != "white":
            continue
        image = draw(picture)
        assert image.shape == (96, 96, 3) and image.dtype == np.uint8
        centres = []
        for group in groups:
            distance = np.abs(image.astype(int) - demo_scenes._COLOURS[group.colour]).max(-1)
            rows, columns = np.nonzero(distance < 25)
            radius = demo_scenes._RADII[group.size]
            assert 0.4 * radius**2 < len(rows) / group.count < 3.5 * radius**2, picture
            centres.append(np.mean(columns if picture.scene.axis == "row" else rows))
        assert len(groups) == 1 or (np.diff(centres) > 12).all()
        checked += 1
        if checked == 150:
            return
    raise AssertionError("too few scenes were checked")


def test_the_share_of_true_captions_is_of_scenes_only():
    (picture,) = [each for each in demo_scenes.generate(3)["test"][:1]]
    captions = list(picture.captions)
    assert demo_scenes.share_of_true([(captions[0], captions), ("a dog in the snow", captions)]) == 0.5
    assert demo_scenes.share_of_true([("a dog", ["a dog in the snow", "two dogs"])]) is None
