"""Every command in README is one that the program has, with options that it takes."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from nst.checkpoints.hub import catalog
from nst.cli.main import app
from nst.settings.catalog import all_presets, paintings, photos
from nst.settings.onepass import all_methods
from nst.settings.recipe import setting_names
from nst.settings.training import all_trainings, inverse_trainings
from nst.study.variants import varied_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"^\.venv/bin/python -m nst (.+)$", README, re.M)
PAGES = [ROOT / "README.md", *(ROOT / "nst").glob("*.md"), *(ROOT / "presets").glob("*.md")]
BENCHMARKS = sorted(set(re.findall(r"python -m (tests\.benchmarks\.\w+)", README)))
NAMES = {
    "preset": lambda: {**all_presets(), **all_methods(), **catalog()},
    "method": all_methods,
    "checkpoint": catalog,
    "photo": photos,
    "painting": paintings,
}


def parsed(line):
    """The command and its parameters, as the program reads them before it does anything."""
    group = get_command(app)
    arguments = shlex.split(line)
    with group.make_context("nst", list(arguments), resilient_parsing=True) as context:
        name, command, rest = group.resolve_command(context, arguments)
        return name, command.make_context(name, list(rest), parent=context).params


def test_commands_are_found():
    assert len(COMMANDS) > 25


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_readme_is_understood(line):
    name, parameters = parsed(line)
    recipes = {"train": all_trainings, "train-inverse": inverse_trainings}.get(name)
    for key, value in parameters.items():
        is_name = isinstance(value, str) and re.fullmatch(r"[a-z][\w-]+", value)
        if key in NAMES and is_name:
            assert value.replace("-", "_") in NAMES[key]() or value in NAMES[key](), value
        if name == "swap" and key == "name" and value:
            assert value in all_methods()
        for text in value or () if key == "mix" else ():
            assert text.partition("=")[0] in paintings()
        if key == "presets" and value:
            assert set(value.split(",")) <= {*NAMES["preset"]()}
        for text in value or () if key == "vary" else ():
            assert text.partition("=")[0] in varied_names()
        if key == "recipe_name" and value and recipes:
            assert value in recipes()
        if key == "settings" and value and name == "stylize" and not parameters["like"]:
            assert {text.partition("=")[0] for text in value} <= {*setting_names()}


@pytest.mark.parametrize("module", BENCHMARKS)
def test_a_benchmark_of_readme_is_there(module):
    assert importlib.util.find_spec(module)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for path in set(re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text("utf-8"))):
        assert (page.parent / path).exists(), path
