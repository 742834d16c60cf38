"""``surflow explore``: ask a trained model in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from surflow.app.cli.shared import Run, opened, say


def explore(
    run: Run,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of this machine, to listen on; by default one that is free.")
    ] = 0,
) -> None:
    """Ask a trained model in the browser: fix or bound columns, move an observation, vary an image. Ctrl-C ends it."""
    from surflow.app.explore import Server, explorer_of

    with Server(explorer_of(opened(run)), port) as server:
        say(f"{run} answers, to this machine alone, at\n\n  {server.address}\n\nCtrl-C ends it")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended")
