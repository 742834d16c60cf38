"""A saved flow comes back bit for bit; a file that is damaged, foreign or hostile is refused with a message."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import surflow as sf
from registry import DISTRIBUTIONS, TRANSFORMS, Case, base_for, context_of, events
from surflow.serialization.files import build, describe, save

# The one case whose network is a plain torch module, which no file can state.
STATABLE = [case for case in TRANSFORMS if "convolution" not in case.name]


def _flow(case: Case, dtype: torch.dtype) -> sf.Flow:
    layer = case.make(dtype)
    assert isinstance(layer, sf.Transform)
    return sf.Flow([layer], base=base_for(layer.codomain, layer.out_shape)).to(dtype)


def _check_same(flow: sf.Flow, path: Path, dtype: torch.dtype) -> None:
    flow.eval()
    flow.save(path)
    before = torch.get_rng_state()
    same = sf.load(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert describe(same, full=True) == json.loads(json.dumps(describe(flow, full=True)))
    x, context = events(flow.support, flow.event_shape, 5, dtype=dtype), context_of(flow, 5, dtype)
    results = []
    for model in (flow, same):
        torch.manual_seed(3)
        z = model.base.sample(5, seed=1) if model.base.context_shape is None else model.base.sample((), context, seed=1)
        results.append((model.elbo(x, context), model.decode(z.reshape(5, *model.base.event_shape), context)))
    for a, b in zip(*results, strict=True):
        assert a.dtype == b.dtype == dtype
        assert torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))


@pytest.mark.parametrize("case", STATABLE, ids=lambda case: case.name)
def test_every_layer_comes_back_bit_for_bit(case: Case, tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.float64):
        _check_same(_flow(case, dtype), tmp_path / "flow.safetensors", dtype)


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=lambda case: case.name)
def test_every_distribution_comes_back_bit_for_bit(case: Case, tmp_path: Path) -> None:
    for dtype in (torch.float32, torch.float64):
        base = case.make(dtype)
        assert isinstance(base, sf.Distribution)
        _check_same(sf.Flow([], base=base).to(dtype), tmp_path / "flow.safetensors", dtype)


@pytest.mark.parametrize("support", [sf.real, sf.product([sf.real, sf.positive]), sf.Ordered(1), sf.Interval(0, 2)])
def test_supports_are_rebuilt_equal(support: sf.Support) -> None:
    assert build(json.loads(json.dumps(describe(support)))) == support


def test_context_networks_and_lists_with_none(tmp_path: Path) -> None:
    net = sf.ContextColumns([3, None], mean=[0.0, 10.0], scale=[1.0, 2.0])
    flow = sf.Flow([sf.Coupling(2, 4)], base=sf.Normal(2), context_net=net)
    flow.save(tmp_path / "flow.safetensors")
    context = torch.tensor([[1.0, 14.0]])
    same = sf.load(tmp_path / "flow.safetensors")
    assert torch.equal(same.log_prob(torch.ones(1, 2), context), flow.log_prob(torch.ones(1, 2), context))


def test_a_range_is_a_list_of_integers(tmp_path: Path) -> None:
    flow = sf.Flow([sf.Autoregressive(3, net=sf.MaskedMLP(range(3), 2))], base=sf.Normal(3))
    _check_same(flow, tmp_path / "flow.safetensors", torch.float32)


def test_default_dtype_of_the_loading_program_does_not_matter(tmp_path: Path) -> None:
    _small().save(tmp_path / "flow.safetensors")
    torch.set_default_dtype(torch.float64)
    try:
        flow = sf.load(tmp_path / "flow.safetensors")
    finally:
        torch.set_default_dtype(torch.float32)
    assert {t.dtype for t in [*flow.parameters(), *flow.buffers()] if t.is_floating_point()} == {torch.float32}


class OwnNet(sf.Configurable, nn.Module):
    def __init__(self, width: int, **more: float) -> None:
        super().__init__()
        self.layer = nn.Linear(1, width)
        self.more = more

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def test_a_users_own_class_is_saved_and_loaded(tmp_path: Path) -> None:
    flow = sf.Flow([sf.Coupling(2, net=OwnNet(2, slope=0.5))], base=sf.Normal(2))
    flow.save(tmp_path / "flow.safetensors")
    same = sf.load(tmp_path / "flow.safetensors")
    x = torch.randn(4, 2)
    assert torch.equal(same.log_prob(x), flow.log_prob(x))
    assert describe(same)["arguments"]["transforms"][0]["arguments"]["net"]["arguments"]["slope"] == 0.5
    # {"slope": 0.5}


def test_the_same_flow_makes_the_same_file(tmp_path: Path) -> None:
    flow = _small()
    paths = [tmp_path / f"{i}.safetensors" for i in range(2)]
    for path in paths:
        flow.save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_file_states_the_defaults_too() -> None:
    assert describe(sf.SplineMap()) == {"class": "SplineMap", "arguments": {}}
    assert describe(sf.SplineMap(), full=True)["arguments"] == {"bins": 8, "bound": 5.0}


# -- what cannot be saved -------------------------------------------------------------------------------


def test_pieces_that_no_file_can_state_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "flow.safetensors"
    with pytest.raises(sf.FileError, match=r"transforms\[0\].net is a Linear.*Configurable"):
        sf.Flow([sf.Coupling(2, net=nn.Linear(1, 2))], base=sf.Normal(2)).save(path)
    with pytest.raises(sf.FileError, match=r"transforms\[0\].order is a tensor of shape \(2,\).*tolist"):
        sf.Flow([sf.Permute(2, order=torch.tensor([1, 0]))], base=sf.Normal(2)).save(path)  # type: ignore[arg-type]
    with pytest.raises(sf.FileError, match="saved as"):
        _small().save(tmp_path / "flow.pt")
    with pytest.raises(sf.FileError, match="expected a Flow"):
        save(sf.Normal(2), path)  # type: ignore[arg-type]
    with pytest.raises(sf.FileError, match="cannot be written"):
        _small().save(tmp_path / "nowhere" / "flow.safetensors")
    changed = _small()
    changed.base = sf.Normal(2)
    with pytest.raises(sf.FileError, match=r"changed after it was built.*\n  base.raw: expected \(2, 2\), got none"):
        changed.save(path)
    assert list(tmp_path.iterdir()) == []


# -- what is refused when loading --------------------------------------------------------------------------


def _small() -> sf.Flow:
    return sf.Flow([sf.Abs(2), sf.Log(2), sf.Coupling(2, hidden=(4,))], base=sf.Normal(2, learned=True))


def _rewritten(tmp_path: Path, change: Callable[[dict], None], **entries: object) -> Path:
    """A saved flow with its architecture changed."""
    path = tmp_path / "flow.safetensors"
    _small().save(path)
    architecture = describe(_small())
    change(architecture)
    header = {"format": 1, "version": "0.1.0", "architecture": architecture, "buffers": {}} | entries
    return _with_header(path, json.dumps(header))


def _with_header(path: Path, header: str) -> Path:
    save_file(load_file(path), path, {"surflow": header})
    return path


def _first(architecture: dict) -> dict:
    return architecture["arguments"]["transforms"][0]


def _refused(path: Path, match: str) -> None:
    with pytest.raises(sf.FileError, match=match):
        sf.load(path)


def test_unknown_classes_and_arguments(tmp_path: Path) -> None:
    _refused(
        _rewritten(tmp_path, lambda a: _first(a).update({"class": "Abz"})), "unknown class 'Abz'; did you mean 'Abs'"
    )
    _refused(_rewritten(tmp_path, lambda a: _first(a).update({"class": "os.system"})), "unknown class 'os.system'")
    _refused(_rewritten(tmp_path, lambda a: _first(a).update({"class": 3})), "expected the name of a class, got 3")
    _refused(
        _rewritten(tmp_path, lambda a: _first(a)["arguments"].update(sign=1)), r"transforms\[0\].*did you mean 'signs'"
    )
    _refused(
        _rewritten(tmp_path, lambda a: _first(a)["arguments"].pop("event_shape")), r"Abs needs the argument event_shape"
    )
    _refused(_rewritten(tmp_path, lambda a: _first(a)["arguments"].update(event_shape="two")), "expected a shape")
    _refused(_rewritten(tmp_path, lambda a: a.update({"class": "Normal"})), "expected the architecture of a Flow")
    _refused(_rewritten(tmp_path, lambda a: a.update(extra=1)), 'expected the entries "class" and "arguments"')


def test_chains_that_do_not_fit(tmp_path: Path) -> None:
    _refused(_rewritten(tmp_path, lambda a: a["arguments"]["transforms"].pop(1)), "support positive.*lives on real")
    _refused(_rewritten(tmp_path, lambda a: a["arguments"]["base"]["arguments"].update(event_shape=3)), "expects")


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    def widen(a: dict) -> None:
        a["arguments"]["transforms"][2]["arguments"]["hidden"] = [5]

    _refused(_rewritten(tmp_path, widen), r"transforms.2.net.layers.0.weight: expected \(5, 1\), got \(4, 1\)")
    _refused(
        _rewritten(tmp_path, lambda a: a["arguments"]["base"]["arguments"].update(learned=False)),
        r"base.raw: expected none, got \(2, 2\)",
    )
    path = _rewritten(tmp_path, lambda a: None)
    tensors = load_file(path)
    header = _metadata(path)
    save_file({k: v for k, v in tensors.items() if k != "base.raw"}, path, header)
    _refused(path, r"base.raw: expected \(2, 2\), got none")
    save_file(tensors | {"base.raw": tensors["base.raw"].long()}, path, header)
    _refused(path, "base.raw: expected torch.float32 or its like, got torch.int64")


def _metadata(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]


def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    def shape(*sizes: int) -> Callable[[dict], None]:
        return lambda a: _first(a)["arguments"].update(event_shape=list(sizes))

    def hidden(*widths: int) -> Callable[[dict], None]:
        return lambda a: a["arguments"]["transforms"][2]["arguments"].update(hidden=list(widths))

    _refused(_rewritten(tmp_path, shape(10**18)), r"transforms\[0\].event_shape, of 60 bits, is too much")
    _refused(_rewritten(tmp_path, shape(10**6, 10**6)), "shape, of 2 axes, is too much")
    _refused(_rewritten(tmp_path, hidden(2**24, 2**24)), "hidden=16,777,216 is too much")
    _refused(_rewritten(tmp_path, hidden(2**18, 2**18)), "torch.empty, of 68,719,476,736 numbers, is too much")
    _refused(_rewritten(tmp_path, hidden(*[2**12] * 1000)), "too much")

    def autoregressive(a: dict) -> None:
        a["arguments"]["transforms"][2] = {
            "class": "Autoregressive",
            "arguments": {"event_shape": 2, "hidden": [2**18, 2**18]},
        }

    _refused(_rewritten(tmp_path, autoregressive), "too much")


def test_deep_nesting(tmp_path: Path) -> None:
    def inverse(a: dict) -> None:
        for _ in range(200):
            a["arguments"]["transforms"][0] = {"class": "Inverse", "arguments": {"layer": _first(a)}}

    _refused(_rewritten(tmp_path, inverse), "nested deeper")
    path = _rewritten(tmp_path, lambda a: None)
    for header in ("[" * 100_000, '{"format": 1', "3", "[]", "{}"):
        _refused(_with_header(path, header), "damaged header")


def test_newer_formats_and_odd_headers(tmp_path: Path) -> None:
    _refused(_rewritten(tmp_path, lambda a: None, format=3), "has format 3.*install a newer surflow")
    _refused(_rewritten(tmp_path, lambda a: None, format="x"), "has format x")
    _refused(_rewritten(tmp_path, lambda a: None, buffers={"transforms.0.signs.raw": "load"}), "not to be trusted")
    _refused(_rewritten(tmp_path, lambda a: None, buffers=None), "not to be trusted")


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    _small().save(good)
    data = good.read_bytes()
    path = tmp_path / "bad.safetensors"
    for size in (0, 5, 8, 9, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        _refused(path, "not a safetensors file|damaged or cut short")
    path.write_bytes(data[:200] + b"\xff" * 50 + data[250:])
    _refused(path, "damaged")
    path.write_bytes(struct.pack("<Q", 2**60) + data[8:])
    _refused(path, "header claims")
    save_file({"weight": torch.ones(2)}, path)
    _refused(path, "without surflow's header")
    torch.save({"a": 1}, path)
    _refused(path, "looks like a pickle.*never read")
    path.write_text("x,y\n1,2\n")
    _refused(path, "not a safetensors file")
    _refused(tmp_path / "missing.safetensors", "cannot be read: No such file")
    _refused(tmp_path, "cannot be read|not a safetensors")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "flow.safetensors"
    _small().save(path)
    before = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("surflow._internal.files.os.replace", fail)
    with pytest.raises(sf.FileError, match="disk full"):
        _small().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
