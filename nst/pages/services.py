"""What all events share while the app runs: storage, sessions and the two queues."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nst.names import Problem
from nst.pages.queue import Bounds, PaintQueue
from nst.pages.sessions import Sessions
from nst.pages.storage import Storage

RUNS_PER_ADDRESS = "NST_RUNS_PER_ADDRESS"
WAITING = 8  # runs that may wait, each of which takes from seconds to minutes
WAITING_AT_ONCE = 40  # results in one pass, each of which takes about a second
PER_OWNER, PER_ADDRESS = 2, 4
AT_ONCE_FACTOR = 4  # results in one pass that an address may ask for, for each of its runs
FAVOR = 3.0  # of results in one pass: a trained style takes a tenth of some methods' time
NICE, NICER = 5, 15  # of results in one pass, and of runs; answers come before both


class BadVariable(Problem):
    """An environment variable that cannot be used; the message says what would work."""


@dataclass(frozen=True)
class Services:
    """One of each in a process."""

    storage: Storage
    sessions: Sessions
    runs: PaintQueue
    at_once: PaintQueue

    def close(self, patience: float = 8.0) -> bool:
        """Ends all runs and removes all files; whether every run ended in time."""
        for queue in (self.at_once, self.runs):
            queue.close(0)
        ended = [queue.close(patience) for queue in (self.at_once, self.runs)]
        self.storage.close()
        return all(ended)


def services(parent: Path, variables: Mapping[str, str] = os.environ) -> Services:
    """New ones, with their files below `parent`. Raises `NoStorage` and `BadVariable`."""
    per_address = _per_address(variables)
    storage, sessions = Storage(parent), Sessions()
    queue = partial(PaintQueue, sessions=sessions, folder=storage.run_folder)
    at_once = Bounds(WAITING_AT_ONCE, PER_OWNER, AT_ONCE_FACTOR * per_address)
    return Services(
        storage,
        sessions,
        queue("runs", Bounds(WAITING, PER_OWNER, per_address), niceness=NICER),
        queue("at once", at_once, niceness=NICE, favor=FAVOR),
    )


def _per_address(variables: Mapping[str, str]) -> int:
    text = variables.get(RUNS_PER_ADDRESS, str(PER_ADDRESS))
    if not (text.isdecimal() and int(text)):
        raise BadVariable(f"`{RUNS_PER_ADDRESS}` is `{text}`: a whole number above 0 works.")
    return int(text)
