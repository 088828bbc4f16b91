"""Pairs of pictures in every layout that people have them in."""

import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from keras_apps.data import demo_facades, pix2pix
from keras_apps.errors import UserError

SHARED = Path(os.environ.get("KERAS_APPS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def picture(number, b=False, size=(4, 6)):
    """A picture of its number, which is no plain colour; B's is lighter by 100."""
    pixels = np.full((*size, 3), number + 100 * b, np.uint8)
    pixels[0, 0] = 255
    return pixels


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def side_by_side(folder, numbers):
    for number in numbers:
        write(folder / f"{number}.png", np.concatenate([picture(number), picture(number, b=True)], 1))
    return folder


def siblings(a, b, numbers, suffix=".png"):
    for number in numbers:
        write(a / f"{number}.png", picture(number))
        write(b / f"{number}{suffix}", picture(number, b=True))


def archive(folder, path):
    with tarfile.open(path, "w") as file:
        file.add(folder, ".")
    return path


def read(examples, difference=100):
    """The numbers of the pairs, in order, after checking that their pictures belong together."""
    found = []
    for example in examples.as_numpy_iterator():
        assert set(example) == {"input", "target"}
        assert all(pixels.dtype == np.uint8 and pixels.shape[2] == 3 for pixels in example.values())
        a, b = (example[key][1, 1].astype(int) for key in ("input", "target"))
        assert example["input"].shape == example["target"].shape and (b - a == difference).all(), (a, b)
        found.append(int(min(a[0], b[0])))
    assert len(found) == int(examples.cardinality())
    return found


def sizes(splits):
    return [
        None if part is None else int(part.cardinality())
        for part in (splits.train, splits.validation, splits.test, splits.left_out)
    ]


def test_demo():
    splits = pix2pix.load()
    assert sizes(splits) == [*demo_facades.SIZES.values(), None]
    assert splits.test.element_spec == {key: tf.TensorSpec([None, None, 3], tf.uint8) for key in ("input", "target")}
    label_map, photo = demo_facades.draw(demo_facades.generate(0)["test"][0])
    for direction, keys in (("AtoB", ("input", "target")), ("BtoA", ("target", "input"))):
        example = next(pix2pix.load(direction=direction).test.as_numpy_iterator())
        np.testing.assert_array_equal(example[keys[0]], label_map)
        np.testing.assert_array_equal(example[keys[1]], photo)


@pytest.mark.parametrize("packed", [False, True])
def test_side_by_side(tmp_path, packed):
    path = side_by_side(tmp_path / "data", range(40))
    path = archive(path, tmp_path / "data.tar") if packed else path
    splits = pix2pix.load(path, validation_fraction=0.2)
    assert sizes(splits) == [28, 8, 4, None]
    assert sorted(read(splits.split("all"))) == list(range(40))
    assert read(pix2pix.load(path, validation_fraction=0.2).train) == read(splits.train)
    assert read(pix2pix.load(path, validation_fraction=0.2, split_seed=1).train) != read(splits.train)
    swapped = pix2pix.load(path, direction="BtoA", validation_fraction=0.2)
    assert read(swapped.train, -100) == read(splits.train)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "dev", "test"), ("train", "validation", None)]
)
def test_side_by_side_in_split_folders(tmp_path, names):
    for name, numbers in zip(names, (range(20), (20, 21), (22, 23, 24)), strict=True):
        if name:
            side_by_side(tmp_path / "facades" / name, numbers)
    splits = pix2pix.load(archive(tmp_path / "facades", tmp_path / "facades.tar"))
    assert sorted(read(splits.validation)) == [20, 21]
    assert sizes(splits) == ([20, 2, 3, None] if names[2] else [18, 2, 2, None])
    shutil.rmtree(tmp_path / "facades" / names[0])
    assert pix2pix.load(tmp_path / "facades").train is None


@pytest.mark.parametrize(
    "layout", ["{split}{side}", "{side}/{split}", "{split}/{side}", "data/{split}_{side}", "{side}/{split}/more"]
)
def test_two_folders(tmp_path, layout):
    for split, numbers in (("train", range(20)), ("val", (20, 21)), ("test", (22, 23, 24))):
        siblings(*(tmp_path / layout.format(split=split, side=side) for side in "AB"), numbers, suffix=".bmp")
    splits = pix2pix.load(tmp_path)
    assert sorted(read(splits.train)) == list(range(20))
    assert read(splits.validation) == [20, 21] and read(splits.test) == [22, 23, 24]
    assert sorted(read(pix2pix.load(tmp_path, direction="BtoA").train, -100)) == list(range(20))


def test_two_folders_without_splits(tmp_path):
    siblings(tmp_path / "a", tmp_path / "b", range(40))
    splits = pix2pix.load(archive(tmp_path, tmp_path.with_suffix(".tar")))
    assert sizes(splits) == [32, 4, 4, None] and sorted(read(splits.split("all"))) == list(range(40))


