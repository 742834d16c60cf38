"""surflow as the density estimator of the package sbi; and what is refused before any training."""

from __future__ import annotations

import copy
import math
import pickle
from types import SimpleNamespace

import pytest
import torch
from scipy.stats import kstest

import surflow as sf
from surflow.data import simulator

# sbi and what it brings warn of their own deprecations.
pytestmark = pytest.mark.filterwarnings("ignore")

MOONS = simulator("two_moons")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch) -> None:
    """sbi writes a log of every training below the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def sbi() -> SimpleNamespace:
    validated = torch.distributions.Distribution._validate_args
    inference = pytest.importorskip("sbi.inference", reason="the extra sbi is not installed")
    from sbi.diagnostics import run_sbc

    # Importing it switches validation off for all tests that follow.
    torch.distributions.Distribution.set_default_validate_args(validated)
    return SimpleNamespace(NPE=inference.NPE, NLE=inference.NLE, run_sbc=run_sbc)


@pytest.fixture(scope="module")
def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    return MOONS.sample(2000, seed=0)


_QUICK = {"training_batch_size": 100, "learning_rate": 5e-3, "max_num_epochs": 30}


@pytest.mark.slow
def test_npe_samples_scores_and_calibrates(sbi, pairs) -> None:
    theta, x = pairs
    build = sf.sbi.estimator(prior=MOONS.prior, layers=2)
    inference = sbi.NPE(MOONS.prior, density_estimator=build, show_progress_bars=False)
    inference.append_simulations(theta, x).train(**_QUICK)
    posterior = inference.build_posterior()
    true, observed = MOONS.sample(200, seed=1)
    # No draw leaves the prior, so that none is rejected.
    raw = posterior.posterior_estimator.sample((50,), observed)
    assert raw.shape == (50, 200, 2) and MOONS.prior.support.check(raw).all()
    exact = MOONS.posterior(observed).log_prob(true)
    learned = posterior.log_prob_batched(true[None], observed)[0].double()
    # A few seconds of training bring more than half of what the observation has to tell.
    assert 0 < (exact - learned).mean() < (exact - MOONS.log_prior(true)).mean() / 2
    ranks, _ = sbi.run_sbc(true, observed, posterior, num_posterior_samples=199, show_progress_bar=False)
    for column in ranks.T:
        assert kstest((column.numpy() + 0.5) / 200, "uniform").pvalue > 1e-3
    again = pickle.loads(pickle.dumps(posterior))
    assert again.sample((5,), x=observed[:1], show_progress_bars=False).shape == (5, 2)


@pytest.mark.slow
def test_nle_and_its_markov_chains(sbi, pairs) -> None:
    theta, x = pairs
    build = sf.sbi.estimator("likelihood", layers=2)
    inference = sbi.NLE(MOONS.prior, density_estimator=build, show_progress_bars=False)
    inference.append_simulations(theta, x).train(**_QUICK)
    posterior = inference.build_posterior(mcmc_method="slice_np_vectorized")
    posterior.set_default_x(torch.zeros(1, 2))
    drawn = posterior.sample((200,), num_chains=20, warmup_steps=30, thin=1, show_progress_bars=False)
    assert drawn.shape == (200, 2) and MOONS.prior.support.check(drawn).all()
    # At x = 0 the posterior has a moon on either side of theta1 + theta2 = 0, at the distance .25 sqrt 2 and beyond.
    assert 0.2 < (drawn.sum(1) > 0).float().mean() < 0.8
    assert (drawn.sum(1).abs() > 0.2).float().mean() > 0.9


def test_shapes_copies_and_a_bound_that_does_not_change(sbi, pairs) -> None:
    theta, x = pairs

    def bound(event_shape, context_shape):
        encoder, decoder = sf.Normal(1, context_shape=4), sf.Normal(2, context_shape=3)
        base = sf.Normal(1, context_shape=context_shape)
        return sf.Flow([sf.VAE(encoder, decoder)], base=base)

    for model in ("posterior", bound):
        made = sf.sbi.estimator(model=model)(theta, x)
        assert made.input_shape == made.condition_shape == (2,)
        assert made.loss(theta[:7], x[:7]).shape == (7,)
        assert made.log_prob(theta[:7], x[:7]).shape == (1, 7)
        assert made.log_prob(theta[:14].reshape(2, 7, 2), x[:1]).shape == (2, 7)
        assert made.log_prob(theta[:2].reshape(2, 1, 2), x[:7]).shape == (2, 7)
        assert made.sample((3, 4), x[:5]).shape == (3, 4, 5, 2)
        given = torch.stack([made.log_prob(theta[:5], x[i : i + 1])[0] for i in range(3)])
        together = made.log_prob(theta[:5, None].transpose(0, 1).expand(3, 5, 2).transpose(0, 1), x[:3])
        if made.net.exact:
            torch.testing.assert_close(together.T, given)
        torch.testing.assert_close(made.log_prob(theta[:7], x[:7]), made.log_prob(theta[:7], x[:7]))
        other = copy.deepcopy(made)
        torch.testing.assert_close(other.log_prob(theta[:7], x[:7]), made.log_prob(theta[:7], x[:7]))
        assert any(p.requires_grad for p in made.parameters())


@pytest.mark.slow
def test_the_default_is_trained_when_it_is_built_and_stays_as_it_is(sbi, pairs, monkeypatch) -> None:
    monkeypatch.setattr("surflow.sbi.recipe._STEPS_OF_FEW", 60)
    theta, x = (part[:300] for part in pairs)
    build, made = sf.sbi.estimator(prior=MOONS.prior), []

    def kept(theta, x):
        made.append(build(theta, x))
        return made[-1]

    inference = sbi.NPE(MOONS.prior, density_estimator=kept, show_progress_bars=False)
    inference.append_simulations(theta, x)
    trained = inference.train(max_num_epochs=2)
    assert torch.equal(trained.log_prob(theta[:9], x[:9]), made[0].log_prob(theta[:9], x[:9]))
    # Better than the prior before sbi has begun.
    assert made[0].log_prob(*MOONS.sample(200, seed=5)).mean() > -math.log(4)
    assert MOONS.prior.support.check(inference.build_posterior().sample((99,), x=x[:1], show_progress_bars=False)).all()


def test_the_same_seed_builds_the_same_estimator(sbi, pairs) -> None:
    one, two = (sf.sbi.estimator(model="box", prior=MOONS.prior)(*pairs) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_an_embedding_of_series(sbi) -> None:
    theta, x = torch.randn(50, 2), torch.randn(50, 3, 20)
    net = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 5), torch.nn.Flatten(), torch.nn.Linear(64, 6))
    made = sf.sbi.estimator(embedding=net)(theta, x)
    assert made.embedding_net.out_shape == (6,) and made.log_prob(theta, x).shape == (1, 50)
    assert made.sample((2,), x[:4]).shape == (2, 4, 2)
    # Statistics that a network keeps are those of its training, and a second estimator starts anew.
    kept = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(60, 4), torch.nn.BatchNorm1d(4))
    build = sf.sbi.estimator(embedding=kept)
    first, second = build(theta, 1000 * x), build(theta, x)
    assert first.embedding_net.net[2].num_batches_tracked == 0
    assert first.embedding_net.net[1].weight is not second.embedding_net.net[1].weight
    # Long observations are summarised without being asked.
    assert sf.sbi.estimator(model="posterior")(theta, x.flatten(1)).embedding_net.components == 8


def test_what_is_wrong_is_said_before_training(sbi, pairs) -> None:
    theta, x = pairs
    build = sf.sbi.estimator(prior=MOONS.prior)
    broken = x.clone()
    broken[3, 0] = math.nan
    with pytest.raises(sf.DataError, match="1 of 2000 rows of x are not finite"):
        build(theta, broken)
    with pytest.raises(sf.DataError, match=r"2000 rows lie outside .*interval\(-1, 1\)"):
        build(theta + 3, x)
    with pytest.raises(sf.ShapeError, match=r"became shape \(2, 1, 2\)"):
        sf.sbi.estimator(embedding=torch.nn.Unflatten(1, (1, 2)))(theta, x)
    with pytest.raises(sf.ShapeError, match="fails"):
        sf.sbi.estimator(embedding=torch.nn.Linear(5, 2))(theta, x)
    with pytest.raises(sf.ShapeError, match="the simulations ask for"):
        sf.sbi.estimator(model=lambda event, context: sf.presets.build("posterior", 3, context_shape=2))(theta, x)
    with pytest.raises(ValueError, match="Shape of condition"):  # as sbi says it
        sf.sbi.estimator(model="box", prior=MOONS.prior)(theta, x).sample((3,), torch.zeros(1, 3))


def test_options_are_checked_at_once() -> None:
    with pytest.raises(sf.ConfigError, match="likelihood"):
        sf.sbi.estimator("likelyhood")
    with pytest.raises(sf.ConfigError, match="leave out the prior"):
        sf.sbi.estimator("likelihood", prior=MOONS.prior)
    with pytest.raises(sf.ConfigError, match="whole number"):
        sf.sbi.estimator(importance_samples=0)
    with pytest.raises(sf.ConfigError, match="leave them out"):
        sf.sbi.estimator("likelihood", minutes=1)
    with pytest.raises(sf.ConfigError, match="put them into the flow"):
        sf.sbi.estimator(model=lambda event, context: sf.Flow([], base=sf.Normal(2)), layers=3)
