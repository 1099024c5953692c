"""Pictures beside each other on one sheet, with captions."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image as PIL_Image
from PIL import ImageDraw, ImageFont
from PIL.Image import Image

GAP, MARGIN = 12, 24  # pixels
PAPER, INK, PALE, MISSING = "#ffffff", "#1e1b2e", "#66627a", "#ece9f3"
TITLE_SIZE, CAPTION_SIZE, NOTE_SIZE = 22, 15, 13
MOST_SIDE = 2400  # pixels of a sheet's width


@dataclass(frozen=True)
class Panel:
    """One picture with its caption and smaller lines under it; no picture leaves a gray field."""

    picture: Image | None
    caption: str
    lines: tuple[str, ...] = ()


def sheet(
    panels: Sequence[Panel],
    *,
    title: str = "",
    footer: str = "",
    columns: int | None = None,
    side: int | None = None,
) -> Image:
    """Panels in rows of `columns` (by default up to three, or four from seven on).

    Pictures are shown at `side` pixels of width, by default their own, reduced where the sheet
    would become wider than 2400 pixels.
    """
    columns = min(len(panels), columns or (3 if len(panels) < 7 else 4))
    widest = max((p.picture.width for p in panels if p.picture), default=256)
    most = (MOST_SIDE - 2 * MARGIN - (columns - 1) * GAP) // columns
    width = min(side or widest, most)
    cells = [_panel(panel, width, _height(panels, width)) for panel in panels]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return _framed(_stacked([_beside(row) for row in rows]), title, footer)


def grid(
    rows: Sequence[Sequence[Panel]],
    *,
    column_label: str,
    column_values: Sequence[str],
    row_label: str = "",
    row_values: Sequence[str] = (),
    title: str = "",
    footer: str = "",
    side: int | None = None,
) -> Image:
    """Panels with the values of two axes as heads of the columns and rows."""
    panels = [panel for row in rows for panel in row]
    widest = max((p.picture.width for p in panels if p.picture), default=256)
    heads = 150 if row_values else 0
    most = (MOST_SIDE - 2 * MARGIN - heads) // len(rows[0]) - GAP
    width = min(side or widest, most)
    height = _height(panels, width)
    head = [_text(f"{value}", width, CAPTION_SIZE, INK) for value in column_values]
    lines = [_text(column_label, width * len(head), NOTE_SIZE, PALE), _beside(head)]
    lines += [_beside([_panel(panel, width, height) for panel in row]) for row in rows]
    if row_values:
        label = _text(row_label, heads - GAP, NOTE_SIZE, PALE)
        left = [_padded(label, heads, 0), _padded(head[0].crop((0, 0, 1, 1)), heads, 0)]
        left += [
            _padded(_text(value, heads - GAP, CAPTION_SIZE, INK), heads, 0) for value in row_values
        ]
        lines = [_beside(pair) for pair in zip(left, lines, strict=True)]
    return _framed(_stacked(lines), title, footer)


def _height(panels: Sequence[Panel], width: int) -> int:
    sizes = [p.picture.size for p in panels if p.picture] or [(4, 3)]
    return max(round(width * h / w) for w, h in sizes)


def _panel(panel: Panel, width: int, height: int) -> Image:
    if panel.picture:
        picture = panel.picture.resize(
            (width, max(1, round(width * panel.picture.height / panel.picture.width))),
            PIL_Image.Resampling.LANCZOS,
        )
    else:
        picture = PIL_Image.new("RGB", (width, height), MISSING)
    parts = [picture]
    if panel.caption:
        parts.append(_text(panel.caption, width, CAPTION_SIZE, INK))
    parts += [_text(line, width, NOTE_SIZE, PALE) for line in panel.lines if line]
    return _stacked(parts, gap=4)


def _text(text: str, width: int, size: int, color: str) -> Image:
    font = ImageFont.load_default(size)
    letters = max(4, int(width / (font.getlength("average letters") / 15)))
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, letters) or [""]]
    height = round(1.3 * size)
    picture = PIL_Image.new("RGB", (max(1, width), max(1, height * len(lines))), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((0, number * height), line, fill=color, font=font)
    return picture


def _padded(picture: Image, width: int, height: int) -> Image:
    wider = PIL_Image.new("RGB", (max(width, picture.width), max(height, picture.height)), PAPER)
    wider.paste(picture)
    return wider


def _beside(pictures: Sequence[Image]) -> Image:
    width = sum(p.width for p in pictures) + GAP * (len(pictures) - 1)
    row = PIL_Image.new("RGB", (width, max(p.height for p in pictures)), PAPER)
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + GAP
    return row


def _stacked(pictures: Sequence[Image], gap: int = GAP) -> Image:
    height = sum(p.height for p in pictures) + gap * (len(pictures) - 1)
    column = PIL_Image.new("RGB", (max(p.width for p in pictures), height), PAPER)
    top = 0
    for picture in pictures:
        column.paste(picture, (0, top))
        top += picture.height + gap
    return column


def _framed(body: Image, title: str, footer: str) -> Image:
    parts = [_text(title, body.width, TITLE_SIZE, INK)] if title else []
    parts.append(body)
    parts += [_text(footer, body.width, NOTE_SIZE, PALE)] if footer else []
    inner = _stacked(parts)
    framed = PIL_Image.new("RGB", (inner.width + 2 * MARGIN, inner.height + 2 * MARGIN), PAPER)
    framed.paste(inner, (MARGIN, MARGIN))
    return framed
