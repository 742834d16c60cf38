"""Directive ``{layers} surflow.bijections``: the layers of a package, each with kind, map and V by its docstring."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import surflow as sf

# (random_forward, random_inverse): what a class of layers is, and what its likelihood is.
KINDS = {
    (False, False): "bijection, exact",
    (False, True): "inference surjection, exact",
    (True, False): "generative surjection, a bound",
    (True, True): "stochastic layer, a bound",
}
# Where the formulas of a docstring end.
ENDS = ("Args:", "Attributes:", "Raises:", "Source:", ">>>", "Example")


def classes(package: str) -> Iterator[type[sf.Transform]]:
    """The public layers that are defined in the modules of a package, in the order of their files."""
    root = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(root.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package}.{info.name}")
        for found in vars(module).values():
            layer = inspect.isclass(found) and issubclass(found, sf.Transform)
            if layer and found.__module__ == module.__name__ and found.__name__ in sf.__all__:
                yield found


def described(layer: type) -> list[str]:
    """The lines of a docstring before its first section."""
    lines: list[str] = []
    for line in inspect.cleandoc(layer.__doc__ or "").splitlines():
        if line.startswith(ENDS):
            break
        lines.append(line)
    return lines


class Layers(SphinxDirective):
    """A definition for every layer: its name, linked to its page, its kind, and its docstring's formulas."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        text: list[str] = []
        for layer in classes(self.arguments[0]):
            kind = KINDS[layer.random_forward, layer.random_inverse]
            text += [f":class:`surflow.{layer.__name__}` ({kind})", *("    " + line for line in described(layer)), ""]
        return parse_rst(self, text)


def parse_rst(directive: SphinxDirective, text: list[str]) -> list[nodes.Node]:
    """Lines of reStructuredText as nodes, in a page of either language."""
    from docutils.frontend import get_default_settings
    from docutils.parsers.rst import Parser
    from docutils.utils import new_document
    from sphinx.parsers import RSTParser

    document = new_document(directive.env.doc2path(directive.env.docname), get_default_settings(Parser))
    document.settings.env = directive.env
    document.settings.tab_width = 8
    parser = RSTParser()
    parser._config, parser._env = directive.config, directive.env
    parser.parse(StringList(text, source="layers"), document)
    return list(document.children)


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("layers", Layers)
    return {"parallel_read_safe": True}
