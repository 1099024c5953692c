"""What is found out about the machine, and the calibration's file."""

import itertools
import json
import math
import os
import threading
from types import SimpleNamespace

import psutil
import pytest
import torch

from nst import machine
from nst.machine import PROBE_SIDES, Calibration, Clock
from nst.names import UnknownName


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty cache folder and a clock that knows nothing; the real ones are back afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(machine, "clock", machine.cache(Clock))
    return tmp_path


@pytest.fixture
def measured(monkeypatch):
    """Counts measurements; each is another number, at once."""
    made = []

    def measure(precision=None):
        slope = 1e-6 * (len(made) + 1)
        made.append(Calibration(precision or "float32", 0.01, slope, slope))
        return made[-1]

    monkeypatch.setattr(machine, "measure", measure)
    steps_take(monkeypatch, 0.04)
    return made


def steps_take(monkeypatch, *seconds):
    """Steps of the small picture, and of the large one if given, take so long."""
    times = dict(zip(PROBE_SIDES, seconds, strict=False))
    monkeypatch.setattr(machine, "_stepper", lambda precision, side: lambda: times[side])


def asked_anew():
    """What a new process of this program would find."""
    machine.clock.cache_clear()
    return machine.calibration()


def kept_file(folder):
    return folder / "nst" / "calibration.json"


def forge(folder, **changes):
    """Changes numbers in the file of the cache."""
    kept = json.loads(kept_file(folder).read_text())
    kept["calibration"] |= changes
    kept_file(folder).write_text(json.dumps(kept))


# Measuring


def test_a_real_measurement_is_plausible():
    found = machine.measure()
    assert found.plausible
    assert found.fixed >= 1e-4
    assert all(1e-10 < slope < 1e-2 for slope in (found.per_pixel, found.float32_per_pixel))


def test_a_measurement_may_be_asked_for_where_no_gradient_is():
    with torch.no_grad():
        assert machine._stepper("float32", 64)() > 0


def test_a_line_goes_through_the_fastest_times_of_both_sizes(monkeypatch):
    """Of steps that others slow down more often than not, and one after the other."""
    times = {128: [9, 0.5, 0.3, 0.5, 0.2, 0.4, 0.2, 0.9], 256: [9, 3, 1, 0.8, 1, 1, 0.81, 2, 2]}
    left = {side: iter(values) for side, values in times.items()}
    monkeypatch.setattr(machine, "_stepper", lambda precision, side: lambda: next(left[side]))
    fixed, slope = machine._line("float32")
    assert fixed == pytest.approx(1e-4)  # 0.2 s in 128² pixels, 0.8 s in 256²
    assert slope == pytest.approx(0.6 / (256**2 - 128**2))
    assert list(left[128]) == [0.9]  # after six, both sizes had their fastest time twice


def test_a_machine_that_is_never_at_rest_is_timed_for_a_while_only(monkeypatch):
    slower = itertools.count(1)
    monkeypatch.setattr(machine, "_stepper", lambda precision, side: lambda: 2.0 ** next(slower))
    machine._line("float32")
    assert next(slower) == 2 * (1 + machine.ROUNDS[1]) + 1


@pytest.mark.parametrize(("narrow", "chosen"), [(0.5, "bfloat16"), (0.95, "float32")])
def test_bfloat16_is_taken_where_it_is_much_faster(narrow, chosen, monkeypatch):
    lines = {"float32": (0.01, 1e-6), "bfloat16": (0.02, narrow * 1e-6)}
    monkeypatch.setattr(machine, "works", lambda precision: True)
    monkeypatch.setattr(machine, "_line", lines.get)
    assert machine.measure() == Calibration(chosen, *lines[chosen], 1e-6)
    assert machine.measure("float32") == Calibration("float32", *lines["float32"], 1e-6)


def test_where_bfloat16_does_not_work_it_is_not_tried(without_bfloat16, monkeypatch):
    tried = []
    monkeypatch.setattr(machine, "device", lambda: torch.device("cpu"))
    monkeypatch.setattr(machine, "_line", lambda name: tried.append(name) or (0.01, 1e-6))
    assert machine.measure() == Calibration("float32", 0.01, 1e-6, 1e-6)
    assert tried == ["float32"]
    assert machine.nearest("bfloat16") == "float32"
    assert machine.nearest("float32") == "float32"


