"""What is found out about the machine, and the calibration's file."""

import json

import psutil
import pytest
import torch

from nst import machine


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty cache folder and a calibration not yet known; the real one is back afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine.calibration.cache_clear()
    yield tmp_path
    machine.calibration.cache_clear()


@pytest.fixture
def measured(monkeypatch):
    """Counts measurements; each is another number, at once."""
    made = []

    def measure():
        made.append(machine.Calibration("float32", 0.01, 1e-6 * (len(made) + 1), 2e-6))
        return made[-1]

    monkeypatch.setattr(machine, "measure", measure)
    monkeypatch.setattr(machine, "_probe", lambda precision, side, repeats: 0.04)
    return made


def asked_anew():
    machine.calibration.cache_clear()
    return machine.calibration()


def test_a_real_measurement_is_plausible():
    found = machine.measure()
    assert found.precision in machine.PRECISIONS
    assert found.fixed >= 1e-3
    assert found.float32_per_pixel > 0
    assert all(1e-10 < slope < 1e-2 for slope in (found.per_pixel, found.float32_per_pixel))


def test_a_measurement_may_be_asked_for_where_no_gradient_is():
    with torch.no_grad():
        assert machine._probe("float32", 64, 1) > 0


def test_a_calibration_is_made_once_and_read_back(cache_folder, measured):
    first = asked_anew()
    kept = json.loads((cache_folder / "nst" / "calibration.json").read_text())
    assert kept["calibration"]["per_pixel"] == first.per_pixel
    assert asked_anew() == first
    assert measured == [first]
    assert [path.name for path in (cache_folder / "nst").iterdir()] == ["calibration.json"]


@pytest.mark.parametrize(("seconds", "times"), [(0.03, 1), (0.01, 2)])
def test_a_calibration_of_a_busy_machine_is_made_again(
    seconds, times, cache_folder, measured, monkeypatch
):
    first = asked_anew()
    foreseen = first.fixed + first.per_pixel * machine.PROBE_SIDES[0] ** 2
    assert foreseen == pytest.approx(0.026384)
    monkeypatch.setattr(machine, "_probe", lambda precision, side, repeats: seconds)
    assert asked_anew() == measured[-1]
    assert len(measured) == times


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"machine": "another"}', "\udcff\udcfe"],
    ids=["empty", "cut", "list", "null", "another machine", "no text"],
)
def test_a_file_that_does_not_fit_is_measured_again(cache_folder, measured, damage):
    path = cache_folder / "nst" / "calibration.json"
    asked_anew()
    path.write_bytes(damage.encode("utf-8", "surrogateescape"))
    assert asked_anew() == measured[1]
    assert asked_anew() == measured[1]
    assert len(measured) == 2


@pytest.mark.parametrize("wrong", [{"precision": "float32"}, {"surplus": 1}, "text", None], ids=str)
def test_a_calibration_of_another_form_is_measured_again(cache_folder, measured, wrong):
    path = cache_folder / "nst" / "calibration.json"
    asked_anew()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"calibration": wrong}))
    assert asked_anew() == measured[1]


def test_a_folder_that_cannot_be_written_is_no_error(cache_folder, measured, monkeypatch):
    blocked = cache_folder / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert asked_anew() == measured[0]
    assert asked_anew() == measured[1]


def test_without_the_variable_the_home_folder_is_used(cache_folder, measured, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(cache_folder / "home"))
    asked_anew()
    assert (cache_folder / "home" / ".cache" / "nst" / "calibration.json").is_file()


def test_torch_uses_every_processor_that_it_may():
    machine.prepare()
    assert 1 <= machine.processors() <= psutil.cpu_count()
    assert torch.get_num_threads() == machine.processors()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's memory is its own")
def test_free_memory_is_part_of_the_machines():
    assert 0 < machine.free_memory() < psutil.virtual_memory().total
