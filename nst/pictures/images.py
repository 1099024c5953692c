"""Files to pictures to tensors and back. `open_picture` is the only decoder of uploads."""

import errno
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, PngImagePlugin
from torch import Tensor

from nst import __version__
from nst.files import reason, whole
from nst.pictures.decoding import BadPicture, UnusablePicture, decoded
from nst.pictures.formats import NAMES, SUFFIXES
from nst.pictures.limits import UPLOAD, Limits
from nst.report import RunReport

WORKING_SIDE = 2048  # long side of an opened picture; no run is larger
SETTINGS_KEY = "nst"  # of the PNG text chunk that carries a result's settings


def accepted(limits: Limits = UPLOAD) -> str:
    """What opens, for people: the formats and the limits."""
    return f"{NAMES}, {limits.sentence}"


def open_picture(
    source: str | Path, *, longest: int = WORKING_SIDE, limits: Limits = UPLOAD
) -> Image.Image:
    """A file as an upright 8-bit sRGB picture without metadata, reduced to `longest` pixels.

    It looks as browsers show it: the first frame of an animation, on white where transparent, with
    the colors and the orientation that the file states. 16 bits are scaled, not cut. Raises
    `BadPicture`; size limits are checked before decoding.
    """
    path = Path(source)
    try:
        if not path.is_file():
            raise UnusablePicture(path, "does not exist or is not a file.")
        return decoded(path, longest, limits)
    except BadPicture:
        raise
    except MemoryError as error:
        why = "needs more memory than is free. Make it smaller first, or try again later."
        raise UnusablePicture(path, why) from error
    except Exception as error:  # decoders raise anything at all over damaged files
        raise UnusablePicture(path, _why(error)) from error


def _why(error: Exception) -> str:
    # A damaged file may send its decoder to a place that cannot be.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return f"cannot be read: {reason(error)}."
    return "is damaged or incomplete and cannot be read."


def picture_files(folder: Path, pattern: str) -> list[Path]:
    """The pictures in a folder by their suffix, sorted; hidden files and folders are left out.

    `pattern` is "*", or "**/*" for the folders below it, too.
    """
    return sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def fit(size: tuple[int, int], long_side: float) -> tuple[int, int]:
    """Width and height with the given long side, at least one pixel each."""
    factor = long_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture at exactly `size`, with antialiasing."""
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def cropped(picture: Image.Image, shape: tuple[int, int]) -> Image.Image:
    """The largest centered part with the aspect ratio of `shape`."""
    return ImageOps.fit(picture, _inside(picture.size, shape), Image.Resampling.LANCZOS)


def _inside(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    factor = min(size[0] / shape[0], size[1] / shape[1])
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def to_tensor(picture: Image.Image, device: torch.device) -> Tensor:
    """(1, 3, H, W), RGB in 0..255, float32."""
    array = np.array(picture, dtype=np.float32)
    return torch.from_numpy(array).permute(2, 0, 1).unsqueeze(0).contiguous().to(device)


def to_picture(image: Tensor) -> Image.Image:
    """The picture of (1, 3, H, W), cut to 0..255 and rounded."""
    array = image.detach()[0].clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(array.cpu().numpy())


def save_picture(picture: Image.Image, path: str | Path, **options: Any) -> None:
    """A file in the format of its suffix; `options` are those of `PIL.Image.Image.save`.

    Raises `BadOutput` where the system refuses to write.
    """
    kind = Image.registered_extensions()[Path(path).suffix.lower()]
    # In memory first: Pillow overlooks that a disk has taken only a part of what it wrote.
    encoded = io.BytesIO()
    picture.save(encoded, format=kind, **options)
    with whole(path) as new:
        new.write_bytes(encoded.getbuffer())


def save_png(picture: Image.Image, path: str | Path, report: Mapping[str, Any]) -> None:
    """A lossless file that carries the report of its run, and so the settings to repeat it.

    Raises `BadOutput` where the system refuses to write.
    """
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(SETTINGS_KEY, json.dumps(report, ensure_ascii=False))
    notes.add_text("Software", f"nst {__version__}")
    # Painted pictures hardly compress; the default level takes three times as long for 5 %.
    with whole(path) as new:
        picture.save(new, format="PNG", pnginfo=notes, compress_level=2)


def read_report(path: str | Path, limits: Limits = UPLOAD) -> RunReport:
    """The report inside a saved result (PNG) or beside it (JSON).

    Raises `BadPicture` where there is none, and `BadReport` for one that does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise BadPicture(f"`{path.name}` does not exist or is not a file.")
    try:
        if path.suffix.lower() == ".json":
            tree = json.loads(path.read_text("utf-8"))
        else:
            open_picture(path, limits=limits)
            with Image.open(path, formats=["PNG"]) as file:
                tree = json.loads(file.info[SETTINGS_KEY])
        tree["settings"]
    except Exception as error:  # of whatever else the file may be
        raise BadPicture(
            f"`{path.name}` has no settings inside. A PNG or JSON that this program saved works."
        ) from error
    return RunReport.read(tree, path.name)


def save_time_lapse(frames: Sequence[Image.Image], path: str | Path) -> None:
    """An animated WebP of about eight seconds at most, resting on the last frame."""
    size = frames[-1].size
    pause = [min(200, max(1, 6000 // len(frames)))] * (len(frames) - 1) + [2000]
    first, *rest = (resized(frame, size) for frame in frames)
    with whole(path) as new:
        first.save(
            *(new, "WEBP"), save_all=True, append_images=rest, duration=pause, loop=0, quality=80
        )
