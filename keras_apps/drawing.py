"""Pictures of attention and of captions, as PNG files."""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 120
PANEL_PIXELS = 288
"""How wide a picture is drawn."""

UNLIT = 0.25
"""What remains of the light where a word did not attend to the picture."""

TILE_GAP = 2
"""Pixels between pictures of a sheet without captions."""

LONGEST_LABEL = 24
MOST_LINES = 6
WORD_START = "\u2581"
"""SentencePiece's mark in front of a sub-word that begins a word."""


def draw_attention(
    source_tokens: Sequence[str], target_tokens: Sequence[str], weights: np.ndarray, path: str | os.PathLike
) -> None:
    """Writes an attention map: a row for each target token, a column for each source token.

    Sub-words that go on with a word are shown with a hyphen, those that begin one without their mark (U+2581).

    Args:
        source_tokens: what was read.
        target_tokens: what was written.
        weights: `<float>[target, source]`, at least 0.
        path: of the picture to write.
    """
    weights = np.asarray(weights, np.float32)
    if weights.shape != (len(target_tokens), len(source_tokens)):
        raise ValueError(f"weights of {len(target_tokens)} x {len(source_tokens)} tokens have shape {weights.shape}")
    # At least one cell, since a translation may be empty.
    cells = np.zeros([max(1, size) for size in weights.shape], np.float32)
    cells[: weights.shape[0], : weights.shape[1]] = weights
    rows, columns = cells.shape
    # Inches; smaller for long sentences, and bounded for those that nobody could look at anyway.
    cell = min(max(0.19, min(0.34, 10 / max(rows, columns))), 80 / max(rows, columns))
    size = min(11.0, 72 * cell * 0.62)
    figure = _figure(columns * cell, rows * cell)
    axes = figure.add_axes((0, 0, 1, 1))
    image = axes.imshow(cells, vmin=0, vmax=cells.max() or 1, cmap="Blues", aspect="auto")
    axes.xaxis.tick_top()
    style = {"fontsize": size, "parse_math": False}
    slanted = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(source_tokens)), _readable(source_tokens), **style, **slanted)
    axes.set_yticks(range(len(target_tokens)), _readable(target_tokens), **style)
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.88", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color("0.7")
    bar = figure.add_axes((1 + 0.15 / (columns * cell), 0, 0.12 / (columns * cell), 1))
    figure.colorbar(image, cax=bar)
    bar.tick_params(labelsize=min(9.0, size), length=2)
    bar.locator_params(nbins=max(2, min(6, round(rows * cell / 0.4))))
    bar.spines[:].set_visible(False)
    _write(figure, path)


