"""Checkpoints from the Hub: the real client against a small Hub on this machine."""

import errno
import io
import itertools
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.utils._http
import pytest
import torch
from huggingface_hub import close_session, constants, file_download
from PIL import Image
from typer.testing import CliRunner

import nst.cli.main
import nst.training.card
from nst import machine
from nst.checkpoints import client, hub
from nst.checkpoints.files import load_checkpoint, save_checkpoint
from nst.nn.state import BadCheckpoint
from nst.nn.transformer import TransformerNetwork
from nst.settings.catalog import paintings
from tests.hub_server import COMMIT, Repository, serving

ROOT = Path(__file__).parents[2]
NAME, FILE = "someone/strokes", "strokes.safetensors"
PLACE = f"{NAME}:{FILE}"
OURS = "great-wave"  # a bundled checkpoint


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """The bytes of a small checkpoint, with the notes of a training."""
    path = tmp_path_factory.mktemp("weights") / FILE
    run = {"iterations": 2, "photos": 3, "seconds": 4.0, "precision": "float32", "device": "cpu"}
    run |= {"processes": 1, "losses": {"content": 0.5, "style": 0.25}, "settings": {"width": 4}}
    network = TransformerNetwork(width=4, blocks=1)
    save_checkpoint(network, path, {"style": "starry_night", "training": run})
    return path.read_bytes()


@pytest.fixture
def server(tmp_path, monkeypatch, weights):
    """A Hub with one repository, and the client in this process turned to it, with empty caches."""
    with serving() as found:
        found.repositories[NAME] = Repository({FILE: weights, "README.md": b"# Strokes"})
        home = tmp_path / "huggingface"
        template = found.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "stored_tokens"))
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(home / "harnesses.json"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        close_session()  # the next one has no connections yet, and reads NO_PROXY
        yield found


@pytest.fixture
def without_waits(monkeypatch):
    """The client tries again at once instead of after seconds."""
    for module in (file_download, huggingface_hub.utils._http):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda seconds: None))


def serve(server, contents, file=FILE, **others):
    """Puts other contents into the repository; the entry to fetch them."""
    server.repositories[NAME] = Repository({file: contents}, **others)
    return hub.find(f"{NAME}:{file}")


def sentence(text):
    """The text, which must be readable: a line or two, nothing of the program's inside."""
    assert text[-1] in ".?"
    assert len(text) < 300
    assert not re.search(r"\n|Traceback|https?://|\w(Error|Exception)\b|\[Errno|<class", text), text
    return text


def refused(action, *words):
    """The sentence of the `HubProblem` that an action ends with."""
    with pytest.raises(hub.HubProblem) as caught:
        action()
    text = sentence(str(caught.value))
    assert [word for word in words if word not in text] == [], text
    assert load_checkpoint(hub.fetch(hub.catalog()[OURS])).layout == "nst"
    return text


def works_or_is_said(action, contents):
    """An action may do without a damaged memory or end with a sentence, but with nothing else."""
    try:
        path = action()
    except hub.HubProblem as problem:
        sentence(str(problem))
    else:
        assert path.read_bytes() == contents


def cache_files():
    """Names of all files with contents in the client's cache."""
    return {path.name for path in Path(constants.HF_HUB_CACHE).glob("models--*/**/blobs/*")}


# The catalog


def test_names_in_the_catalog_are_unique():
    names = re.findall(r'^name = "(.+)"', hub.CATALOG.read_text("utf-8"), re.MULTILINE)
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert set(names) == set(hub.catalog())


def test_the_bundled_checkpoints_come_first():
    kinds = [entry.bundled for entry in hub.catalog().values()]
    assert kinds == sorted(kinds, reverse=True)
    assert True in kinds
    assert False in kinds


@pytest.mark.parametrize("entry", hub.catalog().values(), ids=lambda entry: entry.name)
def test_an_entry_of_the_catalog_is_complete(entry):
    assert hub.find(entry.name) is entry
    assert re.fullmatch(r"[a-z0-9-]+", entry.name)
    assert entry.title
    assert entry.license
    assert entry.style
    assert entry.file.endswith(hub.SUFFIXES)
    if entry.bundled:
        assert entry.style in paintings()
    else:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.repository)
        assert re.fullmatch(r"([0-9a-f]{64})?", entry.sha256)


@pytest.mark.parametrize("entry", hub.bundled().values(), ids=lambda entry: entry.name)
def test_a_bundled_checkpoint_loads(entry):
    loaded = hub.load(entry)
    assert loaded.checkpoint.layout == entry.layout
    assert loaded.sha256 == sha256((hub.BUNDLED / entry.file).read_bytes()).hexdigest()


