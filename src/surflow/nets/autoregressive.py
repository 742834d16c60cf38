"""AutoregressiveNet: what a network promises that gives every coordinate parameters from those before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, groupby

import torch
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow._internal.number_types import number_type, type_for
from surflow._internal.shapes import Shape, as_shape, width_of
from surflow.errors import ConfigError, ShapeError


class AutoregressiveNet(Configurable, nn.Module):
    r"""A network of coordinates, (batch, coordinates), and a context to (batch, n_parameters, coordinates).

    .. math:: \text{parameters}_i = \text{a function of } x_j \text{ for } g_j < g_i \text{, and of } c

    A subclass writes ``forward(x, context)``, and its constructor calls this one. That no coordinate's parameters
    depend on coordinates of its own or a later group is its promise: where it is broken, densities are wrong and no
    inverse exists. ``generate``, which computes the whole network once a group, may be overridden by a faster way.

    Args:
        groups: the group of every coordinate, in ascending order from 0 on.
        n_parameters: outputs per coordinate.
        context_shape: shape of the context, or None.

    Raises:
        ConfigError: for groups that are not in ascending order from 0 on.

    >>> class First(AutoregressiveNet):  # the shift of all other coordinates is the first one
    ...     def __init__(self, size):
    ...         super().__init__([0] + [1] * (size - 1), n_parameters=1)
    ...     def forward(self, x, context=None):
    ...         return torch.cat([torch.zeros_like(x[:, :1]), x[:, :1].expand(-1, x.shape[1] - 1)], 1).unsqueeze(1)
    >>> z = torch.ones(1, 3)
    >>> First(3).generate(lambda group, raw: z[:, group] + raw[:, 0], like=z)
    tensor([[1., 2., 2.]])
    """

    def __init__(self, groups: Sequence[int], n_parameters: int, context_shape: int | Shape | None = None) -> None:
        super().__init__()
        groups = list(groups)
        if not groups or groups[0] < 0 or groups != sorted(groups):
            raise ConfigError(
                f"{type(self).__name__} expects the groups of coordinates in ascending order from 0, got {groups}"
            )
        self.context_shape = None if context_shape is None else as_shape(context_shape)
        self.context_width = width_of(self.context_shape)
        self.raw_shape = (n_parameters, len(groups))
        ends = [0]
        for _, members in groupby(groups):
            ends.append(ends[-1] + len(list(members)))
        self.ends = ends  # of the groups, after a zero

    def raw(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """What the network puts out, (batch, n_parameters, coordinates).

        Raises:
            ShapeError: if that has another shape than the network promised, which maps and mixtures of a variable
                number of parameters would take for others.
        """
        raw = self(x, context)
        if tuple(raw.shape[1:]) != self.raw_shape or raw.shape[0] != x.shape[0]:
            name, expected = type(self).__name__, ", ".join(map(str, (x.shape[0], *self.raw_shape)))
            raise ShapeError(f"{name} was built to put out shape ({expected}), got {tuple(raw.shape)}")
        return raw

    def generate(self, find: Callable[[slice, Tensor], Tensor], like: Tensor, context: Tensor | None = None) -> Tensor:
        """The fixed point x, its groups found one after the other, each from the parameters that those before give.

        Args:
            find: from a group's position among the coordinates and its parameters, (batch, n_parameters, size of the
                group), to its coordinates.
            like: a tensor of x's shape, (batch, coordinates), and type.
            context: (batch, *context_shape), or None.
        """
        x = torch.zeros_like(like)
        for start, end in zip(self.ends[:-1], self.ends[1:], strict=True):
            group = slice(start, end)
            x = torch.cat([x[:, :start], find(group, self.raw(x, context)[:, :, group]), x[:, end:]], 1)
        return x

    def room(self, batch: int, largest: int) -> Tensor:
        """A tensor, (batch, coordinates), for integers up to ``largest``, in the network's type if that holds them."""
        home = next(chain(self.parameters(), self.buffers()), torch.empty(0))
        return home.new_empty(batch, self.raw_shape[1], dtype=type_for(number_type(self), largest))


def checked(
    owner: object, net: nn.Module, n_parameters: int, size: int, context_shape: Shape | None
) -> AutoregressiveNet:
    """A ready-made network for an autoregressive layer or distribution, if it is one that fits.

    Raises:
        ConfigError: unless it is an :class:`AutoregressiveNet`.
        ShapeError: for another number of parameters, of coordinates, or of numbers in the context.
    """
    name = type(owner).__name__
    if not isinstance(net, AutoregressiveNet):
        raise ConfigError(
            f"{name} expects a net whose parameters of a coordinate depend on those before it alone, such as MaskedMLP "
            f"or CausalTransformer, got {type(net).__name__}: derive it from surflow.AutoregressiveNet"
        )
    if net.raw_shape != (n_parameters, size) or net.context_width != width_of(context_shape):
        raise ShapeError(
            f"{name} expects a net of {size} coordinates, {n_parameters} parameters of each and a context of "
            f"{width_of(context_shape)} numbers, got {type(net).__name__} of {net.raw_shape[1]} coordinates, "
            f"{net.raw_shape[0]} parameters and a context of {net.context_width} numbers"
        )
    return net
