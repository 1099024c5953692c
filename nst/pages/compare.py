"""The page that paints several variants of the same two pictures and measures them."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from nst.engines.painters import painters
from nst.pages.comparing import (
    Comparer,
    Comparing,
    Page,
    curves,
    files,
    live,
    pictures,
    scores,
    status,
    stopped,
    table,
    wire,
)
from nst.pages.parts import (
    QUIET,
    Frame,
    labels,
    picture_pair,
    preset_choice,
    setting_field,
)
from nst.pages.runs import Outputs, Run
from nst.pictures.images import open_picture, resized
from nst.settings.catalog import get
from nst.study.choice import Comparison, Ready, ready_made
from nst.study.compare import Progress
from nst.study.figures import figures
from nst.study.sheets import comparison_sheet, sheet_title
from nst.study.variants import MOST, Variant

NAME = "compare"  # of this page in an address
# Numbers of the choice's fields.
FIELDS = {"by": 0, "presets": 1, "preset": 2, "vary": 4, "figure": 5, "size": 6}
OUTPUTS = 13  # of a run: words, the live picture, eight of results, three files
# A ready-made comparison is one click: its fields are set first, so that the run reads them.
START = "() => document.querySelector('#compare-go').click()"
WAYS = {"Presets": "presets", "Values of one setting": "values", "From a report": "figure"}


def lay_out(frame: Frame, compare: Comparer) -> list[gr.components.Component]:
    """The page over its engine; returns its inputs: photo, painting, and those of `fields`."""
    with gr.Tab("Compare", id=NAME) as tab:
        return _lay_out(frame, compare, tab)


def _lay_out(frame: Frame, compare: Comparer, tab: gr.Tab) -> list[gr.components.Component]:
    answers = Comparing(compare, frame.services, NAME, OUTPUTS)
    default = Comparison()
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=320):
            photo, painting = picture_pair(NAME)
            with gr.Row(elem_classes="ready"):
                buttons = [
                    gr.Button(
                        f"{ready.title} ({ready.source})", size="sm", elem_id=f"ready-{number}"
                    )
                    for number, ready in enumerate(ready_made())
                ]
            way = gr.Radio(
                list(WAYS.items()), value=default.by, label="Compare", elem_id="compare-by"
            )
            with gr.Group() as of_presets:
                presets = gr.Dropdown(
                    [(offer.title, name) for name, offer in painters().items()],
                    value=list(default.presets),
                    multiselect=True,
                    max_choices=MOST,
                    label="Presets",
                    info="two to six presets, methods for any painting or trained networks",
                    elem_id="compare-presets",
                )
            with gr.Group(visible=False) as of_values:
                preset = preset_choice(NAME, default.preset)
                key, values = setting_field(NAME, default.vary, "Setting")
            with gr.Group(visible=False) as of_figure:
                figure = gr.Dropdown(
                    [(f"{one.report}, {one.place}: {one.title}", one.name) for one in _small()],
                    value=None,
                    label="Table or figure",
                    elem_id="compare-figure",
                )
            size = gr.Number(
                default.size,
                label="Size",
                info="pixels of the long side, of each result",
                precision=0,
                elem_id="compare-size",
            )
            foreseen = gr.HTML(elem_id="compare-estimate", elem_classes="hint")
            go = gr.Button("Compare", variant="primary", size="lg", elem_id="compare-go")
        with gr.Column(scale=6, min_width=320):
            progress = gr.HTML(
                "<p class='hint'>Results appear here one by one, with their numbers.</p>",
                elem_classes="status",
                elem_id="compare-status",
            )
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id="compare-stop")
            being_painted = gr.Image(
                label="Being painted",
                format="jpeg",
                interactive=False,
                visible=False,
                height=260,
                buttons=[],
                elem_id="compare-live",
            )
            results = gr.Gallery(
                label="Results",
                format="png",
                columns=2,
                height="auto",
                object_fit="contain",
                interactive=False,
                buttons=["fullscreen"],
                elem_id="compare-results",
            )
            with gr.Tabs():
                with gr.Tab("Numbers", id="numbers", render_children=True):
                    numbers = gr.HTML(elem_id="compare-table")
                with gr.Tab("Slider", id="pair", render_children=True):
                    with gr.Row():
                        left = gr.Dropdown([], label="Left", elem_id="compare-left")
                        right = gr.Dropdown([], label="Right", elem_id="compare-right")
                    pair = gr.ImageSlider(
                        label="Drag the line",
                        format="jpeg",
                        interactive=False,
                        max_height=520,
                        elem_id="compare-pair",
                    )
                with gr.Tab("Scores", id="scores"):
                    plot = gr.ScatterPlot(
                        scores([]),
                        x="content",
                        y="style",
                        color="variant",
                        x_lim=[0, 100],
                        y_lim=[0, 100],
                        title="Content and style, of 100",
                        height=360,
                        elem_id="compare-scores",
                    )
                with gr.Tab("Losses", id="losses"):
                    losses = gr.LinePlot(
                        curves([]),
                        x="step",
                        y="log10 of the loss",
                        color="variant",
                        title="Total loss, each as its variant weighs it",
                        height=360,
                        elem_id="compare-losses",
                    )
            with gr.Row():
                sheet = gr.DownloadButton(
                    "Sheet (PNG)", interactive=False, size="sm", elem_id="compare-png"
                )
                csv = gr.DownloadButton(
                    "Numbers (CSV)", interactive=False, size="sm", elem_id="compare-csv"
                )
                settings = gr.DownloadButton(
                    "Settings (JSON)", interactive=False, size="sm", elem_id="compare-json"
                )
                copy = gr.Button("Copy link", size="sm", elem_id="compare-copy")

    chosen = [way, presets, preset, key, values, figure, size]
    inputs = [photo, painting, *chosen]
    painted = gr.State(())  # files of the results; a browser's own list would not be admitted
    outputs = [progress, being_painted, results, numbers, left, right, pair, plot, losses, painted]
    downloads = [sheet, csv, settings]
    groups = [of_presets, of_values, of_figure]

    async def paint(
        request: gr.Request, photo: str, painting: str, *choice: Any
    ) -> AsyncIterator[Outputs]:
        def variants() -> list[Variant]:
            return chosen_by(*choice).variants()

        def show(run: Run, steps: Iterator[tuple[Progress, bool]]) -> Iterator[Outputs]:
            skip, names, folder = gr.skip(), labels(photo, painting), run.folder()
            for at, new in steps:
                known = _known(at, names, folder) if new else (skip,) * 8
                yield status(at), live(at), *known, *(skip,) * 3
            ended = status(at) if at.painting is None else stopped(at)
            written = (skip,) * 3
            if at.outcomes:
                title = sheet_title(*names, chosen_by(*choice).subject)
                written = files(at.outcomes, comparison_sheet(at.outcomes, title), *names, folder)
            yield ended, gr.Image(visible=False), *_known(at, names, folder), *written

        async for shown in answers.painted(request, photo, painting, variants, show):
            yield shown

    way.change(
        lambda chosen: [gr.Group(visible=name == chosen) for name in WAYS.values()],
        way,
        groups,
        **QUIET,
    )
    for button, ready in zip(buttons, ready_made(), strict=True):
        button.click(_of(ready), None, chosen, **QUIET).then(
            None, None, None, js=START, api_visibility="private"
        )
    for side in (left, right):
        side.input(_pair, [painted, left, right], pair, **QUIET)
    page = Page(
        *(NAME, tab, inputs, outputs, downloads, foreseen, progress, go, stop, copy),
        *(chosen_by, FIELDS, read, fields),
    )
    wire(frame, answers, page, paint, "compare")
    return inputs


def chosen_by(
    by: str,
    presets: list[str],
    preset: str,
    key: str,
    values: str,
    figure: str | None,
    size: float | None,
) -> Comparison:
    """The comparison that the fields show. Raises `Problem`."""
    return Comparison.read(
        {
            "by": by,
            "presets": tuple(presets or ()),
            "preset": preset,
            "vary": f"{key}={values}",
            "figure": figure or "",
            "size": "" if size is None else size,
        }
    )


def fields(comparison: Comparison) -> tuple[Any, ...]:
    """What the fields show for a comparison."""
    key, _, values = comparison.vary.partition("=")
    return (
        comparison.by,
        list(comparison.presets),
        comparison.preset,
        key,
        values,
        comparison.figure or None,
        comparison.size,
    )


def read(query: Mapping[str, str]) -> Comparison:
    """From an address. Raises `Problem` if it cannot be painted."""
    own = {name: query[name] for name in Comparison.model_fields if name in query}
    comparison = Comparison.read(own)
    get(comparison.preset)  # its field offers presets alone
    comparison.variants()
    return comparison


def _of(ready: Ready) -> Any:
    return lambda: fields(ready.comparison)


def _small() -> list[Any]:
    return [figure for figure in figures().values() if len(figure.cells) <= MOST]


def _known(at: Progress, names: tuple[str, str], folder: Path) -> tuple[Any, ...]:
    """Results, numbers, both sides, the pair, the plots and the files, of what is done."""
    sides = [
        (outcome.variant.title, number)
        for number, outcome in enumerate(at.outcomes)
        if outcome.result
    ]
    left, right = (sides[0][1], sides[-1][1]) if sides else (None, None)
    results = pictures(at.outcomes, names, folder)
    paths = tuple(path for path, _ in results)
    return (
        results,
        table(at.outcomes) if at.outcomes else "",
        gr.Dropdown(sides, value=left),
        gr.Dropdown(sides, value=right),
        _pair(paths, left, right) if sides else None,
        scores(at.outcomes),
        curves(at.outcomes),
        paths,
    )


def _pair(paths: Sequence[str], left: int | None, right: int | None) -> Any:
    """Two results, by their numbers, for the slider, at one size."""
    known = range(len(paths))
    if left not in known or right not in known:
        return gr.skip()
    first, second = open_picture(paths[left]), open_picture(paths[right])
    if first.size == second.size:
        return paths[left], paths[right]
    return resized(first, second.size), paths[right]
