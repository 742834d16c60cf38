"""One column given others: shares and quantiles are those of the joint, and draws stay in regions and follow it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from test_any_order import EVERY, MIXED, NAN, VALUES, _rows, _table
from test_column_tree import _classes, _mixture, _tree
from torch import Tensor

import surflow as sf
from registry import moved
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.distributions.column_marginals import Region, Within

Build = Callable[[], ColumnDistribution]
every = pytest.mark.parametrize("build", [_tree, _classes, _mixture, _table, lambda: _table(orders=1)])
N = 20_000


def _share(rows: ColumnDistribution, column: int, given: list[int], known: Tensor) -> Tensor:
    """Masses of a column's values given those of one row, in the order of VALUES."""
    x = known.repeat(len(VALUES[column]), 1)
    x[:, column] = torch.tensor(VALUES[column]).double()
    return rows.log_prob_of(x, [column], given=given).exp().detach()


@every
@pytest.mark.parametrize(("column", "given"), [(0, []), (1, [3, 0]), (2, [1]), (3, [0, 1, 2]), (1, [])])
def test_shares_are_the_masses_of_the_conditional(build: Build, column: int, given: list[int]) -> None:
    rows = build()
    for row in (0, 40, 77):
        mass = _share(rows, column, given, EVERY[row])
        shares = rows.shares(EVERY[row : row + 1], column, given)[0]
        assert shares.sum().item() == pytest.approx(1, abs=1e-6)
        values, rest = rows.layout.values_of(column)
        for value, share in zip(values[: len(values) if rest < 0 else rest].tolist(), shares.tolist(), strict=False):
            at = [math.isnan(v) if math.isnan(value) else v == value for v in VALUES[column]].index(True)
            # An atom on a grid has the mass of its cell, too.
            assert share <= mass[at].item() + 1e-5
            if rest < 0 or math.isnan(value):
                assert share == pytest.approx(mass[at].item(), rel=1e-4)


@every
def test_quantiles_are_where_the_conditional_mass_passes(build: Build) -> None:
    rows, q = build(), [0.01, 0.2, 0.5, 0.8, 0.99]
    mass = _share(rows, 1, [3, 0], EVERY[30])[:5]
    below = (mass / mass.sum()).cumsum(0)
    found = rows.quantile(EVERY[30:31], q, 1, known=[3, 0])[0]
    for probability, value in zip(q, found.tolist(), strict=True):
        near = {int((below < probability + slack).sum()) for slack in (-1e-6, 1e-6)}
        assert value in [VALUES[1][i] for i in near]
    known = torch.tensor([True, False, False, True])
    assert torch.equal(rows.quantile(EVERY[30:31], q, 1, known=known), rows.quantile(EVERY[30:31], q, 1, known=[0, 3]))


@every
def test_quantiles_of_a_row_are_the_same_among_many(build: Build) -> None:
    rows, q = build(), [0.03, 0.5, 0.9]
    many = rows.quantile(EVERY, q, 1, known=[3, 0])
    few = torch.cat([rows.quantile(EVERY[i : i + 1], q, 1, known=[3, 0]) for i in (0, 30, 77)])
    assert torch.equal(many[[0, 30, 77]], few)


def _frequencies(drawn: Tensor) -> Tensor:
    same = (drawn[:, None] == EVERY) | (drawn.isnan()[:, None] & EVERY.isnan())
    return same.all(2).double().sum(0)


REGIONS = {
    "category": ({0: Region(points=(1.0,))}, EVERY[:, 0] == 1),
    "range": ({1: Region(intervals=((0.75, math.inf),))}, EVERY[:, 1] >= 0.75),
    "values": ({1: Region(points=(0.5, 1.0, NAN))}, (EVERY[:, 1] == 0.5) | (EVERY[:, 1] == 1.0) | EVERY[:, 1].isnan()),
    "overlapping": ({1: Region((0.5,), ((0.0, 0.6), (0.4, 1.1)))}, EVERY[:, 1] <= 1.0),
    "two": (
        {1: Region(intervals=((1.0, 1.5),)), 3: Region(points=(3.0, 5.0))},
        (EVERY[:, 1] >= 1) & (EVERY[:, 1] <= 1.5) & (EVERY[:, 3] != 4),
    ),
}


@pytest.mark.parametrize("build", [_tree, _mixture])
@pytest.mark.parametrize("case", REGIONS)
@pytest.mark.slow
def test_draws_from_regions_follow_the_distribution_there(build: Build, case: str) -> None:
    rows = build()
    where, inside = REGIONS[case]
    drawn, effective = rows.sample_where(EVERY[:1].expand(N, 4), [], where, seed=0)
    assert effective == pytest.approx(1) if len(where) == 1 else 0.3 < effective <= 1
    mass = rows.log_prob(EVERY).exp().detach() * inside
    expected, observed = N * mass / mass.sum(), _frequencies(drawn)
    assert observed.sum() == N and observed[~inside].sum() == 0
    slack = 0.02 * N if isinstance(rows, sf.ColumnMixture) else 0.0  # a net is asked in orders drawn for each row
    assert ((observed - expected).abs() < 5 * expected.sqrt() + slack + 1).all()


