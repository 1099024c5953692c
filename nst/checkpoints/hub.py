"""Where checkpoints come from: bundled ones, the catalog's on the Hugging Face Hub, and any other.

All calls go through `huggingface_hub`, with the user's cache, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and
tokens as that library reads them.
"""

import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

from huggingface_hub import (
    HfApi,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    set_client_factory,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    HFValidationError,
    LocalEntryNotFoundError,
)
from huggingface_hub.utils import logging, tqdm, validate_repo_id
from pydantic import BaseModel, ConfigDict

from nst.checkpoints import client
from nst.checkpoints.failures import sentence
from nst.checkpoints.files import Checkpoint, load_checkpoint
from nst.files import BadOutput, whole
from nst.machine import cache_folder, device
from nst.names import Problem, UnknownName, pick, suggest
from nst.nn.state import BadCheckpoint
from nst.settings.catalog import ROOT
from nst.settings.files import entries

CATALOG = ROOT / "checkpoints.toml"
BUNDLED = ROOT / "checkpoints"
SUFFIXES = (".safetensors", ".pth", ".pt", ".model", ".onnx")
MOST_BYTES = 50_000_000  # full-width networks have 7 MB; a larger file is something else
ANYTHING = "NST_ANY_CHECKPOINT"  # the variable that lets visitors name any repository
PATIENCE = 10  # seconds for the Hub's first answer
SPECIFICATION = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w./ -]+))?(?:@([\w./-]+))?")

set_client_factory(client.client)
logging.set_verbosity_error()  # its retries are no news for users, its failures are sentences here

Report = Callable[[int, int], None]  # bytes done, and of the whole file


class HubProblem(Problem):
    """A checkpoint that cannot be had now; the message says why and what would work."""


class Entry(BaseModel):
    """One checkpoint: a bundled file, or one on the Hub."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    file: str
    repository: str = ""
    revision: str = "main"
    license: str = ""
    layout: str = ""
    style: str = ""
    sha256: str = ""
    shown: bool = True  # among the styles of the page

    @property
    def bundled(self) -> bool:
        """Whether it needs no network."""
        return not self.repository

    @property
    def place(self) -> str:
        """`owner/name:file@revision`, or the file's name."""
        return self.file if self.bundled else f"{self.repository}:{self.file}@{self.revision}"


@cache
def catalog() -> Mapping[str, Entry]:
    """All known checkpoints by name, the bundled ones first. Raises `BadFile`."""
    found = sorted(entries(CATALOG, "checkpoint", Entry), key=lambda entry: not entry.bundled)
    return {entry.name: entry for entry in found}


def bundled() -> Mapping[str, Entry]:
    """The checkpoints that need no network, by name."""
    return {name: entry for name, entry in catalog().items() if entry.bundled}


def styles() -> Mapping[str, Entry]:
    """The bundled checkpoints that the page offers, by name."""
    return {name: entry for name, entry in bundled().items() if entry.shown}


def anything_goes() -> bool:
    """Whether visitors of the page may name any repository, which its owner decides."""
    return os.environ.get(ANYTHING, "") not in ("", "0")


def offered(text: str) -> Entry:
    """The entry of a name that a visitor of the page gave: the catalog's, unless anything goes.

    Raises `UnknownName` and `HubProblem`.
    """
    return find(text) if anything_goes() else pick("checkpoint", text, catalog())


def find(text: str) -> Entry:
    """The entry of a catalog name or of `owner/name[:file][@revision]`.

    Without a file, the repository must hold a single file of weights. Raises `UnknownName` and
    `HubProblem`.
    """
    if text in catalog():
        return catalog()[text]
    match = SPECIFICATION.fullmatch(text)
    if not match:
        raise UnknownName(
            f"Unknown checkpoint `{text}`. {suggest(text, catalog())} "
            "A file or `owner/name[:file][@revision]` on the Hugging Face Hub works too."
        )
    repository, file, revision = match[1], match[2], match[3] or "main"
    check_name(repository)
    _check_part(revision)
    file = file or _only_file(repository, revision)
    _check_part(file)
    return Entry(
        name=text, title=f"{repository} {file}", repository=repository, file=file, revision=revision
    )


def check_name(repository: str) -> None:
    """Raises `HubProblem` if it is not owner/name."""
    try:
        if "/" not in repository:
            raise HFValidationError

        validate_repo_id(repository)
    except HFValidationError:
        raise HubProblem(f"`{repository}` is no name of a repository; owner/name is.") from None


def _check_part(part: str) -> None:
    """Raises `HubProblem` if it leads out of a repository."""
    if ".." in part or part.startswith("/") or "\\" in part:
        raise HubProblem(f"`{part}` is no file or revision of a repository.")


