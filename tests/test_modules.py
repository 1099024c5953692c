"""README's order of modules is the code's: no module imports one that comes later."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def order():
    """Groups of module names as README lists them."""
    text = re.search(
        r"Modules, from the bottom: (.*?)\. Imports",
        (ROOT / "README.md").read_text("utf-8"),
        re.DOTALL,
    )[1]
    return [re.findall(r"`(\w+)/?`", group) for group in text.split("·")]


def imported(path):
    """Names of the package's modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nst"):
            own = node.module.split(".")[1:]
            yield from own[:1] or (alias.name for alias in node.names)


def test_modules_import_what_is_listed_before_them():
    places = {name: place for place, group in enumerate(order()) for name in group}
    for path in sorted((ROOT / "nst").glob("*.py")):
        if path.stem in places:
            later = {n for n in imported(path) if places.get(n, -1) > places[path.stem]}
            assert not later, f"{path.stem} imports {later}"


def test_every_module_is_listed():
    listed = {name for group in order() for name in group}
    parts = {
        path.stem for path in (ROOT / "nst").glob("*.py") if not path.stem.startswith(("_", "cli_"))
    }
    assert parts - listed == {"torchvision_import"}
