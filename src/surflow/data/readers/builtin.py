"""Real data sets by name: those that come with scikit-learn, MNIST, and point clouds drawn from their digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from surflow.data.readers.idx import mnist
from surflow.data.readers.raw import Raw, frame_of
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
        raw.events, raw.sets = clouds(raw.events[:, 0]), True
        return raw
    if name == _MNIST:
        images, labels = mnist(data_dir)
        frame, events = frame_of({"digit": labels.astype(str).astype(object)}, name, "MNIST"), images[:, None]
        return Raw(name, "MNIST", frame, events=events, targets=("digit",), support=Integers(256), ends=_MNIST_ENDS)
    from sklearn import datasets

    if name not in _TARGETS:
        raise ConfigError(unknown_name("data set", name, table_names()))
    if data_dir is not None:
        raise ConfigError(f"data_dir is for MNIST, {name!r} comes with the installation: leave it out")
    # Diabetes would come rescaled.
    bunch = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    target = np.asarray(bunch.target)
    if target.ndim == 2:
        targets = {t: target[:, i].astype(np.float64) for i, t in enumerate(bunch.target_names)}
    elif "target_names" in bunch:
        targets = {_TARGETS[name]: np.asarray([str(c) for c in bunch.target_names], dtype=object)[target]}
    else:
        targets = {_TARGETS[name]: target.astype(np.float64)}
    origin = f"scikit-learn's load_{name}"
    if name == "digits":
        events = bunch.images[:, None].astype(np.float32)
        frame = frame_of(targets, name, origin)
        return Raw(name, origin, frame, events=events, targets=tuple(targets), support=Integers(17))
    data = np.asarray(bunch.data, dtype=np.float64)
    columns = {str(c): data[:, i] for i, c in enumerate(bunch.feature_names)}
    return Raw(name, origin, frame_of(columns | targets, name, origin), targets=tuple(targets))
