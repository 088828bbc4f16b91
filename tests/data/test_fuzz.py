"""Files that are valid but for what chance did to them: they are read, or refused in one line, whatever was done."""

import contextlib
import csv
import gzip
import io
import json
import logging
import random
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import ExifTags, Image

from keras_apps.data import captioning, face_aging, pix2pix, sentiment, siamese, style_transfer, translation
from keras_apps.data.images import check_image, image_bytes, read_image
from keras_apps.data.tables import BadRows, Column, read_table
from keras_apps.errors import UserError
from keras_apps.layers.images import decode_image
from tests.data.test_images import PIXELS, RGB, encode
from tests.mutations import mutated

COLUMNS = [Column(("text",), "--text_key"), Column(("label",), "--label_key"), Column(("n",), "--n_key", optional=True)]
ROWS = [('Not bad, "not good".', "pos", 1), ("été\t\u4e2d\u6587 \U0001f4a5", "neg", 2.5), ("a b\nc", "neg", None)] * 4
WORDS = "a fine dull great weak film cast plot one two three".split()


def csv_table(rows, delimiter=","):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue().encode()


TABLES = {
    "a.csv": csv_table([("text", "label", "n"), *ROWS]),
    "a.tsv": b"text\tlabel\tn\n" + b'a b c\tpos\t1\nd "e\tneg\t\n' * 5,
    "a.jsonl": b"".join(
        json.dumps(dict(zip(("text", "label", "n"), row, strict=True))).encode() + b"\n" for row in ROWS
    ),
}


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("keras_apps").setLevel(logging.ERROR)
    yield
    logging.getLogger("keras_apps").setLevel(logging.NOTSET)


def one_line(error):
    text = str(error)
    assert text and "\n" not in text and len(text) < 4000, text
    text.encode("utf-8", "surrogateescape")


def outcomes(cases, attempt):
    """What becomes of each case: it must be accepted or refused in one line, and both must happen at all."""
    accepted = []
    for case in cases:
        try:
            attempt(case)
            accepted.append(True)
        except UserError as error:
            one_line(error)
            accepted.append(False)
    assert any(accepted) and not all(accepted), "the mutations are too tame, or too wild, to test anything"


def mutations(content, seed, count):
    generator = random.Random(seed)
    return (mutated(content, generator) for _ in range(count))


@pytest.mark.parametrize("name", [*TABLES, *(f"{name}.gz" for name in TABLES)])
def test_tables(name):
    zipped = name.endswith(".gz")
    content = gzip.compress(TABLES[name[:-3]], mtime=0) if zipped else TABLES[name]

    def attempt(case):
        for _, values in read_table(io.BytesIO(case), COLUMNS, BadRows(6), name):
            assert all(isinstance(value, str) for value in values)
            " ".join(values).encode()

    outcomes(mutations(content, name, 150), attempt)


def exif():
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    tags[ExifTags.Base.Make] = "somebody"
    return tags


PICTURES = {
    "jpeg": encode(RGB, "JPEG"),
    "jpeg progressive": encode(RGB, "JPEG", progressive=True),
    "jpeg CMYK": encode(RGB.convert("CMYK"), "JPEG"),
    "jpeg EXIF": encode(RGB, "JPEG", exif=exif()),
    "png": encode(RGB, "PNG"),
    "png RGBA EXIF": encode(Image.fromarray(PIXELS), "PNG", exif=exif()),
    "png palette": encode(RGB.quantize(16), "PNG", transparency=3),
    "gif": encode(RGB.quantize(16), "GIF", save_all=True, append_images=[Image.fromarray(255 - PIXELS[..., :3])]),
    "bmp": encode(RGB, "BMP"),
    "bmp palette": encode(RGB.convert("P"), "BMP"),
    "webp": encode(Image.fromarray(PIXELS), "WEBP"),
    "tiff": encode(RGB, "TIFF", compression="tiff_lzw"),
}
DECODE = tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what is wrong with EXIF
@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_in_files(kind):
    def attempt(case):
        image = read_image(io.BytesIO(case), "a")
        assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
        assert check_image(case, "a") == image.shape[:2]
        assert image_bytes(io.BytesIO(case), "a")

    outcomes(mutations(PICTURES[kind], kind, 60), attempt)


@pytest.mark.parametrize("kind", [kind for kind in PICTURES if kind not in ("webp", "tiff")])
def test_pictures_in_the_graph(kind):
    def attempt(case):
        try:
            image = DECODE(case)
        except tf.errors.InvalidArgumentError as error:
            raise UserError(error.message.splitlines()[0]) from error
        assert image.shape[2] == 3 and tf.size(image) > 0

    outcomes(mutations(PICTURES[kind], kind, 120), attempt)


def reviews(label):
    words = random.Random(label)
    return [" ".join(words.choices(WORDS, k=6)) for _ in range(12)]


def captions_csv():
    return csv_table([("image", "caption"), *((f"{n}.png", f"a {WORDS[n % 9]} picture, {n}") for n in range(12))])


