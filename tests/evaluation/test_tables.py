"""Figures of tables: what they are where the answer is known, of equal, disjoint, copied, independent and tied sets."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score

import surflow as sf
from surflow.data import Column, ColumnKind, Part, Schema, Splits
from surflow.data.tables.support import support_of
from surflow.evaluation import (
    associations,
    column_scores,
    copies,
    detection,
    evaluate,
    linear_relations,
    memory,
    share_and_error,
    usefulness,
)
from surflow.evaluation.detection import auc
from surflow.evaluation.features import categorical, snapped
from surflow.evaluation.oddity import odd_rows
from surflow.evaluation.usefulness import _r_squared
from surflow.supports.columns import Grid, WithAtoms

MIXED = sf.product([sf.Integers(3), WithAtoms(Grid(0.5), missing=True), WithAtoms(sf.Integers(4), missing=True)])


def mixed_rows(n, seed=0, holes=0.1):
    """Category, number that depends on it, and another category that is independent of both."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(3, (n,), generator=generator).double()
    number = ((kind + torch.randn(n, generator=generator)) * 2).round() / 2
    other = torch.randint(4, (n,), generator=generator).double()
    x = torch.stack([kind, number, other], 1)
    gone = torch.rand(n, 2, generator=generator) < holes
    x[:, 1:] = x[:, 1:].masked_fill(gone, math.nan)
    return x


# -- detection --------------------------------------------------------------------------------------------


def test_area_and_its_error():
    random = np.random.default_rng(0)
    values = []
    for _ in range(200):
        positive = random.random(300) < 0.3
        score = np.round(random.normal(size=300) + positive, 1)  # with ties
        value, influence = auc(score, positive)
        assert value == pytest.approx(roc_auc_score(positive, score), abs=1e-12)
        values.append((value, np.square(influence).sum()))
    spread, stated = np.std([v for v, _ in values]), math.sqrt(np.mean([e for _, e in values]))
    assert stated == pytest.approx(spread, rel=0.15)


def test_draws_of_one_distribution_are_not_told_apart():
    found = detection(mixed_rows(600, 1), mixed_rows(600, 2), MIXED)
    assert abs(found.auc - 0.5) < 4 * found.error
    assert 0.01 < found.error < 0.03


def test_what_differs_is_found_and_said():
    x, y = mixed_rows(300, 1, holes=0), mixed_rows(300, 2, holes=0)
    y[:, 1] += 100
    found = detection(x, y, MIXED)
    assert found.auc == 1.0
    assert found.without[1] < 0.6 and found.without[0] == found.without[2] == 1.0


def test_samples_given_the_same_context_are_not_told_by_it():
    # Every row is a function of its own context: free folds would meet the context of a test row in training.
    context = torch.randn(300, 1, generator=torch.Generator().manual_seed(0)).double()
    found = detection(context.repeat(1, 2), context.repeat(1, 2), sf.real, given=context)
    assert found.auc == pytest.approx(0.5, abs=1e-9)


# -- usefulness -------------------------------------------------------------------------------------------


def test_r_squared_and_its_error():
    random = np.random.default_rng(0)
    values = []
    for _ in range(200):
        truth = random.normal(size=400)
        guess = truth + random.normal(size=400)
        value, influence = _r_squared(truth, guess)
        assert value == pytest.approx(r2_score(truth, guess))
        values.append((value, np.square(influence).sum()))
    spread, stated = np.std([v for v, _ in values]), math.sqrt(np.mean([e for _, e in values]))
    assert stated == pytest.approx(spread, rel=0.15)


@pytest.mark.slow
def test_samples_of_the_distribution_are_worth_as_much_as_rows():
    found = usefulness(mixed_rows(500, 1), mixed_rows(500, 2), mixed_rows(500, 3), MIXED)
    assert found.columns == [0, 1, 2] and found.classes == [True, False, True]
    assert found.real[0] > 0.3 and found.real[1] > 0.3 and abs(found.real[2]) < 0.15
    assert ((found.samples - found.real).abs() < 4 * found.error + 1e-9).all()
    real, drawn, error = found.mean
    assert abs(real - drawn) < 4 * error


@pytest.mark.slow
def test_samples_of_independent_columns_are_worth_nothing():
    samples = mixed_rows(500, 2)
    samples = torch.stack([column[torch.randperm(500)] for column in samples.T], 1)
    found = usefulness(mixed_rows(500, 1), samples, mixed_rows(500, 3), MIXED)
    assert found.mean[0] > 0.3 and abs(found.mean[1]) < 0.15


