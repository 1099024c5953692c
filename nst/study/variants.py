"""Variants: settings to be painted side by side, what can vary of them, and how many may be.

A comparison, a sweep or a figure varies any setting by its dotted name, and `KNOBS`: what the
reports vary as one thing although it is several settings at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nst.engines.estimate import refuse_if_longer
from nst.engines.painters import Offer, Optimization, Painter, find
from nst.names import Problem, about, pick, suggest
from nst.settings.base import BadSetting, Settings
from nst.settings.recipe import SMALLEST, Recipe, setting_names
from nst.study.measures import STYLE_LAYERS

FEWEST, MOST = 2, 6  # variants of a comparison
MOST_CELLS = 36  # of a sweep
MOST_SECONDS = 1200.0
MEASURING = 4.0  # steps of a run that measuring its result takes, about
STUDY_SIZE = 256  # pixels of the long side of many results, where nothing else is said
RESULT = "result:"  # before a variant's title: its result is the photo or the painting of another


NO_CHANGES: Mapping[str, str] = {}


PROFILES: Mapping[str, tuple[float, ...]] = {
    "equal": (0.2, 0.2, 0.2, 0.2, 0.2),
    "fine": (1.0, 0.5, 0.25, 0.125, 0.0625),
    "coarse": (0.0625, 0.125, 0.25, 0.5, 1.0),
    "tuned": (0.05, 0.2, 1.0, 0.2, 0.2),
}


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
    painter: Painter
    photo: str = ""
    painting: str = ""
    place: tuple[int, int] = field(default=(0, 0))  # row and column

    @property
    def settings(self) -> Settings:
        """The settings of its painter."""
        return self.painter.settings

    @property
    def changes(self) -> dict[str, object]:
        """The settings in which it differs from its preset."""
        return self.settings.changes_from(find(self.preset).painter.settings)


@dataclass(frozen=True)
class Axis:
    """What varies along one side of a sweep."""

    key: str
    values: tuple[str, ...]

    @property
    def label(self) -> str:
        """What the axis is called."""
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


def of_presets(
    names: Sequence[str], size: int | None = None, settings: Mapping[str, str] = NO_CHANGES
) -> list[Variant]:
    """Each preset, method or checkpoint, at its own size or one for all, with common settings.

    Raises `TooMuch`, `UnknownName`.
    """
    chosen = [(name, find(name)) for name in names]
    if not FEWEST <= len(chosen) <= MOST:
        raise TooMuch(f"Choose {FEWEST} to {MOST} presets, not {len(chosen)}.")
    if len(set(names)) < len(names):
        raise BadSetting("Choose each preset once.")
    return [
        Variant(offer.title, name, _with(settings, offer, size), place=(0, column))
        for column, (name, offer) in enumerate(chosen)
    ]


def of_values(
    name: str, along: Axis, size: int | None = None, settings: Mapping[str, str] = NO_CHANGES
) -> list[Variant]:
    """One preset, method or checkpoint with each value.

    Raises `TooMuch`, `BadSetting`, `UnknownName`.
    """
    if not FEWEST <= len(along.values) <= MOST:
        raise TooMuch(f"Give {FEWEST} to {MOST} values, not {len(along.values)}.")
    return grid(name, [along], size, settings)


def grid(
    name: str,
    axes: Sequence[Axis],
    size: int | None = STUDY_SIZE,
    settings: Mapping[str, str] = NO_CHANGES,
) -> list[Variant]:
    """Every combination of one or two axes: the first along columns, the second down rows.

    Of a preset, method or checkpoint. Raises `TooMuch`, `BadSetting`, `UnknownName`.
    """
    check_axes(axes)
    if len({one.key for one in axes}) < len(axes):
        raise BadSetting(f"`{axes[0].key}` cannot be both axes.")
    cells = len(axes[0].values) * (len(axes[1].values) if axes[1:] else 1)
    if cells > MOST_CELLS:
        raise TooMuch(f"{cells} cells are too many: a sweep has {MOST_CELLS} at most.")
    plain = _at(find(name).painter, size).but(settings)
    found = []
    for row, below in enumerate(axes[1].values if axes[1:] else ("",)):
        for column, value in enumerate(axes[0].values):
            changes = {axes[0].key: value} | ({axes[1].key: below} if below else {})
            title = ", ".join(changes.values())
            with about("vary"):
                painter = varied(plain, changes)
            found.append(Variant(title, name, painter, place=(row, column)))
    return found


def check_axes(axes: Sequence[object]) -> None:
    """Raises `TooMuch` unless there are one or two."""
    if not 1 <= len(axes) <= 2:
        raise TooMuch(f"A sweep has one or two axes, not {len(axes)}.")


def _with(settings: Mapping[str, str], offer: Offer, size: int | None) -> Painter:
    """The offered painter with common settings. Raises `BadSetting` that names it."""
    sized = _at(offer.painter, size)
    try:
        return sized.but(settings)
    except BadSetting as error:
        raise BadSetting(f"{offer.title}: {error}", error.field) from None


def _at(painter: Painter, size: int | None) -> Painter:
    return painter if size is None else painter.but({"size": size})


def seconds(
    variants: Sequence[Variant], photo: tuple[int, int], painting: tuple[int, int]
) -> list[float]:
    """What each will take, measuring included, on pictures of these sizes (width, height)."""
    found = []
    for variant in variants:
        run, step = variant.painter.expected(photo, painting)
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
        return TooMuch(f"{words} {_advice(variants, photo, painting, most)}", "size")

    return refuse_if_longer(lambda: sum(seconds(variants, photo, painting)), most, refusal)


def _advice(
    variants: Sequence[Variant], photo: tuple[int, int], painting: tuple[int, int], most: float
) -> str:
    """Which size would take at most `most` seconds."""
    largest = max(variant.painter.size for variant in variants)
    for size in range(largest - largest % 32, SMALLEST - 1, -32):
        smaller = [replace(v, painter=v.painter.but({"size": size})) for v in variants]
        if sum(seconds(smaller, photo, painting)) <= most:
            return f"A size of {size} pixels would fit."
    return "Choose fewer variants or fewer iterations."


@dataclass(frozen=True)
class Knob:
    """One thing to vary: its label, a hint at the values, and what a value does to a recipe."""

    label: str
    values: str
    turn: Callable[[Recipe, str], Recipe]


def _layers(weights: Mapping[str, float]) -> dict[str, object]:
    return {"style.layers": dict(weights)}


def _emphasis(recipe: Recipe, layer: str) -> Recipe:
    pick("style layer", layer, dict.fromkeys(STYLE_LAYERS))
    return recipe.but(_layers({name: 10.0 if name == layer else 0.2 for name in STYLE_LAYERS}))


def _count(recipe: Recipe, text: str) -> Recipe:
    count = _whole("style-layers", text, 1, len(STYLE_LAYERS))
    return recipe.but(_layers(dict.fromkeys(STYLE_LAYERS[:count], 1 / count)))


def _profile(recipe: Recipe, name: str) -> Recipe:
    weights = pick("profile", name, PROFILES)
    return recipe.but(_layers(dict(zip(STYLE_LAYERS, weights, strict=True))))


def _ratio(recipe: Recipe, text: str) -> Recipe:
    ratio = _number("ratio", text, 0, 1e12)
    if not recipe.style.weight:
        raise BadSetting("`ratio` needs a preset with a style weight above 0.")
    return recipe.but({"content.weight": ratio * recipe.style.weight})


def _iterations(recipe: Recipe, text: str) -> Recipe:
    return recipe.with_iterations(_whole("iterations", text, 1, 1e9))


def _number(name: str, text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        raise BadSetting(f"`{name}` is `{text}`: it must be a number.") from None
    if not least <= number <= most:
        raise BadSetting(f"`{name}` is {text}: it must be {least:g} to {most:g}.")
    return number


def _whole(name: str, text: str, least: float, most: float) -> int:
    number = _number(name, text, least, most)
    if number != int(number):
        raise BadSetting(f"`{name}` is {text}: it must be a whole number.")
    return int(number)


KNOBS: Mapping[str, Knob] = {
    "content-layer": Knob(
        "Content layer",
        "conv3_2, conv4_2, conv5_2",
        lambda recipe, layer: recipe.but({"content.layers": layer}),
    ),
    "style-emphasis": Knob("Emphasized style layer", ", ".join(STYLE_LAYERS), _emphasis),
    "style-layers": Knob("Number of style layers", "1, 2, 3, 4, 5", _count),
    "profile": Knob("Weights of the style layers", ", ".join(PROFILES), _profile),
    "ratio": Knob("Content/style ratio", "1e-3, 1e-2, 1e-1, 1", _ratio),
    "iterations": Knob("Iterations", "10, 50, 200", _iterations),
}


def label(key: str) -> str:
    """What a knob or a setting is called, in axes and captions."""
    return KNOBS[key].label if key in KNOBS else key


def turned(recipe: Recipe, key: str, value: str) -> Recipe:
    """The recipe with one knob or setting changed.

    Raises `BadSetting` for a value out of range and `UnknownName` for a layer or profile that does
    not exist; an unknown key gets the closest name.
    """
    if key in KNOBS:
        return KNOBS[key].turn(recipe, value.strip())
    _known(key)
    return recipe.but({key: value})


def varied(painter: Painter, changes: Mapping[str, str]) -> Painter:
    """The painter with several changed: settings first, at once, then knobs, which build on them.

    What paints in one pass has settings alone.
    """
    if not isinstance(painter, Optimization):
        return painter.but(changes)
    for key in changes:
        _known(key)
    recipe = painter.settings
    recipe = recipe.but({key: value for key, value in changes.items() if key not in KNOBS})
    for key in (key for key in KNOBS if key in changes):
        recipe = turned(recipe, key, changes[key])
    return replace(painter, settings=recipe)


def _known(key: str) -> None:
    layers = ("content.layers.", "style.layers.")
    if key not in KNOBS and key not in setting_names() and not key.startswith(layers):
        raise BadSetting(f"Nothing named `{key}` can be varied. {suggest(key, varied_names())}")


def varied_names() -> tuple[str, ...]:
    """Everything that can be varied."""
    return (*KNOBS, *setting_names())