def test_a_region_beside_known_values_is_of_their_conditional() -> None:
    tree = _tree()
    x = EVERY[57].expand(N, 4)
    drawn, _ = tree.sample_where(x, [0, 2], {1: Region(intervals=((0.0, 1.0),))}, seed=0)
    assert torch.equal(drawn[:, [0, 2]].nan_to_num(9.0), x[:, [0, 2]].nan_to_num(9.0))
    mass = _share(tree, 1, [0, 2], EVERY[57]) * (torch.tensor(VALUES[1]) <= 1)
    for value, expected in zip(VALUES[1], (N * mass / mass.sum()).tolist(), strict=True):
        assert abs((drawn[:, 1] == value).sum().item() - expected) < 5 * math.sqrt(expected) + 1


@pytest.mark.parametrize("support", [sf.real, sf.positive, sf.Interval(-1.0, 9.0)])
@pytest.mark.parametrize("kind", [sf.AnyOrder, partial(sf.ColumnClasses, classes=4), sf.ColumnTree])
@pytest.mark.slow
def test_numbers_of_full_resolution(kind: Callable[..., ColumnDistribution], support: sf.Support) -> None:
    with sf.seeded(0):
        x = torch.randn(3000, 1).double().abs() + 0.1
        x = torch.cat([x, x + torch.rand(3000, 1)], 1).clamp(max=8.9)
        rows = kind(2, support=support).double()
    rows.initialize(x)
    low, high = 0.9, 1.3
    drawn = rows.sample(N, seed=0)
    among = drawn[(drawn[:, 0] >= low) & (drawn[:, 0] <= high)]
    found, _ = rows.sample_where(x[:1].expand(N, 2), [], {0: Region(intervals=((low, high),))}, seed=1)
    assert low <= found[:, 0].min() and found[:, 0].max() <= high
    q = [0.1, 0.5, 0.9]
    error = 0.02 if len(among) > 1000 else math.nan
    for column in (0, 1):
        levels = torch.tensor(q).double()
        assert torch.allclose(found[:, column].quantile(levels), among[:, column].quantile(levels), atol=4 * error)
        quantiles = rows.quantile(x[:1], q, column)[0]
        share = (drawn[:, column] <= quantiles[:, None]).double().mean(1)
        assert torch.allclose(share, levels, atol=0.015)


@pytest.mark.parametrize("given", [[], [1]])
@pytest.mark.slow
def test_masses_and_quantiles_are_integrals_of_the_density(given: list[int]) -> None:
    with sf.seeded(0):
        x = torch.randn(500, 1).double().exp()
        x = torch.cat([x, torch.randint(3, (500, 1)).double()], 1)
        support = sf.product([sf.positive, sf.Integers(3)])
        rows = sf.ColumnMixture([moved(sf.AnyOrder(2, support=support, width=8)), sf.ColumnTree(2, support=support)])
        rows.double().initialize(x)
    rows.weigh(x[:100])
    rows.eval()
    log_v = torch.linspace(math.log(1e-4), math.log(1e4), 20_001).double()
    v = log_v.exp()
    density = rows.log_prob_of(torch.stack([v, torch.ones_like(v)], 1), [0], given).exp().detach() * v
    assert torch.trapezoid(density, log_v).item() == pytest.approx(1, abs=1e-3)
    one = torch.ones(1, 2).double()
    known = torch.tensor([[False, 1 in given]])
    within = Within.of(rows.layout, 0, Region(intervals=((0.5, 2.0),)))
    _, log_mass = rows._marginal(one, known, 0, None).draw_within(within)
    between = density * ((v >= 0.5) & (v <= 2.0))
    assert log_mass.exp().item() == pytest.approx(torch.trapezoid(between, log_v).item(), abs=1e-3)
    for q in (0.1, 0.5, 0.9):
        below = density * (v <= rows.quantile(one, [q], 0, given).item())
        assert torch.trapezoid(below, log_v).item() == pytest.approx(q, abs=1e-3)


