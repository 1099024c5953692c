"""Tables and figures painted for real, small and short, and what a folder remembers of them."""

import csv
import inspect
import json
from dataclasses import replace

import pytest
from PIL import Image

import nst.engines.painters
from nst.engines.painters import find as find_painter
from nst.pictures.images import read_report
from nst.reports.claims import UNKNOWN, agreement, verdicts
from nst.reports.reproduce import Store, drawing, paint
from nst.settings.recipe import Recipe
from nst.study import compare
from nst.study.figures import Cell, Claim, Figure, find
from nst.study.sheets import GAP, LEAST_WIDTH, MARGIN
from nst.study.tables import COLUMNS, row
from nst.study.variants import Variant

DARKER = Claim(says="Noise is worse", kind="order", column="ssim", of=("A", "B"), direction="down")


PUBLISHED = {"seconds": 60.0, "ssim": 0.5}
CELLS = (
    Cell(title="A", published=PUBLISHED),
    Cell(title="B", published=PUBLISHED, vary={"start.noise": "1"}),
)


def figure(**details):
    """Two short runs, of which the second starts from noise."""
    given = {
        "name": "mine",
        "report": "Me",
        "place": "figure 1",
        "title": "Mine",
        "says": "It is so.",
        "preset": "baseline",
        "vary": {"iterations": "2"},
        "rank": 1,
        "cells": CELLS,
        "claims": (DARKER,),
    }
    return Figure(**given | details)


def painted(steps):
    """Titles of the variants that were really painted, and the outcomes."""
    titles, progress = [], None
    for progress in steps:
        if progress.step and progress.painting.title not in titles:
            titles.append(progress.painting.title)
    return titles, progress.outcomes


def rows(outcomes):
    return [row(outcome) for outcome in outcomes]


def stored(folder):
    """The files of finished variants."""
    return sorted(path for path in (folder / "results").iterdir())


@pytest.fixture(scope="module")
def once(photo, painting, tmp_path_factory):
    """A figure that was painted into an empty folder: the folder and the outcomes."""
    folder = tmp_path_factory.mktemp("once") / "new"
    titles, outcomes = painted(paint(figure(), photo, painting, folder, 64))
    assert titles == ["A", "B"]
    return folder, outcomes


@pytest.fixture
def done(once, tmp_path):
    """A copy of that folder, to be damaged."""
    folder, _ = once
    (tmp_path / "results").mkdir()
    for path in stored(folder):
        (tmp_path / "results" / path.name).write_bytes(path.read_bytes())
    return tmp_path


# What is written


def test_a_figure_is_a_sheet_a_table_and_a_tree(once):
    folder, outcomes = once
    files = {path.name for path in folder.iterdir()}
    assert files == {"mine.png", "mine.csv", "mine.json", "results"}
    with Image.open(folder / "mine.png") as sheet:
        width, height = outcomes[0].result.picture.size
        for column, outcome in enumerate(outcomes):
            left = MARGIN + column * (max(width, LEAST_WIDTH) + GAP)
            shown = {
                sheet.crop((left, top, left + width, top + height)).tobytes()
                for top in range(sheet.height - height)
            }
            assert outcome.result.picture.tobytes() in shown
    found = list(csv.DictReader((folder / "mine.csv").read_text("utf-8").splitlines()))
    assert [one["variant"] for one in found] == ["A", "B"]
    assert float(found[1]["total_loss"]) == outcomes[1].result.history[-1].total


def test_the_tree_has_published_numbers_beside_measured_ones(once):
    folder, outcomes = once
    tree = json.loads((folder / "mine.json").read_text("utf-8"))
    assert tree["name"] == "mine"
    assert tree["published"] == {"A": PUBLISHED, "B": PUBLISHED}
    assert tree["measured"] == {"A": row(outcomes[0]), "B": row(outcomes[1])}
    assert {*tree["measured"]["A"]} == {"variant", *COLUMNS, "warning", "error"}
    assert tree["sizes"] == {"A": [64, 43], "B": [64, 43]}
    preset, changes = tree["changes"]["B"]
    assert preset == "baseline"
    assert changes == {"size": 64, "start.noise": 1, "pyramid.iterations": [2]}
    found = verdicts(figure(), tree["measured"])
    assert tree["agreement"] == agreement(found) == "The conclusion holds."
    assert [claim["says"] for claim in tree["claims"]] == ["Noise is worse"]


