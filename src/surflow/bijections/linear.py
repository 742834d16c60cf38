"""Linear layers: orthonormal, fixed, LU across the first event axis (over images, 1x1 convolutions); conditional."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape, as_axes, as_raw, width_of
from surflow.errors import ConfigError, ShapeError
from surflow.nets.mlp import smooth_perceptron
from surflow.transform import Transform


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply the first event axis by a matrix, at every position alike."""
    if x.ndim == 2:
        return x @ matrix.T
    return (matrix @ x.flatten(2)).reshape(x.shape)


def _single(x: Tensor) -> torch.dtype:
    """Single precision, at least: torch solves no equations in half of it."""
    return torch.promote_types(x.dtype, torch.float32)


def _solved(matrix: Tensor, z: Tensor, *, upper: bool, unitriangular: bool = False) -> Tensor:
    """x of (matrix) x = z for a triangular matrix."""
    kind = _single(z)
    x = torch.linalg.solve_triangular(matrix.to(kind), z.to(kind), upper=upper, unitriangular=unitriangular)
    return x.to(z.dtype)


def random_orthonormal(size: int) -> Tensor:
    """A matrix drawn uniformly from the orthogonal group (Haar)."""
    q, r = torch.linalg.qr(torch.randn(size, size))
    return (q * r.diagonal().sign()).contiguous()  # as files are read: products round alike before and after


class Orthogonal(Transform):
    r"""z = O x across the first event axis, with O drawn at random when built; V = 0.

    Args:
        event_shape: event shape; (channels, height, width) gives an orthonormal 1x1 convolution.
        learned: multiply the random O by a learned rotation, the Cayley transform (I - A)^-1 (I + A) of a skew
            matrix A that starts at zero.

    >>> import torch, surflow as sf
    >>> x = torch.randn(5, 3)
    >>> z, V = sf.Orthogonal(3)(x)
    >>> torch.allclose(z.norm(dim=1), x.norm(dim=1)), V.abs().sum().item()
    (True, 0.0)
    """

    matrix: Tensor

    def __init__(self, event_shape: int | Shape, *, learned: bool = False) -> None:
        super().__init__(as_axes(self, event_shape))
        size = self.in_shape[0]
        self.register_buffer("matrix", random_orthonormal(size))
        self.skew = nn.Parameter(torch.zeros(size, size)) if learned else None

    def _apply(self, fn: Callable, recurse: bool = True) -> Orthogonal:  # noqa: FBT001, FBT002 -- torch's
        before = self.matrix.dtype
        super()._apply(fn, recurse)
        if self.matrix.dtype != before:
            # What is orthonormal to single precision is not to double: V = 0 would be off by 1e-7.
            for _ in range(2):
                self.matrix = 1.5 * self.matrix - 0.5 * self.matrix @ self.matrix.T @ self.matrix
        return self

    def _matrix(self) -> Tensor:
        if self.skew is None:
            return self.matrix
        a = self.skew.triu(1)
        a = a - a.T
        a = a.to(_single(a))
        eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
        return (torch.linalg.solve(eye - a, eye + a) @ self.matrix.to(a.dtype)).to(self.matrix.dtype)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return _mix(self._matrix(), x), x.new_zeros(x.shape[0])

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return _mix(self._matrix().T, z), z.new_zeros(z.shape[0])


class Linear(Transform):
    r"""z = W x across the first event axis with a fixed invertible matrix, such as sums and differences.

    .. math:: V = n_{\text{positions}} \log |\det W|

    Args:
        event_shape: event shape.
        matrix: rows of W, as many as the first axis has entries.

    Raises:
        ShapeError: unless W is square and of that size.
        ConfigError: if it cannot be inverted.

    >>> import torch, surflow as sf
    >>> z, V = sf.Linear(2, matrix=[[1, 1], [1, -1]])(torch.tensor([[3.0, 1.0]]))
    >>> z, round(V.item(), 4)
    (tensor([[4., 2.]]), 0.6931)
    """

    matrix: Tensor

    def __init__(self, event_shape: int | Shape, *, matrix: Sequence[Sequence[float]]) -> None:
        super().__init__(as_axes(self, event_shape))
        size = self.in_shape[0]
        # As single precision has it: the determinant is of the matrix that is used, in whatever precision.
        w = torch.as_tensor(matrix, dtype=torch.float32)
        if tuple(w.shape) != (size, size):
            raise ShapeError(f"Linear({self.in_shape}) expects a matrix of {size} x {size}, got shape {tuple(w.shape)}")
        log_det = float(torch.linalg.slogdet(w.double())[1])
        if not math.isfinite(log_det):
            raise ConfigError(f"Linear expects a matrix that can be inverted, got {w.tolist()}")
        self.log_det = math.prod(self.in_shape[1:]) * log_det
        self.register_buffer("matrix", w, persistent=False)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return _mix(self.matrix, x), x.new_full((x.shape[0],), self.log_det)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        inverted = torch.linalg.inv(self.matrix.to(_single(self.matrix)))
        return _mix(inverted.to(z.dtype), z), z.new_full((z.shape[0],), self.log_det)


