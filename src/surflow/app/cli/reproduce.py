"""``surflow reproduce``: the figures of an experiment anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surflow.app.cli.experiments import NO_EXPERIMENTS, experiments
from surflow.app.cli.shared import say
from surflow.errors import ConfigError


def reproduce(
    name: Annotated[str, typer.Argument(help="An experiment: 'surflow list' names them.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Only run through everything, in under a minute; the figures mean nothing.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where MNIST (images), sbibm's observations (else simulated), or binary tables (else left out) are."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the results; docs/results by default.")
    ] = None,
) -> None:
    """Make the figures of an experiment anew: results as JSON, pictures and a page. What is done already is kept."""
    found = experiments()
    if not found:
        raise ConfigError(NO_EXPERIMENTS)
    # Quick figures must never take the place of recorded ones.
    work = Path("runs") / ("reproduce-quick" if quick else "reproduce")
    page = found["reproduce"](
        name, output or (work if quick else Path("docs/results")), work / "cells", quick=quick, data_dir=data_dir
    )
    say(f"\nresults: {page.parent}.json\npage: {page}")
