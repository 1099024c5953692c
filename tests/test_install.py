"""The project as `pip install .` leaves it: away from its repository, with all its data."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("nst", "presets", "pyproject.toml", "requirements.txt", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with nothing but what was installed."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "installed"))
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, source / part)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", target]
    command = [sys.executable, "-m", "pip", "install", *options, source]
    subprocess.run(command, check=True, cwd=target)
    return target


def nst(installed, *arguments):
    """What the installed command prints, started in a folder of its own."""
    away = installed / "away"
    away.mkdir(exist_ok=True)
    done = subprocess.run(
        [installed / "bin" / "nst", *arguments],
        cwd=away,
        env={"PATH": "", "HOME": str(away), "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_of_data_is_installed(installed):
    code = {"__pycache__"}
    for folder in ("nst", "presets"):
        files = {p.relative_to(ROOT) for p in (ROOT / folder).rglob("*") if p.is_file()}
        wanted = {path for path in files if not code & {*path.parts}}
        assert {path for path in wanted if not (installed / path).is_file()} == set()


def test_the_installed_command_paints_from_any_folder(installed):
    assert "quick" in nst(installed, "presets")
    nst(installed, "fast", "cat", "-o", "cat.png", "--size", "96")
    assert (installed / "away" / "cat.png").is_file()


def test_it_has_the_pages(installed):
    assert "page" in nst(installed, "app", "--help")
    subprocess.run(
        [sys.executable, "-c", "from nst.pages import launch, site; print(launch.__file__)"],
        cwd=installed / "away",
        env={"PATH": "", "HOME": str(installed), "PYTHONPATH": str(installed)},
        check=True,
    )
