"""A perceptron whose outputs see only the inputs of earlier groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow._internal.shapes import Shape, flat
from surflow.errors import ConfigError
from surflow.nets.autoregressive import AutoregressiveNet
from surflow.nets.mlp import initialize_relu, linear_layers, perceptron


class _MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are zero. Its units are in the order of their degrees."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def masked(self) -> Tensor:
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.masked(), self.bias)


class MaskedMLP(AutoregressiveNet):
    """Parameters of coordinate i from the coordinates of groups before i's, and from all of the context.

    Args:
        groups: the group of each input coordinate, from 0 on.
        n_parameters: outputs per coordinate; the output has shape (batch, n_parameters, coordinates).
        context_shape: shape of the context, or None.
        hidden: widths of the hidden layers.
        batch_last: lay the output out in memory with the batch last, which splines compute faster with.

    Source: Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", arXiv 1502.03509.

    >>> net = MaskedMLP([0, 1, 1], n_parameters=2)
    >>> net(torch.zeros(4, 3)).shape
    torch.Size([4, 2, 3])
    """

    def __init__(
        self,
        groups: Sequence[int],
        n_parameters: int,
        context_shape: int | Shape | None = None,
        hidden: Sequence[int] = (64, 64),
        *,
        batch_last: bool = False,
    ) -> None:
        super().__init__(groups, n_parameters, context_shape)
        inputs = torch.tensor(list(groups))
        # A hidden unit of degree m sees the groups up to m; degree -1 sees the context alone.
        first = -1 if self.context_width else 0
        degrees = torch.arange(first, max(int(inputs.max()), first + 1))
        # The context is an input that everything may see.
        seen = torch.cat([inputs, torch.full((self.context_width,), -1)])
        layers: list[nn.Linear] = []
        # How many coordinates, and units of each hidden layer, groups below g decide: known[layer][g].
        steps = torch.arange(int(inputs.max()) + 2).unsqueeze(1)
        self.known = [(inputs < steps).sum(1).tolist()]
        for width in hidden:
            unit = degrees.repeat(-(-width // len(degrees)))[:width].sort().values
            self.known.append((unit < steps).sum(1).tolist())
            layers.append(_MaskedLinear(unit[:, None] >= seen))
            seen = unit
        initialize_relu(layers)
        last = _MaskedLinear(inputs.repeat(n_parameters)[:, None] > seen)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*(module for layer in layers for module in (layer, nn.ReLU())), last)
        self.batch_last = batch_last

    def _weights_and_biases(self) -> tuple[list[Tensor], list[Tensor]]:
        linear = linear_layers(self.layers, _MaskedLinear)
        if linear is None:
            raise ConfigError(
                "MaskedMLP runs its layers in two orders and expects them as they were built, masked linear layers "
                "with ReLU between and no hooks: put another network into a layer of your own"
            )
        return [cast(_MaskedLinear, layer).masked() for layer in linear], [layer.bias for layer in linear]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(batch, coordinates) and (batch, *context_shape) to (batch, n_parameters, coordinates)."""
        inputs = x if context is None else torch.cat([x, flat(context)], 1)
        weights, biases = self._weights_and_biases()
        return perceptron(inputs, weights, biases, batch_last=self.batch_last).view(-1, *self.raw_shape)

    def generate(self, find: Callable[[slice, Tensor], Tensor], like: Tensor, context: Tensor | None = None) -> Tensor:
        """As of every :class:`AutoregressiveNet`; a unit is computed once, when all that it sees is known: together one
        pass of the network, not one a group."""
        weights, rows = self._weights_and_biases()
        biases = [bias.unsqueeze(1) for bias in rows]
        n_parameters, size = self.raw_shape
        if context is not None:
            biases[0] = torch.addmm(biases[0], weights[0][:, size:], flat(context).T)
        # Parameters of one coordinate side by side.
        weights[-1] = weights[-1].unflatten(0, self.raw_shape).transpose(0, 1).flatten(0, 1)
        biases[-1] = biases[-1].unflatten(0, self.raw_shape).transpose(0, 1).flatten(0, 1)
        # What is known of every layer, (units, batch): products of a few units with the batch last are the faster ones.
        done = [like.T[:0] for _ in self.known]
        for g in range(len(self.known[0]) - 1):
            for i in range(1, len(done)):
                new = slice(len(done[i]), self.known[i][g])
                if new.start < new.stop:
                    units = _rows(weights[i - 1], biases[i - 1], new, done[i - 1]).relu()
                    done[i] = torch.cat([done[i], units])
            group = slice(self.known[0][g], self.known[0][g + 1])
            last = slice(n_parameters * group.start, n_parameters * group.stop)
            raw = _rows(weights[-1], biases[-1], last, done[-1]).unflatten(0, (-1, n_parameters))
            done[0] = torch.cat([done[0], find(group, raw.permute(2, 1, 0)).T])
        return done[0].T


def _rows(weight: Tensor, bias: Tensor, rows: slice, x: Tensor) -> Tensor:
    """Some outputs of a linear layer, (rows, batch), from the first of its inputs, (inputs, batch)."""
    return torch.addmm(bias[rows], weight[rows, : len(x)], x)
