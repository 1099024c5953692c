"""Presets and bundled pictures: data in `presets/`, read and checked."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nst.names import Problem, pick, suggest
from nst.settings.recipe import BadSetting, Recipe

ROOT = Path(__file__).resolve().parents[2] / "presets"
IMAGES = ROOT / "images"
GALLERY = ROOT / "gallery"
DEFAULT = "quick"
CATALOGS = ("checkpoints.toml", "comparisons.toml")  # beside the presets, but none


class BadPreset(Problem):
    """A preset file that cannot be used; the message names the file and the setting."""


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

    @property
    def example(self) -> Path:
        """Its picture in the gallery."""
        return GALLERY / f"{self.name}.webp"


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
    """A preset from its TOML file. Raises `BadPreset`."""
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
        recipe = Recipe.read(tree.pop("recipe", {}))
        if "name" in tree:
            raise BadPreset(f"{path.name}: the name is the file's; remove `name`.")
        return Preset(name=path.stem, recipe=recipe, **tree)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, BadSetting) as error:
        raise BadPreset(f"{path.name}: {error}") from None
    except ValidationError as error:
        raise BadPreset(f"{path.name}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return f"Unknown key `{key}`. {suggest(key, Preset.model_fields)}"
    return f"`{key}`: {problem['msg']}."


def _files() -> list[Path]:
    return [path for path in ROOT.glob("*.toml") if path.name not in CATALOGS]


@cache
def all_presets() -> Mapping[str, Preset]:
    """Every preset by name, ours first, then in the order of the reports."""
    found = sorted(map(read_preset, _files()), key=lambda preset: preset.rank)
    return {preset.name: preset for preset in found}


def get(name: str) -> Preset:
    """The preset of that name. Raises `UnknownName` with the closest one."""
    return pick("preset", name, all_presets())


@cache
def photos() -> Mapping[str, Credit]:
    """The bundled photos by short name."""
    return _credits("photo")


@cache
def paintings() -> Mapping[str, Credit]:
    """The bundled paintings by short name."""
    return _credits("style")


def _credits(kind: str) -> Mapping[str, Credit]:
    tree: dict[str, Any] = tomllib.loads((IMAGES / "CREDITS.toml").read_text("utf-8"))
    return {credit.name: credit for credit in (Credit(**entry) for entry in tree[kind])}
