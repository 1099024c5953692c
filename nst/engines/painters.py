"""What can paint: a preset's optimization, a method for any painting, a trained network.

Each kind has settings of its own class; from these follow the engine, the time it takes and the
backbone that must not judge the result.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from PIL.Image import Image
from pydantic import Field

from nst.checkpoints import hub
from nst.engines import anypainting, optimize, trained
from nst.engines.estimate import estimate, search_steps
from nst.engines.optimize import Memory
from nst.names import UnknownName, suggest
from nst.nn.decoders import NETWORK, bundled_file
from nst.nn.vgg import NoWeights, needs_download
from nst.settings.base import Settings
from nst.settings.catalog import all_presets, get, preset_files
from nst.settings.onepass import MethodSettings, all_methods, method, method_files
from nst.settings.recipe import LARGEST, SMALLEST, Recipe
from nst.steps import Step

COMMON = "original"  # the preset whose losses all results are compared under
ONE_PASS = 1.0  # steps of that preset that reading, changing and decoding a layer takes, about
TRAINED_ON = "vgg16"  # of a checkpoint that does not say whose losses it learned


class CheckpointSettings(trained.FastSettings, Settings):
    """A trained network, and what can be chosen for it."""

    checkpoint: str
    size: int = Field(512, ge=16, le=16384, title="Size", description="pixels of the long side")


Painter = Recipe | MethodSettings | CheckpointSettings


class Offer(NamedTuple):
    """Something that can paint, as it is offered."""

    title: str
    settings: Painter


def painters() -> Mapping[str, Offer]:
    """Title and settings of everything that needs no download, by name. Raises `BadFile`."""
    return {name: find(name) for name in (*all_presets(), *all_methods(), *hub.bundled())}


def find(name: str) -> Offer:
    """The one of that name, of which alone the file is read.

    Raises `UnknownName` with the closest one, and `BadFile`.
    """
    if name in preset_files():
        return Offer(get(name).title, get(name).recipe)
    if name in method_files():
        return Offer(method(name).title, method(name).settings)
    if name in hub.bundled():
        title = f"{hub.bundled()[name].title} (trained)"
        return Offer(title, CheckpointSettings(checkpoint=name))
    known = (*preset_files(), *method_files(), *hub.bundled())
    raise UnknownName(f"Unknown preset `{name}`. {suggest(name, known)}")


def paint(
    photo: Image, painting: Image, settings: Painter, memory: Memory | None = None
) -> Iterator[Step]:
    """The steps of any of them; a trained network needs no painting. Raises its engine's errors."""
    match settings:
        case Recipe():
            return optimize.stylize(photo, painting, settings, memory=memory)
        case MethodSettings():
            return anypainting.stylize(photo, [anypainting.Style(painting)], settings)
        case CheckpointSettings():
            loaded = hub.load(hub.find(settings.checkpoint))
            return trained.stylize(photo, loaded, settings)


def refuse_download(settings: Painter) -> None:
    """For visitors of the page: raises `Problem` if painting needs a download, and which works.

    Unless its owner lets visitors name any checkpoint.
    """
    if hub.anything_goes():
        return
    match settings:
        case Recipe(backbone=backbone) if needs_download(backbone.network, backbone.weights):
            raise NoWeights(
                f"`backbone.weights={backbone.weights}` would be downloaded, which the owner of "
                "this page does not allow. `bundled` needs no download."
            )
        case CheckpointSettings(checkpoint=name) if not hub.cached(hub.offered(name)):
            raise hub.HubProblem(
                f"`{name}` would be downloaded, which the owner of this page does not allow. "
                f"{hub.BUNDLED_WORK}"
            )


def expected(
    settings: Painter, photo: tuple[int, int], painting: tuple[int, int]
) -> tuple[float, float]:
    """Seconds of a run, and of one step at its full size, on pictures of these (width, height)."""
    if isinstance(settings, Recipe):
        foreseen = estimate(settings, photo, painting)
        return foreseen.seconds, foreseen.levels[-1][1]
    size = min(max(settings.size, SMALLEST), LARGEST)
    usual = get(COMMON).recipe.but({"size": size})
    step = estimate(usual, photo, painting).levels[-1][1] * (settings.size / size) ** 2
    if isinstance(settings, CheckpointSettings):
        return ONE_PASS * step, step
    searched = settings.layers if settings.method == "style-swap" else ()
    passes = ONE_PASS * len(settings.layers) * max(1, settings.stroke**2)
    return (passes + search_steps(searched, settings.swap)) * step, step


def weights_of(settings: Painter) -> str:
    """SHA-256 of the trained weights that it paints with; empty where there are none."""
    match settings:
        case Recipe():
            return ""
        case MethodSettings():
            files = [bundled_file(layer, settings.decoders) for layer in settings.layers]
            return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        case CheckpointSettings():
            return hub.load(hub.find(settings.checkpoint)).sha256


def backbone_of(settings: Painter) -> str:
    """The network whose features were optimized, decoded or learned from."""
    match settings:
        case Recipe():
            return settings.backbone.network
        case MethodSettings():
            return NETWORK
        case CheckpointSettings():
            notes = hub.load(hub.find(settings.checkpoint)).checkpoint.notes
            training = notes.get("training", {}).get("settings", {})
            return training.get("backbone", {}).get("network", TRAINED_ON)
