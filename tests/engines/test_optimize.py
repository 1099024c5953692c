"""Real runs of the engine: real weights and pictures, few pixels, few steps."""

import gc
import itertools
import json
import math
import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch.nn import functional as F

import nst.engines.optimize
from nst.engines.optimize import DIVERGED, PATIENCE, losses_of, stylize
from nst.machine import Calibration, Clock, calibration, nearest, works
from nst.names import UnknownName
from nst.nn.losses import STYLE_LOSSES
from nst.nn.vgg import MEAN_RGB, WEIGHTS, Backbone
from nst.pictures.images import cropped, fit, resized
from nst.settings.base import BadSetting
from nst.settings.catalog import get
from nst.settings.recipe import Recipe
from nst.steps import last

SMALL = {"size": 64, "pyramid.iterations": [5]}


def recipe(**changes):
    """Small and short; `style__weight=0` changes `style.weight`."""
    return Recipe().but(SMALL | {name.replace("__", "."): v for name, v in changes.items()})


def run(photo, painting, wanted, **options):
    options.setdefault("precision", "float32")
    return last(stylize(photo, painting, wanted, **options))


def same(one, other):
    return one.size == other.size and one.tobytes() == other.tobytes()


def distance(one, other):
    """Mean difference of two pictures in gray levels."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def at_64(picture):
    return resized(picture, fit(picture.size, 64))


def begins_with(photo, painting, wanted, **options):
    """The start picture: what a run of one step too small to be seen leaves."""
    still = {"pyramid.iterations": [1], "optimizer.learning_rate": 1e-6}
    return run(photo, painting, wanted.but(still), **options).picture


def living_tensors():
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def plain_features(picture, network="vgg19"):
    """Activations of all layers in float64, by a VGG written down once more."""
    file = load_file(WEIGHTS / f"{network}.safetensors")
    blocks = {"vgg19": (2, 2, 4, 4, 4), "vgg16": (2, 2, 3, 3, 3)}[network]
    bgr = np.asarray(picture, np.float64)[:, :, ::-1] - (103.939, 116.779, 123.68)
    x, found = torch.from_numpy(bgr.transpose(2, 0, 1)[None].copy()), {}
    for block, convolutions in enumerate(blocks, 1):
        if block > 1:
            x = F.max_pool2d(x, 2, 2)
        for number in range(1, convolutions + 1):
            name = f"conv{block}_{number}"
            kernel = file[f"{name}.palette"].astype(np.float64)[file[f"{name}.index"]]
            bias = torch.from_numpy(file[f"{name}.bias"].astype(np.float64))
            x = F.relu(F.conv2d(x, torch.from_numpy(kernel), bias, padding=1))
            found[name] = x
    return found


def plain_losses(pictures, content_layers, style_layers, network="vgg19"):
    """Losses of (image, photo, painting) in the `mean` unit, in float64."""

    def gram(f):
        rows = f.flatten(2)[0]
        return rows @ rows.T / rows.shape[1]

    image, photo, painting = (plain_features(picture, network) for picture in pictures)
    content = {n: float(((image[n] - photo[n]) ** 2).mean()) for n in content_layers}
    style = {n: float(((gram(image[n]) - gram(painting[n])) ** 2).mean()) for n in style_layers}
    return content, style


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 5), ("lbfgs", 1)])
def test_the_loss_goes_down(photo, painting, optimizer, rate):
    wanted = recipe(
        optimizer__name=optimizer, optimizer__learning_rate=rate, pyramid__iterations=[12]
    )
    history = run(photo, painting, wanted).history
    assert history[-1].total < 0.5 * history[0].total


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_the_same_inputs_give_the_same_picture_bit_for_bit(photo, painting, precision, optimizer):
    wanted = recipe(start__noise=0.5, seed=7, optimizer__name=optimizer, pyramid__iterations=[3])
    one, two = (run(photo, painting, wanted, precision=precision) for _ in range(2))
    assert same(one.picture, two.picture)
    assert one.history == two.history
    assert one.report.precision == nearest(precision)


def test_both_precisions_agree_on_the_losses(photo, painting):
    wanted = recipe(pyramid__iterations=[2])
    exact, rough = (
        run(photo, painting, wanted, precision=precision) for precision in ("float32", "bfloat16")
    )
    assert rough.history[0].total == pytest.approx(exact.history[0].total, rel=0.05)
    assert (rough.history[0].total != exact.history[0].total) is works("bfloat16")


def test_without_bfloat16_a_run_that_wants_it_takes_float32_and_says_so(
    photo, painting, without_bfloat16
):
    exact, taken = (
        run(photo, painting, recipe(), precision=precision) for precision in ("float32", "bfloat16")
    )
    assert same(exact.picture, taken.picture)
    assert taken.report.warning == taken.report.warning
    assert "cannot compute in bfloat16, so float32 was taken" in taken.report.warning
    assert taken.report.precision == "float32"
    assert taken.report.complete
    assert exact.report.warning == ""


def test_both_warnings_of_a_run_are_said(photo, painting, without_bfloat16):
    wanted = recipe(normalization="sum", style__weight=1e12, style__layers="conv3_1=1e12")
    result = run(photo, painting, wanted, precision="bfloat16")
    assert "cannot compute in bfloat16" in result.report.warning
    assert "grew out of range" in result.report.warning
    assert not result.report.complete


def test_an_unknown_precision_is_refused_with_the_closest(photo, painting):
    with pytest.raises(UnknownName, match=r"Unknown precision `float23`.*`float32`"):
        run(photo, painting, recipe(), precision="float23")


def test_by_default_the_machines_faster_precision_is_used(photo, painting):
    result = run(photo, painting, recipe(pyramid__iterations=[1]), precision=None)
    assert result.report.precision == calibration().precision


def test_another_seed_gives_another_picture(photo, painting):
    one, two = (run(photo, painting, recipe(start__image="noise", seed=s)).picture for s in (0, 1))
    assert distance(one, two) > 10


def test_the_seed_does_not_touch_torchs_own_random_numbers(photo, painting):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(photo, painting, recipe(start__image="noise", pyramid__iterations=[1]))
    assert torch.equal(torch.rand(3), expected)


def test_a_run_starts_from_the_photo(photo, painting):
    assert same(begins_with(photo, painting, recipe()), at_64(photo))


def test_a_run_starts_from_the_painting_in_the_photos_shape(photo, painting):
    started = begins_with(photo, painting, recipe(start__image="painting"))
    size = at_64(photo).size
    assert same(started, resized(cropped(painting, size), size))


def test_a_run_starts_from_a_given_picture(photo, painting):
    given = Image.new("RGB", (30, 90), (10, 200, 60))
    started = begins_with(photo, painting, recipe(start__image="picture"), start=given)
    assert same(started, Image.new("RGB", at_64(photo).size, (10, 200, 60)))


def test_a_run_that_needs_a_start_picture_and_has_none_says_so(photo, painting):
    with pytest.raises(BadSetting, match=r"start\.image"):
        run(photo, painting, recipe(start__image="picture"))


def test_uniform_noise_fills_the_range(photo, painting):
    noise = np.asarray(begins_with(photo, painting, recipe(start__image="noise")), float)
    assert noise.mean() == pytest.approx(127.5, abs=4)
    assert noise.std() == pytest.approx(255 / math.sqrt(12), abs=4)


def test_normal_noise_lies_around_the_mean_color(photo, painting):
    wanted = recipe(start__image="noise", start__distribution="normal", start__deviation=10)
    noise = np.asarray(begins_with(photo, painting, wanted), float)
    assert noise.mean((0, 1)) == pytest.approx(MEAN_RGB, abs=1.5)
    assert noise.std((0, 1)) == pytest.approx([10] * 3, abs=1)


def test_noise_in_the_start_is_mixed_in_by_its_share(photo, painting):
    noise = begins_with(photo, painting, recipe(start__image="noise", seed=3))
    mixed = begins_with(photo, painting, recipe(start__noise=0.25, seed=3))
    blend = 0.75 * np.asarray(at_64(photo), float) + 0.25 * np.asarray(noise, float)
    assert np.abs(np.asarray(mixed, float) - blend).max() <= 1


def test_content_alone_reconstructs_the_photo_from_noise(photo, painting):
    wanted = recipe(
        style__weight=0,
        content__layers="conv1_1",
        start__image="noise",
        optimizer__name="lbfgs",
        optimizer__learning_rate=1,
        pyramid__iterations=[40],
    )
    result = run(photo, painting, wanted)
    before = distance(begins_with(photo, painting, wanted), at_64(photo))
    assert distance(result.picture, at_64(photo)) < before / 5
    assert set(result.history[0].terms) == {"content"}


def test_content_alone_ignores_the_painting(photo, painting):
    wanted = recipe(style__weight=0, start__noise=0.5)
    other = Image.new("RGB", (50, 20), "red")
    one, two = (run(photo, style, wanted).picture for style in (painting, other))
    assert same(one, two)


def test_swapped_content_is_made_of_the_paintings_patches(photo, painting):
    """The first loss, of the photo itself, from features and a double loop over patches."""
    wanted = recipe(
        content__target="swapped", content__layers="conv3_1", style__weight=0, swap__stride=2
    )
    found = run(photo, painting, wanted).history
    here, there = (
        plain_features(at_64(picture))["conv3_1"][0].numpy() for picture in (photo, painting)
    )
    total, count = np.zeros_like(here), np.zeros(here.shape[1:])
    patches = [
        there[:, y : y + 3, x : x + 3]
        for y in range(0, there.shape[1] - 2, 2)
        for x in range(0, there.shape[2] - 2, 2)
    ]
    for y in range(here.shape[1] - 2):
        for x in range(here.shape[2] - 2):
            own = here[:, y : y + 3, x : x + 3]
            best = max(patches, key=lambda p: (own * p).sum() / np.linalg.norm(p))
            total[:, y : y + 3, x : x + 3] += best
            count[y : y + 3, x : x + 3] += 1
    expected = float(((here - total / count) ** 2).mean())
    assert found[0].terms["content"].unweighted == pytest.approx(expected, rel=1e-3)
    assert found[-1].total < found[0].total


def test_style_alone_ignores_the_photo(photo, painting):
    wanted = recipe(content__weight=0, start__image="noise")
    other = Image.new("RGB", photo.size, "red")
    one, two = (run(content, painting, wanted) for content in (photo, other))
    assert same(one.picture, two.picture)
    assert set(one.history[0].terms) == {"style"}
    assert one.history[-1].total < one.history[0].total


def test_another_painting_gives_another_picture(photo, painting):
    other = Image.new("RGB", painting.size, "red")
    one, two = (run(photo, style, recipe()).picture for style in (painting, other))
    assert distance(one, two) > 1


def test_levels_have_the_planned_sizes_and_steps(photo, painting):
    wanted = recipe(size=96, pyramid__scales=[0.25, 0.5, 1], pyramid__iterations=[2, 3, 1])
    steps = list(stylize(photo, painting, wanted, precision="float32"))
    assert [step.level for step in steps] == [1, 1, 2, 2, 2, 3]
    sizes = wanted.level_sizes(photo.size)
    assert [max(size) for size in sizes] == [24, 48, 96]
    assert [step.size for step in steps] == [sizes[step.level - 1] for step in steps]
    assert [step.picture().size for step in steps[:-1]] == [step.size for step in steps[:-1]]
    assert {step.levels for step in steps} == {3}
    assert [step.index for step in steps] == [1, 2, 3, 4, 5, 6]
    assert {step.total for step in steps} == {6}
    assert len(steps[-1].result.report.seconds_by_level) == 3


def test_a_level_starts_from_the_result_of_the_one_before(photo, painting):
    still = recipe(
        pyramid__scales=[0.25, 1], pyramid__iterations=[1, 1], optimizer__learning_rate=1e-6
    )
    coarse = resized(photo, still.level_sizes(photo.size)[0])
    result = run(photo, painting, still).picture
    assert distance(result, coarse.resize(result.size, Image.Resampling.BICUBIC)) < 2
    assert distance(result, at_64(photo)) > 8


def test_only_the_last_step_has_a_result(photo, painting):
    steps = list(stylize(photo, painting, recipe(), precision="float32"))
    assert [step.result is not None for step in steps] == [False] * 4 + [True]
    assert steps[-1].seconds_left == 0
    assert same(steps[-1].finish().picture, steps[-1].result.picture)


def test_the_result_has_the_photo_at_the_same_size(photo, painting):
    result = run(photo, painting, recipe(pyramid__iterations=[1]))
    assert result.picture.size == result.photo.size == (64, 43)
    assert same(result.photo, at_64(photo))


def test_steps_show_the_picture_as_it_moves(photo, painting):
    pictures = []
    for step in stylize(photo, painting, recipe(), precision="float32"):
        pictures.append(step.result.picture if step.result else step.picture())
    moves = [distance(a, b) for a, b in pairwise(pictures)]
    assert min(moves) > 0


def test_looking_at_a_run_does_not_change_it(photo, painting):
    wanted = recipe(pyramid__scales=[0.5, 1], pyramid__iterations=[3, 3])
    for step in stylize(photo, painting, wanted, precision="float32"):
        step.picture()
        step.finish()
    assert same(step.result.picture, run(photo, painting, wanted).picture)


@pytest.mark.parametrize("index", [2, 5])
def test_a_run_finished_early_gives_a_full_size_result(photo, painting, index):
    wanted = recipe(pyramid__scales=[0.5, 1], pyramid__iterations=[4, 4])
    steps = stylize(photo, painting, wanted, precision="float32")
    step = next(step for step in steps if step.index == index)
    seen = step.picture()
    result = step.finish()
    steps.close()
    assert seen.size == step.size
    assert result.picture.size == result.photo.size == (64, 43)
    assert distance(result.picture, seen.resize((64, 43), Image.Resampling.BICUBIC)) < 2
    assert result.report.iterations == index == len(result.history)
    assert result.report.size == (64, 43)
    assert result.report.warning == ""


def test_closing_the_generator_stops_the_run_and_frees_it(photo, painting, monkeypatch):
    read = []
    features = Backbone.features

    def counted(self, image, layers):
        read.append(image.shape)
        return features(self, image, layers)

    monkeypatch.setattr(Backbone, "features", counted)
    run(photo, painting, recipe(pyramid__iterations=[1]))  # loads the weights
    threads = threading.active_count()
    tensors = living_tensors()
    read.clear()
    steps = stylize(photo, painting, recipe(pyramid__iterations=[1000]), precision="float32")
    next(steps), next(steps)
    steps.close()
    assert len(read) == 4  # photo, painting, two steps
    assert list(steps) == []
    assert threading.active_count() == threads
    del steps
    assert living_tensors() == tensors


def test_nothing_is_computed_before_the_first_step_is_asked_for(photo, painting, monkeypatch):
    def never(self, image, layers):
        raise AssertionError("the network was read")

    monkeypatch.setattr(Backbone, "features", never)
    steps = stylize(photo, painting, recipe(), precision="float32")
    with pytest.raises(AssertionError):
        next(steps)


def test_the_reported_losses_add_up(photo, painting):
    wanted = recipe(
        content__weight=3e2,
        content__layers="conv3_2=0.7, conv4_2=2",
        style__weight=0.4,
        style__layers="conv1_1=0.5, conv3_1=3",
        tv__weight=7,
        start__noise=0.3,
    )
    result = run(photo, painting, wanted)
    assert len(result.history) == 5
    for losses in result.history:
        assert set(losses.terms) == {"content", "style", "tv"}
        assert losses.total == pytest.approx(sum(t.weighted for t in losses.terms.values()), 1e-5)
        for name, term in losses.terms.items():
            weight = getattr(wanted, name).weight
            assert term.weighted == pytest.approx(weight * term.unweighted, 1e-6)
        for name in ("content", "style"):
            weights, layers = getattr(wanted, name).layers, losses.terms[name].layers
            assert set(layers) == set(weights)
            total = sum(weights[layer] * loss for layer, loss in layers.items())
            assert losses.terms[name].unweighted == pytest.approx(total, 1e-5)


def test_the_report_has_what_it_takes_to_repeat_the_run(photo, painting):
    wanted = recipe(seed=11)
    result = run(photo, painting, wanted)
    report = json.loads(json.dumps(result.report.as_dict(), allow_nan=False))
    assert Recipe.read(report["settings"]) == wanted
    assert report["losses"]["first"] == result.history[0].as_dict()
    assert report["losses"]["last"] == result.history[-1].as_dict()
    assert report["losses"]["last"]["total"] < report["losses"]["first"]["total"]
    assert report["iterations"] == 5
    assert report["seconds_per_iteration"] == pytest.approx(report["seconds"] / 5, abs=1e-3)
    assert set(report["versions"]) == {"nst", "torch", "pillow", "python"}
    assert report["warning"] == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer__name": "lbfgs", "optimizer__clamp": False},
        {"optimizer__name": "lbfgs", "optimizer__clamp": True},
        {"optimizer__name": "adam", "optimizer__clamp": False},
    ],
    ids=["lbfgs", "lbfgs clamped", "adam"],
)
def test_a_diverging_run_stops_with_the_last_good_picture(photo, painting, changes):
    wanted = recipe(optimizer__learning_rate=1000, pyramid__iterations=[80], **changes)
    pictures, steps = [at_64(photo)], []
    for step in stylize(photo, painting, wanted, precision="float32"):
        steps.append(step)
        if not step.result:
            pictures.append(step.picture())
    result = steps[-1].result
    assert step.index < 80
    assert "optimizer.learning_rate" in result.report.warning
    assert "1000" in result.report.warning
    assert ("optimizer.clamp" in result.report.warning) is not wanted.optimizer.clamp
    assert result.report.warning == result.report.warning
    assert any(same(result.picture, picture) for picture in pictures)
    json.dumps(result.report.as_dict(), allow_nan=False)
    first = result.history[0].total
    again = wanted.but({"start.image": "picture", "pyramid.iterations": [1]})
    kept = run(photo, painting, again, start=result.picture).history[0].total
    assert kept <= DIVERGED * first


def test_weights_that_overflow_at_once_keep_the_start(photo, painting):
    wanted = recipe(normalization="sum", style__weight=1e12, style__layers="conv3_1=1e12")
    result = run(photo, painting, wanted)
    assert same(result.picture, at_64(photo))
    assert "weights" in result.report.warning
    assert result.report.iterations == 1


def test_the_report_of_weights_that_overflow_at_once_is_valid_json(photo, painting):
    wanted = recipe(normalization="sum", style__weight=1e12, style__layers="conv3_1=1e12")
    report = run(photo, painting, wanted).report
    assert json.loads(json.dumps(report.as_dict(), allow_nan=False))["warning"]


def test_a_run_that_ends_in_a_bad_spell_keeps_its_best_picture(photo, painting):
    wanted = recipe(
        optimizer__learning_rate=1000, optimizer__clamp=False, pyramid__iterations=[PATIENCE]
    )
    result = run(photo, painting, wanted)
    assert max(losses.total for losses in result.history) > DIVERGED * result.history[0].total
    assert "`optimizer.learning_rate`" in result.report.warning
    assert same(result.picture, at_64(photo))  # nothing was better than the start
    assert result.report.iterations == PATIENCE


@pytest.mark.parametrize(
    ("photo_shape", "painting_shape"),
    [((1, 64), (64, 1)), ((64, 1), (1, 64)), ((1, 1), (300, 7)), ((33, 64), (17, 5))],
    ids=str,
)
@pytest.mark.parametrize("shape", ["whole", "crop"])
def test_pictures_of_any_shape_can_be_used(photo, painting, photo_shape, painting_shape, shape):
    wanted = recipe(style__fit=shape, tv__weight=1, pyramid__iterations=[2])
    result = run(photo.resize(photo_shape), painting.resize(painting_shape), wanted)
    assert result.picture.size == fit(photo_shape, 64)
    assert all(math.isfinite(losses.total) for losses in result.history)


def test_the_painting_is_cropped_to_the_photos_shape_on_request(photo, painting):
    wide = Image.new("RGB", (90, 30), "blue")
    wide.paste(Image.new("RGB", (30, 30), "red"), (30, 0))  # all that a square photo sees
    square, red = photo.resize((64, 64)), Image.new("RGB", (30, 30), "red")
    wanted = recipe(style__fit="crop", pyramid__iterations=[1])
    cropped, plain = (run(square, style, wanted).history[0].total for style in (wide, red))
    whole = run(square, wide, wanted.but({"style.fit": "whole"})).history[0].total
    assert cropped == pytest.approx(plain, rel=1e-3)
    assert whole != pytest.approx(plain, rel=1e-2)


def test_clamped_pixels_stay_in_range_between_steps(photo, painting):
    """One huge step puts each pixel on 0 or 255; the next step must start from there."""

    def second_loss(clamp):
        wanted = recipe(
            optimizer__learning_rate=1000, optimizer__clamp=clamp, pyramid__iterations=[2]
        )
        steps = stylize(photo, painting, wanted, precision="float32")
        moved = next(steps).picture()
        actual = next(steps).result.history[1].total
        again = wanted.but({"start.image": "picture", "pyramid.iterations": [1]})
        return actual, run(photo, painting, again, start=moved).history[0].total

    actual, from_picture = second_loss(clamp=True)
    assert actual == pytest.approx(from_picture, rel=1e-5)
    actual, from_picture = second_loss(clamp=False)
    assert actual > 2 * from_picture


@pytest.mark.parametrize(("decay_iterations", "still_from"), [(None, 5), (3, 3)])
def test_the_learning_rate_falls_to_its_end(photo, painting, decay_iterations, still_from):
    wanted = recipe(
        optimizer__learning_rate=20,
        optimizer__end_learning_rate=1e-6,
        optimizer__decay_iterations=decay_iterations,
        optimizer__clamp=True,
    )
    pictures = [at_64(photo)]
    for step in stylize(photo, painting, wanted, precision="float32"):
        pictures.append(step.result.picture if step.result else step.picture())
    moves = [distance(a, b) for a, b in pairwise(pictures)]
    assert [move > 0.5 for move in moves] == [n < still_from for n in range(1, 6)]
    assert moves[still_from - 1 :] == pytest.approx([0] * len(moves[still_from - 1 :]), abs=1e-3)


def test_the_first_step_of_lbfgs_moves_a_pixel_by_the_learning_rate(painting):
    gray = Image.new("RGB", (64, 48), (128, 128, 128))
    wanted = recipe(optimizer__name="lbfgs", optimizer__learning_rate=4, pyramid__iterations=[1])
    assert distance(run(gray, painting, wanted).picture, gray) == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("network", ["vgg19", "vgg16"])
def test_the_first_loss_equals_an_independent_float64_computation(photo, painting, network):
    photo, painting = at_64(photo), at_64(painting)
    wanted = recipe(
        backbone__network=network,
        content__layers="conv3_2=0.5, conv4_2=1.5",
        style__layers="conv1_1=1, conv2_2=0.3, conv3_1=0.2, conv5_1=4",
        pyramid__iterations=[1],
    )
    begin = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for start, image in (("photo", photo), ("picture", begin)):
        first = run(photo, painting, wanted.but({"start.image": start}), start=begin).history[0]
        content, style = plain_losses(
            (image, photo, painting), wanted.content.layers, wanted.style.layers, network
        )
        total = wanted.content.weight * sum(wanted.content.layers[n] * content[n] for n in content)
        total += wanted.style.weight * sum(wanted.style.layers[n] * style[n] for n in style)
        assert first.total == pytest.approx(total, rel=1e-4)
        assert dict(first.terms["content"].layers) == pytest.approx(content, rel=1e-4, abs=1e-6)
        assert dict(first.terms["style"].layers) == pytest.approx(style, rel=1e-4)


# Other style losses


def style_alone(kind, **changes):
    return recipe(style__loss=kind, content__weight=0, **changes)


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_every_style_loss_goes_down(photo, painting, kind):
    wanted = style_alone(kind, pyramid__iterations=[12])
    history = run(photo, painting, wanted).history
    assert history[-1].terms["style"].weighted < 0.5 * history[0].terms["style"].weighted


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_a_style_loss_makes_its_own_picture(photo, painting, kind):
    wanted = style_alone(kind, optimizer__epsilon=1e-12, pyramid__iterations=[4])
    other = "bn-statistics" if kind != "bn-statistics" else "gram"
    one, two = (run(photo, painting, wanted.but({"style.loss": k})).picture for k in (kind, other))
    assert distance(one, two) > 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_every_style_loss_gives_the_same_picture_again(photo, painting, kind, precision):
    wanted = recipe(style__loss=kind, style__weight=1e6, pyramid__iterations=[3])
    one, two = (run(photo, painting, wanted, precision=precision) for _ in range(2))
    assert same(one.picture, two.picture)
    assert one.history == two.history


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_the_paintings_own_style_costs_nothing(painting, kind):
    begin = at_64(painting)
    history = run(begin, begin, style_alone(kind, pyramid__iterations=[1])).history
    elsewhere = run(begin.rotate(180), begin, style_alone(kind, pyramid__iterations=[1])).history
    assert history[0].total == pytest.approx(0, abs=1e-4 * elsewhere[0].total)


@pytest.mark.parametrize("kind", STYLE_LOSSES)
@pytest.mark.parametrize(
    ("photo_shape", "painting_shape"),
    [((1, 64), (64, 1)), ((64, 1), (1, 1)), ((1, 1), (300, 7)), ((33, 64), (17, 5))],
    ids=str,
)
def test_pictures_of_any_shape_can_be_compared(photo, painting, kind, photo_shape, painting_shape):
    wanted = style_alone(kind, pyramid__iterations=[2])
    result = run(photo.resize(photo_shape), painting.resize(painting_shape), wanted)
    assert all(math.isfinite(losses.total) for losses in result.history)
    assert not result.report.warning


@pytest.mark.parametrize("color", ["black", "white"])
@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_a_painting_of_one_color_is_no_trouble(photo, kind, color):
    plain = Image.new("RGB", (40, 30), color)
    for pictures in ((photo, plain), (plain, photo), (plain, plain)):
        result = run(*pictures, style_alone(kind, pyramid__iterations=[3]))
        assert all(math.isfinite(losses.total) for losses in result.history)
        assert not result.report.warning


def test_the_first_loss_by_statistics_equals_an_independent_float64_computation(photo, painting):
    photo, painting = at_64(photo), at_64(painting)
    wanted = style_alone("bn-statistics", pyramid__iterations=[1])
    first = run(photo, painting, wanted).history[0].terms["style"].layers
    read = plain_features(photo), plain_features(painting)
    for name, loss in first.items():
        rows, others = (features[name].flatten(2)[0].numpy() for features in read)
        means, deviations = rows.mean(1) - others.mean(1), rows.std(1) - others.std(1)
        assert loss == pytest.approx((means**2 + deviations**2).mean(), rel=1e-4)


# Several runs on the same pictures


@pytest.fixture
def reads(monkeypatch):
    """Pictures that the network read without a gradient, and their layers."""
    read = []
    features = Backbone.features

    def counted(self, image, layers):
        if not image.requires_grad:
            read.append((image.numpy().tobytes(), tuple(layers)))
        return features(self, image, layers)

    monkeypatch.setattr(Backbone, "features", counted)
    return read


def short(name, **changes):
    """A preset, small and short."""
    wanted = get(name).recipe
    steps = [2] * len(wanted.pyramid.scales)
    return wanted.but(
        {"size": 64, "pyramid.iterations": steps}
        | {name.replace("__", "."): value for name, value in changes.items()}
    )


def brief(**changes):
    return recipe(**changes, pyramid__iterations=[2])


FAMILIES = {
    "the last activation": [short("average-pooling"), short("tanh")],
    "the last activation, backwards": [short("tanh"), short("average-pooling")],
    "the last layer, of the style": [
        short("tanh"),
        short("tanh", style__layers="conv1_1, conv4_1"),
        short("tanh", style__layers="conv1_1, conv3_1"),
    ],
    "the last layer, of the content": [
        short("tanh", content__layers="conv5_2"),
        short("tanh"),
    ],
    "pooling": [short("original"), short("average-pooling")],
    "activation": [
        short("original"),
        short("leaky-relu"),
        short("leaky-relu", backbone__slope=0.1),
    ],
    "the network": [short("average-pooling"), short("vgg16"), short("vgg16-tanh")],
    "layers": [
        brief(style__layers="conv1_1, conv2_1"),
        brief(style__layers="conv2_1, conv3_1", content__layers="conv2_1, conv3_1"),
        brief(style__layers="conv1_2", content__layers="conv1_1, conv2_1"),
    ],
    "the style loss": [brief(style__loss=kind) for kind in STYLE_LOSSES],
    "sizes": [short("quick"), short("quick", size=96), short("quick", style__scale=1.5)],
    "the painting's shape": [brief(), brief(style__fit="crop"), brief(style__scale=2)],
    "one term": [short("content-reconstruction"), short("style-reconstruction"), brief()],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_runs_that_share_a_memory_are_those_that_do_not(photo, painting, family):
    memory = {}
    for wanted in FAMILIES[family]:
        shared = run(photo, painting, wanted, memory=memory)
        alone = run(photo, painting, wanted)
        assert shared.history == alone.history
        assert same(shared.picture, alone.picture)


def test_crops_that_shrink_to_the_same_size_are_not_mixed(photo, painting):
    photo, painting = photo.resize((96, 64)), painting.resize((140, 112))
    large = brief(size=128, style__scale=0.5, style__fit="crop")
    small = brief(style__fit="crop")
    assert {r.level_sizes(photo.size)[0] for r in (large, small)} == {(128, 85), (64, 43)}
    memory = {}
    run(photo, painting, large, memory=memory)
    shared = run(photo, painting, small, memory=memory)
    assert shared.history == run(photo, painting, small).history


def test_both_precisions_share_a_memory_without_mixing(photo, painting):
    memory = {}
    for precision in ("float32", "bfloat16", "float32"):
        shared = run(photo, painting, recipe(), precision=precision, memory=memory)
        assert shared.history == run(photo, painting, recipe(), precision=precision).history


def test_a_run_reads_nothing_that_one_before_has_read(photo, painting, reads):
    memory = {}
    for wanted in (
        recipe(),
        recipe(seed=3, tv__weight=9),
        recipe(style__layers="conv3_1, conv2_1"),
    ):
        run(photo, painting, wanted, memory=memory)
    assert [layers for _, layers in reads] == [
        ("conv4_2",),
        tuple(f"conv{block}_1" for block in range(1, 6)),
    ]


def test_a_run_reads_the_layers_that_are_missing(photo, painting, reads):
    memory = {}
    run(photo, painting, recipe(style__layers="conv1_1, conv2_1"), memory=memory)
    reads.clear()
    wanted = recipe(style__layers="conv1_1, conv3_1", content__layers="conv1_1, conv4_2")
    run(photo, painting, wanted, memory=memory)
    assert [layers for _, layers in reads] == [("conv1_1",), ("conv3_1",)]


def test_each_layer_of_each_picture_is_read_once_for_each_size(photo, painting, reads):
    memory = {}
    for _ in range(2):
        run(photo, painting, short("quick"), memory=memory)
        run(photo, painting, short("quick", style__layers="conv1_2, conv3_1"), memory=memory)
    each = [(picture, layer) for picture, layers in reads for layer in layers]
    assert len(each) == len(set(each)) == 3 * (1 + 6)


@pytest.mark.parametrize("names", [("average-pooling", "tanh"), ("tanh", "average-pooling")])
def test_presets_with_another_last_activation_share_the_other_layers(photo, painting, names, reads):
    memory = {}
    one, two = (short(name) for name in names)
    run(photo, painting, one, memory=memory)
    before = dict(memory)
    assert len(before) == 6
    assert len(reads) == 2
    run(photo, painting, two, memory=memory)
    assert {key: memory[key] for key in before} == before  # none was made again
    assert [key[3] for key in memory.keys() - before] == ["conv5_1"]
    assert len(reads) == 3  # of the photo nothing was missing
    run(photo, painting, one, memory=memory)
    run(photo, painting, two, memory=memory)
    assert len(reads) == 3


def test_a_run_keeps_nothing_for_the_next_unless_asked(photo, painting, reads):
    for _ in range(2):
        run(photo, painting, recipe(pyramid__iterations=[1]))
    assert len(reads) == 4


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_losses_of_a_picture_are_those_that_a_run_reports(photo, painting, kind):
    wanted = recipe(style__loss=kind, style__scale=1.2, tv__weight=3)
    begin = at_64(photo).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    again = wanted.but({"start.image": "picture", "pyramid.iterations": [1]})
    expected = run(photo, painting, again, start=begin).history[0]
    memory = {}
    assert losses_of(begin, photo, painting, wanted, precision="float32") == expected
    assert losses_of(begin, photo, painting, wanted, memory, "float32") == expected
    assert losses_of(begin, photo, painting, wanted, memory, "float32") == expected


def test_losses_of_a_result_are_the_next_that_its_run_would_report(photo, painting):
    wanted = recipe(optimizer__clamp=True)
    longer = run(photo, painting, wanted.but({"pyramid.iterations": [6]})).history[5]
    picture = run(photo, painting, wanted).picture
    losses = losses_of(picture, photo, painting, wanted, precision="float32")
    assert losses.total == pytest.approx(longer.total, rel=1e-2)  # pixels were rounded


def test_losses_of_a_picture_are_taken_at_its_own_size(photo, painting):
    larger = photo.resize((96, 64))
    wanted = recipe(size=96, start__image="picture", pyramid__iterations=[1])
    expected = run(photo, painting, wanted, start=larger).history[0]
    assert losses_of(larger, photo, painting, recipe(), precision="float32") == expected


GOLDEN_LOSS = 8.3226e9
GOLDEN_MEANS = (
    ((146, 169, 181), (145, 172, 187), (134, 169, 198), (126, 166, 178)),
    ((136, 163, 173), (117, 150, 148), (130, 164, 189), (126, 159, 179)),
    ((80, 109, 104), (128, 151, 160), (122, 143, 142), (67, 88, 70)),
    ((56, 63, 60), (64, 75, 66), (59, 77, 67), (67, 77, 58)),
)


def test_a_known_run_still_gives_the_known_picture(photo, painting):
    wanted = recipe(
        pyramid__scales=[0.5, 1], pyramid__iterations=[8, 8], optimizer__learning_rate=8
    )
    result = run(photo, painting, wanted)
    means = np.asarray(result.picture.resize((4, 4), Image.Resampling.BOX), float)
    assert np.abs(means - GOLDEN_MEANS).max() <= 1
    assert result.history[-1].total == pytest.approx(GOLDEN_LOSS, rel=0.01)


# What runs tell of the machine


@pytest.fixture
def learned(monkeypatch):
    """What the clock hears from runs on a machine that is foreseen to take 4 s a step, of a watch
    that goes on by a second whenever somebody looks: the calibration in use, the share of its time.
    """
    slow = Calibration("float32", fixed=4.0, per_pixel=1e-10, float32_per_pixel=1e-10)
    heard, watch = [], itertools.count()
    monkeypatch.setattr(nst.engines.optimize, "calibration", lambda: slow)
    monkeypatch.setattr(
        nst.engines.optimize, "time", SimpleNamespace(perf_counter=lambda: next(watch))
    )
    monkeypatch.setattr(Clock, "learn", lambda self, used, share: heard.append((used, share)))
    yield heard
    assert all(used == slow for used, _ in heard)


def test_each_large_level_of_a_run_tells_how_fast_its_steps_were(photo, painting, learned):
    sides = recipe(size=256, pyramid__scales=[0.25, 0.75, 1], pyramid__iterations=[6, 6, 5])
    result = run(photo.crop((0, 0, 32, 32)), painting, sides)
    assert [share for _, share in learned] == pytest.approx([0.25, 0.25], rel=0.01)
    assert result.report.iterations == 17


def test_too_few_steps_tell_nothing_of_the_machine(photo, painting, learned):
    run(photo.crop((0, 0, 32, 32)), painting, recipe(size=128, pyramid__iterations=[4]))
    assert learned == []


def test_what_a_reader_does_between_steps_is_no_time_of_the_machine(photo, painting, learned):
    for _ in stylize(photo.crop((0, 0, 32, 32)), painting, recipe(size=128), precision="float32"):
        for _ in range(100):
            nst.engines.optimize.time.perf_counter()
    assert [share for _, share in learned] == pytest.approx([0.25], rel=0.01)
