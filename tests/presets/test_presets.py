"""Every preset builds, trains, accounts for its nats, and is stated by a TOML text that rebuilds the same chain."""

from __future__ import annotations

import inspect
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

import surflow as sf
from surflow import presets
from surflow.app.config import ModelConfig, chain_toml, from_table, parse_config, read_config, to_table
from surflow.presets.registry import PRESETS
from surflow.serialization.files import describe

CONTEXT = sf.ContextColumns([3, None], mean=[0.0, 1.0], scale=[1.0, 2.0])
# Small networks: the presets' own sizes are for real data.
SMALL: dict[str, Any] = {"hidden": (16, 16)}
BOUNDS = {"augment", "vae"}
REAL, POSITIVE, BOX = sf.real, sf.positive, sf.Interval(-1, 1)
MIXED = sf.product([sf.positive, sf.real, sf.Interval(0, 2)])
VECTORS = [
    "abs", "abs-joint", "abs-learned", "abs-middle", "abs-spline", "augment", "autoregressive", "box", "image", "max",
    "nf", "polar", "posterior", "product", "sort", "spline", "vae",
]  # fmt: skip
# Those for images and for sets of points have tests of their own beside the layers that they are made of.
IMAGES = ["glow", "max-pool", "slice"]
POINTS = ["permute-flow", "point-grid", "sort-flow", "statistician"]


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
    flow = presets.build(name, (1, 2, 2), support=sf.Integers(5), **SMALL)
    x = torch.randint(5, (64, 1, 2, 2)).float()
    flow.initialize(x)
    assert repr(flow.support) == "integers(5)"
    assert flow.elbo(x).isfinite().all()
    assert flow.support.contains(flow.sample(50, seed=0)).all()


def test_auto_takes_the_kind_of_data_into_account() -> None:
    def first(support: sf.Support) -> str:
        return type(presets.build("auto", 4, support=support).transforms[0]).__name__

    assert first(sf.Integers(3)) == "Dequantize"
    assert first(sf.real) == "Standardize"


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
        ("posterior", {"conditional_splines": False}, sf.positive),
        ("box", {"conditional_splines": False}, sf.Interval(-3, 3)),
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


@pytest.mark.parametrize(("conditional", "same"), [(False, True), (True, False)])
def test_splines_without_the_context_leave_it_location_and_scale(*, conditional: bool, same: bool) -> None:
    flow = presets.build("posterior", 1, context_shape=2, conditional_splines=conditional, **SMALL)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.5)
    # Draws from the same latents, given two observations, are then linear functions of each other.
    one, two = (flow.sample(200, context, seed=0).flatten() for context in (torch.zeros(1, 2), torch.ones(1, 2)))
    standard = [(x - x.mean()) / x.std() for x in (one, two)]
    assert torch.allclose(*standard, atol=1e-3) == same


def test_unknown_names_and_misfits_are_explained() -> None:
    with pytest.raises(sf.ConfigError, match="unknown preset 'spine'; did you mean 'spline'"):
        presets.build("spine", 2)
    with pytest.raises(sf.ConfigError, match="option of the preset 'nf' 'layer'; did you mean 'layers'"):
        presets.build("nf", 2, layer=3)
    with pytest.raises(sf.ConfigError, match=r"support=surflow\.Integers\(levels\)"):
        presets.build("image", (1, 8, 8), levels=17)
    with pytest.raises(
        sf.ConfigError, match="option 'layers' of the preset 'nf' should be a valid integer, got 'three'"
    ):
        presets.build("nf", 2, layers="three")
    with pytest.raises(sf.ConfigError, match="option 'hidden' of the preset 'spline' should be a valid integer"):
        presets.build("spline", 2, hidden=[16, 2.5])
    with pytest.raises(sf.ConfigError, match="option 'layers' of the preset 'nf' should be a valid integer, got True"):
        presets.build("nf", 2, layers=True)
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


# -- the registry ---------------------------------------------------------------------------------------


def _event(name: str) -> tuple[int, ...]:
    return (1, 4, 4) if name in IMAGES else (2, 6) if name in POINTS else (2,)


