"""PNG's side chunks: those that say how to show a picture are read, all others passed over.

Browsers obey the ones before the pixels. Third edition of the PNG specification:
https://www.w3.org/TR/png-3
"""

import io
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Any, BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"))
WANTED = frozenset((b"IHDR", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf"))
MOST_BYTES = 2**25  # of one side chunk, packed and unpacked


@dataclass(frozen=True)
class Chunk:
    """A part of a PNG file: its kind, and where it begins and how many bytes its data have."""

    kind: bytes
    start: int
    length: int

    @property
    def end(self) -> int:
        """Behind the checksum."""
        return self.start + self.length + 12


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a file, up to its end or to what can no longer be one."""
    place = len(SIGNATURE)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8 or not head[4:].isalpha():
            return
        chunk = Chunk(head[4:], place, int.from_bytes(head[:4]))
        yield chunk
        if chunk.kind == b"IEND":
            return
        place = chunk.end


def pixels_only(file: BinaryIO) -> BinaryIO:
    """The file as if it had no chunks but those of its pixels.

    Texts and profiles may unpack to any size, and no decoder can be asked to leave them alone.
    """
    spans = [(0, len(SIGNATURE))]
    for chunk in chunks(file):
        if chunk.kind in PIXELS:
            spans.append((chunk.start, chunk.end - chunk.start))
    return io.BufferedReader(_Spliced(file, spans))


def side_chunks(file: BinaryIO) -> Mapping[bytes, bytes]:
    """The data of the chunks that say how to show the picture, by kind; damaged ones left out."""
    found: dict[bytes, bytes] = {}
    for chunk in takewhile(lambda one: one.kind != b"IDAT", chunks(file)):
        if chunk.kind in WANTED - found.keys() and chunk.length <= MOST_BYTES:
            file.seek(chunk.start + 4)
            data = file.read(chunk.length + 8)
            if zlib.crc32(data[:-4]) == int.from_bytes(data[-4:]):
                found[chunk.kind] = data[4:-4]
    return found


def icc_profile(data: bytes) -> bytes | None:
    """The color profile in an iCCP chunk, unless it is damaged or huge."""
    packed = data.partition(b"\0")[2][1:]
    try:
        unpacking = zlib.decompressobj()
        profile = unpacking.decompress(packed, MOST_BYTES)
    except zlib.error:
        return None
    return profile if unpacking.eof else None


def chromaticities(data: bytes) -> tuple[tuple[float, float], ...]:
    """(x, y) of white, red, green and blue in a cHRM chunk. Raises `struct.error`."""
    numbers = [number / 100_000 for number in struct.unpack(">8I", data)]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


class _Spliced(io.RawIOBase):
    """Parts of a file, read as if they were all of it."""

    def __init__(self, file: BinaryIO, spans: Sequence[tuple[int, int]]) -> None:
        self.file, self.spans = file, spans
        self.starts = [0, *accumulate(length for _, length in spans)]
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + (0, self.place, self.starts[-1])[whence]
        return self.place

    def readinto(self, buffer: Any) -> int:
        index = bisect_right(self.starts, self.place) - 1
        if index == len(self.spans):
            return 0
        start, length = self.spans[index]
        inside = self.place - self.starts[index]
        self.file.seek(start + inside)
        data = self.file.read(min(len(buffer), length - inside))
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)
