"""What files open, how they are told apart, and what is said of those that do not open."""

import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from nst.pictures.decoding import UnusablePicture
from nst.pictures.formats import NAMES
from nst.pictures.images import accepted, open_picture, picture_files
from nst.pictures.limits import OWN_FILE, UPLOAD, DecodingBudget
from tests.drawn import (
    COLORS,
    blocks,
    chunk,
    encoded,
    exif,
    icc,
    mere_users_folder,
    with_chunks,
    xmp,
)

pillow_heif.register_heif_opener()  # so that the tests can write it
ROOT = Path(__file__).parents[2]
PLAIN = encoded(blocks(), "PNG")
HEIC = encoded(blocks(), "HEIF", quality=95, chroma=444)
BASELINE, PROGRESSIVE = (encoded(blocks(), "JPEG", progressive=many) for many in (False, True))


def written(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


def refusal(path, **options):
    with pytest.raises(UnusablePicture) as caught:
        open_picture(path, **options)
    assert str(caught.value) == f"`{path.name}` {caught.value.why}"
    return caught.value.why


def assert_same(picture, expected, tolerance=0):
    found, wanted = (np.asarray(one, dtype=int) for one in (picture, expected))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance


# Formats


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "PNG", "GIF", "BMP", "TIFF", "HEIF"])
def test_a_suffix_may_lie(kind, tmp_path):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if "F" in kind else {}
    path = written(tmp_path, "photo.jpg", encoded(blocks(), kind, **options))
    opened = open_picture(path)
    for index, color in enumerate(COLORS):
        place = 8 + 16 * (index % 3), 8 + 16 * (index // 3)
        assert_same(opened.getpixel(place), color, 6)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"hevc"])
def test_heic_opens_whatever_its_brand(brand, tmp_path):
    path = written(tmp_path, "IMG_1.heic", HEIC.replace(b"ftypheic", b"ftyp" + brand))
    assert_same(open_picture(path), blocks(), 6)


@pytest.mark.parametrize("orientation", [3, 6])
def test_heic_that_its_file_turns_is_upright(orientation, tmp_path):
    turned = encoded(blocks(), "HEIF", quality=95, chroma=444, exif=exif(orientation))
    opened = open_picture(written(tmp_path, "a.heic", turned))
    assert_same(opened, blocks().rotate({3: 180, 6: -90}[orientation], expand=True), 6)


@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_heic_of_other_modes_opens(mode, tmp_path):
    picture = blocks().convert(mode)
    opened = open_picture(written(tmp_path, "a.heic", encoded(picture, "HEIF", quality=95)))
    assert opened.size == (48, 32)


@pytest.mark.parametrize("kind", ["mif1", "msf1"])
def test_avif_opens_under_the_brand_of_its_container(kind, tmp_path):
    data = encoded(blocks(), "AVIF", quality=95, subsampling="4:4:4")
    data = data.replace(b"ftypavif", b"ftyp" + kind.encode())
    assert_same(open_picture(written(tmp_path, "a.avif", data)), blocks(), 6)


SIZES = {"lossless": True}, {"lossless": False}, {"lossless": True, "exif": exif(1)}


@pytest.mark.parametrize("options", SIZES, ids=["VP8L", "VP8", "VP8X"])
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (5, 1000)])
def test_webp_of_all_three_kinds_has_its_size(options, size, tmp_path):
    data = encoded(Image.new("RGB", size, COLORS[0]), "WEBP", **options)
    assert open_picture(written(tmp_path, "a.webp", data)).size == size


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\x0a" + bytes(99), "is a JPEG XL picture. Save it as JPEG or PNG first."),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL picture. Save it as JPEG or PNG first."),
        (encoded(blocks(), "JPEG2000"), "is a JPEG 2000 picture. Save it as JPEG or PNG first."),
        (b"%PDF-1.7\n", "is a PDF document. Save the page as PNG or JPEG first."),
        (b"\0\0\0\x14ftypisom", "is a video. Save one picture of it as JPEG or PNG first."),
        (b"\0\0\0\x14ftypqt  ", "is a video. Save one picture of it as JPEG or PNG first."),
        (b"\0\0\0\x08wide\0\0", "is a video. Save one picture of it as JPEG or PNG first."),
        (b"\x1a\x45\xdf\xa3webm", "is a video. Save one picture of it as JPEG or PNG first."),
        (b"8BPS\0\1", "is a Photoshop document. Save it as PNG or JPEG first."),
        (b"\0\0\0\x18ftypcrx ", "is a camera's raw file. Develop it and save it as JPEG first."),
        (b"<svg xmlns='http://www.w3.org'/>", "is an SVG drawing. Save it as PNG first."),
        (b"<?xml version='1.0'?>\n<SVG width='3'/>", "is an SVG drawing. Save it as PNG first."),
        (b"<!DOCTYPE svg>", "is an SVG drawing. Save it as PNG first."),
        (b"<!DOCTYPE html><title>", "is a web page. Save the picture itself."),
        (b"PK\3\4", f"is not a picture. {NAMES} works."),
    ],
)
def test_what_is_no_picture_here_is_called_what_it_is(data, why, tmp_path):
    assert refusal(written(tmp_path, "holiday.jpg", data)) == why


