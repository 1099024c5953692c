"""A broken file of data is named by every command that reads it, and stops no other."""

import shutil

import pytest

from nst.checkpoints import hub
from nst.settings import catalog, onepass, training
from nst.study import figures
from tests.cli.test_compare import invoke, refused

PAINT = ("stylize", "cat", "great_wave", "-o", "r.png", "--size", "64", "--iterations", "5")
SWAP = ("swap", "cat", "great_wave", "-o", "r.png", "--size", "64")
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


@pytest.fixture(params=CASES)
def broken(request, tmp_path, monkeypatch):
    """One file without a title; its name."""
    module, constant, _ = CASES[request.param]
    copy = tmp_path / "presets"
    ignored = shutil.ignore_patterns("*.safetensors", "*.webp", "*.jpg", "*.png", "*.json")
    shutil.copytree(catalog.ROOT, copy, ignore=ignored)
    path = copy / request.param
    path.write_text(path.read_text("utf-8").replace("title =", "tittle ="), "utf-8")
    monkeypatch.setattr(module, constant, path if constant == "CATALOG" else path.parent)
    return request.param


def test_it_is_named_with_its_key_and_stops_nothing_else(broken):
    readers = CASES[broken][2]
    for command in readers:
        said = refused(*command)
        assert broken.rpartition("/")[2] in said
        assert "Unknown key `tittle`. Did you mean `title`?" in said
    for command in {*ELSEWHERE} - {*readers} - ALSO.get(broken, set()):
        done = invoke(*command)
        assert done.exit_code == 0, (command, done.output, done.exception)
