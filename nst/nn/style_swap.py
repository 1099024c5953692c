"""Style swap: every patch of the photo's features becomes the most alike one of the painting's.

Chen and Schmidt 2016, section 3.1. Scores of all pairs are never in memory at once: they are made
in blocks of rows of the photo and of the painting, and only the best so far is kept.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from nst.names import Problem
from nst.nn.exact import exact

BLOCK = 4_000_000  # scores that are in memory at once
ROUNDS = 5  # of rising prices
GOLDEN = (0.618034, 0.754878)  # whose multiples spread evenly between 0 and 1
PREFERENCE = 0.02  # at most, in units of correlation, so that equal patches part
PRICE = 0.05  # in units of correlation, of a patch taken twice as often as the mean
EPSILON = 1e-8  # beside the norm of a patch (Chen and Schmidt's code)


class TooSmall(Problem):
    """A picture without a single patch."""


@dataclass(frozen=True)
class Patches:
    """Which patches of the painting may take the place of the photo's.

    `patch` is the side of one, in positions of features; `stride` is between those of the painting,
    of which at most `most` are searched; `balance` in 0..1 keeps one from being taken too often.
    """

    patch: int = 3
    stride: int = 1
    most: int = 16_000
    balance: float = 0.0


def swapped(content: Tensor, style: Tensor, patches: Patches) -> Tensor:
    """The features `content`, put together from patches of `style`.

    (1, C, h, w) and (1, C, h', w') to (1, C, h, w). Each patch of the photo takes the patch of the
    painting with the largest normalized cross-correlation; where patches overlap, their mean
    counts. Raises `TooSmall` if one of the two has no patch.
    """
    patch = patches.patch
    for features, name in ((content, "photo"), (style, "painting")):
        if min(features.shape[2:]) < patch:
            raise TooSmall(
                f"The {name} has {features.shape[3]} x {features.shape[2]} positions of features "
                f"at this size, fewer than a patch of {patch} x {patch}. A larger size or a "
                "smaller patch works."
            )
    patches = thinned(style, patches)
    return rebuilt(matches(content, style, patches), style, patches)


def thinned(style: Tensor, patches: Patches) -> Patches:
    """The patches with the least stride that leaves at most `patches.most` patches of `style`."""
    sides = [side - patches.patch for side in style.shape[2:]]
    stride = patches.stride
    while math.prod(side // stride + 1 for side in sides) > patches.most:
        stride += 1
    return replace(patches, stride=stride)


def matches(content: Tensor, style: Tensor, patches: Patches) -> Tensor:
    """Which patch of the painting each patch of the photo takes: (h - p + 1, w - p + 1).

    Patches of the painting are counted by rows, at the settings' stride. With `balance`, a patch
    has a price that rises, round by round and ever less, with the logarithm of how much more often
    it is taken than the mean patch: the aim of Gu et al. 2018 (section 3.2), without their matching
    of single patches one after the other. Each patch of the photo also has slight preferences of
    its own: without them, those of an area of one color would all move on together.
    """
    patch, stride = patches.patch, patches.stride
    norms = _norms(style, patch, stride)
    if not patches.balance:
        return _best(content, style, patches, norms, torch.zeros_like(norms))
    own = _norms(content, patch, 1)  # so that a price counts as much everywhere
    taste = patches.balance * PREFERENCE
    price = torch.zeros_like(norms)
    steps = [1 / round_ for round_ in range(1, ROUNDS + 1)]
    for step in steps:
        chosen = _best(content, style, patches, norms, price, own, taste)
        use = torch.bincount(chosen.flatten(), minlength=norms.numel()).view_as(norms)
        share = use * (norms.numel() / own.numel())
        price += patches.balance * PRICE * step / sum(steps) * share.clamp(min=1).log2()
    return _best(content, style, patches, norms, price, own, taste)


def _best(
    content: Tensor,
    style: Tensor,
    patches: Patches,
    norms: Tensor,
    price: Tensor,
    own: Tensor | None = None,
    taste: float = 0.0,
) -> Tensor:
    """The patch of each with the largest correlation less its price, (rows, columns).

    Correlations and prices are compared where the norms of the photo's `own` patches are given;
    `taste` is the largest preference.
    """
    patch, stride = patches.patch, patches.stride
    rows, columns = content.shape[2] - patch + 1, content.shape[3] - patch + 1
    best = torch.full((rows, columns), -torch.inf, device=content.device)
    chosen = torch.zeros((rows, columns), dtype=torch.long, device=content.device)
    photo = content[0].permute(1, 2, 0)  # (h, w, C)
    painting = style[0].permute(1, 2, 0)
    here, there = _block(content, style, patches)
    mine, theirs = (_spread(n, step) for n, step in zip((chosen, norms), GOLDEN, strict=True))
    for top in range(0, rows, here):
        bottom = min(rows, top + here)
        band = photo[top : bottom + patch - 1]
        for first in range(0, norms.shape[0], there):
            last = min(norms.shape[0], first + there)
            other = painting[first * stride : (last - 1) * stride + patch]
            scores = _scores(band, other, patch, stride).div_(norms[first:last])
            if own is not None:
                scores.div_(own[top:bottom, :, None, None]).sub_(price[first:last])
                liking = mine[top:bottom, :, None, None] + theirs[first:last]
                scores.add_(liking.frac_(), alpha=taste)
            score, index = scores.flatten(2).max(dim=2)
            better = score > best[top:bottom]
            best[top:bottom][better] = score[better]
            chosen[top:bottom][better] = index[better] + first * norms.shape[1]
    return chosen


def _spread(like: Tensor, step: float) -> Tensor:
    """A number in 0..1 for every position, far from those of its neighbors: (rows, columns)."""
    numbers = exact(torch.arange(1, like.numel() + 1))
    return (numbers * step).frac().view(like.shape).to(like.device, torch.float32)


def rebuilt(chosen: Tensor, style: Tensor, patches: Patches) -> Tensor:
    """Features from patches of `style`, the mean of those that overlap."""
    patch, stride = patches.patch, patches.stride
    rows, columns = chosen.shape
    wide = (style.shape[3] - patch) // stride + 1
    source = style[0].permute(1, 2, 0)
    total = torch.zeros(
        (rows + patch - 1, columns + patch - 1, style.shape[1]), device=style.device
    )
    count = torch.zeros((*total.shape[:2], 1), device=style.device)
    down, across = chosen // wide * stride, chosen % wide * stride
    for y in range(patch):
        for x in range(patch):
            total[y : y + rows, x : x + columns] += source[down + y, across + x]
            count[y : y + rows, x : x + columns] += 1
    return (total / count).permute(2, 0, 1)[None].to(style.dtype)


def _block(content: Tensor, style: Tensor, patches: Patches) -> tuple[int, int]:
    """Rows of the photo's and of the painting's patches in a block of `BLOCK` scores."""
    pairs = content.shape[3] * style.shape[3]  # of positions, for one row of each
    side = max(1, int((BLOCK / pairs) ** 0.5))
    return side, max(1, side // patches.stride)


def _scores(photo: Tensor, painting: Tensor, patch: int, stride: int) -> Tensor:
    """Products of all patches: (rows, columns, rows', columns').

    The product of two patches is the sum over their positions. It is summed along rows and then
    along columns, from products of single positions: nine times fewer multiplications for 3 x 3.
    """
    h, w, c = photo.shape
    h2, w2, _ = painting.shape
    single = (photo.reshape(-1, c) @ painting.reshape(-1, c).T).view(h, w, h2, w2)
    columns, wide = w - patch + 1, w2 - patch + 1
    along = _sum(single[:, k : k + columns, :, k : k + wide : stride] for k in range(patch))
    rows, high = h - patch + 1, h2 - patch + 1
    return _sum(along[k : k + rows, :, k : k + high : stride] for k in range(patch))


def _sum(terms: Iterable[Tensor]) -> Tensor:
    """The sum in float32; to convert the terms before would take as long as the sum."""
    first, *others = terms
    total = first.to(torch.float32, copy=True)
    for term in others:
        total += term
    return total


def _norms(features: Tensor, patch: int, stride: int) -> Tensor:
    """Sums over all patches, (rows, columns)."""
    squares = features.float().square().sum(1, keepdim=True)
    sums = F.avg_pool2d(squares, patch, stride, divisor_override=1)
    return sums[0, 0].sqrt() + EPSILON
