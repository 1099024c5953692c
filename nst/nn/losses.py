"""The three losses of a style transfer, as pure functions of features and pictures.

Content compares activations, style compares Gram matrices or other statistics of them, total
variation looks at the picture alone. Papers and programs differ in the statistics and factors;
`STYLE_LOSSES`, `NORMALIZATIONS` and `VARIATIONS` name them.
Whatever the precision of the features, sums are accumulated in float32 (float64 stays float64).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK_BYTES = 2**21  # of float32 rows at a time
DEVIATION_FLOOR = 1e-6  # the square root has no gradient at zero, where a channel is silent
FREQUENCIES = 256  # waves that stand for a Gaussian kernel


@dataclass(frozen=True)
class Normalization:
    """Factors of the squared differences, of C channels and M positions of the result's layer.

    `content` multiplies the sum over F - P, `style` the sum over F Fᵀ / M - A.
    """

    label: str
    content: Callable[[int, int], float]
    style: Callable[[int, int], float]


NORMALIZATIONS: Mapping[str, Normalization] = {
    "mean": Normalization(
        "mean over all entries (Gatys' code, Peng and Zhang)",
        content=lambda c, m: 1 / (c * m),
        style=lambda c, m: 1 / c**2,
    ),
    "paper": Normalization(
        "as printed in Gatys et al. 2015 (Lakić)",
        content=lambda c, m: 1 / 2,
        style=lambda c, m: 1 / (4 * c**2),
    ),
    "channels": Normalization(
        "Gram matrix divided by its channels too (anishathalye/neural-style, Lu)",
        content=lambda c, m: 1 / (c * m),
        style=lambda c, m: 1 / c**4,
    ),
    "sum": Normalization(
        "plain sums (Liu, Wang and Ding, equations 3 and 4)",
        content=lambda c, m: 1.0,
        style=lambda c, m: float(m) ** 2,
    ),
}


def added(parts: Iterable[Tensor]) -> Tensor:
    """Their sum, from the first to the last; of none, 0."""
    return sum(parts, start=torch.tensor(0))


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _positions(features: Tensor) -> Tensor:
    """(1, C, H, W) as (M, C), without a copy where the channels lie last."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def gram_matrix(features: Tensor) -> Tensor:
    """(C, C): F Fᵀ / M of (1, C, H, W) features with M = H W (Gatys et al. 2016, equation 3).

    Divided by the positions, so that pictures of different sizes can be compared.
    """
    return _gram(_positions(features))


def _gram(rows: Tensor) -> Tensor:
    """RᵀR / M of rows (M, C), in blocks that stay in the processor's cache."""
    blocks = _blocks(rows, rows.shape[1])
    with _exact_narrow_products(rows):
        products = (wide.T @ wide for wide in map(_wide, blocks))
        return added(products) / rows.shape[0]


