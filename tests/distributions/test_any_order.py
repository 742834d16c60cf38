"""Rows of mixed columns: total mass in every order, conditionals as ratios, draws that follow, numbers on grids."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import surflow as sf
from registry import moved
from surflow.distributions.knots import Knots, fitted_knots
from surflow.serialization.architecture import build, describe

NAN = math.nan
HALVES = sf.WithAtoms(sf.Grid(0.5, low=0.0, high=2.0), atoms=(1.0,), missing=True)
MIXED = sf.product(
    [sf.Integers(2), HALVES, sf.WithAtoms(sf.Integers(2), missing=True), sf.Grid(1.0, low=3.0, high=5.0)]
)
VALUES = [[0, 1], [0, 0.5, 1, 1.5, 2, NAN], [0, 1, NAN], [3, 4, 5]]
EVERY = torch.cartesian_prod(*[torch.tensor(v, dtype=torch.float64) for v in VALUES])


def _rows(n: int = 300) -> Tensor:
    """Rows of the mixed table of which some are more frequent."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(len(EVERY), generator=generator).pow(4)
    return EVERY[weight.multinomial(n, replacement=True, generator=generator)]


def _table(*, orders: int = 8, initialized: bool = True) -> sf.AnyOrder:
    with sf.seeded(0):
        table = moved(sf.AnyOrder(4, support=MIXED, width=8, layers=2, components=3, dropout=0.0, orders=orders))
    if initialized:
        table.initialize(_rows())
    return table.double().eval()


def _number(x: Tensor) -> Tensor:
    """Which of all rows each row is."""
    same = (x[:, None] == EVERY) | (x[:, None].isnan() & EVERY.isnan())
    return same.all(2).double().argmax(1)


# -- supports ---------------------------------------------------------------------------------------------


def test_numbers_on_a_grid() -> None:
    cents = sf.Grid(0.01, low=0.0, high=20_000.0)
    x = torch.arange(0, 2_000_001, 997).double()[:, None] / 100
    assert cents.contains(x).all() and not cents.contains(x + 0.004).any()
    assert not cents.contains(torch.tensor([[-0.01], [20_000.01], [NAN], [math.inf]]).double()).any()
    third = sf.Grid(1 / 3, origin=0.1)
    assert third.contains(third.some(x)[None, None]) and third.contains(torch.tensor([[0.1 - 5 / 3]]).double())
    odd = sf.Grid(2.0, origin=1.0, low=4.0, high=9.0)
    assert odd.contains(torch.tensor([[5.0], [9.0], [4.0], [3.0]])).tolist() == [True, True, False, False]


@pytest.mark.parametrize("support", [sf.Grid(0.01), sf.Grid(0.1, low=-5.0), sf.Grid(0.01, low=0.0, high=1e5)], ids=str)
def test_numbers_of_a_grid_that_single_precision_would_move_are_in_double(support: sf.Grid) -> None:
    assert sf.AnyOrder(1, support=support, width=8).sample(3).dtype == torch.float64
    assert sf.AnyOrder(1, support=sf.Grid(0.1, low=0.0, high=9.0), width=8).sample(3).dtype == torch.float32


