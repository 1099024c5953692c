import json
import math

import pytest
from pydantic import ValidationError

from nst.nn.losses import NORMALIZATIONS, VARIATIONS
from nst.nn.vgg import ACTIVATIONS, NETWORKS, POOLINGS, SOURCES
from nst.settings.base import BadSetting, flat, written
from nst.settings.catalog import all_presets
from nst.settings.recipe import Recipe, StyleSettings, setting_field, setting_names

RECIPES = {name: preset.recipe for name, preset in all_presets().items()}
NUMBERS = [
    name for name, value in flat(Recipe()).items() if type(value) in (int, float) or value is None
]


def refused(changes, recipe=None):
    with pytest.raises(BadSetting) as caught:
        (recipe or Recipe()).but(changes)
    return str(caught.value)


# Defaults


def test_the_defaults_are_valid():
    assert Recipe.read(Recipe().model_dump()) == Recipe()


def test_an_empty_table_reads_as_the_defaults():
    assert Recipe.read({}) == Recipe()
    assert Recipe.read({"style": {}, "pyramid": {}}) == Recipe()


@pytest.mark.parametrize("name", setting_names())
def test_every_default_passes_its_own_check(name):
    assert Recipe().but({name: flat(Recipe())[name]}) == Recipe()


@pytest.mark.parametrize("name", setting_names())
def test_every_setting_has_a_label_for_the_page(name):
    assert setting_field(name).title


def test_labels_of_a_section_are_distinct():
    for section in {name.rpartition(".")[0] for name in setting_names()}:
        names = [name for name in setting_names() if name.rpartition(".")[0] == section]
        assert len({setting_field(name).title for name in names}) == len(names)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("normalization", NORMALIZATIONS),
        ("backbone.network", NETWORKS),
        ("backbone.weights", SOURCES),
        ("backbone.pooling", POOLINGS),
        ("backbone.activation", ACTIVATIONS),
        ("backbone.last_activation", ACTIVATIONS),
        ("tv.kind", VARIATIONS),
    ],
)
def test_every_entry_of_a_table_can_be_chosen_and_is_offered(name, table):
    assert setting_field(name).json_schema_extra["choices"].keys() == table.keys()
    assert [flat(Recipe().but({name: key}))[name] for key in table] == list(table)


# Unknown names


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("optimizer.learning_rat", "optimizer.learning_rate"),
        ("learning_rate", "optimizer.learning_rate"),
        ("style.wieght", "style.weight"),
        ("Style.Weight", "style.weight"),
        ("sise", "size"),
        ("size.x", "size"),
        ("style.layer.conv1_1", "style.layers"),
        ("pyramid.scale", "pyramid.scales"),
    ],
)
def test_an_unknown_setting_is_refused_with_the_closest_one(name, close):
    assert refused({name: 1}) == f"Unknown setting `{name}`. Did you mean `{close}`?"


def test_a_setting_like_no_other_is_refused_with_the_list_of_all():
    message = refused({"qqq": 1})
    assert message.startswith("Unknown setting `qqq`. Known: ")
    assert all(name in message for name in setting_names())


@pytest.mark.parametrize("name", ["", ".", "..", "style.", ".weight", "style.layers.conv4_1.x"])
def test_a_malformed_name_is_an_unknown_setting(name):
    assert f"Unknown setting `{name}`." in refused({name: 1})


@pytest.mark.parametrize(
    ("tree", "name", "close"),
    [
        ({"sise": 512}, "sise", "size"),
        ({"style": {"wieght": 2}}, "style.wieght", "style.weight"),
        ({"backbone": {"poling": "max"}}, "backbone.poling", "backbone.pooling"),
    ],
)
def test_an_unknown_key_of_a_table_is_refused_with_the_closest_one(tree, name, close):
    with pytest.raises(BadSetting) as caught:
        Recipe.read(tree)
    assert str(caught.value) == f"Unknown setting `{name}`. Did you mean `{close}`?"


# Values out of range


