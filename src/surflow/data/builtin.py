"""Real data sets that come with scikit-learn: nothing is downloaded."""

from __future__ import annotations

import numpy as np

from surflow.data.tables import Field, Raw
from surflow.errors import ConfigError, unknown_name

# Name: what its target is called. The names of the classes, where it has any, become the categories.
_TARGETS = {
    "iris": "species",
    "wine": "cultivar",
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
    "linnerud": "",  # three targets with names of their own
    "digits": "digit",
}


def table_names() -> list[str]:
    """Names of the real data sets that come with the installation.

    >>> table_names()
    ['breast_cancer', 'diabetes', 'digits', 'iris', 'linnerud', 'wine']
    """
    return sorted(_TARGETS)


def read_named(name: str) -> Raw:
    """A data set that comes with scikit-learn, in its natural units; nothing is downloaded."""
    from sklearn import datasets

    if name not in _TARGETS:
        raise ConfigError(unknown_name("data set", name, _TARGETS))
    # Diabetes would come rescaled.
    bunch = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    target = np.asarray(bunch.target)
    if target.ndim == 2:
        targets = {t: Field(numbers=target[:, i].astype(np.float64)) for i, t in enumerate(bunch.target_names)}
    elif "target_names" in bunch:
        names = [str(c) for c in bunch.target_names]
        targets = {_TARGETS[name]: Field(codes=target.astype(np.int64), categories=names)}
    else:
        targets = {_TARGETS[name]: Field(numbers=target.astype(np.float64))}
    origin = f"scikit-learn's load_{name}"
    if name == "digits":
        events = bunch.images[:, None].astype(np.float32)
        return Raw(name, origin, dict(targets), events=events, targets=tuple(targets), levels=17)
    data = np.asarray(bunch.data, dtype=np.float64)
    fields = {str(c): Field(numbers=data[:, i]) for i, c in enumerate(bunch.feature_names)}
    return Raw(name, origin, {**fields, **targets}, targets=tuple(targets))
