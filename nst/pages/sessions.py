"""Who is there: browser tabs and programs, what they listen to, and since when they are away."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import gradio as gr

LOST = 60.0  # seconds in which a tab whose connection was lost may come back
LEFT = 8.0  # … and one that said good-bye, since a page that is loaded anew says it, too
NEVER_HEARD = 10.0  # seconds in which somebody must begin to listen to what was asked for
FORGOTTEN = 90.0  # seconds after which nothing of an absent session is kept


@dataclass(frozen=True)
class Visitor:
    """Whose work it is: a browser tab, however often it was loaded, or a program's session."""

    owner: str
    session: str
    address: str


@dataclass
class _Session:
    owner: str
    since: float
    streams: Counter[str] = field(default_factory=Counter)  # open ones: `heartbeat`, `answers`
    heard: float | None = None  # when somebody last listened to answers
    present: float = 0.0  # when any stream was last open
    left: float | None = None


class Sessions:
    """All sessions with the streams that they hold open. Times are seconds of `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody is there yet."""
        self._now = clock
        self._known: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def visitor(self, request: gr.Request) -> Visitor:
        """Who asks."""
        session = str(request.session_hash)
        host = getattr(request.client, "host", None) if request.client else None
        with self._lock:
            return Visitor(self._of(session).owner, session, str(host or ""))

    def arrive(self, session: str, tab: str) -> None:
        """A page was loaded in a tab, which may have been here before."""
        with self._lock:
            found = self._of(session)
            found.owner = tab or session
            for other in self._known.values():
                if other.owner == found.owner:
                    other.left = None

    def leave(self, session: str) -> None:
        """A page was closed, or is being loaded anew."""
        with self._lock:
            if session in self._known:
                self._known[session].left = self._now()

    @contextmanager
    def stream(self, session: str, kind: str) -> Iterator[None]:
        """While a stream is open."""
        with self._lock:
            found = self._of(session)
            found.streams[kind] += 1
            self._mark(found)
        try:
            yield
        finally:
            with self._lock:
                self._mark(found)
                found.streams[kind] -= 1

    def abandoned(self, owner: str, asked: float) -> bool:
        """Whether nobody waits any more for what an owner asked for at the time `asked`."""
        now = self._now()
        with self._lock:
            own = [session for session in self._known.values() if session.owner == owner]
            if any(session.streams["answers"] and session.left is None for session in own):
                return False
            left = [session.left for session in own if session.left is not None]
            heard = [s.heard for s in own if s.heard is not None and s.heard >= asked]
        if left and now - max(left) > LEFT:
            return True
        if not heard:
            return now - asked > NEVER_HEARD
        return now - max(heard) > LOST

    def present(self) -> list[str]:
        """Sessions with an open stream."""
        with self._lock:
            return [name for name, found in self._known.items() if +found.streams]

    def meet(self, names: Iterable[str]) -> None:
        """Sessions that somebody else knows of, so that they are forgotten in time."""
        with self._lock:
            for name in names:
                self._of(name)

    def names(self) -> set[str]:
        """All sessions that are known."""
        with self._lock:
            return set(self._known)

    def owners(self) -> set[str]:
        """All who are known."""
        with self._lock:
            return {found.owner for found in self._known.values()}

    def forget(self) -> dict[str, bool]:
        """Removes the sessions that have been away for long.

        Returns their names, and whether each had said good-bye.
        """
        now = self._now()
        with self._lock:
            gone = [name for name, found in self._known.items() if self._is_gone(found, now)]
            return {name: self._known.pop(name).left is not None for name in gone}

    def now(self) -> float:
        """The time that `abandoned` takes."""
        return self._now()

    def _is_gone(self, found: _Session, now: float) -> bool:
        if +found.streams:
            return False
        patience = FORGOTTEN if found.left is None else LEFT
        return now - max(found.present, found.since, found.left or 0) > patience

    def _of(self, session: str) -> _Session:
        if session not in self._known:
            self._known[session] = _Session(session, self._now())
        return self._known[session]

    def _mark(self, found: _Session) -> None:
        found.present = self._now()
        if found.streams["answers"]:
            found.heard = found.present
