"""Pictures as browsers show them, decoded in bounded memory."""

import ctypes
import platform
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile

from nst.names import Problem
from nst.pictures.formats import HEAD_BYTES, format_of, stranger
from nst.pictures.limits import DecodingBudget, Limits
from nst.pictures.profiles import SRGB, to_srgb

DECODING = DecodingBudget(64_000_000)  # of the process; decoders need 8 to 16 bytes a pixel
LARGE = 16_000_000  # pixels
SHORT = 3  # EXIF's number for 16 bits
BAND_PIXELS = 2**20  # whose colors are changed at once
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
GRAYS = ("1", "L", "LA", "La")
PLAIN = {"1": "L", "P": "RGB"}  # modes that color profiles are for


class BadPicture(Problem):
    """A file that cannot be used as a picture; the message says why and what would work."""


class UnusablePicture(BadPicture):
    """A file that cannot be used as a picture, with the reason apart from its name."""

    def __init__(self, path: Path, why: str) -> None:
        """Names the file; `why` is a predicate with a full stop, such as "is empty."."""
        super().__init__(f"`{path.name}` {why}")
        self.why = why


def decoded(path: Path, longest: int, limits: Limits) -> Image.Image:
    """The picture in a file: upright, RGB in sRGB, at most `longest` pixels wide and high.

    Raises `UnusablePicture` by what can be seen without decoding, and whatever decoders raise.
    """
    _check_bytes(path, limits)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        kind = format_of(head)
        if kind is None:
            raise UnusablePicture(path, stranger(head))
        in_one_scan = kind.name == "JPEG" and _in_one_scan(file)
        file.seek(0)
        picture = kind.open(file)
        full = picture.width * picture.height
        picture.draft(None, _least(picture.size, longest, limits))
        held = picture.width * picture.height if in_one_scan else full
        if held > limits.pixels or full > limits.reduced_pixels:
            most = limits.pixels if held > limits.pixels else limits.reduced_pixels
            megapixels = f"{most // 10**6} megapixels"
            raise UnusablePicture(path, f"has too many pixels; the limit is {megapixels}.")
        with DECODING.hold(held):
            shown = _shown(picture, longest)
            del picture  # else its memory is still in use
            if held >= LARGE:
                _give_back()
            return shown


def _check_bytes(path: Path, limits: Limits) -> None:
    size = path.stat().st_size
    if size == 0:
        raise UnusablePicture(path, "is empty.")
    if size > limits.bytes:
        raise UnusablePicture(path, f"is too large; the limit is {limits.bytes // 2**20} MB.")


def _give_back() -> None:
    """The C library keeps the memory that a thread has freed to that thread."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _in_one_scan(jpeg: BinaryIO) -> bool:
    """Whether a decoder can go through the file row by row, without all coefficients at hand."""
    place, components = 2, None
    while True:
        jpeg.seek(place)
        segment = jpeg.read(10)
        if len(segment) < 10 or segment[0] != 0xFF:
            return False
        marker, length = segment[1], int.from_bytes(segment[2:4])
        if marker in (0xC0, 0xC1):  # baseline and sequential
            components = segment[9]
        if marker == 0xDA:
            return segment[4] == components
        place += 1 if marker == 0xFF else 2 + length


def _least(size: tuple[int, int], longest: int, limits: Limits) -> tuple[int, int]:
    """What a decoder that can reduce must leave; of a huge picture, the long side alone counts."""
    if size[0] * size[1] <= limits.pixels:
        return longest, longest
    return (longest, 1) if size[0] > size[1] else (1, longest)


def _shown(picture: ImageFile, longest: int) -> Image.Image:
    if picture.info.get("default_image"):
        picture.seek(1)  # it is for programs that cannot show the animation
    picture.load()
    white = _white(picture) if picture.mode in ("I", "F") else 65535
    convert = to_srgb(picture.info.get("icc_profile") or SRGB)
    shown = Image.new("RGB", picture.size)
    for top, band in _bands(picture):
        shown.paste(_on_white(_eight_bits(band, white), convert), (0, top))
    picture._im = None  # its memory is needed
    orientation = _orientation(picture.info.get("exif") or b"")
    if orientation in TURNS:
        shown = shown.transpose(TURNS[orientation])
    shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return shown


def _bands(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Parts of a picture over its whole width, and the rows at which they begin."""
    rows = max(1, BAND_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _orientation(exif: bytes) -> int:
    """The orientation in the first directory of EXIF, if it is a single short number, or 1."""
    notes = exif.removeprefix(b"Exif\0\0")
    order = "<" if notes.startswith(b"II") else ">"
    with suppress(struct.error):  # broken notes turn nothing
        (start,) = struct.unpack_from(f"{order}I", notes, 4)
        (count,) = struct.unpack_from(f"{order}H", notes, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, numbers, value = struct.unpack_from(f"{order}HHIH", notes, place)
            if (tag, kind, numbers) == (Base.Orientation, SHORT, 1):
                return value
    return 1


def _eight_bits(picture: Image.Image, white: int) -> Image.Image:
    if picture.mode not in ("I", "F") and not picture.mode.startswith("I;16"):
        return picture
    given = np.asarray(picture)
    values = np.nan_to_num(given.astype(np.float64)).clip(0, white) * (255 / white)
    gray = Image.fromarray(values.round().astype(np.uint8))
    if (clear := picture.info.get("transparency")) is not None:
        gray.putalpha(Image.fromarray(np.where(given == clear, 0, 255).astype(np.uint8)))
    return gray


def _white(picture: Image.Image) -> int:
    """The brightest value that the numbers seem made for; one odd number does not decide."""
    above = dict.fromkeys((1, 255, 65535), 0)
    for _, band in _bands(picture):
        values = np.nan_to_num(np.asarray(band, dtype=np.float64))
        for white in above:
            above[white] += int(np.count_nonzero(values > white))
    few = picture.width * picture.height / 100
    return next((white for white, count in above.items() if count <= few), 2**31 - 1)


def _on_white(picture: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    if not picture.has_transparency_data:
        return convert(picture.convert(PLAIN.get(picture.mode, picture.mode))).convert("RGB")
    clear = picture.convert("RGBA")
    opaque = clear.getchannel("R") if picture.mode in GRAYS else clear.convert("RGB")
    colors = convert(opaque).convert("RGB")
    colors.putalpha(clear.getchannel("A"))
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, colors).convert("RGB")
