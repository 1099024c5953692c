"""Uploads of every kind, as small files made here, and the way back to files."""

import gc
import io
import json
import random
import re
import struct
import warnings
import zlib
from itertools import pairwise

import numpy as np
import pillow_heif
import pytest
import torch
from PIL import Image, ImageCms

from nst.pictures.formats import NAMES
from nst.pictures.images import (
    BadPicture,
    cropped,
    fit,
    open_picture,
    read_report,
    resized,
    save_png,
    save_time_lapse,
    to_picture,
    to_tensor,
)
from nst.pictures.limits import OWN_FILE
from nst.settings.catalog import photos

pillow_heif.register_heif_opener()  # so that the tests can write it
CPU = torch.device("cpu")
COLORS = [
    (220, 30, 30),
    (30, 200, 40),
    (40, 40, 230),
    (240, 220, 30),
    (20, 20, 20),
    (250, 250, 250),
]
WHITE, RED, GREEN = (255, 255, 255), (255, 0, 0), (0, 255, 0)


def blocks(side=16):
    """Three columns and two rows of plain colors."""
    array = np.array(COLORS, dtype=np.uint8).reshape(2, 3, 3)
    return Image.fromarray(array.repeat(side, 0).repeat(side, 1))


def saved(picture, path, **options):
    picture.save(path, **options)
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(array, depth, kind, *extra, size=None):
    """A PNG by hand, of rows of big-endian numbers; `size` is what it claims to be."""
    height, width = array.shape[:2]
    width, height = size or (width, height)
    numbers = array.astype(">u2" if depth == 16 else ">u1")
    rows = b"".join(b"\0" + row.tobytes() for row in numbers)
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = (chunk(b"IHDR", head), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(data)


def ramp(width=256):
    """0 to 65535 from left to right, in four rows."""
    return np.linspace(0, 65535, width).round()[None].repeat(4, 0)


def assert_close(picture, expected, tolerance):
    found = np.asarray(picture, dtype=float)
    assert found.shape == np.shape(expected)
    assert np.abs(found - expected).max() <= tolerance


def assert_gray(picture, values, tolerance=0.51):
    assert picture.mode == "RGB"
    assert_close(picture, np.asarray(values, dtype=float)[..., None].repeat(3, -1), tolerance)


def refusal(path):
    with pytest.raises(BadPicture) as caught:
        open_picture(path)
    message = str(caught.value)
    assert f"{path.name}`" in message
    assert message.endswith(".")
    return message


# Files that are no pictures


def test_a_missing_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "holiday.jpg")


def test_a_directory_is_refused(tmp_path):
    assert "is not a file" in refusal(tmp_path)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"")
    assert refusal(path) == "`holiday.jpg` is empty."


@pytest.mark.parametrize("data", [b"Dear all,\n", b"\0" * 1000, b"\xff\xd8", b"BM and more"])
def test_what_is_no_picture_is_refused_with_formats_that_work(tmp_path, data):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    assert refusal(path) == f"`holiday.jpg` is not a picture. {NAMES} works."


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff"])
def test_the_beginning_of_a_picture_is_a_damaged_one(tmp_path, data):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    assert refusal(path) == "`holiday.jpg` is damaged or incomplete and cannot be read."


def test_a_picture_that_mentions_svg_in_its_notes_is_a_picture(tmp_path):
    note = chunk(b"tEXt", b"Source\0drawn from <svg width='3'>")
    path = tmp_path / "drawn.png"
    path.write_bytes(png(np.array([[[1, 2, 3]]]), 8, 2, note))
    assert open_picture(path).getpixel((0, 0)) == (1, 2, 3)


SAVED_AS = {
    "JPEG": {},
    "progressive": {"format": "JPEG", "progressive": True},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {},
    "HEIF": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "LZW": {"format": "TIFF", "compression": "tiff_lzw"},
}


def encoded(kind, picture, **more):
    file = io.BytesIO()
    picture.save(file, **{"format": kind} | SAVED_AS[kind] | more)
    return file.getvalue()


@pytest.mark.parametrize("kind", SAVED_AS)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_file_that_ends_too_early_is_refused(kind, photo, tmp_path):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(encoded(kind, photo)[:-300])
    assert refusal(path) == "`holiday.jpg` is damaged or incomplete and cannot be read."


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_photo_that_ends_too_early_is_refused(share, tmp_path):
    data = photos()["astronaut"].path.read_bytes()
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data[: int(share * len(data))])
    assert "damaged or incomplete" in refusal(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SAVED_AS)
