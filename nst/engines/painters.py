"""What can paint: a preset's optimization, a method for any painting, a trained network.

Each kind is a class with its engine, the time it takes, and what judges of its results must know.
A new kind is one more class, offered by `painters`, found by `find` and repeated by `repeated`; its
engine has a name in `nst.report`, and its results one in `nst.study.gallery`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import ClassVar, Generic, NamedTuple, Self, TypeVar

from PIL.Image import Image

from nst.checkpoints import hub
from nst.checkpoints.failures import BUNDLED_WORK
from nst.engines import anypainting, optimize, trained
from nst.engines.anypainting import Style
from nst.engines.estimate import describe, duration, estimate, search_steps
from nst.engines.optimize import Memory
from nst.machine import nearest
from nst.names import UnknownName, suggest
from nst.nn.decoders import NETWORK, bundled_file
from nst.nn.transforms import TRANSFORMS
from nst.nn.vgg import NoWeights, needs_download
from nst.pictures.images import open_picture
from nst.report import RunReport
from nst.settings.base import DEFAULT_SIZE, BadSetting, Settings
from nst.settings.catalog import all_presets, get, paintings, preset_files
from nst.settings.onepass import MethodSettings, TrainedSettings, all_methods, method, method_files
from nst.settings.recipe import LARGEST, SMALLEST, Recipe
from nst.steps import Step

COMMON = "original"  # the preset whose losses all results are compared under
ONE_PASS = 1.0  # steps of that preset that reading, changing and decoding a layer takes, about
TRAINED_ON = "vgg16"  # of a checkpoint that does not say whose losses it learned

Sizes = tuple[int, int]
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Painter(ABC, Generic[S]):
    """Something that paints a photo, with its settings.

    `precision` is `float32` or `bfloat16`, by default whichever this machine is faster with.
    """

    needs_painting: ClassVar[bool] = True

    settings: S
    precision: str | None = field(default=None, kw_only=True)

    def but(self, changes: Mapping[str, object]) -> Self:
        """The same with settings changed by dotted name. Raises `BadSetting`."""
        return replace(self, settings=self.settings.but(changes))

    @classmethod
    @abstractmethod
    def of(cls, report: RunReport) -> Self:
        """What painted the result that a report of its engine is of. Raises `Problem`."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Pixels of the result's long side."""

    @abstractmethod
    def paint(self, photo: Image, painting: Image, memory: Memory | None = None) -> Iterator[Step]:
        """The steps of a run, the last with the result. Raises its engine's errors."""

    def signed(self, report: RunReport, name: str, photo: str, painting: str) -> RunReport:
        """The report with the names of what painted and of the pictures that went in."""
        return report.but(preset=name, photo=photo, painting=painting)

    @abstractmethod
    def expected(self, photo: Sizes, painting: Sizes) -> tuple[float, float]:
        """Seconds of a run on pictures of these (width, height), and of an optimization's step."""

    def described(self, photo: Sizes, painting: Sizes) -> str:
        """What a run takes, for people."""
        return f"about {duration(max(1, self.expected(photo, painting)[0]))}"

    @abstractmethod
    def weights(self) -> str:
        """SHA-256 of the trained weights that it paints with; empty where there are none."""

    @abstractmethod
    def backbone(self) -> str:
        """The network whose features were optimized, decoded or learned from."""

    @abstractmethod
    def refuse_download(self) -> None:
        """For visitors of the page: raises `Problem` if painting needs a download they may not."""


