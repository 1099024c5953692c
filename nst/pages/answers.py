"""What the main page answers: runs of the engines, as its outputs, and checks before them."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import gradio as gr
from PIL.Image import Image

from nst.checkpoints.hub import Entry, Loaded, cached, load, offered
from nst.engines.anypainting import Style
from nst.engines.estimate import Estimate, TooLarge, describe, refuse_if_longer
from nst.engines.outputs import TimeLapse
from nst.engines.painters import Optimization, TrainedNetwork
from nst.names import Problem
from nst.pages import anypainting, link, trained
from nst.pages.dials import ITERATIONS, NAMES, apply, blamed, changes
from nst.pages.live import watched
from nst.pages.parts import both, bundled_name, labels, opened, picture_problem
from nst.pages.queue import NEVER_BEGAN, follow, painted
from nst.pages.runs import Run, Steps
from nst.pages.services import Services
from nst.pages.words import literal, refusal, sentence
from nst.pictures.images import fit
from nst.settings.base import BadSetting
from nst.settings.catalog import Preset, get, paintings, photos
from nst.settings.onepass import MethodSettings, TrainedSettings, all_methods
from nst.settings.recipe import Recipe
from nst.steps import Result, Step, last

Stylizer = Callable[..., Iterator[Step]]
Estimator = Callable[[Recipe, tuple[int, int], tuple[int, int]], Estimate]
TrainedEngine = Callable[[Image, Loaded, TrainedSettings], Iterator[Step]]
AnyPaintingEngine = Callable[[Image, Sequence[Style], MethodSettings], Iterator[Step]]
Shown = AsyncIterator[tuple[Any, ...]]

PAGE = link.MAIN

PAINT, REFINE = "Stylize", "Refine"  # what the button does, from the photo or from a result
REFINING_STEPS = 40  # at least, from a result in one pass
PREVIEW_SIDE = 768  # of pictures sent while it is being painted
MOST_SECONDS = 1800  # of one run, since others wait
OUTPUTS = 9  # of a run, in the order of `nst.pages.live`
UNCHANGED = tuple(gr.skip() for _ in range(OUTPUTS))
ONE_PASS_INPUTS = trained.INPUTS + anypainting.INPUTS


@dataclass(frozen=True)
class Answers:
    """What the page's events get.

    Inputs are photo, painting, preset, the dials, those of trained networks and of any painting.
    """

    services: Services
    stylize: Stylizer
    estimate: Estimator
    trained_network: TrainedEngine
    any_painting: AnyPaintingEngine

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
            sizes = [picture.size for picture in both(photo, painting)]
            return literal(f"Takes {describe(self.estimate(recipe, *sizes))}."), query
        except Problem as error:
            missing = "Choose a photo and a painting."
            words = sentence(error) if photo and painting else missing
            return literal(f"⚠ {words}"), gr.skip()

    def check(self, photo: str, painting: str, preset: str, *values: Any) -> list[dict[str, Any]]:
        """A sentence under each field that cannot be used."""
        chosen = get(preset)
        values, *_ = _split(values)
        wrong = blamed(chosen, changes(chosen, values))
        fields = [picture_problem(photo, "photo"), picture_problem(painting, "painting"), ""]
        fields += [wrong.get(name, "") for name in NAMES] + [""] * ONE_PASS_INPUTS
        return [gr.validate(not problem, problem) for problem in fields]

    def prepare(self, request: gr.Request, *_: Any) -> tuple[Any, ...]:
        """The page while a run waits for its turn."""
        self.services.at_once.drop(request, PAGE)
        self.services.runs.begin(request, PAGE, OUTPUTS)
        off = gr.DownloadButton(interactive=False)
        return *_busy(), off, off, off, STARTING

    def rest(self, request: gr.Request, checkpoint: str, *files: str | None) -> tuple[Any, ...]:
        """The page after a run, unless the visitor has begun another meanwhile."""
        if self.services.runs.going_on(request, PAGE):
            return *_busy(), *(gr.skip() for _ in files)
        again = gr.Button(REFINE if checkpoint else PAINT, interactive=True)
        ready = (gr.DownloadButton(interactive=bool(file)) for file in files)
        return again, gr.Button(visible=False), *ready

    def stop(self, request: gr.Request) -> None:
        """Ends the visitor's run, at once where it waits, else after its present step."""
        self.services.runs.stop(request, PAGE)

    def end(self, request: gr.Request) -> None:
        """Ends the visitor's run, and nothing of it is shown any more."""
        self.services.runs.drop(request, PAGE)

    def returned(self, request: gr.Request) -> tuple[Any, ...]:
        """The page of a visitor who comes back to a run that goes on."""
        going_on = self.services.runs.going_on(request, PAGE)
        return _busy() if going_on else (gr.skip(), gr.skip())

    async def resume(self, request: gr.Request) -> Shown:
        """What a run shows that the visitor has not seen to its end."""
        run = self.services.runs.unseen(request, PAGE)
        if run is None:
            yield UNCHANGED
            return
        async for shown in follow(self.services.runs, run, NEVER_BEGAN):
            yield shown

    async def paint(
        self, request: gr.Request, photo: str, painting: str, preset: str, *values: Any
    ) -> Shown:
        """Paint the photo in the style of the painting; from a checkpoint's result, if any."""
        runs = self.services.runs
        run = runs.claim(request, PAGE, OUTPUTS)
        plan = partial(self._plan, photo, painting, preset, values)
        async for shown in painted(runs, run, plan, NEVER_BEGAN):
            yield shown

    def _plan(
        self, photo: str, painting: str, preset: str, values: Sequence[Any]
    ) -> tuple[float, Steps]:
        """Seconds and steps of a run. Raises `Problem`."""
        chosen = get(preset)
        values, checkpoint, how, own = _split(values)
        recipe = _planned(chosen, changes(chosen, values), checkpoint, how)
        Optimization(recipe).refuse_download()
        pictures = both(photo, painting)
        if checkpoint and checkpoint not in all_methods() and not cached(offered(checkpoint)):
            # No download may hold the queue.
            raise BadSetting("Wait until the style has shown its result, then refine it.")
        seconds = self._seconds(recipe, pictures)
        start = partial(self._start, photo, painting, checkpoint, how, own)

        def steps(run: Run) -> Iterator[tuple[Any, ...]]:
            begun = self.stylize(*pictures, recipe, start=start())
            names = labels(photo, painting)
            sources = {"name": preset, "photo": names[0], "painting": names[1]}
            sign = partial(Optimization(recipe).signed, **sources)
            label = "-".join((*names, preset))
            size = recipe.level_sizes(pictures[0].size)[-1]
            size = fit(size, min(PREVIEW_SIDE, max(size)))
            yield from watched(run, begun, size, TimeLapse(recipe.iterations), sign, label)

        return seconds, steps

    def _seconds(self, recipe: Recipe, pictures: tuple[Image, Image]) -> float:
        """What a run takes. Raises `TooLarge` if that is too long."""
        sizes = [picture.size for picture in pictures]
        return refuse_if_longer(
            lambda: self.estimate(recipe, *sizes).seconds,
            MOST_SECONDS,
            lambda words: TooLarge(f"{words} A smaller size or fewer iterations will fit."),
        )

    def _start(
        self, photo: str, painting: str, checkpoint: str, how: Sequence[Any], own: Sequence[Any]
    ) -> Image | None:
        """The result in one pass that a run goes on from."""
        if not checkpoint:
            return None
        if checkpoint in all_methods():
            return self._moved(photo, painting, checkpoint, how, own).picture
        return _trained(
            self.trained_network, photo, offered(checkpoint), trained.settings(*how)
        ).picture

    async def at_once(
        self,
        request: gr.Request,
        photo: str,
        checkpoint: str,
        strength: float,
        keep_colors: bool,
        size: float,
    ) -> Shown:
        """Paint the photo with a trained network, in one pass."""
        is_network = checkpoint and checkpoint not in all_methods()
        if not is_network or not photo or self._has_run(request):
            yield UNCHANGED
            return
        queue = self.services.at_once
        queue.drop(request, PAGE)
        run = queue.begin(request, PAGE, OUTPUTS)

        async def answer() -> Shown:
            chosen = trained.settings(strength, keep_colors, size)
            async for found in trained.fetched(checkpoint):
                if run.over:
                    return
                if isinstance(found, str):
                    yield found, *UNCHANGED[1:]

            def plan() -> tuple[float, Steps]:
                own = TrainedNetwork(chosen, checkpoint)
                seconds = own.expected(opened(photo).size, opened(photo).size)[0]
                return seconds, steps

            def steps(run: Run) -> Iterator[tuple[Any, ...]]:
                result = _trained(self.trained_network, photo, found.entry, chosen)
                name = bundled_name(photo, photos()) or "photo"
                painter = TrainedNetwork(chosen, found.entry.name)
                report = painter.signed(result.report, found.entry.name, name, "")
                yield from trained.shown(run, result, report, f"{name}-{found.entry.name}")

            async for shown in painted(queue, run, plan, gr.skip()):
                yield shown

        try:
            async for shown in answer():
                yield shown
        except Problem as error:
            found = refusal(error)
            yield f"<p><b>⚠ {found.message}</b></p>", *UNCHANGED[1:]
            raise found from None

    async def any_at_once(
        self,
        request: gr.Request,
        photo: str,
        painting: str,
        method: str,
        strength: float,
        keep_colors: bool,
        size: float,
        *own: Any,
    ) -> Shown:
        """Paint the photo like any painting, in one pass."""
        given = photo and painting and method in all_methods()
        if not given or self._has_run(request):
            yield UNCHANGED
            return
        queue = self.services.at_once
        queue.drop(request, PAGE)
        run = queue.begin(request, PAGE, OUTPUTS)

        def plan() -> tuple[float, Steps]:
            how = (strength, keep_colors, size)
            trained.settings(*how)
            chosen = anypainting.settings(method, *how, *own)
            sizes = [picture.size for picture in both(photo, painting)]
            return anypainting.refuse_if_too_long(anypainting.painter(chosen, *own), *sizes), steps

        def steps(run: Run) -> Iterator[tuple[Any, ...]]:
            title = literal(all_methods()[method].title)
            yield f"<p><b>Painting: {title} …</b></p>", *UNCHANGED[1:]
            result = self._moved(photo, painting, method, (strength, keep_colors, size), own)
            names = labels(photo, painting)
            painter = anypainting.painter(all_methods()[method].settings, *own)
            report = painter.signed(result.report, method, *names)
            yield from trained.shown(run, result, report, "-".join((*names, method)))

        async for shown in painted(queue, run, plan, gr.skip()):
            yield shown

    def _has_run(self, request: gr.Request) -> bool:
        """Whether a run shows, or is about to, what a result in one pass would replace."""
        runs = self.services.runs
        return runs.going_on(request, PAGE) or runs.unseen(request, PAGE) is not None

    def _moved(
        self, photo: str, painting: str, method: str, how: Sequence[Any], own: Sequence[Any]
    ) -> Result:
        """The result of a method for any painting."""
        trained.settings(*how)
        chosen = anypainting.settings(method, *how, *own)
        return _painted_at_once(self.any_painting, photo, painting, chosen, tuple(own))


