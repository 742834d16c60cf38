"""Half precision: everything scores and draws in it, and integers are integers, whatever the type of floats."""

from __future__ import annotations

import math

import pytest
import torch

import surflow as sf
from registry import DISTRIBUTIONS, TRANSFORMS, Case, context_of, events
from surflow._internal.number_types import type_for

HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
# The first integer that the type rounds.
BEYOND = {torch.bfloat16: 257, torch.float16: 2049}


@HALVES
@pytest.mark.parametrize("forward", [True, False], ids=["forward", "inverse"])
@pytest.mark.parametrize("case", TRANSFORMS, ids=lambda case: case.name)
def test_layers_score_and_draw(case: Case, forward: bool, dtype: torch.dtype) -> None:
    layer = case.make(dtype)
    support, shape = (layer.domain, layer.in_shape) if forward else (layer.codomain, layer.out_shape)
    start, context = events(support, shape, 5, 1.0, dtype).requires_grad_(), context_of(layer, 5, dtype)
    direction = layer.forward if forward else layer.inverse
    if any(isinstance(m, sf.Dequantize) for m in layer.modules()):
        with pytest.raises(sf.ConfigError, match="cannot tell 5 levels"):
            layer.bfloat16()(start.bfloat16(), context)
        return
    other, V = direction(start, context)
    assert other.dtype == V.dtype == dtype and other.isfinite().all() and V.isfinite().all()
    assert (layer.codomain if forward else layer.domain).contains(other).all()
    total = other.sum() + V.sum()
    if total.requires_grad:
        total.backward()
    assert all(t.grad is None or t.grad.isfinite().all() for t in (start, *layer.parameters()))


@HALVES
@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=lambda case: case.name)
def test_distributions_score_and_draw(case: Case, dtype: torch.dtype) -> None:
    distribution = case.make(dtype)
    context = context_of(distribution, 5, dtype)
    x, log_prob = distribution._draw_for(5, context)
    scored = distribution.log_prob(x.detach(), context)
    assert x.dtype == log_prob.dtype == scored.dtype == dtype
    assert x.isfinite().all() and log_prob.isfinite().all() and scored.isfinite().all()
    total = log_prob.sum() + scored.sum() + x.sum()
    if total.requires_grad:
        total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in distribution.parameters())


def test_the_narrowest_type_that_holds_the_integers() -> None:
    for kind in (torch.bfloat16, torch.float16, torch.float32):
        first = 2 ** round(1 - math.log2(torch.finfo(kind).eps)) + 1
        assert torch.tensor(first, dtype=kind).item() != first  # exactly where rounding begins
        assert type_for(kind, first - 1) == kind != type_for(kind, first)
        assert torch.tensor(first, dtype=type_for(kind, first)).item() == first


@HALVES
@pytest.mark.parametrize("learned", [False, True])
def test_orders_are_permutations_and_sorting_loses_nothing(dtype: torch.dtype, learned: bool) -> None:
    n = BEYOND[dtype] + 50
    layer = sf.Sort(n, order=sf.PlackettLuce(n, learned=learned)).to(dtype)
    orders = layer.order.sample(20)
    assert torch.equal(orders.sort(1).values.double(), torch.arange(n).double().expand(20, n))
    z = torch.randn(20, n).to(dtype).sort(1).values
    x, V = layer.inverse(z)
    assert x.dtype == V.dtype == dtype and torch.equal(x.sort(1).values, z) and not torch.equal(x, z)
    again, V_again = layer(x)
    assert torch.equal(again, z) and torch.allclose(V.double(), V_again.double(), rtol=0.01)
    if not learned:
        assert V[0].item() == pytest.approx(-math.lgamma(n + 1), rel=0.01)


