import io
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_apps.data import demo_characters
from keras_apps.data.siamese import load, read_runs
from keras_apps.errors import UserError
from keras_apps.layers.episodes import GENERATED


def picture(seed, size=(12, 9)):
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)


def png(seed, mode="RGB"):
    buffer = io.BytesIO()
    Image.fromarray(picture(seed)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def files(groups=4, classes=3, pictures=3, root="images_background/"):
    """{path: content} as Omniglot has them."""
    return {
        f"{root}Alphabet_{group}/character{number:02d}/{group}{number}_{drawer:02d}.png": png(
            100 * group + 10 * number + drawer, "L"
        )
        for group in range(groups)
        for number in range(classes)
        for drawer in range(pictures)
    }


def write(where, content):
    """As a folder, .tar or .zip, by the name."""
    if where.suffix == ".tar":
        with tarfile.open(where, "w") as archive:
            for name, data in content.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    elif where.suffix == ".zip":
        with zipfile.ZipFile(where, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    else:
        for name, data in content.items():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_bytes(data)
    return where


def columns(examples):
    rows = list(examples.as_numpy_iterator())
    return [row["image"] for row in rows], [int(row["label"]) for row in rows], [int(row["group"]) for row in rows]


@pytest.mark.parametrize("name", ["folder", "a.tar", "a.zip"])
def test_alphabets_of_characters(tmp_path, name):
    splits = load(
        write(tmp_path / name, files()), invented_alphabets=0, validation_fraction=0.25, test_fraction=0.25
    )  # fmt: skip
    parts = {split: columns(splits.split(split)) for split in ("train", "validation", "test")}
    assert {split: len(labels) for split, (_, labels, _) in parts.items()} == {"train": 18, "validation": 9, "test": 9}
    # Whole alphabets, each class in one, with all of its pictures.
    groups = [set(some) for _, _, some in parts.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 4
    known = {content.tobytes(): (g, n) for g in range(4) for n in range(3) for d in range(3)
             for content in [np.repeat(np.asarray(Image.fromarray(picture(100 * g + 10 * n + d)).convert("L"))[..., None], 3, -1)]}  # fmt: skip
    pairs = set()
    for images, labels, some in parts.values():
        for image, label, group in zip(images, labels, some, strict=True):
            alphabet, number = known[image.tobytes()]
            pairs.add((label, group, alphabet, number))
    assert len(pairs) == 12 and len({label for label, *_ in pairs}) == 12 and len({p[1:3] for p in pairs}) == 4


def test_invented_alphabets_are_trained_on_beside_those_of_a_folder(tmp_path, monkeypatch):
    path = write(tmp_path / "folder", files())
    splits = load(path, invented_alphabets=1, test_fraction=0, validation_fraction=0.25)
    trained_on = splits.trained_on
    groups = [int(row["group"]) for row in trained_on.map(lambda row: {"group": row["group"]}).as_numpy_iterator()]
    assert groups.count(GENERATED) == len(groups) - 27 >= 100
    assert int(trained_on.cardinality()) == len(groups) and splits.test is None
    # They are part of no score.
    assert max(int(row["group"]) for row in splits.split("all").as_numpy_iterator()) < GENERATED
    (last,) = trained_on.skip(len(groups) - 1).as_numpy_iterator()
    assert last["image"].shape == (105, 105, 3) and last["label"] >= GENERATED
    # By default, 60 beside alphabets only.
    asked = []
    few = demo_characters.invent(1, 2, 0)
    monkeypatch.setattr(demo_characters, "invent", lambda *arguments: asked.append(arguments[0]) or few)
    load(path, test_fraction=0, validation_fraction=0.25)
    assert asked == [60]
    people = write(tmp_path / "people", {f"p{n}/{d}.png": png(10 * n + d) for n in range(9) for d in range(3)})
    assert int(load(people, test_fraction=0).train.cardinality()) == 21


@pytest.mark.parametrize("count", [6, 12, 30])
def test_each_part_gets_two_classes(tmp_path, count):
    people = write(tmp_path / "people", {f"p{n}/{d}.png": png(10 * n + d) for n in range(count) for d in range(3)})
    splits = load(people)
    classes = [len(set(columns(splits.split(part))[1])) for part in ("train", "validation", "test")]
    assert sum(classes) == count and min(classes) >= 2


def test_a_large_fraction_leaves_some_to_train_on(tmp_path):
    people = write(tmp_path / "people", {f"p{n}/{d}.png": png(10 * n + d) for n in range(6) for d in range(3)})
    with pytest.raises(UserError, match="of the 6 classes to train on the test split gets one"):
        load(people, validation_fraction=0.7)


def test_one_class_of_a_given_test_part_is_left_out_of_training(tmp_path):
    drawings = {f"train/p{n}/{d}.png": png(10 * n + d) for n in range(6) for d in range(3)}
    drawings |= {f"test/p{n}/{d}.png": png(10 * n + d) for n in (5, 7) for d in range(3, 6)}
    splits = load(write(tmp_path / "people", drawings))
    assert len(set(columns(splits.train)[1])) == 3 and len(set(columns(splits.validation)[1])) == 2


def test_a_part_of_one_class_is_refused(tmp_path):
    people = write(tmp_path / "people", {f"p{n}/{d}.png": png(10 * n + d) for n in range(5) for d in range(3)})
    with pytest.raises(UserError, match=r"of the 5 classes to train on the \w+ split gets one.*_fraction so high"):
        load(people)


def test_class_folders_in_colours_are_split_by_classes(tmp_path):
    path = write(tmp_path / "people", {f"p{n:02d}/{d}.png": png(10 * n + d) for n in range(20) for d in range(4)})
    splits = load(path)
    labels = [set(columns(splits.split(split))[1]) for split in ("train", "validation", "test")]
    assert [len(some) for some in labels] == [16, 2, 2] and len(set.union(*labels)) == 20
    images, _, groups = columns(splits.validation)
    assert set(groups) == {0} and images[0].shape == (12, 9, 3) and np.ptp(images[0], axis=-1).max() > 100


def test_parts_that_are_there_are_kept(tmp_path):
    given = {f"{part}/p{n}/{d}.png": png(f) for f, (part, n, d) in enumerate(
        (part, n, d) for part, people in (("train", range(6)), ("val", (6, 7)), ("test", (8, 9))) for n in people for d in range(3)
    )}  # fmt: skip
    splits = load(write(tmp_path / "own", given))
    assert [int(splits.split(split).cardinality()) for split in ("train", "validation", "test")] == [18, 6, 6]
    evaluation = {name.replace("Alphabet", "Other"): png(500 + n, "L") for n, name in enumerate(files(pictures=2))}
    both = files() | {name.replace("background", "evaluation"): content for name, content in evaluation.items()}
    splits = load(write(tmp_path / "both", both), invented_alphabets=0, validation_fraction=0)
    assert int(splits.train.cardinality()) == 36 and int(splits.test.cardinality()) == 24


@pytest.mark.parametrize("strays", [["preview.png"], ["faces/preview.png", "faces/other.png", "faces/test/stray.png"]])
def test_strays_do_not_make_classes_of_the_parts(tmp_path, caplog, strays):
    content = {f"faces/{part}/p{n}/{d}.png": png(10 * n + d)
               for part, people in (("train", range(6)), ("test", (6, 7))) for n in people for d in range(3)}  # fmt: skip
    content |= {name: png(100 + number) for number, name in enumerate(strays)}
    splits = load(write(tmp_path / "data", content), max_bad_rows=0, validation_fraction=0)
    assert [int(splits.split(part).cardinality()) for part in ("train", "test")] == [18, 6]
    assert f"{len(strays)} pictures are in no folder of a class" in caplog.text


def test_a_test_part_alone_is_not_trained_on(tmp_path):
    splits = load(write(tmp_path / "data", {f"test/p{n}/{d}.png": png(10 * n + d) for n in range(6) for d in range(3)}))
    assert splits.train is None and int(splits.test.cardinality()) == 18


def test_classes_that_share_a_picture_are_on_one_side(tmp_path, caplog):
    content = {f"p{n}/{d}.png": png(10 * n + d) for n in range(20) for d in range(3)}
    content |= {f"p{n}/again.png": png(10 * n - 10) for n in range(1, 20, 2)}
    for seed in range(3):
        splits = load(write(tmp_path / "people", content), split_seed=seed)
        pictures = [{image.tobytes() for image in columns(splits.split(part))[0]} for part in ("train", "test")]
        assert not pictures[0] & pictures[1]
    assert caplog.text.count("10 pictures are in several classes") == 3
    given = {f"train/p{n}/{d}.png": png(10 * n + d) for n in range(6) for d in range(3)}
    given |= {f"test/q{n}/{d}.png": png(10 * n + d) for n in (5, 7) for d in range(2, 5)}
    splits = load(write(tmp_path / "given", given), validation_fraction=0)
    assert [int(splits.split(part).cardinality()) for part in ("train", "test", "left_out")] == [15, 6, 3]


def test_what_is_no_use_is_named_and_skipped(tmp_path, caplog):
    content = {f"p{n}/{d}.{('jpe', 'jfif', 'png')[d]}": png(10 * n + d) for n in range(6) for d in range(3)}
    content |= {"alone/1.png": png(90), "p0/again.png": content["p0/1.jfif"], "p1/broken.png": b"no picture"}
    path = write(tmp_path / "people", content)
    splits = load(path, validation_fraction=0, test_fraction=0)
    assert int(splits.train.cardinality()) == 18
    for said in (
        "alone/1.png: it is the only picture of its class",
        "again.png: the same picture as p0/",
        "broken.png: not a picture",
    ):
        assert said in caplog.text
    assert "skipped 3 malformed rows in all" in caplog.text
    with pytest.raises(UserError, match="more than 2 malformed rows"):
        load(path, max_bad_rows=2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"notes.txt": b"x"}, "there are no pictures in it; use a folder, .tar or .zip"),
        ({"1.png": png(0), "2.png": png(1)}, "in no folders of classes"),
        ({"one/1.png": png(0), "one/2.png": png(1)}, "not two classes with two or more pictures"),
        ({"one/1.png": png(0), "two/2.png": png(1)}, "not two classes with two or more pictures"),
    ],
)
def test_data_that_cannot_be_used_is_one_line(tmp_path, content, said):
    with pytest.raises(UserError, match=said):
        load(write(tmp_path / "data", content))