def test_each_bundled_file_is_in_the_catalog():
    files = {path.name for path in hub.BUNDLED.glob("*.*") if path.suffix in hub.SUFFIXES}
    assert files <= {entry.file for entry in hub.bundled().values()}


# Finding


@pytest.mark.parametrize(
    ("text", "file", "revision"),
    [
        (NAME, FILE, "main"),
        (f"{NAME}@{COMMIT}", FILE, COMMIT),
        (f"{NAME}:folder/other.pth", "folder/other.pth", "main"),
        (f"{NAME}:other.pth@v1.0", "other.pth", "v1.0"),
    ],
)
def test_a_place_on_the_hub_is_understood(server, text, file, revision):
    entry = hub.find(text)
    assert (entry.repository, entry.file, entry.revision) == (NAME, file, revision)
    assert entry.place == f"{NAME}:{file}@{revision}"
    assert not entry.bundled


def test_a_place_with_a_file_is_understood_without_a_request(server):
    hub.find(PLACE)
    assert server.requests == []


def test_one_of_several_files_must_be_named(server):
    server.repositories[NAME].files["second.PTH"] = b""
    refused(lambda: hub.find(NAME), "several", f"{NAME}:FILE", FILE, "second.PTH")


def test_of_very_many_files_only_a_few_are_shown(server):
    server.repositories[NAME].files |= {f"epoch{i}.pth": b"" for i in range(100)}
    assert refused(lambda: hub.find(NAME)).count("epoch") == 4


def test_a_repository_without_weights_is_refused(server):
    del server.repositories[NAME].files[FILE]
    refused(lambda: hub.find(NAME), f"`{NAME}`", "no weights", ".safetensors")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stary-night", ["`stary-night`", "Did you mean `starry-night`?", "owner/name"]),
        ("xyzzy", ["`xyzzy`", "great-wave", "owner/name"]),
        ("", ["``"]),
        ("a/b/c", ["`a/b/c`"]),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest(server, text, words):
    with pytest.raises(hub.UnknownName) as caught:
        hub.find(text)
    assert [word for word in words if word not in str(caught.value)] == []
    assert server.requests == []


@pytest.mark.parametrize(
    "text",
    ["some..one/x:w.pth", "a--b/c:w.pth", f"{NAME}:../../w.pth", f"{NAME}:/etc/w.pth"],
)
def test_an_impossible_place_is_refused(server, text):
    refused(lambda: hub.fetch(hub.find(text)), "`")
    assert server.downloads() == []


# Downloading


@pytest.mark.parametrize("large", [frozenset(), frozenset([FILE])], ids=["small", "from the CDN"])
def test_a_download_is_whole_and_loads(server, weights, large):
    entry = serve(server, weights, large=large)
    assert hub.cached(entry) is None
    loaded = hub.load(entry)
    assert loaded.path.read_bytes() == weights
    assert loaded.sha256 == sha256(weights).hexdigest()
    assert loaded.checkpoint.network.width == 4
    assert hub.cached(entry) == loaded.path
    assert len(cache_files()) == 1
    assert [("cdn" in request.path) for request in server.downloads()] == [bool(large)]


def test_a_second_call_needs_no_network(server, weights):
    entry = hub.find(PLACE)
    path = hub.fetch(entry)
    server.stop()
    assert hub.fetch(hub.find(PLACE)) == path


def test_only_the_wanted_revision_counts_as_cached(server):
    path = hub.fetch(hub.find(PLACE))
    assert hub.cached(hub.find(f"{PLACE}@{COMMIT}")) == path
    assert hub.cached(hub.find(f"{PLACE}@v9")) is None


def test_a_repository_of_one_file_needs_no_network_the_second_time(server):
    path = hub.fetch(hub.find(NAME))
    server.stop()
    assert hub.fetch(hub.find(NAME)) == path


def test_without_a_network_what_is_cached_works_and_the_rest_is_refused(server, monkeypatch):
    path = hub.fetch(hub.find(PLACE))
    asked = len(server.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.fetch(hub.find(PLACE)) == path
    words = ["HF_HUB_OFFLINE", "cache", "bundled"]
    refused(lambda: hub.fetch(hub.find(f"{NAME}:README.md")), "README.md", *words)
    refused(lambda: hub.find("someone/other"), "someone/other", *words)
    assert len(server.requests) == asked


def test_progress_is_reported_up_to_the_total(server):
    contents = os.urandom(25_000_000)
    heard = []
    entry = serve(server, contents)
    hub.fetch(entry, lambda done, total: heard.append((done, total)))
    dones, totals = zip(*heard, strict=True)
    assert set(totals) == {len(contents)}
    assert list(dones) == sorted(dones)
    assert (dones[0], dones[-1]) == (0, len(contents))
    assert len(set(dones)) > 2


def test_progress_of_a_small_file_ends_at_the_total(server, weights):
    heard = []
    hub.fetch(hub.find(PLACE), lambda done, total: heard.append((done, total)))
    assert heard[-1] == (len(weights), len(weights))


def test_four_threads_download_a_file_once(server, weights):
    server.gate.clear()
    entry = hub.find(PLACE)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(hub.fetch, entry) for _ in range(4)]
        wait(lambda: len(server.asked("HEAD")) >= 4 and server.downloads())
        server.gate.set()
        paths = {run.result(timeout=20) for run in running}
    assert len(server.downloads()) == 1
    assert [path.read_bytes() for path in paths] == [weights]


