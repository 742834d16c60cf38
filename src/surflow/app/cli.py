"""The command line: train, evaluate, sample, score, report, reproduce, show, list; commands import what is heavy."""

from __future__ import annotations

import math
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from surflow.app.output import check_spares, check_suffix, write_grid, write_table, writing
from surflow.errors import ConfigError, FileError, SurflowError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from surflow.app.config import Config
    from surflow.app.runs import DataSpec
    from surflow.data import ContextEncoding, Part
    from surflow.evaluation import Row


_NO_EXPERIMENTS = "they are no part of the package: in a checkout of surflow, pip install ./experiments brings them"
# Columns of a context that are worth listing.
_MOST_NAMED = 12
# Rows of the figures of merit that are about one coordinate of the latent: too many for a terminal.
_ONE_COORDINATE = re.compile(r"latent_\w+_\d+")


class _Group(TyperGroup):
    """Shows what a user can mend as a message, without a traceback, and exits with status 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SurflowError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train SurVAE flows, score and sample with them, and see what they cost in nats.",
)

# What NumPy, scikit-learn and PyTorch all take.
_LARGEST_SEED = 2**32 - 1
_Seed = Annotated[
    int, typer.Option(min=0, max=_LARGEST_SEED, help="Of everything that draws: same command and seed, same numbers.")
]
_Run = Annotated[Path, typer.Argument(help="A folder made by 'surflow train'.")]


def main() -> None:
    """The program ``surflow``."""
    app(prog_name="surflow")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from surflow._internal.version import __version__

        typer.echo(__version__)
        raise typer.Exit()


# -- list and show ----------------------------------------------------------------------------------------


@app.command("list")
def list_() -> None:
    """Data sets, presets and experiments that have a name."""
    from surflow import presets
    from surflow.data import simulator_names, synthetic_names, table_names

    lines = ["Synthetic data, exact densities known:", *_wrapped(synthetic_names()), ""]
    lines += ["Real data (or pass a .csv, .parquet, .npy or .npz file, or a folder of images; MNIST is looked for in"]
    lines += ["--data-dir, in $SURFLOW_DATA and in the cache, else downloaded):"]
    lines += [*_wrapped(table_names()), ""]
    lines += ["Simulators, parameters given observations, exact posteriors known:", *_wrapped(simulator_names()), ""]
    lines += ["Presets, --model NAME:"]
    named = {
        "auto": "the default: spline; image or max-pool for integers; sort-flow or point-grid for sets of points; "
        "posterior or box for simulators",
        **presets.names(),
    }
    lines += [f"  {name:16}{text}" for name, text in named.items()]
    found = _experiments()
    if found:
        lines += ["", "Experiments, surflow reproduce NAME:"]
        lines += [f"  {name:16}{text}" for name, text in found["names"]().items()]
        lines += ["", "Records, python -m surflow_experiments.NAME:"]
        lines += [f"  {name:16}{text}" for name, text in found["records"]().items()]
    else:
        lines += ["", f"Experiments: {_NO_EXPERIMENTS}"]
    typer.echo("\n".join(lines))


def _experiments() -> dict[str, Any]:
    """What the package of experiments offers by its entry points; nothing where it is not installed."""
    from importlib.metadata import entry_points

    return {point.name: point.load() for point in entry_points(group="surflow.experiments")}


def _wrapped(names: list[str]) -> list[str]:
    import textwrap

    return textwrap.wrap(", ".join(names), 110, initial_indent="  ", subsequent_indent="  ")


@app.command()
def show(target: Annotated[Path, typer.Argument(help="A run, a saved .safetensors flow, or a config.toml.")]) -> None:
    """The layers of a model, and a config.toml that states its chain in full."""
    from surflow.app import runs
    from surflow.app.config import chain_toml, read_config
    from surflow.serialization.files import load

    config = None
    if target.is_dir():
        run = runs.RunFolder.open(target)
        flow, config = run.flow(), run.config()
    elif target.suffix == ".toml":
        config = read_config(target)
        flow = runs.build(config, runs.load_splits(config))
    else:
        flow = load(target)
    # Everything but the chain is a comment, or an entry of the configuration: the output as a whole is a config.toml.
    typer.echo("\n".join(f"# {line}" for line in flow.summary().splitlines()) + "\n")
    if config is not None:
        typer.echo(config.to_toml(without_model=True))
    typer.echo(chain_toml(flow), nl=False)


# -- train ------------------------------------------------------------------------------------------------


def _positive(value: float | None) -> float | None:
    """Typer's own minimum would let zero in."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"expected a number above 0, got {value:g}")
    return value


