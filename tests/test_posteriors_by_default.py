"""fit_posterior: its densities are densities, and what it finds in simulations is there."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Independent, LogNormal, Uniform

import surflow as sf
from surflow.data import simulator
from surflow.distributions.symmetrized import Symmetrized
from surflow.evaluation import log_probs
from surflow.nets.selected import Selected
from surflow.sbi.structure import Exchange, Symmetry, group, informative, one_of_each_orbit, symmetries
from surflow.sbi.trust import coverage, sentence


def _draws(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def _quick(monkeypatch) -> None:
    monkeypatch.setattr("surflow.sbi.recipe._STEPS_OF_FEW", 60)


@pytest.mark.usefixtures("_quick")
@pytest.mark.slow
def test_the_density_keeps_to_the_box_and_has_mass_one_there() -> None:
    prior = Independent(Uniform(torch.zeros(1), 2 * torch.ones(1)), 1)
    theta = 2 * torch.rand(300, 1, generator=torch.Generator().manual_seed(0))
    flow = sf.sbi.fit_posterior(theta, theta + 0.3 * _draws(1, 300, 1), prior=prior).flow
    assert flow.support == sf.Interval(0, 2)
    middles = (torch.arange(20_000)[:, None] + 0.5) / 10_000
    for x in (-0.5, 0.1, 1.0, 2.2):
        mass = log_probs(flow, middles, torch.full((20_000, 1), x)).exp().mean() * 2
        assert mass.item() == pytest.approx(1, abs=2e-3)
        drawn = flow.sample(1000, torch.tensor([[x]]), seed=0)
        assert drawn.min() >= 0 and drawn.max() <= 2
    assert (log_probs(flow, torch.tensor([[-0.1], [2.1]]), torch.ones(2, 1)) == -math.inf).all()


@pytest.mark.usefixtures("_quick")
def test_a_linear_gaussian_is_found_and_nearly_exact() -> None:
    task = simulator("gaussian_linear")
    fitted = sf.sbi.fit_posterior(*task.sample(1000, seed=0), prior=task.prior)
    assert any("linear Gaussian" in said for said in fitted.findings)
    theta, x = task.sample(1000, seed=1)
    gap = task.posterior(x, draws=2).log_prob(theta) - log_probs(fitted.flow, theta, x)
    # Sixty-five numbers from a thousand simulations cost .03 nats, if all others are known to be zero.
    assert -3 * gap.std() / 1000**0.5 < gap.mean() < 0.06


@pytest.mark.usefixtures("_quick")
@pytest.mark.slow
def test_a_seed_gives_the_same_posterior_and_a_file_too(tmp_path) -> None:
    task = simulator("two_moons")
    theta, x = task.sample(200, seed=0)
    one, two = (sf.sbi.fit_posterior(theta, x, prior=task.prior, seed=3) for _ in range(2))
    assert torch.equal(one.flow.log_prob(theta, x), two.flow.log_prob(theta, x)) and str(one) == str(two)
    one.flow.save(tmp_path / "posterior.safetensors")
    loaded = sf.load(tmp_path / "posterior.safetensors")
    assert torch.equal(loaded.log_prob(theta, x), one.flow.log_prob(theta, x))


def test_draws_of_mixtures_and_of_means_over_groups_need_no_density(monkeypatch) -> None:
    p, _ = _symmetrized()
    mixture = sf.Flow([], base=sf.Mixture([p, sf.Flow([], base=p)]))
    x = torch.zeros(1, 2)
    drawn = mixture.sample_and_log_prob(50, x, seed=0)[0]
    monkeypatch.setattr(Symmetrized, "_log_prob", None)
    assert torch.equal(mixture.sample(50, x, seed=0), drawn)


@pytest.mark.usefixtures("_quick")
def test_half_lines_stay_half_lines() -> None:
    prior = Independent(LogNormal(torch.zeros(2), torch.ones(2)), 1)
    theta = _draws(0, 200, 2).exp()
    flow = sf.sbi.fit_posterior(theta, theta.log() + _draws(1, 200, 2), prior=prior).flow
    assert flow.support == sf.positive and (flow.sample(99, torch.zeros(1, 2), seed=0) > 0).all()


def test_a_coordinate_that_tells_nothing_is_left_out() -> None:
    theta, noise = _draws(0, 2000, 2), _draws(1, 2000, 6)
    # A mean, a spread, and a product are told; three coordinates of noise, of which one has heavy tails, are not.
    told = torch.stack([theta[:, 0], theta[:, 1].exp(), theta.prod(1)], 1)
    x = torch.cat(
        [told[:, :1] + noise[:, :1], told[:, 1:2] * noise[:, 1:2], told[:, 2:] + noise[:, 2:3], noise[:, 3:].tan()], 1
    )
    assert informative(theta, x).tolist() == [True, True, True, False, False, False]


def test_signs_and_orders_are_found_where_they_are() -> None:
    task = simulator("slcp")
    found = symmetries(*task.sample(2000, seed=1), [0.0] * 5)
    assert [one.fold for one in found if not isinstance(one, Exchange)][:2] == [2, 3]
    assert {one.said for one in found} == {
        "observations do not tell the sign of theta3",
        "observations do not tell the sign of theta4",
        "theta1, theta5, x1, x3, x5, x7 may change their signs together",
        "theta2, theta5, x2, x4, x6, x8 may change their signs together",
        "the order of (x1, x2), (x3, x4), (x5, x6), (x7, x8) does not matter",
    }
    moons = symmetries(*simulator("two_moons").sample(2000, seed=1), [0.0, 0.0], [(0, 1)])
    assert "theta1 and theta2 may change places and signs" in {one.said for one in moons}


def test_what_has_no_symmetry_shows_none() -> None:
    theta, noise = _draws(0, 2000, 2), _draws(1, 2000, 2)
    assert not symmetries(theta, theta.exp() + 0.1 * noise, [0.0, 0.0], [(0, 1)])
    # Half-lines have no sign.
    assert not symmetries(theta, theta.abs() + 0.1 * noise + 5 * noise.square(), [None, None])


@pytest.mark.parametrize("name", ["slcp", "two_moons"])
def test_what_is_found_leaves_the_distribution_as_it_is(name: str) -> None:
    task = simulator(name)
    theta, x = task.sample(2000, seed=0)
    size = theta.shape[1]
    found = symmetries(theta, x, [0.0] * size, [(0, 1)] if size == 2 else ())
    assert found
    for one in found:
        moved = one(theta, x)
        change = task.log_likelihood(moved[1], moved[0]) - task.log_likelihood(x, theta)
        finite = change.isfinite()
        torch.testing.assert_close(change[finite], torch.zeros_like(change[finite]), rtol=0, atol=0.05)


def _moons() -> list[Symmetry]:
    found = symmetries(*simulator("two_moons").sample(2000, seed=1), [0.0, 0.0], [(0, 1)])
    return [one for one in found if isinstance(one, Symmetry)]


def test_products_of_symmetries_are_a_group_and_orbits_have_one_image_each() -> None:
    whole = group(_moons(), 8)
    assert len(whole) == 4 and len(group(_moons(), 3)) == 3
    theta, x = simulator("two_moons").sample(500, seed=0)
    keys = {(one.order, one.sign, one.x_sign) for one in whole}
    assert {(p.order, p.sign, p.x_sign) for p in (a.after(b) for a in whole for b in whole)} == keys
    for a in whole:
        torch.testing.assert_close(a.after(whole[1])(theta, x), a(*whole[1](theta, x)))
    mirrors = group([one for one in whole if one.still], 8)
    assert len(mirrors) == 2
    kept = one_of_each_orbit(mirrors, theta, x)
    assert (kept.sum(1) >= 0).all()
    torch.testing.assert_close(one_of_each_orbit(mirrors, mirrors[1](theta, x)[0], x), kept)


def _symmetrized() -> tuple[Symmetrized, list[Symmetry]]:
    whole = group(_moons(), 8)
    q = sf.presets.box(2, 2, support=sf.Interval(-1, 1), hidden=(8,), seed=0)
    for parameter in q.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(2))
    rows = [[getattr(one, name) for one in whole] for name in ("order", "sign", "x_sign")]
    return Symmetrized(q, rows[0], rows[1], whole[0].centre, rows[2], whole[0].x_centre), whole


def test_the_mean_over_a_group_is_a_density_with_its_symmetry() -> None:
    p, whole = _symmetrized()
    axis = (torch.arange(200) + 0.5) / 100 - 1
    grid, x = torch.cartesian_prod(axis, axis), torch.tensor([0.3, -0.2])
    mass = log_probs(p, grid, x.expand(len(grid), 2)).exp().mean() * 4
    assert mass.item() == pytest.approx(1, abs=5e-3)
    theta, given = 2 * torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) - 1, _draws(1, 50, 2)
    for one in whole:
        torch.testing.assert_close(p.log_prob(*one(theta, given)), p.log_prob(theta, given))
    # A mean of densities is on no events less likely than the mean of the likelihoods of their images.
    images = torch.stack([p.distribution.log_prob(*one(theta, given)) for one in whole]).mean(0)
    assert (p.log_prob(theta, given) >= images - 1e-5).all()
    assert p.log_prob(torch.tensor([[1.1, 0.0]]), given[:1]).item() == -math.inf


def test_draws_of_the_mean_over_a_group_follow_its_density() -> None:
    p, _ = _symmetrized()
    x = torch.tensor([[0.3, -0.2]])
    drawn, log_prob = p.sample_and_log_prob(20_000, x, seed=0)
    assert drawn.abs().max() <= 1
    torch.testing.assert_close(p.log_prob(drawn, x), log_prob)
    axis = (torch.arange(200) + 0.5) / 100 - 1
    grid = torch.cartesian_prod(axis, axis)
    density = log_probs(p, grid, x.expand(len(grid), 2)).exp() / 10_000
    for f in (lambda t: t, torch.square, lambda t: t.prod(1, keepdim=True)):
        exact, seen = (density[:, None] * f(grid)).sum(0), f(drawn[:, 0].double())
        assert ((seen.mean(0) - exact).abs() < 5 * seen.std(0) / 20_000**0.5 + 2e-3).all()


def test_a_sign_beside_a_half_line_may_change() -> None:
    theta = torch.cat([_draws(0, 400, 1).exp(), _draws(1, 400, 1)], 1)
    x = torch.cat([theta[:, :1].log(), theta[:, 1:].abs()], 1) + 0.1 * _draws(2, 400, 2)
    found = symmetries(theta, x, [None, 0.0])
    assert [one.said for one in found] == ["observations do not tell the sign of theta2"]
    support = sf.product([sf.positive, sf.real])
    whole = group([one for one in found if isinstance(one, Symmetry)], 8)
    rows = [[getattr(one, name) for one in whole] for name in ("order", "sign")]
    p = Symmetrized(sf.presets.posterior(2, support=support, hidden=(8,), seed=0), rows[0], rows[1], whole[0].centre)
    drawn = p.sample(500, seed=0)
    assert (drawn[:, 0] > 0).all() and (drawn[:, 1] < 0).any() and (drawn[:, 1] > 0).any()
    torch.testing.assert_close(p.log_prob(drawn * torch.tensor([1.0, -1.0])), p.log_prob(drawn))
    assert p.log_prob(torch.tensor([[-1.0, 1.0]])).item() == -math.inf


def test_maps_that_do_not_keep_the_support_are_refused() -> None:
    with pytest.raises(sf.SupportError, match="keep the support"):
        Symmetrized(sf.Uniform(1, low=0.0, high=1.0), [[0]], [[-1]], [0.0])
    with pytest.raises(sf.SupportError, match="keep the support"):
        Symmetrized(sf.HalfNormal(1), [[0]], [[-1]], [0.0])
    with pytest.raises(sf.SupportError, match="real, positive or in intervals"):
        Symmetrized(sf.UniformCircle(1), [[0]], [[1]], [0.0])
    with pytest.raises(sf.ShapeError, match="signs of shape"):
        Symmetrized(sf.Normal(2), [[0, 1]], [[1]], [0.0, 0.0])
    with pytest.raises(sf.ShapeError, match="permutations of 0 to 1"):
        Symmetrized(sf.Normal(2), [[0, 0]], [[1, 1]], [0.0, 0.0])


def test_selected_numbers_scales_and_blocks() -> None:
    x = torch.cat([_draws(0, 500, 1), (3 * _draws(1, 500, 1)).exp(), _draws(2, 500, 6)], 1)
    blocks = [[2, 3], [4, 5], [6, 7]]
    net = Selected(8, sf.Summary(7), blocks=blocks)
    net.initialize(x)
    assert net.unit[1] > 0 and not net.unit[[0, *range(2, 8)]].any()
    mixed = x.clone()
    mixed[:, 2:] = x[:, [6, 7, 2, 3, 4, 5]]
    torch.testing.assert_close(net(mixed), net(x))
    some = Selected(8, sf.Summary(2), keep=[0, 5])
    some.initialize(x)
    other = x.clone()
    other[:, [1, 2, 3, 4, 6, 7]] = 7.0
    assert torch.equal(some(other), some(x))
    with pytest.raises(sf.ConfigError, match="different positions from 0 to 7"):
        Selected(8, sf.Summary(2), keep=[0, 8])
    with pytest.raises(sf.ConfigError, match="3 or more of one length"):
        Selected(8, sf.Summary(8), blocks=[[0, 1], [2, 3]])
    with pytest.raises(sf.ShapeError, match="Selected has 8 numbers"):
        Selected(8, sf.Summary(7))


def test_coverage_of_what_is_exact_too_narrow_and_too_wide() -> None:
    theta, x = _draws(0, 500, 1), torch.zeros(500, 1)

    def normal(scale: float) -> sf.Flow:
        given = sf.ConditionalLinear(1, 1, hidden=())
        return sf.Flow([sf.Linear(1, matrix=[[1 / scale]]), given], base=sf.Normal(1))

    said = [sentence(*coverage([(normal(scale), theta, x)], 0)) for scale in (1.0, 0.5, 2.0)]
    assert said[0].endswith("widths can be trusted")
    assert "too narrow" in said[1] and "wider than they need to be" in said[2]


def test_what_cannot_be_fitted_is_said_before_training() -> None:
    theta, x = _draws(0, 60, 2), _draws(1, 60, 2)
    with pytest.raises(sf.DataError, match="50 simulations or more, got 40"):
        sf.sbi.fit_posterior(theta[:40], x[:40])
    with pytest.raises(sf.DataError, match="theta2 is the same"):
        sf.sbi.fit_posterior(theta * torch.tensor([1.0, 0.0]), x)
    with pytest.raises(sf.ConfigError, match="minutes must be positive"):
        sf.sbi.fit_posterior(theta, x, minutes=0)
    with pytest.raises(sf.DataError, match="outside the prior's support"):
        sf.sbi.fit_posterior(theta, x, prior=simulator("two_moons").prior)
