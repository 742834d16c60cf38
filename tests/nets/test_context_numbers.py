"""Networks of contexts and numbers of any size: Summary and ContextColumns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import surflow as sf


def _observations(n: int = 2000) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, generator=g, dtype=torch.float64) @ torch.tensor(
        [[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]], dtype=torch.float64
    )


@pytest.mark.parametrize("components", [None, 2])
@pytest.mark.parametrize(("scale", "offset"), [(1e-300, 0.0), (1e-25, 0.0), (1e200, 0.0), (1e300, 0.0), (1.0, 1e12)])
def test_summaries_do_not_depend_on_units(components: int | None, scale: float, offset: float) -> None:
    x, moved = _observations(), _observations() * scale + offset
    plain, other = (sf.Summary(3, features=None, components=components) for _ in range(2))
    plain.initialize(x)
    other.initialize(moved)
    s, t = plain(x), other(moved)
    assert s.dtype == t.dtype == torch.float32 and t.std(0, correction=0).allclose(torch.ones(1), atol=1e-3)
    signs = torch.sign((s * t).sum(0))  # of components, which have none of their own
    torch.testing.assert_close(t * signs, s, rtol=0, atol=2e-3)


@pytest.mark.parametrize("components", [None, 2])
def test_weights_of_observations_count_rows(components: int | None) -> None:
    x, count = _observations(50), torch.arange(50) % 4
    weighted, repeated = (sf.Summary(3, features=None, components=components) for _ in range(2))
    weighted.initialize(x, weight=count.float())
    repeated.initialize(x.repeat_interleave(count, 0))
    s, t = weighted(x), repeated(x)
    torch.testing.assert_close(s * torch.sign((s * t).sum(0)), t, rtol=1e-5, atol=1e-5)


def test_columns_of_contexts_far_from_zero_keep_double_precision() -> None:
    net = sf.ContextColumns([None, 3], mean=[1.7e9, 0.0], scale=[1e-3, 1.0])
    x = torch.tensor([[1.7e9 + 2e-3, 1.0], [1.7e9 - 1e-3, 2.0]], dtype=torch.float64)
    expected = torch.tensor([[2.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 1.0]])
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-3)
    assert net.half()(x).dtype == torch.float16 and net.mean.dtype == torch.float64


def test_summaries_move_to_other_types_and_back() -> None:
    net = sf.Summary(3, 4, hidden=(8,))
    net.initialize(_observations() + 1e9)
    single = net(_observations() + 1e9)
    torch.testing.assert_close(net.double()(_observations() + 1e9).float(), single, rtol=1e-4, atol=1e-4)
    assert net.bfloat16()(_observations() + 1e9).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_categories_are_told_apart_whatever_the_type_of_the_networks(kind: torch.dtype) -> None:
    levels = 3000  # beyond 2048 and 256, the integers that these types tell apart
    net = sf.ContextColumns([levels]).to(kind)
    index = torch.tensor([257, 2049, levels - 1])
    out = net(index[:, None].float())
    assert (
        out.dtype == kind and torch.equal(out.argmax(1), index) and torch.equal(out.sum(1), torch.ones(3, dtype=kind))
    )
