"""Small files drawn for tests: PNG chunk by chunk, profiles by hand, pictures in any format."""

import io
import os
import struct
import zlib
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

COLORS = [(220, 30, 30), (30, 200, 40), (40, 40, 230), (240, 220, 30), (20, 20, 20), (99, 60, 180)]


def blocks(side=16):
    """Three columns and two rows of plain colors."""
    array = np.array(COLORS, dtype=np.uint8).reshape(2, 3, 3)
    return Image.fromarray(array.repeat(side, 0).repeat(side, 1))


def encoded(picture, kind, **options):
    """The bytes of a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    """A chunk of PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(png, *chunks):
    """A PNG with (kind, data) right behind its head."""
    end = 8 + 12 + 13
    return png[:end] + b"".join(chunk(*one) for one in chunks) + png[end:]


def png(rows, depth, kind, size, *chunks):
    """A PNG of rows of bytes, of a bit depth and a color type; `size` is width and height."""
    head = struct.pack(">IIBBBBB", *size, depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    plain = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return with_chunks(b"\x89PNG\r\n\x1a\n" + plain, *chunks)


def icc(profile):
    """The chunk of a profile."""
    return b"iCCP", b"profile\0\0" + zlib.compress(profile)


def gray_profile(gamma):
    """An ICC profile of gray with one exponent."""
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    table = struct.pack(">I", 2)
    table += b"wtpt" + struct.pack(">II", 156, 20) + b"kTRC" + struct.pack(">II", 176, 16)
    head = struct.pack(">I4xI", 192, 0x02400000) + b"mntrGRAYXYZ ".ljust(24, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + white + curve


@contextmanager
def mere_users_folder():
    """A new folder, and no more rights in it than any user has; root may read and write all."""
    with TemporaryDirectory() as name:
        folder, root = Path(name), os.geteuid() == 0
        folder.chmod(0o777)
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o777)


def exif(orientation):
    """EXIF that turns a picture."""
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes.tobytes()


def xmp(orientation):
    """XMP that turns a picture in Pillow, and nowhere else."""
    return (
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-"
        "syntax-ns#'><rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' "
        f'tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    ).encode()