@pytest.mark.parametrize(
    ("name", "value", "works"),
    [
        ("size", 63, "64"),
        ("size", 2049, "2048"),
        ("size", "large", "whole number"),
        ("size", 512.5, "whole number"),
        ("size", None, "whole number"),
        ("seed", -1, "0"),
        ("seed", 2**32, "4294967295"),
        ("backbone.slope", 1.5, "1"),
        ("content.weight", -0.1, "0"),
        ("content.weight", 1e13, "1000000000000"),
        ("style.weight", "much", "number"),
        ("style.scale", 0.05, "0.1"),
        ("style.scale", 5, "4"),
        ("style.fit", "stretch", "'whole' or 'crop'"),
        ("tv.weight", -1, "0"),
        ("optimizer.name", "sgd", "'adam' or 'lbfgs'"),
        ("optimizer.learning_rate", 0, "greater than 0"),
        ("optimizer.end_learning_rate", 1001, "1000"),
        ("optimizer.decay_iterations", 0, "1"),
        ("optimizer.beta1", 1, "less than 1"),
        ("optimizer.beta2", -0.5, "0"),
        ("optimizer.epsilon", 0, "greater than 0"),
        ("optimizer.history", 0, "1"),
        ("optimizer.clamp", "maybe", "true or false"),
        ("start.image", "foto", "'photo', 'noise', 'painting' or 'picture'"),
        ("start.noise", 1.01, "1"),
        ("start.distribution", "poisson", "'uniform' or 'normal'"),
        ("start.deviation", 256, "255"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_setting_and_what_works(name, value, works):
    message = refused({name: value})
    assert message.startswith(f"`{name}` is {value!r}: it must be ")
    assert works in message.partition(": ")[2]


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("backbone.network", "vgg18", "Unknown network `vgg18`. Did you mean `vgg19`?"),
        ("backbone.network", 5, "Unknown network `5`. Known: vgg16, vgg19."),
        ("backbone.weights", "bundle", "Unknown weights `bundle`. Did you mean `bundled`?"),
        ("backbone.pooling", "mean", "Unknown pooling `mean`. Known: average, max."),
        (
            "backbone.activation",
            "leaky",
            "Unknown activation `leaky`. Did you mean `leaky_relu`?",
        ),
        ("backbone.last_activation", "tan", "Unknown activation `tan`. Did you mean `tanh`?"),
        ("normalization", "means", "Unknown normalization `means`. Did you mean `mean`?"),
        ("tv.kind", "l2", "Unknown total variation `l2`."),
    ],
)
def test_an_unknown_choice_is_refused_with_what_works(name, value, answer):
    assert refused({name: value}).startswith(answer)


def test_every_problem_of_a_recipe_is_named():
    message = refused({"size": 1, "style.scale": 9, "backbone.pooling": "mean"})
    assert "`size` is 1" in message
    assert "`style.scale` is 9" in message
    assert "Unknown pooling `mean`" in message


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_may_be_infinite_or_undefined(name, value):
    assert f"`{name}` is " in refused({name: float(value)})
    assert f"`{name}` is " in refused({name: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "nan", "inf"])
@pytest.mark.parametrize("section", ["content", "style"])
def test_no_layer_weight_may_be_infinite_or_undefined(section, value):
    assert f"`{section}.layers.conv4_1` is " in refused({f"{section}.layers.conv4_1": value})
    assert f"`{section}.layers.conv4_1` is " in refused({f"{section}.layers": {"conv4_1": value}})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_scale_of_the_pyramid_may_be_infinite_or_undefined(value):
    changes = {"pyramid.scales": (value, 1.0), "pyramid.iterations": (1, 1)}
    assert "`pyramid.scales.0` is " in refused(changes)


# Layers


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("conv4_1", {"conv4_1": 1.0}),
        ("conv1_1=0.2, conv2_1", {"conv1_1": 0.2, "conv2_1": 1.0}),
        ("conv1_1=0.2,conv2_1=3e-5,", {"conv1_1": 0.2, "conv2_1": 3e-5}),
        (" block4_conv2 = 2 , relu3_1=1", {"conv4_2": 2.0, "conv3_1": 1.0}),
        ("conv1_1=0, conv2_1=1", {"conv2_1": 1.0}),
        ("conv1_1=, conv2_1=4", {"conv1_1": 1.0, "conv2_1": 4.0}),
        ("", {}),
    ],
)
def test_layers_are_read_from_a_text(text, weights):
    assert Recipe().but({"style.layers": text}).style.layers == weights


def test_layers_are_read_from_a_table():
    recipe = Recipe.read({"content": {"layers": {"block5_conv2": 2, "relu4_2": "0.5"}}})
    assert recipe.content.layers == {"conv5_2": 2.0, "conv4_2": 0.5}


