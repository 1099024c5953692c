"""The losses against the formulas of their papers, written out with loops in float64."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from nst.nn import losses
from nst.nn.losses import (
    DEVIATION_FLOOR,
    FREQUENCIES,
    NORMALIZATIONS,
    STYLE_LOSSES,
    VARIATIONS,
    content_loss,
    gram_matrix,
    style_loss,
    total_variation,
)

SHAPES = [(3, 4, 5), (2, 1, 6), (4, 7, 1), (5, 1, 1)]


def features(shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, *shape), generator=generator, dtype=torch.float64).to(dtype)


def plain_gram(x):
    """F Fᵀ, not divided by anything, as nested lists."""
    rows = [channel.flatten().tolist() for channel in x[0].double()]
    return [[math.fsum(a * b for a, b in zip(f, g, strict=True)) for g in rows] for f in rows]


def squared_difference(x, y):
    pairs = zip(x.double().flatten().tolist(), y.double().flatten().tolist(), strict=True)
    return math.fsum((a - b) ** 2 for a, b in pairs)


CONTENT = {
    "mean": lambda total, c, m: total / (c * m),
    "paper": lambda total, c, m: total / 2,
    "channels": lambda total, c, m: total / (c * m),
    "sum": lambda total, c, m: total,
}
# One entry of G, one of A, channels, positions of the result and of the painting.
STYLE_ENTRY = {
    "mean": lambda g, a, c, m, n: (g / m - a / n) ** 2 / c**2,
    "paper": lambda g, a, c, m, n: (g / m - a / n) ** 2 / (4 * c**2),
    "channels": lambda g, a, c, m, n: (g / (c * m) - a / (c * n)) ** 2 / c**2,
    # (G - A)², where a painting of another size counts as if it had M positions.
    "sum": lambda g, a, c, m, n: (g - a * m / n) ** 2,
}


def plain_style(x, painting, normalization):
    c, m = x.shape[1], x.shape[2] * x.shape[3]
    n = painting.shape[2] * painting.shape[3]
    g, a = plain_gram(x), plain_gram(painting)
    entry = STYLE_ENTRY[normalization]
    return math.fsum(entry(g[i][j], a[i][j], c, m, n) for i, j in product(range(c), repeat=2))


def painting_target(painting):
    """What the engine keeps of a painting: its Gram matrix over its own positions."""
    positions = painting.shape[2] * painting.shape[3]
    return torch.tensor(plain_gram(painting), dtype=torch.float64) / positions


def test_the_formulas_here_cover_every_normalization():
    assert set(NORMALIZATIONS) == set(CONTENT) == set(STYLE_ENTRY)


@pytest.mark.parametrize("shape", SHAPES)
def test_gram_is_the_product_of_the_rows_over_their_length(shape):
    x = features(shape)
    expected = torch.tensor(plain_gram(x), dtype=torch.float64) / (shape[1] * shape[2])
    torch.testing.assert_close(gram_matrix(x), expected, rtol=1e-12, atol=1e-14)


def test_gram_of_a_picture_ignores_its_size():
    x = features((3, 4, 5))
    tiled = x.repeat(1, 1, 2, 3)
    torch.testing.assert_close(gram_matrix(tiled), gram_matrix(x), rtol=1e-12, atol=1e-14)


def test_gram_of_a_picture_ignores_where_things_are():
    x = features((3, 4, 5))
    shuffled = x.flatten(2)[..., torch.randperm(20)].view_as(x)
    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_memory_order_of_features_does_not_matter(channels_last):
    x, target = features((3, 4, 5)), painting_target(features((3, 3, 3), 1))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    y = x.contiguous(memory_format=layout)
    assert style_loss(y, target, "mean").item() == pytest.approx(
        plain_style(x, features((3, 3, 3), 1), "mean"), rel=1e-12
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("normalization", CONTENT)
def test_content_loss_is_the_formula_of_the_table(normalization, shape):
    x, p = features(shape), features(shape, 1)
    c, m = shape[0], shape[1] * shape[2]
    expected = CONTENT[normalization](squared_difference(x, p), c, m)
    assert content_loss(x, p, normalization).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("normalization", STYLE_ENTRY)
def test_style_loss_is_the_formula_of_the_table(normalization, shape):
    x, painting = features(shape), features(shape, 1)
    loss = style_loss(x, painting_target(painting), normalization).item()
    assert loss == pytest.approx(plain_style(x, painting, normalization), rel=1e-12)


@pytest.mark.parametrize("normalization", STYLE_ENTRY)
def test_style_loss_compares_with_a_painting_of_another_size(normalization):
    x, painting = features((3, 4, 5)), features((3, 7, 2), 1)
    loss = style_loss(x, painting_target(painting), normalization).item()
    assert loss == pytest.approx(plain_style(x, painting, normalization), rel=1e-12)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_features_that_agree_cost_nothing(normalization):
    x = features((3, 4, 5))
    assert content_loss(x, x.clone(), normalization).item() == 0
    target = torch.tensor(plain_gram(x), dtype=torch.float64) / 20
    assert style_loss(x, target, normalization).item() == pytest.approx(0, abs=1e-24)


@pytest.mark.parametrize("shape", [(3, 2, 3), (2, 1, 5), (3, 1, 1)])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_gradient_of_style_loss_is_that_of_finite_differences(normalization, shape):
    x = features(shape).requires_grad_()
    target = painting_target(features((shape[0], 2, 2), 1))
    assert torch.autograd.gradcheck(lambda x: style_loss(x, target, normalization), x)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_gradient_of_style_loss_is_that_of_the_composed_formula(normalization):
    x = features((3, 4, 5)).requires_grad_()
    target = painting_target(features((3, 3, 3), 1))
    c, m = 3, 20
    factor = {"mean": 1 / c**2, "paper": 1 / (4 * c**2), "channels": 1 / c**4, "sum": m**2}
    composed = (torch.einsum("nchw,ndhw->cd", x, x) / m - target).square().sum()
    (expected,) = torch.autograd.grad(7 * composed * factor[normalization], x)
    (gradient,) = torch.autograd.grad(7 * style_loss(x, target, normalization), x)
    torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_gradient_of_content_loss_is_that_of_finite_differences(normalization):
    x, p = features((3, 2, 3)).requires_grad_(), features((3, 2, 3), 1)
    assert torch.autograd.gradcheck(lambda x: content_loss(x, p, normalization), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_short_features_are_summed_in_float32(dtype):
    # Thousands of like terms: a sum kept in 8 or 11 bits would stall far below the total.
    x, p = (features((8, 64, 65), seed, dtype) + 3 for seed in (0, 1))
    rows, target = x[0].double().flatten(1), p[0].double().flatten(1)
    m = rows.shape[1]
    gram, aim = rows @ rows.T / m, target @ target.T / m
    assert {gram_matrix(x).dtype, content_loss(x, p, "mean").dtype} == {torch.float32}
    # 4160 float32 roundings of 6e-8, added like a random walk, and a factor of two.
    torch.testing.assert_close(gram_matrix(x).double(), gram, rtol=8e-6, atol=0)
    content = (rows - target).square().mean()
    torch.testing.assert_close(
        content_loss(x, p, "mean").double(), content, rtol=2e-6, atol=0, check_dtype=False
    )
    away = aim + 1  # far from zero, so that rounding of the target does not decide
    style = style_loss(x, away.float(), "mean")
    assert style.dtype == torch.float32
    expected = (gram - away.float().double()).square().mean()
    assert style.item() == pytest.approx(expected.item(), rel=2e-5)


def test_the_gradient_for_short_features_is_as_good_as_their_digits():
    x = features((8, 16, 17), dtype=torch.bfloat16)
    target = painting_target(features((8, 9, 9), 1)) + 1
    short, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(style_loss(short, target.float(), "mean"), short)
    composed = (torch.einsum("nchw,ndhw->cd", exact, exact) / 272 - target).square().mean()
    (expected,) = torch.autograd.grad(composed, exact)
    assert gradient.dtype == torch.bfloat16
    assert (gradient.double() - expected).norm() < 0.01 * expected.norm()


# Li et al. 2017: other statistics than the Gram matrix


def compared(x, painting, kind, normalization="mean"):
    """The loss of features against those of a painting, as the engine computes it."""
    return style_loss(x, STYLE_LOSSES[kind].statistics(painting), normalization, kind)


def positions(x):
    """The activations of each position, as lists of numbers."""
    return x[0].double().flatten(1).T.tolist()


def dot(a, b):
    return math.fsum(i * j for i, j in zip(a, b, strict=True))


def squared_distance(a, b):
    return math.fsum((i - j) ** 2 for i, j in zip(a, b, strict=True))


def double_mean(function, rows, others):
    return math.fsum(function(a, b) for a in rows for b in others) / (len(rows) * len(others))


def plain_mmd(x, painting, kernel):
    """MMD² of all pairs of positions (Li et al. 2017, equation 3), summed one by one."""
    rows, others = positions(x), positions(painting)
    within = double_mean(kernel, rows, rows) + double_mean(kernel, others, others)
    return within - 2 * double_mean(kernel, rows, others)


def plain_gaussian(x, painting):
    """Likewise, with the mean squared distance of the painting's positions as bandwidth."""
    others = positions(painting)
    bandwidth = double_mean(squared_distance, others, others)
    return plain_mmd(x, painting, lambda a, b: math.exp(-squared_distance(a, b) / 2 / bandwidth))


