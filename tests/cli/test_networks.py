"""The commands `train`, `fast` and `checkpoints`."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

import nst.cli.main
import nst.cli.networks
import nst.engines.trained
from nst.checkpoints.files import load_checkpoint, save_checkpoint
from nst.checkpoints.hub import CATALOG, catalog
from nst.cli.terminal import check_output
from nst.nn.state import NOTES_KEY
from nst.nn.transformer import TransformerNetwork
from nst.pictures.images import read_report
from nst.settings.catalog import paintings
from nst.settings.training import TrainingRecipe

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "network.width": 4,
    "network.blocks": 1,
    "data.side": 64,
    "data.batch": 2,
    "style.layers": "conv1_2",
    "content.layers": "conv1_1",
}
COUNT = re.compile(r"\d+ photos\b")  # what `train` says before it can know whether a state fits
OUTPUTS = ["w.csv", "w.png", "w.safetensors", "w.state"]


def options(**changes):
    """As `--set`; `iterations` stands for `schedule.iterations`."""
    known = SETTINGS | {f"schedule.{name}": value for name, value in changes.items()}
    return [part for name, value in known.items() for part in ("--set", f"{name}={value}")]


def call(*arguments):
    return CliRunner().invoke(nst.cli.main.app, [*map(str, arguments)])


def done(*arguments):
    result = call(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return " ".join(result.stderr.split())


def refused(*arguments):
    """What a bad command says; it must stop at once with one sentence or two, on stderr."""
    result = call(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line and not COUNT.match(line)]
    assert len(lines) == 1, lines
    assert lines[0].startswith("Error: ")
    assert lines[0][-1] in ".?)"
    return lines[0]


def noise(width, height, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Photos to learn on."""
    made = tmp_path_factory.mktemp("album")
    for n in range(18):
        noise(80 + n, 90 - n, n).save(made / f"{n:02}.png")
    (made / "bad.jpg").write_text("not a picture")
    return made


