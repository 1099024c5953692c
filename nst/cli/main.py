"""The command line: `python -m nst stylize | presets | gallery`, and all other commands."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from nst.checkpoints import hub
from nst.cli import compare, measures, networks, swap, training
from nst.cli.options import Changes, Output, Photo, Size
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
from nst.engines.outputs import TimeLapse, summary
from nst.engines.painters import Optimization, Painter, find, repeated
from nst.files import whole
from nst.names import pick
from nst.pictures.images import read_report, save_png, save_time_lapse
from nst.pictures.limits import OWN_FILE
from nst.report import RunReport
from nst.settings.base import BadSetting
from nst.settings.catalog import DEFAULT_PRESET, all_presets, paintings, photos
from nst.settings.onepass import all_methods
from nst.steps import Result, Step, last
from nst.study import gallery as gallery_module

app = typer.Typer(
    help="Neural style transfer.", no_args_is_help=True, pretty_exceptions_enable=False
)
for command in (
    networks.fast,
    swap.swap,
    networks.checkpoints,
    training.train,
    training.train_inverse,
    networks.push,
    measures.score,
    compare.compare,
    compare.sweep,
    compare.reproduce,
):
    app.command()(command)


@app.command()
@errors_are_sentences
def stylize(
    photo: Photo,
    output: Output,
    painting: Annotated[
        str | None,
        typer.Argument(help="A picture file, or a bundled painting's name.", show_default=False),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="One of `python -m nst presets`, a method, or a bundled network. "
            f"Default: {DEFAULT_PRESET}."
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Paint as this saved PNG or JSON was painted, whatever painted it."),
    ] = None,
    size: Size = None,
    iterations: Annotated[int | None, typer.Option(help="Steps of all levels together.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the noise.")] = None,
    settings: Changes = None,
    start: Annotated[
        str | None, typer.Option(help="Start from this picture instead of the preset's start.")
    ] = None,
    report_file: Annotated[
        Path | None, typer.Option("--report", help="Settings, losses and timings, as JSON.")
    ] = None,
    time_lapse: Annotated[
        Path | None, typer.Option(help="How it was painted, an animated WebP.")
    ] = None,
) -> None:
    """Paint PHOTO in the style of PAINTING."""
    if preset is not None and like:
        raise BadSetting("Give `--preset` or `--like`, not both.")
    name, painter = _repeated(like) if like else _begun(preset)
    options = {"size": size, "seed": seed if isinstance(painter, Optimization) else None}
    given = {key: value for key, value in options.items() if value is not None}
    painter = painter.but({**changed_settings(settings or []), **given})
    lapse = None
    if isinstance(painter, Optimization):
        painter = _optimization(painter, iterations, start)
        lapse = TimeLapse(painter.settings.iterations) if time_lapse else None
    else:
        own = {"--iterations": iterations, "--seed": seed, "--start": start}
        _refuse(name, own | {"--time-lapse": time_lapse})
    _check_painting(name, painter, painting)
    sources = [source for source in (photo, painting, start) if source is not None]
    for path, suffix in ((output, ".png"), (report_file, ".json"), (time_lapse, ".webp")):
        check_output(path, suffix, sources)
    content = open_named(photo, photos())
    style = content if painting is None else open_named(painting, paintings())
    console.print(f"{name}: {painter.described(content.size, style.size)}")
    result = _watch(painter.paint(content, style), name, lapse.see if lapse else lambda step: None)
    report = painter.signed(result.report, name, Path(photo).name, Path(painting or "").name)
    _save(result, report, output, report_file)  # before what is less dear
    if lapse and time_lapse:
        lapse.add(result.picture)
        save_time_lapse(lapse.frames, time_lapse)


@app.command()
@errors_are_sentences
def presets(
    as_json: Annotated[bool, typer.Option("--json", help="With all settings, as JSON.")] = False,
) -> None:
    """List the presets."""
    if as_json:
        tree = {name: preset.model_dump() for name, preset in all_presets().items()}
        typer.echo(json.dumps(tree, indent=2, ensure_ascii=False))
        return
    for name, preset in all_presets().items():
        typer.echo(f"{name:24}{preset.summary}\n{'':24}{preset.source}")


@app.command()
@errors_are_sentences
def gallery(
    names: Annotated[
        list[str] | None, typer.Argument(help="Presets, methods, checkpoints; default: all.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output")] = gallery_module.GALLERY,
) -> None:
    """Render presets/gallery: every preset, method and bundled checkpoint on one photo."""
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise BadOutput(f"`{output}` cannot be written. Choose another folder.")
    known = [*hub.styles(), *all_methods(), *all_presets()]
    for name in names or known:
        pick("preset, method or checkpoint", name, dict.fromkeys(known))
    for name in names or known:
        report = last(_shown(gallery_module.render(name, output), name)).report
        own = f"{name}: " if report.iterations else ""
        console.print(f"{own}{summary(report)}")


def _save(result: Result, report: RunReport, output: Path, report_file: Path | None) -> None:
    """Writes the picture with its report inside, and beside it if asked, and says so."""
    tree = report.as_dict()
    save_png(result.picture, output, tree)
    if report_file:
        with whole(report_file) as new:
            new.write_text(json.dumps(tree, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if report.warning:
        console.print(report.warning, style="yellow", soft_wrap=True)
    console.print(f"{output}: {summary(report)}", soft_wrap=True)


def _begun(preset: str | None) -> tuple[str, Painter]:
    """Name and painter of a preset, a method or a bundled network. Raises `UnknownName`."""
    name = DEFAULT_PRESET if preset is None else preset
    return name, find(name).painter


def _repeated(path: Path) -> tuple[str, Painter]:
    """Name and painter of a saved picture or report, which may hold anything. Raises `Problem`."""
    report = read_report(path, OWN_FILE)
    own = report.checkpoint.name if report.checkpoint else report.method
    return report.preset or own or DEFAULT_PRESET, repeated(report)


def _optimization(painter: Optimization, iterations: int | None, start: str | None) -> Optimization:
    """The painter with what only optimizations have. Raises `Problem`."""
    if start is not None:
        painter = replace(
            painter.but({"start.image": "picture"}), start=open_named(start, photos())
        )
    elif painter.settings.start.image == "picture":
        raise BadSetting("`start.image` is picture: give the picture with `--start`.")
    if iterations is None:
        return painter
    return replace(painter, settings=painter.settings.with_iterations(iterations))


def _check_painting(name: str, painter: Painter, painting: str | None) -> None:
    """Raises `BadSetting` where one is missing, or is given to what has learned another."""
    if painting is None and painter.needs_painting:
        raise BadSetting("Give a painting after the photo: a picture file, or a bundled one.")
    if painting is not None and not painter.needs_painting:
        raise BadSetting(f"{name} has learned its own painting: leave out `{painting}`.")


def _refuse(name: str, options: Mapping[str, object]) -> None:
    """Raises `BadSetting` for the first option that was given."""
    for option, value in options.items():
        if value is not None:
            raise BadSetting(f"`{option}` is for presets; {name} paints in one pass.")


def _watch(steps: Iterator[Step], title: str, see: Callable[[Step], None]) -> Result:
    """The result of a run. Ctrl-C ends it and keeps what there is."""
    step = None
    try:
        for step in _shown(steps, title):
            see(step)
    except KeyboardInterrupt:
        if step is None:
            sys.exit(130)
        console.print("Stopped; keeping the picture as it is.")
    if step is None:
        raise RuntimeError("the run ended without a step")
    return step.result or step.finish()


def _shown(steps: Iterator[Step], title: str) -> Iterator[Step]:
    """The steps, with a progress bar."""
    with progress_bar() as progress:
        bar = progress.add_task(title, total=1, status="")
        for step in steps:
            loss = f"loss {step.losses.total:.3g}, " if step.losses.terms else ""
            status = f"{loss}{duration(step.seconds_left)} left"
            progress.update(bar, completed=step.index, total=step.total, status=status)
            yield step
