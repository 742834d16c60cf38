"""What a run is judged by and leaves is the average of the weights over its last part."""

from __future__ import annotations

import pytest
import torch

import surflow as sf
from surflow.training.average import average, averaged


def test_the_average_is_the_weighted_mean_of_the_formula() -> None:
    weight = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    values, generator = [], torch.Generator().manual_seed(0)
    for step in range(1, 51):
        weight.grad = torch.randn(3, generator=generator)
        optimizer.step()
        average(optimizer, step)
        values.append(weight.detach().clone())
    # Of all weights from the first on, w_s has the share 9 / (s + 8) and what later ones leave of it.
    share = torch.tensor([9 / (s + 8) for s in range(1, 51)], dtype=torch.float64)
    left = torch.cat([(1 - share[1:]).flip(0).cumprod(0).flip(0), torch.ones(1)])
    assert (share * left).sum() == pytest.approx(1.0)
    with averaged(optimizer):
        found = weight.detach().clone()
    assert torch.allclose(found.double(), (share * left) @ torch.stack(values).double(), atol=1e-6)
    assert torch.equal(weight, values[-1])


def test_what_is_inside_may_fail_and_the_weights_come_back() -> None:
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    for step in (1, 2):
        weight.grad = torch.ones(1)
        optimizer.step()
        average(optimizer, step)
    before = weight.detach().clone()
    with pytest.raises(KeyError), averaged(optimizer):
        assert not torch.equal(weight, before)
        raise KeyError
    assert torch.equal(weight, before)


@pytest.mark.parametrize("validation", [None, 0.2])
def test_at_a_constant_rate_a_run_leaves_less_noise_than_its_last_step(validation: float | None) -> None:
    # The mean of a normal: gradients of single rows throw the last weights about by more than their average.
    x = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flow = sf.Flow([], base=sf.Normal(1, learned=True)).double()
    sf.fit(flow, x, validation=validation, steps=800, batch_size=2, lr=0.1, schedule="constant", progress=False)
    best = torch.distributions.Normal(x.mean(), x.std()).log_prob(x).mean()
    assert best - flow.log_prob(x).mean() < 0.02


def test_weights_of_half_precision_stay_as_they_are() -> None:
    weight = torch.ones(1, requires_grad=True, dtype=torch.bfloat16)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    average(optimizer, 1)
    before = weight.detach().clone()
    with averaged(optimizer):
        assert torch.equal(weight, before)
