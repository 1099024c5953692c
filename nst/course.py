"""Training of a network on a folder of photos, whatever it learns.

`run` is a generator, as a run of the optimization is: closing it stops. What it writes from time
to time is enough to go on with the very same batches. Under `torchrun`, each process takes its
share of every batch.
"""

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL.Image import Transpose
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset

from nst.images import PICTURE_SUFFIXES, BadPicture, fit, open_picture, resized, to_tensor
from nst.machine import calibration, prepare, processors
from nst.muon import OPTIMIZERS
from nst.names import Problem
from nst.steps import Losses, versions
from nst.training import CourseRecipe, DataSettings

FEWEST_PHOTOS = 16
RECENT = 100  # steps whose mean losses are reported


class BadTraining(Problem):
    """A training that cannot start or go on; the message says why and what would work."""


@dataclass(frozen=True)
class Photos:
    """Files that can be trained on, and how many of a folder's pictures could not be read."""

    paths: tuple[Path, ...]
    skipped: int


def find_photos(folder: Path) -> Photos:
    """The pictures in a folder and those below it. Raises `BadTraining` if they are too few."""
    if not folder.is_dir():
        raise BadTraining(f"`{folder}` is not a folder of photos.")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    good = tuple(filter(_is_usable, files))
    skipped = len(files) - len(good)
    if len(good) < FEWEST_PHOTOS:
        raise BadTraining(
            f"`{folder}` has {len(good)} usable pictures ({skipped} could not be read); "
            f"training needs at least {FEWEST_PHOTOS}, and a few hundred for a good result."
        )
    return Photos(good, skipped)


def _is_usable(path: Path) -> bool:
    try:
        open_picture(path)
    except BadPicture:
        return False
    return True


class Crops(Dataset):
    """Square crops of photos; crop `i` is the same whenever and wherever it is asked for."""

    def __init__(self, paths: Sequence[Path], data: DataSettings, seed: int) -> None:
        """Of a training's photos."""
        self.paths, self.data, self.seed = paths, data, seed

    def __getitem__(self, index: int) -> Tensor:
        """(3, side, side), RGB in 0..255, float32."""
        epoch, place = divmod(index, len(self.paths))
        photo = open_picture(self.paths[_order(self.seed, epoch, len(self.paths))[place]])
        draw = torch.rand(4, generator=_generator(self.seed, 1, index)).tolist()
        side = self.data.side
        photo = resized(photo, fit(photo.size, max(photo.size) * max(1, side / min(photo.size))))
        cut = side + round(draw[0] * (min(photo.size) - side))
        left, top = (round(d * (n - cut)) for d, n in zip(draw[1:3], photo.size, strict=True))
        crop = resized(photo.crop((left, top, left + cut, top + cut)), (side, side))
        if self.data.flip and draw[3] < 0.5:
            crop = crop.transpose(Transpose.FLIP_LEFT_RIGHT)
        values = to_tensor(crop, torch.device("cpu"))[0]
        if self.data.recolor:
            values = _recolored(values, self.data.recolor, _generator(self.seed, 3, index))
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
    return torch.randperm(count, generator=_generator(seed, 0, epoch)).tolist()


