import dataclasses

import numpy as np
import pytest

from keras_apps.data import demo_textures
from keras_apps.data.demo_textures import KINDS, SIZES, Picture, draw, generate


@pytest.fixture(scope="module")
def parts():
    return generate(0)


def test_every_part_has_landscapes_and_all_kinds_of_textures(parts):
    for part, size in SIZES.items():
        assert {role: len(pictures) for role, pictures in parts[part].items()} == {"content": size, "style": size}
        assert {picture.kind for picture in parts[part]["style"]} == set(KINDS)
    seeds = [picture.seed for roles in parts.values() for pictures in roles.values() for picture in pictures]
    assert len(seeds) == len(set(seeds))


def test_the_seed_decides(parts):
    assert generate(0) == parts and generate(1)["test"] != parts["test"]
    for picture in (parts["test"]["content"][0], *parts["test"]["style"][: len(KINDS)]):
        images = [draw(picture), draw(picture), draw(dataclasses.replace(picture, seed=picture.seed ^ 1))]
        assert images[0].shape == (demo_textures.PIXELS, demo_textures.PIXELS, 3) and images[0].dtype == np.uint8
        np.testing.assert_array_equal(images[0], images[1])
        assert np.abs(images[0].astype(int) - images[2]).mean() > 5
        # None is of one colour.
        assert images[0].std((0, 1)).max() > 8, picture


def test_a_texture_is_the_same_all_over_and_a_landscape_is_not():
    """The style of a picture is what does not depend on the place."""

    def unevenness(kind):
        values = []
        for seed in range(6):
            image = draw(Picture(kind, seed)).astype(float)
            quarters = image.reshape(2, 80, 2, 80, 3).mean((1, 3)).reshape(4, 3)
            values.append(quarters.std(0).mean() / image.std((0, 1)).mean())
        return np.median(values)

    assert unevenness("landscape") > 0.4
    assert max(unevenness(kind) for kind in set(KINDS) - {"clouds"}) < 0.25