def test_a_sheet_has_a_line_for_each_published_number_and_each_claim(once):
    _, outcomes = once
    whole = drawing(figure(), outcomes)
    unpublished = figure(cells=(Cell(title="A"), Cell(title="B")))
    assert drawing(unpublished, outcomes).height <= whole.height - 40
    assert drawing(figure(columns=()), outcomes).height <= whole.height - 40
    assert drawing(figure(claims=(DARKER, DARKER)), outcomes).height > whole.height
    assert drawing(figure(title="Mine " * 30), outcomes).height > whole.height


def test_retrained_weights_are_painted_with_again(photo, painting, tmp_path, monkeypatch):
    """What was kept of other weights is not taken for theirs."""
    variant = Variant("A", "style-swap", find_painter("style-swap").painter.but({"size": 64}))
    store = Store(tmp_path / "results")
    for _ in compare.run(photo, painting, [variant], keep=store.keep):
        pass
    assert store.recall(variant, photo, painting)
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"retrained")
    monkeypatch.setattr(nst.engines.painters, "bundled_file", lambda layer, family: other)
    assert store.recall(variant, photo, painting) is None


def test_a_table_of_a_report_is_painted_beside_its_numbers(photo, painting, tmp_path):
    short = find("peng-zhang-table-1").model_copy(update={"vary": {"iterations": "3"}})
    titles, outcomes = painted(paint(short, photo, painting, tmp_path, 64))
    assert titles == ["Baseline", "Final model"]
    tree = json.loads((tmp_path / "peng-zhang-table-1.json").read_text("utf-8"))
    assert tree["published"]["Baseline"] == {"seconds": 111.73, "total_loss": 1780934.4}
    for outcome in outcomes:
        measured = tree["measured"][outcome.variant.title]
        assert measured["iterations"] == 3
        assert measured["total_loss"] == outcome.result.history[-1].total
    assert len(tree["claims"]) == len(short.claims) == 5
    assert UNKNOWN not in {claim["verdict"] for claim in tree["claims"]}
    assert "published -79 %" in tree["claims"][0]["numbers"]


def test_by_default_a_figure_has_256_pixels():
    size = inspect.signature(paint).parameters["size"].default
    assert size == 256


# What is kept


def test_a_kept_result_carries_its_settings(once):
    folder, outcomes = once
    pictures = [path for path in stored(folder) if path.suffix == ".png"]
    assert len(pictures) == 2
    settings = [Recipe.read(read_report(path).settings) for path in pictures]
    assert all(outcome.variant.settings in settings for outcome in outcomes)


def test_a_second_run_paints_nothing_and_says_the_same(once, done, photo, painting):
    folder, outcomes = once
    titles, again = painted(paint(figure(), photo, painting, done, 64))
    assert titles == []
    assert rows(again) == rows(outcomes)
    for one, other in zip(again, outcomes, strict=True):
        assert one.result.picture.tobytes() == other.result.picture.tobytes()
        assert (one.measures, one.looks, one.common) == (other.measures, other.looks, other.common)
    for name in ("mine.png", "mine.csv", "mine.json"):
        assert (done / name).read_bytes() == (folder / name).read_bytes()


def test_figures_share_what_they_have_in_common(done, photo, painting):
    same = {"name": "another", "vary": {"pyramid.iterations": "2"}, "columns": ("detail",)}
    other = figure(cells=CELLS[1:], claims=(), **same)
    titles, outcomes = painted(paint(other, photo, painting, done, 64))
    assert titles == []
    assert outcomes[0].variant == other.variants(64)[0]
    assert len(stored(done)) == 4