@pytest.fixture(autouse=True)
def threads():
    """As many as before: `fast` uses one thread a picture."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with a checkpoint and photos, good and bad."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    save_checkpoint(TransformerNetwork(4, 1), tmp_path / "w.safetensors", {"style": "mine"})
    Path("album").mkdir()
    for n, (name, size) in enumerate(
        {"one.png": (50, 41), "two.jpg": (33, 64), "three.webp": (70, 30)}.items()
    ):
        noise(*size, n).save(Path("album", name))
    Path("bad.jpg").write_text("not a picture")
    Path("empty").mkdir()
    return tmp_path


def begin(album, output, *more, **changes):
    return ["train", "starry_night", "--photos", album, "-o", output, *options(**changes), *more]


# train


@pytest.fixture(scope="module")
def trained(album, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    before = torch.get_num_threads()
    said = done(*begin(album, folder / "w.safetensors", iterations=25, warm_up=3))
    torch.set_num_threads(before)
    return folder, said


def test_a_training_writes_weights_state_losses_and_samples(trained):
    folder, said = trained
    assert sorted(path.name for path in folder.iterdir()) == OUTPUTS
    assert "18 photos, 1 could not be used (1: is not a picture" in said
    assert "w.safetensors: 25 steps in" in said


def test_the_weights_of_a_training_can_be_loaded_and_tell_how_they_came_about(trained):
    folder, _ = trained
    loaded = load_checkpoint(folder / "w.safetensors")
    assert (loaded.network.width, len(loaded.network.blocks), loaded.layout) == (4, 1, "nst")
    notes = loaded.notes
    assert (notes["style"], notes["recipe"]) == ("starry_night", "ours")
    assert notes["before"]["iterations"] == 0
    report = notes["training"]
    assert (report["iterations"], report["complete"], report["photos"]) == (25, True, 18)
    settings = TrainingRecipe.read(report["settings"])
    assert (settings.network.width, settings.data.side) == (4, 64)
    assert (settings.schedule.iterations, settings.schedule.warm_up) == (25, 3)
    assert {"content", "style", "tv", "stability"} == set(report["losses"])
    with safe_open(folder / "w.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()[NOTES_KEY]) == notes


def test_the_weights_are_those_of_the_state_in_half_precision(trained):
    folder, _ = trained
    state = torch.load(folder / "w.state", weights_only=True)
    assert state["done"] == 25
    with safe_open(folder / "w.safetensors", framework="pt") as file:
        for name, value in state["network"].items():
            assert torch.equal(file.get_tensor(name), value.half())


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_log_has_a_line_every_ten_steps_and_the_last(trained):
    rows = rows_of(trained[0] / "w.csv")
    assert [int(row["step"]) for row in rows] == [10, 20, 25]
    names = ["step", "seconds", "learning_rate", "total", "content", "style", "tv", "stability"]
    assert list(rows[0]) == names
    assert all(float(row[name]) > 0 for row in rows for name in names if name != "seconds")
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)


def test_the_samples_are_three_painted_photos(trained):
    folder, _ = trained
    with Image.open(folder / "w.png") as picture:
        assert picture.width > 2 * picture.height
        assert picture.mode == "RGB"
        assert min(high - low for low, high in picture.getextrema()) > 10


def test_a_finished_training_can_paint(trained, tmp_path):
    weights = trained[0] / "w.safetensors"
    done("fast", "cat", "-o", tmp_path / "cat.png", "--checkpoint", weights, "--size", "64")
    assert read_report(tmp_path / "cat.png").checkpoint.style == "starry_night"


def halted(monkeypatch, step, when="before"):
    """Ctrl-C at this step of the optimizer: before it, or right after it moved the weights."""
    real, calls = torch.optim.Adam.step, []

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == step and when == "before":
            signal.raise_signal(signal.SIGINT)
        result = real(self, *args, **kwargs)
        if len(calls) == step and when == "after":
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stopped_training_goes_on_as_if_nothing_had_been(album, tmp_path, monkeypatch, when):
    straight, stopped = tmp_path / "straight.safetensors", tmp_path / "stopped.safetensors"
    done(*begin(album, straight, iterations=14))
    with monkeypatch.context() as patch:
        halted(patch, 12, when)
        said = done(*begin(album, stopped, iterations=14))
    assert re.search(r"Stopped at step 1[12]; `--resume` goes on\.", said)
    assert load_checkpoint(stopped).notes["training"]["complete"] is False
    done(*begin(album, stopped, "--resume", iterations=14))
    found, expected = (
        torch.load(path.with_suffix(".state"), weights_only=True)["network"]
        for path in (stopped, straight)
    )
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [row["step"] for row in rows_of(stopped.with_suffix(".csv"))] == ["10", "14"]


def test_after_a_crash_no_step_is_logged_twice(album, tmp_path, monkeypatch):
    """The log may then be ahead of the state, which is kept less often."""
    output, log = tmp_path / "w.safetensors", tmp_path / "w.csv"
    done(*begin(album, output, iterations=30))
    ahead = log.read_bytes()
    with monkeypatch.context() as patch:
        halted(patch, 13)
        done(*begin(album, output, "--force", iterations=30))
    log.write_bytes(ahead)
    done(*begin(album, output, "--resume", iterations=30))
    assert [row["step"] for row in rows_of(log)] == ["10", "20", "30"]


def test_control_c_in_the_first_step_keeps_it(album, tmp_path, monkeypatch):
    halted(monkeypatch, 1)
    assert "Stopped at step 1;" in done(*begin(album, tmp_path / "w.safetensors", iterations=5))
    assert load_checkpoint(tmp_path / "w.safetensors").notes["training"]["iterations"] == 1


def test_a_new_training_begins_a_new_log(album, tmp_path):
    for iterations in (11, 3):
        done(*begin(album, tmp_path / "w.safetensors", "--force", iterations=iterations))
    assert [row["step"] for row in rows_of(tmp_path / "w.csv")] == ["3"]


def test_resume_without_a_state_is_refused(album, tmp_path):
    text = refused(*begin(album, tmp_path / "w.safetensors", "--resume", iterations=3))
    assert f"There is no `{tmp_path / 'w.state'}` to go on from." in text
    assert list(tmp_path.iterdir()) == []


def test_resume_with_other_settings_is_refused_and_keeps_everything(trained, album, tmp_path):
    for path in trained[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = refused(*begin(album, tmp_path / "w.safetensors", "--resume", iterations=26))
    assert "other settings" in text
    for path in trained[0].iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_training_tells_what_it_began_with_also_after_a_stop(
    trained, album, tmp_path, monkeypatch
):
    output = tmp_path / "new.safetensors"
    with monkeypatch.context() as patch:
        halted(patch, 1)
        done(*begin(album, output, "--from", trained[0] / "w.safetensors", iterations=2))
    done(*begin(album, output, "--resume", iterations=2))
    before = load_checkpoint(output).notes["before"]
    assert (before["style"], before["iterations"]) == ("starry_night", 25)
    assert before["seconds"] > 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--recipe", "wang-stile-1"], ["`wang-stile-1`", "`wang-style-1`"]),
        (["--set", "network.wdith=8"], ["`network.wdith`", "`network.width`"]),
        (["--set", "network.width"], ["key=value"]),
        (["--set", "style.layers=conv9_1"], ["`conv9_1`", "vgg16"]),
        (["--set", "style.layers="], ["`style.layers`"]),
        (["--set", "content.layers="], ["`content.layers`"]),
        (["--from", "stary-night"], ["`stary-night`", "`starry-night`"]),
        (["--from", "missing.safetensors"], ["`missing.safetensors`", "does not exist"]),
        (["--from", "wide.safetensors"], ["width 8 and 2 blocks", "`network.width`"]),
        (["--from", "transposed.safetensors"], ["transposed"]),
        (["--from", "bad.jpg"], ["`bad.jpg`"]),
        (["--photos", "album"], ["3 usable pictures", "at least 16"]),
        (["--photos", "nowhere"], ["`nowhere` is not a folder"]),
        (["-o", "new.pth"], ["`new.pth`", ".safetensors"]),
        (["-o", "nowhere/new.safetensors"], ["`nowhere`"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_bad_training_is_refused_with_a_sentence(here, album, more, words):
    save_checkpoint(TransformerNetwork(8, 2), here / "wide.safetensors", {})
    save_checkpoint(TransformerNetwork(4, 1, "transposed"), here / "transposed.safetensors", {})
    before = sorted(path.name for path in here.iterdir())
    text = refused(*begin(album, "new.safetensors", *more, iterations=2))
    assert [word for word in words if word not in text] == [], text
    assert sorted(path.name for path in here.iterdir()) == before


def test_two_processes_may_check_one_output_at_the_same_time(tmp_path, monkeypatch):
    """As `torchrun` has them do: each makes the file to see whether it can, and removes it."""
    real = Path.unlink

    def second(path, missing_ok=False):
        real(path)  # the other process was a moment faster
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", second)
    check_output(tmp_path / "w.safetensors", ".safetensors", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("painting", "words"),
    [
        ("stary_night", ["`stary_night`", "`starry_night`"]),
        ("missing.png", ["`missing.png`", "does not exist"]),
        ("bad.jpg", ["`bad.jpg`", "not a picture"]),
    ],
)
def test_a_bad_painting_is_refused_with_a_sentence(here, album, painting, words):
    text = refused("train", painting, "--photos", album, "-o", "new.safetensors", *options())
    assert [word for word in words if word not in text] == [], text


def start(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "nst", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell would hand down an ignored signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_log(running, path):
    """Until a line of losses is there, and so ten steps."""
    while not path.exists() or path.read_text().count("\n") < 2:
        try:
            running.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(running.stderr.read())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for subprocesses")
def test_control_c_keeps_the_state_and_resume_goes_on(album, tmp_path):
    arguments = begin(album, tmp_path / "w.safetensors", iterations=300)
    running = start(arguments)
    try:
        wait_for_log(running, tmp_path / "w.csv")
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0, said
    assert "Traceback" not in said
    found = re.search(r"Stopped at step (\d+); `--resume` goes on\.", said)
    assert found, said
    step = int(found[1])
    assert 10 <= step < 300
    assert sorted(path.name for path in tmp_path.iterdir()) == OUTPUTS
    assert torch.load(tmp_path / "w.state", weights_only=True)["done"] == step
    assert load_checkpoint(tmp_path / "w.safetensors").notes["training"]["iterations"] == step
    done(*arguments, "--resume")
    assert torch.load(tmp_path / "w.state", weights_only=True)["done"] == 300
    assert load_checkpoint(tmp_path / "w.safetensors").notes["training"]["complete"]
    assert [int(row["step"]) for row in rows_of(tmp_path / "w.csv")] == [*range(10, 301, 10)]


# fast


def paint(*arguments):
    return ["fast", "--checkpoint", "w.safetensors", *arguments]


def test_one_photo_becomes_one_file(here):
    said = done(*paint("album/one.png", "-o", "r.png"))
    assert "1 of 1 painted: r.png" in said
    with Image.open("r.png") as picture:
        assert (picture.format, picture.size, picture.mode) == ("PNG", (50, 41), "RGB")
    report = read_report("r.png").as_dict()
    assert report["photo"] == "one.png"
    assert report["checkpoint"]["style"] == "mine"
    assert report["settings"] == {"size": None, "strength": 1.0, "keep_colors": False}


def test_options_reach_the_settings(here):
    options = ["--size", "32", "--strength", "0.25", "--keep-colors"]
    done(*paint("album/one.png", "-o", "r.png", *options))
    assert read_report("r.png").settings == {
        "size": 32,
        "strength": 0.25,
        "keep_colors": True,
    }
    with Image.open("r.png") as picture:
        assert max(picture.size) == 32


def test_strength_0_gives_the_photo(here):
    done(*paint("album/one.png", "-o", "r.png", "--strength", "0"))
    with Image.open("r.png") as result, Image.open("album/one.png") as photo:
        assert result.tobytes() == photo.convert("RGB").tobytes()


@pytest.mark.parametrize(
    "given", [["album"], ["album/one.png", "album/two.jpg", "album/three.webp"]]
)
def test_several_photos_become_a_folder(here, given):
    said = done(*paint(*given, "-o", "new/deep"))
    assert "3 of 3 painted: new/deep" in said
    found = {path.name: read_report(path).photo for path in Path("new/deep").iterdir()}
    assert found == {"one.png": "one.png", "two.png": "two.jpg", "three.png": "three.webp"}
    sizes = {name: Image.open(Path("new/deep", name)).size for name in found}
    assert sizes == {"one.png": (50, 41), "two.png": (33, 64), "three.png": (70, 30)}


def test_several_photos_are_painted_as_each_alone(here):
    done(*paint("album", "-o", "together"))
    for path in Path("album").iterdir():
        done(*paint(path, "-o", f"{path.stem}.png"))
        alone, together = (
            Image.open(place).tobytes()
            for place in (f"{path.stem}.png", Path("together", f"{path.stem}.png"))
        )
        assert alone == together


def test_one_photo_may_become_a_folder_too(here):
    done(*paint("album/two.jpg", "-o", "new"))
    assert [path.name for path in Path("new").iterdir()] == ["two.png"]


def test_a_folder_may_hold_what_is_no_picture(here):
    Path("album/notes.txt").write_text("left alone")
    assert "3 of 3 painted" in done(*paint("album", "-o", "new"))


def test_bundled_photos_go_by_their_names(here):
    done(*paint("cat", "astronaut", "-o", "new", "--size", "48"))
    assert sorted(path.name for path in Path("new").iterdir()) == ["astronaut.png", "cat.png"]


def test_a_file_comes_before_a_bundled_name(here):
    noise(20, 30, 5).save("cat", format="PNG")
    done(*paint("cat", "-o", "r.png"))
    with Image.open("r.png") as picture:
        assert picture.size == (20, 30)


def test_photos_of_one_stem_keep_their_whole_names(here):
    noise(24, 20, 5).save("album/one.jpg")
    done(*paint("album", "-o", "new"))
    found = {read_report(path).photo for path in Path("new").iterdir()}
    assert found == {"one.jpg", "one.png", "two.jpg", "three.webp"}


def test_the_same_photo_twice_is_refused(here):
    Path("other").mkdir()
    for n in range(2):
        noise(20, 20, n).save(Path(["album", "other"][n], "one.png"))
    given = ["album/one.png", "other/one.png", "album/one.png"]
    assert "same name" in refused(*paint(*given, "-o", "new"))


def test_an_existing_file_is_overwritten_only_by_force(here):
    Path("r.png").write_bytes(b"precious")
    text = refused(*paint("album/one.png", "-o", "r.png"))
    assert "`r.png` exists already. `--force` overwrites." in text
    assert Path("r.png").read_bytes() == b"precious"
    done(*paint("album/one.png", "-o", "r.png", "--force"))
    assert read_report("r.png").photo == "one.png"


def test_a_folder_with_some_of_the_results_is_not_touched(here):
    done(*paint("album/one.png", "album/two.jpg", "-o", "new"))
    before = {path: path.read_bytes() for path in Path("new").iterdir()}
    text = refused(*paint("album", "-o", "new"))
    assert re.search(r"`new/(one|two).png` and 1 more exists already", text)
    assert {path: path.read_bytes() for path in Path("new").iterdir()} == before


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize(
    ("given", "output"),
    [
        (["album/one.png"], "album/one.png"),
        (["album/one.png"], "album/../album/one.png"),
        (["album"], "album"),
        (["album/one.png", "album/two.jpg"], "./album"),
    ],
)
def test_no_photo_is_ever_overwritten(here, given, output, force):
    before = {path: path.read_bytes() for path in Path("album").iterdir()}
    refused(*paint(*given, "-o", output, *force))
    assert {path: path.read_bytes() for path in Path("album").iterdir()} == before


def test_no_photo_is_overwritten_through_a_link(here):
    Path("link.png").symlink_to("album/one.png")
    before = Path("album/one.png").read_bytes()
    refused(*paint("album/one.png", "-o", "link.png", "--force"))
    assert Path("album/one.png").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["album/one.png", "-o", "r.jpg"], ["`r.jpg`", ".png"]),
        (["album", "-o", "r.png"], ["`r.png`", "folder"]),
        (["album/one.png", "-o", "nowhere/r.png"], ["`nowhere`"]),
        (["album/one.png", "-o", "bad.jpg/new"], ["bad.jpg"]),
        (["empty", "-o", "new"], ["`empty` holds no pictures"]),
        (["album/one.png", "-o", "r.png", "--strength", "1.5"], ["`strength`", "1"]),
        (["album/one.png", "-o", "r.png", "--strength", "-0.5"], ["`strength`", "0"]),
        (["album/one.png", "-o", "r.png", "--strength", "nan"], ["`strength`"]),
        (["album/one.png", "-o", "r.png", "--size", "3"], ["`size`", "16"]),
        (["album/one.png", "-o", "r.png", "--size", "99999"], ["`size`", "16384"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_bad_command_is_refused_with_a_sentence(here, given, words):
    text = refused(*paint(*given))
    assert [word for word in words if word not in text] == [], text
    assert not Path("r.png").exists()


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [
        ("stary-night", ["`stary-night`", "`starry-night`", "owner/name"]),
        ("missing.safetensors", ["`missing.safetensors`", "does not exist"]),
        ("missing.pth", ["`missing.pth`", "does not exist"]),
        ("bad.jpg", ["`bad.jpg`", "weights"]),
        ("empty.safetensors", ["`empty.safetensors`", "is empty"]),
        ("album", ["`album`"]),
    ],
)
def test_a_bad_checkpoint_is_refused_with_a_sentence(here, checkpoint, words):
    Path("empty.safetensors").touch()
    text = refused("fast", "album/one.png", "-o", "r.png", "--checkpoint", checkpoint)
    assert [word for word in words if word not in text] == [], text
    assert not Path("r.png").exists()


@pytest.mark.parametrize("option", ["--strenght", "--set"])
def test_an_unknown_option_is_refused(here, option):
    result = call(*paint("album/one.png", "-o", "r.png", option, "1"))
    assert result.exit_code == 2
    assert option in result.stderr
    assert not Path("r.png").exists()


@pytest.mark.parametrize("bad", ["bad.jpg", "missing.png"])
def test_a_broken_photo_does_not_stop_the_others(here, bad):
    result = call(*paint("album/one.png", bad, "album/two.jpg", "-o", "new"))
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.strip().splitlines()
    assert [line for line in lines if f"`{bad}`" in line and line.endswith(".")]
    assert "2 of 3 painted: new" in " ".join(result.stderr.split())
    assert sorted(path.name for path in Path("new").iterdir()) == ["one.png", "two.png"]


def test_a_missing_photo_does_not_stop_the_others_when_they_are_overwritten(here):
    done(*paint("album/one.png", "-o", "new"))
    result = call(*paint("missing.png", "album/one.png", "-o", "new", "--force"))
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert "`missing.png`" in result.stderr


def test_a_picture_is_larger_than_an_upload_may_be(here):
    """The command reads the user's own files; only the page has the limits of uploads."""
    Image.new("RGB", (2600, 40), "teal").save("wide.png")
    done(*paint("wide.png", "-o", "r.png"))
    with Image.open("r.png") as picture:
        assert picture.size == (2600, 40)


