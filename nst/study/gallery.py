"""The gallery: every preset's real result on one photo and painting, kept in `presets/gallery`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from nst.checkpoints.hub import Loaded, bundled, load
from nst.engines import trained
from nst.engines.objective import Objective
from nst.engines.optimize import stylize
from nst.engines.outputs import curve
from nst.engines.painters import AnyPainting, Optimization, Painter, TrainedNetwork, find
from nst.files import whole
from nst.machine import device
from nst.pictures.images import fit, open_picture, resized, save_picture, to_tensor
from nst.settings.base import COMMON_SIZE
from nst.settings.catalog import DEFAULT_PRESET, GALLERY, get, paintings, photos
from nst.settings.onepass import TrainedSettings
from nst.settings.training import TrainingRecipe
from nst.steps import Result, Step, last

PHOTO, PAINTING = "neuschwanstein", "starry_night"
KINDS: Mapping[type[Painter], str] = {  # before a name, in those of files
    Optimization: "",
    AnyPainting: "method-",
    TrainedNetwork: "instant-",
}


def example(name: str) -> Path:
    """The picture in the gallery of something that paints. Raises `UnknownName`."""
    return GALLERY / f"{KINDS[type(find(name).painter)]}{name}.webp"


def render(name: str, folder: Path = GALLERY) -> Iterator[Step]:
    """Paints the gallery's picture and writes it with its report.

    A preset at its own size, what paints in one pass at `COMMON_SIZE`.
    """
    photo = open_picture(photos()[PHOTO].path)
    painting = open_picture(paintings()[PAINTING].path)
    painter = find(name).painter
    if not isinstance(painter, Optimization):
        painter = painter.but({"size": COMMON_SIZE})
    for step in painter.paint(photo, painting):
        if step.result:
            report = painter.signed(step.result.report, name, PHOTO, PAINTING)
            result = replace(step.result, report=report)
            _write(name, result, folder / example(name).name)
            step = replace(step, result=result)
        yield step


def scores(loaded: Loaded) -> dict[str, dict[str, float]]:
    """Training losses and seconds of the trained network and of the default preset's.

    Both paint the gallery's photo, at the preset's size, like the checkpoint's painting; losses
    are those that the checkpoint was trained with, unweighted.
    """
    painting = open_picture(paintings()[loaded.entry.style].path)
    recipe = get(DEFAULT_PRESET).recipe
    photo = open_picture(photos()[PHOTO].path)
    photo = resized(photo, fit(photo.size, recipe.size))
    training = TrainingRecipe.read(loaded.checkpoint.notes["training"]["settings"])
    objective = Objective.of(painting, training, device(), torch.float32)
    given = to_tensor(photo, device())
    runs = {
        "instant": trained.stylize(photo, loaded, TrainedSettings()),
        DEFAULT_PRESET: stylize(photo, painting, recipe),
    }
    found = {}
    for name, steps in runs.items():
        result = last(steps)
        with torch.no_grad():
            painted = to_tensor(result.picture, device())
            _, losses = objective.evaluate(given, painted, given[:0])
        found[name] = {"seconds": result.report.seconds, "total": losses.total} | {
            term: loss.unweighted for term, loss in losses.terms.items()
        }
    return found


def _write(name: str, result: Result, path: Path) -> None:
    """The picture, and what is known of it beside it."""
    kept = result.report.as_dict()
    if result.history:
        kept["curve"] = curve(result.history)
    if name in bundled():
        kept["scores"] = scores(load(bundled()[name]))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(result.picture, path, quality=90, method=6)
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    with whole(path.with_suffix(".json")) as new:
        new.write_text(text + "\n", "utf-8")
