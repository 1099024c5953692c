"""The main page: photo, painting, preset; then watch it being painted."""

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from nst.checkpoints.hub import Entry
from nst.engines.outputs import summary
from nst.pages import anypainting, choices, link, trained
from nst.pages.answers import PAINT, Answers, AnyPaintingEngine, Estimator, Stylizer, TrainedEngine
from nst.pages.dials import ITERATIONS, MAIN, NAMES, SHARES, counted, dial, shared, shown
from nst.pages.live import plot
from nst.pages.parts import QUIET, Frame, picture_field, preset_cards, strip
from nst.pictures.images import open_picture, resized
from nst.report import RunReport
from nst.settings.catalog import DEFAULT_PRESET, all_presets, get, paintings, photos
from nst.study.gallery import example

# On a phone the progress is far below the button and the cards.
TO_PROGRESS = """(...inputs) => {
  if (innerWidth < 768) {
    document.querySelector('#status').scrollIntoView({behavior: 'smooth'});
  }
  return inputs;
}"""


@dataclass(frozen=True)
class Fields:
    """What other pages set or read here.

    `place` is photo, painting and their strips, all that a run shows (see `nst.pages.live`), preset
    and dials, and what tells that no trained style is in use.
    """

    photo: gr.Image
    painting: gr.Image
    place: list[gr.components.Component]
    onward: gr.Button


