"""Kinds of files by how they begin: the pictures that open, and what to say of other files."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
)
from PIL.ImageFile import ImageFile

from nst.pictures import png, profiles
from nst.pictures.webp import LateWebP

HEAD_BYTES = 512
BOXES_BYTES = 4096
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif", ".hif"),
    *(".gif", ".bmp", ".tif", ".tiff"),
)


def _png(file: BinaryIO) -> ImageFile:
    notes = png.side_chunks(file)
    picture = PngImagePlugin.PngImageFile(png.pixels_only(file))
    picture.info["icc_profile"] = profiles.of_png(notes)
    picture.info["exif"] = notes.get(b"eXIf", b"")
    if "transparency" in picture.info and not isinstance(picture.info["transparency"], bytes):
        depth = notes[b"IHDR"][8]
        picture.info["transparency"] = _of_depth(picture.info["transparency"], picture.mode, depth)
    return picture


def _avif(file: BinaryIO) -> ImageFile:
    picture = AvifImagePlugin.AvifImageFile(file)
    file.seek(0)
    codes = re.search(rb"colrnclx(....)", file.read(BOXES_BYTES), re.DOTALL)
    if codes and "icc_profile" not in picture.info:
        picture.info["icc_profile"] = profiles.of_boxes(*struct.unpack(">HH", codes[1]))
    return picture


def _heic(file: BinaryIO) -> ImageFile:
    from pillow_heif import HeifImageFile  # twenty megabytes that few runs need

    picture = HeifImageFile(file)
    codes = picture.info.get("nclx_profile")
    if codes and "icc_profile" not in picture.info:
        numbers = codes["color_primaries"], codes["transfer_characteristics"]
        picture.info["icc_profile"] = profiles.of_boxes(*map(int, numbers))
    return picture


def _tiff(file: BinaryIO) -> ImageFile:
    picture = TiffImagePlugin.TiffImageFile(file)
    picture.info.pop("xmp", None)  # else it may turn the picture
    return picture


@dataclass(frozen=True)
class Format:
    """A format of pictures: its name, how its files begin, and what opens them.

    What the openers return says under `info["icc_profile"]` and `info["exif"]` what browsers obey.
    Unlike `PIL.Image.open` they take any number of pixels: how many are too many depends on the
    decoder.
    """

    name: str
    beginning: re.Pattern[bytes]
    open: Callable[[BinaryIO], ImageFile]


def _format(name: str, beginning: bytes, opener: Callable[[BinaryIO], ImageFile]) -> Format:
    return Format(name, re.compile(beginning, re.DOTALL), opener)


FORMATS = (
    _format("JPEG", rb"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    _format("PNG", rb"\x89PNG\r\n\x1a\n", _png),
    _format("WebP", rb"RIFF....WEBP", LateWebP),
    _format(
        "AVIF",
        rb"....ftyp(avi[fs]|(mif1|msf1).{4}(.{4}){0,9}?avi[fs])",
        _avif,
    ),
    _format("HEIC", rb"....ftyp(hei[cxms]|hev[cxms]|mif[12]|msf1)", _heic),
    _format("GIF", rb"GIF8[79]a", GifImagePlugin.GifImageFile),
    _format(
        "BMP", rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", BmpImagePlugin.BmpImageFile
    ),
    _format("TIFF", rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]", _tiff),
)
_first, _last = ", ".join(one.name for one in FORMATS[:-1]), FORMATS[-1].name
NAMES = f"{_first} or {_last}"

STRANGERS = tuple(
    (re.compile(beginning, re.DOTALL | re.IGNORECASE), sentence)
    for beginning, sentence in (
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "is a JPEG XL picture. Save it as JPEG or PNG first."),
        (
            rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
            "is a JPEG 2000 picture. Save it as JPEG or PNG first.",
        ),
        (rb"%PDF-", "is a PDF document. Save the page as PNG or JPEG first."),
        (rb"8BPS", "is a Photoshop document. Save it as PNG or JPEG first."),
        (rb"....ftypcrx ", "is a camera's raw file. Develop it and save it as JPEG first."),
        (
            rb"....(ftyp|moov|mdat|wide)|\x1a\x45\xdf\xa3|RIFF....AVI |\0\0\x01\xba",
            "is a video. Save one picture of it as JPEG or PNG first.",
        ),
        (rb".*<(!doctype )?svg", "is an SVG drawing. Save it as PNG first."),
        (rb"\s*<(!doctype )?html", "is a web page. Save the picture itself."),
    )
)


def format_of(head: bytes) -> Format | None:
    """The format of a file that begins so."""
    return next((one for one in FORMATS if one.beginning.match(head)), None)


def stranger(head: bytes) -> str:
    """What is wrong with a file that is no picture here: a predicate, for after its name."""
    known = (sentence for beginning, sentence in STRANGERS if beginning.match(head))
    return next(known, f"is not a picture. {NAMES} works.")


def _of_depth(clear: int | tuple[int, ...], mode: str, depth: int) -> int | tuple[int, ...]:
    """The transparent color of a PNG in the numbers that Pillow gives its pixels."""
    if isinstance(clear, tuple):
        return tuple(number >> (depth - 8) for number in clear)
    return clear * 255 // (2**depth - 1) if mode == "L" else clear