def test_wrong_arguments_are_one_line(tmp_path):
    with pytest.raises(UserError, match="/nowhere: no such file or folder"):
        load("/nowhere")
    with pytest.raises(UserError, match="invented_alphabets must be at least 0; received -1"):
        load("demo", invented_alphabets=-1)
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(UserError, match="not a kind of data that is understood"):
        load(tmp_path / "a.docx")
    with pytest.raises(UserError, match="leads out of the archive"):
        load(write(tmp_path / "a.zip", files() | {"../up.png": png(0)}), max_bad_rows=0)


def test_the_demo_is_drawn_when_it_is_asked_for():
    splits = load("demo", split_seed=3)
    drawings = demo_characters.generate(3)
    assert int(splits.test.cardinality()) == len(drawings["test"])
    (first,) = splits.test.take(1).as_numpy_iterator()
    np.testing.assert_array_equal(first["image"], demo_characters.draw(drawings["test"][0]))
    assert first["label"] == drawings["test"][0].character.number


def test_sets_of_tensorflow_datasets(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def rows(start, count):
        return tf.data.Dataset.from_tensor_slices(
            {
                "image": np.stack([picture(n) for n in range(start, start + count)]),
                "label": np.arange(count) // 2 + start,
                "alphabet": np.arange(count) // 6 + start,
                "alphabet_char_id": np.arange(count) % 3,
            }
        )

    number = tfds.features.Scalar(np.int64)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=(None, None, 3)), "label": number, "alphabet": number, "alphabet_char_id": number}
    )  # fmt: skip
    tfds.dataset_builders.store_as_tfds_dataset(
        name="tiny_characters", version="1.0.0", data_dir=tmp_path, features=features,
        split_datasets={"train": rows(0, 48), "test": rows(100, 12)},
    )  # fmt: skip
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    splits = load("tfds:tiny_characters", validation_fraction=0.25)
    assert [int(splits.split(part).cardinality()) for part in ("train", "validation", "test")] == [36, 12, 12]
    images, labels, groups = columns(splits.validation)
    assert len(set(labels)) == 6 and len(set(groups)) == 2 and images[0].shape == (12, 9, 3)
    assert not set(groups) & set(columns(splits.train)[2])
    # Of one alphabet, whose classes are so few that a tenth of them is one.
    tfds.dataset_builders.store_as_tfds_dataset(
        name="few_characters", version="1.0.0", data_dir=tmp_path, features=features,
        split_datasets={"train": rows(0, 16).map(lambda row: row | {"alphabet": tf.zeros([], tf.int64)})},
    )  # fmt: skip
    few = load("tfds:few_characters")
    assert [len(set(columns(few.split(part))[1])) for part in ("train", "validation", "test")] == [4, 2, 2]
    with pytest.raises(UserError, match="nothing.*--label_key"):
        load("tfds:tiny_characters", label_key="nothing")


