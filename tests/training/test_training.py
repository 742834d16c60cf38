"""Training: optima of known problems, exact resumption, several processes, and what goes wrong, named."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import surflow as sf
from surflow.errors import ConfigError, DataError, FileError, NonFiniteError, ShapeError
from surflow.training import progress, record
from surflow.training.checkpoints import read, write
from surflow.training.fitting import fit
from surflow.training.loop import WARM_UP, Plan, Training
from surflow.training.sources import source_of


def rows(n: int, *event: int, seed: int = 0) -> Tensor:
    return torch.randn(n, *event, generator=torch.Generator().manual_seed(seed))


def gaussian(event: int = 1) -> sf.Flow:
    return sf.Flow([], base=sf.Normal(event, learned=True))


def noisy() -> sf.Flow:
    """Augmentation noise, an initialised layer, a network."""
    torch.manual_seed(1)
    layers = [
        sf.ActNorm(2),
        sf.Augment(2, noise=2),
        sf.Coupling(4, hidden=(8,)),
        sf.Reverse(4),
        sf.Coupling(4, hidden=(8,)),
    ]
    return sf.Flow(layers, base=sf.Normal(4))


def same(a: sf.Flow, b: sf.Flow) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def plan(**changes: object) -> Plan:
    numbers = dict(steps=100, minutes=None, batch_size=10, lr=2.0, schedule="cosine", decay=0.5, decay_every=10)
    others = dict(clip=None, patience=None, validate_every=None, importance_samples=1, seed=0)
    return Plan(**{**numbers, **others, **changes})


# -- optima ----------------------------------------------------------------------------------------


def test_a_normal_reaches_mean_and_standard_deviation_of_the_sample():
    x = 3 + 2 * rows(500, 1)
    flow = gaussian()
    history = fit(flow, x, steps=400, lr=0.1, batch_size=500, progress=False)
    mean, log_scale = flow.base.raw.flatten().tolist()
    assert mean == pytest.approx(x.mean().item(), abs=0.02)
    assert math.exp(log_scale) == pytest.approx(x.std(correction=0).item(), abs=0.02)
    # The loss at the optimum is the entropy of the fitted normal.
    entropy = 0.5 * math.log(2 * math.pi * math.e) + x.std(correction=0).log().item()
    assert history.losses()[-1][1] == pytest.approx(entropy, abs=1e-3)
    assert (history.steps, history.stopped, flow.training) == (400, "steps", False)


def test_weights_count_rows():
    x = rows(30, 1)
    weight = torch.arange(30) % 3
    flows = [gaussian(), gaussian()]
    fit(flows[0], (x, None, weight.float()), steps=50, lr=0.1, batch_size=30, progress=False)
    fit(flows[1], x.repeat_interleave(weight, 0), steps=50, lr=0.1, batch_size=30, progress=False)
    torch.testing.assert_close(flows[0].base.raw, flows[1].base.raw, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_bound_of_a_linear_gaussian_chain_is_trained_to_the_optimum_of_its_density():
    # x = z's first half with z normal: the marginal of the sliced part is a normal with learned scale.
    x = 2 * rows(2000, 1)
    flow = sf.Flow([sf.Augment(1, noise=sf.Normal(1, learned=True))], base=sf.Normal(2, learned=True))
    fit(flow, x, steps=600, lr=0.05, batch_size=2000, progress=False)
    best = 0.5 * math.log(2 * math.pi * math.e) + x.std(correction=0).log().item()
    assert -flow.elbo(x).mean().item() == pytest.approx(best, abs=0.01)


def test_contexts_are_used_and_refused_where_the_flow_takes_none():
    label = torch.arange(200) % 2
    x = rows(200, 1) * 0.1 + label[:, None]
    flow = sf.Flow([], base=sf.Normal(1, context_shape=2), context_net=sf.OneHot(2))
    fit(flow, (x, label), steps=200, lr=0.02, batch_size=200, progress=False)
    assert flow.elbo(x, label).mean() > 0.5  # without the label at most -0.5 log(2 pi e 0.26) = -0.75
    with pytest.raises(ShapeError, match="takes no context, but the data bring one"):
        fit(gaussian(), (x, label), steps=1, progress=False)
    with pytest.raises(ShapeError, match=r"pass \(x, context\) as data"):
        fit(flow, x, steps=1, progress=False)
    fit(gaussian(2), sf.data.moons, steps=1, progress=False)  # a distribution that could draw labels is asked for none


# -- randomness is a function of (seed, step) ------------------------------------------------------


def test_the_caller_keeps_its_random_state_and_its_modes():
    state = torch.get_rng_state()
    handler = signal.getsignal(signal.SIGINT)
    with torch.no_grad():
        fit(noisy(), rows(50, 2), validation=0.2, steps=3, progress=False)
        assert not torch.is_grad_enabled()
    torch.manual_seed(1)
    noisy()
    after_building = torch.get_rng_state()
    torch.set_rng_state(state)
    flow = noisy()
    fit(flow, rows(50, 2), steps=2, progress=False)
    assert torch.equal(torch.get_rng_state(), after_building)
    assert signal.getsignal(signal.SIGINT) == handler


def test_the_same_seed_gives_the_same_weights_and_another_one_others():
    flows = [noisy() for _ in range(3)]
    for flow, seed in zip(flows, (0, 0, 1), strict=True):
        torch.rand(3)  # the global state does not matter
        fit(flow, rows(50, 2), steps=3, batch_size=10, seed=seed, progress=False)
    assert same(flows[0], flows[1]) and not same(flows[0], flows[2])


@pytest.mark.parametrize("batch_size, world", [(7, 1), (4, 2), (100, 1)])
def test_every_row_comes_once_an_epoch_and_devices_share_a_batch(batch_size, world):
    x = torch.arange(20.0)[:, None]
    source = source_of(x, gaussian(), batch_size, seed=3)
    size = min(batch_size * world, 20)
    drawn = []
    for step in range(20):
        parts = [source.batch(step, rank, world).x for rank in range(world)]
        assert len({len(part) for part in parts}) == 1
        drawn.append(torch.cat(parts))
        assert len(drawn[-1]) == size
        alone = source_of(x, gaussian(), batch_size * world, seed=3).batch(step).x
        assert torch.equal(drawn[-1], alone)
    for epoch in torch.cat(drawn).flatten()[: size * 20 // 20 * 20].split(20):
        assert torch.equal(epoch.sort().values, x.flatten())


def loaders() -> list[DataLoader]:
    data = TensorDataset(rows(13, 1))
    own = torch.Generator()
    return [
        DataLoader(data, 4, shuffle=True),
        DataLoader(data, 4, shuffle=True, generator=own),
        DataLoader(Endless(), 4),
    ]


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(torch.rand(13, 1))


@pytest.mark.parametrize("which", range(3))
def test_a_loader_gives_the_same_batch_at_a_step_wherever_it_starts(which):
    whole = [source_of(loaders()[which], gaussian(), 1, seed=0).batch(step).x for step in range(11)]
    source = source_of(loaders()[which], gaussian(), 1, seed=0)
    for step, batch in enumerate([source.batch(step).x for step in range(11)]):
        assert torch.equal(batch, whole[step])
    shuffled = torch.cat(whole[:4]), torch.cat(whole[4:8])
    assert len(shuffled[0]) == len(shuffled[1]) == 13 and not torch.equal(*shuffled)
    source = source_of(loaders()[which], gaussian(), 1, seed=0)
    assert torch.equal(torch.cat([source.batch(5, rank, 2).x for rank in range(2)][:1]), whole[10])


class Pairs(Dataset):
    """Items (x, label) as vision data sets have them."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return torch.full((1,), float(i)), i % 2


