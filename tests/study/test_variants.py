"""Which variants are painted, and which are refused before anything is."""

import re
from dataclasses import replace
from itertools import product

import pytest

import nst.engines.estimate
from nst.engines.estimate import estimate
from nst.machine import Calibration, Clock
from nst.names import UnknownName
from nst.settings.base import BadSetting
from nst.settings.catalog import all_presets, get
from nst.study.variants import (
    MEASURING,
    MOST,
    MOST_CELLS,
    Axis,
    TooMuch,
    axis,
    grid,
    of_presets,
    of_values,
    refuse_if_too_long,
    seconds,
)

SIZES = (512, 341), (400, 500)  # of a photo and a painting
BASELINE = get("baseline")


def seeds(count):
    return Axis("seed", tuple(map(str, range(count))))


# Axes


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("seed=1,2,3", "seed", ("1", "2", "3")),
        (" seed = 1 , 2 ", "seed", ("1", "2")),
        ("seed=1", "seed", ("1",)),
        ("ratio=1e-3;1", "ratio", ("1e-3", "1")),
        ("seed=1,,2,", "seed", ("1", "2")),
        (
            "style.layers=conv1_1=1, conv2_1=0.5; conv3_1",
            "style.layers",
            ("conv1_1=1, conv2_1=0.5", "conv3_1"),
        ),
        ("pyramid.scales=0.5,1;", "pyramid.scales", ("0.5,1",)),
    ],
)
def test_an_axis_is_a_key_and_its_values(text, key, values):
    assert axis(text) == Axis(key, values)


@pytest.mark.parametrize("text", ["", "seed", "=1,2", " =1", "1,2"])
def test_a_text_that_is_no_axis_is_refused_with_the_form(text):
    with pytest.raises(BadSetting, match=re.escape(f"`{text}` needs the form key=value,value")):
        axis(text)


@pytest.mark.parametrize("text", ["seed=", "seed= , ", "seed=;"])
def test_an_axis_without_values_is_refused_by_name(text):
    with pytest.raises(BadSetting, match="`seed` has no values"):
        axis(text)


def test_an_axis_names_no_value_twice():
    with pytest.raises(BadSetting, match=r"`seed` has the value 1 twice\.$"):
        axis("seed=1, 2,1")


def test_an_axis_has_the_label_of_its_knob():
    assert axis("style-layers=1,2").label == "Number of style layers"
    assert axis("tv.weight=1,2").label == "tv.weight"


# Presets and values


def test_presets_are_compared_as_they_are_in_the_order_given():
    variants = of_presets(["tuned", "quick", "gatys"])
    assert [v.preset for v in variants] == ["tuned", "quick", "gatys"]
    assert [v.title for v in variants] == [get(v.preset).title for v in variants]
    assert [v.settings for v in variants] == [get(v.preset).recipe for v in variants]
    assert [v.place for v in variants] == [(0, 0), (0, 1), (0, 2)]
    assert not any(v.changes for v in variants)


def test_presets_are_compared_at_one_size():
    for variant in of_presets(["quick", "tuned"], 96):
        assert variant.changes == {"size": 96}


@pytest.mark.parametrize("count", [0, 1, 7])
def test_two_to_six_presets_are_compared(count):
    with pytest.raises(TooMuch, match=rf"Choose 2 to 6 presets, not {count}\."):
        of_presets(list(all_presets())[:count])
    assert len(of_presets(list(all_presets())[:MOST])) == MOST


def test_no_preset_is_compared_with_itself():
    with pytest.raises(BadSetting, match="each preset once"):
        of_presets(["quick", "tuned", "quick"])


def test_an_unknown_preset_is_refused_with_the_closest_one():
    with pytest.raises(UnknownName, match="Did you mean `quick`"):
        of_presets(["quikc", "tuned"])


def test_values_of_one_setting_are_one_variant_each():
    variants = of_values(BASELINE.name, axis("start.noise=0,0.5,1"), 64)
    assert [v.title for v in variants] == ["0", "0.5", "1"]
    assert [v.changes for v in variants] == [
        {"size": 64},
        {"size": 64, "start.noise": 0.5},
        {"size": 64, "start.noise": 1},
    ]


@pytest.mark.parametrize("count", [1, 7])
def test_two_to_six_values_are_compared(count):
    with pytest.raises(TooMuch, match=rf"Give 2 to 6 values, not {count}\."):
        of_values(BASELINE.name, seeds(count))


def test_without_a_size_values_are_painted_at_the_presets_own():
    assert {v.settings.size for v in of_values(BASELINE.name, seeds(2))} == {BASELINE.recipe.size}


# Grids


def test_the_first_axis_goes_across_and_the_second_down():
    variants = grid(BASELINE.name, [axis("seed=1,2,3"), axis("start.noise=0.25,0.5")], 64)
    wanted = [(noise, seed) for noise in (0.25, 0.5) for seed in (1, 2, 3)]
    assert [(v.settings.start.noise, v.settings.seed) for v in variants] == wanted
    assert [v.place for v in variants] == [*product(range(2), range(3))]
    assert [v.title for v in variants][:4] == ["1, 0.25", "2, 0.25", "3, 0.25", "1, 0.5"]
    assert {v.preset for v in variants} == {"baseline"}


def test_a_grid_of_one_axis_is_one_row():
    variants = grid(BASELINE.name, [axis("profile=fine,coarse")], 64)
    assert [(v.title, v.place) for v in variants] == [("fine", (0, 0)), ("coarse", (0, 1))]


