"""Files of weights as named tensors, whatever their format: nothing in them is executed."""

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nst.checkpoints.layouts import LAYOUTS, State, parts
from nst.nn.state import NOTES_KEY, BadCheckpoint

DEEPEST = 20  # tables and lists inside one another, of notes
MOST_NUMBERS = 25_000_000  # of all weights; full-width networks have 1.7 million
NO_WEIGHTS = "`{}` is no weights file. Safetensors, PyTorch and ONNX work."


def read_weights(path: Path) -> tuple[State, Mapping[str, Any]]:
    """Named tensors and notes of a safetensors, PyTorch or ONNX file, by how it begins.

    PyTorch files are read with `weights_only`, so that nothing in them is executed. Raises
    `BadCheckpoint`.
    """
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise BadCheckpoint(f"`{path.name}` is empty.")
    if path.suffix.lower() == ".onnx":
        return _read_onnx(path)
    return _read_safetensors(path) if head[8:9] == b"{" else _read_torch(path)


def _read_safetensors(path: Path) -> tuple[State, Mapping[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            notes = _notes((file.metadata() or {}).get(NOTES_KEY, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, notes  # noqa: SIM118
    except BadCheckpoint as error:
        raise BadCheckpoint(f"`{path.name}` has notes that {error}.") from error
    except (SafetensorError, ValueError) as error:
        raise BadCheckpoint(f"`{path.name}` is damaged or incomplete: {error}.") from error


def _notes(text: str) -> Mapping[str, Any]:
    """A table from JSON. Raises `BadCheckpoint` and `ValueError`."""
    try:
        notes = json.loads(text)
    except RecursionError:
        raise BadCheckpoint("are nested too deeply") from None
    if not isinstance(notes, dict):
        raise BadCheckpoint("are no table")
    if _deeper(notes, DEEPEST):
        raise BadCheckpoint("are nested too deeply")
    return notes


def _deeper(value: object, most: int) -> bool:
    """Whether more than `most` tables and lists are inside one another."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return most == 0 or any(_deeper(part, most - 1) for part in inner)


def _read_torch(path: Path) -> tuple[State, Mapping[str, Any]]:
    try:
        tree = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not _is_pickled(path):
            raise BadCheckpoint(NO_WEIGHTS.format(path.name)) from error
        found = re.search(r"GLOBAL (\S+)", str(error))
        held = f" (`{found[1]}`)" if found else ""
        raise BadCheckpoint(
            f"`{path.name}` holds more than weights{held}, which could run programs, or is "
            "damaged. A file of plain weights works."
        ) from error
    except Exception as error:  # of whatever else the file may be
        raise BadCheckpoint(NO_WEIGHTS.format(path.name)) from error
    for key in ("state_dict", "model"):
        if isinstance(tree, Mapping) and isinstance(tree.get(key), Mapping):
            tree = tree[key]
    if not isinstance(tree, Mapping):
        raise BadCheckpoint(f"`{path.name}` holds a {type(tree).__name__}, not named weights.")
    return dict(tree), {}


def _is_pickled(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _read_onnx(path: Path) -> tuple[State, Mapping[str, Any]]:
    """The initializers, named by their order as in pytorch/examples, which the exports are of."""
    import onnx  # slow to load, and few need it

    try:
        model = onnx.load(path, load_external_data=False)
        tensors = _weights(model.graph)
        if any(tensor.external_data for tensor in tensors):  # any file of this machine
            raise BadCheckpoint(
                f"`{path.name}` has its weights in other files, which are not read."
            )
        arrays = [onnx.numpy_helper.to_array(tensor) for tensor in tensors]
    except BadCheckpoint:
        raise
    except Exception as error:  # of whatever else the file may be
        raise BadCheckpoint(f"`{path.name}` is no ONNX model, or is damaged.") from error
    layout = LAYOUTS["pytorch-examples"]
    blocks = (len(arrays) - 22) // 8  # 5 stages of 4 tensors, the last convolution, 8 a block
    names = [f"{part}.{kind}" for part in parts(layout, blocks) for kind in ("weight", "bias")]
    if len(names) != len(arrays):
        raise BadCheckpoint(
            f"`{path.name}` has {len(arrays)} weights, which fits no style network known here."
        )
    copies = (torch.from_numpy(array.copy()) for array in arrays)
    return dict(zip(names, copies, strict=True)), {}


def _weights(graph: Any) -> list[Any]:
    """Initializers of one and four dimensions in the order of their use, without exported sizes."""
    known = {tensor.name: tensor for tensor in graph.initializer}
    sizes = ("Resize", "Upsample", "Pad")  # whose numbers are no weights
    nodes = (node for node in graph.node if node.op_type not in sizes)
    used = [name for node in nodes for name in node.input if name in known]
    return [known[name] for name in dict.fromkeys(used) if _is_weight(known[name])]


def _is_weight(tensor: Any) -> bool:
    floats = (1, 10)  # ONNX' numbers for float32 and float16
    return len(tensor.dims) in (1, 4) and tensor.data_type in floats and tensor.dims[0] > 2


def refuse_if_too_many(state: Mapping[str, Any], path: Path) -> None:
    """Raises `BadCheckpoint` before any is copied: a few stored numbers may stand for very many."""
    numbers = sum(value.numel() for value in state.values() if is_dense(value))
    if numbers > MOST_NUMBERS:
        raise BadCheckpoint(
            f"`{path.name}` holds {numbers / 1e6:.0f} million numbers; style networks have "
            f"{MOST_NUMBERS / 1e6:.0f} million at most."
        )


def is_dense(value: Any) -> bool:
    """Whether it is a tensor whose numbers are all there."""
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta
