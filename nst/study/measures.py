"""Measures of a result that are independent of the objective that made it.

A loss says how well an optimizer did, in units of its own weights, and every recipe has another
one. Here a result is compared with its photo and its painting by the backbone that did not paint
it, and by measures that no recipe minimizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from skimage.color import rgb2lab
from skimage.filters import sobel
from skimage.metrics import structural_similarity
from torch import Tensor

from nst.nn.losses import gram_matrix
from nst.nn.vgg import CPU, Backbone
from nst.pictures.images import fit, resized, to_tensor

CONTENT_LAYER = "conv4_2"
STYLE_LAYERS = tuple(f"conv{block}_1" for block in range(1, 6))
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Wang et al. 2004
WINDOW, DEVIATION = 11, 1.5  # of the structural similarity, in pixels
PATCH, SCALES = 7, (1.0, 0.5, 0.25)
POSITIONS = 4096  # of patches in a picture, whatever its size
LEVELS = 4096  # of the quantile functions that are compared
DIRECTIONS, SEED = 64, 0

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Measure:
    """What a number of `Measures` is: for the heads of tables, and their help."""

    label: str
    unit: str
    higher_is_better: bool
    help: str

    @property
    def direction(self) -> str:
        """`higher is better` or `lower is better`."""
        return f"{'higher' if self.higher_is_better else 'lower'} is better"


@dataclass(frozen=True)
class Measures:
    """The numbers of one result. `MEASURES` says of each field what it is."""

    ssim: float
    features: float
    gram: float
    patches: float
    colors: float
    noise: float
    content: float
    style: float


MEASURES: Mapping[str, Measure] = {
    "ssim": Measure(
        "Structural similarity",
        "",
        True,
        "of the brightness of result and photo; 1: the same (Wang et al. 2004)",
    ),
    "features": Measure(
        "Feature distance",
        "",
        False,
        "from the photo, in conv4_2 of the network that did not paint; 0: the same",
    ),
    "gram": Measure(
        "Gram distance",
        "",
        False,
        "from the painting, in five layers of the network that did not paint; 0: the same",
    ),
    "patches": Measure(
        "Patch distance",
        "gray levels",
        False,
        "from the painting's patches of 7 x 7 pixels at three scales (Karras et al. 2018)",
    ),
    "colors": Measure(
        "Color distance",
        "Delta E",
        False,
        "from the painting's colors, wherever they are (Rabin et al. 2011)",
    ),
    "noise": Measure(
        "Added noise",
        "gray levels",
        False,
        "more than photo and painting have themselves (Immerkær 1996)",
    ),
    "content": Measure(
        "Content", "of 100", True, "how much of the photo is left; 100: the photo, 0: the painting"
    ),
    "style": Measure(
        "Style",
        "of 100",
        True,
        "how much of the painting is there; 100: the painting, 0: the photo",
    ),
}


@dataclass(frozen=True)
class Reading:
    """What the measures need of one picture, each part computed when first asked for."""

    picture: Image
    network: str = "vgg16"

    @cached_property
    def rgb(self) -> Floats:
        """(H, W, 3) in 0..255, float32."""
        return np.asarray(self.picture.convert("RGB"), dtype=np.float32)

    @cached_property
    def luminance(self) -> Floats:
        """(H, W) in 0..255, float64, not rounded."""
        return self.rgb.astype(np.float64) @ np.array(LUMA)

    @property
    def features(self) -> Tensor:
        """(1, C, H, W), activations of `CONTENT_LAYER`, float32."""
        return self._activations[0]

    @property
    def grams(self) -> Sequence[Tensor]:
        """Gram matrices of `STYLE_LAYERS`, float32."""
        return self._activations[1]

    @cached_property
    def _activations(self) -> tuple[Tensor, Sequence[Tensor]]:
        with torch.no_grad():
            image = to_tensor(self.picture.convert("RGB"), CPU)
            found = Backbone(self.network).features(image, {CONTENT_LAYER, *STYLE_LAYERS})
            return found[CONTENT_LAYER], [gram_matrix(found[layer]) for layer in STYLE_LAYERS]

    @cached_property
    def patch_quantiles(self) -> Sequence[Floats]:
        """Quantile functions of the patches, for each of `SCALES`."""
        picture, longest = self.picture.convert("RGB"), max(self.picture.size)
        smaller = (resized(picture, fit(picture.size, longest * scale)) for scale in SCALES)
        return [quantiles(patches(np.asarray(part, dtype=np.float32))) for part in smaller]

    @cached_property
    def color_quantiles(self) -> Floats:
        """Quantile functions of the CIELAB colors of all pixels."""
        return quantiles(rgb2lab(self.rgb / 255).reshape(-1, 3))

    @cached_property
    def noise(self) -> float:
        """See `noise_deviation`."""
        return noise_deviation(self.luminance)


def similarity(result: Reading, photo: Reading) -> float:
    """Mean structural similarity of the luminance of two pictures of one size.

    Mean over x of (2 μᵣμₚ + c₁)(2 σᵣₚ + c₂) / ((μᵣ² + μₚ² + c₁)(σᵣ² + σₚ² + c₂)) in Gaussian
    windows of 11 x 11 pixels. -1..1, higher is better, 1 for equal pictures. Wang et al. 2004,
    equation 13. Pictures below the window's size are mirrored at their edges.
    """
    return float(
        structural_similarity(
            _at_least(result.luminance, WINDOW),
            _at_least(photo.luminance, WINDOW),
            gaussian_weights=True,
            sigma=DEVIATION,
            use_sample_covariance=False,
            data_range=255,
        )
    )


def feature_distance(result: Reading, photo: Reading) -> float:
    """‖F - P‖² / ‖P‖² of the activations of conv4_2, of two pictures of one size.

    0 and more, lower is better, 0 for equal pictures; 1 to 2 for pictures without anything in
    common. Content loss of Gatys et al. 2016, equation 1, without its unit.
    """
    difference = (result.features - photo.features).square().sum()
    return _relative(float(difference), float(photo.features.square().sum()))


def gram_distance(result: Reading, painting: Reading) -> float:
    """Mean over conv1_1 … conv5_1 of ‖G - A‖ / ‖A‖, Frobenius norms of Gram matrices.

    0 and more, lower is better, 0 for equal pictures. Sizes may differ. Style loss of Gatys et al.
    2016, equation 4, each layer with its root and without its unit, so that all layers count.
    """
    pairs = zip(result.grams, painting.grams, strict=True)
    return float(np.mean([_relative(float((g - a).norm()), float(a.norm())) for g, a in pairs]))


def patch_distance(result: Reading, painting: Reading) -> float:
    """Sliced Wasserstein-1 distance of patches of 7 x 7 RGB pixels, mean over three scales.

    See `sliced_distance`. In gray levels, 0 and more, lower is better, 0 for equal pictures; a
    picture brightened by d gray levels is about 0.8 d away. Sizes may differ. After Karras et al.
    2018 ("Progressive growing of GANs", section 5), without their Laplacian pyramid and their
    normalization of contrast and color, which belong to the style here.
    """
    pairs = zip(result.patch_quantiles, painting.patch_quantiles, strict=True)
    return float(np.mean([sliced_distance(ours, theirs) for ours, theirs in pairs]))


def color_distance(result: Reading, painting: Reading) -> float:
    """Sliced Wasserstein-1 distance of the CIELAB colors of all pixels, wherever they are.

    See `sliced_distance`. In units of Delta E (CIE 1976), 0 and more, lower is better, 0 for equal
    colors; colors that are all shifted by d are about d / 2 away. Sizes may differ. Rabin et al.
    2011 ("Wasserstein barycenter and its application to texture mixing").
    """
    return sliced_distance(result.color_quantiles, painting.color_quantiles)


def excess_noise(result: Reading, photo: Reading, painting: Reading) -> float:
    """max(0, σ(result) - max(σ(photo), σ(painting))), σ of `noise_deviation`.

    In gray levels, 0 and more, lower is better. A picture as grainy as its photo or its painting
    has 0: the estimate counts fine texture as noise, and that much is not the painter's fault.
    """
    return max(0.0, result.noise - max(photo.noise, painting.noise))


def noise_deviation(luminance: Floats) -> float:
    """Standard deviation of the noise in (H, W): √(π/2) / 6 · mean |I ∗ N|.

    N is the difference of two Laplacians, [1 -2 1]ᵀ[1 -2 1], which takes planes and edges along
    the axes for clean. In the units of the picture, 0 and more. Immerkær 1996 ("Fast noise variance
    estimation"). 0 for pictures below 3 x 3 pixels.
    """
    response = np.diff(np.diff(luminance, 2, axis=0), 2, axis=1)
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(response).mean()) if response.size else 0.0


def patches(rgb: Floats) -> Floats:
    """(POSITIONS, 147): patches of (H, W, 3), spread evenly, the same places in every picture.

    The places are Roberts' additive recurrence R2 (2018): as even as a grid, but without a period
    that a canvas or a brush could share. Pictures below the patch's size are mirrored.
    """
    rgb = _at_least(rgb, PATCH)
    windows = np.lib.stride_tricks.sliding_window_view(rgb, (PATCH, PATCH), axis=(0, 1))
    plastic = 1.324717957244746  # root of x³ = x + 1
    index = np.arange(1, POSITIONS + 1)[:, None]
    places = index * np.array([1 / plastic, 1 / plastic**2]) % 1
    rows, columns = (places * windows.shape[:2]).astype(int).T
    return windows[rows, columns].reshape(POSITIONS, -1)


def quantiles(points: Floats) -> Floats:
    """(DIRECTIONS, LEVELS): quantile functions of points (N, D), projected onto each direction.

    Exact for N = LEVELS; otherwise the functions' values in the middle of each level.
    """
    middle = (np.arange(LEVELS) + 0.5) / LEVELS
    index = (middle * len(points)).astype(int)
    points = np.asarray(points, dtype=np.float32)
    return np.stack([np.sort(points @ way)[index] for way in directions(points.shape[1])])


@cache
def directions(dimensions: int) -> Floats:
    """(DIRECTIONS, dimensions): unit vectors, always the same, evenly distributed at random."""
    ways = np.random.default_rng(SEED).standard_normal((DIRECTIONS, dimensions))
    return (ways / np.linalg.norm(ways, axis=1, keepdims=True)).astype(np.float32)


def sliced_distance(ours: Floats, theirs: Floats) -> float:
    """Sliced Wasserstein-1 distance of two sets of points, from their `quantiles`.

    Mean over directions θ of ∫ |Q₁(t, θ) - Q₂(t, θ)| dt, Q the quantile function of the points'
    products with θ. In the points' units, 0 and more, 0 for equal distributions. Rabin et al. 2011.
    """
    return float(np.abs(ours - theirs).mean(dtype=np.float64))


def _relative(difference: float, length: float) -> float:
    """Their quotient; of nothing, any difference at all is 1."""
    return difference / length if length > 0 else float(difference > 0)


def _at_least(array: Floats, side: int) -> Floats:
    """(H, W) or (H, W, C), mirrored at the edges until both sides have `side` pixels."""
    missing = [max(0, side - length) for length in array.shape[:2]] + [0] * (array.ndim - 2)
    return np.pad(array, [(m // 2, m - m // 2) for m in missing], mode="symmetric")


@dataclass(frozen=True)
class Appearance:
    """What a picture looks like by itself, in numbers for the words of the reports.

    chroma: mean distance from gray, √(a² + b²) in CIELAB, 0 to about 130; higher is more saturated.
    warmth: mean b of CIELAB, blue below 0 and yellow above it.
    detail: mean Sobel gradient of the lightness, √2 for a slope of one L a pixel; higher is busier.
    """

    chroma: float
    warmth: float
    detail: float


def appearance(picture: Image) -> Appearance:
    """Appearance of an RGB picture. CIELAB as in CIE 1976, for D65."""
    lab = rgb2lab(np.asarray(picture))
    return Appearance(
        chroma=float(np.hypot(lab[..., 1], lab[..., 2]).mean()),
        warmth=float(lab[..., 2].mean()),
        detail=float(sobel(lab[..., 0]).mean()),
    )