def test_one_layer_can_be_changed_by_its_dotted_name():
    layers = Recipe().but({"style.layers.conv4_1": "3"}).style.layers
    assert layers == {"conv1_1": 0.2, "conv2_1": 0.2, "conv3_1": 0.2, "conv4_1": 3, "conv5_1": 0.2}


def test_one_layer_can_be_changed_by_its_name_in_keras():
    layers = Recipe().but({"style.layers.block4_conv1": 3}).style.layers
    assert layers == {"conv1_1": 0.2, "conv2_1": 0.2, "conv3_1": 0.2, "conv4_1": 3, "conv5_1": 0.2}


def test_one_layer_can_be_added_by_its_dotted_name():
    layers = Recipe().but({"content.layers.conv2_2": 0.5}).content.layers
    assert layers == {"conv4_2": 1.0, "conv2_2": 0.5}


def test_a_layer_of_weight_zero_is_left_out():
    layers = Recipe().but({"style.layers.conv4_1": 0}).style.layers
    assert set(layers) == {"conv1_1", "conv2_1", "conv3_1", "conv5_1"}


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"style.layers": "conv9_1"}, "Unknown layer `conv9_1` for vgg19."),
        ({"style.layers.conv42": 1}, "Unknown layer `conv42` for vgg19. Did you mean `conv4_2`?"),
        ({"content.layers": "conv4_1;conv2_1"}, "Unknown layer `conv4_1;conv2_1` for vgg19."),
        (
            {"backbone.network": "vgg16", "content.layers": "conv3_4"},
            "Unknown layer `conv3_4` for vgg16. Did you mean `conv3_",
        ),
        ({"style.layers": "conv1_1=a"}, "`style.layers.conv1_1` is 'a': it must be"),
        ({"style.layers": "conv1_1=-1"}, "`style.layers.conv1_1` is '-1': it must be"),
        ({"style.layers.conv1_1": 2e12}, "`style.layers.conv1_1` is 2000000000000.0: it must be"),
        ({"style.layers": ["conv1_1"]}, "`style.layers` is ['conv1_1']: it must be"),
    ],
)
def test_layers_that_cannot_be_read_are_refused(changes, answer):
    assert refused(changes).startswith(answer)


def test_a_layer_that_the_other_network_lacks_is_refused_when_the_network_changes():
    recipe = Recipe().but({"content.layers": "conv3_4"})
    assert "Unknown layer `conv3_4` for vgg16." in refused({"backbone.network": "vgg16"}, recipe)


def test_layers_are_those_of_both_losses_in_the_order_of_the_network():
    recipe = Recipe().but({"style.layers": "conv5_1, conv1_1", "content.layers": "conv4_2,conv1_1"})
    assert recipe.layers == ("conv1_1", "conv4_2", "conv5_1")


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({"content.weight": 0}, ("conv1_1", "conv3_1")),
        ({"style.weight": 0}, ("conv4_2",)),
        ({"content.layers": ""}, ("conv1_1", "conv3_1")),
        ({"style.layers.conv1_1": 0, "style.layers.conv3_1": 0}, ("conv4_2",)),
    ],
)
def test_layers_without_weight_are_not_read(changes, layers):
    recipe = Recipe().but({"style.layers": "conv3_1, conv1_1"}).but(changes)
    assert recipe.layers == layers
    assert recipe.reads_content == ("conv4_2" in layers)
    assert recipe.reads_style == ("conv1_1" in layers)


@pytest.mark.parametrize(
    "changes",
    [
        {"content.weight": 0, "style.weight": 0},
        {"content.layers": "", "style.layers": ""},
        {"content.weight": 0, "style.layers": "conv1_1=0"},
        {"content.weight": 0, "style.weight": 0, "tv.weight": 1},
    ],
)
def test_a_recipe_without_an_aim_is_refused(changes):
    message = refused(changes)
    assert message.startswith("nothing to optimize: ")
    assert "`content.weight` or `style.weight`" in message


# Changes by dotted name


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("size", "768", 768),
        ("optimizer.clamp", "false", False),
        ("optimizer.clamp", "yes", True),
        ("optimizer.epsilon", "1e-8", 1e-8),
        ("optimizer.end_learning_rate", "0.5", 0.5),
        ("content.weight", "1e3", 1000.0),
        ("start.image", "noise", "noise"),
        ("backbone.network", "vgg16", "vgg16"),
    ],
)
def test_texts_become_values(name, text, value):
    assert flat(Recipe().but({name: text}))[name] == value


