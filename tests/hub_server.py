"""A small Hugging Face Hub on 127.0.0.1, with the troubles that the real one may have.

It speaks what `huggingface_hub` uses to look up, download and upload models. Connections close
after each answer, so that nothing answers any more once it stopped.
"""

import base64
import json
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from hashlib import sha1, sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
MODEL = re.compile(r"/api/models/([^/]+/[^/]+?)(?:/(revision|preupload|commit)/([^/]+))?")
CDN = re.compile(r"/cdn/([0-9a-f]{64})")


class Refused(Exception):
    """An answer other than the wanted one, with the code and message that the client reads."""

    def __init__(self, status: HTTPStatus, code: str = "", message: str = "", **more: str) -> None:
        super().__init__(message or status.phrase)
        self.status, self.code, self.more = status, code, more


@dataclass
class Repository:
    """Files by name, and who may read them."""

    files: dict[str, bytes]
    commit: str = COMMIT
    gated: bool = False
    private: bool = False
    large: frozenset[str] = frozenset()  # names of the files that come from the CDN


@dataclass(frozen=True)
class Request:
    """What the client asked."""

    method: str
    path: str
    headers: Message  # whose names may be in any case
    body: bytes


@dataclass
class Hub:
    """Contents, troubles, and all requests so far."""

    server: ThreadingHTTPServer
    repositories: dict[str, Repository] = field(default_factory=dict)
    token: str = "hf_good"  # the only valid one
    requests: list[Request] = field(default_factory=list)
    status: HTTPStatus | None = None  # answers every request
    fails_from: int = 0  # the count of HEAD requests with which that begins
    portal: bool = False  # a hotel's log-in page answers every request
    claimed_size: int | None = None  # of every file, whatever was stored
    forged: Mapping[str, str] = field(default_factory=dict)  # headers of answers to HEAD …
    forged_from: int = 1  # … from the count of them with which that begins
    moved: str = ""  # a part of paths whose contents are under the CDN's name
    # Bytes after which the next downloads break off.
    cuts: Iterator[int] = field(default_factory=lambda: iter(()))
    reset: bool = False  # they break off as after a crash, rather than quietly
    gate: threading.Event = field(default_factory=threading.Event)  # until set, no contents come
    bugs: list[BaseException] = field(default_factory=list)  # of this file

    @property
    def address(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def cdn(self) -> str:
        """The same server under another name, as the real CDN has another."""
        return f"http://localhost:{self.server.server_port}/cdn"

    def asked(self, method: str, part: str = "/") -> list[Request]:
        """Requests with `part` in their path."""
        return [r for r in self.requests if r.method == method and part in r.path]

    def downloads(self) -> list[Request]:
        """Requests for the contents of files."""
        return self.asked("GET", "/resolve/") + self.asked("GET", "/cdn/")

    def stop(self) -> None:
        """Nothing listens on its port any more."""
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: "Server"

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        """Whatever the path means."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(Request(self.command, self.path, self.headers, body))
        try:
            self.routed(self.path.partition("?")[0], body)
        except Refused as refused:
            named = {"X-Error-Code": refused.code, "X-Error-Message": str(refused)}
            text = json.dumps({"error": str(refused), **refused.more}).encode()
            self.send(refused.status, {k: v for k, v in named.items() if v}, text)

    def routed(self, path: str, body: bytes) -> None:
        if self.hub.portal:
            self.send(HTTPStatus.OK, {"Content-Type": "text/html"}, b"<html>Log in</html>")
            return
        if self.hub.status and len(self.hub.asked("HEAD")) >= self.hub.fails_from:
            raise Refused(self.hub.status)
        moved = self.command == "GET" and self.hub.moved and self.hub.moved in path
        if moved and not self.at_cdn():
            place = self.hub.cdn.removesuffix("/cdn") + self.path
            self.send(HTTPStatus.TEMPORARY_REDIRECT, {"Location": place})
            return
        self.check_token()
        if path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.send_json({"errors": [], "warnings": []})
        elif found := CDN.fullmatch(path):
            self.send_contents(self.stored(found[1]), {})
        elif found := MODEL.fullmatch(path):
            name, action, revision = found.groups()
            self.model(name, action, revision, body)
        elif found := FILE.fullmatch(path):
            self.file(*map(unquote, found.groups()))
        else:
            raise Refused(HTTPStatus.NOT_FOUND)

    def at_cdn(self) -> bool:
        """Whether the client thinks that it speaks to another host than the Hub."""
        return self.headers["Host"].startswith("localhost")

    def check_token(self) -> None:
        given = self.headers.get("Authorization")
        if given and given != f"Bearer {self.hub.token}":
            text = "Invalid credentials in Authorization header"
            raise Refused(HTTPStatus.UNAUTHORIZED, message=text)

    def repository(self, name: str) -> Repository:
        found = self.hub.repositories.get(name)
        known = "Authorization" in self.headers
        if found is None or (found.private and not known):
            status = HTTPStatus.NOT_FOUND if known else HTTPStatus.UNAUTHORIZED
            raise Refused(status, "RepoNotFound", "Repository not found")
        return found

    def at(self, name: str, revision: str) -> Repository:
        found = self.repository(name)
        if revision not in ("main", found.commit):
            raise Refused(HTTPStatus.NOT_FOUND, "RevisionNotFound", "Invalid rev id")
        return found

    def file(self, name: str, revision: str, file: str) -> None:
        repository = self.at(name, revision)
        if repository.gated and "Authorization" not in self.headers:
            raise Refused(HTTPStatus.UNAUTHORIZED, "GatedRepo", "Access to the model is restricted")
        if file not in repository.files:
            raise Refused(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found")
        contents, commit = repository.files[file], {"X-Repo-Commit": repository.commit}
        if file in repository.large:
            self.send(HTTPStatus.FOUND, commit | self.linked(contents))
        else:
            self.send_contents(contents, commit | {"ETag": f'"{sha1(contents).hexdigest()}"'})

    def linked(self, contents: bytes) -> Mapping[str, str]:
        key = sha256(contents).hexdigest()
        size = self.hub.claimed_size or len(contents)
        place = f"{self.hub.cdn}/{key}"
        return {"X-Linked-Etag": f'"{key}"', "X-Linked-Size": str(size), "Location": place}

    def stored(self, key: str) -> bytes:
        for repository in self.hub.repositories.values():
            for contents in repository.files.values():
                if sha256(contents).hexdigest() == key:
                    return contents
        raise Refused(HTTPStatus.NOT_FOUND)

    def model(self, name: str, action: str | None, revision: str | None, body: bytes) -> None:
        repository = self.at(name, unquote(revision or "main"))
        if action == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": f, "uploadMode": "regular", "shouldIgnore": False} for f in files]
            self.send_json({"files": modes})
        elif action == "commit":
            self.commit(name, repository, body)
        else:
            siblings = [{"rfilename": file} for file in repository.files]
            self.send_json({"id": name, "sha": repository.commit, "siblings": siblings})

    def create(self, wanted: Mapping[str, str]) -> None:
        self.writable()
        name = f"{wanted['organization']}/{wanted['name']}"
        url = f"{self.hub.address}/{name}"
        if name in self.hub.repositories:
            text = "You already created this model repo"
            raise Refused(HTTPStatus.CONFLICT, message=text, url=url)
        private = wanted.get("visibility") == "private"
        self.hub.repositories[name] = Repository({}, private=private)
        self.send_json({"url": url})

    def commit(self, name: str, repository: Repository, body: bytes) -> None:
        self.writable()
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                contents = base64.b64decode(line["value"]["content"])
                repository.files[line["value"]["path"]] = contents
        repository.commit = sha1(body).hexdigest()
        address = f"{self.hub.address}/{name}/commit/{repository.commit}"
        self.send_json({"success": True, "commitOid": repository.commit, "commitUrl": address})

    def writable(self) -> None:
        if "Authorization" not in self.headers:
            raise Refused(HTTPStatus.UNAUTHORIZED, message="Invalid username or password.")

    def send_contents(self, contents: bytes, headers: Mapping[str, str]) -> None:
        """All of it or the wanted range, unless the connection is to break."""
        start = 0
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(found[1])
        rest = contents[start:]
        size = self.hub.claimed_size or len(rest)
        if start:
            span = f"bytes {start}-{len(contents) - 1}/{len(contents)}"
            headers = {**headers, "Content-Range": span}
        self.send_response(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK)
        self.send_headers({**headers, "Content-Length": str(size)})
        if self.command == "HEAD":
            return
        self.hub.gate.wait()
        cut = next(self.hub.cuts, None)
        self.wfile.write(rest[:cut])
        if cut is not None and self.hub.reset:
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)  # closing then sends a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def send_json(self, tree: object) -> None:
        self.send(HTTPStatus.OK, {"Content-Type": "application/json"}, json.dumps(tree).encode())

    def send(self, status: HTTPStatus, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        self.send_headers({**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_headers(self, headers: Mapping[str, str]) -> None:
        if self.command == "HEAD" and len(self.hub.asked("HEAD")) >= self.hub.forged_from:
            headers = {**headers, **self.hub.forged}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    """Ends connections as its Hub wants them to end."""

    hub: Hub

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news; all else is a bug of this file."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.hub.bugs.append(error)

    def shutdown_request(self, request: socket.socket) -> None:
        """Without the polite end that would keep a reset from being sent."""
        if self.hub.reset:
            self.close_request(request)
        else:
            super().shutdown_request(request)


@contextmanager
def serving() -> Iterator[Hub]:
    """An empty Hub."""
    server = Server(("127.0.0.1", 0), Handler)
    hub = server.hub = Hub(server)
    hub.gate.set()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.stop()
    assert hub.bugs == []
