"""What all settings share: sections and trees of them, and sentences for what does not fit.

A setting is named by its dotted path, such as `style.layers.conv4_1`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from nst.names import Problem, UnknownName, field_of, pick, sentence, suggest

DEFAULT_SIZE = 512  # pixels of the long side of a result, where nothing else is said
COMMON_SIZE = 768  # … of what paints in one pass, on the page and in the gallery


class BadSetting(Problem):
    """A setting that is unknown or out of range; the message names it and says what would work."""


def blank_is_none(value: object) -> object:
    """For fields that may be empty."""
    return None if value == "" else value


def listed(value: object) -> object:
    """`a, b` as a list; what is no text stays as it is."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _choice(kind: str, table: Mapping[str, object]) -> BeforeValidator:
    def check(value: object) -> object:
        pick(kind, str(value), table)
        return value

    return BeforeValidator(check)


def one_of(kind: str, table: Mapping[str, object]) -> tuple[BeforeValidator, Any]:
    """For `Annotated[str, *one_of(…)]`: names an entry of `table`, checked and with the labels."""
    labels = {name: getattr(entry, "label", name) for name, entry in table.items()}
    return _choice(kind, table), Field(json_schema_extra={"choices": labels})


class Section(BaseModel):
    """A group of settings. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Settings(Section):
    """A tree of settings: sections, and settings of its own."""

    def but(self, changes: Mapping[str, object]) -> Self:
        """A copy with settings changed by dotted name; texts are converted.

        Raises `BadSetting` for an unknown name or a value out of range.
        """
        tree = self.model_dump()
        for key, value in changes.items():
            *path, last = key.split(".")
            node: Any = tree
            for name in path:
                node = node.get(name) if isinstance(node, dict) else None
            if not isinstance(node, dict) or (last not in node and path[1:] != ["layers"]):
                raise BadSetting(f"Unknown setting `{key}`. {suggest(key, flat(self))}", key)
            node[last] = value
        return self.read(tree)

    def changes_from(self, other: "Settings") -> dict[str, object]:
        """Dotted names and values in which these settings differ from `other`."""
        mine, theirs = flat(self), flat(other)
        return {key: value for key, value in mine.items() if theirs[key] != value}

    @classmethod
    def read(cls, tree: Mapping[str, object]) -> Self:
        """A recipe from nested tables, as a preset file has them. Raises `BadSetting`."""
        if not isinstance(tree, Mapping):
            raise BadSetting("`recipe` must be a table of settings.", "recipe")
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            first = field_of(error.errors()[0])
            raise BadSetting(" ".join(_sentences(error, tree, cls)), first) from None


def flat(recipe: Settings) -> dict[str, object]:
    """All settings by dotted name; a table of layers is one value."""
    found: dict[str, object] = {}
    for name, value in recipe:
        found |= (
            {f"{name}.{k}": v for k, v in value} if isinstance(value, Section) else {name: value}
        )
    return found


def _digits(number: float) -> str:
    """The shortest text that reads back exactly."""
    return repr(number).removesuffix(".0")


def written(value: object) -> str:
    """A setting's value as `--set` and the page's text fields take it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{layer}={_digits(weight)}" for layer, weight in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_digits(part) for part in value)
    return "" if value is None else str(value)


def _sentences(
    error: ValidationError, tree: Mapping[str, object], owner: type[Settings]
) -> Iterator[str]:
    for problem in error.errors():
        path = field_of(problem)
        match problem["type"]:
            case "extra_forbidden":
                known = {*flat(owner()), *owner.model_fields}
                yield f"Unknown setting `{path}`. {suggest(path, known)}"
            case "value_error":
                reason = problem["ctx"]["error"]
                plain = isinstance(reason, UnknownName)
                yield str(reason) if plain or not path else f"`{path}`: {reason}."
            case _:
                yield sentence(problem)
