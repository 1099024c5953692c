"""The three losses of a style transfer, as pure functions of features and pictures.

Content compares activations, style compares Gram matrices, total variation looks at the picture
alone. Papers and programs differ in the factors; `NORMALIZATIONS` and `VARIATIONS` name them.
Whatever the precision of the features, sums are accumulated in float32 (float64 stays float64).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK_BYTES = 2**21  # of float32 rows at a time


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
    blocks = rows.split(max(1, BLOCK_BYTES // (4 * rows.shape[1])))
    with _exact_narrow_products(rows):
        products = (wide.T @ wide for wide in map(_wide, blocks))
        return sum(products) / rows.shape[0]


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


def style_loss(features: Tensor, target: Tensor, normalization: str) -> Tensor:
    """Squared difference of the Gram matrix of (1, C, H, W) features and a `target` of (C, C).

    Gatys et al. 2016, equation 4. With `sum`, a painting of another size counts as if it had as
    many positions as the result.
    """
    rows = _positions(features)
    m, c = rows.shape
    return _GramDistance.apply(rows, target) * NORMALIZATIONS[normalization].style(c, m)


class _GramDistance(torch.autograd.Function):
    """‖RᵀR / M - A‖² of rows (M, C), with the gradient 4 R (RᵀR / M - A) / M written out.

    The gradient's product runs in the precision of the features, to which it is rounded in any
    case on its way into the convolutions, and no float32 copy of the features is kept for it.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor, target: Tensor) -> Tensor:
        difference = _gram(rows) - target
        ctx.save_for_backward(rows, difference)
        return difference.square().sum()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        rows, difference = ctx.saved_tensors
        return rows @ (difference * (4 * gradient / rows.shape[0])).to(rows.dtype), None


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
