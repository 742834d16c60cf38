"""fit: maximum likelihood, or its bound, by stochastic gradients, on Lightning's Trainer."""

from __future__ import annotations

import math
import signal
import sys
import tempfile
import warnings
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.distributed import DistError

from surflow._internal.files import locked, make_folder
from surflow._internal.kernels import compiled
from surflow._internal.random import mix, reseed
from surflow._internal.ranks import OtherProcessError
from surflow.distribution import Distribution
from surflow.errors import BoundError, ConfigError, DataError, NonFiniteError, unknown_name
from surflow.flow import Flow
from surflow.training.batches import FIRST, Loaded, Table, table_of
from surflow.training.checkpoints import SafetensorsIO, read
from surflow.training.devices import launched
from surflow.training.diagnosis import warn_of_others
from surflow.training.loop import CountedSteps, Plan, Steps, Training
from surflow.training.progress import Bar, shown
from surflow.training.quiet import quiet
from surflow.training.record import CHECKPOINT, Record, Row, devices_of, latest_checkpoint
from surflow.training.sources import Data, HeldOut, Source, source_of, split

__all__ = ["History", "Row", "fit"]

# Lightning's own alias is private.
Precision: TypeAlias = Literal[
    "16-true", "16-mixed", "bf16-true", "bf16-mixed", "32-true", "64-true", "16", "bf16", "32", "64", 16, 32, 64
]

SCHEDULES = ("constant", "cosine", "root", "step")

# Steps of a run for which neither steps nor minutes are given.
DEFAULT_STEPS = 2000

_BATCH_SIZE, _LR = 256, 1e-3
# Rows of the validation set that weigh the parts of a distribution of rows.
_WEIGHING_ROWS = 2000
# Runs of this length repay the seconds that compilation takes.
_LONG_STEPS, _LONG_MINUTES = 20_000, 5


@dataclass
class History:
    """What a run did.

    Attributes:
        rows: the log: (step, split, nll, learning_rate, seconds), nll in nats per event; a row of the split "train" is
            the mean over the steps since the row before.
        steps, seconds: how many steps the run took, and for how long, kills and resumptions included.
        stopped: why it ended: "steps", "minutes", "patience" or "interrupted".
        best_step, best_nll: the validation with the lowest nll, whose weights the flow has; None without validation.
        snapshots: copies of the weights, ``flow.state_dict()``, by step.
    """

    rows: list[Row]
    steps: int
    seconds: float
    stopped: str
    best_step: int | None = None
    best_nll: float | None = None
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    def losses(self, split: str = "train") -> list[tuple[int, float]]:
        """(step, nll in nats) of every row of a split, "train" or "validation"."""
        return [(row.step, row.nll) for row in self.rows if row.split == split]


