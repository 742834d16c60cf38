"""Networks: how they start."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import surflow as sf


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_signals_keep_their_size_through_a_deep_perceptron(masked: bool) -> None:
    torch.manual_seed(0)
    hidden = (256,) * 8
    net = sf.MaskedMLP(range(8), 2, hidden=hidden) if masked else sf.MLP(8, 2, hidden=hidden)
    sizes = []
    signal = torch.randn(2000, 8)
    for layer in net.layers[:-1]:
        signal = layer(signal)
        if not isinstance(layer, nn.ReLU):
            sizes.append(signal.square().mean().item())
    assert len(sizes) == 8
    assert 0.1 < sizes[-1] / sizes[1] < 10  # one sixth a layer, 4e-6 in all, is what PyTorch starts with


def test_kinks_of_a_function_of_one_number_lie_all_over_standardised_inputs() -> None:
    torch.manual_seed(0)
    first = sf.MLP(1, 1, hidden=(512,)).layers[0]
    assert isinstance(first, nn.Linear)
    kinks = (-first.bias / first.weight[:, 0]).detach()
    counts = torch.histc(kinks, bins=4, min=-2, max=2)
    assert (counts > 40).all()


def test_an_output_started_at_zero_is_constant() -> None:
    net = sf.MLP(3, 2, zero_init=True)
    assert (net(torch.randn(5, 3)) == 0).all()
