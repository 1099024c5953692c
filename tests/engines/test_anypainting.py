"""Any painting in one pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageStat

import nst.engines.anypainting
from nst.engines.anypainting import BadMixture, Style, stylize
from nst.engines.estimate import TooLarge
from nst.nn.decoders import bundled, encoder
from nst.nn.style_swap import TooSmall
from nst.nn.vgg import DECODED
from nst.pictures.images import fit, open_picture, resized, to_tensor
from nst.settings.catalog import paintings, photos
from nst.settings.onepass import all_methods, method
from nst.steps import last

METHODS = tuple(all_methods())


def opened(credits, name, side=96):
    picture = open_picture(credits[name].path)
    return resized(picture, fit(picture.size, side))


@pytest.fixture(scope="module")
def cat():
    return opened(photos(), "cat")


@pytest.fixture(scope="module")
def wave():
    return opened(paintings(), "great_wave", 120)


def run(photo, styles, name, **changes):
    styles = [styles] if isinstance(styles, Image.Image) else styles
    styles = [Style(style) if isinstance(style, Image.Image) else style for style in styles]
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return last(stylize(photo, styles, method(name).settings.but({"size": 96} | dotted)))


def difference(one, other):
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize("name", METHODS)
def test_the_picture_moves_toward_the_painting(name, cat, wave):
    result = run(cat, wave, name)
    assert result.picture.size == cat.size
    assert difference(result.picture, cat) > 5
    colors = [np.asarray(p, dtype=float).mean((0, 1)) for p in (result.picture, cat, wave)]
    assert np.abs(colors[0] - colors[2]).sum() < np.abs(colors[1] - colors[2]).sum()


@pytest.mark.parametrize("name", METHODS)
def test_the_same_gives_the_same(name, cat, wave):
    one, other = (run(cat, wave, name).picture for _ in range(2))
    assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("name", METHODS)
def test_no_strength_leaves_the_photo_as_the_decoders_have_it(name, cat, wave):
    weak, strong = (difference(run(cat, wave, name, strength=s).picture, cat) for s in (0, 1))
    assert weak < 0.5 * strong


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("photo", "painting"),
    [((96, 61), (50, 83)), ((300, 7), (9, 200)), ((1, 1), (40, 40)), ((40, 40), (1, 1))],
    ids=["odd", "narrow", "tiny photo", "tiny painting"],
)
def test_any_shape_works(name, photo, painting, cat, wave):
    result = run(resized(cat, photo), resized(wave, painting), name)
    assert result.picture.size == fit(photo, 96)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("constant", ["photo", "painting", "both"])
def test_one_color_is_painted_without_nan(name, constant, cat, wave, monkeypatch):
    made = []
    to_picture = nst.engines.anypainting.to_picture
    monkeypatch.setattr(
        nst.engines.anypainting, "to_picture", lambda image: made.append(image) or to_picture(image)
    )
    photo = Image.new("RGB", cat.size, "white") if constant != "painting" else cat
    painting = Image.new("RGB", wave.size, "black") if constant != "photo" else wave
    run(photo, painting, name)
    assert all(image.isfinite().all() for image in made)
    assert made


@pytest.mark.parametrize("name", METHODS)
def test_a_mixture_of_one_painting_is_that_painting(name, cat, wave):
    alone = run(cat, wave, name).picture
    twice = run(cat, [Style(wave, 0.3), Style(wave, 1.7)], name).picture
    assert difference(alone, twice) < 1.0


@pytest.mark.parametrize("name", METHODS)
def test_a_mixture_lies_between_its_paintings(name, cat, wave):
    other = opened(paintings(), "composition_viii", 120)
    results = [
        run(cat, [Style(wave, weight), Style(other, 2 - weight)], name).picture
        for weight in (1.98, 1.4, 0.6, 0.02)
    ]
    first, last_ = run(cat, wave, name).picture, run(cat, other, name).picture
    assert [difference(r, first) for r in results] == sorted(difference(r, first) for r in results)
    assert difference(results[0], first) < difference(results[0], last_)
    assert difference(results[-1], last_) < difference(results[-1], first)


@pytest.mark.parametrize(
    ("weights", "words"),
    [((), "not 0"), ((1, 1, 1, 1), "not 4"), ((1, 0), "above 0"), ((-1,), "above 0")],
)
def test_what_cannot_be_mixed_is_refused(weights, words, cat, wave):
    with pytest.raises(BadMixture, match=words):
        run(cat, [Style(wave, weight) for weight in weights], "adain")


def test_colors_can_be_the_photos(cat, wave):
    result = run(cat, wave, "adain", keep_colors=True).picture.convert("YCbCr")
    for ours, theirs in zip(result.split()[1:], cat.convert("YCbCr").split()[1:], strict=True):
        assert difference_of_channels(ours, theirs) < 2.5


def difference_of_channels(one, other):
    return ImageStat.Stat(ImageChops.difference(one, other)).mean[0]


def test_a_stride_and_a_balance_change_the_swap(cat, wave):
    plain = run(cat, wave, "style-swap").picture
    for change in ({"swap__stride": 4}, {"swap__balance": 0.5}, {"swap__patch": 1}):
        assert difference(run(cat, wave, "style-swap", **change).picture, plain) > 0.5


def test_the_edges_are_like_the_rest(cat):
    """The encoder pads with zeros; unframed, these darkened the borders."""
    light = Image.new("RGB", (96, 96), (200, 190, 180))
    result = np.asarray(run(light, light, "adain").picture, dtype=float).mean(2)
    inner = result[24:72, 24:72].mean()
    for edge in (result[0], result[-1], result[:, 0], result[:, -1]):
        assert edge.mean() == pytest.approx(inner, abs=6)


def test_the_report_has_all_to_do_it_again(cat, wave):
    result = run(cat, wave, "wct", strength=0.4)
    again = method("wct").settings.read(result.report.settings)
    assert again.strength == 0.4
    assert run(cat, wave, "wct", strength=0.4).picture.tobytes() == result.picture.tobytes()
    assert result.report.weights == (1.0,)
    assert set(result.report.as_dict()) >= {"seconds", "size", "precision", "device", "versions"}


def test_both_precisions_agree(cat, wave, monkeypatch):
    known = nst.engines.anypainting.calibration()
    results = []
    for precision in ("float32", "bfloat16"):
        monkeypatch.setattr(
            nst.engines.anypainting, "calibration", lambda p=precision: replace(known, precision=p)
        )
        results.append(run(cat, wave, "adain"))
    assert [result.report.precision for result in results] == ["float32", "bfloat16"]
    assert difference(*(result.picture for result in results)) < 4


def test_a_patch_larger_than_the_picture_is_refused_and_a_fitting_size_works(cat, wave):
    tiny = resized(cat, (24, 24))
    with pytest.raises(TooSmall, match="8 x 8 positions of features at this size"):
        run(tiny, tiny, "style-swap", size=16, swap__patch=9)
    assert run(tiny, tiny, "style-swap", size=24, swap__patch=9).picture.size == (24, 24)


@pytest.mark.parametrize("layer", DECODED)
def test_features_know_nothing_of_the_zeros_beyond_the_edge(layer, monkeypatch):
    """A frame that is twice as wide changes nothing inside."""
    image = to_tensor(resized(open_picture(photos()["cat"].path), (61, 43)), torch.device("cpu"))
    backbone = encoder(torch.float32, torch.device("cpu"))
    narrow = nst.engines.anypainting._features(image, backbone, (layer,))[layer]
    monkeypatch.setattr(nst.engines.anypainting, "FRAME", 96)
    torch.testing.assert_close(
        narrow, nst.engines.anypainting._features(image, backbone, (layer,))[layer]
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_does_not_fit_the_memory_is_refused_with_a_size(cat, wave, precision, monkeypatch):
    known = replace(nst.engines.anypainting.calibration(), precision=precision)
    monkeypatch.setattr(nst.engines.anypainting, "calibration", lambda: known)
    monkeypatch.setattr(nst.engines.anypainting, "free_memory", lambda: 10_000_000)
    with pytest.raises(TooLarge, match=r"A size of (\d+) fits") as caught:
        run(cat, wave, "wct", size=512)
    fitting = int(str(caught.value).split()[-2])
    with pytest.raises(TooLarge):  # three paintings are in memory together
        run(cat, [wave] * 3, "wct", size=fitting)
    assert 32 < fitting < 512
    assert max(run(cat, wave, "wct", size=fitting).picture.size) == fitting


def test_the_report_tells_what_the_training_took(cat, wave):
    """Of all decoders in use, with what each began with."""
    layers = all_methods()["wct"].settings.layers
    notes = [bundled(layer).notes for layer in layers]
    seconds = sum(known[run]["seconds"] for known in notes for run in ("training", "before"))
    report = run(cat, wave, "wct").report
    assert len(layers) == 4
    assert report.training == {"photos": 1031, "seconds": pytest.approx(seconds, abs=0.1)}
