"""The commands around trained networks: `python -m nst fast | checkpoints | push`."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import torch
import typer

from nst.checkpoints import hub
from nst.cli.options import KeepColors
from nst.cli.terminal import (
    BadOutput,
    check_output,
    console,
    errors_are_sentences,
    progress_bar,
)
from nst.engines.painters import TrainedNetwork
from nst.engines.trained import stylize
from nst.machine import calibration, device, prepare, processors
from nst.pictures.images import BadPicture, open_picture, picture_files, save_png
from nst.pictures.limits import OWN_FILE
from nst.settings.catalog import photos
from nst.settings.onepass import LARGEST_TRAINED, TrainedSettings
from nst.steps import last
from nst.training import card


def load(text: str) -> hub.Loaded:
    """A checkpoint by its file, its name in the catalog, or its place on the Hub."""
    if Path(text).is_file() or (Path(text).suffix.lower() in hub.SUFFIXES and "/" not in text):
        return hub.load_file(Path(text))
    entry = hub.find(text)
    with progress_bar() as progress:
        bar = progress.add_task(entry.file, total=None, status="")

        def report(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, status="bytes")

        return hub.load(entry, report)


@errors_are_sentences
def fast(
    photos_given: Annotated[
        list[str], typer.Argument(metavar="PHOTO…", help="Files, folders, or bundled photos.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A PNG file; a folder for several photos.")
    ],
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="A name (see `python -m nst checkpoints`), a file, or owner/name[:file]. "
            "Default: the first name."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Long side; 512 to 1024 suits the strokes.")
    ] = None,
    strength: Annotated[float, typer.Option(help="0: the photo, 1: full style.")] = 1.0,
    keep_colors: KeepColors = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
) -> None:
    """Paint photos in one pass with a trained network."""
    given = {"size": size, "strength": strength, "keep_colors": keep_colors}
    settings = TrainedSettings.read(given)
    sources = list(_sources(photos_given))
    targets = _targets(sources, output, force)
    name = next(iter(hub.bundled())) if checkpoint is None else checkpoint
    loaded = load(name)
    painter = TrainedNetwork(settings, loaded.entry.name)

    def paint(source: Path, target: Path) -> str:
        try:
            photo = open_picture(source, longest=LARGEST_TRAINED, limits=OWN_FILE)
        except BadPicture as error:
            return str(error)
        result = last(stylize(photo, loaded, settings))
        report = painter.signed(result.report, loaded.entry.name, source.name, "")
        save_png(result.picture, target, report.as_dict())
        return ""

    workers = min(len(sources), processors()) if device().type == "cpu" else 1
    prepare()
    calibration()  # with all threads, before they are shared out
    if workers > 1:  # a thread for each picture is faster than all threads for one
        torch.set_num_threads(1)
    with ThreadPoolExecutor(workers) as pool, progress_bar() as progress:
        bar = progress.add_task(name, total=len(sources), status="")
        failed = []
        for problem in pool.map(paint, sources, targets):
            progress.advance(bar)
            failed += [problem] if problem else []
    for problem in failed:
        console.print(problem, style="yellow", soft_wrap=True)
    console.print(f"{len(sources) - len(failed)} of {len(sources)} painted: {output}")
    if failed:
        raise typer.Exit(2)


def _sources(given: list[str]) -> Iterator[Path]:
    for text in given:
        if not text.strip():
            raise BadPicture(
                "The name of a photo is empty. A file, a folder or a bundled one works."
            )
        path = Path(text)
        if path.is_dir():
            inside = picture_files(path, "*")
            if not inside:
                raise BadPicture(f"`{path}` holds no pictures.")
            yield from inside
        else:
            yield photos()[text].path if text in photos() and not path.exists() else path


def _targets(sources: list[Path], output: Path, force: bool) -> list[Path]:
    """A file for each picture, none of which exists unless it may be overwritten."""
    if len(sources) == 1 and output.suffix.lower() == ".png":
        check_output(output, ".png", [str(sources[0])])
        targets = [output]
    elif output.suffix.lower() == ".png":
        raise BadOutput(f"`{output}` is one file for {len(sources)} photos. Name a folder.")
    elif output.suffix:
        raise BadOutput(f"`{output}` is no folder, and a single result must end with .png.")
    elif any(output.resolve() == source.parent.resolve() for source in sources):
        raise BadOutput(f"`{output}` holds the photos. Choose another folder for the results.")
    else:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError:
            raise BadOutput(f"The folder `{output}` cannot be made. Choose another.") from None
        targets, taken = [], set()
        for source in sources:
            name = source.stem if source.stem not in taken else source.name
            taken.add(name)
            targets.append(output / f"{name}.png")
        if len(set(targets)) < len(targets):
            raise BadOutput("Two photos have the same name. Paint them into different folders.")
    existing = [target for target in targets if target.exists()]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise BadOutput(f"`{existing[0]}`{more} exists already. `--force` overwrites.")
    inputs = [source for source in sources if source.exists()]
    if any(target.exists() and target.samefile(s) for target in targets for s in inputs):
        raise BadOutput("The photos themselves would be overwritten. Choose another folder.")
    return targets


@errors_are_sentences
def checkpoints(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the known checkpoints, and which of them need no download."""
    rows = [
        {**entry.model_dump(), "cached": hub.cached(entry) is not None}
        for entry in hub.catalog().values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = 2 + max(map(len, hub.catalog()))
    for entry, row in zip(hub.catalog().values(), rows, strict=True):
        here = "bundled" if entry.bundled else "cached" if row["cached"] else "to download"
        typer.echo(f"{entry.name:{width}}{here:14}{entry.license:14}{entry.title}, {entry.place}")


@errors_are_sentences
def push(
    checkpoint: Annotated[str, typer.Argument(help="A file that `train` wrote, or a bundled one.")],
    repository: Annotated[str, typer.Argument(help="owner/name on the Hugging Face Hub.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only write the folder that would be uploaded.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="That folder, kept.")
    ] = None,
    license_name: Annotated[
        str, typer.Option("--license", help="An identifier the Hub knows, such as cc-by-4.0.")
    ] = "mit",
    private: Annotated[bool, typer.Option("--private")] = False,
) -> None:
    """Upload a checkpoint with a model card to the Hugging Face Hub."""
    hub.check_name(repository)
    loaded = load(checkpoint)
    with TemporaryDirectory() as place:
        name = repository.rpartition("/")[2]
        folder = output or (Path(name) if dry_run else Path(place, name))
        card.write(loaded, repository, license_name, folder)
        if dry_run:
            console.print(f"{folder}: this would be uploaded to {repository}.", soft_wrap=True)
            return
        address = hub.upload(folder, repository, private)
        console.print(f"Uploaded: {address}", soft_wrap=True)
