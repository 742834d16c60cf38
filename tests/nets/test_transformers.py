"""Set transformers and causal transformers."""

from __future__ import annotations

import math

import pytest
import torch

import surflow as sf


def test_a_set_transformer_permutes_with_its_points() -> None:
    torch.manual_seed(0)
    net = sf.SetTransformer(3, 4, width=16, heads=4, layers=2, feedforward=32).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x, order = torch.randn(5, 3, 9).double(), torch.randperm(9)
    torch.testing.assert_close(net(x[:, :, order]), net(x)[:, :, order], rtol=1e-12, atol=1e-12)
    # Every point sees every other one.
    moved = x.clone()
    moved[:, :, 0] += 1
    assert ((net(moved) - net(x)).abs().amax((0, 1)) > 1e-6).all()
    placed = sf.SetTransformer(3, 4, 9, width=16, heads=4).double()
    for p in placed.parameters():
        torch.nn.init.normal_(p, std=0.3)
    assert not torch.allclose(placed(x[:, :, order]), placed(x)[:, :, order])
    with pytest.raises(sf.ConfigError, match="width that heads divide"):
        sf.SetTransformer(2, 2, width=10, heads=4)


@pytest.mark.parametrize(("group", "columns"), [(1, 0), (2, 0), (1, 3), (3, 2)])
def test_a_causal_transformer_sees_what_came_before_and_generates_step_by_step(group: int, columns: int) -> None:
    net = sf.CausalTransformer(6, 5, 3, 2, group=group, columns=columns, width=16, heads=4, layers=2).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.4)
    x, context = torch.randint(5, (4, 6)).double(), torch.randn(4, 2).double()
    raw = net(x, context)
    for i in range(6):
        moved = x.clone()
        moved[:, i] = (moved[:, i] + 1) % 5
        change = (net(moved, context) - raw).abs().amax((0, 1))
        assert (change[: i + 1] == 0).all() and (change[i + 1 :] > 1e-6).all()
    assert (net(x, context + 1) - raw).abs().amin() > 0
    grads = []
    for learns in (True, False):  # what was seen is kept in two ways
        seen: list[torch.Tensor] = []

        def find(place: slice, parameters: torch.Tensor, seen: list[torch.Tensor] = seen) -> torch.Tensor:
            seen.append(parameters)
            return x[:, place]

        with torch.set_grad_enabled(learns):
            assert torch.equal(net.generate(find, torch.empty_like(x), context), x)
        torch.testing.assert_close(torch.cat(seen, 2), raw, rtol=1e-10, atol=1e-10)
        if learns:
            grads = [torch.autograd.grad(out.sin().sum(), list(net.parameters())) for out in (torch.cat(seen, 2), raw)]
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-8, atol=1e-10)
    with pytest.raises(sf.ConfigError, match="width that heads divide"):
        sf.CausalTransformer(2, 2, 2, width=10, heads=4)
    for wrong in ({"group": 4}, {"group": 2, "columns": 2}):
        with pytest.raises(sf.ConfigError, match="groups that divide"):
            sf.CausalTransformer(6, 5, 3, **wrong)


@pytest.mark.slow
def test_integers_in_order_are_learned() -> None:
    """The entropy of the order statistics of three fair dice, which no distribution beats and a trained one nears."""
    dice = torch.cartesian_prod(*[torch.arange(4.0)] * 3).sort(1).values
    kinds, number = dice.unique(dim=0, return_counts=True)
    p = number / number.sum()
    entropy = -(p * p.log()).sum().item()
    distribution = sf.AscendingCategorical(3, levels=4, width=16, layers=1)
    sf.fit(distribution, dice, steps=300, lr=1e-2, progress=False, seed=0)
    gap = -(p * distribution.log_prob(kinds)).sum().item() - entropy
    assert -1e-5 < gap < 0.02
    assert distribution.log_prob(torch.tensor([[2.0, 1.0, 3.0], [0.0, 0.0, 4.0], [0.5, 1.0, 2.0]])).eq(-math.inf).all()
