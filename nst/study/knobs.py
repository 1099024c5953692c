"""What a comparison, a sweep or a reproduced figure can vary of a recipe.

Every setting by its dotted name, and `KNOBS`: what the reports vary as one thing although it is
several settings at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nst.engines.painters import Painter
from nst.names import pick, suggest
from nst.settings.base import BadSetting
from nst.settings.recipe import Recipe, setting_names

STYLE_LAYERS = tuple(f"conv{block}_1" for block in range(1, 6))
PROFILES: Mapping[str, tuple[float, ...]] = {
    "equal": (0.2, 0.2, 0.2, 0.2, 0.2),
    "fine": (1.0, 0.5, 0.25, 0.125, 0.0625),
    "coarse": (0.0625, 0.125, 0.25, 0.5, 1.0),
    "tuned": (0.05, 0.2, 1.0, 0.2, 0.2),
}


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
    """Of a knob or a setting, for axes and captions."""
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


def varied(recipe: Painter, changes: Mapping[str, str]) -> Painter:
    """The recipe with several changed: settings first, at once, then knobs, which build on them.

    What paints in one pass has settings alone.
    """
    if not isinstance(recipe, Recipe):
        return recipe.but(changes)
    for key in changes:
        _known(key)
    recipe = recipe.but({key: value for key, value in changes.items() if key not in KNOBS})
    for key in (key for key in KNOBS if key in changes):
        recipe = turned(recipe, key, changes[key])
    return recipe


def _known(key: str) -> None:
    layers = ("content.layers.", "style.layers.")
    if key not in KNOBS and key not in setting_names() and not key.startswith(layers):
        raise BadSetting(f"Nothing named `{key}` can be varied. {suggest(key, varied_names())}")


def varied_names() -> tuple[str, ...]:
    """Everything that can be varied."""
    return (*KNOBS, *setting_names())