def test_missing_values_are_events_where_the_support_says_so() -> None:
    x = torch.tensor([[NAN, 0.0], [0.0, NAN], [2.5, 1.0], [2.6, NAN], [1.0, 1.0]])
    support = sf.product([sf.WithAtoms(sf.Grid(0.5), missing=True), sf.Integers(2)])
    assert support.contains(x).tolist() == [True, False, True, False, True]
    assert support.undefined(x).tolist() == [False, True, False, True, False]
    assert support.outside(x).tolist() == [False, False, False, False, False]
    assert support.outside(torch.tensor([[NAN, 2.0], [0.3, 1.0]])).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda: sf.Grid(0.0),
        lambda: sf.Grid(1.0, low=2.0, high=1.0),
        lambda: sf.Grid(1.0, low=0.2, high=0.8),
        lambda: sf.Grid(1.0, origin=math.inf),
        lambda: sf.WithAtoms(sf.real),
        lambda: sf.WithAtoms(sf.Integers(3), atoms=(1.0,)),
        lambda: sf.WithAtoms(sf.real, atoms=(1.0, 0.0)),
        lambda: sf.WithAtoms(sf.real, atoms=(NAN,)),
        lambda: sf.WithAtoms(sf.Ordered(), missing=True),
        lambda: sf.WithAtoms(sf.WithAtoms(sf.real, missing=True), atoms=(0.0,)),
        lambda: sf.AnyOrder(2, support=sf.Permutations(2)),
    ],
)
def test_supports_that_make_no_sense(build) -> None:
    with pytest.raises(sf.SupportError):
        build()


@pytest.mark.parametrize("support", [sf.Grid(0.25, origin=0.1), sf.Grid(1.0, low=0.0), HALVES, MIXED], ids=str)
def test_supports_of_columns_are_rebuilt_equal(support: sf.Support) -> None:
    assert build(json.loads(json.dumps(describe(support)))) == support


def test_atoms_are_values_that_stand_out() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = (torch.randn(5000, generator=generator).double() * 100).round() / 10
    assert len(sf.atoms_of(smooth, 0.1)) <= 10  # one in fifty by chance
    spiked = torch.cat([smooth, torch.full((60,), 10.0), torch.zeros(500), torch.full((9,), NAN)]).double()
    assert {0.0, 10.0} <= set(sf.atoms_of(spiked, 0.1)) and len(sf.atoms_of(spiked, 0.1)) <= 12
    assert sf.atoms_of(spiked, 0.1, most=1) == (0.0,)
    assert sf.atoms_of(torch.tensor([0.3, 0.3, 0.3, 0.1, 0.1, 7.0])) == (pytest.approx(0.3),)
    assert sf.atoms_of(torch.full((4,), NAN)) == ()
    # A column whose numbers are all multiples of 25: each is met far more often than those beside it.
    rounded = torch.arange(0, 1000, 25).double().repeat(5)
    assert len(sf.atoms_of(rounded, 1.0)) == 40


# -- the density ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("initialized", [False, True])
def test_the_mass_of_all_rows_is_one_in_every_order(initialized: bool) -> None:
    table = _table(initialized=initialized)
    with torch.no_grad():
        assert table.log_prob(EVERY).exp().sum().item() == pytest.approx(1, abs=1e-9)
        for order in itertools.permutations(range(4)):
            mass = table._terms(EVERY, torch.tensor([order]), None).sum(1).exp().sum().item()
            assert mass == pytest.approx(1, abs=1e-9)


@pytest.mark.slow
def test_the_density_is_the_mean_over_orders_and_training_draws_one_a_row() -> None:
    table = _table()
    x = EVERY[:20]
    each = torch.stack([table._terms(x, order[None], None).sum(1) for order in table.order_table])
    assert torch.allclose(table.log_prob(x), each.exp().mean(0).log())
    table.train()
    assert torch.allclose(table.log_prob(x), each.exp().mean(0).log())
    alone = {o: table._terms(x, torch.tensor([o]), None).sum(1) for o in itertools.permutations(range(4))}
    drawn = torch.stack([table.elbo(x) for _ in range(200)])
    near = torch.stack([(drawn - nats).abs() < 1e-9 for nats in alone.values()])
    assert near.any(0).all()  # every one is the likelihood of some order
    mean, error = torch.stack(list(alone.values())).mean(0), drawn.std(0) / 200**0.5
    assert ((drawn.mean(0) - mean).abs() < 5 * error + 1e-9).all()  # and all orders are as probable
    table.eval()
    assert torch.equal(table.elbo(x), table.log_prob(x))