@HALVES
def test_orders_by_others_that_are_rounded_are_refused(dtype: torch.dtype) -> None:
    class Rounded(sf.PlackettLuce):
        def _draw(self, n: int, context: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
            x, log_prob = super()._draw(n, context)
            return x.to(dtype), log_prob

    n = BEYOND[dtype] + 50
    with pytest.raises(sf.DataError, match=r"cannot tell all of its integers apart: make them torch\.float32"):
        sf.Sort(n, order=Rounded(n)).to(dtype).inverse(torch.zeros(2, n, dtype=dtype))


@HALVES
@pytest.mark.parametrize("learned", [False, True])
def test_the_place_of_a_maximum_is_any_of_many_and_scored_as_itself(dtype: torch.dtype, learned: bool) -> None:
    n = 2 * BEYOND[dtype]
    layer = sf.Max(n, index=sf.Categorical(1, levels=n, learned=learned), differences=sf.Exponential(n - 1)).to(dtype)
    if learned:  # all but the last two places are as good as impossible: one even, one odd
        with torch.no_grad():
            layer.index.raw[:-2] = -60.0
    x, V = layer.inverse(torch.zeros(200, 1, dtype=dtype))
    assert x.dtype == V.dtype == dtype and (x.amax(1) == 0).all() and ((x == 0).sum(1) == 1).all()
    places = x.argmax(1)
    if learned:
        assert set(places.tolist()) == {n - 2, n - 1}
        assert torch.allclose(layer(x)[1].double(), V.double(), rtol=0.01)
    else:
        upper = places[places >= BEYOND[dtype]]
        assert len(upper) > 50 and 0.2 < (upper % 2).double().mean() < 0.8


@HALVES
def test_events_of_many_levels_are_drawn_and_scored_in_a_type_that_holds_them(dtype: torch.dtype) -> None:
    levels = BEYOND[dtype] + 1
    for distribution in (
        sf.Categorical(1, levels=levels),
        sf.Categorical(1, levels=levels, learned=True),
        sf.Flow([], base=sf.Categorical(1, levels=levels, learned=True)),
        sf.Mixture([sf.Categorical(1, levels=levels), sf.Categorical(1, levels=levels, learned=True)]),
        sf.DiscretizedLogisticMixture(1, levels=levels, learned=True),
        sf.AutoregressiveDiscretizedLogistic(1, levels=levels, width=8),
        sf.AscendingCategorical(1, levels=levels, width=8),
    ):
        distribution = distribution.to(dtype)
        x = distribution.sample(20_000 if levels < 1000 else 2000)
        assert x.dtype == torch.float32 and distribution.support.contains(x).all()
        if levels < 1000:
            assert levels - 2 in x and levels - 1 in x
        integers = torch.tensor([[levels - 1], [levels - 2]])
        # As integers or as floats that hold them; a type that has rounded them is refused.
        assert torch.equal(distribution.log_prob(integers), distribution.log_prob(integers.float()))
        with pytest.raises(sf.DataError, match=r"float32"):
            distribution.log_prob(integers.to(dtype))


@HALVES
def test_layers_of_many_integers_there_and_back(dtype: torch.dtype) -> None:
    side = 20 if dtype == torch.bfloat16 else 50
    assert side**2 >= BEYOND[dtype]
    points = torch.randint(side, (30, 2, 40))
    z, _ = sf.RavelMultiIndex((2, 40), levels=side)(points.to(dtype))
    assert torch.equal(z.long(), points[:, 0] * side + points[:, 1])
    assert torch.equal(sf.RavelMultiIndex((2, 40), levels=side).inverse(z)[0].long(), points)
    cells = sf.RaggedCells((3, 40), cells=side, low=0.0, high=1.0).to(dtype)
    number = torch.randint(side**2 + 1, (30, 40)).float()
    x, _ = cells.inverse(number)
    assert torch.equal(cells(x)[0], number)
    with pytest.raises(sf.DataError, match="whatever the type of the parameters"):
        cells.inverse(number.to(dtype))
    flow = sf.Flow(
        [sf.VAE(sf.Normal(1, context_shape=2), sf.Categorical(2, levels=9000, context_shape=1))], base=sf.Normal(1)
    ).to(dtype)
    assert flow.elbo(flow.sample(4)).isfinite().all()
    pool = sf.IntegerMaxPool(
        (1, 2, 2),
        levels=9000,
        kernel_size=2,
        pixels=sf.BlockwiseDiscretizedLogistic((1, 1, 1), levels=9000, positions=4, context_shape=2, width=8),
    ).to(dtype)
    image, V = pool.inverse(torch.full((4, 1, 1, 1), 8999.0), torch.zeros(4, 2, dtype=dtype))
    assert (image.amax((1, 2, 3)) == 8999).all() and V.isfinite().all()


@HALVES
def test_ties_of_integers_are_counted(dtype: torch.dtype) -> None:
    n = BEYOND[dtype] + 100
    layer = sf.SortIntegers(n, levels=2)
    ones = n // 3
    z = (torch.arange(n) >= n - ones).to(dtype)[None]
    expected = math.lgamma(ones + 1) + math.lgamma(n - ones + 1) - math.lgamma(n + 1)
    assert layer(z)[1].item() == pytest.approx(expected, rel=0.01)


def test_what_is_nearly_certain_in_half_precision_is_not_certain() -> None:
    bits = sf.Bernoulli(1, learned=True).bfloat16()
    torch.nn.init.constant_(bits.raw, 6.0)
    share = bits.sample(200_000).float().mean().item()
    assert abs(1 - share - 1 / (1 + math.exp(6))) < 6 * math.sqrt(0.0025 / 200_000)
