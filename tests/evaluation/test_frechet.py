"""The Frechet distance."""

from __future__ import annotations

import pytest
import torch

from surflow.evaluation import frechet_distance


def test_the_frechet_distance_of_gaussians_has_its_closed_form() -> None:
    torch.manual_seed(0)
    x = torch.randn(200_000, 2).double() @ torch.diag(torch.tensor([1.0, 2.0]).double())
    y = torch.randn(200_000, 2).double() @ torch.diag(torch.tensor([3.0, 0.5]).double()) + 1
    # Commuting covariances: the squared difference of the means, and of the standard deviations.
    assert frechet_distance(x, y) == pytest.approx(2 + (3 - 1) ** 2 + (2 - 0.5) ** 2, abs=0.1)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]]).double()
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(frechet_distance(x, y), rel=1e-6)
