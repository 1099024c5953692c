"""The gallery: every preset's real result on one photo and painting, kept in `presets/gallery`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from nst.checkpoints.hub import Entry, Loaded, load
from nst.engines import anypainting, trained
from nst.engines.objective import Objective
from nst.engines.optimize import stylize
from nst.engines.outputs import curve, report
from nst.files import whole
from nst.machine import device
from nst.pictures.images import fit, open_picture, resized, save_picture, to_tensor
from nst.settings.catalog import DEFAULT, GALLERY, Preset, get, paintings, photos
from nst.settings.onepass import MethodPreset
from nst.settings.training import TrainingRecipe
from nst.steps import Result, Step, last

PHOTO, PAINTING = "neuschwanstein", "starry_night"


def render(preset: Preset, folder: Path = GALLERY) -> Iterator[Step]:
    """Runs the preset at its own size and writes `NAME.webp` and `NAME.json`."""
    photo = open_picture(photos()[PHOTO].path)
    painting = open_picture(paintings()[PAINTING].path)
    for step in stylize(photo, painting, preset.recipe):
        if step.result:
            _save(preset, step.result, folder)
        yield step


def example(entry: Entry) -> Path:
    """A bundled checkpoint's result in the gallery."""
    return GALLERY / f"instant-{entry.name}.webp"


def render_instant(entry: Entry, folder: Path = GALLERY) -> Result:
    """Paints the photo with a checkpoint and writes `instant-NAME.webp` and `.json`."""
    photo = open_picture(photos()[PHOTO].path)
    loaded = load(entry)
    result = last(trained.stylize(photo, loaded, trained.FastSettings(size=trained.COMMON_SIZE)))
    kept = {"photo": PHOTO, **result.report, "scores": scores(loaded)}
    _write(result, kept, folder / example(entry).name)
    return result


def render_method(method: MethodPreset, folder: Path = GALLERY) -> Result:
    """Paints the photo like the painting by a method and writes `method-NAME.webp` and `.json`."""
    photo = open_picture(photos()[PHOTO].path)
    painting = open_picture(paintings()[PAINTING].path)
    settings = method.settings.but({"size": trained.COMMON_SIZE})
    result = last(anypainting.stylize(photo, [anypainting.Style(painting)], settings))
    kept = {"method": method.name, "photo": PHOTO, "painting": PAINTING, **result.report}
    _write(result, kept, folder / method.example.name)
    return result


def scores(loaded: Loaded) -> dict[str, dict[str, float]]:
    """Training losses and seconds of the instant result and of the default preset's.

    Both paint the gallery's photo, at the preset's size, like the checkpoint's painting; losses
    are those that the checkpoint was trained with, unweighted.
    """
    painting = open_picture(paintings()[loaded.entry.style].path)
    recipe = get(DEFAULT).recipe
    photo = open_picture(photos()[PHOTO].path)
    photo = resized(photo, fit(photo.size, recipe.size))
    training = TrainingRecipe.read(loaded.checkpoint.notes["training"]["settings"])
    objective = Objective.of(painting, training, device(), torch.float32)
    given = to_tensor(photo, device())
    runs = {
        "instant": trained.stylize(photo, loaded, trained.FastSettings()),
        DEFAULT: stylize(photo, painting, recipe),
    }
    found = {}
    for name, steps in runs.items():
        result = last(steps)
        with torch.no_grad():
            painted = to_tensor(result.picture, device())
            _, losses = objective.evaluate(given, painted, given[:0])
        found[name] = {"seconds": result.report["seconds"], "total": losses.total} | {
            term: loss.unweighted for term, loss in losses.terms.items()
        }
    return found


def _save(preset: Preset, result: Result, folder: Path) -> None:
    kept = report(result, preset.name, PHOTO, PAINTING) | {"curve": curve(result.history)}
    _write(result, kept, folder / f"{preset.name}.webp")


def _write(result: Result, kept: Mapping[str, Any], path: Path) -> None:
    """The picture, and what is known of it beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(result.picture, path, quality=90, method=6)
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    with whole(path.with_suffix(".json")) as new:
        new.write_text(text + "\n", "utf-8")
