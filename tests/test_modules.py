"""`nst/README.md` is the map: it names every module, and none imports one that comes later."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nst"
MAP = re.findall(r"^- `([\w/]+)\.py`: \S", (PACKAGE / "README.md").read_text("utf-8"), re.M)
ALLOWED = {"gradio": "pages/", "typer": "cli/"}


def modules():
    """All of the package, as the map names them."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(path.as_posix() for path in paths if path.name != "__init__")


def imported(module):
    """Dotted names that a module imports, wherever in it, each with what is taken from it."""
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def own(name):
    """The module of the package that a dotted name stands for, or lies in."""
    parts = name.split(".")[1:]
    for length in (len(parts), len(parts) - 1):
        if (module := "/".join(parts[:length])) in MAP:
            return module
    return None


def test_the_map_names_every_module_once():
    assert sorted(MAP) == modules()


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_stands_above_it(module):
    above = MAP[: MAP.index(module)]
    names = {own(name) for name in imported(module) if name.startswith("nst.")}
    assert names - {None} <= set(above)


@pytest.mark.parametrize(("library", "folder"), ALLOWED.items())
def test_a_library_is_used_in_one_room(library, folder):
    users = {module for module in MAP for name in imported(module) if name.split(".")[0] == library}
    assert [module for module in users if not module.startswith(folder)] == []


def test_networks_and_losses_know_no_settings():
    users = {module for module in MAP for name in imported(module) if name.startswith("pydantic")}
    assert [module for module in users if module.startswith("nn/")] == []


def test_the_package_has_at_most_eight_modules_of_its_own():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


READING = """
import importlib, json, os, sys
import gradio, torch, typer  # their own reading is no concern of ours
root, names = sys.argv[1], sys.argv[2:]
read = set()
def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir"):
        if isinstance(arguments[0], str | os.PathLike):
            read.add(os.fspath(arguments[0]))
sys.addaudithook(watch)
for name in names:
    importlib.import_module(name)
ours = (path for path in read if path.startswith(root) and not path.startswith(sys.prefix))
print(json.dumps(list(ours)))
"""


def test_importing_reads_no_data():
    """Neither settings, weights nor pictures; a broken file breaks only what reads it."""
    names = [
        f"nst.{module.replace('/', '.')}"
        for module in MAP
        if not module.endswith(("/make", "__main__"))
    ]
    command = [sys.executable, "-c", READING, str(ROOT), *names]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    code = {str(path.parent) for path in PACKAGE.rglob("*.py")} | {str(ROOT)}
    read = {path for path in json.loads(answer.stdout) if not path.endswith((".py", ".pyc"))}
    assert {path for path in read if "__pycache__" not in path} - code == set()
