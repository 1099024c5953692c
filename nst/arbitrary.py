"""The engine for any painting in one pass: change the photo's features, decode them.

Encoder and decoders are the same for all methods: style swap (Chen and Schmidt 2016), AdaIN (Huang
and Belongie 2017) and WCT (Li et al. 2017). Where a method works on several layers, the deepest
comes first, and the next one reads the picture made of it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from nst.backbones import DECODED
from nst.color import with_colors_of
from nst.decoders import bundled, encoder
from nst.images import fit, resized, to_picture, to_tensor
from nst.machine import PRECISIONS, calibration, device, prepare, release
from nst.names import Problem
from nst.recipe import Section, one_of
from nst.steps import NO_LOSSES, Result, Step, versions
from nst.swap import SwapSettings, swapped
from nst.transforms import adain, wct

LARGEST = 2048  # pixels of the long side
MOST_PAINTINGS = 3
GRID = 8  # pixels for a position of the deepest layer that is decoded


class BadMixture(Problem):
    """Paintings or weights that cannot be mixed; the message says why."""


@dataclass(frozen=True)
class Method:
    """How features of the photo are changed, and at which layers, the deepest first."""

    label: str
    transform: Callable[[Tensor, Tensor, SwapSettings], Tensor]
    layers: tuple[str, ...]


METHODS: Mapping[str, Method] = {
    "style-swap": Method("Style swap", swapped, ("conv3_1",)),
    "adain": Method("AdaIN", lambda content, style, _: adain(content, style), ("conv4_1",)),
    "wct": Method("WCT", lambda content, style, _: wct(content, style), DECODED[::-1]),
}


class ArbitrarySettings(Section):
    """What can be chosen for a painting that no network was trained on."""

    method: one_of("method", METHODS) = Field("style-swap", title="Method")
    size: int = Field(512, ge=16, le=LARGEST, title="Size", description="pixels of the long side")
    stroke: float = Field(
        1.0, ge=0.1, le=4, title="Stroke size", description="long side of the painting, relative"
    )
    strength: float = Field(
        1.0, ge=0, le=1, title="Strength", description="0: the photo's own features, 1: full style"
    )
    keep_colors: bool = Field(False, title="Keep the photo's colors")
    swap: SwapSettings = SwapSettings()


@dataclass(frozen=True)
class Style:
    """A painting and its weight in a mixture."""

    painting: Image.Image
    weight: Annotated[float, "above 0"] = 1.0


def stylize(
    photo: Image.Image, styles: Sequence[Style], settings: ArbitrarySettings
) -> Iterator[Step]:
    """Paint `photo` like one painting, or like a mixture. The only step carries the result.

    The same pictures, settings, precision and machine give the same result, bit for bit. Raises
    `BadMixture`, and `TooSmall` where a picture has no patch to swap.
    """
    _check(styles)
    prepare()
    precision = calibration().precision
    began = time.perf_counter()
    photo = resized(photo, fit(photo.size, settings.size))
    picture = painted(photo, styles, settings, PRECISIONS[precision])
    if settings.keep_colors:
        picture = with_colors_of(photo, picture)
    seconds = time.perf_counter() - began
    release()
    report = {
        "settings": settings.model_dump(),
        "weights": [style.weight for style in styles],
        "size": list(picture.size),
        "seconds": round(seconds, 3),
        "precision": precision,
        "device": str(device()),
        "versions": versions(),
    }
    result = Result(picture, photo, report, ())
    yield Step(
        index=1,
        total=1,
        level=1,
        levels=1,
        size=picture.size,
        losses=NO_LOSSES,
        seconds=seconds,
        seconds_left=0,
        picture=lambda: picture,
        finish=lambda: result,
        result=result,
    )


def _check(styles: Sequence[Style]) -> None:
    if not 1 <= len(styles) <= MOST_PAINTINGS:
        raise BadMixture(f"1 to {MOST_PAINTINGS} paintings can be mixed, not {len(styles)}.")
    if not all(style.weight > 0 for style in styles):
        raise BadMixture("Every painting of a mixture needs a weight above 0.")


@torch.no_grad()
def painted(
    photo: Image.Image,
    styles: Sequence[Style],
    settings: ArbitrarySettings,
    dtype: torch.dtype,
) -> Image.Image:
    """The photo in the style of the paintings, at exactly its size."""
    method, place = METHODS[settings.method], device()
    backbone = encoder(dtype, place)
    image = _on_grid(photo, place)
    side = max(photo.size) * settings.stroke
    paintings = [
        to_tensor(resized(style.painting, fit(style.painting.size, side)), place)
        for style in styles
    ]
    total = sum(style.weight for style in styles)
    for layer in method.layers:
        content = backbone.features(image, (layer,))[layer]
        moved = torch.zeros_like(content, dtype=torch.float32)
        for style, painting in zip(styles, paintings, strict=True):
            features = backbone.features(painting, (layer,))[layer]
            share = style.weight / total
            moved += share * method.transform(content, features, settings.swap)
        moved = content.float().lerp(moved, settings.strength).to(dtype)
        decoder = bundled(layer).decoder.to(place)
        image = decoder(moved.contiguous(memory_format=torch.channels_last)).clamp(0, 255)
    return to_picture(image[:, :, : photo.height, : photo.width])


def _on_grid(photo: Image.Image, place: torch.device) -> Tensor:
    """The picture with its edges repeated, so that pooling loses nothing."""
    missing = [-side % GRID for side in photo.size]
    return F.pad(to_tensor(photo, place), (0, missing[0], 0, missing[1]), mode="replicate")
