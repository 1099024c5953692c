"""What a picture looks like by itself: color and detail as numbers.

The reports describe results as saturated, warm, cold or detailed; these numbers stand for those
words.
"""

from dataclasses import dataclass

import numpy as np
from PIL.Image import Image
from skimage.color import rgb2lab
from skimage.filters import sobel


@dataclass(frozen=True)
class Appearance:
    """Of one picture.

    chroma: mean distance from gray, √(a² + b²) in CIELAB, 0 to about 130; higher is more saturated.
    warmth: mean b of CIELAB, blue below 0 and yellow above it.
    detail: mean Sobel gradient of the lightness, √2 for a slope of one L a pixel; higher is busier.
    """

    chroma: float
    warmth: float
    detail: float


def appearance(picture: Image) -> Appearance:
    """Of an RGB picture. CIELAB as in CIE 1976, for D65."""
    lab = rgb2lab(np.asarray(picture))
    return Appearance(
        chroma=float(np.hypot(lab[..., 1], lab[..., 2]).mean()),
        warmth=float(lab[..., 2].mean()),
        detail=float(sobel(lab[..., 0]).mean()),
    )
