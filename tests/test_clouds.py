"""Point clouds: their law, set transformers and their symmetry, and data by name."""

from __future__ import annotations

import html
import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import surflow as sf
from surflow import presets
from surflow._internal.number_types import type_for
from surflow.app.cli import app
from surflow.data.readers import idx
from surflow.data.synthetic.point_sets import clouds
from surflow.evaluation import cloud_distances, coverage, read_results
from surflow_experiments.point_clouds.models import LeakySort
from surflow_experiments.point_clouds.trial import counts
from surflow_experiments.reproduce import reproduce


def test_points_have_the_law_of_the_image() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4, (1, 5, 7)).astype(float)
    drawn = clouds(image, points=200_000)[0]
    pixel = np.round(drawn + 1e-9).astype(int)
    counts = np.zeros((5, 7))
    np.add.at(counts, (pixel[1], pixel[0]), 1)
    p = image[0] / image[0].sum()
    error = np.sqrt(p * (1 - p) / 200_000)
    assert (abs(counts / 200_000 - p) <= 5 * error + 1e-6).all()
    rest = drawn - np.round(drawn)
    assert abs(rest.mean(1)).max() < 0.004 and abs(rest.var(1) - 1 / 12).max() < 0.001


def test_clouds_are_seeded_and_black_images_are_refused() -> None:
    images = np.random.default_rng(0).random((5000, 3, 3))
    assert np.array_equal(clouds(images), clouds(images)) and not np.array_equal(clouds(images), clouds(images, seed=1))
    assert np.array_equal(clouds(images)[:3], clouds(images[:4096])[:3])
    images[7] = 0
    with pytest.raises(sf.DataError, match="1 images are black"):
        clouds(images)


def test_spatial_digits_load_by_name_with_their_digit() -> None:
    splits = sf.data.load("spatial_digits", context="digit")
    assert splits.event_shape == (2, 50) and splits.support == sf.real
    assert splits.train.x.min() >= -0.5 and splits.train.x.max() <= 7.5
    assert len(splits.context.columns[0].categories) == 10


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


def test_without_the_ordered_map_a_sort_keeps_one_share_of_the_mass() -> None:
    """Behind the paper's sort a law of the whole space has 1 / n! of its mass where data can be: log n! nats leak.

    The second coordinates, independent of all others, are looked at in one place, where their density is known.
    """
    axis = torch.linspace(-8, 8, 400).double()
    first = torch.cartesian_prod(axis, axis).reshape(-1, 1, 2)
    x = torch.cat([first, torch.zeros_like(first)], 1)
    cell = (axis[1] - axis[0]) ** 2 * 2 * math.pi
    leaky = sf.Flow([LeakySort((2, 2), by=0)], base=sf.Normal((2, 2))).double()
    tight = sf.Flow([sf.Sort((2, 2), by=0), sf.LogGaps((2, 2), by=0)], base=sf.Normal((2, 2))).double()
    assert (leaky.log_prob(x).exp().sum() * cell).item() == pytest.approx(1 / 2, abs=1e-3)
    off = first[:, 0, 0] != first[:, 0, 1]  # on the diagonal, of measure zero, the logarithm of the gap has no value
    assert (tight.log_prob(x[off]).exp().sum() * cell).item() == pytest.approx(1, abs=0.02)


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


# -- sets of different sizes -----------------------------------------------------------------------------


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