def test_a_damaged_file_opens_or_is_refused_and_nothing_else(kind, tmp_path):
    chance = random.Random(kind)
    data = encoded(kind, blocks(4), **({"exif": _exif(6)} if kind in ("JPEG", "PNG") else {}))
    path = tmp_path / "damaged.bin"
    opened = 0
    for _ in range(60):
        spoiled = bytearray(data)
        for _ in range(chance.choice((1, 2, 5))):
            spoiled[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(spoiled[: chance.choice((len(data), chance.randrange(1, len(data))))])
        try:
            assert open_picture(path).mode == "RGB"
            opened += 1
        except BadPicture as error:
            assert "`damaged.bin`" in str(error)
    assert opened < 60


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_photo_with_broken_exif_opens_or_is_refused(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x0131] = 6, "soft"
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    data = exif.tobytes()
    assert data.count(b"soft\0\0\0\2") == 1
    data = data.replace(b"soft\0\0\0\2", b"soft\0\0\x6d\2")  # 27,906 entries about the place
    path = saved(blocks(), tmp_path / "broken.jpg", exif=data)
    try:
        assert max(open_picture(path).size) == 48
    except BadPicture as error:
        assert "`broken.jpg`" in str(error)


# Files that are too large


def test_a_file_above_40_megabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(41 * 2**20)  # zeros: were it read, it would be no picture
    assert refusal(path) == "`large.jpg` is too large; the limit is 40 MB."


def test_a_file_of_exactly_40_megabytes_opens(tmp_path):
    path = saved(blocks(), tmp_path / "large.png")
    with path.open("r+b") as file:
        file.truncate(40 * 2**20)
    assert open_picture(path).size == (48, 32)


def test_a_users_own_file_may_be_larger_than_an_upload(tmp_path):
    path = saved(blocks(), tmp_path / "large.png")
    with path.open("r+b") as file:
        file.truncate(41 * 2**20)
    assert open_picture(path, limits=OWN_FILE).size == (48, 32)


@pytest.mark.parametrize("size", [(8000, 8001), (13_000, 13_000), (20_000, 20_000), (2**31 - 1, 9)])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(np.zeros((1, 9, 3)), 8, 2, size=size))
    assert path.stat().st_size < 200
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        message = refusal(path)
    assert "megapixels" in message
    assert "limit is 64" in message


