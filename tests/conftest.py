"""Fixtures that several test files share: small bundled pictures, and what was painted of them."""

from dataclasses import replace

import pytest
import torch

from nst import compare, presets
from nst.images import fit, open_picture, resized, to_tensor
from nst.variants import axis, grid


def _small(credit, side):
    picture = open_picture(credit.path)
    return resized(picture, fit(picture.size, side))


@pytest.fixture(scope="session")
def photo():
    """A bundled photo, 48 pixels wide."""
    return _small(presets.photos()["neuschwanstein"], 48)


@pytest.fixture(scope="session")
def painting():
    """A bundled painting of another size, 40 pixels wide."""
    return _small(presets.paintings()["starry_night"], 40)


@pytest.fixture(scope="session")
def photo_tensor(photo):
    """The photo as the engine has it."""
    return to_tensor(photo, torch.device("cpu"))


@pytest.fixture(scope="session")
def outcomes(photo, painting):
    """Two results of a real comparison; the variant between them failed."""
    across = axis("content-layer=conv3_2,conv4_2,conv5_2")
    first, second, third = grid("baseline", [across], 64, {"pyramid.iterations": "2"})
    second = replace(second, recipe=second.recipe.but({"start.image": "picture"}))
    *_, end = compare.run(photo, painting, [first, second, third])
    return end.outcomes
