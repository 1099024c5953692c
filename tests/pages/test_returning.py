"""Runs of visitors who leave, come back, or lose their connection on the way."""

import contextlib
import json
import secrets
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from nst.pages.sessions import LEFT, NEVER_HEARD
from tests.pages.requests import a_run, ask, events, post
from tests.pages.test_stylize import LONG, SLOW, press_stylize

PATIENCE = 30  # seconds


class Wire:
    """A connection to the server that can be cut."""

    def __init__(self, url):
        self.to = urlsplit(url)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.open, self.is_cut = [], False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/"

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self.listener.accept()
                if self.is_cut:
                    one.close()
                    continue
                other = socket.create_connection((self.to.hostname, self.to.port))
                self.open += [one, other]
                for pair in ((one, other), (other, one)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self.is_cut = True
        for end in self.open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def mend(self):
        self.is_cut = False

    def close(self):
        self.cut()
        self.listener.close()


@pytest.fixture
def wire(server):
    made = Wire(server.url)
    yield made
    made.close()


def goes_on(page):
    expect(page.locator("#status")).to_contain_text("step ", timeout=SLOW)
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#go")).to_be_disabled()


def steps_done(page):
    return int(page.locator("#status").inner_text().split("step ")[1].split()[0])


def test_a_page_that_is_loaded_anew_finds_its_run_going_on(visit, engine):
    page = visit(LONG)
    press_stylize(page)
    goes_on(page)
    before = steps_done(page)
    page.reload()
    goes_on(page)
    assert steps_done(page) >= before
    page.wait_for_timeout((LEFT + 2) * 1000)
    assert (engine.started, engine.active) == (1, 1)
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped at step", timeout=SLOW)
    expect(page.locator("#go")).to_be_enabled()


def test_a_lost_connection_leaves_the_run_going_on(browser, wire, engine):
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{wire.url}?{LONG}", wait_until="domcontentloaded")
    page.wait_for_selector("#estimate:has-text('Takes')", timeout=SLOW)
    press_stylize(page)
    goes_on(page)
    wire.cut()
    time.sleep(6)
    assert engine.active == 1
    wire.mend()
    page.wait_for_event("load", timeout=SLOW)  # Gradio's own way to come back
    goes_on(page)
    assert (engine.started, engine.active) == (1, 1)
    page.locator("#stop").click()
    expect(page.locator("#status")).to_contain_text("Stopped at step", timeout=SLOW)
    context.close()


def test_a_run_that_ended_meanwhile_is_shown(visit, engine):
    page = visit("size=96&iterations=400")
    press_stylize(page)
    goes_on(page)
    page.reload()
    expect(page.locator("#status")).to_contain_text("Done: 96 ×", timeout=SLOW)
    expect(page.locator("#go")).to_be_enabled()
    page.reload()  # it was seen to its end: the page is the link's again
    page.wait_for_selector("#estimate:has-text('Takes')")
    expect(page.locator("#status")).not_to_contain_text("Done")


def test_a_closed_tab_ends_its_run(visit, engine):
    page = visit(LONG)
    press_stylize(page)
    goes_on(page)
    page.close(run_before_unload=True)
    began = time.monotonic()
    engine.wait_for(active=0)
    assert time.monotonic() - began < LEFT + PATIENCE / 2


def test_a_run_that_nobody_listens_to_ends(server, engine):
    number, data = a_run(server, 3000)
    body = {"fn_index": number, "data": data, "session_hash": secrets.token_hex(8)}
    assert post(server, "gradio_api/queue/join", body)[0] == 200
    engine.wait_for(active=1)
    began = time.monotonic()
    engine.wait_for(active=0)
    assert time.monotonic() - began < NEVER_HEARD + PATIENCE / 2


def test_looking_for_an_earlier_run_does_not_undo_a_click(server):
    """A click in the page's first moments, while it still asks whether there is a run."""
    number = {event.name: event.number for event in events(server)}
    session = secrets.token_hex(8)

    def buttons():
        messages = ask(server, number["rest"], ["", None, None, None], session)
        return next(m for m in messages if m["msg"] == "process_completed")["output"]["data"][:2]

    _, data = a_run(server, 2)
    ask(server, number["prepare"], data, session)
    go, stop = buttons()
    assert (go["interactive"], stop["visible"]) == (False, True)
    ask(server, number["stylize"], data, session)
    go, stop = buttons()
    assert (go["interactive"], stop["visible"]) == (True, False)


def test_stop_in_the_queue_answers_at_once(visit, engine):
    page, other = visit(LONG), visit("size=64&iterations=9")
    press_stylize(page)
    engine.wait_for(active=1)
    press_stylize(other)
    expect(other.locator("#status")).to_contain_text("1 picture is before yours")
    other.locator("#stop").click()
    expect(other.locator("#status")).to_contain_text("Stopped before it began")
    expect(other.locator("#go")).to_be_enabled()
    assert engine.active == 1
    page.locator("#stop").click()


def test_short_events_do_not_wait_behind_painting(visit, server, engine):
    """The page loads, chooses and stops while the queue of runs is full."""
    number, data = a_run(server, 3000)
    sessions = [secrets.token_hex(8) for _ in range(9)]
    listeners = []
    for session in sessions:
        thread = threading.Thread(target=ask, args=(server, number, data, session), daemon=True)
        thread.start()
        listeners.append(thread)
    engine.wait_for(active=1)
    time.sleep(1)
    refused = ask(server, number, data)
    assert "visitors wait already. Please come back in about" in json.dumps(refused)
    page = visit()
    page.locator("#photos .thumbnail-item").nth(3).click()
    expect(page.locator("#status")).to_contain_text("pixels in")
    stop = next(event.number for event in events(server) if event.name == "stop")
    for session in sessions:
        body = {"fn_index": stop, "data": [], "session_hash": session}
        assert post(server, "gradio_api/queue/join", body)[0] == 200
    for thread in listeners:
        thread.join(60)
    engine.wait_for(active=0)
