"""The image transformation network (Johnson et al. 2016): one painting's style in one pass.

Two strided convolutions down, residual blocks, two nearest-neighbor up-samplings with convolution
(Odena et al. 2016), instance normalization (Ulyanov et al. 2016), reflection padding everywhere.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CENTER, SPREAD = 127.5, 63.75  # a picture in 0..255 is read, and written, as (rgb - 127.5) / 63.75
EPSILON = 1e-5
TELL_APART = 0.02  # share of a weight


class Stage(nn.Module):
    """A convolution without bias, instance normalization, and ReLU where wanted.

    A subclass says what comes before the normalization.
    """

    def __init__(self, before: int, after: int, side: int = 3, stride: int = 1) -> None:
        """Weights for `before` and `after` channels, with a square kernel of `side`."""
        super().__init__()
        self.kernel = drawn(nn.init.kaiming_normal_, after, before, side, side)
        self.scale = nn.Parameter(torch.ones(after))
        self.shift = nn.Parameter(torch.zeros(after))
        self.stride = stride

    def convolved(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, h, w); h = H, 2 H or H / stride."""
        return F.conv2d(padded(x, self.kernel), self.kernel.to(x.dtype), stride=self.stride)

    def forward(self, x: Tensor, *, activate: bool = True) -> Tensor:
        """The convolution, each picture normalized over its own positions."""
        y = self.convolved(x)
        if y.shape[0] == 1:  # then both normalizations are the same, and this one is faster
            y = F.batch_norm(y, None, None, self.scale, self.shift, training=True, eps=EPSILON)
        else:
            y = F.instance_norm(y, weight=self.scale, bias=self.shift, eps=EPSILON)
        return F.relu(y, inplace=True) if activate else y


class NearestStage(Stage):
    """Doubles the sides by repeating pixels, then convolves (Odena et al. 2016)."""

    def convolved(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, 2 H, 2 W)."""
        return super().convolved(F.interpolate(x, scale_factor=2, mode="nearest"))


class TransposedStage(Stage):
    """Doubles the sides by a transposed convolution (Johnson et al. 2016).

    Its kernel is (before, after, 3, 3), as torch has it.
    """

    def __init__(self, before: int, after: int) -> None:
        """Weights for `before` and `after` channels."""
        super().__init__(after, before)
        self.scale, self.shift = nn.Parameter(torch.ones(after)), nn.Parameter(torch.zeros(after))

    def convolved(self, x: Tensor) -> Tensor:
        """(N, before, H, W) to (N, after, 2 H, 2 W)."""
        return F.conv_transpose2d(x, self.kernel.to(x.dtype), stride=2, padding=1, output_padding=1)


UPSAMPLINGS: Mapping[str, type[Stage]] = {"nearest": NearestStage, "transposed": TransposedStage}


def drawn(draw: Callable[[Tensor], Tensor], *shape: int) -> nn.Parameter:
    """A kernel with random weights, its channels last in memory."""
    return nn.Parameter(draw(torch.empty(shape)).contiguous(memory_format=torch.channels_last))


def padded(x: Tensor, kernel: Tensor) -> Tensor:
    """Mirrored at the borders, so that a convolution with `kernel` keeps the size."""
    half = kernel.shape[-1] // 2
    return F.pad(x, (half,) * 4, mode="reflect")


class Residual(nn.Module):
    """Two stages whose output is added to their input."""

    def __init__(self, channels: int) -> None:
        """Weights for as many `channels` in as out."""
        super().__init__()
        self.first = Stage(channels, channels)
        self.second = Stage(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same."""
        return x + self.second(self.first(x), activate=False)


class TransformerNetwork(nn.Module):
    """A network of `width` channels at full size (32 in Johnson et al.) and residual blocks."""

    def __init__(self, width: int = 32, blocks: int = 5, upsampling: str = "nearest") -> None:
        """Makes it with weights drawn from torch's generator."""
        super().__init__()
        self.width, self.upsampling = width, upsampling
        enlarge = UPSAMPLINGS[upsampling]
        down = [
            Stage(3, width, 9),
            Stage(width, 2 * width, stride=2),
            Stage(2 * width, 4 * width, stride=2),
        ]
        # To torch's stubs, what is in a list is any module.
        self.down: Sequence[Stage] = nn.ModuleList(down)  # type: ignore[assignment]
        self.blocks = nn.ModuleList(Residual(4 * width) for _ in range(blocks))
        up = [enlarge(4 * width, 2 * width), enlarge(2 * width, width)]
        self.up: Sequence[Stage] = nn.ModuleList(up)  # type: ignore[assignment]
        self.kernel = drawn(nn.init.xavier_normal_, 3, width, 9, 9)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(N, 3, H, W), RGB in 0..255, to the same; the output may exceed the range a little.

        Sides are multiples of 4. Convolutions run in `dtype`; the result is float32.
        """
        x = self.read(image, dtype)
        for stage in [*self.down, *self.blocks, *self.up]:
            x = stage(x)
        return self.written(x)

    @staticmethod
    def read(image: Tensor, dtype: torch.dtype) -> Tensor:
        """A picture in 0..255 as the first stage takes it."""
        return ((image - CENTER) / SPREAD).to(dtype, memory_format=torch.channels_last)

    def written(self, x: Tensor) -> Tensor:
        """The picture of the last stage's output, (N, width, H, W), by the last convolution."""
        kernel, bias = self.kernel.to(x.dtype), self.bias.to(x.dtype)
        return F.conv2d(padded(x, kernel), kernel, bias).float() * SPREAD + CENTER


@torch.no_grad()
def widened(network: TransformerNetwork, width: int) -> TransformerNetwork:
    """Nearly the same function with a multiple of the width, to go on training with.

    Every channel is repeated, and what reads it is shared among the copies (Net2WiderNet; Chen et
    al. 2016, section 2.3). Noise of `TELL_APART`, from torch's generator, lets copies part.
    """
    factor = width // network.width
    wide = TransformerNetwork(width, len(network.blocks), network.upsampling)
    state = {}
    for name, value in network.state_dict().items():
        shape = wide.state_dict()[name].shape
        repeats = [after // before for after, before in zip(shape, value.shape, strict=True)]
        value = value.repeat(repeats)
        if value.ndim == 4:
            inputs = 0 if network.upsampling == "transposed" and name.startswith("up") else 1
            shared = factor if repeats[inputs] > 1 else 1
            value = value / shared * (1 + TELL_APART * torch.randn_like(value))
        state[name] = value
    wide.load_state_dict(state)
    return wide
