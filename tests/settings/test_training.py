"""Settings of trainings, and the named ones in presets/training."""

import pytest

from nst.names import UnknownName
from nst.nn.vgg import NETWORKS
from nst.settings.base import BadSetting
from nst.settings.catalog import ROOT
from nst.settings.training import DEFAULT_TRAINING, TrainingRecipe, all_trainings, training

FILES = sorted(path.stem for path in (ROOT / "training").glob("*.toml"))
WANG = {"wang-style-1": 3.0, "wang-style-2": 15.0}  # their style weights
PHOTOS = 463  # portraits in the report of Wang et al.


def test_every_file_is_read_under_its_name():
    assert list(all_trainings()) == FILES
    assert {DEFAULT_TRAINING, *WANG} <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_recipe_names_its_source_and_reads_back(name):
    found = training(name)
    assert found.title
    assert found.source
    recipe = found.recipe
    assert TrainingRecipe.read(recipe.model_dump()) == recipe
    assert TrainingRecipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.content.layers
    assert recipe.style.layers
    assert set(recipe.layers) == {*recipe.content.layers, *recipe.style.layers}
    assert set(recipe.layers) <= set(NETWORKS[recipe.backbone.network].layers)


def test_no_two_recipes_have_one_title():
    titles = [found.title for found in all_trainings().values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(("name", "style"), WANG.items())
def test_a_recipe_of_wang_has_the_numbers_of_its_report(name, style):
    found = training(name)
    recipe = found.recipe
    numbers = f"VGG-19, 256 x 256, batch 4, 5 epochs, learning rate 0.002, weights 1, {style:g} and"
    assert found.source.endswith(f"{numbers} 0.01")
    assert recipe.backbone.network == "vgg19"
    assert (recipe.data.side, recipe.data.batch) == (256, 4)
    assert (recipe.schedule.epochs, recipe.schedule.learning_rate) == (5, 0.002)
    assert (recipe.content.weight, recipe.style.weight, recipe.tv.weight) == (1, style, 0.01)
    assert recipe.iterations(PHOTOS) == 579  # 5 * 463 / 4


def test_the_recipes_of_wang_differ_in_the_style_weight_alone():
    first, second = (training(name).recipe for name in WANG)
    assert first.but({"style.weight": 15}) == second


@pytest.mark.parametrize(
    ("epochs", "iterations", "photos", "batch", "expected"),
    [
        (None, 700, 463, 4, 700),
        (None, 700, 16, 1, 700),
        (1, 700, 463, 4, 116),
        (2, 1, 100, 4, 50),
        (0.5, 700, 100, 4, 12),
        (0.001, 700, 16, 64, 1),  # never none
    ],
)
def test_epochs_count_instead_of_iterations(epochs, iterations, photos, batch, expected):
    changes = {
        "schedule.epochs": epochs,
        "schedule.iterations": iterations,
        "data.batch": batch,
    }
    assert TrainingRecipe().but(changes).iterations(photos) == expected


def test_a_blank_number_of_epochs_goes_back_to_iterations():
    recipe = training("wang-style-1").recipe
    changed = recipe.but({"schedule.epochs": "", "schedule.iterations": "30"})
    assert changed.iterations(PHOTOS) == 30


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schedule.learning_rat": 1}, ["`schedule.learning_rat`", "`schedule.learning_rate`"]),
        ({"scedule.iterations": 1}, ["`scedule.iterations`", "`schedule.iterations`"]),
        ({"network.wdith": 8}, ["`network.wdith`", "`network.width`"]),
        ({"style.layers.conv3_9": 1}, ["`conv3_9`", "vgg16", "`conv3_"]),
        ({"content.layers": "conv3_4"}, ["`conv3_4`", "vgg16"]),  # VGG-19 alone has it
        ({"backbone.network": "vgg91"}, ["`vgg91`", "`vgg19`"]),
        ({"normalization": "maen"}, ["`maen`", "`mean`"]),
        ({"tv.kind": "l3-mean"}, ["`l3-mean`", "-mean`"]),
        ({"network.width": 18}, ["`network.width`", "multiple of 4"]),
        ({"network.width": 0}, ["`network.width`", "4"]),
        ({"network.blocks": 0}, ["`network.blocks`"]),
        ({"data.side": 56}, ["`data.side`", "64"]),
        ({"data.side": 68}, ["`data.side`", "multiple of 8"]),
        ({"data.batch": 0}, ["`data.batch`"]),
        ({"schedule.iterations": 0}, ["`schedule.iterations`"]),
        ({"schedule.epochs": 0}, ["`schedule.epochs`"]),
        ({"schedule.learning_rate": "nan"}, ["`schedule.learning_rate`"]),
        ({"schedule.learning_rate": "fast"}, ["`schedule.learning_rate`", "number"]),
        ({"schedule.end_share": 1.5}, ["`schedule.end_share`"]),
        ({"stability.deviation": 0}, ["`stability.deviation`"]),
        ({"stability.weight": "nan"}, ["`stability.weight`"]),
        ({"seed": -1}, ["`seed`"]),
    ],
    ids=str,
)
def test_a_bad_setting_is_named(changes, words):
    with pytest.raises(BadSetting) as caught:
        TrainingRecipe().but(changes)
    text = str(caught.value)
    assert [word for word in words if word not in text] == [], text
    assert text[-1] in ".?"


@pytest.mark.parametrize("term", ["content", "style"])
def test_a_recipe_that_reads_no_layer_of_a_term_is_refused(term):
    """Or it would end in the middle of a training."""
    with pytest.raises(BadSetting, match=rf"{term}.layers"):
        TrainingRecipe().but({f"{term}.layers": ""})


def test_an_unknown_recipe_is_answered_with_the_closest():
    with pytest.raises(UnknownName, match=r"`wang-style1`. Did you mean `wang-style-1`\?"):
        training("wang-style1")


def test_layers_of_other_notations_are_known():
    recipe = TrainingRecipe().but({"style.layers": "relu1_2=0.5, block3_conv3", "seed": "7"})
    assert recipe.style.layers == {"conv1_2": 0.5, "conv3_3": 1.0}
    assert recipe.seed == 7


def test_layers_are_in_the_order_of_the_loss_network():
    changes = {"style.layers": "conv4_3, conv1_2, conv3_1=0", "content.layers": "conv2_2"}
    assert TrainingRecipe().but(changes).layers == ("conv1_2", "conv2_2", "conv4_3")
