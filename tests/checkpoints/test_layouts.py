"""Weights files: ours, and those of other projects, whose networks are defined here anew."""

import json
import math
import pickle
import re
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F

from nst.checkpoints.files import load_checkpoint, save_checkpoint
from nst.nn.state import NOTES_KEY, BadCheckpoint
from nst.nn.transformer import TransformerNetwork

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


class MirroredConv(nn.Module):
    """`conv2d`, after a reflection padding, after an enlargement."""

    def __init__(self, before, after, side, stride=1, enlarge=1):
        super().__init__()
        self.enlarge, self.pad = enlarge, nn.ReflectionPad2d(side // 2)
        self.conv2d = nn.Conv2d(before, after, side, stride)

    def forward(self, x):
        if self.enlarge > 1:
            x = F.interpolate(x, scale_factor=self.enlarge, mode="nearest")
        return self.conv2d(self.pad(x))


class ModeConv(nn.Module):
    """`conv2d` that pads by itself."""

    def __init__(self, before, after, side, stride=1):
        super().__init__()
        self.conv2d = nn.Conv2d(before, after, side, stride, side // 2, padding_mode="reflect")

    def forward(self, x):
        return self.conv2d(x)


class EnlargingModeConv(nn.Module):
    """`conv2d.conv2d`."""

    def __init__(self, before, after, side, factor):
        super().__init__()
        self.factor, self.conv2d = factor, ModeConv(before, after, side)

    def forward(self, x):
        return self.conv2d(F.interpolate(x, scale_factor=self.factor, mode="nearest"))


class JohnsonBlock(nn.Module):
    def __init__(self, channels, conv):
        super().__init__()
        self.conv1, self.in1 = conv(channels, channels, 3), norm(channels)
        self.conv2, self.in2 = conv(channels, channels, 3), norm(channels)

    def forward(self, x):
        return self.in2(self.conv2(F.relu(self.in1(self.conv1(x))))) + x


def norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


class Johnson(nn.Module):
    """What pytorch/examples and gordicaleksa's project share."""

    def __init__(self, width, blocks, conv):
        super().__init__()
        self.conv1, self.in1 = conv(3, width, 9), norm(width)
        self.conv2, self.in2 = conv(width, 2 * width, 3, 2), norm(2 * width)
        self.conv3, self.in3 = conv(2 * width, 4 * width, 3, 2), norm(4 * width)
        self.count = blocks
        for n in range(1, blocks + 1):
            setattr(self, f"res{n}", JohnsonBlock(4 * width, conv))
        self.in4, self.in5 = norm(2 * width), norm(width)

    def paint(self, x, up1, up2, last):
        for n in (1, 2, 3):
            x = F.relu(getattr(self, f"in{n}")(getattr(self, f"conv{n}")(x)))
        for n in range(1, self.count + 1):
            x = getattr(self, f"res{n}")(x)
        return last(F.relu(self.in5(up2(F.relu(self.in4(up1(x)))))))


class PytorchExamples(Johnson):
    """https://github.com/pytorch/examples, fast_neural_style: RGB in 0..255."""

    def __init__(self, width=8, blocks=5):
        super().__init__(width, blocks, MirroredConv)
        self.deconv1 = MirroredConv(4 * width, 2 * width, 3, enlarge=2)
        self.deconv2 = MirroredConv(2 * width, width, 3, enlarge=2)
        self.deconv3 = MirroredConv(width, 3, 9)

    def forward(self, image):
        return self.paint(image, self.deconv1, self.deconv2, self.deconv3)


class Gordicaleksa(Johnson):
    """https://github.com/gordicaleksa/pytorch-neural-style-transfer-johnson: ImageNet's range."""

    def __init__(self, width=8, blocks=5):
        super().__init__(width, blocks, ModeConv)
        self.up1 = EnlargingModeConv(4 * width, 2 * width, 3, 2)
        self.up2 = EnlargingModeConv(2 * width, width, 3, 2)
        self.up3 = ModeConv(width, 3, 9)

    def forward(self, image):
        seen = (image / 255 - IMAGENET_MEAN.to(image)) / IMAGENET_STD.to(image)
        painted = self.paint(seen, self.up1, self.up2, self.up3)
        return (painted * IMAGENET_STD.to(image) + IMAGENET_MEAN.to(image)) * 255


class RrminaConv(nn.Module):
    def __init__(self, before, after, side, stride=1, normalized=True):
        super().__init__()
        self.reflection_pad = nn.ReflectionPad2d(side // 2)
        self.conv_layer = nn.Conv2d(before, after, side, stride)
        self.norm_layer = norm(after) if normalized else None

    def forward(self, x):
        x = self.conv_layer(self.reflection_pad(x))
        return self.norm_layer(x) if self.norm_layer else x


class RrminaBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = (
            RrminaConv(channels, channels, 3),
            RrminaConv(channels, channels, 3),
        )

    def forward(self, x):
        return self.conv2(F.relu(self.conv1(x))) + x


class RrminaDeconv(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.conv_transpose = nn.ConvTranspose2d(
            before, after, kernel_size=3, stride=2, padding=1, output_padding=1
        )
        self.norm_layer = norm(after)

    def forward(self, x):
        return self.norm_layer(self.conv_transpose(x))


class Rrmina(nn.Module):
    """https://github.com/rrmina/fast-neural-style-pytorch: BGR in 0..255."""

    def __init__(self, width=8, blocks=5):
        super().__init__()
        w = width
        self.ConvBlock = nn.Sequential(
            *(RrminaConv(3, w, 9), nn.ReLU()),
            *(RrminaConv(w, 2 * w, 3, 2), nn.ReLU()),
            *(RrminaConv(2 * w, 4 * w, 3, 2), nn.ReLU()),
        )
        self.ResidualBlock = nn.Sequential(*(RrminaBlock(4 * w) for _ in range(blocks)))
        self.DeconvBlock = nn.Sequential(
            *(RrminaDeconv(4 * w, 2 * w), nn.ReLU()),
            *(RrminaDeconv(2 * w, w), nn.ReLU()),
            RrminaConv(w, 3, 9, normalized=False),
        )

    def forward(self, image):
        blue_first = image[:, [2, 1, 0]]
        return self.DeconvBlock(self.ResidualBlock(self.ConvBlock(blue_first)))[:, [2, 1, 0]]


FAMILIES = {
    "pytorch-examples": PytorchExamples,
    "gordicaleksa": Gordicaleksa,
    "rrmina": Rrmina,
}


def foreign(layout, width=8, blocks=5, seed=3):
    """A network of that family whose weights, biases and scales are all random.

    Its pictures are scaled into 0..255, differently in each color.
    """
    torch.manual_seed(seed)
    network = FAMILIES[layout](width, blocks).eval()
    with torch.no_grad():
        for value in network.parameters():
            if value.dim() == 1:
                value += 0.3 * torch.randn(value.shape)
        last = list(network.modules())[-1]
        assert isinstance(last, nn.Conv2d)
        in_range = torch.tensor([0.6, 1.0, 1.4]) * (1 if layout == "gordicaleksa" else 60)
        last.weight *= in_range.view(3, 1, 1, 1)
        middle = [-0.2, 0.1, 0.4] if layout == "gordicaleksa" else [90.0, 120.0, 150.0]
        last.bias += torch.tensor(middle)
    return network


SIZES = [(16, 16), (24, 52), (60, 20)]  # height and width
EXACT = 0.02  # gray levels: float32 roundings of two ways to compute the same


def picture(height, width, seed=0):
    """Of another mean and contrast in each color, so that mistaken colors show."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.rand((1, 3, height, width), generator=draw)
    contrast, middle = (torch.tensor(x).view(1, 3, 1, 1) for x in ([200, 90, 30], [20, 150, 60]))
    return noise * contrast + middle


@torch.no_grad()
def same_pictures(ours, theirs, sizes=SIZES):
    for size in sizes:
        image = picture(*size)
        expected = theirs(image)
        assert expected.std((0, 2, 3)).min() > 5  # something to compare
        torch.testing.assert_close(ours(image), expected, rtol=0, atol=EXACT)


def as_torch(state, path):
    torch.save(state, path)
    return path


def as_safetensors(state, path):
    safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, path)
    return path


@pytest.mark.parametrize("layout", FAMILIES)
@pytest.mark.parametrize("write", [as_torch, as_safetensors])
def test_a_foreign_network_paints_the_same_picture(layout, write, tmp_path):
    theirs = foreign(layout)
    loaded = load_checkpoint(write(theirs.state_dict(), tmp_path / "w.pth"))
    assert loaded.layout == layout
    assert loaded.notes == {}
    same_pictures(loaded.network, theirs)


@pytest.mark.parametrize("layout", FAMILIES)
@pytest.mark.parametrize(("width", "blocks"), [(32, 5), (4, 1), (6, 11)])
def test_width_and_blocks_are_read_from_the_weights(layout, width, blocks, tmp_path):
    theirs = foreign(layout, width, blocks)
    loaded = load_checkpoint(as_torch(theirs.state_dict(), tmp_path / "w.pth"))
    assert (loaded.network.width, len(loaded.network.blocks)) == (width, blocks)
    same_pictures(loaded.network, theirs, [(20, 28)])


@pytest.mark.parametrize("layout", FAMILIES)
def test_the_colors_are_not_symmetric_in_these_tests(layout):
    """Else a wrong order or range would not be seen by them."""
    theirs, image = foreign(layout), picture(24, 32)
    with torch.no_grad():
        turned = theirs(image.flip(1)).flip(1)
        assert (theirs(image) - turned).abs().mean() > 5
        assert (theirs(image) - theirs(image / 2 + 60)).abs().max() < 1  # normalized away
        gray = image.mean((1,), keepdim=True).expand(-1, 3, -1, -1)
        assert (theirs(image) - theirs(gray)).abs().mean() > 5


@pytest.mark.parametrize("layout", FAMILIES)
def test_pictures_of_another_range_are_another_picture(layout, tmp_path):
    """A network loaded for 0..1 instead of 0..255 differs by far more than the tolerance."""
    theirs, image = foreign(layout), picture(24, 32)
    network = load_checkpoint(as_torch(theirs.state_dict(), tmp_path / "w.pth")).network
    with torch.no_grad():
        assert (network(image) / 255 - theirs(image)).abs().mean() > 50


def old(state):
    """As torch before 0.4 saved instance normalizations."""
    extra = {}
    for name, value in state.items():
        if name.endswith(".weight") and value.dim() == 1:
            part = name.removesuffix("weight")
            extra[f"{part}running_mean"] = torch.full_like(value, 9)
            extra[f"{part}running_var"] = torch.full_like(value, 4)
            extra[f"{part}num_batches_tracked"] = torch.tensor(5)
    assert extra
    return state | extra


WRAPPINGS = {
    "old statistics": old,
    "module.": lambda state: {f"module.{name}": value for name, value in state.items()},
    "state_dict": lambda state: {"epoch": 3, "loss": 0.5, "state_dict": state},
    "model": lambda state: {"model": state, "steps": 100},
    "all": lambda state: {"state_dict": {f"module.{k}": v for k, v in old(state).items()}},
    "half": lambda state: {name: value.half() for name, value in state.items()},
}


@pytest.mark.parametrize("layout", FAMILIES)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_what_is_wrapped_around_the_weights_is_taken_off(layout, wrapping, tmp_path):
    theirs = foreign(layout)
    path = as_torch(WRAPPINGS[wrapping](dict(theirs.state_dict())), tmp_path / "w.pth")
    if wrapping == "half":
        theirs.load_state_dict({k: v.half().float() for k, v in theirs.state_dict().items()})
    loaded = load_checkpoint(path)
    assert loaded.layout == layout
    same_pictures(loaded.network, theirs, [(24, 52)])


def test_a_file_of_the_old_format_of_torch_is_read(tmp_path):
    theirs, path = foreign("pytorch-examples"), tmp_path / "old.model"
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=False)
    same_pictures(load_checkpoint(path).network, theirs, [(20, 20)])


# ONNX


class Graph:
    """Nodes and initializers of an export, as torch writes them."""

    def __init__(self, state, rename):
        self.state, self.rename = state, rename
        self.nodes, self.initializers, self.last = [], [], "input1"

    def add(self, kind, *more, **attributes):
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.last, *more], [output], **attributes))
        self.last = output

    def constant(self, name, array):
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def weights(self, part):
        return [
            self.constant(self.rename(f"{part}.{kind}"), self.state[f"{part}.{kind}"].numpy())
            for kind in ("weight", "bias")
        ]

    def convolution(self, part, stride=1):
        half = self.state[f"{part}.weight"].shape[-1] // 2
        self.add("Pad", mode="reflect", pads=[0, 0, half, half] * 2)
        self.add("Conv", *self.weights(part), strides=[stride] * 2)

    def stage(self, conv, norm, stride=1, activate=True):
        self.convolution(f"{conv}.conv2d", stride)
        self.add("InstanceNormalization", *self.weights(norm), epsilon=1e-5)
        if activate:
            self.add("Relu")

    def block(self, n):
        before = self.last
        self.stage(f"res{n}.conv1", f"res{n}.in1")
        self.stage(f"res{n}.conv2", f"res{n}.in2", activate=False)
        self.add("Add", before)

    def enlarged(self, inline):
        scales = np.array([1, 1, 2, 2], np.float32)
        if inline:
            value = numpy_helper.from_array(scales)
            name = f"c{len(self.nodes)}"
            self.nodes.append(helper.make_node("Constant", [], [name], value=value))
        else:
            name = self.constant(f"{900 + len(self.nodes)}", scales)
        self.add("Upsample", name, mode="nearest")


def exported(theirs, rename, inline_scales=True, extra=()):
    """An ONNX model of a `PytorchExamples` network, like those of the ONNX model zoo."""
    graph = Graph(theirs.state_dict(), rename)
    for n, stride in ((1, 1), (2, 2), (3, 2)):
        graph.stage(f"conv{n}", f"in{n}", stride)
    for n in range(1, theirs.count + 1):
        graph.block(n)
    for n in (1, 2):
        graph.enlarged(inline_scales)
        graph.stage(f"deconv{n}", f"in{n + 3}")
    graph.convolution("deconv3.conv2d")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "h", "w"])
        for name in ("input1", graph.last)
    ]
    initializers = [*extra, *reversed(graph.initializers)]  # their order is no help
    body = helper.make_graph(graph.nodes, "torch-jit-export", ends[:1], ends[1:], initializers)
    opset = [helper.make_opsetid("", 9)]
    return helper.make_model(body, opset_imports=opset, ir_version=4)


def numbered(names=None):
    """Names as torch gives where it forgot them: numbers, the same for the same weight."""
    known = {} if names is None else names
    return lambda name: known.setdefault(name, str(1 + len(known)))


SCALARS = [
    numpy_helper.from_array(np.array([0, 0, 2, 2, 0, 0, 2, 2], np.int64), "pads"),
    numpy_helper.from_array(np.array(0.5, np.float32), "a_scalar"),
    numpy_helper.from_array(np.array([2, 2], np.float32), "two"),
]


def save_onnx(model, path):
    onnx.save(model, path)
    return path


def test_the_exported_graph_is_the_network():
    theirs, image = foreign("pytorch-examples", 4, 1), picture(16, 20)
    (painted,) = ReferenceEvaluator(exported(theirs, str)).run(None, {"input1": image.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(painted), theirs(image), rtol=0, atol=EXACT)


@pytest.mark.parametrize("blocks", [1, 5])
@pytest.mark.parametrize("rename", [str, numbered()], ids=["named", "numbered"])
def test_an_export_paints_the_same_picture(rename, blocks, tmp_path):
    theirs = foreign("pytorch-examples", blocks=blocks)
    loaded = load_checkpoint(save_onnx(exported(theirs, rename), tmp_path / "w.onnx"))
    assert loaded.layout == "pytorch-examples"
    same_pictures(loaded.network, theirs)


def test_numbers_beside_the_weights_of_an_export_are_ignored(tmp_path):
    theirs = foreign("pytorch-examples")
    model = exported(theirs, numbered(), extra=SCALARS)
    for scalar in SCALARS:  # used, so that not being used is not why they are ignored
        output = f"unused_{scalar.name}"
        model.graph.node.insert(0, helper.make_node("Identity", [scalar.name], [output]))
    loaded = load_checkpoint(save_onnx(model, tmp_path / "w.onnx"))
    same_pictures(loaded.network, theirs, [(24, 52)])


def test_scales_of_an_enlargement_are_no_weights(tmp_path):
    theirs = foreign("pytorch-examples")
    model = exported(theirs, numbered(), inline_scales=False)
    loaded = load_checkpoint(save_onnx(model, tmp_path / "w.onnx"))
    same_pictures(loaded.network, theirs, [(24, 52)])


# Ours


def ours(width=8, blocks=2, upsampling="nearest", seed=4):
    torch.manual_seed(seed)
    network = TransformerNetwork(width, blocks, upsampling)
    with torch.no_grad():
        for value in network.parameters():
            if value.dim() == 1:
                value += 0.3 * torch.randn(value.shape)
    return network.eval()


def halved(network):
    """What half precision leaves of the weights."""
    return {name: value.half().float() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
@pytest.mark.parametrize(("width", "blocks"), [(4, 1), (8, 2), (8, 3), (16, 4), (16, 5)])
def test_our_networks_come_back_in_half_precision(width, blocks, upsampling, tmp_path):
    network, path = ours(width, blocks, upsampling), tmp_path / "w.safetensors"
    save_checkpoint(network, path, {})
    loaded = load_checkpoint(path)
    assert loaded.layout == "nst"
    assert (loaded.network.width, len(loaded.network.blocks)) == (width, blocks)
    assert loaded.network.upsampling == upsampling
    assert not loaded.network.training
    state, expected = loaded.network.state_dict(), halved(network)
    assert list(state) == list(expected)
    # The bias alone is moved to 127.5 and back: one rounding of float32 there.
    torch.testing.assert_close(state.pop("bias"), expected.pop("bias"), rtol=0, atol=3e-7)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_a_network_loaded_and_saved_again_is_the_same_file(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_checkpoint(ours(), first, {"style": "a"})
    loaded = load_checkpoint(first)
    save_checkpoint(loaded.network, second, loaded.notes)
    assert second.read_bytes() == first.read_bytes()


def test_our_files_are_small_and_hold_half_precision(tmp_path):
    network, path = ours(16, 5), tmp_path / "w.safetensors"
    save_checkpoint(network, path, {})
    numbers = sum(value.numel() for value in network.parameters())
    assert 2 * numbers < path.stat().st_size < 2 * numbers + 10_000
    with safe_open(path, framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118


def test_notes_come_back(tmp_path):
    notes = {"style": "神奈川沖浪裏", "training": {"iterations": 3, "losses": {"tv": 0.25}}}
    save_checkpoint(ours(4, 1, "transposed"), tmp_path / "w.safetensors", notes)
    found = load_checkpoint(tmp_path / "w.safetensors").notes
    own = {"width": 4, "blocks": 1, "upsampling": "transposed", "colors": "centered"}
    assert found == own | notes


def test_saving_twice_gives_the_same_file_and_leaves_nothing_else(tmp_path):
    network, path = ours(), tmp_path / "w.safetensors"
    save_checkpoint(network, path, {"style": "a"})
    first = path.read_bytes()
    save_checkpoint(network, path, {"style": "a"})
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_saving_leaves_the_network_as_it_is(tmp_path):
    network = ours()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    save_checkpoint(network, tmp_path / "w.safetensors", {})
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {value.dtype for value in after.values()} == {torch.float32}


def test_our_layout_without_notes_is_read_as_centered(tmp_path):
    network = ours()
    path = as_safetensors(network.state_dict(), tmp_path / "w.safetensors")
    loaded = load_checkpoint(path)
    assert (loaded.layout, loaded.notes) == ("nst", {})
    same_pictures(loaded.network, network)


COLOR_RANGES = {
    "rgb": (lambda x: x, lambda y: y),
    "bgr": (lambda x: x.flip(1), lambda y: y.flip(1)),
    "imagenet": (
        lambda x: (x / 255 - IMAGENET_MEAN) / IMAGENET_STD,
        lambda y: (y * IMAGENET_STD + IMAGENET_MEAN) * 255,
    ),
}


@pytest.mark.parametrize("colors", COLOR_RANGES)
def test_our_layout_may_have_other_colors(colors, tmp_path):
    """The weights then read and write pictures in that range."""
    network, path = ours(), tmp_path / "w.safetensors"
    with torch.no_grad():
        network.kernel *= {"imagenet": 1}.get(colors, 60)
    notes = {NOTES_KEY: json.dumps({"colors": colors})}
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(state, path, notes)
    read, write = COLOR_RANGES[colors]

    def theirs(image):  # the plain network is ours without its own range
        inner = (network(read(image) * 63.75 + 127.5) - 127.5) / 63.75
        return write(inner)

    same_pictures(load_checkpoint(path).network, theirs, [(24, 52)])


# Errors


def refusal(path):
    """What is said about a bad file: one sentence or two."""
    with pytest.raises(BadCheckpoint) as caught:
        load_checkpoint(path)
    text = str(caught.value)
    assert f"`{path.name}`" in text or f"`{path}`" in text
    assert "\n" not in text
    assert text.endswith((".", "?"))
    assert len(re.findall(r"[.?!](?= [A-Z`])|[.?!]$", text)) <= 2, text
    return text


def without(name):
    return lambda state: {k: v for k, v in state.items() if k != name}


def with_shape(name, *shape):
    return lambda state: {**state, name: torch.zeros(shape)}


def with_more(*names):
    return lambda state: {**state, **{name: torch.zeros(3) for name in names}}


FOREIGN_DAMAGE = [
    ("pytorch-examples", with_more("surplus.weight", "zebra.weight"), ["`surplus.weight`"]),
    ("rrmina", with_more("surplus.weight", "zebra.weight"), ["`surplus.weight`"]),
    ("gordicaleksa", with_more("res9.conv1.conv2d.weight"), ["`res9.conv1.conv2d.weight`"]),
    ("pytorch-examples", without("in3.bias"), ["`in3.bias`", "missing"]),
    ("gordicaleksa", without("up3.conv2d.weight"), ["`up3.conv2d.weight`", "missing"]),
    (
        "rrmina",
        without("ResidualBlock.4.conv2.norm_layer.weight"),
        ["`ResidualBlock.4.conv2.norm_layer.weight`", "missing"],
    ),
    # Shapes are compared under our names.
    ("pytorch-examples", with_shape("in1.weight", 7), ["(7,)", "(8,)"]),
    ("rrmina", with_shape("ConvBlock.2.conv_layer.weight", 16, 8, 5, 5), ["(16, 8, 3, 3)"]),
    ("gordicaleksa", with_shape("up3.conv2d.weight", 3, 8, 3, 3), ["(3, 8, 3, 3)"]),
    ("pytorch-examples", with_shape("conv1.conv2d.weight", 8, 4, 9, 9), ["(8, 4, 9, 9)"]),
    ("pytorch-examples", with_shape("deconv3.conv2d.bias", 1), ["(1,)", "(3,)"]),
    ("pytorch-examples", with_shape("conv1.conv2d.weight", 8), ["(8,)"]),
]


@pytest.mark.parametrize(("layout", "damage", "words"), FOREIGN_DAMAGE)
def test_what_does_not_fit_a_foreign_layout_is_named(layout, damage, words, tmp_path):
    state = damage(dict(foreign(layout).state_dict()))
    text = refusal(as_torch(state, tmp_path / "w.pth"))
    assert [word for word in words if word not in text] == [], text


OUR_DAMAGE = [
    (with_more("surplus", "zebra"), ["`surplus`"]),
    (with_more("blocks.7.first.kernel"), ["blocks."]),
    (without("up.1.shift"), ["`up.1.shift`", "missing"]),
    (without("kernel"), ["`kernel`", "missing"]),
    (without("bias"), ["`bias`", "missing"]),
    (with_shape("down.1.scale", 5), ["`down.1.scale`", "(5,)", "(16,)"]),
    (with_shape("kernel", 3, 8, 7, 7), ["`kernel`", "(3, 8, 7, 7)", "(3, 8, 9, 9)"]),
    (with_shape("kernel", 3), ["`kernel`", "(3,)"]),
    (with_shape("down.0.kernel", 8, 1, 9, 9), ["`down.0.kernel`", "(8, 1, 9, 9)"]),
    (with_shape("down.0.kernel", 8, 4, 9, 9), ["`down.0.kernel`", "(8, 4, 9, 9)"]),
    (with_shape("down.0.kernel"), ["`down.0.kernel`"]),
    (with_shape("bias", 1), ["`bias`", "(1,)", "(3,)"]),
]


@pytest.mark.parametrize(("damage", "words"), OUR_DAMAGE)
def test_what_does_not_fit_our_layout_is_named(damage, words, tmp_path):
    state = damage(dict(ours().state_dict()))
    text = refusal(as_safetensors(state, tmp_path / "w.safetensors"))
    assert [word for word in words if word not in text] == [], text


def nested(depth):
    """A list in a list in a list …"""
    return [nested(depth - 1)] if depth else 1


@pytest.mark.parametrize(
    ("notes", "words"),
    [
        ({"colors": "centred"}, ["`centred`", "`centered`"]),
        ({"upsampling": "nearset"}, ["`nearset`", "`nearest`"]),
        (["a list"], ["`w.safetensors`", "notes that are no table"]),
        ({"style": nested(20)}, ["notes that are nested too deeply"]),
        ({"style": [1, {"a": nested(18)}]}, ["notes that are nested too deeply"]),
    ],
)
def test_notes_that_cannot_be_used_are_named(notes, words, tmp_path):
    text = refusal(with_notes(json.dumps(notes), tmp_path / "w.safetensors"))
    assert [word for word in words if word not in text] == [], text


def with_notes(text, path):
    """A file of ours with other notes."""
    state = {name: value.contiguous() for name, value in ours().state_dict().items()}
    safetensors.torch.save_file(state, path, {NOTES_KEY: text})
    return path


@pytest.mark.parametrize("opening", ["[", '{"a":'], ids=["lists", "tables"])
def test_notes_too_deep_to_be_read_are_refused(opening, tmp_path):
    depth = 100_000
    path = with_notes('{"style": ' + opening * depth, tmp_path / "w.safetensors")
    assert "notes that are nested too deeply" in refusal(path)


def test_notes_as_deep_as_those_of_our_own_trainings_come_back(tmp_path):
    notes = {"training": {"settings": nested(17)}}
    path = with_notes(json.dumps(notes), tmp_path / "w.safetensors")
    assert load_checkpoint(path).notes == notes


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["kernel", "bias", "blocks.1.second.shift"])
def test_a_weight_that_is_no_finite_number_is_refused(name, number, tmp_path):
    state = ours().state_dict()
    state[name][(-1,) * state[name].dim()] = number
    for write, file in ((as_safetensors, "w.safetensors"), (as_torch, "w.pth")):
        assert f"`{name}` holds numbers that are not finite" in refusal(
            write(state, tmp_path / file)
        )


@pytest.mark.parametrize("layout", ["pytorch-examples", "gordicaleksa", "rrmina"])
def test_a_foreign_weight_that_is_no_finite_number_is_refused(layout, tmp_path):
    theirs = foreign(layout)
    with torch.no_grad():
        next(p for p in theirs.parameters() if p.dim() == 4)[0, 0, 0, 0] = math.nan
    path = as_torch(theirs.state_dict(), tmp_path / "w.pth")
    assert "`down.0.kernel` holds numbers that are not finite" in refusal(path)


def test_an_export_with_a_weight_that_is_no_finite_number_is_refused(tmp_path):
    theirs = foreign("pytorch-examples")
    with torch.no_grad():
        theirs.deconv3.conv2d.bias[1] = math.inf
    path = save_onnx(exported(theirs, numbered()), tmp_path / "w.onnx")
    assert "`bias` holds numbers that are not finite" in refusal(path)


def test_a_weight_that_only_grows_out_of_range_in_our_units_is_refused(tmp_path):
    theirs = foreign("gordicaleksa")
    with torch.no_grad():
        theirs.up3.conv2d.bias[0] = 3e38
    assert "not finite" in refusal(as_torch(theirs.state_dict(), tmp_path / "w.pth"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(8).to_sparse(), ["`down.0.scale` is missing"]),
        (torch.zeros(8, device="meta"), ["`down.0.scale` is missing"]),
        (torch.zeros((), dtype=torch.float16).expand(10**6, 10**6), ["1000000 million numbers"]),
    ],
    ids=["sparse", "without numbers", "one for very many"],
)
def test_numbers_that_are_not_all_there_are_no_weights(value, words, tmp_path):
    path = as_torch({**ours().state_dict(), "down.0.scale": value}, tmp_path / "w.pth")
    text = refusal(path)
    assert [word for word in words if word not in text] == [], text


@pytest.mark.parametrize("upsampling", ["nearest", "transposed"])
def test_the_other_upsampling_does_not_fit(upsampling, tmp_path):
    path = tmp_path / "w.safetensors"
    other = {"nearest": "transposed", "transposed": "nearest"}[upsampling]
    save_checkpoint(ours(8, 1, upsampling), path, {"upsampling": other})
    assert "`up.0.kernel`" in refusal(path)


class Touch:
    """Makes a file when it is unpickled without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["torch", "old torch", "pickle", "nested"])
def test_a_program_inside_a_file_is_refused_and_does_not_run(how, tmp_path):
    trap, path = tmp_path / "it ran", tmp_path / "w.pth"
    state = {"conv1.conv2d.weight": torch.zeros(3), "more": Touch(trap)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(state))
    else:
        tree = {"state_dict": state} if how == "nested" else state
        torch.save(tree, path, _use_new_zipfile_serialization=how != "old torch")
    text = refusal(path)
    assert "could run programs" in text
    assert not trap.exists()
    if how != "pickle":
        torch.load(path, weights_only=False)
        assert trap.exists()  # the trap works


def test_an_export_does_not_read_other_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = exported(foreign("pytorch-examples"), numbered())
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    Path("secret").write_bytes(numpy_helper.to_array(kernel).tobytes())
    kernel.ClearField("raw_data")
    kernel.data_location = TensorProto.EXTERNAL
    kernel.external_data.add(key="location", value="secret")
    Path("w.onnx").write_bytes(model.SerializeToString())
    assert numpy_helper.to_array(onnx.load("w.onnx").graph.initializer[0]).size  # as others do
    assert "in other files, which are not read" in refusal(tmp_path / "w.onnx")


def test_a_compiled_program_is_refused(tmp_path):
    path = tmp_path / "w.pt"
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
    assert "is no weights file" in refusal(path)


def test_an_old_archive_is_refused_and_not_unpacked(tmp_path):
    """As torch wrote them once: with a link, and a name that leads out of the folder."""
    path = tmp_path / "in" / "w.pth"
    path.parent.mkdir()
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "../out"):
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("tensors")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
    assert "is no weights file" in refusal(path)
    assert list(tmp_path.iterdir()) == [path.parent]
    assert list(path.parent.iterdir()) == [path]


def test_a_whole_pickled_network_is_refused_by_the_name_of_its_class(tmp_path):
    path = tmp_path / "w.pth"
    torch.save(ours(), path)
    assert "`nst.nn.transformer.TransformerNetwork`" in refusal(path)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.999])
