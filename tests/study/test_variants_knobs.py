"""Knobs: each is the settings that it stands for, and nothing else."""

import re
from itertools import pairwise

import pytest

from nst.engines.painters import Optimization
from nst.names import UnknownName
from nst.settings.base import BadSetting
from nst.settings.catalog import all_presets, get
from nst.settings.recipe import Recipe, setting_names
from nst.study.variants import KNOBS, PROFILES, STYLE_LAYERS, label, turned, varied, varied_names

BASE = Recipe().but({"style.weight": 2, "pyramid.scales": [0.5, 1], "pyramid.iterations": [30, 10]})
LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
MEANINGS = [
    ("content-layer", "conv5_2", {"content.layers": {"conv5_2": 1}}),
    ("content-layer", "conv3_2=2, conv4_2", {"content.layers": {"conv3_2": 2, "conv4_2": 1}}),
    *(
        (
            "style-emphasis",
            chosen,
            {"style.layers": {name: 10 if name == chosen else 0.2 for name in LAYERS}},
        )
        for chosen in LAYERS
    ),
    ("style-layers", "1", {"style.layers": {"conv1_1": 1}}),
    ("style-layers", "4", {"style.layers": dict.fromkeys(LAYERS[:4], 0.25)}),
    *(
        ("profile", name, {"style.layers": dict(zip(LAYERS, weights, strict=True))})
        for name, weights in PROFILES.items()
        if name != "equal"  # as it is already
    ),
    ("ratio", "0.25", {"content.weight": 0.5}),
    ("ratio", "1e6", {"content.weight": 2e6}),
    ("ratio", "0", {"content.weight": 0}),
    ("iterations", "20", {"pyramid.iterations": (15, 5)}),
    ("iterations", "1e3", {"pyramid.iterations": (750, 250)}),
    ("seed", "7", {"seed": 7}),
    ("start.noise", "0.5", {"start.noise": 0.5}),
    ("pyramid.iterations", "3, 4", {"pyramid.iterations": (3, 4)}),
    ("content.layers.conv2_2", "0.5", {"content.layers": {"conv4_2": 1, "conv2_2": 0.5}}),
]


@pytest.mark.parametrize(("key", "value", "settings"), MEANINGS)
def test_a_knob_is_the_settings_that_it_stands_for(key, value, settings):
    assert turned(BASE, key, value).changes_from(BASE) == settings


def test_every_knob_has_its_meaning_tested():
    assert {*KNOBS} <= {key for key, _, _ in MEANINGS}


@pytest.mark.parametrize("name", KNOBS)
@pytest.mark.parametrize("preset", ["quick", "baseline", "vgg16"])
def test_every_hinted_value_can_be_used(preset, name):
    recipe = get(preset).recipe
    values = KNOBS[name].values.split(",")
    found = [turned(recipe, name, value) for value in values]
    assert all(one != other for one, other in pairwise(found))


def test_an_equal_profile_is_the_layers_of_gatys_et_al():
    assert turned(BASE, "profile", "equal") == BASE
    assert STYLE_LAYERS == LAYERS


