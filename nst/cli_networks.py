"""The commands around transformer networks: `python -m nst train | fast | checkpoints | push`."""

import csv
import json
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Annotated, Any

import torch
import typer
from pydantic import ValidationError

from nst import card, hub
from nst.checkpoints import NOTHING, load_checkpoint, save_checkpoint, trained_before
from nst.estimate import duration
from nst.fast import FastSettings, stylize
from nst.images import PICTURE_SUFFIXES, BadPicture, open_picture, save_png
from nst.machine import calibration, device, prepare, processors
from nst.outputs import loss_line
from nst.presets import paintings, photos
from nst.recipe import BadSetting
from nst.steps import last
from nst.terminal import (
    BadOutput,
    changed_settings,
    check_output,
    console,
    errors_are_sentences,
    open_named,
    progress_bar,
)
from nst.train import Fleet, TrainingStep, find_photos, fleet
from nst.train import train as run
from nst.training import DEFAULT, TrainingRecipe, training

SAVE_SECONDS = 120  # between two saved states
LOG_STRIDE = 10  # steps between two lines of the log
LARGEST_SIDE, LARGEST_FILE = 16384, 2**30  # of a user's own files; open_picture's are for uploads


@errors_are_sentences
def train(
    painting: Annotated[str, typer.Argument(help="A picture file, or a bundled painting's name.")],
    folder: Annotated[Path, typer.Option("--photos", help="A folder of photos to learn on.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The weights, .safetensors.")],
    recipe_name: Annotated[
        str, typer.Option("--recipe", help="A file in presets/training, without .toml.")
    ] = DEFAULT,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, by its dotted name."),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Begin with the weights of this checkpoint.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the state saved beside the output.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an earlier training.")] = False,
) -> None:
    """Train a network to paint like PAINTING.

    Beside the output it keeps its state (.state), its losses (.csv) and sample pictures (.png).
    With several GPUs: `torchrun --nproc-per-node=N -m nst train …`.
    """
    _check_training_files(output, painting, folder, resume, force)
    recipe = training(recipe_name).recipe
    if resume:
        recipe = TrainingRecipe.read(load_checkpoint(output).notes["training"]["settings"])
    recipe = recipe.but(changed_settings(settings or []))
    state = output.with_suffix(".state")
    picture = open_named(painting, paintings())
    begin = _load(start).checkpoint if start else None
    found = find_photos(folder)
    with fleet(device()) as crew:
        if crew.leads:
            skipped = f", {found.skipped} could not be read" if found.skipped else ""
            console.print(f"{len(found.paths)} photos{skipped}")
        if resume:
            before = load_checkpoint(output).notes.get("before", NOTHING)
        else:
            before = trained_before(begin.notes) if begin else NOTHING
        notes = {"style": Path(painting).stem, "recipe": recipe_name, "before": before}
        network = begin.network if begin else None
        steps = run(picture, found, recipe, crew, start=network, state=state if resume else None)
        with closing(steps):
            _follow(steps, crew, output, notes)


def _check_training_files(
    output: Path, painting: str, folder: Path, resume: bool, force: bool
) -> None:
    """Before hours of work. Raises `BadOutput` if something would be lost at their end."""
    check_output(output, ".safetensors", [painting])
    files = [output, *(output.with_suffix(suffix) for suffix in (".state", ".csv", ".png"))]
    if any(file.exists() and Path(painting).exists() and file.samefile(painting) for file in files):
        raise BadOutput(f"The painting `{painting}` would be overwritten. Choose another output.")
    if folder.resolve() in output.resolve().parents:
        raise BadOutput(f"`{output}` lies among the photos. Choose another folder.")
    if resume and not files[1].exists():
        raise BadOutput(f"There is no `{files[1]}` to go on from. Start without `--resume`.")
    existing = [file for file in files if file.exists()]
    if existing and not (resume or force):
        raise BadOutput(
            f"`{existing[0]}` exists already. `--resume` goes on with it, `--force` overwrites it."
        )


