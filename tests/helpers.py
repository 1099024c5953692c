"""What tests of several modules need: commands, drawn photos, one process that trains."""

import numpy as np
import torch
from PIL import Image
from typer.testing import CliRunner

import nst.cli.main
from nst.machine import calibration
from nst.training.fleet import Fleet

ALONE = Fleet(0, 1, torch.device("cpu"), calibration().precision)


def invoke(*arguments):
    """The result of a command, in this process."""
    return CliRunner().invoke(nst.cli.main.app, [*map(str, arguments)])


def refused(*arguments):
    """What a bad command says; it must stop at once with one sentence or two, on stderr."""
    result = invoke(*arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert lines[0][-1] in ".?"
    return lines[0]


def noise(width, height, seed):
    """Blurred, so that there are shapes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
