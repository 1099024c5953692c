"""What remains of a run: a summary, the loss curves and the time-lapse."""

import math
from collections.abc import Sequence

from PIL.Image import Image

from nst.pictures.images import fit, resized
from nst.report import RunReport
from nst.steps import Losses, Step

CURVE_POINTS = 100
FRAMES, FRAME_SIDE = 48, 512  # of a time-lapse


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

    def __init__(self, iterations: int) -> None:
        """Plans the frames of a run of so many steps."""
        self.stride = max(1, iterations // FRAMES)
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


def summary(report: RunReport) -> str:
    """One line about a result, of any engine."""
    pixels = f"{report.size[0]} × {report.size[1]} pixels"
    if report.iterations is None:
        name = report.checkpoint.name if report.checkpoint else report.method
        return f"{name}: {pixels} in {report.seconds:.2f} s ({report.precision})"
    return (
        f"{pixels}, {report.iterations} iterations in {report.seconds:.1f} s "
        f"({report.seconds_per_iteration:.3f} s each, {report.precision})"
    )
