"""What experiments of one page have in common: trials are run, recorded, and shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surflow import plots
from surflow._internal.files import make_folder
from surflow.app.page import PictureWriter, Section, write_page
from surflow.errors import SurflowError
from surflow.evaluation import write_results
from surflow_experiments.cells import Cell, Outcome, run_cells

_QUICK = "A run through everything with a few steps: no figure here means anything. "
_DPI = 100


def command_of(name: str, *, quick: bool, data_dir: Path | None) -> str:
    """The command of an experiment, with the folder of data by its name: where it lies is nobody's business.

    >>> command_of("images", quick=True, data_dir=Path("/somewhere/mnist"))
    'surflow reproduce images --data-dir mnist --quick'
    """
    given = "" if data_dir is None else f" --data-dir {data_dir.name}"
    return f"surflow reproduce {name}{given}{' --quick' if quick else ''}"


def show_losses(section: Section, show: PictureWriter, name: str, losses: np.ndarray, caption: str) -> None:
    """Add a picture of validation losses, rows (step, nats), to a section; none for a run without them."""
    if len(losses):
        log = [
            {"step": int(step), "split": "validation", "nll": float(nll), "learning_rate": 0.0, "seconds": 0.0}
            for step, nll in np.atleast_2d(losses)
        ]
        section.pictures.append(show(f"{name}-losses", plots.losses(log), caption))


def experiment_page(
    path: Path,
    heading: str,
    lede: str,
    facts: list[dict[str, str]],
    sections: list[Section],
    note: str,
    *,
    quick: bool,
) -> Path:
    """Write the page of an experiment; of a quick one it says that it means nothing."""
    return write_page(
        path,
        eyebrow="surflow · reproduced experiments",
        heading=heading,
        on="",
        lede=(_QUICK if quick else "") + lede,
        facts=facts,
        sections=sections,
        note=note,
    )


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
    show: PictureWriter
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
    *,
    quick: bool,
    data_dir: Path | None = None,
) -> Recorded:
    """Run cells, and write what they leave to ``results/NAME.json``; nothing is run if that cannot be written."""
    page = results / name / f"{name}.html"
    make_folder(page.parent / "pictures")
    outcomes, failed = run_cells(cells, run, work, tell)
    command = command_of(name.replace("_", "-"), quick=quick, data_dir=data_dir)
    write_results(results / f"{name}.json", command, [row for outcome in outcomes for row in outcome.rows])
    return Recorded(page, PictureWriter(page.parent / "pictures", _DPI), outcomes, failed)
