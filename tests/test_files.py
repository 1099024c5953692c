"""Files that are written whole or not at all, on a disk that is full and on one that is not."""

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from nst.files import BadOutput, check_writable, longer, whole
from nst.nn.state import write_weights
from nst.nn.transformer import TransformerNetwork
from nst.pictures.images import save_picture, save_png, save_time_lapse
from tests.drawn import mere_users_folder

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
ROOM = 4096  # bytes that a file may have on the full disk


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond `ROOM`, which the system enforces as it does a disk.

    Not for a whole test: pytest's own words may go to a file that is longer.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def text_into(path):
    with whole(path) as new:
        new.write_text("word " * ROOM, "utf-8")


def sample_into(path):
    save_picture(NOISE, path, quality=100)


WRITERS = {
    "result.png": lambda path: save_png(NOISE, path, {"settings": {}}),
    "lapse.webp": lambda path: save_time_lapse([NOISE, NOISE.rotate(90), NOISE], path),
    "report.json": text_into,
    "samples.jpg": sample_into,
    "samples.tif": sample_into,
    "w.safetensors": lambda path: write_weights(TransformerNetwork(width=8, blocks=1), path, {}),
}


@pytest.mark.parametrize("earlier", [b"an earlier result", None])
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_earlier_file_and_no_half_one(name, earlier, tmp_path):
    path = tmp_path / name
    if earlier:
        path.write_bytes(earlier)
    with full_disk(), pytest.raises(BadOutput) as caught:
        WRITERS[name](path)
    said = str(caught.value)
    assert said.startswith(f"`{name}` could not be written: ")
    assert said.endswith((": file too large.", ": the disk may be full."))
    assert str(tmp_path) not in said
    assert [one.name for one in tmp_path.iterdir()] == ([name] if earlier else [])
    assert not earlier or path.read_bytes() == earlier


@pytest.mark.parametrize("name", WRITERS)
def test_what_fits_is_written_and_nothing_else(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"an earlier result")
    WRITERS[name](path)
    assert path.stat().st_size > ROOM
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_what_ends_early_leaves_the_earlier_file(error, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("earlier")
    with pytest.raises(error), whole(path) as new:
        new.write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "earlier"


def test_what_links_to_a_file_goes_on_to_link_to_it(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a.txt", tmp_path / "link.txt"
    target.write_text("earlier")
    link.symlink_to(target)
    with whole(link) as new:
        assert new.parent == target.parent
        new.write_text("later")
    assert link.is_symlink()
    assert target.read_text() == "later"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_an_earlier_file_keeps_its_permissions(mode, tmp_path):
    path = tmp_path / "a.txt"
    path.touch()
    path.chmod(mode)
    with whole(path) as new:
        new.write_text("later")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_the_permissions_of_any_other(mask, tmp_path):
    before = os.umask(mask)
    try:
        with whole(tmp_path / "a.txt") as new:
            new.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


def test_a_device_is_written_to_and_stays_one():
    with whole("/dev/null") as new:
        new.write_text("away")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)  # noqa: PTH116


def test_a_suffix_tells_encoders_their_format(tmp_path):
    with whole(tmp_path / "a.webp") as new:
        NOISE.save(new)
    with Image.open(tmp_path / "a.webp") as file:
        assert file.format == "WEBP"


def test_a_very_long_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".txt")
    with whole(path) as new:
        new.write_text("later")
    assert path.read_text() == "later"


@pytest.mark.parametrize("begin", [check_writable, lambda path: whole(path).__enter__()])
def test_a_folder_cannot_be_written(begin, tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(BadOutput, match=r"^`a.png` could not be written: is a directory\.$"):
        begin(tmp_path / "a.png")


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_what_may_not_be_written_is_refused_with_the_reason(locked):
    with mere_users_folder() as folder:
        (folder / "in").mkdir()
        path = folder / "in" / "a.txt"
        path.touch()
        (path if locked == "file" else path.parent).chmod(0o500)
        with pytest.raises(BadOutput, match=r"`a.txt` could not be written: permission denied\."):
            check_writable(path)


def test_a_check_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("earlier", ["row\n" * 1000, None])
def test_a_log_that_cannot_grow_keeps_its_whole_rows(earlier, tmp_path):
    path = tmp_path / "log.csv"
    if earlier:
        path.write_text(earlier)
    refused = pytest.raises(BadOutput, match=r"`log.csv` could not be written")
    with full_disk(), refused, longer(path) as log, log.open("a") as file:
        file.write("half a row " * ROOM)
    assert (path.read_text() if path.exists() else None) == earlier


def test_a_log_that_can_grow_does(tmp_path):
    with longer(tmp_path / "log.csv") as log, log.open("a") as file:
        file.write("row\n")
    assert (tmp_path / "log.csv").read_text() == "row\n"