def test_regions_that_cannot_be_are_refused() -> None:
    tree, x = _tree(), EVERY[:2]
    with pytest.raises(sf.DataError, match="no value of column 1"):
        tree.sample_where(x, [], {1: Region(intervals=((7.0, 9.0),))})
    with pytest.raises(sf.DataError, match="missing"):
        tree.sample_where(x, [], {0: Region(points=(NAN,))})
    with pytest.raises(sf.DataError, match="has the values"):
        tree.sample_where(x, [], {0: Region(points=(2.0,))})
    with pytest.raises(sf.ShapeError, match="region or a known value"):
        tree.sample_where(x, [1], {1: Region(points=(0.5,))})
    with pytest.raises(sf.ShapeError, match="asked for and known"):
        tree.shares(x, 1, torch.tensor([False, True, False, False]))
    real = sf.ColumnTree(1, support=sf.real)
    with pytest.raises(sf.DataError, match="no probability"):
        real.sample_where(torch.zeros(1, 1), [], {0: Region(points=(0.5,))})


def test_several_orders_count_as_they_predict_what_is_known() -> None:
    table = _table()
    table.weigh(_rows(200))
    x = EVERY[::5]
    both, before = [], []
    for order in table.order_table[: table.used].tolist():
        given, of = ([c for c in order if c in part] for part in ([1, 2], [0, 3]))
        terms = table._terms(x, torch.tensor([[*given, *of]]), None)
        both.append(terms.sum(1))
        before.append(terms[:, given].sum(1))
    weight = table.log_weight[: table.used, None]
    expected = (torch.stack(both) + weight).logsumexp(0) - (torch.stack(before) + weight).logsumexp(0)
    assert torch.allclose(table.log_prob_of(x, [0, 3], given=[1, 2]), expected, atol=1e-6)
    assert torch.allclose(table.log_prob_of(x, [0, 1, 2, 3]), table.log_prob(x), atol=1e-6)
    assert MIXED.contains(x).all()


@every
@pytest.mark.parametrize("known", [[], [2], [0, 3], [0, 1, 3], [0, 1, 2, 3]])
def test_marginals_at_once_are_those_of_each_column(build: Build, known: list[int]) -> None:
    rows, row = build(), EVERY[30:31]
    found, weight = rows.marginals(row, known)
    assert sorted([*found, *known]) == list(range(4)) and weight.tolist() == [1.0]
    mask = torch.tensor([column in known for column in range(4)])
    edges = torch.tensor([[-math.inf, 0.3, 1.2, 4.0, math.inf]]).double()
    for column, marginal in found.items():
        torch.testing.assert_close(marginal.shares, rows.shares(row, column, mask), rtol=1e-4, atol=1e-6)
        if rows.layout.rests[column]:
            q = (0.1, 0.5, 0.9)
            assert torch.equal(marginal.quantile(q), rows.quantile(row, q, column, mask))
            rest = marginal.shares[:, marginal.rest]
            torch.testing.assert_close(marginal.mass(edges[:, :-1], edges[:, 1:]).sum(1), rest, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("build", [_tree, _mixture])
@pytest.mark.parametrize("case", ["range", "two"])
def test_marginals_given_regions_are_the_mean_over_their_draws(build: Build, case: str) -> None:
    rows, (where, inside) = build(), REGIONS[case]
    mass = rows.log_prob(EVERY).exp().detach() * inside * (EVERY[:, 0] == 1)
    found, weight = rows.marginals(EVERY[40:41] * 0 + 1, [0], where, draws=6000, seed=0)
    assert set(found) == set(range(1, 4)) - set(where) and weight.sum().item() == pytest.approx(1)
    for column, marginal in found.items():
        values = marginal.values
        expected = torch.stack([mass[(EVERY[:, column] == v) | (EVERY[:, column].isnan() & v.isnan())].sum()
                                for v in values]) / mass.sum()  # fmt: skip
        shares = (marginal.shares * weight[:, None]).sum(0)
        if marginal.rest < 0:
            torch.testing.assert_close(shares, expected.double(), atol=0.02, rtol=0)
    assert torch.equal(rows.marginals(EVERY[:1] * 0 + 1, [0], where, seed=1)[1],
                       rows.marginals(EVERY[:1] * 0 + 1, [0], where, seed=1)[1])  # fmt: skip


def test_lines_of_a_marginal_are_those_of_its_rows() -> None:
    index, edges = torch.tensor([2, 0, 2]), torch.tensor([[0.2, 0.9, 1.6]]).double()
    for rows in (_tree(), _mixture(), _table()):
        whole = rows._marginals(EVERY[:3].double(), rows._mask([0]).expand(3, -1), [1], None)[0]
        picked = whole.of_rows(index)
        assert torch.equal(picked.shares, whole.shares[index])
        torch.testing.assert_close(picked.mass(edges[:, :-1], edges[:, 1:]),
                                   whole.mass(edges[:, :-1], edges[:, 1:])[index])  # fmt: skip


def test_marginals_are_of_one_row() -> None:
    rows = _table()
    with pytest.raises(sf.errors.ShapeError, match="one row"):
        rows.marginals(EVERY[:2])
    with pytest.raises(sf.errors.ShapeError, match="a region or a known value"):
        rows.marginals(EVERY[:1], [0], {0: Region(points=(1.0,))})