def fit(
    flow: Distribution,
    data: Data,
    *,
    validation: HeldOut | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    schedule: str | None = None,
    decay: float = 0.9,
    decay_every: int = 1000,
    clip: float | None = None,
    patience: int | None = None,
    validate_every: int | None = None,
    importance_samples: int = 1,
    snapshots: Collection[int] = (),
    seed: int = 0,
    folder: str | Path | None = None,
    tensorboard: bool = False,
    progress: bool = True,
    compile: bool | None = None,
    accelerator: str = "auto",
    devices: int | str | list[int] | None = None,
    num_nodes: int | None = None,
    strategy: str | Strategy = "auto",
    precision: Precision = "32-true",
) -> History:
    r"""Train ``flow`` with Adam on the mean of :math:`-\mathrm{elbo}(x)` in nats, and leave it in ``eval`` mode.

    Adam's betas are 0.9 and 0.99: a run of a thousand steps should not remember its first gradients to the end. What is
    validated, and what the flow ends with, is the average of the weights over about the last ninth of the steps.
    Everything random, the order of the data and the noise of the layers, is a function of (seed, step). The caller's
    random state is left as it was. With validation, the flow ends with the weights of the lowest validation loss,
    be they those before the first step. A loss that has grown is said, by a warning.

    Args:
        flow: a flow, or any distribution with parameters.
        data: a tensor (rows, *event); a tuple (x, context) or (x, context, weight), context or weight possibly None; a
            ``Dataset`` of such items; groups of rows of a file, ``Splits.groups``; a ``DataLoader`` of batches, which
            keeps its own batch size; or fresh rows at every step from a ``Distribution`` or a callable n -> batch. A
            :class:`~surflow.TableModel` also takes a :class:`~surflow.Table`, holds 15 % of its rows out, at most 1500,
            and has options of its own for its size in place of the defaults below.
        validation: a fraction of the rows to hold out, or a set: tensors, a ``Dataset`` or a ``DataLoader``.
        steps, minutes: the length of the run, whichever ends first; 2000 steps if neither is given. Minutes are those
            of a clock on the wall, whatever else the machine does, and count the time before a kill.
        batch_size: rows of one step on each device, 256 by default; at most all of them.
        lr: the learning rate at its highest, .001 by default.
        schedule: "cosine", the default, rises over the first twentieth and falls to zero, over the steps or, with
            minutes alone, over the time; "root" rises over 100 steps and falls with their square root, wherever the
            end is; "constant"; "step" multiplies by ``decay`` after every ``decay_every`` steps.
        decay, decay_every: of the schedule "step", a factor and a number of steps.
        clip: largest norm of the gradient.
        patience: stop after so many validations in a row without a better one.
        validate_every: steps between validations; by default there are about thirty, the last at the end.
        importance_samples: k of the k-sample bound that is trained on (arXiv 1509.00519); 1 is the ELBO.
        snapshots: after which steps to keep a copy of the averaged weights, 0 for the beginning.
        seed: of the order of the rows, of the noise, and of the rows that a fraction holds out.
        folder: where log.csv and, about every thirty seconds and at the end, a checkpoint go. A run that was killed is
            taken up again by the same call, and ends as if it had not been; after the end the call gives the same once
            more. No run is overwritten. SIGTERM, SIGHUP and SIGUSR1 leave a checkpoint before they take their course.
        tensorboard: write a TensorBoard log into the folder as well.
        progress: show a bar with the loss, in nats, or in bits per dimension for integers; where there is no terminal,
            a line every ten seconds on stderr, with the time left.
        compile: let torch's compiler make kernels of the splines (:func:`surflow.compiled`), and on a GPU one graph of
            the whole step. By default where the run is long enough to pay for it: 20,000 steps or five minutes.
        accelerator, devices, num_nodes, strategy, precision: as of Lightning's Trainer; devices are counted on each
            machine. Where torchrun or SLURM has started processes, those are the devices and nodes; else one.
            n devices in all share batches of n batch_size rows: all rows go to one of them each, and count alike. A run
            that goes on with another number of devices keeps the batches that it was begun with.

    Raises:
        DataError: NaN, infinite values, values outside the flow's support, nothing at all; in validation data too, and
            in any batch of a DataLoader, with the batch and the rows.
        ShapeError: data or contexts of another shape than the flow's, or a missing context.
        ConfigError: an option that does not exist or contradicts another.
        BoundError: the bound has no unbiased gradient (:mod:`surflow.flow.gradients`); says which layer is to blame.
        FileError: a folder that cannot be written to, or holds another run or a damaged one, or is another process's.
        NonFiniteError: the loss is NaN or infinite, or that of rows of the validation data, which are listed; says
            at which step, and which layer is first to blame. The flow has the best weights that were evaluated.
        SurflowError: another process of the run has ended; the same call goes on from the last checkpoint.

    Source: Kingma and Ba, "Adam", arXiv 1412.6980; Loshchilov and Hutter, "SGDR", arXiv 1608.03983 (cosine);
    Shamir and Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", arXiv 1212.1824 (the average).

    >>> import torch, surflow as sf
    >>> x = 3 + 2 * torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    >>> flow = sf.Flow([], base=sf.Normal(1, learned=True))
    >>> history = fit(flow, x, steps=300, lr=0.1, batch_size=1000, progress=False)
    >>> history.steps, abs(flow.log_prob(x).mean() + history.losses()[-1][1]).item() < 1e-4
    (300, True)
    """
    if not isinstance(flow, Distribution):
        raise ConfigError(f"expected a Flow or another Distribution to train, got {type(flow).__name__}")
    data, own = flow._ready_to_fit(data)
    if steps is None and minutes is None:
        steps = own.get("steps", DEFAULT_STEPS)
    batch_size = own.get("batch_size", _BATCH_SIZE) if batch_size is None else batch_size
    lr = own.get("lr", _LR) if lr is None else lr
    schedule = own.get("schedule", "cosine") if schedule is None else schedule
    clip = own.get("clip") if clip is None else clip
    patience = own.get("patience") if patience is None else patience
    validate_every = own.get("validate_every") if validate_every is None else validate_every
    validation = own.get("validation") if validation is None else flow._ready_to_fit(validation)[0]
    plan = Plan(steps, minutes, batch_size, lr, schedule, decay, decay_every, clip, patience, validate_every,
                importance_samples, seed)  # fmt: skip
    _check_options(flow, plan, validation, snapshots, folder, tensorboard=tensorboard)
    devices, num_nodes = launched(devices, num_nodes)
    home = next(flow.parameters()).device
    if compile is None and (steps is None or steps >= _LONG_STEPS) and (minutes is None or minutes >= _LONG_MINUTES):
        compile = True
    kernels = nullcontext() if compile is None else compiled(wanted=compile)
    path = None if folder is None else make_folder(folder)
    # Of several processes of one run the first holds the folder.
    hold = nullcontext() if path is None or getattr(rank_zero_only, "rank", None) else locked(path)
    with (
        hold, kernels, quiet(), tempfile.TemporaryDirectory() as scratch,
        torch.random.fork_rng(devices=[home] if home.type == "cuda" else []),
    ):  # fmt: skip
        source, held_out = _data(flow, data, validation, plan)
        settings = {**plan.settings(), "snapshots": sorted(snapshots), "rows": _size(source)}
        settings["precision"] = str(precision)
        state = None if path is None else latest_checkpoint(path, settings, flow)
        if state is None:
            first = source.first.to(home, flow)
            reseed(mix(seed, FIRST), home)
            flow.train()
            # A distribution of one's own may have no use for weights.
            flow.initialize(first.x, first.context, **({} if first.weight is None else {"weight": first.weight}))
            warn_of_others(flow)
        record = Record(plan, snapshots, held_out, path, settings)
        diverged = None
        # Mixed precision and clipping do not go with the fused optimiser, which unscales gradients itself.
        fused = not (clip and str(precision).endswith("-mixed"))
        said = [shown(record, flow)] if progress else []
        training = Training(flow, source, plan, fused=fused, compile=bool(compile))
        record.handover = Path(scratch) / "record.safetensors"
        try:
            trainer = Trainer(
                accelerator=accelerator,
                devices=devices,
                num_nodes=num_nodes,
                strategy=strategy,
                precision=precision,
                max_steps=-1 if steps is None else steps,
                max_epochs=-1,
                gradient_clip_val=clip,
                logger=_tensorboard(path) if tensorboard and path else False,
                callbacks=[record, *said],
                plugins=[SafetensorsIO()],
                default_root_dir=scratch,  # where Lightning would look for checkpoints of its own
                num_sanity_val_steps=0,
                enable_checkpointing=False,
                enable_progress_bar=any(isinstance(callback, Bar) for callback in said),
                enable_model_summary=False,
                use_distributed_sampler=False,
            )
        except (MisconfigurationException, ValueError) as error:
            raise ConfigError(
                f"accelerator={accelerator!r}, devices={devices!r}, num_nodes={num_nodes!r}, strategy={strategy!r}, "
                f"precision={precision!r}: {error}"
            ) from error
        settings["devices"] = source.devices = devices_of(state) or trainer.world_size
        if state is not None and path is not None and record.ended(state):
            record.restore(state, flow)
        else:
            checkpoint = None if state is None or path is None else path / CHECKPOINT
            diverged = _run(trainer, training, record, checkpoint)
        if isinstance(held_out, Table):
            rows = held_out.take(torch.arange(min(held_out.size, _WEIGHING_ROWS)))
            rows = rows.to(home, flow)
            flow.weigh(rows.x, rows.context)
    if record.stopped == "interrupted" and trainer.is_global_zero:
        again = "" if path is None else "; the same call goes on from its last checkpoint"
        print(f"fit: interrupted after {record.steps} steps{again}", file=sys.stderr)
    # Ctrl-C returns what is learned so far. Others, and what came after the last step, take their course.
    if training.signal and (training.signal != signal.SIGINT or record.stopped != "interrupted"):
        signal.raise_signal(training.signal)
    if diverged is not None:
        raise diverged
    validated = record.best_nll < math.inf
    return History(
        rows=record.rows,
        steps=record.steps,
        seconds=record.seconds,
        stopped=record.stopped,
        best_step=record.best_step if validated else None,
        best_nll=record.best_nll if validated else None,
        snapshots=record.snapshots,
    )