@pytest.mark.slow
def test_orders_are_weighed_by_the_likelihood_of_rows() -> None:
    table = _table()
    x = _rows(2000)
    before = table.log_prob(x).mean().item()
    table.weigh(x)
    each = torch.stack([table._terms(x, order[None], None).sum(1) for order in table.order_table]).detach()
    weight = table.log_weight.softmax(0)
    assert (weight[: table.used] > 0.009).all() and (weight[table.used :] == 0).all()
    assert torch.allclose(table.log_prob(x), (each.exp() * weight[:, None]).sum(0).log(), atol=1e-6)
    assert table.log_prob(x).mean().item() > before
    assert table.log_prob(x).mean() > each.mean(1).max() - 0.01
    assert table.log_prob(EVERY).exp().sum().item() == pytest.approx(1, abs=1e-6)
    with pytest.raises(sf.DataError, match="expected rows"):
        table.weigh(x[:0])


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.slow
def test_draws_have_the_frequencies_of_the_density(weighed: bool) -> None:
    table = _table()
    if weighed:
        table.weigh(_rows(30))
    n = 40_000
    drawn = table.sample(n, seed=0)
    assert table.support.contains(drawn).all()
    observed = torch.bincount(_number(drawn), minlength=len(EVERY)).double()
    expected = n * table.log_prob(EVERY).exp().detach()
    chi_square = ((observed - expected).square() / expected).sum().item()
    assert chi_square < len(EVERY) + 4 * math.sqrt(2 * len(EVERY))


def test_conditionals_are_joint_less_marginal() -> None:
    table = _table(orders=1)
    x = EVERY[::5]
    both = table.log_prob_of(x, of=[2, 0, 1])
    assert torch.allclose(both, table.log_prob_of(x, [2]) + table.log_prob_of(x, [0, 1], given=[2]), atol=1e-9)
    assert torch.allclose(both, table.log_prob_of(x, [2, 0]) + table.log_prob_of(x, [1], given=[2, 0]), atol=1e-9)
    other = x.clone()
    other[:, 3] = 17.0  # no column that is not listed matters, inside its support or not
    assert torch.equal(both, table.log_prob_of(other, of=[2, 0, 1]))


def test_the_mass_given_others_is_one() -> None:
    table = _table()
    mass = table.log_prob_of(EVERY, of=[1, 3], given=[2]).exp().reshape(2, 6, 3, 3)
    assert torch.allclose(mass.sum((1, 3)), torch.ones(2, 3).double(), atol=1e-9)


@pytest.mark.slow
def test_rows_given_some_columns_keep_them_and_follow_the_conditional() -> None:
    table = _table(orders=24)  # all there are
    n = 20_000
    x = EVERY[57].expand(n, 4)
    drawn = table.sample_given(x, [1, 2], seed=0)
    assert torch.equal(drawn[:, [1, 2]].nan_to_num(9.0), x[:, [1, 2]].nan_to_num(9.0))
    states = EVERY[57].repeat(6, 1)
    states[:, [0, 3]] = torch.cartesian_prod(torch.arange(2.0), torch.arange(3.0, 6.0)).double()
    orders = [[*g, *o] for g in itertools.permutations([1, 2]) for o in itertools.permutations([0, 3])]
    given_first = torch.tensor(orders)
    mass = torch.stack([table._terms(states, order[None], None)[:, [0, 3]].sum(1).exp() for order in given_first])
    mass = mass.mean(0).detach()
    # What is known comes in an order of its own in each row.
    observed = torch.stack([(drawn == state).where(~state.isnan(), True).all(1).sum() for state in states])
    assert ((observed - n * mass).abs() < 5 * (n * mass).sqrt()).all()
    mask = torch.rand(n, 4) < 0.5
    rows = EVERY[torch.randint(len(EVERY), (n,))]
    filled = table.sample_given(rows.where(mask, 77.0), mask, seed=1)
    assert table.support.contains(filled).all()
    assert torch.equal(filled[mask].nan_to_num(9.0), rows[mask].nan_to_num(9.0))


