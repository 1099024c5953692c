"""The tables and figures of the reports, as data: what to paint and what must come out.

Each is a file in `presets/reports`. `nst.reports.reproduce` paints them; nothing here does.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nst.engines.painters import find as find_painter
from nst.names import Problem, pick
from nst.settings.catalog import ROOT, paintings, photos
from nst.settings.files import named, read
from nst.study.variants import RESULT, Variant, varied

FOLDER = ROOT / "reports"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cell(_Table):
    """One picture of a figure, or one column of a table."""

    title: str
    preset: str = ""  # or a method or checkpoint; the figure's, if empty
    vary: Mapping[str, str] = {}  # knobs and settings, as texts
    photo: str = ""  # see `nst.study.variants.Variant`
    painting: str = ""
    published: Mapping[str, float] = {}  # by column of `nst.study.tables`


class Claim(_Table):
    """One thing that the report concludes, so that a run can agree or disagree.

    `order`: `column` goes up or down along `of`. `change`: `column` of the first of `of` differs
    from that of the second by `percent`. `alike`: `column` differs by at most `within` among `of`.
    `extreme`: the first of `of` has the largest or smallest `column`. `share`: `column` of the
    first of `of` is, with `direction` up, at least `percent` of that of the second, or less.
    """

    says: str
    kind: Literal["order", "change", "alike", "extreme", "share"]
    column: str
    of: tuple[str, ...] = Field(min_length=2)  # titles of cells
    direction: Literal["up", "down", ""] = ""
    percent: float | None = None
    within: float | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Claim":
        wants = {
            "order": (self.direction,),
            "change": (self.percent,),
            "alike": (self.within,),
            "extreme": (self.direction,),
            "share": (self.direction, self.percent),
        }
        if any(value in ("", None) for value in wants[self.kind]):
            raise ValueError(f"a claim of kind {self.kind} lacks its direction, within or percent")
        return self


class Figure(_Table):
    """A table or figure of a report."""

    name: str
    report: str  # short: Peng and Zhang
    place: str  # figure 2, section 2.3
    title: str
    says: str  # what the report concluded, in our words
    note: str = ""  # what was read into it, or differs
    preset: str
    vary: Mapping[str, str] = {}  # common to all cells
    columns: tuple[str, ...] = ("style_score", "content_score")  # shown under each picture
    per_row: int | None = Field(None, ge=1)  # pictures of the sheet
    rank: int
    cells: tuple[Cell, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()

    @property
    def is_table(self) -> bool:
        """Whether the report printed numbers."""
        return any(cell.published for cell in self.cells)

    @property
    def has_own_pictures(self) -> bool:
        """Whether it says on which pictures, all of them."""
        return all(cell.photo and cell.painting for cell in self.cells)

    def variants(self, size: int | None = None) -> list[Variant]:
        """What to paint, at `size` pixels or the preset's own."""
        return [self._variant(cell, column, size) for column, cell in enumerate(self.cells)]

    def _variant(self, cell: Cell, column: int, size: int | None) -> Variant:
        name = cell.preset or self.preset
        painter = find_painter(name).painter
        painter = painter if size is None else painter.but({"size": size})
        painter = varied(painter, {**self.vary, **cell.vary})
        return Variant(cell.title, name, painter, cell.photo, cell.painting, (0, column))


def read_figure(path: Path) -> Figure:
    """From its TOML file. Raises `BadFile`."""
    figure = read(path, Figure)
    with named(path):
        figure.variants()
        _check_names(figure)
    return figure


def _check_names(figure: Figure) -> None:
    """Raises `Problem` for a name that stands for nothing, or for two things."""
    titles = [cell.title for cell in figure.cells]
    if len({*titles}) < len(titles):
        raise Problem("two cells have the same title.")
    named_by_claims = {title for claim in figure.claims for title in claim.of}
    for number, cell in enumerate(figure.cells):
        for source, bundled in ((cell.photo, photos()), (cell.painting, paintings())):
            if source.startswith(RESULT):
                if source.removeprefix(RESULT) not in titles[:number]:
                    raise Problem(f"`{source}` is no earlier cell.")
            elif source and source not in bundled:
                raise Problem(f"`{source}` is no bundled picture.")
    if unknown := named_by_claims - {*titles}:
        raise Problem(f"a claim names {', '.join(sorted(unknown))}, no cell.")


@cache
def figures() -> Mapping[str, Figure]:
    """All by name, in the order of the reports."""
    found = sorted(map(read_figure, FOLDER.glob("*.toml")), key=lambda figure: figure.rank)
    return {figure.name: figure for figure in found}


def find(name: str) -> Figure:
    """One by name. Raises `UnknownName` with the closest."""
    return pick("table or figure", name, figures())
