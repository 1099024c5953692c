"""Imports torchvision even where its compiled operators do not fit the installed torch.

A torchvision wheel from the default index beside a CPU-only torch fails with "operator
torchvision::nms does not exist". Pictures and weights need none of those operators: it
suffices that their schemas exist.
"""

import importlib
from functools import cache
from types import ModuleType

import torch

_LIBRARIES: list[torch.library.Library] = []  # schemas live as long as the library object


@cache
def torchvision_models() -> ModuleType:
    """The module `torchvision.models`. Raises ImportError where torchvision is not installed."""
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    library = torch.library.Library("torchvision", "DEF")
    _LIBRARIES.append(library)
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision.models")
