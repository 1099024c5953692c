"""VGG-19 and VGG-16 as feature extractors (Simonyan and Zisserman 2015).

The bundled weights are the original ones, which read BGR in 0..255 minus the mean of ImageNet;
`presets` and losses are in the units of their activations. The channel flip is folded into the
first convolution, so a backbone takes RGB.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from nst.names import Problem, UnknownName, pick, suggest
from nst.nn.torchvision_import import torchvision_models

WEIGHTS = Path(__file__).parent / "weights"
MEAN_RGB = (123.68, 116.779, 103.939)  # Simonyan and Zisserman's, in 0..255


@dataclass(frozen=True)
class Network:
    """One VGG: convolutions per block, and torchvision's weights for it."""

    title: str
    blocks: tuple[int, ...]
    torchvision_weights: str

    @property
    def layers(self) -> tuple[str, ...]:
        """`conv1_1` … in the order of the network."""
        return tuple(f"conv{b}_{i}" for b, n in enumerate(self.blocks, 1) for i in range(1, n + 1))


NETWORKS: Mapping[str, Network] = {
    "vgg19": Network("VGG-19", (2, 2, 4, 4, 4), "VGG19_Weights.IMAGENET1K_V1"),
    "vgg16": Network("VGG-16", (2, 2, 3, 3, 3), "VGG16_Weights.IMAGENET1K_FEATURES"),
}
CPU = torch.device("cpu")
CHANNELS = (64, 128, 256, 512, 512)  # of the blocks, in both networks
Decoded = Literal["conv1_1", "conv2_1", "conv3_1", "conv4_1"]  # of VGG-19, for decoders to read
DECODED: tuple[str, ...] = get_args(Decoded)


class NoWeights(Problem):
    """Weights that cannot be had now; the message says which would work."""


def bfloat16_works(device: torch.device = CPU) -> bool:
    """Whether torch computes in bfloat16 on a device, as far as it can be known beforehand.

    Processors need AVX-512 or instructions for bfloat16: without, torch's fused convolution raises
    `RuntimeError` and all others are slower than in float32. `NST_BFLOAT16=0` in the environment
    says no.
    """
    if os.environ.get("NST_BFLOAT16") == "0":
        return False
    return device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()


POOLINGS: Mapping[str, Callable[..., Tensor]] = {"max": F.max_pool2d, "average": F.avg_pool2d}


@dataclass(frozen=True)
class Activation:
    """An activation function, in place, and its gradient from the output (both with a slope)."""

    apply_: Callable[[Tensor, float], Tensor]
    gradient: Callable[[Tensor, Tensor, float], Tensor]


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(
        lambda x, slope: F.relu_(x),
        lambda g, y, slope: torch.ops.aten.threshold_backward(g, y, 0),
    ),
    "leaky_relu": Activation(
        F.leaky_relu_,
        lambda g, y, slope: torch.ops.aten.leaky_relu_backward(g, y, slope, True),
    ),
    "tanh": Activation(
        lambda x, slope: torch.tanh_(x),
        lambda g, y, slope: torch.ops.aten.tanh_backward(g, y),
    ),
}


class _Layer(torch.autograd.Function):
    """A 3 x 3 convolution with its activation; differentiable by the input alone.

    Autograd would keep the convolution and the activation apart. Together they pass the memory
    once less, and the gradient is a convolution with the turned kernel, as fast as the forward one.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        parameters: "Parameters",
        activation: str,
        slope: float,
    ) -> Tensor:
        y = _activated(x, parameters, activation, slope)
        ctx.save_for_backward(y)
        ctx.settings = (parameters, activation, slope)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (y,) = ctx.saved_tensors
        parameters, activation, slope = ctx.settings
        inner = ACTIVATIONS[activation].gradient(gradient, y, slope)
        return F.conv2d(inner, parameters.turned, padding=1), None, None, None


def _activated(x: Tensor, parameters: "Parameters", activation: str, slope: float) -> Tensor:
    kernel, bias = parameters.kernel, parameters.bias
    narrow = x.device.type == "cpu" and x.dtype == torch.bfloat16
    if activation == "relu" and narrow and bfloat16_works():
        # oneDNN's own fusion; torch has no public name for it.
        one = [1, 1]
        return torch.ops.mkldnn._convolution_pointwise(
            x, kernel, bias, one, one, one, 1, "relu", [], ""
        )
    return ACTIVATIONS[activation].apply_(F.conv2d(x, kernel, bias, padding=1), slope)


@dataclass(frozen=True)
class Parameters:
    """One convolution: kernel (out, in, 3, 3), bias (out,), and the kernel of its gradient."""

    kernel: Tensor
    bias: Tensor
    turned: Tensor


def layer_name(network: str, name: str) -> str:
    """`conv4_2` for `conv4_2`, `block4_conv2` or `relu4_2`. Raises `UnknownName`."""
    layers = pick("network", network, NETWORKS).layers
    match = re.fullmatch(r"(?:conv|relu)(\d)_(\d)|block(\d)_conv(\d)", name.strip())
    plain = "conv{}_{}".format(*filter(None, match.groups())) if match else name
    if plain not in layers:
        raise UnknownName(f"Unknown layer `{name}` for {network}. {suggest(name, layers)}")
    return plain


@dataclass(frozen=True)
class Backbone:
    """A VGG cut into layers, ready to read features from pictures.

    Source of the options: pooling, Gatys et al. 2016 section 2; leaky ReLU, tanh in the last
    layer and VGG-16, Lu section 3.
    """

    network: str = "vgg19"
    weights: str = "bundled"
    pooling: str = "max"
    activation: str = "relu"
    slope: float = 0.2
    last_activation: str = "relu"
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU

    def features(self, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Activations of `layers`, after the activation function, in the order of the network.

        `image` is (1, 3, H, W), RGB in 0..255, float32. Layer `convB_I` is (1, C, h, w) with
        h = H // 2 ** (B - 1) (never below 1), of the backbone's dtype, channels last. The network
        ends after the last of `layers`; that one has `last_activation`.
        """
        last = max(layers, key=NETWORKS[self.network].layers.index)
        mean = torch.tensor(MEAN_RGB, device=image.device).view(1, 3, 1, 1)
        x = (image - mean).to(self.dtype, memory_format=torch.channels_last)
        found = {}
        for name in NETWORKS[self.network].layers:
            if name.endswith("_1") and name != "conv1_1":
                x = self._pool(x)
            parameters = convolution(self.network, self.weights, name, self.dtype, self.device)
            activation = self.last_activation if name == last else self.activation
            x = _Layer.apply(x, parameters, activation, self.slope)
            if name in layers:
                found[name] = x
            if name == last:
                return found
        raise AssertionError(f"{last} is not a layer of {self.network}")

    def _pool(self, x: Tensor) -> Tensor:
        # A side of one position stays as it is, so that a picture one pixel wide has features.
        window = (min(2, x.shape[2]), min(2, x.shape[3]))
        return POOLINGS[self.pooling](x, window)


