"""Every preset builds, trains, accounts for its nats, and is stated by a TOML text that rebuilds the same chain."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

import surflow as sf
from surflow import presets
from surflow.app.config import ModelConfig, chain_toml, from_table, parse_config, read_config, to_table
from surflow.serialization.files import describe

CONTEXT = sf.ContextColumns([3, None], mean=[0.0, 1.0], scale=[1.0, 2.0])
# Small networks: the presets' own sizes are for real data.
SMALL: dict[str, Any] = {"hidden": (16, 16)}
BOUNDS = {"augment", "vae"}
# Those for images and for sets of points have tests of their own.
VECTORS = sorted(set(presets.names()) - set(presets.PYRAMIDS) - set(presets.CLOUDS))


def _data(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    label = torch.randint(3, (n,)).float()
    context = torch.stack([label, torch.randn(n)], 1)
    return torch.randn(n, 2) + label[:, None], context


def _train(flow: sf.Flow, x: torch.Tensor, context: torch.Tensor | None, steps: int = 20) -> tuple[float, float]:
    flow.initialize(x, context)
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        loss = -flow.elbo(x, context).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


@pytest.mark.parametrize("conditional", [False, True], ids=["plain", "conditional"])
@pytest.mark.parametrize("name", VECTORS)
def test_every_preset_trains_and_accounts_for_its_nats(name: str, conditional: bool, tmp_path: Path) -> None:
    flow = presets.build(name, 2, context_net=CONTEXT if conditional else None, **SMALL)
    x, context = _data(200)
    given = context if conditional else None
    first, last = _train(flow, x, given)
    assert last < first
    assert flow.exact == (name not in BOUNDS)
    torch.manual_seed(1)
    account = sum(term.nats for term in flow.account(x, given))
    torch.manual_seed(1)
    assert account == pytest.approx(flow.elbo(x, given).mean().item(), abs=1e-4)
    samples = flow.sample(5, given)
    assert samples.shape == ((5, 200, 2) if conditional else (5, 2)) and samples.isfinite().all()
    flow.save(tmp_path / "flow.safetensors")
    if flow.exact:
        assert torch.equal(sf.load(tmp_path / "flow.safetensors").log_prob(x, given), flow.log_prob(x, given))


@pytest.mark.parametrize("name", VECTORS)
def test_a_chain_written_as_toml_is_rebuilt(name: str) -> None:
    flow = presets.build(name, 2 if name == "polar" else 3, context_net=CONTEXT, **SMALL)
    text = chain_toml(flow)
    model = parse_config({"data": {"source": "iris"}, **tomllib.loads(text)}).model
    again = from_table({"class": "Flow", **model.model_dump(exclude_none=True)})
    assert describe(again, full=True) == describe(flow, full=True)
    assert chain_toml(again) == text


def test_none_and_nested_objects_survive_toml(tmp_path: Path) -> None:
    flow = sf.Flow(
        [
            sf.Abs(2, signs=sf.JointBernoulli(2, context_shape=4)),
            sf.Log(2),
            sf.On(2, part=[1], layer=sf.Elementwise(1, 2, map=sf.SplineMap(4, bound=2.0))),
        ],
        base=sf.Normal(2, learned=True),
        context_net=sf.ContextColumns([None, None], None, [1.0, 2.0]),
    )
    path = tmp_path / "config.toml"
    path.write_text('[data]\nsource = "moons"\n' + chain_toml(flow))
    stated = read_config(path).model
    again = from_table({"class": "Flow", **stated.model_dump(exclude_none=True)})
    assert describe(again) == describe(flow)
    assert to_table(again) == to_table(flow)


@pytest.mark.parametrize("name", sorted(set(VECTORS) - {"polar"}))
def test_images_of_integers_are_dequantised(name: str) -> None:
    flow = presets.build(name, (1, 2, 2), levels=5, **SMALL)
    x = torch.randint(5, (64, 1, 2, 2)).float()
    flow.initialize(x)
    assert repr(flow.support) == "integers(5)"
    assert flow.elbo(x).isfinite().all()
    assert flow.support.contains(flow.sample(50, seed=0)).all()


def test_auto_takes_the_kind_of_data_into_account() -> None:
    def names(**kind: Any) -> list[str]:
        return [layer["class"] for layer in describe(presets.build("auto", 4, **kind))["arguments"]["transforms"]]

    assert names(levels=3)[0] == "Dequantize"
    assert names(levels=None)[0] == "Standardize"


@pytest.mark.parametrize("name", sorted(set(VECTORS) - {"sort", "max", "product", "polar"}))
def test_one_coordinate_is_enough(name: str) -> None:
    flow = presets.build(name, 1, **SMALL)
    assert flow.elbo(torch.randn(4, 1)).isfinite().all()


@pytest.mark.parametrize(
    ("name", "options", "support"),
    [
        ("posterior", {}, sf.positive),
        ("posterior", {}, sf.product([sf.positive, sf.real, sf.Interval(0, 2)])),
        ("product", {"pair": (0, 2)}, sf.positive),
        ("box", {"fold": [1]}, sf.Interval(-3, 3)),
        ("box", {"layers": 2}, sf.product([sf.Interval(0, 1), sf.Interval(0, 1), sf.Interval(-5, 5)])),
    ],
)
def test_no_sample_of_a_posterior_leaves_the_prior(name: str, options: dict[str, Any], support: sf.Support) -> None:
    flow = presets.build(name, 3, context_shape=4, support=support, **SMALL, **options)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    context = torch.randn(50, 4)
    x = flow.sample(20, context)
    assert x.shape == (20, 50, 3) and support.contains(x.flatten(0, 1)).all()
    assert flow.support == support and flow.exact
    beyond = -torch.ones(50, 3) * 10
    assert support.contains(beyond).any() or (flow.log_prob(beyond, context) == -math.inf).all()


def test_folded_coordinates_are_symmetric_and_the_ratio_sees_no_context() -> None:
    flow = presets.build("box", 2, context_shape=3, support=sf.Interval(-1, 1), fold=[0], **SMALL)
    x, context = 2 * torch.rand(20, 2) - 1, torch.randn(20, 3)
    torch.testing.assert_close(flow.log_prob(x * torch.tensor([-1, 1]), context), flow.log_prob(x, context))
    flow = presets.build("product", 2, context_shape=3, support=sf.positive, **SMALL)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.5)
    # Along theta1 theta2 = c the density changes by the same factor whatever the observation.
    theta = torch.rand(20, 2) + 0.5
    moved = theta * torch.tensor([1.5, 1 / 1.5])
    one, two = (flow.log_prob(moved, c) - flow.log_prob(theta, c) for c in (context, torch.randn(20, 3)))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_unknown_names_and_misfits_are_explained() -> None:
    with pytest.raises(sf.ConfigError, match="unknown preset 'spine'; did you mean 'spline'"):
        presets.build("spine", 2)
    with pytest.raises(sf.ConfigError, match="option of the preset 'nf' 'layer'; did you mean 'layers'"):
        presets.build("nf", 2, layer=3)
    with pytest.raises(sf.ConfigError, match="wrong types"):
        presets.build("nf", 2, layers="three")
    with pytest.raises(sf.ShapeError, match="at least two coordinates"):
        presets.build("sort", 1)
    with pytest.raises(sf.ShapeError, match="for two coordinates"):
        presets.build("polar", 3)
    with pytest.raises(sf.ConfigError, match="fold expects"):
        presets.build("box", 2, support=sf.unit_interval, fold=[2])
    with pytest.raises(sf.ConfigError, match="pair expects"):
        presets.build("product", 2, support=sf.positive, pair=[0, 0])
    with pytest.raises(sf.ConfigError, match="at most 12 bits"):
        presets.build("abs-joint", 20)


@pytest.mark.slow
def test_the_vae_leaves_the_gaussian_it_starts_from() -> None:
    """A decoder that ignores z and an encoder that ignores x would be a saddle, no better than a Gaussian."""
    torch.manual_seed(0)
    flow = presets.build("vae", 2)
    history = sf.fit(flow, sf.data.moons, steps=400, lr=3e-3, seed=0, progress=False)
    x = sf.data.moons.sample(10_000, seed=1)
    gaussian = 0.5 * torch.linalg.slogdet(x.T.cov())[1].item() + 1 + math.log(2 * math.pi)
    assert history.losses()[-1][1] < gaussian - 0.1


# -- configurations -------------------------------------------------------------------------------------


def _wrong(match: str, **sections: object) -> None:
    with pytest.raises(sf.ConfigError, match=match):
        parse_config({"data": {"source": "moons"}} | sections, "run.toml")


def test_configurations_are_refused_by_entry() -> None:
    _wrong(r"run.toml: unknown entry 'training.step'; did you mean 'training.steps'", training={"step": 3})
    _wrong(r"unknown entry 'modle'; did you mean 'model'", modle={})
    _wrong(r"training.steps: .*got 'many'", training={"steps": "many"})
    _wrong(r"training.steps: .*greater than 0", training={"steps": 0})
    _wrong(r"training.schedule: .*'cosine', 'constant' or 'step'.*got 'linear'", training={"schedule": "linear"})
    _wrong(r"the entry 'data.source' is missing", data={})
    _wrong(r"seed: .*got -1", seed=-1)
    _wrong("preset or a chain", model={"preset": "nf", "transforms": [], "base": {"class": "Normal", "event_shape": 2}})
    _wrong(r"needs a \[model.base\]", model={"transforms": []})
    _wrong("unknown entry 'bas'", model={"transforms": [], "base": {"class": "Normal"}, "bas": 1})


def _chain(*transforms: dict, base: dict | None = None) -> ModelConfig:
    base = {"class": "Normal", "event_shape": 2} if base is None else base
    return parse_config({"data": {"source": "moons"}, "model": {"transforms": list(transforms), "base": base}}).model


def test_chains_that_do_not_fit_are_refused() -> None:
    coupling = {"class": "Coupling", "shape": 2}
    assert _chain(coupling).build((2,), None).exact
    with pytest.raises(sf.SupportError, match="lands on the support positive"):
        _chain({"class": "Abs", "shape": 2}, coupling).build((2,), None)
    with pytest.raises(sf.ShapeError, match="expects"):
        _chain(coupling, {"class": "Coupling", "shape": 3}).build((2,), None)
    with pytest.raises(sf.ConfigError, match=r"transforms\[0\]: unknown class 'Coupler'; did you mean 'Coupling'"):
        _chain({"class": "Coupler"}).build((2,), None)
    with pytest.raises(sf.ConfigError, match=r"transforms\[0\].*unknown argument.*'hiden'; did you mean 'hidden'"):
        _chain(coupling | {"hiden": [3]}).build((2,), None)
    with pytest.raises(sf.ConfigError, match=r"events of shape \(3,\).*starts from \(2,\)"):
        _chain(coupling).build((3,), None)
    with pytest.raises(sf.ConfigError, match=r"integers from 0 to 4.*Dequantize\(event_shape, levels=5\)"):
        _chain(coupling).build((2,), None, sf.Integers(5))
    with pytest.raises(sf.ConfigError, match="no context"):
        _chain(coupling | {"context_shape": 3}).build((2,), None)