def test_layer_tables_are_one_value_each():
    along = axis("style.layers=conv1_1=1, conv2_1=0.5; conv3_1")
    tables = [v.settings.style.layers for v in grid(BASELINE.name, [along], 64)]
    assert tables == [{"conv1_1": 1, "conv2_1": 0.5}, {"conv3_1": 1}]


def test_settings_of_a_grid_are_for_all_cells():
    settings = {"pyramid.iterations": "3", "start.noise": "0.5"}
    variants = grid(BASELINE.name, [axis("start.noise=0,1"), axis("seed=1,2")], 64, settings)
    assert {v.settings.iterations for v in variants} == {3}
    assert [v.settings.start.noise for v in variants] == [0, 1, 0, 1]


def test_a_size_can_be_varied():
    along = axis("size=64,96,128")
    for size in (None, 256):
        assert [v.settings.size for v in grid(BASELINE.name, [along], size)] == [
            64,
            96,
            128,
        ]


def test_a_grid_has_36_cells_at_most():
    assert len(grid(BASELINE.name, [seeds(6), axis("start.noise=0,.1,.2,.3,.4,.5")])) == MOST_CELLS
    with pytest.raises(TooMuch, match="37 cells are too many: a sweep has 36 at most"):
        grid(BASELINE.name, [seeds(37)])
    with pytest.raises(TooMuch, match="40 cells"):
        grid(BASELINE.name, [seeds(20), axis("start.noise=0,1")])


def test_a_grid_has_one_or_two_different_axes():
    axes = [axis("seed=1,2"), axis("start.noise=0,1"), axis("ratio=1,2")]
    for wrong in ([], axes):
        with pytest.raises(TooMuch, match=f"one or two axes, not {len(wrong)}"):
            grid(BASELINE.name, wrong)
    with pytest.raises(BadSetting, match="`seed` cannot be both axes"):
        grid(BASELINE.name, [axis("seed=1,2"), axis("seed=3,4")])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iteration=1,2", "Did you mean `iterations`"),
        ("seed=1,x", "`seed`"),
        ("size=64,63", "`size`"),
        ("content-layer=conv4_2,conv42", "Did you mean `conv4_2`"),
    ],
)
def test_a_value_that_cannot_be_painted_is_refused_at_once(text, words):
    with pytest.raises((BadSetting, UnknownName), match=words):
        grid(BASELINE.name, [axis(text)])


@pytest.mark.parametrize(
    "text",
    [
        "profile=fine,coarse,tuned",
        "iterations=30,60",
        "optimizer.end_learning_rate=1,2",
        "style.layers.conv2_1=0,3",
        "content-layer=conv1_2,conv5_2",
    ],
)
def test_changes_are_enough_to_make_a_variant_of_its_preset(text):
    for preset in (get("quick"), get("cs229")):
        for variant in grid(preset.name, [axis(text)], 64):
            assert variant.changes
            assert preset.recipe.but(variant.changes) == variant.settings


# How long it takes


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """One of known speed, which is the same however often it is measured."""
    known = Calibration("float32", fixed=1e-3, per_pixel=4e-6, float32_per_pixel=4e-6)
    monkeypatch.setattr(nst.engines.estimate, "calibration", lambda: known)
    monkeypatch.setattr(Clock, "renew", lambda self: None)


def test_the_seconds_include_the_measuring():
    (variant,) = grid(BASELINE.name, [seeds(1)], 64)
    foreseen = estimate(variant.settings, *SIZES)
    (found,) = seconds([variant], *SIZES)
    assert found == pytest.approx(foreseen.seconds + MEASURING * foreseen.levels[-1][1])


def test_what_is_short_enough_is_estimated():
    variants = grid(BASELINE.name, [seeds(3)], 64)
    assert refuse_if_too_long(variants, *SIZES) == sum(seconds(variants, *SIZES))


def resized(variants, size):
    return [replace(v, painter=v.painter.but({"size": size})) for v in variants]


@pytest.mark.parametrize(
    "variants",
    [
        of_presets(["baseline", "tuned", "gatys"]),
        of_values("quick", seeds(4), 1000),
        of_values(BASELINE.name, axis("size=64,512")),
        of_values(BASELINE.name, axis("size=64,96,128,512"), None),
    ],
    ids=["presets", "values", "two sizes", "many sizes"],
)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_refusal_names_the_largest_size_that_fits(variants, share):
    most = share * sum(seconds(variants, *SIZES))
    with pytest.raises(TooMuch, match=r"This would take about .*; the limit is .*\.") as refused:
        refuse_if_too_long(variants, *SIZES, most)
    size = int(re.search(r"A size of (\d+) pixels would fit\.$", str(refused.value))[1])
    assert refuse_if_too_long(resized(variants, size), *SIZES, most) <= most
    with pytest.raises(TooMuch):
        refuse_if_too_long(resized(variants, size + 32), *SIZES, most)


def test_a_comparison_is_measured_again_before_it_is_refused(monkeypatch):
    variants = grid(BASELINE.name, [seeds(3)], 64)
    slow, most = sum(seconds(variants, *SIZES)), 0.5 * sum(seconds(variants, *SIZES))
    fast = Calibration("float32", fixed=1e-4, per_pixel=4e-7, float32_per_pixel=4e-7)

    def renew(self):
        monkeypatch.setattr(nst.engines.estimate, "calibration", lambda: fast)

    monkeypatch.setattr(Clock, "renew", renew)
    assert refuse_if_too_long(variants, *SIZES, most) < 0.2 * slow


def test_where_no_size_fits_fewer_are_advised():
    with pytest.raises(TooMuch, match=r"Choose fewer variants or fewer iterations\.$"):
        refuse_if_too_long(grid(BASELINE.name, [seeds(2)], 64), *SIZES, most=1e-6)