def test_what_opens_can_be_said_before_it_is_tried():
    assert accepted() == (
        "JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF, up to 40 MB and 64 megapixels, "
        "most JPEG photos up to 256 megapixels"
    )
    assert accepted(OWN_FILE).startswith(f"{NAMES}, up to 1024 MB and 268 megapixels")


def test_a_folders_pictures_are_found_by_their_suffix(tmp_path):
    names = ("a.jfif", "b.JPE", "c.heic", "d.avif", "e.png", ".hidden.png", "f.txt", "in/g.png")
    for folder in ("in", ".thumbnails", "album.png"):
        (tmp_path / folder).mkdir()
    for name in (*names, ".thumbnails/h.png"):
        (tmp_path / name).touch()
    seen = [str(path.relative_to(tmp_path)) for path in picture_files(tmp_path, "*")]
    assert seen == ["a.jfif", "b.JPE", "c.heic", "d.avif", "e.png"]
    assert tmp_path / "in" / "g.png" in picture_files(tmp_path, "**/*")
    assert len(picture_files(tmp_path, "**/*")) == 6


# Side chunks


def _grown(profile):
    """A profile that a private tag makes larger than a megabyte."""
    count = struct.unpack(">I", profile[128:132])[0]
    table = bytearray(profile[132 : 132 + 12 * count])
    for place in range(4, 12 * count, 12):
        table[place : place + 4] = struct.pack(">I", struct.unpack_from(">I", table, place)[0] + 12)
    body = profile[132 + 12 * count :] + bytes(-len(profile) % 4)
    extra = b"data" + bytes(1_300_000)
    table += b"Zzzz" + struct.pack(">II", 132 + 12 * (count + 1) + len(body), len(extra))
    grown = profile[4:128] + struct.pack(">I", count + 1) + bytes(table) + body + extra
    return struct.pack(">I", len(grown) + 4) + grown


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace(b"rXYZ", b"swap").replace(b"gXYZ", b"rXYZ").replace(b"swap", b"gXYZ")
PACKED = zlib.compress(bytes(300_000_000), 9)  # 300 MB in 300 kB


def test_a_profile_above_a_megabyte_is_applied(tmp_path):
    large = open_picture(written(tmp_path, "a.png", with_chunks(PLAIN, icc(_grown(SWAPPED)))))
    small = open_picture(written(tmp_path, "b.png", with_chunks(PLAIN, icc(SWAPPED))))
    assert_same(large, small)
    assert_same(large.getpixel((2, 2))[:2], COLORS[0][1::-1], 2)


@pytest.mark.parametrize(
    "side",
    [
        (b"zTXt", b"history\0\0" + PACKED),
        (b"iTXt", b"history\0\1\0\0\0" + PACKED),
        (b"iCCP", b"profile\0\0" + PACKED),
        (b"tEXt", b"history\0" + bytes(3_000_000)),
        (b"prVt", bytes(3_000_000)),
    ],
    ids=lambda side: side[0].decode(),
)
def test_side_chunks_of_any_size_do_not_matter(side, tmp_path):
    path = written(tmp_path, "a.png", with_chunks(PLAIN, side))
    assert_same(open_picture(path), blocks())


def test_a_side_chunk_with_a_wrong_checksum_does_not_matter(tmp_path):
    spoiled = chunk(b"eXIf", exif(6)[6:])[:-1] + b"?"
    path = written(tmp_path, "a.png", PLAIN[:33] + spoiled + PLAIN[33:])
    assert_same(open_picture(path), blocks())


# Orientation


def _app1(data):
    return b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data


ENTRY = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\1\1\x12"  # an orientation follows


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Metadata Warning")
@pytest.mark.parametrize(
    ("notes", "turned"),
    [
        (ENTRY + b"\0\3\0\0\0\1\0\6\0\0\0\0\0\0", True),
        (ENTRY + b"\0\4\0\0\0\1\0\0\0\6\0\0\0\0", False),
        (ENTRY + b"\0\3\0\0\0\2\0\6\0\6\0\0\0\0", False),
        (ENTRY, False),
        (b"Exif\0\0MM\0\x2a\xff\xff\xff\xff", False),
        (b"Exif\0\0", False),
    ],
    ids=["short", "long", "two", "cut", "far away", "nothing"],
)
def test_only_a_single_short_number_turns_as_in_browsers(notes, turned, tmp_path):
    path = written(tmp_path, "a.jpg", BASELINE[:2] + _app1(notes) + BASELINE[2:])
    assert open_picture(path).size == ((32, 48) if turned else (48, 32))


def test_a_tiff_is_not_turned_by_xmp(tmp_path):
    path = tmp_path / "a.tif"
    blocks().save(path, tiffinfo={700: xmp(6)})
    with Image.open(path) as file:
        assert file.getexif()[0x0112] == 6
    assert_same(open_picture(path), blocks())


# Limits


