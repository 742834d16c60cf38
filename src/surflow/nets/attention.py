"""One layer of a transformer: attention between tokens, then a perceptron of each."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.attention import SDPBackend, sdpa_kernel

from surflow._internal.kernels import differentiable, gradients_by_hand


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    r""":math:`\mathrm{softmax}(q k^T / \sqrt{w})\, v` for (batch, heads, tokens, w); causal: no token sees a later one.

    On a CPU torch's fast one has a gradient, but no second one: that is the formula's here.
    """
    if q.device.type == "cpu" and q.numel():
        if gradients_by_hand(q):
            return _Attention.apply(q, k, v, causal)
        if torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
            return _formula(q, k, v, causal=causal)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


def _formula(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


class _Saved(FunctionCtx):
    """What the forward pass leaves to the backward pass."""

    saved_tensors: tuple[Tensor, ...]
    causal: bool


class _Attention(torch.autograd.Function):
    """Torch's attention on a CPU, whose gradient can be differentiated again."""

    @staticmethod
    def forward(ctx: _Saved, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:  # noqa: FBT001 -- torch's
        out, log_sum = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)
        ctx.save_for_backward(q, k, v, out, log_sum)
        ctx.causal = causal
        return out

    @staticmethod
    def backward(ctx: _Saved, g: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, log_sum = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*differentiable(partial(_formula, causal=ctx.causal), (q, k, v), (), (g,)), None)
        gradient = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        return (*gradient(g, q, k, v, out, log_sum, 0.0, ctx.causal), None)


class AttentionLayer(nn.Module):
    """Pre-norm attention and a perceptron with GELU, each added to what came in.

    Args:
        width: of the tokens, which the number of heads divides.
        heads, feedforward: of the attention and of the perceptron.
        dropout: share of what attention and perceptron add that is dropped in training.

    Source: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762; Xiong et al., "On Layer Normalization in the
    Transformer Architecture", arXiv 2002.04745 (pre-norm).
    """

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, feedforward), nn.GELU(), nn.Linear(feedforward, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, h: Tensor, *, causal: bool = False) -> Tensor:
        """(batch, tokens, width) to the same; causal: no token sees a later one."""
        q, k, v = self._heads(h)
        # On a CPU the gradient of attention takes several times as long in half precision.
        with torch.autocast("cpu", enabled=False) if h.device.type == "cpu" else nullcontext():
            q, k, v = (part.to(h.dtype) for part in (q, k, v))
            mixed = attention(q, k, v, causal=causal)
        return self._ended(h, mixed)

    def step(self, h: Tensor, cache: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """Token i, (batch, 1, width), that sees itself and the i before it: what it becomes, and the cache with it.

        ``cache`` are keys and values, :meth:`empty_cache` before the first token; without gradients it is written into.
        """
        q, k, v = self._heads(h)
        here = torch.stack([k, v])
        if torch.is_grad_enabled():  # which do not go through what is written into
            cache = torch.cat([cache[:, :, :, :i], here, cache[:, :, :, i + 1 :]], 3)
        else:
            cache[:, :, :, i : i + 1] = here
        seen = cache[:, :, :, : i + 1].to(q.dtype)
        return self._ended(h, F.scaled_dot_product_attention(q, seen[0], seen[1])), cache

    def empty_cache(self, batch: int, tokens: int) -> Tensor:
        """Room for the keys and values of so many tokens."""
        weight = self.qkv.weight
        return weight.new_empty(2, batch, self.heads, tokens, weight.shape[1] // self.heads)

    def _heads(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, tokens, width = h.shape
        qkv = self.qkv(self.norms[0](h)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return q, k, v

    def _ended(self, h: Tensor, mixed: Tensor) -> Tensor:
        h = h + self.drop(self.out(mixed.transpose(1, 2).reshape(h.shape)))
        return h + self.drop(self.mlp(self.norms[1](h)))
