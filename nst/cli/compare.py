"""Commands that paint many variants: `python -m nst compare | sweep | reproduce`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from nst.cli.options import Numbers, Painting, Photo, Yes
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
from nst.files import whole
from nst.pictures.images import save_png
from nst.reports import reproduce as reproduction
from nst.settings.base import BadSetting
from nst.settings.catalog import DEFAULT_PRESET, paintings, photos
from nst.study import compare as comparison
from nst.study.choice import Comparison, Sweep
from nst.study.compare import Outcome, Progress
from nst.study.figures import figures
from nst.study.figures import find as find_figure
from nst.study.gallery import PAINTING, PHOTO
from nst.study.sheets import comparison_sheet, sheet_title, sweep_sheet
from nst.study.tables import as_csv, as_tree, row, shown
from nst.study.variants import STUDY_SIZE, Variant, refuse_if_too_long, seconds, varied_names


@errors_are_sentences
def compare(
    photo: Photo,
    painting: Painting,
    presets: Annotated[str | None, typer.Option(help="2 to 6 presets: a,b,c.")] = None,
    vary: Annotated[
        str | None,
        typer.Option(help="Instead: 2 to 6 values of one setting: key=v1,v2 or key=v1;v2."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help=f"What `--vary` varies: a preset, method or network; {DEFAULT_PRESET} if none."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels of the long side, for all; else each preset's own.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="For all variants.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The sheet, a PNG file.")
    ] = None,
    report: Numbers = None,
    yes: Yes = False,
) -> None:
    """Paint PHOTO and PAINTING with presets, methods or networks and measure the results."""
    if (presets is None) == (vary is None):
        raise BadSetting("Give `--presets a,b,c`, or `--vary key=v1,v2` with `--preset`.")
    if vary is None and preset is not None:
        raise BadSetting("`--preset` is what `--vary` varies; `--presets` has names of its own.")
    given = {"presets": presets, "preset": preset, "vary": vary}
    known = {name: value for name, value in given.items() if value is not None}
    by = "presets" if vary is None else "values"
    choice = Comparison.read({"by": by, "size": size, **known})
    variants = choice.variants(changed_settings(settings or []))
    outcomes = _painted(photo, painting, variants, [(output, ".png")], report, yes)
    if output:
        sources = Path(photo).name, Path(painting).name
        title = sheet_title(Path(photo).stem, Path(painting).stem, choice.subject)
        save_png(comparison_sheet(outcomes, title), output, as_tree(outcomes, *sources))
        console.print(f"{output}", soft_wrap=True)


@errors_are_sentences
def sweep(
    photo: Photo,
    painting: Painting,
    vary: Annotated[
        list[str],
        typer.Option(
            help=f"key=v1,v2,… once or twice: {', '.join(varied_names()[:6])}, any --set."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The grid, a PNG file.")],
    preset: Annotated[
        str, typer.Option(help="What is varied: a preset, method or network.")
    ] = DEFAULT_PRESET,
    size: Annotated[int, typer.Option(help="Pixels of the long side.")] = STUDY_SIZE,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="For all cells.")
    ] = None,
    report: Numbers = None,
    yes: Yes = False,
) -> None:
    """Paint a grid over one or two settings of a preset, method or network."""
    choice = Sweep.over(vary, preset=preset, size=size)
    variants = choice.variants(changed_settings(settings or []))
    outcomes = _painted(photo, painting, variants, [(output, ".png")], report, yes)
    tree = as_tree(outcomes, Path(photo).name, Path(painting).name)
    save_png(sweep_sheet(outcomes, choice.axes(), choice.subject).picture, output, tree)
    console.print(f"{output}", soft_wrap=True)


@errors_are_sentences
def reproduce(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tables and figures; see --list.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every one.")] = False,
    show: Annotated[bool, typer.Option("--list", help="What there is.")] = False,
    photo: Annotated[str, typer.Option(help="A picture file or a bundled photo.")] = PHOTO,
    painting: Annotated[str, typer.Option(help="A picture file or a bundled one.")] = PAINTING,
    size: Annotated[int, typer.Option(help="Pixels of the long side.")] = STUDY_SIZE,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A folder; finished runs in it are kept.")
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Also show them on the page of reports.")
    ] = False,
) -> None:
    """Paint the tables and figures of the reports and say how far they agree.

    What was painted before is not painted again; Ctrl-C stops, the same command goes on.
    """
    if show:
        for name, figure in figures().items():
            typer.echo(f"{name:24}{figure.title}\n{'':24}{figure.report}, {figure.place}")
        return
    if all_ == bool(names):
        raise BadSetting("Name tables and figures, or give `--all`. `--list` shows them.")
    if output is None:
        raise BadOutput("Give a folder with `-o`.")
    chosen = [find_figure(name) for name in names or figures()]
    if publish and (photo, painting, size) != (PHOTO, PAINTING, STUDY_SIZE):
        raise BadSetting("`--publish` is for the default photo, painting and size.")
    pictures = open_named(photo, photos()), open_named(painting, paintings())
    output.mkdir(parents=True, exist_ok=True)
    for figure in chosen:
        steps = reproduction.paint(figure, *pictures, output, size)
        foreseen = sum(seconds(figure.variants(size), *(picture.size for picture in pictures)))
        console.print(f"{figure.name}: about {duration(foreseen)}, less what is done already")
        outcomes = _watched(steps, figure.name)
        if len(outcomes) < len(figure.cells):  # stopped; the next time goes on from here
            return
        if publish:
            reproduction.publish(figure, output)
        kept = json.loads((output / f"{figure.name}.json").read_text("utf-8"))
        console.print(f"{figure.name}: {kept['agreement']}", soft_wrap=True)


def _painted(
    photo: str,
    painting: str,
    variants: Sequence[Variant],
    outputs: Sequence[tuple[Path | None, str]],
    report: Path | None,
    yes: bool,
) -> tuple[Outcome, ...]:
    sources = [photo, painting]
    for path, suffix in outputs:
        check_output(path, suffix, sources)
    if report:
        if report.suffix.lower() not in (".csv", ".json"):
            raise BadOutput(f"`{report}` must end with .csv or .json.")
        check_output(report, report.suffix.lower(), sources)
    pictures = open_named(photo, photos()), open_named(painting, paintings())
    sizes = pictures[0].size, pictures[1].size
    foreseen = sum(seconds(variants, *sizes)) if yes else refuse_if_too_long(variants, *sizes)
    count = "1 variant" if len(variants) == 1 else f"{len(variants)} variants"
    console.print(f"{count}, about {duration(foreseen)}")
    outcomes = _watched(comparison.run(*pictures, variants), "")
    if report:
        names = Path(photo).name, Path(painting).name
        as_json = json.dumps(as_tree(outcomes, *names), indent=1, ensure_ascii=False) + "\n"
        text = as_csv(outcomes) if report.suffix.lower() == ".csv" else as_json
        with whole(report) as new:
            new.write_text(text, "utf-8")
    return outcomes


def _watched(steps: Iterator[Progress], title: str) -> tuple[Outcome, ...]:
    """The outcomes, with a progress bar. Ctrl-C keeps those that are done."""
    outcomes: tuple[Outcome, ...] = ()
    try:
        with progress_bar() as bar:
            task = bar.add_task(title, total=1, status="")
            for at in steps:
                for outcome in at.outcomes[len(outcomes) :]:
                    _print(outcome)
                outcomes = at.outcomes
                name = at.painting.title if at.painting else ""
                status = f"{name}, {duration(at.seconds_left)} left"
                done, total = len(outcomes), len(at.variants)
                bar.update(task, completed=done, total=total, status=status)
    except KeyboardInterrupt:
        if not outcomes:
            console.print("Stopped before the first one was done; nothing is kept.")
            raise typer.Exit(130) from None
        console.print(f"Stopped; keeping the {len(outcomes)} that are done.")
    return outcomes


def _print(outcome: Outcome) -> None:
    numbers = row(outcome)
    if outcome.error:
        console.print(f"{outcome.variant.title}: {outcome.error}", style="red", soft_wrap=True)
        return
    if numbers["warning"]:
        console.print(numbers["warning"], style="yellow", soft_wrap=True)
    console.print(
        f"{outcome.variant.title}: content {numbers['content_score']:.0f}, "
        f"style {numbers['style_score']:.0f} of 100; {shown(numbers['seconds'])} s, "
        f"total {shown(numbers['total_loss'])}, common {shown(numbers['common_total'])}",
        soft_wrap=True,
    )
