"""Training of a network: crops, losses, schedule, and going on from a saved state."""

import math
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import nst.training.loop
import nst.training.network
import nst.training.photos
from nst.nn.transformer import TransformerNetwork
from nst.nn.vgg import Backbone
from nst.pictures.formats import NAMES
from nst.pictures.images import fit, resized, to_tensor
from nst.settings.training import TrainingRecipe
from nst.training.fleet import Fleet
from nst.training.network import train
from nst.training.photos import BadTraining, Crops, find_photos
from tests.helpers import ALONE, noise
from tests.nn.test_transformer import PlainNetwork, plain_name

ROOT = Path(__file__).parents[2]
TINY = {
    "network.width": 4,
    "network.blocks": 1,
    "data.side": 64,
    "data.batch": 2,
    "schedule.iterations": 6,
    "style.layers": "conv1_2=0.5, conv2_1=2",
    "content.layers": "conv1_1=0.3, conv2_1=1",
    "style.weight": 0.01,
    "style.scale": 1.5,
    "tv.weight": 0.2,
    "stability.weight": 3.0,
}


def recipe(**changes):
    """A tiny one; `schedule__warm_up` stands for `schedule.warm_up`."""
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return TrainingRecipe().but({**TINY, **dotted})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("photos")
    for n in range(20):
        noise(70 + 5 * n, 120 - 4 * n, n).save(made / f"{n:02}.png")
    return made


@pytest.fixture(scope="module")
def photos(folder):
    return find_photos(folder)


@pytest.fixture
def precise(monkeypatch):
    """Convolutions in float32, whatever is faster here."""
    monkeypatch.setitem(globals(), "ALONE", replace(ALONE, precision="float32"))


def crops_of(paths, made):
    return Crops(paths, made.data, made.seed)


def steps(painting, photos, made, count=None, **options):
    """The first steps, as (loss total, rate, ...) of each; the last one can still be saved."""
    with closing(train(painting, photos, made, ALONE, **options)) as running:
        return list(islice(running, count))


# Photos


