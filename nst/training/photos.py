"""Photos of a training: the usable files of a folder, and square crops, the same each time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import torch
from PIL.Image import Transpose
from torch import Tensor
from torch.utils.data import Dataset

from nst.names import Problem
from nst.pictures.images import (
    UnusablePicture,
    fit,
    open_picture,
    picture_files,
    resized,
    to_tensor,
)
from nst.pictures.limits import OWN_FILE
from nst.settings.training import DataSettings

FEWEST_PHOTOS = 16


class BadTraining(Problem):
    """A training that cannot start or go on; the message says why and what would work."""


@dataclass(frozen=True)
class Photos:
    """Files that can be trained on, and how many others of a folder have which fault."""

    paths: tuple[Path, ...]
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def unusable(self) -> str:
        """What is wrong with the others, such as "2 could not be used (2: is empty)", or ""."""
        if not self.faults:
            return ""
        each = "; ".join(f"{count}: {fault.rstrip('.')}" for fault, count in self.faults.items())
        return f"{sum(self.faults.values())} could not be used ({each})"


def find_photos(folder: Path) -> Photos:
    """The pictures in a folder and those below it. Raises `BadTraining` if they are too few."""
    if not folder.is_dir():
        raise BadTraining(f"`{folder}` is not a folder of photos.")
    found = {path: _fault(path) for path in picture_files(folder, "**/*")}
    good = tuple(path for path, fault in found.items() if not fault)
    photos = Photos(good, Counter(filter(None, found.values())))
    if len(good) < FEWEST_PHOTOS:
        others = f", {photos.unusable}" if photos.unusable else ""
        raise BadTraining(
            f"`{folder}` has {len(good)} usable pictures{others}; training needs at least "
            f"{FEWEST_PHOTOS}, and a few hundred for a good result."
        )
    return photos


def _fault(path: Path) -> str:
    """Why a file cannot be trained on, or nothing."""
    try:
        open_picture(path, limits=OWN_FILE)
    except UnusablePicture as problem:
        return problem.why
    return ""


class Crops(Dataset):
    """Square crops of photos; crop `i` is the same whenever and wherever it is asked for."""

    def __init__(self, paths: Sequence[Path], data: DataSettings, seed: int) -> None:
        """Crops of a training's photos."""
        self.paths, self.data, self.seed = paths, data, seed

    def __getitem__(self, index: int) -> Tensor:
        """(3, side, side), RGB in 0..255, float32."""
        epoch, place = divmod(index, len(self.paths))
        path = self.paths[_order(self.seed, epoch, len(self.paths))[place]]
        photo = open_picture(path, limits=OWN_FILE)
        draw = torch.rand(4, generator=generator(self.seed, 1, index)).tolist()
        side = self.data.side
        photo = resized(photo, fit(photo.size, max(photo.size) * max(1, side / min(photo.size))))
        cut = side + round(draw[0] * (min(photo.size) - side))
        left, top = (round(d * (n - cut)) for d, n in zip(draw[1:3], photo.size, strict=True))
        crop = resized(photo.crop((left, top, left + cut, top + cut)), (side, side))
        if self.data.flip and draw[3] < 0.5:
            crop = crop.transpose(Transpose.FLIP_LEFT_RIGHT)
        values = to_tensor(crop, torch.device("cpu"))[0]
        if self.data.recolor:
            values = _recolored(values, self.data.recolor, generator(self.seed, 3, index))
        return values


def _recolored(crop: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """The crop, or, for such a share of draws, the crop in colors that photos seldom have."""
    chosen, saturation = torch.rand(2, generator=draw).tolist()
    if chosen >= share:
        return crop
    shuffled = crop[torch.randperm(3, generator=draw)]
    gray = shuffled.mean(0)
    return (gray + 2 * saturation * (shuffled - gray)).clamp(0, 255)


@lru_cache(2)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    return torch.randperm(count, generator=generator(seed, 0, epoch)).tolist()


def generator(seed: int, stream: int, index: int) -> torch.Generator:
    """A generator with a seed of its own for each (seed, stream, index)."""
    digest = sha256(f"{seed} {stream} {index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
