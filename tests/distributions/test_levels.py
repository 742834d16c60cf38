"""Distributions of images of integers in closed form, and how they are dequantised."""

from __future__ import annotations

import math

import pytest
import torch

import surflow as sf
from images import random_images
from surflow import presets
from surflow.evaluation import evaluate
from surflow_experiments.images.models import LEVELS, SHAPE


@pytest.mark.parametrize("dequantised", [False, True])
def test_a_uniform_model_has_exactly_eight_bits_per_dimension(dequantised: bool) -> None:
    layers = [sf.Dequantize(SHAPE, levels=LEVELS)] if dequantised else []
    base = sf.Uniform(SHAPE, low=0.0, high=float(LEVELS)) if dequantised else sf.Categorical(SHAPE, levels=LEVELS)
    flow = sf.Flow(layers, base=base).double()
    x = random_images(10, SHAPE).double()
    bits = -flow.elbo(x) / (math.log(2) * math.prod(SHAPE))
    torch.testing.assert_close(bits, torch.full_like(bits, 8.0), rtol=1e-12, atol=0)


def test_a_histogram_of_every_pixel_scores_its_closed_form() -> None:
    x = (torch.rand(500, 1, 2, 2) ** 3 * 8).floor()
    counts = torch.stack([(x == v).double().sum(0) for v in range(8)]) + 1
    distribution = sf.Categorical((1, 2, 2), levels=8, learned=True).double()
    with torch.no_grad():
        distribution.raw.copy_(counts.log())
    p = counts / counts.sum(0)
    expected = -sum((x == v) * p[v].log() for v in range(8)).sum((1, 2, 3)).mean() / (4 * math.log(2))
    splits = sf.data.Splits(
        "x", *[sf.data.Part(part, None) for part in (x[:0], x[:0], x)], [], sf.Integers(8), None, ""
    )
    rows = {row["metric"]: row["value"] for row in evaluate(sf.Flow([], base=distribution), splits)}
    assert rows["bits_per_dim"] == pytest.approx(expected.item(), rel=1e-10)
    # The same through two layers of integers: what is sliced off and what is kept are histograms, too.
    kept, gone = sf.Categorical((1, 2, 1), levels=8, learned=True), sf.Categorical((1, 2, 1), levels=8, learned=True)
    with torch.no_grad():
        for part, columns in ((kept, slice(0, 1)), (gone, slice(1, 2))):
            part.double().raw.copy_(counts[..., columns].log())
    levels = sf.Integers(8)
    halves = [
        sf.PermuteAxes((1, 2, 2), axes=(2, 1, 0), support=levels),
        sf.Slice((2, 2, 1), keep=1, dropped=_moved(gone), support=levels),
    ]
    flow = sf.Flow(halves, base=_moved(kept))
    torch.testing.assert_close(flow.log_prob(x.double()), distribution.log_prob(x.double()), rtol=1e-10, atol=1e-10)


def _moved(distribution: sf.Categorical) -> sf.Flow:
    """A distribution of (1, 2, 1) as one of (1, 2, 1) with its axes as they are after PermuteAxes."""
    return sf.Flow([sf.PermuteAxes((1, 2, 1), axes=(2, 1, 0), support=distribution.support)], base=distribution)


@pytest.mark.parametrize("size", [0.3, 3.0, 30.0, 300.0])
def test_masses_of_levels_sum_to_one_however_wild(size: float) -> None:
    for levels in (2, 5, 256):
        distribution = sf.DiscretizedLogisticMixture(3, levels=levels, components=3, learned=True)
        with torch.no_grad():
            distribution.raw.copy_(size * torch.randn_like(distribution.raw))
        v = torch.arange(float(levels))[:, None].expand(-1, 3)
        mass = torch.stack(
            [sf.distributions.levels.log_mass(v, distribution.raw[None], torch.full_like(v, levels - 1))]
        )
        torch.testing.assert_close(mass.exp().sum((0, 1)), torch.ones(3), rtol=0, atol=2e-6)
        drawn = distribution.sample(500, seed=0)
        assert distribution.support.contains(drawn).all() and distribution.log_prob(drawn).isfinite().all()


