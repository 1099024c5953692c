"""Color profiles: what a file says of its colors, and the way from there to sRGB.

Every description, whatever its form, becomes an ICC profile, so that one engine (Little CMS)
converts them all. Photographs in HDR (the transfer functions PQ and HLG) are left as they are.
"""

import io
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from PIL import ImageCms
from PIL.Image import Image

from nst.pictures import png

SRGB = b""  # for what needs no conversion
D65, C, DCI_WHITE = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
BT709 = (D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
SMPTE170M = (D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
PRIMARIES: Mapping[int, Sequence[tuple[float, float]]] = {  # ITU-T H.273: white, red, green, blue
    1: BT709,
    4: (C, (0.670, 0.330), (0.210, 0.710), (0.140, 0.080)),
    5: (D65, (0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: SMPTE170M,
    7: SMPTE170M,
    8: (C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: (DCI_WHITE, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
# ICC parametric curves: y = x^g, or (ax + b)^g from d on and cx below, as (g, a, b, c, d).
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# Browsers show BT.709 in PNG as screens for it do (BT.1886), and in AVIF like sRGB.
PNG_CURVES: Mapping[int, Sequence[float]] = {  # ITU-T H.273
    **dict.fromkeys((1, 6, 11, 14, 15), (2.4,)),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    13: SRGB_CURVE,
}
BOX_CURVES: Mapping[int, Sequence[float]] = {
    **PNG_CURVES,
    **dict.fromkeys((1, 6, 11, 14, 15), SRGB_CURVE),
}
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
D50 = np.array([0.9642, 1.0, 0.8249])
NO_COLORS = (np.linalg.LinAlgError, FloatingPointError, ValueError, struct.error)
FULL_RANGE_RGB = b"\0\1"
MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def of_png(chunks: Mapping[bytes, bytes]) -> bytes:
    """The ICC profile that the side chunks of a PNG amount to.

    The first one that can be understood counts, in the order of the PNG specification: cICP,
    iCCP, sRGB, gAMA with cHRM.
    """
    coded = chunks.get(b"cICP", b"")
    if len(coded) == 4 and coded[2:] == FULL_RANGE_RGB:
        profile = _of_codes(coded[0], coded[1], PNG_CURVES)
        if profile is not None:
            return profile
    embedded = png.icc_profile(chunks.get(b"iCCP", b""))
    if embedded and _conversion(embedded):
        return embedded
    return SRGB if b"sRGB" in chunks else _of_gamma(chunks.get(b"gAMA"), chunks.get(b"cHRM"))


def of_boxes(primaries: int, transfer: int) -> bytes:
    """The ICC profile of the code points (ITU-T H.273) in an AVIF or HEIC file."""
    return _of_codes(primaries, transfer, BOX_CURVES) or SRGB


def to_srgb(profile: bytes) -> Callable[[Image], Image]:
    """A conversion of pictures to RGB in sRGB.

    Pictures whose mode does not fit the profile stay as they are, as with a broken profile.
    """
    found = _conversion(profile)
    if found is None:
        return lambda picture: picture
    mode, change = found

    def convert(picture: Image) -> Image:
        if mode == "RGB" and picture.mode == "L":
            picture = picture.convert("RGB")
        return change.apply(picture) if picture.mode == mode else picture

    return convert


def _conversion(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """The mode of the pictures that a profile is for, and the way from there to sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = MODES[source.profile.xcolor_space]
        return mode, ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError):
        return None


def _of_codes(primaries: int, transfer: int, curves: Mapping[int, Sequence[float]]) -> bytes | None:
    if primaries not in PRIMARIES or transfer not in curves:
        return None
    if primaries == 1 and curves[transfer] == SRGB_CURVE:
        return SRGB
    return _profile(PRIMARIES[primaries], curves[transfer])


def _of_gamma(gamma: bytes | None, points: bytes | None) -> bytes:
    """The profile of gAMA and cHRM; the usual gamma alone stands for sRGB, as in browsers."""
    value = int.from_bytes(gamma or b"") / 100_000
    if not value or (points is None and abs(2.2 * value - 1) < 0.05):
        return SRGB
    try:
        return _profile(png.chromaticities(points) if points else BT709, (1 / value,))
    except NO_COLORS:
        return SRGB


def _profile(points: Sequence[tuple[float, float]], curve: Sequence[float]) -> bytes:
    """An ICC profile (version 4) of primaries as (x, y), the white first, and one curve.

    Raises one of `NO_COLORS` over numbers that no light has.
    """
    shape = b"para" + struct.pack(">4xHxx", {1: 0, 5: 3}[len(curve)]) + _fixed(curve)
    tags = [(b"wtpt", _xyz(D50))]
    for name, column in zip((b"r", b"g", b"b"), _to_d50(np.array(points)).T, strict=True):
        tags += [(name + b"XYZ", _xyz(column)), (name + b"TRC", shape)]
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    head = struct.pack(">I4xI", 128 + len(table) + len(body), 0x04000000) + b"mntrRGB XYZ "
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + _fixed(D50)
    return head.ljust(128, b"\0") + table + body


def _to_d50(points: np.ndarray) -> np.ndarray:
    """(3, 3): from linear red, green and blue to XYZ, with the white adapted to D50."""
    with np.errstate(divide="raise", invalid="raise"):
        x, y = points.T
        xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    white, primaries = xyz[:, 0], xyz[:, 1:]
    cones = BRADFORD @ D50 / (BRADFORD @ white)
    adapted = np.linalg.inv(BRADFORD) @ (cones[:, None] * BRADFORD)
    return adapted @ (primaries * np.linalg.solve(primaries, white))


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _fixed(values: Iterable[float]) -> bytes:
    """Numbers with 16 bits behind the point. Raises `struct.error` where one is too large."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)
