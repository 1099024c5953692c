"""The main page: photo, painting, preset; then watch it being painted."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import gradio as gr
from PIL.Image import Image

from nst.backbones import NoWeights
from nst.checkpoints import BadCheckpoint
from nst.estimate import Estimate, TooLarge, describe, duration
from nst.fast import FastSettings
from nst.gallery import example
from nst.hub import Entry, HubProblem, Loaded, bundled, load, offered
from nst.images import BadPicture, fit, open_picture, resized
from nst.names import UnknownName
from nst.outputs import TimeLapse, fast_summary
from nst.pages import instant, link
from nst.pages.dials import (
    ITERATIONS,
    MAIN,
    NAMES,
    SHARES,
    apply,
    blamed,
    changes,
    counted,
    dial,
    shared,
    shown,
)
from nst.pages.live import Runs, plot, watched
from nst.pages.parts import (
    bundled_name,
    picture_field,
    preset_cards,
    strip,
)
from nst.presets import DEFAULT, Preset, all_presets, get, paintings, photos
from nst.recipe import BadSetting, Recipe
from nst.steps import Step, last

Stylizer = Callable[..., Iterator[Step]]
Instant = Callable[[Image, Loaded, FastSettings], Iterator[Step]]
Estimator = Callable[[Recipe, tuple[int, int], tuple[int, int]], Estimate]

# On a phone the progress is far below the button.
TO_PROGRESS = """(...inputs) => {
  if (innerWidth < 768) {
    document.querySelector('#status').scrollIntoView({behavior: 'smooth'});
  }
  return inputs;
}"""
PREVIEW_SIDE = 768  # of pictures sent while it is being painted
MOST_SECONDS = 1800  # a visitor may not hold the only slot longer
PAINT, REFINE = "Stylize", "Refine"  # what the button does, from the photo or from a result
EXPECTED = (
    BadCheckpoint,
    BadPicture,
    BadSetting,
    HubProblem,
    NoWeights,
    TooLarge,
    UnknownName,
)


def page(stylize: Stylizer, estimate: Estimator, fast: Instant) -> gr.Blocks:
    """The page over the engines: `stylize` and `fast` make steps, `estimate` foresees them."""
    runs = Runs()
    default = get(DEFAULT)
    names, style_names = list(all_presets()), list(bundled())
    shown_first = _example(next(iter(bundled().values())))

    with gr.Blocks(
        title="Neural style transfer", analytics_enabled=False, delete_cache=(600, 3600)
    ) as blocks:
        gr.Markdown(
            "# Neural style transfer\nPick a photo and a style and see it painted at once; or take "
            "any painting and a preset and watch it grow. Keep the result, share the link.",
            elem_classes="title",
        )
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
                            paintings()[link.PAINTING].path,
                            sources=["upload", "clipboard"],
                            elem_id="painting",
                        )
                        painting_strip = strip(paintings(), "paintings")
                go = gr.Button(PAINT, variant="primary", size="lg", elem_id="go")
                foreseen = gr.Markdown(elem_id="estimate", elem_classes="hint")
                gr.Markdown("### At once", elem_classes="heading")
                styles = instant.styles()
                gr.Markdown("### Step by step, any painting", elem_classes="heading")
                cards = preset_cards(all_presets().values(), names.index(DEFAULT))
                about = gr.Markdown(_about(default), elem_id="about")
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
        preset = gr.Textbox(DEFAULT, visible="hidden", label="Preset", elem_id="preset")
        address = gr.Textbox(visible="hidden", elem_id="address")

        inputs = [photo, painting, preset, *dials.values(), *styles.inputs]
        files = [png, settings, lapse]
        outputs = [progress, canvas, slider, losses, used, png, settings, lapse, tabs]

        def split(values: Sequence[Any]) -> tuple[Sequence[Any], str, Sequence[Any]]:
            """The dials' values, the checkpoint and its settings."""
            own = len(styles.inputs)
            return values[:-own], values[-own], values[1 - own :]

        def consider(photo: str, painting: str, preset: str, *values: Any) -> tuple[str, str]:
            """What the run would take, and the address of these choices."""
            chosen = get(preset)
            values, checkpoint, how = split(values)
            changed = changes(chosen, values)
            try:
                extra = instant.changes(instant.settings(*how)) if checkpoint else {}
                query = link.write(
                    preset,
                    bundled_name(photo, photos()),
                    bundled_name(painting, paintings()),
                    checkpoint,
                    changed | extra,
                )
                recipe = apply(chosen, changed)
                sizes = (_opened(photo).size, _opened(painting).size)
                return f"Takes {describe(estimate(recipe, *sizes))}.", query
            except (TypeError, *EXPECTED) as error:
                missing = "Choose a photo and a painting."
                return f"⚠ {missing if isinstance(error, TypeError) else error}", gr.skip()

        def check(photo: str, painting: str, preset: str, *values: Any) -> list[dict[str, Any]]:
            """A sentence under each field that cannot be used."""
            chosen = get(preset)
            values, *_ = split(values)
            wrong = blamed(chosen, changes(chosen, values))
            fields = [_picture_problem(photo, "photo"), _picture_problem(painting, "painting"), ""]
            fields += [wrong.get(name, "") for name in dials] + [""] * len(styles.inputs)
            return [gr.validate(not problem, problem) for problem in fields]

        def prepare(request: gr.Request, *_: Any) -> tuple[Any, ...]:
            runs.begin(request)
            busy = gr.Button("Painting …", interactive=False)
            waits = (
                "<p><b>Starting …</b></p><p class='hint'>One picture is painted at a time; "
                "your place in the queue is shown here.</p>"
            )
            off = gr.DownloadButton(interactive=False)
            return busy, gr.Button(visible=True), off, off, off, waits

        def rest(checkpoint: str, *files: str | None) -> tuple[Any, ...]:
            again = gr.Button(REFINE if checkpoint else PAINT, interactive=True)
            ready = (gr.DownloadButton(interactive=bool(file)) for file in files)
            return again, gr.Button(visible=False), *ready

        def paint(
            request: gr.Request, photo: str, painting: str, preset: str, *values: Any
        ) -> Iterator[tuple[Any, ...]]:
            """Paint the photo in the style of the painting; from a checkpoint's result, if any."""
            try:
                if runs.stopped(request):  # while it waited for its turn
                    yield tuple(gr.skip() for _ in outputs)
                    return
                chosen = get(preset)
                values, checkpoint, how = split(values)
                recipe = apply(chosen, changes(chosen, values))
                pictures = _both(photo, painting)
                start = None
                if checkpoint:
                    recipe = recipe.but({"start.image": "picture"})
                    loaded = load(offered(checkpoint))
                    start = last(fast(pictures[0], loaded, instant.settings(*how))).picture
                seconds = estimate(recipe, *(picture.size for picture in pictures)).seconds
                if seconds > MOST_SECONDS:
                    raise TooLarge(
                        f"This would take about {duration(seconds)}; "
                        f"the limit is {duration(MOST_SECONDS)}. A smaller size or fewer "
                        "iterations will fit."
                    )
                steps = stylize(*pictures, recipe, start=start)
                sources = (preset, *_labels(photo, painting))
                label = "-".join((*sources[1:], preset))
                stopped = lambda: runs.stopped(request)  # noqa: E731
                size = recipe.level_sizes(pictures[0].size)[-1]
                size = fit(size, min(PREVIEW_SIDE, max(size)))
                lapse = TimeLapse(recipe)
                yield from watched(steps, size, lapse, stopped, sources, label)
            except EXPECTED as error:
                raise gr.Error(str(error), title="This cannot be painted") from error
            except gr.Error:
                raise
            except Exception as error:
                logging.exception("A run failed")
                raise gr.Error("Something went wrong here. Please try again.") from error
            finally:
                runs.end(request)

        def at_once(
            request: gr.Request, photo: str, checkpoint: str, *how: Any
        ) -> Iterator[tuple[Any, ...]]:
            """Paint the photo with a trained network, in one pass."""
            unchanged = tuple(gr.skip() for _ in outputs)
            if not checkpoint or not photo or runs.going(request):
                yield unchanged
                return
            try:
                chosen = instant.settings(*how)
                picture = _opened(photo)
                for found in instant.fetched(checkpoint):
                    if isinstance(found, str):
                        yield found, *unchanged[1:]
                result = last(fast(picture, found, chosen))
                label = bundled_name(photo, photos()) or "photo"
                yield from instant.shown(result, label)
            except EXPECTED as error:
                raise gr.Error(str(error), title="This cannot be painted") from error
            except Exception as error:
                logging.exception("An instant result failed")
                raise gr.Error("Something went wrong here. Please try again.") from error

        def use(checkpoint: str, selected: int | None) -> tuple[Any, ...]:
            """Everything that changes with the choice of a checkpoint."""
            entry = offered(checkpoint)
            credit = paintings().get(entry.style)
            return (
                entry.name,
                instant.about(entry.name),
                gr.Group(visible=True),
                str(credit.path) if credit else gr.skip(),
                gr.Button(REFINE, interactive=True),
                gr.Button(visible=False),
                gr.Gallery(selected_index=selected),
                gr.Gallery(selected_index=None),
                gr.Gallery(selected_index=list(paintings()).index(entry.style) if credit else None),
            )

        def choose_style(request: gr.Request, event: gr.SelectData) -> tuple[Any, ...]:
            runs.end(request)
            return *use(style_names[event.index], event.index), None

        def choose_remote(request: gr.Request, text: str | None) -> tuple[Any, ...]:
            if not text:
                return tuple(gr.skip() for _ in in_use)
            runs.end(request)
            try:
                return use(text, None)
            except EXPECTED as error:
                raise gr.Error(str(error), title="This cannot be used") from error

        def choose_preset(event: gr.SelectData) -> tuple[Any, ...]:
            chosen = all_presets()[names[event.index]]
            return chosen.name, _about(chosen), *shown(chosen.recipe).values(), *paint_again()

        def paint_again() -> tuple[Any, ...]:
            """Leaves the checkpoint for the optimization."""
            return "", gr.Group(visible=False), gr.Button(PAINT), gr.Gallery(selected_index=None)

        def restore(request: gr.Request) -> tuple[Any, ...]:
            place = link.read(dict(request.query_params))
            if place.lost:
                gr.Warning(f"The link was damaged; not restored: {', '.join(place.lost)}.")
            values = shown(place.recipe)
            return (
                str(photos()[place.photo].path),
                str(paintings()[place.painting].path),
                place.preset.name,
                *values.values(),
                place.checkpoint,
                place.instant.strength,
                place.instant.keep_colors,
                place.instant.size,
                gr.Gallery(
                    selected_index=None if place.checkpoint else names.index(place.preset.name)
                ),
                gr.Gallery(selected_index=list(photos()).index(place.photo)),
                gr.Gallery(selected_index=list(paintings()).index(place.painting)),
                instant.about(place.checkpoint) if place.checkpoint else _about(place.preset),
                gr.Group(visible=bool(place.checkpoint)),
                gr.Gallery(
                    selected_index=style_names.index(place.checkpoint)
                    if place.checkpoint in style_names
                    else None
                ),
                gr.Button(REFINE if place.checkpoint else PAINT),
            )

        think = {"inputs": inputs, "outputs": [foreseen, address], "show_progress": "hidden"}
        think |= {"concurrency_limit": None, "api_visibility": "private"}
        quiet = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}

        leave = [styles.checkpoint, styles.controls, go, styles.cards]
        in_use = [styles.checkpoint, about, styles.controls, painting, go, stop]
        in_use += [styles.cards, cards, painting_strip]
        flash = {"inputs": [photo, *styles.inputs], "outputs": outputs}
        flash |= {"show_progress": "hidden", "concurrency_limit": 2, "concurrency_id": "instant"}

        blocks.load(
            restore,
            None,
            [
                *inputs,
                cards,
                photo_strip,
                painting_strip,
                about,
                styles.controls,
                styles.cards,
                go,
            ],
            **quiet,
        ).then(at_once, api_name="fast", **flash).then(consider, **think)
        cards.select(choose_preset, None, [preset, about, *dials.values(), *leave], **quiet).then(
            consider, **think
        )
        reset.click(
            lambda name: list(shown(get(name).recipe).values()), preset, [*dials.values()], **quiet
        ).then(consider, **think)
        photo_strip.select(_chosen(photos()), None, photo, **quiet)
        painting_strip.select(_chosen(paintings()), None, painting, **quiet).then(
            paint_again, None, leave, **quiet
        )
        painting.upload(paint_again, None, leave, **quiet)
        for field in (photo, painting):
            field.change(consider, trigger_mode="always_last", **think)
        # Two views of one setting: each follows the other.
        total, shares = dials[ITERATIONS], dials[SHARES]
        total.input(shared, [preset, total], shares, **quiet).then(consider, **think)
        shares.input(counted, shares, total, **quiet).then(consider, **think)
        gr.on(
            [
                # A text that is pasted is no input to Gradio, only a change.
                component.change if isinstance(component, gr.Textbox) else component.input
                for component in dials.values()
                if component not in (total, shares)
            ],
            consider,
            trigger_mode="always_last",
            **think,
        )
        address.change(None, address, None, js=link.WRITE, api_visibility="private")
        copy.click(None, None, copy, js=link.COPY, api_visibility="private").then(
            None, None, copy, js=link.COPY_AGAIN, api_visibility="private"
        )
        run = go.click(
            prepare, inputs, [go, stop, *files, progress], validator=check, js=TO_PROGRESS, **quiet
        ).success(
            paint,
            inputs,
            outputs,
            concurrency_id="paint",
            concurrency_limit=1,
            show_progress_on=[progress],
            scroll_to_output=True,
            api_name="stylize",
        )
        run.then(rest, [styles.checkpoint, *files], [go, stop, *files], **quiet)
        stop.click(runs.stop, None, None, **quiet)
        private = {"api_visibility": "private", **flash}
        for chosen, choose, targets in (
            (styles.cards.select, choose_style, [*in_use, styles.remote]),
            (styles.remote.input, choose_remote, in_use),
        ):
            chosen(
                choose,
                styles.remote if choose is choose_remote else None,
                targets,
                cancels=[run],
                **quiet,
            ).success(at_once, **private).then(consider, **think)
        gr.on(
            [
                photo.change,
                styles.strength.input,
                styles.keep_colors.input,
                styles.size.input,
            ],
            at_once,
            trigger_mode="always_last",
            **private,
        ).then(consider, **think)
        blocks.unload(runs.end)
        for button, field, chooser in (
            (as_photo, photo, photo_strip),
            (as_painting, painting, painting_strip),
        ):
            fed = button.click(
                lambda path: (path, gr.Gallery(selected_index=None)),
                canvas,
                [field, chooser],
                **quiet,
            )
            if field is painting:
                fed.then(paint_again, None, leave, **quiet)
    return blocks


