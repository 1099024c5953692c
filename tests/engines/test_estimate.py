"""Forecasts of seconds and memory, and what is refused for lack of memory."""

import math
import re

import pytest

import nst.engines.estimate
import nst.machine
from nst.engines.estimate import (
    Estimate,
    TooLarge,
    describe,
    duration,
    estimate,
    refuse_if_longer,
    refuse_if_too_large,
)
from nst.engines.optimize import stylize
from nst.machine import Calibration, Clock
from nst.settings.recipe import LARGEST, Recipe

MACHINE = Calibration("bfloat16", fixed=0.01, per_pixel=1e-6, float32_per_pixel=4e-6)
PHOTO, PAINTING = (1200, 800), (900, 1000)


def foresee(changes=None, precision=None):
    return estimate(Recipe().but(changes or {}), PHOTO, PAINTING, precision, MACHINE)


def test_larger_pictures_take_longer_and_need_more_memory():
    found = [foresee({"size": size}) for size in (64, 256, 512, 1024, 2048)]
    for key in ("seconds", "memory", "preparation"):
        values = [getattr(one, key) for one in found]
        assert values == sorted(set(values))


def test_four_times_the_pixels_take_almost_four_times_as_long():
    small, large = foresee({"size": 512}), foresee({"size": 1024})
    assert large.seconds == pytest.approx(4 * small.seconds, rel=0.1)


def test_twice_the_iterations_take_twice_as_long():
    few, many = (foresee({"pyramid.iterations": [n]}) for n in (100, 200))
    assert many.iterations == 200
    assert many.seconds - many.preparation == pytest.approx(2 * (few.seconds - few.preparation))


def test_coarse_levels_cost_less_than_fine_ones():
    found = foresee({"pyramid.scales": [0.25, 0.5, 1], "pyramid.iterations": [30, 20, 10]})
    assert [iterations for iterations, _ in found.levels] == [30, 20, 10]
    seconds = [seconds for _, seconds in found.levels]
    assert seconds == sorted(set(seconds))
    total = found.preparation + sum(n * s for n, s in found.levels)
    assert found.seconds == pytest.approx(total)


def test_float32_takes_longer_and_more_memory_where_bfloat16_is_faster():
    fast, exact = foresee(precision="bfloat16"), foresee(precision="float32")
    assert exact.seconds > 2 * fast.seconds
    assert exact.memory > fast.memory
    assert foresee() == fast


def test_lower_layers_are_cheaper():
    low = {"content.layers": "conv2_1", "style.layers": "conv1_1"}
    assert foresee(low).seconds < foresee().seconds / 2
    assert foresee(low).memory < foresee().memory


def test_a_longer_history_needs_more_memory():
    lbfgs = {"optimizer.name": "lbfgs", "pyramid.iterations": [200]}
    few, many = (foresee(lbfgs | {"optimizer.history": n}) for n in (5, 100))
    pixels = 512 * 341
    assert many.memory - few.memory == pytest.approx(pixels * 3 * 4 * 2 * 95)


def test_a_large_painting_needs_memory_too():
    assert foresee({"style.scale": 4}).memory > foresee().memory
    alone = {"style.weight": 0}
    assert foresee(alone | {"style.scale": 4}).memory == foresee(alone).memory


def test_the_seconds_left_are_the_plan_at_first():
    plan = Estimate(((50, 1.0), (50, 3.0)), preparation=4.0, memory=0)
    assert plan.seconds == 204
    assert plan.seconds_left(0, 0.0) == 200
    assert plan.seconds_left(60, 4.0 + 50 + 30) == pytest.approx(120)
    assert plan.seconds_left(100, 204.0) == 0


