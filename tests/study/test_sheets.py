"""Sheets and grids: where pictures lie, and that every letter is drawn."""

from itertools import count, product

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from nst.settings.catalog import all_presets, paintings, photos
from nst.study.figures import figures
from nst.study.sheets import (
    CAPTION_SIZE,
    FONT,
    GAP,
    HEAD,
    INK,
    LEAST_WIDTH,
    MARGIN,
    MISSING,
    MOST_SIDE,
    NOTE_SIZE,
    PALE,
    TITLE_SIZE,
    Heads,
    Panel,
    field_for,
    grid,
    sheet,
)
from nst.study.tables import COLUMNS

LONG = "Average pooling lowers the total: holds in part (−85 %, published −87 %), gjpqy ÄÉĆ"
ENDLESS = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
STRANGE = "Lakić −85 % × é"


def plain(color, size=(64, 48)):
    return Image.new("RGB", size, color)


def colors(number):
    """So many colors that are neither paper nor ink."""
    return [(40 + 5 * n, 255 - 5 * n, (90 * n) % 256) for n in range(number)]


def darkness(picture):
    """How much lower than white each pixel is, summed up."""
    return (255 - np.asarray(picture.convert("L"), float)).sum()


def words_alone(text, size, color=INK):
    """The darkness of the words of a text, each drawn with room to spare."""
    font, total = ImageFont.truetype(FONT, size), 0.0
    for word in text.split():
        room = Image.new("RGB", (2000, 80), "white")
        ImageDraw.Draw(room).text((20, 20), word, fill=color, font=font)
        total += darkness(room)
    return total


def box_of(picture, color):
    """The rectangle of all pixels of a color, which must be full of it."""
    found = np.asarray(picture.convert("RGBX")).view("<u4")[..., 0]  # one number a pixel
    found = found == int.from_bytes(bytes((*color, 255)), "little")
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    assert rows.size, "the color is not there"
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    assert found[top:bottom, left:right].all()
    return int(left), int(top), int(right), int(bottom)


# Sheets


def test_pictures_lie_in_rows_at_their_own_size():
    shown = colors(3)
    picture = sheet([Panel(plain(color), "") for color in shown])
    assert picture.size == (2 * MARGIN + 3 * 64 + 2 * GAP, 2 * MARGIN + 48)
    for color, column in zip(shown, count()):
        left = MARGIN + column * (64 + GAP)
        assert box_of(picture, color) == (left, MARGIN, left + 64, MARGIN + 48)


