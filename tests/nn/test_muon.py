"""Optimizers of weights, against torch's own and against a singular value decomposition."""

import pytest
import torch
from torch import nn

from nst.nn.muon import OPTIMIZERS, Muon, orthogonalized


@pytest.mark.parametrize("shape", [(64, 576), (128, 64), (32, 32), (16, 300)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=torch.float64)
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    kept = values > 0.05 * values[0]
    found = left.T @ orthogonalized(matrix).double() @ right.T
    near = found.diagonal()
    assert kept.sum() > len(values) / 2
    assert near[kept].min() > 0.6
    assert near[kept].max() < 1.25
    assert (found - near.diag()).abs().max() < 1e-3


def test_what_has_no_direction_stays_nothing():
    assert torch.equal(orthogonalized(torch.zeros(20, 30)), torch.zeros(20, 30))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.LeakyReLU(0.2), nn.Conv2d(16, 3, 3))


def stepped(model, optimizer, count=5):
    torch.manual_seed(1)
    x = torch.randn(2, 3, 12, 12)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = (model(x) - x[:, :, 2:-2, 2:-2]).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_colors_and_biases_take_the_steps_of_adam():
    ours, theirs = nn.Conv2d(3, 3, 5), nn.Conv2d(3, 3, 5)
    theirs.load_state_dict(ours.state_dict())
    assert stepped(ours, Muon(ours.parameters(), lr=0.01)) == pytest.approx(
        stepped(theirs, torch.optim.Adam(theirs.parameters(), lr=0.01)), rel=1e-5
    )
    torch.testing.assert_close(ours.weight, theirs.weight)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_the_first_step_of_a_kernel_is_its_orthogonalized_gradient():
    model = network()
    kernel = model[0].weight
    before = kernel.detach().clone()
    stepped(model, Muon(model.parameters(), lr=0.01), 1)
    left, _, right = torch.linalg.svd(kernel.grad.flatten(1).double(), full_matrices=False)
    moved = (before - kernel.detach()).flatten(1).double() / 0.01
    sizes = (left.T @ moved @ right.T).diagonal() / (0.2 * 27**0.5)  # of 16 x 27
    assert 0.6 < sizes[:8].min() <= sizes[:8].max() < 1.25


def test_momentum_looks_ahead_as_nesterovs():
    """Of a kernel with more rows than columns, its channels last in memory."""
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.zeros(40, 2, 3, 3).to(memory_format=torch.channels_last))
    optimizer = Muon([kernel], lr=0.1, momentum=0.8)
    first, second = torch.randn(2, 40, 2, 3, 3)
    for gradient in (first, second):
        before = kernel.detach().clone()
        kernel.grad = gradient.clone()
        optimizer.step()
    mean = 0.8 * 0.2 * first + 0.2 * second
    ahead = (0.2 * second + 0.8 * mean).reshape(40, 18)
    expected = 0.1 * 0.2 * 40**0.5 * orthogonalized(ahead).reshape(40, 2, 3, 3)
    torch.testing.assert_close(before - kernel.detach(), expected)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_state_goes_on_alike(name):
    whole, resumed = network(), network()
    all_losses = stepped(whole, OPTIMIZERS[name](whole.parameters(), lr=0.01), 6)
    first = OPTIMIZERS[name](resumed.parameters(), lr=0.01)
    stepped(resumed, first, 3)
    second = OPTIMIZERS[name](resumed.parameters(), lr=0.01)
    second.load_state_dict(first.state_dict())
    assert stepped(resumed, second, 3) == all_losses[3:]


def test_what_has_no_gradient_stays():
    model = network()
    model[2].weight.requires_grad_(False)
    before = model[2].weight.clone()
    stepped(model, Muon(model.parameters(), lr=0.01))
    assert torch.equal(model[2].weight, before)
