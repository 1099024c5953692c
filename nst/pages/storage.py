"""The one folder of this process for uploads and results: locked, bounded and emptied."""

import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from nst.files import BadOutput, whole
from nst.names import Problem

KEPT = 3600.0  # seconds without use after which a file is gone
MOST_BYTES = 2 * 2**30  # of all uploads and results together
RESERVE = 200 * 2**20  # bytes of the disk that uploads leave to others
REMEMBERED = 200  # newest files of one session that its open tab keeps
LONGEST = 4096  # letters of a path; longer ones take long to resolve
YOUNG = 60.0  # seconds in which a file may belong to a request that is being answered
LOCK = "lock"
PREFIX = "process-"


class NoStorage(Problem):
    """A folder that cannot be used; the message says which and what to set instead."""


class StorageFull(Problem):
    """No room for another file; the message says when to come back."""

    def __init__(self) -> None:
        """Whatever the reason."""
        super().__init__(
            "The server has no room for more pictures now. Please try again in a few minutes."
        )


class Storage:
    """Files below `folder`, by their last use.

    A file is permanent if it was there when the server began (pictures of the page itself), else
    it lives for `KEPT` seconds after its last use; that of an open tab counts as used.
    """

    def __init__(self, parent: Path, most_bytes: int = MOST_BYTES) -> None:
        """Makes a folder below `parent` and removes those of processes that are gone.

        Raises `NoStorage` if it cannot be written.
        """
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_abandoned(parent)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
            self._alive = FileLock(self.folder / LOCK)
            self._alive.acquire(blocking=False)
            (self.folder / "probe").write_bytes(bytes(4096))
            (self.folder / "probe").unlink()
        except OSError as error:
            raise NoStorage(
                f"The temporary folder `{parent}` cannot be used ({error.strerror}). The variable "
                "GRADIO_TEMP_DIR names another."
            ) from None
        self.most_bytes = most_bytes
        self.permanent: frozenset[Path] = frozenset()
        self._used: defaultdict[str, OrderedDict[Path, None]] = defaultdict(OrderedDict)
        self._lock = threading.Lock()
        self._coming = 0
        self._bytes = 0

    def begin(self) -> None:
        """Everything that lies here now belongs to the page itself and stays."""
        self.permanent = frozenset(self._files())
        self._bytes = self._size()

    def find(self, path: str) -> Path | None:
        """The file of that path, if it lies here."""
        if len(path) > LONGEST:
            return None
        with suppress(OSError, ValueError, RuntimeError):
            found = Path(path).resolve()
            if found.is_relative_to(self.folder) and found.is_file() and found.name != LOCK:
                return found
        return None

    def holds(self, path: str) -> Path | None:
        """The file of that path, if it lies here and is not too old to be given to anybody."""
        found = self.find(path)
        return found if found and (found in self.permanent or _age(found) < KEPT) else None

    def use(self, session: str, paths: Iterable[Path]) -> None:
        """The tab of a session has just shown or sent these files."""
        with self._lock:
            own = self._used[session]
            for path in paths:
                own[path] = None
                own.move_to_end(path)
                _touch(path)
            while len(own) > REMEMBERED:
                own.popitem(last=False)

    def remove(self, session: str) -> None:
        """Removes the files of a closed tab that no other session has used."""
        with self._lock:
            own = self._used.pop(session, OrderedDict()).keys()
            unused = own - self.permanent.union(*self._used.values())
        for path in unused:
            if _age(path) > YOUNG:  # the same picture has the same path for everybody
                with suppress(OSError):  # other files beside it
                    path.unlink(missing_ok=True)
                    path.parent.rmdir()
            else:
                os.utime(path, (time.time() - KEPT + YOUNG,) * 2)

    def age(self, session: str) -> None:
        """Files of a lost session are no longer kept young by it."""
        with self._lock:
            self._used.pop(session, None)

    def remove_all_but(self, sessions: set[str]) -> None:
        """Removes what was made for other sessions after they had closed."""
        with self._lock:
            gone = self._used.keys() - sessions
        for session in gone:
            self.remove(session)

    def keep(self, data: bytes, name: str) -> Path:
        """A file of that name with these contents. Raises `StorageFull`."""
        path = self.folder / sha256(data).hexdigest() / name
        if path.is_file():
            _touch(path)
            return path
        with self.room(len(data)):
            try:
                path.parent.mkdir(exist_ok=True)
                with whole(path) as new:
                    new.write_bytes(data)
            except (OSError, BadOutput):
                raise StorageFull from None
        return path

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Reserves `size` bytes while something of that size is written. Raises `StorageFull`."""
        with self._lock:
            free = shutil.disk_usage(self.folder).free - RESERVE
            if self._coming + size > min(free, self.most_bytes - self._bytes):
                raise StorageFull
            self._coming += size
        try:
            yield
            with self._lock:
                self._bytes += size
        finally:
            with self._lock:
                self._coming -= size

    def run_folder(self) -> Path:
        """A new folder for the files of one run. Raises `StorageFull`."""
        folder = self.folder / f"run-{secrets.token_hex(16)}"  # a secret: whoever knows it may look
        try:
            folder.mkdir()
        except OSError:
            raise StorageFull from None
        return folder

    def sweep(self, present: Iterable[str]) -> None:
        """Removes what is too old; files of sessions that are `present` count as used now."""
        with self._lock:
            for session in present:
                for path in self._used.get(session, ()):
                    _touch(path)
        for path in self._files():
            if path not in self.permanent and _age(path) >= KEPT:
                path.unlink(missing_ok=True)
        for folder in self.folder.iterdir():
            with suppress(OSError):  # not empty, or not a folder
                if _age(folder) >= KEPT:
                    folder.rmdir()
        self._bytes = self._size()

    def close(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._alive.release()

    def _files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file() and path.name != LOCK]

    def _size(self) -> int:
        total = 0
        for path in self._files():
            with suppress(OSError):
                total += path.stat().st_size
        return total


def _age(path: Path) -> float:
    """Seconds since the last use."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return KEPT


def _touch(path: Path) -> None:
    with suppress(OSError):
        os.utime(path)


def _remove_abandoned(parent: Path) -> None:
    """Folders whose process is gone: a lock is free as soon as its process ends in any way."""
    for folder in parent.glob(f"{PREFIX}*"):
        if not (folder / LOCK).exists() and _age(folder) < YOUNG:  # just being made
            continue
        with suppress(Timeout, OSError), FileLock(folder / LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