def test_64_megapixels_are_not_too_many(tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(png(np.zeros((1, 9)), 8, 0, size=(8000, 8000)))
    assert "damaged or incomplete" in refusal(path)


@pytest.mark.parametrize("what", ["bytes", "pixels"])
def test_a_file_just_above_a_limit_is_not_said_to_be_at_the_limit(tmp_path, what):
    path = tmp_path / "large.png"
    if what == "bytes":
        with path.open("wb") as file:
            file.truncate(40 * 2**20 + 1)
    else:
        path.write_bytes(png(np.zeros((1, 9)), 8, 0, size=(8000, 8001)))
    message = refusal(path)
    assert "has 40 MB" not in message
    assert "has 64 megapixels" not in message


def test_a_large_photo_is_opened_at_2048_pixels_with_its_colors(tmp_path):
    picture = blocks(1).resize((4800, 3200), Image.Resampling.NEAREST)
    opened = open_picture(saved(picture, tmp_path / "large.jpg", quality=90))
    assert opened.size == (2048, 1365)
    for index, color in enumerate(COLORS):
        place = (341 + 683 * (index % 3), 341 + 683 * (index // 3))
        assert_close(opened.getpixel(place), color, 6)


def test_a_large_upright_photo_is_turned_and_then_made_smaller(tmp_path):
    picture = blocks(1).resize((4800, 3200), Image.Resampling.NEAREST)
    opened = open_picture(saved(picture, tmp_path / "large.jpg", quality=90, exif=_exif(6)))
    assert opened.size == (1365, 2048)
    assert_close(opened.getpixel((1000, 300)), COLORS[0], 6)


def test_a_long_strip_keeps_at_least_one_pixel_across(tmp_path):
    opened = open_picture(saved(Image.new("RGB", (5000, 2), RED), tmp_path / "strip.png"))
    assert opened.size == (2048, 1)
    assert opened.getpixel((1000, 0)) == RED


# Orientation and notes


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


UPRIGHT = {  # where EXIF says that row 0 and column 0 of the file lie in the picture
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.jpg", {"quality": 95, "subsampling": 0}, 6),
        ("a.png", {}, 0),
        ("a.tif", {}, 0),
    ],
)
def test_a_turned_photo_is_opened_upright(orientation, name, options, tolerance, tmp_path):
    path = saved(blocks(), tmp_path / name, exif=_exif(orientation), **options)
    assert_close(open_picture(path), UPRIGHT[orientation](np.asarray(blocks())), tolerance)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_ignored(orientation, tmp_path):
    path = saved(blocks(), tmp_path / "a.png", exif=_exif(orientation))
    assert_close(open_picture(path), np.asarray(blocks()), 0)


@pytest.mark.parametrize(
    ("name", "options"), [("a.webp", {"lossless": True}), ("a.avif", {"quality": 100})]
)
def test_formats_whose_exif_browsers_ignore_are_not_turned_by_it(name, options, tmp_path):
    path = saved(blocks(), tmp_path / name, exif=_exif(6), **options)
    with path.open("r+b") as file:  # AVIF's own turn, which Pillow wrote beside EXIF's
        data = re.sub(rb"irot.", b"irot\\0", file.read())
        file.seek(0)
        file.write(data)
    assert open_picture(path).size == (48, 32)


SECRETS = (b"Canon PowerShot", b"A. Photographer", b"secret place", b"2024:05:06")


def _private(path):
    exif = _exif(6)
    exif[0x010F], exif[0x013B] = "Canon PowerShot", "A. Photographer"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 9.0), 3: "E", 4: (13.0, 22.0, 1.0)})
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>secret place</x:xmpmeta>"
    more = {"comment": b"secret place"} if path.suffix == ".jpg" else {}
    return saved(blocks(), path, exif=exif, xmp=xmp, dpi=(300, 300), **more)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.png"])
def test_place_and_other_notes_stay_out_of_the_opened_picture(name, tmp_path):
    path = _private(tmp_path / name)
    data = path.read_bytes()
    assert SECRETS[0] in data and SECRETS[1] in data
    assert Image.open(path).getexif().get_ifd(0x8825)
    opened = open_picture(path)
    assert opened.info == {}
    assert dict(opened.getexif()) == {}
    assert max(opened.size) == 48


@pytest.mark.parametrize("through_open", [True, False])
def test_place_and_other_notes_stay_out_of_the_saved_file(through_open, tmp_path):
    path = _private(tmp_path / "a.jpg")
    picture = open_picture(path) if through_open else Image.open(path)
    save_png(picture, tmp_path / "b.png", {"settings": {}})
    data = (tmp_path / "b.png").read_bytes()
    assert not [secret for secret in SECRETS if secret in data]
    with Image.open(tmp_path / "b.png") as file:
        file.load()
        assert dict(file.getexif()) == {}
        assert set(file.info) == {"nst", "Software"}


def test_opening_leaves_no_file_open(tmp_path):
    path = saved(blocks(), tmp_path / "a.png")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        open_picture(path)
        gc.collect()
    # Sockets of servers in the same process come and go.
    assert [str(w.message) for w in caught if str(path) in str(w.message)] == []


# Depths and modes


def test_a_path_may_be_a_text(tmp_path):
    path = saved(blocks(), tmp_path / "Ünï çødé.png")
    assert_close(open_picture(str(path)), np.asarray(blocks()), 0)


def test_the_suffix_does_not_decide_the_format(tmp_path):
    path = saved(blocks(), tmp_path / "a.jpg", format="PNG")
    assert_close(open_picture(path), np.asarray(blocks()), 0)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_a_lossless_picture_has_its_very_colors(name, tmp_path):
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(blocks(), tmp_path / name, **options)
    assert_close(open_picture(path), np.asarray(blocks()), 0)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_has_its_colors(progressive, tmp_path):
    options = {"quality": 95, "subsampling": 0, "progressive": progressive}
    path = saved(blocks(), tmp_path / "a.jpg", **options)
    with Image.open(path) as file:
        assert bool(file.info.get("progressive")) == progressive
    assert_close(open_picture(path), np.asarray(blocks()), 6)


