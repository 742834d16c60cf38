"""One training step and its learning rate, as Lightning calls it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any, NoReturn

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from surflow._internal.random import mix, reseed
from surflow.distribution import Distribution
from surflow.errors import NonFiniteError
from surflow.training.average import average, averaged
from surflow.training.batches import NOISE, Batch
from surflow.training.diagnosis import explain
from surflow.training.sources import Source, steps_from

# The part of a run over which the cosine schedule warms up.
WARM_UP = 0.05

# Steps over which the schedule "root" rises.
RISE = 100

# Adam's. Squared gradients are remembered for 100 steps, not 1000: those of the first steps are large, and a run of a
# thousand steps would be slowed by them to its end.
BETAS = (0.9, 0.99)

# Signals that ask a run for its end: of schedulers, of Ctrl-C, of a closed terminal, of SLURM before the time is over.
STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]

# Steps between copies of weights to fall back on when a gradient was not finite although the loss was.
_KEEP_EVERY = 50


@dataclass(frozen=True)
class Plan:
    """The numbers that decide what a run computes; a checkpoint states them."""

    steps: int | None
    minutes: float | None
    batch_size: int
    lr: float
    schedule: str
    decay: float
    decay_every: int
    clip: float | None
    patience: int | None
    validate_every: int | None
    importance_samples: int
    seed: int

    def settings(self) -> dict[str, Any]:
        return asdict(self)

    def learning_rate(self, step: int, seconds: float) -> float:
        """At the given step, which starts after the given time."""
        if self.schedule == "constant":
            return self.lr
        if self.schedule == "step":
            return self.lr * self.decay ** (step // self.decay_every)
        if self.schedule == "root":
            return self.lr * min((step + 1) / RISE, (RISE / (step + 1)) ** 0.5)
        done = (step + 0.5) / self.steps if self.steps else seconds / (60 * self.minutes) if self.minutes else 0.0
        rest = (done - WARM_UP) / (1 - WARM_UP)
        return self.lr * min(done / WARM_UP, 1.0) * 0.5 * (1 + math.cos(math.pi * min(max(rest, 0.0), 1.0)))


class Steps:
    """The numbers of the steps that are left: what Lightning iterates over in place of batches."""

    def __init__(self, module: Training, end: int | None) -> None:
        self.module, self.end = module, end

    def __iter__(self) -> Iterator[int]:
        return iter(steps_from(self.module.trainer.global_step, self.end))

    # Lightning asks these of a loader that can be taken up in the middle; the step's number is all the state.
    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class CountedSteps(Steps):
    """The same with a length, so that the progress bar knows its end."""

    end: int

    def __len__(self) -> int:
        return self.end


class Training(LightningModule):
    """The loss of one step, the optimiser, and the clock that all devices agree on."""

    def __init__(self, flow: Distribution, source: Source, plan: Plan, *, fused: bool, compile: bool) -> None:
        super().__init__()
        self.flow, self.source, self.plan, self.fused, self.compile_step = flow, source, plan, fused, compile
        self.elbo = flow.elbo
        self.loss = math.nan
        self.seconds = self.seconds_before = 0.0
        self.started = time.monotonic()
        self.latest: Batch | None = None
        # Weights of a finite loss, the lowest of those that were kept.
        self.good: dict[str, Tensor] = {}
        self.good_step, self.good_loss = 0, math.inf
        # The signal that asked for an end, or 0, and whether any device was asked.
        self.signal, self.asked = 0, False

    def __setattr__(self, name: str, value: object) -> None:
        # Lightning sets some forty attributes a step, and a Module's way of setting them is slow.
        if name in self.__dict__:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)  # type: ignore[arg-type]  # torch takes any

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [p for p in self.flow.parameters() if p.requires_grad]
        fused = self.fused and all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
        optimizer = torch.optim.Adam(parameters, lr=self.plan.lr, betas=BETAS, fused=fused or None)
        optimizer.register_step_post_hook(lambda optimizer, *_: average(optimizer, self.trainer.global_step + 1))
        return optimizer

    def averaged(self) -> AbstractContextManager[None]:
        """With the average of the weights in their place."""
        return averaged(self.trainer.optimizers[0])

    def on_train_start(self) -> None:
        self.seconds = self.seconds_before
        self.source.to(self.device)
        if self.compile_step and self.device.type == "cuda":
            # Small models wait for launches there, which a CUDA graph makes all at once.
            self.elbo = torch.compile(self.flow.elbo, mode="reduce-overhead")
        if threading.current_thread() is threading.main_thread():  # others get no signals
            # In place of Lightning's, which puts back what was there before when the run ends.
            for number in STOPS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                    signal.signal(number, self.ask)
        self.started = time.monotonic()

    def ask(self, number: int, _: FrameType | None) -> None:
        """End after this step; when asked again, at once."""
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number

    def batch(self, step: int) -> Batch:
        trainer = self.trainer
        return self.source.batch(step, trainer.global_rank, trainer.world_size).to(self.device, self.flow)

    def seed_noise(self, step: int) -> None:
        reseed(mix(self.plan.seed, NOISE, step, self.trainer.global_rank), self.device)

    def nll(self, batch: Batch) -> Tensor:
        """Negative log-likelihood, or its bound, of every row, in nats."""
        if self.plan.importance_samples > 1:
            return -self.flow.log_prob(batch.x, batch.context, importance_samples=self.plan.importance_samples)
        return -self.elbo(batch.x, batch.context)

    def on_train_batch_start(self, batch: int, batch_idx: int) -> None:
        rate = self.plan.learning_rate(self.trainer.global_step, self.seconds)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def training_step(self, step: int) -> Tensor:
        batch = self.latest = self.batch(step)
        self.seed_noise(step)
        nll = self.nll(batch)
        several = self.trainer.world_size > 1
        if batch.weight is None:
            loss = nll.mean()
        else:
            total = batch.weight.sum()
            if several:  # gradients are averaged over devices, so each divides by the mean of all their weights
                total = self.trainer.strategy.reduce(total, reduce_op="mean")
            loss = (nll * batch.weight).sum() / total.clamp(min=torch.finfo(nll.dtype).tiny)
        seconds = self.seconds_before + time.monotonic() - self.started
        report = loss.detach()
        if several:  # one value of the loss and of the time, so that all devices decide alike
            numbers = [seconds, float(self.signal > 0)]
            report = torch.cat([report.double()[None], report.new_tensor(numbers, dtype=torch.float64)])
            report = self.trainer.strategy.reduce(report, reduce_op="mean")
        self._report, self._seconds = report, seconds
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the loss here, where a device still has the backward pass to do, and before the weights change."""
        if self._report.ndim:
            self.loss, self.seconds, asked = self._report.tolist()
            self.asked = asked > 0
        else:
            self.loss, self.seconds, self.asked = self._report.item(), self._seconds, self.signal > 0
        if not math.isfinite(self.loss):
            self._give_up(self.trainer.global_step, "the loss")
        if not self.good or (self.trainer.global_step % _KEEP_EVERY == 0 and self.loss < self.good_loss):
            # They gave a finite loss, and are about to change.
            self.good, self.good_step = copy_of(self.flow.state_dict()), self.trainer.global_step
            self.good_loss = self.loss

    @torch.no_grad()
    def loss_after(self, step: int) -> float:
        """The loss of the weights that the last step has left, on the rows of that step: no later step looks at them.

        Raises:
            NonFiniteError: if it is not finite.
        """
        batch = self.latest
        assert batch is not None  # the step has been
        self.elbo = self.flow.elbo  # not worth another graph
        self.eval()
        self.seed_noise(step)
        with self.trainer.precision_plugin.val_step_context():
            nll = self.nll(batch)
        self.train()
        weight = torch.ones_like(nll) if batch.weight is None else batch.weight
        total = torch.stack([(nll.masked_fill(weight == 0, 0.0) * weight).sum(), weight.sum()]).double()
        total = self.trainer.strategy.reduce(total, reduce_op="sum")
        self.loss = (total[0] / total[1]).item()
        if not math.isfinite(self.loss):
            self._give_up(step, "after the last step the loss")
        return self.loss

    def _give_up(self, step: int, what: str) -> NoReturn:
        assert self.latest is not None  # it gave the loss
        self.seed_noise(step)
        batch = self.latest
        raise NonFiniteError(f"{what} of step {step} is {self.loss}: {explain(self.flow, batch)}")


def copy_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that further training does not change, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
