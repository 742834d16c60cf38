"""``surflow list``: what has a name."""

from __future__ import annotations

import textwrap

from surflow.app.cli.experiments import NO_EXPERIMENTS, experiments
from surflow.app.cli.shared import say


def list_names() -> None:
    """Data sets, presets and experiments that have a name."""
    from surflow import presets
    from surflow.data import simulator_names, synthetic_names, table_names

    lines = ["Synthetic data, exact densities known:", *_wrapped(synthetic_names()), ""]
    lines += ["Real data (or pass a table as CSV, JSON, Parquet, Arrow, Excel, a database or a query, an .npy or .npz"]
    lines += ["file, or a folder of images; MNIST is looked for in --data-dir, in $SURFLOW_DATA and in the cache, else"]
    lines += ["downloaded):"]
    lines += [*_wrapped(table_names()), ""]
    lines += ["Simulators, parameters given observations, exact posteriors known:", *_wrapped(simulator_names()), ""]
    lines += ["Presets, --model NAME:"]
    named = {
        "auto": "the default: spline; image or max-pool for integers; sort-flow or point-grid for sets of points; "
        "posterior or box for simulators",
        **presets.names(),
    }
    lines += [f"  {name:16}{text}" for name, text in named.items()]
    found = experiments()
    if found:
        lines += ["", "Experiments, surflow reproduce NAME:"]
        lines += [f"  {name:16}{text}" for name, text in found["names"]().items()]
        lines += ["", "Records, python -m surflow_experiments.NAME:"]
        lines += [f"  {name:16}{text}" for name, text in found["records"]().items()]
    else:
        lines += ["", f"Experiments: {NO_EXPERIMENTS}"]
    say("\n".join(lines))


def _wrapped(names: list[str]) -> list[str]:
    return textwrap.wrap(", ".join(names), 110, initial_indent="  ", subsequent_indent="  ")
