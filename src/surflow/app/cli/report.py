"""``surflow report``: the page of a run again."""

from __future__ import annotations

from surflow.app.cli.shared import Run, opened, say


def report(run: Run) -> None:
    """Write report.html and the pictures of a finished run again."""
    from surflow.app import runs

    folder = opened(run)
    with folder.held():
        say(f"report: {runs.report(folder)}")