def _claiming(jpeg, size):
    """The JPEG with another size in its head."""
    place = next(i for i in range(len(jpeg)) if jpeg[i : i + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return jpeg[: place + 5] + struct.pack(">HH", *size[::-1]) + jpeg[place + 9 :]


@pytest.mark.parametrize(
    ("jpeg", "size", "opened"),
    [
        (BASELINE, (16320, 12240), (2048, 1536)),
        (BASELINE, (60000, 4000), (2048, 137)),
        (PROGRESSIVE, (8160, 6120), (2048, 1536)),
    ],
)
def test_a_jpeg_opens_as_large_as_its_decoder_can_bear(jpeg, size, opened, tmp_path):
    path = written(tmp_path, "a.jpg", _claiming(jpeg, size))  # what is missing becomes gray
    assert open_picture(path).size == opened


@pytest.mark.parametrize(
    ("jpeg", "size", "limit"),
    [(BASELINE, (20000, 20000), 256), (PROGRESSIVE, (16320, 12240), 64)],
)
def test_a_larger_jpeg_is_refused(jpeg, size, limit, tmp_path):
    path = written(tmp_path, "a.jpg", _claiming(jpeg, size))
    assert refusal(path) == f"has too many pixels; the limit is {limit} megapixels."


def test_a_phones_50_megapixels_open(tmp_path):
    picture = blocks(1).convert("L").resize((8160, 6120), Image.Resampling.NEAREST)
    opened = open_picture(written(tmp_path, "a.jpg", encoded(picture, "JPEG", quality=50)))
    assert opened.size == (2048, 1536)
    assert_same(opened.getpixel((300, 300)), [blocks().convert("L").getpixel((0, 0))] * 3, 3)


def test_a_missing_file_is_named_without_its_folder(tmp_path):
    assert refusal(tmp_path / "gone.jpg") == "does not exist or is not a file."


def test_a_name_that_cannot_be_is_no_damage(tmp_path):
    assert refusal(tmp_path / ("n" * 300 + ".jpg")) == "cannot be read: file name too long."


def test_a_file_that_may_not_be_read_is_no_damaged_one():
    with mere_users_folder() as folder:
        path = written(folder, "a.png", PLAIN)
        path.chmod(0)
        assert refusal(path) == "cannot be read: permission denied."


def test_a_disk_that_fails_is_no_damaged_file(tmp_path, monkeypatch):
    def fails(*arguments, **options):
        raise OSError(5, "Input/output error")

    path = written(tmp_path, "a.png", PLAIN)
    monkeypatch.setattr(Path, "open", fails)
    assert refusal(path) == "cannot be read: input/output error."


def run(code, *arguments):
    """What a new process prints."""
    found = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        **{"cwd": ROOT, "capture_output": True, "text": True, "check": True},
    )
    return found.stdout.strip()


def _deep(tmp_path):
    """6300 x 6300 pixels of gray in 16 bits, in 100 kB."""
    row = (np.arange(6300) // 100 * 1000).astype(np.uint16)
    path = written(tmp_path, "deep.png", encoded(Image.fromarray(np.tile(row, (6300, 1))), "PNG"))
    assert path.stat().st_size < 300_000
    return path


def test_memory_that_is_used_up_is_no_damage(tmp_path):
    code = """
import resource, sys
from pathlib import Path
from nst.pictures.images import BadPicture, open_picture
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**25,) * 2)
try:
    open_picture(sys.argv[1])
except BadPicture as error:
    print(error)
"""
    assert "`deep.png` needs more memory than is free." in run(code, _deep(tmp_path))


def test_ten_threads_that_open_a_large_picture_take_the_memory_of_one(tmp_path):
    code = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from nst.pictures.images import open_picture
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
with ThreadPoolExecutor(10) as pool:
    sizes = {picture.size for picture in pool.map(open_picture, [sys.argv[1]] * 10)}
assert sizes == {(2048, 2048)}
print(peak() - before)
"""
    assert int(run(code, _deep(tmp_path))) < 1000  # megabytes


# Decoding at once


def test_a_budget_is_never_exceeded_and_everybody_has_a_turn():
    budget, held, most = DecodingBudget(100), [], []

    def decode(pixels):
        with budget.hold(pixels):
            held.append(pixels)
            most.append(sum(held))
            held.remove(pixels)
        return pixels

    wanted = [30, 60, 100, 1, 99, 50] * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(decode, wanted)) == wanted
    assert max(most) <= 100


def test_a_picture_larger_than_the_budget_is_decoded_alone():
    budget = DecodingBudget(100)
    with ThreadPoolExecutor(1) as pool:
        with budget.hold(1):
            waiting = pool.submit(budget.hold(1000).__enter__)
            assert not waiting.done()
        waiting.result(timeout=10)


def test_an_error_gives_its_share_back():
    budget = DecodingBudget(100)
    with pytest.raises(ZeroDivisionError), budget.hold(100):
        raise ZeroDivisionError
    with budget.hold(100):
        pass


def test_an_upload_is_smaller_than_a_users_own_file():
    for name in ("bytes", "pixels", "reduced_pixels"):
        assert getattr(UPLOAD, name) < getattr(OWN_FILE, name)
