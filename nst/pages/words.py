"""Text that is not ours, as the pages may show it."""

import html
import re
import traceback
import unicodedata
from pathlib import Path

import gradio as gr

from nst.names import Problem

MOST = 600  # letters of a text from outside that a page shows
# Controls, and marks that turn the direction of what stands beside them.
UNSHOWN = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def literal(text: object) -> str:
    """Any text as HTML that shows it letter by letter, in one line of at most `MOST` letters.

    For what stands between tags, never inside one. Everything from an address, a file, its name, a
    checkpoint's notes or a setting passes here before a page or a note in its corner shows it.
    """
    line = " ".join(UNSHOWN.sub("", str(text)).split())
    line = "".join(c for c in line if unicodedata.category(c) != "Cc")
    short = line if len(line) <= MOST else line[:MOST] + "…"
    return html.escape(short, quote=False)


def sentence(error: Problem) -> str:
    """What it says, for places that show no Markdown."""
    return re.sub("`([^`]*)`", r"“\1”", str(error))


def refusal(error: Problem, title: str = "This cannot be painted") -> gr.Error:
    """A note in the corner of the page, which takes HTML."""
    return note(sentence(error), title)


def note(words: str, title: str) -> gr.Error:
    """A note that shows any text letter by letter and leaves no traceback in the log."""
    return gr.Error(literal(words), title=title, print_exception=False)


def failed() -> gr.Error:
    """A note for what went wrong here, not with the visitor."""
    return note("Something went wrong here. Please try again.", "This did not work")


def where(error: BaseException) -> str:
    """Kind and place of an error for the log, without its words, which may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
