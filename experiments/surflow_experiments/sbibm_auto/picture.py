"""The picture of all tasks: what was reached, the goal, and what is published."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from surflow.plots.style import DATA, INK, QUIET, SAMPLES, new_figure, style_axes
from surflow_experiments.cells import Outcome
from surflow_experiments.sbibm_auto.tasks import BUDGETS, METHODS, TASKS

# Colours of the two defaults, and what they are called.
_SHOWN = {"auto": (DATA, "surflow"), "nsf": (SAMPLES, "the package sbi")}


def picture(found: Mapping[tuple[str, str], Outcome]) -> Figure:
    """C2ST, a panel for each number of simulations that was run, and a line for each task.

    Args:
        found: outcomes by task and number of simulations, such as ``slcp-1000``, and method.
    """
    shown = [n for n in BUDGETS if any(case.endswith(f"-{n}") for case, _ in found)]
    figure = new_figure(4.2 + 3.2 * len(shown), 4.4)
    axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for ax, simulations in zip(axes, shown, strict=True):
        i = BUDGETS.index(simulations)
        style_axes(ax)
        lines = range(len(TASKS))
        published = [task.published[i] for task in TASKS.values()]
        ax.scatter(published, lines, color=QUIET, s=28, label="published NPE", zorder=2)
        goals = [task.goal[i] for task in TASKS.values()]
        ax.scatter(goals, lines, color=INK, marker="|", s=130, label="goal", zorder=2)
        for method in METHODS:
            colour, said = _SHOWN[method]
            there = [k for k, name in enumerate(TASKS) if (f"{name}-{simulations}", method) in found]
            values = [found[f"{list(TASKS)[k]}-{simulations}", method].value("c2st") for k in there]
            if there:
                ax.scatter(values, there, color=colour, s=46, label=said, zorder=3)
        ax.axvline(0.5, color=QUIET, linewidth=1)
        ax.set(xlim=(0.48, 1.02), xlabel="C2ST", title=f"{simulations:,} simulations")
    axes[0].set_yticks(range(len(TASKS)), [task.title for task in TASKS.values()])
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=8, frameon=False, loc="upper right")
    return figure