def test_pictures_are_found_in_folders_below_and_bad_ones_counted(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    below = tmp_path / "more" / "deep"
    below.mkdir(parents=True)
    noise(80, 80, 0).save(below / "one.JPG", format="JPEG")
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    (below / "half.png").write_bytes((folder / "00.png").read_bytes()[:200])
    (tmp_path / "notes.txt").write_text("no picture, and not one by its name")
    found = find_photos(tmp_path)
    assert len(found.paths) == 21
    assert found.faults == {
        "is damaged or incomplete and cannot be read.": 1,
        "is empty.": 1,
        f"is not a picture. {NAMES} works.": 1,
    }
    assert found.unusable.startswith("3 could not be used (1: is ")
    assert {path.name for path in found.paths} >= {"00.png", "one.JPG"}
    assert list(found.paths) == sorted(found.paths)


@pytest.mark.parametrize("count", [0, 1, 15])
def test_too_few_photos_are_refused_with_a_sentence(count, folder, tmp_path):
    for path in sorted(folder.iterdir())[:count]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(BadTraining) as caught:
        find_photos(tmp_path)
    said = f"has {count} usable pictures, 1 could not be used (1: is not a picture"
    assert said in str(caught.value)
    assert "at least 16" in str(caught.value)


def test_sixteen_photos_are_enough(folder, tmp_path):
    for path in sorted(folder.iterdir())[:16]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(find_photos(tmp_path).paths) == 16


@pytest.mark.parametrize("name", ["missing", "file.txt"])
def test_what_is_no_folder_is_refused(name, tmp_path):
    (tmp_path / "file.txt").touch()
    with pytest.raises(BadTraining, match=rf"{name}` is not a folder of photos\."):
        find_photos(tmp_path / name)


# Crops


def test_a_crop_is_the_same_whenever_it_is_asked_for(photos):
    first, second = crops_of(photos.paths, recipe()), crops_of(photos.paths, recipe())
    order = [35, 3, 0, 21]
    forward = {index: first[index] for index in order}
    assert all(torch.equal(second[index], forward[index]) for index in reversed(order))
    assert not torch.equal(first[0], first[20])
    other = crops_of(photos.paths, recipe(seed=1))
    assert not any(torch.equal(other[index], forward[index]) for index in order)


@pytest.mark.parametrize("side", [64, 96, 256])
def test_a_crop_has_the_wanted_size_and_range(side, photos):
    crops = crops_of(photos.paths, recipe(data__side=side))
    for index in range(20):
        crop = crops[index]
        assert (crop.shape, crop.dtype) == ((3, side, side), torch.float32)
        assert crop.min() >= 0
        assert 1 < crop.max() <= 255
        assert torch.equal(crop, crop.round())


def plain_photos(folder, count):
    """Each of a color of its own."""
    for n in range(count):
        Image.new("RGB", (70 + n, 90), (10 * n, 200 - 9 * n, 50)).save(folder / f"{n:02}.png")
    return find_photos(folder)


@pytest.mark.parametrize("count", [16, 19])
def test_every_epoch_has_every_photo_once_in_an_order_of_its_own(count, tmp_path):
    crops = crops_of(plain_photos(tmp_path, count).paths, recipe())
    orders = [
        [round(crops[epoch * count + place][0, 0, 0].item() / 10) for place in range(count)]
        for epoch in range(3)
    ]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def ramps(folder):
    """Brightness rises from left to right, in red, and from top to bottom, in green."""
    across, down = np.meshgrid(np.arange(160), np.arange(120))
    pixels = np.stack([across + 50, down + 80, np.zeros_like(down)], -1).astype(np.uint8)
    for n in range(16):
        Image.fromarray(pixels).save(folder / f"{n:02}.png")
    return find_photos(folder).paths


def rises(crop, channel):
    """From left to right, and from top to bottom."""
    values = crop[channel]
    return (values[:, -1] > values[:, 0]).all().item(), (values[-1] > values[0]).all().item()


def test_half_of_the_crops_are_turned_left_to_right_and_none_upside_down(tmp_path):
    crops = crops_of(ramps(tmp_path), recipe())
    count = 300
    kept = 0
    for index in range(count):
        crop = crops[index]
        kept += rises(crop, 0)[0]
        assert rises(crop, 1)[1]
    assert abs(kept - count / 2) < 4 * math.sqrt(count) / 2  # four standard deviations


def test_without_flips_no_crop_is_turned(tmp_path):
    crops = crops_of(ramps(tmp_path), recipe(data__flip=False))
    assert all(rises(crops[index], 0)[0] for index in range(60))


def test_a_share_of_the_crops_has_other_colors_and_the_same_drawing(photos):
    plain = crops_of(photos.paths, recipe())
    some = crops_of(photos.paths, recipe(data__recolor=0.5))
    every = crops_of(photos.paths, recipe(data__recolor=1.0))
    count = 100
    same = sum(torch.equal(some[index], plain[index]) for index in range(count))
    assert abs(same - count / 2) < 4 * math.sqrt(count) / 2
    spreads = []
    for index in range(30):
        before, after = plain[index], every[index]
        assert torch.equal(after, every[index])
        assert after.min() >= 0
        assert after.max() <= 255
        inside = (after.amin(0) > 0) & (after.amax(0) < 255)
        torch.testing.assert_close(after.mean(0)[inside], before.mean(0)[inside])
        spreads.append(float(after.std(0).mean() / before.std(0).mean()))
    assert min(spreads) < 0.5
    assert max(spreads) > 1.2


def test_crops_differ_in_place_and_scale_and_stay_inside(tmp_path):
    crops = crops_of(ramps(tmp_path), recipe(data__flip=False))
    found = [crops[index] for index in range(80)]
    left = np.array([crop[0, 0, 0].item() - 50 for crop in found])
    right = np.array([crop[0, 0, -1].item() - 50 for crop in found])
    cut = right - left
    assert left.min() >= 0
    assert right.max() <= 160
    assert left.min() < 10
    assert right.max() > 150
    assert 60 < cut.min() < 72  # a side of 64 to 120
    assert 110 < cut.max() < 122
    top = np.array([crop[1, 0, 0].item() - 80 for crop in found])
    assert top.min() < 5
    assert top.max() > 35


@pytest.mark.parametrize("size", [(30, 30), (1, 1), (64, 64)])
def test_a_square_photo_that_is_small_is_enlarged_as_a_whole(size, tmp_path):
    photo = noise(*size, 3)
    for n in range(16):
        photo.save(tmp_path / f"{n:02}.png")
    crops = crops_of(find_photos(tmp_path).paths, recipe(data__flip=False))
    expected = to_tensor(resized(photo, (64, 64)), torch.device("cpu"))[0]
    assert torch.equal(crops[5], expected)


@pytest.mark.parametrize("size", [(30, 90), (500, 20), (65, 63), (3, 64)])
def test_a_narrow_photo_is_enlarged_to_the_side(size, tmp_path):
    for n in range(16):
        noise(*size, n).save(tmp_path / f"{n:02}.png")
    crops = crops_of(find_photos(tmp_path).paths, recipe())
    assert {crops[index].shape for index in range(20)} == {(3, 64, 64)}


# Losses


def drawn(seed=8, width=4, blocks=1):
    torch.manual_seed(seed)
    return TransformerNetwork(width, blocks)


def plain(network):
    """The same in float64, by torch's own modules."""
    twin = PlainNetwork(network.width, len(network.blocks), "nearest").double()
    twin.load_state_dict({plain_name(k): v.double() for k, v in network.state_dict().items()})
    return twin


def gram(features):
    rows = features[0].flatten(1)
    return rows @ rows.T / rows.shape[1]


def variation(image):
    """Mean squares of neighbors' differences."""
    down, across = image.diff(dim=2), image.diff(dim=3)
    return down.square().mean() + across.square().mean()


def independent(painting, crops, noisy, network, made):
    """The terms of a step, of pictures one by one, in float64."""
    side = made.data.side * made.style.scale
    wide = Backbone(made.backbone.network, dtype=torch.float64)
    picture = to_tensor(resized(painting, fit(painting.size, side)), torch.device("cpu"))
    target = wide.features(picture.double(), made.layers)
    terms = {"content": [], "style": [], "tv": []}
    results = [network(crop[None].double()) for crop in crops]
    for crop, result in zip(crops, results, strict=True):
        found = wide.features(result, made.layers)
        aim = wide.features(crop[None].double(), made.content.layers)
        content = (
            weight * (found[layer] - aim[layer]).square().mean()
            for layer, weight in made.content.layers.items()
        )
        style = (
            weight * (gram(found[layer]) - gram(target[layer])).square().mean()
            for layer, weight in made.style.layers.items()
        )
        terms["content"].append(sum(content))
        terms["style"].append(sum(style))
        terms["tv"].append(variation(result))
    means = {name: sum(values) / len(values) for name, values in terms.items()}
    again = network(noisy[None].double())
    return means | {"stability": (again - results[0]).square().mean()}


def noise_of_step(monkeypatch, photos):
    """The noise is drawn here, so that the test knows it."""
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 10
    monkeypatch.setattr(nst.training.network, "_noise", lambda photo, deviation, draw: noise)
    return noise[0]


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_losses_of_a_step_are_those_written_out(batch, painting, photos, precise, monkeypatch):
    made, network = recipe(data__batch=batch), drawn()
    extra = noise_of_step(monkeypatch, photos)
    crops = [crops_of(photos.paths, made)[index] for index in range(batch)]
    (step,) = steps(painting, photos, made, 1, start=network)
    with torch.no_grad():
        twin = plain(network)
        expected = independent(painting, crops, crops[0] + extra, twin, made)
    weights = {"content": 1.0, "style": 0.01, "tv": 0.2, "stability": 3.0}
    assert set(step.losses.terms) == set(weights)
    for name, weight in weights.items():
        term = step.losses.terms[name]
        assert term.unweighted == pytest.approx(expected[name].item(), rel=1e-4), name
        assert term.weighted == pytest.approx(weight * expected[name].item(), rel=1e-4), name
    total = sum(weight * expected[name].item() for name, weight in weights.items())
    assert step.losses.total == pytest.approx(total, rel=1e-4)


def test_a_step_moves_every_weight_against_its_gradient(painting, photos, precise, monkeypatch):
    """Adam's first step is the learning rate, with the sign of the gradient."""
    made, network = recipe(schedule__learning_rate=1e-3), drawn()
    extra = noise_of_step(monkeypatch, photos)
    crops = [crops_of(photos.paths, made)[index] for index in range(2)]
    (step,) = steps(painting, photos, made, 1, start=network)
    twin = plain(network)
    terms = independent(painting, crops, crops[0] + extra, twin, made)
    weights = {"content": 1.0, "style": 0.01, "tv": 0.2, "stability": 3.0}
    sum(weight * terms[name] for name, weight in weights.items()).backward()
    gradients = dict(twin.named_parameters())
    before, after = network.state_dict(), step.network.state_dict()
    largest = max(value.grad.abs().max() for value in gradients.values())
    compared = 0
    for name in before:
        gradient = gradients[plain_name(name)].grad
        clear = gradient.abs() > 1e-4 * largest  # the others' signs are rounding
        moved = (after[name] - before[name]).double()[clear]
        expected = -1e-3 * gradient.sign()[clear]
        torch.testing.assert_close(moved, expected, rtol=0, atol=2e-5)
        compared += clear.sum().item()
    assert compared > 500


@pytest.mark.parametrize("kind", ["l2-sum", "l1-sum", "l1-mean"])
def test_the_variation_is_the_mean_over_the_batch(kind, painting, photos, precise):
    made, network = recipe(tv__kind=kind, stability__weight=0), drawn()
    crops = [crops_of(photos.paths, made)[index] for index in range(2)]
    (step,) = steps(painting, photos, made, 1, start=network)
    with torch.no_grad():
        images = [plain(network)(crop[None].double()) for crop in crops]
    power = 2 if kind[:2] == "l2" else 1
    reduce = torch.sum if kind.endswith("sum") else torch.mean
    each = [
        sum(reduce(image.diff(dim=d).abs() ** power).item() for d in (2, 3)) for image in images
    ]
    assert step.losses.terms["tv"].unweighted == pytest.approx(sum(each) / 2, rel=1e-4)


def test_every_step_and_process_has_noise_of_its_own_of_the_wanted_deviation():
    photo = torch.zeros(1, 3, 64, 64)

    def noise_at(done, rank, count=2):
        fleet = Fleet(rank, count, torch.device("cpu"), "float32")
        training = SimpleNamespace(recipe=made, done=done, fleet=fleet)
        return nst.training.network._noise(photo, 4, nst.training.loop._Training._draw(training))

    made = recipe()
    drawn_once = [noise_at(done, rank) for done in (0, 1, 2) for rank in (0, 1)]
    assert len({one.sum().item() for one in drawn_once}) == 6
    for one in drawn_once:
        # 12288 numbers: the deviation is known to 0.6 %, the mean to 0.036.
        assert one.std().item() == pytest.approx(4, rel=0.03)
        assert abs(one.mean().item()) < 0.2
    assert torch.equal(noise_at(2, 1), drawn_once[-1])


def test_without_stability_there_is_no_such_term(painting, photos):
    (step,) = steps(painting, photos, recipe(stability__weight=0), 1)
    assert set(step.losses.terms) == {"content", "style", "tv"}


def test_the_losses_fall(painting, photos):
    made = recipe(schedule__iterations=24, schedule__learning_rate=5e-3)
    totals = [step.losses.total for step in steps(painting, photos, made)]
    assert len(totals) == 24
    assert sum(totals[-6:]) < 0.6 * sum(totals[:6])


def test_steps_count_and_time_themselves(painting, photos):
    found = steps(painting, photos, recipe())
    assert [step.index for step in found] == [1, 2, 3, 4, 5, 6]
    assert {step.total for step in found} == {6}
    seconds = [step.seconds for step in found]
    assert seconds[0] > 0
    assert seconds == sorted(seconds)
    assert found[-1].seconds_left == 0
    assert found[0].seconds_left > 0


# Schedule


def test_the_learning_rate_rises_and_falls_along_a_cosine(painting, photos):
    made = recipe(
        schedule__iterations=10,
        schedule__learning_rate=0.004,
        schedule__warm_up=4,
        schedule__end_share=0.25,
        data__batch=1,
        stability__weight=0,
    )
    found = steps(painting, photos, made)
    for n, step in enumerate(found):
        cosine = (1 + math.cos(math.pi * n / 10)) / 2
        expected = 0.004 * min(1, (n + 1) / 4) * (0.25 + 0.75 * cosine)
        assert step.learning_rate == pytest.approx(expected, rel=1e-9)
    assert found[0].learning_rate == pytest.approx(0.001)


def test_the_learning_rate_is_the_one_that_moves_the_weights(painting, photos):
    made = recipe(schedule__warm_up=4, schedule__learning_rate=0.004, stability__weight=0)
    network = drawn()
    (step,) = steps(painting, photos, made, 1, start=network)
    moved = (step.network.kernel - network.kernel).abs().max().item()
    assert moved == pytest.approx(0.001, rel=0.01)


def test_without_a_schedule_the_learning_rate_stays(painting, photos):
    found = steps(painting, photos, recipe(schedule__learning_rate=0.003))
    assert {step.learning_rate for step in found} == {0.003}


def test_the_style_weight_rises_to_its_own(painting, photos):
    made = recipe(schedule__style_ramp=4)
    for n, step in enumerate(steps(painting, photos, made), 1):
        term = step.losses.terms["style"]
        assert term.weighted / term.unweighted == pytest.approx(0.01 * min(1, n / 4), rel=1e-5)
        total = sum(term.weighted for term in step.losses.terms.values())
        assert step.losses.total == pytest.approx(total, rel=1e-4)


def test_epochs_decide_the_number_of_steps(painting, photos):
    made = recipe(schedule__epochs=0.5, schedule__iterations=99, data__batch=4)
    assert steps(painting, photos, made, 1)[0].total == round(0.5 * 20 / 4)


# Going on


def saved(step, path):
    step.save(path)
    return torch.load(path, weights_only=True)


def assert_same(one, other):
    """Bit for bit, however deep."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


CURVED = {"schedule__warm_up": 3, "schedule__style_ramp": 5, "schedule__end_share": 0.1}


@pytest.mark.parametrize("narrow", [False, True])
def test_a_resumed_training_ends_with_the_same_bits(narrow, painting, photos, tmp_path, request):
    if not narrow:
        request.getfixturevalue("precise")
    made = recipe(**CURVED)
    straight = saved(steps(painting, photos, made)[-1], tmp_path / "straight")
    half = steps(painting, photos, made, 3)[-1]
    half.save(tmp_path / "half")
    rest = steps(painting, photos, made, state=tmp_path / "half")
    assert [step.index for step in rest] == [4, 5, 6]
    resumed = saved(rest[-1], tmp_path / "resumed")
    assert resumed.pop("seconds") > half.seconds
    straight.pop("seconds")
    assert_same(resumed, straight)
    assert resumed["done"] == 6


def test_two_trainings_are_the_same_bits_and_another_seed_is_not(painting, photos, tmp_path):
    first, second, other = (
        saved(steps(painting, photos, recipe(seed=seed), 2)[-1], tmp_path / "s")["network"]
        for seed in (0, 0, 1)
    )
    assert_same(first, second)
    assert not torch.equal(first["kernel"], other["kernel"])


def test_a_finished_training_does_not_go_on(painting, photos, tmp_path):
    steps(painting, photos, recipe())[-1].save(tmp_path / "done")
    with pytest.raises(BadTraining, match="finished: it has its 6 steps"):
        steps(painting, photos, recipe(), state=tmp_path / "done")


def test_a_saved_state_is_whole_and_alone(painting, photos, tmp_path):
    (step,) = steps(painting, photos, recipe(), 1)
    step.save(tmp_path / "a.state")
    step.save(tmp_path / "a.state")
    assert [path.name for path in tmp_path.iterdir()] == ["a.state"]


def other_photos(photos, tmp_path):
    for path in photos.paths:
        (tmp_path / f"x{path.name}").write_bytes(path.read_bytes())
    return find_photos(tmp_path)


@pytest.mark.parametrize("changed", ["settings", "painting", "order", "fewer photos"])
def test_a_state_of_another_training_is_refused(changed, painting, photos, tmp_path):
    steps(painting, photos, recipe(), 1)[-1].save(tmp_path / "a.state")
    made = recipe(seed=1) if changed == "settings" else recipe()
    picture = painting.rotate(180) if changed == "painting" else painting
    given = photos
    if changed == "order":
        given = nst.training.photos.Photos(photos.paths[::-1])
    if changed == "fewer photos":
        given = nst.training.photos.Photos(photos.paths[1:])
    with pytest.raises(BadTraining, match=r"other pictures or other settings"):
        steps(picture, given, made, 1, state=tmp_path / "a.state")


def test_a_photo_that_changed_under_its_name_is_noticed(painting, photos, tmp_path):
    copied = other_photos(photos, tmp_path)
    steps(painting, copied, recipe(), 1)[-1].save(tmp_path / "a.state")
    noise(99, 99, 1234).save(copied.paths[3])
    with pytest.raises(BadTraining, match="other pictures"):
        steps(painting, copied, recipe(), 1, state=tmp_path / "a.state")


STATES = {
    "empty": lambda path: path.touch(),
    "text": lambda path: path.write_text("no state"),
    "zeros": lambda path: path.write_bytes(bytes(500)),
    "weights": lambda path: torch.save(drawn().state_dict(), path),
    "list": lambda path: torch.save([1, 2], path),
    "folder": lambda path: path.mkdir(),
    "missing": lambda path: None,
}


@pytest.mark.parametrize("kind", STATES)
def test_a_state_of_something_else_is_refused(kind, painting, photos, tmp_path):
    path = tmp_path / "a.state"
    STATES[kind](path)
    with pytest.raises(BadTraining, match=r"is no saved state of a training\. Start without"):
        steps(painting, photos, recipe(), 1, state=path)


def test_a_truncated_state_is_refused(painting, photos, tmp_path):
    path = tmp_path / "a.state"
    steps(painting, photos, recipe(), 1)[-1].save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadTraining, match="is no saved state"):
        steps(painting, photos, recipe(), 1, state=path)


# Beginnings and ends


def test_another_network_can_be_the_beginning(painting, photos, precise):
    network = drawn(seed=77)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made = recipe(schedule__learning_rate=1e-9)
    (step,) = steps(painting, photos, made, 1, start=network)
    for name, value in step.network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-7)
    assert_same(dict(network.state_dict()), before)  # that one is not trained itself


@pytest.mark.parametrize(("width", "blocks"), [(8, 1), (4, 2)])
def test_a_beginning_of_another_width_or_depth_is_refused(width, blocks, painting, photos):
    with pytest.raises(BadTraining) as caught:
        steps(painting, photos, recipe(), 1, start=drawn(1, width, blocks))
    text = str(caught.value)
    assert f"width {width} and {blocks} blocks, the training 4 and 1." in text
    assert "`network.width`" in text


def test_a_beginning_with_transposed_convolutions_is_refused(painting, photos):
    with pytest.raises(BadTraining, match="transposed"):
        steps(painting, photos, recipe(), 1, start=TransformerNetwork(4, 1, "transposed"))


def test_losses_out_of_range_end_the_training_with_a_sentence(painting, photos, precise):
    steep = {"style__weight": 1e12, "style__layers": "conv2_1=1e12", "normalization": "sum"}
    with pytest.raises(BadTraining) as caught:
        steps(painting, photos, recipe(**steep))
    text = str(caught.value)
    assert "grew out of range at step 1." in text
    assert "`schedule.learning_rate`" in text


def test_a_training_that_diverges_later_ends_with_a_sentence(painting, photos, precise):
    """The ramp of the style weight leads out of what float32 can hold."""
    steep = {"style__weight": 1e12, "style__layers": "conv2_1=1e7", "normalization": "sum"}
    made = recipe(**steep, schedule__style_ramp=20, schedule__iterations=20, data__batch=1)
    seen = []
    with (
        closing(train(painting, photos, made, ALONE)) as running,
        pytest.raises(BadTraining, match="grew out of range at step") as caught,
    ):
        seen.extend(running)
    assert 1 <= len(seen) < 20
    assert all(math.isfinite(step.losses.total) for step in seen)
    assert f"at step {len(seen) + 1}." in str(caught.value)


def test_the_largest_learning_rate_stays_in_range_or_says_so(painting, photos):
    """Normalization bounds the pictures, so that losses grow, but not beyond all measure."""
    made = recipe(schedule__learning_rate=1.0, schedule__iterations=12, data__batch=1)
    totals = [step.losses.total for step in steps(painting, photos, made)]
    assert all(map(math.isfinite, totals))
    assert max(totals) > 100 * totals[0]


def test_the_report_tells_how_the_network_came_about(painting, photos, precise):
    made = recipe()
    found = steps(painting, photos, made, 4)
    report = found[-1].report()
    assert TrainingRecipe.read(report["settings"]) == made
    assert (report["iterations"], report["complete"], report["photos"]) == (4, False, 20)
    assert report["precision"] == "float32"
    assert (report["device"], report["processes"]) == ("cpu", 1)
    for name in ("content", "style", "tv", "stability"):
        mean = sum(step.losses.terms[name].unweighted for step in found) / 4
        assert report["losses"][name] == pytest.approx(mean)
    assert steps(painting, photos, made)[-1].report()["complete"]


def test_a_batch_that_the_processes_cannot_share_is_refused(painting, photos):
    fleet = Fleet(0, 4, torch.device("cpu"), "float32")
    with pytest.raises(BadTraining, match=r"`data.batch` is 2: .* multiple of the 4 processes\."):
        next(train(painting, photos, recipe(), fleet))


# Several processes


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder with a calibration of one thread, for float32."""
    folder = tmp_path_factory.mktemp("cache")
    code = "from nst.machine import calibration; assert calibration().precision == 'float32'"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(folder), check=True)
    return folder


