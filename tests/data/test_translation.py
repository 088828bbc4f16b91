import gzip
import json
import logging
import os
import tarfile
from pathlib import Path

import pytest
import tensorflow as tf

from keras_apps.data import demo_translation, translation
from keras_apps.errors import UserError

SHARED = Path(os.environ.get("KERAS_APPS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
TO_GERMAN = {"source_key": "en", "target_key": "de"}
NOTHING = {"validation_fraction": 0, "test_fraction": 0}


def rows(examples):
    batches = examples.batch(1000).as_numpy_iterator()
    return [(s.decode(), t.decode()) for batch in batches for s, t in zip(*batch.values(), strict=True)]


def sizes(splits):
    parts = (splits.train, splits.validation, splits.test)
    return [None if part is None else int(part.cardinality()) for part in parts]


def moses(folder, split, count=40, languages=("en", "de"), ending="", word="line"):
    """Writes parallel files; returns their pairs."""
    for language in languages:
        text = "".join(f"{split} {word} {i} in {language}\n" for i in range(count))
        path = folder / f"{split}.{language}{ending}"
        path.write_bytes(gzip.compress(text.encode()) if ending else text.encode())
    return [tuple(f"{split} {word} {i} in {language}" for language in languages[:2]) for i in range(count)]


def test_demo():
    splits = translation.load()
    assert sizes(splits) == list(demo_translation.SIZES.values())
    assert splits.train.element_spec == {"source": tf.TensorSpec((), tf.string), "target": tf.TensorSpec((), tf.string)}
    assert rows(splits.test) == demo_translation.generate(0)["test"]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_moses_prefix_is_carved_by_fractions_and_seed(tmp_path, ending):
    pairs = moses(tmp_path, "corpus-v7.de-en", 100, ending=ending)
    moses(tmp_path, "corpus-v7", 3)
    prefix = tmp_path / "corpus-v7.de-en"
    splits = translation.load(prefix, **TO_GERMAN, validation_fraction=0.2, test_fraction=0.1)
    assert sizes(splits) == [70, 20, 10]
    assert sorted(rows(splits.split("all"))) == sorted(pairs)
    assert rows(splits.train) != sorted(rows(splits.train))
    again = translation.load(prefix, **TO_GERMAN, validation_fraction=0.2, test_fraction=0.1)
    assert [rows(part) for part in (again.train, again.test)] == [rows(part) for part in (splits.train, splits.test)]
    other = translation.load(prefix, **TO_GERMAN, validation_fraction=0.2, test_fraction=0.1, split_seed=1)
    assert rows(other.test) != rows(splits.test)
    back = translation.load(prefix, source_key="de", **NOTHING)
    assert sizes(back) == [100, None, None]
    assert sorted(rows(back.train)) == sorted((german, english) for english, german in pairs)


def test_moses_files_with_carriage_returns_alone_are_refused(tmp_path):
    for language in ("en", "de"):
        (tmp_path / f"a.{language}").write_bytes(b"".join(b"line %d\r" % i for i in range(40)))
    with pytest.raises(UserError, match=r"a\.en: the lines end in carriage returns alone"):
        translation.load(tmp_path / "a", **TO_GERMAN)


@pytest.mark.parametrize("kind", ["folder", "tar", "tar.gz"])
def test_a_folder_of_moses_files(tmp_path, kind, caplog):
    root = tmp_path / "corpus"
    root.mkdir()
    moses(root, "train", 40, ("en", "de", "fr"))
    validation = moses(root, "valid", 3, ending=".gz")
    moses(root, "test", 5, ("en",))
    (root / "README.md").write_text("words")
    path = root
    if kind != "folder":
        path = tmp_path / f"a.{kind}"
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(root, "corpus")
    with caplog.at_level(logging.INFO):
        splits = translation.load(path, **TO_GERMAN)
    assert "the test split is in one of the languages only" in caplog.text
    assert sizes(splits) == [38, 3, 2]
    assert rows(splits.validation) == validation
    assert all(target == source[:-2] + "de" for source, target in rows(splits.train))


@pytest.mark.parametrize(
    "name, content, keys",
    [
        ("a.tsv", "one 1\tuno 1\nTwo!\tdos\n", {}),
        ("a.tsv", "one 1\tuno 1\tCC-BY 2.0\nTwo!\tdos\tCC-BY\n", {}),
        ("a.tsv", "id\tTarget\tsource\n1\tuno 1\tone 1\n2\tdos\tTwo!\n", {}),
        ("a.tsv", "es\ten\nuno 1\tone 1\ndos\tTwo!\n", {"source_key": "en", "target_key": "es"}),
        ("a.csv", 'src,tgt\n"one 1",uno 1\nTwo!,dos\n', {}),
        ("a.jsonl", '{"source": "one 1", "target": "uno 1"}\n{"source": "Two!", "target": "dos"}\n', {}),
        (
            "a.jsonl",
            '{"translation": {"en": "one 1", "es": "uno 1"}}\n{"translation": {"en": "Two!", "es": "dos"}}\n',
            {"source_key": "en", "target_key": "es"},
        ),
    ],
)
def test_tables(tmp_path, name, content, keys):
    expected = [("Two!", "dos"), ("one 1", "uno 1")]
    (tmp_path / name).write_text(content)
    assert sorted(rows(translation.load(tmp_path / name, **keys, **NOTHING).train)) == expected
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    assert sorted(rows(translation.load(tmp_path / f"{name}.gz", **keys, **NOTHING).train)) == expected


def test_a_folder_of_tables(tmp_path):
    (tmp_path / "train.tsv").write_text("".join(f"line {i}\tZeile {i}\n" for i in range(40)))
    (tmp_path / "dev.jsonl").write_text(json.dumps({"src": "a line", "tgt": "eine Zeile"}))
    splits = translation.load(tmp_path)
    assert sizes(splits) == [38, 1, 2]
    assert rows(splits.validation) == [("a line", "eine Zeile")]


def test_no_carved_source_is_trained_on_in_another_spelling(tmp_path):
    spellings = ("Go on {0}.", "go on  {0}", "Go on {0}!", "«GO ON {0}»", "go on {0} …")
    lines = [f"{spelling.format(i)}\tvete {i} {n}\n" for i in range(60) for n, spelling in enumerate(spellings)]
    (tmp_path / "a.tsv").write_text("".join(lines))
    splits = translation.load(tmp_path / "a.tsv", validation_fraction=0.2, test_fraction=0.2)
    assert sizes(splits) == [180, 60, 60]
    numbers = [
        {int(target.split()[1]) for _, target in rows(part)} for part in (splits.train, splits.validation, splits.test)
    ]
    assert [len(found) for found in numbers] == [36, 12, 12]
    assert len(set.union(*numbers)) == 60


def test_what_is_not_trained_on_is_counted_and_kept_aside(tmp_path, caplog):
    long, unequal = "word " * 30, "one two three four five six seven eight"
    train = [("Ja.", "Yes."), ("Ja.", "Yes."), ("Ja.", "Yeah."), ("Nein", "No"), (long, long), (unequal, "eins")]
    train += [("a b c d e", "f"), ("日本語の文はこう書く", "so one writes it"), ("nine words", unequal)]
    (tmp_path / "train.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in train))
    scored = [("nein!", "no"), ("nein!", "no"), (unequal + " nine", "x"), ("y " * 200, "z")]
    (tmp_path / "val.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in scored))
    with caplog.at_level(logging.INFO):
        splits = translation.load(tmp_path, max_words=20, max_ratio=3, test_fraction=0)
    report = (
        "1 repeated, 1 with a source of the validation or test part, 1 longer than 20 words, 2 more unequal than 3 to 1"
    )
    assert [report in record.getMessage() for record in caplog.records].count(True) == 1
    assert sorted(rows(splits.train)) == sorted([train[0], train[2], train[6], train[7]])
    assert rows(splits.validation) == [(source.strip(), target) for source, target in scored]
    everything = [(source.strip(), target.strip()) for source, target in train + scored]
    assert sorted(rows(splits.split("all"))) == sorted(everything)
    assert sizes(translation.load(tmp_path, max_words=30, max_ratio=8, test_fraction=0)) == [7, 4, None]


def test_validation_has_no_source_of_a_given_test_part(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "train.tsv").write_text("".join(f"{n}\t{n}\n" for n in "abcde"))
    (tmp_path / "val.tsv").write_text("A!\ta\nf\tf\ng\tg\n")
    (tmp_path / "test.tsv").write_text("b\tb\nF.\tf\n")
    splits = translation.load(tmp_path)
    assert rows(splits.validation) == [("A!", "a"), ("g", "g")] and rows(splits.test) == [("b", "b"), ("F.", "f")]
    assert sorted(rows(splits.train)) == [(n, n) for n in "cde"]
    assert sorted(rows(splits.left_out)) == [(n, n) for n in "abf"]
    assert "1 of validation with a source of test, 2 with a source of the validation or test part" in caplog.text
    (tmp_path / "test.tsv").write_text((tmp_path / "val.tsv").read_text())
    with pytest.raises(UserError, match="test split has all sources of the validation split; take one of them away"):
        translation.load(tmp_path)


def test_malformed_rows_are_reported_by_file_and_line(tmp_path):
    (tmp_path / "train.en").write_bytes(b"one\r\ntwo\x0b2\xe2\x80\xa82\n\n caf\xe9\n\nsix\n")
    (tmp_path / "train.de").write_bytes(b"eins\n zwei \ndrei\nvier\n\n \t\n")
    splits = translation.load(tmp_path / "train", **TO_GERMAN, **NOTHING, max_bad_rows=4)
    assert sorted(rows(splits.train)) == [("one", "eins"), ("two\x0b2\u20282", "zwei")]
    with pytest.raises(
        UserError,
        match=r"more than 3 malformed.*train\.en:3: it is empty; .*train\.en:4: it is not UTF-8; .*train\.en:5: it is "
        r"empty; .*train\.de:6: it is empty",
    ):
        translation.load(tmp_path / "train", **TO_GERMAN, max_bad_rows=3)
    (tmp_path / "a.tsv").write_bytes(b"one\tuno\ntwo\nthr\xe9\ttres\n\tcuatro\n\nfive\tcinco\n")
    assert sizes(translation.load(tmp_path / "a.tsv", **NOTHING)) == [2, None, None]
    with pytest.raises(UserError, match=r"a\.tsv:2: 1 fields.*a\.tsv:3: 'source' is not UTF-8.*a\.tsv:4: no 'source'"):
        translation.load(tmp_path / "a.tsv", max_bad_rows=2)


def test_what_is_only_to_be_measured_needs_no_train_part(tmp_path):
    moses(tmp_path, "test", 4)
    splits = translation.load(tmp_path, **TO_GERMAN)
    assert splits.train is None and int(splits.test.cardinality()) == 4


def test_what_cannot_be_loaded_says_so_in_one_line(tmp_path):
    moses(tmp_path, "three", 4, ("en", "de", "fr"))
    moses(tmp_path, "two", 4)
    moses(tmp_path, "short", 4)
    (tmp_path / "short.de").write_text("eine\nzwei")
    moses(tmp_path, "both", 4)
    moses(tmp_path, "both", 4, ending=".gz")
    moses(tmp_path, "broken", 4)
    (tmp_path / "broken.de").unlink()
    (tmp_path / "broken.de.gz").write_bytes(gzip.compress(b"eins\n" * 99)[:-9])
    moses(tmp_path, "void", 4)
    (tmp_path / "void.de").write_text("")
    (tmp_path / "folder").mkdir()
    moses(tmp_path / "folder", "train", 4)
    (tmp_path / "apart").mkdir()
    moses(tmp_path / "apart", "train", 4, ("en",))
    moses(tmp_path / "apart", "val", 4, ("de",))
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("en,de\none,eins\n")
    (tmp_path / "same.tsv").write_text("go\tve\nGo!\tvete\n")
    (tmp_path / "all").mkdir()
    for name in ("train.tsv", "val.tsv"):
        (tmp_path / "all" / name).write_text("go\tve\nGo!\tvete\n")
    (tmp_path / "long.tsv").write_text("a b\tc d\n")
    (tmp_path / "picture.png").write_bytes(b"x")
    for data, keys, message in (
        ("none", {}, "no such file or folder; --data takes demo, tfds:NAME"),
        ("two", {}, "which language is translated into which.* There are de, en; .*--source_key and --target_key"),
        ("folder", {}, "which language is translated into which.* There are de, en;"),
        ("three", {"source_key": "en"}, "There are de, en, fr;"),
        ("three", TO_GERMAN | {"target_key": "es"}, "no language 'es' but de, en, fr; name one with --target_key"),
        ("three", TO_GERMAN | {"target_key": "en"}, "are both 'en'"),
        ("short", TO_GERMAN, r"short\.en has 4 lines and .*short\.de 2;"),
        ("both", TO_GERMAN, r"both\.en and both\.en\.gz could both be meant"),
        ("broken", TO_GERMAN, r"broken\.de\.gz: can't be read"),
        ("void", TO_GERMAN, r"void\.de: the file is empty"),
        ("apart", TO_GERMAN, "no split is in both en and de"),
        ("empty", {}, "nothing that is understood"),
        ("a.csv", {}, "no column 'source'.*: 'en', 'de'; .*--source_key"),
        ("same.tsv", TO_GERMAN, "the first line names no column 'en'; leave --source_key out"),
        ("all", {}, "no pair is left to train on; 2 with a source of the validation or test part"),
        ("same.tsv", {}, "2 rows are too few, or too alike"),
        ("long.tsv", {"max_words": 1} | NOTHING, "no pair is left to train on; 1 longer than 1 words"),
        ("long.tsv", {"max_ratio": 0.5}, "max_ratio=0.5 must be at least 1"),
        ("long.tsv", {"test_fraction": 1.0}, "below 1"),
        ("picture.png", {}, "not a kind of data"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            translation.load(tmp_path / data, **keys)
        assert "\n" not in str(caught.value)


def test_tfds_translation_sets(store_tfds):
    import tensorflow_datasets as tfds

    train = [{"en": f"line {i}", "pt": f"linha {i}"} for i in range(40)] + [{"en": "", "pt": "nada"}]
    splits = {"train": train, "validation": train[:2], "test": train[2:5]}
    features = tfds.features.Translation(languages=["en", "pt"])
    store_tfds("tiny_ted", features, splits, ("pt", "en"))
    splits = translation.load("tfds:tiny_ted")
    assert sizes(splits) == [35, 2, 3]
    assert rows(splits.validation) == [("linha 0", "line 0"), ("linha 1", "line 1")]
    assert rows(translation.load("tfds:tiny_ted", target_key="pt").test)[0] == ("line 2", "linha 2")
    for keys, message in (
        ({"source_key": "de"}, "no language 'de' but en, pt"),
        ({"max_bad_rows": 0}, r"tfds:tiny_ted: train\[40\]: it is empty"),
    ):
        with pytest.raises(UserError, match=message):
            translation.load("tfds:tiny_ted", **keys)


def test_tfds_sets_with_other_than_two_texts(store_tfds):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {"de": tfds.features.Text(), "en": tfds.features.Text(), "id": tfds.features.Text(), "year": tf.int32}
    )
    train = [{"de": f"Zeile {i}", "en": f"line {i}", "id": str(i), "year": i} for i in range(40)]
    store_tfds("tiny_wmt", features, {"train": train})
    with pytest.raises(UserError, match="There are de, en, id;.*--source_key"):
        translation.load("tfds:tiny_wmt")
    assert sizes(translation.load("tfds:tiny_wmt", **TO_GERMAN)) == [36, 2, 2]
    features = tfds.features.FeaturesDict({"text": tfds.features.Text(), "label": tf.int32})
    store_tfds("tiny_reviews", features, {"train": [{"text": "fine", "label": 1}]})
    with pytest.raises(UserError, match="no two texts to an example; its features are: label, text"):
        translation.load("tfds:tiny_reviews")


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "multi30k").is_dir(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_multi30k():
    splits = translation.load(SHARED / "multi30k", **TO_GERMAN, test_fraction=0)
    assert sizes(splits) == [28994, 1014, None]
    assert int(splits.left_out.cardinality()) == 6
    assert int(translation.load(SHARED / "multi30k" / "val", **TO_GERMAN).split("all").cardinality()) == 1014


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "tatoeba_spa").is_dir(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_tatoeba_sources_stay_on_one_side():
    splits = translation.load(SHARED / "tatoeba_spa" / "spa.tsv.gz")
    assert int(splits.split("all").cardinality()) == 115_806
    trained = {source.casefold().rstrip(".!?") for source, _ in rows(splits.train)}
    assert not any(source.casefold().rstrip(".!?") in trained for source, _ in rows(splits.test))
