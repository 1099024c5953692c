"""A checkpoint's model card: pictures, settings, losses and license, as the Hub shows them."""

import json
import shutil
from pathlib import Path

from PIL import Image

from nst.checkpoints import BadCheckpoint
from nst.fast import painted
from nst.hub import Loaded
from nst.images import fit, open_picture, resized
from nst.machine import PRECISIONS, calibration
from nst.networks import TransformerNetwork
from nst.presets import paintings, photos

SAMPLES, SAMPLE_SIDE = ("neuschwanstein", "astronaut", "cat"), 512


def samples(network: TransformerNetwork) -> Image.Image:
    """Three bundled photos as the network paints them, side by side."""
    dtype = PRECISIONS[calibration().precision]
    pictures = []
    for name in SAMPLES:
        photo = open_picture(photos()[name].path)
        photo = resized(photo, fit(photo.size, SAMPLE_SIDE))
        pictures.append(painted(photo, network, dtype))
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
    """The folder to upload: weights, pictures and README. Raises `BadCheckpoint`."""
    notes = loaded.checkpoint.notes
    if "training" not in notes:
        raise BadCheckpoint(
            f"`{loaded.entry.file}` was not trained here, so there is nothing to put on its card."
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(loaded.path, folder / loaded.path.name)
    samples(loaded.checkpoint.network).save(folder / "samples.jpg", quality=90)
    style = notes["style"]
    if style in paintings():
        painting = open_picture(paintings()[style].path)
        resized(painting, fit(painting.size, SAMPLE_SIDE)).save(folder / "style.jpg", quality=90)
    text = _text(loaded, repository, license_name)
    (folder / "README.md").write_text(text, "utf-8")


def _text(loaded: Loaded, repository: str, license_name: str) -> str:
    notes, file = loaded.checkpoint.notes, loaded.path.name
    run = notes["training"]
    credit = paintings().get(notes["style"])
    style = f"{credit.title} ({credit.by}; {credit.license})" if credit else notes["style"]
    picture = f"![{style}](style.jpg)\n\n" if credit else ""
    losses = "\n".join(f"| {term} | {loss:.4g} |" for term, loss in run["losses"].items())
    settings = json.dumps(run["settings"], indent=1)
    return f"""---
license: {license_name}
pipeline_tag: image-to-image
tags:
  - neural-style-transfer
  - fast-style-transfer
---

# {style}: fast style transfer

![Three photos painted by this network](samples.jpg)

{picture}An image transformation network (Johnson et al. 2016) with instance normalization,
{notes["width"]} channels at full size and {notes["blocks"]} residual blocks, {notes["upsampling"]}
up-sampling. It reads and writes RGB as (rgb - 127.5) / 63.75.

```bash
python -m nst fast PHOTO -o painted.png --checkpoint {repository}:{file}
```

## Training

{run["iterations"]} steps on crops of {run["photos"]} photos in {run["seconds"]:.0f} seconds
({run["precision"]}, {run["device"]}, {run["processes"]} process(es)). Mean of the unweighted losses
over the last steps:

| loss | value |
|---|---|
{losses}

<details><summary>All settings</summary>

```json
{settings}
```

</details>
"""
