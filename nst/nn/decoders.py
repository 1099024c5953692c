"""Decoders: networks that turn features of VGG-19 back into the picture they were read from.

They mirror the encoder, as those of Chen and Schmidt 2016 (section 3.2), Huang and Belongie 2017
(section 6.1) and Li et al. 2017 (section 3.1) do: 3 x 3 convolutions, nearest-neighbor up-sampling
where the encoder pools, reflection padding, no normalization, which would level the very statistics
that a style consists of. Two things are ours. The picture grows from coarse to fine: at each size a
sketch of what is still missing is added, as in a Laplacian pyramid (Burt and Adelson 1983). And
rectifiers leak, since without normalization many channels fall silent for good in training.
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

from nst.nn.state import NOTES_KEY, BadCheckpoint, write_weights
from nst.nn.transformer import CENTER, SPREAD, drawn, padded
from nst.nn.vgg import CHANNELS, DECODED, NETWORKS, Backbone
from nst.pictures.images import to_picture, to_tensor

FOLDER = Path(__file__).parent / "weights" / "decoders"
OURS = "ours"
NETWORK = "vgg19"  # whose features are decoded
LEAK = 0.2  # of a rectifier
FAINT = 0.1  # gain of what first gives colors, so that training starts from gray


class _Convolution(nn.Module):
    def __init__(self, before: int, after: int, side: int = 3, gain: float = 2**0.5) -> None:
        super().__init__()
        draw = partial(nn.init.orthogonal_, gain=gain)
        self.kernel = drawn(draw, after, before, side, side)
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(padded(x, self.kernel), self.kernel.to(x.dtype), self.bias.to(x.dtype))


class _Part(nn.Module):
    """Undoes one block of the encoder: takes the features of `convB_1`, or their like.

    `sketch` reads off them what of the picture they show at their size.
    """

    def __init__(self, block: int) -> None:
        super().__init__()
        outer, inner = CHANNELS[block - 1], CHANNELS[block - 2]
        self.sketch = _Convolution(outer, 3, side=1, gain=FAINT)
        self.first = _Convolution(outer, inner)
        count = NETWORKS[NETWORK].blocks[block - 2] - 1
        self.others = nn.ModuleList(_Convolution(inner, inner) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(_leaky(self.first(x)), scale_factor=2, mode="nearest")
        for convolution in self.others:
            x = _leaky(convolution(x))
        return x


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAK)


class Decoder(nn.Module):
    """From features of one layer of VGG-19 to a picture.

    `mean` and `deviation` are those of every channel over many photos. Features are normalized by
    them first: the activations of the original weights differ by orders of magnitude.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layer: str) -> None:
        """Draws weights from torch's generator, for channels of mean 0 and deviation 1."""
        super().__init__()
        block = DECODED.index(layer) + 1
        self.layer = layer
        parts = {str(b): _Part(b) for b in range(block, 1, -1)}
        # To torch's stubs, what is in it is any module.
        self.parts: Mapping[str, _Part] = nn.ModuleDict(parts)  # type: ignore[assignment]
        self.last = _Convolution(CHANNELS[0], 3, gain=FAINT)
        self.register_buffer("mean", torch.zeros(CHANNELS[block - 1]))
        self.register_buffer("deviation", torch.ones(CHANNELS[block - 1]))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to (N, 3, H, W), RGB in 0..255 or a little beyond; H = 2 ** (B - 1) h.

        Convolutions run in the dtype of the features; the result is float32.
        """
        x = self.normalized(features)
        picture = x.new_zeros(1, dtype=torch.float32)
        for part in self.parts.values():
            picture = F.interpolate(
                picture + part.sketch(x).float(), scale_factor=2, mode="bilinear"
            )
            x = part(x)
        return (picture + self.last(x).float()) * SPREAD + CENTER

    def normalized(self, features: Tensor) -> Tensor:
        """(N, C, h, w) to the same, in deviations from each channel's mean."""
        mean, deviation = (
            values.to(features.dtype).view(1, -1, 1, 1) for values in (self.mean, self.deviation)
        )
        return (features - mean) / deviation


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
        raise BadCheckpoint(
            f"`{path}` is no decoder, or is damaged, or of an earlier version of this program."
        ) from error
    # Torch's stubs lack this form of `to`.
    decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Kept(decoder.eval(), notes)


@cache
def families() -> tuple[str, ...]:
    """Names of the sets of bundled decoders; those of a set were trained alike."""
    return tuple(sorted(path.name for path in FOLDER.iterdir() if path.is_dir()))


@cache
def bundled(layer: str, family: str = OURS) -> Kept:
    """The decoder of that layer in the repository, loaded once. Raises `BadCheckpoint`."""
    return load_decoder(bundled_file(layer, family))


def bundled_file(layer: str, family: str = OURS) -> Path:
    """Where that decoder is."""
    return FOLDER / family / f"{layer}.safetensors"