def _run(trainer: Trainer, training: Training, record: Record, checkpoint: Path | None) -> NonFiniteError | None:
    """Train, and leave the flow on its device, with the best weights, in eval mode, whatever happened.

    Returns what went wrong, if the flow has weights that were evaluated finite nonetheless.
    """
    flow, plan = training.flow, training.plan
    home = next(flow.parameters()).device
    loader = Steps(training, None) if plan.steps is None else CountedSteps(training, plan.steps)
    root = trainer.strategy.root_device
    # Processes that are yet to be forked need a CUDA that has not been touched.
    here = trainer.strategy.launcher is None or torch.cuda.is_initialized()
    generators = [root] if root.type == "cuda" and here else []
    training.train()
    try:
        # Lightning switches gradients on for good; enable_grad switches back.
        with torch.enable_grad(), torch.random.fork_rng(devices=generators):
            trainer.fit(training, train_dataloaders=loader, ckpt_path=checkpoint)
            if record.handover is not None and record.handover.exists():  # the run was in processes of its own
                record.load_state_dict(read(record.handover))
    except SystemExit as exit:
        # Lightning turns Ctrl-C into an exit; what is learned so far is worth more than that.
        if not isinstance(exit.__context__, KeyboardInterrupt):
            raise
        record.stopped = "interrupted"
    except RuntimeError as error:
        if trainer.world_size == 1 or not (isinstance(error, DistError) or "gloo" in str(error)):
            raise
        then = "" if record.folder is None else "; the same call goes on from the last checkpoint"
        raise OtherProcessError(f"another process of this run has ended, after step {record.steps}{then}") from error
    except NonFiniteError as error:
        if record.best is None and not training.good:
            raise
        step = record.best_step
        if record.best is None:
            flow.load_state_dict(training.good)
            step = training.good_step
        diverged = NonFiniteError(f"{error}. The flow has the best weights that were evaluated, of step {step}")
        diverged.best_step, diverged.__cause__ = step, error
        return diverged
    finally:
        flow.to(home)
        flow.eval()
        if record.best is not None:
            flow.load_state_dict(record.best)
    if record.grown:
        warnings.warn(
            f"the loss has grown from {record.start:.4g} to {record.end:.4g} nats: the flow has the best weights that "
            f"were evaluated, of step {record.best_step}; a smaller lr or clip=1 may help",
            UserWarning,
            stacklevel=3,
        )
    return None


