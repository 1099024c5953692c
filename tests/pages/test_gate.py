"""What the server gives away and what it says to requests that no page would send."""

import base64
import errno
import gc
import io
import json
import logging
import os
import re
import secrets
import socket
import time
import weakref
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from PIL import Image

from nst.checkpoints.hub import styles
from nst.pages.guarded import MISFIT
from nst.pages.middleware import CLOSED
from nst.pages.payloads import WORDS as SENTENCE
from nst.pages.payloads import NotAdmitted, admitted
from nst.pages.storage import KEPT, YOUNG
from nst.settings.catalog import ROOT, paintings, photos
from tests.pages.requests import a_run, ask, events, get, listen, post

REPOSITORY = ROOT.parent
META = {"_type": "gradio.FileData"}
PHOTO = photos()["cat"].path


@pytest.fixture
def secret(tmp_path):
    """A picture on the server that nobody uploaded."""
    path = tmp_path / "secret.png"
    Image.new("RGB", (64, 48), "red").save(path)
    return path


def upload(server, path, data):
    """The path that the server gave to an uploaded file."""
    edge = secrets.token_hex(8)
    body = (
        f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{path}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    body += data + f"\r\n--{edge}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    status, answer = post(server, "gradio_api/upload", body, kind)
    assert status == 200, answer
    return json.loads(answer)[0]


def payloads(path, server):
    """Every shape in which a request can name a file."""
    plain = {"path": str(path)}
    whole = plain | {"orig_name": "x.svg", "mime_type": "image/png", "is_stream": False}
    return [
        plain,
        whole | {"meta": META},
        plain | {"url": f"{server.url}gradio_api/file={path}"},
        {"path": None, "url": f"file://{path}"},
        plain | {"is_stream": True, "meta": META},
        [{"image": plain, "caption": "x"}],
        [plain, whole],
        {"background": plain, "layers": [plain], "composite": plain},
    ]


def words(messages):
    """What an event said in the end."""
    last = messages[-2] if messages[-1].get("msg") == "close_stream" else messages[-1]
    if isinstance(last.get("detail"), str):
        return {last["detail"]}
    if "detail" in last:
        return {part["message"] for part in last["detail"] if not part["is_valid"]}
    return {last["output"].get("error")} if not last["success"] else {"done"}


def test_no_event_takes_a_file_that_was_not_uploaded(server, secret):
    """Every event, public or not; a file that exists and one that does not are answered alike."""
    outside = [
        REPOSITORY / "app.py",
        REPOSITORY / ".git/config",
        secret,
        server.services.storage.folder / "lock",
        server.services.storage.folder / "../../../../../../etc/passwd",
        "/nowhere/at/all.png",
    ]
    asked = 0
    for event in events(server):
        for number, file in enumerate(outside):
            shapes = payloads(file, server)
            shape = shapes[(number + event.number) % len(shapes)]
            for place in range(min(2, len(event.values))):
                data = [*event.values]
                data[place] = shape
                said = ask(server, event.number, data)
                assert words(said) == {SENTENCE}, (event.name, file, shape)
                asked += 1
    assert asked > 500


def test_every_shape_is_refused_where_a_picture_belongs(server, secret):
    fast = next(event for event in events(server) if event.name == "fast")
    for file in (secret, "/nowhere.png"):
        for shape in [*payloads(file, server), str(file), "https://example.org/cat.png"]:
            assert words(ask(server, fast.number, [shape, *fast.values[1:]])) == {SENTENCE}


def test_other_ways_to_an_event_are_closed_or_gated(server, secret):
    status, _ = post(server, "gradio_api/run/fast", {"data": [{"path": str(secret)}]})
    assert status == 404
    body = {"data": [{"path": str(secret)}, next(iter(styles())), 0, False, 64]}
    status, answer = post(server, "gradio_api/call/fast", body)
    event = json.loads(answer)["event_id"]
    status, answer = get(server, f"gradio_api/call/fast/{event}")
    assert b"Choose the picture again" in answer
    assert b"gradio_api/file" not in answer


@pytest.mark.parametrize(
    "path", ["app.py", ".git/config", "presets/images/CREDITS.toml", "nst/nn/weights", "README.md"]
)
@pytest.mark.parametrize("form", ["{}", "./{}", "//{}", "%2e/{}", "x/../{}"])
def test_no_file_of_the_working_folder_is_served(server, path, form):
    whole = form.format(path) if form != "{}" else str(REPOSITORY / path)
    status, answer = get(server, f"gradio_api/file={whole}")
    assert (status, json.loads(answer)["detail"][:12]) == (404, "This file is")


def test_closed_routes_answer_with_a_sentence(server):
    for route in CLOSED:
        status, answer = get(server, f"gradio_api{route}x")
        assert status == 404
        assert json.loads(answer) == {"detail": "This app has no such address."}
    assert get(server, "?deep_link=abc")[0] == 404


def test_what_was_uploaded_is_painted_and_served(server):
    path = upload(server, "mine.jpg", PHOTO.read_bytes())
    fast = next(event for event in events(server) if event.name == "fast")
    data = [{"path": path}, next(iter(styles())), 1.0, False, 64]
    *_, done, _ = ask(server, fast.number, data)
    shown = done["output"]["data"][1]["path"]
    status, picture = get(server, f"gradio_api/file={shown}")
    assert status == 200
    assert max(Image.open(io.BytesIO(picture)).size) == 64
    assert get(server, f"gradio_api/file={path}")[0] == 200


def data_url(picture, kind="png"):
    file = io.BytesIO()
    picture.save(file, kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


@pytest.mark.parametrize(
    "shape", [lambda url: url, lambda url: {"url": url}, lambda url: {"path": url, "meta": META}]
)
def test_a_picture_may_come_as_a_data_url(server, photo, shape):
    fast = next(event for event in events(server) if event.name == "fast")
    data = [shape(data_url(photo)), next(iter(styles())), 1.0, False, 64]
    *_, done, _ = ask(server, fast.number, data)
    assert done["success"], done
    assert Path(done["output"]["data"][1]["path"]).is_file()


@pytest.mark.parametrize(
    "url",
    [
        "data:text/html;base64,PGI+",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:image/png;base64,!!!",
        "data:image/png,plain",
        "data:image/png;base64," + "A" * (60 * 2**20),
    ],
    ids=["html", "svg", "no base64", "no encoding", "too large"],
)
def test_a_data_url_has_the_limits_of_an_upload(server, url):
    fast = next(event for event in events(server) if event.name == "fast")
    assert words(ask(server, fast.number, [{"url": url}, *fast.values[1:]])) == {SENTENCE}


def test_svg_with_an_uploads_path_is_not_handed_back_unopened(server):
    path = upload(server, "x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>")
    fast = next(event for event in events(server) if event.name == "fast")
    data = [{"path": path, "orig_name": "x.svg"}, next(iter(styles())), 0, False, 64]
    assert "SVG" in next(iter(words(ask(server, fast.number, data))))


def small(event):
    """Values that begin nothing long: small sizes, and no photo for what paints step by step."""
    values = [64 if value in (768, 512, 256) else value for value in event.values]
    return [None, *values[1:]] if event.name in ("stylize", "compare", "sweep") else values


WRONG = [None, True, -1, 1e308, "x", "", [], {}, [[1]], {"a": {"b": 1}}, "\x1b[31mred\x07"]


def test_wrong_types_get_a_sentence_and_leave_a_line(server, caplog, capfd):
    """Nothing of what was sent is in the log, and nothing fails without words."""
    mark = "private-" + secrets.token_hex(8)
    failed = []
    with caplog.at_level(logging.INFO):
        for event in events(server):
            for place, value in enumerate([*WRONG, mark, {mark: mark}, [mark]]):
                data = small(event)
                if not data:
                    continue
                data[place % len(data)] = value
                said = words(ask(server, event.number, data))
                if not all(said):
                    failed.append((event.name, value))
    assert failed == []
    logged = caplog.text + "".join(capfd.readouterr())
    assert mark not in logged
    assert "Traceback" not in logged


@pytest.mark.parametrize(
    "body",
    [
        {"fn_index": 10**6, "data": []},
        {"fn_index": -1, "data": []},
        {"fn_index": 3, "data": "text"},
        {"fn_index": 3, "data": []},
        {"fn_index": 3, "data": [1] * 500},
        {"fn_index": 3, "data": [], "event_data": {"index": "x"}},
        {"fn_index": "x", "data": []},
        {},
        [],
    ],
    ids=str,
)
def test_a_request_that_fits_nothing_gets_a_sentence(server, body, capfd):
    session = secrets.token_hex(8)
    whole = body | {"session_hash": session} if isinstance(body, dict) else body
    status, answer = post(server, "gradio_api/queue/join", whole)
    if status == 200:
        said = words(listen(server, session))
        assert said == {MISFIT}
    else:
        assert status in (400, 422)
        assert json.loads(answer)["detail"]
    assert "Traceback" not in "".join(capfd.readouterr())


def test_clicks_on_what_is_not_there_get_a_sentence(server, capfd):
    for event in events(server):
        session = secrets.token_hex(8)
        body = {"fn_index": event.number, "data": small(event), "session_hash": session}
        status, _ = post(
            server, "gradio_api/queue/join", body | {"event_data": {"index": [10**9, "x"]}}
        )
        if status == 200 and event.name in ("by_photo", "by_painting", "by_preset", "bundled"):
            assert all(words(listen(server, session)))
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_request_must_say_its_length_and_keep_to_it(server):
    status, answer = post(server, "gradio_api/upload", b"x" * (60 * 2**20))
    assert status == 413
    assert "too large" in answer.decode()


def raw(server, head, body=b""):
    """The first line that answers a request of any form."""
    where = urlsplit(server.url)
    with socket.create_connection((where.hostname, where.port), timeout=60) as wire:
        wire.sendall(head.replace(b"\n", b"\r\n") + b"\r\n" + body)
        return wire.recv(1000).split(b"\r\n")[0]


def test_a_length_that_is_not_the_bodys_is_refused(server):
    """Two ways to say where a body ends: the server would believe the other one."""
    head = (
        b"POST /gradio_api/queue/join HTTP/1.1\nHost: x\nContent-Length: 5\n"
        b"Transfer-Encoding: chunked\nContent-Type: application/json\n"
    )
    assert b" 411 " in raw(server, head, b"2\r\n{}\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [b"[" + b"[]," * 10**6 + b"1]", b'["' + b"x" * 10**6 + b'"]', b"[" * 10**5 + b"]" * 10**5],
    ids=["many parts", "a long text", "deep"],
)
def test_a_request_that_takes_long_to_read_is_refused_before(server, data):
    body = b'{"fn_index": 3, "session_hash": "x", "data": ' + data + b"}"
    status, answer = post(server, "gradio_api/queue/join", body)
    assert status == 400
    assert "does not fit" in json.loads(answer)["detail"]


def test_a_body_that_never_comes_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr("nst.pages.middleware.BODY_PATIENCE", 0.5)
    head = b"POST /gradio_api/queue/join HTTP/1.1\nHost: x\nContent-Length: 500\n"
    assert raw(server, head, b"{").split()[1] in (b"400", b"408")


@pytest.mark.parametrize("form", ["path", "url", "both"])
def test_a_large_data_url_or_path_takes_no_long_time(server, form):
    """Resolving a path takes time with the square of its length."""
    url = data_url(Image.effect_noise((900, 900), 90).convert("RGB"))
    assert len(url) > 10**6
    payload = {
        "path": {"path": url},
        "url": {"url": url},
        "both": {"url": url, "path": "a/" * 50_000},
    }
    fast = next(event for event in events(server) if event.name == "fast")
    data = [payload[form], next(iter(styles())), 1.0, False, 64]
    assert words(ask(server, fast.number, data)) == {"done"}


def test_what_is_refused_is_not_kept(server):
    """An exception that is raised again keeps everything of the first time."""

    class Held:
        pass

    def refused():
        held = Held()
        with pytest.raises(NotAdmitted):
            admitted({"path": "/nowhere", "held": held}, server.services.storage, 10)
        return weakref.ref(held)

    found = refused()
    gc.collect()
    assert found() is None


def test_bundled_pictures_are_known_by_their_paths(server):
    fast = next(event for event in events(server) if event.name == "fast")
    bundled = {"path": str(paintings()["great_wave"].path)}
    data = [bundled, next(iter(styles())), 1.0, False, 64]
    assert words(ask(server, fast.number, data)) == {"done"}


def test_uploads_fill_no_more_of_the_disk_than_they_may(server, monkeypatch):
    storage = server.services.storage
    monkeypatch.setattr(storage, "most_bytes", storage._bytes + 1000)
    edge = b"--x\r\nContent-Disposition: form-data; name=files; filename=a.jpg\r\n\r\n"
    body = edge + bytes(2000) + b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer = post(server, "gradio_api/upload", body, kind)
    assert status == 507
    assert "no room for more pictures now" in answer.decode()
    url = data_url(Image.effect_noise((200, 200), 90))
    fast = next(event for event in events(server) if event.name == "fast")
    said = words(ask(server, fast.number, [{"url": url}, *fast.values[1:]]))
    assert "no room for more pictures now" in next(iter(said))


def test_a_disk_that_refuses_is_a_sentence(server, monkeypatch):
    """As when it is full or read-only: whatever the system says, the visitor hears when to try."""

    async def refuses(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system", "/secret/place")

    monkeypatch.setattr("gradio.routes.upload_fn", refuses)
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer = post(server, "gradio_api/upload", b"--x--\r\n", kind)
    assert status == 507
    assert "secret" not in answer.decode()


def test_an_upload_that_is_too_old_is_asked_for_again(server):
    path = upload(server, "old.jpg", PHOTO.read_bytes() + b"older")
    then = time.time() - KEPT - 1
    os.utime(path, (then, then))
    fast = next(event for event in events(server) if event.name == "fast")
    assert words(ask(server, fast.number, [{"path": path}, *fast.values[1:]])) == {SENTENCE}
    assert get(server, f"gradio_api/file={path}")[0] == 404


def test_an_open_tab_keeps_its_files(server):
    path = upload(server, "kept.jpg", PHOTO.read_bytes() + b"kept")
    session = secrets.token_hex(8)
    fast = next(event for event in events(server) if event.name == "fast")
    ask(server, fast.number, [{"path": path}, next(iter(styles())), 1.0, False, 64], session)
    then = time.time() - KEPT - 1
    os.utime(path, (then, then))
    with urlopen(f"{server.url}gradio_api/heartbeat/{session}", timeout=60):
        server.services.storage.sweep(server.services.sessions.present())
        assert get(server, f"gradio_api/file={path}")[0] == 200


def test_an_open_tab_keeps_what_a_run_has_shown(server):
    """Gradio sends the first answer of a run as it is, and then only what has changed."""
    session = secrets.token_hex(8)
    number, data = a_run(server, 30)
    messages = json.dumps(ask(server, number, data, session))
    folder = str(server.services.storage.folder)
    paths = set(re.findall(f'"({re.escape(folder)}[^"]+)"', messages))
    assert {path.suffix for path in map(Path, paths)} >= {".jpeg", ".png", ".json"}
    then = time.time() - KEPT - 1
    for path in paths:
        os.utime(path, (then, then))
    with urlopen(f"{server.url}gradio_api/heartbeat/{session}", timeout=60):
        server.services.storage.sweep(server.services.sessions.present())
    assert [path for path in paths if not Path(path).exists()] == []


def test_what_ends_after_its_tab_was_closed_goes(server):
    storage, sessions = server.services.storage, server.services.sessions
    session = secrets.token_hex(8)
    path = storage.keep(secrets.token_bytes(8), "late.png")
    storage.use(session, [path])
    then = time.time() - YOUNG - 1
    os.utime(path, (then, then))
    assert session not in sessions.names()
    end = time.monotonic() + 30
    while path.exists():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_programs_that_name_no_tab_are_different_visitors(server):
    arrive = next(event for event in events(server) if event.name == "arrive")
    visitors = [secrets.token_hex(8), secrets.token_hex(8)]
    for session in visitors:
        ask(server, arrive.number, [None], session)
    assert server.services.sessions.owners() >= set(visitors)


def test_what_gradio_keeps_of_a_session_goes_with_it(server):
    """The state of a session, its messages and its place in our own tables."""
    session = secrets.token_hex(8)
    for event in events(server)[:6]:
        ask(server, event.number, small(event), session)
    blocks, sessions = server.blocks, server.services.sessions
    assert session in blocks.state_holder.session_data
    sessions.leave(session)
    end = time.monotonic() + 60
    while session in blocks.state_holder.session_data:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert session not in blocks._queue.pending_messages_per_session
    assert session not in blocks._queue.pending_event_ids_session
    assert session not in sessions.present()
    assert session not in server.services.storage._used
