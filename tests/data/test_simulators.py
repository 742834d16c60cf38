"""Simulators: identities of their data, exact posteriors against integrals, and errors that say what is wrong."""

from __future__ import annotations

import bz2
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Exponential, Independent, MixtureSameFamily, Normal, Uniform

import surflow as sf
from surflow.data import SIR, simulator, simulator_names
from surflow.data.simulators.base import FoldedNormal
from surflow.data.simulators.priors import support_of
from surflow.data.simulators.references import read_reference, reference_numbers
from surflow.evaluation import inside_band, ranks

TASKS = [name for name in simulator_names() if name not in ("sir", "sir_degenerate", "sir_poisson")]
EPIDEMICS = [{"degenerate": d, **noise} for d in (False, True) for noise in ({"sigma": 1e-3}, {"noise": "poisson"})]


# -- the epidemic ----------------------------------------------------------------------------------------


def test_noise_free_data_of_the_epidemic_give_the_parameters_back() -> None:
    sir = SIR(noise="none")
    theta = sir.prior.sample((50,)).double()
    s, i, r = sir.curves(theta).unbind(1)
    infected, healed = theta[:, 0] * s[:, 0] * i[:, 0], -torch.diff(s + i, dim=1) / 0.1
    mu = torch.diff(healed, dim=1)[:, 0] / (0.1 * (infected - healed[:, 0]))
    i0 = healed[:, 0] / mu
    rate = infected / (i0 * (1 - i0))
    torch.testing.assert_close(torch.stack([rate, mu, i0], 1), theta, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(s + i + r, torch.ones_like(s))
    # What is observed are the increments of each day's first step.
    x = sir.simulate(theta)
    torch.testing.assert_close(x[:, :100], -torch.diff(s, dim=1)[:, ::10])
    torch.testing.assert_close(x[:, 100:], torch.diff(r, dim=1)[:, ::10])


def test_the_degenerate_epidemic_knows_the_product_alone() -> None:
    basic, degenerate = SIR(), SIR(degenerate=True)
    theta = degenerate.prior.sample((20,)).double()
    moved = torch.cat([theta[:, :1] * 1.3, theta[:, 1:2] / 1.3, theta[:, 2:]], 1)
    torch.testing.assert_close(degenerate.mean(moved), degenerate.mean(theta))
    joined = torch.cat([theta[:, :1] * theta[:, 1:2], theta[:, 2:]], 1)
    torch.testing.assert_close(basic.mean(joined), degenerate.mean(theta))


@pytest.mark.slow
def test_given_the_product_the_first_rate_has_the_stated_distribution() -> None:
    sir = SIR(degenerate=True)
    theta = sir.prior.sample((2000,))
    assert kstest(sir.pit_given_product(theta), "uniform").pvalue > 0.01
    # By quadrature: the share below lambda1 of p1(l) p2(c / l) / l.
    p1, p2 = Normal(0.8, 0.06), Normal(0.625, 0.11)
    c = theta[0, 0].double() * theta[0, 1].double()
    first = torch.linspace(0.3, 1.4, 200_001, dtype=torch.float64)
    density = (p1.log_prob(first) + p2.log_prob(c / first)).exp() / first
    share = density[first < theta[0, 0]].sum() / density.sum()
    assert sir.pit_given_product(theta[:1]).item() == pytest.approx(share.item(), abs=1e-4)


@pytest.mark.parametrize("options", EPIDEMICS, ids=str)
@pytest.mark.slow
def test_the_exact_posterior_of_the_epidemic_is_calibrated(options) -> None:
    sir = SIR(**options)
    theta, x = sir.sample(100, seed=3)
    posterior = sir.posterior(x, draws=1000)
    assert posterior.efficiency.median() > 0.5
    drawn = posterior.sample(99)
    assert inside_band(ranks(theta.double(), drawn), 100, probability=0.999).all()


@pytest.mark.slow
def test_evidence_by_two_ways() -> None:
    """log p(x) by importance sampling is the mean likelihood of prior draws."""
    sir = SIR(sigma=1e-2)
    _, x = sir.sample(3, seed=0)
    posterior = sir.posterior(x, draws=20_000)
    theta = sir.prior.sample((20_000,)).double()
    for row, evidence in zip(x.double(), posterior.log_evidence, strict=True):
        log_likelihood = sir.log_likelihood(row.expand(len(theta), -1), theta)
        assert (log_likelihood.logsumexp(0) - math.log(len(theta))).item() == pytest.approx(evidence.item(), abs=0.15)


# -- the benchmark ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.slow
def test_the_exact_posterior_of_a_task_is_calibrated(name: str) -> None:
    task = simulator(name)
    theta, x = task.sample(100, seed=1)
    posterior = task.posterior(x, draws=1000)
    assert posterior.efficiency.median() > 0.3
    assert inside_band(ranks(theta.double(), posterior.sample(99)), 100, probability=0.999).all()


@pytest.mark.parametrize(("name", "half"), [("two_moons", 1.0), ("gaussian_mixture", 10.0), ("sir_benchmark", None)])
@pytest.mark.slow
def test_posteriors_of_two_parameters_integrate_to_one(name: str, half: float | None) -> None:
    task = simulator(name)
    _, x = task.sample(2, seed=2)
    posterior = task.posterior(x, draws=50_000)
    n = 300
    if half is None:
        axes = [
            torch.exp(torch.linspace(math.log(m) - 5 * s, math.log(m) + 5 * s, n))
            for m, s in ((0.4, 0.5), (0.125, 0.2))
        ]
    else:
        axes = [(torch.arange(n) + 0.5) * (2 * half / n) - half] * 2
    theta = torch.cartesian_prod(*[axis.double() for axis in axes])
    cell = (2 * half / n) ** 2 if half else theta.log().sum(1).exp() * (10 * 0.5 / (n - 1)) * (10 * 0.2 / (n - 1))
    for i in range(2):
        joint = task.log_prior(theta) + task.log_likelihood(x[i].double().expand(len(theta), -1), theta)
        mass = ((joint - posterior.log_evidence[i]).exp() * cell).sum().item()
        assert mass == pytest.approx(1, abs=0.03)


def test_symmetries_of_slcp() -> None:
    task = simulator("slcp")
    theta, x = task.sample(50, seed=0)
    flipped = theta * torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    assert torch.equal(task.log_likelihood(x, theta), task.log_likelihood(x, flipped))
    mean, sd = theta[:, :2], theta[:, 2:4].square()
    many = task.simulate(theta[:1].expand(20_000, -1), seed=1).unflatten(1, (4, 2)).flatten(0, 1)
    torch.testing.assert_close(many.mean(0), mean[0], atol=0.03 * float(sd[0].max()), rtol=0)
    torch.testing.assert_close(many.std(0), sd[0], rtol=0.02, atol=0)
    assert np.corrcoef(many.T)[0, 1] == pytest.approx(theta[0, 4].tanh().item(), abs=0.01)


# -- what is around them ---------------------------------------------------------------------------------


def test_the_folded_normal_integrates_to_one_and_has_its_moments() -> None:
    distribution = FoldedNormal(torch.tensor(0.3, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64))
    x = torch.linspace(0, 8, 400_001, dtype=torch.float64)
    p = distribution.log_prob(x).exp()
    assert torch.trapezoid(p, x).item() == pytest.approx(1, abs=1e-6)
    mean = torch.trapezoid(p * x, x)
    assert distribution.mean.item() == pytest.approx(mean.item(), abs=1e-6)
    assert distribution.variance.item() == pytest.approx(torch.trapezoid(p * (x - mean).square(), x).item(), abs=1e-6)
    below = np.concatenate([[0.0], torch.cumulative_trapezoid(p, x, dim=0).numpy()])
    assert kstest(distribution.sample((2000,)), lambda q: np.interp(q, x, below)).pvalue > 0.01


def test_supports_of_priors() -> None:
    with pytest.raises(sf.SupportError, match="integers"):
        support_of(Independent(torch.distributions.Poisson(torch.ones(2)), 1))
    assert support_of(SIR().prior) == sf.positive
    assert support_of(simulator("gaussian_linear").prior) == sf.real
    box = Independent(Uniform(torch.tensor([0.0, -1.0]), torch.tensor([2.0, 1.0])), 1)
    assert support_of(box) == sf.product([sf.Interval(0, 2), sf.Interval(-1, 1)])
    with pytest.raises(sf.SupportError, match="Independent"):
        support_of(Exponential(torch.ones(3)))
    mixture = MixtureSameFamily(torch.distributions.Categorical(torch.ones(2)), Normal(torch.zeros(2), torch.ones(2)))
    with pytest.raises(sf.SupportError, match="vectors"):
        support_of(mixture)


def test_bad_parameters_and_observations_are_refused() -> None:
    sir = SIR()
    theta = sir.prior.sample((3,))
    with pytest.raises(sf.DataError, match="1 of 3 rows of theta lie outside"):
        sir.simulate(theta * torch.tensor([[1.0], [-1.0], [1.0]]))
    with pytest.raises(sf.ShapeError, match=r"expects x of shape \(batch, 200\)"):
        sir.posterior(torch.zeros(1, 100))
    with pytest.raises(sf.ConfigError, match="no density"):
        SIR(noise="none").log_likelihood(torch.zeros(1, 200), theta[:1])
    with pytest.raises(sf.ConfigError, match="two_moons"):
        simulator("two_moon")
    with pytest.raises(sf.ConfigError, match="additive"):
        SIR(noise="addative")


def test_observations_that_nothing_explains_have_no_posterior() -> None:
    moons = simulator("two_moons")
    with pytest.raises(sf.DataError, match=r"1 of 2 observations are impossible.*rows 1"):
        moons.posterior(torch.tensor([[0.0, 0.0], [50.0, 50.0]]))
    with pytest.raises(sf.DataError, match="at least one observation"):
        moons.posterior(torch.zeros(0, 2))
    torch.manual_seed(0)
    one = torch.rand(1)
    torch.manual_seed(0)
    moons.log_prior(torch.ones(3, 2) * 2)
    assert torch.equal(torch.rand(1), one)


def test_a_simulator_of_ones_own_is_checked() -> None:
    class Broken(sf.data.Simulator):
        def __init__(self, size: int, value: float) -> None:
            super().__init__("broken", ["a"], Independent(Uniform(torch.zeros(1), torch.ones(1)), 1), size)
            self.value = value

        def _simulate(self, theta: torch.Tensor) -> torch.Tensor:
            return torch.cat([theta, torch.full_like(theta, self.value)], 1)

    with pytest.raises(sf.DataError, match="simulations hold NaN"):
        sf.data.load(Broken(2, math.nan), rows=50)
    with pytest.raises(sf.ShapeError, match=r"states observations of shape \(3,\) and makes \(2,\)"):
        sf.data.load(Broken(3, 0.0), rows=50)
    good = sf.data.load(Broken(2, 1.0), rows=50)
    assert not good.simulator.has_posterior and good.train.context.shape == (50, 2)


def test_simulations_are_checked_and_dropped_only_when_asked() -> None:
    prior = SIR().prior
    theta, x = SIR().sample(10, seed=0)
    assert torch.equal(sf.data.simulations(theta, x, prior)[0], theta)
    x[2, 5], x[7, 0] = math.nan, math.inf
    with pytest.raises(sf.DataError, match=r"2 of 10 simulations .*rows 2, 7"):
        sf.data.simulations(theta, x)
    kept, _ = sf.data.simulations(theta, x, prior, drop_invalid=True)
    assert torch.equal(kept, theta[[0, 1, 3, 4, 5, 6, 8, 9]])
    theta[1, 0] = -1.0
    with pytest.raises(sf.DataError, match="1 of 8 rows of theta lie outside the prior"):
        sf.data.simulations(theta, x, prior, drop_invalid=True)
    with pytest.raises(sf.ShapeError, match="as many rows"):
        sf.data.simulations(theta[:3], x)


@pytest.mark.parametrize("name", simulator_names())
def test_every_simulator_loads_with_its_support(name: str) -> None:
    splits = sf.data.load(name, rows=50)
    assert splits.columns == simulator(name).parameters
    assert splits.context is not None and splits.train.context is not None
    assert splits.support.contains(splits.train.x).all()
    again = sf.data.read_rows(name, splits.columns, splits.context, rows=5)
    assert again.x.shape == (5, len(splits.columns))


# -- reference posteriors --------------------------------------------------------------------------------


def _reference(folder: Path, x: str, draws: str) -> None:
    where = folder / "two_moons" / "num_observation_1"
    where.mkdir(parents=True)
    (where / "observation.csv").write_text("data_1,data_2\n" + x)
    (where / "reference_posterior_samples.csv.bz2").write_bytes(bz2.compress(f"a,b\n{draws}".encode()))


def test_reference_posteriors_are_read_and_checked(tmp_path: Path) -> None:
    task = simulator("two_moons")
    with pytest.raises(sf.FileError, match="num_observation_1"):
        reference_numbers(tmp_path, "two_moons")
    _reference(tmp_path, "0.5,-0.25\n", "1,2\n3,4\n")
    assert reference_numbers(tmp_path, "two_moons") == [1]
    x, draws = read_reference(tmp_path, "two_moons", 1, task)
    assert x.tolist() == [0.5, -0.25] and draws.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(sf.FileError, match="is not there"):
        read_reference(tmp_path, "two_moons", 2, task)
    _reference(tmp_path / "nan", "0.5,-0.25\n", "1,nan\n")
    with pytest.raises(sf.DataError, match="NaN"):
        read_reference(tmp_path / "nan", "two_moons", 1, task)
    _reference(tmp_path / "wide", "0.5,-0.25,3\n", "1,2\n")
    with pytest.raises(sf.DataError, match="rows of 2 numbers"):
        read_reference(tmp_path / "wide", "two_moons", 1, task)
    _reference(tmp_path / "text", "a,b\n", "1,2\n")
    with pytest.raises(sf.FileError, match="no table"):
        read_reference(tmp_path / "text", "two_moons", 1, task)
