"""Multilayer perceptrons between event shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from surflow._internal.configurable import Configurable
from surflow._internal.kernels import differentiable, gradients_by_hand
from surflow._internal.shapes import Shape, as_shape


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


def linear_layers(layers: nn.Sequential, kind: type[nn.Linear] = nn.Linear) -> list[nn.Linear] | None:
    """The linear layers, if nothing but ReLU stands between them; None if a user has put in other parts, or hooks."""
    parts = list(layers)
    for i, part in enumerate(parts):
        if type(part) is not (nn.ReLU if i % 2 else kind) or part._forward_hooks or part._forward_pre_hooks:
            return None
        if part._backward_hooks or part._backward_pre_hooks or (i % 2 == 0 and part.bias is None):
            return None
    return parts[::2]  # type: ignore[return-value]


def perceptron(x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], *, batch_last: bool = False) -> Tensor:
    r"""Linear layers with ReLU between them: :math:`h_{i+1} = \max(0, h_i W_i^T + b_i)`, the last without.

    Args:
        x: (batch, inputs).
        weights, biases: of each layer, (outputs, inputs) and (outputs,).
        batch_last: lay the result, of shape (batch, outputs), out in memory with the batch last.
    """
    tensors = (*weights, *biases)
    if gradients_by_hand(x):
        return _Perceptron.apply(batch_last, x, *tensors)
    return _relu_layers(x, *tensors, batch_last=batch_last)


def _relu_layers(x: Tensor, *tensors: Tensor, batch_last: bool) -> Tensor:
    n = len(tensors) // 2
    for weight, bias in zip(tensors[: n - 1], tensors[n:-1], strict=True):
        # In place, where the linear layer's result is nobody else's.
        x = F.linear(x, weight, bias).relu_()
    weight, bias = tensors[n - 1], tensors[-1]
    return torch.addmm(bias.unsqueeze(1), weight, x.T).T if batch_last else F.linear(x, weight, bias)


class _Saved(FunctionCtx):
    """What the forward pass leaves to the backward pass."""

    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]
    layers: int
    batch_last: bool


class _Perceptron(torch.autograd.Function):
    """All layers as one node of the graph, which spares the engine some thirty."""

    @staticmethod
    def forward(ctx: _Saved, batch_last: bool, x: Tensor, *tensors: Tensor) -> Tensor:  # noqa: FBT001 -- torch's
        n = len(tensors) // 2
        hidden = [x]
        for weight, bias in zip(tensors[: n - 1], tensors[n:-1], strict=True):
            hidden.append(F.linear(hidden[-1], weight, bias).relu_())
        ctx.save_for_backward(*hidden, *tensors)
        ctx.layers, ctx.batch_last = n, batch_last
        h, weight, bias = hidden[-1], tensors[n - 1], tensors[-1]
        if not batch_last:
            return F.linear(h, weight, bias)
        # No transposed view, which nobody could change in place.
        out = torch.empty_strided((len(h), len(weight)), (1, max(len(h), 1)), dtype=h.dtype, device=h.device)
        torch.addmm(bias.unsqueeze(1), weight, h.T, out=out.T)
        return out

    @staticmethod
    def backward(ctx: _Saved, g: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        hidden, tensors = saved[: ctx.layers], saved[ctx.layers :]
        if torch.is_grad_enabled():
            formula = partial(_relu_layers, batch_last=ctx.batch_last)
            return (None, *differentiable(formula, (hidden[0], *tensors), (), (g,)))
        weights = tensors[: ctx.layers]
        g_weights, g_biases = [], []
        for i in reversed(range(len(hidden))):
            g_weights.append(g.T.mm(hidden[i]))
            g_biases.append(g.sum(0))
            if i:
                g = torch.ops.aten.threshold_backward(g.mm(weights[i]), hidden[i], 0)
        g_x = g.mm(weights[0]) if ctx.needs_input_grad[1] else None
        return (None, g_x, *reversed(g_weights), *reversed(g_biases))


class MLP(Configurable, nn.Module):
    """A perceptron with ReLU between an input and an output of any event shape.

    Args:
        in_shape, out_shape: event shapes; events are flattened on the way in and shaped on the way out.
        hidden: widths of the hidden layers.
        zero_init: start the last layer at zero, so that the output starts constant.
        batch_last: lay the output out in memory with the batch last, which splines compute faster with.

    >>> import torch
    >>> MLP((2, 3), 4, hidden=(8,), zero_init=True)(torch.ones(5, 2, 3)).abs().sum().item()
    0.0
    """

    def __init__(
        self,
        in_shape: int | Shape,
        out_shape: int | Shape,
        hidden: Sequence[int] = (64, 64),
        *,
        zero_init: bool = False,
        batch_last: bool = False,
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = as_shape(in_shape), as_shape(out_shape)
        widths = [math.prod(self.in_shape), *hidden]
        hidden_layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        last = nn.Linear(widths[-1], math.prod(self.out_shape))
        self.layers = nn.Sequential(*(module for layer in hidden_layers for module in (layer, nn.ReLU())), last)
        self.batch_last = batch_last
        initialize_relu(hidden_layers)
        if zero_init:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, *in_shape) to (batch, *out_shape)."""
        flat = x if x.ndim == 2 else x.reshape(x.shape[0], math.prod(self.in_shape))
        linear = linear_layers(self.layers)
        if linear is None:
            out = self.layers(flat)
        else:
            weights, biases = [layer.weight for layer in linear], [layer.bias for layer in linear]
            out = perceptron(flat, weights, biases, batch_last=self.batch_last)
        return out if len(self.out_shape) == 1 else out.view(-1, *self.out_shape)


def smooth_perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers with SiLU between them, from ``widths[0]`` numbers to ``widths[-1]``.

    A location that is known to a hundredth of its range wants a function without kinks: of equal size, and after equal
    training, it comes closer than one with ReLU.
    """
    *hidden, last = [nn.Linear(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(*(part for layer in hidden for part in (layer, nn.SiLU())), last)