class Jittered(Pairs):
    """A Dataset that draws, as augmentations do."""

    def __getitem__(self, i: int) -> Tensor:  # type: ignore[override]
        return i + torch.rand(1)


@pytest.mark.parametrize("batch_size", [6, 20])
def test_what_a_dataset_draws_is_a_function_of_the_step(batch_size):
    first, second = (source_of(Jittered(), gaussian(), batch_size, seed=0) for _ in range(2))
    batches = [first.batch(step).x for step in range(4)]
    assert torch.equal(second.batch(3).x, batches[3]) and not torch.equal(batches[2], batches[3])


def test_all_kinds_of_data_train():
    flow = sf.Flow([], base=sf.Normal(1, context_shape=2), context_net=sf.OneHot(2))
    fit(flow, Pairs(), validation=0.25, steps=2, batch_size=5, progress=False)
    fit(flow, DataLoader(Pairs(), 5), validation=DataLoader(Pairs(), 5), steps=2, progress=False)
    fit(flow, lambda n: (torch.zeros(n, 1), torch.ones(n)), steps=2, progress=False)
    fit(gaussian(), TensorDataset(rows(9, 1)), validation=rows(9, 1).numpy(), steps=2, progress=False)
    history = fit(gaussian(2), sf.data.checkerboard, steps=2, batch_size=50, progress=False)
    assert history.steps == 2


# -- schedules, clipping, stopping, snapshots ------------------------------------------------------


