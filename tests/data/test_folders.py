import io
import os
import stat
import sys
import tarfile
import unicodedata
import zipfile

import pytest

from keras_apps.data import folders
from keras_apps.data.folders import Folder, class_files, split_tables
from keras_apps.data.tables import BadRows
from keras_apps.errors import UserError


def make_tar(path, members):
    """Writes a tar of {name: content}, or of TarInfo objects for what is not a file."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def make_zip(path, members):
    """Writes a zip of {name: content}; a name may be a ZipInfo."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.zip", "folder"])
def test_lists_and_reads_the_same_from_folder_and_archive(tmp_path, name):
    files = [("b/2.txt", b"two"), ("a/1.txt", b"one"), ("a/.DS_Store", b"x"), ("__MACOSX/a/._1.txt", b"x")]
    path = tmp_path / name
    if name == "folder":
        for file, content in files:
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_bytes(content)
    else:
        make = make_zip if name.endswith("zip") else make_tar
        make(path, [("./" + file, content) for file, content in files])
    assert Folder.is_one(path)
    folder = Folder(path, BadRows(0))
    assert sorted(folder.names) == ["a/1.txt", "b/2.txt"]
    assert {name: file.read() for name, file in folder.open(folder.names)} == {"a/1.txt": b"one", "b/2.txt": b"two"}


def test_a_hostile_archive_leads_nowhere(tmp_path, caplog):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    path = make_tar(
        tmp_path / "a.tar",
        [
            ("../up.txt", b"x"),
            ("/abs.txt", b"x"),
            ("a/../../b.txt", b"x"),
            special("a/link.txt", tarfile.SYMTYPE, str(secret)),
            special("a/hard.txt", tarfile.LNKTYPE, "../secret.txt"),
            special("a/device.txt", tarfile.CHRTYPE),
            special("a/pipe.txt", tarfile.FIFOTYPE),
            ("a/fine.txt", b"fine"),
        ],
    )
    bad = BadRows(7)
    folder = Folder(path, bad)
    assert folder.names == ["a/fine.txt"] and bad.count == 7
    assert [file.read() for _, file in folder.open(["a/fine.txt", "a/link.txt", "../up.txt"])] == [b"fine"]
    with pytest.raises(UserError, match=r"\.\./up\.txt: its path leads out"):
        Folder(path, BadRows(0))
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "secret.txt"]


def test_a_hostile_zip_leads_nowhere_either(tmp_path, monkeypatch):
    link = zipfile.ZipInfo("a/link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ["../up.txt", "/abs.txt", "a/../../b.txt", "a\\..\\..\\c.txt", link, "a/fine.txt"]
    path = make_zip(tmp_path / "a.zip", [(name, b"fine") for name in names])
    bad = BadRows(5)
    folder = Folder(path, bad)
    assert folder.names == ["a/fine.txt"] and bad.count == 5
    assert [name for name, _ in folder.open(["a/fine.txt", "a/link.txt", "../up.txt"])] == ["a/fine.txt"]
    with pytest.raises(UserError, match=r"\.\./up\.txt: its path leads out"):
        Folder(path, BadRows(0))
    whole = make_zip(tmp_path / "b.zip", [("1.txt", os.urandom(9999))]).read_bytes()
    for content in (b"", b"nothing", whole[:5000], whole[:5000] + bytes(99) + whole[5099:]):
        (tmp_path / "b.zip").write_bytes(content)
        with pytest.raises(UserError, match=r"b\.zip: can't be read"):
            [file.read() for _, file in Folder(tmp_path / "b.zip", BadRows(0)).open(["1.txt"])]
    bomb = make_zip(tmp_path / "bomb.zip", [("1.txt", bytes(100_000))])
    monkeypatch.setattr(folders, "MAX_BYTES", 50_000)
    with pytest.raises(UserError, match="holds more than 50,000 bytes"):
        Folder(bomb, BadRows(0))


def test_archives_that_cannot_be_read(tmp_path, monkeypatch):
    whole = make_tar(tmp_path / "a.tar.gz", [(f"{i}.txt", os.urandom(999)) for i in range(99)])
    for content in (b"", b"nothing", whole.read_bytes()[:5000]):
        (tmp_path / "b.tar.gz").write_bytes(content)
        with pytest.raises(UserError, match=r"b\.tar\.gz: can't be read"):
            list(Folder(tmp_path / "b.tar.gz", BadRows(0)).open(["98.txt"]))
    monkeypatch.setattr(folders, "MAX_BYTES", 50_000)
    with pytest.raises(UserError, match="holds more than 50,000 bytes"):
        Folder(whole, BadRows(0))


def test_a_header_that_asks_for_gigabytes_is_refused(tmp_path):
    info = special("a.txt", tarfile.XHDTYPE)
    info.size = 2**33
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"0" * 1024)
    with pytest.raises(UserError, match="the archive is refused"):
        Folder(tmp_path / "a.tar", BadRows(0))


def test_links_in_a_folder_cannot_loop(tmp_path):
    (tmp_path / "pos").mkdir()
    (tmp_path / "pos" / "1.txt").write_text("good")
    (tmp_path / "pos" / "again").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pos" / "pipe.txt")
    assert Folder(tmp_path, BadRows(0)).names == ["pos/1.txt"]


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_several_members_of_one_name_the_last_counts_once(tmp_path, make):
    members = [("1.txt", b"old"), ("2.txt", b"two"), ("./1.txt", b"new")]
    folder = Folder(make(tmp_path / ("a.tar" if make is make_tar else "a.zip"), members), BadRows(0))
    assert folder.names == ["1.txt", "2.txt"]
    assert {name: file.read() for name, file in folder.open(folder.names)} == {"1.txt": b"new", "2.txt": b"two"}


