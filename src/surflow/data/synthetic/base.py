"""Synthetic: two-dimensional sets with exact densities and labels, and the two modifiers skew and offset."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow._internal.shapes import Shape, as_shape
from surflow.distribution import Distribution
from surflow.errors import BoundError, ConfigError, ShapeError

LOG_2PI = math.log(2 * math.pi)

# Rows times quadrature nodes that a density holds in memory at once.
_CHUNK_ELEMENTS = 2**16


class Synthetic(Distribution):
    r"""A distribution in the plane with labels: fresh draws at every call, and its exact density.

    A subclass implements ``_points(n)``, points with the labels that made them, and ``_log_joint(x)``, the
    column :math:`\log p(x, c)` for every label c; everything public is built on the two.

    .. math:: \log p(x) = \log \sum_c p(x, c), \qquad \log p(x \mid c) = \log p(x, c) - \log p(c)

    Attributes:
        name: what it is called.
        classes: number of labels, or None for a set without labels.
        has_density: False for a distribution on a curve, whose entropy is minus infinity.
        priors: probability of every label, shape (classes,).
    """

    priors: Tensor

    def __init__(self, name: str, priors: Sequence[float] | None = None) -> None:
        super().__init__(2)
        self.name = name
        self.classes = None if priors is None else len(priors)
        self.has_density = True
        # Buffers carry the dtype and the device of the draws: float32 until .to() or .double() says otherwise.
        self._constant("priors", [1.0] if priors is None else priors)

    def _constant(self, name: str, values: Sequence[float] | Sequence[Sequence[float]] | Tensor) -> None:
        self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32), persistent=False)

    # -- what a subclass implements ---------------------------------------------------------------

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        """Points (n, 2) and labels (n,)."""
        raise NotImplementedError

    def _log_joint(self, x: Tensor) -> Tensor:
        """log p(x, c) for the rows of x, shape (n, classes); one column for a set without labels."""
        raise NotImplementedError

    def _exact_entropy(self) -> float | None:
        """The entropy in closed form, where there is one."""
        return None

    def _exact_entropy_given_label(self) -> float | None:
        """The entropy given the label in closed form, where there is one."""
        return None

    _nodes = 1  # quadrature nodes a row: what bounds the rows evaluated at once

    # -- scoring ------------------------------------------------------------------------------------

    def _joint(self, x: Tensor) -> Tensor:
        if not self.has_density:
            raise BoundError(
                f"{self.name} lies on a curve and has no density in the plane: draw from it, "
                "or give it noise (surflow.data.noisy_circle)"
            )
        if not x.is_floating_point():
            x = x.to(torch.get_default_dtype())
        rows = max(1, _CHUNK_ELEMENTS // self._nodes)
        return torch.cat([self._log_joint(part) for part in x.split(rows)])

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        joint = self._joint(x)
        return joint[:, 0] if joint.shape[1] == 1 else joint.logsumexp(1)

    def log_prob_labelled(self, x: Tensor, labels: Tensor) -> Tensor:
        """log p(x | label) in nats for rows x, shape (n, 2), and labels, shape (n,); shape (n,).

        Raises:
            ConfigError: if the set has no labels.
            ShapeError: if there is not one label for each row.

        >>> from surflow.data import checkerboard
        >>> x, labels = checkerboard.sample_labelled(5, seed=0)
        >>> checkerboard.log_prob_labelled(x, labels)
        tensor([0., 0., 0., 0., 0.])
        """
        self._need_labels()
        x, _, _ = self._rows(x, None)
        if tuple(labels.shape) != (x.shape[0],):
            raise ShapeError(f"{self.name} expects labels of shape ({x.shape[0]},), got {tuple(labels.shape)}")
        joint = self._joint(x)
        labels = labels.long()
        return joint.gather(1, labels[:, None])[:, 0] - self.priors.to(joint).log()[labels]

    def _need_labels(self) -> int:
        if self.classes is None:
            raise ConfigError(f"the set {self.name} has no labels: use it without a context")
        return self.classes

    # -- drawing ------------------------------------------------------------------------------------

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, _ = self._points(n)
        return x, self._log_prob(x, None)

    @torch.no_grad()
    def sample(self, shape: int | Shape = (), context: Tensor | None = None, *, seed: int | None = None) -> Tensor:
        """Points of shape ``shape + (2,)``; the same seed gives the same points. Their density is not computed."""
        shape = as_shape(shape)
        return self.sample_labelled(math.prod(shape), seed=seed)[0].reshape(*shape, 2)

    @torch.no_grad()
    def sample_labelled(self, n: int, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """Points (n, 2) and the labels (n,), int64, that made them (zeros for a set without labels)."""
        with seeded(seed):
            return self._points(n)

    def _pick(self, n: int) -> Tensor:
        """n labels from the priors."""
        if n == 0:  # multinomial does not draw nothing
            return torch.zeros(0, dtype=torch.long, device=self.priors.device)
        return torch.multinomial(self.priors, n, replacement=True)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, dtype=self.priors.dtype, device=self.priors.device)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=self.priors.dtype, device=self.priors.device)

    # -- entropies ----------------------------------------------------------------------------------

    @torch.no_grad()
    def entropy(self, samples: int = 100_000, seed: int = 0) -> tuple[float, float]:
        """Differential entropy in nats and its standard error: closed form (error 0) or Monte Carlo.

        >>> from surflow.data import checkerboard
        >>> checkerboard.entropy() == (math.log(8), 0.0)
        True
        """
        if not self.has_density:
            return -math.inf, 0.0
        exact = self._exact_entropy()
        if exact is not None:
            return exact, 0.0
        x, _ = self.sample_labelled(samples, seed=seed)
        return _mean_and_error(-self.log_prob(x))

    @torch.no_grad()
    def entropy_given_label(self, samples: int = 100_000, seed: int = 0) -> tuple[float, float]:
        """Entropy of x given the label, E[-log p(x | label)], in nats, and its standard error.

        Raises:
            ConfigError: if the set has no labels.

        >>> from surflow.data import checkerboard
        >>> checkerboard.entropy_given_label()
        (0.0, 0.0)
        """
        self._need_labels()
        exact = self._exact_entropy_given_label()
        if exact is not None:
            return exact, 0.0
        x, labels = self.sample_labelled(samples, seed=seed)
        return _mean_and_error(-self.log_prob_labelled(x, labels))

    def extra_repr(self) -> str:
        return f"{self.name!r}, classes={self.classes}"


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    return values.mean().item(), values.std().item() / math.sqrt(values.numel())


class _Wrapped(Synthetic):
    """A set made from another one, with its labels."""

    def __init__(self, data: Synthetic, name: str) -> None:
        super().__init__(name, None if data.classes is None else data.priors.tolist())
        self.data = data
        self.has_density = data.has_density

    @property
    def _nodes(self) -> int:  # type: ignore[override]
        return self.data._nodes


class SkewedData(_Wrapped):
    r"""With probability q a point's coordinate ``axis`` is replaced by its absolute value; made by :func:`skew`.

    .. math:: p'(x, c) = p(x, c) + q\, p(\bar x, c) \ (x_a \ge 0), \qquad (1 - q)\, p(x, c) \ (x_a < 0)

    for :math:`\bar x`, the mirror image of x in the axis.
    """

    def __init__(self, data: Synthetic, axis: int, q: float) -> None:
        if axis not in (0, 1):
            raise ConfigError(f"skew expects axis 0 or 1, got {axis}")
        if not 0 <= q <= 1:
            raise ConfigError(f"skew expects a probability q between 0 and 1, got {q}")
        super().__init__(data, f"skew({data.name}, axis={axis}, q={q:g})")
        self.axis, self.q = axis, q
        self._constant("mirror", [-1.0 if i == axis else 1.0 for i in range(2)])

    mirror: Tensor

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        x, labels = self.data._points(n)
        flip = (x[:, self.axis] < 0) & (self._uniform(n) < self.q)
        return x.where(~flip[:, None], x * self.mirror), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        here, there = self.data._log_joint(x), self.data._log_joint(x * self.mirror.to(x))
        folded = torch.logaddexp(here, there + _log(self.q))
        return folded.where((x[:, self.axis] >= 0)[:, None], here + _log(1 - self.q))


def _log(q: float) -> float:
    return math.log(q) if q > 0 else -math.inf


class OffsetData(_Wrapped):
    """Every point moved by a vector; made by :func:`offset`."""

    def __init__(self, data: Synthetic, v: Sequence[float]) -> None:
        v = [float(value) for value in v]
        if len(v) != 2:
            raise ShapeError(f"offset expects a vector of 2 numbers, got {len(v)}")
        super().__init__(data, f"offset({data.name}, ({v[0]:g}, {v[1]:g}))")
        self._constant("v", v)

    v: Tensor

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        x, labels = self.data._points(n)
        return x + self.v, labels

    def _log_joint(self, x: Tensor) -> Tensor:
        return self.data._log_joint(x - self.v.to(x))

    # A translation leaves the entropy as it is; the values that are not closed are estimated as before.
    def _exact_entropy(self) -> float | None:
        return self.data._exact_entropy()

    def _exact_entropy_given_label(self) -> float | None:
        return self.data._exact_entropy_given_label()


def skew(data: Synthetic, axis: int, q: float) -> Synthetic:
    """``data`` with x[axis] replaced by abs(x[axis]), for each point with probability q; labels stay with their points.

    Args:
        data: the set that is folded.
        axis: 0 or 1.
        q: probability from 0 to 1.

    Raises:
        ConfigError: if axis is not 0 or 1, or q no probability.

    >>> from surflow.data import moons
    >>> skew(moons, axis=0, q=1.0).sample(1000, seed=0)[:, 0].min() >= 0
    tensor(True)
    """
    return SkewedData(data, axis, q)


def offset(data: Synthetic, v: Sequence[float]) -> Synthetic:
    """``data`` moved by the vector ``v``.

    Args:
        data: the set that is moved.
        v: the vector, two numbers.

    Raises:
        ShapeError: if v is not two numbers.

    >>> from surflow.data import checkerboard
    >>> offset(checkerboard, (1.0, 2.0)).log_prob(torch.tensor([[1.5, 2.5]])).exp().item()
    0.125
    """
    return OffsetData(data, v)
