import numpy as np
import pytest

from keras_apps.errors import UserError
from keras_apps.serving.gallery import Gallery

LIMITS = (0.5, 0.01, 0.02)


@pytest.fixture
def path(tmp_path):
    """A gallery of two classes, one of two pictures."""
    gallery = Gallery(tmp_path / "people.npz")
    for name, vector in (("Ann", [1, 0, 0]), ("Jörg", [0, 0, 4]), ("Ann", [0, 1, 0])):
        gallery.add(name, vector, LIMITS)
    gallery.save()
    return gallery.path


def test_a_class_is_the_mean_of_its_pictures(path):
    gallery = Gallery(path)
    assert gallery.names == ["Ann", "Jörg"] and gallery.limits == LIMITS
    np.testing.assert_array_equal(gallery.embeddings, np.array([[0.5, 0.5, 0], [0, 0, 4]], np.float32))


def test_pictures_of_a_later_command_replace_a_class(path):
    gallery = Gallery(path)
    for vector in ([0, 2, 0], [0, 4, 0], [0, 6, 0]):
        gallery.add("Ann", vector, LIMITS)
    gallery.save()
    again = Gallery(path)
    np.testing.assert_array_equal(again.embeddings[again.names.index("Ann")], [0, 4, 0])
    assert sorted(again.names) == ["Ann", "Jörg"]


def test_a_class_is_taken_away(path):
    gallery = Gallery(path)
    gallery.remove("Ann")
    gallery.save()
    assert Gallery(path).names == ["Jörg"] and Gallery(path).embeddings.tolist() == [[0, 0, 4]]
    with pytest.raises(UserError, match="there is no class 'Ann' in it; there is: Jörg"):
        gallery.remove("Ann")


@pytest.mark.parametrize(("vector", "limits"), [([1, 0], LIMITS), ([1, 0, 0], (0.4, 0.01, 0.02))])
def test_two_models_do_not_share_a_gallery(path, vector, limits):
    with pytest.raises(UserError, match="another model"):
        Gallery(path).add("Bea", vector, limits)


def test_a_gallery_is_asked_through_the_model_that_made_it(path):
    Gallery(path).check(LIMITS)
    with pytest.raises(UserError, match="another model"):
        Gallery(path).check((0.5, 0.01, 0.03))


def test_what_is_no_gallery_is_named(tmp_path, path):
    with pytest.raises(UserError, match=r"ends in \.npz"):
        Gallery(tmp_path / "people.json")
    whole = path.read_bytes()
    for content in (b"", b"nothing", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a gallery, or damaged"):
            Gallery(path)
    good = {
        "names": np.array(["a"]),
        "embeddings": np.ones((1, 2), np.float32),
        "counts": np.array([1]),
        "limits": np.ones(3),
    }
    for change in (
        {"names": np.array(["a", "b"])},
        {"names": np.array(["a"], object)},
        {"embeddings": np.full((1, 2), np.nan, np.float32)},
        {"limits": np.ones(2)},
    ):
        np.savez(path, **good | change)
        with pytest.raises(UserError, match="not a gallery, or damaged"):
            Gallery(path)
    np.savez(path, **good)
    assert Gallery(path).names == ["a"]
