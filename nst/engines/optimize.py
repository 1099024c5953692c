"""The optimization engine: move the pixels until the features fit photo and painting.

`stylize` is a generator of steps. Closing it stops the run; whoever iterates decides what progress
means. Gatys et al. 2016, coarse to fine.
"""

import math
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional as F

from nst.engines.estimate import estimate, refuse_if_too_large
from nst.engines.objective import Targets, total, variation
from nst.engines.optimizers import learning_rate, optimizer
from nst.machine import (
    PRECISIONS,
    PROBE_SIDES,
    calibration,
    clock,
    device,
    nearest,
    other_precision,
    prepare,
    release,
)
from nst.nn.losses import STYLE_LOSSES
from nst.nn.style_swap import swapped
from nst.nn.vgg import MEAN_RGB, Backbone
from nst.pictures.images import cropped, fit, resized, to_picture, to_tensor
from nst.report import RunReport, versions
from nst.settings.base import BadSetting
from nst.settings.recipe import Recipe
from nst.steps import Losses, Result, Step

DIVERGED = 100.0  # times the least loss of a level …
PATIENCE = 50  # … for more steps in a row than this, or at the level's end
TELLING = 5  # steps of a level, at least, that tell how fast the machine is


# What backbones read in one photo and one painting, for several runs on these two pictures.
Memory = dict[tuple[Any, ...], Any]


@dataclass(frozen=True)
class Level:
    """One size of the pyramid."""

    number: int
    size: tuple[int, int]
    iterations: int


def stylize(
    photo: Image,
    painting: Image,
    recipe: Recipe,
    *,
    start: Image | None = None,
    precision: str | None = None,
    memory: Memory | None = None,
) -> Iterator[Step]:
    """Paint `photo` in the style of `painting`; the last step carries the result.

    `start` is the picture that `start.image = "picture"` begins with. `precision` is `float32` or
    `bfloat16`; by default whichever this machine is faster with. Where it cannot compute in that
    one, it takes float32, with a warning in the result. The same pictures, recipe, precision and
    machine give the same result, bit for bit. Runs on the same two pictures that share a `memory`
    read each layer of them once.

    Raises `BadSetting` if the recipe needs a start picture and has none, `UnknownName` for a
    precision that is none, `TooLarge` if the run would not fit the memory. A run whose numbers
    overflow ends early with the last good picture and a warning in its result.
    """
    if recipe.start.image == "picture" and start is None:
        raise BadSetting("`start.image` is picture, but no start picture was given.", "start.image")
    prepare()
    wanted = precision or calibration().precision
    refuse_if_too_large(recipe, photo.size, painting.size, nearest(wanted))
    try:
        yield from _Run(photo, painting, recipe, start, wanted, memory).steps()
    finally:
        release()


@torch.no_grad()
def losses_of(
    picture: Image,
    photo: Image,
    painting: Image,
    recipe: Recipe,
    memory: Memory | None = None,
    precision: str | None = None,
) -> Losses:
    """What `recipe` would say of a finished picture, at its own size.

    So that results of different recipes can be compared under one of them. `precision` is that of
    `stylize`.
    """
    run = _Run(photo, painting, recipe, None, precision or calibration().precision, memory)
    targets = run.targets(Level(1, picture.size, 1))
    return run.evaluate(to_tensor(picture, run.device), targets)[1]


