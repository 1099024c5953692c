"""The app as a process: how it starts, what it says when it cannot, and what it leaves behind."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from nst.settings.catalog import photos

ROOT = Path(__file__).parent.parent
PATIENCE = 120  # seconds


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def started(folder, **variables):
    """`python app.py`, ready to answer; its process and its address."""
    port = free_port()
    own = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder), **variables}
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                urlopen(url, timeout=10)
                break
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < end
            time.sleep(0.2)
        yield process, url
    finally:
        process.kill()
        process.wait()


def ended(folder, root=ROOT, **variables):
    """What `python app.py` in `root` says that ends by itself, and its status."""
    own = {"GRADIO_TEMP_DIR": str(folder), **variables}
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=root,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def post(address, body):
    data = json.dumps(body).encode()
    return urlopen(Request(address, data, {"Content-Type": "application/json"}), timeout=60)


def begin_a_run(url):
    """Joins the queue of a long run; the open stream of its answers."""
    config = json.loads(urlopen(f"{url}config", timeout=60).read())
    values = {c["id"]: c["props"].get("value") for c in config["components"]}
    labels = {c["id"]: c["props"].get("label") for c in config["components"]}
    event = next(d for d in config["dependencies"] if d["api_name"] == "stylize")
    small = {"Size": 96, "Iterations": 3000, "Scales": "1", "Iterations of each scale": "3000"}
    data = [small.get(labels[i], values[i]) for i in event["inputs"]]
    session = secrets.token_hex(8)
    body = {"fn_index": event["id"], "data": data, "session_hash": session}
    post(f"{url}gradio_api/queue/join", body)
    stream = urlopen(f"{url}gradio_api/queue/data?session_hash={session}", timeout=60)
    for line in stream:
        if b"step " in line:
            return stream
    raise AssertionError("the run never began")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_run_ends_in_good_order(tmp_path, number):
    with started(tmp_path) as (process, url):
        stream = begin_a_run(url)
        assert list((tmp_path / "nst").iterdir())
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
        said = process.stdout.read()
        stream.close()
    assert "Traceback" not in said
    assert list((tmp_path / "nst").iterdir()) == []


def test_after_a_crash_nothing_of_the_old_process_is_served(tmp_path):
    with started(tmp_path) as (process, url):
        edge = "edge"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        data = head.encode() + photos()["cat"].path.read_bytes() + f"\r\n--{edge}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        answer = urlopen(Request(f"{url}gradio_api/upload", data, kind), timeout=60)
        path = json.loads(answer.read())[0]
        assert urlopen(f"{url}gradio_api/file={path}", timeout=60).status == 200
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert Path(path).exists()
    with started(tmp_path) as (_, url):
        assert not Path(path).exists()
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{url}gradio_api/file={path}", timeout=60)
        assert refused.value.code == 404


def test_it_starts_behind_a_proxy_that_does_not_answer(tmp_path):
    with started(tmp_path, http_proxy="http://127.0.0.1:9", no_proxy="") as (process, url):
        assert b"Neural style transfer" in urlopen(url, timeout=60).read()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"GRADIO_TEMP_DIR": "/proc/nst"}, "The temporary folder `/proc/nst/nst` cannot be used"),
        ({"NST_RUNS_PER_ADDRESS": "0"}, "`NST_RUNS_PER_ADDRESS` is `0`"),
        ({"GRADIO_SERVER_PORT": "abc"}, "`GRADIO_SERVER_PORT` is `abc`: a number from 1"),
    ],
    ids=["folder", "bound", "port"],
)
def test_what_cannot_start_says_why(tmp_path, variables, words):
    status, said = ended(tmp_path, **{"GRADIO_SERVER_PORT": str(free_port()), **variables})
    assert status == 2
    assert words in said
    assert "Traceback" not in said


def test_a_broken_file_of_data_is_named(tmp_path):
    """In a copy, whose file of comparisons is broken."""
    for part in ("nst", "presets", "app.py"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part)
        else:
            shutil.copy(source, tmp_path / part)
    (tmp_path / "presets" / "comparisons.toml").write_text("[[comparison]]\npresets = 3\n")
    status, said = ended(tmp_path, root=tmp_path, GRADIO_SERVER_PORT=str(free_port()))
    assert status == 2
    assert "Error: comparisons.toml" in said
    assert "Traceback" not in said


def test_a_taken_port_is_not_exchanged_for_another(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, said = ended(tmp_path, GRADIO_SERVER_PORT=str(port))
    assert status == 2
    assert f"Port {port} cannot be used" in said
    assert "GRADIO_SERVER_PORT names another" in said
