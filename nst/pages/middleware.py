"""What stands before Gradio's own routes: files, uploads, streams, and routes that stay closed."""

import asyncio
import json
import logging
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from starlette.datastructures import QueryParams

from nst.names import Problem
from nst.pages.sessions import Sessions
from nst.pages.storage import Storage, StorageFull
from nst.pages.words import where

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
LOG = logging.getLogger("nst.pages")

API = "/gradio_api"
LEAVE = f"{API}/leave"  # where a page that is closed says so
# Routes of Gradio that this app has no use for.
CLOSED = (
    *("/file/", "/proxy=", "/stream/", "/component_server", "/custom_component"),
    *("/process_recording", "/deep_link", "/dev/", "/vibe-", "/undo-vibe-edit"),
    *("/run/", "/api/", "/runs", "/run-history", "/profiling"),
)
FORM_BYTES = 64 * 1024  # of an upload's request, beside the file
MOST_PARTS = 20_000  # of any other request: commas and opening brackets
DATA_URL = re.compile(rb'"data:image/[^"]*"')
JSON_BYTES = 256 * 1024  # of any other request, beside pictures as text
BODY_PATIENCE = 20.0  # seconds for the next part of a body
MOST_IN_FLIGHT = 256 * 2**20  # bytes of requests that are being read
GONE = "This file is not here, or is no longer kept."
CLOSED_WORDS = "This app has no such address."
MISFIT = "This request does not fit any endpoint of this app."
NO_LENGTH = "A request must say its length."
TOO_LONG = "This request is too large; the limit is one picture of {} MB."
SLOW = "Nothing of this request came for a while. Please send it again."
LATER = "The server is reading many requests. Please try again in a few seconds."


class Refused(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, words: str) -> None:
        """`words` is for whoever sent it."""
        super().__init__(words)
        self.status, self.words = status, words


class Guard:
    """ASGI middleware over the storage and the sessions of this process."""

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        storage: Storage,
        sessions: Sessions,
        most_bytes: int,
        session_of: Callable[[str], str],
    ) -> None:
        """`session_of` gives the session of a program's event; one upload has `most_bytes`."""
        self.app, self.storage, self.sessions = app, storage, sessions
        self.most_bytes, self.session_of = most_bytes, session_of
        self._in_flight = 0
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what is allowed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        body = _Body(receive)
        try:
            with ExitStack() as while_it_runs:
                if not self._answers(scope, while_it_runs):
                    if scope["method"] == "POST" and not _is_upload(scope):
                        await body.check_json()
                    await self.app(scope, body.receive, watched)
                    return
            await _answer(send, scope, 204, "")
        except Refused as refused:
            with suppress(TooSlow):
                await body.drain()
            await _answer(send, scope, refused.status, refused.words)
        except TooSlow:
            if not started:
                await _answer(send, scope, 408, SLOW)
        except Exception as error:
            LOG.warning("%s %s: %s", scope["method"], _kind(scope), where(error))
            if not started:
                full = isinstance(error, OSError)
                words = str(StorageFull()) if full else MISFIT
                await _answer(send, scope, 507 if full else 400, words)

    def _answers(self, scope: Scope, while_it_runs: ExitStack) -> bool:
        """Whether the request is done with; else what holds while Gradio answers it.

        Raises `Refused`.
        """
        path, query = scope["path"], QueryParams(scope.get("query_string", b""))
        if "deep_link" in query:
            raise Refused(404, CLOSED_WORDS)
        route = path.partition(API)[2]
        if any(route.startswith(closed) for closed in CLOSED):
            raise Refused(404, CLOSED_WORDS)
        if route.startswith("/file="):
            if not self.storage.holds(route.removeprefix("/file=")):
                raise Refused(404, GONE)
        elif route == "/leave":
            self.sessions.leave(query.get("session", ""))
            return True
        elif route == "/queue/data":
            session = query.get("session_hash", "")
            while_it_runs.enter_context(self.sessions.stream(session, "answers"))
        elif route.startswith("/heartbeat/"):
            session = route.removeprefix("/heartbeat/")
            while_it_runs.enter_context(self.sessions.stream(session, "heartbeat"))
        elif route.startswith("/call/") and scope["method"] == "GET":
            session = self.session_of(route.rpartition("/")[2])
            while_it_runs.enter_context(self.sessions.stream(session, "answers"))
        elif scope["method"] == "POST":
            while_it_runs.enter_context(self._reading(route, scope))
        return False

    @contextmanager
    def _reading(self, route: str, scope: Scope) -> Iterator[None]:
        """While the body of a request is read. Raises `Refused`."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if b"transfer-encoding" in headers or not length.isdigit():
            raise Refused(411, NO_LENGTH)
        size, upload = int(length), _is_upload(scope)
        most = self.most_bytes + FORM_BYTES if upload else 3 * self.most_bytes + JSON_BYTES
        if size > most:
            raise Refused(413, TOO_LONG.format(self.most_bytes // 2**20))
        if upload:
            try:
                with self.storage.room(size):
                    yield
            except Problem as error:
                raise Refused(507, str(error)) from None
            return
        with self._lock:
            if self._in_flight + size > max(MOST_IN_FLIGHT, size):
                raise Refused(503, LATER)
            self._in_flight += size
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= size


def _is_upload(scope: Scope) -> bool:
    return scope["path"].partition(API)[2].startswith("/upload")


class TooSlow(Exception):
    """A body of which nothing came for long."""


class _Body:
    """What is received of a request, which must not be waited for without end."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._whole = receive, False
        self._again: MutableMapping[str, Any] | None = None

    async def receive(self) -> MutableMapping[str, Any]:
        """The next message. Raises `TooSlow`; after the body there is only the end to wait for."""
        if self._again:
            again, self._again = self._again, None
            return again
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(BODY_PATIENCE):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow from None
        self._whole = not message.get("more_body", False)
        return message

    async def check_json(self) -> None:
        """Reads it whole, looks whether it is small beside its pictures, and gives it once more.

        To parse one of many small parts would take the server's only loop for long. Raises
        `Refused`.
        """
        parts = []
        while not self._whole:
            parts.append((await self.receive()).get("body", b""))
        body = b"".join(parts)
        if sum(map(body.count, (b",", b"[", b"{"))) > MOST_PARTS:
            raise Refused(400, MISFIT)
        if len(body) > JSON_BYTES and len(DATA_URL.sub(b"", body)) > JSON_BYTES:
            raise Refused(400, MISFIT)
        self._again = {"type": "http.request", "body": body, "more_body": False}

    async def drain(self) -> None:
        """Reads to the end, within reason: a sender who is cut off hears no answer."""
        read = 0
        while not self._whole and read < MOST_IN_FLIGHT:
            read += len((await self.receive()).get("body", b""))


async def _answer(send: Send, scope: Scope, status: int, words: str) -> None:
    """A sentence: as the page shows it for an upload, as programs read it for the rest."""
    plain = _is_upload(scope) or not words
    body = (words if plain else json.dumps({"detail": words})).encode()
    kind = b"text/plain; charset=utf-8" if plain else b"application/json"
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _kind(scope: Scope) -> str:
    """The route of a request, without what somebody filled in."""
    route = scope["path"].partition(API)[2]
    return route.split("/")[1].partition("=")[0] if route.startswith("/") else "the page"
