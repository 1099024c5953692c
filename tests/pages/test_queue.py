"""Places, bounds and ends of runs, with work that a test holds in its hand."""

import contextlib
import threading
import time
from types import SimpleNamespace

import gradio as gr
import pytest

from nst.names import Problem
from nst.pages.queue import NEVER_BEGAN, Bounds, Busy, PaintQueue, follow
from nst.pages.sessions import FORGOTTEN, LEFT, LOST, NEVER_HEARD, Sessions
from tests.pages.waiting import waited_for

PAGE, OUTPUTS = "stylize", 2
BOUNDS = Bounds(waiting=3, of_owner=2, of_address=4)


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


def request(session, address="10.0.0.1"):
    return SimpleNamespace(session_hash=session, client=SimpleNamespace(host=address))


def until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


class Work:
    """Steps that go on when the test says so, until the run is over."""

    def __init__(self):
        self.go = threading.Event()
        self.began = threading.Event()
        self.ended = False

    def __call__(self, run):
        self.began.set()
        number = 0
        while not run.over and not self.go.is_set():
            number += 1
            yield f"step {number}", gr.skip()
            time.sleep(0.005)
        self.ended = True
        yield "stopped" if run.over else "done", "picture"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    return Sessions(clock)


@pytest.fixture
def queue(sessions, tmp_path):
    made = PaintQueue("test", BOUNDS, sessions, lambda: tmp_path)
    yield made
    assert made.close(10)


@pytest.fixture
def paint(queue):
    """Joins the queue as somebody, who listens unless a test says otherwise."""

    def join(session, address="10.0.0.1", seconds=10.0, page=PAGE):
        run, work = queue.begin(request(session, address), page, OUTPUTS), Work()
        queue.join(run, seconds, work)
        return run, work

    return join


async def collected(queue, run, most=10**6):
    found = []
    async for outputs in follow(queue, run, NEVER_BEGAN):
        found.append(outputs)
        if len(found) == most:
            break
    return found


def followed(queue, run, most=10**6):
    return waited_for(collected(queue, run, most))


def test_one_run_after_the_other_in_the_order_of_asking(queue, paint):
    (first, work), (second, other) = paint("a"), paint("b")
    until(work.began.is_set)
    assert (first.state, second.state) == ("painting", "waiting")
    assert queue.place(second) == (1, 10.0)
    work.go.set()
    until(other.began.is_set)
    other.go.set()
    until(lambda: second.ended)
    assert first.ended


def test_short_runs_need_not_wait_for_all_long_ones(sessions, clock, tmp_path):
    queue = PaintQueue("test", BOUNDS, sessions, lambda: tmp_path, favor=3.0)
    works = {}
    for name, seconds in (("first", 9.0), ("long", 9.0), ("short", 1.0), ("patient", 9.0)):
        run, works[name] = queue.begin(request(name, name), PAGE, OUTPUTS), Work()
        with contextlib.ExitStack() as stack:
            stack.enter_context(sessions.stream(name, "answers"))
        queue.join(run, seconds, works[name])
        if name == "first":
            until(works[name].began.is_set)
        works[name] = run, works[name]
        clock.seconds += 2
    places = {name: queue.place(run)[0] for name, (run, _) in works.items() if name != "first"}
    assert places == {"short": 1, "long": 2, "patient": 3}
    assert queue.close(10)


def test_a_follower_sees_the_place_and_then_everything(queue, paint):
    (_, work), (second, other) = paint("a"), paint("b", seconds=30)
    until(work.began.is_set)
    third, _ = paint("c")
    words = followed(queue, third, 1)[0][0]
    assert "2 pictures are before yours, about 40 s" in words
    queue.stop(request("c"), PAGE)
    work.go.set()
    other.go.set()
    assert followed(queue, second)[-1] == ("done", "picture")


def test_whoever_comes_back_sees_what_the_first_saw(queue, paint):
    run, work = paint("a")
    work.go.set()
    until(lambda: run.ended)
    assert not run.delivered
    assert followed(queue, run) == [("done", "picture")]
    assert run.delivered
    assert queue.of(request("a"), PAGE) is run


def test_stop_in_the_queue_gives_the_place_back_at_once(queue, paint):
    (_, work), (second, other) = paint("a"), paint("b")
    until(work.began.is_set)
    queue.stop(request("b"), PAGE)
    assert second.ended
    assert followed(queue, second) == [(NEVER_BEGAN, gr.skip())]
    third, _ = paint("c")
    assert queue.place(third)[0] == 1
    assert not other.began.is_set()
    queue.stop(request("c"), PAGE)
    work.go.set()


def test_stop_ends_a_run_after_its_step_and_keeps_the_picture(queue, paint):
    run, work = paint("a")
    until(work.began.is_set)
    queue.stop(request("a"), PAGE)
    assert followed(queue, run)[-1] == ("stopped", "picture")


def test_a_run_that_is_stopped_before_it_joined_never_begins(queue):
    run = queue.begin(request("a"), PAGE, OUTPUTS)
    queue.stop(request("a"), PAGE)
    work = Work()
    queue.join(run, 1.0, work)
    assert followed(queue, run) == [(NEVER_BEGAN, gr.skip())]
    assert not work.began.is_set()


def test_two_events_never_get_the_same_run(queue):
    begun = queue.begin(request("a"), PAGE, OUTPUTS)
    first, second = (queue.claim(request("a"), PAGE, OUTPUTS) for _ in range(2))
    assert first is begun
    assert second is not begun


def test_one_painting_and_one_waiting_for_each_visitor(paint):
    _, work = paint("a")
    _, other = paint("a", page="compare")
    with pytest.raises(Busy, match=r"one picture being painted and one waiting.*about 10 s"):
        paint("a")
    work.go.set()
    other.go.set()