def wait(condition):
    """Until it holds, for at most some seconds."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("It never came to that.")


def test_the_token_is_sent_to_the_hub_but_not_to_the_cdn(server, weights, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", server.token)
    hub.fetch(serve(server, weights, private=True, gated=True, large=frozenset([FILE])))
    assert {r.headers.get("Authorization") for r in server.asked("HEAD")} == {"Bearer hf_good"}
    assert [r.headers.get("Authorization") for r in server.downloads()] == [None]


@pytest.mark.parametrize("moved", ["/resolve/", "/api/models/"])
def test_the_token_does_not_follow_a_redirect_to_another_host(server, weights, moved, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", server.token)
    server.moved = moved
    assert hub.fetch(hub.find(NAME)).read_bytes() == weights
    assert {request.headers["Host"] for request in server.requests} > {server.address[7:]}
    assert_the_token_stayed(server)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("place", ["elsewhere", "here"])
def test_the_token_does_not_go_where_the_answer_sends_for_access_to_a_store(
    server, weights, place, large, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", server.token)
    entry = serve(server, weights, private=True, large=frozenset([FILE] if large else []))
    door = {"elsewhere": server.cdn, "here": server.address}[place] + "/door"
    key = sha256(weights).hexdigest()
    server.forged = {"X-Xet-Hash": key, "Link": f'<{door}>; rel="xet-auth"'}
    server.forged |= {"X-Xet-Refresh-Route": door, "X-Linked-Size": str(len(weights))}
    assert hub.fetch(entry).read_bytes() == weights
    assert server.asked("GET", "/door") == []
    assert_the_token_stayed(server)


def test_the_token_does_not_go_to_a_place_that_an_answer_names(server, weights, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", server.token)
    entry = serve(server, weights)
    server.forged = {"Location": f"{server.cdn}/{sha256(weights).hexdigest()}"}
    assert hub.fetch(entry).read_bytes() == weights
    assert len(server.asked("GET", "/cdn/")) == 1
    assert_the_token_stayed(server)


def assert_the_token_stayed(server):
    """With the Hub, which got it, and with no other host."""
    tokens = {"here": set(), "elsewhere": set()}
    for request in server.requests:
        here = f"http://{request.headers['Host']}" == server.address
        tokens["here" if here else "elsewhere"].add(request.headers.get("Authorization"))
    assert tokens["here"] == {"Bearer hf_good"}
    assert tokens["elsewhere"] <= {None}


# Names of files that a server thinks of


def all_files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


STRANGE = [
    '"../../../evil"',
    'W/"{outside}/evil"',
    "../../../evil",
    '".."',
    '""',
    '"..\\..\\evil"',
    '"C:evil"',
]


@pytest.mark.parametrize("first", [1, 2], ids=["at once", "with the second answer"])
@pytest.mark.parametrize("header", ["ETag", "X-Linked-ETag", "X-Repo-Commit"])
@pytest.mark.parametrize("value", STRANGE)
def test_nothing_is_written_outside_the_cache(server, tmp_path, header, value, first):
    entry, before = hub.find(PLACE), all_files(tmp_path)
    server.forged = {header: value.format(outside=tmp_path)}
    server.forged_from = first
    if header == "X-Repo-Commit":  # which has no quotation marks
        server.forged[header] = server.forged[header].removeprefix("W/").strip('"')
    refused(lambda: hub.fetch(entry), f"strange {header}", "nothing was saved", "bundled")
    assert all_files(tmp_path) == before
    assert server.downloads() == []


@pytest.mark.parametrize("first", [1, 2], ids=["at once", "with the second answer"])
def test_nothing_is_written_outside_the_cache_for_a_file_that_does_not_exist(
    server, tmp_path, first
):
    entry = hub.find(PLACE)
    server.repositories[NAME].files.pop(FILE)
    before = all_files(tmp_path)
    server.forged = {"X-Repo-Commit": "../../../evil"}
    refused(lambda: hub.fetch(entry))
    assert all_files(tmp_path) == before
    with pytest.raises(client.BadAnswer, match="strange X-Repo-Commit"):
        file_download.hf_hub_download(NAME, FILE)
    assert all_files(tmp_path) == before


def test_a_repository_whose_only_file_leads_out_of_it_is_refused(server, tmp_path):
    for name in ("../../../evil.pth", "/etc/evil.pth", "..\\evil.pth"):
        server.repositories[NAME] = Repository({name: b"x"})
        refused(lambda: hub.find(NAME), "is no file or revision of a repository")
    assert server.downloads() == []


@pytest.mark.parametrize("tag", ['"{}"', 'W/"{}"', '"{}-2"', '"{}=="'])
def test_the_usual_tags_of_servers_are_taken(server, weights, tag):
    server.forged = {"ETag": tag.format("d41d8cd98f00b204e9800998ecf8427e")}
    assert hub.fetch(hub.find(PLACE)).read_bytes() == weights


# Checksums


def test_a_right_checksum_is_accepted(server, weights):
    entry = hub.find(PLACE).model_copy(update={"sha256": sha256(weights).hexdigest()})
    assert hub.fetch(entry).read_bytes() == weights


def test_a_file_with_a_wrong_checksum_is_deleted(server, weights):
    entry = hub.find(PLACE).model_copy(update={"sha256": "0" * 64})
    found = sha256(weights).hexdigest()[:12]
    refused(
        lambda: hub.fetch(entry), f"`{entry.place}`", "deleted", found, "000000000000", "bundled"
    )
    assert hub.cached(entry) is None
    assert cache_files() == set()


def test_a_cached_file_that_was_damaged_is_deleted_and_then_downloaded_again(server, weights):
    entry = hub.find(PLACE).model_copy(update={"sha256": sha256(weights).hexdigest()})
    hub.fetch(entry).write_bytes(b"damaged")
    refused(lambda: hub.fetch(entry), "deleted")
    assert hub.fetch(entry).read_bytes() == weights
    assert len(server.downloads()) == 2


def test_the_first_checksum_is_remembered_and_a_changed_file_refused(server, weights):
    entry = hub.find(PLACE)
    hub.fetch(entry)
    memory = machine.cache_folder() / "checksums.json"
    assert json.loads(memory.read_text()) == {entry.place: sha256(weights).hexdigest()}
    shutil.rmtree(constants.HF_HUB_CACHE)
    changed = serve(server, weights + b" ", commit="f" * 40)
    for _ in range(2):
        refused(lambda: hub.fetch(changed), f"`{entry.place}`", "changed", str(memory))
    memory.write_text("{}")  # as the sentence says
    assert hub.fetch(changed).read_bytes() == weights + b" "


@pytest.mark.parametrize("text", ["", "[]", '{"a": '])
def test_a_damaged_memory_of_checksums_does_no_harm_or_is_said(server, weights, text):
    memory = machine.cache_folder() / "checksums.json"
    memory.parent.mkdir(parents=True)
    memory.write_text(text)
    works_or_is_said(lambda: hub.fetch(hub.find(PLACE)), weights)


def test_a_memory_of_checksums_that_cannot_be_kept_does_no_harm_or_is_said(
    server, weights, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    works_or_is_said(lambda: hub.fetch(hub.find(PLACE)), weights)


# What can go wrong


def gated(server):
    server.repositories[NAME].gated = True


def private(server):
    server.repositories[NAME].private = True


def wrong_token(server):
    os.environ["HF_TOKEN"] = "hf_wrong"  # the fixture restores it


def answering(status):
    def always(server):
        server.status = status

    return always


def portal(server):
    server.portal = True


def nothing(server):
    """No trouble but the place itself."""


TROUBLES = {
    "no repository": (nothing, "someone/nothing:w.pth", ["not exist", "HF_TOKEN"]),
    "no file": (nothing, f"{NAME}:nothing.pth", ["no such file"]),
    "no revision": (nothing, f"{PLACE}@v9", ["no such revision"]),
    "gated": (gated, PLACE, ["gated", "HF_TOKEN"]),
    "private": (private, PLACE, ["private", "HF_TOKEN"]),
    "wrong token": (wrong_token, PLACE, ["token"]),
    "401": (answering(HTTPStatus.UNAUTHORIZED), PLACE, ["401"]),
    "403": (answering(HTTPStatus.FORBIDDEN), PLACE, ["403"]),
    "429": (answering(HTTPStatus.TOO_MANY_REQUESTS), PLACE, ["429", "later"]),
    "500": (answering(HTTPStatus.INTERNAL_SERVER_ERROR), PLACE, ["500", "later"]),
    "503": (answering(HTTPStatus.SERVICE_UNAVAILABLE), PLACE, ["503", "later"]),
    "no server": (lambda server: server.stop(), PLACE, ["cannot be reached"]),
    "log-in page": (portal, PLACE, ["cannot be reached"]),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_what_the_hub_refuses_is_said_in_a_sentence(server, monkeypatch, name):
    monkeypatch.setenv("HF_TOKEN", "")
    trouble, place, words = TROUBLES[name]
    trouble(server)
    refused(lambda: hub.fetch(hub.find(place)), place, *words, "bundled")
    assert server.downloads() == []
    assert cache_files() == set()


@pytest.mark.parametrize("name", ["401", "500", "503", "no server", "log-in page", "wrong token"])
def test_the_same_holds_while_a_repository_is_looked_up(server, monkeypatch, name):
    monkeypatch.setenv("HF_TOKEN", "")
    trouble, _, words = TROUBLES[name]
    trouble(server)
    refused(lambda: hub.find(NAME), NAME, *words, "bundled")


def test_a_repository_that_does_not_exist_is_refused_while_it_is_looked_up(server):
    refused(lambda: hub.find("someone/nothing"), "`someone/nothing", "not exist", "HF_TOKEN")
    refused(lambda: hub.find(f"{NAME}@v9"), f"`{NAME}@v9`", "no such revision")


def test_the_hub_is_given_up_after_a_while(server, monkeypatch):
    hub.find(NAME)  # the first request of a process has another before it, with its own patience
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    held = []  # connections that never get an answer
    monkeypatch.setattr(server.server, "process_request", lambda *given: held.append(given))
    begin = time.monotonic()
    refused(lambda: hub.fetch(hub.find(PLACE)), "cannot be reached", PLACE)
    refused(lambda: hub.find(NAME), "cannot be reached", NAME)
    assert time.monotonic() - begin < 2.5
    assert len(held) >= 2


def test_a_hub_that_fails_between_two_requests_is_said_in_a_sentence(server, without_waits):
    server.status, server.fails_from = HTTPStatus.BAD_GATEWAY, 2
    refused(lambda: hub.fetch(hub.find(PLACE)), "502", "later", PLACE, "bundled")
    assert len(server.asked("HEAD")) > 2


def test_a_file_that_is_too_large_is_not_downloaded(server):
    for large in (frozenset(), frozenset([FILE])):
        entry = serve(server, b"small", large=large)
        server.claimed_size = 300_000_000
        refused(lambda entry=entry: hub.fetch(entry), f"`{entry.place}`", "300 MB")
    assert server.downloads() == []


def test_a_download_that_breaks_once_goes_on_where_it_was(server, without_waits):
    contents = os.urandom(12_000_000)
    server.cuts = iter([11_000_000])
    heard = []
    path = hub.fetch(serve(server, contents), lambda *state: heard.append(state))
    first, second = server.downloads()
    assert "Range" not in first.headers
    kept = constants.DOWNLOAD_CHUNK_SIZE  # of the first 11 MB
    assert second.headers["Range"] == f"bytes={kept}-"
    assert path.read_bytes() == contents
    assert heard[-1] == (len(contents), len(contents))


def test_a_small_download_that_breaks_once_is_whole(server, weights, without_waits):
    server.cuts = iter([1000])
    heard = []
    path = hub.fetch(hub.find(PLACE), lambda *state: heard.append(state))
    assert path.read_bytes() == weights
    assert len(server.downloads()) == 2
    assert heard[-1] == (len(weights), len(weights))


@pytest.mark.parametrize("reset", [False, True], ids=["cut", "reset"])
def test_a_download_that_always_breaks_ends_in_a_sentence(server, without_waits, weights, reset):
    server.cuts, server.reset = itertools.repeat(1000), reset
    entry = hub.find(PLACE)
    refused(lambda: hub.fetch(entry), "connection broke", PLACE, "bundled")
    assert cache_files() == set()
    server.cuts, server.reset = iter(()), False
    assert hub.fetch(entry).read_bytes() == weights


def test_a_download_that_stands_still_ends_in_a_sentence(server, without_waits, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    server.gate.clear()
    refused(lambda: hub.fetch(hub.find(PLACE)), "connection broke", PLACE)
    assert cache_files() == set()


# Disks


def written_to(monkeypatch, device, chosen):
    """Lets files that fit `chosen` be written to a device of the system."""
    usual = Path.open

    def opened(path, mode="r", *args, **kwargs):
        path = Path(device) if "w" in mode and chosen(path) else path
        return usual(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")


@needs_full
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_full_disk_is_said_in_a_sentence(server, monkeypatch, size):
    entry = serve(server, bytes(size))
    written_to(monkeypatch, "/dev/full", lambda path: path.suffix == ".incomplete")
    refused(lambda: hub.fetch(entry), "disk is full", entry.place)
    assert cache_files() == set()


@needs_full
def test_a_full_disk_for_the_checksums_works_or_is_said(server, monkeypatch, weights):
    written_to(monkeypatch, "/dev/full", lambda path: path.parent == machine.cache_folder())
    works_or_is_said(lambda: hub.fetch(hub.find(PLACE)), weights)


@contextmanager
def mere_user(folder):
    """Not root, who may write everywhere, in a folder that allows no writing."""
    root = os.geteuid() == 0
    folder.chmod(0o555)
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_cache_that_may_not_be_written_is_said_in_a_sentence(server, tmp_path):
    entry = hub.find(PLACE)

    def fetched_by_a_mere_user():
        with mere_user(tmp_path):
            assert not os.access(tmp_path, os.W_OK, effective_ids=True)
            hub.fetch(entry)

    refused(fetched_by_a_mere_user, "cache", "HF_HOME", "bundled")
    assert server.downloads() == []


def test_a_file_in_the_place_of_the_cache_is_said_in_a_sentence(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    refused(lambda: hub.fetch(hub.find(PLACE)), "cache", "HF_HOME", "bundled")


def test_a_read_only_disk_is_said_in_a_sentence(server, monkeypatch):
    def makedirs(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "makedirs", makedirs)
    refused(lambda: hub.fetch(hub.find(PLACE)), "cache", "HF_HOME", "bundled")


# Wrong files


class Harmful:
    """Would make a file if it was unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def torch_file(tree):
    file = io.BytesIO()
    torch.save(tree, file)
    return file.getvalue()