def test_several_photos_take_one_thread_each(here, monkeypatch):
    for module in (nst.cli.networks, nst.machine):
        monkeypatch.setattr(module, "processors", lambda: 2)
    nst.machine.prepare.cache_clear()  # as in a new process
    painted, seen = nst.engines.trained.painted, []

    def noticed(*arguments):
        seen.append(torch.get_num_threads())
        return painted(*arguments)

    monkeypatch.setattr(nst.engines.trained, "painted", noticed)
    done(*paint("album", "-o", "new"))
    assert seen == [1, 1, 1]


# checkpoints


def test_checkpoints_are_listed_with_where_they_are():
    result = call("checkpoints")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == len(catalog())
    for line, entry in zip(lines, catalog().values(), strict=True):
        assert line.startswith(f"{entry.name} ")
        assert entry.title in line
        assert entry.place in line
        assert entry.license in line
        where = r" bundled " if entry.bundled else r" (cached|to download) "
        assert re.search(where, line)


def test_checkpoints_as_json_have_every_field():
    result = call("checkpoints", "--json")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [row["name"] for row in rows] == list(catalog())
    assert len(rows) == CATALOG.read_text("utf-8").count("[[checkpoint]]")
    for row, entry in zip(rows, catalog().values(), strict=True):
        assert isinstance(row.pop("cached"), bool)
        assert row == entry.model_dump()