def plain_statistics(x, painting):
    """Squared differences of means and deviations over C, by numpy."""

    def statistics(y):
        rows = y[0].double().flatten(1).numpy()
        return rows.mean(1), np.sqrt(rows.var(1) + DEVIATION_FLOOR)

    pairs = zip(statistics(x), statistics(painting), strict=True)
    return sum(float(((a - b) ** 2).mean()) for a, b in pairs)


# The loss of features and a painting's, in float64; the Gaussian kernel's is approximated.
PLAIN = {
    "gram": lambda x, p: plain_style(x, p, "mean"),
    "mmd-linear": lambda x, p: plain_mmd(x, p, dot) / x.shape[1],
    "mmd-polynomial": lambda x, p: (
        plain_mmd(x, p, lambda a, b: dot(a, b) ** 2) / (4 * x.shape[1] ** 2)
    ),
    "bn-statistics": plain_statistics,
    "mmd-gaussian": plain_gaussian,
}
EXACT = [kind for kind in PLAIN if kind != "mmd-gaussian"]
OTHERS = [kind for kind in PLAIN if kind != "gram"]
SIZES = [
    ((3, 4, 5), (3, 4, 5)),
    ((3, 4, 5), (3, 7, 2)),
    ((2, 1, 6), (2, 3, 3)),
    ((4, 7, 1), (4, 1, 1)),
]


