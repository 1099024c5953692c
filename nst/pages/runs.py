"""A run of one visitor: what it shows, whoever looks, until it ends."""

import logging
import math
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from nst.names import Problem
from nst.pages.sessions import Visitor
from nst.pages.words import sentence, where

Outputs = tuple[Any, ...]
SKIP = gr.skip()
LOG = logging.getLogger("nst.pages")


class Run:
    """One visitor's work on one page: asked for, waiting, being painted, ended.

    It remembers what each output shows, so that whoever comes back sees all of it.
    """

    def __init__(
        self, visitor: Visitor, page: str, outputs: int, folder: Callable[[], Path]
    ) -> None:
        """Asked for, without a place in a queue."""
        self.visitor, self.page = visitor, page
        self.asked = math.inf  # when it joined a queue: never, so far
        self.seconds = 0.0  # foreseen, of what is left
        self.state = "asked for"
        self.fault: str | None = None  # why it failed; empty where that is nobody's business
        self.delivered = False  # to its end, to somebody who followed it
        self.abandoned: Callable[[], bool] = lambda: False
        self._folder = folder
        self._files: Path | None = None
        self._stopped = threading.Event()
        # The change that gave it, and the value.
        self._shown: list[tuple[int, Any]] = [(0, SKIP)] * outputs
        self._change = 0
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Ends it after its present step."""
        self._stopped.set()

    @property
    def over(self) -> bool:
        """Whether it shall end after its present step."""
        return self._stopped.is_set() or self.abandoned()

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state == "ended"

    @property
    def joined(self) -> bool:
        """Whether it has ever had a place in a queue."""
        return self.asked < math.inf

    def fail(self, error: Exception) -> None:
        """Ends it; whoever follows hears why, and nothing else of the error is kept."""
        if not isinstance(error, Problem):
            LOG.error("A run failed: %s", where(error))
        self.fault = sentence(error) if isinstance(error, Problem) else ""
        self.state = "ended"

    def folder(self) -> Path:
        """Where files lie that must last as long as somebody may come back."""
        if self._files is None:
            self._files = self._folder()
        return self._files

    def discard(self) -> None:
        """Removes its files, unless they were delivered: whoever has them may still use them."""
        if self._files and not self.delivered:
            shutil.rmtree(self._files, ignore_errors=True)

    def show(self, outputs: Outputs) -> None:
        """Changes what the page shows; `gr.skip()` leaves an output as it is."""
        with self._lock:
            self._change += 1
            for place, value in enumerate(outputs):
                if not _is_skip(value):
                    self._shown[place] = (self._change, value)

    def forget(self) -> None:
        """Keeps no pictures any more."""
        with self._lock:
            self._shown = [(0, SKIP)] * len(self._shown)

    def since(self, change: int) -> tuple[int, Outputs]:
        """The newest change, and what has changed since another."""
        with self._lock:
            news = tuple(value if at > change else SKIP for at, value in self._shown)
            return self._change, news


def _is_skip(value: Any) -> bool:
    return isinstance(value, dict) and value == SKIP


Steps = Callable[[Run], Iterator[Outputs]]
