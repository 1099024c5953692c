"""What a run yields: a step with its losses, and at the end the result."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from nst.report import RunReport


@dataclass(frozen=True)
class Term:
    """One loss term: the weighted sum, the sum without the term's weight, and each layer's own."""

    weighted: float
    unweighted: float
    layers: Mapping[str, float]


@dataclass(frozen=True)
class Losses:
    """Loss of the picture that a step started from, by term: `content`, `style`, `tv`."""

    total: float
    terms: Mapping[str, Term]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for reports; None for what is not finite, which JSON cannot write."""
        terms = self.terms.items()
        return {
            "total": _finite(self.total),
            "weighted": {name: _finite(term.weighted) for name, term in terms},
            "unweighted": {name: _finite(term.unweighted) for name, term in terms},
            "layers": {
                name: {layer: _finite(loss) for layer, loss in term.layers.items()}
                for name, term in terms
                if term.layers
            },
        }


NO_LOSSES = Losses(math.nan, {})  # of an engine that minimizes nothing


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Result:
    """The finished picture, how it came about, and the losses of every step."""

    picture: Image
    photo: Image
    report: RunReport
    history: tuple[Losses, ...]


@dataclass(frozen=True)
class Step:
    """One step of a run.

    `picture()` is made only when somebody asks, before the next step; `finish()` likewise makes a
    result of what there is, for a run that is stopped here.
    """

    index: int
    total: int
    level: int
    levels: int
    size: tuple[int, int]
    losses: Losses
    seconds: float
    seconds_left: float
    picture: Callable[[], Image]
    finish: Callable[[], Result]
    result: Result | None = None


def final_losses(result: Result) -> Losses:
    """The losses of the last step, or none where nothing was minimized."""
    return result.history[-1] if result.history else NO_LOSSES


def at_once(result: Result, seconds: float) -> Step:
    """The only step of an engine that paints in one pass."""
    return Step(
        index=1,
        total=1,
        level=1,
        levels=1,
        size=result.picture.size,
        losses=NO_LOSSES,
        seconds=seconds,
        seconds_left=0,
        picture=lambda: result.picture,
        finish=lambda: result,
        result=result,
    )


def last(steps: Iterator[Step]) -> Result:
    """The result of a run whose steps nobody watches."""
    for step in steps:
        if step.result:
            return step.result
    raise RuntimeError("the run ended without a result")
