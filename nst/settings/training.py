"""Settings of a training, and the named ones in `presets/training`."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from nst.names import pick
from nst.nn.losses import NORMALIZATIONS
from nst.nn.muon import OPTIMIZERS
from nst.nn.vgg import DECODED, NETWORKS, layer_name
from nst.settings.base import Section, Settings, blank_is_none, one_of
from nst.settings.catalog import ROOT
from nst.settings.files import read
from nst.settings.recipe import BackboneSettings, ContentSettings, StyleSettings, VariationSettings

DEFAULT_TRAINING = "ours"
DEFAULT_INVERSE = "conv3_1"  # of a decoder


class NetworkSettings(Section):
    """Size of the network that is trained."""

    width: int = Field(16, ge=4, le=64, multiple_of=4, description="channels at full size")
    blocks: int = Field(5, ge=1, le=16, description="residual blocks")


class DataSettings(Section):
    """What a step sees."""

    side: int = Field(256, ge=64, le=1024, multiple_of=8, description="pixels of a square crop")
    batch: int = Field(4, ge=1, le=64, description="crops a step, of all processes together")
    flip: bool = Field(True, description="half of the crops left to right")
    recolor: float = Field(
        0.0, ge=0, le=1, description="share of crops with channels shuffled and saturation changed"
    )


class ScheduleSettings(Section):
    """How long, and how fast."""

    iterations: int = Field(2000, ge=1, le=1_000_000)
    epochs: Annotated[float | None, BeforeValidator(blank_is_none)] = Field(
        None, gt=0, le=1000, description="passes over the photos, instead of iterations"
    )
    optimizer: Annotated[str, *one_of("optimizer", OPTIMIZERS)] = Field(
        "adam", description="of the weights"
    )
    learning_rate: float = Field(1e-3, gt=0, le=1)
    end_share: float = Field(
        1.0, ge=0, le=1, description="of the learning rate, reached along a cosine"
    )
    warm_up: int = Field(0, ge=0, description="iterations until the learning rate is reached")


class StyleScheduleSettings(ScheduleSettings):
    """The same, and how the style sets in."""

    style_ramp: int = Field(0, ge=0, description="iterations until the style weight is reached")


class StabilitySettings(Section):
    """Noise in the photo must not change the result (ceshine's fast-neural-style, notebook 5)."""

    weight: float = Field(0.0, ge=0, le=1e9, description="0: not asked for")
    deviation: float = Field(10.0, gt=0, le=255, description="of the noise, in 0..255")


class BaseTrainingRecipe(Settings):
    """What every training has, whatever is learned."""

    seed: int = Field(0, ge=0, le=2**31 - 1)
    data: DataSettings = DataSettings()
    schedule: ScheduleSettings = ScheduleSettings()

    def iterations(self, photos: int) -> int:
        """Steps of a training on so many photos."""
        if self.schedule.epochs is None:
            return self.schedule.iterations
        return max(1, round(self.schedule.epochs * photos / self.data.batch))


class TrainingRecipe(BaseTrainingRecipe):
    """All settings of a training. Losses are those of a `Recipe`, averaged over the batch."""

    schedule: StyleScheduleSettings = StyleScheduleSettings()
    normalization: Annotated[str, *one_of("normalization", NORMALIZATIONS)] = Field("mean")
    network: NetworkSettings = NetworkSettings()
    backbone: BackboneSettings = BackboneSettings(network="vgg16")
    content: ContentSettings = ContentSettings(weight=1.0, layers={"conv2_2": 1.0})
    style: StyleSettings = StyleSettings()
    tv: VariationSettings = VariationSettings()
    stability: StabilitySettings = StabilitySettings()

    @field_validator("content", "style")
    @classmethod
    def _layers_exist(
        cls, section: ContentSettings | StyleSettings, info: ValidationInfo
    ) -> ContentSettings | StyleSettings:
        network = info.data.get("backbone", BackboneSettings()).network
        named = {layer_name(network, k): w for k, w in section.layers.items() if w > 0}
        if not named:
            raise ValueError(f"`{info.field_name}.layers` must name a layer")
        return section.model_copy(update={"layers": named})

    @field_validator("content")
    @classmethod
    def _of_the_photo(cls, content: ContentSettings) -> ContentSettings:
        if content.target != "photo":
            raise ValueError(
                "a training compares with the photo itself: `content.target` must be photo"
            )
        return content

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that the losses read, in the order of the loss network."""
        read = {*self.content.layers, *self.style.layers}
        return tuple(name for name in NETWORKS[self.backbone.network].layers if name in read)


class InverseRecipe(BaseTrainingRecipe):
    """All settings of a decoder's training. Losses are means over all values of a batch."""

    layer: Annotated[str, *one_of("layer of a decoder", dict.fromkeys(DECODED))] = Field("conv3_1")
    feature: float = Field(
        1.0, ge=0, le=1e9, description="squared error of features, in deviations of a channel"
    )
    image: float = Field(1.0, ge=0, le=1e9, description="squared error of pixels, over 63.75")
    color: float = Field(
        0.0, ge=0, le=1e9, description="squared error of means of 16 x 16 pixels, over 63.75"
    )
    grid: float = Field(
        0.0, ge=0, le=1e9, description="squared error that repeats at all positions, over 63.75"
    )
    tv: float = Field(1e-4, ge=0, le=1e9, description="total variation of pixels over 63.75")


NETWORKS_FOLDER, DECODERS_FOLDER = ROOT / "training", ROOT / "training" / "inverse"
R = TypeVar("R", bound=BaseTrainingRecipe)


class Training(BaseModel, Generic[R]):
    """A training recipe and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    source: str
    note: str = ""
    recipe: R


def all_trainings() -> Mapping[str, Training[TrainingRecipe]]:
    """Every recipe of a transformer network's training, by name. Raises `BadFile`."""
    return {name: training(name) for name in _files(NETWORKS_FOLDER)}


def inverse_trainings() -> Mapping[str, Training[InverseRecipe]]:
    """Every recipe of a decoder's training, by name. Raises `BadFile`."""
    return {name: inverse_training(name) for name in _files(DECODERS_FOLDER)}


def training(name: str) -> Training[TrainingRecipe]:
    """The one of that name. Raises `UnknownName` with the closest one, and `BadFile`."""
    path = pick("training recipe", name, _files(NETWORKS_FOLDER))
    return _read(path, Training[TrainingRecipe], TrainingRecipe)


def inverse_training(name: str) -> Training[InverseRecipe]:
    """The one of that name. Raises `UnknownName` with the closest one, and `BadFile`."""
    path = pick("training recipe", name, _files(DECODERS_FOLDER))
    return _read(path, Training[InverseRecipe], InverseRecipe)


@cache
def _read(path: Path, kind: type[Training[R]], recipe: type[R]) -> Training[R]:
    return read(path, kind, recipe=recipe)


def _files(folder: Path) -> Mapping[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}
