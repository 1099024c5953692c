"""Look-up by name, with the close match in the error, and how errors are worded."""

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from reprlib import repr as shortened
from typing import Any, TypeVar

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

    It may quote what strangers wrote, so it never has control characters. `field` is the dotted
    name of the input that it is about, empty where it is about none or several.
    """

    def __init__(self, message: str, field: str = "") -> None:
        """Keeps the sentence that users read, and the field."""
        super().__init__(printable(message))
        self.field = field


@contextmanager
def about(field: str, unless: Collection[str] = ()) -> Iterator[None]:
    """Problems raised inside are about this input, except those that already are of `unless`."""
    try:
        yield
    except Problem as error:
        if error.field not in unless:
            error.field = field
        raise


# Where pydantic's own words are of its library, not of the input: by the kind of error.
WANTED: Mapping[str, str] = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "it must be a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "it must be a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "it must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "it must be a list"),
    **dict.fromkeys(("model_type", "dict_type", "model_attributes_type"), "it must be a table"),
    "string_type": "it must be a text",
    "too_short": "at least {min_length} would work",
    "too_long": "at most {max_length} would work",
}


def field_of(problem: Mapping[str, Any]) -> str:
    """The dotted name that one of pydantic's errors is about."""
    return ".".join(map(str, problem["loc"]))


def sentence(problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors as users read it, such as "`size` is 5: it must be …"."""
    name = f"`{field_of(problem)}`" if problem["loc"] else "it"
    if problem["type"] == "missing":
        return f"{name} is missing."
    ours = WANTED.get(problem["type"])
    theirs = problem["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    wanted = ours.format(**problem.get("ctx", {})) if ours else theirs
    return f"{name} is {shortened(problem['input'])}: {wanted}."


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
