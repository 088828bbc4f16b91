import gzip
import io
import subprocess
import sys

import pytest

from keras_apps.data import tables
from keras_apps.data.tables import BadRows, Column, read_table
from keras_apps.errors import UserError

TEXT = Column(("text", "review"), "--text_key")
LABEL = Column(("label", "class"), "--label_key")


def read(path, limit=100, text=TEXT, label=LABEL):
    bad = BadRows(limit)
    return list(read_table(path, (text, label), bad)), bad


def write(path, content):
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_it_does_not_import_tensorflow():
    program = "import sys, keras_apps.data.tables, keras_apps.data.grouping; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize(
    "name, content",
    [
        ("a.csv", 'id,review,Label\n1,"so, good",pos\n2,bad,neg\n'),
        ("a.tsv", "id\treview\tLabel\n1\tso, good\tpos\n2\tbad\tneg\n"),
        ("a.jsonl", '{"id": 1, "review": "so, good", "Label": "pos"}\n{"id": 2, "review": "bad", "Label": "neg"}\n'),
    ],
)
def test_reads_each_format(tmp_path, name, gz, content):
    for text in (content, "\ufeff" + content, content.replace("\n", "\r\n"), content.rstrip("\n")):
        rows, bad = read(write(tmp_path / (name + gz), text))
        assert [values for _, values in rows] == [("so, good", "pos"), ("bad", "neg")]
        assert bad.count == 0


def test_line_numbers_stay_true_after_quoted_newlines_and_blank_lines(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"one\ntwo\r\nthree",a\n\nx,y,z\nlast,b\n')
    bad = BadRows(9)
    rows = list(read_table(path, (TEXT, LABEL), bad))
    assert rows == [(2, ("one\ntwo\r\nthree", "a")), (7, ("last", "b"))]
    with pytest.raises(UserError, match=r"a\.csv:6: 3 fields where the header has 2"):
        list(read_table(path, (TEXT, LABEL), BadRows(0)))


@pytest.mark.parametrize("blank", ["\n", "\r\n\n", " \n", "{0}\n"])
@pytest.mark.parametrize("name, tab", [("a.csv", ","), ("a.tsv", "\t")])
def test_blank_lines_before_the_header_do_not_hide_it(tmp_path, name, tab, blank):
    path = write(tmp_path / name, blank.format(tab) + f"label{tab}text\nneg{tab}bad\n")
    last = 2 + blank.count("\n")
    assert list(read_table(path, (TEXT, LABEL), BadRows(0), optional_header=True)) == [(last, ("bad", "neg"))]


def test_a_column_of_parts_is_warned_of_unless_it_is_read(tmp_path, caplog):
    path = write(tmp_path / "a.csv", "text,Split,label\na,test,x\nb,train,y\n")
    assert len(read(path, label=Column((), "--label_key", "split"))[0]) == 2 and not caplog.messages
    assert len(read(path)[0]) == 2
    assert len(caplog.messages) == 1 and "is passed over and all rows are read" in caplog.text


def test_a_stray_quote_in_tsv_is_a_character(tmp_path):
    path = write(tmp_path / "a.tsv", 'text\tlabel\n"good\t1\nbad "\t0\n')
    assert read(path)[0] == [(2, ('"good', "1")), (3, ('bad "', "0"))]


def test_lines_swallowed_by_a_quote_that_is_never_closed_all_count(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\ngood,1\n" + '"open,0\n' + "fine,1\n" * 9)
    rows, bad = read(path)
    assert rows == [(2, ("good", "1"))]
    assert bad.count == 10
    with pytest.raises(UserError, match=r"a\.csv:3-12: a quote is out of place"):
        read(path, limit=9)


@pytest.mark.parametrize(
    "name, header, bad_line, problem",
    [
        ("a.csv", b"text,label", b"only", "1 fields"),
        ("a.csv", b"text,label", b" ,x", "no 'text'"),
        ("a.csv", b"text,label", b"words,", "no 'label'"),
        ("a.csv", b"text,label", b"caf\xe9,x", "'text' is not UTF-8"),
        ("a.csv", b"text,label", b'"a"b,x', "a quote is out of place"),
        ("a.tsv", b"text\tlabel", b"a\tb\tc", "3 fields"),
        ("a.jsonl", b'{"text": "t", "label": 1}', b'{"text": "t", "label"', "broken JSON"),
        ("a.jsonl", b'{"text": "t", "label": 1}', b'["t", 1]', "a JSON object is wanted"),
        ("a.jsonl", b'{"text": "t", "label": 1}', b'{"text": "t", "label": null}', "no 'label'"),
        ("a.jsonl", b'{"text": "t", "label": 1}', b'{"text": "t", "label": NaN}', "no 'label'"),
        (
            "a.jsonl",
            b'{"text": "t", "label": 1}',
            b'{"text": ["t"], "label": 1}',
            "'text' is a list; give a row to each of its values",
        ),
        ("a.jsonl", b'{"text": "t", "label": 1}', b'{"text": "\\ud800", "label": 1}', "'text' is not UTF-8"),
        ("a.jsonl", b'{"text": "t", "label": 1}', b"[" * 100_000, "broken JSON"),
    ],
)
def test_malformed_rows_are_counted_and_named_by_line(tmp_path, name, header, bad_line, problem):
    sound = {"a.csv": b"fine,x", "a.tsv": b"fine\tx", "a.jsonl": b'{"text": "fine", "label": "x"}'}[name]
    path = write(tmp_path / name, b"\n".join([header, sound, bad_line, sound, bad_line, sound, b""]))
    rows, bad = read(path, limit=2)
    assert bad.count == 2
    assert [line for line, values in rows if values == ("fine", "x")] == [2, 4, 6]
    with pytest.raises(UserError) as caught:
        read(path, limit=1)
    assert f"{name}:3: {problem}" in str(caught.value) and f"{name}:5: " in str(caught.value)
    assert "more than 1 malformed rows" in str(caught.value) and "\n" not in str(caught.value)


def test_the_first_malformed_rows_are_logged_and_then_their_number(tmp_path, caplog):
    path = write(tmp_path / "a.csv", "text,label\n" + "x\n" * 50)
    with caplog.at_level("WARNING"):
        _, bad = read(path)
        bad.summarize()
    assert len(caplog.messages) == 6
    assert "a.csv:2: 1 fields" in caplog.messages[0] and "50 malformed rows" in caplog.messages[-1]


def test_json_values_become_names(tmp_path):
    path = write(
        tmp_path / "a.jsonl", "".join(f'{{"text": "t", "label": {v}}}\n' for v in ("1", "2.0", "2.5", "true", '"x "'))
    )
    assert [label for _, (_, label) in read(path)[0]] == ["1", "2", "2.5", "true", "x"]
    with pytest.raises(UserError, match=r"b.jsonl:1: no 'text'; correct it$"):
        list(read_table(write(tmp_path / "b.jsonl", '{"text": "", "label": 1}\n'), (TEXT, LABEL), BadRows(None)))


@pytest.mark.parametrize(
    "header, message",
    [
        ("words,label", "no column 'text' or 'review'.*'words', 'label'.*--text_key"),
        ("text,mark", "no column 'label' or 'class'.*'text', 'mark'.*--label_key"),
        ("text,review,label", "'text' and 'review' could all be meant.*--text_key"),
        ("text,text,label", "2 columns are called 'text'; rename all but one"),
        ("text;label", "its columns are parted by semicolons; save it with commas"),
    ],
)
def test_a_column_that_cannot_be_guessed_names_the_columns_and_the_flag(tmp_path, header, message):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / "a.csv", f"{header}\na,b,c\n"))


