"""What pages share: the upload field, galleries, the status line and the style sheet."""

from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta
from gradio.data_classes import ImageData
from PIL.Image import Image

from nst.checkpoints.hub import Entry
from nst.engines.estimate import duration
from nst.engines.outputs import loss_line
from nst.pages.services import Services
from nst.pages.words import literal
from nst.pictures.images import BadPicture, accepted, open_picture
from nst.settings.catalog import Credit, Preset, all_presets, paintings, photos
from nst.settings.onepass import MethodPreset
from nst.settings.recipe import setting_field as setting
from nst.settings.recipe import setting_names
from nst.steps import Step
from nst.study.gallery import PAINTING, PHOTO, example
from nst.study.variants import KNOBS

CSS = """
.gradio-container { max-width: 1280px !important; margin: 0 auto !important; }
.cards .grid-container { grid-template-columns: repeat(var(--grid-cols), minmax(0, 1fr)) !important;
  padding: 0 !important; gap: 8px !important; }
.cards .grid-wrap { min-height: 0 !important; height: auto !important; max-height: none !important;
  padding: 0 !important; }
.cards .gallery-container { height: auto !important; }
.cards .thumbnail-item.selected { outline: 3px solid var(--color-accent); outline-offset: -1px; }
.cards .caption-label { font-size: 11px; padding: 1px 5px; max-width: 100%; }
.strip .grid-container { gap: 4px !important; grid-auto-rows: auto !important; }
.strip .thumbnail-item, .strip .thumbnail-lg { aspect-ratio: 1 !important; height: auto !important;
  border-radius: 6px !important; }
.strip .caption-label { display: none; }
.status { min-height: 74px; }
.status .bar { height: 10px; border-radius: 5px; overflow: hidden; margin-bottom: 8px;
  background: var(--neutral-200); }
.dark .status .bar { background: var(--neutral-700); }
.status .bar div { height: 100%; background: var(--color-accent); }
.status p { margin: 2px 0 6px 0; font-variant-numeric: tabular-nums; }
.hint { color: var(--body-text-color-subdued); font-size: 0.92em; }
#settings .form { display: grid; grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); }
#settings .form > :is(#content-layers, #style-layers) { grid-column: 1 / -1; }
#result img { width: 100%; height: auto; max-height: 620px; object-fit: contain; }
.title h1 { margin-bottom: 0; }
.numbers { overflow-x: auto; max-width: calc(100vw - 116px); }
.numbers table :is(tbody, tr) { border: 0 !important; }
.numbers table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums;
  width: 100%; border: 0 !important; font-size: 0.87em; }
.numbers table :is(td, th) { padding: 3px 0 3px 10px; text-align: right; white-space: nowrap;
  border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.numbers table th[scope=row] { text-align: left !important; font-weight: 400; cursor: help;
  padding-left: 0; color: var(--body-text-color-subdued); position: sticky; left: 0;
  background: var(--body-background-fill); }
.numbers table th[scope=col] { white-space: normal !important; vertical-align: bottom;
  max-width: 92px; }
#compare-results .grid-wrap { max-height: none !important; height: auto !important; }
#compare-results .thumbnail-lg { aspect-ratio: auto !important; }
#compare-results .caption-label { white-space: normal; overflow: visible; max-width: 100%; }
.claims { list-style: none; padding: 0; }
.ready { gap: 6px !important; flex-wrap: wrap; }
.heading h3 { margin: 4px 0 0 0; }
@media (min-width: 768px) { .stays { position: sticky; top: 12px; align-self: flex-start; } }
@media (max-width: 640px) { .presets .grid-container { --grid-cols: 3 !important; }
  #compare-results .grid-container { --grid-cols: 1 !important;
    grid-template-columns: minmax(0, 1fr) !important; } }
"""

# Of events that no program shall call and that show their progress elsewhere.
QUIET = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class Frame:
    """What all pages share: services, the tabs that choose a page, the address.

    `arrived` is the event after which a page may ask for what its visitor had before.
    """

    services: Services
    arrived: gr.events.Dependency
    tabs: gr.Tabs
    address: gr.Textbox


