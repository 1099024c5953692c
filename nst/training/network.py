"""Training of a transformer network on one painting (Johnson et al. 2016)."""

from collections.abc import Generator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

import torch
from PIL.Image import Image
from torch import Tensor, nn

from nst.engines.objective import Objective
from nst.machine import PRECISIONS
from nst.nn.transformer import TransformerNetwork, widened
from nst.settings.training import TrainingRecipe
from nst.steps import Losses
from nst.training.fleet import Fleet
from nst.training.loop import TrainingStep, run
from nst.training.photos import BadTraining, Photos


def train(
    painting: Image,
    photos: Photos,
    recipe: TrainingRecipe,
    fleet: Fleet,
    *,
    start: TransformerNetwork | None = None,
    state: Path | None = None,
) -> Generator[TrainingStep, None, None]:
    """Train a network to paint photos like `painting`.

    `start` is a network to begin with; one of half the width, or another whole part, is widened.
    `state` is as `nst.training.loop.run` has it, whose errors it raises, and `BadTraining` if
    `start` has another shape.
    """
    yield from run(_Style.of(painting, recipe, fleet, start), photos, fleet, state=state)


@dataclass(frozen=True)
class _Style:
    """What is learned of one painting."""

    recipe: TrainingRecipe
    network: TransformerNetwork
    objective: Objective
    identity: bytes

    @classmethod
    def of(
        cls,
        painting: Image,
        recipe: TrainingRecipe,
        fleet: Fleet,
        start: TransformerNetwork | None,
    ) -> Self:
        dtype = PRECISIONS[fleet.precision]
        network = _beginning(recipe, start).to(fleet.device)
        objective = Objective.of(painting, recipe, fleet.device, dtype)
        return cls(recipe, network, objective, sha256(painting.tobytes()).digest())

    def losses(
        self, network: nn.Module, crops: Tensor, done: int, draw: torch.Generator
    ) -> tuple[Tensor, Losses]:
        noisy = crops[:0]
        if self.recipe.stability.weight:
            noisy = crops[:1] + _noise(crops[:1], self.recipe.stability.deviation, draw)
        painted = network(torch.cat([crops, noisy]), self.objective.backbone.dtype)
        ramp = min(1.0, (done + 1) / max(1, self.recipe.schedule.style_ramp))
        return self.objective.evaluate(crops, painted[: len(crops)], painted[len(crops) :], ramp)


def _noise(photo: Tensor, deviation: float, draw: torch.Generator) -> Tensor:
    return (torch.randn(photo.shape, generator=draw) * deviation).to(photo.device)


def _beginning(recipe: TrainingRecipe, start: TransformerNetwork | None) -> TransformerNetwork:
    settings = recipe.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = TransformerNetwork(settings.width, settings.blocks)
        if start is not None and settings.width in range(2 * start.width, 65, start.width):
            start = widened(start, settings.width)
    if start is not None:
        if (start.width, len(start.blocks)) != (settings.width, settings.blocks):
            raise BadTraining(
                f"The network to begin with has width {start.width} and {len(start.blocks)} "
                f"blocks, the training {settings.width} and {settings.blocks}. "
                f"Set `network.width` and `network.blocks` to those."
            )
        if start.upsampling != network.upsampling:
            raise BadTraining(
                f"The network to begin with has {start.upsampling} up-sampling; a training "
                f"needs {network.upsampling}."
            )
        network.load_state_dict(start.state_dict())
    return network