@app.command()
def train(
    data: Annotated[
        str | None,
        typer.Argument(help="A name ('surflow list'), a .csv, .parquet, .npy or .npz file, or a folder of images."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A preset ('surflow list'), or a config.toml.")] = None,
    columns: Annotated[str | None, typer.Option(help="Data columns, separated by commas.")] = None,
    context: Annotated[str | None, typer.Option(help="Columns to condition on, separated by commas.")] = None,
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
    seed: Annotated[int | None, typer.Option(min=0, max=_LARGEST_SEED, help="Of everything that draws.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default runs/DATA-MODEL-N.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a finished run in the folder.")] = False,
) -> None:
    """Train a model on data, evaluate it on held-out rows, and write a run: model, metrics, log, report."""
    config = _config(data, model, columns, context, rows, data_dir, steps, minutes, batch_size, lr, seed)
    from surflow.app import runs

    splits = runs.load_splits(config)
    config = config.settled(splits)
    flow = runs.build(config, splits)
    name = f"{splits.name}-{config.model.preset or 'chain'}"
    run = runs.RunFolder.create(out or runs.next_folder("runs", name), config, overwrite=overwrite)
    run.write_data(splits, config)
    typer.echo(f"{splits.description}\n\n{flow.summary()}\n")
    flow = runs.train(run, flow, splits, config, progress=sys.stdout.isatty())
    _print(runs.evaluate(flow, splits, config, config.seed, run.metrics_path, _command()), "held-out rows")
    typer.echo(f"report: {runs.report(run)}")


def _config(
    data: str | None,
    model: str | None,
    columns: str | None,
    context: str | None,
    rows: int | None,
    data_dir: Path | None,
    steps: int | None,
    minutes: float | None,
    batch_size: int | None,
    lr: float | None,
    seed: int | None,
) -> Config:
    """The configuration file, if there is one, with the command line's options over it."""
    from surflow.app.config import parse_config, read_toml

    content: dict[str, Any] = {}
    origin = "the command line"
    if model is not None and (model.endswith(".toml") or Path(model).is_file()):
        content, origin = read_toml(model), model
    elif model is not None:
        content["model"] = {"preset": model}
    sections: dict[str, dict[str, Any]] = {
        "data": {
            "source": data,
            "columns": _split(columns),
            "context": _split(context),
            "rows": rows,
            "data_dir": None if data_dir is None else str(data_dir.expanduser().absolute()),
        },
        "training": {"steps": steps, "minutes": minutes, "batch_size": batch_size, "lr": lr},
    }
    for section, entries in sections.items():
        given = {key: value for key, value in entries.items() if value is not None}
        stated = content.get(section, {})
        if given and isinstance(stated, dict):
            # A length on the command line replaces the file's, be it in steps or in minutes.
            length = {"steps", "minutes"}
            content[section] = {k: v for k, v in stated.items() if not (k in length and length & set(given))} | given
    if seed is not None:
        content["seed"] = seed
    if not content.get("data"):
        raise ConfigError("no data: name a data set or a file, surflow train DATA, or state [data] in the config.toml")
    return parse_config(content, origin)


def _split(names: str | None) -> list[str] | None:
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


# -- evaluate and report --------------------------------------------------------------------------------------


@app.command()
def evaluate(
    run: _Run,
    data: Annotated[
        str | None, typer.Argument(help="Other data with the same columns; by default the held-out rows.")
    ] = None,
    seed: _Seed = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write them to a JSON file.")] = None,
) -> None:
    """Figures of merit of a trained model on held-out rows, with standard errors."""
    from dataclasses import replace

    from surflow.app import runs

    if output is not None:
        check_suffix(output, (".json",))
    folder = runs.RunFolder.open(run)
    if output is not None:
        check_spares(output, [*folder.own_files(), *([] if data is None else [Path(data).expanduser()])])
    config, flow = folder.config(), folder.flow()
    if data is None:
        _print(runs.evaluate(flow, runs.reload_splits(folder), config, seed, output, _command()), "held-out rows")
        return
    test = _rows(data, folder.facts(), seed, _home(data, config))
    try:
        splits = runs.reload_splits(folder)
    except FileError as error:
        typer.echo(f"without the Gaussian baseline, which is fitted to the training rows: {error}", err=True)
        splits = runs.splits_without_data(folder)
    # What is known of the training data's distribution holds for fresh rows of it alone.
    same = data == splits.name
    truth, simulator = (splits.truth, splits.simulator) if same else (None, None)
    splits = replace(splits, name=Path(data).stem, test=test, truth=truth, simulator=simulator)
    _print(runs.evaluate(flow, splits, config, seed, output, _command()), Path(data).name)


def _home(data: str, config: Config) -> str | None:
    """Where the data of a run are, for other rows of the same data."""
    return config.data.data_dir if data == config.data.source else None


def _rows(data: str, facts: DataSpec, seed: int, data_dir: str | None) -> Part:
    """Rows of a file or data set for a trained model."""
    from surflow.data import read_rows

    part = read_rows(data, facts.columns, facts.context, support=facts.support, seed=seed, data_dir=data_dir)
    if tuple(part.x.shape[1:]) != facts.event_shape:
        raise FileError(f"{data} holds events of shape {tuple(part.x.shape[1:])}, the model's have {facts.event_shape}")
    return part


@app.command()
def report(run: _Run) -> None:
    """Write report.html and the pictures of a finished run again."""
    from surflow.app import runs

    typer.echo(f"report: {runs.report(runs.RunFolder.open(run))}")


def _command() -> str:
    return "surflow " + shlex.join(sys.argv[1:])


def _print(rows: list[Row], which: str) -> None:
    from rich.console import Console
    from rich.table import Table

    what = f"{rows[0]['case']}, {which}" if which == "held-out rows" else which
    table = Table(title=f"{rows[0]['model']} on {what}")
    if any(row["metric"] == "entropy_gap" for row in rows):
        table.caption = "entropy_gap is paired: NLL minus the truth's NLL on the same rows"
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("± error", justify="right")
    table.add_column("unit")
    for row in rows:
        if _ONE_COORDINATE.fullmatch(row["metric"]):
            continue  # in metrics.json and in the report
        error = "" if row["error"] is None else f"{row['error']:.4f}"
        value = f"{row['value']:,.0f}" if row["unit"] == "rows" else f"{row['value']:.4f}"
        table.add_row(row["metric"], value, error, row["unit"])
    # A pipe or a file gets the whole table, however narrow the terminal is thought to be.
    Console(width=None if sys.stdout.isatty() else 100).print(table)


# -- sample and score -----------------------------------------------------------------------------------------


@app.command()
def sample(
    run: _Run,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv, .parquet or .npy file; .png for images.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many samples.")] = 1000,
    context: Annotated[
        list[str] | None,
        typer.Option(help="What to condition on: a value, column=value once per column, or a file of one row."),
    ] = None,
    seed: _Seed = 0,
) -> None:
    """Draw samples of a trained model into a file, conditional ones with --context."""
    from surflow._internal.random import seeded
    from surflow.app.runs import RunFolder
    from surflow.evaluation import draws

    kinds = (".csv", ".parquet", ".npy", ".png")
    check_suffix(output, kinds)
    folder = RunFolder.open(run)
    check_spares(output, folder.own_files())
    facts = folder.facts()
    if output.suffix == ".png" and (len(facts.event_shape) != 3 or facts.event_shape[0] not in (1, 3)):
        raise FileError(f"{output}: the samples are no images, they have shape {facts.event_shape}: write .csv or .npy")
    given = _context(context or [], facts.context, n)
    flow = folder.flow()
    with seeded(seed):
        x = draws(flow, n, given)
    if output.suffix == ".npy":
        import numpy as np

        writing(output, lambda: np.save(output, x.numpy()))
    elif output.suffix == ".png":
        writing(output, lambda: write_grid(output, x, facts.support))
    else:
        flat = x.flatten(1)
        names = facts.columns or [f"x{i}" for i in range(flat.shape[1])]
        table = {name: flat[:, i].numpy() for i, name in enumerate(names)}
        write_table(output, table | _context_table(given, facts.context))
    typer.echo(f"{n:,} samples: {output}")


@app.command()
def score(
    run: _Run,
    data: Annotated[str, typer.Argument(help="A file or data set with the model's columns.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv or .parquet file.")],
    importance_samples: Annotated[
        int, typer.Option(min=1, help="For a model with a bound: draws per row; more are tighter.")
    ] = 100,
    seed: _Seed = 0,
) -> None:
    """Log-density in nats of every row of a file; its lower bound, marked so, where the model has only a bound."""
    import numpy as np

    from surflow._internal.random import seeded
    from surflow.app.runs import RunFolder
    from surflow.evaluation import log_probs

    check_suffix(output, (".csv", ".parquet"))
    folder = RunFolder.open(run)
    check_spares(output, [*folder.own_files(), Path(data).expanduser()])
    flow = folder.flow()
    part = _rows(data, folder.facts(), seed, _home(data, folder.config()))
    with seeded(seed):
        log_prob = log_probs(flow, part.x, part.context, importance_samples=importance_samples).numpy()
    kind = "exact" if flow.exact else "bound"
    write_table(output, {"log_prob": log_prob, "kind": np.full(len(log_prob), kind)})
    what = "log-density" if flow.exact else f"lower bound of the log-density with {importance_samples} draws"
    typer.echo(f"mean {what}: {log_prob.mean():.4f} nats over {len(log_prob):,} rows: {output}")


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help="An experiment: 'surflow list' names them.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Only run through everything, in under a minute; the figures mean nothing.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where MNIST is (images), or the benchmark's observations (sbibm; else simulated)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the results; docs/results by default.")
    ] = None,
) -> None:
    """Make the figures of an experiment anew: results as JSON, pictures and a page. What is done already is kept."""
    found = _experiments()
    if not found:
        raise ConfigError(_NO_EXPERIMENTS)
    # Quick figures must never take the place of recorded ones.
    work = Path("runs") / ("reproduce-quick" if quick else "reproduce")
    page = found["reproduce"](
        name, output or (work if quick else Path("docs/results")), work / "cells", quick=quick, data_dir=data_dir
    )
    typer.echo(f"\nresults: {page.parent}.json\npage: {page}")


