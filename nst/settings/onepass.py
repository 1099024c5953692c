"""What paints in one pass: settings of trained networks, and of methods for any painting."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from nst.names import pick
from nst.nn.decoders import OURS, families
from nst.nn.transforms import TRANSFORMS
from nst.nn.vgg import Decoded
from nst.settings.base import DEFAULT_SIZE, Settings, listed, one_of
from nst.settings.catalog import ROOT, Described
from nst.settings.files import read
from nst.settings.recipe import SwapSettings

LARGEST = 2048  # pixels of the long side, with a method for any painting
LARGEST_TRAINED = 16384  # with a trained network, which works in bands
MOST_PAINTINGS = 3
FOLDER = ROOT / "methods"


def _known_decoders(name: str) -> str:
    pick("decoders", name, dict.fromkeys(families()))
    return name


class TrainedSettings(Settings):
    """What can be chosen for a trained network without training it anew."""

    size: int | None = Field(
        None,
        ge=16,
        le=LARGEST_TRAINED,
        title="Size",
        description="pixels of the long side; the photo's own",
    )
    strength: float = Field(
        1.0, ge=0, le=1, title="Strength", description="0: the photo, 1: full style"
    )
    keep_colors: bool = Field(False, title="Keep the photo's colors")


class MethodSettings(Settings):
    """What can be chosen for a painting that no network was trained on."""

    method: Annotated[str, *one_of("method", TRANSFORMS)] = Field("style-swap", title="Method")
    layers: Annotated[tuple[Decoded, ...], BeforeValidator(listed)] = Field(
        ("conv3_1",),
        min_length=1,
        title="Layers",
        description="the deepest first; the next one reads the picture made of it",
    )
    decoders: Annotated[str, AfterValidator(_known_decoders)] = Field(
        OURS, title="Decoders", description="how they were trained"
    )
    size: int = Field(
        DEFAULT_SIZE, ge=16, le=LARGEST, title="Size", description="pixels of the long side"
    )
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


@cache
def all_methods() -> Mapping[str, MethodPreset]:
    """Every one by name, in the order of their ranks. Raises `BadFile`."""
    found = sorted(map(method, method_files()), key=lambda method: method.rank)
    return {method.name: method for method in found}


@cache
def method(name: str) -> MethodPreset:
    """The one of that name. Raises `UnknownName` with the closest one, and `BadFile`."""
    return read(pick("method", name, method_files()), MethodPreset, settings=MethodSettings)


@cache
def method_files() -> Mapping[str, Path]:
    """The file of every method, by name."""
    return {path.stem: path for path in FOLDER.glob("*.toml")}