def _follow(
    steps: Iterator[TrainingStep], crew: Fleet, output: Path, notes: Mapping[str, Any]
) -> None:
    """Runs the steps; keeps the state from time to time, at the end and at Ctrl-C."""
    saved, log = 0.0, output.with_suffix(".csv")
    with progress_bar(disable=not crew.leads) as progress, _control_c() as stop:
        bar = progress.add_task(output.stem, total=1, status="")
        for step in steps:
            ends = step.index == step.total or crew.any(stop.is_set())
            if crew.leads:
                status = f"{loss_line(step.losses)}, {duration(step.seconds_left)} left"
                progress.update(bar, completed=step.index, total=step.total, status=status)
                if not saved:
                    saved = step.seconds
                    _cut(log, step.index)
                if step.index == step.total or step.index % LOG_STRIDE == 0:
                    _log(step, log)
                if ends or step.seconds - saved > SAVE_SECONDS:
                    saved = step.seconds
                    _keep(step, output, notes)
                    if not console.is_terminal:
                        console.print(f"{step.index}/{step.total}: {status}", soft_wrap=True)
            if ends:
                break
    if crew.leads and step.index < step.total:
        console.print(f"Stopped at step {step.index}; `--resume` goes on.")
    elif crew.leads:
        took = duration(step.seconds)
        console.print(f"{output}: {step.total} steps in {took}", soft_wrap=True)


@contextmanager
def _control_c() -> Iterator[threading.Event]:
    """Set by Ctrl-C, so that the step in progress ends first; a second one acts as ever."""
    stop = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)  # the second one from torchrun

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)

    before = [signal.signal(number, ask) for number in signals]
    try:
        yield stop
    finally:
        restore()


def _cut(log: Path, index: int) -> None:
    """Drops what a crashed training logged after its last saved state."""
    if index == 1:
        log.unlink(missing_ok=True)
    if log.exists():
        head, *rows = log.read_text("utf-8").splitlines(keepends=True) or [""]
        kept = [row for row in rows if int(row.partition(",")[0]) < index]
        log.write_text("".join([head, *kept]), "utf-8")


def _log(step: TrainingStep, path: Path) -> None:
    new = not path.exists()
    terms = step.losses.terms
    with path.open("a", newline="") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(["step", "seconds", "learning_rate", "total", *terms])
        unweighted = (f"{term.unweighted:.6g}" for term in terms.values())
        numbers = (f"{step.seconds:.1f}", f"{step.learning_rate:.3g}", f"{step.losses.total:.6g}")
        rows.writerow([step.index, *numbers, *unweighted])


def _keep(step: TrainingStep, output: Path, notes: Mapping[str, Any]) -> None:
    step.save(output.with_suffix(".state"))
    save_checkpoint(step.network, output, notes | {"training": step.report()})
    card.samples(step.network).save(output.with_suffix(".png"))


def _load(text: str) -> hub.Loaded:
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
        str,
        typer.Option(
            help="A name (see `python -m nst checkpoints`), a file, or owner/name[:file]."
        ),
    ] = next(iter(hub.bundled())),
    size: Annotated[
        int | None, typer.Option(help="Long side; 512 to 1024 suits the strokes.")
    ] = None,
    strength: Annotated[float, typer.Option(help="0: the photo, 1: full style.")] = 1.0,
    keep_colors: Annotated[bool, typer.Option("--keep-colors", help="Of the photo.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False,
) -> None:
    """Paint photos in one pass with a trained network."""
    try:
        settings = FastSettings(size=size, strength=strength, keep_colors=keep_colors)
    except ValidationError as error:
        problem = error.errors()[0]
        raise BadSetting(f"`--{problem['loc'][0]}`: {problem['msg']}.") from None
    sources = list(_sources(photos_given))
    targets = _targets(sources, output, force)
    loaded = _load(checkpoint)

    def paint(source: Path, target: Path) -> str:
        try:
            photo = open_picture(source, longest=LARGEST_SIDE, most_bytes=LARGEST_FILE)
        except BadPicture as error:
            return str(error)
        result = last(stylize(photo, loaded, settings))
        save_png(result.picture, target, {"photo": source.name, **result.report})
        return ""

    workers = min(len(sources), processors()) if device().type == "cpu" else 1
    prepare()
    calibration()  # with all threads, before they are shared out
    if workers > 1:  # a thread for each picture is faster than all threads for one
        torch.set_num_threads(1)
    with ThreadPoolExecutor(workers) as pool, progress_bar() as progress:
        bar = progress.add_task(checkpoint, total=len(sources), status="")
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
        path = Path(text)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES)
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
    for entry, row in zip(hub.catalog().values(), rows, strict=True):
        here = "bundled" if entry.bundled else "cached" if row["cached"] else "to download"
        typer.echo(f"{entry.name:24}{here:14}{entry.license:14}{entry.title}, {entry.place}")


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
    loaded = _load(checkpoint)
    with TemporaryDirectory() as place:
        name = repository.rpartition("/")[2]
        folder = output or (Path(name) if dry_run else Path(place, name))
        card.write(loaded, repository, license_name, folder)
        if dry_run:
            console.print(f"{folder}: this would be uploaded to {repository}.", soft_wrap=True)
            return
        address = hub.upload(folder, repository, private)
        console.print(f"Uploaded: {address}", soft_wrap=True)
