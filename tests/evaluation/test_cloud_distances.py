"""Distances between sets of point clouds."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import surflow as sf
from surflow.evaluation import cloud_distances, coverage


def test_distances_of_clouds_are_those_of_all_matchings() -> None:
    x, y = torch.randn(3, 2, 4).double(), torch.randn(5, 2, 4).double()
    pairs = (x[:, None, :, :, None] - y[None, :, :, None, :]).square().sum(2)  # (3, 5, 4, 4)
    chamfer = pairs.amin(3).mean(2) + pairs.amin(2).mean(2)
    torch.testing.assert_close(cloud_distances(x, y), chamfer)
    orders = [list(order) for order in itertools.permutations(range(4))]
    best = torch.stack([pairs.sqrt()[:, :, range(4), order].mean(2) for order in orders]).amin(0)
    torch.testing.assert_close(cloud_distances(x, y, "earth-mover"), best)
    for distance in ("chamfer", "earth-mover"):
        assert coverage(x, x, distance) == (1.0, 0.0)
    with pytest.raises(sf.ShapeError, match="of one size"):
        cloud_distances(x, y[:, :, :3])
    with pytest.raises(sf.DataError, match="finite points"):
        cloud_distances(x, y * math.nan)
    with pytest.raises(sf.ConfigError, match="chamfer"):
        cloud_distances(x, y, "camfer")


def test_samples_of_the_same_distribution_cover_more_than_those_that_are_alike() -> None:
    x, y = torch.randn(100, 2, 8), torch.randn(100, 2, 8)
    assert coverage(x, y)[0] > 0.4 > 0.05 > coverage(x[:1] + 0.001 * x, y)[0]