def test_the_formulas_here_cover_every_style_loss():
    assert set(STYLE_LOSSES) == set(PLAIN)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", EXACT)
def test_a_style_loss_is_its_formula_summed_over_positions(kind, sizes):
    x, painting = features(sizes[0]), features(sizes[1], 1)
    expected = PLAIN[kind](x, painting)
    assert compared(x, painting, kind).item() == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_gram_loss_of_the_paper_is_mmd_with_a_quadratic_kernel(sizes):
    """Li et al. 2017, equation 7."""
    x, painting = features(sizes[0]), features(sizes[1], 1)
    gram = compared(x, painting, "gram", "paper").item()
    assert gram == pytest.approx(PLAIN["mmd-polynomial"](x, painting), rel=1e-11)
    assert gram == compared(x, painting, "mmd-polynomial").item()


def test_the_floor_of_deviations_does_not_show():
    x, painting = features((3, 4, 5)), features((3, 7, 2), 1)
    rows, others = (y[0].flatten(1).numpy() for y in (x, painting))
    expected = ((rows.mean(1) - others.mean(1)) ** 2 + (rows.std(1) - others.std(1)) ** 2).mean()
    assert compared(x, painting, "bn-statistics").item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("kind", OTHERS)
def test_only_the_gram_matrix_heeds_the_normalization(kind, normalization):
    x, painting = features((3, 4, 5)), features((3, 7, 2), 1)
    assert compared(x, painting, kind, normalization) == compared(x, painting, kind, "mean")


# Waves that stand for a Gaussian kernel. MMD² is the mean over random waves (w, b) of
# Z = 2 (mean of cos(wᵀx + b) - mean of cos(wᵀy + b))², which lies in 0..8, so that its variance is
# at most 8 MMD² and the error of D waves within `SIGMAS` √(8 MMD² / D).
MANY = 2**20
SIGMAS = 4


def error_of_waves(mmd, waves=MANY):
    return SIGMAS * math.sqrt(8 * mmd / waves)


