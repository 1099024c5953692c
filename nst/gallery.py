"""The gallery: every preset's real result on one photo and painting, kept in `presets/gallery`."""

import json
from collections.abc import Iterator
from pathlib import Path

from nst import fast
from nst.hub import Entry, load
from nst.images import open_picture
from nst.optimize import stylize
from nst.outputs import curve, report
from nst.presets import GALLERY, Preset, paintings, photos
from nst.steps import Result, Step, last

SIDE = 768  # of instant results
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
    result = last(fast.stylize(photo, loaded, fast.FastSettings(size=SIDE)))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / example(entry).name
    result.picture.save(path, quality=90, method=6)
    kept = {"photo": PHOTO, **result.report}
    path.with_suffix(".json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return result


def _save(preset: Preset, result: Result, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept = report(result, preset.name, PHOTO, PAINTING) | {"curve": curve(result.history)}
    result.picture.save(folder / f"{preset.name}.webp", quality=90, method=6)
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    (folder / f"{preset.name}.json").write_text(text + "\n", "utf-8")
