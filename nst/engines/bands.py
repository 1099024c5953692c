"""A photo of any size through a trained network.

A large picture runs in bands of rows, so that only activations at a quarter of its sides are
ever whole in memory. Instance normalization takes its statistics from the whole picture, which
leaves no seam: a layer is computed once for them, and again whenever a later layer asks for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from nst.nn.exact import exact
from nst.nn.state import BadCheckpoint
from nst.nn.transformer import EPSILON, Stage, TransformerNetwork

WHOLE_PIXELS = 1_500_000  # of the largest picture that runs in one piece
BAND_PIXELS = 500_000
MARGIN = 4  # rows around a band that it reads besides: half a 9 x 9 kernel
SMALLEST = 16  # sides below are padded, so that there is something to mirror


@torch.no_grad()
def painted(photo: Image.Image, network: TransformerNetwork, dtype: torch.dtype) -> Image.Image:
    """The photo in the network's style, at exactly its size."""
    width, height = photo.size
    sides = [max(SMALLEST, -(-side // 4) * 4) for side in (height, width)]
    bytes_ = np.pad(
        np.asarray(photo), ((0, sides[0] - height), (0, sides[1] - width), (0, 0)), mode="edge"
    )
    pixels = torch.from_numpy(bytes_)
    place = next(network.parameters()).device
    if sides[0] * sides[1] <= WHOLE_PIXELS:
        image = pixels.to(place).permute(2, 0, 1).unsqueeze(0).float()
        result = _bytes(network(image, dtype))
    else:
        result = _in_bands(pixels, network, dtype, place)
    return Image.fromarray(result[:height, :width].numpy())


def _bytes(image: Tensor) -> Tensor:
    """(1, 3, H, W) in 0..255 as (H, W, 3) bytes on the processor. Raises `BadCheckpoint`."""
    if not bool(image.isfinite().all()):
        raise BadCheckpoint(
            "The network's numbers overflow on this photo, so that it cannot paint it. Another "
            "checkpoint works."
        )
    return image[0].clamp_(0, 255).round_().to(torch.uint8).permute(1, 2, 0).contiguous().cpu()


class Plane(Protocol):
    """Activations of a layer, or a picture, of which bands of rows can be had."""

    density: int  # positions of the picture for one of its own

    @property
    def height(self) -> int:
        """Rows."""

    @property
    def width(self) -> int:
        """Columns."""

    def rows(self, first: int, last: int) -> Tensor:
        """(1, C, last - first, width)."""


@dataclass
class _Photo:
    """Bytes (H, W, 3), as the first stage reads them."""

    pixels: Tensor
    dtype: torch.dtype
    device: torch.device
    density = 1

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    def rows(self, first: int, last: int) -> Tensor:
        band = self.pixels[first:last].to(self.device).permute(2, 0, 1).unsqueeze(0).float()
        return TransformerNetwork.read(band, self.dtype)


@dataclass
class _Whole:
    """Activations that are in memory."""

    values: Tensor
    density: int

    @property
    def height(self) -> int:
        return self.values.shape[2]

    @property
    def width(self) -> int:
        return self.values.shape[3]

    def rows(self, first: int, last: int) -> Tensor:
        return self.values[:, :, first:last]


class _Computed:
    """The output of a stage, computed whenever it is asked for."""

    def __init__(self, stage: Stage, source: Plane, ratio: Fraction) -> None:
        """Plans `ratio` rows of output for a row of the source."""
        self.stage, self.source, self.ratio = stage, source, ratio
        self.height, self.width = int(source.height * ratio), int(source.width * ratio)
        self.density = int(source.density / ratio**2)
        self.mean, self.variance = self._statistics()

    def rows(self, first: int, last: int) -> Tensor:
        y = self._convolved(first, last)
        scale, shift = self.stage.scale, self.stage.shift
        y = F.batch_norm(y, self.mean, self.variance, scale, shift, training=False, eps=EPSILON)
        return F.relu_(y)

    def _convolved(self, first: int, last: int) -> Tensor:
        # Rows that saw the edge of the band instead of the picture's are cut off again.
        begin = max(0, int(first / self.ratio) // 2 * 2 - MARGIN)
        end = min(self.source.height, int(-(-last // self.ratio)) + MARGIN)
        y = self.stage.convolved(self.source.rows(begin, end))
        skip = first - int(begin * self.ratio)
        return y[:, :, skip : skip + last - first]

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel, merged from bands (Chan et al. 1983)."""
        count, mean, spread = 0, torch.tensor(0.0), torch.tensor(0.0)
        for first, last in _bands(self):
            y = self._convolved(first, last)
            n = y.shape[2] * y.shape[3]
            band_mean, band_variance = _moments(y)
            offset = band_mean - mean
            mean = mean + offset * n / (count + n)
            spread = spread + band_variance * n + offset**2 * count * n / (count + n)
            count += n
        place = self.stage.scale.device
        return mean.float().to(place), (spread / count).float().to(place)


def _moments(y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of (1, C, h, w), in float64."""
    c, n = y.shape[1], y.shape[2] * y.shape[3]
    mean, variance = torch.zeros(c, device=y.device), torch.ones(c, device=y.device)
    F.batch_norm(y, mean, variance, training=True, momentum=1.0)
    return exact(mean), exact(variance) * (n - 1) / n


def _bands(plane: Plane) -> Iterator[tuple[int, int]]:
    """First and last rows of parts that stand for about `BAND_PIXELS` of the picture each."""
    rows = max(4, BAND_PIXELS // (plane.width * plane.density) // 4 * 4)
    for first in range(0, plane.height, rows):
        yield first, min(plane.height, first + rows)


def _in_bands(
    pixels: Tensor, network: TransformerNetwork, dtype: torch.dtype, place: torch.device
) -> Tensor:
    plane: Plane = _Photo(pixels, dtype, place)
    for stage in network.down:
        plane = _Computed(stage, plane, Fraction(1, stage.stride))
    x = torch.cat([plane.rows(*band) for band in _bands(plane)], dim=2)
    for block in network.blocks:
        x = block(x)
    plane = _Whole(x, plane.density)
    for stage in network.up:
        plane = _Computed(stage, plane, Fraction(2))
    result = torch.empty_like(pixels)
    for first, last in _bands(plane):
        begin, end = max(0, first - MARGIN), min(plane.height, last + MARGIN)
        band = network.written(plane.rows(begin, end))
        result[first:last] = _bytes(band)[first - begin : last - begin]
    return result
