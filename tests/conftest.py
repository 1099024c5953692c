"""Fixtures that several test files share: small bundled pictures, what was painted of them, and a
processor without bfloat16, which the whole suite has with `NST_BFLOAT16=0` in the environment.
"""

import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
import torch

from nst.nn.vgg import bfloat16_works
from nst.pictures.images import fit, open_picture, resized, to_tensor
from nst.settings import catalog
from nst.study import compare
from nst.study.variants import axis, grid


def _small(credit, side):
    picture = open_picture(credit.path)
    return resized(picture, fit(picture.size, side))


@pytest.fixture(scope="session")
def photo():
    """A bundled photo, 48 pixels wide."""
    return _small(catalog.photos()["neuschwanstein"], 48)


@pytest.fixture(scope="session")
def painting():
    """A bundled painting of another size, 40 pixels wide."""
    return _small(catalog.paintings()["starry_night"], 40)


@pytest.fixture(scope="session")
def photo_tensor(photo):
    """The photo as the engine has it."""
    return to_tensor(photo, torch.device("cpu"))


@pytest.fixture(scope="session")
def outcomes(photo, painting):
    """Two results of a real comparison; the variant between them failed."""
    across = axis("content-layer=conv3_2,conv4_2,conv5_2")
    first, second, third = grid("baseline", [across], 64, {"pyramid.iterations": "2"})
    second = replace(second, painter=second.painter.but({"start.image": "picture"}))
    *_, end = compare.run(photo, painting, [first, second, third])
    return end.outcomes


@contextmanager
def refused_by_torch():
    """The operator that torch refuses on a processor without bfloat16 fails here, too."""

    def refuse(*_):
        raise RuntimeError("mkldnn_convolution: bf16 path needs the cpu support avx_ne_convert …")

    with torch.library._scoped_library("mkldnn", "IMPL") as library, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Warning only once for all operators")
        library.impl("_convolution_pointwise", refuse, "CPU")
        yield


@pytest.fixture(scope="session", autouse=True)
def processor():
    """This machine's, or one without bfloat16 if the environment says so."""
    with nullcontext() if bfloat16_works() else refused_by_torch():
        yield


@pytest.fixture
def without_bfloat16(monkeypatch):
    """A processor without it, in this process and those that it starts."""
    refusal = refused_by_torch() if bfloat16_works() else nullcontext()
    monkeypatch.setenv("NST_BFLOAT16", "0")
    with refusal:
        yield
