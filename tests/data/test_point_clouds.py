"""Point clouds drawn from images."""

from __future__ import annotations

import numpy as np
import pytest

import surflow as sf
from surflow.data.synthetic.point_sets import clouds


def test_points_have_the_distribution_of_the_image() -> None:
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
    assert splits.event_shape == (2, 50) and splits.support == sf.real
    assert splits.train.x.min() >= -0.5 and splits.train.x.max() <= 7.5
    assert len(splits.context.columns[0].categories) == 10
