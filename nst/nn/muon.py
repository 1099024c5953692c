"""Optimizers of weights: Adam, and Muon, which takes far fewer steps.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks") replaces a
kernel's gradient by a matrix with about the same singular vectors, whose singular values are near
one, so that faint directions are learned, too, and no step is larger than meant: networks without
normalization, such as decoders, bear a higher rate than with Adam.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

ROUNDS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)  # of the iteration, as Jordan et al. tuned it
LIKE_ADAM = 0.2  # root mean square that Adam's steps usually have (Liu et al. 2025, section 2.2)
FEWEST_ROWS = 16  # of a kernel; what gives colors, scales or biases takes Adam's steps
TINY = 1e-8


class Muon(torch.optim.Optimizer):
    """Orthogonalized momentum for kernels, Adam (Kingma and Ba 2015) for all else.

    Kernels of `(out, in, h, w)` count as matrices of `out` rows. Their steps are scaled as Liu et
    al. 2025 ("Muon is scalable for LLM training", equation 4) have it, so that one rate fits both.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """Defaults are those of Jordan et al. and of torch's Adam."""
        super().__init__(params, {"lr": lr, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all parameters that have a gradient."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    direction = _kernel_step if _is_kernel(parameter) else _adam_step
                    step = direction(parameter.grad, self.state[parameter], group)
                    parameter.add_(step, alpha=-group["lr"])
        return loss


def _is_kernel(parameter: Tensor) -> bool:
    return parameter.ndim > 1 and len(parameter) >= FEWEST_ROWS


def _kernel_step(gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(gradient)
    state["momentum"].lerp_(gradient, 1 - group["momentum"])
    ahead = gradient.lerp(state["momentum"], group["momentum"])  # Nesterov's
    step = orthogonalized(ahead.flatten(1))
    return LIKE_ADAM * max(step.shape) ** 0.5 * step.view_as(gradient)


def _adam_step(gradient: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> Tensor:
    if not state:
        zeros = torch.zeros_like(gradient)
        state.update(mean=zeros, square=zeros.clone(), count=0)
    state["mean"].lerp_(gradient, 1 - group["betas"][0])
    state["square"].lerp_(gradient.square(), 1 - group["betas"][1])
    state["count"] += 1
    first, second = (1 - beta ** state["count"] for beta in group["betas"])
    return (state["mean"] / first) / ((state["square"] / second).sqrt() + TINY)


def orthogonalized(matrix: Tensor) -> Tensor:
    """(m, n) to the same, float32: singular vectors are kept, singular values come near one.

    Those below about a thousandth of the matrix's norm come less near: they grow 500-fold at most.
    The iteration of Jordan et al. multiplies the matrix from the left by polynomials of its Gram
    matrix, so that only that small one need be iterated.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalized(matrix.T).T
    a, b, c = QUINTIC
    matrix = matrix.float() / (matrix.float().norm() + TINY)
    gram = matrix @ matrix.T
    identity = torch.eye(len(gram), device=gram.device)
    product = identity
    for _ in range(ROUNDS):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    return product @ matrix


OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "muon": Muon,
}
