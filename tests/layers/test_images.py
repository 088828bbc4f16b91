import inspect
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_apps.data.images import read_image
from keras_apps.layers.images import decode_image, resize_image, scale_pixels, to_pixels, unscale_pixels

RNG = np.random.default_rng(0)
BLOCKS = np.kron(RNG.integers(0, 256, (5, 6, 4), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
RGBA = Image.fromarray(BLOCKS)
DECODE = tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width, height, bits, colour, rows=b"", extra=()):
    """A PNG made by hand, so that its header can say anything."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = (
        chunk(b"IHDR", header)
        + b"".join(chunk(*one) for one in extra)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + data


def bmp(mode, **fields):
    content = bytearray(encode(RGBA.convert(mode), "BMP"))
    for at, value in fields.items():
        at = int(at[2:])
        content[at : at + len(value)] = value
    return bytes(content)


PICTURES = {
    **{f"jpeg {mode}": encode(RGBA.convert(mode), "JPEG") for mode in ("L", "RGB", "CMYK")},
    "jpeg progressive": encode(RGBA.convert("RGB"), "JPEG", progressive=True, subsampling=2),
    **{f"png {mode}": encode(RGBA.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    "png palette with transparency": encode(RGBA.convert("RGB").quantize(16), "PNG", transparency=3),
    "png palette of 4 bits, half transparent": encode(
        RGBA.convert("RGB").quantize(16), "PNG", bits=4, transparency=bytes(range(0, 256, 17))
    ),
    "png one colour transparent": encode(RGBA.convert("RGB"), "PNG", transparency=tuple(BLOCKS[0, 0, :3].tolist())),
    "png 1 bit": png(8, 1, 1, 0, b"\0\x4f"),
    "png 2 bits": png(8, 1, 2, 0, b"\0\x1b\x1b"),
    "png 16 bits": encode(Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27), "PNG"),
    "png 16 bits RGB": png(2, 1, 16, 2, b"\0" + bytes(range(0, 240, 20))),
    **{f"bmp {mode}": encode(RGBA.convert(mode), "BMP") for mode in ("L", "P", "RGB")},
    "gif": encode(RGBA.convert("RGB").quantize(64), "GIF"),
    "gif L": encode(RGBA.convert("L"), "GIF"),
    "gif of three frames": encode(
        RGBA.convert("RGB").quantize(64),
        "GIF",
        save_all=True,
        append_images=[Image.fromarray(255 - BLOCKS[..., :3]).quantize(99), RGBA.convert("L")],
        comment=b"c" * 700,
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_kind_is_what_pillow_makes_of_it(name):
    image = DECODE(PICTURES[name]).numpy()
    expected = read_image(io.BytesIO(PICTURES[name]))
    assert image.dtype == np.uint8 and image.shape[2] == 3 and image.std() > 20
    np.testing.assert_array_equal(image, expected)


def test_transparency_is_composited_on_white():
    content = encode(
        Image.fromarray(np.array([[[0, 100, 255, 0], [0, 100, 255, 51], [9, 9, 9, 255]]], np.uint8)), "PNG"
    )
    # By hand: 100 * 0.2 + 255 * 0.8 = 224.
    np.testing.assert_array_equal(DECODE(content)[0], [[255, 255, 255], [204, 224, 255], [9, 9, 9]])


def test_transparent_grey_of_four_bits():
    content = png(4, 1, 4, 0, b"\0\x09\x6f", [(b"tRNS", b"\0\x09")])
    assert DECODE(content).numpy()[0, :, 0].tolist() == [0, 255, 102, 255]


def test_bmp_with_rows_from_top_to_bottom_and_with_an_unused_fourth_byte():
    upright = bmp("RGB", at22=struct.pack("<i", -40))
    np.testing.assert_array_equal(DECODE(upright), BLOCKS[::-1, :, :3])
    four = encode(Image.fromarray(np.dstack([BLOCKS[..., :3], np.zeros((40, 48), np.uint8)])), "BMP")
    np.testing.assert_array_equal(DECODE(four), BLOCKS[..., :3])


def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded():
    content = png(6000, 6000, 8, 2, bytes(6000 * 18001))
    assert len(content) < 120_000
    with pytest.raises(tf.errors.InvalidArgumentError, match="6000 x 6000 pixels; there may be 1 to 33554432"):
        DECODE(content)


LIES = {
    "png": (png(2**31 - 1, 2**31 - 1, 8, 2), "2147483647 x 2147483647 pixels"),
    "png of nothing": (png(0, 5, 8, 2), "0 x 5 pixels"),
    "bmp": (bmp("RGB", at18=struct.pack("<ii", 2**31 - 1, -(2**31))), "2147483647 x 2147483648 pixels"),
    "gif canvas": (PICTURES["gif"][:6] + b"\xff\xff\xff\xff" + PICTURES["gif"][10:], "65535 x 65535 pixels"),
    "bmp of another kind": (bmp("1"), "a BMP of this kind is not read"),
    "bmp compressed": (bmp("P", at30=struct.pack("<I", 1)), "a BMP of this kind is not read"),
    "empty": (b"", "not a picture"),
    "text": (b"BLEU is no picture", "not a picture"),
    "webp": (encode(RGBA, "WEBP"), "not a picture"),
    "gif of empty blocks": (b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe\0" * 5000, "cut into too many blocks"),
}


@pytest.mark.parametrize("name", LIES)
def test_headers_that_ask_too_much_and_bytes_that_are_no_picture(name):
    content, message = LIES[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        DECODE(content)


def test_a_gif_frame_larger_than_its_canvas_counts():
    content = bytearray(PICTURES["gif"])
    at = content.index(b",\0\0\0\0", 13)
    content[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(tf.errors.InvalidArgumentError, match="65535 x 65535 pixels"):
        DECODE(bytes(content))


def test_later_frames_of_a_gif_are_not_decoded():
    first = encode(RGBA.convert("RGB").quantize(64), "GIF")
    frame = b",\0\0\0\0" + b"\xff\xff\xff\xff" + b"\0\x08"
    many = first[:-1] + (frame + b"\x02\0\0\0") * 500 + b";"
    np.testing.assert_array_equal(DECODE(many), DECODE(first))


@pytest.mark.parametrize("name", ["jpeg RGB", "png RGBA", "gif of three frames", "bmp P"])
def test_damaged_bytes_never_do_more_than_fail(name):
    content = PICTURES[name]
    rng = np.random.default_rng(1)
    failures = 0
    for trial in range(120):
        if trial < 60:
            damaged = content[: rng.integers(len(content))]
        else:
            damaged = bytearray(content)
            for at in rng.integers(0, len(content) if trial % 2 else 60, 4):
                damaged[at] = rng.integers(256)
        try:
            image = DECODE(bytes(damaged))
        except tf.errors.InvalidArgumentError:
            failures += 1
        else:
            assert image.shape[2] == 3
    assert failures > 20


def test_a_bmp_is_refused_by_its_own_check_whichever_operation_runs_first():
    far = bmp("P", at14=struct.pack("<I", 0xBD000028))
    for _ in range(300):
        with pytest.raises(tf.errors.InvalidArgumentError, match="a BMP of this kind is not read"):
            DECODE(far)


def test_in_a_pipeline_in_a_batch_and_in_a_saved_model(tmp_path):
    contents = [PICTURES["jpeg RGB"], PICTURES["png RGBA"], PICTURES["gif"]]
    expected = [decode_image(content) for content in contents]
    examples = tf.data.Dataset.from_tensor_slices(contents).map(decode_image)
    assert examples.element_spec.shape.as_list() == [None, None, 3]
    for image, right in zip(examples, expected, strict=True):
        np.testing.assert_array_equal(image, right)

    def batch(images):
        return tf.map_fn(lambda one: resize_image(decode_image(one), 20), images, fn_output_signature=tf.float32)

    module = tf.Module()
    module.serve = tf.function(batch, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    serve = tf.saved_model.load(str(tmp_path)).serve
    served = serve(tf.constant(contents))
    assert served.shape == (3, 20, 20, 3)
    np.testing.assert_allclose(served[1], resize_image(expected[1], 20))
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a picture"):
        serve(tf.constant([contents[0], b"nothing"]))


def test_resizing_averages():
    checks = np.indices((40, 40)).sum(0) % 2 * 255
    image = resize_image(tf.constant(np.repeat(checks[..., None], 3, -1), tf.uint8), 10)
    assert image.shape == (10, 10, 3) and image.dtype == tf.float32
    np.testing.assert_allclose(image[2:-2, 2:-2], 127.5, atol=2)


def test_the_limit_is_the_same_for_files_and_requests():
    limits = [inspect.signature(function).parameters["max_pixels"].default for function in (decode_image, read_image)]
    assert limits == [2**25, 2**25]


def test_pixels_are_scaled_and_back():
    pixels = tf.range(256)
    scaled = scale_pixels(tf.cast(pixels, tf.uint8))
    assert scaled.dtype == tf.float32 and (scaled[0], scaled[-1]) == (-1, 1)
    np.testing.assert_array_equal(unscale_pixels(scaled), pixels)
    assert to_pixels(tf.constant([-3.0, 0.6, 254.4, 300.0])).numpy().tolist() == [0, 1, 254, 255]
