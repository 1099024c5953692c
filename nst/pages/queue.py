"""Painting for visitors: each queue paints one run after the other, whether somebody looks or not.

Events follow a run; a connection that is lost ends the following, not the run.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import gradio as gr
from anyio import to_thread

from nst.engines.estimate import duration
from nst.names import Problem
from nst.pages.runs import Outputs, Run, Steps
from nst.pages.sessions import Sessions, Visitor
from nst.pages.words import failed, note

CLEARING = 2.0  # seconds between two looks at who has left the queue
PULSE = 0.1  # seconds between two looks at a run


class Busy(Problem):
    """No place for another run now; the message says when to come back."""


@dataclass(frozen=True)
class Bounds:
    """How many runs may wait in all, and how many one visitor and one address may have there."""

    waiting: int
    of_owner: int
    of_address: int


class PaintQueue:
    """One thread that paints what waits, one run after the other."""

    def __init__(
        self,
        name: str,
        bounds: Bounds,
        sessions: Sessions,
        folder: Callable[[], Path],
        niceness: int = 0,
        favor: float = 0.0,
    ) -> None:
        """Begins at once; a larger `niceness` leaves the processors to others.

        A run waits as if it had been asked for `favor` times its own seconds later, so that short
        ones need not wait for all the long ones.
        """
        self.bounds, self.sessions, self.favor = bounds, sessions, favor
        self._folder = folder
        self._waiting: list[tuple[Run, Steps]] = []
        self._painting: Run | None = None
        self._latest: dict[tuple[str, str], Run] = {}
        self._changed = threading.Condition(threading.RLock())
        self._closed = False
        self._thread = threading.Thread(target=self._work, args=(niceness,), name=name, daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether anything is being painted."""
        return self._painting is not None

    def begin(self, request: gr.Request, page: str, outputs: int) -> Run:
        """A run of the visitor on a page, which takes the place of an earlier one."""
        run = Run(self.sessions.visitor(request), page, outputs, self._folder)
        with self._changed:
            self._latest[run.visitor.owner, page] = run
        return run

    def claim(self, request: gr.Request, page: str, outputs: int) -> Run:
        """The run that the visitor has just begun there, or a new one, for one event alone."""
        with self._changed:
            run = self.of(request, page)
            if run is None or run.state != "asked for":
                run = self.begin(request, page, outputs)
            run.state = "planned"
            return run

    def of(self, request: gr.Request, page: str) -> Run | None:
        """The visitor's newest run on a page, also if it has ended."""
        return self._latest.get((self.sessions.visitor(request).owner, page))

    def going_on(self, request: gr.Request, page: str) -> bool:
        """Whether the visitor's newest run on a page has not ended."""
        run = self.of(request, page)
        return run is not None and not run.ended

    def unseen(self, request: gr.Request, page: str) -> Run | None:
        """The visitor's newest run on a page, unless its end has been seen."""
        run = self.of(request, page)
        return run if run and run.joined and not run.delivered else None

    def stop(self, request: gr.Request, page: str) -> None:
        """Ends the visitor's runs on a page: at once where they wait, else after a step."""
        owner = self.sessions.visitor(request).owner
        with self._changed:
            for run in [*self._runs(), *filter(None, [self._latest.get((owner, page))])]:
                if (run.visitor.owner, run.page) == (owner, page):
                    run.stop()
            self._clear()

    def drop(self, request: gr.Request, page: str) -> None:
        """Ends them, and forgets what they have shown."""
        self.stop(request, page)
        with self._changed:
            self._latest.pop((self.sessions.visitor(request).owner, page), None)

    def join(self, run: Run, seconds: float, steps: Steps) -> None:
        """A place in the queue for a run that takes about `seconds`. Raises `Busy`."""
        run.asked, run.seconds = self.sessions.now(), seconds
        run.abandoned = lambda: self.sessions.abandoned(run.visitor.owner, run.asked)
        with self._changed:
            self._clear()
            self._refuse(run.visitor)
            run.state = "waiting"
            self._waiting.append((run, steps))
            self._waiting.sort(key=lambda entry: self._due(entry[0]))
            self._changed.notify_all()

    def place(self, run: Run) -> tuple[int, float]:
        """How many are before a waiting run, and the seconds that they will take."""
        with self._changed:
            before = list(takewhile(lambda other: other is not run, self._runs()))
        return len(before), sum(other.seconds for other in before)

    def forget_all_but(self, owners: set[str]) -> None:
        """Drops what ended runs of others have left, files that nobody has seen included."""
        with self._changed:
            for key, run in list(self._latest.items()):
                if key[0] not in owners and run.state not in ("waiting", "painting"):
                    self._latest.pop(key).discard()

    def close(self, patience: float) -> bool:
        """Ends all runs; whether the thread was done within `patience` seconds."""
        with self._changed:
            self._closed = True
            for run in self._runs():
                run.stop()
            self._changed.notify_all()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _due(self, run: Run) -> float:
        return run.asked + self.favor * run.seconds

    def _runs(self) -> list[Run]:
        painting = [self._painting] if self._painting else []
        return painting + [run for run, _ in self._waiting]

    def _clear(self) -> None:
        """Nobody waits behind what will not be painted."""
        for run, steps in list(self._waiting):
            if run.over:
                self._waiting.remove((run, steps))
                run.state = "ended"

    def _refuse(self, visitor: Visitor) -> None:
        runs, left = self._runs(), [run.seconds for run in self._runs()]
        own = [run.visitor for run in runs]
        if self._closed:
            raise Busy("The server is being restarted. Please try again in a minute.")
        if sum(v.owner == visitor.owner for v in own) >= self.bounds.of_owner:
            raise Busy(
                "You have one picture being painted and one waiting already. Stop one, or come "
                f"back in about {duration(_soon(left))}."
            )
        if sum(v.address == visitor.address for v in own) >= self.bounds.of_address:
            raise Busy(
                f"{self.bounds.of_address} pictures of your address are being painted or wait "
                f"already. Please come back in about {duration(_soon(left))}."
            )
        if len(self._waiting) >= self.bounds.waiting:
            raise Busy(
                f"{len(self._waiting)} visitors wait already. Please come back in about "
                f"{duration(_soon(left))}."
            )

    def _work(self, niceness: int) -> None:
        # Of this thread alone, and of those that torch starts from it.
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        while self._paint_next():
            pass

    def _paint_next(self) -> bool:
        """Paints what is first; whether the queue goes on. Nothing of it is kept afterwards."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, CLEARING)
            self._clear()
            if not self._waiting:
                return not self._closed
            run, steps = self._waiting.pop(0)
            self._painting, run.state = run, "painting"
        try:
            for outputs in steps(run):
                run.show(outputs)
        except Exception as error:
            run.fail(error)
        with self._changed:
            self._painting, run.state = None, "ended"
        return True


def _soon(seconds: Sequence[float]) -> float:
    """When the first of some runs will have ended, and not at once."""
    return max(5.0, seconds[0] if seconds else 0.0)


async def painted(
    queue: PaintQueue,
    run: Run,
    plan: Callable[[], tuple[float, Steps]],
    unpainted: Any,
) -> AsyncIterator[Outputs]:
    """What a run shows that joins the queue with the seconds and the steps of its `plan`.

    `unpainted` are the words for one that ended before it began. Raises a note for the page, after
    saying the same in the line of words.
    """
    try:
        queue.join(run, *await to_thread.run_sync(plan))
    except Exception as error:
        run.fail(error)
    except BaseException:  # the event was cancelled
        run.stop()
        run.state = "ended"
        raise
    async for outputs in follow(queue, run, unpainted):
        yield outputs


async def follow(queue: PaintQueue, run: Run, unpainted: Any) -> AsyncIterator[Outputs]:
    """What a run shows, from its beginning to its end; while it waits, its place.

    The first output is the line of words. What ended the run is said there, then raised as a note.
    """
    seen, said = 0, waits(0, 0.0)
    while True:
        ended = run.ended  # looked at first: what was shown before the end is not missed
        newest, news = run.since(seen)
        if run.state == "waiting" and (words := waits(*queue.place(run))) != said:
            said = words
            yield words, *news[1:]
        if newest > seen:
            seen = newest
            yield news
        if ended:
            break
        await asyncio.sleep(PULSE)
    run.delivered = True
    if run.fault is not None:
        found = note(run.fault, "This cannot be painted") if run.fault else failed()
        yield f"<p><b>⚠ {found.message}</b></p>", *news[1:]
        raise found
    if not seen:
        yield unpainted, *news[1:]
    run.forget()


NEVER_BEGAN = "<p><b>Stopped before it began.</b></p>"


def waits(before: int, seconds: float) -> str:
    """The place of a run that waits, as HTML."""
    if not before:
        return "<p><b>Starting …</b></p>"
    others = "1 picture is" if before == 1 else f"{before} pictures are"
    return (
        f"<p><b>Waiting: {others} before yours, about {duration(max(1, seconds))}.</b></p>"
        "<p class='hint'>One picture is painted at a time. Stop gives the place back.</p>"
    )