THEME = gr.themes.Origin(
    primary_hue="violet",
    neutral_hue="slate",
    radius_size="lg",
    font=[gr.themes.LocalFont("IBM Plex Sans"), "ui-sans-serif", "sans-serif"],
    font_mono=[gr.themes.LocalFont("IBM Plex Mono"), "ui-monospace", "monospace"],
).set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_hover_dark="*primary_500",
    button_primary_text_color="white",
    button_primary_text_color_dark="white",
)


class _NoStub(ComponentMeta):
    """Makes a component class without the stub file that Gradio writes beside its source."""

    def __new__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> type:
        return ABCMeta.__new__(cls, name, bases, attributes)


class PictureField(gr.Image, metaclass=_NoStub):
    """Hands over the file as it came: Gradio would open it and answer a broken one itself.

    A class, not a changed instance: Gradio makes a field anew whenever an answer leaves it as it
    is.
    """

    is_template = True  # the browser's part is that of `gr.Image`

    def preprocess(self, payload: ImageData | None) -> Any:
        """The file's path, as the gate admitted it."""
        return str(payload.path) if payload and payload.path else None


def picture_field(label: str, value: Path, **options: Any) -> PictureField:
    """An input for a photo or a painting."""
    return PictureField(
        str(value),
        label=label,
        type="filepath",
        image_mode=None,
        height=240,
        buttons=["fullscreen"],
        webcam_options=gr.WebcamOptions(mirror=False),
        placeholder=accepted(),
        **options,
    )


def picture_pair(page: str) -> tuple[PictureField, PictureField]:
    """Photo and painting with their strips, on a page other than the main one."""
    found = []
    with gr.Row():
        for kind, credits, first in (
            ("photo", photos(), PHOTO),
            ("painting", paintings(), PAINTING),
        ):
            with gr.Column(min_width=150):
                field = picture_field(
                    kind.capitalize(),
                    credits[first].path,
                    sources=["upload", "clipboard"],
                    elem_id=f"{page}-{kind}",
                )
                choices = strip(credits, f"{page}-{kind}s")
                choices.select(_by_number(credits), None, field, **QUIET)
                found.append(field)
    return found[0], found[1]


def _by_number(credits: Mapping[str, Credit]) -> Callable[[gr.SelectData], str]:
    paths = [str(credit.path) for credit in credits.values()]

    def chosen(event: gr.SelectData) -> str:
        return paths[event.index]

    return chosen


def preset_titles() -> list[tuple[str, str]]:
    """(title, name) of every preset."""
    return [(preset.title, name) for name, preset in all_presets().items()]


def preset_choice(page: str, value: str) -> gr.Dropdown:
    """Which preset is varied."""
    return gr.Dropdown(preset_titles(), value=value, label="Preset", elem_id=f"{page}-preset")


def setting_field(
    name: str, vary: str, label: str, optional: bool = False
) -> tuple[gr.Dropdown, gr.Textbox]:
    """What varies, and its values; choosing another setting suggests values."""
    first, _, values = vary.partition("=")
    choices = [(knob.label, key) for key, knob in KNOBS.items()]
    choices += [(f"{setting(key).title} ({key})", key) for key in setting_names()]
    if optional:
        choices = [("nothing", ""), *choices]
    key = gr.Dropdown(
        choices, value=first, label=label, allow_custom_value=True, elem_id=f"{name}-key"
    )
    given = gr.Textbox(
        values,
        label="Values",
        info="with commas between them, or semicolons where a value has commas",
        elem_id=f"{name}-values",
    )
    # Leaving the field is an input to Gradio, too.
    key.select(_suggested, key, given, **QUIET)
    return key, given


def _suggested(key: str | None) -> str:
    return KNOBS[key].values if key in KNOBS else ""


