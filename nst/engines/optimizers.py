"""How the pixels are moved: the optimizers and their learning rates."""

import torch
from torch import Tensor

from nst.settings.recipe import OptimizerSettings


def optimizer(settings: OptimizerSettings, variable: Tensor) -> torch.optim.Optimizer:
    """Adam or L-BFGS over the pixels, one step at a time."""
    if settings.name == "adam":
        return torch.optim.Adam(
            [variable],
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
        )
    return torch.optim.LBFGS(
        [variable],
        lr=settings.learning_rate,
        max_iter=1,
        history_size=settings.history,
        tolerance_grad=-1,
        tolerance_change=-1,
    )


def learning_rate(settings: OptimizerSettings, index: int, iterations: int, values: int) -> float:
    """The rate of step `index` of a level, for a picture of so many values.

    Linear decay is Liu, Wang and Ding's (table 1). Torch's L-BFGS divides its first step by the
    gradient's sum, which leaves 1 / `values` of a gray level a pixel, below what float32 resolves;
    here the first step changes a pixel by `learning_rate` on average.
    """
    rate = settings.learning_rate
    if settings.end_learning_rate is not None:
        share = min(1.0, index / max(1, (settings.decay_iterations or iterations) - 1))
        rate += share * (settings.end_learning_rate - rate)
    return rate * values if settings.name == "lbfgs" and index == 0 else rate
