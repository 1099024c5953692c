"""`python -m nst score`: one run as a subprocess, the rest in this process."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import nst.cli.main
from nst.checkpoints import hub
from nst.cli import measures
from nst.engines.optimize import stylize
from nst.engines.trained import stylize as paint_fast
from nst.pictures.images import fit, open_picture, resized, save_png
from nst.settings import catalog
from nst.settings.onepass import TrainedSettings
from nst.steps import last
from nst.study.judge import Judge
from nst.study.measures import MEASURES

ROOT = Path(__file__).parents[2]
PAIR = ["--photo", "cat", "--painting", "great_wave"]


def invoke(*arguments):
    return CliRunner().invoke(nst.cli.main.app, ["score", *map(str, arguments)])


def measured(*arguments):
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), done.stderr


def refused(*arguments):
    """The sentence of an error, and nothing else."""
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture(scope="module")
def cat():
    return open_picture(catalog.photos()["cat"].path)


@pytest.fixture(scope="module")
def wave():
    return open_picture(catalog.paintings()["great_wave"].path)


@pytest.fixture(scope="module", params=["vgg19", "vgg16"])
def painted(request, cat, wave, tmp_path_factory):
    """A result of a real run, and the network that painted it."""
    recipe = catalog.get("quick").recipe.but({"size": 64, "backbone.network": request.param})
    result = last(stylize(cat, wave, recipe.with_iterations(3)))
    path = tmp_path_factory.mktemp("painted") / "painted.png"
    save_png(result.picture, path, result.report.as_dict())
    return path, request.param


@pytest.fixture
def plain(cat, tmp_path):
    """The photo as a result without a report."""
    path = tmp_path / "plain.png"
    resized(cat, fit(cat.size, 64)).save(path)
    return path


def test_the_other_network_measures_what_one_painted(painted, cat, wave):
    path, painter = painted
    found, remarks = measured(path, *PAIR)
    assert {painter, found["network"]} == {"vgg16", "vgg19"}
    assert remarks == ""
    picture = open_picture(path)
    judge = Judge.of(cat, wave, picture.size, found["network"])
    expected = asdict(judge.measure(picture))
    assert list(found["measures"]) == list(expected)
    assert found["measures"] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert found["size"] == list(picture.size)
    assert [found[k] for k in ("result", "photo", "painting")] == [path.name, "cat", "great_wave"]


def test_a_named_network_overrides_the_report(painted):
    path, painter = painted
    found, remarks = measured(path, *PAIR, "--network", painter)
    assert found["network"] == painter
    assert remarks == ""


@pytest.mark.parametrize("name", ["great-wave", "starry-night"])
def test_an_instant_result_is_not_measured_by_the_network_of_its_training(name, tmp_path, cat):
    loaded = hub.load(hub.bundled()[name])
    result = last(paint_fast(cat, loaded, TrainedSettings(size=64)))
    path = tmp_path / "instant.png"
    save_png(result.picture, path, result.report.but(photo="cat").as_dict())
    trainer = loaded.checkpoint.notes["training"]["settings"]["backbone"]["network"]
    found, remarks = measured(path, *PAIR)
    assert {trainer, found["network"]} == {"vgg16", "vgg19"}
    assert remarks == ""


def test_a_result_without_a_report_has_a_remark(plain):
    found, remarks = measured(plain, *PAIR)
    assert found["network"] == measures.FALLBACK
    assert "does not say which network painted it" in remarks
    assert "--network vgg19" in remarks
    assert found["measures"]["content"] == pytest.approx(100, abs=1e-6)
    assert found["measures"]["style"] == 0


@pytest.mark.parametrize(
    "settings",
    [{}, [], {"backbone": 3}, {"backbone": {"network": ["vgg19"]}}, {"backbone": {"network": "x"}}],
)
def test_a_strange_report_is_no_report(settings, plain):
    for strange in ({"settings": settings}, {"settings": settings, "checkpoint": {"name": [1]}}):
        save_png(open_picture(plain), plain, strange)
        found, remarks = measured(plain, *PAIR)
        assert found["network"] == measures.FALLBACK
        assert "does not say" in remarks


def test_files_do_as_well_as_names(plain, cat, wave, tmp_path):
    cat.save(tmp_path / "photo.png")
    wave.save(tmp_path / "painting.png")
    files = ["--photo", tmp_path / "photo.png", "--painting", tmp_path / "painting.png"]
    found, _ = measured(plain, *files)
    named, _ = measured(plain, *PAIR)
    assert found["measures"] == named["measures"]
    assert found["photo"] == "photo.png"


def test_the_table_has_every_measure_with_its_direction(plain):
    done = invoke(plain, *PAIR, "--network", "vgg19")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "VGG-19" in done.stdout
    for about in MEASURES.values():
        (line,) = (
            line for line in done.stdout.splitlines() if line.strip().startswith(about.label + " ")
        )
        assert line.rstrip().endswith(about.direction)
    content = next(line for line in done.stdout.splitlines() if "Content" in line)
    assert "100.0" in content


def test_a_photo_of_another_shape_is_refused(plain):
    sentence = refused(plain, "--photo", "neuschwanstein", "--painting", "great_wave")
    assert "`neuschwanstein`" in sentence
    assert "64 × 48" in sentence


def test_the_rounding_of_sizes_is_no_other_shape(cat, tmp_path):
    for side in (65, 71, 78):
        path = tmp_path / "small.png"
        width, height = fit(cat.size, side)
        cat.resize((width, height + 1)).save(path)
        measured(path, *PAIR)
    cat.resize((width, height + 4)).save(path)
    assert "give the photo" in refused(path, *PAIR)


def test_what_is_no_picture_is_refused(tmp_path, plain):
    assert "does not exist" in refused(tmp_path / "none.png", *PAIR)
    (tmp_path / "text.png").write_text("text")
    assert "is not a picture" in refused(tmp_path / "text.png", *PAIR)
    assert "cat" in refused(plain, "--photo", "catt", "--painting", "great_wave")
    assert "great_wave" in refused(plain, "--photo", "cat", "--painting", "great_wav")
    assert "Did you mean `vgg1" in refused(plain, *PAIR, "--network", "vgg91")


def test_a_result_is_measured_from_the_command_line(painted):
    path, _ = painted
    words = [sys.executable, "-m", "nst", "score", str(path), *PAIR, "--json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["measures"]) == set(MEASURES)


def test_a_picture_larger_than_a_run_can_paint_is_reduced(cat, tmp_path, monkeypatch):
    monkeypatch.setattr(measures, "WORKING_SIDE", 100)
    path = tmp_path / "large.png"
    Image.Image.save(resized(cat, fit(cat.size, 300)), path)
    found, _ = measured(path, *PAIR)
    assert found["size"] == list(fit(cat.size, 100))
    assert found["measures"]["content"] > 90
