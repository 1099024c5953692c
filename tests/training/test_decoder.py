"""Training of decoders: the losses, what they begin with, and going on from a saved state."""

from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nst.nn.decoders import Decoder, load_decoder
from nst.nn.muon import OPTIMIZERS
from nst.nn.style_swap import swapped
from nst.nn.vgg import Backbone
from nst.settings.recipe import SwapSettings
from nst.settings.training import InverseRecipe, inverse_training, inverse_trainings
from nst.training.decoder import STATISTICS_CROPS, train_inverse
from nst.training.photos import BadTraining, Crops, find_photos
from tests.helpers import ALONE, invoke, noise

PRECISE = replace(ALONE, precision="float32")
TINY = {"layer": "conv2_1", "data.side": 64, "data.batch": 2, "schedule.iterations": 6}


def recipe(**changes):
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return InverseRecipe().but({**TINY, **dotted})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("photos")
    for n in range(16):
        noise(80 + 3 * n, 110 - 2 * n, n).save(made / f"{n:02}.png")
    return made


@pytest.fixture(scope="module")
def photos(folder):
    return find_photos(folder)


def uneven(layer):
    """A decoder whose channels differ, as those of photos do."""
    decoder = Decoder(layer)
    draw = torch.Generator().manual_seed(3)
    for values in (decoder.mean, decoder.deviation):
        values.copy_(torch.rand(len(values), generator=draw) + 0.5)
    return decoder


def steps(photos, made, count=None, fleet=PRECISE, **options):
    with closing(train_inverse(photos, made, fleet, **options)) as running:
        return list(islice(running, count))


def repeated(error):
    """Of conv2_1, whose positions are 2 x 2 pixels."""
    places = np.stack([error[:, :, y::2, x::2].mean((2, 3)) for y in (0, 1) for x in (0, 1)])
    return np.square(places - places.mean(0)).mean()


def test_the_losses_of_a_step_are_those_written_out(photos):
    made = recipe(feature=0.7, image=3, color=5, grid=8, tv=0.2)
    start = uneven("conv2_1")
    (step,) = steps(photos, made, 1, start=start)
    crops = torch.stack([Crops(photos.paths, made.data, made.seed)[i] for i in range(2)])
    backbone = Backbone(dtype=torch.float64)
    wanted = backbone.features(crops.double(), ("conv2_1",))["conv2_1"]
    with torch.no_grad():
        decoded = start.double()(wanted).double()
    deviation = start.deviation.view(1, -1, 1, 1)
    found = backbone.features(decoded, ("conv2_1",))["conv2_1"]
    pixels = decoded / 63.75
    expected = {
        "feature": ((found - wanted) / deviation).square().mean(),
        "image": (pixels - crops / 63.75).square().mean(),
        "color": F.interpolate(pixels - crops / 63.75, scale_factor=1 / 16, mode="area")
        .square()
        .mean(),
        "grid": repeated((pixels - crops / 63.75).numpy()),
        "tv": pixels.diff(dim=2).square().mean() + pixels.diff(dim=3).square().mean(),
    }
    weights = {"feature": 0.7, "image": 3, "color": 5, "grid": 8, "tv": 0.2}
    assert set(step.losses.terms) == set(weights)
    for name, weight in weights.items():
        term = step.losses.terms[name]
        assert term.unweighted == pytest.approx(expected[name].item(), rel=2e-3), name
        assert term.weighted == pytest.approx(weight * term.unweighted), name
    total = sum(term.weighted for term in step.losses.terms.values())
    assert step.losses.total == pytest.approx(total)


def test_channels_are_measured_in_their_deviations_from_the_mean(photos):
    made = recipe()
    (step,) = steps(photos, made, 1)
    crops = Crops(photos.paths, made.data, made.seed)
    seen = torch.stack([crops[index] for index in range(STATISTICS_CROPS)])
    found = Backbone().features(seen, ("conv2_1",))["conv2_1"].double()
    deviation = found.std((0, 2, 3), correction=0)
    deviation = deviation.clamp(min=0.01 * deviation.mean().item())
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(step.network.mean.double(), found.mean((0, 2, 3)), **close)
    torch.testing.assert_close(step.network.deviation.double(), deviation, **close)


def test_the_losses_fall(photos):
    made = recipe(schedule__iterations=40, schedule__learning_rate=3e-3)
    losses = [step.losses.total for step in steps(photos, made)]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_training_ends_with_the_same_bits(name, photos, tmp_path):
    made = recipe(schedule__optimizer=name)
    whole = steps(photos, made)[-1]
    steps(photos, made, 3)[-1].save(tmp_path / "a.state")
    resumed = steps(photos, made, state=tmp_path / "a.state")[-1]
    assert (whole.index, resumed.index) == (6, 6)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_the_recipe_names_the_optimizer(photos):
    found = {}
    for name in OPTIMIZERS:
        last = steps(photos, recipe(schedule__optimizer=name), 2)[-1]
        found[name] = last.network.state_dict()["parts.2.first.kernel"].clone()
    assert not torch.equal(found["adam"], found["muon"])


