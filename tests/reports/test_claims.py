"""What becomes of a report's conclusion under given numbers."""

import json

import pytest

from nst.reports.claims import (
    FAILS,
    HOLDS,
    PARTLY,
    UNKNOWN,
    Verdict,
    agreement,
    as_trees,
    verdict,
    verdicts,
)
from nst.study.figures import Claim, find

COLUMN = "chroma"


def judged(kind, values, **details):
    """The verdict on variants with these numbers."""
    titles = [f"variant {number}" for number in range(len(values))]
    claim = Claim(says="It is so", kind=kind, column=COLUMN, of=titles, **details)
    return verdict(claim, {t: {COLUMN: v} for t, v in zip(titles, values, strict=True)})


@pytest.mark.parametrize(
    ("direction", "values", "found"),
    [
        ("up", [1, 2], HOLDS),
        ("up", [2, 1], FAILS),
        ("up", [1, 1], FAILS),
        ("down", [2, 1], HOLDS),
        ("down", [1, 2], FAILS),
        ("up", [1, 2, 3, 4, 5], HOLDS),
        ("up", [-3, -2.5, 0, 1e9], HOLDS),
        ("up", [1, 2, 4, 3], PARTLY),  # Kendall's tau 2/3
        ("up", [1, 2, 3, 3], PARTLY),
        ("down", [5, 4, 3, 1, 2], PARTLY),
        ("up", [2, 1, 4, 3], FAILS),  # tau 1/3
        ("up", [1, 3, 2], FAILS),  # tau 1/3
        ("up", [5, 4, 3, 2, 1], FAILS),
        ("up", [1, 1, 1], FAILS),
    ],
)
def test_an_order_holds_in_part_where_most_pairs_are_right(direction, values, found):
    assert judged("order", values, direction=direction).verdict == found


@pytest.mark.parametrize(
    ("percent", "new", "old", "found"),
    [
        (-79.1, 20.9, 100, HOLDS),
        (-79.1, 40, 100, HOLDS),  # a quarter of 79 away
        (-79.1, 41.1, 100, PARTLY),
        (-79.1, 99, 100, PARTLY),
        (-79.1, 100, 100, FAILS),
        (79.1, 100, 100, FAILS),
        (-79.1, 101, 100, FAILS),
        (16, 106, 100, HOLDS),  # 10 points away, if a quarter is less
        (5, 111, 100, PARTLY),  # but not for small changes
        (5, 116, 100, PARTLY),
        (5, 98, 100, FAILS),  # close, but the other way
        (92197.8, 80000, 100, HOLDS),
        (92197.8, 200, 100, PARTLY),
        (50, -5, -10, HOLDS),
    ],
)
def test_a_change_holds_in_part_where_only_its_direction_is_right(percent, new, old, found):
    assert judged("change", [new, old], percent=percent).verdict == found


def test_a_change_from_zero_cannot_be_said():
    found = judged("change", [3, 0], percent=20)
    assert found.verdict == UNKNOWN
    assert str(found) == (
        "It is so: cannot be said (saturation is zero for the one it is compared with)."
    )


@pytest.mark.parametrize(
    ("within", "values", "found"),
    [
        (5, [10, 15], HOLDS),
        (5, [15, 10, 12.5], HOLDS),
        (5, [10, 15.1], FAILS),
        (0, [2, 2, 2], HOLDS),
        (1, [1, 1, 9], FAILS),
    ],
)
def test_alike_means_within_a_distance(within, values, found):
    assert judged("alike", values, within=within).verdict == found


@pytest.mark.parametrize(
    ("direction", "values", "found"),
    [
        ("up", [75, 100], HOLDS),
        ("up", [74, 100], FAILS),
        ("down", [74, 100], HOLDS),
        ("down", [75, 100], FAILS),
        ("up", [300, 100], HOLDS),
        ("up", [1, 0], UNKNOWN),
    ],
)
def test_a_share_is_of_the_second(direction, values, found):
    assert judged("share", values, direction=direction, percent=75.0).verdict == found


@pytest.mark.parametrize(
    ("direction", "values", "found"),
    [
        ("up", [9, 1, 2], HOLDS),
        ("up", [9, 9, 2], HOLDS),
        ("up", [5, 9, 2], PARTLY),
        ("up", [1, 9, 2], FAILS),
        ("down", [1, 9, 2], HOLDS),
        ("down", [2, 9, 1, 5], PARTLY),
        ("down", [9, 1, 2], FAILS),
        ("up", [9, 1], HOLDS),
        ("up", [1, 9], FAILS),  # the second of two is the last
    ],
)
def test_an_extreme_that_is_second_holds_in_part(direction, values, found):
    assert judged("extreme", values, direction=direction).verdict == found


@pytest.mark.parametrize("missing", [None, "vgg16"])
@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("order", {"direction": "up"}),
        ("change", {"percent": 3}),
        ("alike", {"within": 1}),
        ("extreme", {"direction": "up"}),
        ("share", {"direction": "up", "percent": 75.0}),
    ],
)
def test_without_a_number_nothing_can_be_said(kind, details, missing):
    found = judged(kind, [1, missing], **details)
    assert found == Verdict("It is so", UNKNOWN, "saturation is missing for a variant")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            judged("change", [15, 100], percent=-87.2),
            "It is so: holds (saturation -85 %, published -87 %).",
        ),
        (
            judged("order", [1, 12345.6], direction="up"),
            "It is so: holds (saturation 1, 1.235e4).",
        ),
        (
            judged("alike", [1.0, 2.5], within=1),
            "It is so: does not hold (saturation 1, 2.5; alike means within 1).",
        ),
        (
            judged("extreme", [2, 3, 1], direction="up"),
            "It is so: holds in part (saturation 2 against 3, 1).",
        ),
    ],
    ids=["change", "order", "alike", "extreme"],
)
def test_a_verdict_is_a_sentence_with_its_numbers(found, text):
    assert str(found).replace("−", "-") == text


def of(*kinds):
    return [Verdict("It is so", kind, "1, 2") for kind in kinds]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([], "The report draws no conclusion here that numbers could confirm."),
        (of(HOLDS), "The conclusion holds."),
        (of(PARTLY), "The conclusion holds in part."),
        (of(FAILS), "The conclusion does not hold."),
        (of(UNKNOWN), "The conclusion cannot be said."),
        (of(HOLDS, HOLDS), "2 of 2 conclusions hold."),
        (of(FAILS, FAILS), "0 of 2 conclusions hold, 2 not."),
        (of(HOLDS, PARTLY, HOLDS), "2 of 3 conclusions hold, 1 in part."),
        (of(HOLDS, FAILS, UNKNOWN), "1 of 3 conclusions hold, 1 not, 1 cannot be said."),
        (of(PARTLY, FAILS, HOLDS, PARTLY), "1 of 4 conclusions hold, 2 in part, 1 not."),
    ],
)
def test_the_agreement_counts_every_conclusion(found, sentence):
    assert agreement(found) == sentence


def test_a_figure_has_a_verdict_on_each_of_its_claims():
    figure = find("peng-zhang-table-1")
    columns = {claim.column for claim in figure.claims}
    rows = {
        "Baseline": dict.fromkeys(columns, 1.0),
        "Final model": dict.fromkeys(columns, 2.0) | {"seconds": 0.2},
    }
    found = verdicts(figure, rows)
    assert [one.says for one in found] == [claim.says for claim in figure.claims]
    assert [one.verdict for one in found] == [HOLDS, PARTLY, HOLDS, HOLDS, HOLDS]
    trees = json.loads(json.dumps(as_trees(found)))
    assert [Verdict(**tree) for tree in trees] == found
