"""Small sums in double precision, on the processor: Apple's MPS has no float64."""

from torch import Tensor


def exact(values: Tensor) -> Tensor:
    """The values in float64 on the processor, wherever they were."""
    return values.detach().cpu().double()
