"""Many visitors at once: what they wait for, what is refused, and what the server keeps of them.

`python -m tests.benchmarks.load` starts the app and lets 50 clients use it for five minutes, each
with 15 seconds of thought between two requests; then it looks again after two minutes of quiet.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from nst.checkpoints.hub import styles
from nst.settings.catalog import paintings, photos
from nst.settings.onepass import all_methods

ROOT = Path(__file__).parent.parent.parent
THOUGHT = 15.0  # seconds between two requests of a client
SHARES = {"page": 0.40, "trained": 0.25, "any painting": 0.10, "run": 0.10, "stop": 0.15}
PATIENCE = 1800.0
PATIENCE_AT_THE_END = 10.0  # seconds after which everybody leaves
QUIET = 120.0  # seconds after the last request
SIGN = 2.0  # seconds in which something must be shown to whoever waits
LEAVES_AFTER = 4.0  # seconds of a run that is stopped or left


@dataclass
class Kind:
    """What became of one kind of request."""

    finished: list[float] = field(default_factory=list)
    signs: list[float] = field(default_factory=list)  # seconds until the first words
    refused: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    silent: int = 0
    unfinished: int = 0  # when the time was up


class Refused(Exception):
    """A sentence that says when to come back."""


class Client:
    """One browser: a session, its heartbeat, and the events of the page."""

    def __init__(self, url: str, http: httpx.AsyncClient, events: dict[str, Any]) -> None:
        self.url, self.http, self.events = url, http, events
        self.session = secrets.token_hex(6)
        self.first: float | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While its tab is open."""
        beat = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            await self.http.post(f"{self.url}gradio_api/leave?session={self.session}")
            beat.cancel()
            with suppress(asyncio.CancelledError):
                await beat

    async def _beat(self) -> None:
        with suppress(httpx.HTTPError):
            address = f"{self.url}gradio_api/heartbeat/{self.session}"
            async with self.http.stream("GET", address) as stream:
                async for _ in stream.aiter_bytes():
                    pass

    async def ask(self, name: str, data: list[Any], seconds: float = PATIENCE) -> None:
        """Asks an event and listens to its end, or for so many seconds."""
        began, self.first = time.perf_counter(), None
        body = {"fn_index": self.events[name]["id"], "data": data, "session_hash": self.session}
        joined = await self.http.post(f"{self.url}gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            raise RuntimeError(f"{name}: {joined.status_code} {joined.text[:200]}")
        event = joined.json()["event_id"]
        address = f"{self.url}gradio_api/queue/data?session_hash={self.session}"
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.http.stream("GET", address) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data: ") and self._read(json.loads(line[6:]), event, began):
                        return

    def _read(self, message: dict[str, Any], event: str, began: float) -> bool:
        kind = message["msg"]
        if message.get("event_id") not in (event, None):
            return False
        if kind in ("process_generating", "process_completed") and self.first is None:
            self.first = time.perf_counter() - began
        if kind == "process_completed" and not message["success"]:
            words = str(message["output"].get("error"))
            raise Refused(words) if "come back in" in words else RuntimeError(words)
        if kind == "unexpected_error":
            raise RuntimeError(str(message))
        return kind in ("process_completed", "close_stream")


def _events(config: dict[str, Any]) -> dict[str, Any]:
    """The first event of each name, with the values that its inputs begin with."""
    values = {c["id"]: c["props"].get("value") for c in config["components"]}
    found: dict[str, Any] = {}
    for dependency in config["dependencies"]:
        own = {"id": dependency["id"], "values": [values[i] for i in dependency["inputs"]]}
        own["loads"] = any(target[1] == "load" for target in dependency["targets"])
        found.setdefault(dependency["api_name"], own)
    return found


def _picture(credits: Any) -> dict[str, str]:
    return {"path": str(random.choice(list(credits.values())).path)}


async def page(client: Client) -> None:
    """Opening the page: the document, and what its load events ask for."""
    (await client.http.get(client.url)).raise_for_status()
    for name, event in client.events.items():
        if event["loads"]:
            await client.ask(name, [client.session] if name == "arrive" else event["values"])
    await client.ask("fast", client.events["fast"]["values"])


async def trained(client: Client) -> None:
    """A trained style on a photo."""
    _, _, *rest = client.events["fast"]["values"]
    await client.ask("fast", [_picture(photos()), random.choice(list(styles())), *rest])


async def any_painting(client: Client) -> None:
    """A method for any painting."""
    _, _, _, *rest = client.events["any"]["values"]
    pictures = _picture(photos()), _picture(paintings())
    await client.ask("any", [*pictures, random.choice(list(all_methods())), *rest])


async def run(client: Client, seconds: float = PATIENCE) -> None:
    """A run of the default preset at its own size."""
    _, _, *rest = client.events["stylize"]["values"]
    await client.ask("stylize", [_picture(photos()), _picture(paintings()), *rest], seconds)


async def stop(client: Client) -> None:
    """A run that is left, or stopped; the time is that of Stop alone."""
    going = asyncio.create_task(run(client, LEAVES_AFTER if random.random() < 0.5 else PATIENCE))
    await asyncio.sleep(LEAVES_AFTER)
    other = Client(client.url, client.http, client.events)
    other.session = client.session
    body = {"fn_index": client.events["stop"]["id"], "data": [], "session_hash": client.session}
    began = time.perf_counter()
    answer = await client.http.post(f"{client.url}gradio_api/queue/join", json=body)
    answer.raise_for_status()
    client.first = time.perf_counter() - began
    await going


DO = {"page": page, "trained": trained, "any painting": any_painting, "run": run, "stop": stop}


async def visit(url: str, events: dict[str, Any], until: float, kinds: dict[str, Kind]) -> None:
    """One client, until the time is up; every page that is opened is a new session."""
    timeout = httpx.Timeout(PATIENCE, connect=60)
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as http:
        await asyncio.sleep(random.uniform(0, THOUGHT))
        while time.monotonic() < until:
            client = Client(url, http, events)
            async with client.open():
                for _ in range(3):
                    await _once(client, kinds, until)
                    await asyncio.sleep(random.expovariate(1 / THOUGHT))
                    if time.monotonic() > until:
                        break


async def _once(client: Client, kinds: dict[str, Kind], until: float) -> None:
    name = random.choices(list(SHARES), list(SHARES.values()))[0]
    kind, began = kinds[name], time.perf_counter()
    try:
        async with asyncio.timeout(until - time.monotonic() + PATIENCE_AT_THE_END):
            await DO[name](client)
        taken = time.perf_counter() - began
        kind.finished.append(client.first if name == "stop" else taken)
    except TimeoutError:
        kind.unfinished += 1
    except Refused as refused:
        kind.refused.append(str(refused))
    except Exception as error:  # counted, whatever it is
        kind.errors.append(f"{type(error).__name__}: {error}"[:300])
    if client.first is None:
        kind.silent += 1
    else:
        kind.signs.append(client.first)


def _measured(process: psutil.Process, folder: Path) -> dict[str, float]:
    sizes = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone in the meantime
            if path.is_file():
                sizes.append(path.stat().st_size)
    return {
        "memory in MB": process.memory_info().rss / 1e6,
        "threads": process.num_threads(),
        "files": len(sizes),
        "files in MB": sum(sizes) / 1e6,
    }


def _row(name: str, kind: Kind) -> str:
    def seconds(values: list[float]) -> str:
        if not values:
            return "- | -"
        ordered = sorted(values)
        tail = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        return f"{statistics.median(ordered):.2f} | {tail:.2f}"

    late = sum(sign > SIGN for sign in kind.signs)
    return (
        f"| {name} | {len(kind.finished)} | {kind.unfinished} | {len(kind.refused)} | "
        f"{len(kind.errors)} | {kind.silent} | {seconds(kind.finished)} | "
        f"{seconds(kind.signs)} | {late} |"
    )


async def beside(url: str, events: dict[str, Any]) -> tuple[float, float]:
    """Seconds of a trained style alone, and beside one run; the median of five."""
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
        times: dict[bool, list[float]] = defaultdict(list)
        for busy in (False, True):
            other = Client(url, http, events)
            async with other.open():
                task = asyncio.create_task(run(other)) if busy else None
                await asyncio.sleep(5 if busy else 1)
                for _ in range(6):
                    client = Client(url, http, events)
                    async with client.open():
                        began = time.perf_counter()
                        await trained(client)
                        times[busy].append(time.perf_counter() - began)
                    if task and task.done():
                        task = asyncio.create_task(run(other))
                        await asyncio.sleep(3)
                if task:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
        return tuple(statistics.median(times[busy][1:]) for busy in (False, True))


async def everything_once(url: str, events: dict[str, Any]) -> None:
    """Each style, method and page once, so that what is loaded once in a process is loaded."""
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
        client = Client(url, http, events)
        async with client.open():
            await page(client)
            for name in styles():
                _, _, *rest = events["fast"]["values"]
                await client.ask("fast", [_picture(photos()), name, *rest])
            for name in all_methods():
                _, _, _, *rest = events["any"]["values"]
                pictures = _picture(photos()), _picture(paintings())
                with suppress(RuntimeError):  # one that takes too long at the page's own size
                    await client.ask("any", [*pictures, name, *rest])


async def watched(process: psutil.Process, folder: Path) -> dict[str, float]:
    """The highest of each number, until it is cancelled."""
    peak = _measured(process, folder)
    try:
        while True:
            await asyncio.sleep(2)
            now = _measured(process, folder)
            peak = {name: max(value, now[name]) for name, value in peak.items()}
    except asyncio.CancelledError:
        return peak


async def load(
    url: str, process: psutil.Process, folder: Path, clients: int, seconds: float
) -> None:
    """Runs it all and prints the tables."""
    async with httpx.AsyncClient(timeout=120, trust_env=False) as http:
        events = _events((await http.get(f"{url}config")).json())
    alone, busy = await beside(url, events)
    print(f"a trained style alone {alone:.2f} s, beside a run {busy:.2f} s ({busy / alone:.2f} x)")
    await everything_once(url, events)
    await asyncio.sleep(15)
    before = _measured(process, folder)
    peak = asyncio.create_task(watched(process, folder))
    kinds = {name: Kind() for name in SHARES}
    until = time.monotonic() + seconds
    await asyncio.gather(*(visit(url, events, until, kinds) for _ in range(clients)))
    peak.cancel()
    highest = await peak
    print(
        f"{clients} clients, {seconds:.0f} s\n\n| request | finished | not yet "
        "| refused with a time "
        "| errors | without an answer | s, median | s, 95 % | first sign, median | 95 % "
        "| later than 2 s |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, kind in kinds.items():
        print(_row(name, kind))
    await asyncio.sleep(QUIET)
    after = _measured(process, folder)
    print("\n| | before | at the peak | two minutes after |\n|---|---|---|---|")
    for name in before:
        print(f"| {name} | {before[name]:.0f} | {highest[name]:.0f} | {after[name]:.0f} |")
    for name, kind in kinds.items():
        for words in sorted(set(kind.errors))[:5]:
            print(f"{name}: {words}")
        for words in sorted(set(kind.refused))[:2]:
            print(f"{name}, refused: {words}")


def main() -> None:
    """Starts the app on a free port and loads it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--port", type=int, default=7899)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own = {
            "GRADIO_SERVER_PORT": str(chosen.port),
            "GRADIO_TEMP_DIR": folder,
            "NST_RUNS_PER_ADDRESS": "1000",
        }
        server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=os.environ | own)
        try:
            url = f"http://127.0.0.1:{chosen.port}/"
            for _ in range(240):
                with suppress(httpx.HTTPError):
                    httpx.get(url, trust_env=False)
                    break
                time.sleep(0.5)
            time.sleep(15)  # it measures the machine first
            process = psutil.Process(server.pid)
            asyncio.run(load(url, process, Path(folder), chosen.clients, chosen.seconds))
        finally:
            server.terminate()
            server.wait(60)


if __name__ == "__main__":
    main()
