"""What a run shows: the picture while it is painted, and everything a finished one leaves."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pandas as pd

from nst.engines.outputs import TimeLapse, curve, summary
from nst.files import whole
from nst.pages.parts import status
from nst.pages.runs import Run
from nst.pages.words import literal
from nst.pictures.images import resized, save_picture, save_png, save_time_lapse
from nst.report import RunReport
from nst.steps import Result, Step

PREVIEW_SECONDS = 0.4  # between two pictures sent to the browser


def watched(
    run: Run,
    steps: Iterator[Step],
    size: tuple[int, int],
    lapse: TimeLapse,
    sign: Callable[[RunReport], RunReport],
    label: str,
) -> Iterator[tuple[Any, ...]]:
    """The page's outputs while the run goes on, and after it."""
    unchanged = gr.skip()
    due = 0.0
    for step in steps:
        lapse.see(step)
        run.seconds = step.seconds_left
        if step.result or run.over:
            break
        if step.seconds >= due:
            due = step.seconds + PREVIEW_SECONDS
            tab = gr.Tabs(selected="result") if step.index == 1 else unchanged
            yield status(step), resized(step.picture(), size), *(unchanged,) * 6, tab
    result = step.result or step.finish()
    steps.close()
    yield from _finished(run, result, step, lapse, sign, label)


def _finished(
    run: Run,
    result: Result,
    step: Step,
    lapse: TimeLapse,
    sign: Callable[[RunReport], RunReport],
    label: str,
) -> Iterator[tuple[Any, ...]]:
    report = sign(result.report)
    kept = report.as_dict()
    if not step.result:
        done = f"Stopped at step {step.index} of {step.total}: {summary(report)}"
    else:
        done = f"Done: {summary(report)}"
    words = f"<p><b>{literal(done)}</b></p><p class='hint'>{literal(report.warning)}</p>"
    folder = run.folder()
    png, settings, webp = (folder / f"{label}.{kind}" for kind in ("png", "json", "webp"))
    save_png(result.picture, png, kept)
    with whole(settings) as new:
        new.write_text(json.dumps(kept, indent=2, ensure_ascii=False), "utf-8")
    # A picture would be written anew with each answer, while the browser reads it.
    before = folder / f"{label}-before.jpg"
    save_picture(result.photo, before, quality=92)
    pair = str(before), str(png)
    shown = (words, str(png), pair, plot(curve(result.history)))
    tab = gr.Tabs(selected="compare")
    files = (str(png), str(settings))
    yield *shown, kept, *files, gr.skip(), tab
    lapse.add(result.picture)
    save_time_lapse(lapse.frames, webp)
    yield *shown, kept, *files, str(webp), gr.skip()  # all of it: programs read the last answer


def plot(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Loss curves as the page's plot takes them, which has no logarithmic axis."""
    rows = [row for row in rows if row["loss"] > 0]  # the photo itself has no content loss
    frame = pd.DataFrame(rows, columns=["step", "term", "loss"])
    frame["log10 of the loss"] = [math.log10(loss) for loss in frame.pop("loss")]
    return frame