def test_a_phones_several_pictures_in_one_jpeg_give_the_first(tmp_path):
    path = tmp_path / "a.jpg"
    more = [Image.new("RGB", (48, 32), GREEN)]
    blocks().save(path, format="MPO", save_all=True, append_images=more, quality=95, subsampling=0)
    assert_close(open_picture(path), np.asarray(blocks()), 6)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("brightest", [65535, 200])
def test_16_bits_of_gray_are_scaled_not_cut(name, brightest, tmp_path):
    values = ramp() * brightest / 65535
    path = saved(Image.fromarray(values.round().astype(np.uint16)), tmp_path / name)
    assert_gray(open_picture(path), values / 257, 1)


def test_16_bits_of_gray_in_the_other_byte_order_are_scaled(tmp_path):
    data = ramp().astype(">u2").tobytes()
    path = saved(Image.frombytes("I;16B", (256, 4), data), tmp_path / "a.tif")
    with Image.open(path) as file:
        assert file.mode == "I;16B"
    assert_gray(open_picture(path), ramp() / 257)


def _deep_colors():
    """16 bits: red rises, green stays, blue falls."""
    return np.stack([ramp(), np.full((4, 256), 30000.0), ramp()[:, ::-1]], axis=-1)


def test_16_bits_a_color_are_scaled(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(_deep_colors(), 16, 2))
    assert_close(open_picture(path), _deep_colors() / 257, 1)


def test_16_bits_a_color_with_alpha_lie_on_white(tmp_path):
    path = tmp_path / "a.png"
    alpha = np.full((4, 256, 1), 0.25)
    path.write_bytes(png(np.concatenate([_deep_colors(), alpha * 65535], -1), 16, 6))
    assert_close(open_picture(path), _deep_colors() / 257 * 0.25 + 255 * 0.75, 2)


def test_16_bits_of_gray_with_alpha_lie_on_white(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(np.stack([ramp(), np.full((4, 256), 16384)], -1), 16, 4))
    assert_gray(open_picture(path), ramp() / 257 * 0.25 + 255 * 0.75, 2)


def test_16_bits_a_color_in_tiff_are_scaled(tmp_path):
    data = _deep_colors().astype("<u2").tobytes()
    entries = [  # tag, type (3 short, 4 long), count, value; the three depths lie after the entries
        (256, 3, 1, 256),
        (257, 3, 1, 4),
        (258, 3, 3, 8 + 2 + 9 * 12 + 4),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8 + 2 + 9 * 12 + 4 + 6),
        (277, 3, 1, 3),
        (278, 3, 1, 4),
        (279, 4, 1, len(data)),
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4)
    path = tmp_path / "a.tif"
    path.write_bytes(head + struct.pack("<HHH", 16, 16, 16) + data)
    assert_close(open_picture(path), _deep_colors() / 257, 1)


@pytest.mark.parametrize("brightest", [1, 255, 65535])
def test_floats_are_scaled_from_any_usual_range(brightest, tmp_path):
    values = (ramp() / 65535 * brightest).astype(np.float32)
    path = saved(Image.fromarray(values), tmp_path / "a.tif")
    with Image.open(path) as file:
        assert file.mode == "F"
    assert_gray(open_picture(path), ramp() / 257)


@pytest.mark.parametrize("odd", [1.02, np.nan, np.inf])
def test_one_odd_float_does_not_turn_a_picture_black(odd, tmp_path):
    values = (ramp() / 65535).astype(np.float32)
    values[0, 0] = odd
    opened = open_picture(saved(Image.fromarray(values), tmp_path / "a.tif"))
    assert_gray(opened.crop((0, 1, 256, 4)), ramp()[1:] / 257, 6)


def test_gray_becomes_three_equal_channels(tmp_path):
    values = (ramp() / 257).round().astype(np.uint8)
    assert_gray(open_picture(saved(Image.fromarray(values), tmp_path / "a.png")), values, 0)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.gif"])