def test_a_state_of_another_training_is_refused(photos, tmp_path):
    steps(photos, recipe(), 1)[-1].save(tmp_path / "a.state")
    for made in (recipe(image=2), recipe(layer="conv1_1")):
        with pytest.raises(BadTraining, match="other settings"):
            steps(photos, made, 1, state=tmp_path / "a.state")


def test_a_deeper_decoder_begins_with_the_shallower_one(photos):
    shallow = uneven("conv2_1")
    made = recipe(layer="conv3_1", schedule__learning_rate=1e-12)
    (alone,), (step,) = steps(photos, made, 1), steps(photos, made, 1, start=shallow)
    state, fresh = step.network.state_dict(), alone.network.state_dict()
    for name, value in shallow.state_dict().items():
        if name not in ("mean", "deviation"):
            torch.testing.assert_close(state[name], value)
    for name in ("mean", "deviation", "parts.3.first.kernel"):  # the layer's own
        torch.testing.assert_close(state[name], fresh[name])


def test_a_shallower_decoder_cannot_begin_with_a_deeper_one(photos):
    with pytest.raises(BadTraining, match="conv3_1 cannot begin one of conv2_1"):
        steps(photos, recipe(), 1, start=Decoder("conv3_1"))


def test_swapped_features_are_learned_too(photos, tmp_path):
    """With paintings, half of the features are swapped ones, whose pixels nobody knows."""
    for n in range(16):
        noise(90, 90, 50 + n).save(tmp_path / f"{n:02}.png")
    paintings = find_photos(tmp_path)
    made = recipe(feature=1, image=0, tv=0)
    start = uneven("conv2_1")
    (alone,) = steps(photos, made, 1, start=start)
    (both,) = steps(photos, made, 1, start=start, paintings=paintings)
    (again,) = steps(photos, made, 1, start=start, paintings=paintings)
    assert both.losses == again.losses
    assert both.losses.total != alone.losses.total
    # The same sum, by hand: which crops of paintings were drawn is the step's own business.
    seen = []
    original = nst_train_inverse()._Inverse._swapped

    def noticed(task, features, *rest):
        seen.append((features, original(task, features, *rest)))
        return seen[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nst_train_inverse()._Inverse, "_swapped", noticed)
        (step,) = steps(photos, made, 1, start=start, paintings=paintings)
    plain, moved = seen[0]
    features = torch.cat([plain, moved])
    with torch.no_grad():
        found = Backbone().features(start(features), ("conv2_1",))["conv2_1"]
    deviation = start.deviation.view(1, -1, 1, 1)
    expected = ((found - features) / deviation).square().mean().item()
    assert step.losses.total == pytest.approx(expected, rel=1e-3)
    assert not torch.equal(plain, moved)


def nst_train_inverse():
    import nst.training.decoder

    return nst.training.decoder


def test_a_swap_is_the_engines_own():
    """What a decoder learns from is what it is used on."""
    assert nst_train_inverse().swapped is swapped
    assert SwapSettings().patch == 3


def test_the_recipes_are_complete():
    assert set(inverse_trainings()) == {"conv1_1", "conv2_1", "conv3_1", "conv4_1", "wang"}
    wang = inverse_training("wang").recipe
    assert (wang.data.batch, wang.schedule.epochs, wang.schedule.learning_rate) == (4, 5, 1e-3)
    assert (wang.layer, wang.image, wang.tv) == ("conv3_1", 0, 1e-4)
    assert wang.iterations(10_000) == 12_500


# The command line


def test_a_decoder_is_trained_by_one_command(folder, tmp_path):
    output = tmp_path / "d.safetensors"
    options = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    options += ["--set", "schedule.iterations=2"]
    done = invoke("train-inverse", "--photos", folder, "-o", output, *options)
    assert done.exit_code == 0, done.output
    kept = load_decoder(output)
    assert kept.decoder.layer == "conv2_1"
    assert kept.notes["training"]["iterations"] == 2
    assert {path.suffix for path in tmp_path.iterdir()} == {
        ".safetensors",
        ".state",
        ".csv",
        ".png",
    }
    deeper = tmp_path / "e.safetensors"
    options[1] = "layer=conv3_1"
    done = invoke("train-inverse", "--photos", folder, "-o", deeper, "--from", output, *options)
    assert done.exit_code == 0, done.output
    assert load_decoder(deeper).notes["before"]["iterations"] == 2


def test_what_would_be_lost_is_refused(folder, tmp_path):
    inside = folder / "d.safetensors"
    assert "lies among the photos" in refused("--photos", folder, "-o", inside)
    output = tmp_path / "d.safetensors"
    output.write_bytes(b"mine")
    assert "exists already" in refused("--photos", folder, "-o", output)
    assert output.read_bytes() == b"mine"
    assert "no decoder" in refused(
        "--photos", folder, "-o", tmp_path / "e.safetensors", "--from", Path(__file__)
    )
    assert "layer" in refused(
        "--photos", folder, "-o", tmp_path / "e.safetensors", "--set", "layer=conv5_1"
    )


def refused(*arguments):
    done = invoke("train-inverse", *arguments)
    assert done.exit_code == 2
    return done.stderr
