"""WebP whose decoder is made only when it is needed: it takes the memory of several pictures."""

from typing import Any

from PIL.ImageFile import ImageFile
from PIL.WebPImagePlugin import WebPImageFile

HEAD_BYTES = 30


class LateWebP(ImageFile):
    """A WebP file of which only the size is known until it is decoded."""

    format = "WEBP"

    def _open(self) -> None:
        assert self.fp is not None
        self._size, self._mode = size(self.fp.read(HEAD_BYTES)), "RGB"

    def load(self) -> Any:
        """Decodes the first frame. Raises `ValueError` if its size is not the one in the head."""
        if self._im is None:
            assert self.fp is not None
            self.fp.seek(0)
            decoder = WebPImageFile(self.fp)
            if decoder.size != self.size:
                raise ValueError("two sizes")
            decoder.load()
            self._mode, self.im = decoder.mode, decoder.im
            self.info["icc_profile"] = decoder.info.get("icc_profile")
        return super().load()


def size(head: bytes) -> tuple[int, int]:
    """Width and height by the first `HEAD_BYTES` of a file, whichever of three kinds it is.

    See https://developers.google.com/speed/webp/docs/riff_container. Raises `SyntaxError`.
    """
    kind = head[12:16]
    if len(head) < HEAD_BYTES or kind not in (b"VP8X", b"VP8L", b"VP8 "):
        raise SyntaxError("no WebP")
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        both = int.from_bytes(head[21:25], "little")
        return 1 + both % 2**14, 1 + (both >> 14) % 2**14
    width, height = head[26:28], head[28:30]
    return int.from_bytes(width, "little") % 2**14, int.from_bytes(height, "little") % 2**14
