"""Integer max pooling, and pixels that are drawn given their maximum."""

from __future__ import annotations

import math

import pytest
import torch

import surflow as sf
from images import random_images


def test_pixels_below_a_maximum_have_it_and_nothing_above() -> None:
    distribution = sf.BlockwiseDiscretizedLogistic((2, 3, 3), levels=256, positions=4, width=8)
    for p in distribution.parameters():
        torch.nn.init.normal_(p, std=0.3)
    z = random_images(50, (2, 3, 3))
    z[:10] = 0
    drawn, log_prob = distribution._draw_for(50, z)
    assert torch.equal(drawn.unflatten(1, (4, 2)).amax(1), z)
    torch.testing.assert_close(distribution.log_prob(drawn, z), log_prob, rtol=1e-4, atol=1e-3)
    above = drawn.clone()
    above[:, 0] = z[:, 0] + 1
    assert (distribution.log_prob(above, z) == -math.inf).all()
    assert (distribution.log_prob(drawn[10:], z[10:] + 1)[z[10:].flatten(1).amax(1) < 255] == -math.inf).all()


def test_blocks_of_any_sides_are_pooled() -> None:
    layer = sf.IntegerMaxPool(
        (2, 4, 6),
        levels=9,
        kernel_size=(2, 3),
        pixels=sf.BlockwiseDiscretizedLogistic((2, 2, 2), levels=9, positions=6, width=8),
    )
    x = random_images(5, (2, 4, 6), 9)
    z, V = layer(x)
    assert torch.equal(z, torch.nn.functional.max_pool2d(x, (2, 3)))
    back, again = layer.inverse(z)
    torch.testing.assert_close(layer(back)[1], again, rtol=1e-4, atol=1e-4)
    assert torch.equal(layer(back)[0], z) and V.shape == (5,)
    with pytest.raises(sf.ShapeError, match="tile the image"):
        sf.IntegerMaxPool((1, 5, 4), levels=9)
    with pytest.raises(sf.ShapeError, match="expects pixels of shape"):
        sf.IntegerMaxPool((1, 4, 4), levels=9, kernel_size=2, pixels=sf.Categorical((3, 2, 2), levels=9))


def _categorical_pool(levels: int, pixels: sf.Categorical, size: float = 1.0) -> sf.IntegerMaxPool:
    for p in pixels.parameters():
        torch.nn.init.normal_(p, std=size)
    return sf.IntegerMaxPool((1, 2, 2), levels=levels, pixels=pixels).double()


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0])
def test_categorical_pixels_are_conditioned_on_their_maximum(size: float) -> None:
    """p(b | max b = z) = p(b) / p(z), so that with p(z) as the base the chain is p(b) again: the chain rule."""
    pixels = sf.Categorical((4, 1, 1), levels=3, learned=True)
    layer = _categorical_pool(3, pixels, size)
    x = torch.cartesian_prod(*[torch.arange(3.0)] * 4).reshape(-1, 1, 2, 2).double()
    free = pixels.log_prob(x.reshape(-1, 4, 1, 1))
    base = sf.Categorical((1, 1, 1), levels=3, learned=True).double()
    with torch.no_grad():
        maxima = x.flatten(1).amax(1)
        base.raw.copy_(torch.stack([free[maxima == v].logsumexp(0) for v in range(3)]).reshape(3, 1, 1, 1))
    flow = sf.Flow([layer], base=base)
    assert flow.exact
    torch.testing.assert_close(flow.log_prob(x), free, rtol=1e-9, atol=1e-9)
    drawn, log_prob = flow.sample_and_log_prob(20_000, seed=0)
    torch.testing.assert_close(flow.log_prob(drawn), log_prob)
    counts = torch.bincount((drawn.flatten(1) @ (3.0 ** torch.arange(3, -1, -1)).double()).long(), minlength=81)
    p = free.exp()
    assert ((counts / 20_000 - p).abs() < 5 * (p * (1 - p) / 20_000).sqrt() + 1e-9).all()


def test_categorical_pixels_given_their_maxima_and_a_context() -> None:
    pixels = sf.Categorical((4, 1, 1), levels=4, context_shape=(1 + 3, 1, 1))
    flow = sf.Flow([_categorical_pool(4, pixels)], base=sf.Categorical((1, 1, 1), levels=4)).double()
    assert flow.context_shape == (3,)
    x = torch.cartesian_prod(*[torch.arange(4.0)] * 4).reshape(-1, 1, 2, 2).double()
    for context in torch.randn(3, 3).double():
        mass = flow.log_prob(x, context.expand(len(x), -1)).logsumexp(0)
        assert mass.item() == pytest.approx(0, abs=1e-9)
    z = flow.base.sample(500)
    context = torch.randn(500, 3).double()
    assert torch.equal(flow.encode(flow.decode(z, context), context), z)
    flow.log_prob(x, torch.randn(len(x), 3).double()).sum().backward()
    assert all(p.grad.isfinite().all() for p in flow.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    "pixels",
    [
        sf.DiscretizedLogisticMixture((4, 1, 1), levels=2),
        sf.AutoregressiveDiscretizedLogistic((4, 1, 1), levels=2, width=8),
        sf.Bernoulli((4, 1, 1)),
        sf.Mixture([sf.Categorical((4, 1, 1), levels=2)]),
        sf.Flow([], base=sf.BlockwiseDiscretizedLogistic((1, 1, 1), levels=2, width=8)),
        sf.BlockwiseDiscretizedLogistic((2, 1, 1), levels=2, positions=2, width=8),
    ],
    ids=lambda pixels: type(pixels).__name__,
)
def test_pixels_that_may_miss_their_maximum_are_refused(pixels: sf.Distribution) -> None:
    with pytest.raises(sf.ShapeError, match="the largest of every block is z"):
        sf.IntegerMaxPool((1, 2, 2), levels=2, pixels=pixels)