def _make(name: str, shape: int | tuple[int, ...], support: sf.Support | None = None, **options: object) -> sf.Flow:
    small = SMALL if name in VECTORS else {"width": 8, "scales": 1} if name in IMAGES else {"width": 8}
    support = support or (sf.Integers(4) if name in IMAGES else sf.real)
    return presets.build(name, shape, support=support, **small, **options)


def test_every_preset_has_one_name_and_is_a_public_function_with_the_common_head() -> None:
    assert sorted(presets.names()) == sorted([*VECTORS, *IMAGES, *POINTS, "table"])
    assert len(set(PRESETS.values())) == len(PRESETS)
    for name, make in PRESETS.items():
        function = "abs_fair" if name == "abs" else name.replace("-", "_")
        assert getattr(presets, function) is make and function in presets.__all__
        parameters = inspect.signature(make).parameters
        assert tuple(parameters)[: len(presets.HEAD)] == presets.HEAD
        assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters.values())[2:])
        assert presets.names()[name] and not presets.names()[name].endswith(".")


@pytest.mark.parametrize("name", [*VECTORS, *IMAGES, *POINTS, "table"])
def test_a_seed_decides_the_weights_and_leaves_the_global_generator_alone(name: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (_make(name, _event(name), context_shape=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.context_shape == (3,)
    weights = [torch.cat([p.flatten() for p in flow.parameters()]) for flow in (one, two, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    # Without a seed, of the global generator, as anything that torch makes.
    with sf.seeded(0):
        same = _make(name, _event(name), context_shape=3)
    assert torch.equal(torch.cat([p.flatten() for p in same.parameters()]), weights[0])


@pytest.mark.parametrize("support", [REAL, POSITIVE, BOX, MIXED, sf.Integers(5)], ids=repr)
@pytest.mark.parametrize("name", sorted(set(VECTORS) - {"polar"}))
def test_presets_of_vectors_keep_the_support_of_events_of_any_shape(name: str, support: sf.Support) -> None:
    one_number = support != MIXED and name not in ("sort", "max", "product")
    for shape in [(3,), (3, 2), *[()] * one_number]:
        flow = _make(name, shape, support)
        assert flow.event_shape == shape
        x = flow.sample(20, seed=0)
        assert x.shape == (20, *shape) and support.contains(x).all()
        assert flow.support == support


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize(
    "support", [sf.circle, sf.Ordered(), sf.Permutations(2), sf.product([sf.circle, sf.real])], ids=repr
)
def test_presets_of_vectors_refuse_what_has_no_map_to_the_real_line(name: str, support: sf.Support) -> None:
    with pytest.raises(
        sf.SupportError, match=rf"the preset '{name}' is for vectors of integers, or of numbers that are real"
    ):
        _make(name, 2, support)


@pytest.mark.parametrize("name", [*VECTORS, *IMAGES, *POINTS])
def test_presets_refuse_other_shapes_and_say_what_they_are_for(name: str) -> None:
    wrong: list[tuple[int, ...]] = [(0,), (3, 0)]
    if name in IMAGES:
        wrong = [(16,), (4, 4), (1, 3, 4)]
    elif name in POINTS:
        wrong = [(16,), (1, 4, 4), (2, 0)]
    elif name in ("sort", "max", "product"):
        wrong += [(1,), (1, 1)]
    elif name == "polar":
        wrong += [(1,), (3,)]
    for shape in wrong:
        with pytest.raises(sf.ShapeError, match=rf"the preset '{name}' (is for|halves images)"):
            _make(name, shape)


@pytest.mark.parametrize("name", ["spline", "max-pool", "point-grid"])
def test_contexts_of_presets_are_vectors_and_agree_with_their_network(name: str) -> None:
    with pytest.raises(sf.ShapeError, match="a context that is a vector, got shape"):
        _make(name, _event(name), context_shape=(2, 3))
    with pytest.raises(sf.ShapeError, match=r"takes contexts of shape \(2,\), got context_shape=3"):
        _make(name, _event(name), context_shape=3, context_net=CONTEXT)
    with pytest.raises(sf.ShapeError, match="Linear does not"):
        _make(name, _event(name), context_net=torch.nn.Linear(2, 2))
    assert _make(name, _event(name), context_shape=2, context_net=CONTEXT).context_shape == (2,)


@pytest.mark.parametrize(("mask", "support"), [(False, sf.Interval(-1, 1)), (True, sf.Ragged(-1, 1))])
def test_a_grid_of_points_takes_the_support_that_it_has(mask: bool, support: sf.Support) -> None:
    flow = presets.point_grid((3, 4), support=support, mask=mask, cells=3, low=-1.0, high=1.0, width=8)
    assert flow.support == support
    with pytest.raises(sf.SupportError, match="real points"):
        presets.point_grid((3, 4), support=support, mask=mask, cells=3, low=-1.0, high=2.0, width=8)


def test_a_bug_inside_a_preset_shows_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(
        event_shape: object,
        context_shape: object = None,
        *,
        context_net: object,
        support: object,
        seed: object,
        layers: int = 1,
    ) -> sf.Flow:
        return sf.Flow([], base=sf.Normal(event_shape + "1"))

    monkeypatch.setitem(PRESETS, "broken", broken)
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        presets.build("broken", 2, layers=3)
    assert not isinstance(caught.value, sf.SurflowError)
    with pytest.raises(sf.ConfigError, match="'layer'; did you mean 'layers'"):
        presets.build("broken", 2, layer=3)


def test_what_the_data_decide_is_no_entry_of_a_model() -> None:
    for entry in ({"seed": 3}, {"support": "real"}, {"event_shape": 2}, {"context_shape": 2}):
        model = parse_config({"data": {"source": "moons"}, "model": {"preset": "nf", **entry}}).model
        with pytest.raises(sf.ConfigError, match=f"no entry '{next(iter(entry))}'"):
            model.build((2,), None, None)


def test_models_of_old_files_build() -> None:
    """Tables [model] as runs have written them: whole numbers for floats, lists for tuples."""
    for name, options, shape, support in [
        ("spline", {"layers": 1, "hidden": [16], "bins": 4}, (4,), sf.real),
        ("point-grid", {"mask": True, "low": -1, "high": 1.5, "cells": 3, "width": 8}, (3, 4), sf.Ragged(-1.0, 1.5)),
        ("max-pool", {"scales": 1, "width": 8, "attention": 8, "dropout": 0}, (1, 4, 4), sf.Integers(16)),
        ("glow", {"variational": True, "steps": 1, "width": 8}, (1, 4, 4), sf.Integers(16)),
        ("augment", {"extra": {"none": True}, "hidden": [8]}, (2,), sf.real),
        ("box", {"fold": [0], "hidden": []}, (2,), sf.real),
    ]:
        assert ModelConfig(preset=name, **options).build(shape, None, support).event_shape == shape


def test_the_first_example_of_the_readme_is_reproducible() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("sf.fit(")[0]
    flows: list[sf.Flow] = []
    for _ in range(2):
        found: dict[str, Any] = {}
        exec(code, found)
        flows.append(found["flow"])
    one, two = (flow.state_dict() for flow in flows)
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


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
    _wrong(
        r"training.schedule: .*'cosine', 'constant', 'root' or 'step'.*got 'linear'", training={"schedule": "linear"}
    )
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


def test_with_tails_a_row_far_from_all_others_costs_by_its_distance_not_by_its_square():
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    x[0] = 1000.0
    flow = presets.spline(2, tails=True, layers=1, hidden=[8], bins=4, seed=0)
    flow.initialize(x[1:])
    with torch.no_grad():
        each = flow.log_prob(x)
        alone = flow.base.components[0].log_prob(flow.transforms[0](x)[0])
    assert alone[0] < -1e5 and -3000 < each[0] < -1000
    # Others lose no more than the thousandth that stands beside.
    assert (each[1:] - alone[1:] - flow.transforms[0](x[1:])[1] > math.log(0.999) - 1e-5).all()