def _data(
    flow: Distribution, data: Data, validation: HeldOut | None, plan: Plan
) -> tuple[Source, Table | Loaded | None]:
    source = source_of(data, flow, plan.batch_size, plan.seed)
    source.check(flow)
    if validation is None:
        return source, None
    if isinstance(validation, int | float):
        return split(source, validation, plan.seed)
    conditional = flow.context_shape is not None
    held_out: Table | Loaded | None
    if isinstance(validation, torch.utils.data.DataLoader):
        held_out = Loaded(validation, conditional=conditional, seed=plan.seed)
    else:
        held_out = table_of(validation, conditional=conditional)
    if held_out is None:
        raise DataError(
            "validation must be a fraction, tensors, a Dataset or a DataLoader, got "
            f"{type(validation).__name__}: draw a set from it once and pass that"
        )
    held_out.check(flow, "validation data")
    return source, held_out


def _size(source: Source) -> int | None:
    return getattr(getattr(source, "table", source), "size", None)


def _check_options(
    flow: Distribution,
    plan: Plan,
    validation: HeldOut | None,
    snapshots: Collection[int],
    folder: str | Path | None,
    *,
    tensorboard: bool,
) -> None:
    for part in flow.modules():
        refusal = part.estimator().refusal if isinstance(part, Flow) else None
        if refusal:
            raise BoundError(
                f"the bound of this flow has no unbiased gradient: {refusal}. Put layers with parameters behind it, or "
                "give it pieces that do not jump: fair signs, a uniform index or order, differences that all have one "
                "fixed distribution; or train on data that have the noise on them already"
            )
    if not any(p.requires_grad for p in flow.parameters()):
        raise ConfigError(f"{type(flow).__name__} has no parameters to train")
    if plan.schedule not in SCHEDULES:
        raise ConfigError(unknown_name("schedule", str(plan.schedule), SCHEDULES))
    for name in ("steps", "batch_size", "decay_every", "patience", "validate_every", "importance_samples"):
        value = getattr(plan, name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ConfigError(f"{name} must be a whole number from 1, got {value!r}")
    for name in ("minutes", "lr", "decay", "clip"):
        value = getattr(plan, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"{name} must be positive, got {value!r}")
    if plan.patience is not None and validation is None:
        raise ConfigError("patience counts validations: pass validation= as well")
    if plan.steps is not None and any(not 0 <= step <= plan.steps for step in snapshots):
        raise ConfigError(f"snapshots must lie from 0 to steps={plan.steps}, got {sorted(snapshots)}")
    if tensorboard and folder is None:
        raise ConfigError("tensorboard=True writes into the folder of the run: pass folder= as well")


def _tensorboard(folder: Path) -> TensorBoardLogger:
    try:
        return TensorBoardLogger(folder, name="", version="tensorboard")
    except ModuleNotFoundError as error:
        raise ConfigError("tensorboard=True needs another package: pip install tensorboard") from error
