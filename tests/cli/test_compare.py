"""`python -m nst compare | sweep | reproduce`: one run as a subprocess, the others in here."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import nst.cli.compare
import nst.cli.main
import nst.engines.estimate
import nst.reports.reproduce
import nst.study.compare
import nst.study.variants
from nst.engines.painters import Offer, Optimization
from nst.machine import Calibration, Clock
from nst.pictures.images import read_report, save_png
from nst.settings.catalog import get
from nst.settings.recipe import Recipe
from nst.study.figures import figures, find
from nst.study.tables import COLUMNS
from nst.study.variants import refuse_if_too_long
from tests.helpers import invoke, refused

ROOT = Path(__file__).parents[2]
PICTURES = ["cat", "starry_night"]
SHORT = ["--vary", "pyramid.iterations=2,3", "--preset", "baseline", "--size", "64"]
TABLE = "peng-zhang-table-1"


def never(*_, **__):
    raise AssertionError("a run began")


@pytest.fixture
def here(tmp_path, monkeypatch, photo):
    """A folder with pictures in it, to work in."""
    monkeypatch.chdir(tmp_path)
    photo.save("photo.png")
    Path("text.jpg").write_text("not a picture")
    return tmp_path


@pytest.fixture
def no_run(monkeypatch):
    """Whoever begins to paint fails."""
    monkeypatch.setattr(nst.study.compare, "run", never)
    monkeypatch.setattr(nst.reports.reproduce, "paint", never)


# compare


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """One real comparison with its sheet and its report."""
    folder = tmp_path_factory.mktemp("compared")
    outputs = ["-o", folder / "s.png", "--report", folder / "r.json"]
    arguments = map(str, ["compare", *PICTURES, *SHORT, *outputs])
    command = [sys.executable, "-m", "nst", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_comparison_writes_a_sheet_that_carries_its_settings(compared):
    folder, _ = compared
    with Image.open(folder / "s.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 2 * 64
        tree = json.loads(sheet.info["nst"])
    assert tree == json.loads((folder / "r.json").read_text("utf-8"))


def test_a_comparison_writes_all_numbers_and_settings(compared):
    folder, _ = compared
    tree = json.loads((folder / "r.json").read_text("utf-8"))
    assert (tree["photo"], tree["painting"]) == tuple(PICTURES)
    assert [kept["title"] for kept in tree["variants"]] == ["2", "3"]
    for kept, steps in zip(tree["variants"], (2, 3), strict=True):
        recipe = Recipe.read(kept["report"]["settings"])
        assert (recipe.size, recipe.iterations) == (64, steps)
        assert recipe == get("baseline").recipe.but(kept["changes"])
        assert kept["numbers"]["iterations"] == steps
        assert kept["report"]["size"] == [64, 48]


def test_a_comparison_says_what_it_will_take_and_what_came_out(compared):
    folder, done = compared
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert re.fullmatch(r"2 variants, about \d+ s", lines[0])
    for line, title in zip(lines[1:3], "23", strict=True):
        numbers = r"content \d+, style \d+ of 100; [\d.]+ s, total [\d.e]+, common [\d.e]+"
        assert re.fullmatch(rf"{title}: {numbers}", line), line
    assert lines[3:] == [str(folder / "s.png")]


def test_presets_are_compared_and_written_as_csv(here, monkeypatch):
    short = {name: get(name).recipe.with_iterations(5) for name in ("quick", "tuned", "vgg16")}
    monkeypatch.setattr(
        nst.study.variants, "find", lambda name: Offer(get(name).title, Optimization(short[name]))
    )
    options = ["--presets", "quick, tuned,vgg16", "--size", "64"]
    done = invoke("compare", "photo.png", "starry_night", *options, "--report", "r.csv")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(Path("r.csv").read_text("utf-8").splitlines()))
    assert [row["variant"] for row in rows] == [get(name).title for name in short]
    assert [*rows[0]] == ["variant", *COLUMNS, "warning", "error"]
    assert {row["iterations"] for row in rows} == {"5"}
    assert [row["measured_by"] for row in rows] == ["vgg16", "vgg16", "vgg19"]
    assert sorted(path.name for path in here.iterdir()) == ["photo.png", "r.csv", "text.jpg"]


def test_a_variant_that_fails_is_said_and_the_others_are_written(here):
    options = ["--vary", "start.image=photo,picture", "--preset", "baseline", "--size", "64"]
    options += ["--set", "pyramid.iterations=1"]
    done = invoke("sweep", "photo.png", "starry_night", *options, "-o", "s.png")
    assert done.exit_code == 0, done.output
    assert "picture: `start.image` is picture, but no start picture was given." in done.stderr
    assert re.search(r"^photo: content \d+", done.stderr, re.MULTILINE)
    numbers = json.loads(Image.open("s.png").info["nst"])["variants"]
    assert [bool(kept["report"]) for kept in numbers] == [True, False]


def stopping(steps_of):
    """The generator, but after its first outcome somebody presses Ctrl-C."""

    def steps(*arguments, **options):
        for progress in steps_of(*arguments, **options):
            yield progress
            if progress.outcomes:
                raise KeyboardInterrupt

    return steps


def test_control_c_keeps_what_is_done(here, monkeypatch):
    monkeypatch.setattr(nst.study.compare, "run", stopping(nst.study.compare.run))
    done = invoke("compare", "photo.png", PICTURES[1], *SHORT, "-o", "s.png", "--report", "r.json")
    assert done.exit_code == 0, done.output
    assert "Stopped; keeping the 1 that are done." in done.stderr
    tree = json.loads(Path("r.json").read_text("utf-8"))
    assert [kept["title"] for kept in tree["variants"]] == ["2"]
    assert Path("s.png").exists()


def test_control_c_before_the_first_result_keeps_nothing(here, monkeypatch):
    def steps(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(nst.study.compare, "run", steps)
    done = invoke("compare", "photo.png", PICTURES[1], *SHORT, "-o", "s.png")
    assert done.exit_code == 130
    assert not Path("s.png").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["--presets", "--vary"]),
        (["--presets", "quick,tuned", "--vary", "seed=1,2"], ["--presets", "--vary"]),
        (["--presets", "quikc,tuned"], ["preset `quikc`", "`quick`"]),
        (["--presets", "quick"], ["2 to 6 presets, not 1"]),
        (["--presets", "quick,tuned", "--preset", "adain"], ["`--preset`", "`--vary`"]),
        (["--presets", "quick,quick"], ["each preset once"]),
        (["--presets", ","], ["2 to 6 presets, not 0"]),
        (["--vary", "seed=1"], ["2 to 6 values, not 1"]),
        (["--vary", "seed=1,2,3,4,5,6,7"], ["2 to 6 values, not 7"]),
        (["--vary", "seed"], ["`seed` needs the form"]),
        (["--vary", "iteration=5,6"], ["Did you mean `iterations`?"]),
        (["--vary", "seed=1,2", "--preset", "quikc"], ["Did you mean `quick`?"]),
        (["--vary", "strenght=0,1", "--preset", "adain"], ["`strenght`", "`strength`"]),
        (["--presets", "quick,tuned", "--size", "7"], ["`size`", "64"]),
        ([*SHORT, "-o", "s.jpg"], ["`s.jpg` must end with .png"]),
        ([*SHORT, "-o", "nowhere/s.png"], ["`nowhere` does not exist"]),
        ([*SHORT, "-o", "photo.png"], ["one of the pictures that go in"]),
        ([*SHORT, "--report", "r.txt"], ["`r.txt` must end with .csv or .json"]),
        ([*SHORT, "--report", "nowhere/r.csv"], ["`nowhere` does not exist"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_bad_comparison_is_refused_with_a_sentence(here, no_run, options, words):
    message = refused("compare", "photo.png", PICTURES[1], *options)
    assert [word for word in words if word not in message] == []
    assert sorted(path.name for path in here.iterdir()) == ["photo.png", "text.jpg"]


@pytest.mark.parametrize("command", ["compare", "sweep", "reproduce"])
def test_bad_pictures_are_refused_with_a_sentence(here, no_run, command):
    for photo, words in (("catt", "Did you mean `cat`?"), ("text.jpg", "is not a picture")):
        if command == "reproduce":
            message = refused(command, TABLE, "-o", "out", "--photo", photo)
        else:
            message = refused(command, photo, PICTURES[1], *SHORT, "-o", "s.png")
        assert words in message


# Too long


@pytest.fixture
def slow(monkeypatch):
    """A machine of known speed."""
    known = Calibration("float32", fixed=1e-3, per_pixel=4e-6, float32_per_pixel=4e-6)
    monkeypatch.setattr(nst.engines.estimate, "calibration", lambda: known)
    monkeypatch.setattr(Clock, "renew", lambda self: None)


def test_what_takes_more_than_20_minutes_is_refused_with_a_size_that_fits(here, no_run, slow):
    long = ["--vary", "seed=1,2,3,4,5,6", "--preset", "baseline"]
    message = refused("compare", "cat", PICTURES[1], *long, "--size", "2048", "-o", "s.png")
    assert "the limit is 20 min." in message
    assert not Path("s.png").exists()
    size = int(re.search(r"A size of (\d+) pixels would fit", message)[1])
    reached = invoke("compare", "cat", PICTURES[1], *long, "--size", size)
    assert str(reached.exception) == "a run began"


def test_one_setting_can_be_the_same_for_all_variants(here):
    output = ("-o", "s.png", "--report", "r.json")
    done = invoke(
        *("compare", "cat", PICTURES[1], "--presets", "quick,tuned", "--size", "64"),
        *("--set", "pyramid.scales=1", "--set", "pyramid.iterations=2", "--set", "seed=7", *output),
    )
    assert done.exit_code == 0, done.output
    kept = json.loads(Path("r.json").read_text("utf-8"))["variants"]
    assert [one["report"]["settings"]["seed"] for one in kept] == [7, 7]
    assert [one["numbers"]["iterations"] for one in kept] == [2, 2]


def test_a_setting_of_a_method_can_vary_too(here):
    varied = ("--preset", "adain", "--vary", "strength=0.3,1", "--size", "64")
    done = invoke("compare", "cat", PICTURES[1], *varied, "--report", "r.json")
    assert done.exit_code == 0, done.output
    kept = json.loads(Path("r.json").read_text("utf-8"))["variants"]
    assert [one["report"]["settings"]["strength"] for one in kept] == [0.3, 1.0]


def test_yes_paints_however_long_it_takes(here, no_run, slow):
    long = ["--vary", "seed=1,2,3,4,5,6", "--preset", "baseline", "--size", "2048", "--yes"]
    for command in ("compare", "sweep"):
        reached = invoke(command, "cat", PICTURES[1], *long, "-o", "s.png")
        assert str(reached.exception) == "a run began"
        assert re.search(r"6 variants, about \d+ (h|min) ", reached.stderr)


# sweep


@pytest.fixture(scope="module")
def swept(tmp_path_factory, photo):
    """One real grid with its report."""
    folder = tmp_path_factory.mktemp("swept")
    save_png(photo, folder / "in.png", {})
    axes = ["--vary", "style.layers=conv1_1=1, conv2_1;conv3_1", "--vary", "start.noise=0,0.5"]
    options = ["--preset", "baseline", "--size", "64", "--set", "pyramid.iterations=2"]
    outputs = ["-o", folder / "s.png", "--report", folder / "r.csv"]
    done = invoke("sweep", folder / "in.png", PICTURES[1], *axes, *options, *outputs)
    assert done.exit_code == 0, done.output
    return folder, done


def test_a_sweep_writes_a_grid_that_carries_its_settings(swept):
    folder, done = swept
    with Image.open(folder / "s.png") as grid:
        tree = json.loads(grid.info["nst"])
        assert grid.width > 2 * 64 + 140
    recipes = [Recipe.read(kept["report"]["settings"]) for kept in tree["variants"]]
    layers = [{"conv1_1": 1, "conv2_1": 1}, {"conv3_1": 1}]
    assert [recipe.style.layers for recipe in recipes] == layers * 2
    assert [recipe.start.noise for recipe in recipes] == [0, 0, 0.5, 0.5]
    assert {(recipe.size, recipe.iterations) for recipe in recipes} == {(64, 2)}
    assert (tree["photo"], tree["painting"]) == ("in.png", "starry_night")
    assert done.stderr.endswith(f"{folder / 's.png'}\n")


def test_a_sweep_writes_a_row_a_cell(swept):
    folder, _ = swept
    rows = list(csv.DictReader((folder / "r.csv").read_text("utf-8").splitlines()))
    titles = [
        f"{layers}, {n}" for n in ("0", "0.5") for layers in ("conv1_1=1, conv2_1", "conv3_1")
    ]
    assert [row["variant"] for row in rows] == titles
    assert {row["error"] for row in rows} == {""}


def test_a_sweep_of_sizes_paints_each(here):
    options = ["--preset", "baseline", "--set", "pyramid.iterations=1", "--vary", "size=64,72"]
    done = invoke("sweep", "photo.png", PICTURES[1], *options, "-o", "s.png", "--report", "r.json")
    assert done.exit_code == 0, done.output
    tree = json.loads(Path("r.json").read_text("utf-8"))
    assert [max(kept["report"]["size"]) for kept in tree["variants"]] == [64, 72]


def test_a_sheet_is_no_result_that_could_be_repeated(swept):
    folder, _ = swept
    message = refused("stylize", *PICTURES, "-o", folder / "x.png", "--like", folder / "s.png")
    assert "`s.png` has no settings inside" in message
    with pytest.raises(ValueError, match="no settings"):
        read_report(folder / "s.png")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--vary", "seed=" + ",".join(map(str, range(37)))], ["37 cells are too many", "36"]),
        (["--vary", "seed=1,2", "--vary", "ratio=1,2", "--vary", "tv.weight=1"], ["not 3"]),
        (["--vary", "seed=1,2", "--vary", "seed=3,4"], ["`seed` cannot be both axes"]),
        (["--vary", "seed=1,1"], ["has the value 1 twice"]),
        (["--vary", "iteration=5,6"], ["Did you mean `iterations`?"]),
        (["--vary", "profile=fin,coarse"], ["profile `fin`", "`fine`"]),
        (["--vary", "ratio=1,much"], ["`ratio` is `much`", "number"]),
        (["--vary", "seed=1,2", "--preset", "quikc"], ["Did you mean `quick`?"]),
        (["--vary", "seed=1,2", "--set", "sparkle=1"], ["setting `sparkle`"]),
        (["--vary", "seed=1,2", "--set", "size"], ["key=value"]),
        (["--vary", "seed=1,2", "-o", "s.webp"], ["`s.webp` must end with .png"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_a_bad_sweep_is_refused_with_a_sentence(here, no_run, options, words):
    output = [] if "-o" in options else ["-o", "s.png"]
    message = refused("sweep", "photo.png", PICTURES[1], *options, *output)
    assert [word for word in words if word not in message] == []
    assert not Path("s.png").exists()


# reproduce


@pytest.fixture
def short(monkeypatch):
    """All tables and figures, each with few steps, by the commands' own look-up."""

    def shortened(name):
        return find(name).model_copy(update={"vary": {"iterations": "2"}})

    monkeypatch.setattr(nst.cli.compare, "find_figure", shortened)


