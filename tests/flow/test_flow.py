"""The chain: what is refused when it is built, exact against bound, importance weighting against closed forms."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

import surflow as sf


def _linear(weight: torch.Tensor, log_scale: float) -> nn.Module:
    """A network for a conditional Normal: mean W c, constant log-scale."""

    class Linear(nn.Module):
        def forward(self, c: torch.Tensor) -> torch.Tensor:
            mean = c @ weight.T.to(c)
            return torch.stack([mean, torch.full_like(mean, log_scale)], 1)

    return Linear()


# -- what is refused ----------------------------------------------------------------------------------


def test_supports_must_fit_and_the_message_names_what_fits_between() -> None:
    with pytest.raises(
        sf.SupportError, match=r"Abs \(position 0\) lands on the support positive, but Coupling \(position 1\)"
    ):
        sf.Flow([sf.Abs(2), sf.Coupling(2)], base=sf.Normal(2))
    with pytest.raises(sf.SupportError, match=r"Log\(shape\) or Inverse\(Softplus\(shape\)\)"):
        sf.Flow([sf.Abs(2)], base=sf.Normal(2))
    with pytest.raises(sf.SupportError, match="LogGaps"):
        sf.Flow([sf.Sort(3)], base=sf.Normal(3))
    with pytest.raises(sf.SupportError, match="Dequantize"):
        sf.Flow([sf.Inverse(sf.Dequantize(2, levels=4)), sf.Coupling(2)], base=sf.Normal(2))
    sf.Flow([sf.Abs(2)], base=sf.HalfNormal(2))


def test_shapes_contexts_and_repeats_are_refused() -> None:
    with pytest.raises(sf.ShapeError, match=r"ends in shape \(1,\), but the base Normal expects \(2,\)"):
        sf.Flow([sf.Slice(2, keep=1)], base=sf.Normal(2))
    with pytest.raises(sf.ShapeError, match="share one context"):
        sf.Flow([sf.Coupling(2, 3), sf.Coupling(2, 4)], base=sf.Normal(2))
    layer = sf.Coupling(2)
    with pytest.raises(sf.ShapeError, match="stands in the chain twice"):
        sf.Flow([layer, layer], base=sf.Normal(2))
    with pytest.raises(sf.ShapeError, match="no layer takes a context"):
        sf.Flow([sf.Coupling(2)], base=sf.Normal(2), context_net=sf.OneHot(3))
    with pytest.raises(sf.ShapeError, match="nothing to condition on"):
        sf.Coupling(1)
    flow = sf.Flow([sf.Coupling(2, 3)], base=sf.Normal(2))
    with pytest.raises(sf.ShapeError, match=r"expects events of shape \(batch, 2\), got \(5, 3\)"):
        flow.log_prob(torch.zeros(5, 3), torch.zeros(5, 3))


# -- exact or bound -----------------------------------------------------------------------------------


def test_a_bound_is_never_passed_off_as_a_density() -> None:
    flow = sf.Flow([sf.Augment(2, noise=1)], base=sf.Normal(3))
    x = torch.randn(4, 2)
    assert not flow.exact
    with pytest.raises(sf.BoundError, match=r"not exact: 0: Augment.*elbo.*importance_samples=k"):
        flow.log_prob(x)
    assert flow.elbo(x).shape == flow.log_prob(x, importance_samples=3).shape == (4,)
    with pytest.raises(sf.BoundError, match="encoder"):
        sf.VAE(encoder=sf.Flow([sf.Augment(1, noise=1)], base=sf.Normal(2)), decoder=sf.Normal(1, context_shape=1))
    with pytest.raises(sf.BoundError, match="encoder"):
        sf.Inverse(sf.Slice(2, keep=1, dropped=sf.Flow([sf.Augment(1, noise=1)], base=sf.Normal(2))))


def test_exactness_follows_from_the_layers() -> None:
    assert sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2)).exact
    assert sf.Flow([sf.Slice(3, keep=2)], base=sf.Normal(2)).exact
    assert sf.Flow([sf.Inverse(sf.Augment(2, noise=1))], base=sf.Normal(2)).exact
    assert not sf.Flow([sf.RandomPermutation(2)], base=sf.Normal(2)).exact
    bound = sf.Flow([sf.Augment(1, noise=1)], base=sf.Normal(2))
    assert not sf.Flow([sf.Slice(2, keep=1, dropped=bound)], base=sf.Normal(1)).exact
    assert not sf.Flow([], base=bound).exact


@pytest.mark.parametrize("name", ["augment", "vae", "slice of a bound"])
def test_importance_weighting_rises_to_the_closed_form(name: str) -> None:
    """Linear-Gaussian chains: the bound rises with k, and never exceeds log p(x) by more than three standard errors."""
    torch.manual_seed(1)
    x = torch.randn(400, 2).double()
    if name == "augment":
        # z = (x, u) ~ N(0, I) rotated: z = O (x, u), so x ~ N(0, I); q(u|x) is N(x W, 0.8^2), not the true posterior.
        noise = sf.Normal(1, context_shape=2, net=_linear(torch.tensor([[0.5, -0.3]]), math.log(0.8)))
        flow = sf.Flow([sf.Augment(2, noise=noise), sf.Orthogonal(3)], base=sf.Normal(3)).double()
        exact = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double()).log_prob(x)
    elif name == "vae":
        weight, s = torch.tensor([[1.0], [0.5]]), 0.7
        decoder = sf.Normal(2, context_shape=1, net=_linear(weight, math.log(s)))
        encoder = sf.Normal(1, context_shape=2, net=_linear(torch.tensor([[0.5, 0.1]]), math.log(0.6)))
        flow = sf.Flow([sf.VAE(encoder, decoder)], base=sf.Normal(1)).double()
        cov = (weight @ weight.T + s**2 * torch.eye(2)).double()
        exact = torch.distributions.MultivariateNormal(torch.zeros(2).double(), cov).log_prob(x)
    else:
        # x = (z, r): z ~ N(0, 1), r ~ N(0, 1) by way of an augmented pair with a mismatched encoder.
        noise = sf.Normal(1, context_shape=1, net=_linear(torch.tensor([[0.4]]), math.log(0.9)))
        dropped = sf.Flow([sf.Augment(1, noise=noise)], base=sf.Normal(2))
        flow = sf.Flow([sf.Slice(2, keep=1, dropped=dropped)], base=sf.Normal(1)).double()
        exact = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    means, previous = [], -math.inf
    for k in (1, 10, 100, 1000):
        gap = exact - flow.log_prob(x, importance_samples=k)
        error = gap.std().item() / math.sqrt(len(x))
        assert gap.mean().item() > -3 * error
        means.append(-gap.mean().item())
        assert means[-1] > previous - 3 * error
        previous = means[-1]
    assert means[0] < -0.02 and means[-1] > -0.01


def test_importance_weighting_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of a thousand draws and many small chunks estimate the same number."""
    flow = sf.Flow([sf.Augment(2, noise=sf.Normal(1, context_shape=2)), sf.Orthogonal(3)], base=sf.Normal(3))
    x = torch.randn(50, 2)
    whole = flow.log_prob(x, importance_samples=1000)
    monkeypatch.setattr("surflow._internal.chunks._ELEMENTS_AT_ONCE", 700)
    chunked = flow.log_prob(x, importance_samples=1000)
    assert torch.allclose(whole, chunked, atol=0.05)