def test_columns_of_one_value_or_none_are_left_out():
    x = mixed_rows(200)
    x[:, 0], x[:, 2] = 1.0, math.nan
    assert usefulness(x, x, x, MIXED).columns == [1]
    x[:, 1] = math.nan
    assert usefulness(x, x, x, MIXED).mean is None


# -- memory -----------------------------------------------------------------------------------------------


def test_copied_rows_are_noticed():
    train, held_out = mixed_rows(300, 1), mixed_rows(300, 2)
    found = memory(train, held_out, train, MIXED)
    assert found.nearer > 0.6 and found.p < 1e-6 and found.rows == 300  # many rows are in both sets
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    assert memory(x[:200], x[200:], x[:200] + 1e-3, sf.real).nearer == 1.0


def test_fresh_draws_remember_nothing():
    p = [memory(mixed_rows(80, s), mixed_rows(80, s + 1000), mixed_rows(300, s + 2000), MIXED).p for s in range(60)]
    # Under chance p is uniform.
    assert 0.3 < np.mean(p) < 0.7
    assert np.mean(np.array(p) < 0.05) < 0.15


def test_more_rows_of_one_set_do_not_matter():
    assert memory(mixed_rows(1000, 1), mixed_rows(100, 2), mixed_rows(500, 3), MIXED).p > 0.01


def test_copies_count_missing_values():
    x = torch.tensor([[1.0, math.nan], [1.0, 2.0], [-0.0, 0.0]])
    assert copies(x, torch.tensor([[1.0, math.nan], [0.0, 0.0], [7.0, 7.0]])).tolist() == [True, False, True]
    assert copies(x, x[:0]).tolist() == [False] * 3


def test_a_share_of_none_has_an_error():
    share, error = share_and_error(torch.zeros(50, dtype=torch.bool))
    assert share == 0 and 0.01 < error < 0.05


# -- associations -----------------------------------------------------------------------------------------


def test_a_function_has_association_one_and_independent_columns_none():
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(4, (4000,), generator=generator).double()
    number = torch.randn(4000, generator=generator).double()
    hidden = torch.where(number > 1, math.nan, number)
    x = torch.stack([kind, 3 - kind, number, number.square(), hidden], 1)
    support = sf.product([sf.Integers(4), sf.Integers(4), sf.real, sf.real, WithAtoms(sf.real, (), missing=True)])
    r = associations(x, support)
    assert torch.allclose(r, r.T, atol=1e-12) and torch.equal(r.diagonal(), torch.ones(5, dtype=r.dtype))
    assert r[0, 1] > 0.999
    assert r[2, 3] > 0.85 and r[2, 4] > 0.9
    assert r[0, 2:].max() < 0.08


def test_of_normal_numbers_it_is_about_the_correlation():
    generator = torch.Generator().manual_seed(0)
    for rho in (0.3, 0.6, 0.9):
        a, b = torch.randn(2, 5000, generator=generator)
        r = associations(torch.stack([a, rho * a + math.sqrt(1 - rho**2) * b], 1), sf.real)[0, 1].item()
        assert rho - 0.1 < r < rho + 0.05


def test_of_two_answers_it_is_about_the_correlation():
    a, b = torch.rand(2, 20_000, generator=torch.Generator().manual_seed(0))
    x = torch.stack([a < 0.5, torch.where(b < 0.4, a < 0.5, torch.rand(20_000) < 0.5)], 1).double()
    r = associations(x, sf.product([sf.Integers(2)] * 2))[0, 1].item()
    assert r == pytest.approx(np.corrcoef(x.T)[0, 1], abs=0.06)


def test_what_a_single_row_says_is_no_association():
    x = torch.zeros(1000, 2)
    x[0] = 1
    assert associations(x, sf.product([sf.Integers(2)] * 2))[0, 1] == 0
    assert associations(x[:0], sf.product([sf.Integers(2)] * 2)).tolist() == [[1, 0], [0, 1]]


# -- linear relations -------------------------------------------------------------------------------------