def test_the_account_of_a_row_is_each_value_given_the_others() -> None:
    table = _table()
    x = EVERY[::7]
    account = table.account(x)
    assert account.shape == x.shape
    for column in range(4):
        others = [int(c) for c in table.order_table[0] if c != column]
        order = torch.tensor([[*others, column]])
        assert torch.allclose(account[:, column], table._terms(x, order, None)[:, column], atol=1e-9)


def test_quantiles_are_where_the_conditional_mass_passes() -> None:
    table = _table(orders=1)
    x = EVERY[:1].repeat(6, 1)
    x[:, 1] = torch.tensor(VALUES[1]).double()
    mass = table.log_prob_of(x, [1], given=[3, 0]).exp().detach()
    below = (mass[:5] / mass[:5].sum()).cumsum(0)
    q = [0.01, 0.2, 0.5, 0.8, 0.99]
    found = table.quantile(x[:1], q, 1, known=[3, 0])[0]
    for probability, value in zip(q, found.tolist(), strict=True):
        assert value == VALUES[1][int((below < probability).sum())]


def test_values_outside_have_no_mass_and_what_is_given_must_be_inside() -> None:
    table = _table()
    x = EVERY[:1].repeat(5, 1)
    x[0, 0], x[1, 1], x[2, 3], x[3, 0], x[4, 3] = 2.0, 0.75, 6.0, NAN, math.inf
    assert (table.log_prob(x) == -math.inf).all()
    with pytest.raises(sf.DataError, match=r"row 1, column 1, 0\.75"):
        table.log_prob_of(x, [0], given=[1])
    with pytest.raises(sf.DataError, match="known"):
        table.sample_given(x, [3])
    for of, given in (([0], [0]), ([4], []), ([0, 0], []), ([-1], [])):
        with pytest.raises(sf.ShapeError, match="each listed once"):
            table.log_prob_of(EVERY[:1], of, given)
    with pytest.raises(sf.DataError, match="column of numbers"):
        table.quantile(EVERY[:1], [0.5], 0)
    with pytest.raises(sf.ShapeError, match="vectors"):
        sf.AnyOrder((2, 2), support=sf.real)
    with pytest.raises(sf.ConfigError, match="heads"):
        sf.AnyOrder(2, support=sf.real, width=9)


# -- scales and frequencies -------------------------------------------------------------------------------


def test_scales_are_inverted_and_their_slopes_are_derivatives() -> None:
    v = torch.cat([torch.randn(500).exp(), torch.randn(500).abs() * 100]).double()
    scale = Knots(*fitted_knots(v, 0.0, Knots.line(0.0, 1.0)).unsqueeze(1))
    assert (scale.x.diff() > 0).all() and (scale.z.diff() > 0).all() and (scale.slope > 0).all()
    x = torch.linspace(-50.0, 1e4, 4001).double()[None].requires_grad_()
    z, log_slope = scale.forward(x)
    assert (z.diff() > 0).all() and torch.allclose(scale.inverse(z.detach()), x, rtol=1e-9, atol=1e-9)
    (slope,) = torch.autograd.grad(z.sum(), x)
    assert torch.allclose(slope.log(), log_slope, atol=1e-9)
    z, _ = scale.forward(v[None])
    assert abs(z.mean()) < 0.1 and abs(z.std() - 1) < 0.1


def test_before_training_a_table_is_its_columns_frequencies() -> None:
    with sf.seeded(0):
        table = sf.AnyOrder(4, support=MIXED, width=8, dropout=0.0).double()
    rows = _rows(5000)
    table.initialize(rows)
    x = EVERY[_number(rows)]
    nats = table._terms(x, table.order_table[:1], None).mean(0)
    for column in (0, 2):
        share = x[:, column].nan_to_num(9.0).unique(return_counts=True)[1] / len(x)
        assert -nats[column].item() == pytest.approx(-(share * share.log()).sum().item(), abs=0.01)