def test_schedules():
    assert [plan(schedule="constant").learning_rate(k, 0.0) for k in (0, 99)] == [2.0, 2.0]
    assert [plan(schedule="step").learning_rate(k, 0.0) for k in (0, 9, 10, 25)] == [2.0, 2.0, 1.0, 0.5]
    cosine = [plan().learning_rate(k, 0.0) for k in range(100)]
    assert max(cosine) == pytest.approx(2.0, rel=0.01) and cosine.index(max(cosine)) == pytest.approx(
        100 * WARM_UP, abs=1
    )
    assert cosine[0] == pytest.approx(2.0 * 0.005 / WARM_UP) and 0 < cosine[-1] < 0.01
    timed = plan(steps=None, minutes=2.0)
    middle = 120 * (WARM_UP + (1 - WARM_UP) / 2)
    assert [timed.learning_rate(k, s) for k, s in ((7, 0.0), (7, middle), (7, 120.0))] == pytest.approx([0, 1.0, 0])


def test_minutes_end_a_run_and_are_what_the_schedule_follows():
    history = fit(gaussian(), rows(10, 1), validation=0.2, minutes=0.01, progress=False)
    assert history.stopped == "minutes" and 0.6 <= history.seconds < 20
    rates = [row.learning_rate for row in history.rows if row.split == "train"]
    assert rates[-1] < max(rates) / 2


def test_a_clipped_step_moves_no_further_than_the_norm_allows():
    # Adam's first step does not know the norm, its second does: clipping a huge second gradient keeps the step small.
    def draw(n: int) -> Tensor:
        return torch.full((n, 1), 2.0)

    flows = [gaussian(), gaussian()]
    for flow, clip in zip(flows, (None, 1e-9), strict=True):
        fit(flow, draw, steps=3, lr=0.1, schedule="constant", clip=clip, progress=False)
    # Gradients of 1e-9 are below Adam's epsilon of 1e-8, so the steps shrink.
    assert flows[1].base.raw.abs().max() < 0.2 * flows[0].base.raw.abs().max()


def test_early_stopping_restores_the_best_weights():
    # The optimum of training moves away from that of validation after it has passed it.
    flow = gaussian()
    held_out = rows(100, 1) + 1
    history = fit(flow, rows(100, 1) + 5, validation=held_out, steps=1000, lr=0.05, schedule="constant", batch_size=100,
                  validate_every=5, patience=3, progress=False)  # fmt: skip
    assert history.stopped == "patience" and history.steps == history.best_step + 15
    losses = dict(history.losses("validation"))
    assert history.best_nll == losses[history.best_step] == min(losses.values())
    assert -flow.log_prob(held_out).mean().item() == pytest.approx(history.best_nll, abs=1e-5)


def test_validation_uses_the_same_noise_and_weights_every_time():
    held_out = (rows(30, 2), None, torch.arange(30.0))
    first = fit(noisy(), rows(40, 2), validation=held_out, steps=4, lr=1e-30, validate_every=1, progress=False)
    losses = [nll for _, nll in first.losses("validation")]
    assert len(losses) == 5 and len(set(losses)) == 1  # before the first step, and after each


def test_snapshots_are_the_weights_after_so_many_steps():
    flow, x = gaussian(), rows(40, 1) + 3
    history = fit(flow, x, steps=6, snapshots=(0, 4, 6), schedule="constant", progress=False)
    assert list(history.snapshots) == [0, 4, 6] and history.snapshots[0]["base.raw"].abs().max() == 0
    shorter = gaussian()
    fit(shorter, x, steps=4, schedule="constant", progress=False)
    assert torch.equal(history.snapshots[4]["base.raw"], shorter.base.raw)
    assert torch.equal(history.snapshots[6]["base.raw"], flow.base.raw)


def test_importance_samples_tighten_the_training_loss():
    options = dict(steps=1, batch_size=500, progress=False)
    one, ten = (fit(noisy_bound(), rows(500, 1), importance_samples=k, **options) for k in (1, 10))
    exact = 0.5 * math.log(2 * math.pi) + 0.5 * rows(500, 1).square().mean().item()
    assert exact < ten.losses()[0][1] < one.losses()[0][1]


def test_importance_samples_tighten_the_loss_of_any_distribution():
    options = dict(steps=1, batch_size=500, progress=False)
    pairs = rows(500, 2)
    one, ten = (fit(sf.Joint([noisy_bound(), noisy_bound()]), pairs, importance_samples=k, **options) for k in (1, 10))
    exact = math.log(2 * math.pi) + 0.5 * pairs.square().sum(1).mean().item()
    assert exact < ten.losses()[0][1] < one.losses()[0][1]


def noisy_bound() -> sf.Flow:
    flow = sf.Flow([sf.Augment(1, noise=sf.Normal(1, learned=True))], base=sf.Normal(2))
    flow.transforms[0].layer.dropped.raw.data[1] = 0.7  # noise of another scale than the base expects
    return flow


# -- resumption ------------------------------------------------------------------------------------

