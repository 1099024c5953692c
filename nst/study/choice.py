"""What somebody chose to compare or explore: data that a page, a link and a file share."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from nst.settings.base import BadSetting
from nst.settings.catalog import DEFAULT, ROOT, get
from nst.settings.files import checked, named, tables
from nst.study.figures import find
from nst.study.variants import SWEEP_SIZE, Variant, axis, grid, of_presets, of_values

READY = ROOT / "comparisons.toml"


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
            name = ".".join(map(str, problem["loc"]))
            raise BadSetting(f"`{name}` is {problem['input']!r}: {problem['msg']}.") from None

    def query(self, **more: str) -> str:
        """As an address has it: what differs from the defaults, and `more` that is not empty."""
        parts = {
            name: ",".join(value) if isinstance(value, tuple) else value
            for name, value in self.model_dump(exclude_defaults=True).items()
        }
        return urlencode(parts | {name: value for name, value in more.items() if value})


_USED = {"presets": "presets", "values": "vary", "figure": "figure"}  # by the way of comparing


class Comparison(_Choice):
    """Presets side by side, or values of one setting, or a figure of a report."""

    by: Literal["presets", "values", "figure"] = "presets"
    presets: tuple[str, ...] = ("baseline", "tuned")
    preset: str = DEFAULT
    vary: str = "content-layer=conv3_2,conv4_2,conv5_2"
    figure: str = ""
    size: int = 256

    @classmethod
    def read(cls, tree: Mapping[str, Any]) -> Self:
        """Presets may be one text with commas."""
        names = tree.get("presets", ())
        if isinstance(names, str):
            names = tuple(filter(None, names.split(",")))
        known = {"presets": names} if "presets" in tree else {}
        found = super().read({**tree, **known})
        # What another way would use may be anything in an address.
        unused = {"presets", "vary", "figure"} - {_USED[found.by]}
        unused |= set() if found.by == "values" else {"preset"}
        return found.model_copy(update={name: getattr(cls(), name) for name in unused})

    def variants(self) -> list[Variant]:
        """What to paint. Raises `Problem`."""
        if self.by == "presets":
            return of_presets(self.presets, self.size)
        if self.by == "values":
            return of_values(get(self.preset).name, axis(self.vary), self.size)
        if not self.figure:
            raise BadSetting("Choose a table or figure of a report.")
        return find(self.figure).variants(self.size)

    @property
    def subject(self) -> str:
        """What varies, where it is more than the preset."""
        if self.by == "values":
            return f"{get(self.preset).title}, {axis(self.vary).label}"
        return find(self.figure).title if self.by == "figure" else ""


class Sweep(_Choice):
    """A grid over one or two settings of a preset."""

    preset: str = DEFAULT
    vary: str = "content-layer=conv3_2,conv4_2,conv5_2"
    vary2: str = "ratio=0.4,4,40"
    size: int = SWEEP_SIZE

    def variants(self) -> list[Variant]:
        """What to paint, row by row. Raises `Problem`."""
        return grid(get(self.preset).name, self.axes(), self.size)

    def axes(self) -> list[Any]:
        """One or two."""
        return [axis(text) for text in (self.vary, self.vary2) if text.strip()]


class Ready(_Choice):
    """A comparison that somebody thought of: what its button says and chooses."""

    title: str
    source: str
    comparison: Comparison


@cache
def ready_made() -> tuple[Ready, ...]:
    """Of `presets/comparisons.toml`. Raises `BadFile`."""
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
