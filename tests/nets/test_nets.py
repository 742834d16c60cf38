"""Networks: how they start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import surflow as sf
from surflow.nets.attention import attention


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


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # forward mode's own affair
@pytest.mark.parametrize("causal", [False, True])
def test_attention_can_be_differentiated_twice(causal: bool) -> None:
    q, k, v = (torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))

    def mixed(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return attention(q, k, v, causal=causal)

    scores = (q @ k.transpose(2, 3) / 2).masked_fill(torch.ones(5, 5).triu(1).bool() & causal, -math.inf)
    torch.testing.assert_close(mixed(q, k, v), scores.softmax(3) @ v)
    with torch.no_grad():
        torch.testing.assert_close(mixed(q, k, v), scores.softmax(3) @ v)
    assert torch.autograd.gradcheck(mixed, (q, k, v))
    assert torch.autograd.gradgradcheck(mixed, (q, k, v))
    fixed = (k.detach(), v.detach())
    reverse = torch.func.jacrev(lambda q: mixed(q, *fixed))(q.detach())
    torch.testing.assert_close(torch.func.jacfwd(lambda q: mixed(q, *fixed))(q.detach()), reverse)


def test_layers_with_attention_have_second_derivatives() -> None:
    net = sf.SetTransformer(1, 2, width=8, heads=2, feedforward=8)
    flow = sf.Flow([sf.Coupling((2, 3), net=net)], base=sf.Normal((2, 3))).double()
    for p in flow.parameters():
        nn.init.normal_(p, std=0.4)
    x = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(flow.log_prob, x)
    law = sf.AutoregressiveDiscretizedLogistic(3, levels=4, context_shape=2, width=8).double()
    context = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    for p in law.parameters():
        nn.init.normal_(p, std=0.4)
    assert torch.autograd.gradgradcheck(lambda c: law.log_prob(torch.tensor([[0, 3, 1], [2, 2, 0]]), c), context)
