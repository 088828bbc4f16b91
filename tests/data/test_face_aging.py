import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_apps.data import face_aging
from keras_apps.errors import UserError

SHARED = Path(os.environ.get("KERAS_APPS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def picture(number):
    """A picture that is told from others by its colour."""
    return Image.new("RGB", (6, 4), (number, number, number))


def write(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number).save(path)


def read(examples):
    """{colour: (age, identity)}."""
    found = {}
    for example in examples.as_numpy_iterator():
        assert example["image"].dtype == np.uint8 and example["age"].dtype == example["identity"].dtype == np.int32
        found[int(example["image"][0, 0, 0])] = int(example["age"]), int(example["identity"])
    assert len(found) == int(examples.cardinality())
    return found


def everything(data, **options):
    return read(face_aging.load(data, **options).split("all"))


def sizes(splits):
    parts = (splits.train, splits.validation, splits.test, splits.left_out)
    return [None if part is None else int(part.cardinality()) for part in parts]


def archive(folder, path):
    with tarfile.open(path, "w") as file:
        file.add(folder, ".")
    return path


def test_demo():
    splits = face_aging.load()
    assert sizes(splits) == [3000, 300, 600, None]
    assert splits.train.element_spec == {
        "image": tf.TensorSpec([None, None, 3], tf.uint8),
        "age": tf.TensorSpec([], tf.int32),
        "identity": tf.TensorSpec([], tf.int32),
    }
    example = next(splits.test.as_numpy_iterator())
    assert example["image"].shape == (64, 64, 3) and 0 <= example["age"] <= 90 and example["identity"] >= 330


def test_ages_in_the_names_of_files(tmp_path):
    names = ["1_0_0_20161219.png", "26_1_2017.png", "116_1_20170116_x.chip.png", "0_.png", "53_Some_One_0001.png"]
    for number, name in enumerate(names):
        write(tmp_path / "faces" / "train" / name, 10 * number)
    for number in range(100, 120):
        write(tmp_path / "faces" / "train" / f"{number}_Other_One_{number}.png", number)
    for path in (tmp_path / "faces", archive(tmp_path / "faces", tmp_path / "faces.tar")):
        found = everything(path)
        assert found == {0: (1, -1), 10: (26, -1), 20: (116, -1), 30: (0, -1), 40: (53, 1)} | {
            number: (number, 0) for number in range(100, 120)
        }
    write(tmp_path / "faces" / "test" / "30_0_0_1.png", 200)
    splits = face_aging.load(tmp_path / "faces", validation_fraction=0.2)
    assert read(splits.test) == {200: (30, -1)} and sizes(splits)[3] is None


def test_a_word_in_all_names_is_nobodys(tmp_path):
    for number in range(12):
        write(tmp_path / f"{20 + number}_photo_{number:04d}.jpg", 20 * number)
    splits = face_aging.load(tmp_path)
    assert sizes(splits) == [10, 1, 1, None] and {person for _, person in read(splits.train).values()} == {-1}


def test_unreadable_pictures_never_shift_the_ages_of_others(tmp_path, caplog):
    for number in range(40):
        write(tmp_path / f"{number}_0_0_{100 - number}.png", number)
    bad = [0, 3, 4, 17, 38]
    noise = Image.effect_noise((30, 30), 99)
    for number in bad:
        path = tmp_path / f"{number}_0_0_{100 - number}.png"
        noise.save(path)
        path.write_bytes(path.read_bytes()[: 200 if number % 2 else 0])
    write(tmp_path / "121_0.png", 240)
    write(tmp_path / "999_0.png", 241)
    write(tmp_path / "portrait.png", 242)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "5_extra.jpg").write_text("not a picture")
    for path in (tmp_path, archive(tmp_path, tmp_path.parent / f"{tmp_path.name}.tar")):
        caplog.clear()
        found = everything(path, max_bad_rows=9)
        assert found == {number: (number, -1) for number in range(40) if number not in bad}
        for message in (
            "/17_0_0_83.png: the picture is damaged",
            "121_0.png: '121' is no age from 0 to 120",
            "portrait.png: its name doesn't begin with an age",
            "9 malformed rows in all",
        ):
            assert message in caplog.text
    with pytest.raises(UserError, match="more than 8 malformed rows"):
        face_aging.load(tmp_path, max_bad_rows=8)


def test_a_table_of_ages(tmp_path, caplog):
    rows = ["image,age,identity"]
    for number in range(30):
        write(tmp_path / "pictures" / f"{number}.png", number)
        rows.append(f"{number}.png,{number + 20},person {number // 3}")
    (tmp_path / "pictures" / "7.png").write_bytes(b"damaged")
    rows += ["gone.png,20,", "3.png,21,", "8.png", "9.png,old,"]
    write(tmp_path / "pictures" / "no_age.png", 99)
    (tmp_path / "ages.csv").write_text("\n".join(rows))
    splits = face_aging.load(tmp_path, validation_fraction=0.2)
    people = sorted({f"person {number // 3}" for number in range(30)})
    assert read(splits.split("all")) == {
        number: (number + 20, people.index(f"person {number // 3}")) for number in range(30) if number != 7
    }
    sides = [{identity for _, identity in read(part).values()} for part in (splits.train, splits.validation)]
    assert sides[0].isdisjoint(sides[1])
    for message in (
        "ages.csv:32: there is no picture 'gone.png'",
        "ages.csv:33: '3.png' is there a second time",
        "ages.csv:34: 1 fields",
        "ages.csv:35: 'old' is no age",
        "5 malformed rows in all",
    ):
        assert message in caplog.text


def test_tables_of_other_kinds_and_keys(tmp_path):
    for split, first in (("train", 0), ("test", 10)):
        for number in range(first, first + 10):
            write(tmp_path / split / f"{number}.png", number)
    (tmp_path / "train" / "ages.tsv").write_text(
        "file\tyears old\twho\n" + "".join(f"{n}.png\t{n}\t{-1 if n % 2 else n // 4}\n" for n in range(10))
    )
    lines = [f'{{"image": "{n}.png", "years old": {n}.5}}\n' for n in range(10, 18)]
    lines += ['{"image": "18.png", "years old": "(25, 32)"}\n', '{"image": "19.png", "years old": "60+"}\n']
    (tmp_path / "test" / "ages.jsonl").write_text("".join(lines))
    with pytest.raises(UserError, match="no column 'age'.*--age_key"):
        face_aging.load(tmp_path)
    splits = face_aging.load(tmp_path, age_key="years old", validation_fraction=0)
    assert read(splits.train) == {number: (number, -1) for number in range(10)}
    assert read(splits.test) == {n: (n, -1) for n in range(10, 18)} | {18: (29, -1), 19: (60, -1)}
    (tmp_path / "test" / "ages.jsonl").unlink()
    splits = face_aging.load(tmp_path, age_key="years old", identity_key="who", validation_fraction=0, test_fraction=0)
    assert read(splits.train) == {number: (number, -1 if number % 2 else number // 4) for number in range(10)}


def test_a_missing_picture_takes_the_age_of_no_other(tmp_path):
    rows = ["image,age"]
    for number in range(12):
        write(tmp_path / "b" / f"{number}.png", number)
        rows += [f"a/{number}.png,90", f"b/{number}.png,{number}"]
    (tmp_path / "ages.csv").write_text("\n".join(rows))
    assert everything(tmp_path, max_bad_rows=12) == {number: (number, -1) for number in range(12)}


def test_folders_by_age(tmp_path):
    ages = {"0-9": 5, "25": 25, "60+": 60, "age_31_to_40": 36}
    for place, folder in enumerate(ages):
        for number in range(10):
            write(tmp_path / "train" / folder / f"{number}_x.png", 20 * place + number)
    write(tmp_path / "test" / "70" / "a.png", 200)
    splits = face_aging.load(tmp_path)
    expected = {20 * place + number: (age, -1) for place, age in enumerate(ages.values()) for number in range(10)}
    assert sizes(splits) == [36, 4, 1, None]
    assert read(splits.train) | read(splits.validation) == expected and read(splits.test) == {200: (70, -1)}
    write(tmp_path / "train" / "others" / "1.png", 201)
    with pytest.raises(UserError, match="others/1.png: it is in no folder whose name is an age"):
        face_aging.load(tmp_path, max_bad_rows=0)


def test_a_folder_and_a_name_that_disagree(tmp_path, caplog):
    names = ["1/20_0_1_0.png", "20-29/20_1_2_0.png", "20-29/30_Some_One_01.png", "60+/116_0_1.png", "60+/59_1_1.png"]
    for number, name in enumerate([*names, "25/7_x.png"]):
        write(tmp_path / name, number)
    found = everything(tmp_path, max_bad_rows=3, validation_fraction=0, test_fraction=0)
    assert found == {1: (25, -1), 3: (60, -1), 5: (25, -1)}
    assert "1/20_0_1_0.png: its name says 20 years, but its folder 1" in caplog.text


def test_traits_and_missing_values_are_nobodys(tmp_path):
    for number, name in enumerate(["male_white", "Female_Asian", "m_other", "Betty_White", "unknown"]):
        write(tmp_path / "names" / f"{20 + number}_{name}_{number}.png", number)
    people = ["unknown", "NaN", "None", "null", "?", "N/A", "-1", "", "f"]
    for number in range(9):
        write(tmp_path / "table" / f"{number}.png", number)
    rows = [f"{number}.png,{number},{person}\n" for number, person in enumerate(people)]
    (tmp_path / "table" / "ages.csv").write_text("image,age,identity\n" + "".join(rows))
    options = {"validation_fraction": 0, "test_fraction": 0}
    assert {n: who for n, (_, who) in everything(tmp_path / "names", **options).items()} == {
        0: -1,
        1: -1,
        2: -1,
        3: 0,
        4: -1,
    }
    assert [who for _, (_, who) in sorted(everything(tmp_path / "table", **options).items())] == [-1] * 8 + [0]


def test_a_comma_makes_a_range_only_where_it_is_plain():
    texts = ["(2, 5)", "(2,5)", "2, 5", "2-5", "(60+)", "2,5", "25,", "age 2,5"]
    assert [face_aging._age(text) for text in texts] == [4, 4, 4, 4, 60, None, None, None]


def test_one_folder_with_a_number_is_no_age_where_names_have_one(tmp_path):
    for number in range(12):
        write(tmp_path / "96" / f"{number}_1_2.png", number)
    assert everything(tmp_path) == {number: (number, -1) for number in range(12)}


def test_the_same_picture_and_person_are_on_one_side(tmp_path):
    """Pictures 0 to 9 are of one person; 9 and 10 have the same content, and 10 is of someone else, with 11."""
    rows = ["image,age,person"]
    for number in range(40):
        write(tmp_path / f"{number}.png", 9 if number == 10 else number)
        person = 0 if number < 10 else 1 if number < 12 else ""
        rows.append(f"{number}.png,{number},{person}")
    (tmp_path / "ages.csv").write_text("\n".join(rows))
    splits = face_aging.load(tmp_path, validation_fraction=0.3, test_fraction=0.3)
    sides = [{int(example["age"]) for example in part} for part in (splits.train, splits.validation, splits.test)]
    assert sum(map(len, sides)) == 40 and any(side >= set(range(12)) for side in sides)
    (tmp_path / "test").mkdir()
    write(tmp_path / "test" / "new.png", 100)
    (tmp_path / "test" / "ages.csv").write_text("image,age,person\nnew.png,50,1\n")
    splits = face_aging.load(tmp_path, validation_fraction=0)
    assert {int(example["age"]) for example in splits.left_out} == set(range(12))
    assert sizes(splits) == [28, None, 1, 12]


@pytest.mark.parametrize(
    "layout, message",
    [
        ("", "there are no pictures in it; use a folder, .tar or .zip with"),
        ("a.png b.png", "2 pictures in it, but no ages; use a folder"),
        ("250_1.png", "no pictures in the train split"),
        ("train/1_0.png test/x.png", "too few, or too alike, to carve"),
        ("a/ages.csv b/ages.csv", "could all be meant"),
        ("ages.csv", "the file is empty"),
    ],
)
def test_what_cannot_be_loaded_says_so_in_one_line(tmp_path, layout, message):
    for name in layout.split():
        if name.endswith("csv"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        else:
            write(tmp_path / name, 1)
    with pytest.raises(UserError, match=message) as caught:
        face_aging.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_table_of_which_no_picture_is_there(tmp_path):
    (tmp_path / "ages.csv").write_text("image,age\na.png,3\nb.png,4\n")
    with pytest.raises(UserError, match="no pictures in the train split"):
        face_aging.load(tmp_path)
    with pytest.raises(UserError, match="ages.csv:2: there is no picture 'a.png'"):
        face_aging.load(tmp_path, max_bad_rows=1)
    with pytest.raises(UserError, match="no such file or folder"):
        face_aging.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a kind of data"):
        face_aging.load(tmp_path / "ages.csv")


def test_tfds(store_tfds, caplog):
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(), "age": tf.int32, "person": tfds.features.Text(), "sex": tf.int64}

    def example(number, person=""):
        return {"image": np.asarray(picture(number)), "age": 200 if number == 7 else number, "person": person, "sex": 1}

    people = {4: "b", 5: "b", 12: "a"}
    train = [example(number, people.get(number, "")) for number in range(20)]
    store_tfds("tiny_faces", features, {"train": train, "test": [example(30), example(31, "a")]})
    splits = face_aging.load("tfds:tiny_faces", validation_fraction=0.2)
    assert sizes(splits) == [14, 4, 2, 1] and "train[7]: '200' is no age" in caplog.text
    assert read(splits.test) == {30: (30, -1), 31: (31, 0)} and read(splits.left_out) == {12: (12, 0)}
    expected = {number: (number, 1 if number in (4, 5) else -1) for number in range(20) if number not in (7, 12)}
    assert read(splits.train) | read(splits.validation) == expected
    with pytest.raises(UserError, match="--age_key"):
        face_aging.load("tfds:tiny_faces", age_key="nope")


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "utkface").is_dir(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_utkface():
    splits = face_aging.load(SHARED / "utkface" / "train.tar", max_bad_rows=0)
    assert sum(filter(None, sizes(splits))) == 12000
    example = next(splits.train.as_numpy_iterator())
    assert example["image"].shape == (96, 96, 3) and example["identity"] == -1
