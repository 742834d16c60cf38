"""The command line with sets of points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import surflow as sf
from surflow.app.cli import app


def _surflow(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output


def _ragged_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((60, 5, 2)).astype(np.float32)
    mask = np.arange(5) < rng.integers(1, 6, 60)[:, None]
    np.savez(path, x=np.where(mask[..., None], x, np.nan), mask=mask)
    return x, mask


def test_files_of_points_with_and_without_a_mask(tmp_path: Path) -> None:
    x, mask = _ragged_file(tmp_path / "ragged.npz")
    splits = sf.data.load(tmp_path / "ragged.npz")
    assert isinstance(splits.support, sf.Ragged) and splits.event_shape == (3, 5)
    assert (
        splits.train.x[:, 2].sum() > 0
        and splits.train.x[:, :2][splits.train.x[:, 2:].expand(-1, 2, -1) == 0].eq(0).all()
    )
    np.save(tmp_path / "points.npy", x)
    assert sf.data.load(tmp_path / "points.npy", sets=True).event_shape == (2, 5)
    assert sf.data.load(tmp_path / "points.npy").event_shape == (5, 2)  # an array is in order
    np.savez(tmp_path / "wrong.npz", x=x, mask=mask[:, :4])
    with pytest.raises(sf.DataError, match="true where there is one"):
        sf.data.load(tmp_path / "wrong.npz")


@pytest.mark.e2e
def test_a_run_over_clouds_of_pixels_knows_the_pixels(tmp_path: Path) -> None:
    _surflow("train", "spatial_digits", "--context", "digit", "--steps", 3, "--out", tmp_path / "run")
    flow = sf.load(tmp_path / "run" / "model.safetensors")
    assert flow.base.levels == 64 and flow.support == sf.Interval(-0.5, 7.5)
    _surflow("sample", tmp_path / "run", "-n", 4, "--context", 3, "-o", tmp_path / "new.npy")
    assert np.load(tmp_path / "new.npy").shape == (4, 2, 50)


@pytest.mark.e2e
def test_a_run_over_sets_of_different_sizes(tmp_path: Path) -> None:
    _ragged_file(tmp_path / "ragged.npz")
    run = str(tmp_path / "run")
    _surflow("train", tmp_path / "ragged.npz", "--steps", 3, "--out", run)
    _surflow("sample", run, "-n", 7, "-o", tmp_path / "new.npy")
    assert (tmp_path / "run" / "pictures" / "samples.png").exists()
    drawn = np.load(tmp_path / "new.npy")
    assert drawn.shape == (7, 3, 5) and set(np.unique(drawn[:, 2])) <= {0.0, 1.0}
    refused = CliRunner().invoke(app, ["train", str(tmp_path / "ragged.npz"), "--model", "sort-flow"])
    assert refused.exit_code == 2 and "point-grid" in refused.output
