"""What a run leaves behind: its log, validation and best weights, snapshots, checkpoints."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from surflow._internal.files import write_text
from surflow._internal.random import mix, reseed
from surflow.distribution import Distribution
from surflow.errors import DataError, FileError, NonFiniteError
from surflow.training.batches import HOLD_OUT, Batch, Loaded, Table, check
from surflow.training.checkpoints import read, write
from surflow.training.devices import shared
from surflow.training.diagnosis import explain
from surflow.training.loop import Plan, Training, copy_of
from surflow.training.quiet import hush

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"

# Wall time between checkpoints, and between writes of the log.
CHECKPOINT_SECONDS = 30.0
_LOG_SECONDS = 1.0

# How many validations and how many rows of the training loss a run has by default.
_VALIDATIONS = 30
_TRAIN_ROWS = 200
_VALIDATION_CHUNK = 1000

# A loss that has grown by this share, and by a nat, is no noise.
_GROWN = 0.1

# Rows that an error lists.
_LISTED = 10


class Row(NamedTuple):
    """One row of the log: after ``step`` steps, the mean of -log p or its bound in nats, on the split."""

    step: int
    split: str
    nll: float
    learning_rate: float
    seconds: float


_SPLITS = ["train", "validation"]


class Record(Callback):
    """Follows a run; everything it knows survives a kill by way of the checkpoint."""

    def __init__(
        self,
        plan: Plan,
        snapshots: Collection[int],
        validation: Table | Loaded | None,
        folder: Path | None,
        settings: dict[str, Any],
    ) -> None:
        self.plan, self.wanted, self.validation = plan, frozenset(snapshots), validation
        self.folder, self.settings = folder, settings
        self.log_every = min(max(plan.steps // _TRAIN_ROWS, 1), 100) if plan.steps else 20
        self.rows: list[Row] = []
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self.best: dict[str, Tensor] | None = None
        self.best_step, self.best_nll = 0, math.inf
        self.failures = 0  # validations in a row without a better one
        self.validations = 0
        self.steps, self.seconds, self.stopped = 0, 0.0, ""
        self.sum, self.count = 0.0, 0  # of the training loss since its last row
        # Of the flow before its first step, and as the last step has left it: on the validation set, or on a batch.
        self.start, self.end = math.nan, math.nan
        self.saved_at = 0.0
        self.written, self.written_at = 0, 0.0  # rows of the log, and when
        self.handover: Path | None = None
        self.process = os.getpid()

    # -- hooks ------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if os.getpid() != self.process:
            hush()

    def on_train_start(self, trainer: Trainer, module: Training) -> None:  # type: ignore[override]
        if trainer.global_step:
            module.seconds_before = self.seconds
        elif 0 in self.wanted:
            self.snapshots[0] = copy_of(module.flow.state_dict())
        self.saved_at = self.seconds
        if not trainer.global_step:
            if self.validation is not None:
                self._validate_start(trainer, module)
            self._save(trainer)  # before the log, for a log without a checkpoint is a finished run's
        if self.folder and trainer.is_global_zero:
            self._write_log(anew=True)

    def on_train_batch_end(self, trainer: Trainer, module: Training, *_: object) -> None:  # type: ignore[override]
        plan, step = self.plan, trainer.global_step
        self.steps, self.seconds = step, module.seconds
        self.sum, self.count = self.sum + module.loss, self.count + 1
        if self.validation is None and step == 1:
            self.start = module.loss
        if step == plan.steps:
            self.stopped = "steps"
        elif plan.minutes is not None and self.seconds >= 60 * plan.minutes:
            self.stopped = "minutes"
        if step % self.log_every == 0 or self.stopped:
            self._add(trainer, "train", self.sum / self.count)
            self.sum, self.count = 0.0, 0
        if self.validation is not None and self._validation_due():
            self._validate(trainer, module)
        elif self.validation is None and self.stopped:
            with module.averaged():
                self.end = module.loss_after(step - 1)
                self.best = copy_of(module.flow.state_dict())
            if self.grown:
                self.best, self.best_step = module.good, module.good_step
        if step in self.wanted:
            with module.averaged():
                self.snapshots[step] = copy_of(module.flow.state_dict())
        ends = bool(self.stopped) or module.asked
        if self.folder and trainer.is_global_zero and (ends or self.seconds - self.written_at >= _LOG_SECONDS):
            self._write_log()
        if self.folder and (ends or self.seconds - self.saved_at >= CHECKPOINT_SECONDS):
            self._save(trainer)
        if ends:
            trainer.should_stop = True
            self.stopped = self.stopped or "interrupted"  # which no checkpoint knows of
            if self.best is None:
                with module.averaged():
                    self.best = copy_of(module.flow.state_dict())

    def on_fit_end(self, trainer: Trainer, module: Training) -> None:  # type: ignore[override]
        # Processes that were started for the run end with it: the first one leaves what it knows.
        if self.handover is not None and trainer.is_global_zero and os.getpid() != self.process:
            write(self.state_dict(), self.handover)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        if isinstance(exception, NonFiniteError) and self.folder and trainer.is_global_zero:
            self._write_log()  # the steps to it are what one wants to see

    # -- validation -----------------------------------------------------------------------------------------

    def _validation_due(self) -> bool:
        if self.stopped:
            return True
        if self.plan.validate_every:
            return self.steps % self.plan.validate_every == 0
        if self.plan.steps:
            return self.steps % max(self.plan.steps // _VALIDATIONS, 1) == 0
        return self.seconds >= 60 * (self.plan.minutes or 0) * (self.validations + 1) / _VALIDATIONS

    def _validate_start(self, trainer: Trainer, module: Training) -> None:
        """Validate the flow before its first step. Layers as they are drawn may overflow on rows that they will fit."""
        try:
            nll = self._held_out(trainer, module)
        except NonFiniteError:
            return
        self._add(trainer, "validation", nll)
        self.best, self.best_nll = copy_of(module.flow.state_dict()), nll
        self.start = nll

    def _validate(self, trainer: Trainer, module: Training) -> None:
        with module.averaged():
            nll = self._held_out(trainer, module)
            if nll < self.best_nll:
                self.best = copy_of(module.flow.state_dict())
        self.validations += 1
        self._add(trainer, "validation", nll)
        self.end = nll
        if nll < self.best_nll:
            self.best_step, self.best_nll, self.failures = self.steps, nll, 0
            return
        self.failures += 1
        if self.plan.patience is not None and self.failures >= self.plan.patience and not self.stopped:
            self.stopped = "patience"

    @torch.no_grad()
    def _held_out(self, trainer: Trainer, module: Training) -> float:
        """Mean over the validation set; the same noise at every call, so that bounds can be compared."""
        assert self.validation is not None
        total = torch.zeros(2, dtype=torch.float64)
        trouble: DataError | NonFiniteError | None = None
        module.eval()
        for i, batch in enumerate(self.validation.chunks(_VALIDATION_CHUNK)):
            if i % trainer.world_size != trainer.global_rank:
                continue
            reseed(mix(self.plan.seed, HOLD_OUT, i), module.device)
            with trainer.precision_plugin.val_step_context():
                nll = module.nll(batch.to(module.device, module.flow)).cpu().double()
            weight = torch.ones_like(nll) if batch.weight is None else batch.weight.cpu().double()
            nll = nll.masked_fill(weight == 0, 0.0)
            if not nll.isfinite().all():
                trouble = self._trouble(batch, i, nll, module)
                break
            total += torch.stack([(nll * weight).sum(), weight.sum()])
        module.train()
        trouble = shared(trainer, trouble)
        if trouble is not None:
            raise trouble
        if trainer.world_size > 1:
            total = trainer.strategy.reduce(total.to(module.device), reduce_op="sum").cpu()
        return (total[0] / total[1]).item()

    def _trouble(self, batch: Batch, number: int, nll: Tensor, module: Training) -> DataError | NonFiniteError:
        """DataError for rows that are no data, NonFiniteError for others without a finite loss."""
        what = f"validation data, batch {number}"
        try:
            check(batch, module.flow, what)
        except DataError as error:
            return error
        bad = (~nll.isfinite()).nonzero().flatten().tolist()
        listed = ", ".join(map(str, bad[:_LISTED])) + (", ..." if len(bad) > _LISTED else "")
        return NonFiniteError(
            f"{what}, after step {self.steps}: the loss of {len(bad)} of {len(nll)} rows is not finite (rows {listed}; "
            f"the first {nll[bad[0]].item()}): {explain(module.flow, batch.to(module.device, module.flow))}"
        )

    # -- the log ----------------------------------------------------------------------------------------------

    def _add(self, trainer: Trainer, split: str, nll: float) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append(Row(self.steps, split, nll, rate, self.seconds))
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics({f"nll/{split}": nll, "learning_rate": rate}, step=self.steps)

    @property
    def grown(self) -> bool:
        """Whether the loss ended far above where it began."""
        return self.end > self.start + max(_GROWN * abs(self.start), 1.0)

    def _write_log(self, *, anew: bool = False) -> None:
        """Append the latest rows, or write those that the checkpoint knows: the others are of steps to be redone."""
        assert self.folder is not None
        path = self.folder / LOG
        text = io.StringIO()
        csv.writer(text).writerows([Row._fields, *self.rows] if anew else self.rows[self.written :])
        if anew:
            write_text(path, text.getvalue())
        else:
            try:
                with path.open("a", encoding="utf-8", newline="") as file:
                    file.write(text.getvalue())
            except OSError as error:
                raise FileError(f"{path} cannot be written: {error.strerror or error}") from error
        self.written, self.written_at = len(self.rows), self.seconds

    # -- checkpoints ----------------------------------------------------------------------------------------------

    def _save(self, trainer: Trainer) -> None:
        if self.folder:
            self.saved_at = self.seconds
            trainer.save_checkpoint(self.folder / CHECKPOINT)

    def state_dict(self) -> dict[str, Any]:
        numbers = [[r.step, _SPLITS.index(r.split), r.nll, r.learning_rate, r.seconds] for r in self.rows]
        names = ("best", "best_step", "best_nll", "failures", "validations", "steps", "seconds", "sum", "count",
                 "start", "end", "snapshots", "stopped", "settings")  # fmt: skip
        table = torch.tensor(numbers, dtype=torch.float64).reshape(-1, 5)
        return {"rows": table, **{name: getattr(self, name) for name in names}}

    @staticmethod
    def ended(checkpoint: dict[str, Any]) -> bool:
        """Whether a checkpoint is of the end of a run."""
        return bool(checkpoint["callbacks"]["Record"]["stopped"])

    def restore(self, checkpoint: dict[str, Any], flow: Distribution) -> None:
        """What the end of a run had left: the record, its log, and the flow's weights."""
        self.load_state_dict(checkpoint["callbacks"]["Record"])
        weights = self.best or {name.removeprefix("flow."): t for name, t in checkpoint["state_dict"].items()}
        flow.load_state_dict(weights)
        flow.eval()
        if not getattr(rank_zero_only, "rank", 0):
            self._write_log(anew=True)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.rows = [Row(int(step), _SPLITS[int(split)], *rest) for step, split, *rest in state["rows"].tolist()]


