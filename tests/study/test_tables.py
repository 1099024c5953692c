"""Numbers of a comparison, as rows, CSV and JSON."""

import csv
import io
import json
import math
from dataclasses import asdict, replace

import pytest

from nst.engines.optimize import stylize
from nst.settings.catalog import get
from nst.settings.recipe import Recipe
from nst.steps import Losses, last
from nst.study.compare import COMMON
from nst.study.measures import MEASURES
from nst.study.tables import COLUMNS, as_csv, as_tree, row, shown


@pytest.fixture(scope="module")
def tree(outcomes):
    """The JSON of a comparison, written and read back."""
    return json.loads(json.dumps(as_tree(outcomes, "castle", "stars"), allow_nan=False))


def test_a_row_has_every_column(outcomes):
    for outcome in outcomes:
        assert list(row(outcome)) == ["variant", *COLUMNS, "warning", "error"]


def test_a_row_has_the_numbers_of_the_run(outcomes):
    outcome = outcomes[0]
    numbers, report = row(outcome), outcome.result.report
    for name in ("seconds", "iterations", "seconds_per_iteration"):
        assert numbers[name] == getattr(report, name)
    assert numbers["iterations"] == 2
    losses = outcome.result.history[-1]
    assert numbers["total_loss"] == losses.total
    assert numbers["content_loss"] == losses.terms["content"].weighted
    assert numbers["style_loss"] == losses.terms["style"].weighted
    assert numbers["common_total"] == outcome.common.total
    assert numbers["common_tv"] == outcome.common.terms["tv"].weighted
    assert numbers["measured_by"] == "vgg16"
    assert {name: numbers[name] for name in asdict(outcome.looks)} == asdict(outcome.looks)


def test_a_row_has_every_measure_and_scores_are_no_losses(outcomes):
    numbers, measures = row(outcomes[0]), asdict(outcomes[0].measures)
    names = {"content": "content_score", "style": "style_score"}
    for name in MEASURES:
        assert numbers[names.get(name, name)] == measures[name]
        assert COLUMNS[names.get(name, name)].label.startswith(MEASURES[name].label)
    assert not {"content", "style"} & {*numbers}


def test_columns_have_different_labels_and_say_what_they_are():
    labels = [column.label for column in COLUMNS.values()]
    assert len(labels) == len({*labels})
    assert all(column.label and column.help for column in COLUMNS.values())
    assert COMMON in COLUMNS["common_total"].help


def test_what_a_run_has_not_is_none(outcomes):
    losses = outcomes[0].result.history[-1]
    assert "tv" not in losses.terms
    assert row(outcomes[0])["tv_loss"] is None
    failed = row(outcomes[1])
    assert failed["variant"] == "conv4_2"
    assert {failed[name] for name in COLUMNS} == {None}
    assert failed["error"] == outcomes[1].error != ""


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_none(outcomes, number):
    outcome = outcomes[0]
    broken = replace(
        outcome,
        measures=replace(outcome.measures, ssim=number),
        common=Losses(number, outcome.common.terms),
    )
    numbers = row(broken)
    assert numbers["ssim"] is numbers["common_total"] is None
    assert numbers["gram"] == outcome.measures.gram
    assert json.loads(json.dumps(as_tree([broken], "a", "b"), allow_nan=False))


def test_the_csv_reads_back(outcomes):
    first = replace(outcomes[0], variant=replace(outcomes[0].variant, title='a, "b" é\nc'))
    text = as_csv([first, *outcomes[1:]])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 3
    for found, outcome in zip(rows, [first, *outcomes[1:]], strict=True):
        expected = row(outcome)
        assert list(found) == list(expected)
        assert found == {k: "" if v is None else str(v) for k, v in expected.items()}
        if outcome.result:
            assert float(found["total_loss"]) == expected["total_loss"]


def test_the_json_has_everything_of_each_variant(tree, outcomes):
    assert (tree["photo"], tree["painting"]) == ("castle", "stars")
    assert tree["common_objective"] == COMMON
    assert [kept["title"] for kept in tree["variants"]] == ["conv3_2", "conv4_2", "conv5_2"]
    for kept, outcome in zip(tree["variants"], outcomes, strict=True):
        assert kept["numbers"] == row(outcome)
        assert kept["preset"] == "baseline"
        assert (kept["photo"], kept["painting"]) == ("", "")
    assert tree["variants"][1]["report"] is None


def test_the_json_is_enough_to_paint_a_variant_again(tree, outcomes, photo, painting):
    for kept, outcome in zip(tree["variants"], outcomes, strict=True):
        assert get(kept["preset"]).recipe.but(kept["changes"]) == outcome.variant.settings
    kept, outcome = tree["variants"][2], outcomes[2]
    recipe = Recipe.read(kept["report"]["settings"])
    assert recipe == outcome.variant.settings
    again = last(stylize(photo, painting, recipe, precision=kept["report"]["precision"]))
    assert again.picture.tobytes() == outcome.result.picture.tobytes()


def test_the_json_names_the_pictures_of_a_variant(outcomes):
    variant = replace(outcomes[0].variant, photo="cat", painting="result:conv3_2")
    (kept,) = as_tree([replace(outcomes[0], variant=variant)], "a", "b")["variants"]
    assert (kept["photo"], kept["painting"]) == ("cat", "result:conv3_2")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("vgg16", "vgg16"),
        (7, "7"),
        (123456, "123456"),
        (0.0, "0"),
        (0.5, "0.5"),
        (12.0, "12"),
        (1.23456, "1.235"),
        (0.000123456, "0.0001235"),
        (1e-7, "1e-7"),
        (1234.5, "1234"),
        (9999.4, "9999"),
        (12345.6, "1.235e4"),
        (99999.9, "1e5"),
        (1780934.4, "1.781e6"),
        (-1643762800.0, "-1.644e9"),
        (2.5e12, "2.5e12"),
    ],
)
def test_a_number_is_shown_with_four_digits_at_most(value, text):
    assert shown(value) == text