def test_tables_and_figures_are_listed_with_their_report():
    done = invoke("reproduce", "--list")
    assert done.exit_code == 0
    for name, figure in figures().items():
        assert re.search(rf"^{name} +{re.escape(figure.title)}$", done.stdout, re.MULTILINE)
        assert f"{figure.report}, {figure.place}" in done.stdout


def test_a_table_is_painted_and_its_agreement_said(here, short):
    arguments = ["reproduce", TABLE, "-o", "new/out", "--photo", "photo.png", "--size", "64"]
    done = invoke(*arguments)
    assert done.exit_code == 0, done.output
    files = {path.name for path in Path("new/out").iterdir()}
    assert files == {f"{TABLE}.png", f"{TABLE}.csv", f"{TABLE}.json", "results"}
    tree = json.loads(Path(f"new/out/{TABLE}.json").read_text("utf-8"))
    first, *results, last = done.stderr.strip().splitlines()
    assert first.startswith(f"{TABLE}: about ")
    assert [line.partition(":")[0] for line in results] == list(tree["measured"])
    assert last == f"{TABLE}: {tree['agreement']}"
    before = Path(f"new/out/{TABLE}.json").read_bytes()
    again = invoke(*arguments)
    assert again.exit_code == 0
    assert Path(f"new/out/{TABLE}.json").read_bytes() == before  # seconds too: it was recalled


