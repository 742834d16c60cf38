"""What evaluation asks of a data set, and of what is known about it: :class:`surflow.data.Splits` answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from surflow.supports import Support


class Part(Protocol):
    """Rows of data, and their raw contexts, where there are any."""

    @property
    def x(self) -> Tensor: ...
    @property
    def context(self) -> Tensor | None: ...


class Column(Protocol):
    """A column of the context, with its categories or None."""

    @property
    def categories(self) -> Sequence[str] | None: ...


class Encoding(Protocol):
    """What the columns of the context mean, and the network that makes numbers of them."""

    @property
    def columns(self) -> Sequence[Column]: ...
    def network(self) -> Callable[[Tensor], Tensor]: ...


class Truth(Protocol):
    """The distribution that the data are from, in nats; entropies with their standard errors."""

    @property
    def classes(self) -> int | None: ...
    def log_prob(self, x: Tensor) -> Tensor: ...
    def entropy(self) -> tuple[float, float]: ...
    def log_prob_labelled(self, x: Tensor, labels: Tensor) -> Tensor: ...
    def entropy_given_label(self) -> tuple[float, float]: ...


class Posterior(Protocol):
    """The exact posterior of one set of parameters for each observation."""

    def log_prob(self, theta: Tensor) -> Tensor: ...


class Simulator(Protocol):
    """What simulated the data, parameters as x and observations as the context."""

    @property
    def has_posterior(self) -> bool: ...
    def posterior(self, x: Tensor) -> Posterior: ...


class DataSet(Protocol):
    """Three parts, and what is known of them."""

    @property
    def name(self) -> str: ...
    @property
    def train(self) -> Part: ...
    @property
    def validation(self) -> Part: ...
    @property
    def test(self) -> Part: ...
    @property
    def support(self) -> Support: ...
    @property
    def column_support(self) -> Support: ...
    @property
    def context(self) -> Encoding | None: ...
    @property
    def truth(self) -> Truth | None: ...
    @property
    def simulator(self) -> Simulator | None: ...
    @property
    def schema(self) -> object | None: ...


class Add(Protocol):
    """Takes one figure down."""

    def __call__(self, metric: str, value: float, error: float | None = None, unit: str = "") -> None: ...
