"""The app as it is served: Gradio's server with a guard before it and somebody who tidies up."""

import asyncio
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import gradio as gr
from anyio import to_thread
from PIL import Image
from starlette.middleware import Middleware

from nst.checkpoints.hub import bundled, load
from nst.engines import trained
from nst.machine import calibration, release
from nst.names import Problem
from nst.pages.middleware import Guard
from nst.pages.parts import CSS, THEME
from nst.pages.runs import Run
from nst.pages.services import Services
from nst.pages.sessions import Visitor
from nst.pages.words import where
from nst.pictures.limits import UPLOAD
from nst.settings.onepass import TrainedSettings
from nst.steps import last

LOG = logging.getLogger("nst.pages")
TIDYING = 5.0  # seconds between two looks at who is gone
SWEEPING = 20.0  # … and at files that are too old
THREADS = 120  # of Gradio: answers that wait hold none
SESSIONS = 1000  # of which Gradio may keep the state; most are forgotten before
PORT = 7860
WARM_UP_SECONDS = 4.0
FOLDER = "GRADIO_TEMP_DIR"


class NoPort(Problem):
    """A port that cannot be used; the message says why and which variable names another."""


def server_port(variables: Mapping[str, str]) -> int:
    """The port to listen at. Raises `NoPort` if another program has it."""
    text = variables.get("GRADIO_SERVER_PORT", str(PORT))
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise NoPort(f"`GRADIO_SERVER_PORT` is `{text}`: a number from 1 to 65535 works.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((variables.get("GRADIO_SERVER_NAME", "127.0.0.1"), int(text)))
        except OSError as error:
            raise NoPort(
                f"Port {text} cannot be used ({error.strerror}): perhaps this app is running "
                "already. The variable GRADIO_SERVER_PORT names another."
            ) from None
    return int(text)


@contextmanager
def gradio_files(services: Services) -> Iterator[None]:
    """Lets Gradio keep all its files in the storage of this process."""
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(services.storage.folder)
    # Gradio sums up its statistics anew after each event, more slowly with each.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
    try:
        yield
    finally:
        os.environ.pop(FOLDER)
        if before is not None:
            os.environ[FOLDER] = before


def options(blocks: gr.Blocks, services: Services) -> dict[str, Any]:
    """What `launch` is given."""

    def session_of(event: str) -> str:
        found = blocks._queue.event_ids_to_events.get(event)
        return found.session_hash if found else event

    @asynccontextmanager
    async def tidied(app: Any) -> AsyncIterator[None]:
        services.storage.begin()
        task = asyncio.create_task(_tidy(blocks, services))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    guard = Middleware(
        Guard,
        storage=services.storage,
        sessions=services.sessions,
        most_bytes=UPLOAD.bytes,
        session_of=session_of,
    )
    return {
        "theme": THEME,
        "css": CSS,
        "max_file_size": UPLOAD.bytes,
        "max_threads": THREADS,
        "state_session_capacity": SESSIONS,
        "show_error": False,
        "footer_links": ["api", "gradio", "settings"],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,  # its own server would stand before the guard
        "app_kwargs": {"middleware": [guard], "lifespan": tidied},
    }


def warm_up(services: Services) -> None:
    """Measures the machine and paints once with the first style, before the first visitor does."""

    def steps(run: Run) -> Iterator[tuple[Any, ...]]:
        calibration()
        first = load(next(iter(bundled().values())))
        last(trained.stylize(Image.new("RGB", (256, 256)), first, TrainedSettings()))
        yield ()

    nobody = Run(Visitor("", "", ""), "", 0, services.storage.run_folder)
    services.at_once.join(nobody, WARM_UP_SECONDS, steps)


async def _tidy(blocks: gr.Blocks, services: Services) -> None:
    """Forgets sessions that are gone, and removes what nobody uses any more."""
    loop = asyncio.get_running_loop()
    swept = loop.time()
    while True:
        await asyncio.sleep(TIDYING)
        try:
            await _forget_absent(blocks, services)
            if loop.time() - swept > SWEEPING:
                swept = loop.time()
                present = services.sessions.present()
                await to_thread.run_sync(services.storage.sweep, present)
                if not (services.runs.busy or services.at_once.busy):
                    await to_thread.run_sync(release)
        except Exception as error:
            LOG.error("Tidying up failed: %s", where(error))


async def _forget_absent(blocks: gr.Blocks, services: Services) -> None:
    """Everything that we keep of sessions that are gone, and what Gradio does."""
    sessions = services.sessions
    sessions.meet(list(blocks.state_holder.session_data))
    gone = sessions.forget()
    for session, closed in gone.items():
        await _forget(blocks, session)
        leave = services.storage.remove if closed else services.storage.age
        await to_thread.run_sync(leave, session)
    await to_thread.run_sync(services.storage.remove_all_but, sessions.names())
    for queue in (services.runs, services.at_once):
        queue.forget_all_but(sessions.owners())
    if gone:
        await to_thread.run_sync(_give_back)


def _give_back() -> None:
    """Memory that is free now, to the system."""
    gc.collect()
    release()


async def _forget(blocks: gr.Blocks, session: str) -> None:
    """Everything that Gradio keeps of a session."""
    queue, states = blocks._queue, blocks.state_holder
    await queue.clean_events(session_hash=session)
    queue.pending_event_ids_session.pop(session, None)
    with suppress(KeyError):
        del queue.pending_messages_per_session[session]
    with states.lock:
        states.session_data.pop(session, None)
        states.time_last_used.pop(session, None)
    blocks.pending_streams.pop(session, None)
