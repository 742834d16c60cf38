"""Standardizer: what Standardize, ActNorm and Summary have in common, a shift and a scale taken from the data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from surflow._internal.number_types import KeepsTypes
from surflow._internal.numbers import not_finite, spread
from surflow._internal.shapes import Shape, flat, sum_event
from surflow.errors import DataError

# From so many robust deviations on, coordinates of a robust scale are compressed.
TAIL = 4.0
# By so many scales, or so much of a scale's logarithm, do other data differ that are not other rows of the same.
_OTHER = 0.2
# What is trained on without fitting should be of unit size, to such a factor.
_FAR = 10.0
_LEAST = torch.finfo(torch.float64).tiny


class Standardizer(KeepsTypes):
    r"""u = (x - m) / s in double precision, handed on in the type of the networks around it.

    Where the standard deviation is made by few values, m and s are those of clipped values
    (:func:`surflow._internal.numbers.spread`), and what lies more than t = 4 of these away is compressed to
    sign(u) t (1 + log(abs(u) / t)): else one outlier would be all that a loss and its gradients see.

    Args:
        shape: of shift and scale; events are this shape, or broadcast with it.
        center: subtract m.
    """

    kept: ClassVar[tuple[str, ...]] = ("shift", "log_scale", "x_like")

    shift: Tensor
    log_scale: Tensor
    robust: Tensor
    fitted: Tensor
    x_like: Tensor
    z_like: Tensor

    def __init__(self, shape: Shape, *, center: bool = True) -> None:
        super().__init__()
        self.center = center
        self.register_buffer("shift", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("log_scale", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("robust", torch.zeros(shape, dtype=torch.bool))
        self.register_buffer("fitted", torch.tensor(False))
        # Empty, for their types: that of the data, which draws are to have, and that of the networks.
        self.register_buffer("x_like", torch.empty(0))
        self.register_buffer("z_like", torch.empty(0), persistent=False)
        self.tails = False  # whether any coordinate is robust, without a wait for the device
        self.saw_others = False  # whether it was shown other data than those that it was fitted to
        self.looked = True  # False in a flow, which may be trained, until it looked if the data need fitting

    @torch.no_grad()
    def fit(self, x: Tensor, weight: Tensor | None, owner: str) -> None:
        """Take m and s from finite rows, (n, numbers), once; rows of weight zero are none.

        Raises:
            DataError: for NaN or infinite values.
        """
        if weight is not None:
            x, weight = x[weight > 0], weight[weight > 0]
        if not len(x):
            return
        bad = not_finite(x)
        if bad.any():
            if self.fitted:
                self.saw_others = True
                return
            raise DataError(
                f"{owner} is fitted to finite data, got NaN or infinite values in {int(bad.sum())} of {len(x)} rows, "
                f"the first row {int(bad.nonzero()[0])}"
            )
        found = spread(flat(x), weight, center=self.center)
        shift = found.location.reshape(self.shift.shape)
        # A constant coordinate, or a single row, tells nothing about a scale.
        log_scale = torch.where(found.scale > 0, found.scale.clamp(min=_LEAST).log(), 0.0).reshape(self.shift.shape)
        if self.fitted:
            off = (shift - self.shift).abs() * (-self.log_scale).exp()
            self.saw_others = bool(((off > _OTHER) | ((log_scale - self.log_scale).abs() > _OTHER)).any())
            return
        self.shift.copy_(shift)
        self.log_scale.copy_(log_scale)
        self.robust.copy_(found.robust.reshape(self.shift.shape))
        self.tails = bool(found.robust.any())
        self.x_like = self.x_like.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
        self.fitted.fill_(True)
        self.looked = True

    def exactly(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """u, and V, its log-slope summed over the event, (batch,); in double precision."""
        u = (x - self.shift) * (-self.log_scale).exp()
        V = self._contribution(u)
        if not self.tails:
            return u, V
        stretch = (u.abs().clamp(min=TAIL) / TAIL).log()
        compressed = u.clamp(-TAIL, TAIL) + TAIL * u.sign() * stretch
        return torch.where(self.robust, compressed, u), V - sum_event(torch.where(self.robust, stretch, 0.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same in the type of the networks."""
        if self.training and not self.looked and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            self._look(x)
        u, V = self.exactly(x)
        return u.to(self.z_like.dtype), V.to(self.z_like.dtype)

    def invert(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x, in double precision if the layer was fitted to doubles, and the V of ``forward``."""
        u, V = z, self._contribution(z)
        if self.tails:
            stretch = z.abs().clamp(min=TAIL) / TAIL - 1
            u = torch.where(self.robust, z.clamp(-TAIL, TAIL) + TAIL * z.sign() * stretch.double().expm1(), z)
            V = V - sum_event(torch.where(self.robust, stretch, 0.0))
        x = self.shift + u * self.log_scale.exp()
        kind = self.z_like.dtype
        return x.to(torch.float64 if self.x_like.dtype == torch.float64 else kind), V.to(kind)

    @torch.no_grad()
    def _look(self, x: Tensor) -> None:
        """Warn, once, who trains on data of another size without fitting this to them."""
        self.looked = True
        if self.fitted or len(x) < 2:
            return
        found = spread(flat(x))
        far = (found.location.abs() > _FAR) | (found.scale > _FAR) | ((found.scale > 0) & (found.scale < 1 / _FAR))
        if far.any():
            warnings.warn(
                "training begins on data that are far from unit size, and the layer that standardises was not fitted "
                "to them: call flow.initialize(x, context) with training data before the first step, as surflow.fit "
                "does",
                UserWarning,
                stacklevel=3,
            )

    def _contribution(self, x: Tensor) -> Tensor:
        positions = x.shape[1:].numel() // max(1, self.log_scale.numel())
        return (-positions * self.log_scale.sum()).expand(x.shape[0])

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *rest: object) -> None:
        if prefix + "x_like" in state_dict:  # which copying would leave as it is
            self.x_like = self.x_like.to(state_dict[prefix + "x_like"].dtype)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.tails, self.looked = bool(self.robust.any()), self.looked or bool(self.fitted)
