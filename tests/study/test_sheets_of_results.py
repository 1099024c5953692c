"""Sheets of real results."""

from dataclasses import replace

import pytest

from nst.pictures.images import resized
from nst.study.sheets import LEAST_WIDTH, MARGIN, comparison_sheet, panel, sheet_title, sweep_sheet
from nst.study.tables import row
from nst.study.variants import axis, grid

AXES = [axis("content-layer=conv3_2,conv4_2,conv5_2"), axis("seed=0,1")]


def part(picture, box, size):
    """What lies at the top of a box."""
    return picture.crop((*box[:2], box[0] + size[0], box[1] + size[1]))


def is_gray(picture):
    return picture.getcolors() == [(picture.width * picture.height, (0xEC, 0xE9, 0xF3))]


def test_a_result_is_shown_with_its_scores_and_its_time(outcomes):
    found, numbers = panel(outcomes[0]), row(outcomes[0])
    assert found.picture is outcomes[0].result.picture
    assert found.caption == "conv3_2"
    content, style = numbers["content_score"], numbers["style_score"]
    assert found.lines == (
        f"content {content:.0f}, style {style:.0f} of 100",
        f"2 iterations in {numbers['seconds']:.1f} s",
    )


def test_a_failure_is_shown_with_its_sentence(outcomes):
    found = panel(outcomes[1])
    assert (found.picture, found.caption) == (None, "conv4_2")
    assert found.lines == (outcomes[1].error,)


def test_a_comparison_shows_its_results_bit_for_bit(outcomes):
    drawn = comparison_sheet(outcomes, "")
    height = outcomes[0].result.picture.height
    size = outcomes[0].result.picture.size
    for column, outcome in enumerate(outcomes):
        left = MARGIN + column * (LEAST_WIDTH + 12)
        shown = part(drawn, (left, MARGIN), size)
        if outcome.result:
            assert shown.tobytes() == outcome.result.picture.tobytes()
        else:
            assert is_gray(shown)
    assert drawn.height > 2 * MARGIN + height + 30  # words below


def test_results_of_other_sizes_are_shown_alike(outcomes):
    first, _, last = outcomes
    small = resized(last.result.picture, (32, 22))
    smaller = replace(last, result=replace(last.result, picture=small))
    drawn = comparison_sheet([first, smaller], "")
    assert drawn.width == comparison_sheet([first, last], "").width


def test_a_title_says_what_was_painted(outcomes):
    title = sheet_title("cat", "great_wave", "Quick, Seed")
    assert title == "cat, great_wave: Quick, Seed"
    assert sheet_title("cat", "great_wave", "") == "cat, great_wave"
    with_title, without = (comparison_sheet(outcomes, words) for words in (title, ""))
    assert with_title.height > without.height


@pytest.mark.parametrize("axes", [AXES[:1], AXES], ids=["one axis", "two axes"])
def test_a_sweep_shows_each_result_in_its_cell(outcomes, axes):
    drawn = sweep_sheet(outcomes, axes, "Baseline")
    assert len(drawn.boxes) == 3 * len(axes)
    for outcome in outcomes:
        box = drawn.boxes[outcome.variant.place]
        size = outcomes[0].result.picture.size
        shown = part(drawn.picture, box, size)
        if outcome.result:
            assert shown.tobytes() == outcome.result.picture.tobytes()
        else:
            assert is_gray(shown)
    for place in {*drawn.boxes} - {outcome.variant.place for outcome in outcomes}:
        assert is_gray(part(drawn.picture, drawn.boxes[place], size))


def test_the_grid_has_room_for_every_variant(outcomes):
    variants = grid("baseline", AXES, 64)
    assert {*sweep_sheet(outcomes, AXES, "").boxes} == {variant.place for variant in variants}


def test_a_sweep_can_be_shown_before_its_first_result():
    drawn = sweep_sheet([], AXES, "Baseline")
    assert len(drawn.boxes) == 6
    for left, top, right, _ in drawn.boxes.values():
        assert is_gray(drawn.picture.crop((left, top, right, top + 9)))
