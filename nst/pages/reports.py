"""The page with the tables and figures of the reports, as they came out here."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import gradio as gr

from nst.pages import link
from nst.pages.parts import QUIET, Frame
from nst.pages.words import literal
from nst.reports.claims import FAILS, HOLDS, PARTLY
from nst.reports.reproduce import KEPT
from nst.settings.catalog import paintings, photos
from nst.study.figures import Figure, figures
from nst.study.gallery import PAINTING, PHOTO
from nst.study.tables import COLUMNS, shown

NAME = "reports"  # of this page in an address
MARKS = {HOLDS: "✓", PARTLY: "≈", FAILS: "✗"}


def lay_out(frame: Frame) -> list[tuple[gr.Button, Figure]]:
    """The page; returns the buttons that paint a figure anew."""
    with gr.Tab("Reports", id=NAME) as tab:
        tab.select(lambda: f"view={NAME}", None, frame.address, **QUIET)
        frame.arrived.then(_opened, None, frame.tabs, **QUIET)
        return _lay_out()


def _opened(request: gr.Request) -> Any:
    own = link.view_of(dict(request.query_params)) == NAME
    return gr.Tabs(selected=NAME) if own else gr.skip()


def _lay_out() -> list[tuple[gr.Button, Figure]]:
    gr.Markdown(
        "Five student reports on neural style transfer print tables and figures, and conclusions "
        "from them. Here each was painted again, where nothing else is said on one photo "
        f"({photos()[PHOTO].title}) and one painting ({paintings()[PAINTING].title}), at a small "
        "size, and every conclusion that numbers can confirm was computed from the results: "
        "✓ holds, ≈ holds in part, ✗ does not hold. Absolute losses depend on the pictures and "
        "their size; what can be compared is how they change."
    )
    buttons = []
    painted = [figure for figure in figures().values() if _kept(figure).exists()]
    for report, own in groupby(painted, lambda figure: figure.report):
        with gr.Accordion(report, open=not buttons, elem_classes="report"):
            buttons += [(_draw(figure), figure) for figure in own]
    return buttons


def _kept(figure: Figure) -> Path:
    """Its numbers; a new figure has none until it has been painted."""
    return KEPT / f"{figure.name}.json"


def _draw(figure: Figure) -> gr.Button:
    path = _kept(figure)
    kept = json.loads(path.read_text("utf-8"))
    gr.Markdown(
        f"### {figure.title}\n*{figure.report}, {figure.place}.* {figure.says}"
        + (f"\n\n*Note: {figure.note}*" if figure.note else "")
    )
    gr.Image(
        str(path.with_suffix(".webp")),
        show_label=False,
        container=False,
        interactive=False,
        format="webp",
        buttons=["fullscreen"],
        elem_classes="drawn",
    )
    gr.HTML(_words(figure, kept))
    words = "Paint it again" if figure.has_own_pictures else "Paint it with my pictures"
    return gr.Button(words, size="sm", elem_id=f"again-{figure.name}")


def _words(figure: Figure, kept: Mapping[str, Any]) -> str:
    lines = [
        f"<li>{MARKS.get(claim['verdict'], '?')} {literal(claim['says'])} "
        f"<span class='hint'>({literal(claim['numbers'])})</span></li>"
        for claim in kept["claims"]
    ]
    found = f"<p><b>{literal(kept['agreement'])}</b></p><ul class='claims'>{''.join(lines)}</ul>"
    return found + (_table(figure, kept["measured"]) if figure.is_table else "")


def _table(figure: Figure, measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Published and measured numbers side by side."""
    names = list(dict.fromkeys(name for cell in figure.cells for name in cell.published))
    head = "".join(f"<th scope='col'>{COLUMNS[name].label}</th>" for name in names)
    lines = [
        f"<tr><th scope='row'>{literal(cell.title)}, {kind}</th>{_cells(numbers, names)}</tr>"
        for cell in figure.cells
        for kind, numbers in (
            ("published", cell.published),
            ("measured", measured.get(cell.title, {})),
        )
        if numbers
    ]
    return f"<div class='numbers'><table><tr><td></td>{head}</tr>{''.join(lines)}</table></div>"


def _cells(numbers: Mapping[str, Any], names: Sequence[str]) -> str:
    return "".join(f"<td>{literal(shown(numbers.get(name)))}</td>" for name in names)
