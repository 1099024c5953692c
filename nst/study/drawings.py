"""Sheets of a comparison and of a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL.Image import Image

from nst.study.compare import Outcome
from nst.study.sheets import Grid, Heads, Panel, grid, sheet
from nst.study.tables import row, shown
from nst.study.variants import Axis


def panel(outcome: Outcome) -> Panel:
    """A result with its figures, or a field with its error."""
    if outcome.result is None:
        return Panel(None, outcome.variant.title, (outcome.error,))
    numbers = row(outcome)
    lines: tuple[str, ...] = (
        f"content {numbers['content_score']:.0f}, style {numbers['style_score']:.0f} of 100",
        _cost(numbers),
    )
    if numbers["warning"]:
        lines = (*lines, "stopped early: its numbers grew out of range")
    return Panel(outcome.result.picture, outcome.variant.title, lines)


def _cost(numbers: Mapping[str, Any]) -> str:
    """What a result took."""
    time = f"{numbers['seconds']:.1f} s"
    steps = numbers["iterations"]
    return f"at once, {time}" if steps is None else f"{shown(steps)} iterations in {time}"


def sheet_title(photo: str, painting: str, subject: str) -> str:
    """`cat, great_wave: Quick, Content layer`; without a subject, the two pictures alone."""
    return f"{photo}, {painting}" + (f": {subject}" if subject else "")


def comparison_sheet(outcomes: Sequence[Outcome], title: str) -> Image:
    """All results with captions."""
    return sheet([panel(outcome) for outcome in outcomes], title=title)


def sweep_sheet(outcomes: Sequence[Outcome], axes: Sequence[Axis], title: str) -> Grid:
    """Results where their values say; cells that are not painted yet are gray."""
    across, *down = (Heads(axis.label, axis.values) for axis in axes)
    done = {outcome.variant.place: panel(outcome) for outcome in outcomes}
    rows = [
        [_cell(done.get((row, column))) for column in range(len(across.values))]
        for row in range(len(down[0].values) if down else 1)
    ]
    return grid(rows, across, down[0] if down else None, title=title)


def _cell(found: Panel | None) -> Panel:
    return Panel(found.picture, "", found.lines[:1]) if found else Panel(None, "")