def test_uniform_dequantisation_of_a_uniform_model_scores_exactly_eight_bits() -> None:
    shape = (1, 4, 4)
    flow = sf.Flow([sf.Dequantize(shape, levels=256)], base=sf.Uniform(shape, low=0, high=256))
    bits = -flow.elbo(torch.randint(256, (10, *shape))) / (16 * math.log(2))
    assert torch.allclose(bits, torch.full((10,), 8.0))
    assert flow.sample(100, seed=0).max() <= 255


def test_two_vae_layers_are_a_hierarchical_vae() -> None:
    first = sf.VAE(sf.Normal(2, context_shape=3), sf.Normal(3, context_shape=2))
    second = sf.VAE(sf.Normal(1, context_shape=2), sf.Normal(2, context_shape=1))
    flow = sf.Flow([first, second], base=sf.Normal(1))
    assert flow.sample(5).shape == (5, 3) and flow.elbo(torch.randn(5, 3)).isfinite().all()


# -- shapes, context, code -----------------------------------------------------------------------------


def test_sample_shapes_with_batched_contexts() -> None:
    flow = sf.Flow([sf.Coupling(2, 3, hidden=(8,))], base=sf.Normal(2, context_shape=3))
    context = torch.randn(5, 3)
    x = flow.sample((7, 4), context)
    assert x.shape == (7, 4, 5, 2)
    assert flow.log_prob(x, context).shape == (7, 4, 5)
    # Row j of the context belongs to row j of the batch axis.
    one = flow.log_prob(x[0, 0, 3:4], context[3:4])
    assert torch.allclose(flow.log_prob(x, context)[0, 0, 3], one[0], atol=1e-6)


