"""Every setting of a run, once: its label, help, range, default and check.

The page's inputs, the command line's `--set`, the preset files and the notes inside saved pictures
all read this module. A setting is named by its dotted path, such as `style.layers.conv4_1`.
"""

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nst.nn.losses import NORMALIZATIONS, STYLE_LOSSES, VARIATIONS
from nst.nn.style_swap import Patches
from nst.nn.vgg import ACTIVATIONS, NETWORKS, POOLINGS, SOURCES, layer_name
from nst.pictures.images import WORKING_SIDE, fit
from nst.settings.base import (
    DEFAULT_SIZE,
    BadSetting,
    Section,
    Settings,
    blank_is_none,
    flat,
    listed,
    one_of,
)

SMALLEST, LARGEST = 64, WORKING_SIDE  # pixels of the long side
MOST_ITERATIONS = 10_000


def _layer_weights(value: object) -> object:
    """`conv1_1=0.2, conv2_1` as a table; a layer without a number has weight 1."""
    if not isinstance(value, str):
        return value
    parts = (part.partition("=") for part in value.split(",") if part.strip())
    return {name.strip(): number.strip() or 1.0 for name, _, number in parts}


Weight = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
LayerWeights = Annotated[dict[str, Weight], BeforeValidator(_layer_weights)]
Activation = Annotated[str, *one_of("activation", ACTIVATIONS)]


class BackboneSettings(Section):
    """Which network reads the pictures, and how it was altered."""

    network: Annotated[str, *one_of("network", NETWORKS)] = Field("vgg19", title="Network")
    weights: Annotated[str, *one_of("weights", SOURCES)] = Field(
        "bundled",
        title="Weights",
        description="bundled: the original ones; torchvision: a download",
    )
    pooling: Annotated[str, *one_of("pooling", POOLINGS)] = Field(
        "max", title="Pooling", description="average is smoother (Gatys et al. 2016, section 2)"
    )
    activation: Activation = Field("relu", title="Activation")
    slope: float = Field(0.2, ge=0, le=1, title="Slope", description="of leaky_relu below zero")
    last_activation: Activation = Field(
        "relu", title="Last activation", description="of the last layer that the losses read"
    )


class ContentSettings(Section):
    """How much of the photo is kept, and what of it."""

    weight: Weight = Field(1e3, title="Content weight")
    layers: LayerWeights = Field(
        {"conv4_2": 1.0},
        title="Content layers",
        description="a lower layer keeps more of the photo (Peng and Zhang, section 3)",
    )
    target: Literal["photo", "swapped"] = Field(
        "photo",
        title="Content from",
        description="swapped: the photo's features put together from the painting's patches",
    )


class StyleSettings(Section):
    """How much of the painting is taken over, and what of it."""

    weight: Weight = Field(1.0, title="Style weight")
    loss: Annotated[str, *one_of("style loss", STYLE_LOSSES)] = Field(
        "gram", title="Style loss", description="what of the painting is matched (Li et al. 2017)"
    )
    layers: LayerWeights = Field(
        {f"conv{block}_1": 0.2 for block in range(1, 6)},
        title="Style layers",
        description="more conv4_1: detailed texture; more conv2_1: saturated color "
        "(Peng and Zhang, section 3)",
    )
    scale: float = Field(
        1.0,
        ge=0.1,
        le=4,
        title="Stroke size",
        description="long side of the painting relative to the photo's",
    )
    fit: Literal["whole", "crop"] = Field(
        "whole",
        title="Painting's shape",
        description="crop: cut to the photo's shape (Liu, Wang and Ding, section 5)",
    )


class SwapSettings(Section):
    """Which patches of the painting take the place of the photo's (Chen and Schmidt 2016)."""

    patch: int = Field(
        Patches.patch, ge=1, le=9, title="Patch", description="positions of a side, of features"
    )
    stride: int = Field(
        Patches.stride,
        ge=1,
        le=16,
        title="Stride",
        description="between the painting's patches: 2 leaves a quarter of them, is faster and "
        "finds less alike ones",
    )
    most: int = Field(
        Patches.most,
        ge=100,
        le=1_000_000,
        title="Most patches",
        description="of the painting that are searched; a larger stride leaves out the others",
    )
    balance: float = Field(
        Patches.balance,
        ge=0,
        le=1,
        title="Balance",
        description="0: any patch as often as it fits best; more: none too often",
    )

    def patches(self) -> Patches:
        """The same, for the engines."""
        return Patches(**self.model_dump())


class VariationSettings(Section):
    """How smooth the result must be."""

    weight: Weight = Field(
        0.0, title="Total variation weight", description="less noise, less detail"
    )
    kind: Annotated[str, *one_of("total variation", VARIATIONS)] = Field(
        "l2-mean", title="Total variation"
    )


class OptimizerSettings(Section):
    """How the pixels are moved. Learning rates are in units of 0..255."""

    name: Literal["adam", "lbfgs"] = Field("adam", title="Optimizer")
    learning_rate: float = Field(
        5.0,
        gt=0,
        le=1000,
        title="Learning rate",
        description="a large one with few steps is faster",
    )
    end_learning_rate: Annotated[float | None, BeforeValidator(blank_is_none)] = Field(
        None,
        gt=0,
        le=1000,
        title="Last learning rate",
        description="reached linearly, in each scale",
    )
    decay_iterations: Annotated[int | None, BeforeValidator(blank_is_none)] = Field(
        None,
        ge=1,
        le=MOST_ITERATIONS,
        title="Iterations of the decay",
        description="of each scale; all by default",
    )
    beta1: float = Field(0.9, ge=0, lt=1, title="beta 1", description="Adam")
    beta2: float = Field(0.999, ge=0, lt=1, title="beta 2", description="Adam")
    epsilon: float = Field(1e-8, gt=0, le=10, title="epsilon", description="Adam")
    history: int = Field(20, ge=1, le=200, title="History", description="L-BFGS, steps remembered")
    clamp: bool = Field(
        True, title="Clamp", description="to 0..255 after each step, not only at the end"
    )