def test_a_precision_that_works_is_the_nearest_itself(monkeypatch):
    monkeypatch.setattr(machine, "bfloat16_works", lambda device: True)
    assert machine.nearest("bfloat16") == "bfloat16"
    with pytest.raises(UnknownName, match="Did you mean `bfloat16`"):
        machine.nearest("bfloat61")


# The file


def test_a_calibration_is_made_once_and_read_back(cache_folder, measured):
    first = asked_anew()
    kept = json.loads(kept_file(cache_folder).read_text())
    assert kept["calibration"]["per_pixel"] == first.per_pixel
    assert asked_anew() == first
    assert measured == [first]
    assert [path.name for path in (cache_folder / "nst").iterdir()] == ["calibration.json"]


@pytest.mark.parametrize(("seconds", "times"), [(0.03, 1), (0.01, 2), (0.2, 2)])
def test_a_calibration_that_this_machine_does_not_keep_to_is_made_again(
    seconds, times, cache_folder, measured, monkeypatch
):
    first = asked_anew()
    assert first.step(PROBE_SIDES[0]) == pytest.approx(0.026384)
    steps_take(monkeypatch, seconds)
    assert asked_anew() == measured[-1]
    assert len(measured) == times


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", "null", '{"machine": "another"}', "\udcff\udcfe", "[" * 100_000],
    ids=["empty", "cut", "list", "null", "another machine", "no text", "deep"],
)
def test_a_file_that_does_not_fit_is_measured_again(cache_folder, measured, damage):
    asked_anew()
    kept_file(cache_folder).write_bytes(damage.encode("utf-8", "surrogateescape"))
    assert asked_anew() == measured[1]
    assert asked_anew() == measured[1]
    assert len(measured) == 2


@pytest.mark.parametrize("wrong", [{"precision": "float32"}, {"surplus": 1}, "text", None], ids=str)
def test_a_calibration_of_another_form_is_measured_again(cache_folder, measured, wrong):
    asked_anew()
    path = kept_file(cache_folder)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"calibration": wrong}))
    assert asked_anew() == measured[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"fixed": -1e7},
        {"fixed": 0.026384, "per_pixel": 0},
        {"fixed": 0.026384, "per_pixel": -0.0},
        {"float32_per_pixel": math.nan},
        {"float32_per_pixel": math.inf},
        {"float32_per_pixel": 1.0},
        {"float32_per_pixel": 10**400},
        {"float32_per_pixel": "1e-6"},
        {"float32_per_pixel": True},
        {"float32_per_pixel": None},
        {"precision": "float8"},
        {"precision": ["float32"]},
    ],
    ids=str,
)
def test_a_calibration_that_no_machine_can_have_is_measured_again(cache_folder, measured, wrong):
    asked_anew()
    forge(cache_folder, **wrong)
    assert asked_anew() == measured[1]
    assert json.loads(kept_file(cache_folder).read_text())["calibration"]["per_pixel"] == 2e-6


def test_a_kept_precision_that_does_not_work_here_is_measured_again(
    cache_folder, measured, without_bfloat16, monkeypatch
):
    monkeypatch.setattr(machine, "device", lambda: torch.device("cpu"))
    asked_anew()
    forge(cache_folder, precision="bfloat16")
    assert asked_anew() == measured[1]


def test_a_calibration_without_bfloat16_does_not_hold_with_it(cache_folder, measured, monkeypatch):
    for answer in (False, True):
        monkeypatch.setattr(machine, "bfloat16_works", lambda device, answer=answer: answer)
        asked_anew()
    assert len(measured) == 2


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


# The clock


@pytest.fixture
def clock(cache_folder, measured, monkeypatch):
    """This process's clock, and a watch that stands still until a test moves it."""
    watch = SimpleNamespace(now=1000.0, monotonic=lambda: watch.now)
    monkeypatch.setattr(machine, "time", watch)
    found = machine.clock()
    found.watch = watch
    return found


def test_a_process_measures_once_until_it_is_asked_to_do_it_again(clock, measured):
    assert clock.calibration() is not None
    assert clock.calibration() == measured[0]
    clock.renew()
    assert len(measured) == 1  # it was just done
    clock.watch.now += 61
    clock.renew()
    clock.renew()
    assert clock.calibration() == measured[1]
    assert len(measured) == 2


