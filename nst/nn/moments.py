"""Features of a photo given the statistics of a painting's.

Both take (1, C, h, w) and (1, C, h', w') and return (1, C, h, w) in float32.
"""

import torch
from torch import Tensor

from nst.nn.exact import exact

EPSILON = 1e-5  # beside a variance (Huang and Belongie's code)
KEPT = 1e-5  # least eigenvalue that is whitened, as a share of the largest


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Adaptive instance normalization: σ(style) (content - μ(content)) / σ(content) + μ(style).

    Mean and deviation of every channel over all positions. Huang and Belongie 2017, equation 8. A
    channel without variance takes the painting's mean.
    """
    content, style = content.float(), style.float()
    mean, deviation = _moments(content)
    wanted_mean, wanted_deviation = _moments(style)
    return (content - mean) / deviation * wanted_deviation + wanted_mean


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(features, dim=(2, 3), keepdim=True, correction=0)
    return mean, (variance + EPSILON).sqrt()


def wct(content: Tensor, style: Tensor) -> Tensor:
    """Whitening and coloring: the content's covariance becomes the style's.

    With E D Eᵀ the covariances' eigendecompositions: Eₛ Dₛ^½ Eₛᵀ E D^-½ Eᵀ (content - μ) + μₛ. Li
    et al. 2017 ("Universal style transfer via feature transforms"), section 3.2. Directions in
    which the content hardly varies are left out, as whitening would fill them with noise.
    """
    content_mean, content_covariance = _covariance(content)
    style_mean, style_covariance = _covariance(style)
    whitening = _power(content_covariance, -0.5)
    coloring = _power(style_covariance, 0.5)
    flat = content[0].float().flatten(1) - content_mean
    moved = (coloring @ whitening).to(flat.device, torch.float32) @ flat + style_mean
    return moved.view(1, *content.shape[1:])


def _covariance(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C, 1) in float32 and covariance (C, C), which is `exact`, over all positions."""
    flat = features[0].float().flatten(1)
    mean = flat.mean(1, keepdim=True)
    centered = flat - mean
    return mean, exact(centered @ centered.T) / flat.shape[1]


def _power(covariance: Tensor, exponent: float) -> Tensor:
    """The power of a symmetric matrix, within the space where it is not next to nothing."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > KEPT * values[-1].clamp(min=torch.finfo(torch.float32).tiny)
    values, vectors = values[kept], vectors[:, kept]
    return vectors * values**exponent @ vectors.T
