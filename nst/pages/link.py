"""The page's address: which preset, bundled pictures and changed settings it carries."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from nst.checkpoints.hub import Entry, HubProblem, offered, styles
from nst.names import Problem, UnknownName
from nst.pages import anypainting, trained
from nst.pages.dials import NAMES, apply
from nst.pages.words import literal
from nst.settings.base import BadSetting, written
from nst.settings.catalog import DEFAULT_PRESET, Preset, all_presets, paintings, photos
from nst.settings.onepass import TrainedSettings, all_methods
from nst.settings.recipe import Recipe
from nst.study.gallery import PAINTING, PHOTO

MAIN = "stylize"  # the page that an address without a `view` opens
VIEWS = (MAIN, "compare", "explore", "reports")

# Gradio cannot change the address itself.
OURS = (
    *("view", "photo", "painting", "preset", "checkpoint", "method"),
    *("size", "iterations", "seed", "normalization"),
    *("by", "presets", "vary", "vary2", "figure"),
)
WRITE = f"""(query) => {{
  const here = new URL(location.href);
  const ours = {list(OURS)};
  const foreign = [...here.searchParams]
    .filter(([name]) => !ours.includes(name) && !name.includes('.'));
  here.search = query;
  foreign.forEach(([name, value]) => here.searchParams.set(name, value));
  history.replaceState(null, '', here);
}}"""
COPY = """async () => {
  const query = new URL(location.href).searchParams;
  const whole = query.has('photo') && query.has('painting');
  try {
    await navigator.clipboard.writeText(location.href);
    return whole ? 'Link copied' : 'Copied, without your own pictures';
  } catch { window.prompt('Copy this link', location.href); return 'Copy link'; }
}"""
COPY_AGAIN = (
    "async () => { await new Promise((done) => setTimeout(done, 3000)); return 'Copy link'; }"
)


def copies(button: gr.Button) -> None:
    """Lets a button copy the address."""
    button.click(None, None, button, js=COPY, api_visibility="private").then(
        None, None, button, js=COPY_AGAIN, api_visibility="private"
    )


@dataclass(frozen=True)
class Place:
    """What an address stands for. `lost` names the parts that could not be restored.

    `checkpoint` may also be a method for any painting, and `own` has what only methods have.
    """

    preset: Preset
    photo: str
    painting: str
    recipe: Recipe
    checkpoint: str
    trained: TrainedSettings
    own: Sequence[Any]
    lost: tuple[str, ...] = ()


def first_style() -> Entry:
    """What an empty address shows."""
    return next(iter(styles().values()))


def first_painting() -> str:
    """The painting of that style, by name."""
    return first_style().style


def view_of(query: Mapping[str, str]) -> str:
    """The page that an address opens. Gradio has a use of its own for the name `page`."""
    return query["view"] if query.get("view") in VIEWS else MAIN


def is_main(query: Mapping[str, str]) -> bool:
    """Whether it opens the main page."""
    return view_of(query) == MAIN


def restored(
    name: str,
    read: Callable[[Mapping[str, str]], Any],
    fields: Callable[[Any], tuple[Any, ...]],
) -> Callable[[gr.Request], Any]:
    """What the address gives to the page `name`: the page itself, photo, painting and fields."""

    def restore(request: gr.Request) -> Any:
        query = dict(request.query_params)
        if view_of(query) != name:
            return gr.skip()
        lost, pictures = [], []
        for kind, credits in (("photo", photos()), ("painting", paintings())):
            known = query.get(kind, "") in credits
            lost += [] if known or kind not in query else [kind]
            pictures.append(str(credits[query[kind]].path) if known else gr.skip())
        try:
            chosen = fields(read(query))
        except Problem:
            lost.append("the choice")
            chosen = fields(read({}))
        if lost:
            gr.Warning(literal(f"The link was damaged; not restored: {', '.join(lost)}."))
        return gr.Tabs(selected=name), *pictures, *chosen

    return restore


def write(
    preset: str, photo: str, painting: str, checkpoint: str, changed: Mapping[str, Any]
) -> str:
    """The query; an uploaded picture (an empty name) cannot be in it."""
    style = "method" if checkpoint in all_methods() else "checkpoint"
    parts = {"preset": preset, "photo": photo, "painting": painting, style: checkpoint}
    parts |= {name: written(value) for name, value in changed.items()}
    return urlencode({name: value for name, value in parts.items() if value})


def read(query: Mapping[str, str]) -> Place:
    """Restores what it can; never raises."""
    lost = []

    def known(key: str, table: Mapping[str, Any], default: str) -> str:
        name = query.get(key, default)
        if name in table:
            return name
        lost.append(key)
        return default

    preset = all_presets()[known("preset", all_presets(), DEFAULT_PRESET)]
    photo = known("photo", photos(), PHOTO)
    own = ("preset", "photo", "painting")
    settings = {k: v for k, v in query.items() if k not in own and _is_setting(k)}
    checkpoint = "" if settings or "preset" in query else first_style().name
    if "checkpoint" in query:
        try:
            checkpoint = offered(query["checkpoint"]).name
        except (UnknownName, HubProblem):
            lost.append("checkpoint")
    style = offered(checkpoint).style if checkpoint else PAINTING
    if "method" in query:
        checkpoint = known("method", all_methods(), "") or checkpoint
    painting = known("painting", paintings(), style if style in paintings() else PAINTING)
    default = (
        all_methods()[checkpoint].settings if checkpoint in all_methods() else trained.DEFAULTS
    )
    chosen, lost_trained = trained.read(query, default.strength)
    first_method = next(iter(all_methods()))
    own, lost_own = anypainting.read(
        query, checkpoint if checkpoint in all_methods() else first_method
    )
    lost += lost_trained + lost_own
    good = _usable(preset, settings)
    lost += [name for name in settings if name not in good]
    recipe = apply(preset, good)
    return Place(preset, photo, painting, recipe, checkpoint, chosen, own, tuple(lost))


def _is_setting(name: str) -> bool:
    """Whether the part of an address is meant for us; others pass their own parameters along."""
    return name in NAMES or name.partition(".")[0] in Recipe.model_fields


def _usable(preset: Preset, settings: Mapping[str, str]) -> dict[str, str]:
    """As many of the settings as fit together: all, else section by section, else each."""
    good: dict[str, str] = {}
    sections: dict[str, dict[str, str]] = {}
    for name, value in settings.items():
        sections.setdefault(name.partition(".")[0], {})[name] = value
    singles = [{name: value} for name, value in settings.items()]
    for some in (dict(settings), *sections.values(), *singles):
        try:
            apply(preset, good | some)
        except BadSetting:
            continue
        good |= some
    return good
