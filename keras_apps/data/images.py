"""Pictures in files, read with Pillow: any kind it knows, upright, on white, and checked before they are decoded."""

from __future__ import annotations

import io
import os
import warnings
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image

from keras_apps.errors import UserError, brief

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Pillow can also start Ghostscript, and read kinds that nobody uses.
_KINDS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "MPO")
MAX_BYTES = 2**28


def read_image(source: str | os.PathLike | BinaryIO, name: str | None = None, max_pixels: int = 2**25) -> np.ndarray:
    """Reads a picture as a person sees it: turned as its EXIF orientation says, transparency composited on white.

    Args:
        source: a path, or an open binary file.
        name: what to call an open file in messages.
        max_pixels: the most that width x height may be.

    Returns:
        `<uint8>[height, width, 3]`.

    Raises:
        UserError: if it can't be read, is no picture, is damaged, or holds too many pixels.
    """
    return _decode(*_content(source, name), max_pixels)[0]


def image_bytes(source: str | os.PathLike | BinaryIO, name: str | None = None, max_pixels: int = 2**25) -> bytes:
    """The bytes of a picture to send in a request: the file's own, or a PNG where a server would not see the same.

    Args:
        source: a path, or an open binary file.
        name: what to call an open file in messages.
        max_pixels: the most that width x height may be.

    Raises:
        UserError: as `read_image` does.
    """
    content, name = _content(source, name)
    pixels, is_plain = _decode(content, name, max_pixels)
    if is_plain:
        return content
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return png.getvalue()


def check_image(content: bytes, name: str, max_pixels: int = 2**25) -> tuple[int, int]:
    """Finds out, at a fraction of the cost of decoding, whether a picture is whole.

    Returns:
        The height and width that `read_image` would give it.

    Raises:
        UserError: as `read_image` does.
    """
    with _opened(content, name, max_pixels) as image:
        width, height = image.size
        # All of the file is gone through, but an eighth of the pixels is made.
        image.draft("RGB", (1, 1))
        _load(image, name)
        return (width, height) if _orientation(image) >= 5 else (height, width)


def _content(source: str | os.PathLike | BinaryIO, name: str | None) -> tuple[bytes, str]:
    if not isinstance(source, str | os.PathLike):
        content, name = source.read(MAX_BYTES + 1), name or getattr(source, "name", "the picture")
    else:
        name = name or os.fspath(source)
        try:
            with open(source, "rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise UserError(f"{name}: can't be read: {brief(error)}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"{name}: holds more than {MAX_BYTES:,} bytes; is this a picture?")
    return content, name


def _opened(content: bytes, name: str, max_pixels: int) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is higher than the one below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=_KINDS)
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: too many pixels ({error})") from error
    except Exception as error:
        # Each of the decoders fails in its own way on bytes that it can't make sense of.
        problem = "the file is empty" if not content else "not a picture that can be read; use JPEG or PNG"
        raise UserError(f"{name}: {problem}") from error
    if image.width * image.height > max_pixels:
        raise UserError(f"{name}: {image.width} x {image.height} pixels; there may be {max_pixels:,} in all")
    if image.mode in ("I", "F"):
        raise UserError(f"{name}: its pixels have 32 bits; save it with 8")
    return image


def _load(image: Image.Image, name: str) -> None:
    try:
        image.load()
    except Exception as error:
        raise UserError(f"{name}: the picture is damaged ({brief(error)})") from error


def _decode(content: bytes, name: str, max_pixels: int) -> tuple[np.ndarray, bool]:
    """The pixels, and whether `keras_apps.layers.images.decode_image` gives the same."""
    with _opened(content, name, max_pixels) as image:
        _load(image, name)
        orientation = _orientation(image)
        # Grey of 16 bits has its one transparent shade shown here; exports of before 2026-11-23 show palettes of few
        # colours that are half transparent as if they were not.
        is_shown_otherwise = image.mode in ("P", "I;16") and "transparency" in image.info
        kind_is_plain = not is_shown_otherwise if image.format == "PNG" else image.mode in ("L", "RGB")
        is_plain = orientation == 1 and image.format in ("PNG", "JPEG") and kind_is_plain
        pixels = _rgb(image)
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels), is_plain


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, from 1 (as it is) to 8; 1 where the file has none or says nonsense."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        # EXIF is as free to be broken as anything in a file, and the picture is no worse for it.
        return 1
    return value if value in range(1, 9) else 1


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA")).astype(np.uint16)
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
