"""Speed and memory of the engine beside PyPI's pastiche, in one process run, as a table.

`python -m tests.benchmarks.run` after `pip install --no-deps -r tests/benchmarks/requirements.txt`.
Same pictures, objective and weights: pastiche's (L-BFGS, max pooling, Gram / positions, 10 / C²).
Each line that has a bound says whether it was met. Nothing else should run meanwhile.
"""

import argparse
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from nst.engines.estimate import work_per_pixel
from nst.engines.optimize import stylize
from nst.machine import calibration, prepare
from nst.pictures.images import open_picture, resized
from nst.settings.catalog import get, paintings, photos
from nst.settings.recipe import Recipe
from nst.steps import last

ROOT = Path(__file__).resolve().parents[2]
SIZE = (512, 384)
STEPS, OUR_STEPS = 200, 300  # ours go on until they reach the loss of 200 of theirs
CHANNELS = (64, 128, 256, 512, 512)
PASTICHE = Recipe.read(
    {
        "content": {"weight": 0.01},
        "style": {
            "weight": 10.0,
            "layers": {f"conv{b}_1": c**-2 for b, c in enumerate(CHANNELS, 1)},
        },
        "optimizer": {"name": "lbfgs", "learning_rate": 1.0, "clamp": False},
        "pyramid": {"iterations": [OUR_STEPS]},
    }
)
MEMORY = """
import re, sys
from pathlib import Path
from nst.pictures.images import open_picture
from nst.engines.optimize import stylize
from nst.settings.catalog import get, paintings, photos
from nst.steps import last
recipe = get("quick").recipe.but({"size": int(sys.argv[1]), "pyramid.scales": "1",
                                  "pyramid.iterations": "12"})
photo = open_picture(photos()["brandenburg_gate"].path)
last(stylize(photo, open_picture(paintings()["starry_night"].path), recipe))
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e6)
"""


def matrix_rate(dtype: torch.dtype) -> float:
    """Best multiplications and additions a second of a 4096 x 4096 matrix product."""
    a = torch.randn(4096, 4096).to(dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * 4096**3 / min(times)


def ours(photo: Path, painting: Path) -> tuple[list[float], list[float]]:
    """Total and seconds after each step."""
    totals, seconds = [], []
    for step in stylize(open_picture(photo), open_picture(painting), PASTICHE):
        totals.append(step.losses.total)
        seconds.append(step.seconds)
    return totals, seconds


def theirs(photo: Path, painting: Path) -> tuple[list[float], list[float]]:
    """Total and seconds after each of pastiche's steps, without its start-up."""
    from pastiche.pastiche import PasticheArtist

    artist = PasticheArtist(content=str(photo), styles=[str(painting)])
    totals, seconds, start = [], [], time.perf_counter()
    for _ in range(STEPS):
        artist.draw()
        totals.append(artist.loss)
        seconds.append(time.perf_counter() - start)
    return totals, seconds


def peak_memory(size: int) -> float:
    """GB of a fresh process that runs `quick`'s objective at this size."""
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(size)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout)


def start_up() -> float:
    """Seconds from `python app.py` to an answered page."""
    port = "7899"
    environment = os.environ | {"GRADIO_SERVER_PORT": port}
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    ) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/config", server)
            return time.perf_counter() - start
        finally:
            server.terminate()


def wait_for(url: str, server: subprocess.Popen) -> None:
    """Until the server answers."""
    while True:
        try:
            with urllib.request.urlopen(url) as page:
                page.read()
            return
        except OSError:
            if server.poll() is not None:
                raise RuntimeError("the server ended before it answered") from None
            time.sleep(0.05)


def preset_seconds(name: str) -> float:
    """Of a preset at its own size, on the square photo, its most expensive shape."""
    photo = open_picture(photos()["astronaut"].path)
    painting = open_picture(paintings()["starry_night"].path)
    return float(last(stylize(photo, painting, get(name).recipe)).report.seconds)


def bound(value: float, limit: float, at_least: bool = False) -> str:
    """Whether a figure keeps its bound."""
    met = value >= limit if at_least else value <= limit
    return f"{'at least' if at_least else 'at most'} {limit:g}: {'met' if met else 'MISSED'}"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"), help="for the two pictures")
    folder = parser.parse_args().folder
    prepare()
    machine = calibration()
    photo, painting = folder / "benchmark-photo.png", folder / "benchmark-painting.png"
    resized(open_picture(photos()["brandenburg_gate"].path), SIZE).save(photo)
    picture = open_picture(paintings()["starry_night"].path)
    resized(picture, (512, round(512 * picture.height / picture.width))).save(painting)

    table = Table("what", "measured", "bound")
    start = start_up()
    table.add_row("from `python app.py` to the page", f"{start:.1f} s", bound(start, 5))
    rate = matrix_rate(torch.bfloat16 if machine.precision == "bfloat16" else torch.float32)
    table.add_row(f"matrix product, {machine.precision}", f"{rate / 1e9:.0f} GFLOP/s", "")
    mine, my_seconds = ours(photo, painting)
    peer, peer_seconds = theirs(photo, painting)
    mine_each, peer_each = my_seconds[-1] / OUR_STEPS, peer_seconds[-1] / STEPS
    table.add_row("ours, seconds a step", f"{mine_each:.3f}", "")
    table.add_row("pastiche, seconds a step", f"{peer_each:.3f}", "")
    speed = peer_each / mine_each
    table.add_row("steps a second, ours : pastiche", f"{speed:.2f}", bound(speed, 2.2, True))
    table.add_row(
        f"loss after {STEPS} steps, ours / pastiche", f"{mine[STEPS - 1]:.0f} / {peer[-1]:.0f}", ""
    )
    reached = next(
        (s for total, s in zip(mine, my_seconds, strict=True) if total <= peer[-1]), None
    )
    share = (reached or float("inf")) / peer_seconds[-1]
    table.add_row("time to pastiche's loss, share of its time", f"{share:.2f}", bound(share, 0.4))
    work = 4 * work_per_pixel("vgg19", PASTICHE.layers) * SIZE[0] * SIZE[1]
    used = work / mine_each / rate
    table.add_row("share of the matrix-product rate", f"{used:.2f}", bound(used, 0.8, True))
    for size, limit in ((512, 2), (1024, 5)):
        memory = peak_memory(size)
        table.add_row(f"peak memory at {size}", f"{memory:.2f} GB", bound(memory, limit))
    for name, limit in (("quick", 15), ("showcase", 60)):
        seconds = preset_seconds(name)
        table.add_row(f"`{name}` at 512 x 512", f"{seconds:.1f} s", bound(seconds, limit))
    Console().print(table)


if __name__ == "__main__":
    main()
