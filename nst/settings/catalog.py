"""Presets and bundled pictures: data in `presets/`, read and checked."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from nst.names import pick
from nst.settings.files import entries, read
from nst.settings.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2] / "presets"
IMAGES = ROOT / "images"
GALLERY = ROOT / "gallery"
DEFAULT_PRESET = "quick"
RECIPES = ROOT / "recipes"


class Described(BaseModel):
    """What a card tells of something that paints, and where that comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    summary: str
    source: str = Field(min_length=1)
    note: str = ""
    rank: int


class Preset(Described):
    """A recipe with its card."""

    recipe: Recipe


class Credit(BaseModel):
    """A bundled picture and whom it is owed to."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file: str
    title: str
    source: str
    license: str
    artist: str = ""
    author: str = ""
    year: str = ""

    @property
    def path(self) -> Path:
        """The file."""
        return IMAGES / self.file

    @property
    def name(self) -> str:
        """Short name, as links and the command line use it."""
        return self.path.stem

    @property
    def by(self) -> str:
        """`Vincent van Gogh, 1889` or the photographer."""
        return ", ".join(filter(None, (self.artist or self.author, self.year)))


def read_preset(path: Path) -> Preset:
    """A preset from its TOML file. Raises `BadFile`."""
    return read(path, Preset, recipe=Recipe)


@cache
def all_presets() -> Mapping[str, Preset]:
    """Every preset by name, ours first, then in the order of the reports. Raises `BadFile`."""
    found = sorted(map(get, preset_files()), key=lambda preset: preset.rank)
    return {preset.name: preset for preset in found}


@cache
def get(name: str) -> Preset:
    """The preset of that name. Raises `UnknownName` with the closest one, and `BadFile`."""
    return read_preset(pick("preset", name, preset_files()))


@cache
def preset_files() -> Mapping[str, Path]:
    """The file of every preset, by name."""
    return {path.stem: path for path in RECIPES.glob("*.toml")}


@cache
def photos() -> Mapping[str, Credit]:
    """The bundled photos by short name."""
    return _credits("photo")


@cache
def paintings() -> Mapping[str, Credit]:
    """The bundled paintings by short name."""
    return _credits("style")


def _credits(kind: str) -> Mapping[str, Credit]:
    return {credit.name: credit for credit in entries(IMAGES / "CREDITS.toml", kind, Credit)}
