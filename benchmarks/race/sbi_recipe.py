"""The package sbi: neural posterior estimation with all its defaults, on parameters and observations as they are."""

from __future__ import annotations

import contextlib
import tempfile

import numpy as np
import torch
from torch import Tensor

from benchmarks.race.torch_recipes import scorer, watched
from benchmarks.race.track import Rows, Track


def sbi(name: str, rows: Rows, track: Track) -> None:
    """``NPE().append_simulations(theta, x).train()``, which standardises inside and stops by its own validation."""
    from sbi.inference import NPE

    theta, x = (torch.from_numpy(part).float() for part in rows.of("train") if part is not None)
    inference = NPE(show_progress_bars=False).append_simulations(theta, x)

    def log_prob(theta: np.ndarray, x: np.ndarray | None) -> Tensor:
        assert x is not None  # posteriors have observations
        return inference._neural_net.log_prob(torch.from_numpy(theta).float()[None], torch.from_numpy(x).float())[0]

    def score(theta: np.ndarray, x: np.ndarray | None) -> np.ndarray:
        return scorer(inference._neural_net, log_prob)(theta, x)

    # It writes logs into the folder it is in.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), watched(track, lambda _: score):
        inference.train()
    track.mark(score)
