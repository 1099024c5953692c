"""Seconds and memory of a run before it starts, and the correction while it goes on."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nst.machine import PROBE_LAYERS, Calibration, calibration, clock, free_memory
from nst.names import Problem
from nst.nn.style_swap import ROUNDS
from nst.nn.vgg import CHANNELS, NETWORKS
from nst.settings.recipe import LARGEST, SMALLEST, Recipe, SwapSettings

TARGET_SHARE = 0.45  # of a step's work: reading features without a gradient
SEARCH_STEPS = 4.0  # of a usual run, that a search for conv3_1's patches takes at 512 pixels
MEMORY_TRAFFIC = 1e10  # bytes a second, for what L-BFGS reads and writes beside the network
WEIGHTS_BYTES = 120e6  # kernels as they are used and as they are reordered for the processor
RESERVE_BYTES = 150e6  # thread buffers and pictures


class TooLarge(Problem):
    """A run that does not fit the memory; the message has the largest size that does."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take. `levels` are (iterations, seconds a step); memory is in bytes."""

    levels: tuple[tuple[int, float], ...]
    preparation: float
    memory: float

    @property
    def seconds(self) -> float:
        """Seconds of the whole run."""
        return self.preparation + self._of_steps(0, self.iterations)

    @property
    def iterations(self) -> int:
        """Steps of all levels."""
        return sum(iterations for iterations, _ in self.levels)

    def seconds_left(self, done: int, elapsed: float) -> float:
        """After `done` steps in `elapsed` seconds: the estimate for the rest, corrected by both.

        The first steps count little, so that the figure does not jump.
        """
        expected = self.preparation + self._of_steps(0, done)
        trust = min(1.0, done / max(10, self.iterations / 10))
        correction = 1 + trust * (elapsed / max(expected, 1e-6) - 1)
        return correction * self._of_steps(done, self.iterations)

    def _of_steps(self, first: int, last: int) -> float:
        total, index = 0.0, 0
        for iterations, seconds in self.levels:
            inside = max(0, min(last, index + iterations) - max(first, index))
            total += inside * seconds
            index += iterations
        return total


def estimate(
    recipe: Recipe,
    photo: tuple[int, int],
    painting: tuple[int, int],
    precision: str | None = None,
    machine: Calibration | None = None,
) -> Estimate:
    """What a run takes on pictures of these sizes (width, height), by default on this machine."""
    machine = machine or calibration()
    precision = precision or machine.precision
    slope = machine.per_pixel if precision == machine.precision else machine.float32_per_pixel
    work = work_per_pixel(recipe.backbone.network, recipe.layers)
    work /= work_per_pixel("vgg19", PROBE_LAYERS)
    history = recipe.optimizer.history if recipe.optimizer.name == "lbfgs" else 2
    levels, preparation = [], 0.0
    for size, iterations in zip(recipe.level_sizes(photo), recipe.pyramid.iterations, strict=True):
        pixels = size[0] * size[1]
        remembered = min(history, iterations) * pixels * 3 * 4
        seconds = machine.fixed + work * slope * pixels + 4 * remembered / MEMORY_TRAFFIC
        levels.append((iterations, seconds))
        read = pixels + _painting_pixels(recipe, size, painting)
        preparation += TARGET_SHARE * work * slope * read
        if recipe.swaps:
            preparation += search_steps(recipe.content.layers, recipe.swap) * slope * pixels
    memory = _memory(recipe, photo, painting, 4 if precision == "float32" else 2)
    return Estimate(tuple(levels), preparation, memory)


def search_steps(layers: Iterable[str], swap: SwapSettings) -> float:
    """Steps of a usual run, with conv1_1 to conv5_1, that finding patches takes.

    As many patches of the painting are searched at any size; the photo's grow with its pixels.
    """
    positions = sum(4.0 ** (3 - int(layer[4])) for layer in layers)
    return SEARCH_STEPS * positions * (1 + ROUNDS * (swap.balance > 0))


