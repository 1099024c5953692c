"""What the pages for many variants answer: runs as their outputs, and checks before them."""

import json
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd
from PIL.Image import Image

from nst.engines.estimate import duration
from nst.engines.outputs import curve
from nst.files import whole
from nst.names import Problem
from nst.pages import link
from nst.pages.live import PREVIEW_SECONDS
from nst.pages.parts import QUIET, Frame, bar, both, bundled_name, picture_problem
from nst.pages.queue import NEVER_BEGAN, follow, painted
from nst.pages.runs import Outputs, Run, Steps
from nst.pages.services import Services
from nst.pages.words import literal, sentence
from nst.pictures.images import fit, resized, save_png
from nst.settings.catalog import paintings, photos
from nst.study.choice import Comparison, Sweep
from nst.study.compare import Outcome, Progress
from nst.study.sheets import field_for, panel
from nst.study.tables import COLUMNS, as_csv, as_tree, row, shown
from nst.study.variants import Variant, refuse_if_too_long

DOWNLOADS = 3  # the sheet, the numbers, the settings
Comparer = Callable[..., Iterator[Progress]]
Choice = Comparison | Sweep


@dataclass(frozen=True)
class Comparing:
    """The runs of one page, whose events give `outputs` values."""

    compare: Comparer
    services: Services
    page: str
    outputs: int

    def considered(
        self, photo: str | None, painting: str | None, choose: Callable[[], Choice]
    ) -> tuple[str, str]:
        """What a choice would take, or why it cannot be painted, and its address."""
        query = gr.skip()
        try:
            choice = choose()
            variants = choice.variants()
            names = bundled_name(photo, photos()), bundled_name(painting, paintings())
            query = choice.query(view=self.page, photo=names[0], painting=names[1])
            pictures = both(photo, painting)
            seconds = refuse_if_too_long(variants, *(picture.size for picture in pictures))
            return f"{len(variants)} results, about {duration(seconds)}.", query
        except Problem as error:
            return literal(f"⚠ {sentence(error)}"), query

    def prepare(self, request: gr.Request, *_: Any) -> tuple[Any, ...]:
        """The page while a run waits for its turn."""
        self.services.runs.begin(request, self.page, self.outputs)
        none = (gr.DownloadButton(value=None, interactive=False) for _ in range(DOWNLOADS))
        return *_busy(), STARTING, *none

    def rest(self, request: gr.Request, *paths: str | None) -> tuple[Any, ...]:
        """The page after a run, with the files that there are, unless another has begun."""
        if self.services.runs.going_on(request, self.page):
            return *_busy(), *(gr.skip() for _ in paths)
        ready = (gr.DownloadButton(interactive=bool(path)) for path in paths)
        return gr.Button(interactive=True), gr.Button(visible=False), *ready

    def stop(self, request: gr.Request) -> None:
        """Ends the visitor's run, at once where it waits, else after its present step."""
        self.services.runs.stop(request, self.page)

    def returned(self, request: gr.Request) -> tuple[Any, ...]:
        """The page of a visitor who comes back to a run that goes on."""
        going_on = self.services.runs.going_on(request, self.page)
        return (gr.Tabs(selected=self.page), *_busy()) if going_on else (gr.skip(),) * 3

    async def resume(self, request: gr.Request) -> AsyncIterator[Outputs]:
        """What a run shows that the visitor has not seen to its end."""
        run = self.services.runs.unseen(request, self.page)
        if run is None:
            yield (gr.skip(),) * self.outputs
            return
        async for outputs in follow(self.services.runs, run, NEVER_BEGAN):
            yield outputs

    async def painted(
        self,
        request: gr.Request,
        photo: str,
        painting: str,
        choose: Callable[[], Sequence[Variant]],
        show: Callable[[Run, Iterator[tuple[Progress, bool]]], Iterator[Outputs]],
    ) -> AsyncIterator[Outputs]:
        """What a run shows; `show` makes that of its progress and whether a result is new."""
        runs = self.services.runs
        run = runs.claim(request, self.page, self.outputs)

        def plan() -> tuple[float, Steps]:
            variants, pictures = choose(), both(photo, painting)
            for variant in variants:
                variant.painter.refuse_download()
            seconds = refuse_if_too_long(variants, *(picture.size for picture in pictures))
            return seconds, lambda run: show(run, self._watched(run, pictures, variants))

        async for outputs in painted(runs, run, plan, NEVER_BEGAN):
            yield outputs

    def _watched(
        self, run: Run, pictures: tuple[Image, Image], variants: Sequence[Variant]
    ) -> Iterator[tuple[Progress, bool]]:
        """The progress of a run as far as a page shows it, and whether a result is new.

        Stops when the visitor says so; what is done stays.
        """
        due, known = 0.0, -1
        with closing(self.compare(*pictures, variants)) as steps:
            for at in steps:
                run.seconds = at.seconds_left
                if len(at.outcomes) > known or at.seconds >= due or run.over:
                    due = at.seconds + PREVIEW_SECONDS
                    yield at, len(at.outcomes) > known
                    known = len(at.outcomes)
                if run.over:
                    break


