"""What remains of a run: the report, the loss curves and the time-lapse."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from PIL.Image import Image

from nst.pictures.images import fit, resized
from nst.settings.recipe import Recipe
from nst.steps import Losses, Result, Step

CURVE_POINTS = 100
FRAMES, FRAME_SIDE = 48, 512  # of a time-lapse


def report(result: Result, preset: str, photo: str, painting: str) -> dict[str, Any]:
    """All that is needed to make the picture again, and what it cost."""
    return {"preset": preset, "photo": photo, "painting": painting, **result.report}


def curve(history: Sequence[Losses]) -> list[dict[str, float | int | str]]:
    """Rows (step, term, loss) of the total and the weighted terms, at most 101 steps."""
    if not history:
        return []
    stride = -(-len(history) // CURVE_POINTS)
    kept = sorted({*range(0, len(history), stride), len(history) - 1})
    return [
        {"step": index + 1, "term": term, "loss": value}
        for index in kept
        for term, value in _terms(history[index]).items()
        if math.isfinite(value)
    ]


def _terms(losses: Losses) -> dict[str, float]:
    terms = {name: term.weighted for name, term in losses.terms.items()}
    return {"total": losses.total, **terms} if len(terms) > 1 else terms


class TimeLapse:
    """Collects frames of a run, evenly over its steps, small enough to keep in memory."""

    def __init__(self, recipe: Recipe) -> None:
        """Plans the frames of a run of `recipe`."""
        self.stride = max(1, recipe.iterations // FRAMES)
        self.frames: list[Image] = []

    def see(self, step: Step) -> None:
        """Keeps the step's picture if one is due; the result is added at the end."""
        if not step.result and step.index % self.stride == 1 % self.stride:
            self.add(step.picture())

    def add(self, picture: Image) -> None:
        """Keeps a picture, at most `FRAME_SIDE` pixels long."""
        side = min(FRAME_SIDE, max(picture.size))
        self.frames.append(resized(picture, fit(picture.size, side)))


def loss_line(losses: Losses) -> str:
    """`content 1.2e+05, style 3.4e+04`."""
    return ", ".join(f"{name} {value:.3g}" for name, value in _terms(losses).items())


def fast_summary(report: Mapping[str, Any]) -> str:
    """One line about a result of a trained network."""
    return _at_once(report["checkpoint"]["name"], report)


def method_summary(report: Mapping[str, Any]) -> str:
    """One line about a result of a method for any painting."""
    return _at_once(report["method"], report)


def _at_once(name: str, report: Mapping[str, Any]) -> str:
    width, height = report["size"]
    return f"{name}: {width} × {height} pixels in {report['seconds']:.2f} s ({report['precision']})"


def summary(report: Mapping[str, Any]) -> str:
    """One line about a finished run."""
    width, height = report["size"]
    return (
        f"{width} × {height} pixels, {report['iterations']} iterations in "
        f"{report['seconds']:.1f} s ({report['seconds_per_iteration']:.3f} s each, "
        f"{report['precision']})"
    )
