"""Pictures of tutorials: the figures that a block of a script gives a name to, which pyplot does not know of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def scrape(block: tuple[str, str, int], variables: dict[str, Any], conf: dict[str, Any], **_: object) -> str:
    """Save the new figures of a block, and return the lines that show them."""
    paths = []
    for value in list(variables["example_globals"].values()):
        if isinstance(value, Figure) and not getattr(value, "shown_on_page", False):
            path = next(variables["image_path_iterator"])
            value.savefig(path, dpi=120)
            value.shown_on_page = True  # type: ignore[attr-defined]
            paths.append(path)
    return str(figure_rst(paths, conf["src_dir"]))


def _get_sg_image_scraper() -> Callable[..., str]:
    """What sphinx-gallery asks a module for."""
    return scrape