def test_a_truncated_file_of_ours_is_refused(share, tmp_path):
    path = tmp_path / "w.safetensors"
    save_checkpoint(ours(), path, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: math.ceil(len(whole) * share)])
    refusal(path)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".pth", ".onnx"])
def test_a_truncated_foreign_file_is_refused(suffix, share, tmp_path):
    path, theirs = tmp_path / f"w{suffix}", foreign("pytorch-examples")
    if suffix == ".onnx":
        save_onnx(exported(theirs, str), path)
    else:
        as_torch(theirs.state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: math.ceil(len(whole) * share)])
    refusal(path)


JUNK = {
    "empty": b"",
    "text": b"These are no weights, but a few lines of text.\n" * 20,
    "short text": b"hello",
    "web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "git pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n",
    "JSON at the ninth byte": b"\xff\xff\xff\xff\0\0\0\0{" + b"x" * 90,
    "zeros": bytes(1000),
    "noise": bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8)),
    "zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".model", ".onnx"])
@pytest.mark.parametrize("junk", JUNK)
def test_a_file_of_something_else_is_refused(junk, suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(JUNK[junk])
    text = refusal(path)
    assert ("is empty" in text) == (junk == "empty")


def test_what_is_no_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "missing.pth")
    assert "is not a file" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"features.0.weight": torch.zeros(3)}, ["`features.0.weight`", "known layouts"]),
        ({"conv1.conv2d.weight": torch.zeros(3)}, ["`conv1.conv2d.weight`", "known layouts"]),
        ({}, ["holds no weights"]),
        ({"state_dict": {}}, ["holds no weights"]),
        ({"epoch": 3}, ["holds no weights"]),
        ([torch.zeros(3)], ["a list"]),
        (torch.zeros(3), ["a Tensor"]),
        (7, ["a int"]),
    ],
)
def test_an_unknown_layout_is_told_by_its_first_weight(tree, words, tmp_path):
    text = refusal(as_torch(tree, tmp_path / "w.pth"))
    assert [word for word in words if word not in text] == [], text


def test_keys_that_are_no_names_are_refused(tmp_path):
    refusal(as_torch({0: torch.zeros(3), 1: torch.zeros(4)}, tmp_path / "w.pth"))


def test_an_export_of_another_network_is_refused(tmp_path):
    theirs = foreign("pytorch-examples", 8, 1)
    model = exported(theirs, numbered())
    del model.graph.node[-1]  # the last convolution, and its two weights
    assert "has 28 weights" in refusal(save_onnx(model, tmp_path / "w.onnx"))
