import json
import os
import shutil
import tarfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from keras_apps.data import captioning
from keras_apps.data.demo_scenes import is_true_given
from keras_apps.errors import UserError

SHARED = Path(os.environ.get("KERAS_APPS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def grey(number):
    """A picture that is told from others by its colour."""
    return Image.new("RGB", (6, 4), (number, number, number))


def write(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    grey(number).save(path)


def table(folder, count, first=0, name="captions.csv", captions=2):
    """Writes pictures and a table of their captions."""
    rows = []
    for number in range(first, first + count):
        write(folder / f"{number}.png", number)
        rows += [f"{number}.png,caption {number} {i}\n" for i in range(captions)]
    (folder / name).write_text("image,caption\n" + "".join(rows))
    return folder


def read(examples):
    """{colour: captions}, after checking that they belong together as they were written."""
    found = {}
    for example in examples.as_numpy_iterator():
        assert example["image"].dtype == np.uint8 and example["image"].shape == (4, 6, 3)
        found[int(example["image"][0, 0, 0])] = [caption.decode() for caption in example["captions"]]
    assert len(found) == int(examples.cardinality())
    return found


def sizes(splits):
    return [
        None if part is None else int(part.cardinality())
        for part in (splits.train, splits.validation, splits.test, splits.left_out)
    ]


def archive(folder, path):
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as file:
        file.add(folder, ".")
    return path


def test_demo():
    splits = captioning.load()
    assert sizes(splits) == [6000, 300, 500, None]
    assert splits.test.element_spec["image"].shape.as_list() == [None, None, 3]
    assert splits.test.element_spec["captions"] == tf.TensorSpec([None], tf.string)
    for example in splits.test.take(20).as_numpy_iterator():
        captions = [caption.decode() for caption in example["captions"]]
        assert example["image"].shape == (96, 96, 3) and is_true_given(captions[-1], captions)


@pytest.mark.parametrize("kind", ["folder", "a.tar", "a.tgz"])
def test_a_folder_of_pictures_is_split_by_picture(tmp_path, kind):
    path = table(tmp_path / "folder", 40)
    if kind != "folder":
        path = archive(path, tmp_path / kind)
    splits = captioning.load(path, validation_fraction=0.2)
    assert sizes(splits) == [28, 8, 4, None]
    every = read(splits.split("all"))
    assert every == {number: [f"caption {number} 0", f"caption {number} 1"] for number in range(40)}
    assert read(captioning.load(path, validation_fraction=0.2).test) == read(splits.test)
    assert read(captioning.load(path, split_seed=1, validation_fraction=0.2).test) != read(splits.test)


def test_split_folders_and_single_parts(tmp_path):
    table(tmp_path / "data" / "train", 20)
    table(tmp_path / "data" / "dev", 3, first=50)
    splits = captioning.load(tmp_path)
    assert sizes(splits) == [18, 3, 2, None]
    assert set(read(splits.validation)) == {50, 51, 52}
    shutil.rmtree(tmp_path / "data" / "train")
    splits = captioning.load(archive(tmp_path / "data", tmp_path / "dev.tar"))
    assert sizes(splits) == [None, 3, None, None]
    assert read(splits.split("all")) == read(splits.validation)


def test_pictures_in_a_subfolder_tables_by_split_and_several_columns(tmp_path):
    for number in range(12):
        write(tmp_path / "Images" / f"{number}.png", number)
    (tmp_path / "train.tsv").write_text(
        "file_name\tcaption_1\tcaption_2\n" + "".join(f"{number}.png\tone {number}\t\n" for number in range(10))
    )
    (tmp_path / "test.jsonl").write_text(
        '{"image": "10.png", "caption": "a"}\n{"image": "Images/11.png", "caption": "b"}\n'
    )
    splits = captioning.load(tmp_path, validation_fraction=0)
    assert sizes(splits) == [10, None, 2, None]
    assert read(splits.test) == {10: ["a"], 11: ["b"]}
    assert read(splits.train)[3] == ["one 3"]


def test_a_missing_picture_is_not_another_splits_or_another_rows(tmp_path):
    for split in ("train", "test"):
        table(tmp_path / "parts" / split, 20)
    for number in range(20):
        write(tmp_path / "parts" / "test" / f"{number}.png", 100 + number)
        write(tmp_path / "kinds" / "dogs" / f"{number}.png", 100 + number)
        if number < 10:
            (tmp_path / "parts" / "test" / f"{number}.png").unlink()
            write(tmp_path / "kinds" / "cats" / f"{number}.png", number)
    splits = captioning.load(tmp_path / "parts", max_bad_rows=20, validation_fraction=0)
    assert sorted(read(splits.test)) == list(range(110, 120)) and sizes(splits)[3] is None
    rows = [f"{kind}/{number}.png,a {kind[:3]}\n" for kind in ("cats", "dogs") for number in range(20)]
    (tmp_path / "kinds" / "captions.csv").write_text("image,caption\n" + "".join(rows))
    splits = captioning.load(tmp_path / "kinds", max_bad_rows=10)
    assert read(splits.split("all")) == {n: ["a cat"] for n in range(10)} | {100 + n: ["a dog"] for n in range(20)}
    # Of what has been moved no other row is in the way.
    (tmp_path / "kinds" / "captions.csv").write_text("image,caption\nC:\\cats\\15.png,moved\n../dogs/16.png,up\n")
    splits = captioning.load(tmp_path / "kinds", max_bad_rows=0, validation_fraction=0, test_fraction=0)
    assert read(splits.train) == {115: ["moved"], 116: ["up"]}


def test_accents_are_found_however_they_are_written(tmp_path):
    decomposed, composed = (unicodedata.normalize(form, "é") for form in ("NFD", "NFC"))
    rows = []
    for number, (on_disk, in_table) in enumerate([(decomposed, composed), (composed, decomposed)] * 3):
        write(tmp_path / f"caf{on_disk}s" / f"{on_disk}{number}.png", number)
        rows.append(f"caf{in_table}s/{in_table}{number}.png,{number}\n")
    (tmp_path / "captions.csv").write_text("image,caption\n" + "".join(rows))
    for path in (tmp_path, archive(tmp_path, tmp_path.parent / f"{tmp_path.name}.tar")):
        splits = captioning.load(path, max_bad_rows=0, validation_fraction=0, test_fraction=0)
        assert read(splits.train) == {number: [str(number)] for number in range(6)}


def test_same_pictures_are_on_one_side(tmp_path):
    table(tmp_path, 20)
    for number in range(20):
        shutil.copy(tmp_path / f"{number}.png", tmp_path / f"copy{number}.png")
    with open(tmp_path / "captions.csv", "a") as file:
        file.writelines(f"copy{number}.png,copy {number}\n" for number in range(20))
    splits = captioning.load(tmp_path)
    sides = [
        {int(example["image"][0, 0, 0]) for example in part} for part in (splits.train, splits.validation, splits.test)
    ]
    assert sum(map(len, sides)) == 20 and sizes(splits) == [32, 4, 4, None]
    table(tmp_path / "test", 2)
    with pytest.raises(UserError, match="carve"):
        captioning.load(table(tmp_path / "one", 1))
    shutil.rmtree(tmp_path / "one")
    splits = captioning.load(tmp_path, validation_fraction=0)
    assert sizes(splits) == [36, None, 2, 4]
    assert {int(example["image"][0, 0, 0]) for example in splits.left_out} == {0, 1}


def test_validation_has_nothing_of_a_given_test_part(tmp_path):
    for split, first in (("train", 0), ("val", 20), ("test", 23)):
        table(tmp_path / split, 20 if split == "train" else 5, first)
    splits = captioning.load(tmp_path)
    assert sizes(splits) == [20, 3, 5, 2] and set(read(splits.left_out)) == {23, 24}
    table(tmp_path / "val", 2, 23)
    with pytest.raises(UserError, match="the test split has all pictures of the validation split"):
        captioning.load(tmp_path)


def test_pictures_that_cannot_be_read_go_with_their_captions(tmp_path, caplog):
    table(tmp_path, 20)
    Image.effect_noise((30, 30), 99).save(tmp_path / "3.png")
    content = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "4.png").write_bytes(b"")
    (tmp_path / "5.png").unlink()
    with open(tmp_path / "captions.csv", "a") as file:
        file.write("6.png\n7.png,\n8.png,caf\udce9\n".encode("utf-8", "surrogateescape").decode("latin-1"))
    for path in (tmp_path, archive(tmp_path, tmp_path.parent / f"{tmp_path.name}.tar")):
        caplog.clear()
        splits = captioning.load(path, max_bad_rows=5)
        assert set(read(splits.split("all"))) == set(range(20)) - {3, 4, 5}
        for message in (
            "/3.png: the picture is damaged",
            "/4.png: the file is empty",
            "captions.csv:12: there is no picture '5.png'",
            "captions.csv:42: 1 fields",
            "captions.csv:43: no 'caption'",
            "5 malformed rows in all",
        ):
            assert message in caplog.text
    with pytest.raises(UserError, match="more than 4 malformed rows"):
        captioning.load(tmp_path, max_bad_rows=4)


def test_pictures_are_upright_and_read_when_they_are_asked_for(tmp_path):
    table(tmp_path, 10)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "captions.csv").write_text("image,caption\nturned.jpg,white below\n")
    splits = captioning.load(tmp_path, validation_fraction=0, test_fraction=0)
    image = next(splits.train.as_numpy_iterator())["image"]
    assert image.shape == (16, 8, 3) and image[:6].max() < 30 and image[-6:].min() > 225
    grey(9).save(tmp_path / "turned.jpg")
    assert next(splits.train.as_numpy_iterator())["image"].shape == (4, 6, 3)


def flickr(folder, lists):
    lines = []
    for number in range(12):
        write(folder / "Flicker8k_Dataset" / f"{number}.jpg", number)
        lines += [f"{number}.jpg#{i}\tA dog , number {number} {i} .\n" for i in range(2)]
    folder.joinpath("Flickr8k.token.txt").write_text("".join(lines) + "9.jpg.1#0\tno picture\nbroken line\n")
    for name, numbers in lists.items():
        folder.joinpath(f"Flickr_8k.{name}Images.txt").write_text("".join(f"{number}.jpg\n" for number in numbers))
    return folder


def test_flickr8k_token_files(tmp_path, caplog):
    caplog.set_level("INFO")
    splits = captioning.load(flickr(tmp_path, {"train": range(7), "dev": (7, 8), "test": (9, 10)}), max_bad_rows=1)
    assert sizes(splits) == [7, 2, 2, None]
    assert read(splits.test)[9] == ["A dog , number 9 0 .", "A dog , number 9 1 ."]
    # Which is beside it where it comes from.
    tmp_path.joinpath("Flickr8k.lemma.token.txt").write_text("0.jpg#0\tA dog , number 0 0 .\n")
    assert sizes(captioning.load(tmp_path, max_bad_rows=1)) == [7, 2, 2, None]
    assert "2 pictures are in no split's list" in caplog.text
    for name in ("train", "dev", "test"):
        (tmp_path / f"Flickr_8k.{name}Images.txt").unlink()
    assert sizes(captioning.load(tmp_path)) == [10, 1, 1, None]


def test_karpathy_json(tmp_path):
    images = []
    for number in range(8):
        folder = ("train2014", "val2014")[number % 2]
        write(tmp_path / folder / f"{number}.png", number)
        split = ("train", "restval", "val", "test")[number // 2]
        sentences = [{"raw": f"Sentence {number}.", "tokens": []}, {"raw": " "}]
        images.append({"filepath": folder, "filename": f"{number}.png", "split": split, "sentences": sentences})
    images += [{"filename": "0.png", "split": "train"}, {"filename": "0.png", "split": "hm", "sentences": []}, 7]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    splits = captioning.load(tmp_path)
    assert [sorted(read(part)) for part in (splits.train, splits.validation, splits.test)] == [
        [0, 1, 2, 3],
        [4, 5],
        [6, 7],
    ]
    assert read(splits.test)[6] == ["Sentence 6."]
    with pytest.raises(UserError, match=r"images\[8\]: `filename`, `split` and `sentences`"):
        captioning.load(tmp_path, max_bad_rows=2)
    for content in ("{", "[]", '{"images": {}}', "[" * 99999):
        (tmp_path / "dataset_coco.json").write_text(content)
        with pytest.raises(UserError, match="dataset_coco.json: .*Karpathy"):
            captioning.load(tmp_path)


def test_what_cannot_be_loaded_says_so_in_one_line(tmp_path):
    for name in ("empty", "twice/a", "twice/b", "missing", "ambiguous/x", "ambiguous/y", "columns"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a.csv").write_text("image,caption\n")
    for name in ("twice/a", "twice/b"):
        table(tmp_path / name, 1)
    (tmp_path / "missing" / "captions.csv").write_text("image,caption\n../a.png,up\n")
    for name in ("x", "y"):
        write(tmp_path / "ambiguous" / name / "1.png", 1)
    (tmp_path / "ambiguous" / "captions.csv").write_text("image,caption\n1.png,which\n")
    (tmp_path / "columns" / "captions.csv").write_text("picture,words\n1.png,a\n")
    for data, message in (
        (tmp_path / "none", "no such file or folder; --data takes demo, tfds:NAME"),
        (tmp_path / "a.csv", "not a kind of data"),
        (tmp_path / "empty", "nothing that is understood"),
        (tmp_path / "twice", "could all be meant"),
        (tmp_path / "missing", "no pictures"),
        (tmp_path / "ambiguous", "no pictures"),
        (tmp_path / "columns", "no column 'caption'.*--caption_key"),
        ("tfds:no_such_set_at_all", "no such data set"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            captioning.load(data)
        assert "\n" not in str(caught.value)
    write(tmp_path / "columns" / "1.png", 1)
    splits = captioning.load(tmp_path / "columns", caption_key="words", validation_fraction=0, test_fraction=0)
    assert read(splits.train) == {1: ["a"]}


def captioned(captions_feature, splits, wrap):
    """Features and examples of {split: colours}."""
    import tensorflow_datasets as tfds

    examples = {
        split: [
            {"image": np.asarray(grey(n)), "image/filename": "x", "captions": wrap([f"a {n}", f"b {n}"])}
            for n in numbers
        ]
        for split, numbers in splits.items()
    }
    features = {"image": tfds.features.Image(), "image/filename": tfds.features.Text(), "captions": captions_feature}
    return features, examples


def test_tfds(store_tfds):
    import tensorflow_datasets as tfds

    nested = tfds.features.Sequence({"id": tf.int64, "text": tfds.features.Text()})
    parts = {"train": range(12), "restval": (12, 13), "validation": (50, 51, 0), "test": (60,)}
    store_tfds("tiny_coco", *captioned(nested, parts, lambda texts: [{"id": 1, "text": text} for text in texts]))
    splits = captioning.load("tfds:tiny_coco")
    assert sizes(splits) == [14, 3, 1, None]
    assert read(splits.test) == {60: ["a 60", "b 60"]} and set(read(splits.train)) == set(range(14))

    parts = {"train": [*range(20), 3], "test": (0, 30)}
    store_tfds("tiny_plain", *captioned(tfds.features.Text(), parts, lambda texts: texts[0]))
    splits = captioning.load("tfds:tiny_plain", validation_fraction=0.2)
    assert sizes(splits) == [16, 4, 2, 1]
    assert read(splits.left_out) == {0: ["a 0"]}
    sides = [{int(example["image"][0, 0, 0]) for example in part} for part in (splits.train, splits.validation)]
    assert sides[0].isdisjoint(sides[1]) and sides[0] | sides[1] == set(range(1, 20))
    with pytest.raises(UserError, match="--caption_key"):
        captioning.load("tfds:tiny_plain", caption_key="nope")


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "flickr8k").is_dir(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_flickr8k_archives():
    splits = captioning.load(SHARED / "flickr8k" / "dev.tar")
    assert sizes(splits) == [None, 1000, None, None]
    example = next(splits.split("all").as_numpy_iterator())
    assert example["image"].shape == (160, 160, 3) and len(example["captions"]) == 5
