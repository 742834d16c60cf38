"""A small classifier of digits, trained on the training images: it names samples, and its features compare sets."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from surflow.data import Part
from surflow.distribution import seeded

EPOCHS, _BATCH, _LR = 6, 128, 2e-3
_AT_ONCE = 1000


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


def classifier(path: Path, train: Part, epochs: int = EPOCHS) -> Classifier:
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
            # Moved by a pixel or two, so that it learns forms and not places.
            dx, dy = torch.randint(-2, 3, (2,)).tolist()
            loss = F.cross_entropy(model(x[index].roll((dy, dx), (2, 3))), digit[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path)
    return model
