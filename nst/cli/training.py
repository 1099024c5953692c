"""The commands that train: `python -m nst train | train-inverse`."""

import csv
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from PIL.Image import Image

from nst.checkpoints.files import NOTHING, load_checkpoint, save_checkpoint, trained_before
from nst.cli.networks import load
from nst.cli.options import Changes, Painting, PhotoFolder, Restart, Resume, Weights
from nst.cli.terminal import (
    BadOutput,
    changed_settings,
    check_output,
    console,
    errors_are_sentences,
    open_named,
    progress_bar,
)
from nst.engines.estimate import duration
from nst.engines.outputs import loss_line
from nst.files import longer, whole
from nst.machine import device
from nst.nn.decoders import load_decoder, save_decoder
from nst.pictures.images import save_picture
from nst.settings.catalog import paintings
from nst.settings.training import (
    DEFAULT_INVERSE,
    DEFAULT_TRAINING,
    InverseRecipe,
    TrainingRecipe,
    inverse_training,
    training,
)
from nst.training import card
from nst.training.decoder import train_inverse as run_inverse
from nst.training.fleet import Fleet, joined
from nst.training.loop import TrainingStep
from nst.training.network import train as run
from nst.training.photos import Photos, find_photos

SAVE_SECONDS = 120  # between two saved states
LOG_STRIDE = 10  # steps between two lines of the log


@errors_are_sentences
def train(
    painting: Painting,
    folder: PhotoFolder,
    output: Weights,
    recipe_name: Annotated[
        str, typer.Option("--recipe", help="A file in presets/training, without .toml.")
    ] = DEFAULT_TRAINING,
    settings: Changes = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Begin with the weights of this checkpoint.")
    ] = None,
    resume: Resume = False,
    force: Restart = False,
) -> None:
    """Train a network to paint like PAINTING.

    Beside the output it keeps its state (.state), its losses (.csv) and sample pictures (.png).
    With several GPUs: `torchrun --nproc-per-node=N -m nst train …`.
    """
    _check_painting(output, painting)
    _check_files(output, [folder], resume, force)
    recipe = training(recipe_name).recipe
    earlier = load_checkpoint(output).notes if resume else None
    if earlier:
        recipe = TrainingRecipe.read(earlier["training"]["settings"])
    recipe = recipe.but(changed_settings(settings or []))
    state = output.with_suffix(".state")
    picture = open_named(painting, paintings())
    begin = load(start).checkpoint if start else None
    found = find_photos(folder)
    with joined(device()) as fleet:
        if fleet.leads:
            _count(found)
        begun = _begun(recipe_name, earlier, begin.notes if begin else None)
        notes = {"style": Path(painting).stem, **begun}
        network = begin.network if begin else None
        steps = run(picture, found, recipe, fleet, start=network, state=state if resume else None)
        with closing(steps):
            _follow(steps, fleet, output, _Keeper(output, notes, save_checkpoint, card.samples))


@errors_are_sentences
def train_inverse(
    folder: PhotoFolder,
    output: Weights,
    paintings_folder: Annotated[
        Path | None,
        typer.Option("--paintings", help="A folder of paintings to swap photos' patches with."),
    ] = None,
    recipe_name: Annotated[
        str, typer.Option("--recipe", help="A file in presets/training/inverse, without .toml.")
    ] = DEFAULT_INVERSE,
    settings: Changes = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Begin with this decoder, of the same or a shallower layer."),
    ] = None,
    resume: Resume = False,
    force: Restart = False,
) -> None:
    """Train a decoder: the network that turns features back into a picture.

    Beside the output it keeps its state (.state), its losses (.csv) and sample pictures (.png).
    """
    _check_files(output, [folder, *([paintings_folder] if paintings_folder else [])], resume, force)
    recipe = inverse_training(recipe_name).recipe
    earlier = load_decoder(output).notes if resume else None
    if earlier:
        recipe = InverseRecipe.read(earlier["training"]["settings"])
    recipe = recipe.but(changed_settings(settings or []))
    state = output.with_suffix(".state")
    begin = load_decoder(start) if start else None
    found = find_photos(folder)
    others = find_photos(paintings_folder) if paintings_folder else None
    with joined(device()) as fleet:
        if fleet.leads:
            _count(found)
        steps = run_inverse(
            *(found, recipe, fleet),
            paintings=others,
            start=begin.decoder if begin else None,
            state=state if resume else None,
        )
        count = len(others.paths) if others else 0
        begun = _begun(recipe_name, earlier, begin.notes if begin else None)
        notes = {"paintings": count, **begun}
        with closing(steps):
            _follow(steps, fleet, output, _Keeper(output, notes, save_decoder, card.round_trips))


