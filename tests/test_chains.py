"""Chains of three layers drawn at random: what the types accept is a density or a bound, and is what is drawn.

Another 300 are recorded in docs/results/chains.json: ``python tests/chains.py --gradients``.
"""

from __future__ import annotations

import math

import pytest
import torch

import surflow as sf
from agreement import agreement, bound_slope, sample_slope
from chains import context_row, random_chain, told
from registry import moved
from surflow.distribution import Distribution

# Seeds of chains that the recorded run does not have. A failure names its seed: ``random_chain(seed)`` is the chain.
FIRST, CHAINS = 1_000_000, 30
DRAWS = 8_000


def _accepted() -> list[int]:
    seeds: list[int] = []
    seed = FIRST
    while len(seeds) < CHAINS:
        if random_chain(seed) is not None:
            seeds.append(seed)
        seed += 1
    return seeds


SEEDS = _accepted()


def _chain(seed: int) -> tuple[sf.Flow, torch.Tensor | None]:
    flow = random_chain(seed)
    assert flow is not None
    return flow, context_row(flow, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_draws_and_scores_are_one_distribution_of_mass_one(seed: int) -> None:
    flow, context = _chain(seed)
    found = agreement(flow, context, DRAWS, seed)
    assert not found.wrong, f"seed {seed}, {told(flow)}: {'; '.join(found.wrong)}"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_of_the_score_is_that_of_its_mean_or_refused(seed: int) -> None:
    flow, _ = _chain(seed)
    if any(p.requires_grad for p in flow.parameters()):
        slope = bound_slope(flow, seed, times=40)
        assert not slope.wrong, f"seed {seed}, {told(flow)}: {slope.wrong}"
        assert not (slope.refused and flow.exact), f"seed {seed}, {told(flow)}: a density has a gradient"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_of_draws_is_that_of_their_mean_or_refused(seed: int) -> None:
    flow, _ = _chain(seed)
    if any(p.requires_grad for p in flow.parameters()):
        slope = sample_slope(flow, seed, times=40)
        assert not slope.wrong, f"seed {seed}, {told(flow)}: {slope.wrong}"
        assert slope.refused == (not flow.reparameterized)


class Tilted(Distribution):
    """A standard normal whose score is off by a slope of ``by``: its mass is one still, if the score is not normed."""

    def __init__(self, by: float, outside: float = 0.0) -> None:
        super().__init__(1)
        self.by, self.outside = by, outside

    def _log_prob(self, x: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        mean = torch.tensor([self.by], dtype=x.dtype)
        return -0.5 * (x - mean).square().sum(1) - 0.5 * math.log(2 * math.pi) + math.log1p(-self.outside)

    def _draw(self, n: int, context: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.randn(n, 1, dtype=torch.float64)
        return x, self._log_prob(x, context)


@pytest.mark.parametrize("base", [Tilted(0.0), Tilted(0.4), Tilted(0.0, outside=0.1)], ids=["right", "moved", "leak"])
@pytest.mark.parametrize("bound", [False, True])
def test_what_is_wrong_is_found(base: Tilted, bound: bool) -> None:
    """Scores of another distribution than the draws', a tenth of the mass lost; in a density, behind an encoder."""
    layers = [sf.VAE(moved(sf.Normal(1, 1)), moved(sf.Normal(1, 1)))] if bound else [sf.ActNorm(1)]
    found = agreement(sf.Flow(layers, base).double(), None, 50_000, 0)
    wrong = base.by != 0 or base.outside != 0
    assert bool(found.wrong) == wrong, found


def _turned() -> sf.Flow:
    """A distribution of an angle that a parameter turns round the circle."""
    return sf.Flow([sf.Elementwise(1, map=sf.CircularSplineMap(3))], base=sf.UniformCircle(1))


def _folded() -> sf.Flow:
    """A distribution given z whose learned signs change where a learned function of z does."""
    return sf.Flow(
        [sf.ConditionalLinear(1, 1, hidden=(8,)), sf.Abs(1, signs=sf.Bernoulli(1, learned=True))], sf.HalfNormal(1)
    )


REDUCED = {
    "a decoder that takes an angle as a number": lambda: sf.Flow(
        [sf.VAE(_turned(), sf.Normal(1, context_shape=1))], base=sf.UniformCircle(1)
    ),
    "a decoder that jumps as the latent moves": lambda: sf.Flow(
        [sf.VAE(sf.Normal(1, context_shape=1), _folded())], base=sf.Normal(1)
    ),
    "a dropped part whose distribution jumps as what is kept moves": lambda: sf.Flow(
        [sf.Augment(1, noise=sf.Normal(1, learned=True)), sf.Reverse(2), sf.Slice(2, keep=1, dropped=_folded())],
        base=sf.Normal(1),
    ),
    "an encoder whose density jumps where its parameters say": lambda: sf.Flow(
        [
            sf.Augment(
                1,
                noise=sf.Flow(
                    [sf.Elementwise(1), sf.Abs(1, signs=sf.Bernoulli(1, learned=True))], base=sf.HalfNormal(1)
                ),
            )
        ],
        base=sf.Normal(2),
    ),
    "signs after learned noise": lambda: sf.Flow(
        [sf.Augment(1, noise=sf.Normal(1, learned=True)), sf.Abs(2, signs=sf.Bernoulli(2, learned=True))],
        base=sf.HalfNormal(2),
    ),
    "learned bits": lambda: sf.Flow(
        [sf.Log(1), sf.Exp(1), sf.Inverse(sf.Abs(1, signs=sf.Bernoulli(1, context_shape=1)))],
        base=sf.Logistic(1, learned=True),
    ),
}


@pytest.mark.parametrize("name", REDUCED)
def test_gradients_of_chains_that_random_ones_were_reduced_to(name: str) -> None:
    torch.manual_seed(1)
    flow = moved(REDUCED[name]()).double()
    with torch.no_grad():
        for part in flow.modules():  # what jumps, jumps far
            if isinstance(part, sf.Bernoulli) and isinstance(part.raw, torch.nn.Parameter):
                part.raw.fill_(2.0)
            elif isinstance(part, sf.VAE) and part.codomain == sf.circle:
                part.decoder.net = sf.MLP(1, (2, 1), (8,)).double()
    slope = bound_slope(flow, 3, times=500)
    assert not slope.wrong, slope.wrong


@pytest.mark.parametrize("layer", ["max", "overlapping"])
def test_what_a_draw_comes_with_is_of_the_latents_it_was_made_from(layer: str) -> None:
    """Differences with a bound: the V of ``inverse`` is that of the draw, not of another draw of an encoder."""
    base = sf.Joint([sf.Exponential(1), sf.Normal(1, learned=True)])
    differences = sf.Flow([sf.Augment(1, noise=1, support=sf.positive)], base)
    with torch.no_grad():
        base.parts[1].raw[0].fill_(1.0)  # the encoder of the bound does not know it
    if layer == "max":
        flow = sf.Flow([sf.Max(2, differences=differences)], base=sf.Normal(1))
    else:
        differences = sf.Flow([sf.Reshape((1, 1), 1, support=sf.positive)], differences)
        pool = sf.OverlappingMaxPool((1, 1, 3), kernel_size=(1, 2), stride=1, differences=differences)
        flow = sf.Flow([pool], base=sf.Normal((1, 1, 2)))
    found = agreement(flow.double(), None, DRAWS, 0)
    assert not found.wrong, found


@pytest.mark.slow
def test_a_gradient_that_misses_a_jump_is_found() -> None:
    """The noise decides the sign of its coordinate, whose probability is learned: no path leads through the jump."""
    flow = moved(
        sf.Flow(
            [sf.Augment(1, noise=sf.Normal(1, learned=True)), sf.Abs(2, signs=sf.Bernoulli(2, learned=True))],
            base=sf.HalfNormal(2),
        )
    ).double()
    with torch.no_grad():
        flow.transforms[1].signs.raw.copy_(torch.tensor([[0.0, 3.0]]))
    pathwise = _Pathwise(flow)
    assert bound_slope(pathwise, 0).wrong


class _Pathwise(sf.Flow):
    """A flow as it would be if every draw were differentiated along its path."""

    def __init__(self, flow: sf.Flow) -> None:
        super().__init__(list(flow.transforms), flow.base)

    def elbo(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        noise = self.transforms[0].layer.dropped
        u, log_q = noise._draw_for(len(x), None)
        z, V = self.transforms[1](torch.cat([x, u], 1))
        return V - log_q + self.base.log_prob(z)
