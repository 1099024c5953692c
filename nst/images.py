"""Files to pictures to tensors and back. `open_picture` is the only decoder of uploads."""

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from nst import __version__
from nst.names import Problem

MOST_BYTES = 15 * 2**20
MOST_PIXELS = 40_000_000
WORKING_SIDE = 2048  # long side of an opened picture; no run is larger
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SETTINGS_KEY = "nst"  # of the PNG text chunk that carries a result's settings


class BadPicture(Problem):
    """A file that cannot be used as a picture; the message says why and what would work."""


def open_picture(
    source: str | Path, *, longest: int = WORKING_SIDE, most_bytes: int = MOST_BYTES
) -> Image.Image:
    """A file as an upright 8-bit sRGB picture without metadata, reduced to `longest` pixels.

    The limits by default are those of an upload.

    The first frame of an animation; transparency lies on white; 16 bits are scaled, not cut; ICC
    profiles and CMYK are converted. Raises `BadPicture`. Size limits are checked before decoding.
    """
    path = Path(source)
    name = path.name
    if not path.is_file():
        raise BadPicture(f"`{source}` does not exist or is not a file.")
    _refuse_by_size(path, most_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                return _decoded(file, name, longest)
    except BadPicture:
        raise
    except UnidentifiedImageError:
        raise BadPicture(_unknown_format(path)) from None
    except Image.DecompressionBombError:
        raise BadPicture(_too_many_pixels(name)) from None
    except Exception as error:  # decoders raise anything at all over damaged files
        raise BadPicture(f"`{name}` is damaged or incomplete and cannot be read.") from error


def _unknown_format(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    if b"<svg" in head.lower() or path.suffix.lower() == ".svg":
        return f"`{path.name}` is an SVG drawing. Save it as PNG first."
    if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypavif"):
        return f"`{path.name}` is a HEIC or AVIF picture. Save it as JPEG first."
    return f"`{path.name}` is not a picture. JPEG, PNG and WebP work."


def _too_many_pixels(name: str) -> str:
    return f"`{name}` has too many pixels; the limit is {MOST_PIXELS // 10**6} megapixels."


def _refuse_by_size(path: Path, most_bytes: int) -> None:
    size = path.stat().st_size
    if size == 0:
        raise BadPicture(f"`{path.name}` is empty.")
    if size > most_bytes:
        raise BadPicture(f"`{path.name}` is too large; the limit is {most_bytes // 2**20} MB.")


def _decoded(file: Image.Image, name: str, longest: int) -> Image.Image:
    if file.width * file.height > MOST_PIXELS:
        raise BadPicture(_too_many_pixels(name))
    file.seek(0)
    profile = file.info.get("icc_profile")
    file.draft(None, (longest, longest))
    picture = ImageOps.exif_transpose(file)
    picture = _rgb(_srgb(_eight_bits(picture), profile))
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return Image.fromarray(np.asarray(picture))  # a new one, without EXIF, GPS or other notes


def _eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode not in ("I", "F") and not picture.mode.startswith("I;16"):
        return picture
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    white = 65535 if picture.mode.startswith("I;16") else _white(values)
    values = values.clip(0, white) * (255 / white)
    return Image.fromarray(values.round().astype(np.uint8))


def _white(values: np.ndarray) -> int:
    """The brightest value that the numbers seem made for; one odd number does not decide."""
    bright = np.quantile(values, 0.99)
    return next((white for white in (1, 255, 65535) if bright <= white), 2**31 - 1)


def _srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if not profile:
        return picture
    if picture.has_transparency_data or picture.mode == "P":
        picture = picture.convert("RGBA")
        colors = _srgb(picture.convert("RGB"), profile)
        colors.putalpha(picture.getchannel("A"))
        return colors
    if picture.mode in ("RGB", "CMYK", "L"):
        with suppress(ImageCms.PyCMSError, OSError, ValueError):  # a broken profile is ignored
            return ImageCms.profileToProfile(
                picture,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
    return picture


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


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


def save_png(picture: Image.Image, path: str | Path, report: Mapping[str, Any]) -> None:
    """A lossless file that carries the report of its run, and so the settings to repeat it."""
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(SETTINGS_KEY, json.dumps(report, ensure_ascii=False))
    notes.add_text("Software", f"nst {__version__}")
    # Painted pictures hardly compress; the default level takes three times as long for 5 %.
    picture.save(path, format="PNG", pnginfo=notes, compress_level=2)


def read_report(path: str | Path) -> dict[str, Any]:
    """The report inside a saved result (PNG) or beside it (JSON). Raises `BadPicture`."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".json":
            report = json.loads(path.read_text("utf-8"))
        else:
            open_picture(path)
            with Image.open(path, formats=["PNG"]) as file:
                report = json.loads(file.info[SETTINGS_KEY])
        report["settings"]
        return report
    except Exception as error:  # of whatever else the file may be
        raise BadPicture(
            f"`{path.name}` has no settings inside. A PNG or JSON that this program saved works."
        ) from error


def save_time_lapse(frames: Sequence[Image.Image], path: str | Path) -> None:
    """An animated WebP of about eight seconds at most, resting on the last frame."""
    size = frames[-1].size
    pause = [min(200, max(1, 6000 // len(frames)))] * (len(frames) - 1) + [2000]
    first, *rest = (resized(frame, size) for frame in frames)
    first.save(
        path, format="WEBP", save_all=True, append_images=rest, duration=pause, loop=0, quality=80
    )
