"""Multilayer perceptrons between event shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from surflow.configurable import Configurable
from surflow.distribution import Shape, as_shape


@torch.no_grad()
def initialize_relu(hidden: Sequence[nn.Linear]) -> None:
    """Start the linear layers before ReLUs: signals keep their size through all of them.

    PyTorch's own default shrinks them by 0.4 a layer, and puts all kinks of a function of one number close together;
    here those of the first layer lie all over standardised inputs.

    Source: He et al., "Delving Deep into Rectifiers", arXiv 1502.01852, for the weights; the kinks are our own.
    """
    for i, layer in enumerate(hidden):
        mask = layer.get_buffer("mask") if hasattr(layer, "mask") else torch.ones_like(layer.weight)
        seen = mask.sum(1, keepdim=True).clamp(min=1)
        layer.weight.normal_().mul_((2 / seen).sqrt())
        if i == 0:
            layer.bias.uniform_(-2, 2)
        else:
            layer.bias.zero_()


class MLP(Configurable, nn.Module):
    """A perceptron with ReLU between an input and an output of any event shape.

    Args:
        in_shape, out_shape: event shapes; events are flattened on the way in and shaped on the way out.
        hidden: widths of the hidden layers.
        zero_init: start the last layer at zero, so that the output starts constant.

    >>> import torch
    >>> MLP((2, 3), 4, hidden=(8,), zero_init=True)(torch.ones(5, 2, 3)).abs().sum().item()
    0.0
    """

    def __init__(
        self,
        in_shape: int | Shape,
        out_shape: int | Shape,
        hidden: Sequence[int] = (64, 64),
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = as_shape(in_shape), as_shape(out_shape)
        widths = [math.prod(self.in_shape), *hidden]
        hidden_layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        last = nn.Linear(widths[-1], math.prod(self.out_shape))
        self.layers = nn.Sequential(*(module for layer in hidden_layers for module in (layer, nn.ReLU())), last)
        initialize_relu(hidden_layers)
        if zero_init:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, *in_shape) to (batch, *out_shape)."""
        flat = x if x.ndim == 2 else x.reshape(x.shape[0], math.prod(self.in_shape))
        out = self.layers(flat)
        return out if len(self.out_shape) == 1 else out.reshape(-1, *self.out_shape)
