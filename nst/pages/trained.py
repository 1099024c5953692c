"""The part of the main page for trained networks, whose results appear at once."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import gradio as gr
from anyio import to_thread
from pydantic import ValidationError

from nst.checkpoints import hub
from nst.checkpoints.files import NOTHING
from nst.engines.estimate import duration
from nst.engines.outputs import summary
from nst.files import whole
from nst.nn.vgg import NETWORKS
from nst.pages.live import plot
from nst.pages.parts import bar, described, style_cards
from nst.pages.runs import Run
from nst.pages.words import literal
from nst.pictures.images import save_png
from nst.report import RunReport
from nst.settings.base import COMMON_SIZE, BadSetting
from nst.settings.catalog import DEFAULT_PRESET, get, paintings
from nst.settings.onepass import TrainedSettings
from nst.steps import Result
from nst.study.gallery import example

LARGEST = 2048  # pixels of the long side of a result on the page
LOOK = 0.2  # seconds between two looks at a download
PATIENCE = 60  # seconds without a byte of a download
PREFIX = "instant."  # of the names of its settings there
DEFAULTS = TrainedSettings(size=COMMON_SIZE)
INPUTS = 4  # the checkpoint and its settings


@dataclass(frozen=True)
class Styles:
    """The inputs for trained networks. `checkpoint` is hidden, and empty while it is not in use."""

    cards: gr.Gallery
    controls: gr.Group
    checkpoint: gr.Textbox
    strength: gr.Slider
    keep_colors: gr.Checkbox
    size: gr.Number
    remote: gr.Dropdown

    @property
    def inputs(self) -> list[gr.components.Component]:
        """What decides a result, besides the photo."""
        return [self.checkpoint, self.strength, self.keep_colors, self.size]


def cards() -> gr.Gallery:
    """The trained styles with their real results, drawn where it is called."""
    return style_cards(hub.styles().values())


def styles(cards: gr.Gallery) -> Styles:
    """Draws what belongs to them where it is called."""
    with gr.Group(elem_id="instant") as controls:  # an empty address has a style in use
        strength = gr.Slider(
            0, 1, DEFAULTS.strength, label="Strength", step=0.05, buttons=[], elem_id="strength"
        )
        with gr.Row():
            size = gr.Number(
                COMMON_SIZE,
                label="Picture size",
                info="pixels of the long side",
                precision=0,
                min_width=120,
                elem_id="fast-size",
            )
            keep_colors = gr.Checkbox(
                DEFAULTS.keep_colors,
                label="Keep the photo's colors",
                info="Refine paints in the painting's",
                min_width=120,
                elem_id="keep-colors",
            )
    with gr.Accordion("More styles from the Hugging Face Hub", open=False, elem_id="hub"):
        remote = gr.Dropdown(
            [(entry.title, entry.name) for entry in hub.catalog().values() if not entry.bundled],
            value=None,
            label="Trained by others",
            info="about 7 MB each, downloaded once"
            + ("; or any owner/name[:file][@revision]" if hub.anything_goes() else ""),
            allow_custom_value=hub.anything_goes(),
            elem_id="remote",
        )
    checkpoint = gr.Textbox("", visible="hidden", label="Checkpoint", elem_id="checkpoint")
    return Styles(cards, controls, checkpoint, strength, keep_colors, size, remote)


def settings(strength: float, keep_colors: bool, size: float | None) -> TrainedSettings:
    """Settings that the inputs show. Raises `BadSetting`."""
    if size is None or not 64 <= size <= LARGEST:
        raise BadSetting(f"`Picture size` must be 64 to {LARGEST} pixels.")
    given = {"size": int(size), "strength": strength, "keep_colors": bool(keep_colors)}
    return TrainedSettings.read(given)


def changes(chosen: TrainedSettings, strength: float = DEFAULTS.strength) -> dict[str, Any]:
    """What the page's address carries: settings that are not the default."""
    default = DEFAULTS.model_copy(update={"strength": strength})
    return {PREFIX + name: value for name, value in chosen if value != getattr(default, name)}


def read(
    query: Mapping[str, str], strength: float = DEFAULTS.strength
) -> tuple[TrainedSettings, list[str]]:
    """The settings in an address, and the parts that could not be restored."""
    default = DEFAULTS.model_copy(update={"strength": strength})
    chosen, lost = default, []
    for name in TrainedSettings.model_fields:
        if PREFIX + name in query:
            try:
                changed = TrainedSettings.model_validate(
                    chosen.model_dump() | {name: query[PREFIX + name]}
                )
                settings(changed.strength, changed.keep_colors, changed.size)
                chosen = changed
            except (ValidationError, BadSetting):
                lost.append(PREFIX + name)
    return chosen, lost


