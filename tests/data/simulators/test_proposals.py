"""What posteriors are proposed from: draws have the density that is stated with them."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest, truncnorm

from surflow.data.simulators.proposals import Cells, at_modes, climb, slopes, truncated


@pytest.mark.parametrize("loc", [0.3, 2.5, -2.5])
def test_truncated_normals(loc: float) -> None:
    value, log_density = truncated(torch.tensor(loc).double(), torch.full((3000,), 0.7).double(), 1.0)
    exact = truncnorm((-1 - loc) / 0.7, (1 - loc) / 0.7, loc, 0.7)
    assert kstest(value, exact.cdf).pvalue > 0.01
    torch.testing.assert_close(log_density, torch.from_numpy(exact.logpdf(value.numpy())))


def test_draws_of_cells_integrate_what_they_are_not_drawn_by() -> None:
    cells = Cells(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 3.0]), (20, 30))
    drawn, log_q = cells.sample(-cells.middle.square().sum(1), 20_000)
    ratio = (drawn[:, 1] + 1) * (-log_q).exp()  # of u + 1 over the box: 2 (9/2 + 3)
    assert ratio.mean().item() == pytest.approx(15, abs=5 * ratio.std().item() / math.sqrt(20_000))


def test_searches_end_at_modes_and_draws_about_them_have_the_stated_density() -> None:
    """Two normals of different shapes and weights: what is drawn about both modes integrates their sum."""
    centre = torch.tensor([[-3.0, 0.0], [3.0, 1.0]]).double()
    precision = torch.tensor([[[2.0, 0.5], [0.5, 1.0]], [[1.0, -0.3], [-0.3, 3.0]]]).double()
    log_height = torch.tensor([0.0, 1.0]).double()

    def log_parts(u: torch.Tensor) -> torch.Tensor:
        apart = u.unsqueeze(1) - centre
        return log_height - 0.5 * torch.einsum("nmi,mij,nmj->nm", apart, precision, apart)

    def expand(u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        value, slope, _ = slopes(lambda u: log_parts(u).logsumexp(1), u)
        return value, slope.T, precision

    mode, found, value = climb(expand, centre + 0.8)
    torch.testing.assert_close(mode, centre, atol=1e-3, rtol=0)
    u, log_q = at_modes(mode[:, None], found[:, None], value[:, None], 40_000)
    ratio = (log_parts(u[:, 0]).logsumexp(1) - log_q[:, 0]).exp()
    exact = (log_height.exp() * 2 * math.pi / torch.linalg.det(precision).sqrt()).sum()
    error = ratio.std().item() / math.sqrt(40_000)
    assert ratio.mean().item() == pytest.approx(exact.item(), abs=4 * error)
    assert error < 0.01 * exact


def test_slopes_of_a_polynomial() -> None:
    u = torch.tensor([[1.0, 2.0], [0.5, -1.0]]).double()
    value, slope, second = slopes(lambda u: u[:, :1] * u[:, 1:].square(), u)
    torch.testing.assert_close(value, u[:, :1] * u[:, 1:].square())
    torch.testing.assert_close(slope, torch.stack([u[:, 1:].square(), 2 * u[:, :1] * u[:, 1:]]))
    torch.testing.assert_close(second, torch.stack([torch.zeros(2, 1).double(), 2 * u[:, :1]]), atol=1e-6, rtol=1e-6)
