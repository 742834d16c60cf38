"""Tasks of sbibm: likelihoods are those of their simulations, integrate to one, and have the stated closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest, t
from torch.distributions import Bernoulli, MultivariateNormal

import surflow as sf
from surflow.data import simulator

# Observations of two moons are possible in a region that moves with the parameters; others are possible everywhere.
TASKS = [
    "bernoulli_glm",
    "bernoulli_glm_raw",
    "gaussian_linear",
    "gaussian_linear_uniform",
    "gaussian_mixture",
    "lotka_volterra",
    "sir_benchmark",
    "slcp",
    "slcp_distractors",
]


@pytest.mark.parametrize("name", TASKS)
def test_ratios_of_likelihoods_have_mean_one_under_simulations(name: str) -> None:
    """E[p(x | theta') / p(x | theta)] = 1 for x simulated with theta."""
    task, n = simulator(name), 4000
    theta, x = (part[:1] for part in task.sample(1, seed=4))
    sd = task.posterior(x, draws=500).moments()[1].float()
    sd[:, 1::2] *= -1
    x = task.simulate(theta.expand(n, -1), seed=0).double()
    log_p = task.log_likelihood(x, theta.double().expand(n, -1))

    def log_ratio(step: float) -> torch.Tensor:
        return task.log_likelihood(x, (theta + step * sd).double().expand(n, -1)) - log_p

    # As far as makes likelihoods differ by a factor of 1.3 or so.
    step = 0.01 * 0.3 / log_ratio(0.01).std().item()
    for sign in (-1, 1):
        ratio = log_ratio(sign * step).exp()
        assert 0.1 < ratio.std() < 1
        assert abs(ratio.mean().item() - 1) < 4 * ratio.std().item() / math.sqrt(n)


@pytest.mark.parametrize("name", ["lotka_volterra", "gaussian_mixture", "gaussian_linear_uniform"])
def test_likelihoods_integrate_to_one(name: str) -> None:
    """By importance sampling from simulations whose logarithms, or numbers, are spread by more noise."""
    task, n = simulator(name), 20_000
    theta = task.sample(1, seed=4)[0].double().expand(n, -1)
    centre, log = (task.log_mean(theta), True) if name == "lotka_volterra" else (theta, False)
    scale = {"lotka_volterra": 0.12, "gaussian_mixture": 1.2, "gaussian_linear_uniform": 0.35}[name]
    proposal = torch.distributions.Normal(centre, scale)
    drawn = proposal.sample()
    log_q = proposal.log_prob(drawn) - (drawn if log else 0)
    x = drawn.exp() if log else drawn
    ratio = (task.log_likelihood(x, theta) - log_q.sum(1)).exp()
    assert abs(ratio.mean().item() - 1) < 4 * ratio.std().item() / math.sqrt(n) < 0.2


def test_spikes_are_independent_given_the_parameters() -> None:
    task = simulator("bernoulli_glm_raw")
    theta, y = task.sample(20, seed=0)
    # The filter's first weight belongs to the stimulus of the same bin, its last to that of eight bins before.
    stimulus = torch.nn.functional.pad(task.design[:, 1].float(), (8, 0))
    drive = theta[:, :1] + torch.stack([(theta[:, 1:] * stimulus[s : s + 9].flip(0)).sum(1) for s in range(100)], 1)
    expected = Bernoulli(logits=drive).log_prob(y).sum(1)
    torch.testing.assert_close(task.log_likelihood(y, theta), expected, rtol=1e-4, atol=1e-3)
    sums = y.double() @ task.design
    plain = simulator("bernoulli_glm").log_likelihood(sums, theta.double())
    torch.testing.assert_close(plain.float(), expected, rtol=1e-4, atol=1e-3)


def test_filters_have_a_smooth_prior() -> None:
    """Its precision is a sum of squares, of the offset and of second differences with some of the filter itself."""
    task = simulator("bernoulli_glm")
    theta = task.prior.sample((5,)).double()
    h = torch.nn.functional.pad(theta[:, 1:], (2, 0))
    rough = h[:, 2:] - 2 * h[:, 1:-1] + h[:, :-2] + (torch.arange(9) / 9).sqrt() * h[:, 2:]
    energy = 0.25 * theta[:, 0].square() + 0.5 * rough.square().sum(1)
    log_prior = task.log_prior(theta)
    torch.testing.assert_close(log_prior - log_prior[0], energy[0] - energy, rtol=1e-5, atol=1e-5)


def test_a_normal_prior_scores_rows_of_double_precision() -> None:
    class Line(sf.data.Simulator):
        def _simulate(self, theta: torch.Tensor) -> torch.Tensor:
            return theta

    prior = MultivariateNormal(torch.zeros(2), torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    theta = torch.randn(3, 2)
    double = Line("line", ["a", "b"], prior, 2).log_prior(theta.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), prior.log_prob(theta))


def test_the_wide_and_the_narrow_part_of_the_mixture_share_both_coordinates() -> None:
    task = simulator("gaussian_mixture")
    x = task.simulate(torch.zeros(20_000, 2), seed=0)
    # Of independent coordinates, squares would not be correlated; of one scale they are, as the two variances say.
    square = x.square()
    expected = ((1 + 0.01**2) / 2 - (1.01 / 2) ** 2) / (3 * (1 + 0.01**2) / 2 - (1.01 / 2) ** 2)
    assert torch.corrcoef(square.T)[0, 1].item() == pytest.approx(expected, abs=0.03)


def test_posteriors_at_the_wall_stay_inside() -> None:
    for name, half in (("gaussian_mixture", 10.0), ("gaussian_linear_uniform", 1.0)):
        task = simulator(name)
        x = torch.full((1, *task.x_shape), 1.3 * half if half == 1 else half)
        posterior = task.posterior(x, draws=2000)
        assert posterior.theta.abs().max() <= half
        torch.testing.assert_close(posterior.efficiency, torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(4))
def test_distractors_are_of_a_mixture_of_t_distributions(seed: int) -> None:
    """Along any direction w they are of a mixture of t-distributions about w m of scales |L^T w|."""
    task = simulator("slcp_distractors")
    _, x = task.sample(3000, seed=seed)
    w = torch.randn(92, dtype=torch.float64) if seed else torch.eye(92, dtype=torch.float64)[5]
    noise = x[:, task._order.argsort()][:, 8:].double() @ w
    parts = t(2, (task._loc @ w).numpy(), (task._factor.mT @ w).norm(dim=1).numpy())
    assert kstest(noise, lambda value: parts.cdf(value[:, None]).mean(1)).pvalue > 0.01


@pytest.mark.slow
def test_prey_and_predators_are_positive() -> None:
    task = simulator("lotka_volterra")
    _, x = task.sample(3, seed=0)
    x[1, 4] = -1.0
    with pytest.raises(sf.DataError, match=r"1 of 3 observations are impossible.*rows 1"):
        task.posterior(x, draws=50)
