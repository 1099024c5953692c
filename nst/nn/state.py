"""Weights of any network as a safetensors file, with notes on where they come from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from nst.files import whole
from nst.names import Problem

NOTES_KEY = "nst"  # of the metadata entry that carries our notes, as JSON


class BadCheckpoint(Problem):
    """A file that holds no network known here; the message says what does not fit."""


def write_weights(network: nn.Module, path: Path, notes: Mapping[str, Any]) -> None:
    """The state of any network, in half precision, with notes; whole or not at all."""
    state = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in network.state_dict().items()
    }
    with whole(path) as new:
        new.write_bytes(save(state, {NOTES_KEY: json.dumps(notes, ensure_ascii=False)}))