STEPS, KILLED = 23, 14
OPTIONS = dict(steps=STEPS, validate_every=4, snapshots=(3, 20), batch_size=8, progress=False, clip=1.0)


@pytest.mark.e2e
def test_a_killed_run_ends_like_an_uninterrupted_one(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        f"""
import os, signal, sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_training as t
from surflow.training import record
from surflow.training.loop import Training
record.CHECKPOINT_SECONDS = 0.0
step = Training.training_step
def deadly(self, number):
    if number == {KILLED}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, number)
Training.training_step = deadly
t.fit(t.noisy(), t.rows(50, 2), validation=t.rows(30, 2, seed=1), folder={str(tmp_path / "run")!r}, **t.OPTIONS)
"""
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script], env=environment, timeout=120, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = tmp_path / "run"
    assert read(folder / "checkpoint.safetensors")["global_step"] == KILLED

    resumed, whole = noisy(), noisy()
    theirs = fit(resumed, rows(50, 2), validation=rows(30, 2, seed=1), folder=folder, **OPTIONS)
    ours = fit(whole, rows(50, 2), validation=rows(30, 2, seed=1), folder=tmp_path / "whole", **OPTIONS)
    assert same(resumed, whole)
    assert [row[:4] for row in theirs.rows] == [row[:4] for row in ours.rows]
    assert (theirs.best_step, theirs.best_nll, theirs.steps) == (ours.best_step, ours.best_nll, STEPS)
    assert list(theirs.snapshots) == [3, 20]
    for step, weights in theirs.snapshots.items():
        assert all(torch.equal(weights[name], ours.snapshots[step][name]) for name in weights)
    texts = [(f / "log.csv").read_text() for f in (folder, tmp_path / "whole")]
    logs = [[line[:4] for line in csv.reader(text.splitlines())] for text in texts]
    assert logs[0] == logs[1] and logs[0][0] == ["step", "split", "nll", "learning_rate"]
    # After the end the same call gives the same once more.
    again = noisy()
    once_more = fit(again, rows(50, 2), validation=rows(30, 2, seed=1), folder=folder, **OPTIONS)
    assert same(again, whole) and once_more.rows == theirs.rows and once_more.stopped == "steps"


