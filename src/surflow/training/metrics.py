"""torchmetrics, of which Lightning asks two classes, comes whole when somebody asks for more of it."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_NAME = "torchmetrics"
# What Lightning asks for when it is imported, and where that is.
_PARTS = {
    "Metric": "metric",
    "MetricCollection": "collections",
    "__version__": "__about__",
}


class _Deferred(ModuleType):
    """The package, whose own module runs when something else is asked of it than these parts, or they are elsewhere."""

    def __getattr__(self, name: str) -> object:
        if name == "_logger":
            return logging.getLogger(_NAME)
        if name in _PARTS:
            with suppress(ImportError, AttributeError):
                import_module(f"{_NAME}.utilities")  # which imports Metric, and is imported by it
                return getattr(import_module(f"{_NAME}.{_PARTS[name]}"), name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec = self.__spec__
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module(self)
        return getattr(self, name)


def defer() -> None:
    """Let ``import torchmetrics`` give a package that runs its own module later.

    That module imports every metric, and scipy's signal processing: a second, where Lightning itself takes a fifth.

    >>> defer()
    >>> from lightning.pytorch.utilities.types import Metric
    >>> import torchmetrics
    >>> torchmetrics.Metric is Metric, torchmetrics.Accuracy.__name__
    (True, 'Accuracy')
    """
    if _NAME in sys.modules:
        return
    spec = find_spec(_NAME)
    if spec is None:  # Lightning says so
        return
    module = module_from_spec(spec)
    module.__class__ = _Deferred
    sys.modules[_NAME] = module
