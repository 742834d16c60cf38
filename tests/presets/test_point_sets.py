"""Models of sets of points: their symmetry, their mass and their order."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch

import surflow as sf
from surflow import presets
from surflow._internal.number_types import type_for


def test_a_flow_of_couplings_over_coordinates_is_exchangeable() -> None:
    torch.manual_seed(0)

    def layer() -> sf.Transform:
        return sf.Coupling((2, 6), net=sf.SetTransformer(1, 2, width=16, heads=2, feedforward=16))

    flow = sf.Flow([layer(), sf.Reverse((2, 6)), layer()], base=sf.Normal((2, 6))).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = torch.randn(10, 2, 6).double()
    log_prob = flow.log_prob(x)
    for _ in range(3):
        torch.testing.assert_close(flow.log_prob(x[:, :, torch.randperm(6)]), log_prob, rtol=1e-10, atol=0)
    assert log_prob.isfinite().all() and math.isfinite(flow.sample(3, seed=0).sum().item())


def _wild(flow: sf.Distribution, size: float = 0.3) -> sf.Distribution:
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=size)
    return flow.double()


@pytest.mark.parametrize("context", [None, 3])
def test_a_grid_of_points_has_mass_one_and_no_order(context: int | None) -> None:
    """Summed over all cells of three points, each of area 4/9: ties of two and of three points are among them."""
    flow = presets.build("point-grid", (2, 3), context_shape=context, cells=3, low=-1.0, high=1.0, width=8, layers=2)
    flow = _wild(flow)
    middles = torch.tensor([-2 / 3, 0.0, 2 / 3]).double()
    x = torch.cartesian_prod(*[middles] * 6).reshape(-1, 2, 3)
    given = None if context is None else torch.randn(1, context).double().expand(len(x), -1)
    log_prob = flow.log_prob(x, given)
    assert ((log_prob.exp().sum()) * (4 / 9) ** 3).item() == pytest.approx(1, abs=1e-10)
    for order in itertools.permutations(range(3)):
        torch.testing.assert_close(flow.log_prob(x[:, :, list(order)], given), log_prob, rtol=1e-12, atol=1e-12)
    assert (flow.log_prob(x + 2 / 3, given) == -math.inf).any()


def test_draws_of_a_grid_have_its_density() -> None:
    flow = _wild(presets.build("point-grid", (2, 2), cells=2, low=0.0, high=2.0, width=8))
    x = flow.sample(40_000, seed=0)
    cell = x.floor().flatten(1).long() @ torch.tensor([8, 4, 2, 1])
    corners = torch.cartesian_prod(*[torch.arange(2.0)] * 4).reshape(-1, 2, 2).double() + 0.5
    p = flow.log_prob(corners).exp()
    observed = torch.bincount(cell, minlength=16) / 40_000
    assert (abs(observed - p) <= 5 * (p * (1 - p) / 40_000).sqrt() + 1e-6).all()
    assert abs((x - x.floor()).mean().item() - 0.5) < 0.005


@pytest.mark.parametrize("name", ["point-grid", "sort-flow"])
def test_sorted_clouds_have_no_order(name: str) -> None:
    flow = _wild(presets.build(name, (2, 50), context_shape=2, width=8, layers=1), 0.1).float()
    x, context = 28 * torch.rand(20, 2, 50) - 0.5, torch.randn(20, 2)
    flow.initialize(x, context)
    x[:5, 0, 1:3] = x[:5, 0, :1]  # floats are equal now and then
    shuffled = x.gather(2, torch.rand(20, 1, 50).argsort(2).expand_as(x))
    log_prob = flow.log_prob(x, context)
    torch.testing.assert_close(flow.log_prob(shuffled, context), log_prob, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["permute-flow", "point-grid", "sort-flow", "statistician"])
def test_every_preset_for_points_trains_and_comes_back(name: str, tmp_path: Path) -> None:
    x, digit = 8 * torch.rand(64, 2, 6), torch.randint(3, (64, 1)).float()
    options = {"cells": 8, "low": 0.0, "high": 8.0} if name == "point-grid" else {"steps": 1}
    net = sf.ContextColumns([3])
    flow = presets.build(name, (2, 6), context_net=net, width=8, layers=1, **options)
    assert flow.exact == (name in ("point-grid", "sort-flow"))
    flow.initialize(x, digit)
    before = flow.elbo(x, digit).mean()
    sf.fit(flow, (x, digit), steps=60, lr=1e-2, progress=False)
    assert flow.elbo(x, digit).mean() > before
    flow.save(tmp_path / "flow.safetensors")
    other = sf.load(tmp_path / "flow.safetensors")
    other.eval()
    torch.manual_seed(1)
    first = flow.elbo(x, digit)
    torch.manual_seed(1)
    torch.testing.assert_close(other.elbo(x, digit), first)
    drawn = flow.sample(5, digit[:3], seed=0)
    assert drawn.shape == (5, 3, 2, 6) and drawn.isfinite().all()


def test_only_a_rounding_that_nothing_learns_before_may_be_trained_behind() -> None:
    data = torch.rand(100, 1) * 4
    grid = [sf.Rescale(1, start=(0.0, 4.0), end=(0.0, 4.0)), sf.Inverse(sf.Dequantize(1, levels=4))]
    flow = sf.Flow(grid, base=sf.Categorical(1, levels=4, learned=True))
    sf.fit(flow, data, steps=3, progress=False)
    learns = sf.Elementwise(1, map=sf.IntervalSplineMap(4, low=0, high=4))
    with pytest.raises(sf.BoundError, match="no gradient"):
        sf.fit(
            sf.Flow([learns, grid[1]], base=sf.Categorical(1, levels=4, learned=True)), data, steps=3, progress=False
        )


@pytest.mark.parametrize("name", ["permute-flow", "sort-flow"])
def test_presets_for_points_say_what_they_expect(name: str) -> None:
    with pytest.raises(sf.ShapeError, match="even number of points"):
        presets.build(name, (2, 5))
    with pytest.raises(sf.ShapeError, match=r"real points of shape \(coordinates, points\)"):
        presets.build(name, 4)
    with pytest.raises(sf.SupportError, match=r"real points .* got the support integers\(9\)"):
        presets.build(name, (2, 4), support=sf.Integers(9))


def test_a_ravel_has_cells_that_floats_hold() -> None:
    x = torch.cartesian_prod(*[torch.arange(5.0)] * 3).T.unsqueeze(0)
    layer = sf.RavelMultiIndex((3, 125), levels=5)
    z, _ = layer(x)
    assert torch.equal(z[0], torch.arange(125.0)) and torch.equal(layer.inverse(z)[0], x)
    with pytest.raises(sf.ShapeError, match="cells at most"):
        sf.RavelMultiIndex((4, 2), levels=100)
    with pytest.raises(sf.ShapeError, match="points of shape"):
        sf.RavelMultiIndex((3,), levels=5)


@pytest.mark.slow
def test_a_latent_of_a_set_does_not_see_the_order_and_helps() -> None:
    """Sets whose points share a place: a latent for it saves what independent points would pay."""
    torch.manual_seed(0)
    x = 3 * torch.randn(2000, 2, 1) + 0.3 * torch.randn(2000, 2, 6)
    flow = presets.build("statistician", (2, 6), latent=2, steps=1, width=8, layers=1)
    encoder = flow.transforms[1].encoder
    torch.testing.assert_close(encoder.net(x.flip(2)), encoder.net(x), rtol=1e-5, atol=1e-6)
    sf.fit(flow, x, steps=300, lr=1e-2, batch_size=128, progress=False)
    apart = 12 * (0.5 * math.log(2 * math.pi * 9.09) + 0.5)  # every number by itself, a Gaussian of variance 9.09
    assert -flow.log_prob(x[:500], importance_samples=20).mean() < apart - 5
    drawn = flow.sample(2000, seed=0)
    # Of independent points the mean would vary by 1 / sqrt(5) of what points vary about it.
    assert drawn.mean(2).std() > 2 * 5**-0.5 * (drawn - drawn.mean(2, keepdim=True)).std()


def test_sets_of_different_sizes_have_mass_one_over_all_sizes() -> None:
    """None, one or two points in a square of area 4: every cell has the area 4/9, and an absent point one place."""
    flow = _wild(presets.build("point-grid", (3, 2), cells=3, low=-1.0, high=1.0, width=8, mask=True))
    middles = torch.tensor([-2 / 3, 0.0, 2 / 3]).double()
    cell = torch.cartesian_prod(middles, middles)
    point = torch.cat([torch.cat([cell, torch.ones(9, 1)], 1), torch.zeros(1, 3)])  # the last one is absent
    x = torch.stack([point[:, None].expand(10, 10, 3), point[None].expand(10, 10, 3)], 3).reshape(-1, 3, 2)
    size = x[:, 2].sum(1)
    mass = flow.log_prob(x).exp() * (4 / 9) ** size
    assert mass.sum().item() == pytest.approx(1, abs=1e-10)
    drawn = flow.sample(20_000, seed=0)
    for n in range(3):
        p = mass[size == n].sum().item()
        share = (drawn[:, 2].sum(1) == n).double().mean().item()
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / 20_000) + 1e-9
    absent = drawn[:, 2:].expand(-1, 2, -1) == 0
    assert (drawn[:, :2][absent] == 0).all() and (drawn[:, :2].abs() <= 1).all()
    torch.testing.assert_close(flow.log_prob(drawn.flip(2)), flow.log_prob(drawn), rtol=1e-12, atol=1e-12)
    beyond = torch.tensor([[[1.5, 0.0], [0.0, 0.0], [1.0, 0.0]], [[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]]]).double()
    assert flow.log_prob(beyond).eq(-math.inf).all()  # a point outside of the box, and an absent one at (0.5, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_points_are_drawn_in_their_own_cells_however_far_from_zero_the_box_lies(dtype: torch.dtype) -> None:
    tried = 0
    for offset in (0.0, -0.5, 0.1, 1.0, -30.0, 1e3, -1e4, 1e5, 1e6):
        for width, cells in ((1.0, 3), (0.37, 28), (30.0, 100)):
            low = offset * width
            layer = sf.RaggedCells((3, 40), cells=cells, low=low, high=low + width).to(dtype)
            z = torch.randint(cells**2 + 1, (100, 40)).to(type_for(dtype, cells**2))
            # Four floats in a cell are room enough.
            if 4 * torch.finfo(z.dtype).eps * max(-low, low + width) > width / cells:
                with pytest.raises(sf.ConfigError, match="cannot tell cells of width"):
                    layer.inverse(z)
                continue
            x, V = layer.inverse(z)
            assert layer.domain.contains(x).all()
            again, V_again = layer(x)
            assert torch.equal(again, z) and torch.allclose(V, V_again)
            tried += 1
    assert tried >= (24 if dtype == torch.float64 else 10)


@pytest.mark.parametrize("low", [0.0, 1000.0, -5000.0])
def test_points_are_uniform_within_their_cell(low: float) -> None:
    layer = sf.RaggedCells((2, 50_000), cells=4, low=low, high=low + 1)
    x, _ = layer.inverse(torch.full((1, 50_000), 2.0))
    share = 4 * (x[0, 0] - low) - 2
    assert abs(share.mean() - 0.5) < 0.01 and abs(share.var() - 1 / 12) < 0.003
    assert share.min() < 0.02 and share.max() > 0.98
