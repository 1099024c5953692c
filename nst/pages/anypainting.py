"""The part of the main page for any painting in one pass."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from nst.engines.anypainting import Style
from nst.engines.estimate import refuse_if_longer
from nst.engines.painters import AnyPainting
from nst.pages.parts import described, method_cards
from nst.pages.trained import PREFIX
from nst.pictures.images import open_picture
from nst.settings.base import BadSetting
from nst.settings.catalog import paintings
from nst.settings.onepass import MOST_PAINTINGS, MethodSettings, all_methods, method
from nst.settings.recipe import setting_field
from nst.study.variants import TooMuch

OTHERS = MOST_PAINTINGS - 1  # paintings that can be mixed with the first
NUMBERS = range(2, 2 + OTHERS)
NAMES = ("stroke", "balance", *(f"{part}{n}" for n in NUMBERS for part in ("mix", "weight")))
RANGES = {"stroke": (0.25, 2.0), "balance": (0.0, 1.0)} | {
    f"weight{n}": (0.0, 2.0)
    for n in NUMBERS  # the first painting has 1
}
INPUTS = len(NAMES)
MOST_SECONDS = 60.0  # a visitor may not hold one of few slots longer


def cards() -> gr.Gallery:
    """The methods with their real results, drawn where it is called."""
    return method_cards(all_methods().values())


def defaults(name: str) -> list[Any]:
    """The inputs' values of a method, in the order of `NAMES`."""
    chosen = method(name).settings
    return [chosen.stroke, chosen.swap.balance, *("", 1.0) * OTHERS]


def controls() -> tuple[gr.Group, list[gr.components.Component]]:
    """What only these methods have; hidden while none is in use."""
    stroke = MethodSettings.model_fields["stroke"]
    balance = setting_field("swap.balance")
    values = dict(zip(NAMES, defaults(next(iter(all_methods()))), strict=True))
    titles = [("none", ""), *((credit.title, name) for name, credit in paintings().items())]
    with gr.Group(visible=False, elem_id="method-controls") as group:
        with gr.Row():
            inputs = [
                gr.Slider(
                    *RANGES["stroke"],
                    values["stroke"],
                    label=stroke.title,
                    info=stroke.description,
                    step=0.05,
                    buttons=[],
                    min_width=120,
                    elem_id="stroke",
                ),
                gr.Slider(
                    *RANGES["balance"],
                    values["balance"],
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
                            *RANGES[f"weight{number}"],
                            values[f"weight{number}"],
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
    """Settings that the inputs show. Raises `BadSetting`."""
    stroke, balance, *_ = own
    given = {
        "strength": strength,
        "keep_colors": bool(keep_colors),
        "size": size,
        "stroke": stroke,
        "swap.balance": balance,
    }
    return method(name).settings.but(given)


def painter(chosen: MethodSettings, *own: Any) -> AnyPainting:
    """The method with the paintings that are mixed besides the first. Raises `BadSetting`."""
    _, _, *pairs = own
    others = []
    for name, weight in zip(pairs[::2], pairs[1::2], strict=True):
        if name and name not in paintings():
            raise BadSetting(f"`{name}` is no bundled painting.")
        if name and weight and weight > 0:
            others.append(Style(open_picture(paintings()[name].path), float(weight), name))
    return AnyPainting(chosen, others=tuple(others))


def refuse_if_too_long(
    painter: AnyPainting, photo: tuple[int, int], painting: tuple[int, int]
) -> float:
    """Seconds of a result. Raises `TooMuch` with a size that fits."""

    def seconds() -> float:
        return painter.expected(photo, painting)[0]

    def advice(words: str) -> TooMuch:
        size = int(painter.size * (MOST_SECONDS / seconds()) ** 0.5)
        return TooMuch(f"{words} A size of {size} pixels would fit.")

    return refuse_if_longer(seconds, MOST_SECONDS, advice)


def changes(name: str, own: Sequence[Any]) -> dict[str, Any]:
    """What the page's address carries: inputs that are not as the method has them."""
    rows = zip(NAMES, own, defaults(name), strict=True)
    return {PREFIX + key: value for key, value, default in rows if value != default}


def read(query: Mapping[str, str], name: str) -> tuple[list[Any], list[str]]:
    """The inputs of a method in an address, and the parts that could not be restored."""
    found, lost = [], []
    for key, default in zip(NAMES, defaults(name), strict=True):
        value = _read(key, query.get(PREFIX + key, str(default)))
        if value is None:
            lost.append(PREFIX + key)
        found.append(default if value is None else value)
    return found, lost


def _read(key: str, text: str) -> float | str | None:
    """The value of an input, if the input can have it."""
    if key not in RANGES:
        return text if text in ("", *paintings()) else None
    least, most = RANGES[key]
    try:
        return value if least <= (value := float(text)) <= most else None
    except ValueError:
        return None


def about(name: str) -> str:
    """What is known of a method, as HTML."""
    chosen = method(name)
    onward = "Press Refine to let the optimization go on from this result."
    return described(
        f"{chosen.title}, for any painting.",
        chosen.summary,
        f"{chosen.source}.",
        f"{chosen.note} {onward}",
    )
