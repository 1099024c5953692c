"""What the main page answers: runs of the engines, as its outputs, and checks before them."""

import html
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gradio as gr
from PIL.Image import Image

from nst.arbitrary import Style
from nst.estimate import Estimate, TooLarge, describe, duration
from nst.fast import FastSettings
from nst.hub import Loaded, cached, load, offered
from nst.images import fit
from nst.methods import MethodSettings, all_methods
from nst.names import Problem
from nst.outputs import TimeLapse, fast_summary, method_summary
from nst.pages import anypainting, instant, link
from nst.pages.dials import ITERATIONS, NAMES, apply, blamed, changes
from nst.pages.live import Runs, watched
from nst.pages.parts import (
    both,
    bundled_name,
    labels,
    opened,
    picture_problem,
    refusal,
    sentence,
)
from nst.presets import Preset, get, paintings, photos
from nst.recipe import BadSetting, Recipe
from nst.steps import Result, Step, last

Stylizer = Callable[..., Iterator[Step]]
Estimator = Callable[[Recipe, tuple[int, int], tuple[int, int]], Estimate]
Instant = Callable[[Image, Loaded, FastSettings], Iterator[Step]]
Arbitrary = Callable[[Image, Sequence[Style], MethodSettings], Iterator[Step]]

PAINT, REFINE = "Stylize", "Refine"  # what the button does, from the photo or from a result
REFINING_STEPS = 40  # at least, from an instant result
PREVIEW_SIDE = 768  # of pictures sent while it is being painted
MOST_SECONDS = 1800  # a visitor may not hold the only slot longer
OUTPUTS = 9  # of a run, in the order of `nst.pages.live`
UNCHANGED = tuple(gr.skip() for _ in range(OUTPUTS))
INSTANT_INPUTS = instant.INPUTS + anypainting.INPUTS


