"""Weights of transformer networks as files: ours, and the layouts that others publish.

Layouts are told apart by the names of their tensors. They differ in names, in the range and the
order of colors, and in how they enlarge. Colors are folded into the first and the last
convolution, so that whatever was loaded is the one network of `nst.nn.transformer`.
"""

import json
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nst.names import Problem, pick
from nst.nn.state import NOTES_KEY, BadCheckpoint, write_weights
from nst.nn.transformer import CENTER, SPREAD, UPSAMPLINGS, TransformerNetwork

OURS = "nst"
OURS_IN = "centered"  # the color range of our own files
DEEPEST = 20  # tables and lists inside one another, of notes
MOST_NUMBERS = 25_000_000  # of all weights; full-width networks have 1.7 million
NO_WEIGHTS = "`{}` is no weights file. Safetensors, PyTorch and ONNX work."
State = dict[str, Tensor]


@dataclass(frozen=True)
class Colors:
    """How a network reads and writes pictures: (rgb - center) / spread, or BGR."""

    center: tuple[float, float, float]
    spread: tuple[float, float, float]
    flipped: bool = False


COLORS: Mapping[str, Colors] = {
    "centered": Colors((CENTER,) * 3, (SPREAD,) * 3),
    "rgb": Colors((0, 0, 0), (1, 1, 1)),
    "bgr": Colors((0, 0, 0), (1, 1, 1), flipped=True),
    "imagenet": Colors((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),  # torchvision's
}


@dataclass(frozen=True)
class Layout:
    """Names of one family. `{i}` counts residual blocks from 0, `{n}` from 1.

    A stage is (convolution, normalization): prefixes of a weight and a bias each.
    """

    title: str
    colors: str
    down: tuple[tuple[str, str], ...]
    block: tuple[tuple[str, str], ...]
    up: tuple[tuple[str, str], ...]
    last: str
    upsampling: str = "nearest"

    @property
    def marks(self) -> tuple[str, str]:
        """Tensors that tell it from the others."""
        return f"{self.down[0][0]}.weight", f"{self.up[0][0]}.weight"


def _johnson(title: str, colors: str, up: str, last: str) -> Layout:
    return Layout(
        title,
        colors,
        down=tuple((f"conv{n}.conv2d", f"in{n}") for n in (1, 2, 3)),
        block=tuple((f"res{{n}}.conv{k}.conv2d", f"res{{n}}.in{k}") for k in (1, 2)),
        up=tuple((up.format(n), f"in{n + 3}") for n in (1, 2)),
        last=last,
    )


LAYOUTS: Mapping[str, Layout] = {
    "pytorch-examples": _johnson(
        "pytorch/examples fast_neural_style", "rgb", "deconv{}.conv2d", "deconv3.conv2d"
    ),
    "gordicaleksa": _johnson(
        "gordicaleksa/pytorch-neural-style-transfer-johnson",
        "imagenet",
        "up{}.conv2d.conv2d",
        "up3.conv2d",
    ),
    "rrmina": Layout(
        "rrmina/fast-neural-style-pytorch",
        "bgr",
        down=tuple((f"ConvBlock.{k}.conv_layer", f"ConvBlock.{k}.norm_layer") for k in (0, 2, 4)),
        block=tuple(
            (f"ResidualBlock.{{i}}.conv{k}.conv_layer", f"ResidualBlock.{{i}}.conv{k}.norm_layer")
            for k in (1, 2)
        ),
        up=tuple(
            (f"DeconvBlock.{k}.conv_transpose", f"DeconvBlock.{k}.norm_layer") for k in (0, 2)
        ),
        last="DeconvBlock.4.conv_layer",
        upsampling="transposed",
    ),
}


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
        photos, seconds = notes["training"]["photos"], trained_before(notes)["seconds"]
    except (KeyError, TypeError):  # a stranger's notes may be anything
        return {}
    return {"photos": photos, "seconds": round(seconds, 1)}


def load_checkpoint(path: Path) -> Checkpoint:
    """A network from a safetensors, PyTorch or ONNX file, on the processor.

    PyTorch files are read with `weights_only`, so that nothing in them is executed. Raises
    `BadCheckpoint`.
    """
    if not path.is_file():
        raise BadCheckpoint(f"`{path}` does not exist or is not a file.")
    state, notes = _reader(path)(path)
    _refuse_if_too_many(state, path)
    state = _plain(state)
    try:
        if "down.0.kernel" in state:
            layout, colors = OURS, str(notes.get("colors", OURS_IN))
            upsampling = str(notes.get("upsampling", "nearest"))
        else:
            layout = _recognized(state)
            colors, upsampling = LAYOUTS[layout].colors, LAYOUTS[layout].upsampling
            state = _translated(state, LAYOUTS[layout])
        network = _filled(state, pick("color range", colors, COLORS), upsampling)
        return Checkpoint(network, layout, notes)
    except Problem as error:
        raise BadCheckpoint(f"`{path.name}` cannot be used: {error}") from None


def _reader(path: Path) -> Callable[[Path], tuple[State, Mapping[str, Any]]]:
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise BadCheckpoint(f"`{path.name}` is empty.")
    if path.suffix.lower() == ".onnx":
        return _read_onnx
    return _read_safetensors if head[8:9] == b"{" else _read_torch


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
    names = [f"{part}.{kind}" for part in _parts(layout, blocks) for kind in ("weight", "bias")]
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


def _refuse_if_too_many(state: Mapping[str, Any], path: Path) -> None:
    """Before any is copied: a few stored numbers may stand for very many."""
    numbers = sum(value.numel() for value in state.values() if _is_dense(value))
    if numbers > MOST_NUMBERS:
        raise BadCheckpoint(
            f"`{path.name}` holds {numbers / 1e6:.0f} million numbers; style networks have "
            f"{MOST_NUMBERS / 1e6:.0f} million at most."
        )


def _plain(state: Mapping[str, Any]) -> State:
    """Without `module.` and what old instance normalizations kept but never used."""
    dropped = re.compile(r"(running_mean|running_var|num_batches_tracked)$")
    return {
        name.removeprefix("module."): value.float()
        for name, value in state.items()
        if isinstance(name, str) and _is_dense(value) and not dropped.search(name)
    }


def _is_dense(value: Any) -> bool:
    """Whether it is a tensor whose numbers are all there."""
    return isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta


def _recognized(state: State) -> str:
    for name, layout in LAYOUTS.items():
        if all(mark in state for mark in layout.marks):
            return name
    first = next(iter(state), None)
    begins = f"its first weight is `{first}`, which" if first else "it holds no weights, which"
    known = ", ".join(layout.title for layout in LAYOUTS.values())
    raise BadCheckpoint(f"{begins} fits none of the known layouts (ours, {known}).")


def _parts(layout: Layout, blocks: int) -> list[str]:
    """Prefixes of all convolutions and normalizations, in the order of the network."""
    inner = [
        (conv.format(i=i, n=i + 1), norm.format(i=i, n=i + 1))
        for i in range(blocks)
        for conv, norm in layout.block
    ]
    stages = [*layout.down, *inner, *layout.up]
    return [*(part for stage in stages for part in stage), layout.last]


def _stages(blocks: int) -> list[str]:
    """Our names of the stages, in the same order."""
    inner = [f"blocks.{i}.{part}" for i in range(blocks) for part in ("first", "second")]
    return ["down.0", "down.1", "down.2", *inner, "up.0", "up.1"]


def _translated(state: State, layout: Layout) -> State:
    """The same weights under our names.

    A bias before an instance normalization has no effect and is left out.
    """
    first = layout.block[0][0] + ".weight"
    blocks = 0
    while first.format(i=blocks, n=blocks + 1) in state:
        blocks += 1
    *parts, last = _parts(layout, blocks)
    known = {f"{part}.{kind}" for part in (*parts, last) for kind in ("weight", "bias")}
    if strange := next((name for name in state if name not in known), None):
        raise BadCheckpoint(f"`{strange}` does not belong to the layout of {layout.title}.")
    if missing := next((name for name in sorted(known) if name not in state), None):
        raise BadCheckpoint(f"`{missing}` is missing from the layout of {layout.title}.")
    ours = {}
    for stage, conv, norm in zip(_stages(blocks), parts[::2], parts[1::2], strict=True):
        ours[f"{stage}.kernel"] = state[f"{conv}.weight"]
        ours[f"{stage}.scale"] = state[f"{norm}.weight"]
        ours[f"{stage}.shift"] = state[f"{norm}.bias"]
    ours["kernel"], ours["bias"] = state[f"{last}.weight"], state[f"{last}.bias"]
    return ours


def _centered(state: State, colors: Colors) -> State:
    """For pictures as our network has them, from weights for `colors`."""
    center, spread = torch.tensor(colors.center), torch.tensor(colors.spread)
    inner, kernel, bias = state["down.0.kernel"], state["kernel"], state["bias"]
    if colors.flipped:
        inner, kernel, bias = inner.flip(1), kernel.flip(0), bias.flip(0)
    # What is constant at the input vanishes in the first normalization.
    return state | {
        "down.0.kernel": inner * (SPREAD / spread).view(1, 3, 1, 1),
        "kernel": kernel * (spread / SPREAD).view(3, 1, 1, 1),
        "bias": (bias * spread + center - CENTER) / SPREAD,
    }


def _width(state: State) -> int:
    kernel = state["down.0.kernel"]
    if kernel.ndim != 4 or kernel.shape[0] == 0:
        raise BadCheckpoint(
            f"`down.0.kernel` has the shape {tuple(kernel.shape)}; (width, 3, 9, 9) would fit."
        )
    return kernel.shape[0]


def _filled(state: State, colors: Colors, upsampling: str) -> TransformerNetwork:
    """A network of the width and blocks that the weights have."""
    pick("up-sampling", upsampling, UPSAMPLINGS)
    blocks = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    with torch.device("meta"):  # a file may claim any size; nothing is made of it yet
        network = TransformerNetwork(_width(state), blocks, upsampling)
    wanted = network.state_dict()
    for name in (*state, *wanted):
        if name not in wanted:
            raise BadCheckpoint(f"`{name}` does not belong to a style network.")
        if name not in state:
            raise BadCheckpoint(f"`{name}` is missing.")
        if state[name].shape != wanted[name].shape:
            found, fits = (tuple(s[name].shape) for s in (state, wanted))
            raise BadCheckpoint(f"`{name}` has the shape {found}; {fits} would fit.")
    ours = colors == COLORS[OURS_IN]  # folding would change the last bits
    state = state if ours else _centered(state, colors)
    if strange := next((name for name in state if not state[name].isfinite().all()), None):
        raise BadCheckpoint(f"`{strange}` holds numbers that are not finite.")
    network.load_state_dict({name: value.clone() for name, value in state.items()}, assign=True)
    # Torch's stubs lack this form of `to`.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()