@cache
def convolution(
    network: str, weights: str, layer: str, dtype: torch.dtype, device: torch.device
) -> Parameters:
    """Weights of a layer, reading RGB at `conv1_1`, loaded once."""
    kernel, bias = pick("weights", weights, SOURCES)(network, layer)
    lay = partial(torch.Tensor.contiguous, memory_format=torch.channels_last)
    kernel = lay(kernel.to(device, dtype))
    return Parameters(kernel, bias.to(device, dtype), lay(kernel.transpose(0, 1).flip(2, 3)))


def _bundled(network: str, layer: str) -> tuple[Tensor, Tensor]:
    with safe_open(WEIGHTS / f"{network}.safetensors", framework="pt") as file:
        palette, index, bias = (
            file.get_tensor(f"{layer}.{part}") for part in ("palette", "index", "bias")
        )
    kernel = palette[index.int()]
    return (kernel.flip(1) if layer == "conv1_1" else kernel), bias


def needs_download(network: str, weights: str) -> bool:
    """Whether a network's weights are still to be fetched. Raises `UnknownName`."""
    pick("weights", weights, SOURCES)
    return weights == "torchvision" and not _torchvision_file(network).is_file()


def _torchvision_choice(network: str) -> Any:
    enum, member = NETWORKS[network].torchvision_weights.split(".")
    return getattr(torchvision_models(), enum)[member]


def _torchvision_file(network: str) -> Path:
    """Where torch keeps or will keep it."""
    name = Path(urlsplit(_torchvision_choice(network).url).path).name
    return Path(torch.hub.get_dir(), "checkpoints", name)


def _torchvision(network: str, layer: str) -> tuple[Tensor, Tensor]:
    """Torchvision's own training, its activations scaled to the units of the original weights.

    A VGG is positively homogeneous: with the first kernel divided by torchvision's `std` and every
    bias multiplied by 255 times the mean `std`, it reads RGB in 0..255 and all activations are
    multiplied by that number, so that the weights of a preset keep their meaning.
    """
    choice = _torchvision_choice(network)
    std = torch.tensor(choice.transforms.keywords.get("std", (0.229, 0.224, 0.225)))
    unit = 255 * std.mean()
    parameters = _torchvision_state(choice)
    number = _torchvision_index(NETWORKS[network], layer)
    kernel, bias = (parameters[f"features.{number}.{part}"] for part in ("weight", "bias"))
    if layer == "conv1_1":
        kernel = kernel * (std.mean() / std).view(1, 3, 1, 1)
    return kernel, bias * unit


@cache
def _torchvision_state(choice: Any) -> Mapping[str, Tensor]:
    try:
        state = choice.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise NoWeights(
            f"Torchvision's weights could not be downloaded ({error}). "
            "`backbone.weights=bundled` needs no network."
        ) from error
    return {name: value for name, value in state.items() if name.startswith("features.")}


def _torchvision_index(network: Network, layer: str) -> int:
    """Position in `features`: two entries a convolution, one more after each block."""
    block = int(layer[4]) - 1
    return 2 * network.layers.index(layer) + block


SOURCES: Mapping[str, Callable[[str, str], tuple[Tensor, Tensor]]] = {
    "bundled": _bundled,
    "torchvision": _torchvision,
}
