"""The gallery: every preset's real result on one photo and painting, kept in `presets/gallery`."""

import json
from collections.abc import Iterator
from pathlib import Path

from nst.images import open_picture
from nst.optimize import stylize
from nst.presets import GALLERY, Preset, paintings, photos
from nst.steps import Losses, Result, Step

PHOTO, PAINTING = "neuschwanstein", "starry_night"
CURVE_POINTS = 100


def render(preset: Preset, folder: Path = GALLERY) -> Iterator[Step]:
    """Runs the preset at its own size and writes `NAME.webp` and `NAME.json`."""
    photo = open_picture(photos()[PHOTO].path)
    painting = open_picture(paintings()[PAINTING].path)
    for step in stylize(photo, painting, preset.recipe):
        if step.result:
            _save(preset, step.result, folder)
        yield step


def _save(preset: Preset, result: Result, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "preset": preset.name,
        "photo": PHOTO,
        "painting": PAINTING,
        **result.report,
        "curve": curve(result.history),
    }
    result.picture.save(folder / f"{preset.name}.webp", quality=90, method=6)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (folder / f"{preset.name}.json").write_text(text + "\n", "utf-8")


def curve(history: tuple[Losses, ...]) -> list[dict[str, float | int | str]]:
    """Rows (step, term, loss) of the weighted terms, at most `CURVE_POINTS` steps."""
    stride = -(-len(history) // CURVE_POINTS)
    kept = sorted({*range(0, len(history), stride), len(history) - 1})
    return [
        {"step": index + 1, "term": term, "loss": value}
        for index in kept
        for term, value in {
            "total": history[index].total,
            **{name: term.weighted for name, term in history[index].terms.items()},
        }.items()
    ]