def test_accents_in_a_zip_that_the_finder_made(tmp_path):
    """It writes UTF-8, accents as marks of their own, without the flag that says so; old programs wrote code page 437."""
    names = [unicodedata.normalize("NFD", "Äpfel/café.txt").encode(), "Übung.txt".encode("cp437"), b"plain.txt"]
    members = [(f"{index}" * len(name), b"fine") for index, name in enumerate(names)]
    content = make_zip(tmp_path / "a.zip", members).read_bytes()
    for (placeholder, _), name in zip(members, names, strict=True):
        content = content.replace(placeholder.encode(), name)
    (tmp_path / "a.zip").write_bytes(content)
    folder = Folder(tmp_path / "a.zip", BadRows(0))
    assert folder.names == [unicodedata.normalize("NFD", "Äpfel/café.txt"), "Übung.txt", "plain.txt"]
    assert [file.read() for _, file in folder.open(folder.names)] == [b"fine"] * 3


def test_a_zip_with_backslashes(tmp_path):
    path = make_zip(
        tmp_path / "a.zip", [("./", b""), ("train\\pos\\", b""), ("train\\pos\\1.txt", b"one"), (".\\2.txt", b"two")]
    )
    folder = Folder(path, BadRows(0))
    assert folder.names == ["train/pos/1.txt", "2.txt"]
    assert {name: file.read() for name, file in folder.open(folder.names)} == {
        "train/pos/1.txt": b"one",
        "2.txt": b"two",
    }


@pytest.mark.parametrize("kind", ["folder", "a.tar", "a.zip"])
def test_what_is_cut_off_is_said(tmp_path, kind, caplog):
    files = [("a/b/c/d/e/f/g/1.txt", b"x"), ("a/b/c/d/e/f/g/h/2.txt", b"x"), ("b/b/c/d/e/f/g/h/i/3.txt", b"x")]
    path = tmp_path / kind
    if kind == "folder":
        for name, content in files:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    else:
        (make_zip if kind == "a.zip" else make_tar)(path, files)
    assert Folder(path, BadRows(0)).names == ["a/b/c/d/e/f/g/1.txt"]
    assert "what lies in more than 7 folders is left out: a/b/c/d/e/f/g/h/2.txt" in caplog.text


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "folder", marks=pytest.mark.skipif(sys.platform == "darwin", reason="a Mac's disk has no such names")
        ),
        "tar",
    ],
)
def test_a_name_that_is_no_utf_8_is_left_out(tmp_path, kind, caplog):
    path = tmp_path / ("folder" if kind == "folder" else "a.tar")
    if kind == "folder":
        path.mkdir()
        for name in (b"good.txt", b"caf\xe9.txt"):
            open(os.fsencode(path) + b"/" + name, "wb").close()
    else:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as archive:
            for name in ("good.txt", "caf\xe9.txt"):
                archive.addfile(tarfile.TarInfo(name))
    assert Folder(path, BadRows(1)).names == ["good.txt"] and "caf\\udce9.txt: its name is not UTF-8" in caplog.text


def test_split_tables():
    names = ["notes.txt", "data/train.jsonl", "data/dev.tsv.gz", "data/TEST.csv", "data/other.csv", "a/b/train.csv"]
    assert split_tables(names, "x") == {
        "train": "data/train.jsonl",
        "validation": "data/dev.tsv.gz",
        "test": "data/TEST.csv",
    }
    assert split_tables(["testing.csv"], "x") == {"test": "testing.csv"}
    assert split_tables(["holdout.csv"], "x") == {"test": "holdout.csv"}
    with pytest.raises(UserError, match=r"x: dev.csv and val.csv could both be the validation split"):
        split_tables(["train.csv", "val.csv", "dev.csv"], "x")


@pytest.mark.parametrize("top", ["", "aclImdb/"])
def test_class_files_of_the_aclimdb_layout(top):
    names = ["README", "imdbEr.txt", "train/urls_pos.txt", "train/unsup/1.txt", "train/pos/1.txt", "train/neg/2.txt"]
    names += ["train/pos/1.feat", "test/pos/3.txt", "dev/neg/4.txt"]
    assert class_files([top + name for name in names], (".txt",)) == {
        "train": [(top + "train/neg/2.txt", "neg"), (top + "train/pos/1.txt", "pos")],
        "test": [(top + "test/pos/3.txt", "pos")],
        "validation": [(top + "dev/neg/4.txt", "neg")],
    }


def test_class_files_without_splits():
    names = ["set/pos/1.txt", "set/neg/2.txt", "set/neg/3.txt", "set/readme.txt"]
    assert class_files(names, (".txt",)) == {
        "train": [("set/neg/2.txt", "neg"), ("set/neg/3.txt", "neg"), ("set/pos/1.txt", "pos")]
    }
    assert class_files(["readme.txt", "a.csv"], (".txt",)) == {}
    names = ["bus/1.txt", "car/2.txt", "train/3.txt"]
    assert class_files(names, (".txt",)) == {"train": [(name, name[:-6]) for name in names]}
    # Where there are splits, what lies in one of them and in no class has none.
    assert class_files(["train/bus/1.txt", "train/2.txt"], (".txt",)) == {"train": [("train/bus/1.txt", "bus")]}
