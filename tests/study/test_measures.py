"""Measures: their formulas in float64, and that they order what must be ordered."""

import math
from dataclasses import asdict, fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy.stats import wasserstein_distance
from skimage.color import rgb2lab

from nst.engines.optimize import stylize
from nst.names import UnknownName
from nst.nn.vgg import NETWORKS, Backbone
from nst.pictures.images import fit, open_picture, resized, to_tensor
from nst.settings import catalog
from nst.study import measures
from nst.study.judge import OTHER, Judge, OtherSize, measuring_network
from nst.study.measures import MEASURES, Measures, Reading

SIDE = 96
WRONG = ["great_wave", "composition_viii", "ink_landscape", "cafe_terrace", "grande_jatte"]


def bundled(credits, name, side=SIDE):
    picture = open_picture(credits[name].path)
    return resized(picture, fit(picture.size, side))


@pytest.fixture(scope="module")
def photo():
    return bundled(catalog.photos(), "neuschwanstein")


@pytest.fixture(scope="module")
def painting():
    return bundled(catalog.paintings(), "starry_night")


@pytest.fixture(scope="module")
def judge(photo, painting):
    return Judge.of(photo, painting, photo.size)


@pytest.fixture(scope="module")
def run(photo, painting):
    """`quick` at one size after so many steps; it paints with the other network."""
    changes = {"size": SIDE, "pyramid.scales": [1.0], "pyramid.iterations": [200]}
    recipe = catalog.get("quick").recipe.but(changes)
    assert recipe.backbone.network == "vgg19"
    steps = stylize(photo, painting, recipe)
    return {s.index: s.picture() for s in steps if s.index in (5, 50, 200)}


def noisy(picture, deviation):
    """Gaussian noise around a picture of middling brightness, so that little of it is cut off."""
    values = np.asarray(picture, dtype=np.float64) * 0.5 + 64
    values += np.random.default_rng(1).normal(0, deviation, values.shape)
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def shuffled(picture):
    pixels = np.asarray(picture).reshape(-1, 3)
    order = np.random.default_rng(0).permutation(len(pixels))
    return Image.fromarray(pixels[order].reshape(np.asarray(picture).shape))


def constant(size, color):
    return Image.new("RGB", size, color)


# What must be ordered


@pytest.mark.parametrize("network", NETWORKS)
def test_the_photo_itself_is_all_content_and_no_style(photo, painting, network):
    found = Judge.of(photo, painting, photo.size, network).measure(photo)
    assert found.ssim == pytest.approx(1, abs=1e-9)
    assert found.features == found.noise == 0
    assert found.content == pytest.approx(100, abs=1e-6)
    assert found.style == 0
    assert min(found.gram, found.patches, found.colors) > 0.1


@pytest.mark.parametrize("network", NETWORKS)
def test_the_painting_itself_is_all_style_and_no_content(photo, painting, network):
    photo = photo.crop((0, 0, *painting.size))
    found = Judge.of(photo, painting, painting.size, network).measure(painting)
    assert found.gram == found.patches == found.colors == found.noise == 0
    assert found.style == 100
    assert found.content == 0
    assert found.ssim < 0.5 < found.features


def test_a_painting_squeezed_into_the_photos_shape_is_nearly_all_style(photo, painting, judge):
    assert photo.size != painting.size
    found = judge.measure(resized(painting, photo.size))
    assert found.content == 0
    assert 85 < found.style < 100


def test_a_run_gains_style_for_content(judge, run):
    found = [judge.measure(run[index]) for index in (5, 50, 200)]
    style = [measures.style for measures in found]
    assert 5 < style[0] < style[1] - 20 < style[1] < style[2] - 0.5
    for name in ("gram", "patches", "colors"):
        assert getattr(found[0], name) > getattr(found[2], name), name
    assert 100 > found[0].content > found[2].content + 10 > 10


def test_a_result_is_nearest_to_its_own_painting(photo, run, judge):
    own = judge.measure(run[200])
    for name in WRONG:
        other = Judge.of(photo, bundled(catalog.paintings(), name), photo.size)
        wrong = other.measure(run[200])
        assert own.style > wrong.style + 30, name
        assert own.gram < wrong.gram, name


def test_a_result_is_nearest_to_its_own_photo(painting, run, judge):
    size = judge.size
    own = judge.measure(run[50])
    for name in ("mont_st_michel", "great_wall", "red_panda"):
        other = resized(bundled(catalog.photos(), name), size)
        assert own.content > Judge.of(other, painting, size).measure(run[50]).content + 10, name


