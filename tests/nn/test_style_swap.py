"""Style swap against a double loop in float64."""

import pytest
import torch

import nst.nn.style_swap
from nst.nn.style_swap import Patches, TooSmall, matches, swapped, thinned


def features(height, width, channels=6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(1, channels, height, width, generator=draw).relu() + 0.01


def naive(content, style, patch, stride):
    """Chen and Schmidt 2016, section 3.1, patch by patch."""
    content, style = content.double(), style.double()
    total, count = torch.zeros_like(content), torch.zeros_like(content)
    for y in range(content.shape[2] - patch + 1):
        for x in range(content.shape[3] - patch + 1):
            here = content[0, :, y : y + patch, x : x + patch]
            best, chosen = -1.0, None
            for v in range(0, style.shape[2] - patch + 1, stride):
                for u in range(0, style.shape[3] - patch + 1, stride):
                    there = style[0, :, v : v + patch, u : u + patch]
                    score = float((here * there).sum() / (here.norm() * there.norm()))
                    if score > best:
                        best, chosen = score, there
            total[0, :, y : y + patch, x : x + patch] += chosen
            count[0, :, y : y + patch, x : x + patch] += 1
    return total / count


@pytest.mark.parametrize(("patch", "stride"), [(3, 1), (3, 2), (2, 3), (1, 1), (5, 2), (4, 4)])
@pytest.mark.parametrize("block", [200, 10_000_000], ids=["many blocks", "one block"])
def test_it_is_what_a_double_loop_does(patch, stride, block, monkeypatch):
    monkeypatch.setattr(nst.nn.style_swap, "BLOCK", block)
    content, style = features(9, 8), features(11, 7, seed=1)
    found = swapped(content, style, Patches(patch=patch, stride=stride))
    wanted = naive(content, style, patch, stride)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_a_picture_swapped_with_itself_stays_as_it_is():
    content = features(12, 13)
    torch.testing.assert_close(swapped(content, content, Patches()), content)


@pytest.mark.parametrize(("most", "stride"), [(16_000, 1), (324, 1), (323, 2), (100, 2), (80, 3)])
def test_too_many_patches_are_thinned_by_a_larger_stride(most, stride):
    settings = Patches(most=most)
    assert thinned(features(20, 20), settings).stride == stride
    content, style = features(9, 8), features(20, 20, seed=1)
    found = swapped(content, style, settings)
    torch.testing.assert_close(found, swapped(content, style, Patches(stride=stride)))


def test_with_more_balance_more_patches_are_used_and_none_too_often():
    """A photo with one large flat area, whose patches all have the same best partner."""
    content, style = features(24, 24), 1 + 0.2 * features(20, 20, seed=1)
    content[:, :, :16] = content[:, :, :1, :1]
    used, most = [], []
    for balance in (0.0, 0.3, 1.0):
        chosen = matches(content, style, Patches(balance=balance))
        counts = torch.bincount(chosen.flatten())
        used.append(int((counts > 0).sum()))
        most.append(int(counts.max()))
    assert used[0] < used[1] < used[2]
    assert most[2] < most[0] / 3


def test_a_larger_stride_leaves_fewer_patches_and_finds_less_alike_ones():
    content, style = features(14, 14), features(16, 16, seed=1)
    distances = []
    for stride in (1, 2, 4):
        settings = Patches(stride=stride)
        assert matches(content, style, settings).max() < len(range(0, 14, stride)) ** 2
        found = swapped(content, style, settings)
        alike = torch.nn.functional.cosine_similarity(found.flatten(), content.flatten(), dim=0)
        distances.append(1 - float(alike))
    assert distances == sorted(distances)
    assert distances[0] < distances[2]


@pytest.mark.parametrize(
    ("content", "style", "name"), [((2, 9), (9, 9), "photo"), ((9, 9), (9, 2), "painting")]
)
def test_a_picture_without_a_patch_is_refused_by_name(content, style, name):
    with pytest.raises(TooSmall, match=f"The {name} has .* fewer than a patch of 3 x 3"):
        swapped(features(*content), features(*style), Patches())


@pytest.mark.parametrize("constant", ["content", "style", "both"])
def test_constant_and_silent_features_make_no_nan(constant):
    content, style = features(6, 6), features(7, 7, seed=1)
    content = torch.zeros_like(content) if constant != "style" else content
    style = torch.zeros_like(style) if constant != "content" else style
    assert swapped(content, style, Patches()).isfinite().all()


def test_memory_is_bounded_whatever_the_sizes(monkeypatch):
    """Blocks of scores never exceed what is allowed by more than one pair of rows."""
    sizes = []
    scores = nst.nn.style_swap._scores

    def noticed(*arguments):
        sizes.append(scores(*arguments).numel())
        return scores(*arguments)

    monkeypatch.setattr(nst.nn.style_swap, "_scores", noticed)
    monkeypatch.setattr(nst.nn.style_swap, "BLOCK", 20_000)
    content, style = features(60, 50, 2), features(40, 70, 2, seed=1)
    matches(content, style, Patches())
    assert max(sizes) <= 20_000
    assert len(sizes) > 100
