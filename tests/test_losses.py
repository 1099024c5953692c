"""The losses against the table of DESIGN, section 3, written out with loops in float64."""

import math
from itertools import product

import pytest
import torch

from nst.losses import (
    NORMALIZATIONS,
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
    # DESIGN writes (G - A)²; a painting of another size counts as if it had M positions.
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


@pytest.mark.parametrize("table", [NORMALIZATIONS, VARIATIONS])
def test_every_choice_has_a_label_of_its_own(table):
    labels = [entry.label for entry in table.values()]
    assert all(labels)
    assert len(set(labels)) == len(labels)
