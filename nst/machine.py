"""What this machine offers: device, processors, memory, and which precision is faster on it.

A calibration is kept in the user's cache folder, and made again where the machine turns out to be
faster than it says: the first may have been made while others used the machine. Precisions are
chosen by timing: a processor without bfloat16 matrix instructions emulates them, slower than
float32.
"""

import ctypes
import json
import os
import platform
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import psutil
import torch
from torch import Tensor

from nst import __version__
from nst.backbones import Backbone
from nst.losses import gram_matrix, style_loss

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PROBE_SIDES = (128, 256)  # square pictures whose steps are timed
REPEATS = 5  # of which the fastest counts: others may be using the machine
CHECKS = 2  # steps by which a kept calibration is checked
TOO_SLOW = 0.6  # share of the time it foresees in which they must not be done
PROBE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


@dataclass(frozen=True)
class Calibration:
    """Seconds of a VGG-19 step: `fixed` + `per_pixel` times the pixels, in `precision`.

    `float32_per_pixel` is the same slope in float32, for runs that ask for it.
    """

    precision: str
    fixed: float
    per_pixel: float
    float32_per_pixel: float


def device() -> torch.device:
    """CUDA, then Apple's MPS, then the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def processors() -> int:
    """Processors that this process may use: the affinity mask, cut by a container's quota."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, max(1, int(quota) // int(period)))
    return count


_MEASURING = threading.Lock()  # a second visitor waits, and reads what the first measured


@cache
def prepare() -> None:
    """Once a process: one thread a processor, and freed memory kept for the next step.

    Each step needs the same large blocks. The C library would give them back to the system and
    have every page cleared anew, which takes a tenth to a fifth of a step.
    """
    torch.set_num_threads(processors())
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        trim_threshold, mmap_max, arena_max = -1, -4, -8
        mallopt(arena_max, 1)
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


def release() -> None:
    """Gives memory that `prepare` and CUDA keep back to the system, after a run."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def free_memory() -> int:
    """Bytes that a run may take: what the system, a container's limit or the GPU leaves."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError, KeyError):
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{x}").read_text()) for x in ("max", "current"))
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(counts["inactive_file"]))  # files give way to a run
    return max(free, 0)


@torch.enable_grad()
def _probe(precision: str, side: int, repeats: int) -> float:
    backbone = Backbone(dtype=PRECISIONS[precision], device=device())
    image = torch.full((1, 3, side, side), 128.0, device=device()).requires_grad_()
    targets: dict[str, Tensor] = {}
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        found = backbone.features(image, PROBE_LAYERS)
        if not targets:
            targets = {name: gram_matrix(f.detach()) for name, f in found.items()}
        total = sum(style_loss(f, targets[name], "mean") for name, f in found.items())
        torch.autograd.grad(total, image)[0].sum().item()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def measure() -> Calibration:
    """Times a few steps, one to two seconds in all."""
    prepare()
    fixed, slope = _line("float32")
    with suppress(RuntimeError, NotImplementedError, AttributeError):  # no bfloat16 here
        fixed_narrow, slope_narrow = _line("bfloat16")
        if slope_narrow < 0.9 * slope:
            return Calibration("bfloat16", fixed_narrow, slope_narrow, slope)
    return Calibration("float32", fixed, slope, slope)


def _holds(found: Calibration) -> bool:
    """Whether this machine is not much faster than a calibration says."""
    prepare()
    side = PROBE_SIDES[0]
    foreseen = found.fixed + found.per_pixel * side**2
    return _probe(found.precision, side, CHECKS) > TOO_SLOW * foreseen


def _line(precision: str) -> tuple[float, float]:
    """Seconds of a step: a fixed part, and a part for each pixel."""
    small, large = PROBE_SIDES
    few, many = (_probe(precision, side, REPEATS) for side in PROBE_SIDES)
    slope = max((many - few) / (large**2 - small**2), 1e-10)
    return max(few - slope * small**2, 1e-4), slope


def _identity() -> str:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    capability = torch.backends.cpu.get_cpu_capability()
    amx = torch.cpu._is_amx_tile_supported()
    versions = f"torch {torch.__version__}, nst {__version__}"
    return f"{platform.machine()} {name} {capability} amx={amx} x{processors()}, {versions}"


def cache_folder() -> Path:
    """Where this program keeps what it learned: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nst"


@cache
def calibration() -> Calibration:
    """The measurement of this machine, from the user's cache folder where it holds."""
    folder = cache_folder()
    path = folder / "calibration.json"
    with _MEASURING:
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(path.read_text())
            found = Calibration(**kept["calibration"])
            if kept["machine"] == _identity() and _holds(found):
                return found
        measured = measure()
        with suppress(OSError):  # a read-only home: measured again next time
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
                json.dump({"machine": _identity(), "calibration": asdict(measured)}, file)
            Path(file.name).replace(path)
        return measured