def test_control_c_stops_all_figures_and_the_next_time_goes_on(here, short, monkeypatch):
    paint = nst.reports.reproduce.paint
    monkeypatch.setattr(nst.reports.reproduce, "paint", stopping(paint))
    arguments = ["reproduce", TABLE, "peng-zhang-2-1", "-o", "out", "--photo", "photo.png"]
    done = invoke(*arguments, "--size", "64")
    assert done.exit_code == 0, done.output
    assert done.stderr.strip().splitlines()[-1] == "Stopped; keeping the 1 that are done."
    assert [path.name for path in Path("out").iterdir()] == ["results"]
    painted = []

    def watched(*pictures):
        for progress in paint(*pictures):
            painted.extend([progress.painting.title] if progress.step else [])
            yield progress

    monkeypatch.setattr(nst.reports.reproduce, "paint", watched)
    assert invoke("reproduce", TABLE, *arguments[3:], "--size", "64").exit_code == 0
    assert {*painted} == {"Final model"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "out"], ["--all", "--list"]),
        ([TABLE, "--all", "-o", "out"], ["--all", "--list"]),
        (["lu-table-11", "-o", "out"], ["table or figure `lu-table-11`", "`lu-table-1`"]),
        ([TABLE], ["Give a folder with `-o`"]),
        ([TABLE, "-o", "photo.png"], ["`photo.png` cannot be used: file exists"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_bad_reproduction_is_refused_with_a_sentence(here, no_run, arguments, words):
    message = refused("reproduce", *arguments)
    assert [word for word in words if word not in message] == []
    assert not Path("out").exists()


def test_a_size_that_cannot_be_painted_is_refused_with_a_sentence(here):
    message = refused("reproduce", TABLE, "-o", "out", "--photo", "photo.png", "--size", "7")
    assert "`size`" in message


def test_the_limit_is_that_of_the_pages():
    assert nst.study.variants.MOST_SECONDS == 20 * 60
    assert refuse_if_too_long.__defaults__ == (nst.study.variants.MOST_SECONDS,)
