"""The part of the main page for any painting in one pass."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from pydantic import ValidationError

from nst.arbitrary import Style
from nst.images import open_picture
from nst.methods import MOST_PAINTINGS, MethodSettings, all_methods, method
from nst.pages.instant import PREFIX
from nst.pages.parts import method_cards
from nst.presets import paintings
from nst.recipe import BadSetting, setting_field

OTHERS = MOST_PAINTINGS - 1  # paintings that can be mixed with the first
MOST_WEIGHT = 2.0  # of each; the first one has 1
NUMBERS = range(2, 2 + OTHERS)
NAMES = ("stroke", "balance", *(f"{part}{n}" for n in NUMBERS for part in ("mix", "weight")))
DEFAULT = dict(zip(NAMES, (1.0, 0.0, *("", 1.0) * OTHERS), strict=True))
INPUTS = len(NAMES)


def cards() -> gr.Gallery:
    """The methods with their real results, drawn where it is called."""
    return method_cards(all_methods().values())


def controls() -> tuple[gr.Group, list[gr.components.Component]]:
    """What only these methods have; hidden while none is in use."""
    stroke = MethodSettings.model_fields["stroke"]
    balance = setting_field("swap.balance")
    titles = [("none", ""), *((credit.title, name) for name, credit in paintings().items())]
    with gr.Group(visible=False, elem_id="method-controls") as group:
        with gr.Row():
            inputs = [
                gr.Slider(
                    *(0.25, 2, DEFAULT["stroke"]),
                    label=stroke.title,
                    info=stroke.description,
                    step=0.05,
                    buttons=[],
                    min_width=120,
                    elem_id="stroke",
                ),
                gr.Slider(
                    *(0, 1, DEFAULT["balance"]),
                    label=balance.title,
                    info="style swap: how evenly the painting's patches are used",
                    step=0.05,
                    buttons=[],
                    min_width=120,
                    elem_id="balance",
                ),
            ]
        with gr.Accordion("Mix with other paintings", open=False, elem_id="mix"):
            for number in NUMBERS:
                with gr.Row():
                    inputs.append(
                        gr.Dropdown(
                            titles,
                            value="",
                            label=f"Painting {number}",
                            min_width=120,
                            elem_id=f"mix{number}",
                        )
                    )
                    inputs.append(
                        gr.Slider(
                            *(0, MOST_WEIGHT, 1.0),
                            label="Weight",
                            info="the first one has 1",
                            step=0.05,
                            buttons=[],
                            min_width=120,
                            elem_id=f"weight{number}",
                        )
                    )
    return group, inputs


def settings(
    name: str, strength: float, keep_colors: bool, size: float, *own: Any
) -> MethodSettings:
    """Of the inputs. Raises `BadSetting`."""
    stroke, balance, *_ = own
    given = {
        "strength": strength,
        "keep_colors": bool(keep_colors),
        "size": size,
        "stroke": stroke,
        "swap.balance": balance,
    }
    return method(name).settings.but(given)


def mixed(*own: Any) -> list[Style]:
    """The paintings besides the first. Raises `BadSetting`."""
    _, _, *pairs = own
    found = []
    for name, weight in zip(pairs[::2], pairs[1::2], strict=True):
        if name and name not in paintings():
            raise BadSetting(f"`{name}` is no bundled painting.")
        if name and weight and weight > 0:
            found.append(Style(open_picture(paintings()[name].path), float(weight)))
    return found


def changes(*own: Any) -> dict[str, Any]:
    """What the page's address carries: inputs that are not as they were."""
    given = dict(zip(NAMES, own, strict=True))
    return {PREFIX + name: value for name, value in given.items() if value != DEFAULT[name]}


def read(query: Mapping[str, str]) -> tuple[list[Any], list[str]]:
    """The inputs in an address, and the parts that could not be restored."""
    found, lost = dict(DEFAULT), []
    for name in NAMES:
        if PREFIX + name not in query:
            continue
        text = query[PREFIX + name]
        try:
            changed = found | {name: type(DEFAULT[name])(text)}
            settings(next(iter(all_methods())), 1.0, False, 512, *changed.values())
            mixed(*changed.values())
            found = changed
        except (ValueError, ValidationError, BadSetting):
            lost.append(PREFIX + name)
    return list(found.values()), lost


def about(name: str) -> str:
    """What is known of a method, as Markdown."""
    chosen = method(name)
    note = f" {chosen.note}" if chosen.note else ""
    return (
        f"**{chosen.title}**, any painting in about a second. {chosen.summary}\n\n"
        f"*{chosen.source}.*{note} Press Refine to let the optimization go on from this result."
    )
