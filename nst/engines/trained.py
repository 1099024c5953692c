"""The engine for trained networks: a photo painted in one pass."""

import time
from collections.abc import Iterator

from PIL import Image

from nst.checkpoints.files import training_cost
from nst.checkpoints.hub import Loaded
from nst.engines.bands import painted
from nst.machine import PRECISIONS, calibration, nearest, other_precision, prepare, release
from nst.pictures.color import with_colors_of
from nst.pictures.images import fit, resized
from nst.report import CheckpointSource, RunReport, versions
from nst.settings.onepass import TrainedSettings
from nst.steps import Result, Step, at_once


def stylize(
    photo: Image.Image, loaded: Loaded, settings: TrainedSettings, precision: str | None = None
) -> Iterator[Step]:
    """Paint `photo` with a network. The only step carries the result.

    A size above the photo's own enlarges it. The same picture, checkpoint, settings and machine
    give the same result, bit for bit. `precision` is that of `optimize.stylize`. Raises
    `BadCheckpoint` if the network's numbers overflow.
    """
    prepare()
    wanted = precision or calibration().precision
    precision = nearest(wanted)
    began = time.perf_counter()
    photo = resized(photo, fit(photo.size, settings.size)) if settings.size else photo
    picture = painted(photo, loaded.checkpoint.network, PRECISIONS[precision])
    if settings.keep_colors:
        picture = with_colors_of(photo, picture)
    picture = Image.blend(photo, picture, settings.strength)
    seconds = time.perf_counter() - began
    release()
    report = RunReport(
        engine="trained network",
        settings=settings.model_dump(),
        checkpoint=CheckpointSource(
            name=loaded.entry.name,
            place=loaded.entry.place,
            sha256=loaded.sha256,
            style=str(loaded.checkpoint.notes.get("style") or loaded.entry.style),
            license=loaded.entry.license,
        ),
        training=training_cost(loaded.checkpoint.notes),
        size=picture.size,
        seconds=round(seconds, 3),
        precision=precision,
        device=str(next(loaded.checkpoint.network.parameters()).device),
        warning=other_precision(wanted, precision),
        versions=versions(),
    )
    yield at_once(Result(picture, photo, report, ()), seconds)
