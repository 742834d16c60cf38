"""ColumnTree, ColumnClasses, ColumnMixture: mass one, conditionals as ratios, draws that follow, the best weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_any_order import EVERY, MIXED, _number, _rows, _table

import surflow as sf
from surflow.distributions.column_distribution import ColumnDistribution


def _tree(*, initialized: bool = True) -> sf.ColumnTree:
    tree = sf.ColumnTree(4, support=MIXED, bins=3)
    if initialized:
        tree.initialize(_rows())
    return tree.double()


def _classes(*, initialized: bool = True) -> sf.ColumnClasses:
    classes = sf.ColumnClasses(4, support=MIXED, classes=4)
    if initialized:
        with sf.seeded(0):
            classes.initialize(_rows())
            classes.weigh(_rows(100))
    return classes.double()


def _mixture() -> sf.ColumnMixture:
    mixture = sf.ColumnMixture([_table(orders=1), _tree(), _classes()]).double()
    mixture.weigh(_rows(100))
    return mixture.eval()


def _trees() -> sf.ColumnMixture:
    """A mixture of two trees that differ, by their counts and in their weights."""
    other = sf.ColumnTree(4, support=MIXED)
    other.initialize(EVERY[::3])
    mixture = sf.ColumnMixture([_tree(), other.double()]).double()
    mixture.logits.data.copy_(torch.tensor([0.3, -0.4]))
    return mixture.eval()


each = pytest.mark.parametrize("build", [_tree, _classes, _mixture])
counted = pytest.mark.parametrize("build", [_tree, _classes])
Build = Callable[[], ColumnDistribution]


@counted
@pytest.mark.parametrize("initialized", [False, True])
def test_the_mass_is_one(build: Callable[..., ColumnDistribution], initialized: bool) -> None:
    rows = build(initialized=initialized)
    assert rows.log_prob(EVERY).exp().sum().item() == pytest.approx(1, abs=1e-6)
    alone = torch.stack([rows.log_prob_of(EVERY, [i]) for i in range(4)]).sum(0)
    assert torch.allclose(alone, rows.log_prob(EVERY), atol=1e-5) == (not initialized)  # independent before


@each
@pytest.mark.slow
def test_draws_have_the_frequencies_of_the_density(build: Build) -> None:
    rows, n = build(), 40_000
    drawn = rows.sample(n, seed=0)
    observed = torch.bincount(_number(drawn), minlength=len(EVERY)).double()
    expected = n * rows.log_prob(EVERY).exp().detach()
    assert expected.sum().item() == pytest.approx(n, rel=1e-6)
    chi_square = ((observed - expected).square() / expected).sum().item()
    assert chi_square < len(EVERY) + 4 * math.sqrt(2 * len(EVERY))


@each
def test_conditionals_are_joint_less_marginal(build: Build) -> None:
    rows = build()
    x = EVERY[::5]
    pair = rows.log_prob_of(x, of=[2, 0])
    assert torch.allclose(pair, rows.log_prob_of(x, [2]) + rows.log_prob_of(x, [0], given=[2]), atol=1e-6)
    mass = rows.log_prob_of(EVERY, of=[1, 3], given=[0]).exp().reshape(2, 6, 3, 3)
    assert torch.allclose(mass.sum((1, 3)), torch.ones(2, 3).double(), atol=1e-6)


@counted
@pytest.mark.parametrize("initialized", [False, True])
def test_marginals_are_sums_of_the_joint(build: Callable[..., ColumnDistribution], initialized: bool) -> None:
    rows = build(initialized=initialized)
    joint = rows.log_prob(EVERY).exp().reshape(2, 6, 3, 3)
    marginal = rows.log_prob_of(EVERY, of=[1, 3]).exp().reshape(2, 6, 3, 3)
    assert torch.allclose(marginal[0, :, 0], joint.sum((0, 2)), atol=1e-6)
    assert torch.allclose(rows.log_prob_of(EVERY, of=[3, 0, 2, 1]), rows.log_prob(EVERY), atol=1e-6)


@each
@pytest.mark.slow
def test_rows_given_some_columns_follow_the_conditional(build: Build) -> None:
    rows, n = build(), 20_000
    x = EVERY[57].expand(n, 4)
    drawn = rows.sample_given(x, [1, 2], seed=0)
    assert torch.equal(drawn[:, [1, 2]].nan_to_num(9.0), x[:, [1, 2]].nan_to_num(9.0))
    states = EVERY[57].repeat(6, 1)
    states[:, [0, 3]] = torch.cartesian_prod(torch.arange(2.0), torch.arange(3.0, 6.0)).double()
    mass = rows.log_prob_of(states, of=[0, 3], given=[1, 2]).exp().detach()
    observed = torch.stack([(drawn == state).where(~state.isnan(), True).all(1).sum() for state in states])
    slack = 0.02 * n if isinstance(rows, sf.ColumnMixture) else 0.0  # a net is asked in orders drawn for each row
    assert ((observed - n * mass).abs() < 5 * (n * mass).sqrt() + slack).all()
    mask = torch.rand(500, 4) < 0.5
    some = EVERY[torch.randint(len(EVERY), (500,))]
    filled = rows.sample_given(some, mask, seed=1)
    assert rows.support.contains(filled).all()
    assert torch.equal(filled[mask].nan_to_num(9.0), some[mask].nan_to_num(9.0))


def test_a_tree_finds_the_pairs_that_made_the_data() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(4000, generator=generator).double()
    b = a + 0.3 * torch.randn(4000, generator=generator)
    c = b + 0.3 * torch.randn(4000, generator=generator)
    d = torch.randint(3, (4000,), generator=generator).double()
    x = torch.stack([c, d, a, b], 1)
    support = sf.product([sf.real, sf.Integers(3), sf.real, sf.real])
    tree = sf.ColumnTree(4, support=support).double()
    tree.initialize(x)
    pairs = {frozenset((i, p)) for i, p in enumerate(tree.parent.tolist()) if p >= 0}
    assert pairs - {frozenset((1, i)) for i in range(4)} == {frozenset((2, 3)), frozenset((0, 3))}
    # Entropy of the chain: a, and two steps of .3; bins lose some of it.
    floor = 1.5 * (1 + math.log(2 * math.pi)) + 2 * math.log(0.3) + math.log(3)
    assert floor < -tree.log_prob(x).mean() < floor + 0.35


def test_a_mixture_is_no_worse_than_its_parts_on_the_rows_that_weigh_it() -> None:
    rows = _rows(500)
    parts = [_table(), _tree(initialized=False), _tree()]
    mixture = sf.ColumnMixture(parts).double()
    mixture.weigh(rows)
    each = torch.stack([part.log_prob(rows) for part in parts]).detach()
    assert mixture.log_prob(rows).mean() >= each.mean(1).max() - 1e-6
    weight = mixture.logits.softmax(0).detach()
    responsibility = (each + weight.log()[:, None]).softmax(0).mean(1)
    assert torch.allclose(weight, responsibility, atol=1e-3)  # where expectation-maximisation comes to rest
    with pytest.raises(sf.DataError, match="expected rows"):
        mixture.weigh(rows[:0])
    with pytest.raises(sf.DataError, match="AnyOrder"):
        sf.ColumnMixture([sf.Categorical(2, levels=2)])  # type: ignore[list-item]
    with pytest.raises(sf.ConfigError, match="two bins"):
        sf.ColumnTree(2, support=sf.real, bins=1)


@each
def test_saved_and_loaded_to_the_bit(build: Build, tmp_path: Path) -> None:
    flow = sf.Flow([], base=build()).eval()
    flow.save(tmp_path / "rows.safetensors")
    again = sf.load(tmp_path / "rows.safetensors")
    assert torch.equal(again.log_prob(EVERY), flow.log_prob(EVERY))
    assert torch.equal(again.sample(9, seed=0).nan_to_num(9.0), flow.sample(9, seed=0).nan_to_num(9.0))


@pytest.mark.parametrize("build", [_tree, lambda: _tree(initialized=False), _classes, _trees])
def test_the_account_is_each_value_given_the_others(build: Build) -> None:
    rows = build()
    joint = rows.log_prob(EVERY).exp().reshape(2, 6, 3, 3)
    account = rows.account(EVERY).reshape(2, 6, 3, 3, 4)
    for column in range(4):
        expected = (joint / joint.sum(column, keepdim=True)).log()
        assert torch.allclose(account[..., column], expected, atol=1e-5)
