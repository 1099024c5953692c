"""The command line: `python -m nst stylize | presets | gallery`, and all other commands."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from reprlib import repr as shortened
from typing import Annotated, NamedTuple

import typer

from nst.checkpoints import hub
from nst.cli import compare, measures, networks, swap, training
from nst.cli.terminal import (
    BadOutput,
    changed_settings,
    check_output,
    console,
    errors_are_sentences,
    open_named,
    progress_bar,
)
from nst.engines.estimate import describe, duration, estimate
from nst.engines.optimize import stylize as run
from nst.engines.outputs import TimeLapse, fast_summary, method_summary, report, summary
from nst.files import whole
from nst.machine import nearest
from nst.names import pick
from nst.pictures.images import read_report, save_png, save_time_lapse
from nst.pictures.limits import OWN_FILE
from nst.settings.base import BadSetting
from nst.settings.catalog import DEFAULT, Preset, all_presets, get, paintings, photos
from nst.settings.onepass import MethodPreset, all_methods
from nst.settings.recipe import Recipe
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
    photo: Annotated[str, typer.Argument(help="A picture file, or the name of a bundled photo.")],
    painting: Annotated[str, typer.Argument(help="A picture file, or a bundled painting's name.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The result, a PNG file.")],
    preset: Annotated[
        str | None, typer.Option(help=f"See `python -m nst presets`. Default: {DEFAULT}.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Take the settings of this saved PNG or JSON report.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Pixels of the long side.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Steps of all levels together.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the noise.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting, by its dotted name."),
    ] = None,
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
    if preset and like:
        raise BadSetting("Give `--preset` or `--like`, not both.")
    preset, recipe, precision = _repeated(like) if like else _begun(preset or DEFAULT)
    recipe = _changed(recipe, size, iterations, seed, settings or [])
    if start:
        recipe = recipe.but({"start.image": "picture"})
    elif recipe.start.image == "picture":
        raise BadSetting("`start.image` is picture: give the picture with `--start`.")
    sources = [photo, painting, *([start] if start else [])]
    check_output(output, ".png", sources)
    check_output(report_file, ".json", sources)
    check_output(time_lapse, ".webp", sources)
    pictures = open_named(photo, photos()), open_named(painting, paintings())
    first = open_named(start, photos()) if start else None
    foreseen = estimate(
        recipe, pictures[0].size, pictures[1].size, precision and nearest(precision)
    )
    console.print(f"{preset}: {describe(foreseen)}")
    lapse = TimeLapse(recipe)
    result = _watch(
        run(*pictures, recipe, start=first, precision=precision),
        preset,
        lapse.see if time_lapse else lambda step: None,
    )
    kept = report(result, preset, _label(photo), _label(painting))
    save_png(result.picture, output, kept)
    if report_file:
        with whole(report_file) as new:
            new.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if time_lapse:
        lapse.add(result.picture)
        save_time_lapse(lapse.frames, time_lapse)
    if result.warning:
        console.print(result.warning, style="yellow", soft_wrap=True)
    console.print(f"{output}: {summary(kept)}", soft_wrap=True)


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
    known = {**hub.styles(), **all_methods(), **all_presets()}
    chosen = [pick("preset, method or checkpoint", name, known) for name in names or known]
    for entry in [entry for entry in chosen if isinstance(entry, hub.Entry)]:
        console.print(fast_summary(gallery_module.render_instant(entry, output).report))
    for method in [method for method in chosen if isinstance(method, MethodPreset)]:
        rendered = gallery_module.render_method(method, output).report
        console.print(method_summary({"method": method.name, **rendered}))
    for preset in [preset for preset in chosen if isinstance(preset, Preset)]:
        result = last(_shown(gallery_module.render(preset, output), preset.name))
        console.print(f"{preset.name}: {summary(result.report)}")


class Plan(NamedTuple):
    """What to paint: the preset's name, the settings, and the precision of a result to repeat."""

    preset: str
    recipe: Recipe
    precision: str | None = None


def _begun(preset: str) -> Plan:
    """From a preset. Raises `UnknownName`."""
    return Plan(preset, get(preset).recipe)


def _repeated(path: Path) -> Plan:
    """From a saved picture or report, which may hold anything. Raises `Problem`."""
    model = read_report(path, OWN_FILE)
    if "method" in model:
        method = _word(model, "method", path)
        pick("method", method, all_methods())
        raise BadSetting(
            f"`{path}` was painted in one pass: use `python -m nst swap --method {method}` with "
            "the settings in the file."
        )
    if "checkpoint" in model:
        source = _word(model["checkpoint"], "from", path)
        raise BadSetting(
            f"`{path}` was painted in one pass: use `python -m nst fast` with the checkpoint "
            f"{source} and the settings in the file."
        )
    recipe = Recipe.read(model["settings"])
    preset = _word(model, "preset", path) if "preset" in model else DEFAULT
    precision = _word(model, "precision", path) if "precision" in model else None
    return Plan(preset, recipe, precision)


def _word(tree: object, key: str, path: Path) -> str:
    """The text under a key of a report. Raises `BadSetting` if there is none to print."""
    found = tree.get(key) if isinstance(tree, Mapping) else None
    if not isinstance(found, str) or not found.isprintable():
        raise BadSetting(f"`{key}` in `{path}` is {shortened(found)}; it must be a name.")
    return found


def _changed(
    recipe: Recipe,
    size: int | None,
    iterations: int | None,
    seed: int | None,
    settings: list[str],
) -> Recipe:
    changes: dict[str, object] = {**changed_settings(settings)}
    changes |= {k: v for k, v in (("size", size), ("seed", seed)) if v is not None}
    recipe = recipe.but(changes)
    return recipe.with_iterations(iterations) if iterations is not None else recipe


def _label(source: str) -> str:
    return Path(source).name


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
            status = f"loss {step.losses.total:.3g}, {duration(step.seconds_left)} left"
            progress.update(bar, completed=step.index, total=step.total, status=status)
            yield step
