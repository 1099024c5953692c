"""The command line: real runs as a subprocess, bad input in this process."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import nst.cli.main
import nst.cli.terminal
import nst.study.gallery
from nst.engines.painters import Offer, Optimization, find, repeated
from nst.pictures.images import open_picture, read_report, save_png
from nst.settings.catalog import DEFAULT_PRESET, GALLERY, all_presets, get
from nst.settings.recipe import Recipe
from tests.helpers import invoke, refused

ROOT = Path(__file__).parents[2]
PICTURES = ["neuschwanstein", "starry_night"]
QUICK = ["--size", "64", "--iterations", "6"]


def command(*arguments):
    return [sys.executable, "-m", "nst", *map(str, arguments)]


def run(*arguments):
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    """One real run with everything that it can write."""
    folder = tmp_path_factory.mktemp("painted")
    options = ["--report", folder / "r.json", "--time-lapse", folder / "r.webp"]
    options += ["--seed", "3", "--set", "start.noise=0.5", "--set", "style.layers.conv1_1=0.3"]
    done = run("stylize", *PICTURES, "-o", folder / "r.png", *QUICK, *options)
    return folder, done


def test_a_run_writes_a_picture_with_its_settings(painted):
    folder, _ = painted
    with Image.open(folder / "r.png") as picture:
        assert picture.format == "PNG"
        assert max(picture.size) == 64
        assert picture.mode == "RGB"
    settings = read_report(folder / "r.png").settings
    recipe = Recipe.read(settings)
    assert (recipe.size, recipe.iterations, recipe.seed, recipe.start.noise) == (64, 6, 3, 0.5)
    assert recipe.style.layers["conv1_1"] == 0.3
    untouched = {"content", "backbone", "optimizer", "tv", "normalization"}
    default = get(DEFAULT_PRESET).recipe
    assert recipe.model_dump(include=untouched) == default.model_dump(include=untouched)


def test_a_run_writes_a_report(painted):
    folder, _ = painted
    report = json.loads((folder / "r.json").read_text("utf-8"))
    assert report["preset"] == DEFAULT_PRESET
    assert (report["photo"], report["painting"]) == tuple(PICTURES)
    assert max(report["size"]) == 64
    assert report["iterations"] == 6
    assert 0 < report["seconds_per_iteration"] <= report["seconds"]
    assert report["precision"] in ("float32", "bfloat16")
    assert {"nst", "torch", "pillow", "python"} <= set(report["versions"])
    for losses in (report["losses"]["first"], report["losses"]["last"]):
        assert losses["total"] > 0
        for kind in ("weighted", "unweighted"):
            assert {"content", "style"} <= set(losses[kind])
    assert report == read_report(folder / "r.png").as_dict()


def test_a_run_writes_a_time_lapse(painted):
    folder, _ = painted
    with Image.open(folder / "r.webp") as lapse:
        assert lapse.is_animated
        assert 3 <= lapse.n_frames <= 50
        assert max(lapse.size) == 64


def test_a_run_says_what_it_will_take_and_what_it_took(painted):
    folder, done = painted
    assert re.search(r"about \d+ s, \d\.\d GB of memory", done.stderr)
    assert f"{folder / 'r.png'}: 64 × " in done.stderr
    assert "6 iterations" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kept", ["r.png", "r.json"])
def test_like_repeats_a_saved_picture_bit_for_bit(painted, tmp_path, kept):
    folder, _ = painted
    run("stylize", *PICTURES, "-o", tmp_path / "again.png", "--like", folder / kept)
    with Image.open(folder / "r.png") as first, Image.open(tmp_path / "again.png") as again:
        assert first.tobytes() == again.tobytes()


ONE_PASS = {
    "method": ["swap", "cat", "great_wave", "--method", "adain", "--mix", "starry_night=0.5"],
    "network": ["fast", "cat", "--checkpoint", "great-wave"],
    "stylize": ["stylize", "cat", "great_wave", "--preset", "style-swap"],
}


@pytest.mark.parametrize("kind", ONE_PASS)
def test_like_repeats_results_of_every_engine(kind, tmp_path):
    paintings = [] if kind == "network" else ["great_wave"]
    one, other = tmp_path / "first.png", tmp_path / "again.png"
    for command in (
        [*ONE_PASS[kind], "-o", one, "--size", "72"],
        ["stylize", "cat", *paintings, "-o", other, "--like", one],
    ):
        done = invoke(*command)
        assert done.exit_code == 0, done.output
    first, again = read_report(one), read_report(other)
    assert (again.engine, again.settings) == (first.engine, first.settings)
    assert (again.paintings, again.weights) == (first.paintings, first.weights)
    assert again.checkpoint == first.checkpoint
    assert open_picture(one).tobytes() == open_picture(other).tobytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--iterations", "5"], ["`--iterations` is for presets; adain paints in one pass"]),
        (["--start", "cat"], ["`--start` is for presets"]),
        (["--time-lapse", "t.webp"], ["`--time-lapse` is for presets"]),
        (["--seed", "1"], ["`--seed` is for presets"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_only_optimizations_have_is_refused_for_others(here, options, words):
    message = refused("stylize", *PICTURES, "-o", "r.png", "--preset", "adain", *options)
    assert [word for word in words if word not in message] == []


def test_a_trained_network_takes_no_painting(here):
    message = refused("stylize", *PICTURES, "-o", "r.png", "--preset", "great-wave")
    assert "great-wave has learned its own painting: leave out `starry_night`" in message


def test_an_option_of_its_own_comes_before_the_settings(tmp_path):
    options = ["--size", "64", "--set", "size=96", "--iterations", "3"]
    assert invoke("stylize", *PICTURES, "-o", tmp_path / "r.png", *options).exit_code == 0
    assert read_report(tmp_path / "r.png").size[0] == 64


def test_a_preset_needs_a_painting(here):
    assert "Give a painting" in refused("stylize", "cat", "-o", "r.png")


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_of_the_gallery_can_be_repeated(path):
    """They were written before reports said which engine painted."""
    painter = repeated(read_report(path))
    name = path.stem.removeprefix("method-").removeprefix("instant-")
    assert painter.but({"size": 64}).settings == find(name).painter.but({"size": 64}).settings


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for subprocesses")
def test_control_c_keeps_the_picture(tmp_path):
    arguments = ["-o", tmp_path / "r.png", "--size", "64", "--iterations", "9000"]
    running = subprocess.Popen(
        command("stylize", *PICTURES, *arguments),
        cwd=ROOT,
        env=os.environ | {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLUMNS": "200"},
        stderr=subprocess.PIPE,
        # A test run in the background of a shell would hand down an ignored signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        seen = b""
        while not re.search(rb"[1-9]\d*/9000", seen):  # the progress bar has seen a step
            part = os.read(running.stderr.fileno(), 4096)
            assert part, seen.decode()
            seen += part
        running.send_signal(signal.SIGINT)
        seen += running.communicate(timeout=60)[1]
    finally:
        running.kill()
        running.wait()
    text = seen.decode()
    assert running.returncode == 0, text
    assert "keeping the picture" in text
    assert "Traceback" not in text
    report = read_report(tmp_path / "r.png").as_dict()
    assert 1 <= report["iterations"] < 9000
    with Image.open(tmp_path / "r.png") as picture:
        assert max(picture.size) == 64


@pytest.fixture
def here(tmp_path, monkeypatch, photo):
    """A folder with good and bad files in it, to work in."""
    monkeypatch.chdir(tmp_path)
    photo.save("photo.png")
    Path("text.jpg").write_text("not a picture")
    Path("empty.png").touch()
    Path("notes.json").write_text("{}")
    Path("folder.png").mkdir()
    save_png(photo, "old.png", {"settings": {"size": 64, "sparkle": 1}})
    Path("forged.json").write_text(json.dumps({"settings": {"\x1b[31m\ufeff": 1}}))
    return tmp_path


def never(*_, **__):
    raise AssertionError("a run began")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--preset", "quikc"], ["preset `quikc`", "`quick`"]),
        (["--set", "style.wieght=3"], ["setting `style.wieght`", "`style.weight`"]),
        (["--set", "sparkle=3"], ["setting `sparkle`"]),
        (["--set", "style.layers.conv9_9=1"], ["layer `conv9_9`"]),
        (["--set", "content.layers=conv4_2, conv4_3x"], ["layer `conv4_3x`", "conv4_3"]),
        (["--set", "backbone.network=vgg91"], ["network `vgg91`", "`vgg19`"]),
        (["--set", "optimizer.name=sgd"], ["`optimizer.name`", "'adam'"]),
        (["--set", "size"], ["`--set size`", "key=value"]),
        (["--set", "=3"], ["setting ``"]),
        (["--set", "style.weight="], ["`style.weight`", "number"]),
        (["--set", "style.weight=lots"], ["`style.weight`", "number"]),
        (["--set", "style.weight=nan"], ["`style.weight`", "finite"]),
        (["--set", "style.weight=inf"], ["`style.weight`"]),
        (["--set", "optimizer.learning_rate=nan"], ["`optimizer.learning_rate`"]),
        (["--set", "start.noise=nan"], ["`start.noise`"]),
        (["--set", "style.weight=-1"], ["`style.weight`", "greater than or equal to 0"]),
        (["--set", "style.weight=0", "--set", "content.weight=0"], ["nothing to optimize"]),
        (["--set", "pyramid.scales=1, 0.5"], ["`pyramid`"]),
        (["--set", "start.image=picture"], ["`start.image`", "picture"]),
        (["--size", "7"], ["`size`", "64"]),
        (["--size", "9000"], ["`size`", "2048"]),
        (["--seed", "-1"], ["`seed`"]),
        (["--iterations", "0"], ["`iterations`", "10000"]),
        (["--iterations", "1000000"], ["`iterations`", "10000"]),
        (["--like", "photo.png"], ["`photo.png`", "no settings"]),
        (["--like", "notes.json"], ["`notes.json`", "no settings"]),
        (["--like", "missing.png"], ["`missing.png`"]),
        (["--like", "old.png"], ["setting `sparkle`"]),
        (["--like", "forged.json"], [r"setting `\x1b[31m\ufeff`"]),
        (["--start", "missing.png"], ["`missing.png`", "does not exist"]),
        (["--report", "r.txt"], ["`r.txt`", ".json"]),
        (["--report", "nowhere/r.json"], ["`nowhere`"]),
        (["--time-lapse", "r.gif"], ["`r.gif`", ".webp"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_bad_option_is_refused_with_a_sentence(here, monkeypatch, options, words):
    monkeypatch.setattr(Optimization, "paint", never)
    message = refused("stylize", *PICTURES, "-o", "r.png", *options)
    assert [word for word in words if word not in message] == []
    assert not Path("r.png").exists()


OTHER_WEIGHTS = {"name": "great-wave", "from": "great_wave.safetensors", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        ({"precision": 16}, ["`f.json`", "`precision` is 16: it must be a text"]),
        ({"precision": ["bfloat16"]}, ["`f.json`", "`precision` is ['bfloat16']"]),
        ({"precision": {"a": [[1]] * 10**5}}, ["`f.json`", "`precision` is {'a': [[1], "]),
        ({"precision": "float16"}, ["Unknown precision `float16`", "`bfloat16`"]),
        ({"precision": "float32\x1b[2J"}, [r"Unknown precision `float32\x1b[2J`"]),
        ({"precision": "float32\nDone."}, [r"Unknown precision `float32\nDone.`"]),
        ({"preset": 7}, ["`f.json`", "`preset` is 7"]),
        ({"engine": "brush"}, ["`f.json`", "`engine` is 'brush'", "'any painting'"]),
        ({"checkpoint": 3}, ["`f.json`", "`checkpoint` is 3: it must be a table"]),
        ({"checkpoint": {}}, ["`f.json`", "`checkpoint.name` is missing"]),
        ({"checkpoint": {"name": "a", "from": ["x"]}}, ["`checkpoint.from` is ['x']"]),
        ({"checkpoint": {"name": "a", "from": "a\x9b"}}, [r"`a\x9b` painted this, a file"]),
        (
            {"checkpoint": {"name": "own", "from": "own.pth"}},
            ["`own.pth` painted this, a file", "nst fast"],
        ),
        (
            {"checkpoint": OTHER_WEIGHTS},
            ["`great-wave` is not the one that painted this", "000000000000…"],
        ),
        ({"engine": "trained network"}, ["names no `checkpoint`"]),
        ({"method": "wct", "settings": {"method": "wtc"}}, ["Unknown method `wtc`", "`wct`"]),
        ({"method": "wct", "weights": [1, 1]}, ["has 2 weights for 1 mixed paintings"]),
        (
            {"method": "wct", "weights": [1, 1], "paintings": ["a", "own.jpg"]},
            ["`own.jpg` was mixed in", "nst swap --mix"],
        ),
        ({"settings": 5}, ["`settings` is 5: it must be a table"]),
        ({"settings": {"size": "\x1b[1m"}}, [r"`size` is '\x1b[1m'"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_forged_report_is_refused_and_its_control_characters_are_not_printed(
    here, monkeypatch, forged, words
):
    monkeypatch.setattr(Optimization, "paint", never)
    report = {"preset": DEFAULT_PRESET, "settings": {}, **forged}
    Path("f.json").write_text(json.dumps(report), "utf-8")
    message = refused("stylize", *PICTURES, "-o", "r.png", "--like", "f.json")
    assert [word for word in words if word not in message] == []
    assert message.isprintable()
    assert len(message) < 300


def test_a_result_in_bfloat16_is_repeated_in_float32_where_that_is_all_there_is(
    painted, tmp_path, without_bfloat16
):
    """As every picture of the gallery is."""
    folder, _ = painted
    kept = json.loads((folder / "r.json").read_text("utf-8")) | {"precision": "bfloat16"}
    (tmp_path / "kept.json").write_text(json.dumps(kept), "utf-8")
    like = ["--like", tmp_path / "kept.json", "--report", tmp_path / "again.json"]
    done = run("stylize", *PICTURES, "-o", tmp_path / "again.png", *like)
    again = json.loads((tmp_path / "again.json").read_text("utf-8"))
    assert again["precision"] == "float32"
    assert again["settings"] == kept["settings"]
    assert "cannot compute in bfloat16, so float32 was taken" in again["warning"]
    assert again["warning"] in done.stderr


@pytest.mark.parametrize(
    ("content", "style", "words"),
    [
        ("missing.jpg", "starry_night", ["`missing.jpg`", "does not exist"]),
        ("neuschwanstein", "no_such_painting", ["`no_such_painting`", "does not exist"]),
        ("text.jpg", "starry_night", ["`text.jpg`", "not a picture"]),
        ("neuschwanstein", "empty.png", ["`empty.png`", "empty"]),
        ("folder.png", "starry_night", ["`folder.png`"]),
        ("", "starry_night", ["does not exist"]),
    ],
)
def test_a_bad_picture_is_refused_with_a_sentence(here, content, style, words):
    message = refused("stylize", content, style, "-o", "r.png")
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("r.jpg", ["`r.jpg`", ".png"]),
        ("r", ["`r`", ".png"]),
        ("nowhere/r.png", ["`nowhere`", "does not exist"]),
        ("text.jpg/r.png", ["`text.jpg`"]),
        ("folder.png", ["`folder.png`", "could not be written"]),
        ("photo.png", ["`photo.png`", "one of the pictures that go in"]),
        ("./folder.png/../photo.png", ["one of the pictures that go in"]),
    ],
)
def test_a_bad_output_is_refused_before_the_run(here, monkeypatch, output, words):
    monkeypatch.setattr(Optimization, "paint", never)
    before = Path("photo.png").read_bytes()
    message = refused("stylize", "photo.png", "starry_night", "-o", output, *QUICK)
    assert [word for word in words if word not in message] == []
    assert Path("photo.png").read_bytes() == before


def test_an_output_folder_that_may_not_be_written_is_refused(here, monkeypatch):
    monkeypatch.setattr(Optimization, "paint", never)
    message = refused("stylize", *PICTURES, "-o", "/proc/r.png")  # where not even root may write
    assert "`r.png` could not be written" in message


@pytest.mark.parametrize("option", ["--report", "--time-lapse"])
def test_no_input_is_overwritten_by_another_output(here, monkeypatch, photo, option):
    monkeypatch.setattr(Optimization, "paint", never)
    name = {"--report": "in.json", "--time-lapse": "in.webp"}[option]
    photo.save(name, format="WEBP")
    message = refused("stylize", name, "starry_night", "-o", "r.png", option, name)
    assert "one of the pictures that go in" in message


def test_without_an_output_the_usage_is_shown(here):
    result = CliRunner().invoke(nst.cli.main.app, ["stylize", *PICTURES])
    assert result.exit_code == 2
    assert "--output" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_picture_with_strange_letters_is_named_as_it_is(here):
    name = "[red]é 名.jpg"
    Path(name).write_text("not a picture")
    assert f"`{name}` is not a picture" in refused("stylize", name, "starry_night", "-o", "r.png")


def test_a_start_picture_is_used(here, photo):
    Image.new("RGB", photo.size, "red").save("red.png")
    still = ["--set", "optimizer.name=adam", "--set", "optimizer.learning_rate=1e-6"]
    arguments = ["stylize", "photo.png", "starry_night", "-o", "r.png", "--start", "red.png"]
    result = CliRunner().invoke(nst.cli.main.app, [*arguments, *still, *QUICK])
    assert result.exit_code == 0, result.stderr
    with Image.open("r.png") as picture:
        assert picture.getextrema() == ((255, 255), (0, 0), (0, 0))


def test_a_diverged_run_is_kept_with_a_warning(here):
    steep = ["--set", "optimizer.learning_rate=1000", "--set", "optimizer.name=lbfgs"]
    arguments = ["stylize", "photo.png", "starry_night", "-o", "r.png", "--report", "r.json"]
    result = CliRunner().invoke(nst.cli.main.app, [*arguments, *steep, "--size", "64"])
    assert result.exit_code == 0, result.stderr
    assert "Try a smaller `optimizer.learning_rate`" in result.stderr
    assert json.loads(Path("r.json").read_text())["warning"] in result.stderr


def test_presets_are_listed_with_their_summary():
    result = CliRunner().invoke(nst.cli.main.app, ["presets"])
    assert result.exit_code == 0
    for name, preset in all_presets().items():
        assert re.search(rf"^{name} +{re.escape(preset.summary)}$", result.stdout, re.MULTILINE)


def test_presets_as_json_can_be_read_back():
    result = CliRunner().invoke(nst.cli.main.app, ["presets", "--json"])
    tree = json.loads(result.stdout)
    assert list(tree) == list(all_presets())
    for name, preset in all_presets().items():
        assert Recipe.read(tree[name]["recipe"]) == preset.recipe
        assert tree[name]["source"] == preset.source


def test_the_gallery_renders_a_preset_at_its_own_settings(tmp_path, monkeypatch):
    small = get(DEFAULT_PRESET).recipe.but({"size": 64}).with_iterations(6)
    offer = Offer(DEFAULT_PRESET, Optimization(small))
    monkeypatch.setattr(nst.study.gallery, "find", lambda name: offer)
    result = CliRunner().invoke(
        nst.cli.main.app, ["gallery", DEFAULT_PRESET, "-o", str(tmp_path / "new")]
    )
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "new" / f"{DEFAULT_PRESET}.webp") as picture:
        assert max(picture.size) == 64
    kept = json.loads((tmp_path / "new" / f"{DEFAULT_PRESET}.json").read_text("utf-8"))
    assert Recipe.read(kept["settings"]) == small
    assert (kept["photo"], kept["painting"]) == (
        nst.study.gallery.PHOTO,
        nst.study.gallery.PAINTING,
    )
    assert {row["step"] for row in kept["curve"]} == {1, 2, 3, 4, 5, 6}


def test_an_unknown_preset_is_not_rendered(tmp_path):
    message = refused("gallery", "quikc", "-o", tmp_path / "new")
    assert "`quick`" in message
    assert not (tmp_path / "new").exists()


def test_the_progress_fits_a_terminal_of_80_columns(here, monkeypatch):
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=80, highlight=False)
    monkeypatch.setattr(nst.cli.terminal, "console", console)
    arguments = ["stylize", "photo.png", "starry_night", "-o", "r.png", *QUICK]
    result = CliRunner().invoke(nst.cli.main.app, arguments)
    assert result.exit_code == 0
    uncolored = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\n", uncolored)
    assert re.search(rf"^\s*{DEFAULT_PRESET} .*6/6.* left", plain, re.MULTILINE), plain
