"""Many runs on the same pictures, one after the other, each measured when it is done.

Comparisons, sweeps and the figures of the reports are all lists of variants that `run` paints.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from nst.engines.optimize import Memory, losses_of
from nst.engines.painters import COMMON
from nst.names import Problem
from nst.pictures.images import open_picture
from nst.settings.catalog import get, paintings, photos
from nst.steps import Losses, Result, Step
from nst.study.judge import Judge, measuring_network
from nst.study.measures import Appearance, Measures, appearance
from nst.study.variants import RESULT, Variant, seconds


@dataclass(frozen=True)
class Outcome:
    """A variant that is done: its result and numbers, or a sentence why there is none."""

    variant: Variant
    result: Result | None = None
    measures: Measures | None = None
    looks: Appearance | None = None
    common: Losses | None = None
    measured_by: str = ""
    error: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a comparison is. `step` is of the `painting` variant; both are None at the end.

    `share` is what is done, 0 to 1, by time; it never falls.
    """

    variants: Sequence[Variant]
    outcomes: tuple[Outcome, ...]
    painting: Variant | None
    step: Step | None
    seconds: float
    seconds_left: float
    share: float


Recall = Callable[[Variant, Image, Image], Outcome | None]
Keep = Callable[[Outcome, Image, Image], None]
Painted = Generator[Progress, None, Result]


def run(
    photo: Image,
    painting: Image,
    variants: Sequence[Variant],
    *,
    recall: Recall = lambda variant, photo, painting: None,
    keep: Keep = lambda outcome, photo, painting: None,
) -> Iterator[Progress]:
    """Paints each variant; yields after every step and after every variant.

    A variant that fails leaves its sentence and the others go on. Closing the generator stops; the
    outcomes that were yielded are whole. `recall` may know an outcome already, and `keep` is shown
    each new one.
    """
    run_ = _Comparison(photo, painting, variants)
    yield run_.progress(None, None)
    for number, variant in enumerate(variants):
        new = False
        try:
            pictures = run_.pictures(variant)
            outcome = recall(variant, *pictures)
            if new := outcome is None:
                result = yield from run_.painted(variant, pictures)
                outcome = run_.measured(variant, result)
        except Problem as error:
            outcome, new = Outcome(variant, error=str(error)), False
        except Exception:
            logging.exception("A variant failed")
            outcome, new = Outcome(variant, error="Something went wrong here."), False
        if new:  # what cannot be kept, as on a full disk, ends the run
            keep(outcome, *pictures)
        run_.outcomes.append(outcome)
        run_.expected[number] = 0
        yield run_.progress(None, None)


class _Comparison:
    """The state of a comparison: what its variants share."""

    def __init__(self, photo: Image, painting: Image, variants: Sequence[Variant]) -> None:
        self.photo, self.painting, self.variants = photo, painting, variants
        self.outcomes: list[Outcome] = []
        self.expected = seconds(variants, photo.size, painting.size)
        self.memories: dict[tuple[int, int], Memory] = {}
        self.judges: dict[tuple[Any, ...], Judge] = {}
        self.opened: dict[str, Image] = {}
        self.began = time.perf_counter()
        self.share = 0.0

    def progress(self, variant: Variant | None, step: Step | None) -> Progress:
        left = sum(self.expected)
        if step:
            number = len(self.outcomes)
            left += step.seconds_left - self.expected[number]
        elif not variant and len(self.outcomes) < len(self.variants):
            variant = self.variants[len(self.outcomes)]
        done, left = time.perf_counter() - self.began, max(0.0, left)
        self.share = max(self.share, done / (done + left)) if variant else 1.0
        outcomes = tuple(self.outcomes)
        return Progress(self.variants, outcomes, variant, step, done, left, self.share)

    def pictures(self, variant: Variant) -> tuple[Image, Image]:
        """The photo and the painting of a variant."""
        return (
            self._picture(variant.photo, photos(), self.photo),
            self._picture(variant.painting, paintings(), self.painting),
        )

    def _picture(self, source: str, bundled: Any, given: Image) -> Image:
        if not source:
            return given
        if not source.startswith(RESULT):
            if source not in self.opened:  # once: memories and judges know pictures by identity
                self.opened[source] = open_picture(bundled[source].path)
            return self.opened[source]
        title = source.removeprefix(RESULT)
        found = next((o for o in self.outcomes if o.variant.title == title), None)
        if found is None or found.result is None:
            raise Problem(f"It needs the result of “{title}”, which failed.")
        return found.result.picture

    def painted(self, variant: Variant, pictures: tuple[Image, Image]) -> Painted:
        """The steps of a variant; returns its result."""
        memory = self.memories.setdefault((id(pictures[0]), id(pictures[1])), {})
        for step in variant.painter.paint(*pictures, memory):
            if step.result:
                return step.result
            yield self.progress(variant, step)
        raise RuntimeError("the run ended without a result")

    def measured(self, variant: Variant, result: Result) -> Outcome:
        """The result with its numbers.

        A fed-back result is judged beside the pictures that everything began with.
        """
        photo, painting = (
            self._picture("" if source.startswith(RESULT) else source, bundled, given)
            for source, bundled, given in (
                (variant.photo, photos(), self.photo),
                (variant.painting, paintings(), self.painting),
            )
        )
        network = measuring_network(variant.painter.backbone())
        size = result.picture.size
        key = (id(photo), id(painting), size, network)
        if key not in self.judges:
            self.judges[key] = Judge.of(photo, painting, size, network=network)
        memory = self.memories.setdefault((id(photo), id(painting)), {})
        return Outcome(
            variant,
            result,
            self.judges[key].measure(result.picture),
            appearance(result.picture),
            losses_of(result.picture, photo, painting, get(COMMON).recipe, memory),
            network,
        )