class _Run:
    """The state of one run: what all levels share."""

    def __init__(
        self,
        photo: Image,
        painting: Image,
        recipe: Recipe,
        start: Image | None,
        precision: str,
        memory: Memory | None,
    ) -> None:
        self.photo, self.painting, self.recipe, self.start = photo, painting, recipe, start
        self.memory = {} if memory is None else memory
        self.precision = nearest(precision)
        self.note = other_precision(precision, self.precision)
        self.device = device()
        self.backbone = Backbone(
            **recipe.backbone.model_dump(), dtype=PRECISIONS[self.precision], device=self.device
        )
        self.levels = [
            Level(number, size, iterations)
            for number, (size, iterations) in enumerate(
                zip(recipe.level_sizes(photo.size), recipe.pyramid.iterations, strict=True), 1
            )
        ]
        self.history: list[Losses] = []
        self.seconds_by_level: list[float] = []
        self.began = time.perf_counter()
        self.machine = calibration()
        self.foreseen = estimate(recipe, photo.size, painting.size, self.precision, self.machine)

    def steps(self) -> Iterator[Step]:
        image = self._beginning(self.levels[0])
        warning = ""
        for level in self.levels:
            began = time.perf_counter()
            image = _enlarged(image, level.size)
            for losses, moved, warning in self._optimize(image, level):
                image = moved
                self.history.append(losses)
                if len(self.history) < self.recipe.iterations and not warning:
                    yield self._step(level, image)
            self.seconds_by_level.append(time.perf_counter() - began)
            if warning:
                break
        yield self._step(level, image, self._result(image, warning))

    def _beginning(self, level: Level) -> Tensor:
        settings = self.recipe.start
        noise = self._noise(level.size)
        if settings.image == "noise":
            return noise
        source = {"photo": self.photo, "painting": self.painting, "picture": self.start}
        chosen = source[settings.image]
        assert chosen is not None  # `stylize` asks for the start picture of a recipe that has one
        picture = cropped(chosen, level.size)
        image = to_tensor(resized(picture, level.size), self.device)
        return image.lerp(noise, settings.noise)

    def _noise(self, size: tuple[int, int]) -> Tensor:
        settings = self.recipe.start
        generator = torch.Generator().manual_seed(self.recipe.seed)
        shape = (1, 3, size[1], size[0])
        if settings.distribution == "uniform":
            noise = torch.rand(shape, generator=generator) * 255
        else:
            mean = torch.tensor(MEAN_RGB).view(1, 3, 1, 1)
            noise = torch.randn(shape, generator=generator) * settings.deviation + mean
        return noise.to(self.device)

    @torch.no_grad()
    def targets(self, level: Level) -> Targets:
        """What the features of a picture of this level are compared with."""
        recipe, content, style = self.recipe, {}, {}
        if recipe.reads_content:
            photo = resized(self.photo, level.size)
            content = self._known("photo", photo, recipe.content.layers, _as_it_is)
        painting = self._painting_at(level)
        # Crops of unlike shapes may shrink to one size.
        kind = "painting" if recipe.style.fit == "whole" else f"cropped to {level.size}"
        if recipe.swaps:
            patches = self._known(kind, painting, recipe.content.layers, _as_it_is)
            content = {
                name: swapped(features, patches[name], recipe.swap.patches())
                for name, features in content.items()
            }
        if recipe.reads_style:
            statistics = STYLE_LOSSES[recipe.style.loss].statistics
            style = self._known(kind, painting, recipe.style.layers, statistics)
        return Targets(content, style)

    def _known(
        self,
        kind: str,
        picture: Image,
        layers: Collection[str],
        statistics: Callable[[Tensor], Any],
    ) -> dict[str, Any]:
        """Statistics of the layers of a picture, from the memory as far as it has them."""
        backbone, last = self.backbone, self.recipe.layers[-1]
        own = dict.fromkeys(layers, backbone.activation) | {last: backbone.last_activation}
        keys = {
            name: (
                kind,
                picture.size,
                statistics,
                name,
                replace(backbone, last_activation=own[name]),
            )
            for name in layers
        }
        missing = [name for name in layers if keys[name] not in self.memory]
        if missing:
            # Where the last layer has its own activation, it must be named to be the last.
            alike = backbone.activation == backbone.last_activation
            read = missing if alike else self.recipe.layers
            found = backbone.features(to_tensor(picture, self.device), read)
            self.memory |= {keys[name]: statistics(found[name]) for name in missing}
        return {name: self.memory[keys[name]] for name in layers}

    def _painting_at(self, level: Level) -> Image:
        side = max(level.size) * self.recipe.style.scale
        painting = self.painting
        if self.recipe.style.fit == "crop":
            painting = cropped(painting, level.size)
        return resized(painting, fit(painting.size, side))

    def _optimize(self, image: Tensor, level: Level) -> Iterator[tuple[Losses, Tensor, str]]:
        """Losses before each step, the picture after it, and a warning if that was the last."""
        settings = self.recipe.optimizer
        targets = self.targets(level)
        variable = image.clone().requires_grad_()
        moving = optimizer(settings, variable)
        best, least, worse = image.clone(), math.inf, 0
        times = []
        for index in range(level.iterations):
            began = time.perf_counter()
            moving.param_groups[0]["lr"] = learning_rate(
                settings, index, level.iterations, variable.numel()
            )
            moving.zero_grad()
            objective, losses = self.evaluate(variable, targets)
            if losses.total < least:
                best.copy_(variable.detach())
                least = losses.total
            worse = worse + 1 if losses.total > DIVERGED * least > 0 else 0
            if not math.isfinite(losses.total) or worse > PATIENCE:
                shown = self.history[-1] if self.history else losses
                yield shown, best, self._advice(len(self.history))
                return
            objective.backward()
            moving.step(objective.detach().item)
            if settings.clamp:
                with torch.no_grad():
                    variable.clamp_(0, 255)
            times.append(time.perf_counter() - began)
            ends = index + 1 == level.iterations
            if not bool(variable.isfinite().all()) or (ends and worse):
                yield losses, best, self._advice(len(self.history))
                return
            yield losses, variable.detach(), ""
        self._teach(level, times)

    def _teach(self, level: Level, times: Sequence[float]) -> None:
        """Corrects what is known of the machine, where steps are large and many enough to tell."""
        if len(times) >= TELLING and math.prod(level.size) >= PROBE_SIDES[0] ** 2:
            _, foreseen = self.foreseen.levels[level.number - 1]
            clock().learn(self.machine, statistics.median(times) / foreseen)

    def evaluate(self, image: Tensor, targets: Targets) -> tuple[Tensor, Losses]:
        """The total, to differentiate, and what it consists of."""
        found = self.backbone.features(image, self.recipe.layers)
        others = {"tv": variation(image, self.recipe)} if self.recipe.tv.weight else {}
        return total(self.recipe, found, targets, others)

    def _advice(self, step: int) -> str:
        settings = self.recipe.optimizer
        return (
            f"The numbers grew out of range at step {step + 1}, so the run stopped and kept the "
            f"best picture until then. Try a smaller `optimizer.learning_rate` (it was "
            f"{settings.learning_rate:g}) or smaller weights"
            + ("." if settings.clamp else ", or set `optimizer.clamp`.")
        )

    def _step(self, level: Level, image: Tensor, result: Result | None = None) -> Step:
        seconds = time.perf_counter() - self.began
        return Step(
            index=len(self.history),
            total=self.recipe.iterations,
            level=level.number,
            levels=len(self.levels),
            size=level.size,
            losses=self.history[-1],
            seconds=seconds,
            seconds_left=0 if result else self.foreseen.seconds_left(len(self.history), seconds),
            picture=lambda: to_picture(image),
            finish=lambda: result or self._result(image, ""),
            result=result,
        )

    def _result(self, image: Tensor, problem: str) -> Result:
        seconds = time.perf_counter() - self.began
        done = len(self.history)
        image = _enlarged(image, self.levels[-1].size)  # where it stopped on a coarse level
        report = RunReport(
            engine="optimization",
            settings=self.recipe.model_dump(),
            size=self.levels[-1].size,
            seconds=round(seconds, 3),
            seconds_per_iteration=round(seconds / done, 5),
            seconds_by_level=tuple(round(s, 3) for s in self.seconds_by_level),
            iterations=done,
            complete=done == self.recipe.iterations and not problem,
            precision=self.precision,
            device=str(self.device),
            losses={"first": self.history[0].as_dict(), "last": self.history[-1].as_dict()},
            warning=f"{self.note} {problem}".strip(),
            versions=versions(),
        )
        photo = resized(self.photo, self.levels[-1].size)
        return Result(to_picture(image), photo, report, tuple(self.history))


def _as_it_is(features: Tensor) -> Tensor:
    return features


def _enlarged(image: Tensor, size: tuple[int, int]) -> Tensor:
    width, height = size
    if image.shape[2:] == (height, width):
        return image
    larger = F.interpolate(image, (height, width), mode="bicubic", align_corners=False)
    return larger.clamp(0, 255)