@pytest.mark.parametrize("kind", ["callable", "loader", "first step"])
def test_a_run_whose_data_failed_is_taken_up(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(record, "CHECKPOINT_SECONDS", 0.0)
    broken = True
    calls = 0

    def data():
        if kind == "loader":
            return DataLoader(Failing(), 5, shuffle=True)
        return draw

    def draw(n: int) -> Tensor:
        nonlocal calls
        calls += 1
        if broken and calls == (2 if kind == "first step" else 7):
            raise RuntimeError("the source failed")
        return torch.randn(n, 2)

    class Failing(Dataset):
        def __len__(self) -> int:
            return 17

        def __getitem__(self, i: int) -> Tensor:
            nonlocal calls
            calls += 1
            if broken and calls == 60:
                raise RuntimeError("the source failed")
            return rows(17, 2)[i] + 0.01 * torch.randn(2)

    options = dict(steps=12, batch_size=5, progress=False, schedule="step", decay_every=3)
    resumed, whole = noisy(), noisy()
    with pytest.raises(RuntimeError, match="the source failed"):
        fit(resumed, data(), folder=tmp_path, **options)
    broken = False
    fit(noisy_again := noisy(), data(), folder=tmp_path, **options)
    fit(whole, data(), **options)
    assert same(noisy_again, whole)


def test_an_interrupted_run_returns_and_can_be_finished(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "CHECKPOINT_SECONDS", 0.0)
    calls = 0

    def draw(n: int) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return torch.randn(n, 2)

    options = dict(validation=rows(20, 2), steps=10, batch_size=5, validate_every=2, progress=False, folder=tmp_path)
    flow = noisy()
    history = fit(flow, draw, **options)
    assert history.stopped == "interrupted" and history.steps == 5 and history.best_step in (2, 4)
    assert "interrupted after 5 steps" in capsys.readouterr().err
    assert fit(flow, draw, **options).steps == 10


def test_a_signal_after_the_last_step_is_not_lost(tmp_path):
    """The last step may have looked before it comes; the run is whole, and the signal takes its course after it."""
    taken = []
    before = signal.signal(signal.SIGTERM, lambda number, _: taken.append(number))

    def after_the_last(_: Training) -> None:
        signal.raise_signal(signal.SIGTERM)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Training, "on_train_end", after_the_last, raising=False)
            history = fit(gaussian(2), rows(20, 2), validation=rows(5, 2), steps=3, progress=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert history.stopped == "steps" and history.steps == 3 and taken == [signal.SIGTERM]


def test_a_time_budget_counts_what_was_spent_before(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "CHECKPOINT_SECONDS", 0.0)
    calls = 0

    def draw(n: int) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 12:
            raise RuntimeError("killed")
        return torch.randn(n, 1)

    with pytest.raises(RuntimeError, match="killed"):
        fit(gaussian(), draw, minutes=0.02, folder=tmp_path, progress=False)
    state = read(tmp_path / "checkpoint.safetensors")
    assert 0 < state["callbacks"]["Record"]["seconds"] < 1.2
    state["callbacks"]["Record"]["seconds"] = 1.1  # as if most of the 1.2 seconds were gone
    write(state, tmp_path / "checkpoint.safetensors")
    monkeypatch.setattr(record, "CHECKPOINT_SECONDS", 30.0)
    history = fit(gaussian(), draw, minutes=0.02, folder=tmp_path, progress=False)
    assert history.stopped == "minutes" and history.seconds >= 1.2 and history.rows[0].seconds > 1.1


def test_folders_are_neither_overwritten_nor_mixed(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "CHECKPOINT_SECONDS", 0.0)
    x = rows(20, 1)

    def stop(n: int) -> Tensor:
        raise KeyboardInterrupt

    fit(gaussian(), x, steps=2, folder=tmp_path / "done", progress=False)
    with pytest.raises(FileError, match=r"steps=2, now 3"):
        fit(gaussian(), x, steps=3, folder=tmp_path / "done", progress=False)
    (tmp_path / "done" / "checkpoint.safetensors").unlink()  # as who has the model may
    with pytest.raises(FileError, match=r"holds a finished run.*log\.csv"):
        fit(gaussian(), x, steps=2, folder=tmp_path / "done", progress=False)

    folder = tmp_path / "begun"
    monkeypatch.setattr("surflow.training.loop.Training.training_step", lambda *_: stop(0))
    assert fit(gaussian(), x, steps=5, folder=folder, progress=False).stopped == "interrupted"
    monkeypatch.undo()
    with pytest.raises(FileError, match=r"lr=0\.001, now 0\.01"):
        fit(gaussian(), x, steps=5, lr=0.01, folder=folder, progress=False)
    with pytest.raises(FileError, match="another flow"):
        fit(gaussian(2), rows(20, 2), steps=5, folder=folder, progress=False)

    path = folder / "checkpoint.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-3], whole[:40], b"", whole.replace(b"surflow_checkpoint", b"surflow_checkpoinT")):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=r"damaged|not a checkpoint"):
            fit(gaussian(), x, steps=5, folder=folder, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot be written to"):
        fit(gaussian(), x, steps=5, folder=tmp_path / "file" / "run", progress=False)


def test_checkpoints_hold_nested_values_bit_for_bit_and_no_pickle(tmp_path):
    view = torch.arange(6.0).reshape(2, 3).T
    state = {0: {"a": (1, 2.5, None, [True, "x"])}, "t": [view, torch.tensor(3), torch.tensor([], dtype=torch.bool)],
             ("k", 1): {}, "edges": (0.1 + 0.2, math.inf, -0.0), "tensor": {"dict": "1"}}  # fmt: skip
    write(state, tmp_path / "c.safetensors")
    again = read(tmp_path / "c.safetensors")
    tensors = [again["t"].pop(), again["t"].pop(), again["t"].pop()]
    assert torch.equal(tensors[2], state["t"][0]) and tensors[1].shape == () and tensors[0].dtype == torch.bool
    state["t"] = []
    assert again == state and repr(again) == repr(state)
    with pytest.raises(FileError, match="cannot hold a set"):
        write({"a": {1}}, tmp_path / "d.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    data = (tmp_path / "c.safetensors").read_bytes()
    assert not data.startswith((b"PK", b"\x80")) and b"pickle" not in data


# -- several processes -----------------------------------------------------------------------------


@pytest.mark.e2e
def test_two_processes_end_like_one_on_the_doubled_batch(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    x, weight = rows(30, 2) + 1, torch.arange(30.0) % 4
    one, two = (sf.Flow([sf.Coupling(2, hidden=(8,))], base=sf.Normal(2, learned=True)) for _ in range(2))
    two.load_state_dict(one.state_dict())
    options = dict(steps=12, lr=0.01, validation=x[:10], snapshots=(5,), accelerator="cpu", progress=False)
    ours = fit(one, (x, None, weight), batch_size=8, **options)
    theirs = fit(two, (x, None, weight), batch_size=4, devices=2, strategy="ddp_spawn", **options)
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], tensor, atol=1e-5, rtol=0)
    assert theirs.best_step == ours.best_step and theirs.best_nll == pytest.approx(ours.best_nll, abs=1e-5)
    assert [row[:2] for row in theirs.rows] == [row[:2] for row in ours.rows] and list(theirs.snapshots) == [5]


@pytest.mark.parametrize("data", [rows(20, 1), lambda n: torch.rand(n, 1)])
def test_uneven_shares_have_every_row_once_and_all_rows_count_alike(data):
    source = source_of(data, gaussian(), 4, seed=3)
    source.devices = 2  # with which the run was begun
    whole = source.batch(5).x
    parts = [source.batch(5, rank, 3) for rank in range(3)]
    assert torch.equal(torch.cat([part.x for part in parts]), whole) and len(whole) == 8
    assert [len(part.x) for part in parts] == [2, 3, 3]
    # The mean over devices of sums of nll by the mean of the devices' weights, as a step has it, is the mean of rows.
    total = sum(part.weight.sum() for part in parts) / 3
    losses = [(part.x.square().sum(1) * part.weight).sum() / total for part in parts]
    assert sum(losses).item() / 3 == pytest.approx(whole.square().mean().item())
    with pytest.raises(DataError, match="cannot be shared by 9 devices"):
        source.batch(5, 0, 9)


def test_a_run_goes_on_with_another_number_of_devices_bit_for_bit(tmp_path):
    x = rows(50, 2)
    options = dict(steps=12, lr=0.01, validation=x[:10], progress=False)
    whole = noisy()
    fit(whole, x, batch_size=8, **options)
    cut = noisy()

    class Stopped(Exception):
        pass

    def stop_at(step):
        calls = iter(range(100))
        return lambda *_: (_ for _ in ()).throw(Stopped) if next(calls) == step else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surflow.training.record.CHECKPOINT_SECONDS", 0.0)
        patch.setattr("surflow.training.loop.Training.on_train_batch_end", stop_at(6), raising=False)
        with pytest.raises(Stopped):
            fit(cut, x, batch_size=8, folder=tmp_path, **options)
    # As two devices leave it: half of the rows each.
    state = read(tmp_path / "checkpoint.safetensors")
    assert 0 < state["global_step"] < 12
    state["callbacks"]["Record"]["settings"] |= {"batch_size": 4, "devices": 2}
    write(state, tmp_path / "checkpoint.safetensors")
    history = fit(noisy(), x, batch_size=4, folder=tmp_path, **options)
    flow = noisy()
    fit(flow, x, batch_size=4, folder=tmp_path, **options)
    assert history.steps == 12 and same(flow, whole)
    with pytest.raises(FileError, match="batch_size"):
        fit(noisy(), x, batch_size=8, folder=tmp_path, **options)


def test_processes_that_were_not_started_are_refused(monkeypatch):
    for name, value in {"SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="devices=3 and num_nodes=2, but 2 processes were started on each of 2"):
        fit(gaussian(), rows(9, 1), devices=3, progress=False)
    monkeypatch.delenv("SLURM_NTASKS")
    with pytest.raises(ConfigError, match="strategy='none'"):
        fit(gaussian(), rows(9, 1), steps=1, strategy="none", progress=False)


# -- what goes wrong -------------------------------------------------------------------------------


class Fragile(sf.Transform):
    """The identity, until the call numbered ``at``: then a NaN, in the value or only in the gradient."""

    def __init__(self, shape: int, at: int, where: str) -> None:
        super().__init__(shape)
        self.at, self.where, self.calls = at, where, 0
        self.scale = nn.Parameter(torch.ones(()))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        self.calls += self.training
        z, V = x * self.scale, self.scale.log().expand(x.shape[0])
        if self.calls > self.at:
            # The square root has no finite slope at zero: the value is zero, the gradient 0 / 0.
            zero = ((self.scale - self.scale.detach()) ** 2).sqrt()
            V = V + zero if self.where == "gradient" else V * torch.nan
        return z, V


@pytest.mark.parametrize("where, step", [("value", 4), ("gradient", 5)])
def test_a_loss_that_is_not_finite_names_step_and_layer_and_keeps_good_weights(where, step):
    # One call is the initialisation's; calls 2, 3, ... are steps 0, 1, ...
    flow = sf.Flow([sf.ActNorm(2), Fragile(2, 5, where), sf.ActNorm(2)], base=sf.Normal(2))
    with pytest.raises(NonFiniteError, match=rf"step {step} is nan.*Fragile \(position 1\)"):
        fit(flow, rows(50, 2), steps=20, progress=False)
    assert all(p.isfinite().all() for p in flow.parameters())
    healthy = sf.Flow([sf.ActNorm(2), Fragile(2, 10**6, where), sf.ActNorm(2)], base=sf.Normal(2))
    # Weights are kept every 50 steps: those of step 0 are the last that gave a finite loss.
    history = fit(healthy, rows(50, 2), steps=20, snapshots=(0,), progress=False)
    assert all(torch.equal(flow.state_dict()[name], t) for name, t in history.snapshots[0].items())


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("lr", [1e-1, 1.0, 1e1, 1e2, 1e3, 1e6, 1e10, 1e20, 1e30])
def test_after_any_learning_rate_the_weights_are_the_best_that_were_evaluated(lr, validated):
    """Finite on every row, and with validation never worse than before the first step; what went wrong is said."""
    x, held_out = rows(200, 2), rows(100, 2, seed=1)
    flow = sf.presets.spline(2, layers=2, hidden=(16,), seed=0)
    history = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            history = fit(flow, x, validation=held_out if validated else None, steps=60, lr=lr, schedule="constant",
                          progress=False)  # fmt: skip
        except NonFiniteError as error:
            assert f"has the best weights that were evaluated, of step {error.best_step}" in str(error)
    assert all(p.isfinite().all() for p in flow.parameters())
    after = -flow.log_prob(held_out).mean().item()
    assert math.isfinite(after) and flow.log_prob(x).isfinite().all() and not flow.training
    if validated:
        fresh = sf.presets.spline(2, layers=2, hidden=(16,), seed=0)
        fit(fresh, x, steps=1, lr=1e-30, progress=False)
        assert after <= -fresh.log_prob(held_out).mean().item() + 1e-5
        if history is not None:
            assert after == pytest.approx(history.best_nll, rel=1e-5)
            assert history.losses("validation")[0][0] == 0
    if lr >= 1e3 and history is not None:
        assert any("the loss has grown" in str(w.message) for w in said)


def test_a_batch_that_is_not_finite_is_named():
    calls = 0

    def draw(n: int) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.randn(n, 2) * (math.nan if calls > 3 else 1)

    with pytest.raises(NonFiniteError, match="step 2 is nan: the batch's x holds values that are not finite"):
        fit(gaussian(2), draw, steps=5, progress=False)


def nan_row() -> Tensor:
    x = rows(10, 2)
    x[3, 1] = math.nan
    return x


class Frame:
    """What a pandas.DataFrame has."""

    def to_numpy(self) -> None: ...


LABELLED = sf.Flow([], base=sf.Normal(2, context_shape=3))


@pytest.mark.parametrize(
    "error, message, flow, data",
    [
        (DataError, r"1 of 10 rows of x hold NaN or infinite values, the first at row 3", gaussian(2), nan_row()),
        (DataError, r"1 of 10 rows of context hold NaN", sf.Flow([], base=sf.Normal(2, context_shape=2)),
         (rows(10, 2), nan_row())),
        (DataError, r"expected at least one row", gaussian(2), rows(0, 2)),
        (DataError, r"x must be a tensor of numbers, got str", gaussian(2), ["a"]),
        (DataError, r"torch.tensor\(rows\)", gaussian(2), [[1.0, 2.0], [2.0, 3.0]]),
        (DataError, r"torch.tensor\(rows\)", gaussian(2), [[1.0, 2.0]] * 5),
        (DataError, r"got Frame: pass df.to_numpy\(\)", gaussian(2), Frame()),
        (DataError, r"got Frame: pass df.to_numpy\(\)", LABELLED, (Frame(), rows(10, 3))),
        (DataError, r"columns \[1\] hold one value in all 10 rows", gaussian(2), rows(10, 2) * torch.tensor([1.0, 0])),
        (DataError, r"got dict", gaussian(2), {"x": 1}),
        (DataError, r"2 parts|got 4 parts", gaussian(2), (rows(3, 2),) * 4),
        (DataError, r"outside the flow's support positive", sf.HalfNormal(2, learned=True), rows(10, 2)),
        (DataError, r"one weight a row, shape \(10,\)", gaussian(2), (rows(10, 2), None, torch.ones(9))),
        (DataError, r"negative values", gaussian(2), (rows(10, 2), None, -torch.ones(10))),
        (DataError, r"all weights are zero", gaussian(2), (rows(10, 2), None, torch.zeros(10))),
        (DataError, r"asked for 1000 rows and gave x of shape \(3, 2\)", gaussian(2), lambda n: rows(3, 2)),
        (DataError, r"Moons|draws none", LABELLED, sf.Normal(2)),
        (ShapeError, r"training data of shape \(batch, 2\), got \(10, 3\)", gaussian(2), rows(10, 3)),
        (ShapeError, r"expects context of shape \(batch, 3\), got none", LABELLED, rows(10, 2)),
        (ShapeError, r"10 rows but 9 rows of context", LABELLED, (rows(10, 2), rows(9, 3))),
        (ShapeError, r"training data of shape", gaussian(2), DataLoader(TensorDataset(rows(10, 3)), 5)),
    ],
)  # fmt: skip
def test_bad_data_is_refused_before_training(error, message, flow, data):
    with pytest.raises(error, match=message):
        fit(flow, data, steps=1, progress=False)


@pytest.mark.parametrize(
    "message, options",
    [
        (r"unknown schedule 'cosin'; did you mean 'cosine'", dict(schedule="cosin")),
        (r"steps must be a whole number from 1, got 0", dict(steps=0)),
        (r"batch_size must be a whole number", dict(batch_size=2.5)),
        (r"lr must be positive, got -1", dict(lr=-1)),
        (r"minutes must be positive", dict(minutes=0.0)),
        (r"patience counts validations", dict(patience=3)),
        (r"snapshots must lie from 0 to steps=5", dict(steps=5, snapshots=(6,))),
        (r"tensorboard=True writes into the folder", dict(tensorboard=True)),
        (r"validation=1.5: expected a fraction between 0 and 1", dict(validation=1.5)),
        (r"validation=-1.0: expected a fraction between 0 and 1", dict(validation=-1.0)),
        (r"validation=0: expected a fraction between 0 and 1", dict(validation=0)),
        (r"validation=-1: expected a fraction between 0 and 1", dict(validation=-1)),
    ],
)
def test_bad_options_are_refused(message, options):
    with pytest.raises(ConfigError, match=message):
        fit(gaussian(2), rows(10, 2), progress=False, **options)


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ConfigError, match="Normal has no parameters to train"):
        fit(sf.Normal(2), rows(10, 2))
    with pytest.raises(ConfigError, match="expected a Flow or another Distribution"):
        fit(nn.Linear(2, 2), rows(10, 2))
    with pytest.raises(ConfigError, match="validation as a fraction needs a set of rows"):
        fit(gaussian(2), sf.Normal(2), validation=0.1, progress=False)
    with pytest.raises(DataError, match="draw a set from it once"):
        fit(gaussian(2), rows(10, 2), validation=sf.Normal(2), progress=False)
    with pytest.raises(ShapeError, match="validation data of shape"):
        fit(gaussian(2), rows(10, 2), validation=rows(10, 3), progress=False)


# -- the log and the bar ---------------------------------------------------------------------------


def test_the_bar_shows_nats_or_bits_per_dimension(capsys, monkeypatch):
    monkeypatch.setattr("surflow.training.fitting.shown", progress.Bar)  # as in a terminal
    fit(gaussian(2), rows(10, 2), validation=0.2, steps=3)
    shown = capsys.readouterr().out + capsys.readouterr().err
    assert "fit: 100%" in shown and "nats" in shown and "validation=" in shown and "Epoch" not in shown
    flow = sf.Flow([], base=sf.Categorical(3, levels=256, learned=True))
    fit(flow, torch.zeros(10, 3), steps=1)
    assert "train=8.000 bits/dim" in capsys.readouterr().out  # uniform over 256 levels


def test_tensorboard(tmp_path):
    fit(gaussian(2), rows(10, 2), steps=3, folder=tmp_path, tensorboard=True, progress=False)
    assert any((tmp_path / "tensorboard").glob("events*")) and (tmp_path / "log.csv").exists()


def test_precision_is_passed_on():
    flow = gaussian(2)
    fit(flow, rows(10, 2), steps=2, precision="64-true", progress=False)
    assert flow.base.raw.dtype == torch.float64
    for clip in (None, 1.0):
        fit(flow, rows(10, 2), steps=2, precision="bf16-mixed", accelerator="cpu", clip=clip, progress=False)


# -- what a seed makes the same ------------------------------------------------------------------------


@pytest.mark.slow
def test_another_number_of_threads_draws_the_same_and_trains_the_same_to_rounding():
    x = rows(4000, 2)
    flows, drawn, first = [], [], []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            flow = sf.presets.spline(2, layers=2, seed=0)
            history = fit(flow, x, steps=5, batch_size=2000, validation=0.1, progress=False)
            flows.append(flow)
            first.append(history.rows[0].nll)
            drawn.append(sf.Normal(50).sample(4000, seed=1))
        finally:
            torch.set_num_threads(1)
    assert torch.equal(*drawn) and first[0] == pytest.approx(first[1], abs=1e-6)
    for one, two in zip(flows[0].parameters(), flows[1].parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=0)
    torch.testing.assert_close(*(flow.log_prob(x) for flow in flows), atol=1e-4, rtol=0)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_rows_of_a_step_and_those_held_out_are_the_same_on_any_number_of_devices(world):
    x = rows(100, 1)
    for data in (x, lambda n: torch.rand(n, 1)):
        whole, shared = source_of(data, gaussian(), 8, seed=3), source_of(data, gaussian(), 8 // world, seed=3)
        for step in (0, 7, 30):
            parts = [shared.batch(step, rank, world).x for rank in range(world)]
            assert torch.equal(torch.cat(parts), whole.batch(step).x)
