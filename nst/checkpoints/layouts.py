"""Names of tensors in files of transformer networks: ours, and the layouts that others publish.

Layouts are told apart by the names of their tensors. They differ in names, in the range and the
order of colors, and in how they enlarge. Colors are folded into the first and the last
convolution, so that whatever was loaded is the one network of `nst.nn.transformer`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nst.names import pick
from nst.nn.state import BadCheckpoint
from nst.nn.transformer import CENTER, SPREAD, UPSAMPLINGS, TransformerNetwork

OURS_IN = "centered"  # the color range of our own files
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


def recognized(state: State) -> str:
    """The layout that has the names of these tensors. Raises `BadCheckpoint`."""
    for name, layout in LAYOUTS.items():
        if all(mark in state for mark in layout.marks):
            return name
    first = next(iter(state), None)
    begins = f"its first weight is `{first}`, which" if first else "it holds no weights, which"
    known = ", ".join(layout.title for layout in LAYOUTS.values())
    raise BadCheckpoint(f"{begins} fits none of the known layouts (ours, {known}).")


def parts(layout: Layout, blocks: int) -> list[str]:
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


def translated(state: State, layout: Layout) -> State:
    """The same weights under our names.

    A bias before an instance normalization has no effect and is left out.
    """
    first = layout.block[0][0] + ".weight"
    blocks = 0
    while first.format(i=blocks, n=blocks + 1) in state:
        blocks += 1
    *names, last = parts(layout, blocks)
    known = {f"{part}.{kind}" for part in (*names, last) for kind in ("weight", "bias")}
    if strange := next((name for name in state if name not in known), None):
        raise BadCheckpoint(f"`{strange}` does not belong to the layout of {layout.title}.")
    if missing := next((name for name in sorted(known) if name not in state), None):
        raise BadCheckpoint(f"`{missing}` is missing from the layout of {layout.title}.")
    ours = {}
    for stage, conv, norm in zip(_stages(blocks), names[::2], names[1::2], strict=True):
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


def filled(state: State, colors: Colors, upsampling: str) -> TransformerNetwork:
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