def _generator(seed: int, stream: int, index: int) -> torch.Generator:
    """Of a number of its own for each (seed, stream, index)."""
    digest = sha256(f"{seed} {stream} {index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@dataclass(frozen=True)
class Fleet:
    """The processes that train together: one, or those that `torchrun` started."""

    rank: int
    count: int
    device: torch.device
    precision: str

    def any(self, here: bool) -> bool:
        """Whether it is so in any of the processes, which all must ask."""
        if self.count == 1:
            return here
        answer = torch.tensor(int(here), device=self.device)
        distributed.all_reduce(answer, distributed.ReduceOp.MAX)
        return bool(answer)

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0


@contextmanager
def fleet(device: torch.device) -> Iterator[Fleet]:
    """Joins the processes of `torchrun`, if it started this one."""
    prepare()
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield Fleet(0, 1, device, calibration().precision)
        return
    torch.set_num_threads(max(1, processors() // int(os.environ["LOCAL_WORLD_SIZE"])))
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        rank = distributed.get_rank()
        chosen = [calibration().precision if rank == 0 else ""]  # the same for all
        distributed.broadcast_object_list(chosen)
        yield Fleet(rank, count, device, chosen[0])
        distributed.barrier()  # one that leaves early can bring down another that is still leaving
    finally:
        distributed.destroy_process_group()


class Task(Protocol):
    """What is learned: a network, its losses, and what else decides the training's course."""

    recipe: CourseRecipe
    network: nn.Module
    identity: bytes

    def losses(
        self, network: nn.Module, crops: Tensor, done: int, draw: torch.Generator
    ) -> tuple[Tensor, Losses]:
        """The total of (N, 3, side, side) crops, to differentiate, and what it consists of.

        `network` is the task's own, or shares it with other processes; `done` steps came before;
        `draw` is for whatever is random in this step.
        """
        ...


@dataclass(frozen=True)
class TrainingStep:
    """One step. `report()` has all that the weights' metadata tell; `save(path)` writes the state.

    `losses` are those of the step's batch, of this process.
    """

    index: int
    total: int
    losses: Losses
    learning_rate: float
    seconds: float
    seconds_left: float
    network: nn.Module
    report: Callable[[], dict[str, Any]]
    save: Callable[[Path], None]


def run(
    task: Task, photos: Photos, crew: Fleet, *, state: Path | None = None
) -> Iterator[TrainingStep]:
    """Train the task's network on photos.

    `state` is a file that a step's `save` wrote, to go on from. On a processor, with the same
    number of processes, a resumed training ends with the same bits.

    Raises `BadTraining` if the state belongs to another training or a finished one, if the batch
    cannot be shared evenly, and if the losses grow out of range.
    """
    yield from _Training(task, photos, crew, state).steps()


class _Training:
    """What all steps share."""

    def __init__(self, task: Task, photos: Photos, crew: Fleet, state: Path | None) -> None:
        self.task, self.photos, self.crew = task, photos, crew
        self.recipe, self.network = task.recipe, task.network
        self.total = self.recipe.iterations(len(photos.paths))
        if self.recipe.data.batch % crew.count:
            raise BadTraining(
                f"`data.batch` is {self.recipe.data.batch}: it must be a multiple of the "
                f"{crew.count} processes."
            )
        schedule = self.recipe.schedule
        self.optimizer = OPTIMIZERS[schedule.optimizer](
            self.network.parameters(), lr=schedule.learning_rate
        )
        self.identity = _identity(task, photos)
        self.done, self.seconds, self.recent = 0, 0.0, []
        if state is not None:
            self._restore(state)
        if self.done >= self.total:
            raise BadTraining(f"This training is finished: it has its {self.total} steps.")
        self.shared = self.network
        if crew.count > 1:
            self.shared = nn.parallel.DistributedDataParallel(self.network)

    def steps(self) -> Iterator[TrainingStep]:
        began, seconds_before, first = time.perf_counter(), self.seconds, self.done
        for photos in self._batches():
            rate = self._learning_rate()
            self.optimizer.param_groups[0]["lr"] = rate
            crops = photos.to(self.crew.device)
            objective, losses = self.task.losses(self.shared, crops, self.done, self._draw())
            if not math.isfinite(losses.total):
                raise BadTraining(
                    f"The losses grew out of range at step {self.done + 1}. Try a smaller "
                    "`schedule.learning_rate` or smaller weights."
                )
            self.optimizer.zero_grad()
            objective.backward()
            self.optimizer.step()
            self.done += 1
            unweighted = {name: term.unweighted for name, term in losses.terms.items()}
            self.recent = [*self.recent, unweighted][-RECENT:]
            elapsed = time.perf_counter() - began
            self.seconds = seconds_before + elapsed
            yield TrainingStep(
                index=self.done,
                total=self.total,
                losses=losses,
                learning_rate=rate,
                seconds=self.seconds,
                seconds_left=elapsed / (self.done - first) * (self.total - self.done),
                network=self.network,
                report=self._report,
                save=self._save,
            )

    def _batches(self) -> DataLoader:
        batch, share = self.recipe.data.batch, self.recipe.data.batch // self.crew.count
        mine = [
            step * batch + self.crew.rank * share + place
            for step in range(self.done, self.total)
            for place in range(share)
        ]
        workers = 0 if self.crew.device.type == "cpu" else min(8, processors())
        crops = Crops(self.photos.paths, self.recipe.data, self.recipe.seed)
        own = torch.Generator()  # else the loader draws from torch's
        return DataLoader(crops, share, sampler=mine, num_workers=workers, generator=own)

    def _learning_rate(self) -> float:
        """Of the step to come: a linear rise, then a cosine (Loshchilov and Hutter 2017)."""
        schedule = self.recipe.schedule
        rise = min(1.0, (self.done + 1) / max(1, schedule.warm_up))
        fallen = 0.5 * (1 - math.cos(math.pi * self.done / self.total))
        return schedule.learning_rate * rise * (1 + fallen * (schedule.end_share - 1))

    def _draw(self) -> torch.Generator:
        return _generator(self.recipe.seed, 2, self.done * self.crew.count + self.crew.rank)

    def _report(self) -> dict[str, Any]:
        return {
            "settings": self.recipe.model_dump(),
            "iterations": self.done,
            "complete": self.done == self.total,
            "photos": len(self.photos.paths),
            "seconds": round(self.seconds, 1),
            "losses": {
                term: sum(losses[term] for losses in self.recent) / len(self.recent)
                for term in self.recent[-1]
            },
            "precision": self.crew.precision,
            "device": str(self.crew.device),
            "processes": self.crew.count,
            "versions": versions(),
        }

    def _save(self, path: Path) -> None:
        """Whole or not at all: a crash while writing leaves the file from before."""
        new = path.with_name(path.name + ".new")
        torch.save(
            {
                "identity": self.identity,
                "done": self.done,
                "seconds": self.seconds,
                "recent": self.recent,
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            new,
        )
        new.replace(path)

    def _restore(self, path: Path) -> None:
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
            identity = kept["identity"]
        except Exception as error:  # of whatever else the file may be
            raise BadTraining(
                f"`{path}` is no saved state of a training. Start without `--resume`."
            ) from error
        if identity != self.identity:
            raise BadTraining(
                f"`{path}` was saved with other pictures or other settings, the number of steps "
                "among them. Give the same ones to go on, or start without `--resume`."
            )
        self.done, self.seconds, self.recent = kept["done"], kept["seconds"], kept["recent"]
        self.network.load_state_dict(kept["network"])
        self.optimizer.load_state_dict(kept["optimizer"])


def _identity(task: Task, photos: Photos) -> str:
    """Changes with everything that decides the course of a training."""
    found = sha256(task.identity + task.recipe.model_dump_json().encode())
    for path in photos.paths:
        found.update(sha256(path.read_bytes()).digest())
    return found.hexdigest()
