"""How large the file of a picture may be, and how many pixels are decoded at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition


@dataclass(frozen=True)
class Limits:
    """The most that is read of a picture."""

    bytes: int
    pixels: int  # that must be decoded at full size
    reduced_pixels: int  # of a JPEG that is reduced while it is read

    @property
    def sentence(self) -> str:
        """For people: "up to 40 MB and 64 megapixels, most JPEG photos up to 256 megapixels"."""
        most, reduced = self.pixels // 10**6, self.reduced_pixels // 10**6
        return (
            f"up to {self.bytes // 2**20} MB and {most} megapixels, "
            f"most JPEG photos up to {reduced} megapixels"
        )


UPLOAD = Limits(40 * 2**20, 64_000_000, 256_000_000)
OWN_FILE = Limits(2**30, 2**28, 2**30)  # on a user's own machine


class DecodingBudget:
    """A bound on the pixels that all threads of a process decode at once."""

    def __init__(self, pixels: int) -> None:
        """The bound. A picture that is larger is decoded alone."""
        self._pixels, self._held = pixels, 0
        self._freed = Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Waits until a picture of so many pixels has its turn, and keeps it until the end."""
        with self._freed:
            self._freed.wait_for(lambda: not self._held or self._held + pixels <= self._pixels)
            self._held += pixels
        try:
            yield
        finally:
            with self._freed:
                self._held -= pixels
                self._freed.notify_all()
