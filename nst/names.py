"""Look-up by name, with the close match in the error."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


class Problem(ValueError):
    """What a user can mend; the message says what was wrong with which input, and what works."""


class UnknownName(Problem):
    """A name that a table does not have. The message offers the closest one."""


def suggest(name: str, known: Iterable[str]) -> str:
    """One sentence that offers the closest of `known`, or all of them where none is close."""
    known = sorted(known)
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"Did you mean `{close[0]}`?" if close else f"Known: {', '.join(known)}."


def pick(kind: str, name: str, table: Mapping[str, T]) -> T:
    """The entry `name` of `table`. Raises `UnknownName`, which says what `kind` of thing it was."""
    if name not in table:
        raise UnknownName(f"Unknown {kind} `{name}`. {suggest(name, table)}")
    return table[name]
