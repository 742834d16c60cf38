r"""Shapes such as (batch, \*event) in docstrings, whose star would begin an emphasis."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

STAR = re.compile(r"(?<![\\*`\w])\*(?=[a-z_]+\b(?!\*))")


def escape(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape the stars of shapes in place, except in examples and in what is code already."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("``")
            lines[i] = "``".join(STAR.sub(r"\\*", part) if k % 2 == 0 else part for k, part in enumerate(parts))


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at every docstring before napoleon does."""
    app.connect("autodoc-process-docstring", escape, priority=400)
    return {"parallel_read_safe": True}
