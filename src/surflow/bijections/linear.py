"""Linear layers across the first event axis: orthonormal and LU; over images they are 1x1 convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from surflow.distribution import Shape
from surflow.transform import Transform


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply the first event axis by a matrix, at every position alike."""
    if x.ndim == 2:
        return x @ matrix.T
    return (matrix @ x.flatten(2)).reshape(x.shape)


def random_orthonormal(size: int) -> Tensor:
    """A matrix drawn uniformly from the orthogonal group (Haar)."""
    q, r = torch.linalg.qr(torch.randn(size, size))
    return q * r.diagonal().sign()


class Orthonormal(Transform):
    r"""z = O x across the first event axis, with O drawn at random when built; V = 0.

    Args:
        shape: event shape; (channels, height, width) gives an orthonormal 1x1 convolution.
        learned: multiply the random O by a learned rotation, the Cayley transform (I - A)^-1 (I + A) of a skew
            matrix A that starts at zero.

    >>> import torch, surflow as sf
    >>> x = torch.randn(5, 3)
    >>> z, V = sf.Orthonormal(3)(x)
    >>> torch.allclose(z.norm(dim=1), x.norm(dim=1)), V.abs().sum().item()
    (True, 0.0)
    """

    matrix: Tensor

    def __init__(self, shape: int | Shape, learned: bool = False) -> None:
        super().__init__(shape)
        size = self.in_shape[0]
        self.register_buffer("matrix", random_orthonormal(size))
        self.skew = nn.Parameter(torch.zeros(size, size)) if learned else None

    def _apply(self, fn: Callable, recurse: bool = True) -> Orthonormal:
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
        eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
        return torch.linalg.solve(eye - a, eye + a) @ self.matrix

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return _mix(self._matrix(), x), x.new_zeros(x.shape[0])

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return _mix(self._matrix().T, z), z.new_zeros(z.shape[0])


class LULinear(Transform):
    r"""z = P L U x + b across the first event axis, starting as a random rotation.

    P is a fixed permutation, L unit lower triangular, U upper triangular with a diagonal of fixed signs and
    learned logarithms. Over (channels, height, width) it is the invertible 1x1 convolution of Glow.

    .. math:: V = n_{\text{positions}} \sum_i \log |U_{ii}|

    Source: Kingma and Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", arXiv 1807.03039.

    >>> import torch, surflow as sf
    >>> layer = sf.LULinear((3, 4, 4))
    >>> x = torch.randn(5, 3, 4, 4)
    >>> torch.allclose(layer.inverse(layer(x)[0])[0], x, atol=1e-5)
    True
    """

    order: Tensor
    signs: Tensor

    def __init__(self, shape: int | Shape) -> None:
        super().__init__(shape)
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
        half = torch.linalg.solve_triangular(lower, columns, upper=False, unitriangular=True)
        whole = torch.linalg.solve_triangular(upper, half, upper=True)
        return whole.reshape(size, z.shape[0], *self.in_shape[1:]).transpose(0, 1), self._contribution(z)
