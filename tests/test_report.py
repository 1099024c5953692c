"""Reports of results: what is written, and what is read of any version and any hand."""

import json

import pytest

from nst.names import printable
from nst.report import BadReport, RunReport, versions

FULL = {"engine": "optimization", "settings": {"size": 64, "style": {"layers": {"conv1_1": 1}}}}


def test_what_does_not_apply_is_not_written():
    tree = RunReport(**FULL, size=(64, 48), iterations=3).as_dict()
    assert tree["size"] == [64, 48]
    assert tree["iterations"] == 3
    assert not {"checkpoint", "weights", "method", "losses"} & set(tree)


def test_what_is_written_is_read_as_it_was():
    report = RunReport(
        **FULL,
        versions=versions(),
        checkpoint={"name": "mine", "from": "me/mine:w.pth@main"},
        training={"photos": 118_287, "seconds": 12.5},
        paintings=("a", "b"),
        weights=(1.0, 0.5),
    )
    tree = json.loads(json.dumps(report.as_dict()))
    assert RunReport.read(tree, "r.png") == report
    assert tree["checkpoint"]["from"] == "me/mine:w.pth@main"
    assert repr(tree["training"]["photos"]) == "118287"


@pytest.mark.parametrize(
    ("told", "engine"),
    [
        ({}, "optimization"),
        ({"preset": "quick", "checkpoint": None}, "optimization"),
        ({"method": "wct"}, "any painting"),
        ({"checkpoint": {"name": "candy", "from": "candy.pth"}}, "trained network"),
        ({"engine": "any painting", "checkpoint": None}, "any painting"),
    ],
)
def test_the_engine_of_an_old_report_is_told_by_its_entries(told, engine):
    assert RunReport.read({"settings": {}, **told}, "r.png").engine == engine


def test_entries_that_this_version_does_not_know_are_left_out():
    assert RunReport.read({**FULL, "curve": [1], "scores": {}}, "r.png") == RunReport(**FULL)


@pytest.mark.parametrize("name", ["👨\u200d👩\u200d👧.png", "نما\u200cیش.jpg", "a\x1b[2Jb.png"])
def test_any_name_of_a_picture_is_read_again_and_printable(name):
    report = RunReport(**FULL).but(photo=name)
    again = RunReport.read(json.loads(json.dumps(report.as_dict())), "r.png")
    assert again.photo == printable(name)


@pytest.mark.parametrize(
    ("tree", "field", "words"),
    [
        ({}, "settings", "`settings` is missing"),
        ({"settings": 5}, "settings", "`settings` is 5: it must be a table"),
        ({"settings": {}, "seconds": "soon"}, "seconds", "`seconds` is 'soon'"),
        ({"settings": {}, "weights": [1, "x"]}, "weights.1", "`weights.1` is 'x'"),
        ([1], "", "r.json"),
    ],
)
def test_what_does_not_fit_is_named(tree, field, words):
    with pytest.raises(BadReport) as refused:
        RunReport.read(tree, "r.json")
    assert refused.value.field == field
    assert words in str(refused.value)
    assert str(refused.value).startswith("`r.json` cannot be used: ")
