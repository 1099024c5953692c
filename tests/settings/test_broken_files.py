"""A broken file of data is named by every command that reads it, and stops no other."""

import re
import shutil

import pytest

from nst.checkpoints import hub
from nst.settings import catalog, onepass, training
from nst.settings.files import BadFile
from nst.study import choice, figures
from tests.helpers import invoke, refused

PAINT = ("stylize", "cat", "great_wave", "-o", "r.png", "--size", "64", "--iterations", "5")
SWAP = ("swap", "cat", "great_wave", "-o", "r.png", "--size", "64")
TRAIN_INVERSE = ("train-inverse", "--photos", "photos", "-o", "x.safetensors")
TRAIN_INVERSE += ("--recipe", "conv3_1")
TRAIN = ("train", "great_wave", "--photos", "photos", "-o", "x.safetensors")
ELSEWHERE = (
    (*PAINT, "--preset", "tuned"),
    (*SWAP, "--method", "wct"),
    ("fast", "cat", "-o", "f.png", "--size", "64", "--checkpoint", "great-wave"),
    ("presets",),
    ("checkpoints",),
    ("reproduce", "--list"),
)
# The file; where the program looks for it; commands that read it. No other may fail.
CASES = {
    "recipes/quick.toml": (catalog, "RECIPES", [(*PAINT, "--preset", "quick"), ("presets",)]),
    "methods/adain.toml": (onepass, "FOLDER", [(*SWAP, "--method", "adain")]),
    "training/ours.toml": (training, "NETWORKS_FOLDER", [TRAIN]),
    "reports/lu-table-1.toml": (figures, "FOLDER", [("reproduce", "--list")]),
    "checkpoints.toml": (hub, "CATALOG", [("checkpoints",), ELSEWHERE[2]]),
    "training/inverse/conv3_1.toml": (training, "DECODERS_FOLDER", [TRAIN_INVERSE]),
}
# What is done to a file, and what is said of it.
FAULTS = {
    "an unknown key": (
        lambda text: text.replace("title =", "tittle ="),
        "Unknown key `tittle`. Did you mean `title`?",
    ),
    "no TOML": (lambda text: text + "\n[recipe\n", "line"),
    "a number for a text": (lambda text: re.sub('title = ".*"', "title = 5", text), "`title`"),
}
CACHES = (
    *(catalog.get, catalog.all_presets, onepass.method, onepass.all_methods, training._read),
    *(figures.figures, hub.catalog, catalog.preset_files, onepass.method_files),
)
# Figures show presets and checkpoints, by whose names they are found.
ALSO = {key: {("reproduce", "--list")} for key in ("recipes/quick.toml", "checkpoints.toml")}


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """A folder to work in, and nothing remembered from before or for later."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for remembered in CACHES:
        remembered.cache_clear()
    yield
    monkeypatch.undo()
    for remembered in CACHES:
        remembered.cache_clear()


@pytest.fixture(params=[(file, fault) for file in CASES for fault in FAULTS], ids=" with ".join)
def broken(request, tmp_path, monkeypatch):
    """One file with one fault; its name, and what must be said."""
    file, fault = request.param
    module, constant, _ = CASES[file]
    change, words = FAULTS[fault]
    copy = tmp_path / "presets"
    ignored = shutil.ignore_patterns("*.safetensors", "*.webp", "*.jpg", "*.png", "*.json")
    shutil.copytree(catalog.ROOT, copy, ignore=ignored)
    path = copy / file
    path.write_text(change(path.read_text("utf-8")), "utf-8")
    monkeypatch.setattr(module, constant, path if constant == "CATALOG" else path.parent)
    return file, words


def test_it_is_named_with_its_key_and_stops_nothing_else(broken):
    file, words = broken
    readers = CASES[file][2]
    for command in readers:
        said = refused(*command)
        assert file.rpartition("/")[2] in said
        assert words in said
    for command in {*ELSEWHERE} - {*readers} - ALSO.get(file, set()):
        done = invoke(*command)
        assert done.exit_code == 0, (command, done.output, done.exception)


def test_a_broken_comparison_is_named_by_the_page_that_offers_it(tmp_path, monkeypatch):
    path = tmp_path / "comparisons.toml"
    path.write_text(choice.READY.read_text("utf-8").replace("presets =", "prestes =", 1), "utf-8")
    monkeypatch.setattr(choice, "READY", path)
    choice.ready_made.cache_clear()
    with pytest.raises(BadFile, match=r"comparisons\.toml.*`prestes`"):
        choice.ready_made()
    choice.ready_made.cache_clear()
    assert invoke("presets").exit_code == 0


def test_a_broken_credit_is_named_by_what_opens_pictures(tmp_path, monkeypatch):
    credits = (catalog.IMAGES / "CREDITS.toml").read_text("utf-8")
    (tmp_path / "CREDITS.toml").write_text(credits.replace("title =", "tittle ="), "utf-8")
    monkeypatch.setattr(catalog, "IMAGES", tmp_path)
    for remembered in (catalog.photos, catalog.paintings):
        remembered.cache_clear()
    said = refused(*PAINT)
    assert "CREDITS.toml" in said and "`title`" in said
    assert invoke("presets").exit_code == 0
    monkeypatch.undo()
    for remembered in (catalog.photos, catalog.paintings):
        remembered.cache_clear()
