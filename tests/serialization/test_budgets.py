"""What a stranger's file may cost: all is refused before it is made, and nothing that was saved in earnest is."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import surflow as sf
from registry import DISTRIBUTIONS, TRANSFORMS, Case, base_for
from surflow.serialization.budget import Budget
from surflow.serialization.files import build, describe

# Seconds of one thread, of which a refusal takes a small part on a machine that is not busy.
_SECONDS = 6.0


class Loops(sf.Configurable, nn.Module):
    """A user's class that does something as often as it is told."""

    def __init__(self, kind: str, n: int = 0, in_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        rounds = n + math.prod(in_shape) * bool(in_shape)
        if kind == "list":
            self.held = [[i] for i in range(rounds)]
        elif kind == "modules":
            self.held = nn.ModuleList([nn.Identity() for _ in range(rounds)])
        elif kind == "tensors":
            self.held = [torch.zeros(()) for _ in range(rounds)]
        elif kind == "device":
            self.held = torch.zeros(rounds, rounds, device=torch.zeros(()).device)
        elif kind == "resized":
            self.held = torch.zeros(1).resize_(rounds, rounds)
        elif kind == "tuples":
            self.held = list(torch.empty(1).expand(rounds))


def _of(name: str, **arguments: object) -> dict[str, Any]:
    return {"class": name, "arguments": arguments}


def _flow(*layers: dict, base: dict | None = None) -> dict[str, Any]:
    return _of("Flow", transforms=list(layers), base=_of("Normal", event_shape=2) if base is None else base)


def _net(net: dict) -> dict[str, Any]:
    return _flow(_of("Coupling", shape=2, net=net))


def _inside(layer: dict, times: int) -> dict[str, Any]:
    for _ in range(times):
        layer = _of("Inverse", layer=layer)
    return layer


_BIG = 2**24

ATTACKS: dict[str, dict[str, Any]] = {
    "powers of integers": _flow(_of("RavelMultiIndex", shape=[2**19, 1], levels=2**20)),
    "powers of integers, in a grid of cells": _flow(_of("RaggedCells", shape=[2**19, 1], cells=3, low=0.0, high=1.0)),
    "powers of negative integers": _flow(_of("RavelMultiIndex", shape=[2**19, 1], levels=-7)),
    "an integer of many digits": _flow(_of("Exp", shape=10**4000)),
    "a negative integer": _flow(_of("Reverse", shape=-(2**62))),
    "a list of coordinates": _flow(_of("Reverse", shape=_BIG)),
    "lists of coordinates": _flow(*[_of("Reverse", shape=2**20)] * 100),
    "a permutation": _flow(_of("Permute", shape=2**20)),
    "a support's parts": _flow(
        _of("Reverse", shape=2, support=_of("Product", parts=[[_of("Real"), 2**15], [_of("Real"), 2**15]] * 15))
    ),
    "groups": _flow(_of("Autoregressive", shape=[4096, 4096], hidden=[])),
    "axes": _flow(_of("PermuteAxes", shape=[1] * 40_000, axes=list(range(40_000)))),
    "many coordinates": _flow(_of("Exp", shape=[10**6] * 10)),
    "a transformer's places": _flow(base=_of("AscendingCategorical", size=_BIG, levels=1, width=4)),
    "an image's patches": _flow(
        base=_of("AutoregressiveDiscretizedLogistic", event_shape=[1, 4096, 4096], levels=2, width=4)
    ),
    "layers in a network": _flow(base=_of("AscendingCategorical", size=2, levels=2, width=4, layers=2**22)),
    "blocks in a network": _net(_of("ConvNet", inputs=1, outputs=1, width=1, blocks=2**20)),
    "layers stated": _net(_of("MLP", in_shape=1, out_shape=2, hidden=[1] * 2**15)),
    "wide layers": _net(_of("MLP", in_shape=1, out_shape=2, hidden=[2**18, 2**18])),
    "networks": _flow(base=_of("BlockwiseDiscretizedLogistic", z_shape=[1, 1, 1], levels=2, positions=2**20)),
    "pieces": _flow(*[_of("Exp", shape=2), _of("Log", shape=2)] * 10_000),
    "pieces within each other": _flow(*[_inside(_of("Exp", shape=2), 28)] * 400),
    "deeper pieces": _flow(_inside(_of("Exp", shape=2), 70)),
    "a mask": _flow(_of("Coupling", shape=[500, 500], mask=[[True] * 500] * 500, hidden=[])),
    "columns": _of(
        "Flow", transforms=[], base=_of("Normal", event_shape=1), context_net=_of("ContextColumns", levels=[1] * 10**5)
    ),
    "overlapping blocks": _flow(_of("OverlappingMaxPool", shape=[1, 1000, 1000], block=2, hop=1)),
    "one long column": _flow(_of("OverlappingMaxPool", shape=[1, 2**19, 1], block=[2, 1], hop=[2, 1])),
    "matrices": _flow(*[_of("Orthogonal", shape=1024)] * 40),
    "components": _net(_of("Summary", shape=2**19, components=2**19)),
    "a long text": _flow(_of("Exp", shape="2" * 10**6)),
    "a long name": _flow(_of("E" * 10**6)),
    "a user's list": _net(_of("Loops", kind="list", n=2**20)),
    "a user's list of coordinates": _net(_of("Loops", kind="list", in_shape=[4096, 4096])),
    "a user's modules": _net(_of("Loops", kind="modules", n=2**18)),
    "a user's tensors": _net(_of("Loops", kind="tensors", n=2**16)),
    "a user's tensor on a device": _net(_of("Loops", kind="device", n=2**15)),
    "a user's tensor, enlarged": _net(_of("Loops", kind="resized", n=2**15)),
    "a user's tensors from one": _net(_of("Loops", kind="tuples", in_shape=[2**19])),
}
# Who asks, for what, of how much, and what to do.
_SAID = (
    r"x\.safetensors does not state a flow that can be built: base: torch\.zeros, of 33,554,432 numbers, is too much: "
)
_SAID += r"a file with 3 weights may ask for 16,810,032 units .* load\(path, trusted=True\)"


def _file(path: Path, architecture: object, tensors: dict[str, torch.Tensor] | None = None) -> Path:
    header = {"format": 1, "version": "0.1.0", "architecture": architecture, "buffers": {}}
    save_file(tensors or {}, path, {"surflow": json.dumps(header)})
    return path


def _refused(path: Path) -> str:
    start = time.thread_time()
    with pytest.raises(sf.FileError) as caught:
        sf.load(path)
    assert time.thread_time() - start < _SECONDS
    assert len(str(caught.value)) < 3000
    return str(caught.value)


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """Torch prepares its meta device at the first call."""
    with Budget(0, 0):
        sf.Orthogonal(2)


@pytest.mark.parametrize("attack", ATTACKS)
def test_small_files_cost_little(attack: str, tmp_path: Path) -> None:
    _refused(_file(tmp_path / "x.safetensors", ATTACKS[attack]))


def test_the_message_says_what_to_do(tmp_path: Path) -> None:
    architecture = _flow(base=_of("Normal", event_shape=[16, 2**16, 16]))
    path = _file(tmp_path / "x.safetensors", architecture, {"weight": torch.zeros(3)})
    with pytest.raises(sf.FileError, match=_SAID):
        sf.load(path)


def test_a_header_has_a_limit(tmp_path: Path) -> None:
    assert "header claims" in _refused(_file(tmp_path / "x.safetensors", [[]] * 2**21))


def test_trust_lifts_the_limit(tmp_path: Path) -> None:
    flow = sf.Flow([sf.Exp(2**22), sf.Log(2**22)], base=sf.Normal(2**22))
    flow.save(tmp_path / "x.safetensors")
    assert "too much" in _refused(tmp_path / "x.safetensors")
    assert sf.load(tmp_path / "x.safetensors", trusted=True).event_shape == (2**22,)


def _integers(value: object, put: Callable[[Any], Any]) -> Iterator[Callable[[Any], Any]]:
    """For every integer in a description: what makes the description with another value in its place."""
    if type(value) is int:
        yield put
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _integers(item, lambda new, key=key: put(value | {key: new}))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _integers(item, lambda new, i=i: put([*value[:i], new, *value[i + 1 :]]))


@pytest.mark.parametrize(
    "case",
    [case for case in [*TRANSFORMS, *DISTRIBUTIONS] if "convolution" not in case.name],
    ids=lambda case: case.name,
)
def test_every_integer_of_every_case(case: Case, tmp_path: Path) -> None:
    """A file whose integers are huge is refused soon, or costs no more than it did; what was saved needs a tenth."""
    layer = case.make()
    if isinstance(layer, sf.Transform):
        flow = sf.Flow([layer], base=base_for(layer.codomain, layer.out_shape))
    else:
        flow = sf.Flow([], base=layer)
    description = json.loads(json.dumps(describe(flow)))
    state = {name: tensor.contiguous().clone() for name, tensor in flow.state_dict().items()}
    budget = Budget(sum(tensor.numel() for tensor in state.values()), len(state))
    build(description, budget)
    assert budget.spent < budget.limit / 10
    for put in _integers(description, lambda new: new):
        for n in (2**17, 2**40):
            path = _file(tmp_path / "x.safetensors", put(n), state)
            start = time.thread_time()
            with suppress(sf.FileError):
                sf.load(path)
            assert time.thread_time() - start < _SECONDS, put(n)


def test_a_refusal_leaves_gradients_as_they_were() -> None:
    for allowed in (True, False):
        with torch.set_grad_enabled(allowed):
            with pytest.raises(sf.ConfigError, match="too much"), Budget(0, 0), torch.no_grad():
                torch.zeros(10**9, 10**3)
            assert torch.is_grad_enabled() is allowed