def test_a_context_network_stands_before_every_layer() -> None:
    flow = sf.Flow([sf.Coupling(2, 4, hidden=(8,))], base=sf.Normal(2, context_shape=4), context_net=sf.OneHot(4))
    assert flow.context_shape == ()
    labels = torch.tensor([0, 3, 1])
    assert flow.sample(6, labels).shape == (6, 3, 2)
    assert flow.log_prob(torch.randn(3, 2), labels).shape == (3,)


def test_code_round_trip_and_account() -> None:
    flow = sf.Flow([sf.Standardize(2), sf.Coupling(2, hidden=(8,)), sf.Orthogonal(2)], base=sf.Normal(2)).double()
    x = torch.randn(100, 2).double() * 5 + 2
    flow.initialize(x)
    assert torch.allclose(flow.decode(flow.encode(x)), x, atol=1e-10)
    account = flow.account(x)
    assert [row.name for row in account] == ["Standardize", "Coupling", "Orthogonal", "Normal"]
    assert sum(row.nats for row in account) == pytest.approx(flow.log_prob(x).mean().item())
    assert all(row.exact for row in account)


def test_initialize_standardizes_what_each_layer_sees() -> None:
    flow = sf.Flow([sf.Exp(2), sf.Log(2), sf.Standardize(2), sf.ActNorm(2)], base=sf.Normal(2))
    x = torch.randn(1000, 2) * 3 + 5
    flow.initialize(x)
    z = flow.encode(x)
    assert torch.allclose(z.mean(0), torch.zeros(2), atol=1e-4) and torch.allclose(z.std(0), torch.ones(2), atol=1e-2)
    kept = flow.transforms[2].shift.clone()
    flow.initialize(x + 100)
    assert torch.equal(kept, flow.transforms[2].shift)


def test_draws_carry_gradients_where_the_mathematics_allows() -> None:
    flow = sf.Flow([sf.Abs(2), sf.Log(2), sf.Coupling(2, hidden=(8,))], base=sf.Normal(2))
    flow.rsample(10).sum().backward()
    assert flow.transforms[2].net.layers[-1].weight.grad.abs().sum() > 0
    learned = sf.Flow([sf.Abs(2, signs=sf.Bernoulli(2, learned=True))], base=sf.HalfNormal(2))
    with pytest.raises(sf.BoundError, match="discrete"):
        learned.rsample(10)


def test_density_outside_the_domain_is_zero() -> None:
    flow = sf.Flow([sf.Log(2), sf.Coupling(2, hidden=(8,))], base=sf.Normal(2))
    x = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    assert flow.log_prob(x)[1] == -math.inf and flow.log_prob(x)[0].isfinite()
    flow.log_prob(x)[0].backward()
    assert all(p.grad.isfinite().all() for p in flow.parameters() if p.grad is not None)


@pytest.mark.e2e
def test_importing_changes_no_global_state() -> None:
    """In a process of its own: here, compiling has already changed some of torch's."""
    code = """
import torch

def state():
    validates = torch.distributions.Distribution._validate_args
    rng = torch.get_rng_state().sum().item()
    return torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(), validates, rng

before = state()
import surflow as sf
sf.fit, sf.data.moons, sf.plots, sf.presets, sf.evaluation
assert state() == before, (before, state())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