@dataclass(frozen=True)
class Answers:
    """To the page's events.

    Inputs are photo, painting, preset, the dials, the instant inputs, and those for any painting.
    """

    stylize: Stylizer
    estimate: Estimator
    fast: Instant
    arbitrary: Arbitrary
    runs: Runs = field(default_factory=Runs)

    def consider(self, photo: str, painting: str, preset: str, *values: Any) -> tuple[str, str]:
        """What the run would take, and the address of these choices."""
        chosen = get(preset)
        values, checkpoint, how, own = _split(values)
        changed = changes(chosen, values)
        try:
            extra = _in_address(checkpoint, how, own)
            query = link.write(
                preset,
                bundled_name(photo, photos()),
                bundled_name(painting, paintings()),
                checkpoint,
                changed | extra,
            )
            recipe = _planned(chosen, changed, checkpoint, how)
            sizes = (opened(photo).size, opened(painting).size)
            return f"Takes {describe(self.estimate(recipe, *sizes))}.", query
        except (TypeError, Problem) as error:
            missing = "Choose a photo and a painting."
            return f"⚠ {missing if isinstance(error, TypeError) else error}", gr.skip()

    def check(self, photo: str, painting: str, preset: str, *values: Any) -> list[dict[str, Any]]:
        """A sentence under each field that cannot be used."""
        chosen = get(preset)
        values, *_ = _split(values)
        wrong = blamed(chosen, changes(chosen, values))
        fields = [picture_problem(photo, "photo"), picture_problem(painting, "painting"), ""]
        fields += [wrong.get(name, "") for name in NAMES] + [""] * INSTANT_INPUTS
        return [gr.validate(not problem, problem) for problem in fields]

    def prepare(self, request: gr.Request, *_: Any) -> tuple[Any, ...]:
        """The page while a run waits for its turn."""
        self.runs.begin(request)
        self.runs.turn(request)
        busy = gr.Button("Painting …", interactive=False)
        waits = (
            "<p><b>Starting …</b></p><p class='hint'>One picture is painted at a time; "
            "your place in the queue is shown here.</p>"
        )
        off = gr.DownloadButton(interactive=False)
        return busy, gr.Button(visible=True), off, off, off, waits

    def rest(self, request: gr.Request, checkpoint: str, *files: str | None) -> tuple[Any, ...]:
        """The page after a run."""
        self.runs.end(request)
        again = gr.Button(REFINE if checkpoint else PAINT, interactive=True)
        ready = (gr.DownloadButton(interactive=bool(file)) for file in files)
        return again, gr.Button(visible=False), *ready

    def paint(
        self, request: gr.Request, photo: str, painting: str, preset: str, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Paint the photo in the style of the painting; from a checkpoint's result, if any."""
        run = self.runs.of(request) or threading.Event()
        try:
            if run.is_set():  # while it waited for its turn
                yield UNCHANGED
                return
            chosen = get(preset)
            values, checkpoint, how, own = _split(values)
            recipe = _planned(chosen, changes(chosen, values), checkpoint, how)
            pictures = both(photo, painting)
            start = None
            if checkpoint in all_methods():
                start = self._moved(photo, painting, checkpoint, how, own).picture
            elif checkpoint:
                entry = offered(checkpoint)
                if not cached(entry):  # no download may hold the only slot
                    raise BadSetting("Wait until the style has shown its result, then refine it.")
                loaded = load(entry)
                start = last(self.fast(pictures[0], loaded, instant.settings(*how))).picture
            seconds = self.estimate(recipe, *(picture.size for picture in pictures)).seconds
            if seconds > MOST_SECONDS:
                raise TooLarge(
                    f"This would take about {duration(seconds)}; "
                    f"the limit is {duration(MOST_SECONDS)}. A smaller size or fewer "
                    "iterations will fit."
                )
            steps = self.stylize(*pictures, recipe, start=start)
            sources = (preset, *labels(photo, painting))
            label = "-".join((*sources[1:], preset))
            size = recipe.level_sizes(pictures[0].size)[-1]
            size = fit(size, min(PREVIEW_SIDE, max(size)))
            lapse = TimeLapse(recipe)
            yield from watched(steps, size, lapse, run.is_set, sources, label)
        except Problem as error:
            raise refusal(error) from error
        except gr.Error:
            raise
        except Exception as error:
            logging.exception("A run failed")
            raise gr.Error("Something went wrong here. Please try again.") from error
        finally:
            self.runs.finish(request, run)

    def at_once(
        self,
        request: gr.Request,
        photo: str,
        checkpoint: str,
        strength: float,
        keep_colors: bool,
        size: float,
    ) -> Iterator[tuple[Any, ...]]:
        """Paint the photo with a trained network, in one pass."""
        trained = checkpoint and checkpoint not in all_methods()
        if not trained or not photo or self.runs.of(request):
            yield UNCHANGED
            return

        def answer() -> Iterator[tuple[Any, ...]]:
            chosen = instant.settings(strength, keep_colors, size)
            picture = opened(photo)
            turn = self.runs.turn(request)
            for found in instant.fetched(checkpoint):
                if self.runs.overtaken(request, turn):
                    yield UNCHANGED
                    return
                if isinstance(found, str):
                    yield found, *UNCHANGED[1:]
            result = last(self.fast(picture, found, chosen))
            if self.runs.overtaken(request, turn):
                yield UNCHANGED
                return
            name = bundled_name(photo, photos()) or "photo"
            report = {"photo": name, **result.report}
            label = f"{name}-{report['checkpoint']['name']}"
            yield from instant.shown(result, report, label, fast_summary(report))

        yield from _explained(answer())

    def any_at_once(
        self,
        request: gr.Request,
        photo: str,
        painting: str,
        method: str,
        strength: float,
        keep_colors: bool,
        size: float,
        *own: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Paint the photo like any painting, in one pass."""
        if method not in all_methods() or not (photo and painting) or self.runs.of(request):
            yield UNCHANGED
            return

        def answer() -> Iterator[tuple[Any, ...]]:
            how = (strength, keep_colors, size)
            turn = self.runs.turn(request)
            title = html.escape(all_methods()[method].title)
            yield f"<p><b>Painting: {title} …</b></p>", *UNCHANGED[1:]
            result = self._moved(photo, painting, method, how, own)
            if self.runs.overtaken(request, turn):
                yield UNCHANGED
                return
            names = labels(photo, painting)
            report = {"method": method, "photo": names[0], "painting": names[1], **result.report}
            label = "-".join((*names, method))
            yield from instant.shown(result, report, label, method_summary(report))

        yield from _explained(answer())

    def _moved(
        self, photo: str, painting: str, method: str, how: Sequence[Any], own: Sequence[Any]
    ) -> Result:
        """The result of a method for any painting."""
        instant.settings(*how)
        chosen = anypainting.settings(method, *how, *own)
        return _painted_at_once(self.arbitrary, photo, painting, chosen, tuple(own))


@lru_cache(8)
def _painted_at_once(
    engine: Arbitrary, photo: str, painting: str, chosen: MethodSettings, own: tuple[Any, ...]
) -> Result:
    """Kept, as a link, Refine and a card that is chosen again ask for the same once more."""
    pictures = opened(photo), opened(painting)
    styles = [Style(pictures[1]), *anypainting.mixed(*own)]
    sizes = (picture.size for picture in pictures)
    anypainting.refuse_if_too_long(chosen, *sizes, len(styles))
    return last(engine(pictures[0], styles, chosen))


def _explained(answer: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """An instant answer, whose errors are said above the picture and in a note."""
    try:
        yield from answer
    except Problem as error:
        yield f"<p><b>⚠ {html.escape(sentence(error))}</b></p>", *UNCHANGED[1:]
        raise refusal(error) from error
    except Exception as error:
        logging.exception("An instant result failed")
        raise gr.Error("Something went wrong here. Please try again.") from error


def _in_address(checkpoint: str, how: Sequence[Any], own: Sequence[Any]) -> dict[str, Any]:
    """The changed settings of an instant style. Raises `BadSetting`."""
    if not checkpoint:
        return {}
    chosen = instant.settings(*how)
    if checkpoint in all_methods():
        default = all_methods()[checkpoint].settings.strength
        return instant.changes(chosen, default) | anypainting.changes(checkpoint, own)
    return instant.changes(chosen)


def _planned(
    preset: Preset, changed: Mapping[str, Any], checkpoint: str, how: Sequence[Any]
) -> Recipe:
    """The recipe of a run. From an instant result it works at that size, and on the finest scale.

    Coarse scales would blur the result away. What the visitor set is kept. Raises `BadSetting`.
    """
    recipe = apply(preset, changed)
    if not checkpoint:
        return recipe
    own: dict[str, object] = {"start.image": "picture"}
    if "size" not in changed:
        own["size"] = instant.settings(*how).size
    if not any(name == ITERATIONS or name.startswith("pyramid.") for name in changed):
        steps = max(REFINING_STEPS, recipe.pyramid.iterations[-1])
        own |= {"pyramid.scales": (1.0,), "pyramid.iterations": (steps,)}
    return recipe.but(own)


def _split(values: Sequence[Any]) -> tuple[Sequence[Any], str, Sequence[Any], Sequence[Any]]:
    """The dials' values, the checkpoint or method, its settings, and those for any painting."""
    dials, rest = values[:-INSTANT_INPUTS], values[-INSTANT_INPUTS:]
    return dials, rest[0], rest[1 : instant.INPUTS], rest[instant.INPUTS :]
