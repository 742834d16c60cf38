"""ColumnClasses: classes that made the data are found, fits weighed, and normals met."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from test_any_order import EVERY
from test_column_tree import _classes
from torch import Tensor

import surflow as sf

SUPPORT = sf.product([sf.real, sf.Integers(3), sf.real])


def _kinds(n: int, seed: int) -> Tensor:
    """Rows of two kinds, as likely as each other: numbers about -3 and 3, and names of which each knows two."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(2, (n,), generator=generator)
    numbers = torch.randn(2, n, generator=generator).double() + 6.0 * kind - 3.0
    return torch.stack([numbers[0], (kind + torch.randint(2, (n,), generator=generator)).double(), -numbers[1]], 1)


def test_the_kinds_that_made_the_rows_are_found() -> None:
    rows = sf.ColumnClasses(3, support=SUPPORT, classes=4).double()
    rows.initialize(_kinds(2000, 0))
    rows.weigh(_kinds(500, 1))
    x = _kinds(2000, 2)
    # The entropies of which kind, of a name given it, and of two numbers; the kinds hardly overlap.
    floor = 2 * math.log(2) + 1 + math.log(2 * math.pi)
    assert floor - 0.1 < -rows.log_prob(x).mean().item() < floor + 0.1
    given = rows.log_prob_of(torch.tensor([[3.0, 0.0, 9.9], [3.0, 1.0, 9.9]]).double(), of=[1], given=[0]).exp()
    assert given.tolist() == pytest.approx([0.0, 0.5], abs=0.05)


def test_a_class_of_numbers_is_a_normal() -> None:
    with sf.seeded(0):
        x = torch.randn(20_000, 1).double().mul(2).add(5).clamp(-1.5, 11.5)  # tails lighter than a normal's
        rows = sf.ColumnClasses(1, support=sf.real, classes=1).double()
        rows.initialize(x)
    normal = torch.distributions.Normal(x.mean(), x.std())
    behind = (normal.log_prob(x)[:, 0] - rows.log_prob(x)).mean().item()
    assert behind == pytest.approx(0, abs=0.01)


def test_fits_count_as_they_predict_rows_that_they_did_not_see() -> None:
    with sf.seeded(0):
        x = torch.randint(5, (400, 3)).double()  # of which there is nothing to learn
        rows = sf.ColumnClasses(3, support=sf.Integers(5), classes=8)
        rows.initialize(x)
        assert len(rows.used) == 15
        before = rows.log_prob(x).mean()
        rows.weigh(torch.randint(5, (2000, 3)).double())
    assert rows.used[0] == 0 and rows.log_weight.logsumexp(0).item() == pytest.approx(0, abs=1e-5)
    assert rows.log_weight[0].exp() > 0.5
    assert rows.log_prob(x).mean() < before  # what was learned by heart is forgotten


def test_few_rows_have_few_classes() -> None:
    rows = sf.ColumnClasses(2, support=sf.Integers(2), classes=4)
    rows.initialize(torch.tensor([[0.0, 1.0]] * 12))
    assert rows.used == [0, 1, 2]
    for x in (torch.zeros(0, 2), torch.zeros(1, 2)):
        rows = sf.ColumnClasses(2, support=sf.real, classes=4)
        rows.initialize(x)
        assert rows.used == [0] and rows.log_prob(torch.zeros(1, 2)).isfinite().all()
    with pytest.raises(sf.ConfigError, match="power of two"):
        sf.ColumnClasses(2, support=sf.real, classes=3)


def test_what_counts_is_saved(tmp_path: Path) -> None:
    flow = sf.Flow([], base=_classes()).eval()
    assert isinstance(flow.base, sf.ColumnClasses)
    flow.save(tmp_path / "rows.safetensors")
    again = sf.load(tmp_path / "rows.safetensors").base
    assert isinstance(again, sf.ColumnClasses) and again.used == flow.base.used
    assert torch.equal(again.log_prob_of(EVERY, [1], [0]), flow.base.log_prob_of(EVERY, [1], [0]))