def test_a_key_decides(tmp_path):
    path = write(tmp_path / "a.csv", "text,review,Mark\na,b,c\n")
    mark = Column(LABEL.names, LABEL.flag, "mark")
    assert read(path, text=Column(TEXT.names, TEXT.flag, "review"), label=mark)[0] == [(2, ("b", "c"))]
    with pytest.raises(UserError, match="no column 'nope'.*'text', 'review', 'Mark'.*--text_key"):
        read(path, text=Column(TEXT.names, TEXT.flag, "nope"), label=mark)


def test_a_missing_first_value_does_not_hide_a_json_column(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": "b", "label": 1}\n')
    rows, bad = read(path)
    assert rows == [(2, ("b", "1"))] and bad.count == 1


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.csv", b"", "empty"),
        ("a.jsonl.gz", b"", "empty"),
        ("a.csv", "text,label\na,b\n".encode("utf-16"), "UTF-16"),
        ("a.csv", b"text,label\ra,b\r", "carriage returns alone"),
        ("a.tsv", b"text\tlabel\ra\tb\r", "carriage returns alone"),
        ("a.xlsx", b"PK", "not a table"),
    ],
)
def test_files_that_are_no_table(tmp_path, name, content, message):
    with pytest.raises(UserError, match=message):
        read(write(tmp_path / name, content))


def test_broken_gzip_and_missing_files(tmp_path):
    whole = gzip.compress(b"text,label\n" + b"".join(b"%d,x\n" % i for i in range(9999)))
    for content in (whole[:-900], b"not gzip at all", whole[:20] + b"\xff" * 40 + whole[60:]):
        (tmp_path / "a.csv.gz").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.csv\.gz: can't be read"):
            read(tmp_path / "a.csv.gz")
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "none.csv")


def test_hostile_sizes_are_refused(tmp_path, monkeypatch):
    bomb = write(tmp_path / "a.csv.gz", b"text,label\n" + b"a" * (tables.MAX_FIELD + 10))
    with pytest.raises(UserError, match=r":2: the line is longer"):
        read(bomb)
    monkeypatch.setattr(tables, "MAX_BYTES", 10_000)
    with pytest.raises(UserError, match="holds more than 10,000 bytes"):
        read(write(tmp_path / "b.csv.gz", "text,label\n" + "a,b\n" * 5000))


def test_reads_an_open_file():
    file = io.BytesIO(b"text,label\na,b\n")
    assert list(read_table(file, (TEXT, LABEL), BadRows(0), "inside.csv")) == [(2, ("a", "b"))]