def test_an_address_has_its_bound(paint):
    works = []
    for name in "abcd":
        works.append(paint(name, "10.0.0.9")[1])
        until(works[0].began.is_set)
    with pytest.raises(Busy, match=r"4 pictures of your address.*come back in about"):
        paint("e", "10.0.0.9")
    for work in works:
        work.go.set()


def test_a_full_queue_says_when_to_come_back(paint):
    works = []
    for number in range(4):
        works.append(paint(str(number), str(number))[1])
        until(works[0].began.is_set)
    with pytest.raises(Busy, match=r"3 visitors wait already. Please come back in about 10 s"):
        paint("late", "late")
    for work in works:
        work.go.set()


def test_a_failure_reaches_the_follower_as_a_sentence(queue, sessions):
    def fails(run):
        yield "began", gr.skip()
        raise Problem("<b>That</b> does not fit.")

    run = queue.begin(request("a"), PAGE, OUTPUTS)
    queue.join(run, 1.0, fails)
    with pytest.raises(gr.Error) as raised:
        followed(queue, run)
    assert raised.value.message == "&lt;b&gt;That&lt;/b&gt; does not fit."
    assert not raised.value.print_exception


def test_the_queue_goes_on_after_a_failure(queue, paint, caplog):
    def fails(run):
        raise RuntimeError("secret")
        yield

    run = queue.begin(request("a"), PAGE, OUTPUTS)
    queue.join(run, 1.0, fails)
    with pytest.raises(gr.Error, match="Something went wrong"):
        followed(queue, run)
    other, work = paint("b")
    work.go.set()
    until(lambda: other.ended)
    assert "A run failed: RuntimeError at" in caplog.text
    assert "secret" not in caplog.text


def test_closing_ends_what_is_painted_and_what_waits(sessions, tmp_path):
    queue = PaintQueue("test", BOUNDS, sessions, lambda: tmp_path)
    runs = []
    for name in "ab":
        run = queue.begin(request(name), PAGE, OUTPUTS)
        queue.join(run, 1.0, Work())
        runs.append(run)
    assert queue.close(10)
    assert all(run.ended for run in runs)
    with pytest.raises(Busy, match="restarted"):
        queue.join(queue.begin(request("c"), PAGE, OUTPUTS), 1.0, Work())


# Who listens. Each of these begins at the time `asked` of the clock.


def test_what_nobody_listens_to_is_abandoned_after_ten_seconds(sessions, clock):
    owner, asked = sessions.visitor(request("a")).owner, clock()
    clock.seconds += NEVER_HEARD - 1
    assert not sessions.abandoned(owner, asked)
    clock.seconds += 2
    assert sessions.abandoned(owner, asked)


def test_whoever_listens_is_waited_for_and_has_a_minute_to_come_back(sessions, clock):
    owner, asked = sessions.visitor(request("a")).owner, clock()
    with sessions.stream("a", "answers"):
        clock.seconds += 10_000
        assert not sessions.abandoned(owner, asked)
    clock.seconds += LOST - 1
    assert not sessions.abandoned(owner, asked)
    clock.seconds += 2
    assert sessions.abandoned(owner, asked)


def test_a_page_that_was_loaded_anew_is_the_same_visitor(sessions, clock):
    sessions.arrive("a", "tab")
    owner, asked = sessions.visitor(request("a")).owner, clock()
    with sessions.stream("a", "answers"):
        pass
    sessions.leave("a")
    clock.seconds += LEFT - 1
    sessions.arrive("b", "tab")
    clock.seconds += LEFT + 1
    assert sessions.visitor(request("b")).owner == owner
    assert not sessions.abandoned(owner, asked)
    with sessions.stream("b", "answers"):
        clock.seconds += 10_000
        assert not sessions.abandoned(owner, asked)


def test_a_closed_tab_is_not_waited_for(sessions, clock):
    owner, asked = sessions.visitor(request("a")).owner, clock()
    with sessions.stream("a", "answers"):
        sessions.leave("a")
        clock.seconds += LEFT + 1
        assert sessions.abandoned(owner, asked)


def test_an_abandoned_run_ends(queue, paint, sessions, clock):
    run, work = paint("a")
    until(work.began.is_set)
    clock.seconds += NEVER_HEARD + 1
    until(lambda: run.ended)
    assert followed(queue, run)[-1] == ("stopped", "picture")


def test_sessions_are_forgotten_some_time_after_their_last_stream(sessions, clock):
    with sessions.stream("a", "heartbeat"):
        clock.seconds += 10 * FORGOTTEN
        assert sessions.forget() == {}
        assert sessions.present() == ["a"]
    sessions.visitor(request("b"))
    clock.seconds += FORGOTTEN - 1
    assert sessions.forget() == {}
    clock.seconds += 2
    sessions.leave("a")
    clock.seconds += FORGOTTEN
    assert sessions.forget() == {"a": True, "b": False}
    assert sessions.owners() == set()


def test_what_is_forgotten_leaves_nothing_in_the_queue(queue, paint, sessions):
    run, work = paint("a")
    work.go.set()
    until(lambda: run.ended)
    queue.forget_all_but({"a"})
    assert queue.of(request("a"), PAGE) is run
    queue.forget_all_but(set())
    assert queue.of(request("a"), PAGE) is None


@pytest.mark.parametrize("seen", [True, False])
def test_files_that_nobody_has_seen_are_removed_with_their_run(queue, paint, seen):
    run, work = paint("a")
    (run.folder() / "result.png").touch()
    work.go.set()
    until(lambda: run.ended)
    run.delivered = seen
    queue.forget_all_but(set())
    assert run.folder().exists() is seen
