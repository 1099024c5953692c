"""AdaIN and WCT against their statistics."""

import pytest
import torch

from nst.nn.moments import adain, wct


def features(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(shape[1], shape[1], generator=draw)
    plain = torch.randn(shape, generator=draw).relu()
    return (
        torch.einsum("dc,nchw->ndhw", mixing, plain) + torch.arange(float(shape[1]))[:, None, None]
    )


def flat(x):
    return x[0].double().flatten(1)


@pytest.fixture
def pair():
    return features(1, 12, 20, 24), features(1, 12, 17, 19, seed=1) * 3


def test_adain_has_the_means_and_the_deviations_of_the_style(pair):
    content, style = pair
    result = adain(content, style)
    assert result.shape == content.shape
    torch.testing.assert_close(flat(result).mean(1), flat(style).mean(1), rtol=1e-4, atol=1e-4)
    wanted = flat(style).std(1, correction=0)
    torch.testing.assert_close(flat(result).std(1, correction=0), wanted, rtol=1e-4, atol=1e-4)


def test_adain_changes_every_channel_by_a_line(pair):
    content, style = pair
    for ours, theirs in zip(flat(adain(content, style)), flat(content), strict=True):
        assert torch.corrcoef(torch.stack([ours, theirs]))[0, 1] == pytest.approx(1, abs=1e-5)


def test_wct_has_the_mean_and_the_covariance_of_the_style(pair):
    content, style = pair
    result = wct(content, style)
    torch.testing.assert_close(flat(result).mean(1), flat(style).mean(1), rtol=1e-3, atol=1e-3)
    wanted = torch.cov(flat(style), correction=0)
    found = torch.cov(flat(result), correction=0)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("transform", [adain, wct])
def test_a_picture_in_its_own_style_stays_as_it_is(transform, pair):
    content, _ = pair
    torch.testing.assert_close(transform(content, content), content, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("transform", [adain, wct])
@pytest.mark.parametrize("constant", ["photo", "painting", "both"])
def test_pictures_of_one_color_make_no_nan(transform, constant, pair):
    content, style = pair
    content = torch.full_like(content, 2.0) if constant != "painting" else content
    style = torch.full_like(style, 5.0) if constant != "photo" else style
    result = transform(content, style)
    assert result.isfinite().all()
    if constant != "photo":
        torch.testing.assert_close(result, torch.full_like(result, 5.0), rtol=1e-2, atol=0.2)


def test_wct_drops_directions_without_variance(pair):
    content, style = pair
    content[:, 3] = content[:, 2]
    result = wct(content, style)
    assert result.isfinite().all()
    assert flat(result).abs().max() < 10 * flat(style).abs().max()
