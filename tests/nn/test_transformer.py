"""The transformer network against a plain definition of the same in torch's own modules."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nst.nn.transformer
from nst.nn.transformer import UPSAMPLINGS, TransformerNetwork, widened

SIZES = [(16, 16), (20, 36), (40, 24), (8, 64)]


class PlainStage(nn.Module):
    def __init__(self, before, after, side=3, stride=1):
        super().__init__()
        self.pad = nn.ReflectionPad2d(side // 2)
        self.convolution = nn.Conv2d(before, after, side, stride, bias=False)
        self.norm = nn.InstanceNorm2d(after, affine=True)

    def forward(self, x):
        return self.norm(self.convolution(self.pad(x)))


class PlainNearest(PlainStage):
    def forward(self, x):
        return super().forward(x.repeat_interleave(2, 2).repeat_interleave(2, 3))


class PlainTransposed(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.convolution = nn.ConvTranspose2d(before, after, 3, 2, 1, 1, bias=False)
        self.norm = nn.InstanceNorm2d(after, affine=True)

    def forward(self, x):
        return self.norm(self.convolution(x))


class PlainResidual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = PlainStage(channels, channels), PlainStage(channels, channels)

    def forward(self, x):
        return x + self.second(F.relu(self.first(x)))


class PlainNetwork(nn.Module):
    """Sees pictures in 0..255 as -2..2."""

    def __init__(self, width, blocks, upsampling):
        super().__init__()
        up = {"nearest": PlainNearest, "transposed": PlainTransposed}[upsampling]
        w = width
        down = [PlainStage(3, w, 9), PlainStage(w, 2 * w, 3, 2), PlainStage(2 * w, 4 * w, 3, 2)]
        self.down = nn.ModuleList(down)
        self.blocks = nn.ModuleList(PlainResidual(4 * w) for _ in range(blocks))
        self.up = nn.ModuleList([up(4 * w, 2 * w), up(2 * w, w)])
        self.pad, self.last = nn.ReflectionPad2d(4), nn.Conv2d(w, 3, 9)

    def forward(self, image):
        x = (image - 127.5) / 63.75
        for stage in self.down:
            x = F.relu(stage(x))
        for block in self.blocks:
            x = block(x)
        for stage in self.up:
            x = F.relu(stage(x))
        return self.last(self.pad(x)) * 63.75 + 127.5


def plain_name(name):
    """`down.0.kernel` is `down.0.convolution.weight` there."""
    if name in ("kernel", "bias"):
        return {"kernel": "last.weight", "bias": "last.bias"}[name]
    stage, _, part = name.rpartition(".")
    parts = {"kernel": "convolution.weight", "scale": "norm.weight", "shift": "norm.bias"}
    return f"{stage}.{parts[part]}"


def shaken(network, seed=1):
    """With scales and shifts that are not one and zero."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            if value.dim() == 1:
                value += 0.3 * torch.randn(value.shape, generator=draw)
    return network.eval()


def pair(width, blocks, upsampling):
    """Our network, and the plain one in float64 with the same weights."""
    torch.manual_seed(5)
    network = shaken(TransformerNetwork(width, blocks, upsampling))
    plain = PlainNetwork(width, blocks, upsampling).double()
    plain.load_state_dict({plain_name(k): v.double() for k, v in network.state_dict().items()})
    return network, plain.eval()


def picture(height, width, count=1, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand((count, 3, height, width), generator=draw) * 255


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@torch.no_grad()
def test_the_network_is_the_plain_one(upsampling, size):
    network, plain = pair(8, 2, upsampling)
    image = picture(*size)
    # Activations of order 100, a few hundred roundings of 6e-8 each.
    torch.testing.assert_close(network(image), plain(image.double()).float(), rtol=0, atol=5e-3)


@pytest.mark.parametrize(("width", "blocks"), [(4, 1), (16, 5), (32, 3), (12, 0)])
@torch.no_grad()
def test_every_width_and_number_of_blocks_is_the_plain_one(width, blocks):
    network, plain = pair(width, blocks, "nearest")
    image = picture(24, 32)
    torch.testing.assert_close(network(image), plain(image.double()).float(), rtol=0, atol=1e-2)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@torch.no_grad()
def test_pictures_in_a_batch_do_not_see_each_other(upsampling):
    network, _ = pair(8, 2, upsampling)
    images = picture(24, 32, count=3)
    images[1] = images[1] / 8 + 200  # of quite another contrast
    alone = torch.cat([network(image) for image in images.split(1)])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=5e-3)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_the_gradient_is_that_of_the_plain_one(upsampling):
    network, plain = pair(4, 1, upsampling)
    image, aim = picture(16, 20, count=2), picture(16, 20, count=2, seed=1)
    (network(image) - aim).square().mean().backward()
    (plain(image.double()) - aim.double()).square().mean().backward()
    wanted = dict(plain.named_parameters())
    largest = max(value.grad.norm() for value in wanted.values())
    for name, value in network.named_parameters():
        expected = wanted[plain_name(name)].grad
        # A shift before another normalization has no effect: its gradient is zero but for noise.
        allowed = 1e-4 * expected.norm() + 1e-6 * largest
        assert (value.grad.double() - expected).norm() <= allowed, name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@torch.no_grad()
def test_the_output_has_the_size_of_the_input(upsampling, size):
    image = picture(*size, count=2)
    assert TransformerNetwork(4, 1, upsampling)(image).shape == image.shape


@torch.no_grad()
def test_a_narrow_run_gives_float32_close_to_the_wide_one():
    network, _ = pair(16, 3, "nearest")
    image = picture(32, 32)
    wide, narrow = network(image), network(image, torch.bfloat16)
    assert narrow.dtype == torch.float32
    difference, contrast = (narrow - wide).abs().mean(), (wide - wide.mean()).abs().mean()
    assert 0 < difference < 0.05 * contrast  # bfloat16 has 8 bits; 11 layers


@torch.no_grad()
def test_the_input_is_left_as_it_was():
    image = picture(16, 16)
    before = image.clone()
    TransformerNetwork(4, 1)(image)
    assert torch.equal(image, before)


def test_weights_come_from_the_generator_of_torch():
    def drawn(seed):
        torch.manual_seed(seed)
        return torch.cat([value.flatten() for value in TransformerNetwork(4, 1).parameters()])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize("factor", [2, 3])
def test_a_widened_network_paints_the_same_but_for_the_noise(monkeypatch, upsampling, factor):
    torch.manual_seed(3)
    narrow = TransformerNetwork(4, 2, upsampling)
    picture = torch.rand(1, 3, 32, 40) * 255
    with torch.no_grad():
        expected = narrow(picture)
        noisy = widened(narrow, 4 * factor)
        monkeypatch.setattr(nst.nn.transformer, "TELL_APART", 0)
        exact = widened(narrow, 4 * factor)(picture)
        assert (exact - expected).abs().max() < 0.01
        assert 0.01 < (noisy(picture) - expected).abs().mean() < expected.std() / 4
    copies = noisy.down[1].kernel.chunk(factor)
    assert not torch.equal(copies[0], copies[1])
