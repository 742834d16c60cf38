"""What experiments with digits share: how trials are stated, samples of every digit, and a classifier for them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import load_file
from torch import Tensor, nn

from surflow._internal.files import make_folder, write_tensors
from surflow._internal.random import seeded
from surflow.data import Part
from surflow.evaluation import draws_given, mean_and_error
from surflow.flow import Flow
from surflow_experiments.cells import Found

DIGITS = 10
_BATCH, _LR = 128, 2e-3
_AT_ONCE, _TIMED = 1000, 1000


def stated(name: str, work: Path, data_dir: Path | None, *, quick: bool, epochs: int, draws: int) -> dict[str, Any]:
    """What trials of an experiment, given by its name, have in common in their specifications.

    Args:
        name, work, data_dir, quick: of the experiment.
        epochs: of the classifier.
        draws: how many samples are named.
    """
    return {
        "data_dir": None if data_dir is None else str(data_dir),
        "folder": str(work / name),
        "classifier": str(work / name / f"classifier{'-quick' if quick else ''}-{epochs}.safetensors"),
        "epochs": 1 if quick else epochs,
        "rows": 200 if quick else None,
        "tested": 100 if quick else 10_000,
        "validated": 50 if quick else 2000,
        "draws": 100 if quick else draws,
    }


class Classifier(nn.Module):
    """Two convolutions with pooling and two linear layers; the 128 numbers between these are its features."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 49, 128), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (batch, 10), of images (batch, 1, 28, 28) with values from 0 to 255."""
        return self.head(self.trunk(x / 255))

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """(batch, 128), in evaluation mode."""
        self.eval()
        return torch.cat([self.trunk(part / 255) for part in x.split(_AT_ONCE)])

    @torch.no_grad()
    def name(self, x: Tensor) -> Tensor:
        """The digit that each image looks like most, (batch,)."""
        return self.head(self.features(x)).argmax(1)


def classifier(path: Path, train: Part, epochs: int) -> Classifier:
    """The classifier in a file, or a new one trained on images with their digits, and then kept in the file."""
    model = Classifier()
    if path.exists():
        model.load_state_dict(load_file(path))
        return model.eval()
    assert train.context is not None  # the digits
    with seeded(0):
        model = Classifier()
        x, digit = train.x, train.context[:, 0].long()
        steps = epochs * len(x) // _BATCH
        optimizer = torch.optim.Adam(model.parameters(), _LR)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, total_steps=max(2, steps))
        order = torch.cat([torch.randperm(len(x)) for _ in range(epochs)])
        model.train()
        for index in track(order.split(_BATCH)[:steps], "classifier"):
            # Moved by a pixel or two, so that it learns forms and not positions.
            dx, dy = torch.randint(-2, 3, (2,)).tolist()
            loss = F.cross_entropy(model(x[index].roll((dy, dx), (2, 3))), digit[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    make_folder(path.parent)
    write_tensors(path, model.state_dict(), "classifier", {})
    return model


def drawn_digits(flow: Flow, draws: int, seed: int) -> tuple[Tensor, Found]:
    """Samples given every digit, (draws / 10, 10, *event), and how many seconds a thousand take."""
    started = time.perf_counter()
    drawn = draws_given(flow, max(1, draws // DIGITS), torch.arange(float(DIGITS))[:, None], seed=seed)
    seconds = time.perf_counter() - started
    return drawn, ("sampling_seconds", _TIMED * seconds / (drawn.shape[0] * DIGITS), None, "s")


def named_right(judge: Classifier, drawn: Tensor, real: Tensor, context: Tensor) -> list[Found]:
    """The shares that the classifier names as they should be, of samples given every digit and of real images.

    Args:
        judge: the classifier.
        drawn: images in the layout of :func:`drawn_digits`.
        real, context: real images and their digits, (n, 1).
    """
    digits = torch.arange(DIGITS).repeat(len(drawn))
    named = (judge.name(drawn.flatten(0, 1)) == digits).double().reshape(-1, DIGITS)
    # As many of every digit: that some are named better than others is no chance, only what varies within a digit is.
    error = (named.var(0).mean() / named.numel()).sqrt().item() if len(named) > 1 else None
    return [
        ("class_accuracy", named.mean().item(), error, "1"),
        ("class_accuracy_real", *mean_and_error(judge.name(real) == context[:, 0].long()), "1"),
    ]
