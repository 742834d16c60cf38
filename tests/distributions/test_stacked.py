"""Gaussian mixtures fitted to data, and stacked densities: closed forms, mass one, and no worse than their parts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

import surflow as sf
from surflow._internal.numbers import resolution


def _clouds(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points of two tilted normals, and from which of them each is."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.rand(n, generator=generator) < 0.3
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    one = noise @ torch.tensor([[1.0, 0.9], [0.0, 0.3]], dtype=torch.float64)
    two = torch.tensor([4.0, -2.0]) + noise @ torch.tensor([[0.3, -0.2], [0.0, 0.5]], dtype=torch.float64)
    return torch.where(which[:, None], two, one), which.long()


def _given(labels: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(labels, 2).double()


def test_one_normal_is_the_normal_of_the_moments() -> None:
    x = _clouds(500)[0]
    mixture = sf.GaussianMixture(2, components=1).double()
    mixture.initialize(x)
    known = multivariate_normal(x.mean(0).numpy(), x.T.cov(correction=0).numpy()).logpdf(x.numpy())
    assert torch.allclose(mixture.log_prob(x), torch.from_numpy(known), atol=1e-3)


def test_the_number_of_components_is_found_and_mass_is_one() -> None:
    x, _ = _clouds(2000)
    mixture = sf.GaussianMixture(2).double()
    mixture.initialize(x)
    assert mixture.used == 2
    side = torch.linspace(-9, 9, 400, dtype=torch.float64)
    mass = mixture.log_prob(torch.cartesian_prod(side, side)).exp().sum() * (side[1] - side[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-4)
    drawn = mixture.sample(20_000, seed=0)
    assert (drawn.mean(0) - x.mean(0)).abs().max() < 0.1
    assert (drawn.T.cov() - x.T.cov()).abs().max() < 0.3


def test_labels_have_normals_of_their_own() -> None:
    x, which = _clouds(400)
    mixture = sf.GaussianMixture(2, 2, components=2).double()
    mixture.initialize(x, _given(which))
    for label in range(2):
        own = x[which == label]
        known = multivariate_normal(own.mean(0).numpy(), own.T.cov(correction=0).numpy()).logpdf(own.numpy())
        found = mixture.log_prob(own, _given(which[which == label]))
        assert found.mean().item() == pytest.approx(known.mean(), abs=0.01)


def test_a_mean_that_is_linear_in_numbers_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(2000, 3, generator=generator, dtype=torch.float64)
    slopes = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    x = 1 + c @ slopes + 0.1 * torch.randn(2000, 2, generator=generator, dtype=torch.float64)
    mixture = sf.GaussianMixture(2, 3).double()
    mixture.initialize(x, c)
    assert mixture.used == 1
    assert torch.allclose(mixture.coefficients[0, 1:], slopes, atol=0.02)
    entropy = 1 + math.log(2 * math.pi) + 2 * math.log(0.1)
    assert -mixture.log_prob(x, c).mean().item() == pytest.approx(entropy, abs=0.05)


def test_rows_that_weigh_more_count_as_more_rows() -> None:
    x, _ = _clouds(300)
    weight = torch.arange(300) % 3
    one, other = (sf.GaussianMixture(2).double() for _ in range(2))
    one.initialize(x, weight=weight)
    other.initialize(x.repeat_interleave(weight, 0))
    assert torch.allclose(one.log_prob(x), other.log_prob(x))


def test_a_fitted_mixture_is_saved_and_not_fitted_again(tmp_path: Path) -> None:
    x, _ = _clouds(300)
    flow = sf.Flow([], base=sf.Stacked([sf.Normal(2, learned=True), sf.GaussianMixture(2)])).double()
    flow.initialize(x)
    flow.save(tmp_path / "flow.safetensors")
    again = sf.load(tmp_path / "flow.safetensors")
    assert torch.equal(again.log_prob(x), flow.log_prob(x))
    again.initialize(x[:100] + 5)
    assert torch.equal(again.log_prob(x), flow.log_prob(x))


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.slow
def test_the_density_of_numbers_that_repeat_is_not_above_their_probability(repeats: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    month = torch.randint(12, (600, 1), generator=generator).double()
    x = month if repeats else month + torch.rand(600, 1, generator=generator, dtype=torch.float64)
    assert resolution(x).item() == (1.0 if repeats else 0.0)
    mixture = sf.GaussianMixture(1, components=12).double()
    mixture.initialize(x)
    assert -mixture.log_prob(x).mean() > math.log(12) - 0.2
    flow = sf.presets.spline(1, gaussians=8, seed=0)
    sf.fit(flow, x, steps=600, lr=0.02, progress=False)
    with torch.no_grad():
        assert -flow.log_prob(x).mean() > math.log(12) - 0.2


def test_a_stack_is_no_worse_than_its_parts_on_the_rows_that_weigh_it() -> None:
    x, _ = _clouds(400)
    parts = [sf.Normal(2).double(), sf.GaussianMixture(2).double(), sf.Logistic(2).double()]
    stacked = sf.Stacked(parts).double()
    stacked.initialize(x[:300])
    stacked.weigh(x[300:])
    each = torch.stack([part.log_prob(x[300:]) for part in parts]).mean(1)
    slack = 0.5 * len(parts) / 100 * math.log(1000)  # of half a row more for each
    assert stacked.log_prob(x[300:]).mean() >= each.max() - slack
    assert (stacked.logits.softmax(0) > 1e-3).all()
    with pytest.raises(sf.DataError, match="expected rows"):
        stacked.weigh(x[:0])


def test_parts_learn_apart_and_fit_weighs_them() -> None:
    x, which = _clouds(300)
    base = sf.Stacked([sf.Normal(2, 2, learned=True), sf.GaussianMixture(2, 2)])
    x = x.float()
    given = _given(which).float()
    alone = sf.Normal(2, 2, learned=True)
    alone.load_state_dict(base.components[0].state_dict())
    loss = -base.train().elbo(x, given).mean()
    # One of two components of equal weight learns.
    assert loss.item() == pytest.approx(math.log(2) - alone.elbo(x, given).mean().item(), abs=1e-5)
    flow = sf.Flow([], base=base)
    sf.fit(flow, (x, given), validation=0.2, steps=5, lr=1e-4, progress=False)
    with torch.no_grad():
        each = torch.stack([part.log_prob(x, given).mean() for part in base.components])
        assert flow.log_prob(x, given).mean() > each.max() - 0.05
    assert base.logits[1] > base.logits[0] + 1


def test_in_training_too_log_prob_of_a_flow_is_the_density() -> None:
    x, _ = _clouds(50)
    base = sf.Stacked([sf.Normal(2, learned=True), sf.GaussianMixture(2)]).double()
    flow = sf.Flow([sf.Reverse(2)], base=base).train()
    flow.initialize(x)
    with torch.no_grad():
        known = flow.log_prob(x)
    assert torch.allclose(flow.log_prob(x), known)
    assert torch.allclose(flow.elbo(x), base.components[0].log_prob(x.flip(1)) - math.log(2))


@pytest.mark.parametrize("learned", [(True,), (True, True, False), (False, False)])
def test_what_is_trained_is_a_bound_of_the_density(learned: tuple[bool, ...]) -> None:
    x, _ = _clouds(200)
    parts = [sf.Normal(2, learned=one) for one in learned]
    base = sf.Stacked([*parts, sf.GaussianMixture(2)]).double().train()
    base.initialize(x)
    for _ in range(2):
        assert (base.elbo(x) <= base.log_prob(x) + 1e-9).all()
        base.weigh(x)
    assert base.elbo(x).requires_grad == any(learned)  # weights are chosen by rows that were held out, not here


def test_what_is_no_vector_or_has_no_component_is_refused() -> None:
    with pytest.raises(sf.ShapeError, match="for vectors"):
        sf.GaussianMixture((2, 2))
    with pytest.raises(sf.ShapeError, match="for vectors"):
        sf.GaussianMixture(2, (1, 2))
    with pytest.raises(sf.ConfigError, match="one component"):
        sf.GaussianMixture(2, components=0)
