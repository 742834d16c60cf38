"""A page of results: one self-contained HTML file of sections with texts, cards, pictures and tables."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment
from matplotlib.figure import Figure

from surflow import plots
from surflow._internal.files import make_folder, write_text
from surflow.evaluation.results import machine, versions


@dataclass
class Picture:
    """A PNG in base64, its width on the page in pixels, and what stands under it."""

    data: str
    width: int
    caption: str


@dataclass
class Section:
    """What stands under one heading, in the order of the attributes.

    Attributes:
        id: the target of links to it.
        title: the heading.
        texts: paragraphs.
        points: ``what`` is asked, the ``answer`` in a few words, the ``text`` that follows it, and a ``mark``, one of
            "met", "missed" and "", which colours the answer; the words have to say the same.
        cards: figures to look at first, with the keys ``what``, ``value``, ``error``, ``note`` and ``tag``.
        pictures: what a :class:`PictureWriter` gave back.
        blocks: verbatim ``text`` under a ``title``, which may be empty.
        tables: ``head``, ``rows`` of texts, and ``numbers``, the columns to align on the right; ``total`` is true where
            the last row is a sum. ``marks``, one of "met", "missed" and "" for each row, colours the cell in the column
            ``marked``, whose text has to say the same.
        notes: what follows in small print.
    """

    id: str
    title: str
    texts: list[str] = field(default_factory=list)
    points: list[dict[str, str]] = field(default_factory=list)
    cards: list[dict[str, str]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    blocks: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class PictureWriter:
    """Saves pictures in a folder and gives them back for the page.

    Args:
        folder: where to; the page says that it is ``pictures`` beside it.
        dpi: dots an inch, fewer for smaller files; by default those of :func:`surflow.plots.save`.
    """

    def __init__(self, folder: str | Path, dpi: int | None = None) -> None:
        self.folder = Path(folder)
        self.dpi = dpi

    def __call__(self, name: str, figure: Figure, caption: str) -> Picture:
        width = round(figure.get_figwidth() * 100)
        path = plots.save(figure, self.folder / f"{name}.png", self.dpi)
        return Picture(base64.b64encode(path.read_bytes()).decode("ascii"), width, caption)


def write_page(
    path: str | Path,
    *,
    eyebrow: str,
    heading: str,
    on: str,
    lede: str,
    facts: Sequence[Mapping[str, str]],
    sections: Sequence[Section],
    note: str,
) -> Path:
    """Write the page; returns its path.

    Args:
        path: of the HTML file; its folder is made if need be.
        eyebrow: what kind of page it is, above the heading.
        heading: what it is about.
        on: on which data: the heading goes on with "on" and this; empty for no such thing.
        lede: a sentence or two under the heading.
        facts: short facts under it, ``text`` with a ``kind``, "exact", "bound" or "".
        sections: the page itself.
        note: sentences for the foot of the page, such as what its errors are.
    """
    path = Path(path)
    text = files("surflow.app").joinpath("page.html.j2").read_text(encoding="utf-8")
    # Column names, labels and commands come from outside: everything that the template prints is escaped.
    template = Environment(autoescape=True, trim_blocks=False).from_string(text)
    page = template.render(
        title=f"{heading} on {on} · surflow" if on else f"{heading} · surflow",
        eyebrow=eyebrow,
        heading=heading,
        on=on,
        lede=lede,
        facts=facts,
        sections=sections,
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
        machine=f"{machine()['platform']}, {machine()['processors']} processors",
        note=note,
    )
    make_folder(path.parent)
    write_text(path, page)
    return path


# -- numbers ------------------------------------------------------------------------------------------------


def plus_minus(value: float, error: float | None) -> tuple[str, str]:
    """Value and error to the digits that the error supports: two significant ones of it.

    >>> plus_minus(-1.04970, 0.00746)
    ('−1.0497', '0.0075')
    """
    if not math.isfinite(value):
        return ("infinite" if value == math.inf else "not finite"), ""
    if error is None or not math.isfinite(error) or error <= 0:
        plain = f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 10 else f"{value:.4g}"
        return plain.replace("-", "−"), ""
    digits = min(6, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:.{digits}f}".replace("-", "−"), f"{error:.{digits}f}"


def p_value(p: float) -> str:
    """A p-value.

    >>> p_value(0.25), p_value(0.00002)
    ('0.250', '2.0e-05')
    """
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(0.012), duration(600), duration(9000)
    ('12 ms', '10 min', '2.5 h')
    """
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