def harmful(path):
    return {
        "pickle": pickle.dumps(Harmful(path), protocol=2),
        "torch": torch_file({"conv1.conv2d.weight": Harmful(path)}),
    }


WRONG = {
    "empty": b"",
    "page": b"<!DOCTYPE html><html><body>Not found</body></html>",
    "text": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "random": bytes((7 * i * i) % 251 for i in range(5000)),
    "zip": b"PK\x03\x04" + bytes(500),
    "other weights": torch_file({"layer.weight": torch.ones(3)}),
    "a list": torch_file([torch.ones(3)]),
}


def rejected(entry):
    with pytest.raises(BadCheckpoint) as caught:
        hub.load(entry)
    text = sentence(str(caught.value))
    assert entry.file in text
    assert hub.load(hub.catalog()[OURS]).checkpoint.layout == "nst"
    return text


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_in_a_sentence(server, name):
    for suffix in hub.SUFFIXES:
        rejected(serve(server, WRONG[name], f"w{suffix}"))


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_nothing_in_a_file_is_executed(server, tmp_path, kind):
    contents = harmful(tmp_path / "touched")[kind]
    assert "more than weights" in rejected(serve(server, contents, "w.pth"))
    assert not (tmp_path / "touched").exists()


def test_half_a_checkpoint_is_refused(server, weights):
    assert "damaged" in rejected(serve(server, weights[: len(weights) // 2]))


def test_a_state_dict_as_in_pytorch_examples_is_loaded(server):
    loaded = hub.load(serve(server, torch_file(examples_state()), "candy.pth"))
    assert loaded.checkpoint.layout == "pytorch-examples"
    assert loaded.checkpoint.network.width == 4


def examples_state():
    """Random weights under the names of pytorch/examples, with the keys its old files keep."""
    sizes = {"conv1": (4, 3, 9), "conv2": (8, 4, 3), "conv3": (16, 8, 3)}
    sizes |= {f"res{n}.conv{k}": (16, 16, 3) for n in (1, 2) for k in (1, 2)}
    sizes |= {"deconv1": (8, 16, 3), "deconv2": (4, 8, 3), "deconv3": (3, 4, 9)}
    norms = {f"in{n}": width for n, width in enumerate((4, 8, 16, 8, 4), 1)}
    norms |= {f"res{n}.in{k}": 16 for n in (1, 2) for k in (1, 2)}
    state = {}
    for name, (after, before, side) in sizes.items():
        state[f"{name}.conv2d.weight"] = torch.randn(after, before, side, side)
        state[f"{name}.conv2d.bias"] = torch.randn(after)
    for name, width in norms.items():
        state |= {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}
        state[f"{name}.running_mean"] = torch.zeros(width)
    return state


# The command line


@pytest.fixture
def run(server, tmp_path):
    """Runs `python -m nst` against the Hub, with the caches of the server's fixture."""
    known = machine.calibration()
    exact = replace(known, precision="float32", per_pixel=known.float32_per_pixel)
    places = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "huggingface")}
    here = os.environ | places | {"NST_BFLOAT16": "0"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NST_BFLOAT16", "0")
        machine._keep(exact)

    def run(*arguments, status=0, **environment):
        command = [sys.executable, "-m", "nst", *map(str, arguments)]
        environment = here | environment
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def kept(tmp_path, weights):
    """The small checkpoint as a file."""
    path = tmp_path / FILE
    path.write_bytes(weights)
    return path


def test_fast_paints_with_a_checkpoint_from_the_hub_and_then_without_it(run, server, tmp_path):
    arguments = ["fast", "neuschwanstein", "--size", "64", "--checkpoint"]
    run(*arguments, NAME, "-o", tmp_path / "first.png")
    assert len(server.downloads()) == 1
    server.stop()
    run(*arguments, PLACE, "-o", tmp_path / "second.png", HF_HUB_OFFLINE="1")
    with Image.open(tmp_path / "first.png") as first, Image.open(tmp_path / "second.png") as second:
        assert max(first.size) == 64
        assert first.tobytes() == second.tobytes()


def test_a_download_that_breaks_once_shows_nothing_of_the_library(run, server, tmp_path):
    server.cuts = iter([1000])
    arguments = ["fast", "neuschwanstein", "-o", tmp_path / "r.png", "--size", "64"]
    done = run(*arguments, "--checkpoint", PLACE)
    assert len(server.downloads()) == 2
    assert not re.search("https?://|Error", done.stderr), done.stderr


def test_checkpoints_tells_which_are_cached(run, server, weights):
    entry = hub.catalog()["maze-mosaic"]
    server.repositories[entry.repository] = Repository({entry.file: weights})
    hub.fetch(entry)
    rows = json.loads(run("checkpoints", "--json").stdout)
    assert [row["name"] for row in rows] == list(hub.catalog())
    assert {row["name"] for row in rows if row["cached"]} == {"maze-mosaic", *hub.bundled()}
    listed = CliRunner().invoke(nst.cli.main.app, ["checkpoints"]).stdout.splitlines()
    assert [line for line in listed if " cached " in line] == [
        line for line in listed if line.startswith("maze-mosaic ")
    ]


def test_a_dry_push_writes_the_folder_and_asks_nobody(run, server, tmp_path, kept):
    done = run("push", kept, "someone/new", "--dry-run", "-o", tmp_path / "new")
    assert "would be uploaded" in " ".join(done.stderr.split())
    assert server.requests == []
    files = {path.name for path in (tmp_path / "new").iterdir()}
    assert files == {"README.md", "samples.jpg", "style.jpg", FILE}
    assert (tmp_path / "new" / FILE).read_bytes() == kept.read_bytes()
    text = (tmp_path / "new" / "README.md").read_text("utf-8")
    for part in ("license: mit", f"--checkpoint someone/new:{FILE}", "| style | 0.25 |", "2 steps"):
        assert part in text
    with Image.open(tmp_path / "new" / "samples.jpg") as samples:
        assert samples.width > 2 * samples.height


def test_a_push_uploads_the_folder(run, server, tmp_path, kept):
    arguments = ["push", kept, "someone/new", "-o", tmp_path / "new", "--license", "cc-by-4.0"]
    done = run(*arguments, "--private", HF_TOKEN=server.token)
    assert f"{server.address}/someone/new" in done.stderr
    held = server.repositories["someone/new"]
    assert held.private
    assert held.files == {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    assert held.files[FILE] == kept.read_bytes()
    assert b"license: cc-by-4.0" in held.files["README.md"]


def test_a_second_push_uploads_the_new_weights(server, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", server.token)
    (tmp_path / "new").mkdir()
    for contents in (b"first", b"second"):
        (tmp_path / "new" / FILE).write_bytes(contents)
        assert hub.upload(tmp_path / "new", NAME, private=False) == f"{server.address}/{NAME}"
        assert server.repositories[NAME].files[FILE] == contents


def test_a_push_without_a_token_ends_in_a_sentence(run, server, tmp_path, kept):
    done = run("push", kept, "someone/new", "-o", tmp_path / "new", status=2)
    assert "someone/new" not in server.repositories
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert "someone/new" in sentence(line.removeprefix("Error: "))
    assert "HF_TOKEN" in line
    assert "bundled" not in line  # which is no help for an upload


def said(*arguments):
    """The one line that a bad command in this process ends with."""
    result = CliRunner().invoke(nst.cli.main.app, [*map(str, arguments)])
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert line.startswith("Error: ")
    return sentence(line.removeprefix("Error: "))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("someone/nothing", ["`someone/nothing", "not exist"]),
        (f"{NAME}:nothing.pth", ["no such file"]),
        ("nothing.pth", ["`nothing.pth`", "not exist"]),
        ("stary-night", ["`starry-night`"]),
        (f"{NAME}:README.md", ["`README.md`"]),
        (f"{NAME}:../w.pth", ["`"]),
    ],
)
def test_a_bad_checkpoint_on_the_command_line_is_said_in_a_sentence(server, tmp_path, text, words):
    line = said("fast", "neuschwanstein", "-o", tmp_path / "r.png", "--checkpoint", text)
    assert [word for word in words if word not in line] == []
    assert not (tmp_path / "r.png").exists()


def test_a_checkpoint_that_was_not_trained_here_is_not_pushed(server, tmp_path):
    (tmp_path / "candy.pth").write_bytes(torch_file(examples_state()))
    line = said("push", tmp_path / "candy.pth", "someone/new", "-o", tmp_path / "new")
    assert "not trained here" in line
    assert not (tmp_path / "new").exists()
    assert server.requests == []


def never(*_, **__):
    raise AssertionError("a card was painted")


@pytest.mark.parametrize("name", ["new", "a/b/c", "someone/..", "some one/new", ""])
def test_a_push_to_no_repository_name_is_refused_before_anything_is_written(
    server, kept, monkeypatch, name, tmp_path
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(nst.training.card, "samples", never)
    before = sorted(tmp_path.rglob("*"))
    said("push", kept, name, "--dry-run")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def pushes(server, monkeypatch):
    """Pushes in this process, without painting samples."""
    monkeypatch.setattr(nst.training.card, "samples", lambda network: Image.new("RGB", (30, 10)))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", server.token)
    return lambda *given: CliRunner().invoke(nst.cli.main.app, ["push", *map(str, given)])


def test_only_the_card_and_the_weights_are_uploaded_from_a_folder_with_more(
    pushes, server, kept, tmp_path
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "private.txt").write_text("private")
    pushes(kept, "someone/new", "-o", tmp_path / "folder")
    held = server.repositories.get("someone/new", Repository({}))
    assert "private.txt" not in held.files


def test_a_readme_of_another_is_not_overwritten(pushes, kept, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "README.md").write_text("# Another project")
    pushes(kept, "someone/new", "--dry-run", "-o", tmp_path / "folder")
    assert (tmp_path / "folder" / "README.md").read_text() == "# Another project"


def test_a_folder_written_by_a_dry_push_can_be_pushed(pushes, server, kept, tmp_path):
    for options in (["--dry-run"], []):
        done = pushes(kept, "someone/new", "-o", tmp_path / "new", *options)
        assert done.exit_code == 0, done.exception
    assert server.repositories["someone/new"].files[FILE] == kept.read_bytes()


def test_a_push_from_the_folder_of_the_checkpoint_works_or_is_said(pushes, kept):
    done = pushes(kept, "someone/new", "--dry-run", "-o", kept.parent)
    assert done.exit_code in (0, 2), done.exception
    assert kept.stat().st_size > 0


def test_a_push_with_a_file_for_a_folder_is_refused_in_a_sentence(pushes, kept, tmp_path):
    (tmp_path / "file").write_text("kept")
    line = said("push", kept, "someone/new", "--dry-run", "-o", tmp_path / "file")
    assert "file`" in line
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("status", [HTTPStatus.FORBIDDEN, HTTPStatus.INTERNAL_SERVER_ERROR])
def test_a_push_that_the_hub_refuses_ends_in_a_sentence(pushes, server, kept, tmp_path, status):
    server.status = status
    done = pushes(kept, "someone/new", "-o", tmp_path / "new")
    assert done.exit_code == 2, done.exception
    line = " ".join(done.stderr.split())
    assert str(int(status)) in sentence(line.removeprefix("Error: "))
    assert "bundled" not in line


# Files of the user's own


def test_a_file_that_changed_is_loaded_anew(kept):
    first = hub.load_file(kept)
    assert hub.load_file(kept) is first
    save_checkpoint(TransformerNetwork(width=8, blocks=1), kept, {})
    os.utime(kept, ns=(0, 0))
    again = hub.load_file(kept)
    assert (first.checkpoint.network.width, again.checkpoint.network.width) == (4, 8)
    assert again.sha256 == sha256(kept.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["nothing.safetensors", ""])
def test_a_file_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(BadCheckpoint, match="does not exist") as caught:
        hub.load_file(tmp_path / name)
    sentence(str(caught.value))
