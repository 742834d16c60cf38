"""What the trials found, model beside model: means over the seeds, and who is ahead by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surflow.app.page import plus_minus
from surflow_experiments.cells import Outcome
from surflow_experiments.tables.models import MODELS, OURS


@dataclass(frozen=True)
class Gain:
    """How far ours is ahead of the best other: negative behind it; its error, and the other's name."""

    value: float
    error: float | None
    other: str

    def __str__(self) -> str:
        value, error = plus_minus(abs(self.value), self.error)
        by = f"{value} ± {error}" if error else f"{abs(self.value):.3f}"
        title = MODELS[self.other].title
        if not self.value:
            return f"as {title}"
        return f"ahead of {title} by {by}" if self.value >= 0 else f"behind {title} by {by}"


class Comparison:
    """Outcomes by table and model.

    Args:
        outcomes: of trials.
        kind: "tables" or "binary".
    """

    def __init__(self, outcomes: Sequence[Outcome], kind: str) -> None:
        self.of: dict[str, dict[str, list[Outcome]]] = {}
        for outcome in outcomes:
            found, name = outcome.cell.case.split("/")
            if found == kind:
                self.of.setdefault(name, {}).setdefault(outcome.cell.model, []).append(outcome)

    def values(self, table: str, model: str, metric: str) -> list[float]:
        """Of the seeds that have the metric."""
        rows = (row for outcome in self.of[table].get(model, ()) for row in outcome.rows)
        return [row["value"] for row in rows if row["metric"] == metric]

    def mean(self, table: str, model: str, metric: str) -> float | None:
        """Over the seeds; None for a model that was not asked."""
        values = self.values(table, model, metric)
        return float(np.mean(values)) if values else None

    def text(self, table: str, model: str, metric: str, *, error: bool = False) -> str:
        """The mean, and with ``error`` its standard error: over the seeds, or, of one, as its trial found it.

        Shares and other numbers up to one are shown to three digits, thousands as whole numbers.
        """
        values = self.values(table, model, metric)
        if not values:
            return ""
        spread = None
        if error and len(values) > 1:
            spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        elif error:
            (row,) = (row for row in self.of[table][model][0].rows if row["metric"] == metric)
            spread = row["error"]
        mean = float(np.mean(values))
        if spread is None and (abs(mean) <= 1 or abs(mean) >= 1000):
            return f"{mean:,.0f}" if abs(mean) >= 1000 else f"{mean:.3f}".replace("-", "−")
        return " ± ".join(part for part in plus_minus(mean, spread) if part)

    def models(self, metric: str) -> list[str]:
        """Those that have a metric on some table."""
        return [model for model in MODELS if any(self.values(table, model, metric) for table in self.of)]

    def gain(self, table: str, metric: str, *, more: bool = False) -> Gain | None:
        """How far ours is ahead of the best other by a metric of which less, or with ``more`` more, is better."""
        sign = 1 if more else -1
        each = {model: self.mean(table, model, metric) for model in MODELS}
        others = {model: sign * value for model, value in each.items() if value is not None and model != OURS}
        ours = each[OURS]
        if ours is None or not others:
            return None
        best = max(others, key=lambda model: others[model])
        error = self._paired_error(table, best) if metric == "nll" else None
        return Gain(sign * ours - others[best], error, best)

    def _paired_error(self, table: str, other: str) -> float | None:
        """Of the difference of two NLLs: over the seeds, or, of one seed, over its rows, which both have scored."""
        pairs = zip(self.of[table][OURS], self.of[table][other], strict=False)
        differences = [a.arrays["log_prob"].astype(float) - b.arrays["log_prob"] for a, b in pairs]
        if len(differences) > 1:
            means = [float(difference.mean()) for difference in differences]
            return float(np.std(means, ddof=1)) / math.sqrt(len(means))
        error = float(differences[0].std(ddof=1)) / math.sqrt(len(differences[0]))
        return error if math.isfinite(error) else None
