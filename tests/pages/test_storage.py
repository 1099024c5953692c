"""The folder of a process: what it holds, for how long, and what is left of processes that died."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nst.pages.storage import KEPT, YOUNG, NoStorage, Storage, StorageFull


@pytest.fixture
def storage(tmp_path):
    made = Storage(tmp_path / "parent")
    yield made
    made.close()


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_file_is_known_by_its_path_while_it_is_young(storage, tmp_path):
    path = storage.keep(b"data", "x.png")
    assert storage.holds(str(path)) == path
    age(path, KEPT + 1)
    assert storage.holds(str(path)) is None
    assert storage.find(str(path)) == path


@pytest.mark.parametrize("path", ["/etc/passwd", "", "\0", "x" * 5000, "/", "lock"])
def test_nothing_else_is(storage, path):
    assert storage.holds(path) is None
    assert storage.holds(str(storage.folder / path)) is None


def test_a_link_out_of_the_folder_leads_nowhere(storage, tmp_path):
    (tmp_path / "secret").write_text("x")
    (storage.folder / "link").symlink_to(tmp_path / "secret")
    assert storage.holds(str(storage.folder / "link")) is None


def test_what_the_page_began_with_stays(storage):
    path = storage.keep(b"data", "x.png")
    storage.begin()
    age(path, 10 * KEPT)
    storage.sweep([])
    assert storage.holds(str(path)) == path


def test_files_of_an_open_tab_stay_and_others_go(storage):
    own, other = storage.keep(b"1", "a.png"), storage.keep(b"2", "b.png")
    storage.use("open", [own])
    storage.use("closed", [other])
    for path in (own, other):
        age(path, KEPT + 1)
    storage.sweep(["open"])
    assert storage.holds(str(own)) == own
    assert not other.exists()


def test_files_of_a_closed_tab_go_unless_another_uses_them(storage):
    page = storage.keep(b"0", "page.png")
    storage.begin()
    own, shared = storage.keep(b"1", "a.png"), storage.keep(b"2", "b.png")
    storage.use("closed", [page, own, shared])
    storage.use("open", [shared])
    for path in (page, own, shared):
        age(path, YOUNG + 1)
    storage.remove("closed")
    assert [path.exists() for path in (page, own, shared)] == [True, False, True]


def test_a_file_that_a_request_may_be_using_goes_a_little_later(storage):
    path = storage.keep(b"1", "a.png")
    storage.use("closed", [path])
    storage.remove("closed")
    assert storage.holds(str(path)) == path
    age(path, KEPT + 1)
    storage.sweep([])
    assert not path.exists()


def test_uploads_have_a_bound(tmp_path):
    storage = Storage(tmp_path, most_bytes=1000)
    storage.keep(bytes(600), "a.png")
    with pytest.raises(StorageFull, match="try again"):
        storage.keep(bytes(601), "b.png")
    with pytest.raises(StorageFull), storage.room(500):
        pass
    with storage.room(300), pytest.raises(StorageFull), storage.room(300):
        pass
    storage.close()


def test_a_clean_end_leaves_nothing(tmp_path):
    storage = Storage(tmp_path)
    storage.keep(b"data", "x.png")
    storage.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_start_removes_what_a_dead_process_left_and_nothing_of_a_living_one(tmp_path, number):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom nst.pages.storage import Storage\n"
        "storage = Storage(Path(sys.argv[1]))\nstorage.keep(b'data', 'x.png')\n"
        "print(storage.folder, flush=True)\ntime.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    left = process.stdout.readline().strip()
    living = Storage(tmp_path)
    assert os.path.exists(left)  # noqa: PTH110
    process.send_signal(number)
    process.wait(60)
    after = Storage(tmp_path)
    assert not os.path.exists(left)  # noqa: PTH110
    assert living.folder.is_dir()
    for storage in (living, after):
        storage.close()


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NoStorage, match="GRADIO_TEMP_DIR names another"):
        Storage(tmp_path / "file" / "below")


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="no folder that nobody may write")  # noqa: PTH112
def test_a_folder_that_may_not_be_written_is_a_sentence():
    with pytest.raises(NoStorage, match="`/proc/nst` cannot be used"):
        Storage(Path("/proc/nst"))