@pytest.mark.parametrize("sizes", SIZES[:3], ids=str)
def test_many_waves_are_a_gaussian_kernel(sizes, monkeypatch):
    monkeypatch.setattr(losses, "FREQUENCIES", MANY)
    x, painting = features(sizes[0]) * 1.5 + 1, features(sizes[1], 1)
    exact = plain_gaussian(x, painting)
    assert error_of_waves(exact) < 0.05 * exact  # so that this says something
    assert compared(x, painting, "mmd-gaussian").item() == pytest.approx(
        exact, abs=error_of_waves(exact)
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_usual_waves_are_close_to_a_gaussian_kernel(seed):
    x, painting = features((64, 5, 5), seed) + 0.2, features((64, 5, 6), seed + 10)
    exact = plain_gaussian(x, painting)
    # Z is near MMD² times a squared normal number, of deviation √2 MMD².
    error = SIGMAS * math.sqrt(2 / FREQUENCIES) * exact
    assert compared(x, painting, "mmd-gaussian").item() == pytest.approx(exact, abs=error)


def test_features_moved_to_either_side_are_as_far(monkeypatch):
    waves = 2**17
    monkeypatch.setattr(losses, "FREQUENCIES", waves)
    painting = features((3, 4, 5))
    up, down = (compared(painting + shift, painting, "mmd-gaussian").item() for shift in (2, -2))
    exact = plain_gaussian(painting + 2, painting)
    assert plain_gaussian(painting - 2, painting) == pytest.approx(exact, rel=1e-12)
    assert [up, down] == pytest.approx([exact] * 2, abs=error_of_waves(exact, waves))
    assert error_of_waves(exact, waves) < 0.05 * exact


def test_a_gaussian_kernel_sees_no_more_than_that_features_are_far_apart():
    painting = features((16, 4, 5))
    far = [compared(painting + 10.0**n, painting, "mmd-gaussian").item() for n in range(-2, 6)]
    assert far[0] < far[1] < far[2]
    # 2 for two points that far apart; less where each side is spread over the kernel's width.
    error = SIGMAS * math.sqrt(2 / FREQUENCIES) * 2
    assert all(0 <= loss <= 2 + error for loss in far)
    assert max(far[3:]) < 1.5 * min(far[3:])


def test_the_waves_are_always_the_same_and_leave_torchs_random_numbers_alone():
    x, painting = features((3, 4, 5)), features((3, 7, 2), 1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = (compared(x, painting, "mmd-gaussian") for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert one == two


@pytest.mark.parametrize("size", [4, 64, 1024])
@pytest.mark.parametrize("kind", ["gram", "bn-statistics", "mmd-gaussian"])
def test_sums_in_blocks_are_sums(kind, size, monkeypatch):
    x, painting = features((3, 9, 11)).requires_grad_(), features((3, 7, 2), 1)
    whole = compared(x, painting, kind)
    (slope,) = torch.autograd.grad(whole, x)
    monkeypatch.setattr(losses, "BLOCK_BYTES", size * 4 * 3)
    parts = compared(x, painting, kind)
    assert parts.item() == pytest.approx(whole.item(), rel=1e-11)
    (other,) = torch.autograd.grad(parts, x)
    torch.testing.assert_close(other, slope, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_features_of_the_same_style_cost_nothing(kind):
    x = features((3, 4, 5))
    assert compared(x, x.clone(), kind).item() == pytest.approx(0, abs=1e-24)
    shuffled = x.flatten(2)[..., torch.randperm(20)].view_as(x)
    assert compared(shuffled, x, kind).item() == pytest.approx(0, abs=1e-24)
    tiled = x.repeat(1, 1, 2, 3)
    assert compared(tiled, x, kind).item() == pytest.approx(0, abs=1e-24)
    assert compared(x + 0.1, x, kind).item() > 1e-4


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kind", EXACT)
def test_the_memory_order_of_features_does_not_matter_to_any(kind, channels_last):
    x, painting = features((3, 4, 5)), features((3, 3, 3), 1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    loss = compared(x.contiguous(memory_format=layout), painting, kind)
    assert loss.item() == pytest.approx(PLAIN[kind](x, painting), rel=1e-11)


@pytest.mark.parametrize("shape", [(3, 2, 3), (2, 1, 5), (3, 1, 2)])
@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_the_gradient_of_a_style_loss_is_that_of_finite_differences(kind, shape):
    x = features(shape).requires_grad_()
    target = STYLE_LOSSES[kind].statistics(features((shape[0], 2, 2), 1))
    assert torch.autograd.gradcheck(lambda x: 3 * style_loss(x, target, "mean", kind), x)


def test_the_gradient_of_the_mean_of_waves_is_that_of_finite_differences(monkeypatch):
    monkeypatch.setattr(losses, "BLOCK_BYTES", 4 * 4 * 5)  # four rows at a time
    rows = features((1, 7, 3))[0, 0].requires_grad_()
    waves, phases = features((1, 3, 5), 1)[0, 0], features((1, 1, 5), 2)[0, 0, 0]
    assert torch.autograd.gradcheck(lambda r: losses._WaveMean.apply(r, waves, phases), rows)
    composed = torch.cos(rows @ waves + phases).mean(0)
    torch.testing.assert_close(losses._WaveMean.apply(rows, waves, phases), composed)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("silent", ["result", "painting", "both"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_silent_channels_have_finite_gradients(kind, channels, silent, dtype):
    x, painting = features((3, 4, 5), dtype=dtype), features((3, 7, 2), 1, dtype)
    if silent != "painting":
        x[:, :channels] = 0
    if silent != "result":
        painting[:, :channels] = 0
    x.requires_grad_()
    loss = compared(x, painting, kind)
    (gradient,) = torch.autograd.grad(loss, x)
    assert math.isfinite(loss.item())
    assert bool(gradient.isfinite().all())
    assert gradient.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("kind", OTHERS)
def test_other_statistics_of_short_features_are_summed_in_float32(kind, dtype):
    # Thousands of like terms: a sum kept in 8 or 11 bits would stall far below the total.
    x = features((8, 64, 65), 0, dtype) + 3
    painting = features((8, 33, 65), 1, dtype) * 2 + 5
    exact = compared(x.double(), painting.double(), kind)
    loss = compared(x, painting, kind)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=2e-5)


@pytest.mark.parametrize("kind", STYLE_LOSSES)
def test_the_gradient_of_any_for_short_features_is_as_good_as_their_digits(kind):
    x = features((8, 16, 17), dtype=torch.bfloat16)
    painting = features((8, 9, 9), 1, torch.bfloat16) + 1
    short, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(compared(short, painting, kind), short)
    (expected,) = torch.autograd.grad(compared(exact, painting.double(), kind), exact)
    assert gradient.dtype == torch.bfloat16
    assert (gradient.double() - expected).norm() < 0.01 * expected.norm()


# Total variation


def plain_variation(image, kind):
    pixels = image[0].tolist()
    height, width = image.shape[2:]
    down, across = [], []
    for channel, row, column in product(range(3), range(height), range(width)):
        here = pixels[channel][row][column]
        if row + 1 < height:
            down.append(pixels[channel][row + 1][column] - here)
        if column + 1 < width:
            across.append(pixels[channel][row][column + 1] - here)
    power, how = {"l1": abs, "l2": lambda d: d * d}[kind[:2]], kind[3:]
    total = 0.0
    for differences in (down, across):
        count = len(differences) if how == "mean" else 1
        total += math.fsum(map(power, differences)) / count if differences else 0.0
    return total


def test_the_formulas_here_cover_every_variation():
    assert set(VARIATIONS) == {"l1-mean", "l1-sum", "l2-mean", "l2-sum"}


@pytest.mark.parametrize("size", [(5, 4), (2, 2), (1, 6), (6, 1), (1, 1)])
@pytest.mark.parametrize("kind", VARIATIONS)
def test_total_variation_is_the_sum_over_neighbors_written_out(kind, size):
    image = features((3, *size)) * 60 + 128
    expected = plain_variation(image, kind)
    assert total_variation(image, kind).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", VARIATIONS)
def test_a_picture_of_one_color_does_not_vary(kind):
    assert total_variation(torch.full((1, 3, 4, 5), 77.0), kind).item() == 0


@pytest.mark.parametrize("size", [(4, 3), (1, 5), (5, 1)])
@pytest.mark.parametrize("kind", VARIATIONS)
def test_the_gradient_of_total_variation_is_that_of_finite_differences(kind, size):
    image = features((3, *size)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: total_variation(x, kind), image)


@pytest.mark.parametrize("kind", VARIATIONS)
def test_a_single_pixel_has_no_variation_and_a_gradient_of_zero(kind):
    image = torch.full((1, 3, 1, 1), 9.0, requires_grad=True)
    loss = total_variation(image, kind)
    loss.backward()
    assert loss.item() == 0
    assert image.grad.tolist() == [[[[0.0]], [[0.0]], [[0.0]]]]


@pytest.mark.parametrize("table", [NORMALIZATIONS, STYLE_LOSSES, VARIATIONS])
def test_every_choice_has_a_label_of_its_own(table):
    labels = [entry.label for entry in table.values()]
    assert all(labels)
    assert len(set(labels)) == len(labels)