def _gallery(pictures: list[tuple[str, str]], **options: Any) -> gr.Gallery:
    """(path, title) pictures to click on, and nothing else."""
    return gr.Gallery(
        pictures,
        allow_preview=False,
        show_label=False,
        container=False,
        interactive=False,
        object_fit="cover",
        buttons=[],
        **options,
    )


def strip(credits: Mapping[str, Credit], name: str) -> gr.Gallery:
    """Small pictures to choose from, in two rows."""
    return _gallery(
        [(str(credit.path), credit.title) for credit in credits.values()],
        columns=-(-len(credits) // 2),
        elem_id=name,
        elem_classes=["cards", "strip"],
    )


def _card(result: Path) -> Path:
    """A new preset shows the photo until the gallery has its result."""
    return result if result.exists() else photos()[PHOTO].path


def preset_cards(presets: Iterable[Preset]) -> gr.Gallery:
    """The presets with their real results."""
    return _gallery(
        [(str(_card(example(preset.name))), preset.title) for preset in presets],
        columns=4,
        elem_id="presets",
        elem_classes=["cards", "presets"],
    )


def style_cards(entries: Iterable[Entry]) -> gr.Gallery:
    """The bundled checkpoints with their real results."""
    return _gallery(
        [(str(example(entry.name)), entry.title) for entry in entries],
        columns=4,
        elem_id="styles",
        elem_classes=["cards", "presets"],
    )


def method_cards(methods: Iterable[MethodPreset]) -> gr.Gallery:
    """The methods for any painting with their real results."""
    return _gallery(
        [(str(_card(example(method.name))), method.title) for method in methods],
        columns=4,
        elem_id="methods",
        elem_classes=["cards", "presets"],
    )


def bundled_name(path: str | None, credits: Mapping[str, Credit]) -> str:
    """The short name of a bundled picture that came back from the browser, else nothing."""
    credit = credits.get(Path(path).stem) if path else None
    same = credit and Path(path).read_bytes() == credit.path.read_bytes()
    return credit.name if same else ""


def labels(photo: str, painting: str) -> tuple[str, str]:
    """Names for files and notes; an upload's own name stays with the visitor."""
    names = bundled_name(photo, photos()), bundled_name(painting, paintings())
    return names[0] or "photo", names[1] or "painting"


@lru_cache(4)
def opened(path: str) -> Image:
    """Gradio names an upload's folder after its content: a path never changes its picture."""
    return open_picture(path)


def picture_problem(path: str | None, kind: str) -> str:
    """A sentence on a picture that cannot be used, else nothing."""
    if not path:
        return f"Choose a {kind} first."
    try:
        opened(path)
    except BadPicture as error:
        return str(error)
    return ""


def both(photo: str | None, painting: str | None) -> tuple[Image, Image]:
    """Both pictures. Raises `BadPicture`."""
    for path, kind in ((photo, "photo"), (painting, "painting")):
        if not path:
            raise BadPicture(f"Choose a {kind} first.")
    return opened(photo), opened(painting)


def described(title: str, summary: str, source: str, note: str = "") -> str:
    """A title with what belongs to it, as HTML."""
    return (
        f"<p><b>{literal(title)}</b> {literal(summary)}</p>"
        f"<p><i>{literal(source)}</i> {literal(note)}</p>"
    )


def bar(share: float, words: str) -> str:
    """A progress bar over words of ours, as HTML."""
    return (
        f"<div class='bar'><div style='width: {100 * share:.1f}%'></div></div>"
        f"<p><b>{literal(words)}</b></p>"
    )


def status(step: Step) -> str:
    """Progress as HTML; numbers only, nothing a visitor typed."""
    where = f"step {step.index} of {step.total}"
    if step.levels > 1:
        where += f", size {step.level} of {step.levels}"
    left = duration(step.seconds_left)
    return (
        bar(
            step.index / step.total,
            f"{where} at {step.size[0]} × {step.size[1]}, about {left} left",
        )
        + f"<p class='hint'>Loss: {loss_line(step.losses)}</p>"
    )
