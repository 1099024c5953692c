"""The command for any painting in one pass: `python -m nst swap`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from nst.cli.options import KeepColors, Output, Painting, Photo, Size
from nst.cli.terminal import check_output, console, errors_are_sentences, open_named
from nst.engines.anypainting import Style
from nst.engines.outputs import summary
from nst.engines.painters import AnyPainting
from nst.nn.transforms import TRANSFORMS
from nst.pictures.images import save_png
from nst.settings.base import BadSetting
from nst.settings.catalog import paintings, photos
from nst.settings.onepass import all_methods, method
from nst.steps import last

PATCHES = "swap."  # before the names of settings that only a search for patches heeds


@errors_are_sentences
def swap(
    photo: Photo,
    painting: Painting,
    output: Output,
    name: Annotated[
        str | None,
        typer.Option(
            "--method",
            help="Such as adain; an unknown name lists all. Default: the first.",
        ),
    ] = None,
    patch: Annotated[
        int | None, typer.Option(help="Side of a patch, in positions of features.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Between the painting's patches; 2 is faster and coarser.")
    ] = None,
    balance: Annotated[
        float | None, typer.Option(help="0 to 1: how evenly the painting's patches are used.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="0: the photo's own features, 1: full style.")
    ] = None,
    size: Size = None,
    stroke: Annotated[
        float | None, typer.Option(help="Long side of the painting relative to the photo's.")
    ] = None,
    keep_colors: KeepColors = False,
    mix: Annotated[
        list[str] | None,
        typer.Option(metavar="PAINTING=WEIGHT", help="Another painting; the first one has 1."),
    ] = None,
) -> None:
    """Paint PHOTO like any PAINTING in one pass, with no training."""
    options = {
        "swap.patch": patch,
        "swap.stride": stride,
        "swap.balance": balance,
        "strength": strength,
        "size": size,
        "stroke": stroke,
        "keep_colors": keep_colors or None,
    }
    given = {key: value for key, value in options.items() if value is not None}
    chosen = next(iter(all_methods().values())) if name is None else method(name)
    if not TRANSFORMS[chosen.settings.method].searches:
        _refuse_patches(given, chosen.title)
    settings = chosen.settings.but(given)
    others = _weighted(mix or [])
    check_output(output, ".png", [photo, painting, *(other for other, _ in others)])
    styles = (
        Style(open_named(other, paintings()), weight, Path(other).name) for other, weight in others
    )
    painter = AnyPainting(settings, others=tuple(styles))
    result = last(painter.paint(open_named(photo, photos()), open_named(painting, paintings())))
    report = painter.signed(result.report, chosen.name, Path(photo).name, Path(painting).name)
    save_png(result.picture, output, report.as_dict())
    console.print(f"{output}: {summary(report)}", soft_wrap=True)


def _refuse_patches(given: Mapping[str, object], title: str) -> None:
    """Raises `BadSetting` for the first setting of patches."""
    for key in given:
        if key.startswith(PATCHES):
            option = f"--{key.removeprefix(PATCHES)}"
            raise BadSetting(f"`{option}` is for style swap; {title} has no patches.", key)


def _weighted(texts: list[str]) -> list[tuple[str, float]]:
    """Paintings and their weights. Raises `BadSetting`."""
    found = []
    for text in texts:
        name, _, weight = text.rpartition("=")
        try:
            found.append((name, float(weight)))
        except ValueError:
            name = ""
        if not name:
            raise BadSetting(
                f"`--mix {text}` needs the form painting=weight, such as starry_night=0.5."
            )
    return found
