"""One layer of a transformer: attention between tokens, then a perceptron of each."""

from __future__ import annotations

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self._ended(h, mixed)

    def step(self, h: Tensor, past: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """Token i, (batch, 1, width), that sees itself and the i before it: what it becomes, and the past with it.

        ``past`` are keys and values, :meth:`nothing` before the first token; without gradients it is written into.
        """
        q, k, v = self._heads(h)
        here = torch.stack([k, v])
        if torch.is_grad_enabled():  # which do not go through what is written into
            past = torch.cat([past[:, :, :, :i], here, past[:, :, :, i + 1 :]], 3)
        else:
            past[:, :, :, i : i + 1] = here
        seen = past[:, :, :, : i + 1].to(q.dtype)
        return self._ended(h, F.scaled_dot_product_attention(q, seen[0], seen[1])), past

    def nothing(self, batch: int, tokens: int) -> Tensor:
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