STARTING = (
    "<p><b>Starting …</b></p><p class='hint'>One visitor's pictures are painted at a time; "
    "your place in the queue is shown here.</p>"
)


def _busy() -> tuple[gr.Button, gr.Button]:
    """The buttons while a run waits or is painted."""
    return gr.Button(interactive=False), gr.Button(visible=True)


@dataclass(frozen=True)
class Page:
    """What `wire` connects. `inputs` are photo, painting and the fields that `choose` reads.

    `numbers` are those of the choice's fields among them; `read` and `fields` are an address' part.
    """

    name: str
    tab: gr.Tab
    inputs: list[gr.components.Component]
    outputs: list[gr.components.Component]
    downloads: list[gr.DownloadButton]
    foreseen: gr.HTML
    progress: gr.HTML
    go: gr.Button
    stop: gr.Button
    copy: gr.Button
    choose: Callable[..., Choice]
    numbers: Mapping[str, int]
    read: Callable[[Mapping[str, str]], Choice]
    fields: Callable[[Choice], tuple[Any, ...]]


def wire(
    frame: Frame, answers: Comparing, page: Page, paint: Callable[..., Any], api_name: str
) -> None:
    """The events that all such pages have; `paint` yields outputs and downloads."""
    think = {"inputs": page.inputs, "outputs": [page.foreseen, frame.address], **QUIET}

    def consider(photo: str, painting: str, *choice: Any) -> tuple[str, str]:
        return answers.considered(photo, painting, lambda: page.choose(*choice))

    def check(photo: str, painting: str, *choice: Any) -> list[dict[str, Any]]:
        words = [picture_problem(photo, "photo"), picture_problem(painting, "painting")]
        words += [""] * len(choice)
        try:
            variants = page.choose(*choice).variants()
            if not any(words):
                refuse_if_too_long(variants, *(p.size for p in both(photo, painting)))
        except Problem as error:
            words[2 + page.numbers.get(error.field, 0)] = str(error)
        return [gr.validate(not word, word) for word in words]

    for component in page.inputs:
        component.change(consider, trigger_mode="always_last", **think)
    run = page.go.click(
        answers.prepare,
        page.inputs,
        [page.go, page.stop, page.progress, *page.downloads],
        validator=check,
        **QUIET,
    ).success(
        paint,
        page.inputs,
        [*page.outputs, *page.downloads],
        concurrency_limit=None,
        show_progress="hidden",
        api_name=api_name,
    )
    restore = link.restored(page.name, page.read, page.fields)
    resumed = (
        frame.arrived.then(restore, None, [frame.tabs, *page.inputs], **QUIET)
        .then(answers.returned, None, [frame.tabs, page.go, page.stop], **QUIET)
        .then(answers.resume, None, [*page.outputs, *page.downloads], **QUIET)
    )
    for went in (run, resumed):
        for ended in (went.success, went.failure):
            ended(answers.rest, page.downloads, [page.go, page.stop, *page.downloads], **QUIET)
    run.failure(lambda: "<p><b>Nothing more was painted.</b></p>", None, page.progress, **QUIET)
    page.stop.click(answers.stop, None, None, **QUIET)
    link.copies(page.copy)
    page.tab.select(consider, **think)


def status(at: Progress) -> str:
    """Progress as HTML."""
    done, count = len(at.outcomes), len(at.variants)
    if at.painting is None:
        failed = sum(bool(outcome.error) for outcome in at.outcomes)
        words = f"Done: {count} results in {duration(at.seconds)}."
        words += f" {failed} of them failed." if failed else ""
        return f"<p><b>{literal(words)}</b></p>"
    where = f"{done + 1} of {count}: {at.painting.title}"
    if at.step:
        where += f", step {at.step.index} of {at.step.total}"
    return bar(at.share, f"{where}, about {duration(at.seconds_left)} left")