def _example(entry: Entry) -> dict[str, Any]:
    """The gallery's result of a checkpoint, as the page shows a finished one."""
    kept = json.loads(example(entry).with_suffix(".json").read_text("utf-8"))
    picture = open_picture(example(entry))
    photo = resized(open_picture(photos()[kept["photo"]].path), picture.size)
    return {
        "status": f"<p><b>{fast_summary(kept)}</b></p>",
        "picture": str(example(entry)),
        "pair": (photo, picture),
        "report": kept,
    }


def _about(preset: Preset) -> str:
    note = f" {preset.note}" if preset.note else ""
    return f"**{preset.title}.** {preset.summary}\n\n*{preset.source}.*{note}"


def _labels(photo: str, painting: str) -> tuple[str, str]:
    """Names for the files and notes of a result; an upload's own name stays with the visitor."""
    names = bundled_name(photo, photos()), bundled_name(painting, paintings())
    return names[0] or "photo", names[1] or "painting"


def _both(photo: str | None, painting: str | None) -> tuple[Image, Image]:
    for path, kind in ((photo, "photo"), (painting, "painting")):
        if not path:
            raise BadPicture(f"Choose a {kind} first.")
    return _opened(photo), _opened(painting)


@lru_cache(maxsize=4)
def _opened(path: str) -> Image:
    """Gradio names an upload's folder after its content: a path never changes its picture."""
    return open_picture(path)


def _picture_problem(path: str | None, kind: str) -> str:
    if not path:
        return f"Choose a {kind} first."
    try:
        _opened(path)
    except BadPicture as error:
        return str(error)
    return ""


def _chosen(credits: Any) -> Callable[[gr.SelectData], str]:
    paths = [str(credit.path) for credit in credits.values()]

    def chosen(event: gr.SelectData) -> str:
        return paths[event.index]

    return chosen
