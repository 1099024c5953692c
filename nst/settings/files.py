"""The one reader of TOML: whatever is wrong with a file, the message names it and the key."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from nst.names import Problem, suggest

Model = TypeVar("Model", bound=BaseModel)


class BadFile(Problem):
    """A data file that cannot be used; the message names the file and the key."""


class Readable(Protocol):
    """Settings that are read from nested tables."""

    def read(self, tree: Mapping[str, object]) -> Any:
        """Settings. Raises `BadSetting`."""


@contextmanager
def named(path: Path, entry: str = "") -> Iterator[None]:
    """Whatever is wrong in here is wrong with this file, or an entry of it. Raises `BadFile`."""
    place = f"{path.name}, `{entry}`" if entry else path.name
    try:
        yield
    except BadFile:
        raise
    except OSError as error:
        raise BadFile(f"{place}: {error.strerror}.") from None
    except ValidationError as error:
        raise BadFile(f"{place}: {_first(error)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadFile(f"{place}: {error}.") from None
    except Problem as error:
        raise BadFile(f"{place}: {error}") from None


def table(path: Path) -> dict[str, Any]:
    """All of a file. Raises `BadFile`."""
    with named(path):
        return tomllib.loads(path.read_text("utf-8"))


def read(path: Path, kind: type[Model], **settings: Readable) -> Model:
    """A file as `kind`; its tables named in `settings` are read by these classes.

    Where `kind` has a name, it is the file's. Raises `BadFile`.
    """
    tree = table(path)
    with named(path):
        if "name" in kind.model_fields:
            if "name" in tree:
                raise Problem("the name is the file's; remove `name`.")
            tree["name"] = path.stem
        for key, reader in settings.items():
            if not isinstance(tree.get(key, {}), dict):
                raise Problem(f"`{key}` must be a table of settings.")
            tree[key] = reader.read(tree.get(key, {}))
        return _entry(kind, tree)


def entries(path: Path, key: str, kind: type[Model]) -> list[Model]:
    """Every `[[key]]` of a file as `kind`. Raises `BadFile`."""
    return [checked(path, kind, tree) for tree in tables(path, key)]


def tables(path: Path, key: str) -> list[dict[str, Any]]:
    """Every `[[key]]` of a file. Raises `BadFile`."""
    found = table(path).get(key)
    if not (isinstance(found, list) and found and all(isinstance(one, dict) for one in found)):
        raise BadFile(f"{path.name}: there is no `[[{key}]]`.")
    return found


def checked(path: Path, kind: type[Model], tree: Mapping[str, Any]) -> Model:
    """A table of a file as `kind`. Raises `BadFile`, which says which of them it was."""
    with named(path, str(tree.get("name") or tree.get("title") or tree.get("file") or "")):
        return _entry(kind, tree)


def _entry(kind: type[Model], tree: Mapping[str, Any]) -> Model:
    for key in tree:
        if kind.model_config.get("extra") == "forbid" and key not in kind.model_fields:
            raise Problem(f"Unknown key `{key}`. {suggest(key, kind.model_fields)}")
    return kind(**tree)


def _first(error: ValidationError) -> str:
    """The first of what is wrong, with the key."""
    problem = error.errors()[0]
    place = ".".join(map(str, problem["loc"]))
    return f"`{place}`: {problem['msg']}." if place else f"{problem['msg']}."