def karpathy():
    splits = ["train"] * 8 + ["val", "test", "restval", "train"]
    images = [
        {"filename": f"{n}.png", "split": split, "sentences": [{"raw": f"a {WORDS[n % 9]} picture"}]}
        for n, split in enumerate(splits)
    ]
    return json.dumps({"images": images}).encode()


def picture(number):
    return encode(RGB.rotate(90 * (number % 4)).point(lambda value: (value + 9 * number) % 256), "PNG")


NUMBERED = {f"{n}.png": picture(n) for n in range(12)}
FACES = csv_table([("image", "age", "identity"), *((f"{n}.png", 7 * n + 3, f"p{n // 2}") for n in range(12))])
PAIRS = "".join(f"{' '.join(WORDS[n : n + 4])}\t{' '.join(WORDS[n + 1 : n + 5])}\n" for n in range(6)) * 2
# Of each app: how it reads, and files, of which the first is spoiled; in archives anything may be.
SETS = {
    "captions.csv": (captioning.load, {"captions.csv": captions_csv()} | NUMBERED),
    "dataset.json": (captioning.load, {"dataset.json": karpathy()} | NUMBERED),
    "tokens.txt": (
        captioning.load,
        {"Flickr8k.token.txt": b"".join(b"%d.png#0\ta picture, %d\n" % (n, n) for n in range(12))} | NUMBERED,
    ),
    "ages.csv": (face_aging.load, {"ages.csv": FACES} | NUMBERED),
    "names with ages": (face_aging.load, {f"{2 * n}_0_1.png": picture(n) for n in range(12)}),
    "pairs": (pix2pix.load, {f"{side}/{name}": content for side in "AB" for name, content in NUMBERED.items()}),
    "styles": (style_transfer.load, {f"{p}/{n}": c for p in ("content", "style") for n, c in NUMBERED.items()}),
    "classes": (siamese.load, {f"{n // 3}/{n}.png": picture(n) for n in range(12)}),
    "translations": (
        translation.load,
        {"train.tsv": PAIRS.encode(), "val.tsv": b"one two\ttwo one\n", "test.tsv": b"three\tthree\n"},
    ),
    "reviews": (
        sentiment.load,
        {f"{label}/{n}.txt": text.encode() for label in ("pos", "neg") for n, text in enumerate(reviews(label))},
    ),
}


def packed(kind, files):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)
    else:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return gzip.compress(file.getvalue(), mtime=0) if kind == "tar.gz" else file.getvalue()


def looked_at(load, path, sample=False):
    """Loads a set; where told so takes an example too, whose picture is decoded when it is asked for."""
    splits = load(path, max_bad_rows=3, validation_fraction=0.2, test_fraction=0.2)
    for part in (splits.train, splits.validation, splits.test):
        if part is not None:
            assert part.cardinality() > 0
    if sample:
        next(iter(splits.train))


def spoil_a_file(name, folder, seed, count):
    """What becomes of a folder, one of whose files has been spoiled."""
    load, files = SETS[name]
    for inside, content in files.items():
        path = folder / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    spoiled = folder / next(iter(files))

    def attempt(case):
        spoiled.write_bytes(case)
        looked_at(load, folder, sample=case == b"")

    cases = [spoiled.read_bytes(), b"", *mutations(spoiled.read_bytes(), seed, count)]
    if spoiled.suffix == ".png" or name == "reviews":
        for case in cases:  # one of many alike is no more than a bad row
            with contextlib.suppress(UserError):
                attempt(case)
    else:
        outcomes(cases, attempt)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SETS)
def test_files_of_a_folder(name, tmp_path):
    spoil_a_file(name, tmp_path, name, 4)


def spoil_archives(kind, folder, seed, count):
    """What becomes of archives in which anything may be spoiled."""
    generator = random.Random(seed)

    def attempt(name):
        load, files = SETS[name]
        path = folder / f"a.{kind}"
        path.write_bytes(mutated(packed(kind, files), generator))
        looked_at(load, path)

    outcomes(generator.choices(list(SETS), k=count), attempt)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives(kind, tmp_path):
    spoil_archives(kind, tmp_path, kind, 40)


ODD_NAMES = ["../x.png", "/etc/x.png", "a" * 300 + ".png", "\u202e.png", "9" * 30 + "_1.png", "train/val/test/x.png"]


def rename_members(folder, seed, count):
    """What becomes of archives some of whose members have other names: these say split, class and age."""
    generator = random.Random(seed)
    for _ in range(count):
        load, files = generator.choice(list(SETS.values()))
        names = {name: name for name in files}
        for name in generator.sample(list(names), min(2, len(names))):
            letters = list(name)
            letters[generator.randrange(len(letters))] = generator.choice("/.\\_- 0\u00e9\n\t\0")
            names[name] = generator.choice([*ODD_NAMES, "".join(letters)])
        path = folder / "a.zip"
        path.write_bytes(packed("zip", {names[name]: content for name, content in files.items()}))
        try:
            looked_at(load, path)
        except UserError as error:
            one_line(error)


@pytest.mark.filterwarnings("ignore")
def test_names_within_archives(tmp_path):
    rename_members(tmp_path, 0, 30)