def test_lists_are_read_from_texts():
    recipe = Recipe().but({"pyramid.scales": "0.25, .5,1", "pyramid.iterations": "60,50, 40"})
    assert recipe.pyramid.scales == (0.25, 0.5, 1.0)
    assert recipe.pyramid.iterations == (60, 50, 40)


def test_a_change_leaves_all_else_and_the_original_as_they_were():
    before = Recipe()
    after = before.but({"style.weight": 7})
    assert before == Recipe()
    assert {k: v for k, v in flat(after).items() if v != flat(before)[k]} == {"style.weight": 7.0}


def test_no_change_makes_an_equal_copy():
    assert Recipe().but({}) == Recipe()


@pytest.mark.parametrize("key", ["size", "style", "pyramid"])
def test_a_recipe_is_frozen(key):
    recipe = Recipe()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(recipe, key, getattr(recipe, key))


def test_a_section_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().style.weight = 2.0


def test_recipes_share_no_layers_that_could_be_changed():
    Recipe().style.layers["conv1_1"] = 99.0
    StyleSettings().layers["conv1_1"] = 99.0
    copy = Recipe().but({"size": 256})
    copy.style.layers["conv1_1"] = 99.0
    assert Recipe().style.layers["conv1_1"] == 0.2


@pytest.mark.parametrize("value", [[1], 5, "quick", None])
def test_what_is_no_table_is_refused(value):
    with pytest.raises(BadSetting):
        Recipe.read(value)


@pytest.mark.parametrize("value", [[1], 5, "quick", None])
def test_a_section_that_is_no_table_is_refused(value):
    assert refused({"style": value}).startswith(f"`style` is {value!r}: it must be")


# Pyramid


@pytest.mark.parametrize(
    ("scales", "iterations", "answer"),
    [
        ("0.5, 1", "10", "2 scales need as many numbers of iterations, not 1"),
        ("1", "10, 20", "1 scales need as many numbers of iterations, not 2"),
        ("1, 0.5", "1, 1", "ascend"),
        ("0.5, 0.9", "1, 1", "end with 1"),
        ("0.5, 0.5, 1", "1, 1, 1", "ascend"),
        ("0, 1", "1, 1", "`pyramid.scales.0` is '0': it must be greater than 0"),
        ("0.5, 1.5", "1, 1", "`pyramid.scales.1` is '1.5': it must be less than or equal to 1"),
        ("1", "0", "`pyramid.iterations.0` is '0': it must be greater than or equal to 1"),
        ("1", "10001", "10000"),
        ("1", "2.5", "`pyramid.iterations.0` is '2.5': it must be a whole number"),
        ("one", "1", "`pyramid.scales.0` is 'one': it must be a number"),
        (
            "0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1",
            "1, 1, 1, 1, 1, 1, 1, 1, 1",
            "at most 8",
        ),
        ("", "", "`pyramid.scales"),
        ([], [], "pyramid"),
    ],
)
def test_a_pyramid_that_cannot_be_built_is_refused(scales, iterations, answer):
    message = refused({"pyramid.scales": scales, "pyramid.iterations": iterations})
    assert "`pyramid" in message
    assert answer in message


@pytest.mark.parametrize(
    ("scales", "size", "photo", "levels"),
    [
        ((1,), 512, (1024, 768), ((512, 384),)),
        ((0.25, 0.5, 1), 512, (1024, 768), ((128, 96), (256, 192), (512, 384))),
        ((0.25, 0.5, 1), 512, (768, 1024), ((96, 128), (192, 256), (384, 512))),
        ((0.5, 1), 512, (300, 200), ((256, 171), (512, 341))),
        ((0.5, 1), 64, (5000, 10), ((32, 1), (64, 1))),
        ((0.001, 1), 64, (3, 2), ((1, 1), (64, 43))),
        ((1,), 100, (1, 1), ((100, 100),)),
    ],
)
def test_levels_have_the_photos_shape_at_each_scale(scales, size, photo, levels):
    recipe = Recipe().but(
        {"size": size, "pyramid.scales": scales, "pyramid.iterations": [1] * len(scales)}
    )
    assert recipe.level_sizes(photo) == levels


def pyramid(*iterations):
    count = len(iterations)
    scales = [(level + 1) / count for level in range(count)]
    return Recipe().but({"pyramid.scales": scales, "pyramid.iterations": iterations})