class LULinear(Transform):
    r"""z = P L U x + b across the first event axis, starting as a random rotation.

    P is a fixed permutation, L unit lower triangular, U upper triangular with a diagonal of fixed signs and
    learned logarithms. Over (channels, height, width) it is the invertible 1x1 convolution of Glow.

    .. math:: V = n_{\text{positions}} \sum_i \log |U_{ii}|

    Args:
        event_shape: shape of one event, of n entries on the first axis; the matrix is n x n.

    Source: Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", arXiv 1807.03039.

    >>> import torch, surflow as sf
    >>> layer = sf.LULinear((3, 4, 4))
    >>> x = torch.randn(5, 3, 4, 4)
    >>> torch.allclose(layer.inverse(layer(x)[0])[0], x, atol=1e-5)
    True
    """

    order: Tensor
    signs: Tensor

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(as_axes(self, event_shape))
        size = self.in_shape[0]
        self.positions = math.prod(self.in_shape[1:])
        permutation, lower, upper = torch.linalg.lu(random_orthonormal(size))
        diagonal = upper.diagonal()
        self.register_buffer("order", permutation.argmax(1))
        self.register_buffer("signs", diagonal.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.bias = nn.Parameter(torch.zeros(size))

    def _factors(self) -> tuple[Tensor, Tensor]:
        lower = self.lower.tril(-1) + torch.eye(len(self.lower), dtype=self.lower.dtype, device=self.lower.device)
        upper = self.upper.triu(1) + torch.diag(self.signs * self.log_diagonal.exp())
        return lower, upper

    def _contribution(self, x: Tensor) -> Tensor:
        return (self.positions * self.log_diagonal.sum()).expand(x.shape[0])

    def _bias(self) -> Tensor:
        return self.bias.reshape(-1, *[1] * (len(self.in_shape) - 1))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        return _mix((lower @ upper)[self.order], x) + self._bias(), self._contribution(x)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        lower, upper = self._factors()
        size = self.in_shape[0]
        columns = (z - self._bias()).transpose(0, 1)[self.order.argsort()].reshape(size, -1)
        half = _solved(lower, columns, upper=False, unitriangular=True)
        whole = _solved(upper, half, upper=True)
        return whole.reshape(size, z.shape[0], *self.in_shape[1:]).transpose(0, 1), self._contribution(z)


class ConditionalLinear(Transform):
    r"""Whitens what the context leaves open: a location, and a lower triangular matrix, both functions of the context.

    .. math:: z = L(c)\,(x - m(c)), \qquad V = \sum_i \log L_{ii}(c)

    With a normal base x given c is normal, with any mean and any covariance :math:`(L^T L)^{-1}`. Correlations are a
    matter of the context alone, so that the tight and tilted distributions of parameters given much data are learned
    from few examples. :math:`L_{ii} = e^{s_i}` with the log-scale limited, :math:`s_i = l \tanh(\mathrm{raw}_i / l)`.

    Args:
        event_shape: event shape; coordinates are taken in row-major order.
        context_shape: shape of the context.
        hidden: widths of the hidden layers of the default perceptron; none for a linear function of the context.
        limit: l, of the log-scale.
        net: instead of the perceptron, a network from the context, (batch, *context_shape), to (batch, D (D + 3) / 2)
            for D coordinates: m, the raw log-scales, and what is below the diagonal of L, row by row.

    Raises:
        ConfigError: if the limit is not positive and finite.
        ShapeError: at the first call, for a network of another output.

    >>> import torch, surflow as sf
    >>> layer = sf.ConditionalLinear(2, 3)
    >>> z, V = layer(torch.ones(1, 2), torch.zeros(1, 3))  # the identity, before training
    >>> z.tolist(), V.item()
    ([[1.0, 1.0]], 0.0)
    """

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape,
        *,
        hidden: Sequence[int] = (64, 64),
        limit: float = 6.0,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__(as_axes(self, event_shape), context_shape=context_shape)
        if not 0 < limit < math.inf:
            raise ConfigError(f"the limit of the log-scale must be positive and finite, got {limit}")
        self.size, self.limit = math.prod(self.in_shape), limit
        self.numbers = self.size * (self.size + 3) // 2
        self.net = self._default(hidden) if net is None else net

    def _default(self, hidden: Sequence[int]) -> nn.Module:
        perceptron = smooth_perceptron([width_of(self.context_shape), *hidden, self.numbers])
        for parameter in perceptron[-1].parameters():
            nn.init.zeros_(parameter)
        return nn.Sequential(nn.Flatten(), perceptron)

    def _location_and_matrix(self, rows: int, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """m, log of the diagonal of L, and L."""
        n = self.size
        m, raw, below = as_raw(self, self.net(context), rows, (self.numbers,)).split([n, n, n * (n - 1) // 2], 1)
        s = self.limit * (raw / self.limit).tanh()
        matrix = torch.diag_embed(s.exp())
        row, column = torch.tril_indices(n, n, -1, device=m.device)
        matrix[:, row, column] = below
        return m, s, matrix

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        m, s, matrix = self._location_and_matrix(x.shape[0], context)
        z = matrix @ (x.flatten(1) - m).unsqueeze(2)
        return z.reshape(x.shape), s.sum(1)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        m, s, matrix = self._location_and_matrix(z.shape[0], context)
        x = _solved(matrix, z.flatten(1).unsqueeze(2), upper=False).squeeze(2) + m
        return x.reshape(z.shape), s.sum(1)
