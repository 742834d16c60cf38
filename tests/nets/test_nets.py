"""Networks: how they start, and those that layers are given."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import nn

import surflow as sf
from surflow.nets.attention import attention


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_signals_keep_their_size_through_a_deep_perceptron(masked: bool) -> None:
    torch.manual_seed(0)
    hidden = (256,) * 8
    layers = sf.MaskedMLP(range(8), 2, hidden=hidden).layers if masked else sf.MLP(8, 2, hidden=hidden).layers
    sizes = []
    signal = torch.randn(2000, 8)
    for layer in list(layers)[:-1]:
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
@pytest.mark.slow
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
    distribution = sf.AutoregressiveDiscretizedLogistic(3, levels=4, context_shape=2, width=8).double()
    context = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    for p in distribution.parameters():
        nn.init.normal_(p, std=0.4)
    assert torch.autograd.gradgradcheck(
        lambda c: distribution.log_prob(torch.tensor([[0, 3, 1], [2, 2, 0]]), c), context
    )


# -- ready-made conditioners ---------------------------------------------------------------------------

_WRONG = sf.MLP(3, 7)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (sf.Coupling(2, 2, net=_WRONG), "(5, 2, 1)"),
        (sf.MaskedCoupling(2, 1, mask=[True, False], net=_WRONG), "(5, 2, 2)"),
        (sf.Elementwise(2, 3, net=_WRONG), "(5, 2, 2)"),
        (sf.ConditionalLinear(2, 3, net=_WRONG), "(5, 5)"),
        (sf.Inverse(sf.ConditionalLinear(2, 3, net=_WRONG)), "(5, 5)"),
        (sf.Normal(2, 3, net=_WRONG), "(5, 2, 2)"),
        (sf.Categorical(2, 3, levels=4, net=_WRONG), "(5, 4, 2)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_conditioner_of_another_output_is_refused(layer: sf.Transform | sf.Distribution, expected: str) -> None:
    x, context = torch.zeros(5, 2), torch.zeros(5, *(layer.context_shape or ()))
    with pytest.raises(sf.ShapeError, match=rf"expects its net to put out shape {re.escape(expected)}.*got \(5, 7\)"):
        layer(x, context) if isinstance(layer, sf.Transform) else layer.log_prob(x, context)


def test_networks_of_blocks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(sf.ShapeError, match="a net for each of 4 positions, got 1"):
        sf.BlockwiseDiscretizedLogistic((1, 1, 1), levels=4, nets=[sf.ConvNet(2, 14)])
    nets = [sf.ConvNet(2 + j, 3) for j in range(2)]
    pixels = sf.BlockwiseDiscretizedLogistic((1, 1, 1), levels=4, positions=2, nets=nets)
    with pytest.raises(sf.ShapeError, match=r"put out shape \(5, 14, 1, 1, 1\).*got \(5, 3, 1, 1\)"):
        pixels.log_prob(torch.zeros(5, 2, 1, 1), torch.zeros(5, 1, 1, 1))


@pytest.mark.parametrize(
    ("build", "n"),
    [
        (lambda net: sf.Autoregressive(3, 2, net=net), 2),
        (lambda net: sf.AscendingCategorical(3, 2, levels=4, net=net), 4),
        (lambda net: sf.AutoregressiveDiscretizedLogistic(3, 2, levels=4, components=1, net=net), 5),
    ],
    ids=["layer", "ascending", "levels"],
)
def test_an_autoregressive_conditioner_has_to_promise_an_order_and_to_fit(build: Callable, n: int) -> None:
    build(sf.MaskedMLP(range(3), n, 2))
    build(sf.CausalTransformer(3, 4, n, 2, width=8))
    with pytest.raises(sf.ConfigError, match=r"depend on those before it alone.*got MLP: derive it from"):
        build(sf.MLP(5, (n, 3)))
    for wrong in (sf.MaskedMLP(range(2), n, 2), sf.MaskedMLP(range(3), n + 1, 2), sf.MaskedMLP(range(3), n)):
        expected = f"expects a net of 3 coordinates, {n} parameters of each and a context of 2 numbers"
        with pytest.raises(sf.ShapeError, match=expected):
            build(wrong)


class _Other(sf.AutoregressiveNet):
    """A network whose output has another shape than it promises."""

    def __init__(self, n_parameters: int, shape: tuple[int, ...]) -> None:
        super().__init__(range(3), n_parameters)
        self.shape = shape

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return torch.zeros(self.shape)


@pytest.mark.parametrize(
    ("build", "n"),
    [
        (lambda net: sf.Autoregressive(3, net=net), 2),
        (lambda net: sf.Autoregressive(3, map=sf.SplineMap(4), net=net), 11),
        (lambda net: sf.AscendingCategorical(3, levels=4, net=net), 4),
        (lambda net: sf.AutoregressiveDiscretizedLogistic(3, levels=4, components=1, net=net), 5),
    ],
    ids=["affine", "spline", "ascending", "levels"],
)
def test_an_autoregressive_conditioner_of_another_output_than_it_promised_is_refused(build: Callable, n: int) -> None:
    # A mixture has three parameters more for every component; one row or one coordinate would stand for all.
    for shape in ((5, n + 3, 3), (1, n, 3), (5, n, 1), (5, 3 * n)):
        layer = build(_Other(n, shape))
        expected = rf"_Other was built to put out shape \(5, {n}, 3\), got {re.escape(str(shape))}"
        with pytest.raises(sf.ShapeError, match=expected):
            layer(torch.zeros(5, 3)) if isinstance(layer, sf.Transform) else layer.log_prob(torch.zeros(5, 3))
        with pytest.raises(sf.ShapeError, match=expected):
            layer.inverse(torch.zeros(5, 3)) if isinstance(layer, sf.Transform) else layer.sample(5)


def test_conditioners_beside_what_they_replace_are_refused() -> None:
    with pytest.raises(sf.ConfigError, match="expected no passes beside it, got 2"):
        sf.Autoregressive(3, passes=2, net=sf.MaskedMLP(range(3), 2))
    with pytest.raises(sf.ConfigError, match="expects a net of 3 groups, got 2"):
        sf.AscendingCategorical(3, levels=2, net=sf.MaskedMLP([0, 1, 1], 2))
    with pytest.raises(sf.ConfigError, match="a net but no context_shape"):
        sf.Elementwise(2, net=sf.MLP(3, 4))


def test_a_layer_with_the_net_that_it_would_build_is_the_same_layer() -> None:
    x, context = torch.randn(5, 4), torch.randn(5, 3)
    nets = {
        sf.Coupling: lambda: sf.MLP(5, (2, 2), (8,)),
        sf.Elementwise: lambda: sf.MLP(3, (2, 4), (8,)),
        sf.Autoregressive: lambda: sf.MaskedMLP(range(4), 2, 3, (8,)),
    }
    for cls, net in nets.items():
        own, given = cls(4, 3, hidden=(8,)), cls(4, 3, net=net())
        for p in own.parameters():
            nn.init.normal_(p)
        given.load_state_dict(own.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(own(x, context), given(x, context), strict=True))


def test_what_is_generated_group_by_group_is_what_the_faster_way_generates() -> None:
    z, context = torch.randn(5, 4).double(), torch.randn(5, 2).double()
    for net in (sf.MaskedMLP([0, 1, 1, 3], 1, 2), sf.MaskedMLP(range(4), 1, (1, 2))):
        for p in net.double().parameters():
            nn.init.normal_(p, std=0.4)

        def find(group: slice, raw: torch.Tensor) -> torch.Tensor:
            return z[:, group] + raw[:, 0]

        given = context.reshape(5, *(net.context_shape or ()))
        x = sf.AutoregressiveNet.generate(net, find, z, given)
        torch.testing.assert_close(net.generate(find, z, given), x)
        torch.testing.assert_close(x, z + net(x, given)[:, 0])
