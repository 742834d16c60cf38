"""``surflow train``: from data to a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from surflow._internal.ranks import join, ranks
from surflow.app.cli.shared import LARGEST_SEED, command_line, naming, say
from surflow.app.cli.stops import Stopped, says_how_to_go_on
from surflow.app.cli.table import print_figures
from surflow.app.names import split_names
from surflow.errors import ConfigError, NonFiniteError

if TYPE_CHECKING:
    from surflow.app.config import Config
    from surflow.app.runs import RunFolder


def _positive(value: float | None) -> float | None:
    """Typer's own minimum would let zero in."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"expected a number above 0, got {value:g}")
    return value


def train(
    data: Annotated[
        str | None,
        typer.Argument(help="A name ('surflow list'), a table or an array in a file, or a folder of images."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A preset ('surflow list'), or a config.toml.")] = None,
    columns: Annotated[str | None, typer.Option(help="Data columns, separated by commas.")] = None,
    context: Annotated[str | None, typer.Option(help="Columns to condition on, separated by commas.")] = None,
    drop: Annotated[str | None, typer.Option(help="Columns to leave out, separated by commas.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="What a column is: age=count, grade=ordered(low,high), born=date(%d/%m/%Y), code=drop."),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="What all columns are, as 'surflow inspect DATA -o FILE.toml' wrote it.")
    ] = None,
    sets: Annotated[
        bool,
        typer.Option("--sets", help="Rows of an array, (points, coordinates), are sets: their order says nothing."),
    ] = False,
    rows: Annotated[int | None, typer.Option(min=20, help="At most so many rows to train on.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where MNIST's files are; else $SURFLOW_DATA, else the cache or a download.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Gradient steps.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(callback=_positive, help="How long to train, above 0; reproducible only with --steps."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows per step.")] = None,
    lr: Annotated[float | None, typer.Option(callback=_positive, help="Largest learning rate, above 0.")] = None,
    accelerator: Annotated[str | None, typer.Option(help="What computes: auto, cpu, gpu, ...")] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            help="How many on each machine, auto for all, or which: 0,1. By default one, or as many as torchrun or "
            "SLURM has started processes."
        ),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Machines, as torchrun or SLURM starts processes on.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="How devices share the work: auto, ddp, fsdp, ..., as Lightning names them.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Of computations: 32-true, bf16-mixed, 64-true, ...")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=LARGEST_SEED, help="Of everything that draws.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/DATA-MODEL-N.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.")] = False,
) -> None:
    """Train a model on data, evaluate it on held-out rows, and write a run: model, metrics, log, report.

    Where training diverges, the model has the best weights that were evaluated, and the status is 2 all the same.
    Processes that torchrun or SLURM has started train one run together.
    """
    join()
    if ranks().rank:
        return _train_along()
    if nodes is not None and nodes > 1 and not ranks().external:
        raise ConfigError(f"--nodes {nodes} expects processes on so many machines: start them by torchrun or srun")
    with says_how_to_go_on() as begun:
        config = _config(
            model,
            seed=seed,
            data={
                "source": data,
                "columns": split_names(columns),
                "context": split_names(context),
                "drop": split_names(drop),
                "column": column,
                "schema": None if schema is None else str(schema),
                "sets": True if sets else None,
                "rows": rows,
                "data_dir": None if data_dir is None else str(data_dir.expanduser().absolute()),
            },
            training={
                "steps": steps,
                "minutes": minutes,
                "batch_size": batch_size,
                "lr": lr,
                "accelerator": accelerator,
                "devices": int(devices) if devices is not None and devices.isdigit() else devices,
                "num_nodes": nodes,
                "strategy": strategy,
                "precision": precision,
            },
        )
        stated_in = model if model is not None and _states_file(model) else None
        _train(config, stated_in, out, begun, overwrite=overwrite)


def _train_along() -> None:
    """What a process does that is not the first of a run: no folder, no report, nothing to say."""
    from surflow.app import runs

    try:
        runs.train_along()
    except Stopped:
        if ranks().external:
            raise
        # Lightning's launcher would kill the first process, which has still to end in order.


def _train(config: Config, stated_in: str | None, out: Path | None, begun: list[Path], *, overwrite: bool) -> None:
    from surflow.app import runs
    from surflow.evaluation import read_results

    splits = runs.load_splits(config)
    with naming(stated_in):
        config = config.settled(splits)
        flow = runs.build(config, splits)
    name = f"{splits.name}-{config.model.preset or 'chain'}"
    run = runs.RunFolder(out or runs.next_folder("runs", name, config))
    begun.append(run.path)
    with run.held():
        if run.finished and not overwrite and run.config().same_run(config):
            run.begin(config, splits)
            runs.tell_none()
            say(f"{run.path} holds this run, and it is finished\nreport: {run.report_path}")
            _say_divergence(run)
            return
        run.begin(config, splits, overwrite=overwrite)
        say(splits.description)
        for warning in [] if splits.schema is None else splits.schema.warnings:
            say(f"  note: {warning}")
        say(f"\n{flow.summary()}\n")
        flow = runs.train(run, flow, splits, config, progress=True)
        if run.evaluated:
            figures = read_results(run.metrics_path)["rows"]
        else:
            figures = runs.evaluate(flow, splits, config, config.seed, run.metrics_path, command_line())
        print_figures(figures, "held-out rows")
        say(f"report: {runs.report(run)}")
        _say_divergence(run)


def _say_divergence(run: RunFolder) -> None:
    if run.diverged:
        raise NonFiniteError(f"training diverged, though {run.path} is whole: {run.diverged}")


def _states_file(model: str) -> bool:
    """Whether what ``--model`` says is a file, and no preset."""
    return model.endswith(".toml") or Path(model).is_file()


def _config(
    model: str | None, *, seed: int | None, data: Mapping[str, object], training: Mapping[str, object]
) -> Config:
    """The configuration file, if ``model`` names one, with what the command line says over it; None says nothing."""
    from surflow.app.config import PLACE, parse_config, read_toml

    content: dict[str, Any] = {}
    origin = "the command line"
    if model is not None and _states_file(model):
        content, origin = read_toml(model), model
    elif model is not None:
        content["model"] = {"preset": model}
    for section, entries in {"data": data, "training": training}.items():
        given = {key: value for key, value in entries.items() if value is not None}
        stated = content.get(section, {})
        if given and isinstance(stated, dict):
            # A length on the command line replaces the file's, be it in steps or in minutes.
            length = {"steps", "minutes"}
            content[section] = {k: v for k, v in stated.items() if not (k in length and length & set(given))} | given
    if ranks().external and isinstance(content.get("training"), dict):
        # Where a run is computed is said by what has started the processes, unless the command line says it too.
        kept = {key: value for key, value in training.items() if key in PLACE and value is not None}
        content["training"] = {k: v for k, v in content["training"].items() if k not in PLACE} | kept
    if seed is not None:
        content["seed"] = seed
    if not content.get("data"):
        raise ConfigError("no data: name a data set or a file, surflow train DATA, or state [data] in the config.toml")
    return parse_config(content, origin)