@pytest.mark.parametrize(
    ("number", "options", "columns"),
    [
        (1, {}, 1),
        (2, {}, 2),
        (3, {}, 3),
        (6, {}, 3),
        (7, {}, 4),
        (9, {}, 4),
        (6, {"columns": 6}, 6),
        (2, {"columns": 5}, 2),
    ],
)
def test_a_row_has_three_panels_or_four_from_seven_on(number, options, columns):
    shown = colors(number)
    picture = sheet([Panel(plain(color), "") for color in shown], **options)
    assert picture.width == 2 * MARGIN + columns * 64 + (columns - 1) * GAP
    lefts = [(box_of(picture, color)[0] - MARGIN) // (64 + GAP) for color in shown]
    tops = [(box_of(picture, color)[1] - MARGIN) // (48 + GAP) for color in shown]
    assert [*zip(tops, lefts, strict=True)] == [divmod(n, columns) for n in range(number)]


def test_pictures_of_other_shapes_keep_them():
    red, blue = (200, 0, 0), (0, 0, 200)
    wide, high = plain(red, (80, 40)), plain(blue, (40, 80))
    picture = sheet([Panel(wide, ""), Panel(high, "")])
    left, top, right, bottom = box_of(picture, red)
    assert (right - left, bottom - top) == (80, 40)
    left, top, right, bottom = box_of(picture, blue)
    assert (right - left, bottom - top) == (80, 160)


@pytest.mark.parametrize("number", [2, 3, 6])
def test_a_sheet_is_2400_pixels_wide_at_most(number):
    shown = colors(number)
    picture = sheet([Panel(plain(c, (1500, 900)), "") for c in shown], columns=number)
    assert MOST_SIDE - number < picture.width <= MOST_SIDE == 2400
    for color in shown:
        left, top, right, bottom = box_of(picture, color)
        assert (right - left) / (bottom - top) == pytest.approx(15 / 9, rel=0.01)


def test_what_has_no_picture_is_a_gray_field_of_the_others_size():
    red = (200, 0, 0)
    picture = sheet([Panel(plain(red), ""), Panel(None, "")])
    left, top, right, bottom = box_of(picture, (0xEC, 0xE9, 0xF3))
    assert MISSING == "#ece9f3"
    assert (right - left, bottom - top) == (64, 48)
    assert box_of(picture, red)[1] == top


def test_a_sheet_of_nothing_but_failures_can_be_drawn():
    picture = sheet([Panel(None, "A", ("It failed.",)), Panel(None, "B", ("It failed, too.",))])
    assert picture.width > 400


def test_a_field_has_the_words_of_its_panel():
    field = field_for(Panel(None, "A title", (LONG, "")))
    on_gray = 255 - np.asarray(Image.new("RGB", (1, 1), MISSING).convert("L"), float).item()
    text = darkness(field) - on_gray * field.width * field.height
    assert text == pytest.approx(words_alone(f"A title {LONG}", CAPTION_SIZE), rel=0.12)
    assert np.ptp(np.asarray(field)[:, -20:]) <= 0xF3 - 0xE9  # the margin is empty


# Letters


@pytest.mark.parametrize("width", [48, 64, 100, 257, 1200])
@pytest.mark.parametrize("text", [LONG, ENDLESS, STRANGE, "a " * 60, "W" * 99])
def test_a_caption_loses_no_letter_however_narrow_its_picture(width, text):
    picture = sheet([Panel(plain("white", (width, 10)), text)])
    expected = words_alone(text, CAPTION_SIZE)
    if len(max(text.split(), key=len)) > 60:  # drawn in parts
        expected = sum(words_alone(letter, CAPTION_SIZE) for letter in text)
    assert darkness(picture) == pytest.approx(expected, rel=0.02)
    left, top, right, bottom = Image.eval(picture.convert("L"), lambda v: 255 - v).getbbox()
    wide = max(width, LEAST_WIDTH)
    assert left >= MARGIN and right <= MARGIN + wide == picture.width - MARGIN
    assert top >= MARGIN + 10 and bottom <= picture.height - MARGIN


def test_title_lines_and_footer_lose_no_letter_either():
    panel = Panel(plain("white", (150, 10)), "", (LONG, "", STRANGE))
    picture = sheet([panel], title=f"{STRANGE} {LONG}", footer=f"{LONG}\n– {STRANGE}")
    expected = words_alone(f"{STRANGE} {LONG}", TITLE_SIZE)
    expected += words_alone(f"{LONG} {STRANGE} {LONG} – {STRANGE}", NOTE_SIZE, PALE)
    assert darkness(picture) == pytest.approx(expected, rel=0.02)


def test_captions_stay_under_their_own_picture():
    panels = [Panel(plain(color, (160, 120)), f"{LONG} {ENDLESS}", (LONG,)) for color in colors(4)]
    pixels = np.asarray(sheet(panels, columns=4))
    for column in range(3):
        left = MARGIN + 160 + column * (160 + GAP)
        assert (pixels[:, left : left + GAP] == 255).all()


def test_lines_of_a_text_do_not_touch():
    picture = sheet([Panel(plain("white", (300, 10)), "gjpqy|Ç\nÄÉĆ|Ů")])
    dark = (np.asarray(picture.convert("L")) < 250).any(1)
    rows = np.flatnonzero(dark)
    assert (np.diff(rows) > 1).sum() == 1


def drawn(letter):
    return sheet([Panel(plain("white", (LEAST_WIDTH, 4)), letter)]).tobytes()


def test_every_letter_that_the_program_writes_is_in_the_font():
    texts = [STRANGE, "–…“”≈✓✗≤ ‖√²°'", *(column.label for column in COLUMNS.values())]
    for figure in figures().values():
        texts += [figure.title, figure.report, figure.place, *(c.title for c in figure.cells)]
        texts += [claim.says for claim in figure.claims]
    for entry in (*all_presets().values(), *photos().values(), *paintings().values()):
        texts.append(entry.title)
    missing = drawn("\U000e0080")  # no font has this one
    assert missing != drawn("")
    letters = {letter for text in texts for letter in text if not letter.isspace()}
    assert {"ć", "−", "×", "é", "%"} <= letters
    assert [letter for letter in sorted(letters) if drawn(letter) in (missing, drawn(""))] == []


def test_letters_with_and_without_an_accent_look_different():
    for one, other in ("ćc", "éc", "éE", "−-", "×x"):
        assert drawn(one) != drawn(other)


# Grids


def painted(rows, columns, size=(160, 120), words=()):
    shown = iter(colors(rows * columns))
    cells = [[plain(next(shown), size) for _ in range(columns)] for _ in range(rows)]
    return [[Panel(cell, "", words) for cell in row] for row in cells]


def heads(number, text="{}"):
    return Heads("Seed", tuple(text.format(n) for n in range(number)))


@pytest.mark.parametrize("title", ["", "Quick", LONG])
@pytest.mark.parametrize("words", [(), (LONG,)], ids=["no words", "words"])
@pytest.mark.parametrize(
    ("rows", "columns", "down"),
    [(1, 2, None), (1, 5, None), (3, 2, "{}"), (2, 3, LONG + " {}"), (1, 1, "{}")],
)
def test_a_box_contains_the_picture_of_its_cell(rows, columns, down, words, title):
    panels = painted(rows, columns, words=words)
    drawn = grid(panels, heads(columns), heads(rows, down) if down else None, title=title)
    assert {*drawn.boxes} == {*product(range(rows), range(columns))}
    for place, (left, top, right, bottom) in drawn.boxes.items():
        color = panels[place[0]][place[1]].picture.getpixel((0, 0))
        assert box_of(drawn.picture, color) == (left, top, left + 160, top + 120)
        assert right == left + 160
        assert top + 120 <= bottom <= drawn.picture.height - MARGIN
        assert right <= drawn.picture.width - MARGIN


def test_boxes_do_not_overlap():
    boxes = [*grid(painted(3, 4, words=(LONG,)), heads(4), heads(3, LONG)).boxes.values()]
    for one, other in product(boxes, boxes):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart or one == other


@pytest.mark.parametrize(("rows", "columns"), [(1, 36), (6, 6), (2, 18)])
def test_a_grid_of_36_large_cells_is_2400_pixels_wide_at_most(rows, columns):
    down = heads(rows) if rows > 1 else None
    panels = painted(rows, columns, (480, 320))
    drawn = grid(panels, heads(columns), down)
    assert drawn.picture.width <= MOST_SIDE
    for place, (left, top, right, _) in drawn.boxes.items():
        color = panels[place[0]][place[1]].picture.getpixel((0, 0))
        found = box_of(drawn.picture, color)
        assert found[:3] == (left, top, right)
        assert (found[3] - found[1]) == round((right - left) * 2 / 3)


@pytest.mark.parametrize("size", [(1, 66), (96, 2), (30, 30)])
def test_words_have_room_beside_a_narrow_picture(size):
    """Bug: one letter a line under pictures of a few pixels' width."""
    drawn = grid(painted(1, 2, size, ("content 12, style 34",)), heads(2), title="Quick")
    assert [r - left for left, _, r, _ in drawn.boxes.values()] == [LEAST_WIDTH] * 2
    assert drawn.picture.height < 2 * MARGIN + size[1] + 150
    captioned = sheet([Panel(plain((9, 99, 9), size), "Average pooling")])
    assert captioned.width == 2 * MARGIN + LEAST_WIDTH
    left, top, right, bottom = box_of(captioned, (9, 99, 9))
    assert (right - left, bottom - top) == size


def test_cells_without_a_picture_are_gray_and_have_a_box():
    panels = painted(2, 2)
    panels[1][0] = Panel(None, "", ("It failed.",))
    drawn = grid(panels, heads(2), heads(2))
    left, top, right, _ = drawn.boxes[1, 0]
    gray = drawn.picture.crop((left, top, right, top + 120))
    assert gray.getcolors() == [(160 * 120, (0xEC, 0xE9, 0xF3))]


def test_a_grid_before_its_first_cell_is_done_can_be_drawn():
    drawn = grid([[Panel(None, "")] * 3] * 2, heads(3), heads(2))
    assert len(drawn.boxes) == 6


def test_heads_of_a_grid_lose_no_letter():
    words = [LONG, STRANGE]
    across, down = Heads(f"Across {STRANGE}", (LONG, "b")), Heads("Down", ("c", LONG))
    blank = [[Panel(plain("white"), "", (STRANGE,)) for _ in range(2)] for _ in range(2)]
    drawn = grid(blank, across, down, title=" ".join(words))
    expected = words_alone(" ".join(words), TITLE_SIZE)
    expected += words_alone(f"{LONG} b c {LONG}", CAPTION_SIZE)
    expected += words_alone("Across Down" + f" {STRANGE}" * 5, NOTE_SIZE, PALE)
    assert darkness(drawn.picture) == pytest.approx(expected, rel=0.02)
    left = min(box[0] for box in drawn.boxes.values())
    assert left == MARGIN + HEAD + GAP
    gap = np.asarray(drawn.picture)[drawn.boxes[0, 0][1] :, left - GAP : left]
    assert (gap == 255).all()
