"""Generated facades: the map is exact, and the photo is not the map in other colours."""

import numpy as np
import pytest

from keras_apps.data import demo_facades
from keras_apps.data.demo_facades import COLOURS, PIXELS, draw, generate

PALETTE = np.array(list(COLOURS.values()))


@pytest.fixture(scope="module")
def parts():
    return generate(0)


def classes(label_map):
    """The number of the colour of each pixel; every one must be of the palette."""
    found = (label_map[:, :, None] == PALETTE).all(-1)
    assert (found.sum(-1) == 1).all()
    return found.argmax(-1)


@pytest.fixture(scope="module")
def drawn(parts):
    """Of some houses of two parts the classes of the pixels, and the photos."""
    pairs = {split: [draw(facade) for facade in parts[split][:60]] for split in ("train", "test")}
    return {
        split: (np.stack([classes(label_map) for label_map, _ in some]), np.stack([photo for _, photo in some]))
        for split, some in pairs.items()
    }


def test_parts_share_no_layout_and_the_seed_decides(parts):
    assert {split: len(facades) for split, facades in parts.items()} == demo_facades.SIZES
    layouts = [facade.parts for facades in parts.values() for facade in facades]
    assert len(set(layouts)) == len(layouts)
    assert generate(0) == parts and generate(1)["test"] != parts["test"]
    first, again = draw(parts["test"][0]), draw(parts["test"][0])
    for one, other in zip(first, again, strict=True):
        assert one.shape == (PIXELS, PIXELS, 3) and one.dtype == np.uint8
        np.testing.assert_array_equal(one, other)


def test_maps_show_the_parts_of_the_house(parts, drawn):
    names = list(COLOURS)
    for facade, found in zip(parts["test"], drawn["test"][0], strict=False):
        shown = {names[index] for index in np.unique(found)}
        assert {"sky", "wall", "window", "door", "cornice"} <= shown
        assert shown - {"sky"} <= {part.kind for part in facade.parts}
        for part in facade.parts:
            left, top, right, bottom = part.box
            assert 0 <= left < right <= PIXELS and 0 <= top < bottom <= PIXELS, part
            if part.kind == "balcony":
                assert (found[top:bottom, left:right] == names.index("balcony")).all()
            elif part.kind == "window":
                # What is in front of a window covers the lower half of it at most.
                middle = found[(top + bottom) // 2 - 1, left + 1 : right - 1]
                assert (middle == names.index("window")).all()
    counts = np.bincount(drawn["train"][0].ravel(), minlength=len(names)) / drawn["train"][0].size
    assert (counts > 0.01).all() and counts[names.index("wall")] < 0.65, counts
    kinds = [{part.kind for part in facade.parts} for facade in parts["train"]]
    assert 0.2 < np.mean(["balcony" in some for some in kinds]) < 0.8
    assert 0.6 < np.mean(["roof" in some for some in kinds]) < 0.95


def test_photos_show_the_same_layout(drawn):
    """Colours change much more where one part meets another than within parts."""
    found, photos = drawn["test"]
    step = np.abs(np.diff(photos.astype(float), axis=2)).mean(-1)
    is_edge = np.diff(found, axis=2) != 0
    assert step[is_edge].mean() > 3 * step[~is_edge].mean()


def test_no_rule_on_the_colour_of_a_pixel_tells_its_part(drawn):
    """Not even the best one, which knows what part is the most frequent at each colour of the training photos."""

    def bins(photos):
        return (photos.astype(int) // 16) @ (256, 16, 1)

    counts = np.zeros((4096, len(COLOURS)))
    found, photos = drawn["train"]
    np.add.at(counts, (bins(photos), found), 1)
    found, photos = drawn["test"]
    guess = counts.argmax(-1)[bins(photos)]
    recall = [(guess[found == index] == index).mean() for index in range(len(COLOURS))]
    assert (guess == found).mean() < 0.75 and np.mean(recall) < 0.5
    nearest = np.square(photos[..., None, :].astype(int) - PALETTE).sum(-1).argmin(-1)
    assert (nearest == found).mean() < 0.4