def test_variational_dequantisation_starts_uniform_and_gains() -> None:
    """Its noise is uniform before training, given any image; a bound that is trained on more is no worse."""
    x = random_images(400, (1, 4, 4)) // 64
    flow = presets.build("glow", (1, 4, 4), support=sf.Integers(4), width=8, steps=1, scales=1, variational=True)
    noise = flow.transforms[0].noise
    given = torch.randn(50, 1, 4, 4)
    torch.testing.assert_close(noise.log_prob(torch.rand(50, 1, 4, 4), given), torch.zeros(50), rtol=0, atol=1e-4)
    before = [p.clone() for p in noise.parameters()]
    sf.fit(flow, x, steps=20, lr=3e-3, progress=False)
    assert not all(torch.equal(p, q) for p, q in zip(noise.parameters(), before, strict=True))
    drawn = flow.sample(100, seed=0)
    assert flow.support == sf.Integers(4) and flow.support.contains(drawn).all()
    bounds = [-flow.log_prob(x, importance_samples=k).mean() for k in (1, 50)]
    assert bounds[1] < bounds[0]


def test_half_precision_draws_from_the_distribution_that_it_scores() -> None:
    flow = presets.build("max-pool", (1, 4, 4), support=sf.Integers(256), width=8, attention=8)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        x = flow.sample(200, seed=0)
        assert x.dtype == torch.float32 and flow.support.contains(x).all()
        low = flow.log_prob(x)
    full = flow.log_prob(x)
    assert low.dtype == torch.float32 and (low - full).abs().median() < 0.05 * full.abs().median()
    distribution = sf.DiscretizedLogisticMixture(1, levels=256, learned=True).to(torch.bfloat16)
    with torch.no_grad():
        distribution.raw.normal_()
    v = torch.arange(256.0)[:, None]
    # Integers up to 256 are exact in it; every mass is rounded to 8 bits when it is handed out.
    assert distribution.log_prob(v.to(torch.bfloat16)).float().exp().sum().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("shape", "patch"), [((1, 4, 4), 2), ((2, 2, 4), 1), ((2, 2, 4), 2), ((16,), 1)])
@pytest.mark.slow
def test_patches_one_after_the_other_have_mass_one_and_the_distribution_they_are_drawn_from(
    shape: tuple[int, ...], patch: int
) -> None:
    distribution = sf.AutoregressiveDiscretizedLogistic(shape, levels=2, patch=patch, width=8, layers=1)
    for p in distribution.parameters():
        torch.nn.init.normal_(p, std=0.5)
    x = ((torch.arange(2**16)[:, None] >> torch.arange(16)) & 1).float().reshape(-1, *shape)
    with torch.no_grad():
        log_prob = distribution.log_prob(x).double()
    assert log_prob.logsumexp(0).exp().item() == pytest.approx(1, abs=1e-5)
    drawn = distribution.sample(20_000, seed=0)
    # What every coordinate, and every pair of them, is in the mean: exactly, and over draws, five errors at most apart.
    p, flat = log_prob.exp(), x.flatten(1).double()
    pairs, found = (v.T @ v for v in (p.sqrt()[:, None] * flat, drawn.flatten(1).double()))
    assert (pairs - found / 20_000).abs().max() < 5 * 0.5 / math.sqrt(20_000)


def test_an_image_is_drawn_patch_by_patch() -> None:
    """Rising masses of the place within a patch end where they belong in the image."""
    distribution = sf.AutoregressiveDiscretizedLogistic((2, 4, 6), levels=256, patch=2, width=8, layers=1)
    with torch.no_grad():  # the j-th integer of a patch is at its highest or zero, and j decides
        distribution.net.bias[:, 0], distribution.net.bias[:, 1] = -100.0, -100.0
        distribution.net.bias[torch.arange(8), torch.tensor([0, 1, 1, 0, 1, 0, 0, 0])] = 100.0
    x = distribution.sample(3, seed=0)
    first, second = torch.tensor([[0.0, 1], [1, 0]]), torch.tensor([[1.0, 0], [0, 0]])
    assert torch.equal(x, 255 * torch.stack([part.tile(2, 3) for part in (first, second)]).expand(3, -1, -1, -1))
    assert sf.AutoregressiveDiscretizedLogistic((2, 3, 3), levels=4, width=8).sample(3, seed=0).is_contiguous()
    with pytest.raises(sf.ShapeError, match="patches of 4 x 4"):
        sf.AutoregressiveDiscretizedLogistic((1, 6, 8), levels=256, patch=4)
    with pytest.raises(sf.ShapeError, match="expects images"):
        sf.AutoregressiveDiscretizedLogistic(16, levels=256, patch=2)
