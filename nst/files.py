"""Files that are written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EISDIR
from pathlib import Path
from secrets import token_hex

from nst.names import Problem


class BadOutput(Problem):
    """A file that cannot be written; the message says which one and why."""


def reason(error: OSError) -> str:
    """What the system says, such as "no space left on device"; never a path."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A new file beside `path` to write to, which takes the place of `path` at the end.

    If anything fails before, the new file is removed, and an earlier one stays as it was. A link
    goes on to lead to its file, and an earlier file keeps its permissions. Raises `BadOutput`
    where the system refuses to write.
    """
    path = Path(path)
    with _refusals(path):
        target = path.resolve()
        if target.exists() and not target.is_file() and not target.is_dir():
            yield target  # such as a terminal or a pipe
            return
        _check(target)
        new = _beside(target)
        try:
            yield new
            _flush(new)
            if target.exists():
                shutil.copymode(target, new)
            new.replace(target)
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)


@contextmanager
def longer(path: Path) -> Iterator[Path]:
    """The file to append to; if that fails, it is cut to its length from before.

    Raises `BadOutput` where the system refuses to write.
    """
    before = path.stat().st_size if path.exists() else None
    with _refusals(path):
        try:
            yield path
        except BaseException:
            with suppress(OSError):
                path.unlink() if before is None else os.truncate(path, before)
            raise


def check_writable(path: Path) -> None:
    """Whether `whole` can begin, for long work before it. Raises `BadOutput`."""
    with _refusals(path):
        target = path.resolve()
        _check(target)
        new = _beside(target)
        new.touch()
        new.unlink(missing_ok=True)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = reason(error) if error.errno else "the disk may be full"  # encoders tell no more
        raise BadOutput(f"`{path.name}` could not be written: {why}.") from error


def _check(target: Path) -> None:
    """Renaming would overwrite what may not be written to."""
    if target.is_dir():
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    effective = os.access in os.supports_effective_ids
    if target.exists() and not os.access(target, os.W_OK, effective_ids=effective):
        raise PermissionError(EACCES, os.strerror(EACCES))


def _beside(target: Path) -> Path:
    """Hidden, in the same folder for the renaming, with the suffix that encoders go by."""
    return target.with_name(f".{target.stem[:40]}-{token_hex(4)}{target.suffix}")


def _flush(path: Path) -> None:
    """Some disks say only now that they are full."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