def _blocks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    """The rows in parts, for which `width` float32 numbers a row fit the cache."""
    return rows.split(max(1, BLOCK_BYTES // (4 * width)))


@contextmanager
def _exact_narrow_products(rows: Tensor) -> Iterator[None]:
    """Lets float32 products of numbers that came from bfloat16 run on bfloat16 instructions.

    Nothing is lost: the factors are bfloat16 numbers already, and sums stay float32.
    """
    if rows.dtype != torch.bfloat16:
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def content_loss(features: Tensor, target: Tensor, normalization: str) -> Tensor:
    """Squared difference of two (1, C, H, W) activations (Gatys et al. 2016, equation 1)."""
    _, c, h, w = features.shape
    difference = _wide(features) - _wide(target)
    return difference.square().sum() * NORMALIZATIONS[normalization].content(c, h * w)


class _GramDistance(torch.autograd.Function):
    """‖RᵀR / M - A‖² of rows (M, C), with the gradient 4 R (RᵀR / M - A) / M written out.

    The gradient's product runs in the precision of the features, to which it is rounded in any
    case on its way into the convolutions, and no float32 copy of the features is kept for it.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, target: Tensor) -> Tensor:
        difference = _gram(rows) - target
        ctx.save_for_backward(rows, difference)
        return difference.square().sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, difference = ctx.saved_tensors
        return rows @ (difference * (4 * gradient / rows.shape[0])).to(rows.dtype), None


def _gram_loss(features: Tensor, target: Tensor, normalization: str) -> Tensor:
    """Squared difference of Gram matrices (Gatys et al. 2016, equation 4).

    With `sum`, a painting of another size counts as if it had as many positions as the result.
    """
    rows = _positions(features)
    m, c = rows.shape
    return _GramDistance.apply(rows, target) * NORMALIZATIONS[normalization].style(c, m)


def _quadratic_loss(features: Tensor, target: Tensor, normalization: str) -> Tensor:
    """MMD² with the kernel (xᵀy)², over 4 C²: the Gram loss as Gatys et al. print it.

    Li et al. 2017, equations 6 to 8.
    """
    return _gram_loss(features, target, "paper")


def mean_activation(features: Tensor) -> Tensor:
    """(C,): the mean over positions of (1, C, H, W) features."""
    return _wide(_positions(features)).mean(0)


def _linear_loss(features: Tensor, target: Tensor, normalization: str) -> Tensor:
    """MMD² with the kernel xᵀy, over C: squared difference of mean activations.

    Li et al. 2017, section 4.2; the factor 1 / C as they have it for the other statistics.
    """
    return (mean_activation(features) - target).square().mean()


def mean_and_deviation(features: Tensor) -> Tensor:
    """(2, C): mean and standard deviation over positions of (1, C, H, W) features."""
    return _Moments.apply(_positions(features))


class _Moments(torch.autograd.Function):
    """Mean and deviation of each column of rows (M, C), (2, C), in blocks that stay in the cache.

    Autograd would keep three float32 copies of the rows.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        mean, variance = _mean_and_variance(rows)
        deviation = (variance + DEVIATION_FLOOR).sqrt()
        ctx.save_for_backward(rows, mean, deviation)
        return torch.stack([mean, deviation])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        rows, mean, deviation = ctx.saved_tensors
        of_mean, of_deviation = gradient / len(rows)
        slope = of_deviation / deviation
        offset = of_mean - mean * slope
        blocks = _blocks(rows, rows.shape[1])
        return torch.cat([torch.addcmul(offset, _wide(x), slope).to(x.dtype) for x in blocks])


def _mean_and_variance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Moments of each column, each (C,)."""
    blocks = _blocks(rows, rows.shape[1])
    mean = added(_wide(x).sum(0) for x in blocks) / len(rows)
    return mean, added((_wide(x) - mean).square_().sum(0) for x in blocks) / len(rows)


def _batch_norm_loss(features: Tensor, target: Tensor, normalization: str) -> Tensor:
    """Squared differences of means and standard deviations, over C (Li et al. 2017, eq. 14)."""
    return (mean_and_deviation(features) - target).square().sum() / features.shape[1]


@dataclass(frozen=True)
class KernelMean:
    """Features seen through a Gaussian kernel: the mean of random Fourier features, (D,).

    `bandwidth` is the kernel's squared width, which comes from the painting.
    """

    mean: Tensor
    bandwidth: Tensor


def kernel_mean(features: Tensor) -> KernelMean:
    """Statistics of (1, C, H, W) features, with their own mean squared distance as bandwidth.

    The Gaussian kernel exp(-|x - y|² / 2σ²) is the mean of 2 cos(wᵀx + b) cos(wᵀy + b) over
    w ~ N(0, 1/σ²) and b ~ U(0, 2π) (Rahimi and Recht 2007); `FREQUENCIES` such waves stand for it.
    σ² as in Li et al. 2017: the mean squared distance of two positions.
    """
    rows = _positions(features)
    bandwidth = (2 * _mean_and_variance(rows)[1].sum()).clamp(min=DEVIATION_FLOOR)
    return KernelMean(_WaveMean.apply(rows, *_waves(rows, bandwidth)), bandwidth)


def _gaussian_loss(features: Tensor, target: KernelMean, normalization: str) -> Tensor:
    """MMD² with a Gaussian kernel (Li et al. 2017, section 4.2), 0 to 2.

    They draw pairs of positions anew in every step; here every position counts in every step, and
    the kernel is approximated instead, so that the loss is a smooth function of the picture.
    """
    rows = _positions(features)
    mean = _WaveMean.apply(rows, *_waves(rows, target.bandwidth))
    return (mean - target.mean).square().sum() * (2 / FREQUENCIES)


def _waves(rows: Tensor, bandwidth: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies (C, D) and phases (D,): always the same ones."""
    generator = torch.Generator().manual_seed(0)
    frequencies = torch.randn(rows.shape[1], FREQUENCIES, generator=generator)
    phases = torch.rand(FREQUENCIES, generator=generator) * (2 * math.pi)
    wide = bandwidth.dtype
    return (
        frequencies.to(rows.device, wide) / bandwidth.sqrt(),
        phases.to(rows.device, wide),
    )


class _WaveMean(torch.autograd.Function):
    """The mean over rows (M, C) of cos(R W + b), (D,), in blocks that stay in the cache.

    Autograd would keep M x D numbers for the gradient; here they are computed again.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, waves: Tensor, phases: Tensor) -> Tensor:
        ctx.save_for_backward(rows, waves, phases)
        blocks = _blocks(rows, waves.shape[1])
        return added(torch.addmm(phases, _wide(x), waves).cos_().sum(0) for x in blocks) / len(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        rows, waves, phases = ctx.saved_tensors
        back = (waves * (-gradient / len(rows))).T
        parts = [
            (torch.addmm(phases, _wide(x), waves).sin_() @ back).to(rows.dtype)
            for x in _blocks(rows, waves.shape[1])
        ]
        return torch.cat(parts), None, None


@dataclass(frozen=True)
class StyleLoss:
    """One way to compare styles: what is kept of the painting, and the distance from it.

    `statistics` takes (1, C, H, W) features; `distance` takes features of the result, the
    painting's statistics and a normalization, which only the Gram matrix heeds: the others have
    the factors of their paper.
    """

    label: str
    statistics: Callable[[Tensor], Any]
    distance: Callable[[Tensor, Any, str], Tensor]


STYLE_LOSSES: Mapping[str, StyleLoss] = {
    "gram": StyleLoss("Gram matrix (Gatys et al.)", gram_matrix, _gram_loss),
    "mmd-linear": StyleLoss(
        "mean activation: MMD, linear kernel (Li et al.)", mean_activation, _linear_loss
    ),
    "mmd-polynomial": StyleLoss("MMD, quadratic kernel (Li et al.)", gram_matrix, _quadratic_loss),
    "mmd-gaussian": StyleLoss("MMD, Gaussian kernel (Li et al.)", kernel_mean, _gaussian_loss),
    "bn-statistics": StyleLoss(
        "mean and deviation of each channel (Li et al.)", mean_and_deviation, _batch_norm_loss
    ),
}


def style_loss(features: Tensor, target: Any, normalization: str, kind: str = "gram") -> Tensor:
    """Distance of (1, C, H, W) features from the painting's statistics, of a kind in the table."""
    return STYLE_LOSSES[kind].distance(features, target, normalization)


def _differences(image: Tensor) -> tuple[Tensor, Tensor]:
    return image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]


def _average(x: Tensor) -> Tensor:
    return x.sum() / max(x.numel(), 1)  # a picture one pixel wide has no differences across


@dataclass(frozen=True)
class Variation:
    """One total variation: what it does with the differences of neighbors."""

    label: str
    measure: Callable[[Tensor, Tensor], Tensor]


VARIATIONS: Mapping[str, Variation] = {
    "l2-mean": Variation(
        "mean of squares (anishathalye/neural-style, Lu)",
        lambda down, across: _average(down.square()) + _average(across.square()),
    ),
    "l1-mean": Variation(
        "mean of absolute values",
        lambda down, across: _average(down.abs()) + _average(across.abs()),
    ),
    "l1-sum": Variation(
        "sum of absolute values (Liu, Wang and Ding, equation 5)",
        lambda down, across: down.abs().sum() + across.abs().sum(),
    ),
    "l2-sum": Variation(
        "sum of squares (Mahendran and Vedaldi 2015, beta 2)",
        lambda down, across: down.square().sum() + across.square().sum(),
    ),
}


def total_variation(image: Tensor, variation: str) -> Tensor:
    """Differences between neighboring pixels of a (1, 3, H, W) picture in 0..255."""
    return VARIATIONS[variation].measure(*_differences(image))
