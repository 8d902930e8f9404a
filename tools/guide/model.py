"""The network: a small llama in plain torch, laid out so that llama.cpp computes the very same thing.

The weights carry llama.cpp's own tensor names and the rotary embedding turns neighbouring pairs, which is
what llama.cpp does for the ``llama`` architecture. So the export copies tensors and never permutes one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. Every matrix has rows of a multiple of 32, which the q8_0 storage needs."""

    vocab: int = 2048
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    hidden: int = 512
    context: int = 2048
    rope_base: float = 10000.0
    eps: float = 1e-5


def rotary_tables(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine for each position and pair, as (length, head_dim / 2)."""
    steps = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angles = torch.outer(torch.arange(length, dtype=torch.float32), shape.rope_base**-steps)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each neighbouring pair (2i, 2i+1) of the last axis by its position's angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    """One layer: grouped-query attention and a SwiGLU feed-forward, each behind an RMS norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        inner, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.attn_norm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.attn_q = nn.Linear(shape.width, inner, bias=False)
        self.attn_k = nn.Linear(shape.width, kv, bias=False)
        self.attn_v = nn.Linear(shape.width, kv, bias=False)
        self.attn_output = nn.Linear(inner, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.ffn_gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Hidden states in, hidden states out; (batch, length, width)."""
        rows, length, _ = x.shape
        s = self.shape
        h = self.attn_norm(x)
        q = self.attn_q(h).view(rows, length, s.heads, s.head_dim).transpose(1, 2)
        k = self.attn_k(h).view(rows, length, s.kv_heads, s.head_dim).transpose(1, 2)
        v = self.attn_v(h).view(rows, length, s.kv_heads, s.head_dim).transpose(1, 2)
        group = s.heads // s.kv_heads
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        a = F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype), is_causal=True)
        x = x + self.attn_output(a.transpose(1, 2).reshape(rows, length, -1))
        h = self.ffn_norm(x)
        out: Tensor = x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))
        return out


class Guide(nn.Module):
    """The whole network. The output matrix is the token embedding, which saves a tenth of the file."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.eps)
        self.cos: Tensor
        self.sin: Tensor
        cos, sin = rotary_tables(shape, shape.context)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        residual = 0.02 / (2 * shape.layers) ** 0.5
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                small = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(weight, std=residual if small else 0.02)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Normalised last hidden states; the caller picks the positions worth a logit."""
        length = tokens.shape[1]
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, self.cos[:length], self.sin[:length])
        out: Tensor = self.output_norm(x)
        return out

    def loss(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Weighted next-token cross entropy; ``weights[i]`` says how much predicting ``tokens[i]`` counts."""
        wanted = weights[:, 1:].reshape(-1)
        index = wanted.nonzero().squeeze(1)
        h = self.hidden(tokens[:, :-1]).reshape(-1, self.shape.width)[index]
        target = tokens[:, 1:].reshape(-1)[index]
        each = F.cross_entropy(F.linear(h, self.token_embd.weight).float(), target, reduction="none")
        w = wanted[index]
        return (each * w).sum() / w.sum()

    def count(self) -> int:
        """Number of parameters."""
        return sum(p.numel() for p in self.parameters())