@dataclass(frozen=True)
class Optimization(Painter[Recipe]):
    """The optimization of a recipe, from `start` where it begins with a picture."""

    start: Image | None = None

    @classmethod
    def of(cls, report: RunReport) -> Self:
        """A painter with the settings and the precision of the report."""
        return cls(Recipe.read(report.settings), precision=report.precision)

    @property
    def size(self) -> int:
        """Pixels of the result's long side."""
        return self.settings.size

    def paint(self, photo: Image, painting: Image, memory: Memory | None = None) -> Iterator[Step]:
        """The steps of the optimization."""
        return optimize.stylize(
            *(photo, painting, self.settings),
            start=self.start,
            precision=self.precision,
            memory=memory,
        )

    def described(self, photo: Sizes, painting: Sizes) -> str:
        """Time and memory."""
        precision = self.precision and nearest(self.precision)
        return describe(estimate(self.settings, photo, painting, precision))

    def expected(self, photo: Sizes, painting: Sizes) -> tuple[float, float]:
        """Seconds of the run, and of its last step."""
        foreseen = estimate(self.settings, photo, painting)
        return foreseen.seconds, foreseen.levels[-1][1]

    def weights(self) -> str:
        """None are trained for it."""
        return ""

    def backbone(self) -> str:
        """The network whose features are optimized."""
        return self.settings.backbone.network

    def refuse_download(self) -> None:
        """Raises `NoWeights` if the backbone's weights are not here."""
        chosen = self.settings.backbone
        if needs_download(chosen.network, chosen.weights) and not hub.anything_goes():
            raise NoWeights(
                f"`backbone.weights={chosen.weights}` would be downloaded, which the owner of "
                "this page does not allow. `bundled` needs no download.",
                "backbone.weights",
            )


@dataclass(frozen=True)
class AnyPainting(Painter[MethodSettings]):
    """A method for any painting, mixed with `others` besides the given one, which has `weight`."""

    weight: float = 1.0
    others: tuple[Style, ...] = ()

    @classmethod
    def of(cls, report: RunReport) -> Self:
        """A painter with the settings, weights and bundled paintings of the report."""
        first, *others = report.weights or (1.0,)
        mixed = _mixed((report.paintings or ())[1:], others)
        settings = MethodSettings.read(report.settings)
        return cls(settings, first, mixed, precision=report.precision)

    @property
    def size(self) -> int:
        """Pixels of the result's long side."""
        return self.settings.size

    def paint(self, photo: Image, painting: Image, memory: Memory | None = None) -> Iterator[Step]:
        """The only step."""
        styles = [Style(painting, self.weight), *self.others]
        return anypainting.stylize(photo, styles, self.settings, self.precision)

    def signed(self, report: RunReport, name: str, photo: str, painting: str) -> RunReport:
        """The report with all paintings of a mixture."""
        paintings = (painting, *(style.name for style in self.others))
        return super().signed(report, name, photo, painting).but(method=name, paintings=paintings)

    def expected(self, photo: Sizes, painting: Sizes) -> tuple[float, float]:
        """Seconds of all layers and paintings, with a search of patches if the method has one."""
        chosen, step = self.settings, _step(self.size, photo, painting)
        searched = chosen.layers if TRANSFORMS[chosen.method].searches else ()
        passes = ONE_PASS * len(chosen.layers) * max(1, chosen.stroke**2)
        each = (passes + search_steps(searched, chosen.swap)) * step
        return (1 + len(self.others)) * each, step

    def weights(self) -> str:
        """SHA-256 of the decoders in use."""
        files = [bundled_file(layer, self.settings.decoders) for layer in self.settings.layers]
        return sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    def backbone(self) -> str:
        """The network whose features are decoded."""
        return NETWORK

    def refuse_download(self) -> None:
        """All decoders are bundled."""


