"""The command line, a file for each command; each imports what is heavy when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from surflow._internal.ranks import leave
from surflow.app.cli import evaluate, explore, impute, inspect, listing, report, reproduce, sample, score, show, train
from surflow.app.cli.shared import Group
from surflow.app.cli.stops import end_as_decided, end_in_order

__all__ = ["app", "main"]

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train SurVAE flows, score and sample with them, and see what they cost in nats.",
)


def main() -> None:
    """The program ``surflow``."""
    end_in_order()
    try:
        app(prog_name="surflow")
    finally:
        end_as_decided()
        leave()


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from surflow._internal.version import __version__

        typer.echo(__version__)
        raise typer.Exit()


app.command("list")(listing.list_names)
app.command()(show.show)
app.command()(inspect.inspect)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(report.report)
app.command()(explore.explore)
app.command()(sample.sample)
app.command()(score.score)
app.command()(impute.impute)
app.command()(reproduce.reproduce)
