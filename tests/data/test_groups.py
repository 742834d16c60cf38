"""Parquet larger than memory: every training row once an epoch, held-out rows never, whoever reads which part."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pytest
import torch

import surflow as sf
from surflow._internal.groups import Groups
from surflow.data import load
from surflow.errors import ConfigError
from surflow.training.grouped import Grouped


class Watched(Groups):
    """Groups that remember which of them were read."""

    def __init__(self, groups: Groups, seen: set[int]) -> None:
        self.sizes, self.groups, self.seen = groups.sizes, groups, seen

    def read(self, number: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.seen.add(number)
        return self.groups.read(number)


ROWS, GROUP = 9000, 2048
LOAD = sys.modules["surflow.data.load"]  # whose name in the package is the function's


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five groups, the last smaller; the first column says which row it is."""
    file = tmp_path / "rows.parquet"
    columns = "(i * 7919 % 9000 + 0.5)::DOUBLE AS a, sin(i) AS b, CASE WHEN i % 3 = 0 THEN 'x' ELSE 'y' END AS c"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT {columns} FROM range({ROWS}) t(i)) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE {GROUP})"
        )
    monkeypatch.setattr(LOAD, "_MOST_NUMBERS", 20_000)
    monkeypatch.setattr(LOAD, "_FEWEST_NUMBERS", 6000)
    monkeypatch.setattr("surflow.training.grouped._WINDOW_NUMBERS", 3000)
    return file


def source(splits: sf.data.Splits, batch_size: int, seed: int = 0) -> Grouped:
    assert splits.groups is not None
    return Grouped(splits.groups, sf.Flow([sf.Standardize(2)], base=sf.Normal(2)), batch_size, seed)


def test_rows_in_memory_and_rows_in_groups_are_the_file(path: Path) -> None:
    splits = load(path, columns=["a", "b"])
    groups = splits.groups
    assert groups is not None and len(groups.sizes) == 5
    trained = torch.cat([groups.read(number).x for number in range(5)])
    held = torch.cat([splits.validation.x, splits.test.x])
    assert [len(groups.read(number).x) for number in range(5)] == groups.sizes
    every = torch.cat([trained, held])[:, 0].sort().values
    assert torch.equal(every, torch.arange(ROWS, dtype=torch.float64) + 0.5)
    assert torch.isin(splits.train.x[:, 0], trained[:, 0]).all()
    shares = [len(part.x) / ROWS for part in (splits.train, splits.validation, splits.test)]
    assert shares == pytest.approx([0.7 * 6000 / 27000, 0.15 * 6000 / 27000, 0.15 * 6000 / 27000], rel=0.2)
    assert "training goes through all others of the 9,000 rows, group by group" in splits.description
    again = load(path, columns=["a", "b"])
    assert torch.equal(again.test.x, splits.test.x)
    assert load(path, rows=500).groups is None


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_row_comes_once_an_epoch_and_no_device_reads_all(path: Path, world: int) -> None:
    splits = load(path, columns=["a", "b"])
    groups = splits.groups
    assert groups is not None
    epochs = []
    for rank in range(world):
        own, read = source(splits, 50), set[int]()
        length = (rank + 1) * own.size // world - rank * own.size // world
        assert abs(length - own.size / world) < 1
        own.groups = Watched(groups, read)
        rows = [own.batch(step, rank, world).x for step in range(length // 50)]
        assert len(read) <= 5 if world == 1 else len(read) < 5
        rows += [own.batch(step, rank, world).x for step in range(length // 50, -(-2 * length // 50))]
        x = torch.cat(rows)[:, 0]
        epochs.append((x[:length], x[length : 2 * length]))
    trained = torch.cat([groups.read(number)[0][:, 0] for number in range(5)]).sort().values
    for epoch in zip(*epochs, strict=True):
        assert torch.equal(torch.cat(epoch).sort().values, trained)
    assert not torch.equal(*epochs[0]) and not torch.equal(epochs[0][0], epochs[0][0].sort().values)


def test_one_device_reads_what_two_would_and_a_batch_depends_on_its_step_alone(path: Path) -> None:
    splits = load(path, columns=["a", "b"])
    parts = [source(splits, 64) for _ in range(2)]
    both, late = source(splits, 64), source(splits, 64)
    both.devices = 2
    for step in (0, 1, 40, 150):
        expected = torch.cat([parts[rank].batch(step, rank, 2).x for rank in range(2)])
        assert torch.equal(both.batch(step).x, expected)
    late.devices = 2
    assert torch.equal(late.batch(40).x, both.batch(40).x)
    with pytest.raises(ConfigError, match="begun on 2 devices, each with a part of the file, and cannot go on with 3"):
        both.batch(0, 0, 3)
    three = source(splits, 64)
    three.devices = 3
    uneven = [three.batch(7, rank, 2) for rank in range(2)]
    assert [len(part.x) for part in uneven] == [64, 128] and all(part.weight is not None for part in uneven)


def test_a_flow_is_trained_on_groups_with_categories_and_a_context(path: Path) -> None:
    splits = load(path, context="c")
    assert splits.groups is not None and splits.context is not None
    flow = sf.presets.spline(2, layers=1, context_net=splits.context.network(), seed=0)
    history = sf.fit(
        flow, splits.groups, validation=(splits.validation.x, splits.validation.context), steps=30, progress=False
    )
    assert history.steps == 30 and history.losses("validation")[-1][1] < history.losses("validation")[0][1]
    mixed = load(path)
    assert mixed.groups is not None and mixed.groups.read(0)[0].shape[1] == 3
