"""Checkpoints of transformer networks as files: ours, and those that others publish."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nst.checkpoints.layouts import COLORS, LAYOUTS, OURS_IN, State, filled, recognized, translated
from nst.checkpoints.readers import is_dense, read_weights, refuse_if_too_many
from nst.names import Problem, pick
from nst.nn.state import BadCheckpoint, write_weights
from nst.nn.transformer import TransformerNetwork

OURS = "nst"


@dataclass(frozen=True)
class Checkpoint:
    """A network, the layout of its file, and what the file tells of it."""

    network: TransformerNetwork
    layout: str
    notes: Mapping[str, Any]


def save_checkpoint(network: TransformerNetwork, path: Path, notes: Mapping[str, Any]) -> None:
    """Half-precision safetensors with notes as JSON in the metadata; whole or not at all."""
    shape = {
        "width": network.width,
        "blocks": len(network.blocks),
        "upsampling": network.upsampling,
        "colors": OURS_IN,
    }
    write_weights(network, path, shape | {**notes})


NOTHING: Mapping[str, Any] = {"style": "", "iterations": 0, "seconds": 0.0}


def trained_before(notes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The style and all the training of a checkpoint, for the notes of one that begins with it."""
    run, before = notes.get("training", NOTHING), notes.get("before", NOTHING)
    total = {key: run[key] + before[key] for key in ("iterations", "seconds")}
    return {"style": notes.get("style", ""), **total}


def training_cost(notes: Mapping[str, Any]) -> dict[str, float]:
    """Photos, and seconds of all training, as far as the notes of weights tell."""
    try:
        photos, seconds = int(notes["training"]["photos"]), float(trained_before(notes)["seconds"])
        return {"photos": photos, "seconds": round(seconds, 1)} if math.isfinite(seconds) else {}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):  # a stranger's notes
        return {}


def load_checkpoint(path: Path) -> Checkpoint:
    """A network from a safetensors, PyTorch or ONNX file, on the processor.

    PyTorch files are read with `weights_only`, so that nothing in them is executed. Raises
    `BadCheckpoint`.
    """
    if not path.is_file():
        raise BadCheckpoint(f"`{path}` does not exist or is not a file.")
    state, notes = read_weights(path)
    refuse_if_too_many(state, path)
    state = _plain(state)
    try:
        if "down.0.kernel" in state:
            layout, colors = OURS, str(notes.get("colors", OURS_IN))
            upsampling = str(notes.get("upsampling", "nearest"))
        else:
            layout = recognized(state)
            colors, upsampling = LAYOUTS[layout].colors, LAYOUTS[layout].upsampling
            state = translated(state, LAYOUTS[layout])
        network = filled(state, pick("color range", colors, COLORS), upsampling)
        return Checkpoint(network, layout, notes)
    except Problem as error:
        raise BadCheckpoint(f"`{path.name}` cannot be used: {error}") from None


def _plain(state: Mapping[str, Any]) -> State:
    """Weights without `module.` and what old instance normalizations kept but never used."""
    dropped = re.compile(r"(running_mean|running_var|num_batches_tracked)$")
    return {
        name.removeprefix("module."): value.float()
        for name, value in state.items()
        if isinstance(name, str) and is_dense(value) and not dropped.search(name)
    }
