"""The steps of a run: build, train, evaluate, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from surflow import evaluation
from surflow._internal.random import seeded
from surflow.app.config import Config
from surflow.app.runs.folder import RunFolder
from surflow.app.runs.rows import reload_splits
from surflow.data import Part, Splits
from surflow.data.synthetic.base import Synthetic
from surflow.data.tables.support import support_of
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.errors import FileError, NonFiniteError
from surflow.flow import Flow
from surflow.tables.model import TableModel


def build(config: Config, splits: Splits) -> Flow:
    """The model that a configuration states, for its data; drawn from its seed."""
    from surflow.app.kinds import kind_of  # brings the plots, which sampling and scoring do without

    with seeded(config.seed):
        return config.model.build(splits.event_shape, splits.context, kind_of(splits).support(config.model.preset))


def train(run: RunFolder, flow: Flow, splits: Splits, config: Config, *, progress: bool = False) -> Flow:
    """Train ``flow`` and save it in the run; a run that has its model already is only read.

    What diverges leaves a model too, of the best weights that were evaluated finite, and the run says how.
    """
    from surflow.app.kinds import kind_of
    from surflow.training.fitting import fit  # brings Lightning, which sampling and scoring do without

    if run.trained:
        run.settle()
        return run.flow()
    truth = splits.truth if config.fresh(splits) else None
    data = _pair(splits.train) if truth is None else _fresh(truth, labelled=splits.context is not None)
    options = config.training.options() | {"seed": config.seed, "folder": run.path, "progress": progress}
    diverged = ""
    try:
        history = fit(flow, data, validation=_pair(kind_of(splits).validation(config.model.preset)), **options)
        if history.stopped == "interrupted":
            raise KeyboardInterrupt  # the checkpoint is kept: the same call goes on from there
    except NonFiniteError as error:
        if error.best_step is None:
            raise
        diverged = str(error)
    run.keep(_named(flow, splits), diverged)
    return flow


def _named(flow: Flow, splits: Splits) -> Flow | TableModel:
    """The model of a table by its names, with what is usual in its columns; any other as it is."""
    if splits.schema is None or flow.context_shape is not None or len(flow.transforms):
        return flow
    if not isinstance(flow.base, ColumnDistribution) or flow.support != support_of(splits.schema.columns):
        return flow
    model = TableModel(flow, splits.schema)
    model.see_usual(splits.validation.x)
    return model


def evaluate(
    flow: Flow, splits: Splits, config: Config, seed: int, path: Path | None, command: str
) -> list[evaluation.Row]:
    """Figures of merit on the held-out rows, also written to ``path`` if there is one."""
    rows = evaluation.evaluate(flow, splits, model=config.model.preset or "chain", seed=seed)
    if path is not None:
        evaluation.write_results(path, command, rows)
    return rows


def report(run: RunFolder) -> Path:
    """Write the pictures and report.html of a finished run; returns the page.

    Raises:
        FileError: if the run was not evaluated yet.
    """
    from surflow.app.report import write_report  # brings matplotlib and a template engine

    if not run.evaluated:
        raise FileError(
            f"{run.path} has no whole metrics.json: its training did not finish, surflow train --model "
            f"{run.config_path} --out {run.path} goes on with it"
        )
    content, config = evaluation.read_results(run.metrics_path), run.config()
    return write_report(
        run.path,
        flow=run.flow(),
        splits=reload_splits(run),
        rows=content["rows"],
        log=run.log(),
        command=content["command"],
        config_text=run.config_path.read_text(encoding="utf-8"),
        seed=config.seed,
        diverged=run.diverged,
    )


def _fresh(truth: Synthetic, *, labelled: bool) -> Synthetic | Callable[[int], tuple[Tensor, Tensor]]:
    """Batches of the distribution itself, as rows of data and raw context."""
    if not labelled:
        return truth

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x, labels = truth.sample_labelled(n)
        return x, labels[:, None].to(x.dtype)

    return draw


def _pair(part: Part) -> Tensor | tuple[Tensor, Tensor]:
    return part.x if part.context is None else (part.x, part.context)
