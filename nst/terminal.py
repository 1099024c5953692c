"""What all commands share: errors as sentences, pictures by name or file, outputs checked."""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import typer
from PIL.Image import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from nst.images import open_picture
from nst.names import Problem, UnknownName, suggest
from nst.presets import Credit
from nst.recipe import BadSetting

console = Console(stderr=True, highlight=False, markup=False)  # paths may look like markup


class BadOutput(Problem):
    """A file that cannot be written."""


def errors_are_sentences(command: Callable[..., None]) -> Callable[..., None]:
    """The command, ending with a sentence and status 2 over whatever a user got wrong."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except Problem as error:
            sentence = str(error)
        except OSError as error:  # such as a full disk
            sentence = f"{error.filename or 'A file'} could not be written: {error.strerror}."
        else:
            return
        console.print(f"Error: {sentence}", style="red", soft_wrap=True)
        raise typer.Exit(2)

    return wrapped


def open_named(source: str, bundled: Mapping[str, Credit]) -> Image:
    """A bundled picture by its name, or a file. Raises `BadPicture` and `UnknownName`."""
    if source in bundled:
        return open_picture(bundled[source].path)
    if not Path(source).exists() and not Path(source).suffix:
        raise UnknownName(
            f"`{source}` does not exist and is no bundled picture. {suggest(source, bundled)}"
        )
    return open_picture(source)


def check_output(path: Path | None, suffix: str, sources: list[str]) -> None:
    """Before the run, not after it. Raises `BadOutput`."""
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise BadOutput(f"`{path}` must end with {suffix}.")
    if not path.parent.is_dir():
        raise BadOutput(f"The folder `{path.parent}` does not exist. Make it first.")
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError:
        raise BadOutput(f"`{path}` cannot be written. Choose another place.") from None
    if not existed:
        path.unlink(missing_ok=True)  # another process of a training may look at the same time
    if any(Path(s).exists() and path.exists() and path.samefile(s) for s in sources):
        raise BadOutput(f"`{path}` is one of the pictures that go in. Choose another name.")


def progress_bar(disable: bool = False) -> Progress:
    """A bar with a description before it and a `status` after it, gone when it is done."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(20),
        TextColumn("{task.completed}/{task.total} {task.fields[status]}", markup=False),
    )
    hidden = disable or not console.is_terminal
    return Progress(*columns, console=console, transient=True, disable=hidden)


def changed_settings(texts: list[str]) -> dict[str, str]:
    """The settings in `--set KEY=VALUE`, by dotted name. Raises `BadSetting`."""
    changes = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadSetting(f"`--set {text}` needs the form key=value, such as seed=3.")
        changes[key.strip()] = value.strip()
    return changes
