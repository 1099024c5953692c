"""Fixtures that several test files share: small bundled pictures."""

import pytest
import torch

from nst import presets
from nst.images import fit, open_picture, resized, to_tensor


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