def lay_out(
    frame: Frame,
    stylize: Stylizer,
    estimate: Estimator,
    trained_network: TrainedEngine,
    any_painting: AnyPaintingEngine,
) -> Fields:
    """The page over its engines, which make steps; `estimate` foresees those of `stylize`."""
    answers = Answers(frame.services, stylize, estimate, trained_network, any_painting)
    styled = choices.StyleChoice(answers.end)
    default = get(DEFAULT_PRESET)
    shown_first = _example(link.first_style())
    address = frame.address

    with gr.Tab("Stylize", id=link.MAIN) as tab:
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                with gr.Row():
                    with gr.Column(min_width=150):
                        photo = picture_field(
                            "Photo",
                            photos()[link.PHOTO].path,
                            sources=["upload", "clipboard", "webcam"],
                            elem_id="photo",
                        )
                        photo_strip = strip(photos(), "photos")
                    with gr.Column(min_width=150):
                        painting = picture_field(
                            "Painting",
                            paintings()[link.first_painting()].path,
                            sources=["upload", "clipboard"],
                            elem_id="painting",
                        )
                        painting_strip = strip(paintings(), "paintings")
                go = gr.Button(PAINT, variant="primary", size="lg", elem_id="go")
                foreseen = gr.HTML(elem_id="estimate", elem_classes="hint")
                gr.Markdown("### At once, trained styles", elem_classes="heading")
                style_gallery = trained.cards()
                gr.Markdown("### At once, any painting", elem_classes="heading")
                method_gallery = anypainting.cards()
                styles = trained.styles(style_gallery)
                of_methods, own = anypainting.controls()
                gr.Markdown("### Step by step, any painting", elem_classes="heading")
                cards = preset_cards(all_presets().values())
                about = gr.HTML(choices.about_preset(default), elem_id="about")
                with gr.Accordion("Settings", open=False, elem_id="settings"):
                    dials = {name: dial(name, default.recipe) for name in MAIN}
                    with gr.Accordion("All other settings", open=False):
                        others = (name for name in NAMES if name not in MAIN)
                        dials |= {name: dial(name, default.recipe) for name in others}
                    reset = gr.Button("Back to the preset", size="sm", elem_id="reset")
            with gr.Column(scale=6, min_width=320, elem_classes="stays"):
                progress = gr.HTML(shown_first["status"], elem_classes="status", elem_id="status")
                stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop")
                with gr.Tabs(selected="compare", elem_id="tabs") as tabs:
                    with gr.Tab("Result", id="result", render_children=True):
                        canvas = gr.Image(
                            shown_first["picture"],
                            label="Result",
                            type="filepath",
                            format="jpeg",
                            interactive=False,
                            buttons=["fullscreen"],
                            elem_id="result",
                        )
                    with gr.Tab("Before and after", id="compare", render_children=True):
                        slider = gr.ImageSlider(
                            shown_first["pair"],
                            label="Before and after",
                            format="jpeg",
                            interactive=False,
                            max_height=620,
                            elem_id="slider",
                        )
                    with gr.Tab("Losses", id="losses"):
                        losses = gr.LinePlot(
                            plot([]),
                            x="step",
                            y="log10 of the loss",
                            color="term",
                            title="Weighted losses",
                            height=340,
                            elem_id="losses",
                        )
                        gr.Markdown(
                            "Of each step. A result made at once has no steps.",
                            elem_classes="hint",
                        )
                    with gr.Tab("Settings used", id="used", render_children=True):
                        used = gr.JSON(shown_first["report"], show_label=False, elem_id="used")
                with gr.Row():
                    png = gr.DownloadButton("PNG", interactive=False, size="sm", elem_id="png")
                    settings = gr.DownloadButton(
                        "Settings (JSON)", interactive=False, size="sm", elem_id="json"
                    )
                    lapse = gr.DownloadButton(
                        "Time-lapse (WebP)", interactive=False, size="sm", elem_id="lapse"
                    )
                    copy = gr.Button("Copy link", size="sm", elem_id="copy")
                with gr.Row():
                    as_photo = gr.Button("Use result as photo", size="sm", elem_id="as-photo")
                    as_painting = gr.Button(
                        "Use result as painting", size="sm", elem_id="as-painting"
                    )
                    onward = gr.Button("Compare presets on these", size="sm", elem_id="onward")
        preset = gr.Textbox(DEFAULT_PRESET, visible="hidden", label="Preset", elem_id="preset")

        inputs = [photo, painting, preset, *dials.values(), *styles.inputs, *own]
        files = [png, settings, lapse]
        outputs = [progress, canvas, slider, losses, used, png, settings, lapse, tabs]

        galleries = [styles.cards, method_gallery]
        groups = [styles.controls, of_methods]
        leave = [styles.checkpoint, *groups, go, *galleries, styles.remote, about]
        in_use = [styles.checkpoint, about, *groups, painting, go, stop]
        in_use += [*galleries, cards, painting_strip, styles.strength, *own, styles.remote]
        place = [*inputs, cards, photo_strip, painting_strip, about, *groups, *galleries, go]

        think = {"inputs": inputs, "outputs": [foreseen, address], **QUIET}
        flash = {"outputs": outputs, "show_progress": "hidden"}
        flash |= {"concurrency_limit": None}
        of_network = {"inputs": [photo, *styles.inputs], **flash}
        moved = {"inputs": [photo, painting, *styles.inputs, *own], **flash}
        private = {"api_visibility": "private"}

        def come_back(opening: bool, *chosen: Any) -> tuple[bool, Any]:
            return False, gr.skip() if opening else answers.consider(*chosen)[1]

        # The first page is selected at the opening, too, before the link is restored.
        opening = gr.State(True)
        tab.select(come_back, [opening, *inputs], [opening, address], **QUIET)

        def arrive(request: gr.Request, *chosen: Any) -> tuple[str, Any, bool]:
            words, query = answers.consider(*chosen)
            here = link.is_main(dict(request.query_params))
            return words, query if here else gr.skip(), False

        restored = frame.arrived.then(choices.restored, None, place, **QUIET)
        restored.then(answers.at_once, api_name="fast", **of_network).then(
            answers.any_at_once, api_name="any", **moved
        ).then(arrive, inputs, [foreseen, address, opening], **QUIET)
        cards.select(choices.by_preset, None, [preset, *dials.values(), *leave], **QUIET).then(
            answers.consider, **think
        )
        reset.click(
            lambda name: list(shown(get(name).recipe).values()), preset, [*dials.values()], **QUIET
        ).then(answers.consider, **think)
        photo_strip.select(choices.by_photo, None, photo, **QUIET)
        chosen_style = [preset, styles.checkpoint]
        painting_strip.select(choices.by_painting, chosen_style, [painting, *leave], **QUIET)
        painting.upload(choices.of_another_painting, chosen_style, leave, **QUIET)
        for field, chooser in ((photo, photo_strip), (painting, painting_strip)):
            field.change(answers.consider, trigger_mode="always_last", **think)
            for gone in (field.upload, field.clear):
                gone(lambda: gr.Gallery(selected_index=None), None, chooser, **QUIET)
        # Two views of one setting: each follows the other.
        total, shares = dials[ITERATIONS], dials[SHARES]
        total.input(shared, [preset, total], shares, **QUIET).then(answers.consider, **think)
        shares.input(counted, shares, total, **QUIET).then(answers.consider, **think)
        gr.on(
            [
                # A text that is pasted is no input to Gradio, only a change.
                component.change if isinstance(component, gr.Textbox) else component.input
                for component in dials.values()
                if component not in (total, shares)
            ],
            answers.consider,
            trigger_mode="always_last",
            **think,
        )
        link.copies(copy)
        run = go.click(
            answers.prepare,
            inputs,
            [go, stop, *files, progress],
            validator=answers.check,
            js=TO_PROGRESS,
            **QUIET,
        ).success(
            answers.paint,
            inputs,
            outputs,
            concurrency_limit=None,
            show_progress="hidden",
            scroll_to_output=True,
            api_name="stylize",
        )
        resumed = restored.then(answers.returned, None, [go, stop], **QUIET).then(
            answers.resume, None, outputs, **QUIET
        )
        for went in (run, resumed):
            for ended in (went.success, went.failure):  # `then` does not follow a failure here
                ended(answers.rest, [styles.checkpoint, *files], [go, stop, *files], **QUIET)
        stop.click(answers.stop, None, None, **QUIET)
        for chosen in (
            styles.cards.select(
                styled.bundled,
                None,
                in_use,
                cancels=[run, resumed],
                trigger_mode="multiple",
                **QUIET,
            ),
            styles.remote.input(
                styled.remote, styles.remote, in_use, cancels=[run, resumed], **QUIET
            ),
        ):
            chosen.success(
                answers.at_once, trigger_mode="always_last", js=TO_PROGRESS, **private, **of_network
            ).then(answers.consider, **think)
        method_gallery.select(
            styled.method, None, in_use, cancels=[run, resumed], trigger_mode="multiple", **QUIET
        ).success(
            answers.any_at_once, trigger_mode="always_last", js=TO_PROGRESS, **private, **moved
        ).then(answers.consider, **think)
        shared_inputs = (styles.strength, styles.keep_colors, styles.size)
        either = [photo.change, *(component.input for component in shared_inputs)]
        for triggers, answer, given in (
            (either, answers.at_once, of_network),
            ([*either, painting.change, *(c.input for c in own)], answers.any_at_once, moved),
        ):
            gr.on(triggers, answer, trigger_mode="always_last", **private, **given).then(
                answers.consider, **think
            )
        for button, field, chooser in (
            (as_photo, photo, photo_strip),
            (as_painting, painting, painting_strip),
        ):
            fed = button.click(
                lambda path: (path, gr.Gallery(selected_index=None)),
                canvas,
                [field, chooser],
                **QUIET,
            )
            if field is painting:
                fed.then(choices.of_another_painting, chosen_style, leave, **QUIET)
    shows = [photo, painting, photo_strip, painting_strip, *outputs]
    return Fields(photo, painting, [*shows, preset, *dials.values(), *leave], onward)


def _example(entry: Entry) -> dict[str, Any]:
    """The gallery's result of a checkpoint, as the page shows a finished one."""
    kept = json.loads(example(entry.name).with_suffix(".json").read_text("utf-8"))
    picture = open_picture(example(entry.name))
    photo = resized(open_picture(photos()[kept["photo"]].path), picture.size)
    return {
        "status": trained.words(summary(RunReport.read(kept, entry.name))),
        "picture": str(example(entry.name)),
        "pair": (photo, picture),
        "report": kept,
    }