def test_noise_grows_with_what_is_added(photo, painting):
    clean = noisy(photo, 0)
    judge = Judge.of(clean, painting, photo.size)
    assert judge.measure(clean).noise == 0
    assert judge.measure(noisy(photo, 1)).noise == 0  # less than the painting has itself
    found = [judge.measure(noisy(photo, deviation)) for deviation in (20, 30, 40, 50)]
    noise = [measures.noise for measures in found]
    assert 0 < noise[0] < noise[1] < noise[2] < noise[3]
    own = max(judge.photo.noise, judge.painting.noise)
    assert noise[2] + own == pytest.approx(40 * luma_share(), rel=0.1)
    ssim = [measures.ssim for measures in found]
    assert ssim == sorted(set(ssim), reverse=True)


def luma_share():
    """Deviation of the luminance of independent noise in R, G and B, as a share of theirs."""
    return math.sqrt(0.299**2 + 0.587**2 + 0.114**2)


def test_blur_adds_no_noise_and_takes_content(judge, photo):
    found = judge.measure(photo.filter(ImageFilter.GaussianBlur(3)))
    assert found.noise == 0
    assert found.content < 90


def test_shuffled_pixels_keep_nothing_but_the_colors(photo, painting):
    itself = Judge.of(photo, photo, photo.size)
    found = itself.measure(shuffled(photo))
    assert found.colors == pytest.approx(0, abs=1e-4)
    assert found.ssim < 0.1
    assert found.gram > 0.5
    assert found.patches > 10
    assert found.noise > 20


def test_colors_ignore_the_places_and_patches_do_not(photo):
    turned = Reading(photo.transpose(Image.Transpose.ROTATE_180))
    assert measures.color_distance(turned, Reading(photo)) == pytest.approx(0, abs=1e-4)
    assert measures.patch_distance(turned, Reading(photo)) > 0.1


def test_distances_are_symmetric_where_they_are_distances(photo, painting):
    one, other = Reading(photo), Reading(painting)
    for measure in (measures.patch_distance, measures.color_distance):
        assert measure(one, other) == measure(other, one) > 1


# Formulas


def ways(dimensions):
    found = measures.directions(dimensions)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    assert found.shape == (measures.DIRECTIONS, dimensions)
    return found.astype(np.float64)


