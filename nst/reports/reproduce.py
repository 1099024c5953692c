"""Paints the tables and figures of the reports, and says how far they agree.

Results are kept under a key of everything that made them, so that figures share them and a run
that was stopped goes on where it was.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from nst.files import whole
from nst.pictures.images import fit, open_picture, resized, save_picture, save_png
from nst.report import RunReport
from nst.reports.claims import agreement, as_trees, verdicts
from nst.settings.catalog import GALLERY
from nst.settings.files import BadFile
from nst.steps import Losses, Result, Term, final_losses
from nst.study import compare
from nst.study.compare import Outcome, Progress
from nst.study.figures import Figure
from nst.study.measures import Appearance, Measures
from nst.study.sheets import Panel, sheet
from nst.study.tables import COLUMNS, as_csv, row, shown
from nst.study.variants import STUDY_SIZE, Variant

SHOWN_SIDE = 1480  # pixels of a figure on the page
KEPT = GALLERY / "reports"  # the set that the page shows


@dataclass(frozen=True)
class Store:
    """Finished variants in a folder, by what made them."""

    folder: Path

    def recall(self, variant: Variant, photo: Image, painting: Image) -> Outcome | None:
        """A variant that was painted before, if its files are whole."""
        path = self._path(variant, photo, painting)
        try:
            tree = json.loads(path.with_suffix(".json").read_text("utf-8"))
            picture = open_picture(path)
            report, fitted = RunReport.read(tree["report"], path.stem), resized(photo, picture.size)
            result = Result(picture, fitted, report, (_losses(tree["last"]),))
            return Outcome(
                variant,
                result,
                Measures(**tree["measures"]),
                Appearance(**tree["looks"]),
                _losses(tree["common"]),
                tree["measured_by"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, outcome: Outcome, photo: Image, painting: Image) -> None:
        """Writes a new one; the JSON last, so that a whole one has both files."""
        assert outcome.result and outcome.measures and outcome.looks and outcome.common
        path = self._path(outcome.variant, photo, painting)
        path.parent.mkdir(parents=True, exist_ok=True)
        report = outcome.result.report
        save_png(outcome.result.picture, path, report.but(preset=outcome.variant.preset).as_dict())
        tree = {
            "report": report.as_dict(),
            "last": _tree(final_losses(outcome.result)),
            "measures": asdict(outcome.measures),
            "looks": asdict(outcome.looks),
            "common": _tree(outcome.common),
            "measured_by": outcome.measured_by,
        }
        with whole(path.with_suffix(".json")) as new:
            new.write_text(json.dumps(tree, indent=1), "utf-8")

    def _path(self, variant: Variant, photo: Image, painting: Image) -> Path:
        made_by = hashlib.sha256(variant.settings.model_dump_json().encode())
        made_by.update(variant.painter.weights().encode())
        for picture in (photo, painting):
            made_by.update(repr(picture.size).encode() + picture.tobytes())
        return self.folder / f"{made_by.hexdigest()[:16]}.png"


def _tree(losses: Losses) -> dict[str, Any]:
    terms = {n: [t.weighted, t.unweighted, dict(t.layers)] for n, t in losses.terms.items()}
    return {"total": losses.total, "terms": terms}


def _losses(tree: dict[str, Any]) -> Losses:
    return Losses(tree["total"], {name: Term(*term) for name, term in tree["terms"].items()})


def paint(
    figure: Figure, photo: Image, painting: Image, folder: Path, size: int | None = STUDY_SIZE
) -> Iterator[Progress]:
    """Paints a figure's variants and writes `NAME.png`, `.json` and `.csv` into `folder`."""
    names = {*figure.columns, *(claim.column for claim in figure.claims)}
    names |= {name for cell in figure.cells for name in cell.published}
    if unknown := names - {*COLUMNS}:
        raise BadFile(f"{figure.name}.toml: {', '.join(sorted(unknown))} is no column of a table.")
    store = Store(folder / "results")
    outcomes: tuple[Outcome, ...] = ()
    for progress in compare.run(
        photo, painting, figure.variants(size), recall=store.recall, keep=store.keep
    ):
        outcomes = progress.outcomes
        yield progress
    write(figure, outcomes, folder)


def write(figure: Figure, outcomes: tuple[Outcome, ...], folder: Path) -> None:
    """The sheet, the numbers beside the published ones, and the verdicts."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {outcome.variant.title: row(outcome) for outcome in outcomes}
    found = verdicts(figure, rows)
    save_picture(drawing(figure, outcomes), folder / f"{figure.name}.png")
    with whole(folder / f"{figure.name}.csv") as new:
        new.write_text(as_csv(outcomes), "utf-8")
    tree = {
        "name": figure.name,
        "agreement": agreement(found),
        "claims": as_trees(found),
        "published": {cell.title: dict(cell.published) for cell in figure.cells},
        "measured": rows,
        "sizes": {o.variant.title: o.result.report.size for o in outcomes if o.result},
        "changes": {o.variant.title: [o.variant.preset, o.variant.changes] for o in outcomes},
    }
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    with whole(folder / f"{figure.name}.json") as new:
        new.write_text(text + "\n", "utf-8")


def publish(figure: Figure, folder: Path) -> None:
    """Puts a figure that `write` left in `folder` where the page of reports shows it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    sheet = open_picture(folder / f"{figure.name}.png")
    sheet = resized(sheet, fit(sheet.size, min(SHOWN_SIDE, max(sheet.size))))
    save_picture(sheet, KEPT / f"{figure.name}.webp", quality=88, method=6)
    text = (folder / f"{figure.name}.json").read_text("utf-8")
    with whole(KEPT / f"{figure.name}.json") as new:
        new.write_text(text, "utf-8")


def drawing(figure: Figure, outcomes: tuple[Outcome, ...]) -> Image:
    """The captioned sheet of a figure."""
    rows = {outcome.variant.title: row(outcome) for outcome in outcomes}
    panels = [
        Panel(
            outcome.result.picture if outcome.result else None,
            outcome.variant.title,
            tuple(_caption(figure, rows[outcome.variant.title])) or (outcome.error,),
        )
        for outcome in outcomes
    ]
    found = verdicts(figure, rows)
    footer = "\n".join([agreement(found), *(f"– {one}" for one in found)])
    title = f"{figure.title} ({figure.report}, {figure.place})"
    columns = figure.per_row or (len(panels) if len(panels) <= 6 else None)
    return sheet(panels, title=title, footer=footer, columns=columns)


def _caption(figure: Figure, numbers: dict[str, Any]) -> Iterator[str]:
    """Measured numbers under a picture, published ones beside them."""
    if numbers["error"]:
        return
    published = next(c.published for c in figure.cells if c.title == numbers["variant"])
    for name in dict.fromkeys((*published, *figure.columns)):
        beside = f" (published {shown(published[name])})" if name in published else ""
        yield f"{COLUMNS[name].label}: {shown(numbers[name])}{beside}"
