"""What changes on the main page with a choice: a style, a preset, a picture or a link."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from nst.checkpoints.hub import offered, styles
from nst.names import Problem
from nst.pages import anypainting, link, trained
from nst.pages.answers import PAINT, REFINE
from nst.pages.dials import shown
from nst.pages.parts import described
from nst.pages.words import literal, refusal
from nst.settings.catalog import Preset, all_presets, get, paintings, photos
from nst.settings.onepass import all_methods


def _selected(name: str, names: Iterable[str]) -> gr.Gallery:
    """A gallery with the card of that name chosen, or none."""
    known = list(names)
    return gr.Gallery(selected_index=known.index(name) if name in known else None)


def about_preset(preset: Preset) -> str:
    """What it is and where it comes from, as HTML."""
    return described(f"{preset.title}.", preset.summary, f"{preset.source}.", preset.note)


def by_photo(event: gr.SelectData) -> str:
    """The bundled photo that was clicked on."""
    return str(list(photos().values())[event.index].path)


def by_painting(preset: str, style: str, event: gr.SelectData) -> tuple[Any, ...]:
    """The bundled painting that was clicked on."""
    return str(list(paintings().values())[event.index].path), *of_another_painting(preset, style)


def of_another_painting(preset: str, style: str) -> tuple[Any, ...]:
    """A trained style has its own painting and is left; a method goes on with any."""
    left = without_style(preset)
    return tuple(gr.skip() for _ in left) if style in all_methods() else left


def by_preset(event: gr.SelectData) -> tuple[Any, ...]:
    """The preset that was clicked on: name, words and dials."""
    preset = list(all_presets().values())[event.index]
    return preset.name, *shown(preset.recipe).values(), *without_style(preset.name)


def without_style(preset: str) -> tuple[Any, ...]:
    """No checkpoint, its settings hidden, nothing of it chosen, the preset's words."""
    hidden, none = gr.Group(visible=False), gr.Gallery(selected_index=None)
    return "", hidden, hidden, gr.Button(PAINT), none, none, None, about_preset(get(preset))


@dataclass(frozen=True)
class StyleChoice:
    """Choosing a style ends the session's run, whose result would replace the one in one pass."""

    end: Callable[[gr.Request], None]

    def bundled(self, request: gr.Request, event: gr.SelectData) -> tuple[Any, ...]:
        """The style that was clicked on."""
        self.end(request)
        return *self._changes(list(styles())[event.index]), None

    def remote(self, request: gr.Request, text: str | None) -> tuple[Any, ...]:
        """A style from the Hub."""
        self.end(request)
        try:
            return *self._changes(text or ""), gr.skip()
        except Problem as error:
            raise refusal(error, "This cannot be used") from error

    def method(self, request: gr.Request, event: gr.SelectData) -> tuple[Any, ...]:
        """The method for any painting that was clicked on."""
        self.end(request)
        chosen = list(all_methods().values())[event.index]
        unmarked = gr.Gallery(selected_index=None)
        return (
            chosen.name,
            anypainting.about(chosen.name),
            gr.Group(visible=True),
            gr.Group(visible=True),
            gr.skip(),
            gr.Button(REFINE, interactive=True),
            gr.Button(visible=False),
            unmarked,
            _selected(chosen.name, all_methods()),
            unmarked,
            gr.skip(),
            chosen.settings.strength,
            *anypainting.defaults(chosen.name),
            None,
        )

    def _changes(self, name: str) -> tuple[Any, ...]:
        entry = offered(name)
        credit = paintings().get(entry.style)
        return (
            entry.name,
            trained.about(entry.name),
            gr.Group(visible=True),
            gr.Group(visible=False),
            str(credit.path) if credit else gr.skip(),
            gr.Button(REFINE, interactive=True),
            gr.Button(visible=False),
            _selected(entry.name, styles()),
            gr.Gallery(selected_index=None),
            gr.Gallery(selected_index=None),
            _selected(entry.style, paintings()),
            gr.skip(),
            *(gr.skip() for _ in range(anypainting.INPUTS)),
        )


def _about(style: str, preset: Preset) -> str:
    if style in all_methods():
        return anypainting.about(style)
    return trained.about(style) if style else about_preset(preset)


def restored(request: gr.Request) -> tuple[Any, ...]:
    """Everything that an address carries."""
    query = dict(request.query_params)
    place = link.read(query if link.is_main(query) else {})
    if place.lost:
        gr.Warning(literal(f"The link was damaged; not restored: {', '.join(place.lost)}."))
    style = place.checkpoint
    # A field that is set, even to what it shows, sets off what a visitor's change would.
    same = (place.photo == link.PHOTO, place.painting == link.first_painting())
    return (
        gr.skip() if same[0] else str(photos()[place.photo].path),
        gr.skip() if same[1] else str(paintings()[place.painting].path),
        place.preset.name,
        *shown(place.recipe).values(),
        style,
        place.trained.strength,
        place.trained.keep_colors,
        place.trained.size,
        *place.own,
        _selected("" if style else place.preset.name, all_presets()),
        _selected(place.photo, photos()),
        _selected(place.painting, paintings()),
        _about(style, place.preset),
        gr.Group(visible=bool(style)),
        gr.Group(visible=style in all_methods()),
        _selected(style, styles()),
        _selected(style, all_methods()),
        gr.Button(REFINE if style else PAINT),
    )
