"""Pictures beside each other on one sheet, with captions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image as PIL_Image
from PIL import ImageDraw, ImageFont
from PIL.Image import Image

from nst.study import tables
from nst.study.compare import Outcome
from nst.study.variants import Axis

FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
GAP, MARGIN = 12, 24  # pixels
PAPER, INK, PALE, MISSING = "#ffffff", "#1e1b2e", "#66627a", "#ece9f3"
TITLE_SIZE, CAPTION_SIZE, NOTE_SIZE = 20, 14, 12
MOST_SIDE, HEAD = 2400, 140  # pixels: a sheet's width, the heads of a grid's rows
LEAST_WIDTH = 150  # pixels of a panel, so that words fit under a narrow picture


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
) -> Image:
    """Panels in rows of `columns` (by default up to three, or four from seven on).

    Pictures have their own width, reduced where the sheet would become wider than 2400 pixels.
    """
    columns = min(len(panels), columns or (3 if len(panels) < 7 else 4))
    widest = max((p.picture.width for p in panels if p.picture), default=256)
    most = (MOST_SIDE - 2 * MARGIN - (columns - 1) * GAP) // columns
    width = min(widest, most)
    worded = any(panel.caption or panel.lines for panel in panels)
    wide = max(width, min(LEAST_WIDTH, most)) if worded else width
    cells = [_panel(panel, width, _height(panels, width), wide) for panel in panels]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    body = _stacked([_beside(row) for row in rows])
    above = [_text(title, body.width, TITLE_SIZE, INK)] if title else []
    below = [_text(footer, body.width, NOTE_SIZE, PALE)] if footer else []
    return _framed(_stacked([*above, body, *below]))


@dataclass(frozen=True)
class Heads:
    """The name of an axis and its values, in order."""

    label: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A drawn grid and where its cells lie: (left, top, right, bottom) by (row, column)."""

    picture: Image
    boxes: Mapping[tuple[int, int], tuple[int, int, int, int]]


def grid(
    rows: Sequence[Sequence[Panel]],
    across: Heads,
    down: Heads | None = None,
    *,
    title: str = "",
) -> Grid:
    """Panels with the values of one or two axes as heads of the columns and rows.

    Cells are as wide as their pictures and their words need, reduced where the sheet would become
    wider than 2400 pixels.
    """
    panels = [panel for row in rows for panel in row]
    widest = max((p.picture.width for p in panels if p.picture), default=256)
    indent = HEAD + GAP if down else 0
    most = (MOST_SIDE - 2 * MARGIN - indent) // len(rows[0]) - GAP
    width = min(widest, most)
    height, wide = _height(panels, width), max(width, min(LEAST_WIDTH, most))
    heads = _beside([_text(value, wide, CAPTION_SIZE, INK) for value in across.values])
    bands = [_beside([_panel(panel, width, height, wide) for panel in row]) for row in rows]
    lines = [_text(across.label, heads.width, NOTE_SIZE, PALE), heads, *bands]
    if down:
        labels = [_text(value, HEAD, CAPTION_SIZE, INK) for value in down.values]
        left = [_blank(HEAD, 1), _text(down.label, HEAD, NOTE_SIZE, PALE), *labels]
        lines = [_beside(pair) for pair in zip(left, lines, strict=True)]
    above = [_text(title, lines[0].width, TITLE_SIZE, INK)] if title else []
    boxes, top = {}, MARGIN + sum(part.height + GAP for part in (*above, *lines[:2]))
    for row, line in enumerate(lines[2:]):
        for column in range(len(rows[row])):
            start = MARGIN + indent + column * (wide + GAP)
            boxes[row, column] = (start, top, start + wide, top + line.height)
        top += line.height + GAP
    return Grid(_framed(_stacked([*above, *lines])), boxes)


def _height(panels: Sequence[Panel], width: int) -> int:
    sizes = [p.picture.size for p in panels if p.picture] or [(4, 3)]
    return max(round(width * h / w) for w, h in sizes)


def field_for(panel: Panel) -> Image:
    """A gray field with the panel's words, where a picture alone is shown."""
    field = PIL_Image.new("RGB", (360, 270), MISSING)
    words = "\n".join(filter(None, (panel.caption, *panel.lines)))
    field.paste(_text(words, 320, CAPTION_SIZE, INK, MISSING), (20, 20))
    return field


