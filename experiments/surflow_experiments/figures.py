"""Figures of merit under the truth: what each gives where it is known what it should give.

    python -m surflow_experiments.figures

Data and a model that is right, or wrong in a known way, are simulated hundreds of times. p-values must then be
uniform, bands hold their level, intervals of 1.96 standard errors cover in 93 to 97 % of the repeats, and a shift be
found nearly as often as the optimal test finds it.

Written to docs/results/figures_of_merit.json and .md, in about ten minutes of one core.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from surflow._internal.files import write_text
from surflow.evaluation import Row, write_results
from surflow_experiments.under_truth import likelihoods, posteriors, samples
from surflow_experiments.under_truth.claims import Verdict, verdicts

RESULTS = Path("docs/results")
_COMMAND = "python -m surflow_experiments.figures"

SIMULATIONS = {**likelihoods.SIMULATIONS, **posteriors.SIMULATIONS, **samples.SIMULATIONS}


def table(found: Sequence[Verdict]) -> str:
    """All verdicts as a table in Markdown."""
    lines = [
        "| figure | simulated | n | repeats | wanted | got | ± | uniform, p | right |",
        "|---|---|" + "---:|" * 6 + "---|",
    ]
    for v in found:
        wanted = f"{v.low:.3g}" if v.low == v.high else f"{v.low:.3g} to {v.high:.3g}"
        p = "" if v.uniform_p is None else f"{v.uniform_p:.2g}"
        right = "yes" if v.right else "**no**"
        got = f"{v.got:.3f} | {v.error:.3f}"
        lines.append(f"| {v.what} | {v.simulated} | {v.n} | {v.repeats} | {wanted} | {got} | {p} | {right} |")
    return "\n".join(lines)


def main(results: Path = RESULTS) -> int:
    """Simulate all, write both files; returns the number of figures that are wrong."""
    torch.set_num_threads(1)
    found: list[Verdict] = []
    rows: list[Row] = []
    for name, simulation in SIMULATIONS.items():
        made = verdicts(simulation)
        print(table(made).split("\n", 2)[2], flush=True)
        found += made
        for v in made:
            metrics: list[tuple[str, float, float | None]] = [
                ("n", v.n, None),
                ("repeats", v.repeats, None),
                ("wanted_from", v.low, None),
                ("wanted_to", v.high, None),
                ("got", v.got, v.error),
                *([("uniform_p", v.uniform_p, None)] if v.uniform_p is not None else []),
                ("right", float(v.right), None),
            ]
            rows += [
                Row(case=f"{name}: {v.simulated}", model=v.what, seed=0, metric=m, value=value, error=error, unit="1")
                for m, value, error in metrics
            ]
    write_results(results / "figures_of_merit.json", _COMMAND, rows)
    text = f"# Figures of merit under the truth\n\n{' '.join((__doc__ or '').split(chr(10) * 2)[2].split())}\n\n"
    text += "Of p-values, what is wanted and got is the share of repeats up to .05, and the p beside it is of their "
    text += "uniformity. ± is the standard error of what was got; right is what lies within three of it. Made by "
    text += f"`{_COMMAND}`.\n\n{table(found)}\n"
    write_text(results / "figures_of_merit.md", text)
    return sum(not v.right for v in found)


if __name__ == "__main__":
    sys.exit(min(1, main()))