def test_a_sum_of_columns_is_found_once():
    generator = torch.Generator().manual_seed(0)
    a, b, c, d = torch.randn(4, 300, generator=generator).double() * torch.tensor([1.0, 100, 1e-3, 1])[:, None]
    kind = torch.randint(3, (300,), generator=generator).double()
    near = b + 0.1 * torch.randn(300, generator=generator)
    x = torch.stack([a, b, kind, a - 3 * b + 1e6, c, near, 2 * c], 1)
    support = sf.product([sf.real, sf.real, sf.Integers(3), sf.real, sf.real, sf.real, sf.real])
    assert linear_relations(x, support) == [(3, [0, 1]), (6, [4])]
    x[5, 1] = math.nan  # rows with holes are left out
    assert linear_relations(x, support) == [(3, [0, 1]), (6, [4])]
    assert linear_relations(torch.stack([a, d], 1), sf.real) == []
    assert linear_relations(x[:5], support) == []  # any few rows are on a plane
    assert linear_relations(torch.ones(100, 2), sf.real) == []


# -- baselines --------------------------------------------------------------------------------------------


def test_masses_of_the_simple_models_sum_to_one():
    support = sf.product([sf.Integers(3), WithAtoms(Grid(1.0, low=0.0, high=6.0), (2.0,), missing=True)])
    train = torch.stack([torch.arange(60) % 3, (torch.arange(60) % 3 + torch.arange(60) % 4)], 1).double()
    train[::7, 1] = math.nan
    numbers = torch.tensor([*range(7), math.nan], dtype=torch.float64)
    every = torch.cartesian_prod(torch.arange(3.0).double(), numbers)
    for name, score in column_scores(train, every, support).items():
        assert score.exp().sum().item() == pytest.approx(1, abs=1e-5), name


def test_independent_columns_are_the_product_of_their_frequencies():
    train = torch.cartesian_prod(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0])).repeat(200, 1)
    train = train[torch.randperm(len(train))]
    every = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    score = column_scores(train, every, sf.product([sf.Integers(2)] * 2))["independent"]
    assert score.exp().tolist() == pytest.approx([1 / 3, 1 / 6], abs=0.003)


def test_masses_of_the_copula_sum_to_one():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(500, generator=generator)
    x = torch.stack([a, a + 0.3 * torch.randn(500, generator=generator)], 1)
    x = (3 * x).round().clamp(-6, 8).double()
    support = sf.product([Grid(1.0, low=-6.0, high=8.0), WithAtoms(Grid(1.0, low=-6.0, high=8.0), (0.0,))])
    line = torch.arange(-6.0, 9.0).double()
    every = torch.cartesian_prod(line, line)
    scores = column_scores(x, every, support)
    assert scores["copula"].exp().sum().item() == pytest.approx(1, abs=1e-9)
    held_out = column_scores(x[:400], x[400:], support)
    assert held_out["copula"].mean() > held_out["independent"].mean() + 0.5


def test_the_copula_of_normal_numbers_is_near_to_their_density():
    generator = torch.Generator().manual_seed(0)
    x = (
        torch.randn(6000, 3, generator=generator).double()
        @ torch.tensor([[1.0, 2, 0], [0, 1, 1], [0, 0, 1.0]]).double()
    )
    normal = torch.distributions.MultivariateNormal(torch.zeros(3).double(), x[:5000].T.cov())
    got = column_scores(x[:5000], x[5000:], sf.real)["copula"]
    assert got.mean().item() == pytest.approx(normal.log_prob(x[5000:]).mean().item(), abs=0.05)


def test_categories_and_holes_have_no_copula():
    assert set(column_scores(mixed_rows(100), mixed_rows(50), MIXED)) == {"independent", "tree"}


# -- rows as a file has them ------------------------------------------------------------------------------


def test_samples_are_brought_to_the_grid():
    x = torch.tensor([[0.0, 0.26, 3.0], [2.0, math.nan, math.nan], [1.0, -0.2, 0.0]])
    got = snapped(x, MIXED)
    assert got[:, 1].tolist()[0::2] == [0.5, 0.0] and got[1, 1].isnan()
    assert not torch.signbit(got[2, 1])
    assert categorical(MIXED, 3) == [True, False, True]


# -- odd rows ---------------------------------------------------------------------------------------------


