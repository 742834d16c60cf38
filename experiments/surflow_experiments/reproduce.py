"""The experiments by their names."""

from __future__ import annotations

import ast
import pkgutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from surflow.errors import ConfigError, unknown_name
from surflow_experiments import circle, images, point_clouds, sbibm, sir
from surflow_experiments.synthetic.groups import GROUPS, WHOLE


def names() -> dict[str, str]:
    """Every experiment, and what it shows.

    >>> "sir" in names()
    True
    """
    found = {WHOLE: "every set of the plane: all groups that follow, about an hour"}
    found |= {name: "; ".join(comparison.title for comparison in group) for name, group in GROUPS.items()}
    modules = (circle, images, point_clouds, sbibm, sir)
    return found | {
        module.__name__.rpartition(".")[2].replace("_", "-"): (module.__doc__ or "").strip() for module in modules
    }


def records() -> dict[str, str]:
    """The modules of this package that are run with ``python -m``, and what each of them records."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.ispkg:
            tree = ast.parse(Path(__file__).with_name(f"{module.name}.py").read_text(encoding="utf-8"))
            if isinstance(tree.body[-1], ast.If):  # if __name__ == "__main__"
                found[module.name] = (ast.get_docstring(tree) or "").splitlines()[0]
    return found


def reproduce(name: str, results: Path, work: Path, *, quick: bool = False, data_dir: Path | None = None) -> Path:
    """Run an experiment, or take up one that was killed: its results, pictures and page.

    Args:
        name: one of :func:`names`.
        results: the folder of ``EXPERIMENT.json`` and of ``EXPERIMENT/NAME.html`` with its pictures.
        work: where trials that are done are kept.
        quick: only run through everything once.
        data_dir: a folder with data, for the experiment that takes one.

    Returns:
        The path of the page.

    Raises:
        ConfigError: for an unknown name, or a folder that the experiment does not take.
        FileError: if the results cannot be written, or data are missing.
        SurflowError: if trials failed.
    """
    if name not in names():
        raise ConfigError(unknown_name("experiment", name, names()))
    if name == "sbibm":
        from surflow_experiments.sbibm.reproduce import reproduce as run_sbibm

        return run_sbibm(results, work, quick=quick, data_dir=data_dir)
    if name == "images":
        from surflow_experiments.images.reproduce import reproduce as run_images

        return run_images(results, work, quick=quick, data_dir=data_dir)
    if name == "point-clouds":
        from surflow_experiments.point_clouds.reproduce import reproduce as run_clouds

        return run_clouds(results, work, quick=quick, data_dir=data_dir)
    if data_dir is not None:
        raise ConfigError(
            f"--data-dir is for the experiments images, point-clouds and sbibm, {name!r} makes its data itself: "
            "leave it out"
        )
    return _experiment(name)(results, work, quick=quick)


def _experiment(name: str) -> Callable[..., Path]:
    if name == "sir":
        from surflow_experiments.sir.reproduce import reproduce as run_sir

        return run_sir
    if name == "circle":
        from surflow_experiments.circle.reproduce import reproduce as run_circle

        return run_circle
    from surflow_experiments.synthetic.reproduce import reproduce as run_synthetic

    return partial(run_synthetic, name)
