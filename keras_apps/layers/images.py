"""Pictures in the graph: bytes of the common kinds to RGB, checked before they are decoded, and to a network's size."""

from __future__ import annotations

import functools

import tensorflow as tf

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")
_PNG_GREY = 0
_HEADER = 64


# Of half a thousand operations, which take longer to trace than to do: once, wherever pictures are decoded.
@functools.partial(
    tf.function, autograph=False, input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)]
)
def decode_image(image_bytes: tf.Tensor, max_pixels: int = 2**25) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF (its first frame) or BMP, whose header is read before anything else is.

    `tf.io.decode_image` alone decodes whatever it is given, and 420 KB of PNG can hold 432 MB of pixels. Grey becomes
    RGB, 16 bits become 8, transparency in a PNG is composited on white. The EXIF orientation is not applied: whoever
    reads a file does that (`keras_apps.data.images`).

    Args:
        image_bytes: `<string>[]`, the content of a picture's file.
        max_pixels: the most that width x height may be.

    Returns:
        `<uint8>[height, width, 3]`.

    Raises:
        tf.errors.InvalidArgumentError: where the bytes are no such picture, are damaged, or hold too many pixels.
    """
    header = tf.io.decode_raw(image_bytes, tf.uint8, fixed_length=_HEADER)
    is_kind = [tf.reduce_all(header[: len(magic)] == list(magic)) for magic in _MAGIC]
    known = _assert(tf.reduce_any(is_kind), "not a picture: the bytes are neither JPEG, PNG, GIF nor BMP")
    with tf.control_dependencies([known]):
        kind = tf.argmax(tf.stack(is_kind), output_type=tf.int32)
        # A GIF's further frames are cut off unseen: the decoder would decode and keep them all.
        whole, no_frame = tf.identity(image_bytes), tf.zeros(10, tf.uint8)
        image_bytes, frame = tf.cond(is_kind[2], lambda: _first_frame(whole, header), lambda: (whole, no_frame))
    sizes = [lambda: _jpeg_size(image_bytes), lambda: _png_size(header)]
    sizes += [lambda: _gif_size(header, frame), lambda: _bmp_size(header)]
    size = tf.switch_case(kind, sizes)
    small = _assert(
        tf.reduce_all(size > 0) & (size[0] <= max_pixels // tf.maximum(size[1], 1)),
        tf.strings.join(
            ["the picture's header says ", tf.strings.as_string(size[0]), " x ", tf.strings.as_string(size[1])]
            + [" pixels; there may be 1 to ", tf.strings.as_string(max_pixels), " in all"]
        ),
    )
    with tf.control_dependencies([small]):
        image_bytes = tf.identity(image_bytes)
        # Pillow's decoder settings, so that a picture is the same wherever it was decoded.
        kinds = [
            lambda: tf.io.decode_jpeg(image_bytes, 3, dct_method="INTEGER_ACCURATE"),
            lambda: _png(image_bytes, header),
        ]
        kinds += [lambda: tf.io.decode_gif(image_bytes)[0], lambda: _bmp(image_bytes, header)]
        image = tf.switch_case(kind, kinds)
    return tf.ensure_shape(image, [None, None, 3])


def resize_image(image: tf.Tensor, size: int) -> tf.Tensor:
    """Squashes a picture to a square, antialiased.

    Args:
        image: `<uint8>[height, width, 3]`.
        size: of a side.

    Returns:
        `<float32>[size, size, 3]`, from 0 to 255.
    """
    return tf.ensure_shape(tf.image.resize(image, [size, size], antialias=True), [size, size, 3])


def to_pixels(image: tf.Tensor) -> tf.Tensor:
    """Rounds what is from 0 to 255 to `<uint8>`; what lies beyond is cut off."""
    return tf.saturate_cast(tf.round(image), tf.uint8)


def scale_pixels(image: tf.Tensor) -> tf.Tensor:
    """0 to 255 -> `<float32>` from -1 to 1."""
    return tf.cast(image, tf.float32) / 127.5 - 1


def unscale_pixels(image: tf.Tensor) -> tf.Tensor:
    """-1 to 1 -> `<uint8>` from 0 to 255."""
    return to_pixels((image + 1) * 127.5)


def _assert(condition: tf.Tensor, message: str | tf.Tensor) -> tf.Operation:
    return tf.debugging.Assert(condition, [message])


def _number(header: tf.Tensor, at: int, length: int, big: bool = False) -> tf.Tensor:
    """The unsigned integer of `length` bytes at `at`, the first byte the greatest where `big`."""
    weights = [256**power for power in range(length)]
    values = tf.cast(header[at : at + length], tf.int64)
    return tf.reduce_sum(values * tf.constant(weights[::-1] if big else weights, tf.int64))


def _jpeg_size(image_bytes: tf.Tensor) -> tf.Tensor:
    return tf.image.extract_jpeg_shape(image_bytes, tf.int64)[1::-1]


def _png_size(header: tf.Tensor) -> tf.Tensor:
    return tf.stack([_number(header, 16, 4, big=True), _number(header, 20, 4, big=True)])


def _bmp_size(header: tf.Tensor) -> tf.Tensor:
    # A negative height says that the rows go from top to bottom.
    height = _number(header, 22, 4)
    return tf.stack([_number(header, 18, 4), tf.minimum(height, 2**32 - height)])


def _gif_size(header: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    """The greater of the canvas's size and the frame's, since the decoder makes room for both."""
    return tf.stack([tf.maximum(_number(header, at, 2), _number(frame, at - 1, 2)) for at in (6, 8)])


def _first_frame(image_bytes: tf.Tensor, header: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Walks through a GIF's blocks to the end of its first frame, and cuts off what follows.

    See https://www.w3.org/Graphics/GIF/spec-gif89a.txt: a block is a byte that says its kind, fixed fields, and
    sub-blocks that begin with their length, the last one being empty.

    Returns:
        The GIF of one frame, and that frame's descriptor, all zeros where there is none.
    """
    length = tf.strings.length(image_bytes)

    def bytes_at(position: tf.Tensor, count: int) -> tf.Tensor:
        """Zeros where the file has ended: they end whatever is being read."""
        return tf.io.decode_raw(
            tf.strings.substr(image_bytes, tf.minimum(position, length), count), tf.uint8, fixed_length=count
        )

    def table(flags: tf.Tensor) -> tf.Tensor:
        """The length of the colour table that `flags` announce."""
        flags = tf.cast(flags, tf.int32)
        return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)

    between, in_extension, in_frame, done = range(4)

    def step(position: tf.Tensor, state: tf.Tensor, frame: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        fields = bytes_at(position, 10)
        first = tf.cast(fields[0], tf.int32)
        is_extension, is_frame = first == 0x21, first == 0x2C
        block = tf.where(is_extension, 2, tf.where(is_frame, 11 + table(fields[9]), 0))
        after_block = tf.where(is_extension, in_extension, tf.where(is_frame, in_frame, done))
        after_sub_block = tf.where(first > 0, state, tf.where(state == in_frame, done, between))
        is_between = state == between
        return (
            position + tf.where(is_between, block, first + 1),
            tf.where(is_between, after_block, after_sub_block),
            tf.where(is_between & is_frame, fields, frame),
        )

    end, state, frame = tf.while_loop(
        lambda position, state, frame: state != done,
        step,
        (13 + table(header[10]), tf.constant(between), tf.zeros(10, tf.uint8)),
        # Writers fill sub-blocks to 255 bytes; a file of empty ones would only cost time.
        maximum_iterations=1000 + length // 64,
    )
    whole = _assert(state == done, "the GIF is cut into too many blocks")
    with tf.control_dependencies([whole]):
        return tf.strings.substr(image_bytes, 0, tf.minimum(end, length)) + b";", frame


def _png(image_bytes: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_png(image_bytes, 4)
    rgb, alpha = image[..., :3], image[..., 3:]
    # Grey of 1, 2 or 4 bits comes with an alpha of 1, 3 or 15 for opaque; a palette's has 8 bits always.
    is_coarse = (header[24] < 8) & (header[25] == _PNG_GREY)
    alpha = tf.where(is_coarse & (alpha > 0), tf.constant(255, tf.uint8), alpha)
    return tf.cond(tf.reduce_all(alpha == 255), lambda: rgb, lambda: _on_white(rgb, alpha))


def _on_white(rgb: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    rgb, alpha = tf.cast(rgb, tf.uint16), tf.cast(alpha, tf.uint16)
    return tf.cast((rgb * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _bmp(image_bytes: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    info, bits, compression = _number(header, 14, 4), _number(header, 28, 2), _number(header, 30, 4)
    # Uncompressed, or with the masks of BGRA written out.
    plain = (compression == 0) | ((compression == 3) & (bits == 32) & (_number(header, 54, 4) == 0xFF0000))
    readable = tf.reduce_any(bits == [8, 24, 32]) & (info >= 40) & (info <= 124) & plain
    with tf.control_dependencies([_assert(readable, "a BMP of this kind is not read; save it as PNG")]):
        pixels = tf.io.decode_bmp(image_bytes)

    def colours() -> tf.Tensor:
        # This may run before the check above has failed, and what it would fail with has the picture's bytes in it.
        start = 14 + tf.cast(tf.clip_by_value(info, 40, 124), tf.int32)
        table = tf.strings.substr(image_bytes, tf.minimum(start, tf.strings.length(image_bytes)), 1024)
        table = tf.reshape(tf.io.decode_raw(table, tf.uint8, fixed_length=1024), [256, 4])
        return tf.gather(table[:, 2::-1], tf.cast(pixels[..., 0], tf.int32))

    # The fourth byte of 32 bits is left unused by most writers, so it says nothing of transparency.
    return tf.cond(bits == 8, colours, lambda: pixels[..., :3])