@pytest.mark.slow
def test_a_category_that_training_did_not_hold_is_possible() -> None:
    with sf.seeded(0):
        table = sf.AnyOrder(1, support=sf.Integers(5), width=8)
    x = torch.randint(4, (500, 1)).float()
    sf.fit(table, x, steps=100, lr=0.05, progress=False)
    unseen = table.log_prob(torch.tensor([[4.0]])).item()
    assert -12 < unseen < -4


def test_cents_of_millions_are_told_apart_and_their_masses_are_the_density_times_the_step() -> None:
    support = sf.product([sf.Grid(0.01, low=0.0), sf.Integers(2)])
    x = torch.stack([(torch.randn(2000).double() * 2 + 14).exp().mul(100).round() / 100, torch.ones(2000)], 1)
    with sf.seeded(0):
        table = sf.AnyOrder(2, support=support, width=8, dropout=0.0)
        real = sf.AnyOrder(2, support=sf.product([sf.positive, sf.Integers(2)]), width=8, dropout=0.0)
    table.initialize(x)
    assert table.layout.knots.dtype == torch.float64 and table.half().layout.knots.dtype == torch.float64
    table = table.float()
    assert table.layout.inside(x, table.layout.entries(x)).all()
    real.double().initialize(x)
    real.load_state_dict({k: table.state_dict()[k] if "layout.knots" in k else v for k, v in real.state_dict().items()})
    masses, densities = table.double().log_prob(x), real.log_prob(x)
    large = x[:, 0] > 1000
    assert torch.allclose(masses[large], densities[large] + math.log(0.01), atol=2e-3)


@pytest.mark.slow
def test_a_table_trains_saves_and_comes_back_to_the_bit(tmp_path: Path) -> None:
    rows = _rows(2000)
    with sf.seeded(0):
        table = sf.AnyOrder(4, support=MIXED, width=16, layers=2)
    flow = sf.Flow([], base=table)
    flow.initialize(rows.float())
    before = flow.eval().log_prob(rows.float()).mean()
    sf.fit(flow, rows, steps=150, lr=5e-3, validation=0.1, validate_every=50, progress=False)
    assert flow.log_prob(rows.float()).mean() > before + 0.2
    table.weigh(rows.float())
    flow.save(tmp_path / "table.safetensors")
    again = sf.load(tmp_path / "table.safetensors")
    assert torch.equal(again.log_prob(rows.float()), flow.log_prob(rows.float()))
    assert torch.equal(again.sample(50, seed=0).nan_to_num(9.0), flow.sample(50, seed=0).nan_to_num(9.0))


def test_missing_values_are_refused_where_the_support_does_not_hold_them() -> None:
    rows = _rows().float()
    rows[3, 0] = NAN
    with pytest.raises(sf.DataError, match="1 of 300 rows of x hold NaN or infinite values, the first at row 3"):
        sf.fit(_table().float(), rows, steps=1, progress=False)


def test_with_waves_masses_sum_to_one_in_every_order_and_small_differences_are_seen() -> None:
    with sf.seeded(0):
        rows = sf.AnyOrder(2, support=sf.product([sf.Integers(2), sf.Grid(0.01, low=0.0, high=1.0)]), waves=6)
    rows.eval()  # without dropout
    with torch.no_grad():
        rows.conditionals.bias.normal_()
        rows.conditionals.inner.weight.normal_(std=0.3)
        every = torch.cartesian_prod(torch.arange(2.0), torch.arange(101.0) / 100)
        assert rows.log_prob(every).exp().sum().item() == pytest.approx(1.0, abs=1e-5)
        given = rows.log_prob_of(every, of=[0], given=[1]).exp().reshape(2, -1)
        torch.testing.assert_close(given.sum(0), torch.ones(101))
        assert (given[0].diff().abs() > 1e-6).all()
    with pytest.raises(sf.ConfigError, match="waves=-1"):
        sf.AnyOrder(2, support=sf.Integers(2), waves=-1)
