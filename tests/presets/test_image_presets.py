"""Presets for images."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import surflow as sf
from images import random_images
from surflow import presets


@pytest.mark.parametrize("name", ["max-pool", "slice"])
@pytest.mark.slow
def test_pyramids_train_save_and_draw(name: str, tmp_path: Path) -> None:
    net = sf.ContextColumns([3])
    flow = presets.build(
        name, (2, 8, 4), support=sf.Integers(16), context_net=net, scales=2, width=8, attention=8, blocks=1
    )
    assert flow.exact and repr(flow.support) == "integers(16)"
    x, context = random_images(64, (2, 8, 4), 16), torch.randint(3, (64, 1)).float()
    x[:, :, :4] = 0
    history = sf.fit(flow, (x, context), steps=30, batch_size=64, lr=1e-2, validate_every=30, progress=False)
    assert history.losses()[-1][1] < -math.log(1 / 16) * 64 * 0.7
    drawn = flow.sample((), context, seed=0)
    assert drawn.shape == x.shape and flow.support.contains(drawn).all()
    flow.save(tmp_path / "flow.safetensors")
    assert torch.equal(sf.load(tmp_path / "flow.safetensors").log_prob(x, context), flow.log_prob(x, context))
    z = flow.encode(x, context)
    assert z.shape == (64, 2, 2, 1)
    if name == "max-pool":
        assert torch.equal(z, torch.nn.functional.max_pool2d(x, 4))
    else:
        assert torch.equal(z, x[:, :, ::4, ::4])


@pytest.mark.slow
def test_the_multi_scale_flow_trains_saves_and_draws(tmp_path: Path) -> None:
    net = sf.ContextColumns([3])
    flow = presets.build("glow", (2, 8, 4), support=sf.Integers(16), context_net=net, width=8, steps=2)
    x, context = random_images(64, (2, 8, 4), 16), torch.randint(3, (64, 1)).float()
    x[:, :, :4] = 0
    history = sf.fit(flow, (x, context), steps=60, batch_size=64, lr=1e-2, validate_every=30, progress=False)
    assert not flow.exact and history.losses()[-1][1] < -math.log(1 / 16) * 64 * 0.8
    drawn = flow.sample((), context, seed=0)
    assert drawn.shape == x.shape and flow.support.contains(drawn).all()
    flow.save(tmp_path / "flow.safetensors")
    z, _ = sf.load(tmp_path / "flow.safetensors").transforms[3](torch.zeros(1, 2, 8, 4))
    assert z.shape == (1, 8, 4, 2) and flow.base.event_shape == (16, 2, 1)


@pytest.mark.parametrize(("shape", "scales"), [((1, 4, 4), 1), ((1, 4, 4), 2), ((2, 4, 2), 1)])
@pytest.mark.parametrize("name", ["max-pool", "slice"])
@pytest.mark.slow
def test_all_images_there_are_have_mass_one(name: str, shape: tuple[int, ...], scales: int) -> None:
    net = sf.ContextColumns([3])
    # In training some of what the transformer adds is dropped: a distribution then, but another one for every event.
    flow = presets.build(
        name, shape, support=sf.Integers(2), context_net=net, width=8, attention=8, scales=scales
    ).eval()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = ((torch.arange(2**16)[:, None] >> torch.arange(16)) & 1).float().reshape(-1, *shape)
    with torch.no_grad():
        log_prob = flow.log_prob(x, torch.ones(len(x), 1)).double()
    assert log_prob.logsumexp(0).exp().item() == pytest.approx(1, abs=1e-5)


def test_pyramids_refuse_what_they_cannot_halve() -> None:
    with pytest.raises(sf.ShapeError, match="that 4 divides"):
        presets.build("max-pool", (1, 6, 8), support=sf.Integers(256), scales=2)
    with pytest.raises(sf.SupportError, match=r"images of integers, got the support real: pass support="):
        presets.build("slice", (1, 8, 8))
    with pytest.raises(sf.ConfigError, match="option of the preset 'max-pool' 'widht'; did you mean 'width'"):
        presets.build("max-pool", (1, 8, 8), support=sf.Integers(256), widht=3)
