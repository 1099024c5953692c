"""The command that measures a result: `python -m nst score`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from PIL.Image import Image
from rich.console import Console
from rich.table import Table

from nst.checkpoints import hub
from nst.cli.terminal import console, errors_are_sentences, open_named
from nst.engines.painters import TrainedNetwork
from nst.machine import prepare
from nst.names import Problem, pick
from nst.nn.decoders import NETWORK
from nst.nn.vgg import NETWORKS
from nst.pictures.images import WORKING_SIDE, fit, open_picture, read_report
from nst.pictures.limits import OWN_FILE
from nst.settings.catalog import paintings, photos
from nst.settings.onepass import TrainedSettings
from nst.study.judge import OTHER, Judge, measuring_network
from nst.study.measures import MEASURES, Measures

FALLBACK = "vgg16"  # most presets paint with the other one


class NotItsPhoto(Problem):
    """A photo that a result cannot have been painted from."""


@errors_are_sentences
def score(
    result: Annotated[Path, typer.Argument(help="The picture to measure.")],
    photo: Annotated[str, typer.Option(help="Its photo: a file, or a bundled photo's name.")],
    painting: Annotated[
        str, typer.Option(help="Its painting: a file, or a bundled painting's name.")
    ],
    network: Annotated[
        str | None,
        typer.Option(
            help=f"That measures: {', '.join(OTHER)}; default: the one that did not paint."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Measure how much of PHOTO and of PAINTING is in RESULT."""
    if network is not None:
        pick("network", network, NETWORKS)
    # Reduced to what a run can paint: the features of larger pictures would not fit the memory.
    picture = open_picture(result, longest=WORKING_SIDE, limits=OWN_FILE)
    sources = open_named(photo, photos()), open_named(painting, paintings())
    _check_shape(picture, sources[0], photo)
    network = network or _network_for(result)
    prepare()
    measures = Judge.of(*sources, picture.size, network).measure(picture)
    if as_json:
        found = {
            "result": result.name,
            "photo": Path(photo).name,
            "painting": Path(painting).name,
            "network": network,
            "size": list(picture.size),
            "measures": asdict(measures),
        }
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    Console(highlight=False, markup=False).print(_table(measures, network))


def _check_shape(result: Image, photo: Image, name: str) -> None:
    """Raises `NotItsPhoto` if the shapes differ by more than the rounding of both sizes."""
    expected = fit(photo.size, max(result.size))
    rounding = 1 + max(result.size) / max(photo.size)
    if any(abs(a - b) > rounding for a, b in zip(result.size, expected, strict=True)):
        raise NotItsPhoto(
            f"The result has {result.width} × {result.height} pixels, but painted from `{name}` it "
            f"would have {expected[0]} × {expected[1]}: give the photo that it was painted from."
        )


def _network_for(result: Path) -> str:
    """The network to measure with, by the report inside the result."""
    painted_with = _backbone(result)
    if painted_with in OTHER:
        return measuring_network(painted_with)
    console.print(
        f"`{result.name}` does not say which network painted it; {FALLBACK} measures. "
        f"If it was painted with that one, use `--network {measuring_network(FALLBACK)}`.",
        style="yellow",
        soft_wrap=True,
    )
    return FALLBACK


def _backbone(result: Path) -> str:
    """The network that painted or taught; empty where the result does not say, or needs the Hub."""
    try:
        report = read_report(result, OWN_FILE)
        if report.engine == "any painting":
            return NETWORK
        if report.checkpoint is None:
            return str(report.settings["backbone"]["network"])
        settings = TrainedSettings()
        return TrainedNetwork(settings, hub.bundled()[report.checkpoint.name].name).backbone()
    except (KeyError, TypeError, Problem):  # a report may hold anything
        return ""


def _table(measures: Measures, network: str) -> Table:
    table = Table(box=None, title=f"Measured with {NETWORKS[network].title}", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("")
    table.add_column("")
    for name, value in asdict(measures).items():
        about = MEASURES[name]
        digits = 1 if name in ("content", "style") else 3
        table.add_row(about.label, f"{value:.{digits}f}", about.unit, about.direction)
    return table
