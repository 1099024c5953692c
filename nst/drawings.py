"""Sheets of a comparison and of a sweep."""

from collections.abc import Sequence

from PIL.Image import Image

from nst.compare import Outcome
from nst.sheets import Panel, grid, sheet
from nst.tables import row, shown
from nst.variants import Axis


def panel(outcome: Outcome) -> Panel:
    """A result with its figures, or a field with its error."""
    if outcome.result is None:
        return Panel(None, outcome.variant.title, (outcome.error,))
    numbers = row(outcome)
    return Panel(
        outcome.result.picture,
        outcome.variant.title,
        (
            f"content {numbers['content_score']:.0f}, style {numbers['style_score']:.0f} of 100",
            f"{shown(numbers['iterations'])} iterations in {numbers['seconds']:.1f} s",
        ),
    )


def comparison_sheet(outcomes: Sequence[Outcome]) -> Image:
    """All results with captions."""
    return sheet([panel(outcome) for outcome in outcomes])


def sweep_sheet(outcomes: Sequence[Outcome], axes: Sequence[Axis], title: str) -> Image:
    """Results where their values say; cells that are not painted stay gray."""
    across, down = axes[0], axes[1] if axes[1:] else None
    done = {outcome.variant.place: panel(outcome) for outcome in outcomes}
    rows = [
        [
            Panel(found.picture, "", found.lines[:1])
            if (found := done.get((row, column)))
            else Panel(None, "")
            for column in range(len(across.values))
        ]
        for row in range(len(down.values) if down else 1)
    ]
    return grid(
        rows,
        column_label=across.label,
        column_values=across.values,
        row_label=down.label if down else "",
        row_values=down.values if down else (),
        title=title,
    )
