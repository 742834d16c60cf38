"""The experiment with point clouds."""

from __future__ import annotations

import html
import math
import os
from pathlib import Path

import pytest
import torch

import surflow as sf
from surflow.data.readers import idx
from surflow.evaluation import read_results
from surflow_experiments.point_clouds.models import LeakySort
from surflow_experiments.point_clouds.trial import counts
from surflow_experiments.reproduce import reproduce


def test_without_the_ordered_map_a_sort_keeps_one_share_of_the_mass() -> None:
    """Behind the paper's sort 1 / n! of the mass of the whole space's distribution is where data can be: log n! leak.

    The second coordinates, independent of all others, are looked at in one place, where their density is known.
    """
    axis = torch.linspace(-8, 8, 400).double()
    first = torch.cartesian_prod(axis, axis).reshape(-1, 1, 2)
    x = torch.cat([first, torch.zeros_like(first)], 1)
    cell = (axis[1] - axis[0]) ** 2 * 2 * math.pi
    leaky = sf.Flow([LeakySort((2, 2), by=0)], base=sf.Normal((2, 2))).double()
    tight = sf.Flow([sf.Sort((2, 2), by=0), sf.LogGaps((2, 2), by=0)], base=sf.Normal((2, 2))).double()
    assert (leaky.log_prob(x).exp().sum() * cell).item() == pytest.approx(1 / 2, abs=1e-3)
    off = first[:, 0, 0] != first[:, 0, 1]  # on the diagonal, of measure zero, the logarithm of the gap has no value
    assert (tight.log_prob(x[off]).exp().sum() * cell).item() == pytest.approx(1, abs=0.02)


def test_counts_do_not_see_the_order() -> None:
    x = torch.tensor([[[0.2, 5.0, 0.2], [0.1, 27.4, -0.3]]])
    image = counts(x.repeat(1, 1, 17)[:, :, :50])
    assert image[0, 0, 0, 0] == 255 and image[0, 0, 27, 5] == 255 and (image > 0).sum() == 2
    y = 28 * torch.rand(4, 2, 50) - 0.5
    assert torch.equal(counts(y[:, :, torch.randperm(50)]), counts(y))


@pytest.mark.skipif(not os.environ.get(idx.VARIABLE), reason=f"{idx.VARIABLE} does not say where MNIST is")
@pytest.mark.e2e
@pytest.mark.usefixtures("in_this_process")
def test_a_quick_run_over_spatial_mnist(tmp_path: Path) -> None:
    page = reproduce("point-clouds", tmp_path / "results", tmp_path / "cells", quick=True)
    rows = read_results(tmp_path / "results/point_clouds.json")["rows"]
    found = {(row["model"], row["metric"]): row["value"] for row in rows}
    assert found["point-grid", "permutation_change"] < 1e-6 and found["sort-flow", "permutation_change"] < 1e-6
    assert found["full-size", "parameters"] > 6e6
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "no figure here means anything" in text and text.count("data:image/png") >= 10


def test_recorded_clouds_respect_the_floors() -> None:
    """No distribution beats the images that the clouds were drawn from, and a digit is worth log 10 nats at most."""
    rows = read_results(Path(__file__).parents[2] / "docs/results/point_clouds.json")["rows"]
    found = {(row["model"], row["metric"]): row["value"] for row in rows}
    assert all(math.isfinite(row["value"]) for row in rows)
    models = {model for model, metric in found if metric == "nats_per_point"}
    assert models == {"point-grid", "sort-flow", "leaky-sort", "permute-flow", "study"}
    for model in models:
        assert found[model, "nats_per_point"] > 4.880
        # Only one whose mass leaks is worse than a uniform distribution.
        assert found[model, "nats_per_point"] < 6.664 or model == "leaky-sort"
    for model in ("point-grid", "sort-flow"):
        given, without = found[model, "nats_per_point"], found[model, "nats_per_point_without_digit"]
        assert given - 0.02 < without < given + math.log(10) / 50 + 0.02  # of other clouds, so up to their chance
