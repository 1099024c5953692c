"""Training of a network on a folder of photos, whatever it learns.

`run` is a generator, as a run of the optimization is: closing it stops. What it writes from time
to time is enough to go on with the very same batches. Under `torchrun`, each process takes its
share of every batch.
"""

import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nst.files import whole
from nst.machine import processors
from nst.nn.muon import OPTIMIZERS
from nst.report import versions
from nst.settings.training import BaseTrainingRecipe
from nst.steps import Losses
from nst.training.fleet import Fleet
from nst.training.photos import BadTraining, Crops, Photos, generator

RECENT = 100  # steps whose mean losses are reported


class Task(Protocol):
    """What is learned: a network, its losses, and what else decides the training's course."""

    @property
    def recipe(self) -> BaseTrainingRecipe:
        """Its settings."""

    @property
    def network(self) -> nn.Module:
        """What is trained."""

    @property
    def identity(self) -> bytes:
        """A digest of all that decides the course, but for the photos and the settings."""

    def losses(
        self, network: nn.Module, crops: Tensor, done: int, draw: torch.Generator
    ) -> tuple[Tensor, Losses]:
        """The total of (N, 3, side, side) crops, to differentiate, and what it consists of.

        `network` is the task's own, or shares it with other processes; `done` steps came before;
        `draw` is for whatever is random in this step.
        """


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
    task: Task, photos: Photos, fleet: Fleet, *, state: Path | None = None
) -> Iterator[TrainingStep]:
    """Train the task's network on photos.

    `state` is a file that a step's `save` wrote, to go on from. On a processor, with the same
    number of processes, a resumed training ends with the same bits.

    Raises `BadTraining` if the state belongs to another training or a finished one, if the batch
    cannot be shared evenly, and if the losses grow out of range.
    """
    yield from _Training(task, photos, fleet, state).steps()


class _Training:
    """What all steps share."""

    def __init__(self, task: Task, photos: Photos, fleet: Fleet, state: Path | None) -> None:
        self.task, self.photos, self.fleet = task, photos, fleet
        self.recipe, self.network = task.recipe, task.network
        self.total = self.recipe.iterations(len(photos.paths))
        if self.recipe.data.batch % fleet.count:
            raise BadTraining(
                f"`data.batch` is {self.recipe.data.batch}: it must be a multiple of the "
                f"{fleet.count} processes."
            )
        schedule = self.recipe.schedule
        self.optimizer = OPTIMIZERS[schedule.optimizer](
            self.network.parameters(), lr=schedule.learning_rate
        )
        self.identity = _identity(task, photos)
        self.done, self.seconds = 0, 0.0
        self.recent: list[Mapping[str, float]] = []
        if state is not None:
            self._restore(state)
        if self.done >= self.total:
            raise BadTraining(f"This training is finished: it has its {self.total} steps.")
        self.shared = self.network
        if fleet.count > 1:
            self.shared = nn.parallel.DistributedDataParallel(self.network)

    def steps(self) -> Iterator[TrainingStep]:
        began, seconds_before, first = time.perf_counter(), self.seconds, self.done
        for photos in self._batches():
            rate = self._learning_rate()
            self.optimizer.param_groups[0]["lr"] = rate
            crops = photos.to(self.fleet.device)
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
        batch, share = self.recipe.data.batch, self.recipe.data.batch // self.fleet.count
        mine = [
            step * batch + self.fleet.rank * share + place
            for step in range(self.done, self.total)
            for place in range(share)
        ]
        workers = 0 if self.fleet.device.type == "cpu" else min(8, processors())
        crops = Crops(self.photos.paths, self.recipe.data, self.recipe.seed)
        own = torch.Generator()  # else the loader draws from torch's
        return DataLoader(crops, share, sampler=mine, num_workers=workers, generator=own)

    def _learning_rate(self) -> float:
        """That of the step to come: a linear rise, then a cosine (Loshchilov and Hutter 2017)."""
        schedule = self.recipe.schedule
        rise = min(1.0, (self.done + 1) / max(1, schedule.warm_up))
        fallen = 0.5 * (1 - math.cos(math.pi * self.done / self.total))
        return schedule.learning_rate * rise * (1 + fallen * (schedule.end_share - 1))

    def _draw(self) -> torch.Generator:
        return generator(self.recipe.seed, 2, self.done * self.fleet.count + self.fleet.rank)

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
            "precision": self.fleet.precision,
            "device": str(self.fleet.device),
            "processes": self.fleet.count,
            "versions": versions(),
        }

    def _save(self, path: Path) -> None:
        # Torch tells no reason where it writes to a file itself.
        state = io.BytesIO()
        torch.save(
            {
                "identity": self.identity,
                "done": self.done,
                "seconds": self.seconds,
                "recent": self.recent,
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
            state,
        )
        with whole(path) as new:
            new.write_bytes(state.getbuffer())

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