def stopped(at: Progress) -> str:
    """What a run that was stopped leaves."""
    return f"<p><b>Stopped: {len(at.outcomes)} of {len(at.variants)} results.</b></p>"


def live(at: Progress, longest: int = 512) -> gr.Image:
    """The picture being painted, hidden when nothing is."""
    if at.step is None:
        return gr.Image(visible=at.painting is not None)
    picture = at.step.picture()
    size = fit(picture.size, min(longest, max(picture.size)))
    return gr.Image(resized(picture, size), visible=True)


def pictures(
    outcomes: Sequence[Outcome], names: tuple[str, str], folder: Path
) -> list[tuple[str, str]]:
    """(file, caption) of each result; a failed one is a field with its error.

    Files, since Gradio writes a picture anew with each answer, while the browser reads it.
    """
    found = []
    for number, outcome in enumerate(outcomes, 1):
        one = panel(outcome)
        path = folder / f"variant-{number}.png"
        if not path.exists():
            save_png(one.picture or field_for(one), path, _notes(outcome, names))
        found.append((str(path), " · ".join((one.caption, *one.lines[:1]))))
    return found


def _notes(outcome: Outcome, names: tuple[str, str]) -> dict[str, Any]:
    """All that is needed to make a result again."""
    if outcome.result is None:
        return {}
    variant = outcome.variant
    return variant.painter.signed(outcome.result.report, variant.preset, *names).as_dict()


def table(outcomes: Sequence[Outcome]) -> str:
    """All numbers as an HTML table: a column a variant, a row a number."""
    rows = [row(outcome) for outcome in outcomes]
    head = "".join(f"<th scope='col'>{literal(r['variant'])}</th>" for r in rows)
    lines = []
    for name, column in COLUMNS.items():
        cells = "".join(f"<td>{literal(shown(r[name]))}</td>" for r in rows)
        label = f"<th scope='row' title='{literal(column.help)}'>{column.label}</th>"
        lines.append(f"<tr>{label}{cells}</tr>")
    errors = [
        f"{r['variant']}: {r[kind]}" for r in rows for kind in ("error", "warning") if r[kind]
    ]
    words = "".join(f"<p>⚠ {literal(error)}</p>" for error in errors)
    return (
        f"<div class='numbers'><table><tr><td></td>{head}</tr>{''.join(lines)}</table></div>{words}"
    )


def curves(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """The weighted totals of all variants, for one plot with logarithms."""
    rows = [
        {
            "step": point["step"],
            "variant": outcome.variant.title,
            "log10 of the loss": math.log10(point["loss"]),
        }
        for outcome in outcomes
        if outcome.result
        for point in _totals(outcome)
    ]
    return pd.DataFrame(rows, columns=["step", "variant", "log10 of the loss"])


def _totals(outcome: Outcome) -> list[dict[str, Any]]:
    points = curve(outcome.result.history)
    # A run with one term has no total beside it.
    names = {point["term"] for point in points}
    term = "total" if "total" in names else next(iter(names), "")
    return [point for point in points if point["term"] == term and point["loss"] > 0]


def scores(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Content and style of each result, 0..100."""
    rows = [
        {
            "variant": outcome.variant.title,
            "content": round(outcome.measures.content, 1),
            "style": round(outcome.measures.style, 1),
        }
        for outcome in outcomes
        if outcome.measures
    ]
    return pd.DataFrame(rows, columns=["variant", "content", "style"])


def files(
    outcomes: Sequence[Outcome], drawn: Image, photo: str, painting: str, folder: Path
) -> tuple[str, str, str]:
    """The sheet (PNG), the table (CSV) and all settings (JSON), written into `folder`."""
    sheet, numbers, settings = (
        folder / f"{photo}-{painting}-variants.{kind}" for kind in ("png", "csv", "json")
    )
    tree = as_tree(outcomes, photo, painting)
    save_png(drawn, sheet, tree)
    with whole(numbers) as new:
        new.write_text(as_csv(outcomes), "utf-8")
    with whole(settings) as new:
        new.write_text(json.dumps(tree, indent=1, ensure_ascii=False), "utf-8")
    return str(sheet), str(numbers), str(settings)
