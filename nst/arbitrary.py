"""The engine for any painting in one pass: change the photo's features, decode them.

Encoder and decoders are the same for all methods: style swap (Chen and Schmidt 2016), AdaIN (Huang
and Belongie 2017) and WCT (Li et al. 2017). Where a method works on several layers, the deepest
comes first, and the next one reads the picture made of it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nst.checkpoints import training_cost
from nst.color import with_colors_of
from nst.decoders import bundled, encoder
from nst.images import fit, resized, to_picture, to_tensor
from nst.machine import PRECISIONS, calibration, device, prepare, release
from nst.methods import MOST_PAINTINGS, MethodSettings
from nst.names import Problem
from nst.recipe import SwapSettings
from nst.steps import NO_LOSSES, Result, Step, versions
from nst.swap import swapped
from nst.transforms import adain, wct

GRID = 8  # pixels for a position of the deepest layer that is decoded
FRAME = 2 * GRID


class BadMixture(Problem):
    """Paintings or weights that cannot be mixed; the message says why."""


Transform = Callable[[Tensor, Tensor, SwapSettings], Tensor]
TRANSFORMS: Mapping[str, Transform] = {
    "style-swap": swapped,
    "adain": lambda content, style, _: adain(content, style),
    "wct": lambda content, style, _: wct(content, style),
}


@dataclass(frozen=True)
class Style:
    """A painting and its weight in a mixture, above 0."""

    painting: Image.Image
    weight: float = 1.0


def stylize(
    photo: Image.Image, styles: Sequence[Style], settings: MethodSettings
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
        "training": _training(settings),
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


def _training(settings: MethodSettings) -> dict[str, float]:
    """What all the decoders took."""
    costs = [training_cost(bundled(layer, settings.decoders).notes) for layer in settings.layers]
    return {
        "photos": max(cost["photos"] for cost in costs),
        "seconds": round(sum(cost["seconds"] for cost in costs), 1),
    }


@torch.no_grad()
def painted(
    photo: Image.Image,
    styles: Sequence[Style],
    settings: MethodSettings,
    dtype: torch.dtype,
) -> Image.Image:
    """The photo in the style of the paintings, at exactly its size."""
    transform, place = TRANSFORMS[settings.method], device()
    backbone = encoder(dtype, place)
    image = _framed(photo, place)
    side = max(photo.size) * settings.stroke
    paintings = [
        _framed(resized(style.painting, fit(style.painting.size, side)), place) for style in styles
    ]
    total = sum(style.weight for style in styles)
    for layer in settings.layers:
        content = backbone.features(image, (layer,))[layer]
        moved = torch.zeros_like(content, dtype=torch.float32)
        for style, painting in zip(styles, paintings, strict=True):
            features = backbone.features(painting, (layer,))[layer]
            share = style.weight / total
            moved += share * transform(content, features, settings.swap)
        moved = content.float().lerp(moved, settings.strength).to(dtype)
        decoder = bundled(layer, settings.decoders).decoder.to(place)
        image = decoder(moved.contiguous(memory_format=torch.channels_last)).clamp(0, 255)
    inside = image[:, :, FRAME : FRAME + photo.height, FRAME : FRAME + photo.width]
    return to_picture(inside)


def _framed(picture: Image.Image, place: torch.device) -> Tensor:
    """Mirrored at the edges, so that sides are whole positions and none sees the encoder's zeros.

    (1, 3, H, W), with `FRAME` pixels above and to the left.
    """
    ends = [(FRAME, FRAME + -side % GRID) for side in (picture.height, picture.width)]
    framed = np.pad(np.asarray(picture), (*ends, (0, 0)), mode="symmetric")
    return to_tensor(Image.fromarray(framed), place)