def plain_sliced(a, b):
    """In float64, each projection by SciPy."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.mean([wasserstein_distance(a @ way, b @ way) for way in ways(a.shape[1])])


def sliced(a, b):
    return measures.sliced_distance(measures.quantiles(a), measures.quantiles(b))


@pytest.mark.parametrize("dimensions", [1, 3, 147])
def test_sliced_distance_of_as_many_points_as_levels_is_exact(dimensions):
    random = np.random.default_rng(2)
    a = random.normal(100, 30, (measures.LEVELS, dimensions))
    b = random.gamma(2, 20, (measures.LEVELS, dimensions))
    assert sliced(a, b) == pytest.approx(plain_sliced(a, b), rel=1e-5)


@pytest.mark.parametrize(("count", "other"), [(7, 100), (1000, 4096), (5000, 20_000)])
def test_sliced_distance_of_other_numbers_of_points_is_close(count, other):
    random = np.random.default_rng(3)
    a, b = random.normal(0, 10, (count, 3)), random.normal(4, 15, (other, 3))
    assert sliced(a, b) == pytest.approx(plain_sliced(a, b), rel=5e-3)


def test_one_projection_is_the_distance_on_the_line():
    random = np.random.default_rng(4)
    a, b = random.normal(0, 1, 4096), random.uniform(-2, 5, 4096)
    assert sliced(a[:, None], b[:, None]) == pytest.approx(wasserstein_distance(a, b), rel=1e-5)


def test_a_shift_of_all_points_is_measured_along_each_direction():
    points = np.random.default_rng(5).normal(0, 9, (3000, 3))
    shift = np.array([3.0, -4.0, 12.0])
    expected = np.abs(ways(3) @ shift).mean()
    assert sliced(points, points + shift) == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(13 / 2, rel=0.15)


def test_color_distance_is_that_of_all_pixels_in_lab(photo, painting):
    a, b = (rgb2lab(np.asarray(p)).reshape(-1, 3) for p in (photo, painting))
    found = measures.color_distance(Reading(photo), Reading(painting))
    assert found == pytest.approx(plain_sliced(a, b), rel=2e-3)


def test_lightness_differs_by_delta_e():
    """Gray 119 has L* 50.03 and black 0: the distance is along one axis only."""
    found = measures.color_distance(
        Reading(constant((8, 8), (119,) * 3)), Reading(constant((9, 5), (0, 0, 0)))
    )
    expected = 50.03 * np.abs(ways(3)[:, 0]).mean()
    assert found == pytest.approx(expected, rel=1e-3)


def plain_patches(picture):
    array = np.asarray(picture, dtype=np.float64)
    rows, columns = (side - 6 for side in array.shape[:2])
    return np.array(
        [array[y : y + 7, x : x + 7].ravel() for y in range(rows) for x in range(columns)]
    )


def _as_plain(patches):
    """Patches channel by channel as the module cuts them, pixel by pixel as here."""
    return patches.reshape(-1, 3, 7, 7).transpose(0, 2, 3, 1).reshape(len(patches), -1)


def test_patches_are_parts_of_the_picture_evenly_spread(photo):
    array = np.asarray(photo, dtype=np.float32)
    found = _as_plain(measures.patches(array))
    every = plain_patches(photo)
    assert found.shape == (measures.POSITIONS, 147)
    assert {row.tobytes() for row in found} <= {row.astype(np.float32).tobytes() for row in every}
    ramp = np.zeros((70, 90, 3))
    ramp[..., 0], ramp[..., 1] = np.arange(70)[:, None], np.arange(90)
    corners = _as_plain(measures.patches(ramp))[:, :2]
    bins = np.histogram2d(*corners.T, bins=8, range=((0, 64), (0, 84)))[0]
    assert bins.min() > 0.85 * bins.mean()
    assert bins.max() < 1.15 * bins.mean()


@pytest.mark.parametrize("against", ["painting", "shuffled"])
def test_patch_distance_is_nearly_that_of_all_patches_at_three_scales(photo, painting, against):
    other = painting if against == "painting" else shuffled(photo)
    distances = []
    for scale in (1, 2, 4):
        pair = [resized(p, fit(p.size, SIDE / scale)) for p in (photo, other)]
        # The module's order of a patch's numbers, since directions are fixed.
        cut = [plain_patches(p).reshape(-1, 7, 7, 3).transpose(0, 3, 1, 2) for p in pair]
        distances.append(plain_sliced(*(c.reshape(len(c), -1) for c in cut)))
    found = measures.patch_distance(Reading(photo), Reading(other))
    assert found == pytest.approx(np.mean(distances), rel=0.03)


def test_each_scale_is_the_picture_made_smaller(photo):
    sizes = [(96, 64), (48, 32), (24, 16)]
    for found, size in zip(Reading(photo).patch_quantiles, sizes, strict=True):
        small = np.asarray(resized(photo, size), dtype=np.float32)
        np.testing.assert_array_equal(found, measures.quantiles(measures.patches(small)))


def test_a_brighter_picture_is_away_by_most_of_its_gray_levels():
    dark, bright = (Reading(constant((64, 48), (gray,) * 3)) for gray in (100, 110))
    found = measures.patch_distance(dark, bright)
    assert found == pytest.approx(10 * np.abs(ways(147).sum(axis=1)).mean(), rel=1e-4)
    assert 6 < found < 10


@pytest.mark.parametrize("sigma", [2, 10, 30])
def test_noise_of_a_flat_picture_is_recovered(sigma):
    flat = 128 + np.random.default_rng(6).normal(0, sigma, (256, 256))
    assert measures.noise_deviation(flat) == pytest.approx(sigma, rel=0.02)


def test_noise_is_the_convolution_that_immerkaer_prints():
    image = np.random.default_rng(7).uniform(0, 255, (12, 9))
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    total = sum(
        abs((image[y : y + 3, x : x + 3] * mask).sum()) for y in range(10) for x in range(7)
    )
    expected = math.sqrt(math.pi / 2) * total / (6 * (9 - 2) * (12 - 2))
    assert measures.noise_deviation(image) == pytest.approx(expected, rel=1e-12)


def test_planes_and_upright_edges_are_no_noise():
    rows, columns = np.mgrid[:40, :30]
    assert measures.noise_deviation(3.0 * rows + 2.0 * columns) == pytest.approx(0, abs=1e-9)
    assert measures.noise_deviation(np.where(columns > 12, 200.0, 10.0)) == 0


@pytest.mark.parametrize("shape", [(2, 9), (9, 2), (1, 1)])
def test_a_picture_too_small_for_the_estimate_has_no_noise(shape):
    assert measures.noise_deviation(np.random.default_rng(8).uniform(0, 255, shape)) == 0


def test_of_activations_that_are_all_zero_any_difference_is_one():
    nothing, something = torch.zeros(1, 2, 3, 3), torch.full((1, 2, 3, 3), 7.0)
    none, some = (SimpleNamespace(features=x, grams=[x[0, 0]] * 5) for x in (nothing, something))
    for measure in (measures.feature_distance, measures.gram_distance):
        assert measure(none, none) == 0
        assert measure(some, none) == measure(none, some) == 1


def activations(picture, network):
    layers = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1"]
    with torch.no_grad():
        found = Backbone(network).features(to_tensor(picture, torch.device("cpu")), layers)
    return {name: value[0].double().numpy() for name, value in found.items()}


@pytest.mark.parametrize("network", NETWORKS)
def test_network_measures_are_the_plain_formulas(photo, painting, network):
    ours, theirs = activations(photo, network), activations(painting, network)

    def gram(x):
        return np.einsum("ihw,jhw->ij", x, x) / (x.shape[1] * x.shape[2])

    shares = []
    for block in range(1, 6):
        g, a = gram(ours[f"conv{block}_1"]), gram(theirs[f"conv{block}_1"])
        shares.append(np.sqrt(((g - a) ** 2).sum()) / np.sqrt((a**2).sum()))
    readings = Reading(photo, network), Reading(painting, network)
    assert measures.gram_distance(*readings) == pytest.approx(np.mean(shares), rel=1e-4)

    other = resized(painting, photo.size)
    f, p = activations(other, network)["conv4_2"], ours["conv4_2"]
    expected = ((f - p) ** 2).sum() / (p**2).sum()
    found = measures.feature_distance(Reading(other, network), readings[0])
    assert found == pytest.approx(expected, rel=1e-4)


def test_similarity_is_wangs_formula(photo, painting):
    """Windows one by one in float64, of a part of the pictures."""
    a, b = (p.crop((20, 20, 50, 44)) for p in (photo, painting))
    x, y = (np.asarray(p, dtype=np.float64) @ [0.299, 0.587, 0.114] for p in (a, b))
    along = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(along, along) / along.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            u, v = (z[top : top + 11, left : left + 11] for z in (x, y))
            mu, mv = (window * u).sum(), (window * v).sum()
            su, sv = (window * (u - mu) ** 2).sum(), (window * (v - mv) ** 2).sum()
            suv = (window * (u - mu) * (v - mv)).sum()
            above = (2 * mu * mv + c1) * (2 * suv + c2)
            values.append(above / ((mu**2 + mv**2 + c1) * (su + sv + c2)))
    assert measures.similarity(Reading(a), Reading(b)) == pytest.approx(np.mean(values), rel=1e-6)


def test_summaries_are_the_means_of_their_shares(judge, run):
    found, floor = judge.measure(run[50]), judge.floor
    content = [(found.ssim - floor["ssim"]) / (1 - floor["ssim"])]
    content.append(1 - found.features / floor["features"])
    style = [1 - getattr(found, name) / floor[name] for name in ("gram", "patches", "colors")]
    cut = [[min(1, max(0, share)) for share in shares] for shares in (content, style)]
    assert [0 < share < 1 for share in content + style].count(True) >= 4
    assert found.content == pytest.approx(100 * np.mean(cut[0]), rel=1e-9)
    assert found.style == pytest.approx(100 * np.mean(cut[1]), rel=1e-9)


def test_floors_are_the_painting_and_the_photo_in_the_place_of_a_result(photo, painting, judge):
    as_result = judge.measure(resized(painting, photo.size))
    untouched = judge.measure(photo)
    assert (judge.floor["ssim"], judge.floor["features"]) == (as_result.ssim, as_result.features)
    for name in ("gram", "patches", "colors"):
        assert judge.floor[name] == getattr(untouched, name)


def test_noise_is_what_exceeds_photo_and_painting(judge, photo):
    result = noisy(photo, 40)
    expected = Reading(result).noise - max(Reading(photo).noise, judge.painting.noise)
    assert judge.measure(result).noise == pytest.approx(expected)
    assert expected > 5


# Edges


def test_measuring_twice_gives_the_same(photo, painting, judge, run):
    again = Judge.of(photo, painting, photo.size)
    assert judge.measure(run[50]) == judge.measure(run[50]) == again.measure(run[50])


def finite(measures):
    values = asdict(measures)
    assert all(math.isfinite(value) for value in values.values()), values
    assert 0 <= measures.content <= 100
    assert 0 <= measures.style <= 100
    return measures


COLORS = [(0, 0, 0), (255, 255, 255), (200, 30, 90)]


@pytest.mark.parametrize("color", COLORS)
def test_constant_pictures_have_numbers(photo, painting, color):
    flat = constant(photo.size, color)
    for pictures in ((flat, painting), (photo, flat), (flat, flat)):
        judge = Judge.of(*pictures, photo.size)
        for result in (photo, flat, resized(painting, photo.size)):
            finite(judge.measure(result))
    assert judge.measure(flat).content == judge.measure(flat).style == 100


def test_a_photo_that_is_its_own_painting(photo):
    judge = Judge.of(photo, photo, photo.size)
    itself = finite(judge.measure(photo))
    assert (itself.content, itself.style) == (100, 100)
    other = finite(judge.measure(noisy(photo, 30)))
    assert (other.content, other.style) == (0, 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 2), (6, 6), (11, 10), (24, 16)])
def test_tiny_pictures_have_numbers(photo, painting, size):
    judge = Judge.of(photo, painting, size)
    found = finite(judge.measure(resized(photo, size)))
    assert found.content == pytest.approx(100, abs=1e-6)
    assert found.style == 0
    finite(judge.measure(resized(painting, size)))


def test_small_pictures_still_differ(photo, painting):
    judge = Judge.of(photo, painting, (8, 6))
    found = judge.measure(resized(painting, (8, 6)))
    assert found.ssim < 0.9
    assert found.style > 50
    assert found.content == 0


def test_sources_of_any_size_are_brought_to_the_results(photo, painting, judge):
    """Two readings of the same pictures at twice the size agree but for the resizing."""
    large = [
        bundled(credits, name, 2 * SIDE)
        for credits, name in (
            (catalog.photos(), "neuschwanstein"),
            (catalog.paintings(), "starry_night"),
        )
    ]
    other = Judge.of(*large, judge.size)
    assert other.photo.picture.size == judge.size
    assert max(other.painting.picture.size) == max(judge.size)
    assert other.measure(photo).content > 95


def test_a_result_of_another_size_is_refused(judge, photo):
    with pytest.raises(OtherSize, match=r"64 × 43.*96 × 64"):
        judge.measure(resized(photo, (64, 43)))


def test_pictures_with_transparency_or_gray_are_read(judge, photo):
    gray = photo.convert("L")
    assert judge.measure(gray) == judge.measure(gray.convert("RGB"))
    assert judge.measure(photo.convert("RGBA")).content == judge.measure(photo).content


def test_the_measuring_network_is_the_other_one():
    assert {name: measuring_network(name) for name in NETWORKS} == OTHER
    assert all(one != other for one, other in OTHER.items())
    with pytest.raises(UnknownName, match="vgg91"):
        measuring_network("vgg91")
    with pytest.raises(UnknownName, match="vgg61"):
        Judge.of(constant((8, 8), (0, 0, 0)), constant((8, 8), (9, 9, 9)), (8, 8), "vgg61")


def test_the_network_matters_to_its_own_measures_only(photo, painting, run):
    found = [Judge.of(photo, painting, photo.size, n).measure(run[50]) for n in ("vgg16", "vgg19")]
    one, other = map(asdict, found)
    differing = {name for name in one if one[name] != other[name]}
    assert differing == {"features", "gram", "content", "style"}
    assert found[0].style == pytest.approx(found[1].style, abs=10)


def test_every_measure_is_explained():
    assert list(MEASURES) == [field.name for field in fields(Measures)]
    higher = {name for name, about in MEASURES.items() if about.higher_is_better}
    assert higher == {"ssim", "content", "style"}
    assert MEASURES["gram"].direction == "lower is better"
    assert MEASURES["style"].direction == "higher is better"
    assert len({about.label for about in MEASURES.values()}) == len(MEASURES)