def draw_attention_on_image(
    image: np.ndarray, words: Sequence[str], weights: np.ndarray, path: str | os.PathLike
) -> None:
    """Writes the picture, and for each word the picture lit where the word attended to it.

    The light is relative to each word's greatest weight.

    Args:
        image: `<uint8>[height, width, 3]`.
        words: of the caption.
        weights: `<float>[words, rows, columns]` over a grid that covers the picture, at least 0.
        path: of the picture to write.
    """
    from PIL import Image

    weights = np.asarray(weights, np.float32)
    if len(words) != len(weights):
        raise ValueError(f"{len(words)} words, but weights of {len(weights)} words")
    picture = _fitted(image)
    panels = [picture]
    for grid in weights:
        smooth = Image.fromarray(grid).resize((picture.shape[1], picture.shape[0]), Image.Resampling.BICUBIC)
        light = np.clip(np.asarray(smooth) / (grid.max() or 1), 0, 1)[..., None]
        panels.append((picture * (UNLIT + (1 - UNLIT) * light)).astype(np.uint8))
    rows = -(-len(panels) // 5)
    _draw_sheet(panels, ["", *_readable(words)], path, columns=-(-len(panels) // rows), font_size=13)


def draw_contact_sheet(
    images: Sequence[np.ndarray], titles: Sequence[str], path: str | os.PathLike, columns: int = 4
) -> None:
    """Writes pictures in rows, each with its caption wrapped beneath it.

    Args:
        images: one or more, `<uint8>[height, width, 3]` each, of any sizes.
        titles: a caption of each, with line breaks where wanted.
        path: of the picture to write.
        columns: pictures in a row.
    """
    if len(images) != len(titles):
        raise ValueError(f"{len(images)} pictures, but {len(titles)} captions")
    _draw_sheet([_fitted(image) for image in images], titles, path, columns, font_size=10)


def draw_tiles(pictures: np.ndarray, path: str | os.PathLike) -> None:
    """Writes pictures of one size in rows, pixel by pixel, two white pixels between them.

    Args:
        pictures: `<uint8>[rows, columns, height, width, 3]`.
        path: of the PNG to write.
    """
    from PIL import Image

    gap = ((0, 0), (0, 0), (0, TILE_GAP), (0, TILE_GAP), (0, 0))
    padded = np.pad(pictures, gap, constant_values=255)
    rows, columns, height, width, _ = padded.shape
    sheet = padded.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    Image.fromarray(sheet[:-TILE_GAP, :-TILE_GAP]).save(path, "PNG")


def read_tiles(path: str | os.PathLike, size: tuple[int, int]) -> np.ndarray:
    """Reads back what `draw_tiles` wrote of pictures of that height and width."""
    from PIL import Image

    sheet = np.asarray(Image.open(path).convert("RGB"))
    sheet = np.pad(sheet, ((0, TILE_GAP), (0, TILE_GAP), (0, 0)), constant_values=255)
    height, width = (side + TILE_GAP for side in size)
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    tiles = sheet.reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)
    return tiles[:, :, :-TILE_GAP, :-TILE_GAP]


def _draw_sheet(
    pictures: Sequence[np.ndarray], captions: Sequence[str], path: str | os.PathLike, columns: int, font_size: float
) -> None:
    """Pictures at their own size, bottoms in line, the captions beneath. Lengths are inches from the top left."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, gap, line = PANEL_PIXELS / DOTS_PER_INCH, 0.14, 1.25 * font_size / 72
    font = FontProperties(size=font_size)

    def fits(text: str) -> bool:
        return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] <= 0.97 * 72 * width

    with _silent_about_glyphs():
        blocks = [_wrapped(caption, fits) for caption in captions]
    columns = min(columns, len(pictures))
    rows = [range(start, min(start + columns, len(pictures))) for start in range(0, len(pictures), columns)]
    heights = [max(pictures[i].shape[0] for i in row) / DOTS_PER_INCH for row in rows]
    feet = [line * max(len(blocks[i]) for i in row) + gap for row in rows]
    figure_width, figure_height = columns * (width + gap), sum(heights) + sum(feet)
    figure = _figure(figure_width, figure_height)
    bottom = 0.0
    for row, height, foot in zip(rows, heights, feet, strict=True):
        bottom += height
        for column, index in enumerate(row):
            size = np.array(pictures[index].shape[1::-1]) / DOTS_PER_INCH
            middle = column * (width + gap) + width / 2
            left, low = middle - size[0] / 2, figure_height - bottom
            axes = figure.add_axes(
                (left / figure_width, low / figure_height, size[0] / figure_width, size[1] / figure_height)
            )
            axes.imshow(pictures[index], aspect="auto")
            axes.set(xticks=(), yticks=())
            axes.spines[:].set(color="0.8", linewidth=0.6)
            figure.text(
                middle / figure_width,
                (low - 0.06) / figure_height,
                "\n".join(blocks[index]),
                fontproperties=font,
                ha="center",
                va="top",
                parse_math=False,
            )
        bottom += foot
    _write(figure, path)


def _fitted(image: np.ndarray) -> np.ndarray:
    """The picture as wide as a panel, or, where it is tall, as high as a panel and a quarter."""
    from PIL import Image

    height, width = image.shape[:2]
    scale = min(PANEL_PIXELS / width, 1.25 * PANEL_PIXELS / height)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _wrapped(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The lines of a caption, none of them wider than `fits` allows; what is far too long is cut."""
    lines = []
    for paragraph in _printable(text).split("\n"):
        for characters in range(60, 0, -1):
            wrapped = textwrap.wrap(paragraph, characters, max_lines=MOST_LINES, placeholder="…"[:characters])
            if all(map(fits, wrapped)):
                break
        lines += wrapped
    return lines


def _readable(tokens: Sequence[str]) -> list[str]:
    """Tokens as labels: sub-words without the mark of a word's start, the ones that go on with a word hyphenated."""
    sub_words = any(WORD_START in token for token in tokens)
    labels = []
    for token in tokens:
        label = _printable(token).replace(WORD_START, " ").replace("\n", " ")
        if sub_words and label[:1].isalpha():
            label = f"-{label}"
        label = label.strip() or "␣"
        labels.append(label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…")
    return labels


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def _silent_about_glyphs() -> warnings.catch_warnings:
    """A character that the font lacks is drawn as a box; that is all there is to say about it."""
    return warnings.catch_warnings(action="ignore", category=UserWarning)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    return figure


def _write(figure: Figure, path: str | os.PathLike) -> None:
    # "tight" makes the picture as large as its labels want, so that none is clipped and cells keep their size.
    # To compress as much as is usual takes as long as all else here, for files a tenth smaller.
    with _silent_about_glyphs():
        figure.savefig(
            path,
            dpi=DOTS_PER_INCH,
            bbox_inches="tight",
            pad_inches=0.12,
            format="png",
            pil_kwargs={"compress_level": 3},
        )
