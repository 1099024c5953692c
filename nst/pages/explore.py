"""The page that paints a grid over one or two settings of a preset."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL.Image import Image

from nst.pages.comparing import Comparer, Comparing, Page, files, live, status, stopped, wire
from nst.pages.parts import (
    Frame,
    labels,
    picture_pair,
    preset_choice,
    setting_field,
)
from nst.pages.runs import Outputs, Run
from nst.settings.catalog import get
from nst.study.choice import Sweep
from nst.study.compare import Outcome, Progress
from nst.study.sheets import Grid, sweep_sheet
from nst.study.variants import MOST_CELLS, Variant

NAME = "explore"  # of this page in an address
FIELDS = {"preset": 0, "vary": 2, "vary2": 4, "size": 5}  # of the choice, by number
OUTPUTS = 7  # of a run: words, the live picture, the grid, its cells, three files


@dataclass(frozen=True)
class Cells:
    """A grid as it was drawn: photo and painting, what was chosen, results and where they lie."""

    pictures: tuple[str, str]
    choice: tuple[Any, ...]
    results: Mapping[tuple[int, int], Image]
    boxes: Mapping[tuple[int, int], tuple[int, int, int, int]]


@dataclass(frozen=True)
class Fields:
    """What leads to other pages: the grid to click on, and what `hit` needs to know of it."""

    drawn: gr.Image
    cells: gr.State


def lay_out(frame: Frame, compare: Comparer) -> Fields:
    """The page over its engine."""
    with gr.Tab("Explore", id=NAME) as tab:
        return _lay_out(frame, compare, tab)


def _lay_out(frame: Frame, compare: Comparer, tab: gr.Tab) -> Fields:
    answers = Comparing(compare, frame.services, NAME, OUTPUTS)
    default = Sweep()
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            photo, painting = picture_pair(NAME)
            preset = preset_choice(NAME, default.preset)
            with gr.Group():
                key, values = setting_field(f"{NAME}-across", default.vary, "Columns")
            with gr.Group():
                key2, values2 = setting_field(f"{NAME}-down", default.vary2, "Rows", optional=True)
            size = gr.Number(
                default.size,
                label="Size",
                info="pixels of the long side, of each cell",
                precision=0,
                elem_id="explore-size",
            )
            foreseen = gr.HTML(elem_id="explore-estimate", elem_classes="hint")
            go = gr.Button("Paint the grid", variant="primary", size="lg", elem_id="explore-go")
        with gr.Column(scale=6, min_width=320):
            progress = gr.HTML(
                f"<p class='hint'>Up to {MOST_CELLS} cells. A click on a finished cell opens it on "
                "the Stylize page, with its settings.</p>",
                elem_classes="status",
                elem_id="explore-status",
            )
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id="explore-stop")
            drawn = gr.Image(
                label="Grid",
                show_label=False,
                format="png",
                interactive=False,
                buttons=["fullscreen"],
                elem_id="explore-grid",
            )
            being_painted = gr.Image(
                label="Being painted",
                format="jpeg",
                interactive=False,
                visible=False,
                height=260,
                buttons=[],
                elem_id="explore-live",
            )
            with gr.Row():
                png = gr.DownloadButton("Grid (PNG)", interactive=False, size="sm")
                csv = gr.DownloadButton(
                    "Numbers (CSV)", interactive=False, size="sm", elem_id="explore-csv"
                )
                settings = gr.DownloadButton("Settings (JSON)", interactive=False, size="sm")
                copy = gr.Button("Copy link", size="sm", elem_id="explore-copy")

    inputs = [photo, painting, preset, key, values, key2, values2, size]
    cells = gr.State()
    outputs = [progress, being_painted, drawn, cells]
    downloads = [png, csv, settings]

    async def paint(
        request: gr.Request, photo: str, painting: str, *choice: Any
    ) -> AsyncIterator[Outputs]:
        def variants() -> list[Variant]:
            return chosen_by(*choice).variants()

        def show(run: Run, steps: Iterator[tuple[Progress, bool]]) -> Iterator[Outputs]:
            skip, folder = gr.skip(), run.folder()
            for at, new in steps:
                if not new:
                    yield status(at), live(at), *(skip,) * 5
                    continue
                sheet = _sheet(at.outcomes, choice)
                done = {o.variant.place: o.result.picture for o in at.outcomes if o.result}
                known = Cells((photo, painting), choice, done, sheet.boxes)
                yield status(at), live(at), sheet.picture, known, *(skip,) * 3
            ended = status(at) if at.painting is None else stopped(at)
            written = (skip,) * 3
            if at.outcomes:
                sheet = _sheet(at.outcomes, choice)
                written = files(at.outcomes, sheet.picture, *labels(photo, painting), folder)
            yield ended, gr.Image(visible=False), written[0], skip, *written

        async for shown in answers.painted(request, photo, painting, variants, show):
            yield shown

    page = Page(
        *(NAME, tab, inputs, outputs, downloads, foreseen, progress, go, stop, copy),
        *(chosen_by, FIELDS, read, fields),
    )
    wire(frame, answers, page, paint, "sweep")
    return Fields(drawn, cells)


def hit(cells: Cells | None, event: gr.SelectData) -> Variant | None:
    """The variant of the cell that was clicked on, if any."""
    if cells is None:
        return None
    x, y = event.index
    for place, (left, top, right, bottom) in cells.boxes.items():
        if left <= x < right and top <= y < bottom:
            return next(v for v in chosen_by(*cells.choice).variants() if v.place == place)
    return None


def _sheet(outcomes: Sequence[Outcome], choice: tuple[Any, ...]) -> Grid:
    sweep = chosen_by(*choice)
    return sweep_sheet(outcomes, sweep.axes(), sweep.subject)


def chosen_by(
    preset: str, key: str, values: str, key2: str | None, values2: str, size: float | None
) -> Sweep:
    """The sweep that the fields show. Raises `Problem`."""
    down = f"{key2}={values2}" if key2 else ""
    return Sweep.read({"preset": preset, "vary": f"{key}={values}", "vary2": down, "size": size})


def fields(sweep: Sweep) -> tuple[Any, ...]:
    """What the fields show for a sweep."""
    key, _, values = sweep.vary.partition("=")
    key2, _, values2 = sweep.vary2.partition("=")
    return sweep.preset, key, values, key2, values2, sweep.size


def read(query: Mapping[str, str]) -> Sweep:
    """From an address. Raises `Problem` if it cannot be painted."""
    sweep = Sweep.read({name: query[name] for name in Sweep.model_fields if name in query})
    get(sweep.preset)  # its field offers presets alone
    sweep.variants()
    return sweep