def refuse_if_too_large(
    recipe: Recipe, photo: tuple[int, int], painting: tuple[int, int], precision: str
) -> None:
    """Raises `TooLarge` if the run needs more memory than is free."""
    itemsize, free = (4 if precision == "float32" else 2), free_memory()
    needed = _memory(recipe, photo, painting, itemsize)
    if needed <= free:
        return
    need = f"{recipe.size} pixels need {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free."
    sizes = range(SMALLEST, min(recipe.size, LARGEST), 32)
    fitting = [
        size
        for size in sizes
        if _memory(recipe.model_copy(update={"size": size}), photo, painting, itemsize) <= free
    ]
    advice = f"The largest size that fits is {fitting[-1]}." if fitting else "No size fits now."
    raise TooLarge(f"{need} {advice}")


def refuse_if_longer(
    seconds: Callable[[], float], most: float, refusal: Callable[[str], Problem]
) -> float:
    """What `seconds` foresees on this machine. Raises the `refusal` of a sentence if above `most`.

    It is asked again after the machine was measured once more: others may have used it the last
    time.
    """
    if not seconds() <= most:
        clock().renew()
    foreseen = seconds()
    if not foreseen <= most:
        raise refusal(f"This would take about {duration(foreseen)}; the limit is {duration(most)}.")
    return foreseen


def _painting_pixels(recipe: Recipe, size: tuple[int, int], painting: tuple[int, int]) -> float:
    if not (recipe.reads_style or recipe.swaps):
        return 0.0
    width, height = size if recipe.style.fit == "crop" else painting
    return (max(size) * recipe.style.scale) ** 2 * min(width, height) / max(width, height)


def _cut(network: str, layers: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """(layer, block, channels) of every convolution that a run passes through."""
    names = NETWORKS[network].layers
    names = names[: 1 + max(names.index(layer) for layer in layers)]
    return [(name, int(name[4]) - 1, CHANNELS[int(name[4]) - 1]) for name in names]


def work_per_pixel(network: str, layers: tuple[str, ...]) -> float:
    """Multiplications of a forward pass, a pixel of the picture."""
    total, before = 0.0, 3
    for _, block, channels in _cut(network, layers):
        total += 9 * before * channels / 4**block
        before = channels
    return total


def _memory(
    recipe: Recipe, photo: tuple[int, int], painting: tuple[int, int], itemsize: int
) -> float:
    size = recipe.level_sizes(photo)[-1]
    pixels = size[0] * size[1]
    kept = 0.0
    for name, block, channels in _cut(recipe.backbone.network, recipe.layers):
        kept += channels / 4**block * itemsize
        if name.endswith("_1") and block:
            index = 8 if recipe.backbone.pooling == "max" else 0
            kept += CHANNELS[block - 1] / 4**block * (itemsize + index)
    passing = CHANNELS[0] * (4 * itemsize + 2 * 4)  # gradients, and float32 rows for a Gram matrix
    history = 2 * recipe.optimizer.history if recipe.optimizer.name == "lbfgs" else 2
    variable = 3 * 4 * (min(history, 2 * recipe.iterations) + 12)
    aside = _painting_pixels(recipe, size, painting) * passing
    step = pixels * (kept + passing + variable)
    return WEIGHTS_BYTES + RESERVE_BYTES + max(step, aside)


def describe(foreseen: Estimate) -> str:
    """`about 12 s, 0.6 GB`."""
    return f"about {duration(max(1, foreseen.seconds))}, {foreseen.memory / 1e9:.1f} GB of memory"


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `20 min` or `1 h 5 min`; `forever` for what is not finite."""
    if not math.isfinite(seconds):
        return "forever"
    seconds = max(0, round(seconds))
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s".removesuffix(" 0 s")
    return f"{seconds // 3600} h {seconds % 3600 // 60} min".removesuffix(" 0 min")
