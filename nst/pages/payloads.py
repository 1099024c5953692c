"""The gate for what a request may carry: files uploaded here, and pictures as text."""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nst.names import Problem
from nst.pages.storage import Storage
from nst.settings.catalog import paintings, photos

# Suffixes say nothing of the contents; `open_picture` looks at these.
SUFFIXES: Mapping[str, str] = {
    "png": ".png",
    "jpeg": ".jpg",
    "jpg": ".jpg",
    "webp": ".webp",
    "gif": ".gif",
    "bmp": ".bmp",
    "tiff": ".tif",
    "avif": ".avif",
    "heic": ".heic",
    "heif": ".heif",
}
DATA_URL = re.compile(r"data:image/([a-z0-9.+-]+);base64,", re.IGNORECASE)
FILE_META = {"_type": "gradio.FileData"}
DEEPEST = 20  # tables and lists inside each other


MOST_FILES = 100  # that one request may name
WORDS = (
    "Choose the picture again: only pictures that were uploaded here in the last hour, bundled "
    "ones and data URLs can be used, no other files and no addresses."
)


class NotAdmitted(Problem):
    """A file that a request may not name. The message is the same whatever the file is."""

    def __init__(self) -> None:
        """Whatever the reason."""
        super().__init__(WORDS)


def admitted(value: Any, storage: Storage, most_bytes: int, picture: bool = False) -> Any:
    """A request's value, with every file in it checked and named anew.

    `picture` says that the value stands for a picture, so that a text is one, too. Raises
    `NotAdmitted`, and `StorageFull` for a data URL.
    """
    return _Gate(storage, most_bytes).admit(value, picture, 0)


class _Gate:
    def __init__(self, storage: Storage, most_bytes: int) -> None:
        self.storage, self.most_bytes = storage, most_bytes
        self.files = 0

    def admit(self, value: Any, picture: bool, depth: int) -> Any:
        if depth > DEEPEST:
            raise NotAdmitted
        if isinstance(value, Mapping):
            if value.get("path") is not None or value.get("url") is not None:
                return self._file(value.get("path"), value.get("url"))
            return {name: self.admit(part, picture, depth + 1) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.admit(part, picture, depth + 1) for part in value]
        if picture and isinstance(value, str) and value:
            return self._file(value, None)
        return value

    def _file(self, path: Any, url: Any) -> dict[str, Any]:
        self.files += 1
        if self.files > MOST_FILES:
            raise NotAdmitted
        text = next((t for t in (url, path) if isinstance(t, str) and t.startswith("data:")), None)
        # Gradio's page sends a drawing's contents beside the path of its upload.
        found = self.storage.holds(path) if isinstance(path, str) else None
        found = found or (self._from_data_url(text) if text else self._from_path(path))
        return {
            "path": str(found),
            "orig_name": found.name,
            "size": found.stat().st_size,
            "meta": FILE_META,
        }

    def _from_path(self, path: Any) -> Path:
        if isinstance(path, str) and (bundled := _bundled(path)):
            return self.storage.keep(bundled.read_bytes(), bundled.name)
        raise NotAdmitted

    def _from_data_url(self, text: str) -> Path:
        match = DATA_URL.match(text)
        suffix = match and SUFFIXES.get(match[1].lower())
        if not match or not suffix or len(text) - match.end() > -(-self.most_bytes // 3) * 4:
            raise NotAdmitted
        try:
            data = base64.b64decode(text[match.end() :], validate=True)
        except (binascii.Error, ValueError):
            raise NotAdmitted from None
        return self.storage.keep(data, f"picture{suffix}")


def _bundled(path: str) -> Path | None:
    """The bundled picture of that path."""
    known = (credit.path for credit in (*photos().values(), *paintings().values()))
    return next((found for found in known if str(found) == path), None)