def environment(cache):
    return os.environ | {
        "XDG_CACHE_HOME": str(cache),
        "NST_BFLOAT16": "0",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }


def trained(launcher, folder, output, cache, batch=4):
    """Three steps by the command line."""
    changes = [*TINY.items(), ("data.batch", batch), ("schedule.iterations", 3)]
    changes += [("stability.weight", 0), ("schedule.warm_up", 0), ("schedule.style_ramp", 0)]
    options = [part for k, v in changes for part in ("--set", f"{k}={v}")]
    arguments = ["nst", "train", "starry_night", "--photos", folder, "-o", output, *options]
    command = [sys.executable, "-m", *launcher, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(cache), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return torch.load(output.with_suffix(".state"), weights_only=True), done.stderr


def far(one, other):
    return math.sqrt(sum((one[k] - other[k]).double().square().sum().item() for k in one))


def test_two_processes_learn_what_one_learns(folder, tmp_path, cache):
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    alone, said = trained([], folder, tmp_path / "one.safetensors", cache)
    shared, said_shared = trained(torchrun, folder, tmp_path / "two.safetensors", cache)
    torch.manual_seed(0)
    before = TransformerNetwork(4, 1).state_dict()
    moved = far(alone["network"], before)
    assert moved > 0.01
    # The last block's shift vanishes in the next normalization: its gradient is rounding alone,
    # which Adam makes as long a step of as of any other.
    for state in (alone, shared):
        del state["network"]["blocks.0.second.shift"]
    assert far(alone["network"], shared["network"]) < 1e-4 * moved
    # Half of each batch, which is what a process sees, would lead elsewhere.
    half, _ = trained([], folder, tmp_path / "half.safetensors", cache, batch=2)
    assert far(alone["network"], half["network"]) > 0.1 * moved
    # One of the two writes and speaks.
    for text in (said, said_shared):
        assert text.count("20 photos") == 1
        assert " ".join(text.split()).count("3 steps in") == 1
    assert [line[:2] for line in (tmp_path / "two.csv").read_text().splitlines()] == ["st", "3,"]
    names = {path.name for path in tmp_path.iterdir()}
    kinds = ("safetensors", "state", "csv", "png")
    assert names == {f"{name}.{kind}" for name in ("one", "two", "half") for kind in kinds}


def test_a_training_widens_what_it_begins_with(painting, photos):
    start, made = TransformerNetwork(4, 1), recipe(network__width=8)
    (step,) = steps(painting, photos, made, 1, start=start)
    (again,) = steps(painting, photos, made, 1, start=start)
    assert step.network.width == 8
    assert step.losses == again.losses