def runs(count=2, ways=4):
    """Lake's layout: the answers of run r are turned by r."""
    content = {}
    for run in range(1, count + 1):
        lines = []
        for item in range(1, ways + 1):
            of_class = (item - 1 + run) % ways + 1
            content[f"run{run:02d}/training/class{item:02d}.png"] = png(1000 * run + item, "1")
            content[f"run{run:02d}/test/item{item:02d}.png"] = png(2000 * run + item, "1")
            lines.append(f"run{run:02d}/test/item{item:02d}.png run{run:02d}/training/class{of_class:02d}.png")
        content[f"run{run:02d}/class_labels.txt"] = ("\n".join(lines) + "\n").encode()
    return content


@pytest.mark.parametrize("name", ["folder", "all_runs.tar", "all_runs.zip", "deep.zip"])
def test_runs_are_read_with_their_answers(tmp_path, name):
    content = runs()
    if name == "deep.zip":
        content = {f"all_runs/{path}": data for path, data in content.items()} | {"__MACOSX/._run01": b"x"}
    read = read_runs(write(tmp_path / name, content))
    assert [answers.tolist() for _, _, answers in read] == [[1, 2, 3, 0], [2, 3, 0, 1]]
    supports, queries, _ = read[1]
    assert len(supports) == len(queries) == 4
    expected = np.asarray(Image.open(io.BytesIO(runs()["run02/training/class03.png"])).convert("RGB"))
    np.testing.assert_array_equal(supports[2], expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run01/class_labels.txt": b""}, "run01/class_labels.txt: the file is empty"),
        (
            {"run01/class_labels.txt": b"run01/test/item01.png\n"},
            "class_labels.txt:1: a line names a test and a training",
        ),
        (
            {"run01/class_labels.txt": b"run01/test/item09.png run01/training/class01.png"},
            "item09.png, which is not there",
        ),
        (
            {"run01/class_labels.txt": b"run01/test/item01.png run01/training/class09.png"},
            "class09.png, which is not there",
        ),
        ({"run01/test/item02.png": b"no picture"}, "item02.png: not a picture"),
        ({"../up.png": png(0)}, "leads out of the archive"),
    ],
)
def test_broken_runs_are_one_line(tmp_path, change, said):
    with pytest.raises(UserError, match=said):
        read_runs(write(tmp_path / "all_runs.zip", runs() | change))


def test_no_runs_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no such folder, .tar or .zip of one-shot runs"):
        read_runs(tmp_path / "nothing")
    with pytest.raises(UserError, match="there is no class_labels.txt in it"):
        read_runs(write(tmp_path / "folder", files()))