def test_the_bundled_ones_come_first():
    rows = json.loads(call("checkpoints", "--json").stdout)
    kinds = [not row["repository"] for row in rows]
    assert kinds == sorted(kinds, reverse=True)
    assert kinds[0]
    assert all(row["cached"] for row in rows if not row["repository"])


def test_nothing_of_the_users_is_overwritten_by_a_training(album, tmp_path):
    output = tmp_path / "w.safetensors"
    (tmp_path / "w.csv").write_text("mine")
    assert "`--force` overwrites" in refused(*begin(album, output, iterations=2))
    assert (tmp_path / "w.csv").read_text() == "mine"
    assert not output.exists()


def test_the_painting_is_not_overwritten_by_the_samples(album, tmp_path):
    copy = tmp_path / "w.png"
    copy.write_bytes(paintings()["starry_night"].path.read_bytes())
    before = copy.read_bytes()
    given = [str(part) for part in begin(album, tmp_path / "w.safetensors", "--force")]
    given[1] = str(copy)
    assert "would be overwritten" in refused(*given)
    assert copy.read_bytes() == before


def test_the_output_does_not_lie_among_the_photos(album):
    assert "among the photos" in refused(*begin(album, album / "w.safetensors", iterations=2))


def test_a_path_that_looks_like_markup_is_printed(here):
    arguments = ["-o", "out[b].png", "--size", "64", "--checkpoint", "w.safetensors"]
    assert "out[b].png" in done("fast", "cat", *arguments)