def devices_of(checkpoint: dict[str, Any] | None) -> int | None:
    """How many devices a run was begun with, if that is known."""
    said = None if checkpoint is None else checkpoint["callbacks"]["Record"]["settings"].get("devices")
    return int(str(said)) if str(said).isdigit() else None


def latest_checkpoint(folder: Path, settings: dict[str, Any], flow: Distribution) -> dict[str, Any] | None:
    """The checkpoint of a run in ``folder``, or None for a folder without a run.

    Raises:
        FileError: if the folder holds the log of a run whose checkpoint is gone, or a run with other settings.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        if (folder / LOG).exists():
            raise FileError(f"{folder} holds a finished run, with its {LOG}: choose another folder")
        return None
    state = read(path)
    try:
        before = state["callbacks"]["Record"]["settings"]
        weights = {name.removeprefix("flow."): tuple(t.shape) for name, t in state["state_dict"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{path} is not a checkpoint of a run: choose another folder") from error
    changed = [f"{k}={before.get(k)!r}, now {v!r}" for k, v in settings.items() if before.get(k) != v]
    if weights != {name: tuple(t.shape) for name, t in flow.state_dict().items()}:
        changed.append("another flow")
    if changed:
        raise FileError(
            f"{folder} holds a run with other settings ({'; '.join(changed)}): call fit as before to "
            "finish it, or choose another folder"
        )
    return state