def test_pairs_that_are_none_are_reported_and_shift_no_other(tmp_path, caplog):
    siblings(tmp_path / "A", tmp_path / "B", range(20))
    (tmp_path / "A" / "2.png").unlink()
    (tmp_path / "B" / "3.png").unlink()
    (tmp_path / "B" / "4.png").write_bytes(b"no picture")
    write(tmp_path / "B" / "5.png", picture(5, b=True, size=(4, 7)))
    write(tmp_path / "A" / "6.bmp", picture(6))
    write(tmp_path / "preview.png", picture(7))
    for path in (tmp_path, archive(tmp_path, tmp_path.with_suffix(".tar"))):
        caplog.clear()
        splits = pix2pix.load(path, max_bad_rows=8)
        assert sorted(read(splits.split("all"))) == [0, 1, *range(7, 20)]
        assert "8 malformed rows in all" in caplog.text
        for message in (
            "/B/2.png: it has no partner in A",
            "/A/3.png: it has no partner in B",
            "A/6.png and B/6.png go by the same name",
            "/preview.png: it is neither",
            "/B/4.png: not a picture",
        ):
            assert message in caplog.text
    with pytest.raises(UserError, match="more than 7 malformed rows"):
        pix2pix.load(tmp_path, max_bad_rows=7)


def test_pairs_of_unequal_size_name_both_files(tmp_path, caplog):
    siblings(tmp_path / "A", tmp_path / "B", range(10))
    write(tmp_path / "B" / "5.png", picture(5, b=True, size=(4, 7)))
    assert 5 not in read(pix2pix.load(tmp_path, max_bad_rows=1).split("all"))
    assert "/A/5.png: 6 x 4 pixels, but B/5.png has 7 x 4" in caplog.text
    shutil.rmtree(tmp_path / "A")
    shutil.rmtree(tmp_path / "B")
    write(side_by_side(tmp_path, range(10)) / "5.png", picture(5, size=(4, 13)))
    assert 5 not in read(pix2pix.load(tmp_path, max_bad_rows=1).split("all"))
    assert "/5.png: 13 x 4 pixels; two pictures side by side have an even width" in caplog.text


def test_pairs_that_share_a_picture_are_on_one_side(tmp_path):
    siblings(tmp_path / "A", tmp_path / "B", range(30))
    for number in range(10):
        # The same photo with another mask, and the other way round.
        write(tmp_path / "A" / f"{number + 10}.png", picture(number))
        write(tmp_path / "B" / f"{number + 20}.png", picture(number + 10, b=True))
    splits = pix2pix.load(tmp_path, validation_fraction=0.2)
    sides = [
        {(example["input"][1, 1, 0], example["target"][1, 1, 0]) for example in part.as_numpy_iterator()}
        for part in (splits.train, splits.validation, splits.test)
    ]
    assert sum(map(len, sides)) == 30
    for position in (0, 1):
        values = [{pair[position] for pair in side} for side in sides]
        assert sum(map(len, values)) == 20

    side_by_side(tmp_path / "side" / "train", range(20))
    side_by_side(tmp_path / "side" / "test", (3, 4, 50))
    splits = pix2pix.load(tmp_path / "side", validation_fraction=0)
    assert sizes(splits) == [18, None, 3, 2] and sorted(read(splits.left_out)) == [3, 4]


def test_empty_masks_tie_nothing(tmp_path):
    siblings(tmp_path / "A", tmp_path / "B", range(20))
    for number in range(15):
        write(tmp_path / "B" / f"{number}.png", np.zeros((4, 6, 3), np.uint8))
    assert sizes(pix2pix.load(tmp_path)) == [16, 2, 2, None]
    siblings(tmp_path / "testA", tmp_path / "testB", (60, 61))
    write(tmp_path / "testB" / "60.png", np.zeros((4, 6, 3), np.uint8))
    assert sizes(pix2pix.load(tmp_path)) == [18, 2, 2, None]


