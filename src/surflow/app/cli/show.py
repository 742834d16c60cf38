"""``surflow show``: the layers of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surflow.app.cli.shared import naming, say


def show(target: Annotated[Path, typer.Argument(help="A run, a saved .safetensors flow, or a config.toml.")]) -> None:
    """The layers of a model, and a config.toml that states its chain in full."""
    from surflow.app import runs
    from surflow.app.config import chain_toml, read_config
    from surflow.serialization.files import load
    from surflow.tables.model import TableModel

    config = None
    if target.is_dir():
        run = runs.RunFolder.open(target)
        flow, config = run.flow(), run.config()
    elif target.suffix == ".toml":
        config = read_config(target)
        splits = runs.load_splits(config)
        with naming(target):
            flow = runs.build(config, splits)
    else:
        model = load(target)
        flow = model.flow if isinstance(model, TableModel) else model
    # Everything but the chain is a comment, or an entry of the configuration: the output as a whole is a config.toml.
    say("\n".join(f"# {line}" for line in flow.summary().splitlines()) + "\n")
    if config is not None:
        typer.echo(config.to_toml(without_model=True))
    typer.echo(chain_toml(flow), nl=False)