@pytest.mark.parametrize("total", [8, 9, 50, 200, 201, 999, 10_000])
@pytest.mark.parametrize(
    "before",
    [(200,), (60, 60, 30), (1, 1, 1000), (1000, 1, 1), (10_000,) * 8, (1, 10_000, 1, 10_000), (7,)],
)
def test_shared_iterations_add_up_with_at_least_one_each(before, total):
    after = pyramid(*before).with_iterations(total)
    assert after.iterations == sum(after.pyramid.iterations) == total
    assert len(after.pyramid.iterations) == len(before)
    assert min(after.pyramid.iterations) >= 1
    assert after.changes_from(pyramid(*before)).keys() <= {"pyramid.iterations"}


@pytest.mark.parametrize(
    ("before", "total", "after"),
    [
        ((60, 60, 30), 300, (120, 120, 60)),
        ((60, 60, 30), 150, (60, 60, 30)),
        ((60, 60, 30), 5, (2, 2, 1)),
        ((100, 100), 4, (2, 2)),
        ((200,), 7, (7,)),
        ((1000, 1, 1), 3, (1, 1, 1)),
        ((1, 1, 1000), 3, (1, 1, 1)),
    ],
)
def test_iterations_are_shared_as_before(before, total, after):
    assert pyramid(*before).with_iterations(total).pyramid.iterations == after


@pytest.mark.parametrize("total", [-1, 0, 2, 10_001])
def test_too_few_or_too_many_iterations_are_refused_with_the_range(total):
    with pytest.raises(BadSetting) as caught:
        pyramid(60, 60, 30).with_iterations(total)
    message = str(caught.value)
    assert message.startswith(f"`iterations` is {total}: ")
    assert "3 to 10000" in message


def test_iterations_are_those_of_all_levels():
    assert pyramid(60, 60, 30).iterations == 150


# Differences and texts


def test_a_recipe_does_not_differ_from_itself():
    assert Recipe().changes_from(Recipe()) == {}


def test_changes_are_named_with_the_new_value():
    changes = {"size": 256, "style.weight": 3.0, "content.layers": {"conv5_2": 1.0}}
    assert Recipe().but(changes).changes_from(Recipe()) == changes


@pytest.mark.parametrize("name", RECIPES)
def test_the_changes_between_presets_turn_one_into_the_other(name):
    recipe = RECIPES[name]
    for other in (*RECIPES.values(), Recipe()):
        assert other.but(recipe.changes_from(other)) == recipe


def test_all_settings_are_named_once_with_their_dotted_names():
    names = setting_names()
    assert len(set(names)) == len(names)
    assert {"size", "style.layers", "optimizer.learning_rate", "pyramid.scales"} <= set(names)
    assert list(flat(Recipe())) == list(names)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"conv1_1": 0.2, "conv4_2": 1.0}, "conv1_1=0.2, conv4_2=1"),
        ((0.25, 0.5, 1.0), "0.25, 0.5, 1"),
        ((200,), "200"),
        (None, ""),
        (True, "True"),
        (1e-8, "1e-08"),
        ("adam", "adam"),
    ],
)
def test_values_are_written_as_text_fields_take_them(value, text):
    assert written(value) == text


@pytest.mark.parametrize("name", [*RECIPES, None])
def test_written_values_read_back_as_the_same_recipe(name):
    recipe = RECIPES.get(name, Recipe())
    texts = {key: written(value) for key, value in flat(recipe).items()}
    for key, text in texts.items():
        assert recipe.but({key: text}) == recipe, key
    assert Recipe().but(texts) == recipe


@pytest.mark.parametrize(
    "changes",
    [
        {"style.layers": {"conv1_1": 0.12345678, "conv5_1": 9.5367431640625e-7}},
        {"pyramid.scales": (1 / 3, 2 / 3, 1.0), "pyramid.iterations": (10_000, 9_999, 1)},
        {"content.weight": 1 / 3, "seed": 2**32 - 1},
    ],
)
def test_written_values_keep_their_digits(changes):
    recipe = Recipe().but(changes)
    texts = {key: written(flat(recipe)[key]) for key in changes}
    assert Recipe().but(texts) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name):
    tree = json.loads(json.dumps(RECIPES[name].model_dump(mode="json"), allow_nan=False))
    assert Recipe.read(tree) == RECIPES[name]
