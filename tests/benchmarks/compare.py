"""What comparing costs beside painting alone: `python -m tests.benchmarks.compare`.

Four presets on one photo and painting, each by itself and then all in one comparison, which also
measures them. The bound is 1.05 times the sum.
"""

import time

from PIL.Image import Image

from nst.engines.optimize import stylize
from nst.pictures.images import open_picture
from nst.settings.catalog import get, paintings, photos
from nst.steps import last
from nst.study import compare
from nst.study.variants import of_presets

PRESETS = ("tuned", "quick", "showcase", "bn-statistics")
SIZE = 512
BOUND = 1.05


def main() -> None:
    """Prints the seconds of both ways and their ratio."""
    photo = open_picture(photos()["neuschwanstein"].path)
    painting = open_picture(paintings()["starry_night"].path)
    last(stylize(photo, painting, get("quick").recipe.but({"size": SIZE})))  # warms up
    before = _alone(photo, painting)
    began = time.perf_counter()
    *_, end = compare.run(photo, painting, of_presets(PRESETS, SIZE))
    together = time.perf_counter() - began
    for outcome in end.outcomes:
        print(f"{outcome.variant.title}: {outcome.result.report.seconds:.1f} s in the comparison")
    after = _alone(photo, painting)
    alone = (before + after) / 2  # so that a machine that becomes slower or faster does not count
    print(
        f"compared: {together:.1f} s, {together / alone:.3f} times the sum "
        f"{alone:.1f} s ({before:.1f} before, {after:.1f} after; bound {BOUND})"
    )


def _alone(photo: Image, painting: Image) -> float:
    """Seconds of the single runs together."""
    total = 0.0
    for name in PRESETS:
        began = time.perf_counter()
        last(stylize(photo, painting, get(name).recipe.but({"size": SIZE})))
        seconds = time.perf_counter() - began
        print(f"{name}: {seconds:.1f} s alone", flush=True)
        total += seconds
    return total


if __name__ == "__main__":
    main()
