"""A checkpoint's model card: pictures, settings, losses and license, as the Hub shows them."""

import json
import shutil
from pathlib import Path

from PIL import Image

from nst.checkpoints.files import NOTHING
from nst.checkpoints.hub import Loaded
from nst.engines.bands import painted
from nst.files import whole
from nst.machine import PRECISIONS, calibration
from nst.names import Problem
from nst.nn import decoders
from nst.nn.decoders import Decoder
from nst.nn.state import BadCheckpoint
from nst.nn.transformer import TransformerNetwork
from nst.pictures.images import fit, open_picture, resized, save_picture
from nst.settings.catalog import paintings, photos

CARD_FILE, SAMPLES_FILE, STYLE_FILE = "README.md", "samples.jpg", "style.jpg"
TAG = "fast-style-transfer"  # of every card, by which a folder of ours is known again
SAMPLES, SAMPLE_SIDE = ("neuschwanstein", "astronaut", "cat"), 512


class BadFolder(Problem):
    """A folder that a card cannot be written to."""


def samples(network: TransformerNetwork) -> Image.Image:
    """Three bundled photos as the network paints them, side by side."""
    dtype = PRECISIONS[calibration().precision]
    pictures = []
    for name in SAMPLES:
        photo = open_picture(photos()[name].path)
        photo = resized(photo, fit(photo.size, SAMPLE_SIDE))
        pictures.append(painted(photo, network, dtype))
    return _row(pictures)


def round_trips(decoder: Decoder) -> Image.Image:
    """The same photos as the decoder makes them of their features, side by side."""
    encoder = decoders.encoder(
        PRECISIONS[calibration().precision], next(decoder.parameters()).device
    )
    pictures = []
    for name in SAMPLES:
        photo = open_picture(photos()[name].path)
        photo = resized(photo, fit(photo.size, SAMPLE_SIDE))
        pictures.append(decoders.round_trip(photo, decoder, encoder))
    return _row(pictures)


def _row(pictures: list[Image.Image]) -> Image.Image:
    """Pictures at one height, side by side."""
    height = min(picture.height for picture in pictures)
    scaled = [resized(p, (round(p.width * height / p.height), height)) for p in pictures]
    sheet = Image.new("RGB", (sum(p.width for p in scaled), height))
    left = 0
    for picture in scaled:
        sheet.paste(picture, (left, 0))
        left += picture.width
    return sheet


def write(loaded: Loaded, repository: str, license_name: str, folder: Path) -> None:
    """The folder to upload: weights, pictures and README.

    Raises `BadCheckpoint`, and `BadFolder` if something else is there.
    """
    notes = loaded.checkpoint.notes
    if "training" not in notes:
        raise BadCheckpoint(
            f"`{loaded.path.name}` was not trained here, so there is nothing to put on its card."
        )
    _check_folder(folder, loaded.path.name)
    pictures = {SAMPLES_FILE: samples(loaded.checkpoint.network)}
    if credit := paintings().get(notes["style"]):
        painting = open_picture(credit.path)
        pictures[STYLE_FILE] = resized(painting, fit(painting.size, SAMPLE_SIDE))
    folder.mkdir(parents=True, exist_ok=True)
    with whole(folder / loaded.path.name) as new:
        shutil.copyfile(loaded.path, new)
    for name, picture in pictures.items():
        save_picture(picture, folder / name, quality=90)
    with whole(folder / CARD_FILE) as new:
        new.write_text(_text(loaded, repository, license_name), "utf-8")


def _check_folder(folder: Path, weights: str) -> None:
    """Nothing of anybody else's may be overwritten, or uploaded."""
    if folder.exists() and not folder.is_dir():
        raise BadFolder(f"`{folder}` is a file. Choose a folder with `--output`.")
    found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    ours = {weights, SAMPLES_FILE, STYLE_FILE, CARD_FILE}
    card = folder / CARD_FILE
    if found and not (
        found <= ours and card.exists() and TAG in card.read_text("utf-8", "replace")
    ):
        raise BadFolder(f"`{folder}` holds other files. Choose a new folder with `--output`.")


def _text(loaded: Loaded, repository: str, license_name: str) -> str:
    notes, file = loaded.checkpoint.notes, loaded.path.name
    run, before = notes["training"], notes.get("before", NOTHING)
    credit = paintings().get(notes["style"])
    title = credit.title if credit else notes["style"]
    style = f"{credit.title} ({credit.by}; {credit.license})" if credit else notes["style"]
    picture = f"![{style}]({STYLE_FILE})\n\n" if credit else ""
    losses = "\n".join(f"| {term} | {loss:.4g} |" for term, loss in run["losses"].items())
    earlier = ""
    if before["iterations"]:
        earlier = f", after {before['iterations']} steps in {before['seconds']:.0f} seconds"
    settings = json.dumps(run["settings"], indent=1)
    return f"""---
license: {license_name}
pipeline_tag: image-to-image
tags:
  - neural-style-transfer
  - {TAG}
---

# {title}: fast style transfer

{style}

![Three photos painted by this network]({SAMPLES_FILE})

{picture}An image transformation network (Johnson et al. 2016) with instance normalization,
{notes["width"]} channels at full size and {notes["blocks"]} residual blocks, {notes["upsampling"]}
up-sampling. It reads and writes RGB as (rgb - 127.5) / 63.75.

```bash
python -m nst fast PHOTO -o painted.png --checkpoint {repository}:{file}
```

## Training

{run["iterations"]} steps on crops of {run["photos"]} photos in {run["seconds"]:.0f} seconds
({run["precision"]}, {run["device"]}){earlier}. Mean of the unweighted losses over the last steps:

| loss | value |
|---|---|
{losses}

<details><summary>All settings</summary>

```json
{settings}
```

</details>
"""
