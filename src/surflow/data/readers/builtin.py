"""Real data sets by name: those that come with scikit-learn, MNIST, and point clouds drawn from their digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from surflow.data.readers.idx import mnist
from surflow.data.readers.tables import Field, Raw
from surflow.data.synthetic.point_sets import POINTS, clouds
from surflow.errors import ConfigError, unknown_name
from surflow.supports import Integers

# Name: what its target is called. The names of the classes, where it has any, become the categories.
_TARGETS = {
    "iris": "species",
    "wine": "cultivar",
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
    "linnerud": "",  # three targets with names of their own
    "digits": "digit",
}


_MNIST = "mnist"
_MNIST_ENDS = (50_000, 60_000)
# Point clouds, and the images that they are drawn from.
_CLOUDS = {"spatial_digits": "digits", "spatial_mnist": _MNIST}


def table_names() -> list[str]:
    """Names of the real data sets: all come with the installation, but for MNIST.

    >>> table_names()[:6]
    ['breast_cancer', 'diabetes', 'digits', 'iris', 'linnerud', 'mnist']
    """
    return sorted([*_TARGETS, _MNIST, *_CLOUDS])


def read_named(name: str, data_dir: str | Path | None = None) -> Raw:
    """A data set by name, in its natural units; ``data_dir`` is where MNIST is (:mod:`surflow.data.readers.idx`)."""
    if name in _CLOUDS:
        raw = read_named(_CLOUDS[name], data_dir)
        assert raw.events is not None  # they are images
        raw.name, raw.origin, raw.support = name, f"clouds of {POINTS} points drawn from {raw.origin}", None
        raw.pixels = raw.events.shape[-1]
        raw.events = clouds(raw.events[:, 0])
        return raw
    if name == _MNIST:
        images, labels = mnist(data_dir)
        digit = Field(codes=labels.astype(np.int64), categories=[str(i) for i in range(10)])
        fields, events = {"digit": digit}, images[:, None]
        return Raw(name, "MNIST", fields, events=events, targets=("digit",), support=Integers(256), ends=_MNIST_ENDS)
    from sklearn import datasets

    if name not in _TARGETS:
        raise ConfigError(unknown_name("data set", name, table_names()))
    if data_dir is not None:
        raise ConfigError(f"data_dir is for MNIST, {name!r} comes with the installation: leave it out")
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
        return Raw(name, origin, dict(targets), events=events, targets=tuple(targets), support=Integers(17))
    data = np.asarray(bunch.data, dtype=np.float64)
    fields = {str(c): Field(numbers=data[:, i]) for i, c in enumerate(bunch.feature_names)}
    return Raw(name, origin, {**fields, **targets}, targets=tuple(targets))
