"""Contents and styles in every layout that people have them in."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_apps.data import style_transfer
from keras_apps.errors import UserError

SHARED = Path(os.environ.get("KERAS_APPS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
NONE = {"validation_fraction": 0, "test_fraction": 0}


def write(folder, numbers):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("RGB", (6, 4), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


def read(examples):
    """The numbers of the pictures by role."""
    found = {b"content": [], b"style": []}
    for example in examples.as_numpy_iterator():
        assert example["image"].dtype == np.uint8 and example["image"].shape[2] == 3
        found[example["role"]].append(int(example["image"][0, 0, 0]))
    assert sum(map(len, found.values())) == int(examples.cardinality())
    return sorted(found[b"content"]), sorted(found[b"style"])


def test_two_folders(tmp_path):
    write(tmp_path / "content", range(3))
    write(tmp_path / "style", range(10, 12))
    splits = style_transfer.load(tmp_path)
    # So few are not divided.
    assert read(splits.train) == ([0, 1, 2], [10, 11]) and splits.validation is None and splits.test is None


def test_contents_and_styles_are_both_dealt_out(tmp_path):
    write(tmp_path / "contents", range(40))
    write(tmp_path / "styles", range(100, 120))
    splits = style_transfer.load(tmp_path)
    parts = [read(part) for part in (splits.train, splits.validation, splits.test)]
    assert [len(contents) for contents, _ in parts] == [32, 4, 4] and [len(styles) for _, styles in parts] == [16, 2, 2]
    assert sorted(sum((contents for contents, _ in parts), [])) == list(range(40))
    assert sorted(sum((styles for _, styles in parts), [])) == list(range(100, 120))


def test_few_styles_are_in_every_part(tmp_path):
    write(tmp_path / "content", range(20))
    write(tmp_path / "style", [100, 101])
    splits = style_transfer.load(tmp_path)
    assert [read(part)[1] for part in (splits.train, splits.validation, splits.test)] == [[100, 101]] * 3


def test_parts_that_are_there_are_kept(tmp_path):
    write(tmp_path / "train" / "content", range(12))
    write(tmp_path / "val" / "content", [20])
    write(tmp_path / "train" / "style", range(50, 62))
    write(tmp_path / "val" / "style", [70])
    splits = style_transfer.load(tmp_path, test_fraction=0)
    assert read(splits.train) == (list(range(12)), list(range(50, 62))) and read(splits.validation) == ([20], [70])


def test_styles_from_elsewhere(tmp_path):
    contents, paintings = write(tmp_path / "photos", range(3)), write(tmp_path / "paintings", range(10, 13))
    with tarfile.open(tmp_path / "photos.tar", "w") as file:
        file.add(contents, ".")
    for data in (contents, tmp_path / "photos.tar"):
        splits = style_transfer.load(data, styles=[str(paintings)], **NONE)
        assert read(splits.train) == ([0, 1, 2], [10, 11, 12])
    with_textures = style_transfer.load(contents, styles=[str(paintings), "demo"], **NONE)
    assert len(read(with_textures.train)[1]) == 3 + 240


def test_one_style_is_chosen_by_name(tmp_path):
    write(tmp_path / "content", range(3))
    write(tmp_path / "style", range(10, 30))
    for name in ("17", "17.png"):
        assert read(style_transfer.load(tmp_path, style=name).train) == ([0, 1, 2], [17])
    with pytest.raises(UserError, match="--style monet: there is no such style; there are 10.png, 11.png"):
        style_transfer.load(tmp_path, style="monet")


def test_the_demo_is_the_same_for_the_same_seed():
    one, other = (style_transfer.load("demo", split_seed=seed) for seed in (0, 1))
    assert int(one.train.cardinality()) == 480 and int(one.test.cardinality()) == 48
    first = [next(iter(splits.test))["image"].numpy() for splits in (one, style_transfer.load("demo"), other)]
    np.testing.assert_array_equal(first[0], first[1])
    assert np.any(first[0] != first[2])


def test_an_unreadable_picture_is_skipped_and_named(tmp_path, caplog):
    write(tmp_path / "content", range(3))
    write(tmp_path / "style", [10])
    (tmp_path / "content" / "broken.jpg").write_bytes(b"no picture")
    with caplog.at_level("INFO", logger="keras_apps"):
        assert read(style_transfer.load(tmp_path).train) == ([0, 1, 2], [10])
    assert "content/broken.jpg" in caplog.text
    with pytest.raises(UserError, match="broken.jpg"):
        style_transfer.load(tmp_path, max_bad_rows=0)


@pytest.mark.parametrize(
    ("data", "styles", "message"),
    [
        ("nowhere", (), "no such file or folder; --data takes demo"),
        ("photos", ("nowhere",), "no such file or folder; --styles takes demo"),
        ("photos/0.png", (), "not a kind of data"),
        ("empty", (), "no pictures in it"),
        ("only", (), "no pictures in it that are content"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, data, styles, message):
    write(tmp_path / "photos", [0])
    write(tmp_path / "only" / "style", [0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        style_transfer.load(tmp_path / data, styles=[str(tmp_path / each) for each in styles])


def test_a_tensorflow_datasets_set_has_the_contents(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def rows(numbers):
        images = [np.full((4, 6, 3), number, np.uint8) for number in numbers]
        return tf.data.Dataset.from_tensor_slices({"image": np.stack(images)})

    tfds.dataset_builders.store_as_tfds_dataset(
        "photos",
        version="1.0.0",
        features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(None, None, 3))}),
        split_datasets={"train": rows(range(12)), "test": rows([50])},
        data_dir=tmp_path,
    )
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    paintings = write(tmp_path / "paintings", [90])
    splits = style_transfer.load("tfds:photos", styles=[str(paintings)], validation_fraction=0.1)
    train, validation = read(splits.train), read(splits.validation)
    assert sorted(train[0] + validation[0]) == list(range(12)) and len(validation[0]) == 1
    assert read(splits.test) == ([50], [90]) and train[1] == [90]


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "style").exists(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_photos_and_paintings():
    contents, styles = read(style_transfer.load(SHARED / "style").train)
    assert len(contents) == len(styles) == 6