def _panel(panel: Panel, width: int, height: int, wide: int) -> Image:
    """The picture `width` pixels wide, and its words in `wide` ones."""
    if panel.picture:
        picture = panel.picture.resize(
            (width, max(1, round(width * panel.picture.height / panel.picture.width))),
            PIL_Image.Resampling.LANCZOS,
        )
    else:
        picture = PIL_Image.new("RGB", (width, height), MISSING)
    parts = [picture]
    if panel.caption:
        parts.append(_text(panel.caption, wide, CAPTION_SIZE, INK))
    parts += [_text(line, wide, NOTE_SIZE, PALE) for line in panel.lines if line]
    column = _stacked(parts, gap=4)
    cell = _blank(wide, column.height)
    cell.paste(column)
    return cell


def _text(text: str, width: int, size: int, color: str, paper: str = PAPER) -> Image:
    font = _font(size)
    lines = [line for part in text.split("\n") for line in _wrapped(part, width, font)]
    height = round(1.3 * size)
    picture = PIL_Image.new("RGB", (max(1, width), max(1, height * len(lines))), paper)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((0, number * height), line, fill=color, font=font)
    return picture


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, size)


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Lines of whole words that fit the width; a word that is too long is cut."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if font.getlength(longer) <= width:
            line = longer
            continue
        lines += [line] if line else []
        while font.getlength(word) > width and len(word) > 1:
            fits = next(
                n
                for n in range(len(word) - 1, 0, -1)
                if n == 1 or font.getlength(word[:n]) <= width
            )
            lines.append(word[:fits])
            word = word[fits:]
        line = word
    return [*lines, line]


def _blank(width: int, height: int) -> Image:
    return PIL_Image.new("RGB", (width, height), PAPER)


def _beside(pictures: Sequence[Image]) -> Image:
    width = sum(p.width for p in pictures) + GAP * (len(pictures) - 1)
    row = _blank(width, max(p.height for p in pictures))
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + GAP
    return row


def _stacked(pictures: Sequence[Image], gap: int = GAP) -> Image:
    height = sum(p.height for p in pictures) + gap * (len(pictures) - 1)
    column = _blank(max(p.width for p in pictures), height)
    top = 0
    for picture in pictures:
        column.paste(picture, (0, top))
        top += picture.height + gap
    return column


def _framed(inner: Image) -> Image:
    framed = _blank(inner.width + 2 * MARGIN, inner.height + 2 * MARGIN)
    framed.paste(inner, (MARGIN, MARGIN))
    return framed


def panel(outcome: Outcome) -> Panel:
    """A result with its figures, or a field with its error."""
    if outcome.result is None:
        return Panel(None, outcome.variant.title, (outcome.error,))
    numbers = tables.row(outcome)
    lines: tuple[str, ...] = (
        f"content {numbers['content_score']:.0f}, style {numbers['style_score']:.0f} of 100",
        _cost(numbers),
    )
    if numbers["warning"]:
        lines = (*lines, "stopped early: its numbers grew out of range")
    return Panel(outcome.result.picture, outcome.variant.title, lines)


def _cost(numbers: Mapping[str, Any]) -> str:
    """What a result took."""
    time = f"{numbers['seconds']:.1f} s"
    steps = numbers["iterations"]
    return f"at once, {time}" if steps is None else f"{tables.shown(steps)} iterations in {time}"


def sheet_title(photo: str, painting: str, subject: str) -> str:
    """`cat, great_wave: Quick, Content layer`; without a subject, the two pictures alone."""
    return f"{photo}, {painting}" + (f": {subject}" if subject else "")


def comparison_sheet(outcomes: Sequence[Outcome], title: str) -> Image:
    """All results with captions."""
    return sheet([panel(outcome) for outcome in outcomes], title=title)


def sweep_sheet(outcomes: Sequence[Outcome], axes: Sequence[Axis], title: str) -> Grid:
    """Results where their values say; cells that are not painted yet are gray."""
    across, *down = (Heads(axis.label, axis.values) for axis in axes)
    done = {outcome.variant.place: panel(outcome) for outcome in outcomes}
    rows = [
        [_cell(done.get((row, column))) for column in range(len(across.values))]
        for row in range(len(down[0].values) if down else 1)
    ]
    return grid(rows, across, down[0] if down else None, title=title)


def _cell(found: Panel | None) -> Panel:
    return Panel(found.picture, "", found.lines[:1]) if found else Panel(None, "")