def _surflow(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output


def _ragged_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((60, 5, 2)).astype(np.float32)
    mask = np.arange(5) < rng.integers(1, 6, 60)[:, None]
    np.savez(path, x=np.where(mask[..., None], x, np.nan), mask=mask)
    return x, mask


def test_files_of_points_with_and_without_a_mask(tmp_path: Path) -> None:
    x, mask = _ragged_file(tmp_path / "ragged.npz")
    splits = sf.data.load(tmp_path / "ragged.npz")
    assert isinstance(splits.support, sf.Ragged) and splits.event_shape == (3, 5)
    assert (
        splits.train.x[:, 2].sum() > 0
        and splits.train.x[:, :2][splits.train.x[:, 2:].expand(-1, 2, -1) == 0].eq(0).all()
    )
    np.save(tmp_path / "points.npy", x)
    assert sf.data.load(tmp_path / "points.npy").event_shape == (2, 5)
    np.savez(tmp_path / "wrong.npz", x=x, mask=mask[:, :4])
    with pytest.raises(sf.DataError, match="true where there is one"):
        sf.data.load(tmp_path / "wrong.npz")


@pytest.mark.e2e
def test_a_run_over_clouds_of_pixels_knows_the_pixels(tmp_path: Path) -> None:
    _surflow("train", "spatial_digits", "--context", "digit", "--steps", 3, "--out", tmp_path / "run")
    flow = sf.load(tmp_path / "run" / "model.safetensors")
    assert flow.base.levels == 64 and flow.support == sf.Interval(-0.5, 7.5)
    _surflow("sample", tmp_path / "run", "-n", 4, "--context", 3, "-o", tmp_path / "new.npy")
    assert np.load(tmp_path / "new.npy").shape == (4, 2, 50)


@pytest.mark.e2e
def test_a_run_over_sets_of_different_sizes(tmp_path: Path) -> None:
    _ragged_file(tmp_path / "ragged.npz")
    run = str(tmp_path / "run")
    _surflow("train", tmp_path / "ragged.npz", "--steps", 3, "--out", run)
    _surflow("sample", run, "-n", 7, "-o", tmp_path / "new.npy")
    assert (tmp_path / "run" / "pictures" / "samples.png").exists()
    drawn = np.load(tmp_path / "new.npy")
    assert drawn.shape == (7, 3, 5) and set(np.unique(drawn[:, 2])) <= {0.0, 1.0}
    refused = CliRunner().invoke(app, ["train", str(tmp_path / "ragged.npz"), "--model", "sort-flow"])
    assert refused.exit_code == 2 and "point-grid" in refused.output


# -- the causal transformer ------------------------------------------------------------------------------


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


def test_integers_in_order_are_learned() -> None:
    """The entropy of the order statistics of three fair dice, which no law beats and a trained one nears."""
    dice = torch.cartesian_prod(*[torch.arange(4.0)] * 3).sort(1).values
    kinds, number = dice.unique(dim=0, return_counts=True)
    p = number / number.sum()
    entropy = -(p * p.log()).sum().item()
    law = sf.AscendingCategorical(3, levels=4, width=16, layers=1)
    sf.fit(law, dice, steps=300, lr=1e-2, progress=False, seed=0)
    gap = -(p * law.log_prob(kinds)).sum().item() - entropy
    assert -1e-5 < gap < 0.02
    assert law.log_prob(torch.tensor([[2.0, 1.0, 3.0], [0.0, 0.0, 4.0], [0.5, 1.0, 2.0]])).eq(-math.inf).all()


# -- figures of merit ------------------------------------------------------------------------------------


def test_distances_of_clouds_are_those_of_all_matchings() -> None:
    x, y = torch.randn(3, 2, 4).double(), torch.randn(5, 2, 4).double()
    pairs = (x[:, None, :, :, None] - y[None, :, :, None, :]).square().sum(2)  # (3, 5, 4, 4)
    chamfer = pairs.amin(3).mean(2) + pairs.amin(2).mean(2)
    torch.testing.assert_close(cloud_distances(x, y), chamfer)
    orders = [list(order) for order in itertools.permutations(range(4))]
    best = torch.stack([pairs.sqrt()[:, :, range(4), order].mean(2) for order in orders]).amin(0)
    torch.testing.assert_close(cloud_distances(x, y, "earth-mover"), best)
    for distance in ("chamfer", "earth-mover"):
        assert coverage(x, x, distance) == (1.0, 0.0)
    with pytest.raises(sf.ShapeError, match="of one size"):
        cloud_distances(x, y[:, :, :3])
    with pytest.raises(sf.DataError, match="finite points"):
        cloud_distances(x, y * math.nan)
    with pytest.raises(sf.ConfigError, match="chamfer"):
        cloud_distances(x, y, "camfer")


def test_samples_of_the_same_law_cover_more_than_those_that_are_alike() -> None:
    x, y = torch.randn(100, 2, 8), torch.randn(100, 2, 8)
    assert coverage(x, y)[0] > 0.4 > 0.05 > coverage(x[:1] + 0.001 * x, y)[0]


def test_counts_do_not_see_the_order() -> None:
    x = torch.tensor([[[0.2, 5.0, 0.2], [0.1, 27.4, -0.3]]])
    image = counts(x.repeat(1, 1, 17)[:, :, :50])
    assert image[0, 0, 0, 0] == 255 and image[0, 0, 27, 5] == 255 and (image > 0).sum() == 2
    y = 28 * torch.rand(4, 2, 50) - 0.5
    assert torch.equal(counts(y[:, :, torch.randperm(50)]), counts(y))


@pytest.mark.skipif(not os.environ.get(idx.VARIABLE), reason=f"{idx.VARIABLE} does not say where MNIST is")
@pytest.mark.e2e
def test_a_quick_run_over_spatial_mnist(tmp_path: Path) -> None:
    page = reproduce("point-clouds", tmp_path / "results", tmp_path / "cells", quick=True)
    rows = read_results(tmp_path / "results/point_clouds.json")["rows"]
    found = {(row["model"], row["metric"]): row["value"] for row in rows}
    assert found["point-grid", "permutation_change"] < 1e-6 and found["sort-flow", "permutation_change"] < 1e-6
    assert found["full-size", "parameters"] > 6e6
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "no figure here means anything" in text and text.count("data:image/png") >= 10


def test_recorded_clouds_respect_the_floors() -> None:
    """No law beats the images that the clouds were drawn from, and a digit is worth log 10 nats at most."""
    rows = read_results(Path(__file__).parents[1] / "docs/results/point_clouds.json")["rows"]
    found = {(row["model"], row["metric"]): row["value"] for row in rows}
    assert all(math.isfinite(row["value"]) for row in rows)
    models = {model for model, metric in found if metric == "nats_per_point"}
    assert models == {"point-grid", "sort-flow", "leaky-sort", "permute-flow", "study"}
    for model in models:
        assert found[model, "nats_per_point"] > 4.880
        # Only one whose mass leaks is worse than a uniform law.
        assert found[model, "nats_per_point"] < 6.664 or model == "leaky-sort"
    for model in ("point-grid", "sort-flow"):
        given, without = found[model, "nats_per_point"], found[model, "nats_per_point_without_digit"]
        assert given - 0.02 < without < given + math.log(10) / 50 + 0.02  # of other clouds, so up to their chance


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
