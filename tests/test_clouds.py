"""Point clouds: their law, set transformers and their symmetry, and data by name."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import surflow as sf
from surflow.data.clouds import clouds


def test_points_have_the_law_of_the_image() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4, (1, 5, 7)).astype(float)
    drawn = clouds(image, points=200_000)[0]
    pixel = np.round(drawn + 1e-9).astype(int)
    counts = np.zeros((5, 7))
    np.add.at(counts, (pixel[1], pixel[0]), 1)
    p = image[0] / image[0].sum()
    error = np.sqrt(p * (1 - p) / 200_000)
    assert (abs(counts / 200_000 - p) <= 5 * error + 1e-6).all()
    rest = drawn - np.round(drawn)
    assert abs(rest.mean(1)).max() < 0.004 and abs(rest.var(1) - 1 / 12).max() < 0.001


def test_clouds_are_seeded_and_black_images_are_refused() -> None:
    images = np.random.default_rng(0).random((5000, 3, 3))
    assert np.array_equal(clouds(images), clouds(images)) and not np.array_equal(clouds(images), clouds(images, seed=1))
    assert np.array_equal(clouds(images)[:3], clouds(images[:4096])[:3])
    images[7] = 0
    with pytest.raises(sf.DataError, match="1 images are black"):
        clouds(images)


def test_spatial_digits_load_by_name_with_their_digit() -> None:
    splits = sf.data.load("spatial_digits", context="digit")
    assert splits.event_shape == (2, 50) and splits.levels is None
    assert splits.train.x.min() >= -0.5 and splits.train.x.max() <= 7.5
    assert len(splits.context.columns[0].categories) == 10


def test_a_set_transformer_permutes_with_its_points() -> None:
    torch.manual_seed(0)
    net = sf.SetTransformer(3, 4, width=16, heads=4, layers=2, feedforward=32).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x, order = torch.randn(5, 3, 9).double(), torch.randperm(9)
    torch.testing.assert_close(net(x[:, :, order]), net(x)[:, :, order], rtol=1e-12, atol=1e-12)
    # Every point sees every other one.
    moved = x.clone()
    moved[:, :, 0] += 1
    assert ((net(moved) - net(x)).abs().amax((0, 1)) > 1e-6).all()
    placed = sf.SetTransformer(3, 4, 9, width=16, heads=4).double()
    for p in placed.parameters():
        torch.nn.init.normal_(p, std=0.3)
    assert not torch.allclose(placed(x[:, :, order]), placed(x)[:, :, order])
    with pytest.raises(sf.ConfigError, match="width that heads divide"):
        sf.SetTransformer(2, 2, width=10, heads=4)


def test_a_flow_of_couplings_over_coordinates_is_exchangeable() -> None:
    torch.manual_seed(0)

    def layer() -> sf.Transform:
        return sf.Coupling((2, 6), net=sf.SetTransformer(1, 2, width=16, heads=2, feedforward=16))

    flow = sf.Flow([layer(), sf.Reverse((2, 6)), layer()], base=sf.Normal((2, 6))).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = torch.randn(10, 2, 6).double()
    log_prob = flow.log_prob(x)
    for _ in range(3):
        torch.testing.assert_close(flow.log_prob(x[:, :, torch.randperm(6)]), log_prob, rtol=1e-10, atol=0)
    assert log_prob.isfinite().all() and math.isfinite(flow.sample(3, seed=0).sum().item())