def test_the_odd_value_is_named():
    support = sf.product([sf.Integers(2)] * 3)
    bits = torch.randint(2, (400, 1), generator=torch.Generator().manual_seed(0)).double()
    x = bits.repeat(1, 3)
    tree = sf.ColumnTree(3, support=support)
    tree.initialize(x)
    x[7, 2] = 1 - x[7, 2]
    found = odd_rows(sf.Flow([], base=tree), x, rows=1)
    assert found.which.tolist() == [7]
    assert found.below[0].argmax() == 2 and found.below[0, 2] > 2
    assert odd_rows(sf.Flow([sf.Reverse(3)], base=sf.Normal(3)), x) is None


def test_odd_values_are_told_by_the_whole_mixture():
    support = sf.product([sf.Integers(2)] * 2)
    trees = [sf.ColumnTree(2, support=support) for _ in range(2)]
    bits = torch.tensor([0.0, 1.0]).repeat(100)
    trees[0].initialize(torch.stack([bits, bits], 1))
    trees[1].initialize(torch.stack([bits, 1 - bits], 1))
    mixture = sf.ColumnMixture(trees)  # under which nothing is odd
    found = odd_rows(sf.Flow([], base=mixture), torch.stack([bits, bits], 1), rows=2)
    assert found.below.abs().max() < 1e-4


# -- all together -----------------------------------------------------------------------------------------


def splits_of_rows(*parts, context=None):
    schema = Schema([
        Column("kind", ColumnKind.CATEGORY, categories=["a", "b"]),
        Column("number", ColumnKind.NUMBER, step=0.5, missing=3),
        Column("other", ColumnKind.CATEGORY, categories=["p", "q", "r"], missing=3),
    ])  # fmt: skip
    parts = [Part(x, None if context is None else x[:, :1] * 0 + context) for x in parts]
    return Splits("rows", *parts, schema.names, support_of(schema.columns), None, "rows", schema=schema)


def figures_of(flow, splits):
    return {row["metric"]: row["value"] for row in evaluate(flow, splits)}


@pytest.mark.slow
def test_every_figure_of_a_table():
    splits = splits_of_rows(mixed_rows(300, 1), mixed_rows(60, 2), mixed_rows(80, 3))
    tree = sf.ColumnTree(3, support=splits.support)
    tree.initialize(splits.train.x)
    found = figures_of(sf.Flow([], base=tree), splits)
    assert found["gain_over_tree"] == pytest.approx(0, abs=1e-6) and found["gain_over_independent"] > 0
    for name in (
        "detection_auc", "detection_without_2", "usefulness_gain", "usefulness_real_0", "association_difference",
        "association_data_0_2", "nearer_to_training", "sample_copies", "held_out_copies", "outside_samples",
        "outside_samples_1", "samples_least_1",
    ):  # fmt: skip
        assert math.isfinite(found[name]), name
    assert "outside_samples_0" not in found and "classifier_accuracy" not in found


@pytest.mark.slow
def test_a_table_that_repeats_says_so():
    few = mixed_rows(10, 1)
    splits = splits_of_rows(few.repeat(20, 1), few, few.repeat(3, 1))
    tree = sf.ColumnTree(3, support=splits.support)
    tree.initialize(splits.train.x)
    found = figures_of(sf.Flow([], base=tree), splits)
    assert found["held_out_copies"] == 1 and "nll_not_trained_on" not in found


@pytest.mark.slow
def test_a_conditional_model_of_a_table():
    splits = splits_of_rows(mixed_rows(200, 1), mixed_rows(60, 2), mixed_rows(60, 3), context=1.0)
    rows = sf.AnyOrder(3, 1, support=splits.support, width=8, layers=1)
    rows.initialize(splits.train.x, splits.train.context)
    found = figures_of(sf.Flow([], base=rows), splits)
    assert {"detection_auc", "nearer_to_training", "usefulness_gain"} <= set(found)


def test_numbers_on_grids_are_judged_as_a_file_has_them():
    # Samples of a density lie between the points of the grid: rounded, they are not told from rows.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(900, 2, generator=generator).mul(10).round().double()
    schema = Schema([Column(name, ColumnKind.NUMBER, step=1.0) for name in "ab"])
    parts = [Part(part, None) for part in x.split(300)]
    splits = Splits("rows", *parts, ["a", "b"], sf.real, None, "rows", schema=schema)
    base = sf.Normal(2, learned=True)
    with torch.no_grad():
        base.raw[1] = math.log(10.0)
    flow = sf.Flow([], base=base)
    assert flow.sample(2000).std().item() == pytest.approx(10, rel=0.1)
    found = figures_of(flow, splits)
    assert abs(found["detection_auc"] - 0.5) < 0.12