def test_one_bit_becomes_black_and_white(name, tmp_path):
    values = np.arange(64).reshape(4, 16) % 3 == 0
    assert_gray(open_picture(saved(Image.fromarray(values), tmp_path / name)), values * 255, 0)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_colors_with_alpha_lie_on_white(name, tmp_path):
    picture = blocks().convert("RGBA")
    alpha = np.linspace(0, 255, 48).round()[None].repeat(32, 0)
    picture.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    share = alpha[..., None] / 255
    expected = np.asarray(blocks()) * share + 255 * (1 - share)
    assert_close(open_picture(saved(picture, tmp_path / name, **options)), expected, 1)


def test_what_is_fully_transparent_is_white_whatever_lies_below(tmp_path):
    path = saved(Image.new("RGBA", (3, 2), (9, 99, 199, 0)), tmp_path / "a.png")
    assert open_picture(path).getcolors() == [(6, WHITE)]


def test_gray_with_alpha_lies_on_white(tmp_path):
    values = (ramp() / 257).round().astype(np.uint8)
    picture = Image.merge("LA", [Image.fromarray(values), Image.new("L", (256, 4), 51)])
    opened = open_picture(saved(picture, tmp_path / "a.png"))
    assert_gray(opened, values * 0.2 + 255 * 0.8, 1)


def _indexed():
    picture = Image.new("P", (3, 1))
    picture.putpalette([*RED, *GREEN, 0, 0, 255])
    picture.putdata([0, 1, 2])
    return picture


@pytest.mark.parametrize(
    ("transparency", "expected"),
    [
        (None, [RED, GREEN, (0, 0, 255)]),
        (1, [RED, WHITE, (0, 0, 255)]),
        (b"\xff\x00\x33", [RED, WHITE, (204, 204, 255)]),
    ],
)
def test_a_palette_has_its_colors_and_its_transparency(transparency, expected, tmp_path):
    options = {} if transparency is None else {"transparency": transparency}
    opened = open_picture(saved(_indexed(), tmp_path / "a.png", **options))
    assert_close(opened, [expected], 1)


def test_a_color_that_stands_for_transparency_is_white(tmp_path):
    path = saved(blocks(), tmp_path / "a.png", transparency=COLORS[0])
    opened = open_picture(path)
    assert opened.getpixel((2, 2)) == WHITE
    assert opened.getpixel((20, 2)) == COLORS[1]


@pytest.mark.parametrize(
    ("name", "options"), [("a.gif", {}), ("a.webp", {"lossless": True}), ("a.png", {})]
)
def test_the_first_frame_of_an_animation_counts(name, options, tmp_path):
    first, *rest = (Image.new("RGB", (8, 6), color) for color in (RED, GREEN, WHITE))
    path = saved(first, tmp_path / name, save_all=True, append_images=rest, duration=50, **options)
    with Image.open(path) as file:
        assert file.n_frames == 3
    assert open_picture(path).getcolors() == [(48, RED)]


def test_the_transparent_part_of_a_gif_is_white(tmp_path):
    opened = open_picture(saved(_indexed(), tmp_path / "a.gif", transparency=2))
    assert_close(opened, [[RED, GREEN, WHITE]], 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (37, 1)])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.tif"])
def test_pictures_one_pixel_wide_open(name, size, tmp_path):
    opened = open_picture(saved(Image.new("RGB", size, RED), tmp_path / name))
    assert opened.size == size
    assert_close(opened, np.full((*size[::-1], 3), RED), 3)


# Color profiles


