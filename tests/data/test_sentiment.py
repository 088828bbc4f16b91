import gzip
import json
import os
import tarfile
from pathlib import Path

import pytest
import tensorflow as tf

from keras_apps.data import sentiment
from keras_apps.errors import UserError

SHARED = Path(os.environ.get("KERAS_APPS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def rows(examples):
    return [(row["text"].decode(), row["label"].decode()) for row in examples.as_numpy_iterator()]


def table(path, labels=("pos", "neg"), count=40, start=0):
    lines = [f"{path.stem} text number {i},{labels[i % len(labels)]}" for i in range(start, start + count)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return path


def sizes(splits):
    parts = (splits.train, splits.validation, splits.test)
    return [None if part is None else int(part.cardinality()) for part in parts]


def test_demo():
    splits = sentiment.load()
    assert sizes(splits) == [4000, 500, 1000]
    assert splits.train.element_spec == {"text": tf.TensorSpec((), tf.string), "label": tf.TensorSpec((), tf.string)}
    assert {label for _, label in rows(splits.test)} == {"pos", "neg"}
    assert rows(sentiment.load(split_seed=0).test) == rows(splits.test) != rows(sentiment.load(split_seed=1).test)


def test_a_table_is_split_by_fractions_and_seed(tmp_path):
    path = table(tmp_path / "a.csv", count=100)
    splits = sentiment.load(path, validation_fraction=0.2, test_fraction=0.1)
    assert sizes(splits) == [70, 20, 10]
    assert len(set(rows(splits.split("all")))) == 100
    assert rows(sentiment.load(path, validation_fraction=0.2).test) == rows(splits.test)
    assert rows(sentiment.load(path, split_seed=1).test) != rows(sentiment.load(path, split_seed=0).test)


def test_fractions_of_zero_leave_everything_in_train(tmp_path):
    path = table(tmp_path / "a.csv")
    assert sizes(sentiment.load(path, validation_fraction=0, test_fraction=0)) == [40, None, None]
    assert sizes(sentiment.load(path, test_fraction=0))[2] is None
    with pytest.raises(UserError, match="below 1"):
        sentiment.load(path, validation_fraction=0.5, test_fraction=0.5)


def test_a_folder_of_tables_keeps_its_own_splits(tmp_path):
    table(tmp_path / "train.csv")
    (tmp_path / "dev.tsv.gz").write_bytes(gzip.compress(b"sentence\tclass\nfine\tpos\nawful\tneg\n"))
    splits = sentiment.load(tmp_path)
    assert rows(splits.validation) == [("fine", "pos"), ("awful", "neg")]
    assert sizes(splits) == [36, 2, 4]
    (tmp_path / "test.jsonl").write_text(json.dumps({"review": "so so", "label": "neg"}))
    assert sizes(sentiment.load(tmp_path)) == [40, 2, 1]


def test_texts_that_a_part_more_strictly_unseen_has_too_are_left_out(tmp_path, caplog):
    caplog.set_level("INFO")
    table(tmp_path / "train.csv")
    (tmp_path / "dev.csv").write_text("text,label\nTrain text number 1!,neg\nfine,pos\n")
    (tmp_path / "test.csv").write_text("text,label\ntrain text number 2,pos\nFine.,pos\n")
    splits = sentiment.load(tmp_path)
    assert sizes(splits) == [38, 1, 2]
    assert rows(splits.validation) == [("Train text number 1!", "neg")]
    assert rows(splits.left_out) == [
        ("fine", "pos"),
        ("train text number 1", "neg"),
        ("train text number 2", "pos"),
    ]
    assert "3 texts that validation or test have too are left out" in caplog.text
    (tmp_path / "test.csv").write_text("text,label\nfine,pos\ntrain text number 1,neg\n")
    with pytest.raises(UserError, match="test split has all texts of the validation split; take one of them away"):
        sentiment.load(tmp_path)
    (tmp_path / "dev.csv").write_text("text,label\nnew,neg\nfine,pos\n")
    (tmp_path / "test.csv").write_text((tmp_path / "train.csv").read_text())
    # What is only to be measured can be.
    assert sizes(sentiment.load(tmp_path)) == [None, 2, 40]


def test_classes_that_training_has_not_are_said(tmp_path, caplog):
    table(tmp_path / "train.csv")
    (tmp_path / "dev.csv").write_text("text,label\nnew,NEG\nfine,pos\n")
    (tmp_path / "test.csv").write_text("text,label\nold,POS\n")
    assert sizes(sentiment.load(tmp_path)) == [40, 2, 1]
    assert "1 of the 2 validation examples have a class that training has not: NEG" in caplog.text
    assert "1 of the 1 test examples have a class that training has not: POS" in caplog.text
    (tmp_path / "dev.csv").write_text("text,label\nnew,NEG\nfine,POS\n")
    with pytest.raises(UserError, match="2 of the 2 validation examples .* not: NEG, POS; training has neg, pos"):
        sentiment.load(tmp_path)
    # What is only to be measured is measured by what the model knows.
    (tmp_path / "train.csv").unlink()
    assert sizes(sentiment.load(tmp_path)) == [None, 2, 1]


@pytest.mark.parametrize("kind", ["folder", "tar", "tar.gz"])
def test_class_folders(tmp_path, kind):
    root = tmp_path / "aclImdb"
    for split, count in (("train", 20), ("test", 3)):
        for label in ("pos", "neg", "unsup"):
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                (root / split / label / f"{i}_7.txt").write_text(f"{split} {label} words {i}\n")
    path = root
    if kind != "folder":
        path = tmp_path / f"a.{kind}"
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(root, "aclImdb")
    splits = sentiment.load(path)
    assert sizes(splits) == [36, 4, 6]
    assert sorted(rows(splits.test))[0] == ("test neg words 0", "neg")
    assert {label for _, label in rows(splits.train)} == {"pos", "neg"}


def test_tables_in_an_archive(tmp_path):
    table(tmp_path / "train.csv")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "train.csv", "reviews/train.csv")
    assert sizes(sentiment.load(tmp_path / "a.tar")) == [32, 4, 4]


def test_class_files_that_hold_no_text_are_counted(tmp_path):
    for label in ("pos", "neg"):
        (tmp_path / label).mkdir()
        for i in range(10):
            (tmp_path / label / f"{i}.txt").write_text(f"{label} words {i}")
    (tmp_path / "pos" / "empty.txt").write_text(" \n")
    (tmp_path / "pos" / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "pos" / "long.txt").write_bytes(b"a " * 2**23 + b"a")
    assert len(rows(sentiment.load(tmp_path, max_bad_rows=3).split("all"))) == 20
    with pytest.raises(UserError, match=r"more than 1 malformed.*pos/empty\.txt: empty; .*latin\.txt: not UTF-8"):
        sentiment.load(tmp_path, max_bad_rows=1)
    with pytest.raises(UserError, match=r"pos/long\.txt: longer than 16,777,216 bytes"):
        sentiment.load(tmp_path, max_bad_rows=2)


def test_what_is_only_to_be_measured_needs_no_train_part(tmp_path, caplog):
    (tmp_path / "tables").mkdir()
    table(tmp_path / "tables" / "test.csv")
    splits = sentiment.load(tmp_path / "tables")
    assert (
        splits.train is None and splits.validation is None and len(rows(splits.test)) == len(rows(splits.split("all")))
    )
    caplog.set_level("INFO")
    for name in ("pos/1.txt", "neg/2.txt", "neg/old/3.txt", "notes.txt"):
        path = tmp_path / "folders" / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert len(rows(sentiment.load(tmp_path / "folders").test)) == 2
    assert "2 texts are in no class and left out, such as test/neg/old/3.txt" in caplog.text


def test_what_cannot_be_loaded_says_so_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "header.csv").write_text("text,label\n")
    (tmp_path / "picture.png").write_bytes(b"x")
    (tmp_path / "same.csv").write_text("text,label\n" + "the same words,pos\nthe same words,neg\n" * 9)
    for data, message in (
        (tmp_path / "none.csv", "no such file or folder; --data takes demo, tfds:NAME"),
        (tmp_path / "picture.png", "not a kind of data"),
        (tmp_path / "empty", "nothing that is understood.*pos/"),
        (tmp_path / "header.csv", "no rows"),
        (tmp_path / "same.csv", "too few, or too alike"),
        (table(tmp_path / "two.csv", count=2), "2 rows are too few"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            sentiment.load(data)
        assert "\n" not in str(caught.value)


def test_a_column_that_is_no_class_is_not_taken_for_one(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("text,target\n" + "".join(f"question {n},answer {n}\n" for n in range(101)))
    with pytest.raises(UserError, match=r"answers.csv: 101 classes in 101 rows; name the class with --label_key"):
        sentiment.load(path)


def test_keys_choose_the_columns(tmp_path):
    (tmp_path / "a.csv").write_text("Summary,Stars\n" + "".join(f"words {i},{i % 3}\n" for i in range(30)))
    with pytest.raises(UserError, match="--text_key"):
        sentiment.load(tmp_path / "a.csv")
    splits = sentiment.load(tmp_path / "a.csv", text_key="summary", label_key="Stars")
    assert {label for _, label in rows(splits.train)} == {"0", "1", "2"}


def labelled(label, splits):
    """Features and examples of {split: labels}."""
    import tensorflow_datasets as tfds

    examples = {
        split: [{"sentence": f"{split} text {i}", "label": value, "idx": i} for i, value in enumerate(labels)]
        for split, labels in splits.items()
    }
    return {"sentence": tfds.features.Text(), "label": label, "idx": tf.int32}, examples


def test_tfds_labels_have_names_and_missing_splits_are_carved(store_tfds):
    import tensorflow_datasets as tfds

    label = tfds.features.ClassLabel(names=["negative", "positive"])
    store_tfds("tiny_pair", *labelled(label, {"train": [0, 1] * 20, "test": [1, 0, 1], "unsupervised": [-1] * 4}))
    splits = sentiment.load("tfds:tiny_pair")
    assert sizes(splits) == [36, 4, 3]
    assert rows(splits.test) == [("test text 0", "positive"), ("test text 1", "negative"), ("test text 2", "positive")]
    assert sizes(sentiment.load("tfds:tiny_pair", validation_fraction=0)) == [40, None, 3]


def test_tfds_test_split_without_labels_gives_way_to_the_validation_split(store_tfds):
    import tensorflow_datasets as tfds

    label = tfds.features.ClassLabel(names=["negative", "positive"])
    store_tfds("tiny_glue", *labelled(label, {"train": [0, 1] * 20, "validation": [1, 0], "test": [-1] * 5}))
    splits = sentiment.load("tfds:tiny_glue")
    assert sizes(splits) == [36, 4, 2]
    assert [label for _, label in rows(splits.test)] == ["positive", "negative"]


def test_tfds_examples_without_a_label_are_left_out(store_tfds, caplog):
    import tensorflow_datasets as tfds

    label = tfds.features.ClassLabel(names=["negative", "positive"])
    store_tfds("tiny_gaps", *labelled(label, {"train": [0, -1, 1] * 20, "validation": [1, 0, -1], "test": [0, 1]}))
    splits = sentiment.load("tfds:tiny_gaps")
    assert sizes(splits) == [40, 2, 2] and list(splits.sizes.values()) == [40, 2, 2]
    assert {label for _, label in rows(splits.train)} == {"negative", "positive"}
    assert "train split: 20 of 60 examples have no label and are left out" in caplog.text


@pytest.mark.parametrize(
    "dtype, values, names", [(tf.int64, [-1, 1], ["-1", "1"]), (tf.string, ["a", "b"], ["a", "b"])]
)
def test_tfds_labels_without_names(store_tfds, dtype, values, names):
    store_tfds("tiny_plain", *labelled(dtype, {"train": values * 10, "validation": values, "test": values}))
    splits = sentiment.load("tfds:tiny_plain")
    assert sizes(splits) == [20, 2, 2]
    assert [label for _, label in rows(splits.validation)] == names


def test_tfds_keys_and_names_that_do_not_fit(store_tfds):
    store_tfds("tiny_bad", *labelled(tf.float32, {"train": [0.5, 1.5], "test": [0.5]}))
    for data, keys, message in (
        ("tfds:tiny_bad", {}, "'label' holds no label.*--label_key"),
        ("tfds:tiny_bad", {"text_key": "idx", "label_key": "sentence"}, "'idx' holds no text.*--text_key"),
        ("tfds:tiny_bad", {"text_key": "nope"}, "no column 'nope'.*'sentence'"),
        ("tfds:no_such_set_at_all", {}, "no such data set or config"),
        ("tfds:glue/no_such_config", {}, "no such data set or config"),
        ("tfds:not a name!", {}, "no such data set or config"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            sentiment.load(data, **keys)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "sst2").is_dir(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_sst2_folder():
    splits = sentiment.load(SHARED / "sst2", test_fraction=0)
    assert sizes(splits) == [67344, 872, None] and int(splits.left_out.cardinality()) == 5
    assert {label for _, label in rows(splits.validation)} == {"0", "1"}


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "imdb").is_dir(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_imdb_is_read_and_grouped():
    splits = sentiment.load(SHARED / "imdb" / "train.jsonl.gz")
    assert sizes(splits) == pytest.approx([20000, 2500, 2500], abs=25)
    validation = rows(splits.validation)
    assert sum(label == "pos" for _, label in validation) == pytest.approx(1250, abs=25)
    assert not {text for text, _ in validation} & {text for text, _ in rows(splits.train)}
