"""Decoders: networks that turn features of VGG-19 back into the picture they were read from.

They mirror the encoder, as those of Chen and Schmidt 2016 (section 3.2), Huang and Belongie 2017
(section 6.1) and Li et al. 2017 (section 3.1) do: 3 x 3 convolutions, nearest-neighbor up-sampling
where the encoder pools, reflection padding, no normalization, which would level the very statistics
that a style consists of.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from nst.backbones import CHANNELS, DECODED, NETWORKS, Backbone
from nst.checkpoints import NOTES_KEY, BadCheckpoint, write_weights
from nst.images import to_picture, to_tensor
from nst.networks import CENTER, SPREAD, drawn, padded

FOLDER = Path(__file__).parent / "weights" / "decoders"
FAMILIES = tuple(sorted(path.name for path in FOLDER.iterdir() if path.is_dir()))  # trained alike
OURS = "ours"
NETWORK = "vgg19"  # whose features are decoded
LEAST_SCALE = 1e-2  # of a channel, as a share of the mean: some channels are silent on all photos


class _Convolution(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.kernel = drawn(partial(nn.init.orthogonal_, gain=2**0.5), after, before, 3, 3)
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(padded(x, self.kernel), self.kernel.to(x.dtype), self.bias.to(x.dtype))


class _Part(nn.Module):
    """What undoes one block: features of `convB_1` to such as the next part takes."""

    def __init__(self, block: int) -> None:
        super().__init__()
        outer, inner = CHANNELS[block - 1], CHANNELS[block - 2]
        self.first = _Convolution(outer, inner)
        count = NETWORKS[NETWORK].blocks[block - 2] - 1
        self.others = nn.ModuleList(_Convolution(inner, inner) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(F.relu(self.first(x)), scale_factor=2, mode="nearest")
        for convolution in self.others:
            x = F.relu(convolution(x))
        return x


class Decoder(nn.Module):
    """From features of one layer of VGG-19 to a picture.

    `scale` has the root mean square of every channel over many photos. Features are divided by it
    first: the activations of the original weights differ by orders of magnitude between channels.
    """

    def __init__(self, layer: str) -> None:
        """With weights drawn from torch's generator, and a scale of ones."""
        super().__init__()
        block = DECODED.index(layer) + 1
        self.layer = layer
        self.parts = nn.ModuleDict({str(b): _Part(b) for b in range(block, 1, -1)})
        self.last = _Convolution(CHANNELS[0], 3)
        self.register_buffer("scale", torch.ones(CHANNELS[block - 1]))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to (N, 3, H, W), RGB in 0..255 or a little beyond; H = 2 ** (B - 1) h.

        Convolutions run in the dtype of the features; the result is float32.
        """
        x = normalized(features, self)
        for part in self.parts.values():
            x = part(x)
        return self.last(x).float() * SPREAD + CENTER


def normalized(features: Tensor, decoder: Decoder) -> Tensor:
    """Features in units of each channel's root mean square over many photos."""
    return features / decoder.scale.to(features.dtype).view(1, -1, 1, 1)


def encoder(dtype: torch.dtype, device: torch.device) -> Backbone:
    """The backbone whose features the decoders read."""
    return Backbone(NETWORK, dtype=dtype, device=device)


@torch.no_grad()
def round_trip(photo: Image, decoder: Decoder, backbone: Backbone) -> Image:
    """A picture of at least 16 x 16 as the decoder makes it of its own features, at its size."""
    features = backbone.features(to_tensor(photo, backbone.device), (decoder.layer,))
    decoded = decoder(features[decoder.layer])
    side = F.pad(
        decoded,
        (0, photo.width - decoded.shape[3], 0, photo.height - decoded.shape[2]),
        mode="replicate",
    )
    return to_picture(side)


@dataclass(frozen=True)
class Kept:
    """A decoder and what its file tells of it."""

    decoder: Decoder
    notes: Mapping[str, Any]


def save_decoder(decoder: Decoder, path: Path, notes: Mapping[str, Any]) -> None:
    """Half-precision safetensors with notes; whole or not at all."""
    write_weights(decoder, path, {"layer": decoder.layer, **notes})


def load_decoder(path: Path) -> Kept:
    """A decoder from a file of `save_decoder`, on the processor. Raises `BadCheckpoint`."""
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {})[NOTES_KEY])
            decoder = Decoder(notes["layer"])
            decoder.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except FileNotFoundError:
        raise BadCheckpoint(f"There is no decoder `{path}`.") from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BadCheckpoint(f"`{path}` is no decoder, or is damaged.") from error
    return Kept(decoder.to(memory_format=torch.channels_last).eval(), notes)


@cache
def bundled(layer: str, family: str = OURS) -> Kept:
    """The decoder of that layer in the repository, loaded once. Raises `BadCheckpoint`."""
    return load_decoder(bundled_file(layer, family))


def bundled_file(layer: str, family: str = OURS) -> Path:
    """Where that decoder is."""
    return FOLDER / family / f"{layer}.safetensors"
