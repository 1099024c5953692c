"""The command for any painting in one pass: `python -m nst swap`."""

from pathlib import Path
from typing import Annotated

import typer

from nst.cli.terminal import (
    check_output,
    console,
    errors_are_sentences,
    open_named,
)
from nst.engines.anypainting import Style, stylize
from nst.engines.outputs import method_summary
from nst.pictures.images import save_png
from nst.settings.base import BadSetting
from nst.settings.catalog import paintings, photos
from nst.settings.onepass import all_methods, method
from nst.steps import last


@errors_are_sentences
def swap(
    photo: Annotated[str, typer.Argument(help="A picture file, or the name of a bundled photo.")],
    painting: Annotated[str, typer.Argument(help="A picture file, or a bundled painting's name.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The result, a PNG file.")],
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
    size: Annotated[int | None, typer.Option(help="Pixels of the long side.")] = None,
    stroke: Annotated[
        float | None, typer.Option(help="Long side of the painting relative to the photo's.")
    ] = None,
    keep_colors: Annotated[bool, typer.Option("--keep-colors", help="Of the photo.")] = False,
    mix: Annotated[
        list[str] | None,
        typer.Option(metavar="PAINTING=WEIGHT", help="Another painting; the first one has 1."),
    ] = None,
) -> None:
    """Paint PHOTO like any PAINTING in one pass, with no training."""
    given = {
        "swap.patch": patch,
        "swap.stride": stride,
        "swap.balance": balance,
        "strength": strength,
        "size": size,
        "stroke": stroke,
        "keep_colors": keep_colors or None,
    }
    chosen = next(iter(all_methods().values())) if name is None else method(name)
    patches = {"--patch": patch, "--stride": stride, "--balance": balance}
    unused = [option for option, value in patches.items() if value is not None]
    if unused and chosen.settings.method != "style-swap":
        raise BadSetting(f"`{unused[0]}` is for style swap; {chosen.title} has no patches.")
    settings = chosen.settings.but({key: v for key, v in given.items() if v is not None})
    others = _mixed(mix or [])
    sources = [photo, painting, *(name for name, _ in others)]
    check_output(output, ".png", sources)
    styles = [Style(open_named(painting, paintings()))]
    styles += [Style(open_named(other, paintings()), weight) for other, weight in others]
    result = last(stylize(open_named(photo, photos()), styles, settings))
    labels = [Path(source).name for source in sources[1:]]
    report = {
        "method": chosen.name,
        "photo": Path(photo).name,
        "painting": labels[0],
        "paintings": labels,
        **result.report,
    }
    save_png(result.picture, output, report)
    console.print(f"{output}: {method_summary(report)}", soft_wrap=True)


def _mixed(texts: list[str]) -> list[tuple[str, float]]:
    """Paintings and weights. Raises `BadSetting`."""
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