def test_the_seconds_left_follow_a_slower_machine():
    plan = Estimate(((100, 1.0),), preparation=0.0, memory=0)
    assert plan.seconds_left(50, 100.0) == pytest.approx(100)
    assert plan.seconds_left(50, 25.0) == pytest.approx(25)
    assert 99 < plan.seconds_left(1, 2.0) < 120  # one step says little yet


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", [{}, {"style.scale": 3}, {"optimizer.name": "lbfgs"}])
def test_a_run_that_is_too_large_is_told_the_largest_size_that_fits(
    monkeypatch, precision, changes
):
    recipe = Recipe().but(changes | {"size": LARGEST})
    monkeypatch.setattr(nst.engines.estimate, "free_memory", lambda: 700_000_000)
    with pytest.raises(TooLarge, match=r"2048 pixels need .* 0\.7 are free") as refused:
        refuse_if_too_large(recipe, PHOTO, PAINTING, precision)
    size = int(re.search(r"fits is (\d+)\.", str(refused.value))[1])
    refuse_if_too_large(recipe.but({"size": size}), PHOTO, PAINTING, precision)
    with pytest.raises(TooLarge):
        refuse_if_too_large(recipe.but({"size": size + 32}), PHOTO, PAINTING, precision)


def test_where_nothing_fits_the_message_says_so(monkeypatch):
    monkeypatch.setattr(nst.engines.estimate, "free_memory", lambda: 1_000_000)
    with pytest.raises(TooLarge, match=r"No size fits now\.$"):
        refuse_if_too_large(Recipe(), PHOTO, PAINTING, "float32")


def test_the_engine_refuses_before_it_paints(monkeypatch, photo, painting):
    monkeypatch.setattr(nst.engines.estimate, "free_memory", lambda: 600_000_000)
    with pytest.raises(TooLarge, match="largest size that fits"):
        next(stylize(photo, painting, Recipe(size=2048), precision="float32"))


# What would take too long


class Watch:
    """A machine whose estimate changes when it is measured again."""

    def __init__(self, monkeypatch, before, after):
        self.now, self.after, self.measured = before, after, 0
        monkeypatch.setattr(nst.engines.estimate, "clock", lambda: self)

    def renew(self):
        self.measured += 1
        self.now = self.after

    def seconds(self):
        return self.now


def refusal(words):
    return TooLarge(f"{words} Smaller ones fit.")


@pytest.mark.parametrize("seconds", [0.0, 9.9, 10.0])
def test_what_is_short_enough_is_not_measured_again(seconds, monkeypatch):
    watch = Watch(monkeypatch, seconds, 99.0)
    assert refuse_if_longer(watch.seconds, 10.0, refusal) == seconds
    assert watch.measured == 0


def test_no_refusal_rests_on_an_old_measurement(monkeypatch):
    watch = Watch(monkeypatch, 22.0, 7.8)
    assert refuse_if_longer(watch.seconds, 10.0, refusal) == 7.8
    assert watch.measured == 1


@pytest.mark.parametrize("after", [10.1, 90.0, math.inf, math.nan])
def test_what_takes_too_long_is_refused_by_the_new_measurement(after, monkeypatch):
    watch = Watch(monkeypatch, math.nan, after)
    said = rf"^This would take .*{duration(after)}; the limit is 10 s\. Smaller ones fit\.$"
    with pytest.raises(TooLarge, match=said):
        refuse_if_longer(watch.seconds, 10.0, refusal)
    assert watch.measured == 1


def test_the_clock_of_the_process_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(Clock, "renew", lambda self: asked.append(self))
    with pytest.raises(TooLarge):
        refuse_if_longer(lambda: 11.0, 10.0, refusal)
    assert asked == [nst.machine.clock()]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (math.inf, "forever"),
        (math.nan, "forever"),
        (-3, "0 s"),
        (0.4, "0 s"),
        (12.4, "12 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (100, "1 min 40 s"),
        (120, "2 min"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h"),
        (600, "10 min"),
        (36_000, "10 h"),
        (3900, "1 h 5 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations_are_written_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_an_estimate_is_described_in_words():
    found = Estimate(((10, 2.0),), preparation=1.0, memory=1.26e9)
    assert describe(found) == "about 21 s, 1.3 GB of memory"
