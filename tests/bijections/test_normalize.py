"""Shift and scale of numbers of any size: Standardize and ActNorm against the moments of what was drawn."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor

import surflow as sf

LAYERS = pytest.mark.parametrize("kind", [sf.Standardize, sf.ActNorm], ids=lambda kind: kind.__name__)


def _normal(n: int = 4000, seed: int = 0) -> Tensor:
    z = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (z - z.mean()) / z.std(correction=0)


@LAYERS
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-30, 1.0, 1e40, 1e200, 1e300])
def test_columns_of_any_size_in_double_precision(kind: type, scale: float) -> None:
    z = _normal()
    layer = kind(1).double()
    layer.initialize(z * scale)
    u, V = layer(z * scale)
    torch.testing.assert_close(u.detach(), z, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(V.detach(), torch.full_like(V, -math.log(scale)), rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(layer.inverse(u)[0].detach() / scale, z, rtol=1e-9, atol=1e-9)


@LAYERS
@pytest.mark.parametrize("scale", [1e-37, 1e-20, 1.0, 1e20, 1e37])
def test_columns_of_any_size_in_single_precision(kind: type, scale: float) -> None:
    x = (_normal() * scale).float()
    layer = kind(1)
    layer.initialize(x)
    u, V = layer(x)
    assert u.dtype == V.dtype == torch.float32 and layer.inverse(u)[0].dtype == torch.float32
    torch.testing.assert_close(u.detach().double(), _normal(), rtol=1e-5, atol=1e-5)
    assert V[0].item() == pytest.approx(-math.log(scale), abs=1e-4)


@LAYERS
@pytest.mark.parametrize("offset", [1e9, -1e12, 1e15])
def test_a_layer_of_single_precision_takes_doubles_far_from_zero(kind: type, offset: float) -> None:
    x = _normal() + offset
    layer = kind(1)
    layer.initialize(x)
    u, _ = layer(x)
    spacing = math.ulp(offset)  # of the numbers themselves
    assert u.dtype == torch.float32
    torch.testing.assert_close(u.detach().double(), _normal(), rtol=1e-2 * (spacing > 1e-3), atol=1e-5 + 2 * spacing)
    back = layer.inverse(u)[0]
    assert back.dtype == torch.float64
    torch.testing.assert_close(back.detach(), x, rtol=0, atol=1e-5 + 2 * spacing)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_shift_and_scale_stay_double(dtype: torch.dtype) -> None:
    layer = sf.Standardize(1)
    layer.initialize(_normal() + 1.7e9)
    moved = layer.to(dtype)
    assert moved.shift.dtype == moved.log_scale.dtype == torch.float64
    u, V = moved(_normal() + 1.7e9)
    assert u.dtype == V.dtype == dtype and moved.inverse(u)[0].dtype == torch.float64
    assert (u.double() - _normal()).abs().max() < 8 * torch.finfo(dtype).eps + 1e-6


@LAYERS
@pytest.mark.parametrize("outliers", [1, 20])
def test_a_few_outliers_do_not_set_the_scale(kind: type, outliers: int) -> None:
    x = _normal()
    x[:outliers] = 1e6
    layer = kind(1).double()
    layer.initialize(x)
    u, V = layer(x)
    assert layer.robust.all() and u[outliers:].std().item() == pytest.approx(1.05, abs=0.06)
    assert u[0].item() == pytest.approx(4 * (1 + math.log(1e6 / 4)), rel=0.02)
    torch.testing.assert_close(layer.inverse(u)[0], x)
    slope = torch.autograd.functional.jacobian(lambda row: layer(row)[0], x[:1]).squeeze().abs().log()
    torch.testing.assert_close(V[0], slope)
    plain = kind(1)
    plain.initialize(_normal())
    assert not plain.robust.any()


@pytest.mark.parametrize(
    "x",
    [
        torch.cat([torch.zeros(600, 1), 100 + torch.randn(400, 1)]),
        torch.randint(0, 2, (1000, 1)).float(),
        torch.rand(1000, 1) * 7,
        torch.randn(1000, 1).exp(),
    ],
    ids=["two modes", "binary", "uniform", "log-normal"],
)
def test_deviations_that_many_values_make_are_the_scale(x: Tensor) -> None:
    layer = sf.Standardize(1)
    layer.initialize(x)
    assert not layer.robust.any() and layer.log_scale.exp().item() == pytest.approx(
        x.std(correction=0).item(), rel=1e-5
    )


@LAYERS
def test_constant_is_what_has_one_value(kind: type) -> None:
    x = torch.stack([torch.full((100,), 0.1), 1e9 + torch.arange(100)], 1).double()
    x[:, 0] = 0.1
    layer = kind(2).double()
    layer.initialize(x)
    u, _ = layer(x)
    assert (u[:, 0] == 0).all() and u[:, 1].std(correction=0).item() == pytest.approx(1)
    nearly = x.clone()
    nearly[0, 0] = math.nextafter(0.1, 1)  # the least that varies
    layer = kind(2).double()
    layer.initialize(nearly)
    assert layer(nearly)[0][:, 0].detach().unique().numel() == 2


@LAYERS
@pytest.mark.parametrize("weights", [[0.0, 1.0, 10.0, 3.0], [0.0, 0.5, 5.0, 1.5]])
def test_weights_count_rows(kind: type, weights: list[float]) -> None:
    x = torch.tensor([[math.nan], [1.0], [5.0], [-2.0]], dtype=torch.float64)
    weighted, repeated = kind(1).double(), kind(1).double()
    weighted.initialize(x, weight=torch.tensor(weights))
    repeated.initialize(x.repeat_interleave(torch.tensor([0, 1, 10, 3]), 0))
    torch.testing.assert_close(weighted(x[1:]), repeated(x[1:]), rtol=1e-12, atol=1e-12)


def test_scales_without_a_centre_are_about_zero() -> None:
    x = 3e-25 * _normal()
    layer = sf.Standardize(1, center=False).double()
    layer.initialize(x)
    assert layer.shift.item() == 0 and layer.log_scale.exp().item() == pytest.approx(3e-25)


def test_who_trains_without_fitting_is_told_once() -> None:
    flow = sf.Flow([sf.Standardize(1), sf.Elementwise(1)], base=sf.Normal(1))
    x = 1e6 + 1000 * torch.randn(50, 1)
    with pytest.warns(UserWarning, match="initialize"):
        flow.log_prob(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flow.log_prob(x)
        fitted = sf.Flow([sf.Standardize(1), sf.Elementwise(1)], base=sf.Normal(1))
        fitted.initialize(x)
        fitted.log_prob(x)
