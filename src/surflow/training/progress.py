"""What a run says while it trains: a bar in a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import math
import sys
import time

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.utilities.types import STEP_OUTPUT

from surflow.distribution import Distribution
from surflow.supports import Integers
from surflow.training.record import Record

# Between refreshes of the bar, and between lines.
_BAR_SECONDS, _LINE_SECONDS = 0.25, 10.0


def shown(record: Record, flow: Distribution) -> Callback:
    """The bar, where there is somebody to watch it; else lines, as a log file can hold them."""
    return Bar(record, flow) if sys.stdout.isatty() or "ipykernel" in sys.modules else Lines(record, flow)


class _Losses:
    """The latest losses in nats, or in bits per dimension for integers."""

    def __init__(self, record: Record, flow: Distribution) -> None:
        discrete = isinstance(flow.support, Integers)
        self.record, self.unit = record, "bits/dim" if discrete else "nats"
        self.per = math.log(2) * math.prod(flow.event_shape) if discrete else 1.0

    def latest(self) -> dict[str, str]:
        latest = {row.split: row.nll for row in self.record.rows}
        return {split: f"{latest[split] / self.per:.3f} {self.unit}" for split in sorted(latest)}


class Bar(TQDMProgressBar):
    """One line: steps, time, and the latest losses."""

    def __init__(self, record: Record, flow: Distribution) -> None:
        super().__init__()
        self.record, self.losses, self.shown_at = record, _Losses(record, flow), -math.inf

    def get_metrics(self, trainer: Trainer, module: LightningModule) -> dict[str, str]:  # type: ignore[override]
        return self.losses.latest()

    def on_train_start(self, trainer: Trainer, *_: object) -> None:
        _say_resumed(self.record, trainer)
        super().on_train_start(trainer)
        self.train_progress_bar.total = self.record.plan.steps
        self.train_progress_bar.set_description("fit")

    def on_train_epoch_start(self, trainer: Trainer, *_: object) -> None:
        """A run is one epoch to Lightning; there is nothing to say about it."""

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: STEP_OUTPUT, batch: int, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now - self.shown_at >= _BAR_SECONDS or self.record.stopped:
            self.shown_at = now
            super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)


class Lines(Callback):
    """A line on stderr every ten seconds: steps, time, time left, and the latest losses."""

    def __init__(self, record: Record, flow: Distribution) -> None:
        self.record, self.losses, self.said_at = record, _Losses(record, flow), 0.0

    def on_train_start(self, trainer: Trainer, *_: object) -> None:
        self.first, self.said_at = trainer.global_step, time.monotonic()
        self.before = self.record.seconds
        _say_resumed(self.record, trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        now = time.monotonic()
        if now - self.said_at < _LINE_SECONDS or not trainer.is_global_zero:
            return
        self.said_at = now
        print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """What is said now."""
        record, plan = self.record, self.record.plan
        spent = max(record.seconds - self.before, 1e-9)
        left = [60 * plan.minutes - record.seconds] if plan.minutes is not None else []
        if plan.steps is not None and record.steps > self.first:
            left.append((plan.steps - record.steps) * spent / (record.steps - self.first))
        of = f" of {plan.steps:,}" if plan.steps is not None else ""
        said = [f"step {record.steps:,}{of}", f"{_time(record.seconds)} gone"]
        said += [f"at most {_time(min(left))} left"] if left else []
        return ", ".join([*said, *(f"{split} {loss}" for split, loss in self.losses.latest().items())])


def _say_resumed(record: Record, trainer: Trainer) -> None:
    step = trainer.global_step
    if step and trainer.is_global_zero:
        print(f"goes on from step {step:,}, after {_time(record.seconds)} of training", file=sys.stderr, flush=True)


def _time(seconds: float) -> str:
    """A length of time as people say it.

    >>> _time(42.3), _time(630), _time(7260)
    ('42 s', '10 min', '2 h 1 min')
    """
    seconds = max(seconds, 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(int(seconds // 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
