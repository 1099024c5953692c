"""The commands around transformer networks: `python -m nst train | fast | checkpoints | push`."""

import csv
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL.Image import Image
from rich.progress import BarColumn, Progress, TextColumn

from nst.checkpoints import load_checkpoint, save_checkpoint
from nst.estimate import duration
from nst.images import fit, resized, to_picture, to_tensor
from nst.machine import device
from nst.outputs import loss_line
from nst.presets import paintings, photos
from nst.terminal import changed_settings, check_output, console, errors_are_sentences, open_named
from nst.train import Fleet, TrainingStep, find_photos, fleet
from nst.train import train as run
from nst.training import DEFAULT, training

SAVE_SECONDS = 120  # between two saved states
SAMPLES, SAMPLE_SIDE = ("neuschwanstein", "astronaut", "cat"), 512


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
) -> None:
    """Train a network to paint like PAINTING.

    Beside the output: its training state (.state), losses (.csv) and sample pictures (.png).
    With several GPUs, start it with `torchrun --nproc-per-node=N -m nst train …`.
    """
    recipe = training(recipe_name).recipe.but(changed_settings(settings or []))
    check_output(output, ".safetensors", [painting])
    picture = open_named(painting, paintings())
    begin = load_checkpoint(Path(start)).network if start else None
    found = find_photos(folder)
    state = output.with_suffix(".state")
    with fleet(device()) as crew:
        if crew.leads:
            skipped = f", {found.skipped} could not be read" if found.skipped else ""
            console.print(f"{len(found.paths)} photos{skipped}")
        steps = run(picture, found, recipe, crew, start=begin, state=state if resume else None)
        notes = {"style": Path(painting).stem}
        with closing(steps):
            _follow(steps, crew, output, state, notes, resume)


def _follow(steps, crew: Fleet, output: Path, state: Path, notes, resume: bool) -> None:
    step = None
    log = output.with_suffix(".csv")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        TextColumn("{task.completed}/{task.total} {task.fields[status]}"),
    )
    saved = 0.0
    with Progress(*columns, console=console, transient=True, disable=not crew.leads) as progress:
        bar = progress.add_task(output.stem, total=1, status="")
        try:
            for step in steps:
                if not crew.leads:
                    continue
                _log(step, log)
                status = f"{loss_line(step.losses)}, {duration(step.seconds_left)} left"
                progress.update(bar, completed=step.index, total=step.total, status=status)
                if step.seconds - saved > SAVE_SECONDS or step.index == step.total:
                    saved = step.seconds
                    _keep(step, output, state, notes)
        except KeyboardInterrupt:
            if step is None or not crew.leads:
                sys.exit(130)
            _keep(step, output, state, notes)
            console.print(f"Stopped at step {step.index}. `--resume` goes on.")


def _log(step: TrainingStep, path: Path) -> None:
    if step.index % 10 and step.index != step.total:
        return
    new = not path.exists()
    with path.open("a", newline="") as file:
        rows = csv.writer(file)
        terms = step.losses.terms
        if new:
            rows.writerow(["step", "seconds", "learning_rate", "total", *terms])
        numbers = [step.losses.total, *(term.unweighted for term in terms.values())]
        rows.writerow(
            [step.index, f"{step.seconds:.1f}", f"{step.learning_rate:.3g}"]
            + [f"{number:.6g}" for number in numbers]
        )


def _keep(step: TrainingStep, output: Path, state: Path, notes) -> None:
    step.save(state)
    save_checkpoint(step.network, output, notes | {"training": step.report()})
    samples = [_sample(step, name) for name in SAMPLES]
    width = sum(s.width for s in samples)
    sheet = samples[0].resize((width, max(s.height for s in samples)))
    sheet.paste((255, 255, 255), (0, 0, *sheet.size))
    left = 0
    for sample in samples:
        sheet.paste(sample, (left, 0))
        left += sample.width
    sheet.save(output.with_suffix(".png"))


@torch.no_grad()
def _sample(step: TrainingStep, name: str) -> Image:
    photo = open_named(name, photos())
    width, height = fit(photo.size, SAMPLE_SIDE)
    photo = resized(photo, (width // 4 * 4, height // 4 * 4))
    return to_picture(
        step.network(to_tensor(photo, next(step.network.parameters()).device), torch.bfloat16)
    )
