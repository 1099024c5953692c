"""A run on the page: the picture while it is painted, and everything a finished one leaves."""

import json
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import pandas as pd

from nst.images import resized, save_png, save_time_lapse
from nst.outputs import TimeLapse, curve, report, summary
from nst.pages.parts import status
from nst.steps import Result, Step

PREVIEW_SECONDS = 0.4  # between two pictures sent to the browser


class Runs:
    """The runs going on, by browser session, so that Stop reaches the right one."""

    def __init__(self) -> None:
        """No runs yet."""
        self._stops: dict[str, threading.Event] = {}
        self._turns: dict[str, object] = {}

    def begin(self, request: gr.Request) -> None:
        """A run is about to wait for its turn."""
        self._stops[str(request.session_hash)] = threading.Event()

    def of(self, request: gr.Request) -> threading.Event | None:
        """The session's run: an event that is set when it shall stop."""
        return self._stops.get(str(request.session_hash))

    def stop(self, request: gr.Request) -> None:
        """Ends the session's run after its present step."""
        if found := self.of(request):
            found.set()

    def end(self, request: gr.Request) -> None:
        """The session has no run any more."""
        self._stops.pop(str(request.session_hash), None)

    def finish(self, request: gr.Request, run: threading.Event | None) -> None:
        """This run is over; another that the session began since goes on."""
        if self.of(request) is run:
            self.end(request)

    def turn(self, request: gr.Request) -> object:
        """What the visitor wants to see changes: a slow download must not overtake it."""
        token = self._turns[str(request.session_hash)] = object()
        return token

    def overtaken(self, request: gr.Request, token: object) -> bool:
        """Whether the visitor has chosen something else since."""
        return self._turns.get(str(request.session_hash)) is not token

    def leave(self, request: gr.Request) -> None:
        """The visitor is gone."""
        self.stop(request)
        self.end(request)
        self._turns.pop(str(request.session_hash), None)


def watched(
    steps: Iterator[Step],
    size: tuple[int, int],
    lapse: TimeLapse,
    stopped: Callable[[], bool],
    sources: tuple[str, str, str],
    label: str,
) -> Iterator[tuple[Any, ...]]:
    """The page's outputs while the run goes on, and after it."""
    unchanged = gr.skip()
    due = 0.0
    for step in steps:
        lapse.see(step)
        if step.result or stopped():
            break
        if step.seconds >= due:
            due = step.seconds + PREVIEW_SECONDS
            tab = gr.Tabs(selected="result") if step.index == 1 else unchanged
            yield status(step), resized(step.picture(), size), *(unchanged,) * 6, tab
    result = step.result or step.finish()
    steps.close()
    yield from _finished(result, step, lapse, sources, label)


def _finished(
    result: Result, step: Step, lapse: TimeLapse, sources: tuple[str, str, str], label: str
) -> Iterator[tuple[Any, ...]]:
    kept = report(result, *sources)
    if not step.result:
        done = f"Stopped at step {step.index} of {step.total}: {summary(kept)}"
    else:
        done = f"Done: {summary(kept)}"
    words = f"<p><b>{done}</b></p><p class='hint'>{result.warning}</p>"
    with TemporaryDirectory() as folder:
        png, settings, webp = (Path(folder, f"{label}.{kind}") for kind in ("png", "json", "webp"))
        save_png(result.picture, png, kept)
        settings.write_text(json.dumps(kept, indent=2, ensure_ascii=False), "utf-8")
        # A picture would be written anew with each answer, while the browser reads it.
        before = Path(folder, f"{label}-before.jpg")
        result.photo.save(before, quality=92)
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
