"""``surflow reproduce``: the figures of an experiment anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from surflow.app.cli.experiments import NO_EXPERIMENTS, experiments
from surflow.app.cli.shared import say
from surflow.errors import ConfigError


def _shard(text: str | None) -> str | None:
    """A share such as 2/8."""
    found = None if text is None else re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    if text is not None and (found is None or not 1 <= int(found[1]) <= int(found[2])):
        raise typer.BadParameter(
            f"expected i/n, such as 2/8, the second of eight shares, with i from 1 to n, got {text!r}"
        )
    return text


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
    shard: Annotated[
        str | None,
        typer.Option(
            callback=_shard,
            help="Only run a share of the trials, such as 2/8, and keep them: when all shares are done, the command "
            "without --shard, in the same folder, records them.",
        ),
    ] = None,
) -> None:
    """Make the figures of an experiment anew: results as JSON, pictures and a page. What is done already is kept."""
    found = experiments()
    if not found:
        raise ConfigError(NO_EXPERIMENTS)
    # Quick figures must never take the place of recorded ones.
    work = Path("runs") / ("reproduce-quick" if quick else "reproduce")
    made = found["reproduce"](
        name,
        output or (work if quick else Path("docs/results")),
        work / "cells",
        quick=quick,
        data_dir=data_dir,
        shard=None if shard is None else tuple(map(int, shard.split("/"))),
    )
    if shard is None:
        say(f"\nresults: {made.parent}.json\npage: {made}")
    else:
        say(f"\nshare {shard} of {name} is kept in {made}: when all are, the command without --shard records them")
