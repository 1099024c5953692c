"""The real app on a free port, and a real browser to visit it with."""

import os
import shutil
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from nst.engines.optimize import stylize
from nst.engines.painters import AnyPainting, Optimization, TrainedNetwork
from nst.pages import launch
from nst.pages.server import gradio_files, options
from nst.pages.services import services

CHROMIUM = "chromium", "chromium-browser", "google-chrome"
INSTALL = "No Chromium found. Install it with: apt-get install chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE = 60  # seconds for anything that computes; a slow machine has other work too


class Engine:
    """Counts of the real engines' runs."""

    def __init__(self):
        self.lock = threading.Lock()
        self.started = self.active = self.most = 0

    def counted(self, run):
        """The generator function, counted."""

        def steps(*arguments, **options):
            with self.lock:
                self.started += 1
                self.active += 1
                self.most = max(self.most, self.active)
            try:
                yield from run(*arguments, **options)
            finally:
                with self.lock:
                    self.active -= 1

        return steps

    def wait_for(self, seconds=PATIENCE, **counts):
        """Until it has these counts."""
        end = time.monotonic() + seconds
        while any(getattr(self, name) != count for name, count in counts.items()):
            assert time.monotonic() < end, f"{vars(self)} never became {counts}"
            time.sleep(0.05)


class Server:
    def __init__(self, url, engine, services, blocks):
        self.url, self.engine, self.services, self.blocks = url, engine, services, blocks


@contextmanager
def serving(folder, engine, **variables):
    """The app as `app.py` builds and launches it, with a counted engine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "stylize", engine.counted(stylize))
        for kind in (Optimization, AnyPainting, TrainedNetwork):
            patch.setattr(kind, "paint", engine.counted(kind.paint))
        found = services(folder, variables)
        with gradio_files(found):
            blocks = launch.build(found)
            _, url, _ = blocks.launch(
                prevent_thread_lock=True,
                server_name="127.0.0.1",
                quiet=True,
                **options(blocks, found),
            )
            yield Server(url, engine, found, blocks)
            blocks.close()
            found.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """One for all tests; as many runs of one address as a test likes."""
    folder = tmp_path_factory.mktemp("storage")
    with serving(folder, Engine(), NST_RUNS_PER_ADDRESS="100") as found:
        yield found


@pytest.fixture
def engine(server):
    """Counts of the runs since the test began; none may go on before or after it."""
    server.engine.wait_for(active=0)
    server.engine.started = server.engine.most = 0
    yield server.engine
    server.engine.wait_for(active=0)


@pytest.fixture(scope="session")
def browser():
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(INSTALL)
        pytest.skip(INSTALL)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, server):
    """Opens the page: `visit("seed=3", width=390)`. No visit may err or leave this machine."""
    contexts, requests, errors = [], [], []

    def open_page(query="", *, width=1280, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.url}?{query}", wait_until="domcontentloaded")
        page.wait_for_selector("#estimate:has-text('Takes')")  # the link is restored
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    hosts = {urlsplit(url).hostname for url in requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
