"""The equations of predators and prey: against another solver, what is conserved, and rates beyond reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from surflow.data import simulator
from surflow.data.simulators.predation import populations


def _solved(rates: list[float], start: tuple[float, float], times: np.ndarray) -> np.ndarray:
    a, b, c, d = rates

    def slope(_: float, log: np.ndarray) -> list[float]:
        return [a - b * np.exp(log[1]), d * np.exp(log[0]) - c]

    logs = solve_ivp(slope, (0, times[-1]), np.log(start), "DOP853", times, rtol=1e-12, atol=1e-12)
    return logs.y


@pytest.mark.parametrize("name", ["lotka_volterra", "sir_benchmark"])
def test_populations_are_those_of_another_solver_to_a_millionth(name: str) -> None:
    theta = simulator(name).prior.sample((30,)).double()
    if name == "lotka_volterra":
        rates, start, every = theta, (30.0, 1.0), 2.1
    else:
        beta, gamma = theta.unbind(1)
        rates, start, every = torch.stack([0 * beta, beta, gamma, beta], 1), (1 - 1e-6, 1e-6), 17.0
    found = populations(rates, start, every=every, points=10)
    times = every * np.arange(10)
    expected = np.stack([_solved(row, start, times) for row in rates.tolist()], 2)
    assert np.abs(found.log().numpy() - expected).max() < 1e-6


def test_what_predators_and_prey_conserve() -> None:
    rates = simulator("lotka_volterra").prior.sample((2000,)).double()
    a, b, c, d = rates.T
    p, q = populations(rates, (30.0, 1.0), every=2.1, points=10)
    energy = d * p - c * p.log() + b * q - a * q.log()
    size = d * p + (c * p.log()).abs() + b * q + (a * q.log()).abs()
    assert ((energy - energy[0]) / size.amax(0)).abs().max() < 1e-6


def test_a_row_does_not_depend_on_the_others() -> None:
    rates = simulator("lotka_volterra").prior.sample((50,))
    together = populations(rates, (30.0, 1.0), every=2.1, points=4)
    alone = populations(rates[7:8], (30.0, 1.0), every=2.1, points=4)
    torch.testing.assert_close(together[..., 7:8], alone, rtol=1e-12, atol=0)
    assert populations(rates[:0], (30.0, 1.0), every=2.1, points=4).shape == (2, 4, 0)


def test_rates_that_cannot_be_followed_give_nan_and_explain_nothing() -> None:
    rates = torch.tensor([[1.0, 0.05, 1.0, 0.05], [1.0, 1e6, 1e6, 1e6]])
    found = populations(rates, (30.0, 1.0), every=2.1, points=3)
    assert found[..., 0].isfinite().all() and found[:, 2, 1].isnan().all()
    task = simulator("lotka_volterra")
    assert task.log_likelihood(torch.ones(2, 20), rates)[1] == -torch.inf