def test_what_another_process_measured_is_not_fresh(clock, measured):
    clock.calibration()
    machine.clock.cache_clear()
    machine.clock().renew()
    assert machine.calibration() == measured[1]
    assert asked_anew() == measured[1]


def test_a_new_measurement_keeps_the_precision(clock, measured, monkeypatch):
    monkeypatch.setattr(machine, "works", lambda precision: True)
    clock._measured = Calibration("bfloat16", 0.01, 1e-6, 2e-6)
    clock.renew()
    assert measured[-1].precision == clock.calibration().precision == "bfloat16"


def test_what_runs_took_corrects_a_calibration_that_was_made_under_load(clock):
    loaded = clock.calibration()
    clock.learn(loaded, 0.35)
    assert clock.calibration() == loaded.times(0.35)
    clock.learn(loaded, 0.35)  # of a run that had begun before
    assert clock.calibration() == loaded.times(0.35)
    clock.learn(clock.calibration(), 1.0)
    assert clock.calibration() == loaded.times(0.35)


def test_a_slow_run_counts_by_half_and_a_faster_one_at_once(clock):
    first = clock.calibration()
    clock.learn(first, 4.0)
    assert clock.calibration() == first.times(2.0)
    clock.learn(first, 1.0)
    assert clock.calibration() == first.times(1.0)


def test_what_runs_can_teach_has_bounds(clock):
    first = clock.calibration()
    for share in (0, -1, math.nan, math.inf, -math.inf):
        clock.learn(first, share)
        assert clock.calibration() == first
    clock.learn(first, 1e-9)
    assert clock.calibration() == first.times(1 / 8)
    for _ in range(9):
        clock.learn(first, 1e9)
    assert clock.calibration() == first.times(8)


def test_a_new_measurement_ends_what_was_learned(clock, measured):
    clock.learn(clock.calibration(), 3.0)
    clock.watch.now += 61
    clock.renew()
    assert clock.calibration() == measured[1]


def test_threads_that_ask_together_measure_once(clock, measured):
    threads = [threading.Thread(target=clock.calibration) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(measured) == 1


# The machine


def test_torch_uses_every_processor_that_it_may():
    machine.prepare()
    assert 1 <= machine.processors() <= psutil.cpu_count()
    assert torch.get_num_threads() == machine.processors()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's memory is its own")
def test_free_memory_is_part_of_the_machines():
    assert 0 < machine.free_memory() < psutil.virtual_memory().total


NO_LIMIT = 9223372036854771712  # as version 1 of control groups writes it
VERSION_1 = {
    "memory/memory.limit_in_bytes": 5_000_000,
    "memory/memory.usage_in_bytes": 4_000_000,
    "memory/memory.stat": "cache 9\ninactive_file 7\ntotal_cache 9\ntotal_inactive_file 3000",
}
VERSION_2 = {
    "memory.max": 5_000_000,
    "memory.current": 4_000_000,
    "memory.stat": "anon 1\ninactive_file 3000",
}


@pytest.fixture
def group(tmp_path):
    """Makes a folder that looks like a container's control groups."""

    def make(files):
        for name, contents in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{contents}\n")
        return tmp_path

    return make


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's memory is its own")
@pytest.mark.parametrize("files", [VERSION_1, VERSION_2], ids=["version 1", "version 2"])
def test_the_memory_limit_of_a_container_is_kept(files, group):
    assert machine.free_memory(group(files)) == 1_003_000
    limit, *_ = files
    assert machine.free_memory(group({limit: 1000})) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's memory is its own")
@pytest.mark.parametrize(
    "files",
    [
        {},
        VERSION_1 | {"memory/memory.limit_in_bytes": NO_LIMIT},
        VERSION_1 | {"memory/memory.stat": "cache 9"},
        VERSION_2 | {"memory.max": "max"},
    ],
    ids=["none", "version 1", "no counts", "version 2"],
)
def test_without_a_limit_the_machines_own_memory_counts(files, group):
    assert machine.free_memory(group(files)) > 50_000_000


def quota_1(quota, period):
    return {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": period}


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000"}, 64),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "9900000 100000"}, 64),
        (quota_1(-1, 100000), 64),
        (quota_1(300000, 100000), 3),
        (quota_1(20000, 100000), 1),
        (quota_1(20000, 0), 64),
    ],
    ids=str,
)
def test_the_processors_of_a_container_are_those_of_its_quota(files, count, group, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64), raising=False)
    assert machine.processors(group(files)) == count
