"""Judges of results: what they measure against the photo, the painting, and either alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL.Image import Image

from nst.names import Problem, pick
from nst.pictures.images import fit, resized
from nst.study.measures import (
    Measures,
    Reading,
    color_distance,
    excess_noise,
    feature_distance,
    gram_distance,
    patch_distance,
    similarity,
)

OTHER: Mapping[str, str] = {"vgg19": "vgg16", "vgg16": "vgg19"}
TOLERANCE = 1e-6  # below which two references count as the same


class OtherSize(Problem):
    """A result that has not the size its judge was made for."""


def measuring_network(optimized: str) -> str:
    """The backbone that measures what `optimized` painted. Raises `UnknownName`.

    A result can please the network that it was optimized for with patterns that only this network
    sees.
    """
    return pick("network", optimized, OTHER)


@dataclass(frozen=True)
class Judge:
    """Measures results of one photo, one painting and one size.

    `floor` has what the summaries count as nothing: `ssim` and `features` of the painting in the
    place of a result, `gram`, `patches` and `colors` of the photo.
    """

    size: tuple[int, int]
    photo: Reading
    painting: Reading
    floor: Mapping[str, float]

    @classmethod
    def of(
        cls, photo: Image, painting: Image, size: tuple[int, int], network: str = "vgg16"
    ) -> "Judge":
        """For results of `size`, width and height. Raises `UnknownName` for the network.

        `network` should be the one that did not paint; see `measuring_network`. The photo is
        resized to `size`, the painting to the same long side.
        """
        pick("network", network, OTHER)
        ours = Reading(resized(photo, size), network)
        theirs = Reading(resized(painting, fit(painting.size, max(size))), network)
        in_place = Reading(resized(painting, size), network)
        floor = {name: measure(in_place, ours) for name, measure in _OF_PHOTO.items()}
        floor |= {name: measure(ours, theirs) for name, measure in _OF_PAINTING.items()}
        return cls(size, ours, theirs, floor)

    def measure(self, result: Image) -> Measures:
        """Measures a result of the judge's size. Raises `OtherSize`."""
        if result.size != self.size:
            raise OtherSize(
                f"The result has {result.width} × {result.height} pixels, but its judge was made "
                f"for {self.size[0]} × {self.size[1]}. Make another judge for it."
            )
        ours = Reading(result, self.photo.network)
        content = {name: measure(ours, self.photo) for name, measure in _OF_PHOTO.items()}
        style = {name: measure(ours, self.painting) for name, measure in _OF_PAINTING.items()}
        return Measures(
            **content,
            **style,
            noise=excess_noise(ours, self.photo, self.painting),
            content=self._summary(content),
            style=self._summary(style),
        )

    def _summary(self, found: Mapping[str, float]) -> float:
        """100 times the mean of the shares of the way from the floor to the best value.

        Content: (ssim - s₀) / (1 - s₀) and 1 - features / f₀ with the painting's s₀ and f₀, so
        that the photo has 100 and the painting 0. Style: 1 - gram / g₀, 1 - patches / p₀ and
        1 - colors / c₀ with the photo's, so that the painting has 100 and the photo 0. Shares are
        cut to 0..1; higher is better.
        """
        shares = [_share(value, self.floor[name], _BEST[name]) for name, value in found.items()]
        return 100 * float(np.mean(shares))


_Distance = Callable[[Reading, Reading], float]
_OF_PHOTO: Mapping[str, _Distance] = {"ssim": similarity, "features": feature_distance}
_OF_PAINTING: Mapping[str, _Distance] = {
    "gram": gram_distance,
    "patches": patch_distance,
    "colors": color_distance,
}
_BEST = {"ssim": 1.0, "features": 0.0, "gram": 0.0, "patches": 0.0, "colors": 0.0}


def _share(value: float, worst: float, best: float) -> float:
    """How far `value` is from `worst` to `best`, cut to 0..1.

    Where both are the same, as with a photo that is its own painting: 1 for what is as good,
    else 0.
    """
    if abs(best - worst) < TOLERANCE:
        return float(abs(best - value) < TOLERANCE)
    return min(1.0, max(0.0, (value - worst) / (best - worst)))