@dataclass(frozen=True)
class TrainedNetwork(Painter[TrainedSettings]):
    """A trained network by its name in the catalog or its place on the Hub."""

    needs_painting: ClassVar[bool] = False

    checkpoint: str

    @classmethod
    def of(cls, report: RunReport) -> Self:
        """A painter with the settings of the report and the very checkpoint, loaded if need be."""
        source = report.checkpoint
        if source is None:
            raise BadSetting("The report names no `checkpoint`.", "checkpoint")
        known = hub.catalog().get(source.name)
        name = source.name if known and known.place == source.place else source.place
        if not (name == source.name or hub.SPECIFICATION.fullmatch(name)):
            raise BadSetting(
                f"`{name}` painted this, a file of somebody's own: give it to `python -m nst fast "
                "--checkpoint`.",
                "checkpoint",
            )
        settings = TrainedSettings.read(report.settings)
        found = cls(settings, name, precision=report.precision)
        here = found.weights()
        if source.sha256 not in ("", here):
            raise BadSetting(
                f"The checkpoint `{name}` is not the one that painted this (SHA-256 "
                f"{here[:12]}… instead of {source.sha256[:12]}…).",
                "checkpoint",
            )
        return found

    @property
    def size(self) -> int:
        """Pixels of the result's long side; 0 for those of the photo."""
        return self.settings.size or 0

    def paint(self, photo: Image, painting: Image, memory: Memory | None = None) -> Iterator[Step]:
        """The only step; the painting is left alone."""
        return trained.stylize(photo, self._loaded(), self.settings, self.precision)

    def signed(self, report: RunReport, name: str, photo: str, painting: str) -> RunReport:
        """The report without the painting, which it did not look at."""
        return report.but(preset=name, photo=photo)

    def expected(self, photo: Sizes, painting: Sizes) -> tuple[float, float]:
        """Seconds of one pass."""
        step = _step(self.size or max(photo), photo, painting)
        return ONE_PASS * step, step

    def weights(self) -> str:
        """SHA-256 of the checkpoint."""
        return self._loaded().sha256

    def backbone(self) -> str:
        """The network whose losses it learned."""
        training = self._loaded().checkpoint.notes.get("training", {}).get("settings", {})
        return training.get("backbone", {}).get("network", TRAINED_ON)

    def refuse_download(self) -> None:
        """Raises `HubProblem` or, for a checkpoint that is not in the catalog, `UnknownName`."""
        if not hub.anything_goes() and not hub.cached(hub.offered(self.checkpoint)):
            raise hub.HubProblem(
                f"`{self.checkpoint}` would be downloaded, which the owner of this page does not "
                f"allow. {BUNDLED_WORK}"
            )

    def _loaded(self) -> hub.Loaded:
        return hub.load(hub.find(self.checkpoint))


def _step(side: int, photo: Sizes, painting: Sizes) -> float:
    """Seconds of a step of the preset `COMMON` at `side` pixels, which may be beyond its range."""
    size = min(max(side, SMALLEST), LARGEST)
    usual = get(COMMON).recipe.but({"size": size})
    return estimate(usual, photo, painting).levels[-1][1] * (side / size) ** 2


class Offer(NamedTuple):
    """Something that can paint, as it is offered."""

    title: str
    painter: Painter


def painters() -> Mapping[str, Offer]:
    """Title and settings of everything that needs no download, by name. Raises `BadFile`."""
    return {name: find(name) for name in (*all_presets(), *all_methods(), *hub.bundled())}


def find(name: str) -> Offer:
    """The one of that name, of which alone the file is read.

    Raises `UnknownName` with the closest one, and `BadFile`.
    """
    if name in preset_files():
        return Offer(get(name).title, Optimization(get(name).recipe))
    if name in method_files():
        return Offer(method(name).title, AnyPainting(method(name).settings))
    if name in hub.bundled():
        settings = TrainedSettings(size=DEFAULT_SIZE)
        return Offer(f"{hub.bundled()[name].title} (trained)", TrainedNetwork(settings, name))
    known = (*preset_files(), *method_files(), *hub.bundled())
    raise UnknownName(f"Unknown preset `{name}`. {suggest(name, known)}")


def repeated(report: RunReport) -> Painter:
    """What painted the result that a report is of, by any engine and any version.

    Raises `Problem` where its settings do not fit, or its pictures or weights are not here.
    """
    kinds: Mapping[str, type[Painter]] = {
        "optimization": Optimization,
        "any painting": AnyPainting,
        "trained network": TrainedNetwork,
    }
    return kinds[report.engine].of(report)


def _mixed(names: tuple[str, ...], weights: list[float]) -> tuple[Style, ...]:
    """The bundled paintings of a mixture besides the first. Raises `BadSetting`."""
    if len(names) != len(weights):
        raise BadSetting(
            f"The report has {1 + len(weights)} weights for {1 + len(names)} mixed paintings.",
            "weights",
        )
    if own := [name for name in names if name not in paintings()]:
        raise BadSetting(
            f"`{own[0]}` was mixed in, which is no bundled painting: give it with "
            "`python -m nst swap --mix`."
        )
    bundled = (open_picture(paintings()[name].path) for name in names)
    return tuple(map(Style, bundled, weights, names))