class StartSettings(Section):
    """The picture that the optimization begins with."""

    image: Literal["photo", "noise", "painting", "picture"] = Field("photo", title="Start from")
    noise: float = Field(
        0.0, ge=0, le=1, title="Noise in the start", description="share of noise mixed in"
    )
    distribution: Literal["uniform", "normal"] = Field(
        "uniform", title="Noise", description="uniform: 0..255; normal: around the mean color"
    )
    deviation: float = Field(
        64.0, gt=0, le=255, title="Deviation", description="of normal noise, in 0..255"
    )


class PyramidSettings(Section):
    """Coarse to fine: each level starts from the result of the one before."""

    scales: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], BeforeValidator(listed)] = (
        Field(
            (1.0,),
            title="Scales",
            description="of the size, ascending, the last 1",
            min_length=1,
            max_length=8,
        )
    )
    iterations: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MOST_ITERATIONS)], ...], BeforeValidator(listed)
    ] = Field((200,), title="Iterations of each scale", min_length=1, max_length=8)

    @model_validator(mode="after")
    def _fits(self) -> "PyramidSettings":
        if len(self.scales) != len(self.iterations):
            raise ValueError(
                f"{len(self.scales)} scales need as many numbers of iterations, "
                f"not {len(self.iterations)}"
            )
        if list(self.scales) != sorted(set(self.scales)) or self.scales[-1] != 1:
            raise ValueError("scales must ascend and end with 1")
        return self


class Recipe(Settings):
    """All settings of a run. Frozen: `but` makes a changed copy."""

    size: int = Field(
        DEFAULT_SIZE, ge=SMALLEST, le=LARGEST, title="Size", description="pixels of the long side"
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, title="Seed")
    normalization: Annotated[str, *one_of("normalization", NORMALIZATIONS)] = Field(
        "mean", title="Normalization of the losses"
    )
    backbone: BackboneSettings = BackboneSettings()
    content: ContentSettings = ContentSettings()
    style: StyleSettings = StyleSettings()
    swap: SwapSettings = SwapSettings()
    tv: VariationSettings = VariationSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    start: StartSettings = StartSettings()
    pyramid: PyramidSettings = PyramidSettings()

    @field_validator("content", "style")
    @classmethod
    def _layers_exist(cls, section: Any, info: ValidationInfo) -> Any:
        backbone = info.data.get("backbone", BackboneSettings())
        named = {layer_name(backbone.network, k): w for k, w in section.layers.items()}
        return section.model_copy(update={"layers": {k: w for k, w in named.items() if w > 0}})

    @model_validator(mode="after")
    def _has_an_aim(self) -> "Recipe":
        if not (self.reads_content or self.reads_style):
            raise ValueError(
                "nothing to optimize: give `content.weight` or `style.weight` a number above 0, "
                "and a layer."
            )
        return self

    @property
    def reads_content(self) -> bool:
        """Whether the photo's features matter."""
        return self.content.weight > 0 and bool(self.content.layers)

    @property
    def reads_style(self) -> bool:
        """Whether the painting's statistics matter."""
        return self.style.weight > 0 and bool(self.style.layers)

    @property
    def swaps(self) -> bool:
        """Whether the painting's patches matter."""
        return self.reads_content and self.content.target == "swapped"

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that the losses read, in the order of the network."""
        read = set(self.content.layers if self.reads_content else ()) | set(
            self.style.layers if self.reads_style else ()
        )
        return tuple(name for name in NETWORKS[self.backbone.network].layers if name in read)

    def level_sizes(self, photo: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """Width and height of each level for a photo of this width and height."""
        return tuple(fit(photo, max(1.0, self.size * scale)) for scale in self.pyramid.scales)

    @property
    def iterations(self) -> int:
        """Steps of all levels together."""
        return sum(self.pyramid.iterations)

    def with_iterations(self, total: int) -> "Recipe":
        """`total` steps, shared by the levels of the pyramid as before, at least one each."""
        if not len(self.pyramid.scales) <= total <= MOST_ITERATIONS:
            raise BadSetting(
                f"`iterations` is {total}: it must be {len(self.pyramid.scales)} to "
                f"{MOST_ITERATIONS} for this preset.",
                "iterations",
            )
        shares, left, steps = list(self.pyramid.iterations), total, []
        while shares:
            steps.append(max(1, min(round(left * shares[0] / sum(shares)), left - len(shares) + 1)))
            left -= steps[-1]
            shares.pop(0)
        return self.but({"pyramid.iterations": steps})


@cache
def setting_names() -> tuple[str, ...]:
    """The dotted names of all settings."""
    return tuple(flat(Recipe()))


def setting_field(name: str) -> Any:
    """Pydantic's field of a dotted name: title, description, limits and default."""
    section, _, last = name.rpartition(".")
    owner: Any = Recipe.model_fields[section].annotation if section else Recipe
    return owner.model_fields[last]