def about(text: str) -> str:
    """What is known of a checkpoint, as HTML."""
    entry = hub.offered(text)
    credit = paintings().get(entry.style)
    style = f"{credit.title}, {credit.by}." if credit else entry.style
    if not entry.bundled:
        license_ = entry.license or "not stated"
        where = f"From huggingface.co, {entry.place}; license: {license_}."
        return described(f"{entry.title}.", style, where)
    notes = hub.load(entry).checkpoint.notes
    run = notes["training"]
    losses = ", ".join(f"{term} {loss:.3g}" for term, loss in run["losses"].items())
    recipe = run["settings"]
    return described(
        f"{entry.title}, in a fraction of a second.",
        style,
        f"A network of width {recipe['network']['width']}, trained here on {run['photos']} photos: "
        f"{run['iterations']} steps of {recipe['data']['batch']} crops in "
        f"{duration(run['seconds'])}{_before(notes)}, against "
        f"{NETWORKS[recipe['backbone']['network']].title}. Final losses: {losses}.",
        f"{_beside(entry)} Press Refine to let the optimization go on from this result.",
    )


def _before(notes: Mapping[str, Any]) -> str:
    before = notes.get("before", NOTHING)
    if not before["iterations"]:
        return ""
    return f", after {before['iterations']} that ended with {before['style']}"


def _beside(entry: hub.Entry) -> str:
    """Its scores in the gallery, as shares of the default preset's."""
    scores = json.loads(example(entry.name).with_suffix(".json").read_text("utf-8"))["scores"]
    instant, painted = scores["instant"], scores[DEFAULT_PRESET]
    style, content = (f"{instant[term] / painted[term]:.2f}" for term in ("style", "content"))
    return (
        f"Beside the preset {get(DEFAULT_PRESET).title}, its style loss is {style} and its "
        f"content loss {content} times as large."
    )


async def fetched(text: str) -> AsyncIterator[str | hub.Loaded]:
    """Progress of a download as HTML while there is one, and in the end the network."""
    entry = await to_thread.run_sync(hub.offered, text)
    if hub.cached(entry):
        yield await to_thread.run_sync(hub.load, entry)
        return
    news: SimpleQueue[Any] = SimpleQueue()

    def work() -> None:
        try:
            news.put(hub.load(entry, lambda done, total: news.put((done, total))))
        except Exception as error:  # raised again by whoever waits
            news.put(error)

    threading.Thread(target=work, daemon=True).start()
    yield bar(0, f"Downloading {entry.title} …")
    heard = time.monotonic()
    while True:
        if news.empty():
            if time.monotonic() - heard > PATIENCE:
                raise hub.HubProblem(
                    f"Nothing came of {entry.title} for {PATIENCE} seconds. Try again later; the "
                    "bundled styles need no network."
                )
            await asyncio.sleep(LOOK)
            continue
        heard = time.monotonic()
        found = news.get()
        while isinstance(found, tuple) and not news.empty():
            found = news.get()  # only the newest counts
        if isinstance(found, Exception):
            raise found
        if isinstance(found, hub.Loaded):
            yield found
            return
        done, total = found
        share = done / total if total else 0
        yield bar(share, f"Downloading {entry.title}: {done / 1e6:.1f} of {total / 1e6:.1f} MB")


def words(text: str) -> str:
    """What a finished result says above it, as HTML."""
    return f"<p><b>{literal(text)}</b></p>"


def shown(run: Run, result: Result, report: RunReport, label: str) -> Iterator[tuple[Any, ...]]:
    """The page's outputs for a result in one pass, unless the visitor has chosen something else."""
    name = label.replace("/", "-").replace(":", "-")
    folder = run.folder()
    png, notes = folder / f"{name}.png", folder / f"{name}.json"
    kept = report.as_dict()
    save_png(result.picture, png, kept)
    with whole(notes) as new:
        new.write_text(json.dumps(kept, indent=2, ensure_ascii=False), "utf-8")
    if run.over:
        return
    pair = (result.photo, result.picture)
    files = (gr.DownloadButton(value=str(path), interactive=True) for path in (png, notes))
    no_lapse = gr.DownloadButton(value=None, interactive=False)
    yield words(summary(report)), str(png), pair, plot([]), kept, *files, no_lapse, gr.skip()
