"""Methods for any painting in one pass: their settings, and the named ones in `presets/methods`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from nst.names import pick
from nst.nn.decoders import FAMILIES, OURS
from nst.nn.vgg import DECODED
from nst.settings.catalog import GALLERY, ROOT, Described
from nst.settings.recipe import Settings, SwapSettings, listed, one_of

LARGEST = 2048  # pixels of the long side
MOST_PAINTINGS = 3
FOLDER = ROOT / "methods"


class MethodSettings(Settings):
    """What can be chosen for a painting that no network was trained on."""

    method: Literal["style-swap", "adain", "wct"] = Field("style-swap", title="Method")
    layers: Annotated[
        tuple[Literal[DECODED], ...],
        BeforeValidator(listed),
    ] = Field(
        ("conv3_1",),
        min_length=1,
        title="Layers",
        description="the deepest first; the next one reads the picture made of it",
    )
    decoders: one_of("decoders", dict.fromkeys(FAMILIES)) = Field(
        OURS, title="Decoders", description="how they were trained"
    )
    size: int = Field(512, ge=16, le=LARGEST, title="Size", description="pixels of the long side")
    stroke: float = Field(
        1.0,
        ge=0.1,
        le=4,
        title="Stroke size",
        description="long side of the painting relative to the photo's",
    )
    strength: float = Field(
        1.0, ge=0, le=1, title="Strength", description="0: the photo's own features"
    )
    keep_colors: bool = Field(False, title="Keep the photo's colors")
    swap: SwapSettings = SwapSettings()

    @field_validator("layers")
    @classmethod
    def _descend(cls, layers: tuple[str, ...]) -> tuple[str, ...]:
        if list(layers) != sorted(set(layers), reverse=True):
            raise ValueError("layers must be named once each, the deepest first")
        return layers


class MethodPreset(Described):
    """A method's settings with its card."""

    settings: MethodSettings

    @property
    def example(self) -> Path:
        """Its picture in the gallery."""
        return GALLERY / f"method-{self.name}.webp"


@cache
def all_methods() -> Mapping[str, MethodPreset]:
    """Every one by name, in the order of their ranks."""
    found = []
    for path in FOLDER.glob("*.toml"):
        tree = tomllib.loads(path.read_text("utf-8"))
        settings = MethodSettings.read(tree.pop("settings"))
        found.append(MethodPreset(name=path.stem, settings=settings, **tree))
    return {method.name: method for method in sorted(found, key=lambda method: method.rank)}


def method(name: str) -> MethodPreset:
    """The one of that name. Raises `UnknownName` with the closest one."""
    return pick("method", name, all_methods())