def _swapped_profile():
    """An RGB profile in which red and green have changed places."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert data.count(b"rXYZ") == data.count(b"gXYZ") == 1
    return data.replace(b"rXYZ", b"swap").replace(b"gXYZ", b"rXYZ").replace(b"swap", b"gXYZ")


def _ink_profile():
    """A CMYK profile by hand: cyan prints red, magenta green, yellow blue, black black."""
    paper, red, green, blue = (255, 128, 128), (138, 209, 198), (224, 49, 209), (75, 196, 16)
    grid = [(0, 128, 128)] * 16  # cyan varies slowest
    grid[0b0000], grid[0b1000], grid[0b0100], grid[0b0010] = paper, red, green, blue
    line = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1\0\0\0\0\4\3\2\0" + matrix + line * 4 + bytes(sum(grid, ())) + line * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    texts = [b"desc\0\0\0\0\0\0\0\4Ink\0" + bytes(78), b"text\0\0\0\0CC0\0"]
    tags = dict(zip((b"desc", b"cprt", b"wtpt", b"A2B0"), (*texts, white, table), strict=True))
    directory, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        directory += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = b"\0\0\0\0" + b"\x02\x40\0\0" + b"prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    size = struct.pack(">I", 128 + len(directory) + len(body))
    return size + (head + bytes(124 - len(head))) + directory + body


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_a_color_profile_is_applied(name, tmp_path):
    path = saved(Image.new("RGB", (16, 16), RED), tmp_path / name, icc_profile=_swapped_profile())
    opened = open_picture(path)
    assert_close(opened, np.full((16, 16, 3), GREEN), 6)
    assert opened.info == {}


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_color_profile_is_applied_below_transparency(name, tmp_path):
    picture = Image.new("RGBA", (16, 16), (*RED, 51))
    opened = open_picture(saved(picture, tmp_path / name, icc_profile=_swapped_profile()))
    assert_close(opened, np.full((16, 16, 3), (204, 255, 204)), 3)


def test_a_color_profile_is_applied_to_a_palette(tmp_path):
    opened = open_picture(saved(_indexed(), tmp_path / "a.png", icc_profile=_swapped_profile()))
    assert_close(opened, [[GREEN, RED, (0, 0, 255)]], 3)


def test_a_profile_of_colors_leaves_gray_alone(tmp_path):
    path = saved(Image.new("L", (4, 4), 99), tmp_path / "a.png", icc_profile=_swapped_profile())
    assert open_picture(path).getcolors() == [(16, (99, 99, 99))]


@pytest.mark.parametrize("profile", [b"", b"junk" * 99, _swapped_profile()[:300], bytes(200)])
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_broken_color_profile_is_ignored(profile, mode, tmp_path):
    picture = Image.new("RGB", (16, 16), RED).convert(mode)
    path = saved(picture, tmp_path / "a.jpg", icc_profile=profile, quality=95)
    assert_close(open_picture(path), np.full((16, 16, 3), RED), 6)


@pytest.mark.parametrize(
    ("ink", "color"),
    [
        ((0, 0, 0, 0), WHITE),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 255, 0), RED),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_inks_without_a_profile_become_their_complements(name, ink, color, tmp_path):
    opened = open_picture(saved(Image.new("CMYK", (16, 16), ink), tmp_path / name))
    assert_close(opened, np.full((16, 16, 3), color), 6)


@pytest.mark.parametrize(
    ("ink", "color"),
    [
        ((0, 0, 0, 0), WHITE),
        ((255, 0, 0, 0), (255, 0, 0)),
        ((0, 255, 0, 0), (0, 255, 0)),
        ((0, 0, 255, 0), (0, 0, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_inks_with_a_profile_become_what_it_says(name, ink, color, tmp_path):
    picture = Image.new("CMYK", (16, 16), ink)
    opened = open_picture(saved(picture, tmp_path / name, icc_profile=_ink_profile()))
    assert_close(opened, np.full((16, 16, 3), color), 12)


# Sizes and shapes


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [
        ((400, 300), 200, (200, 150)),
        ((300, 400), 200, (150, 200)),
        ((100, 50), 512, (512, 256)),
        ((3, 3000), 64, (1, 64)),
        ((3000, 3), 64, (64, 1)),
        ((1, 1), 512, (512, 512)),
        ((640, 480), 100.4, (100, 75)),
        ((640, 480), 0.2, (1, 1)),
    ],
)
def test_fit_keeps_the_shape_at_another_long_side(size, long_side, expected):
    assert fit(size, long_side) == expected


@pytest.mark.parametrize("size", [(24, 16), (96, 64), (7, 61), (1, 1)])
def test_resized_has_the_very_size_and_the_same_mean_color(size, photo):
    small = resized(photo, size)
    assert small.size == size
    difference = np.asarray(small).mean((0, 1)) - np.asarray(photo).mean((0, 1))
    assert np.abs(difference).max() < 6


def test_resized_to_its_own_size_is_the_same_picture(photo):
    assert resized(photo, photo.size) is photo


def test_resized_mixes_what_no_longer_fits():
    checks = Image.fromarray(((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8))
    values = np.asarray(resized(checks.convert("RGB"), (8, 8)))
    assert np.abs(values.astype(int) - 128).max() <= 3


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((10, 10), (20, 0, 80, 60)),
        ((1000, 1000), (20, 0, 80, 60)),
        ((5, 3), (0, 0, 100, 60)),
        ((2, 1), (0, 5, 100, 55)),
        ((1, 3), (40, 0, 60, 60)),
        ((100, 1), (0, 29.5, 100, 30.5)),
    ],
)
def test_cropped_is_the_largest_middle_part_of_the_shape(shape, box):
    rows, columns = np.mgrid[0:60, 0:100]
    picture = Image.fromarray(np.stack([columns * 2, rows * 4, rows * 0 + 7], -1).astype(np.uint8))
    left, top, right, bottom = box
    part = cropped(picture, shape)
    assert part.size == (right - left, bottom - top)
    found = np.asarray(part, dtype=float)
    assert found[0, 0] == pytest.approx([left * 2, top * 4, 7], abs=1)
    assert found[-1, -1] == pytest.approx([(right - 1) * 2, (bottom - 1) * 4, 7], abs=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1000), (1000, 1)])
def test_cropped_leaves_at_least_one_pixel(size, shape):
    assert min(cropped(Image.new("RGB", size), shape).size) >= 1


# Tensors


def test_a_tensor_has_the_colors_by_channel_row_and_column():
    tensor = to_tensor(blocks(), CPU)
    assert tensor.shape == (1, 3, 32, 48)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    for index, color in enumerate(COLORS):
        row, column = 16 * (index // 3), 16 * (index % 3)
        assert tensor[0, :, row, column].tolist() == list(color)


def test_a_picture_survives_the_way_to_a_tensor_and_back(photo):
    assert np.array_equal(np.asarray(to_picture(to_tensor(photo, CPU))), np.asarray(photo))


def test_a_picture_one_pixel_wide_survives_the_way_to_a_tensor_and_back(photo):
    strip = photo.crop((0, 0, 1, 9))
    assert np.array_equal(np.asarray(to_picture(to_tensor(strip, CPU))), np.asarray(strip))


def test_a_picture_of_a_tensor_is_cut_and_rounded():
    values = torch.tensor([-30.0, -0.4, 0.4, 0.6, 99.4, 254.6, 255.4, 900.0])
    picture = to_picture(values.view(1, 1, 1, 8).repeat(1, 3, 1, 1))
    assert np.asarray(picture)[0, :, 0].tolist() == [0, 0, 0, 1, 99, 255, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_picture_of_any_tensor_is_made_without_changing_it(dtype):
    image = torch.full((1, 3, 2, 2), 300.0, dtype=dtype, requires_grad=True)
    layout = image.contiguous(memory_format=torch.channels_last)
    assert to_picture(layout).getcolors() == [(4, WHITE)]
    assert image.detach().unique().tolist() == [300.0]


# Results


REPORT = {
    "settings": {"size": 512, "style": {"layers": {"conv1_1": 0.2, "conv4_2": 1e-07}}},
    "photo": "Mäda Primavesi – “Γειά” 猫 🐈",
    "warning": 'quotes " and \\ and\nlines\tand \u0000',
    "seconds": 12.5,
}


def told(path):
    """What of `REPORT` is read back."""
    found = read_report(path).as_dict()
    return {name: found[name] for name in REPORT}


def test_a_saved_result_carries_its_report_and_its_very_pixels(photo, tmp_path):
    path = tmp_path / "Ergebnis – 猫.png"
    save_png(photo, path, REPORT)
    assert told(path) == REPORT
    assert told(str(path)) == REPORT
    assert np.array_equal(np.asarray(open_picture(path)), np.asarray(photo))
    with Image.open(path) as file:
        assert file.format == "PNG"
        assert file.text["Software"].startswith("nst ")


def test_a_report_is_a_png_whatever_the_suffix_says(photo, tmp_path):
    save_png(photo, tmp_path / "result", REPORT)
    assert told(tmp_path / "result") == REPORT


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("name", ["report.json", "REPORT.JSON"])
def test_a_report_beside_the_picture_is_read(name, ascii_only, tmp_path):
    text = json.dumps(REPORT, ensure_ascii=ascii_only, indent=2)
    (tmp_path / name).write_text(text, "utf-8")
    assert told(tmp_path / name) == REPORT


def unread(path):
    with pytest.raises(BadPicture) as caught:
        read_report(path)
    assert str(caught.value).startswith(f"`{path.name}` ")
    assert "settings" in str(caught.value)
    assert "PNG or JSON" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "5", "null", '"settings"', "{}", '{"preset": "quick"}', "[" * 100_000],
    ids=["empty", "cut", "list", "number", "null", "text", "no keys", "no settings", "deep"],
)
def test_a_json_without_settings_is_refused(text, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(text, "utf-8")
    unread(path)


def test_a_json_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(b"\xff\xfe{}")
    unread(path)


@pytest.mark.parametrize("name", ["report.json", "result.png"])
def test_a_report_that_does_not_exist_is_refused(name, tmp_path):
    with pytest.raises(BadPicture, match="does not exist or is not a file"):
        read_report(tmp_path / name)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_a_picture_of_another_program_has_no_settings(name, photo, tmp_path):
    unread(saved(photo, tmp_path / name))


@pytest.mark.parametrize("text", [b"no json", b"[]", b'{"preset": 1}', b"[" * 100_000])
def test_a_picture_whose_note_is_no_report_is_refused(text, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(np.zeros((1, 1, 3)), 8, 2, chunk(b"tEXt", b"nst\0" + text)))
    unread(path)


def test_a_result_that_ends_too_early_is_refused(photo, tmp_path):
    path = tmp_path / "a.png"
    save_png(photo, path, REPORT)
    path.write_bytes(path.read_bytes()[:-300])
    unread(path)


@pytest.mark.parametrize("side", [13_000, 20_000])
def test_a_result_that_claims_too_many_pixels_is_refused(side, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(np.zeros((1, 9, 3)), 8, 2, size=(side, side)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        unread(path)


# Time-lapse


def _frames(count, size=(16, 12)):
    return [
        Image.new("RGB", size, (255 * i // count, 255 - 255 * i // count, 0)) for i in range(count)
    ]


def _animation(path):
    """Frames, durations in milliseconds, and how often the file plays."""
    with Image.open(path) as file:
        frames, pauses = [], []
        for index in range(file.n_frames):
            file.seek(index)
            frames.append(file.convert("RGB"))
            pauses.append(file.info["duration"])
        return frames, pauses, file.info["loop"]


@pytest.mark.parametrize("count", [2, 7, 30])
def test_a_time_lapse_has_every_frame_and_plays_forever(count, tmp_path):
    save_time_lapse(_frames(count), tmp_path / "a.webp")
    frames, _, loop = _animation(tmp_path / "a.webp")
    assert len(frames) == count
    assert loop == 0
    for frame, expected in zip(frames, _frames(count), strict=True):
        assert_close(frame.getpixel((8, 6)), expected.getpixel((8, 6)), 12)


@pytest.mark.parametrize("count", [2, 30, 100, 400])
def test_a_time_lapse_rests_on_the_last_frame_and_takes_eight_seconds_at_most(count, tmp_path):
    shades = [
        Image.new("RGB", (8, 8), (i * 37 % 256, i * 91 % 256, i * 53 % 256)) for i in range(count)
    ]
    save_time_lapse(shades, tmp_path / "a.webp")
    _, pauses, _ = _animation(tmp_path / "a.webp")
    assert pauses[-1] >= 2000
    assert sum(pauses) <= 8500


def test_frames_of_all_levels_get_the_size_of_the_last(tmp_path):
    small, middle, large = (
        Image.new("RGB", size, color)
        for size, color in (((8, 6), RED), ((16, 12), GREEN), ((33, 25), WHITE))
    )
    save_time_lapse([small, middle, large], tmp_path / "a.webp")
    frames, _, _ = _animation(tmp_path / "a.webp")
    assert [frame.size for frame in frames] == [(33, 25)] * 3
    for frame, color in zip(frames, (RED, GREEN, WHITE), strict=True):
        assert_close(frame.getpixel((16, 12)), color, 12)


def test_a_single_frame_is_saved(tmp_path):
    save_time_lapse([blocks()], tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as file:
        assert file.size == (48, 32)
        assert getattr(file, "n_frames", 1) == 1


def test_the_colors_of_a_time_lapse_vary_from_frame_to_frame():
    assert all(a.getpixel((0, 0)) != b.getpixel((0, 0)) for a, b in pairwise(_frames(30)))