@pytest.mark.parametrize("change", ["photo", "painting", "size", "settings"])
def test_what_was_made_by_something_else_is_painted(done, photo, painting, change):
    pictures = {"photo": photo, "painting": painting}
    if change in pictures:
        pictures[change] = pictures[change].copy()
        pictures[change].putpixel((3, 3), (1, 2, 3))
    details = {"vary": {"iterations": "2", "seed": "1"}} if change == "settings" else {}
    size = 72 if change == "size" else 64
    one = figure(cells=CELLS[:1], claims=(), **details)
    steps = paint(one, *pictures.values(), done, size)
    assert painted(steps)[0] == ["A"]


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".png", truncate),
        (".png", lambda path: path.write_bytes(b"")),
        (".png", lambda path: path.unlink()),
        (".json", truncate),
        (".json", lambda path: path.write_bytes(b"")),
        (".json", lambda path: path.write_text("{}")),
        (".json", lambda path: path.write_text("[]")),
        (".json", lambda path: path.write_bytes(b"\xff\xfe")),
        (".json", lambda path: path.write_text(path.read_text().replace("ssim", "mssim"))),
        (".json", lambda path: path.unlink()),
    ],
    ids=[
        *("half a picture", "empty picture", "no picture"),
        *("half a tree", "empty tree", "bare tree", "list", "no text", "another layout", "no tree"),
    ],
)
def test_a_damaged_file_is_painted_again(once, done, photo, painting, suffix, damage):
    variant = figure().variants(64)[0]
    store = Store(done / "results")
    assert store.recall(variant, photo, painting)
    whole = {path.name: path.read_bytes() for path in stored(done)}
    for path in stored(done):
        if path.suffix == suffix:
            damage(path)
    assert store.recall(variant, photo, painting) is None
    store.keep(once[1][0], photo, painting)
    assert rows([store.recall(variant, photo, painting)]) == rows(once[1][:1])
    mended = {path.name: path.read_bytes() for path in stored(done)}
    assert sum(mended.get(name) == data for name, data in whole.items()) == 3


def test_a_damaged_file_is_painted_again_within_its_figure(once, done, photo, painting):
    truncate(next(path for path in stored(done) if path.suffix == ".json"))
    titles, outcomes = painted(paint(figure(), photo, painting, done, 64))
    assert len(titles) == 1
    for one, other in zip(outcomes, once[1], strict=True):
        assert one.result.picture.tobytes() == other.result.picture.tobytes()


def test_a_run_that_was_stopped_goes_on_where_it_was(once, photo, painting, tmp_path):
    steps = paint(figure(), photo, painting, tmp_path, 64)
    next(at for at in steps if at.step and at.painting.title == "B")
    steps.close()
    assert [path.suffix for path in stored(tmp_path)] == [".json", ".png"]
    assert not (tmp_path / "mine.json").exists()
    titles, outcomes = painted(paint(figure(), photo, painting, tmp_path, 64))
    assert titles == ["B"]
    assert (tmp_path / "mine.json").exists()
    for one, other in zip(outcomes, once[1], strict=True):
        assert one.result.picture.tobytes() == other.result.picture.tobytes()


def test_a_result_that_is_fed_back_is_recalled_with_what_came_of_it(photo, painting, tmp_path):
    fed = Cell(title="C", painting="result:A")
    twice = figure(cells=(Cell(title="A"), fed), claims=())
    first = painted(paint(twice, photo, painting, tmp_path, 64))
    again = painted(paint(twice, photo, painting, tmp_path, 64))
    assert (first[0], again[0]) == (["A", "C"], [])
    assert rows(first[1]) == rows(again[1])


def test_losses_that_are_not_finite_are_kept(once, photo, painting, tmp_path):
    outcome = once[1][0]
    common = replace(outcome.common, total=float("inf"))
    store = Store(tmp_path)
    store.keep(replace(outcome, common=common), photo, painting)
    assert store.recall(outcome.variant, photo, painting).common == common


def test_a_failure_is_written_down_but_not_kept(photo, painting, tmp_path):
    needy = Cell(title="B", vary={"start.image": "picture"})
    broken = figure(cells=(Cell(title="A"), needy), claims=(DARKER,))
    painted(paint(broken, photo, painting, tmp_path, 64))
    assert len(stored(tmp_path)) == 2
    tree = json.loads((tmp_path / "mine.json").read_text("utf-8"))
    assert "`start.image`" in tree["measured"]["B"]["error"]
    assert tree["measured"]["B"]["ssim"] is None
    assert [claim["verdict"] for claim in tree["claims"]] == [UNKNOWN]
    assert [*tree["sizes"]] == ["A"]


def test_a_store_can_be_used_by_any_comparison(once, done, photo, painting):
    store = Store(done / "results")
    steps = compare.run(photo, painting, figure().variants(64), recall=store.recall)
    assert painted(steps)[0] == []
