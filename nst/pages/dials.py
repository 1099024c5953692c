"""One input for every setting of a recipe, made from the recipe's own fields."""

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import gradio as gr

from nst.settings.base import BadSetting, flat, written
from nst.settings.catalog import Preset, get
from nst.settings.recipe import Recipe, setting_field, setting_names

ITERATIONS = "iterations"
SHARES = "pyramid.iterations"
MAIN = (
    "size",
    ITERATIONS,
    "seed",
    "content.weight",
    "style.weight",
    "tv.weight",
    "style.scale",
    "content.layers",
    "style.layers",
    "backbone.network",
    "backbone.pooling",
    "backbone.activation",
    "optimizer.name",
    "optimizer.learning_rate",
    "start.image",
    "start.noise",
)
NAMES = (*MAIN, *(name for name in setting_names() if name not in MAIN))
NOT_ON_THE_PAGE = {"start.image": ("picture",)}  # "Use result as photo" does that here


def dial(name: str, recipe: Recipe) -> gr.components.Component:
    """The input of a setting, showing the value of `recipe`."""
    common = {"elem_id": name.replace(".", "-"), "value": shown(recipe)[name]}
    if name == ITERATIONS:
        return gr.Number(label="Iterations", info="of all sizes together", precision=0, **common)
    field = setting_field(name)
    common |= {"label": field.title, "info": field.description}
    if choices := _choices(name, field):
        return gr.Dropdown(choices, **common)
    if field.annotation is bool:
        return gr.Checkbox(**common)
    if field.annotation in (int, float) or _is_weight(field.annotation):
        return gr.Number(precision=0 if field.annotation is int else None, **common)
    return gr.Textbox(lines=1, **common)


def _choices(name: str, field: Any) -> list[tuple[str, str]]:
    """(label, value) of a setting with a fixed set of values, else nothing."""
    if get_origin(field.annotation) is Literal:
        labels = {value: value for value in get_args(field.annotation)}
    else:
        labels = (field.json_schema_extra or {}).get("choices", {})
    refused = NOT_ON_THE_PAGE.get(name, ())
    return [(label, value) for value, label in labels.items() if value not in refused]


def _is_weight(annotation: object) -> bool:
    return not isinstance(annotation, UnionType) and float in get_args(annotation)[:1]


def shown(recipe: Recipe) -> dict[str, Any]:
    """What every input shows for a recipe, by name, in the order of `NAMES`."""
    values = flat(recipe) | {ITERATIONS: recipe.iterations}
    plain = (int, float, bool, str)
    return {
        name: values[name] if isinstance(values[name], plain) else written(values[name])
        for name in NAMES
    }


def changes(preset: Preset, values: Sequence[Any]) -> dict[str, Any]:
    """The settings in which the inputs differ from the preset, by name."""
    before = shown(preset.recipe)
    given = dict(zip(NAMES, values, strict=True))
    changed = {
        name: value
        for name, value in given.items()
        if written(value) != written(before[name])
        and not (isinstance(value, int | float) and value == before[name])
    }
    if ITERATIONS in changed and _follows(preset, changed):
        del changed[SHARES]
    return changed


def _follows(preset: Preset, changed: Mapping[str, Any]) -> bool:
    """Whether the iterations of each scale are just what their sum makes of the preset's."""
    try:
        recipe = apply(preset, {ITERATIONS: changed[ITERATIONS]})
    except BadSetting:
        return False
    return changed.get(SHARES) == shown(recipe)[SHARES]


def apply(preset: Preset, changed: Mapping[str, Any]) -> Recipe:
    """The preset with settings changed. Raises `BadSetting`."""
    settings = {name: value for name, value in changed.items() if name != ITERATIONS}
    for name, refused in NOT_ON_THE_PAGE.items():
        if settings.get(name) in refused:
            raise BadSetting(f"`{name}` cannot be {settings[name]} on this page.")
    recipe = preset.recipe.but(settings)
    if ITERATIONS not in changed:
        return recipe
    try:
        return recipe.with_iterations(int(changed[ITERATIONS]))
    except (TypeError, ValueError) as error:
        if isinstance(error, BadSetting):
            raise
        raise BadSetting("`iterations` must be a whole number.") from None


def blamed(preset: Preset, changed: Mapping[str, Any]) -> dict[str, str]:
    """For settings that cannot be used: the name of each and a sentence."""
    try:
        apply(preset, changed)
    except BadSetting as error:
        alone = {}
        for name, value in changed.items():
            try:
                apply(preset, {name: value})
            except BadSetting as reason:
                alone[name] = str(reason)
        return alone or {next(iter(changed)): str(error)}
    return {}


def shared(preset: str, total: float | None) -> Any:
    """What `pyramid.iterations` shows for a total, or nothing new if it cannot be."""
    try:
        return shown(apply(get(preset), {ITERATIONS: total}))[SHARES]
    except BadSetting:
        return gr.skip()


def counted(shares: str) -> Any:
    """What `iterations` shows for the iterations of each scale."""
    try:
        return sum(int(part) for part in shares.split(","))
    except ValueError:
        return gr.skip()
