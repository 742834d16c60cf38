"""The experiment with images."""

from __future__ import annotations

import html
import os
from pathlib import Path

import pytest
import torch

import surflow as sf
from images import random_images
from surflow.data.readers import idx
from surflow.evaluation import read_results
from surflow_experiments.images.between import between
from surflow_experiments.images.models import SHAPE, study
from surflow_experiments.reproduce import reproduce


@pytest.mark.slow
def test_between_two_samples_lie_samples() -> None:
    distribution = sf.AutoregressiveDiscretizedLogistic(
        (1, 2, 2), levels=5, context_shape=2, patch=2, width=8, layers=1
    )
    for p in distribution.parameters():
        torch.nn.init.normal_(p, std=0.5)
    context = torch.randn(1, 2).expand(20_000, 2)
    ends = distribution.sample((), context, seed=0), distribution.sample((), context, seed=1)
    way = between(distribution, ends, context, 3)
    assert torch.equal(way[0], ends[0]) and torch.equal(way[2], ends[1])
    x = torch.cartesian_prod(*[torch.arange(5.0)] * 4).reshape(-1, 1, 2, 2)
    with torch.no_grad():
        p = distribution.log_prob(x, context[: len(x)]).exp()
    number = torch.bincount((way[1].flatten(1) @ 5.0 ** torch.arange(3, -1, -1)).long(), minlength=len(x))
    assert (number / 20_000 - p).abs().max() < 5 * (p.max() / 20_000).sqrt()


def test_the_reports_chain_is_a_bound_that_round_trips() -> None:
    flow = study(pairs=1, hidden=(8,))
    x, context = random_images(6, SHAPE), torch.randint(10, (6, 1)).float()
    flow.initialize(x, context)
    assert not flow.exact and flow.elbo(x, context).isfinite().all()
    drawn = flow.sample((), context, seed=0)
    assert drawn.shape == x.shape and flow.support.contains(drawn).all()


@pytest.mark.skipif(not os.environ.get(idx.VARIABLE), reason=f"{idx.VARIABLE} does not say where MNIST is")
@pytest.mark.e2e
@pytest.mark.usefixtures("in_this_process")
def test_a_quick_run_over_mnist(tmp_path: Path) -> None:
    page = reproduce("images", tmp_path / "results", tmp_path / "cells", quick=True)
    found = {
        (row["model"], row["metric"]): row["value"] for row in read_results(tmp_path / "results/images.json")["rows"]
    }
    assert found["max-pool", "bits_per_dimension"] < 8
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "no figure here means anything" in text and text.count("data:image/png") >= 6