def _only_file(repository: str, revision: str) -> str:
    at: dict[str, Any] = {"repo_id": repository, "revision": revision}
    try:
        found = HfApi().model_info(**at, timeout=PATIENCE)
        files = [sibling.rfilename for sibling in found.siblings or ()]
    except Exception as error:
        files = _cached_files(**at)
        if not files:
            raise HubProblem(sentence(error, f"{repository}@{revision}")) from error
    fitting = [file for file in files if file.lower().endswith(SUFFIXES)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise HubProblem(f"`{repository}` holds no weights ({', '.join(SUFFIXES)}).")
    shown = ", ".join(fitting[:5]) + (", …" if len(fitting) > 5 else "")
    raise HubProblem(f"`{repository}` holds several files. Name one: {repository}:FILE ({shown}).")


def _cached_files(repo_id: str, revision: str) -> list[str]:
    """What was downloaded of a repository before."""
    try:
        folder = Path(snapshot_download(repo_id, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return []
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def cached(entry: Entry) -> Path | None:
    """Its file, if it needs no download."""
    if entry.bundled:
        return BUNDLED / entry.file
    found = try_to_load_from_cache(entry.repository, entry.file, revision=entry.revision)
    return Path(found) if isinstance(found, str) else None


def fetch(entry: Entry, report: Report = lambda done, total: None) -> Path:
    """Its file, downloaded if need be, its checksum verified.

    `report` hears of the bytes as they come. Raises `HubProblem`.
    """
    if entry.bundled:
        return BUNDLED / entry.file
    check_name(entry.repository)
    path = cached(entry) or _downloaded(entry, report)
    _verify(entry, path)
    return path


def _downloaded(entry: Entry, report: Report) -> Path:
    names = {"repo_id": entry.repository, "filename": entry.file}
    at: dict[str, Any] = {**names, "revision": entry.revision}
    try:
        # Asked first, and once: the download itself tries for half a minute before it gives up.
        found = get_hf_file_metadata(hf_hub_url(**at), timeout=PATIENCE)
        if found.size is None or found.size > MOST_BYTES:
            size = "an unknown size" if found.size is None else f"{found.size / 1e6:.0f} MB"
            raise HubProblem(f"`{entry.place}` has {size}; style networks have up to 50 MB.")
        return Path(hf_hub_download(**at, tqdm_class=_reporting(report)))
    except HubProblem:
        raise
    except Exception as error:
        raise HubProblem(sentence(error, entry.place)) from error


def _reporting(report: Report) -> type[tqdm]:
    """A progress bar that draws nothing and tells `report`."""

    class Reporting(tqdm):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **{**kwargs, "disable": False, "file": StringIO()})
            report(int(self.n), int(self.total or 0))

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            report(int(self.n), int(self.total or 0))
            return shown

        def update_transfer(self, n: float | None = 1) -> None:
            """Asked for, so that the library reports the bytes of a file in one bar, not two."""

    return Reporting


_VERIFYING = threading.Lock()


def _verify(entry: Entry, path: Path) -> None:
    """Against the catalog's sum, else against the one of the first download."""
    found = sha256(path.read_bytes()).hexdigest()
    if entry.sha256:
        if found != entry.sha256:
            _forget(path)
            raise HubProblem(
                f"`{entry.place}` has not the contents that the catalog expects (SHA-256 "
                f"{found[:12]}… instead of {entry.sha256[:12]}…), so it was deleted. Try again "
                "later, or use a bundled checkpoint."
            )
        return
    memory = cache_folder() / "checksums.json"
    with _VERIFYING:
        sums = _remembered(memory)
        known = sums.get(entry.place)
        if known == found:
            return
        if known is None:
            sums[entry.place] = found
            with suppress(OSError, BadOutput):  # nowhere to remember it
                memory.parent.mkdir(parents=True, exist_ok=True)
                with whole(memory) as new:
                    new.write_text(json.dumps(sums, indent=1))
            return
    raise HubProblem(
        f"`{entry.place}` has changed since its first download here. If that is right, delete "
        f"its line from {memory} and try again."
    )


def _remembered(memory: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        sums = json.loads(memory.read_text())
        if isinstance(sums, dict):
            return sums
    return {}


def _forget(path: Path) -> None:
    """Deletes a file of the cache, and what its link points to."""
    target = path.resolve()
    path.unlink(missing_ok=True)
    target.unlink(missing_ok=True)


@dataclass(frozen=True)
class Loaded:
    """A checkpoint ready to paint, and where it came from."""

    entry: Entry
    path: Path
    checkpoint: Checkpoint
    sha256: str


def load(entry: Entry, report: Report = lambda done, total: None) -> Loaded:
    """The network, on the device. Raises `HubProblem` and `BadCheckpoint`."""
    path = fetch(entry, report)
    return _loaded(entry, path, path.stat().st_mtime_ns)


@lru_cache(16)
def _loaded(entry: Entry, path: Path, changed: int) -> Loaded:
    checkpoint = load_checkpoint(path)
    checkpoint.network.to(device())
    return Loaded(entry, path, checkpoint, sha256(path.read_bytes()).hexdigest())


def load_file(path: Path) -> Loaded:
    """A checkpoint of the user's own. Raises `BadCheckpoint`."""
    if not path.is_file():
        raise BadCheckpoint(f"`{path}` does not exist or is not a file.")
    return _loaded(
        Entry(name=path.stem, title=path.stem, file=path.name), path, path.stat().st_mtime_ns
    )


def upload(folder: Path, repository: str, private: bool) -> str:
    """The address of a model repository after the folder went into it. Raises `HubProblem`."""
    check_name(repository)
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:
        raise HubProblem(sentence(error, repository, advice="")) from error
    return f"{api.endpoint}/{repository}"
