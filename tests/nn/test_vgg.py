"""VGG against a plain network decoded straight from the bundled files."""

import copy
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nst.names import UnknownName
from nst.nn import vgg
from nst.nn.torchvision_import import torchvision_models
from nst.nn.vgg import (
    ACTIVATIONS,
    NETWORKS,
    Backbone,
    bfloat16_works,
    convolution,
    layer_name,
    needs_download,
)

FILES = Path(vgg.__file__).parent / "weights"
COUNTS = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}
CHANNELS = (64, 128, 256, 512, 512)
CONFIGURATIONS = {"vgg19": "E", "vgg16": "D"}
TORCHVISION = {  # the enum's member and file, and the preprocessing that its documentation states
    "vgg19": (
        "vgg19-dcbb9e9d.pth",
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
    "vgg16": (
        "vgg16_features-amdegroot-88682ab5.pth",
        (0.48235, 0.45882, 0.40784),
        (1 / 255, 1 / 255, 1 / 255),
    ),
}


def names(network):
    return [f"conv{b}_{i + 1}" for b, n in enumerate(COUNTS[network], 1) for i in range(n)]


@pytest.fixture(scope="module")
def files():
    return {network: load_file(FILES / f"{network}.safetensors") for network in COUNTS}


@pytest.fixture(scope="module")
def decoded(files):
    """Kernels in BGR and biases in float64, by network and layer."""
    return {
        network: {
            name: (
                tensors[f"{name}.palette"].double()[tensors[f"{name}.index"].long()],
                tensors[f"{name}.bias"].double(),
            )
            for name in names(network)
        }
        for network, tensors in files.items()
    }


def activated(x, activation, slope):
    match activation:
        case "relu":
            return x.clamp(min=0)
        case "leaky_relu":
            return torch.where(x > 0, x, slope * x)
        case "tanh":
            return 1 - 2 / (torch.exp(2 * x) + 1)


def plain_features(
    parameters, image, last, pooling="max", activation="relu", final="relu", slope=0.2
):
    """Every layer up to `last` of a network that reads BGR minus the mean, nothing in place."""
    mean = torch.tensor([103.939, 116.779, 123.68], dtype=torch.float64).view(1, 3, 1, 1)
    x = image.double()[:, [2, 1, 0]] - mean
    found = {}
    for name, (kernel, bias) in parameters.items():
        if name[-2:] == "_1" and name[4] != "1":
            window = tuple(2 if side > 1 else 1 for side in x.shape[2:])
            if pooling == "max":
                x = F.max_pool2d(x, window, stride=window)
            else:
                x = F.avg_pool2d(x, window, stride=window)
        x = F.conv2d(x, kernel.to(x), bias.to(x), padding=1)
        x = activated(x, final if name == last else activation, slope)
        found[name] = x
        if name == last:
            return found
    raise KeyError(last)


def assert_features_agree(found, expected, tolerance=1e-5):
    """Largest difference, relative to the largest activation of the layer."""
    for name, values in found.items():
        assert values.shape == expected[name].shape, name
        error = (values.double() - expected[name]).abs().max()
        assert error <= tolerance * expected[name].abs().max(), name


def speckled(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator) * 255


# Names


@pytest.mark.parametrize("network", COUNTS)
def test_the_layers_of_a_network_are_in_its_order(network):
    assert list(NETWORKS[network].layers) == names(network)


@pytest.mark.parametrize(
    "name", ["conv4_2", "block4_conv2", "relu4_2", " conv4_2", "block4_conv2 "]
)
@pytest.mark.parametrize("network", COUNTS)
def test_a_layer_is_known_by_all_its_names(network, name):
    assert layer_name(network, name) == "conv4_2"


@pytest.mark.parametrize("network", COUNTS)
def test_every_layer_is_known_by_its_name_in_keras(network):
    keras = [f"block{b}_conv{i + 1}" for b, n in enumerate(COUNTS[network], 1) for i in range(n)]
    assert [layer_name(network, name) for name in keras] == names(network)


@pytest.mark.parametrize(
    ("network", "name", "close"),
    [
        ("vgg19", "conv4_5", "conv4_"),
        ("vgg19", "conv42", "conv4_2"),
        ("vgg19", "CONV4_2", "conv4_2"),
        ("vgg16", "conv3_4", "conv3_"),
        ("vgg19", "conv4_2x", "conv4_2"),
    ],
)
def test_an_unknown_layer_is_refused_with_the_closest_one(network, name, close):
    with pytest.raises(UnknownName) as caught:
        layer_name(network, name)
    assert f"Unknown layer `{name}` for {network}. " in str(caught.value)
    suggestion = str(caught.value).partition("Did you mean `")[2]
    assert suggestion.startswith(close)
    assert suggestion.removesuffix("`?") in names(network)


def test_a_layer_like_no_other_is_refused_with_the_list_of_all():
    with pytest.raises(UnknownName) as caught:
        layer_name("vgg16", "head")
    assert str(caught.value).endswith(f"Known: {', '.join(names('vgg16'))}.")


def test_a_layer_of_an_unknown_network_is_refused_with_the_closest_network():
    with pytest.raises(UnknownName, match=r"Unknown network `vgg18`\. Did you mean `vgg1[69]`\?"):
        layer_name("vgg18", "conv4_2")


# Weights


def test_the_first_weights_of_vgg16_are_the_known_ones():
    layer = convolution("vgg16", "bundled", "conv1_1", torch.float32, torch.device("cpu"))
    kernel, bias = layer.kernel, layer.bias
    # The original reads BGR, so its first channel is the last of RGB. A palette rounds kernels.
    known = torch.tensor([0.42947057, 0.373467, -0.06136011])
    torch.testing.assert_close(kernel[0, 2, 0], known, rtol=0, atol=0.01)
    torch.testing.assert_close(bias[:2], torch.tensor([0.73429835, 0.09340367]), rtol=1e-6, atol=0)


@pytest.mark.parametrize("network", COUNTS)
def test_only_the_first_kernel_is_turned_from_bgr_to_rgb(network, decoded):
    for name in ("conv1_1", "conv1_2", "conv3_2", "conv5_1"):
        layer = convolution(network, "bundled", name, torch.float64, torch.device("cpu"))
        kernel, bias = layer.kernel, layer.bias
        expected = decoded[network][name][0]
        expected = expected[:, [2, 1, 0]] if name == "conv1_1" else expected
        assert torch.equal(kernel, expected)
        assert torch.equal(bias, decoded[network][name][1])


@pytest.mark.parametrize("network", COUNTS)
def test_the_files_hold_one_byte_a_weight_and_every_layer(network, files):
    tensors = files[network]
    assert {key.split(".")[0] for key in tensors} == set(names(network))
    inputs = 3
    for name in names(network):
        outputs = CHANNELS[int(name[4]) - 1]
        assert tensors[f"{name}.index"].dtype == torch.uint8
        assert tensors[f"{name}.index"].shape == (outputs, inputs, 3, 3)
        assert tensors[f"{name}.palette"].shape == (256,)
        assert tensors[f"{name}.bias"].shape == (outputs,)
        inputs = outputs


def test_unknown_weights_are_refused_with_the_closest_name():
    with pytest.raises(UnknownName, match=r"Unknown weights `bundle`\. Did you mean `bundled`\?"):
        Backbone(weights="bundle").features(speckled(4, 4), ["conv1_1"])


# Features


@pytest.mark.parametrize("network", COUNTS)
def test_features_of_every_layer_are_those_of_a_plain_network(network, photo_tensor, decoded):
    found = Backbone(network=network).features(photo_tensor, names(network))
    assert list(found) == names(network)
    assert {values.dtype for values in found.values()} == {torch.float32}
    expected = plain_features(decoded[network], photo_tensor, names(network)[-1])
    assert_features_agree(found, expected)


def test_float64_features_are_those_of_a_plain_network_to_more_digits(photo_tensor, decoded):
    found = Backbone(dtype=torch.float64).features(photo_tensor, ["conv1_1", "conv2_1", "conv3_1"])
    assert {values.dtype for values in found.values()} == {torch.float64}
    expected = plain_features(decoded["vgg19"], photo_tensor, "conv3_1")
    assert_features_agree(found, expected, 1e-7)


def test_bfloat16_features_are_those_of_a_plain_network_to_two_digits(photo_tensor, decoded):
    layers = ["conv1_1", "conv2_1", "conv3_1"]
    found = Backbone(dtype=torch.bfloat16).features(photo_tensor, layers)
    expected = plain_features(decoded["vgg19"], photo_tensor, "conv3_1")
    for name in layers:
        assert found[name].dtype == torch.bfloat16
        error = (found[name].double() - expected[name]).norm() / expected[name].norm()
        assert error < 0.02, name


def test_bfloat16_features_are_the_same_where_the_processor_has_no_instructions_for_it(
    photo_tensor, decoded, without_bfloat16
):
    with pytest.raises(RuntimeError, match="needs the cpu support"):
        torch.ops.mkldnn._convolution_pointwise(
            torch.ones(1, 3, 4, 4, dtype=torch.bfloat16),
            torch.ones(3, 3, 3, 3, dtype=torch.bfloat16),
            None,
            [1, 1],
            [1, 1],
            [1, 1],
            1,
            "relu",
            [],
            "",
        )
    test_bfloat16_features_are_those_of_a_plain_network_to_two_digits(photo_tensor, decoded)


@pytest.mark.parametrize(
    ("torch_says", "variable", "works"),
    [(True, None, True), (True, "1", True), (True, "0", False), (False, None, False)],
)
def test_whether_bfloat16_works_is_known_from_torch_unless_it_is_forbidden(
    torch_says, variable, works, monkeypatch
):
    monkeypatch.delenv("NST_BFLOAT16", raising=False)
    if variable is not None:
        monkeypatch.setenv("NST_BFLOAT16", variable)
    answer = types.SimpleNamespace(_is_mkldnn_bf16_supported=lambda: torch_says)
    monkeypatch.setattr(torch.ops, "mkldnn", answer)
    assert bfloat16_works() is works
    assert bfloat16_works(torch.device("cuda")) is (variable != "0")


def test_swapping_red_and_blue_changes_the_features(photo_tensor):
    backbone = Backbone()
    features = backbone.features(photo_tensor, ["conv1_1"])["conv1_1"]
    swapped = backbone.features(photo_tensor.flip(1), ["conv1_1"])["conv1_1"]
    assert (features - swapped).norm() > 0.05 * features.norm()


@pytest.mark.parametrize("size", [(32, 32), (37, 50), (17, 33), (1, 40), (23, 1), (1, 1), (3, 2)])
def test_features_of_any_size_have_the_documented_shape(size):
    layers = [f"conv{block}_1" for block in range(1, 6)]
    found = Backbone().features(speckled(*size), layers)
    for block, name in enumerate(layers):
        sides = [max(1, side // 2**block) for side in size]
        assert tuple(found[name].shape) == (1, CHANNELS[block], *sides)
        assert found[name].is_contiguous(memory_format=torch.channels_last)
        assert found[name].isfinite().all()


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("size", [(37, 51), (1, 40), (23, 1), (1, 1)])
def test_odd_and_narrow_pictures_have_the_features_of_a_plain_network(size, pooling, decoded):
    image = speckled(*size)
    found = Backbone(pooling=pooling).features(image, ["conv1_2", "conv2_2", "conv3_1"])
    expected = plain_features(decoded["vgg19"], image, "conv3_1", pooling)
    assert_features_agree(found, expected)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_pooling_is_the_one_that_was_asked_for(pooling, photo_tensor, decoded):
    found = Backbone(pooling=pooling).features(photo_tensor, ["conv1_2", "conv2_1", "conv3_1"])
    expected = plain_features(decoded["vgg19"], photo_tensor, "conv3_1", pooling)
    assert_features_agree(found, expected)
    other = {"max": "average", "average": "max"}[pooling]
    wrong = plain_features(decoded["vgg19"], photo_tensor, "conv2_1", other)["conv2_1"]
    assert (found["conv2_1"] - wrong).norm() > 0.05 * wrong.norm()


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.7])
def test_leaky_relu_has_its_slope_in_every_layer(slope, photo_tensor, decoded):
    backbone = Backbone(activation="leaky_relu", last_activation="leaky_relu", slope=slope)
    found = backbone.features(photo_tensor, ["conv1_1", "conv1_2", "conv2_2"])
    expected = plain_features(
        decoded["vgg19"], photo_tensor, "conv2_2", "max", "leaky_relu", "leaky_relu", slope
    )
    assert_features_agree(found, expected)
    assert (found["conv2_2"].min() < 0) == (slope > 0)


def test_tanh_everywhere_is_applied_in_every_layer(photo_tensor, decoded):
    backbone = Backbone(activation="tanh", last_activation="tanh", dtype=torch.float64)
    found = backbone.features(photo_tensor, ["conv1_1", "conv1_2", "conv2_1"])
    expected = plain_features(
        decoded["vgg19"], photo_tensor, "conv2_1", activation="tanh", final="tanh"
    )
    assert_features_agree(found, expected)


@pytest.mark.parametrize("final", ["tanh", "leaky_relu"])
@pytest.mark.parametrize("layers", [["conv1_1"], ["conv3_1", "conv1_2"], ["conv2_2", "conv2_1"]])
def test_the_last_activation_is_that_of_the_last_layer_read_alone(
    layers, final, photo_tensor, decoded
):
    backbone = Backbone(last_activation=final, dtype=torch.float64)  # tanh magnifies rounding
    found = backbone.features(photo_tensor, layers)
    last = max(layers)
    expected = plain_features(decoded["vgg19"], photo_tensor, last, final=final)
    assert_features_agree(found, expected, 1e-3)
    assert found[last].min() < 0
    assert all(found[name].min() >= 0 for name in layers if name != last)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_pass_through_activations_that_work_in_place(activation, decoded):
    image = speckled(13, 10)
    layers = ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
    mine, theirs = image.clone().requires_grad_(), image.clone().requires_grad_()
    backbone = Backbone(activation=activation, last_activation=activation, dtype=torch.float64)
    found = backbone.features(mine, layers)
    expected = plain_features(
        decoded["vgg19"], theirs, "conv3_1", activation=activation, final=activation
    )
    for values in (found, expected):
        sum((values[name].double() ** 2).mean() for name in layers).backward()
    assert theirs.grad.abs().max() > 0
    assert (mine.grad - theirs.grad).abs().max() <= 1e-5 * theirs.grad.abs().max()


def test_features_come_in_the_order_of_the_network_and_no_others(photo_tensor):
    found = Backbone().features(photo_tensor, {"conv3_1", "conv1_2", "conv2_1"})
    assert list(found) == ["conv1_2", "conv2_1", "conv3_1"]


def test_features_do_not_depend_on_the_layers_asked_with_them(photo_tensor):
    few = Backbone().features(photo_tensor, ["conv2_1"])["conv2_1"]
    many = Backbone().features(photo_tensor, ["conv1_1", "conv2_1", "conv3_2"])["conv2_1"]
    assert torch.equal(few, many)


def test_the_picture_is_left_as_it_was(photo_tensor):
    before = photo_tensor.clone()
    Backbone().features(photo_tensor, ["conv1_1", "conv2_1"])
    assert torch.equal(photo_tensor, before)


@pytest.mark.parametrize("last", ["conv1_1", "conv2_1", "conv3_1"])
def test_the_network_ends_after_the_last_layer(last):
    with FlopCounterMode(display=False) as counter:
        Backbone().features(speckled(16, 24), [last])
    expected, inputs = 0, 3
    for name in names("vgg19")[: names("vgg19").index(last) + 1]:
        block = int(name[4]) - 1
        positions = (16 >> block) * (24 >> block)
        expected += 2 * 9 * inputs * CHANNELS[block] * positions
        inputs = CHANNELS[block]
    assert counter.get_total_flops() == expected


# Torchvision's weights


def _forget_weights():
    for thing in vars(vgg).values():
        if hasattr(thing, "cache_clear"):
            thing.cache_clear()


@pytest.fixture(params=COUNTS)
def hub(request, decoded, tmp_path, monkeypatch):
    """A hub cache that holds the bundled kernels in RGB as if torchvision had trained them.

    Torchvision's networks read values near 1, so the biases are made as small as its units.
    """
    network = request.param
    file, mean, std = TORCHVISION[network]
    unit = 255 * sum(std) / 3
    layers = torchvision_models().vgg.make_layers(
        torchvision_models().vgg.cfgs[CONFIGURATIONS[network]]
    )
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    for layer, (name, (kernel, bias)) in zip(convolutions, decoded[network].items(), strict=True):
        kernel = kernel.flip(1) if name == "conv1_1" else kernel
        layer.weight.data, layer.bias.data = kernel.float(), bias.float() / unit
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    state = {f"features.{key}": value for key, value in layers.state_dict().items()}
    torch.save(state, cache / file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    _forget_weights()
    yield network, layers, mean, std
    _forget_weights()
    (cache / file).unlink()


def torchvision_features(layers, image):
    """Every convolution's activation, by walking torchvision's own modules."""
    found, x = [], image
    for layer in copy.deepcopy(layers).double():
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU):
            found.append(x.clone())
    return found


@torch.no_grad()
def test_torchvision_weights_have_torchvisions_features_in_the_original_units(hub, photo_tensor):
    network, layers, own_mean, std = hub
    layers_read = names(network)
    found = Backbone(network=network, weights="torchvision").features(photo_tensor, layers_read)
    # Exact for the mean that all backbones subtract, close for the one torchvision rounds to.
    original = (123.68 / 255, 116.779 / 255, 103.939 / 255)
    for mean, tolerance in ((original, 2e-5), (own_mean, 0.02)):
        mean, scale = (
            torch.tensor(numbers, dtype=torch.float64).view(1, 3, 1, 1) for numbers in (mean, std)
        )
        theirs = torchvision_features(layers, (photo_tensor.double() / 255 - mean) / scale)
        unit = 255 * sum(std) / 3
        for name, values in zip(layers_read, theirs, strict=True):
            error = (found[name].double() - unit * values).norm() / (unit * values).norm()
            assert error < tolerance, name


def test_what_was_downloaded_or_is_bundled_needs_no_download(hub, tmp_path, monkeypatch):
    network, *_ = hub
    assert not needs_download(network, "torchvision")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "elsewhere"))
    assert needs_download(network, "torchvision")
    assert not needs_download(network, "bundled")
    with pytest.raises(UnknownName, match="`torchvision`"):
        needs_download(network, "torchvison")
