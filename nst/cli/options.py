"""Arguments and options that several commands have, with their help."""

from pathlib import Path
from typing import Annotated

import typer

Photo = Annotated[str, typer.Argument(help="A picture file, or the name of a bundled photo.")]
Painting = Annotated[str, typer.Argument(help="A picture file, or a bundled painting's name.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The result, a PNG file.")]
Size = Annotated[int | None, typer.Option(help="Pixels of the long side.")]
KeepColors = Annotated[bool, typer.Option("--keep-colors", help="Of the photo.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, by its dotted name."),
]
Numbers = Annotated[
    Path | None, typer.Option("--report", help="All numbers: .csv, or .json with the settings.")
]
Yes = Annotated[bool, typer.Option("--yes", help="However long it takes.")]
PhotoFolder = Annotated[Path, typer.Option("--photos", help="A folder of photos to learn on.")]
Weights = Annotated[Path, typer.Option("-o", "--output", help="The weights, .safetensors.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the state saved beside the output.")
]
Restart = Annotated[bool, typer.Option("--force", help="Overwrite an earlier training.")]
