"""Look-up by name, with the close match in the error, and how errors are worded."""

import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

T = TypeVar("T")


UNSEEN = ("Cc", "Cf", "Cs")  # categories of Unicode: control, format, half a character


def printable(text: str) -> str:
    """The text with its control characters written as escapes, such as `\\x1b`.

    A terminal would obey them, and half a character cannot be printed at all.
    """
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in UNSEEN else c
        for c in text
    )


class Problem(ValueError):
    """What a user can mend; the message says what was wrong with which input, and what works.

    It may quote what strangers wrote, so it never has control characters.
    """

    def __init__(self, message: str) -> None:
        """With the sentence that users read."""
        super().__init__(printable(message))


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
