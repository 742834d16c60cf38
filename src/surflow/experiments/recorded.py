"""What experiments of one page have in common: trials are run, recorded, and shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from surflow.errors import SurflowError
from surflow.evaluation import write_results
from surflow.experiments.cells import Cell, Outcome, run_cells
from surflow.output import writing
from surflow.page import Shower

QUICK = "A run through everything with a few steps: no figure here means anything. "
_DPI = 100


@dataclass
class Recorded:
    """Outcomes of an experiment whose results are written.

    Attributes:
        page: where its page belongs.
        show: saves pictures beside it.
        outcomes: of its cells, in their order.
        failed: what is to be said of those that failed.
    """

    page: Path
    show: Shower
    outcomes: list[Outcome]
    failed: list[str]

    def of(self, case: str, model: str) -> list[Outcome]:
        """The outcomes of a case and a model, a seed each."""
        return [o for o in self.outcomes if (o.cell.case, o.cell.model) == (case, model)]

    def raise_failures(self) -> None:
        """SurflowError for trials that failed, if there are any."""
        if self.failed:
            raise SurflowError(f"{len(self.failed)} trials failed, the others are kept:\n" + "\n".join(self.failed))


def record(
    name: str,
    cells: Sequence[Cell],
    run: Callable[[Cell], Outcome],
    tell: Callable[[Outcome], str],
    results: Path,
    work: Path,
    command: str,
) -> Recorded:
    """Run cells, and write what they leave to ``results/NAME.json``; nothing is run if that cannot be written."""
    page = results / name / f"{name}.html"
    writing(page, lambda: (page.parent / "pictures").mkdir(parents=True, exist_ok=True))
    outcomes, failed = run_cells(cells, run, work, tell)
    write_results(results / f"{name}.json", command, [row for outcome in outcomes for row in outcome.rows])
    return Recorded(page, Shower(page.parent / "pictures", _DPI), outcomes, failed)
