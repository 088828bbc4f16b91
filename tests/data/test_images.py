import io
import os

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from keras_apps.data.images import check_image, image_bytes, read_image
from keras_apps.errors import UserError
from keras_apps.layers.images import decode_image

PIXELS = np.kron(np.random.default_rng(0).integers(0, 256, (3, 4, 4), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
RGB = Image.fromarray(PIXELS[..., :3])


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation, kind="JPEG"):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encode(RGB, kind, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_and_sent(tmp_path, orientation):
    path = tmp_path / "a.jpg"
    path.write_bytes(turned(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(read_image(path), expected)
    np.testing.assert_array_equal(decode_image(image_bytes(path)), expected)
    assert (image_bytes(path) == path.read_bytes()) is (orientation == 1)


SENT = {
    "jpeg": (encode(RGB, "JPEG"), True),
    "jpeg L": (encode(RGB.convert("L"), "JPEG"), True),
    "jpeg of nonsense orientation": (turned(77), True),
    "jpeg CMYK": (encode(RGB.convert("CMYK"), "JPEG"), False),
    "png": (encode(Image.fromarray(PIXELS), "PNG"), True),
    "png turned": (turned(6, "PNG"), False),
    "png 16 bits": (encode(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "PNG"), True),
    "tiff 16 bits": (encode(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), "TIFF"), False),
    "webp": (encode(Image.fromarray(PIXELS), "WEBP", lossless=True), False),
    "gif": (encode(RGB.quantize(8), "GIF", transparency=2), False),
}


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_seen_as_it_was_read(name):
    content, unchanged = SENT[name]
    sent = image_bytes(io.BytesIO(content))
    assert (sent == content) is unchanged
    pixels = read_image(io.BytesIO(content))
    assert pixels.dtype == np.uint8 and pixels.std() > 20
    np.testing.assert_array_equal(decode_image(sent), pixels)
    assert check_image(content, name) == pixels.shape[:2]


def test_transparency_and_sixteen_bits_by_hand():
    two = encode(Image.fromarray(np.array([[[0, 100, 255, 0], [0, 100, 255, 51]]], np.uint8)), "PNG")
    assert read_image(io.BytesIO(two)).tolist() == [[[255, 255, 255], [204, 224, 255]]]
    deep = encode(Image.fromarray(np.array([[255, 256, 65535]], np.uint16)), "PNG")
    assert read_image(io.BytesIO(deep))[0, :, 1].tolist() == [0, 1, 255]


REFUSED = {
    "empty": (b"", "a.png: the file is empty"),
    "text": (b"no picture", "a.png: not a picture that can be read; use JPEG or PNG"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "cut jpeg": (encode(RGB, "JPEG")[:-20], "a.png: the picture is damaged"),
    "cut png": (encode(RGB, "PNG")[:-40], "a.png: the picture is damaged"),
    "cut header": (encode(RGB, "PNG")[:20], "a.png: "),
    "many pixels": (encode(Image.new("L", (8000, 8000)), "PNG"), r"a.png: 8000 x 8000 pixels; there may be 33,554,432"),
    "very many pixels": (encode(Image.new("1", (20000, 20000)), "PNG"), "a.png: too many pixels"),
    "float": (encode(Image.new("F", (9, 9)), "TIFF"), "32 bits; save it with 8"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_one_clear_line(tmp_path, name):
    content, message = REFUSED[name]
    (tmp_path / "a.png").write_bytes(content)
    for read in (read_image, image_bytes, lambda path: check_image(path.read_bytes(), str(path))):
        with pytest.raises(UserError, match=message) as caught:
            read(tmp_path / "a.png")
        assert "\n" not in str(caught.value)


def test_files_that_cannot_be_opened(tmp_path):
    for path in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(UserError, match=f"{os.path.basename(path)}: can't be read"):
            read_image(path)
