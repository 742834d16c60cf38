"""Reference posteriors of the benchmark sbibm: a folder TASK/num_observation_K with an observation and draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surflow.data.simulators.base import Simulator
from surflow.errors import DataError, FileError

_OBSERVATION, _DRAWS = "observation.csv", "reference_posterior_samples.csv.bz2"
_FOLDER = "num_observation_"
# Where the benchmark has a task of another name, or the observations of two tasks beside the draws that both share.
_ELSEWHERE = {
    "bernoulli_glm_raw": ("bernoulli_glm", "observation_raw.csv"),
    "sir_benchmark": ("sir", _OBSERVATION),
    "slcp_distractors": ("slcp", "observation_distractors.csv"),
}


def reference_numbers(folder: Path, task: str) -> list[int]:
    """Numbers of the observations of a task that a folder holds.

    Raises:
        FileError: if there are none.
    """
    where, observation = _ELSEWHERE.get(task, (task, _OBSERVATION))
    names = [path.name.removeprefix(_FOLDER) for path in (folder / where).glob(f"{_FOLDER}*")]
    numbers = sorted(int(name) for name in names if name.isdigit())
    if not numbers:
        raise FileError(f"{folder / where} holds no folder {_FOLDER}1 with {observation} and {_DRAWS}")
    return numbers


def read_reference(folder: Path, task: str, number: int, simulator: Simulator) -> tuple[Tensor, Tensor]:
    """An observation, shape (size,), and draws of its posterior, shape (draws, parameters), in single precision.

    Raises:
        FileError: if a file is not there, or is no table of numbers.
        DataError: if the tables do not fit the simulator, or numbers are not finite.
    """
    name, observation = _ELSEWHERE.get(task, (task, _OBSERVATION))
    where = folder / name / f"{_FOLDER}{number}"
    x = _table(where / observation, simulator.x_shape[0])
    if len(x) != 1:
        raise DataError(f"{where / observation} expects one observation, got {len(x)}")
    return x[0], _table(where / _DRAWS, simulator.theta_shape[0])


def _table(path: Path, columns: int) -> Tensor:
    if not path.exists():
        raise FileError(f"{path} is not there")
    try:
        values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, dtype=np.float32)
    except (ValueError, OSError, EOFError) as error:
        raise FileError(f"{path} is no table of numbers below a line of names: {error}") from error
    if values.shape[1] != columns or not len(values):
        raise DataError(f"{path} expects rows of {columns} numbers, got a table of shape {values.shape}")
    if not np.isfinite(values).all():
        raise DataError(f"{path} holds NaN or infinite values")
    return torch.from_numpy(values)
