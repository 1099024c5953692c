"""The engine for any painting in one pass: change the photo's features, decode them.

Encoder and decoders are the same for all methods: style swap (Chen and Schmidt 2016), AdaIN (Huang
and Belongie 2017) and WCT (Li et al. 2017). Where a method works on several layers, the deepest
comes first, and the next one reads the picture made of it; strengths below 1 mix in the photo's own
features at each layer.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nst.checkpoints.files import training_cost
from nst.engines.estimate import TooLarge
from nst.machine import (
    PRECISIONS,
    calibration,
    device,
    free_memory,
    nearest,
    other_precision,
    prepare,
    release,
)
from nst.names import Problem
from nst.nn.decoders import bundled, encoder
from nst.nn.transforms import TRANSFORMS
from nst.nn.vgg import Backbone
from nst.pictures.color import with_colors_of
from nst.pictures.images import fit, resized, to_picture, to_tensor
from nst.report import RunReport, versions
from nst.settings.onepass import MOST_PAINTINGS, MethodSettings
from nst.steps import Result, Step, at_once

GRID = 8  # pixels for a position of the deepest layer that is decoded
FRAME = 48  # pixels: conv4_1 sees 34 to each side
BYTES = 800  # a pixel of photo and painting and a byte of the dtype, measured with WCT


class BadMixture(Problem):
    """Paintings or weights that cannot be mixed; the message says why."""


@dataclass(frozen=True)
class Style:
    """A painting, its weight in a mixture, above 0, and its name for reports."""

    painting: Image.Image
    weight: float = 1.0
    name: str = ""


def stylize(
    photo: Image.Image,
    styles: Sequence[Style],
    settings: MethodSettings,
    precision: str | None = None,
) -> Iterator[Step]:
    """Paint `photo` like one painting, or like a mixture. The only step carries the result.

    The same pictures, settings, precision and machine give the same result, bit for bit;
    `precision` is that of `optimize.stylize`. Raises
    `BadMixture`, `TooLarge` for the memory, and `TooSmall` where a picture has no patch to swap.
    """
    _check(styles)
    prepare()
    wanted = precision or calibration().precision
    precision = nearest(wanted)
    _load(settings, PRECISIONS[precision])
    began = time.perf_counter()
    photo = resized(photo, fit(photo.size, settings.size))
    picture = painted(photo, styles, settings, PRECISIONS[precision])
    if settings.keep_colors:
        picture = with_colors_of(photo, picture)
    seconds = time.perf_counter() - began
    release()
    report = RunReport(
        engine="any painting",
        settings=settings.model_dump(),
        weights=tuple(style.weight for style in styles),
        training=_training(settings),
        size=picture.size,
        seconds=round(seconds, 3),
        precision=precision,
        device=str(device()),
        warning=other_precision(wanted, precision),
        versions=versions(),
    )
    yield at_once(Result(picture, photo, report, ()), seconds)


def _training(settings: MethodSettings) -> dict[str, float]:
    """Photos of a decoder's training, and seconds of those of all that are in use."""
    notes = [bundled(layer, settings.decoders).notes for layer in settings.layers]
    costs = [training_cost(known) for known in notes]
    return {**costs[0], "seconds": round(sum(cost["seconds"] for cost in costs), 1)}


@torch.no_grad()
def _load(settings: MethodSettings, dtype: torch.dtype) -> None:
    """Reads the weights, once in a process, which is no time of the method's."""
    blank = torch.zeros(1, 3, GRID, GRID, device=device())
    encoder(dtype, device()).features(blank, settings.layers)
    for layer in settings.layers:
        bundled(layer, settings.decoders)


def _check(styles: Sequence[Style]) -> None:
    if not 1 <= len(styles) <= MOST_PAINTINGS:
        raise BadMixture(f"1 to {MOST_PAINTINGS} paintings can be mixed, not {len(styles)}.")
    if not all(0 < style.weight < math.inf for style in styles):
        raise BadMixture("Every painting of a mixture needs a weight above 0.")


@torch.no_grad()
def painted(
    photo: Image.Image,
    styles: Sequence[Style],
    settings: MethodSettings,
    dtype: torch.dtype,
) -> Image.Image:
    """The photo in the style of the paintings, at exactly its size. Raises `TooLarge`."""
    transform, place = TRANSFORMS[settings.method].change, device()
    side = round(max(photo.size) * settings.stroke)
    sizes = [fit(style.painting.size, side) for style in styles]
    _refuse_if_too_large(settings, photo.size, sizes, dtype)
    backbone = encoder(dtype, place)
    image = to_tensor(photo, place)
    own = _features(image, backbone, settings.layers)
    paintings = [
        _features(to_tensor(resized(style.painting, size), place), backbone, settings.layers)
        for style, size in zip(styles, sizes, strict=True)
    ]
    total = sum(style.weight for style in styles)
    for number, layer in enumerate(settings.layers):
        content = _features(image, backbone, (layer,))[layer] if number else own[layer]
        moved = torch.zeros_like(content, dtype=torch.float32)
        for style, features in zip(styles, paintings, strict=True):
            share = style.weight / total
            moved += share * transform(content, features[layer], settings.swap.patches())
        # The photo itself, not what deeper decoders made of it, so that weak styles stay sharp.
        moved = own[layer].float().lerp(moved, settings.strength).to(dtype)
        decoder = bundled(layer, settings.decoders).decoder.to(place)
        decoded = decoder(moved.contiguous(memory_format=torch.channels_last)).clamp(0, 255)
        image = decoded[:, :, GRID : GRID + photo.height, GRID : GRID + photo.width]
    return to_picture(image)


def _features(image: Tensor, backbone: Backbone, layers: tuple[str, ...]) -> dict[str, Tensor]:
    """Features of a picture and of `GRID` mirrored pixels around it, whole positions, by layer.

    It is mirrored farther than the deepest layer sees, so that no position knows of the zeros with
    which the encoder's convolutions go on beyond the edge.
    """
    beyond = [-side % GRID for side in image.shape[2:]]
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(side), (FRAME, FRAME + more), mode="symmetric"))
        for side, more in zip(image.shape[2:], beyond, strict=True)
    )
    framed = image[:, :, rows.to(image.device)][:, :, :, columns.to(image.device)]
    found = {}
    for layer, values in backbone.features(framed, layers).items():
        outer = (FRAME - GRID) * values.shape[2] // framed.shape[2]
        height, width = (side - outer for side in values.shape[2:])
        found[layer] = values[:, :, outer:height, outer:width]
    return found


def _refuse_if_too_large(
    settings: MethodSettings,
    photo: tuple[int, int],
    paintings: Sequence[tuple[int, int]],
    dtype: torch.dtype,
) -> None:
    """Raises `TooLarge` with the size that fits."""
    pixels = math.prod(photo) + sum(map(math.prod, paintings))
    needed, free = pixels * BYTES * dtype.itemsize, free_memory()
    if needed > free:
        fitting = int(max(photo) * (free / needed) ** 0.5) - 1
        raise TooLarge(
            f"{max(photo)} pixels with this stroke size need {needed / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} are free. A size of {fitting} fits."
        )