@lru_cache(4)
def _painted_at_once(
    engine: AnyPaintingEngine,
    photo: str,
    painting: str,
    chosen: MethodSettings,
    own: tuple[Any, ...],
) -> Result:
    """Kept, as a link, Refine and a card that is chosen again ask for the same once more."""
    pictures = opened(photo), opened(painting)
    painter = anypainting.painter(chosen, *own)
    anypainting.refuse_if_too_long(painter, *(picture.size for picture in pictures))
    return last(engine(pictures[0], [Style(pictures[1]), *painter.others], chosen))


@lru_cache(4)
def _trained(engine: TrainedEngine, photo: str, entry: Entry, chosen: TrainedSettings) -> Result:
    """Kept, as all visitors first see the same photo and style."""
    return last(engine(opened(photo), load(entry), chosen))


STARTING = (
    "<p><b>Starting …</b></p><p class='hint'>One picture is painted at a time; your place in the "
    "queue is shown here.</p>"
)


def _busy() -> tuple[gr.Button, gr.Button]:
    """The buttons while a run waits or is painted."""
    return gr.Button("Painting …", interactive=False), gr.Button(visible=True)


def _in_address(checkpoint: str, how: Sequence[Any], own: Sequence[Any]) -> dict[str, Any]:
    """The changed settings of a trained style. Raises `BadSetting`."""
    if not checkpoint:
        return {}
    chosen = trained.settings(*how)
    if checkpoint in all_methods():
        default = all_methods()[checkpoint].settings.strength
        return trained.changes(chosen, default) | anypainting.changes(checkpoint, own)
    return trained.changes(chosen)


def _planned(
    preset: Preset, changed: Mapping[str, Any], checkpoint: str, how: Sequence[Any]
) -> Recipe:
    """The recipe of a run. From a result in one pass: at that size, and on the finest scale.

    Coarse scales would blur the result away. What the visitor set is kept. Raises `BadSetting`.
    """
    recipe = apply(preset, changed)
    if not checkpoint:
        return recipe
    own: dict[str, object] = {"start.image": "picture"}
    if "size" not in changed:
        own["size"] = trained.settings(*how).size
    if not any(name == ITERATIONS or name.startswith("pyramid.") for name in changed):
        steps = max(REFINING_STEPS, recipe.pyramid.iterations[-1])
        own |= {"pyramid.scales": (1.0,), "pyramid.iterations": (steps,)}
    return recipe.but(own)


def _split(values: Sequence[Any]) -> tuple[Sequence[Any], str, Sequence[Any], Sequence[Any]]:
    """The dials' values, the checkpoint or method, its settings, and those for any painting."""
    dials, rest = values[:-ONE_PASS_INPUTS], values[-ONE_PASS_INPUTS:]
    return dials, rest[0], rest[1 : trained.INPUTS], rest[trained.INPUTS :]
