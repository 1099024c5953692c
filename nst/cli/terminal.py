"""What all commands share: errors as sentences, pictures by name or file, outputs checked."""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import typer
from PIL.Image import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from nst.files import BadOutput, check_writable, reason
from nst.names import Problem, UnknownName, suggest
from nst.pictures.images import open_picture
from nst.pictures.limits import OWN_FILE
from nst.settings.base import BadSetting
from nst.settings.catalog import Credit

console = Console(stderr=True, highlight=False, markup=False)  # paths may look like markup


def errors_are_sentences(command: Callable[..., None]) -> Callable[..., None]:
    """The command, ending with a sentence and status 2 over whatever a user got wrong."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except Problem as error:
            sentence = str(error)
        except BrokenPipeError:  # who reads has had enough
            raise
        except OSError as error:  # such as a folder that may not be read
            what = f"`{error.filename}` cannot be used" if error.filename else "The system refuses"
            sentence = f"{what}: {reason(error)}."
        except MemoryError:
            sentence = "There is not enough memory. A smaller size needs less."
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
    return open_picture(source, limits=OWN_FILE)


def check_output(path: Path | None, suffix: str, sources: list[str]) -> None:
    """Looks at an output before the run, not after it. Raises `BadOutput`."""
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise BadOutput(f"`{path}` must end with {suffix}.")
    if path.parent.is_file():
        raise BadOutput(f"`{path.parent}` is a file, not a folder. Choose another.")
    if not path.parent.is_dir():
        raise BadOutput(f"The folder `{path.parent}` does not exist. Make it first.")
    check_writable(path)
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
