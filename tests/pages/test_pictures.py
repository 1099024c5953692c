"""What opens is what a real browser shows, color by color."""

import base64
import struct

import numpy as np
import pytest
from PIL import ImageCms

from nst.pictures import profiles
from nst.pictures.images import open_picture
from tests.drawn import blocks, chunk, encoded, exif, gray_profile, icc, png, with_chunks, xmp

TOLERANCE = 2  # of 255: two engines round
SHOW = """async (address) => {
    const picture = new Image();
    picture.src = address;
    await picture.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
    const pen = canvas.getContext('2d');
    pen.fillStyle = 'white';
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0);
    const shown = pen.getImageData(0, 0, canvas.width, canvas.height);
    return [shown.height, shown.width, Array.from(shown.data)];
}"""

COLOR, GRAY = blocks(), blocks().convert("L")
CLEAR, CLEAR_GRAY = COLOR.convert("RGBA"), GRAY.convert("LA")
for one in (CLEAR, CLEAR_GRAY):
    one.putalpha(GRAY.rotate(180))
PLAIN = encoded(COLOR, "PNG")
P3 = profiles.of_boxes(12, 13)
LINEAR = profiles.of_boxes(1, 8)
SRGB_FILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FINE = {"quality": 100, "subsampling": "4:4:4"}
P3_POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def gama(value):
    return b"gAMA", struct.pack(">I", value)


def cicp(primaries, transfer):
    return b"cICP", bytes((primaries, transfer, 0, 1))


CHRM = b"cHRM", struct.pack(">8I", *P3_POINTS)
PNGS = {
    "plain": PLAIN,
    "gamma": with_chunks(PLAIN, gama(100_000)),
    "gamma of gray": with_chunks(encoded(GRAY, "PNG"), gama(100_000)),
    "gamma of gray with alpha": with_chunks(encoded(CLEAR_GRAY, "PNG"), gama(100_000)),
    "usual gamma": with_chunks(PLAIN, gama(45_455)),
    "gamma and primaries": with_chunks(PLAIN, gama(45_455), CHRM),
    "primaries alone": with_chunks(PLAIN, CHRM),
    "no gamma": with_chunks(PLAIN, gama(0)),
    "sRGB before gamma": with_chunks(PLAIN, (b"sRGB", b"\0"), gama(100_000)),
    "profile before sRGB": with_chunks(PLAIN, icc(P3), (b"sRGB", b"\0")),
    "broken profile before gamma": with_chunks(PLAIN, icc(b"no profile" * 9), gama(100_000)),
    "codes before profile": with_chunks(PLAIN, cicp(1, 13), icc(P3)),
    "unknown codes before profile": with_chunks(PLAIN, cicp(2, 2), icc(P3)),
    "codes of P3": with_chunks(PLAIN, cicp(12, 13)),
    "codes of linear BT.2020": with_chunks(PLAIN, cicp(9, 8)),
    "codes of BT.709": with_chunks(PLAIN, cicp(1, 1)),
    "codes of an exponent": with_chunks(PLAIN, cicp(5, 4)),
    "gray profile": encoded(GRAY, "PNG", icc_profile=gray_profile(1.0)),
    "gray profile with alpha": encoded(CLEAR_GRAY, "PNG", icc_profile=gray_profile(1.0)),
    "gray profile on colors": encoded(COLOR, "PNG", icc_profile=gray_profile(1.0)),
    "profile of colors on gray": encoded(GRAY, "PNG", icc_profile=LINEAR),
    "P3 with alpha": encoded(CLEAR, "PNG", icc_profile=P3),
    "P3 palette": encoded(COLOR.quantize(6), "PNG", icc_profile=P3),
    "four grays, one clear": png([b"\x1b"] * 2, 2, 0, (4, 2), (b"tRNS", b"\0\2")),
    "16 grays, one clear": png([b"\x01\x5f"] * 2, 4, 0, (4, 2), (b"tRNS", b"\0\5")),
    "deep gray, one clear": png(
        [struct.pack(">4H", 0, 30000, 99, 65535)],
        16,
        0,
        (4, 1),
        (b"tRNS", struct.pack(">H", 30000)),
    ),
    "deep colors, one clear": png(
        [struct.pack(">6H", 999, 30000, 60000, 9, 30000, 2)],
        *(16, 2, (2, 1), (b"tRNS", struct.pack(">3H", 999, 30000, 60000))),
    ),
    "turned": with_chunks(PLAIN, (b"eXIf", exif(6)[6:])),
    "turned too late": PLAIN[:-12] + chunk(b"eXIf", exif(6)[6:]) + PLAIN[-12:],
    "turned by a text": with_chunks(PLAIN, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6))),
    "animation": encoded(COLOR, "PNG", save_all=True, append_images=[COLOR.rotate(180)]),
    "animation beside a picture": encoded(
        COLOR, "PNG", save_all=True, append_images=[COLOR.rotate(180)], default_image=True
    ),
}
OTHERS = {
    "P3.jpeg": encoded(COLOR, "JPEG", quality=98, subsampling=0, icc_profile=P3),
    "sRGB.jpeg": encoded(COLOR, "JPEG", quality=98, subsampling=0, icc_profile=SRGB_FILE),
    "linear gray.jpeg": encoded(GRAY, "JPEG", quality=98, icc_profile=LINEAR),
    "inks.jpeg": encoded(COLOR.convert("CMYK"), "JPEG", quality=98),
    "turned.jpeg": encoded(COLOR, "JPEG", quality=98, subsampling=0, exif=exif(5)),
    "turned by xmp.jpeg": encoded(COLOR, "JPEG", quality=98, subsampling=0, xmp=xmp(6)),
    "P3.webp": encoded(CLEAR, "WEBP", lossless=True, exact=True, icc_profile=P3),
    "turned.webp": encoded(COLOR, "WEBP", lossless=True, exif=exif(6)),
    "turned by xmp.webp": encoded(COLOR, "WEBP", lossless=True, xmp=xmp(6)),
    "P3.avif": encoded(COLOR, "AVIF", icc_profile=P3, **FINE),
    "codes of P3.avif": encoded(COLOR, "AVIF", **FINE).replace(
        b"colrnclx\0\1\0\x0d", b"colrnclx\0\x0c\0\x0d"
    ),
    "turned.avif": encoded(COLOR, "AVIF", exif=exif(8), **FINE),
    "turned by xmp.avif": encoded(COLOR, "AVIF", xmp=xmp(6), **FINE),
    "palette.gif": encoded(COLOR, "GIF"),
    "plain.bmp": encoded(COLOR, "BMP"),
}
FILES = {f"{name}.png": data for name, data in PNGS.items()} | OTHERS


@pytest.fixture(scope="module")
def canvas(browser):
    page = browser.new_page()
    yield page
    page.close()


@pytest.mark.parametrize("name", FILES)
def test_a_picture_opens_as_the_browser_shows_it(name, canvas, tmp_path):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    data = base64.b64encode(FILES[name]).decode()
    height, width, values = canvas.evaluate(SHOW, f"data:image/{path.suffix[1:]};base64,{data}")
    shown = np.array(values).reshape(height, width, 4)[..., :3]
    opened = np.asarray(open_picture(path), dtype=int)
    assert opened.shape == shown.shape
    assert np.abs(opened - shown).max() <= TOLERANCE
