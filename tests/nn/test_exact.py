"""No engine computes in float64, or decomposes a matrix, but with what `exact` has moved.

Apple's MPS has neither; on the processor `exact` leaves everything where it is, so that only the
way into float64 can be watched.
"""

from contextlib import closing
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import nst.engines.anypainting
import nst.engines.bands
import nst.nn.moments
import nst.nn.style_swap
import nst.training.decoder
from nst.checkpoints.hub import bundled, load
from nst.engines import anypainting, bands, optimize, trained
from nst.nn.exact import exact
from nst.nn.losses import STYLE_LOSSES
from nst.settings.catalog import all_presets
from nst.settings.onepass import TrainedSettings, all_methods
from nst.settings.training import InverseRecipe, TrainingRecipe
from nst.steps import last
from nst.training.decoder import train_inverse
from nst.training.network import train
from nst.training.photos import find_photos
from tests.helpers import ALONE

MODULES = (
    nst.engines.bands,
    nst.nn.moments,
    nst.nn.style_swap,
    nst.training.decoder,
)


class Refused(Exception):
    """What MPS would refuse."""


class Mps(TorchDispatchMode):
    """Refuses what leads into float64, and what only runs on the processor."""

    def __torch_dispatch__(self, operation, types, values=(), options=None):
        answer = operation(*values, **(options or {}))
        if any(map(is_wide, tree_leaves((values, options)))):
            return answer
        if any(map(is_wide, tree_leaves(answer))) or "linalg_eigh" in str(operation):
            raise Refused(str(operation))
        return answer


def is_wide(value):
    # A number has no place; as a tensor without dimensions it is copied with what it meets.
    return isinstance(value, torch.Tensor) and value.dtype == torch.float64 and value.dim() > 0


def noise(width, height, seed):
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))


PHOTO, PAINTING = noise(96, 72, 0), noise(80, 96, 1)


@pytest.fixture
def mps(monkeypatch):
    """The refusal, and the one door through it."""
    mode = Mps()

    def door(values):
        with torch.utils._python_dispatch._disable_current_modes():
            return exact(values)

    for module in MODULES:
        monkeypatch.setattr(module, "exact", door)
    return mode


def test_the_refusal_works(mps):
    with mps:
        with pytest.raises(Refused):
            torch.ones(3).double()
        with pytest.raises(Refused):
            torch.arange(3, dtype=torch.float64)
        with pytest.raises(Refused):
            torch.linalg.eigh(torch.eye(3))
        nst.nn.moments.exact(torch.ones(3)) * 2


@pytest.mark.parametrize("loss", STYLE_LOSSES)
@pytest.mark.parametrize("name", ["quick", "tuned", "style-swap-optimized"])
def test_a_run(mps, name, loss):
    recipe = all_presets()[name].recipe.but({"style.loss": loss, "size": 72})
    with mps:
        last(optimize.stylize(PHOTO, PAINTING, recipe.with_iterations(6)))


@pytest.mark.parametrize("name", all_methods())
def test_a_method_for_any_painting(mps, name):
    settings = all_methods()[name].settings.but({"size": 96, "swap.balance": 0.5})
    with mps:
        last(anypainting.stylize(PHOTO, [anypainting.Style(PAINTING)], settings))


@pytest.mark.parametrize("pixels", [bands.WHOLE_PIXELS, 10])
def test_a_trained_network(mps, pixels, monkeypatch):
    monkeypatch.setattr(bands, "WHOLE_PIXELS", pixels)  # a small one in bands, too
    network = load(next(iter(bundled().values())))
    with mps:
        last(trained.stylize(PHOTO, network, TrainedSettings()))


@pytest.fixture
def photos(tmp_path):
    for number in range(16):
        noise(80, 80, number).save(tmp_path / f"{number}.png")
    return find_photos(tmp_path)


def test_a_training_of_a_network(mps, photos):
    recipe = TrainingRecipe(data={"side": 64, "batch": 2}, stability={"weight": 1.0})
    with mps, closing(train(PAINTING, photos, recipe, ALONE)) as steps:
        assert len(list(islice(steps, 2))) == 2


def test_a_training_of_a_decoder(mps, photos):
    recipe = InverseRecipe(data={"side": 64, "batch": 2}).but({"schedule.optimizer": "muon"})
    with mps, closing(train_inverse(photos, recipe, ALONE)) as steps:
        assert len(list(islice(steps, 2))) == 2
