"""Data: synthetic sets with exact densities, simulators with exact posteriors, real sets, and files."""

from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.data.load import load, read_schema
from surflow.data.readers.builtin import table_names
from surflow.data.rows import read_context, read_rows
from surflow.data.simulators.base import Posterior, Simulator, simulations
from surflow.data.simulators.epidemic import SIR
from surflow.data.simulators.names import simulator, simulator_names
from surflow.data.splits import Part, Splits
from surflow.data.synthetic.base import Synthetic, offset, skew
from surflow.data.synthetic.names import noisy_circle, synthetic_names, synthetic_set
from surflow.data.tables.inference import infer
from surflow.data.tables.schema import Column, ColumnKind, Schema
from surflow.errors import ConfigError

__all__ = [
    "SIR",
    "Column",
    "ColumnKind",
    "ContextColumn",
    "ContextEncoding",
    "Part",
    "Posterior",
    "Schema",
    "Simulator",
    "Splits",
    "Synthetic",
    "infer",
    "load",
    "noisy_circle",
    "offset",
    "read_context",
    "read_rows",
    "read_schema",
    "simulations",
    "simulator",
    "simulator_names",
    "skew",
    "synthetic_names",
    "synthetic_set",
    "table_names",
]


def __getattr__(name: str) -> Synthetic:
    """The synthetic sets by name, made when first asked for: ``surflow.data.moons``."""
    # Python probes modules for dunder names, which are no attempt at a data set.
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        return synthetic_set(name)
    except ConfigError as error:
        raise AttributeError(str(error)) from None


def __dir__() -> list[str]:
    return sorted([*__all__, *synthetic_names()])
