"""Any painting in one pass: `python -m tests.benchmarks.methods`.

A photo of 512 x 384 and a painting of 512 pixels: the first call in this process and the calls
after it, the same at 1024, memory beyond the process's own, and decoder training.
"""

import resource
import time
from itertools import islice

from PIL import Image

from nst.engines.anypainting import Style, stylize
from nst.machine import device
from nst.pictures.images import fit, open_picture, resized
from nst.settings.catalog import paintings, photos
from nst.settings.onepass import all_methods
from nst.settings.training import inverse_training
from nst.steps import last
from nst.training.decoder import train_inverse
from nst.training.fleet import joined
from nst.training.photos import Photos

BOUNDS = {("style-swap", 512): 1.2, ("style-swap", 1024): 8.0, ("adain", 512): 0.5}
FIRST_BOUND = 2.0  # seconds of the first style swap
REPEATS = 3
TRAINING_BOUND = 8.0  # pictures a second
WARM_UP, STEPS = 3, 12


def main() -> None:
    """Prints seconds beside their bounds, and the most memory so far."""
    photo = resized(open_picture(photos()["neuschwanstein"].path), (1024, 768))
    painting = open_picture(paintings()["starry_night"].path)
    began = time.perf_counter()
    _painted("style-swap", photo, painting, 512)
    print(f"style-swap at 512, first: {time.perf_counter() - began:.2f} s (bound {FIRST_BOUND})")
    for size in (512, 1024):
        for name in all_methods():
            seconds = min(_painted(name, photo, painting, size) for _ in range(REPEATS))
            bound = f" (bound {BOUNDS[name, size]})" if (name, size) in BOUNDS else ""
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{name} at {size}: {seconds:.2f} s{bound}; most memory so far {peak:.2f} GB")
    print(f"decoder training at 256: {_trained():.1f} pictures/s (bound {TRAINING_BOUND})")


def _trained() -> float:
    """Pictures a second of the decoder of conv3_1, after the first steps."""
    paths = tuple(credit.path for credit in (*photos().values(), *paintings().values()))
    recipe = inverse_training("conv3_1").recipe.but({"data.side": 256})
    with joined(device()) as fleet:
        steps = train_inverse(Photos(paths), recipe, fleet)
        times = [step.seconds for step in islice(steps, WARM_UP + STEPS)]
        steps.close()
    return STEPS * recipe.data.batch / (times[-1] - times[WARM_UP - 1])


def _painted(name: str, photo: Image.Image, painting: Image.Image, size: int) -> float:
    settings = all_methods()[name].settings.but({"size": size})
    style = resized(painting, fit(painting.size, size))
    began = time.perf_counter()
    last(stylize(photo, [Style(style)], settings))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
