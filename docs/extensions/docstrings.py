r"""Docstrings as Sphinx needs them: stars of shapes, (batch, \*event), escaped; constructors with their arguments."""

from __future__ import annotations

import inspect
import re

from sphinx.application import Sphinx

STAR = re.compile(r"(?<![\\*`\w])\*(?=[a-z_]+\b(?!\*))")


def escape(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape the stars of shapes in place, except in examples and in what is code already."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("``")
            lines[i] = "``".join(STAR.sub(r"\\*", part) if k % 2 == 0 else part for k, part in enumerate(parts))


def arguments(app: Sphinx, what: str, name: str, obj: object, options: object, given: str, returned: str) -> object:
    """The arguments of a constructor, where the class has a general one that remembers them."""
    if what != "class" or not (given or "").startswith("(*args"):
        return None
    _, *own = inspect.signature(obj.__init__).parameters.values()  # type: ignore[misc]
    shown = [each.replace(annotation=inspect.Parameter.empty) for each in own]
    return str(inspect.Signature(shown)), returned


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at every docstring before napoleon does."""
    app.connect("autodoc-process-docstring", escape, priority=400)
    app.connect("autodoc-process-signature", arguments)
    return {"parallel_read_safe": True}
