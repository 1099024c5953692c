"""How features of a photo are changed by a painting's: a table of all methods.

A new method is a function, here or beside the others, and one entry of `TRANSFORMS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from nst.nn.moments import adain, wct
from nst.nn.style_swap import Patches, swapped


@dataclass(frozen=True)
class Transform:
    """One method.

    `change` takes features (1, C, h, w) of the photo and (1, C, h', w') of the painting, and
    returns (1, C, h, w). `searches` says whether it looks for patches, and so heeds the settings
    of the patches and takes the time of a search.
    """

    label: str
    change: Callable[[Tensor, Tensor, Patches], Tensor]
    searches: bool = False


TRANSFORMS: Mapping[str, Transform] = {
    "style-swap": Transform("Style swap", swapped, searches=True),
    "adain": Transform("AdaIN", lambda content, style, _: adain(content, style)),
    "wct": Transform("WCT", lambda content, style, _: wct(content, style)),
}
