"""Variants: settings to be painted side by side, and how many of them may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nst.engines.estimate import refuse_if_longer
from nst.engines.painters import Painter, expected, find
from nst.names import Problem
from nst.settings.base import BadSetting
from nst.settings.recipe import SMALLEST
from nst.study.knobs import label, varied

FEWEST, MOST = 2, 6  # variants of a comparison
MOST_CELLS = 36  # of a sweep
MOST_SECONDS = 1200.0
MEASURING = 4.0  # steps of a run that measuring its result takes, about
SWEEP_SIZE = 256  # pixels, of a sweep that says nothing else
RESULT = "result:"  # before a variant's title: its result is the photo or the painting of another


class TooMuch(Problem):
    """A comparison that is too large; the message says what would fit."""


@dataclass(frozen=True)
class Variant:
    """One run of a comparison.

    `photo` and `painting` are empty for the given ones, a bundled picture's name, or `result:` and
    the title of an earlier variant.
    """

    title: str
    preset: str
    recipe: Painter
    photo: str = ""
    painting: str = ""
    place: tuple[int, int] = field(default=(0, 0))  # row and column

    @property
    def changes(self) -> dict[str, object]:
        """In which settings it differs from its preset."""
        return self.recipe.changes_from(find(self.preset).settings)


@dataclass(frozen=True)
class Axis:
    """What varies along one side of a sweep."""

    key: str
    values: tuple[str, ...]

    @property
    def label(self) -> str:
        """Of the axis."""
        return label(self.key)


def axis(text: str) -> Axis:
    """From `key=v1,v2,…`; values that contain commas are separated by semicolons."""
    key, equals, values = text.partition("=")
    parts = values.split(";" if ";" in values else ",")
    found = tuple(part.strip() for part in parts if part.strip())
    if not equals or not key.strip():
        raise BadSetting(f"`{text}` needs the form key=value,value, such as seed=1,2,3.")
    if not found:
        raise BadSetting(f"`{key.strip()}` has no values. Give some, with commas between them.")
    if twice := next((value for value in found if found.count(value) > 1), None):
        advice = " Put semicolons between values that have commas." if "=" in values else ""
        raise BadSetting(f"`{key.strip()}` has the value {twice} twice.{advice}")
    return Axis(key.strip(), found)


def of_presets(names: Sequence[str], size: int | None = None) -> list[Variant]:
    """Each preset, method or checkpoint as it is, but at one size.

    Raises `TooMuch`, `UnknownName`.
    """
    chosen = [(name, *find(name)) for name in names]
    if not FEWEST <= len(chosen) <= MOST:
        raise TooMuch(f"Choose {FEWEST} to {MOST} presets, not {len(chosen)}.")
    if len(set(names)) < len(names):
        raise BadSetting("Choose each preset once.")
    return [
        Variant(title, name, _at(settings, size), place=(0, column))
        for column, (name, title, settings) in enumerate(chosen)
    ]


def of_values(name: str, along: Axis, size: int | None = None) -> list[Variant]:
    """One preset, method or checkpoint with each value.

    Raises `TooMuch`, `BadSetting`, `UnknownName`.
    """
    if not FEWEST <= len(along.values) <= MOST:
        raise TooMuch(f"Give {FEWEST} to {MOST} values, not {len(along.values)}.")
    return grid(name, [along], size)


def grid(
    name: str,
    axes: Sequence[Axis],
    size: int | None = SWEEP_SIZE,
    settings: Mapping[str, str] | None = None,
) -> list[Variant]:
    """Every combination of one or two axes: the first along columns, the second down rows.

    Of a preset, method or checkpoint. Raises `TooMuch`, `BadSetting`, `UnknownName`.
    """
    if not 1 <= len(axes) <= 2:
        raise TooMuch(f"A sweep has one or two axes, not {len(axes)}.")
    if len({one.key for one in axes}) < len(axes):
        raise BadSetting(f"`{axes[0].key}` cannot be both axes.")
    cells = len(axes[0].values) * (len(axes[1].values) if axes[1:] else 1)
    if cells > MOST_CELLS:
        raise TooMuch(f"{cells} cells are too many: a sweep has {MOST_CELLS} at most.")
    plain = _at(find(name).settings, size).but(settings or {})
    found = []
    for row, below in enumerate(axes[1].values if axes[1:] else ("",)):
        for column, value in enumerate(axes[0].values):
            changes = {axes[0].key: value} | ({axes[1].key: below} if below else {})
            title = ", ".join(changes.values())
            recipe = varied(plain, changes)
            found.append(Variant(title, name, recipe, place=(row, column)))
    return found


def _at(recipe: Painter, size: int | None) -> Painter:
    return recipe if size is None else recipe.but({"size": size})


def seconds(
    variants: Sequence[Variant], photo: tuple[int, int], painting: tuple[int, int]
) -> list[float]:
    """What each will take, measuring included, on pictures of these sizes (width, height)."""
    found = []
    for variant in variants:
        run, step = expected(variant.recipe, photo, painting)
        found.append(run + MEASURING * step)
    return found


def refuse_if_too_long(
    variants: Sequence[Variant],
    photo: tuple[int, int],
    painting: tuple[int, int],
    most: float = MOST_SECONDS,
) -> float:
    """The estimate in seconds. Raises `TooMuch` above `most`, with the size that would fit.

    No refusal rests on an old measurement of the machine.
    """

    def refusal(words: str) -> TooMuch:
        return TooMuch(f"{words} {_advice(variants, photo, painting, most)}")

    return refuse_if_longer(lambda: sum(seconds(variants, photo, painting)), most, refusal)


def _advice(
    variants: Sequence[Variant], photo: tuple[int, int], painting: tuple[int, int], most: float
) -> str:
    """Which size would take at most `most` seconds."""
    largest = max(variant.recipe.size for variant in variants)
    for size in range(largest - largest % 32, SMALLEST - 1, -32):
        smaller = [replace(v, recipe=v.recipe.but({"size": size})) for v in variants]
        if sum(seconds(smaller, photo, painting)) <= most:
            return f"A size of {size} pixels would fit."
    return "Choose fewer variants or fewer iterations."
