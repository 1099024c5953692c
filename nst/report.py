"""How a result came about: the report that every engine fills, and that is saved with it."""

import platform
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import PIL
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from nst import __version__
from nst.names import Problem, field_of, printable, sentence

Name = Annotated[str, AfterValidator(printable)]  # never with control characters


def versions() -> dict[str, str]:
    """The versions of everything that can change a picture."""
    return {
        "nst": __version__,
        "torch": torch.__version__,
        "pillow": PIL.__version__,
        "python": platform.python_version(),
    }


class BadReport(Problem):
    """A report that does not say what it must; the message names the entry."""


class _Part(BaseModel):
    """Frozen; what other versions wrote besides is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class CheckpointSource(_Part):
    """Which trained network painted: its name, its place, its contents and its license."""

    name: Name
    place: Name = Field(alias="from")
    sha256: Name = ""
    style: Name = ""
    license: Name = ""


class RunReport(_Part):
    """Everything about a result but its pictures: what made it, and what it cost.

    Names of what painted and of the pictures are those that its user knows; the second part is
    every engine's, the others where they apply. What is None does not apply and is not written.
    Seconds are of the wall clock, the size is (width, height) in pixels.
    """

    engine: Literal["optimization", "any painting", "trained network"]
    preset: Name | None = None
    method: Name | None = None
    photo: Name | None = None
    painting: Name | None = None
    paintings: tuple[Name, ...] | None = None  # of a mixture, the first included
    weights: tuple[float, ...] | None = None  # of these, in their order

    settings: dict[str, Any]
    size: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    precision: Name | None = None
    device: Name | None = None
    versions: dict[str, str] = {}
    warning: str = ""

    checkpoint: CheckpointSource | None = None
    training: dict[str, int | float] | None = None

    iterations: int | None = None
    seconds_per_iteration: float | None = None
    seconds_by_level: tuple[float, ...] | None = None
    complete: bool | None = None
    losses: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_before_engines_were_named(cls, tree: Any) -> Any:
        if not isinstance(tree, Mapping) or "engine" in tree:
            return tree
        kinds = {"checkpoint": "trained network", "method": "any painting"}
        told = (kinds[key] for key in kinds if tree.get(key) is not None)
        return {"engine": next(told, "optimization"), **tree}

    @classmethod
    def read(cls, tree: Any, source: str) -> Self:
        """From JSON that any version wrote, found in `source`. Raises `BadReport`."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            problem = error.errors()[0]
            words = sentence(problem)
            raise BadReport(f"`{source}` cannot be used: {words}", field_of(problem)) from None

    def but(self, **changes: Any) -> Self:
        """The same with other entries, such as the names of the pictures."""
        return self.model_copy(update=changes)

    def as_dict(self) -> dict[str, Any]:
        """What applies, as JSON has it."""
        tree = self.model_dump(mode="json", by_alias=True)
        return {name: value for name, value in tree.items() if value is not None}
