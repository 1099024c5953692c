"""A training lowers the very sum that a run lowers, whatever its settings."""

import numpy as np
import pytest
import torch
from PIL import Image

from nst.engines.objective import Objective
from nst.engines.optimize import losses_of
from nst.nn.losses import NORMALIZATIONS, STYLE_LOSSES, VARIATIONS
from nst.pictures.images import to_tensor
from nst.settings.base import BadSetting
from nst.settings.recipe import Recipe
from nst.settings.training import TrainingRecipe

SIDE = 64
CPU = torch.device("cpu")


def noise(width, height, seed):
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))


PHOTO, RESULT, PAINTING = noise(SIDE, SIDE, 0), noise(SIDE, SIDE, 1), noise(150, 90, 2)


def both(changes):
    """The losses of one picture as a training has them, and as a run does."""
    made = TrainingRecipe(data={"side": SIDE}).but(changes)
    objective = Objective.of(PAINTING, made, CPU, torch.float32)
    none = torch.zeros(0, 3, SIDE, SIDE)
    trained = objective.evaluate(to_tensor(PHOTO, CPU), to_tensor(RESULT, CPU), none)[1]
    common = {name: getattr(made, name).model_dump() for name in ("content", "style", "tv")}
    common |= {"backbone": made.backbone.model_dump(), "normalization": made.normalization}
    recipe = Recipe.read(common | {"size": SIDE})
    return trained, losses_of(RESULT, PHOTO, PAINTING, recipe, precision="float32")


@pytest.mark.parametrize(
    "changes",
    [
        *({"style.loss": name} for name in STYLE_LOSSES),
        *({"normalization": name} for name in NORMALIZATIONS),
        *({"tv.kind": name, "tv.weight": 2.0} for name in VARIATIONS),
        {"style.fit": "crop"},
        {"style.fit": "crop", "style.scale": 0.5},
        {"style.scale": 0.5, "style.weight": 7.0},
        {"content.weight": 3.0, "content.layers": "conv1_2=2, conv3_1"},
        {"backbone.network": "vgg19", "backbone.pooling": "average"},
    ],
    ids=str,
)
def test_a_training_lowers_what_a_run_lowers(changes):
    trained, run = both(changes)
    assert trained.total == pytest.approx(run.total, rel=1e-4)
    for name, term in run.terms.items():
        assert trained.terms[name].weighted == pytest.approx(term.weighted, rel=1e-4), name
        assert trained.terms[name].layers == pytest.approx(term.layers, rel=1e-4), name


def test_settings_change_what_a_training_lowers():
    """Else the comparison above would say nothing."""
    totals = [
        both(changes)[0].total
        for changes in ({}, {"style.loss": "mmd-linear"}, {"style.fit": "crop"}, {"tv.weight": 9})
    ]
    assert len(set(totals)) == len(totals)


def test_a_training_on_swapped_features_is_refused():
    with pytest.raises(BadSetting, match=r"content\.target` must be photo"):
        TrainingRecipe().but({"content.target": "swapped"})