def _begun(
    recipe_name: str, earlier: Mapping[str, Any] | None, begin: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Notes on how a training began: those of one that goes on, or the recipe and what it took."""
    if earlier:
        return {key: earlier[key] for key in ("recipe", "before") if key in earlier}
    return {"recipe": recipe_name, "before": trained_before(begin) if begin else NOTHING}


def _count(found: Photos) -> None:
    others = f", {found.unusable}" if found.unusable else ""
    console.print(f"{len(found.paths)} photos{others}", soft_wrap=True)


def _files(output: Path) -> list[Path]:
    """What a training writes: weights, state, log and samples."""
    return [output, *(output.with_suffix(suffix) for suffix in (".state", ".csv", ".png"))]


def _check_painting(output: Path, painting: str) -> None:
    files = _files(output)
    if any(file.exists() and Path(painting).exists() and file.samefile(painting) for file in files):
        raise BadOutput(f"The painting `{painting}` would be overwritten. Choose another output.")


def _check_files(output: Path, folders: Sequence[Path], resume: bool, force: bool) -> None:
    """Before hours of work. Raises `BadOutput` if something would be lost at their end."""
    check_output(output, ".safetensors", [])
    files = _files(output)
    if any(folder.resolve() in output.resolve().parents for folder in folders):
        raise BadOutput(f"`{output}` lies among the photos. Choose another folder.")
    if resume and not files[1].exists():
        raise BadOutput(f"There is no `{files[1]}` to go on from. Start without `--resume`.")
    existing = [file for file in files if file.exists()]
    if existing and not (resume or force):
        raise BadOutput(
            f"`{existing[0]}` exists already. `--resume` goes on with it, `--force` overwrites it."
        )


@dataclass(frozen=True)
class _Keeper:
    """Writes what a training has reached: the state, the weights with notes, sample pictures."""

    output: Path
    notes: Mapping[str, Any]
    write: Callable[[Any, Path, Mapping[str, Any]], None]
    samples: Callable[[Any], Image]

    def __call__(self, step: TrainingStep) -> None:
        step.save(self.output.with_suffix(".state"))
        notes = {**self.notes, "training": step.report()}
        self.write(step.network, self.output, notes)
        save_picture(self.samples(step.network), self.output.with_suffix(".png"))


def _follow(
    steps: Iterator[TrainingStep], fleet: Fleet, output: Path, keep: Callable[[TrainingStep], None]
) -> None:
    """Runs the steps; keeps the state from time to time, at the end and at Ctrl-C."""
    saved, log = 0.0, output.with_suffix(".csv")
    with progress_bar(disable=not fleet.leads) as progress, _control_c() as stop:
        bar = progress.add_task(output.stem, total=1, status="")
        for step in steps:
            ends = step.index == step.total or fleet.any(stop.is_set())
            if fleet.leads:
                status = f"{loss_line(step.losses)}, {duration(step.seconds_left)} left"
                progress.update(bar, completed=step.index, total=step.total, status=status)
                if not saved:
                    saved = step.seconds
                    _cut(log, step.index)
                if step.index == step.total or step.index % LOG_STRIDE == 0:
                    _log(step, log)
                if ends or step.seconds - saved > SAVE_SECONDS:
                    saved = step.seconds
                    keep(step)
                    if not console.is_terminal:
                        console.print(f"{step.index}/{step.total}: {status}", soft_wrap=True)
            if ends:
                break
    if fleet.leads and step.index < step.total:
        console.print(f"Stopped at step {step.index}; `--resume` goes on.")
    elif fleet.leads:
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
        with whole(log) as shorter:
            shorter.write_text("".join([head, *kept]), "utf-8")


def _log(step: TrainingStep, path: Path) -> None:
    new = not path.exists()
    terms = step.losses.terms
    with longer(path), path.open("a", newline="") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(["step", "seconds", "learning_rate", "total", *terms])
        unweighted = (f"{term.unweighted:.6g}" for term in terms.values())
        numbers = (f"{step.seconds:.1f}", f"{step.learning_rate:.3g}", f"{step.losses.total:.6g}")
        rows.writerow([step.index, *numbers, *unweighted])
