"""What this machine offers: device, processors, memory, and which precision is faster on it.

A calibration foresees the seconds of a step. It is kept in the user's cache folder, and made again
where it is implausible or this machine does not keep to it: it may have been made while others used
the machine. Precisions are chosen by timing: a processor without bfloat16 matrix instructions
emulates them, slower than float32.
"""

import ctypes
import json
import math
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import psutil
import torch
from torch import Tensor

from nst import __version__
from nst.files import BadOutput, whole
from nst.names import pick
from nst.nn.losses import added, gram_matrix, style_loss
from nst.nn.vgg import Backbone, bfloat16_works

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
GROUP = Path("/sys/fs/cgroup")  # where Linux tells a container's limits
# Limit, use, counts, and which of these gives way to a run: versions 2 and 1 of control groups.
MEMORY_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
QUOTA_FILES = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))

PROBE_SIDES = (128, 256)  # square pictures whose steps are timed
PROBE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
ROUNDS = (3, 8)  # of timing, at least and at most; the fastest counts …
CONFIRMED = 1.1  # … once another step took no longer than so many times as long
CHECKS = 2  # steps by which a kept calibration is checked
KEPT_TO = (0.6, 2.5)  # shares of the time it foresees between which they must take
FRESH = 60.0  # seconds for which a measurement is not made again
MOST_PACE = 8.0  # times as fast or as slow as measured, that runs may make a machine
PLAUSIBLE = {
    "fixed": (1e-4, 10.0),
    "per_pixel": (1e-10, 1e-3),
    "float32_per_pixel": (1e-10, 1e-3),
}


@dataclass(frozen=True)
class Calibration:
    """Seconds of a VGG-19 step: `fixed` + `per_pixel` times the pixels, in `precision`.

    `float32_per_pixel` is the same slope in float32, for runs that ask for it.
    """

    precision: str
    fixed: float
    per_pixel: float
    float32_per_pixel: float

    @property
    def plausible(self) -> bool:
        """Whether a machine may be like that: a kept calibration may hold anything."""
        numbers = {name: getattr(self, name) for name in PLAUSIBLE}
        return (
            isinstance(self.precision, str)
            and self.precision in PRECISIONS
            and works(self.precision)
            and all(type(number) in (int, float) for number in numbers.values())
            and all(low <= numbers[name] <= high for name, (low, high) in PLAUSIBLE.items())
        )

    def step(self, side: int) -> float:
        """Seconds of a step on a square picture."""
        return self.fixed + self.per_pixel * side**2

    def times(self, pace: float) -> "Calibration":
        """The calibration of a machine that takes `pace` times as long."""
        return replace(self, **{name: pace * getattr(self, name) for name in PLAUSIBLE})