@pytest.mark.parametrize("preset", all_presets())
def test_a_ratio_is_of_the_weights_of_any_preset(preset):
    recipe = get(preset).recipe
    if recipe.style.weight:
        changed = turned(recipe, "ratio", "3")
        assert changed.content.weight / changed.style.weight == pytest.approx(3)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("content-layer", "conv4_3x", ["layer `conv4_3x`", "Did you mean `conv4_3`?"]),
        ("style-emphasis", "conv3_2", ["style layer `conv3_2`", "Did you mean `conv3_1`?"]),
        ("style-layers", "0", ["`style-layers` is 0", "1 to 5"]),
        ("style-layers", "6", ["`style-layers` is 6", "1 to 5"]),
        ("style-layers", "2.5", ["`style-layers` is 2.5", "whole number"]),
        ("style-layers", "two", ["`style-layers` is `two`", "a number"]),
        ("profile", "fin", ["profile `fin`", "Did you mean `fine`?"]),
        ("ratio", "-1", ["`ratio` is -1", "0 to 1e+12"]),
        ("ratio", "nan", ["`ratio` is nan", "0 to 1e+12"]),
        ("ratio", "inf", ["`ratio` is inf"]),
        ("ratio", "much", ["`ratio` is `much`", "a number"]),
        ("ratio", "1e12", ["`content.weight`", "1000000000000"]),
        ("iterations", "0", ["`iterations` is 0"]),
        ("iterations", "1", ["`iterations` is 1", "2 to 10000 for this preset"]),
        ("iterations", "10.5", ["`iterations` is 10.5", "whole number"]),
        ("iterations", "20000", ["`iterations` is 20000", "2 to 10000 for this preset"]),
        ("seed", "-1", ["`seed`", "greater than or equal to 0"]),
        ("backbone.pooling", "averge", ["pooling `averge`", "Did you mean `average`?"]),
        ("style.layers.conv9_9", "1", ["layer `conv9_9`"]),
    ],
)
def test_a_bad_value_is_refused_with_a_sentence(key, value, words):
    with pytest.raises((BadSetting, UnknownName)) as refused:
        turned(BASE, key, value)
    assert [word for word in words if word not in str(refused.value)] == []
    assert str(refused.value)[-1] in ".?"


@pytest.mark.parametrize(
    ("key", "closest"),
    [
        ("iteration", "iterations"),
        ("Ratio", "ratio"),
        ("content-layers", "content-layer"),
        ("style.wieght", "style.weight"),
        ("backbone.poling", "backbone.pooling"),
        ("styl.layers.conv1_1", "style.layers"),
    ],
)
def test_an_unknown_key_is_refused_with_the_closest_one(key, closest):
    words = f"Nothing named `{key}` can be varied. Did you mean `{closest}`?"
    with pytest.raises(BadSetting, match=re.escape(words)):
        turned(BASE, key, "1")


@pytest.mark.parametrize("key", ["", "zzzz"])
def test_where_no_key_is_close_all_are_listed(key):
    with pytest.raises(BadSetting) as refused:
        turned(BASE, key, "1")
    assert [name for name in varied_names() if name not in str(refused.value)] == []


@pytest.mark.parametrize("section", ["style", "content", "pyramid"])
def test_a_section_is_nothing_to_vary(section):
    with pytest.raises(BadSetting, match=f"Nothing named `{section}`"):
        turned(BASE, section, "1")


def test_a_ratio_to_no_style_is_refused():
    with pytest.raises(BadSetting, match="`ratio` needs a preset with a style weight above 0"):
        turned(get("content-reconstruction").recipe, "ratio", "2")


def test_a_ratio_of_nothing_leaves_nothing_to_optimize_in_a_reconstruction():
    alone = BASE.but({"style.layers": ""})
    with pytest.raises(BadSetting, match="nothing to optimize"):
        turned(alone, "ratio", "0")


def test_knobs_and_settings_can_be_varied_and_have_labels():
    assert varied_names() == (*KNOBS, *setting_names())
    assert label("ratio") == "Content/style ratio"
    assert label("start.noise") == "start.noise"
    assert len({knob.label for knob in KNOBS.values()}) == len(KNOBS)


def test_settings_and_knobs_work_together_in_any_order():
    painter = Optimization(get("quick").recipe)
    both = {"ratio": "4", "style.weight": "10"}
    for changes in (both, dict(reversed(both.items()))):
        assert varied(painter, changes).settings.content.weight == 40
    scales = {"pyramid.iterations": "5,6", "pyramid.scales": "0.5,1"}
    assert varied(painter, scales).settings.pyramid.iterations == (5, 6)
    with pytest.raises(BadSetting, match="sede"):
        varied(painter, {"sede": "1"})
