"""Lightning comes without the metrics that training does not use, and whoever asks for them gets them."""

from __future__ import annotations

import subprocess
import sys

_ASKED = """
import sys
import surflow
surflow.fit
assert "lightning.pytorch" in sys.modules and "scipy" not in sys.modules, sorted(sys.modules)
from lightning.pytorch.core.module import Metric, MetricCollection
import torch
import torchmetrics
assert torchmetrics.Metric is Metric and torchmetrics.MetricCollection is MetricCollection
from torchmetrics.classification import BinaryAccuracy
from torchmetrics import functional
accuracy = torchmetrics.Accuracy(task="binary")
assert isinstance(accuracy, BinaryAccuracy) and isinstance(accuracy, Metric)
assert accuracy(torch.tensor([1, 0]), torch.tensor([1, 1])) == functional.accuracy(
    torch.tensor([1, 0]), torch.tensor([1, 1]), task="binary"
)
try:
    torchmetrics.NoSuchMetric
except AttributeError as error:
    assert "NoSuchMetric" in str(error)
else:
    raise AssertionError
"""


def test_metrics_come_whole_when_they_are_asked_for() -> None:
    subprocess.run([sys.executable, "-c", _ASKED], check=True)


def test_metrics_that_were_there_stay() -> None:
    code = "import torchmetrics; before = vars(torchmetrics).copy(); import surflow; surflow.fit; import torchmetrics; "
    subprocess.run([sys.executable, "-c", code + "assert torchmetrics.Accuracy is before['Accuracy']"], check=True)
