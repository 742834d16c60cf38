"""What commands have in common: options, the error that a user sees, the command as it was given."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from surflow._internal.ranks import first_to_fail, ranks
from surflow.errors import SurflowError, plain_text

if TYPE_CHECKING:
    from surflow.app.runs import RunFolder

# What NumPy, scikit-learn and PyTorch all take.
LARGEST_SEED = 2**32 - 1
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="Of everything that draws: same command and seed, same numbers.")
]
DefuseFormulas = Annotated[
    bool,
    typer.Option(
        "--defuse-formulas", help="In CSV, put ' before names that a spreadsheet would compute, such as =1+1."
    ),
]
Run = Annotated[Path, typer.Argument(help="A folder made by 'surflow train'.")]


# Typer's own, which it takes from one package or another: its base is what a wrong command line raises.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class Group(TyperGroup):
    """Shows what a user can mend as a message, without a traceback. The status is 2, after Ctrl-C 130.

    Of several processes of one command the first that fails says why.
    """

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 -- the type of a context is private to Typer
        try:
            return super().invoke(ctx)
        except SurflowError as error:
            if first_to_fail():
                typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error
        except _UsageError as error:
            if ranks().rank == 0:  # all have the same command line
                raise
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(128 + signal.SIGINT) from error


def say(text: str, *, err: bool = False) -> None:
    """Print a text, which may hold names from files, without what would steer the terminal."""
    typer.echo(plain_text(text), err=err)


def opened(run: Path) -> RunFolder:
    """A finished run, with a word on what is wrong with it.

    Raises:
        FileError: for a folder that holds none.
    """
    from surflow.app.runs import RunFolder

    folder = RunFolder.open(run)
    if folder.diverged and ranks().rank == 0:
        say(f"note: training of {run} diverged: {folder.diverged}", err=True)
    return folder


@contextmanager
def naming(file: str | Path | None) -> Iterator[None]:
    """Errors in what a configuration states begin with its file, if there is one."""
    try:
        yield
    except SurflowError as error:
        if file is None:
            raise
        raise type(error)(f"{file}: {error}") from error


def command_line() -> str:
    """The command line of this process."""
    return "surflow " + shlex.join(sys.argv[1:])
