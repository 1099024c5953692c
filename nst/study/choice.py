"""What somebody chose to compare or explore: data that pages, links, files and commands share."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from nst.engines.painters import find as find_painter
from nst.names import Problem, about, sentence
from nst.settings.base import BadSetting
from nst.settings.catalog import DEFAULT_PRESET, ROOT
from nst.settings.files import checked, named, tables
from nst.study.figures import find
from nst.study.variants import (
    NO_CHANGES,
    STUDY_SIZE,
    Axis,
    Variant,
    axis,
    check_axes,
    grid,
    of_presets,
    of_values,
)

READY = ROOT / "comparisons.toml"
USUAL_AXIS = "content-layer=conv3_2,conv4_2,conv5_2"


class _Choice(BaseModel):
    """Frozen; unknown keys are refused. Texts from an address are converted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, tree: Mapping[str, Any]) -> Self:
        """From an address or a page. Raises `BadSetting`."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            problem = error.errors()[0]
            raise BadSetting(sentence(problem), str(problem["loc"][0])) from None

    def query(self, **more: str) -> str:
        """As an address has it: what differs from the defaults, and `more` that is not empty."""
        parts = {
            name: ",".join(value) if isinstance(value, tuple) else "" if value is None else value
            for name, value in self.model_dump(exclude_defaults=True).items()
        }
        return urlencode(parts | {name: value for name, value in more.items() if value})


_USED = {"presets": "presets", "values": "vary", "figure": "figure"}  # by the way of comparing


class Comparison(_Choice):
    """Presets side by side, or values of one setting, or a figure of a report.

    A preset may be a method for any painting or a trained network as well. Without a `size`, each
    is painted at its own.
    """

    by: Literal["presets", "values", "figure"] = "presets"
    presets: tuple[str, ...] = ("baseline", "tuned")
    preset: str = DEFAULT_PRESET
    vary: str = USUAL_AXIS
    figure: str = ""
    size: int | None = STUDY_SIZE

    @classmethod
    def read(cls, tree: Mapping[str, Any]) -> Self:
        """Presets may be one text with commas."""
        names = tree.get("presets", ())
        if isinstance(names, str):
            names = tuple(filter(None, map(str.strip, names.split(","))))
        known = {"presets": names} if "presets" in tree else {}
        found = super().read({**tree, **known})
        # What another way would use may be anything in an address.
        unused = {"presets", "vary", "figure"} - {_USED[found.by]}
        unused |= set() if found.by == "values" else {"preset"}
        return found.model_copy(update={name: getattr(cls(), name) for name in unused})

    def variants(self, settings: Mapping[str, str] = NO_CHANGES) -> list[Variant]:
        """What to paint, with settings in common. Raises `Problem` about a field of this choice."""
        with about(_USED[self.by], unless=("size", "preset", *settings)):
            if self.by == "presets":
                return of_presets(self.presets, self.size, settings)
            if self.by == "values":
                _check_preset(self.preset)
                return of_values(self.preset, axis(self.vary), self.size, settings)
            if not self.figure:
                raise BadSetting("Choose a table or figure of a report.")
            return find(self.figure).variants(self.size)

    @property
    def subject(self) -> str:
        """What varies, where it is more than the preset."""
        if self.by == "values":
            return f"{find_painter(self.preset).title}, {axis(self.vary).label}"
        return find(self.figure).title if self.by == "figure" else ""


class Sweep(_Choice):
    """A grid over one or two settings of a preset."""

    preset: str = DEFAULT_PRESET
    vary: str = USUAL_AXIS
    vary2: str = "ratio=0.4,4,40"
    size: int = STUDY_SIZE

    @classmethod
    def over(cls, axes: Sequence[str], **others: Any) -> Self:
        """A grid over one or two axes. Raises `TooMuch` for more, and `BadSetting`."""
        check_axes(axes)
        across, down = (*axes, "")[:2]
        return cls.read({"vary": across, "vary2": down, **others})

    def variants(self, settings: Mapping[str, str] = NO_CHANGES) -> list[Variant]:
        """What to paint, row by row. Raises `Problem` about a field of this choice."""
        _check_preset(self.preset)
        axes = self.axes()
        try:
            return grid(self.preset, axes, self.size, settings)
        except Problem as error:
            if error.field in ("", "vary"):
                columns = bool(self.vary.strip()) and not self._fits(axes[:1], settings)
                error.field = "vary" if columns else "vary2"
            raise

    def _fits(self, axes: list[Axis], settings: Mapping[str, str]) -> bool:
        """Whether these can be varied alone."""
        try:
            return bool(grid(self.preset, axes, self.size, settings))
        except Problem:
            return False

    def axes(self) -> list[Axis]:
        """What varies along columns and rows. Raises `BadSetting`."""
        found = []
        for field, text in (("vary", self.vary), ("vary2", self.vary2)):
            with about(field):
                found += [axis(text)] if text.strip() else []
        return found

    @property
    def subject(self) -> str:
        """What varies."""
        return find_painter(self.preset).title


def _check_preset(name: str) -> None:
    """Raises `UnknownName`."""
    with about("preset"):
        find_painter(name)


class Ready(_Choice):
    """A comparison that somebody thought of: what its button says and chooses."""

    title: str
    source: str
    comparison: Comparison


@cache
def ready_made() -> tuple[Ready, ...]:
    """The comparisons of `presets/comparisons.toml`. Raises `BadFile`."""
    return tuple(map(_ready, tables(READY, "comparison")))


def _ready(tree: dict[str, Any]) -> Ready:
    with named(READY):
        comparison = Comparison.read(
            {key: value for key, value in tree.items() if key not in ("title", "source")}
            | {"by": "figure" if "figure" in tree else "presets"}
        )
        comparison.variants()
    own = {key: tree[key] for key in ("title", "source") if key in tree}
    return checked(READY, Ready, own | {"comparison": comparison})