def test_grey_transparent_and_turned_pictures(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    (tmp_path / "A").mkdir()
    Image.fromarray(pixels).save(tmp_path / "A" / "x.jpg", exif=exif)
    write(tmp_path / "B" / "x.png", np.full((16, 8), 7, np.uint8))
    write(tmp_path / "A" / "y.png", np.zeros((3, 5, 4), np.uint8))
    write(tmp_path / "B" / "y.png", picture(9, size=(3, 5)))
    splits = pix2pix.load(tmp_path, max_bad_rows=0, validation_fraction=0, test_fraction=0)
    found = {example["input"].shape: example for example in splits.train.as_numpy_iterator()}
    turned, transparent = found[16, 8, 3], found[3, 5, 3]
    assert turned["input"][:6].max() < 30 and turned["input"][-6:].min() > 225
    assert (turned["target"] == 7).all() and turned["target"].shape == (16, 8, 3)
    assert (transparent["input"] == 255).all()


def test_what_cannot_be_loaded_says_so_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("a,b\n")
    write(tmp_path / "lonely" / "A" / "1.png", picture(1))
    siblings(tmp_path / "part" / "trainA", tmp_path / "part" / "trainB", range(10))
    write(tmp_path / "part" / "testB" / "1.png", picture(1))
    write(tmp_path / "other" / "images" / "1.png", picture(1))
    write(tmp_path / "other" / "masks" / "1.png", picture(1))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "1.png").write_bytes(b"no")
    for data, message in (
        (tmp_path / "none", "no such file or folder; --data takes demo, tfds:NAME"),
        (tmp_path / "a.csv", "not a kind of data"),
        (tmp_path / "empty", "there are no pictures in it"),
        (tmp_path / "lonely", "the pictures in A have no partners: there is no folder B of the train split"),
        (tmp_path / "part", "the pictures in testB have no partners: there is no folder A of the test split"),
        (tmp_path / "other", "there are pictures in images and in masks; use"),
        (tmp_path / "bad", "no pictures in the train split"),
        (side_by_side(tmp_path / "few", [1]), "too few"),
        ("tfds:no_such_set_at_all", "no such data set"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            pix2pix.load(data)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="direction='atob': it must be AtoB or BtoA"):
        pix2pix.load(direction="atob")
    with pytest.raises(UserError, match="validation_fraction"):
        pix2pix.load(validation_fraction=1)


def test_tfds(tmp_path, monkeypatch, caplog):
    import tensorflow_datasets as tfds

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def store(name, splits, **features):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets=splits,
            data_dir=str(tmp_path),
            disable_shuffling=True,
        )

    def rows(pairs, keys):
        spec = {
            key: tf.TensorSpec([None, None, pixels.shape[-1]], tf.uint8)
            for key, pixels in zip(keys, pairs[0], strict=True)
        }
        return tf.data.Dataset.from_generator(
            lambda: (dict(zip(keys, pair, strict=True)) for pair in pairs), output_signature=spec
        )

    image = tfds.features.Image(shape=(None, None, 3))
    keys = ("input_image", "real_image")
    pairs = [(picture(number), picture(number, b=True)) for number in [*range(20), 3]]
    pairs.insert(10, (picture(50), picture(50, b=True, size=(5, 6))))
    tests = [(picture(number), picture(number, b=True)) for number in (0, 60)]
    store("tiny_pairs", {"train": rows(pairs, keys), "test": rows(tests, keys)}, input_image=image, real_image=image)
    splits = pix2pix.load("tfds:tiny_pairs", validation_fraction=0.2)
    assert sizes(splits) == [16, 4, 2, 1] and read(splits.test) == [0, 60] and read(splits.left_out) == [0]
    assert set(read(splits.train)) | set(read(splits.validation)) == set(range(1, 20))
    assert not set(read(splits.train)) & set(read(splits.validation))
    assert "train[10]: input_image: 6 x 4 pixels, but real_image has 6 x 5" in caplog.text
    assert read(pix2pix.load("tfds:tiny_pairs", direction="BtoA").test, -100) == [0, 60]
    with pytest.raises(UserError, match="more than 0 malformed rows"):
        pix2pix.load("tfds:tiny_pairs", max_bad_rows=0)
    with pytest.raises(UserError, match="--target_key"):
        pix2pix.load("tfds:tiny_pairs", target_key="nope")

    some = {split: [(picture(n), picture(n, b=True)) for n in numbers]
            for split, numbers in (("train", range(9)), ("validation", (8, 9, 10)), ("test", (10, 11)))}  # fmt: skip
    given = {split: rows(pairs, keys) for split, pairs in some.items()}
    store("tiny_parts", given, input_image=image, real_image=image)
    splits = pix2pix.load("tfds:tiny_parts")
    assert sizes(splits) == [8, 2, 2, 2] and sorted(read(splits.left_out)) == [8, 10]

    keys = ("image", "segmentation_mask")
    pairs = [(picture(number), picture(number)[..., :1] + 100) for number in range(5)]
    mask = tfds.features.Image(shape=(None, None, 1))
    store("tiny_pets", {"train": rows(pairs, keys)}, image=image, segmentation_mask=mask)
    splits = pix2pix.load("tfds:tiny_pets", validation_fraction=0, test_fraction=0)
    assert sorted(read(splits.train)) == list(range(5))
    swapped = pix2pix.load("tfds:tiny_pets", input_key="segmentation_mask", target_key="image", test_fraction=0)
    assert sorted(read(swapped.split("all"), -100)) == list(range(5))


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "facades").is_dir(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_the_facades_archive():
    splits = pix2pix.load(SHARED / "facades" / "train.tar", max_bad_rows=0)
    assert sum(filter(None, sizes(splits))) == 476
    example = next(splits.test.as_numpy_iterator())
    assert example["input"].shape == example["target"].shape == (256, 256, 3)
    # The mask, on the right, is blue walls with red windows.
    assert example["target"][..., 1].mean() < 20 < example["target"][..., [0, 2]].sum(-1).mean()