def device() -> torch.device:
    """CUDA, then Apple's MPS, then the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def works(precision: str) -> bool:
    """Whether this machine computes in it."""
    return precision == "float32" or bfloat16_works(device())


def nearest(precision: str) -> str:
    """The precision itself, or float32 where this machine cannot compute in it.

    Raises `UnknownName`.
    """
    pick("precision", precision, PRECISIONS)
    return precision if works(precision) else "float32"


def other_precision(wanted: str, taken: str) -> str:
    """A sentence for results where `taken` is not the `wanted` precision, else nothing."""
    if wanted == taken:
        return ""
    return (
        f"This machine cannot compute in {wanted}, so {taken} was taken: the picture may differ a "
        "little from one made in that."
    )


def processors(group: Path = GROUP) -> int:
    """Processors that this process may use: the affinity mask, cut by a container's quota."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    for names in QUOTA_FILES:
        with suppress(OSError, ValueError, ZeroDivisionError):
            words = [word for name in names for word in (group / name).read_text().split()]
            quota, period = map(int, words)
            if quota > 0:  # -1 stands for none
                count = min(count, max(1, quota // period))
    return count


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


def free_memory(group: Path = GROUP) -> int:
    """Bytes that a run may take: what the system, a container's limit or the GPU leaves."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    free = psutil.virtual_memory().available
    for limit_name, used_name, counts_name, spare in MEMORY_FILES:
        with suppress(OSError, ValueError, KeyError):
            limit, used = (int((group / name).read_text()) for name in (limit_name, used_name))
            lines = (group / counts_name).read_text().splitlines()
            counts = dict(line.split() for line in lines)
            free = min(free, limit - used + int(counts[spare]))
    return max(free, 0)


def _stepper(precision: str, side: int) -> Callable[[], float]:
    """Takes a step on a square picture, and tells its seconds. The first one is slower."""
    backbone = Backbone(dtype=PRECISIONS[precision], device=device())
    image = torch.full((1, 3, side, side), 128.0, device=device()).requires_grad_()
    targets: dict[str, Tensor] = {}

    @torch.enable_grad()
    def step() -> float:
        start = time.perf_counter()
        found = backbone.features(image, PROBE_LAYERS)
        if not targets:
            targets.update((name, gram_matrix(f.detach())) for name, f in found.items())
        total = added(style_loss(f, targets[name], "mean") for name, f in found.items())
        torch.autograd.grad(total, image)[0].sum().item()
        return time.perf_counter() - start

    return step


def _confirmed(times: Sequence[float]) -> bool:
    """Whether the fastest time was reached twice, so that it is the machine's own."""
    fastest, second, *_ = sorted(times)
    return second <= CONFIRMED * fastest


def _line(precision: str) -> tuple[float, float]:
    """Seconds of a step: a fixed part, and a part for each pixel."""
    steps = [_stepper(precision, side) for side in PROBE_SIDES]
    for step in steps:
        step()
    least, most = ROUNDS
    times: list[list[float]] = [[] for _ in steps]
    # In turn, so that what else the machine does slows both sizes.
    for done in range(most):
        if done >= least and all(map(_confirmed, times)):
            break
        for step, own in zip(steps, times, strict=True):
            own.append(step())
    (few, many), (small, large) = map(min, times), PROBE_SIDES
    slope = (many - few) / (large**2 - small**2)
    fixed = few - slope * small**2
    return max(fixed, PLAUSIBLE["fixed"][0]), max(slope, PLAUSIBLE["per_pixel"][0])


def measure(precision: str | None = None) -> Calibration:
    """Times steps for the given or the faster precision: for seconds, longer under load."""
    prepare()
    lines = {"float32": _line("float32")}
    if works("bfloat16"):
        with suppress(RuntimeError, NotImplementedError, AttributeError):  # a device without
            lines["bfloat16"] = _line("bfloat16")
    (_, exact), (_, narrow) = lines["float32"], lines.get("bfloat16", lines["float32"])
    chosen = precision or ("bfloat16" if narrow < 0.9 * exact else "float32")
    return Calibration(chosen, *lines[chosen], exact)


def _holds(found: Calibration) -> bool:
    """Whether this machine is about as fast as a calibration says."""
    prepare()
    step = _stepper(found.precision, PROBE_SIDES[0])
    step()
    share = min(step() for _ in range(CHECKS)) / found.step(PROBE_SIDES[0])
    least, most = KEPT_TO
    return least < share < most


def _identity() -> str:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    capability = torch.backends.cpu.get_cpu_capability()
    amx, narrow = torch.cpu._is_amx_tile_supported(), works("bfloat16")
    can = f"{capability} amx={amx} bfloat16={narrow} x{processors()}"
    return f"{platform.machine()} {name} {can}, torch {torch.__version__}, nst {__version__}"


def cache_folder() -> Path:
    """Where this program keeps what it learned: the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nst"


def _recalled() -> Calibration | None:
    """The calibration in the user's cache folder, if it is of this machine and holds."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        kept = json.loads((cache_folder() / "calibration.json").read_text())
        found = Calibration(**kept["calibration"])
        if kept["machine"] == _identity() and found.plausible and _holds(found):
            return found
    return None


def _keep(measured: Calibration) -> None:
    folder = cache_folder()
    with suppress(OSError, BadOutput):  # a read-only home: measured again next time
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / "calibration.json") as new:
            new.write_text(json.dumps({"machine": _identity(), "calibration": asdict(measured)}))


class Clock:
    """How fast this machine is: measured once, corrected by what runs took, measured anew if asked.

    Threads may share it. The precision stays as it was first found, so that the same run gives the
    same picture.
    """

    _measuring = threading.Lock()  # a second visitor waits, and reads what the first measured

    def __init__(self) -> None:
        """Knowing nothing yet."""
        self._changing = threading.Lock()
        self._measured: Calibration | None = None
        self._pace = 1.0  # times as long as measured, that runs took
        self._when = -math.inf  # of the last measurement in this process

    def calibration(self) -> Calibration:
        """What holds now."""
        if self._measured is None:
            with self._measuring:
                if self._measured is None:
                    self._measured = _recalled() or self._anew(None)
        with self._changing:
            return self._measured.times(self._pace)

    def renew(self, age: float = FRESH) -> None:
        """Measures again, unless that was done in the last `age` seconds."""
        precision = self.calibration().precision
        with self._measuring:
            if time.monotonic() - self._when >= age:
                measured = self._anew(precision)
                with self._changing:
                    self._measured, self._pace = measured, 1.0

    def learn(self, used: Calibration, share: float) -> None:
        """From steps that took `share` times as long as the calibration `used` foresaw.

        The machine has shown that it can be so fast. Where it was slow, others may be using it,
        and half of that is believed.
        """
        if not 0 < share < math.inf:
            return
        side = PROBE_SIDES[-1]
        with self._changing:
            seen = share * used.step(side) / (self._measured or used).step(side)
            pace = seen if seen < self._pace else math.sqrt(seen * self._pace)
            self._pace = min(max(pace, 1 / MOST_PACE), MOST_PACE)

    def _anew(self, precision: str | None) -> Calibration:
        measured = measure(precision)
        self._when = time.monotonic()
        _keep(measured)
        return measured


@cache
def clock() -> Clock:
    """This process's."""
    return Clock()


def calibration() -> Calibration:
    """What is known of this machine now: measured, and corrected by the runs of this process."""
    return clock().calibration()