def _context_table(given: Tensor | None, encoding: ContextEncoding | None) -> dict[str, Any]:
    """The columns of a raw context, categories by name."""
    import numpy as np

    if given is None or encoding is None:
        return {}
    table = {}
    for column, values in zip(encoding.columns, given.numpy().T, strict=True):
        names = column.categories
        table[column.name] = values if names is None else np.asarray(names)[values.astype(int)]
    return table


def _context(values: list[str], encoding: ContextEncoding | None, n: int) -> Tensor | None:
    """``n`` rows of raw context from what the command line says."""
    if encoding is None:
        if values:
            raise ConfigError("the model was trained without a context: leave out --context")
        return None
    known = {c.name: "a number" if c.categories is None else " | ".join(c.categories) for c in encoding.columns}
    from surflow.data.readers.tables import READERS

    expected = ", ".join(f"--context {name}=({what})" for name, what in known.items())
    if len(known) > _MOST_NAMED:
        first, *_, last = known
        expected = f"--context FILE, a .csv, .parquet, .npy or .npz file with one row of the {len(known)} columns "
        expected += f"{first} to {last}"
    if not values:
        raise ConfigError(f"the model is conditional: expected {expected}")
    if len(values) == 1 and Path(values[0]).suffix.lower() in READERS:
        return _context_row(Path(values[0]).expanduser(), encoding).expand(n, -1)
    given = {}
    for value in values:
        name, equals, rest = value.partition("=")
        sole = encoding.columns[0] if len(known) == 1 else None
        if sole is not None and (not equals or value in (sole.categories or [])):
            name, rest = sole.name, value
        elif not equals:
            raise ConfigError(f"--context {value!r} names no column: expected {expected}")
        if name not in known:
            raise ConfigError(unknown_name("context column", name, known))
        if name in given:
            raise ConfigError(f"--context gives {name!r} more than once: expected one value for each column")
        given[name] = rest
    return encoding.encode(given).expand(n, -1)


def _context_row(path: Path, encoding: ContextEncoding) -> Tensor:
    """The context in the one row of a file."""
    from surflow.data import read_context

    given = read_context(path, encoding)
    if len(given) != 1:
        raise ConfigError(f"{path} expects one row, the context to draw for, got {len(given)}")
    return given
