# SPDX-License-Identifier: GPL-3.0-or-later
"""The encoder in PyTorch, for training only: the same arithmetic as tests/reference/reference.py.

Parameter names are those of the model file, so that export is a copy. Runs on PyTorch 1.13 and 2.x.
Shapes: B sequences, L tokens, H heads, D head width, S latent segment, G kv groups, W window.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

REFERENCE_POINT = dict(n_bins=128, d_model=128, n_layers=4, n_heads=4, d_ff=256, norm="rmsnorm", mask="causal",
                       window=1024, rope_base=10000.0, kv_groups=2, segment=32, pool_block=32)
HAS_SDPA = hasattr(F, "scaled_dot_product_attention")


class Norm(nn.Module):
    """rmsnorm or layernorm, eps 1e-5, computed in float32."""

    def __init__(self, d, kind):
        super().__init__()
        self.kind, self.weight = kind, nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d)) if kind == "layernorm" else None

    def forward(self, x):
        y = x.float()
        if self.kind == "layernorm":
            y = y - y.mean(-1, keepdim=True)
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight
        return (y if self.bias is None else y + self.bias).to(x.dtype)


def rope(x, positions, base):
    """x (B, H, L, D), positions (L,) float64; angles in float64, only cos and sin are rounded."""
    half = x.shape[-1] // 2
    inverse = base ** (-torch.arange(half, device=x.device, dtype=torch.float64) / half)
    angle = positions.double()[:, None] * inverse
    c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * c - b * s, a * s + b * c], -1)


def window_mask(length, window, device):
    i = torch.arange(length, device=device)
    ok = i[None] <= i[:, None]
    return ok & (i[None] > i[:, None] - window) if window else ok


def dense(q, k, v, window):
    """softmax(q k^T / sqrt(D) + mask) v, causal with an optional window shorter than L."""
    length = q.shape[2]
    plain = not window or window >= length
    if HAS_SDPA:
        mask = None if plain else window_mask(length, window, q.device)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=plain)
    s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    s = s.masked_fill(~window_mask(length, 0 if plain else window, q.device), float("-inf"))
    return s.softmax(-1) @ v


def attend(q, k, v, backend, segment, groups, window, base):
    """The backends of DESIGN.md section 3 from the same q, k, v (B, H, L, D)."""
    b, h, length, d = k.shape
    pos = torch.arange(length, device=q.device)
    if backend == "gqa":
        share = lambda t: t.view(b, groups, h // groups, length, d).mean(2).repeat_interleave(h // groups, 1)
        k, v = share(k), share(v)
    if backend != "latent":
        return dense(rope(q, pos, base), rope(k, pos, base), v, window)
    return latent(q, k, v, segment, window, base, pos)


def latent(q, k, v, segment, window, base, pos):
    """Exact tokens of this and the previous segment, one mean per older one (+ log S). L is a multiple of S.

    Written block-wise: a query sees 2 S tokens and M latents, so nothing is L x L.
    """
    b, h, length, d = k.shape
    m, scale = length // segment, 1 / math.sqrt(d)
    kl, vl = k.view(b, h, m, segment, d).mean(3), v.view(b, h, m, segment, d).mean(3)
    kl = rope(kl, torch.arange(m, device=q.device) * segment + (segment - 1) / 2, base)
    q, k = rope(q, pos, base), rope(k, pos, base)
    blocks = lambda t: t.view(b, h, m, segment, d)
    before = lambda t: F.pad(blocks(t), (0, 0, 0, 0, 1, 0))[:, :, :-1]
    near_k, near_v = torch.cat([before(k), blocks(k)], 3), torch.cat([before(v), blocks(v)], 3)
    near = blocks(q) @ near_k.transpose(-1, -2) * scale                      # (B, H, M, S, 2 S)
    far = (q @ kl.transpose(-1, -2)).view(b, h, m, segment, m) * scale + math.log(segment)
    i, j = torch.arange(segment, device=q.device), torch.arange(2 * segment, device=q.device)
    ok_near = (j[None] <= i[:, None] + segment)[None] & ((torch.arange(m, device=q.device) > 0)[:, None, None] | (j >= segment))
    s = torch.arange(m, device=q.device)
    ok_far = s[None] < s[:, None] - 1
    if window:
        keep = window // segment
        ok_far = ok_far & (s[None] > s[:, None] - keep)
        if keep < 2:
            ok_near = ok_near & (j >= segment)
    score = torch.cat([near.masked_fill(~ok_near, float("-inf")),
                       far.masked_fill(~ok_far[:, None], float("-inf"))], -1).softmax(-1)
    out = score[..., :2 * segment] @ near_v + (score[..., 2 * segment:].reshape(b, h, length, m) @ vl).view(b, h, m, segment, d)
    return out.reshape(b, h, length, d)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        for name in "qkvo":
            setattr(self, name, nn.Linear(c["d_model"], c["d_model"], bias=False))

    def forward(self, x, backend, segment, window):
        b, length, d = x.shape
        split = lambda t: t.view(b, length, self.c["n_heads"], -1).transpose(1, 2)
        a = attend(split(self.q(x)), split(self.k(x)), split(self.v(x)), backend, segment, self.c["kv_groups"], window,
                   self.c["rope_base"])
        return self.o(a.transpose(1, 2).reshape(b, length, d))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.up = nn.Linear(c["d_model"], c["d_ff"], bias=False)
        self.down = nn.Linear(c["d_ff"], c["d_model"], bias=False)

    def forward(self, x):
        y = self.up(x)
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y ** 3)))
        return self.down(y)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = Norm(c["d_model"], c["norm"]), Norm(c["d_model"], c["norm"])
        self.attn, self.mlp = Attention(c), Mlp(c)

    def forward(self, x, backend, segment, window, drop):
        x = x + F.dropout(self.attn(self.norm1(x), backend, segment, window), drop, self.training)
        return x + F.dropout(self.mlp(self.norm2(x)), drop, self.training)


class Encoder(nn.Module):
    """frames (B, L, n_bins + n_aux) -> hidden states after the final norm (B, L, d), and logits of prefixes."""

    def __init__(self, config):
        super().__init__()
        self.config = c = dict(config)
        self.embed = nn.Linear(c["n_bins"] + c["n_aux"], c["d_model"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["n_layers"]))
        self.norm = Norm(c["d_model"], c["norm"])
        self.head = nn.Linear(c["d_model"], c["n_classes"])
        # a flag for "aux was dropped out": training only, 0 at run time, so it is not exported
        self.aux_dropped = nn.Parameter(torch.zeros(c["d_model"]))
        for layer in self.layers:  # residual writes start small, as in GPT-2
            for lin in (layer.attn.o, layer.mlp.down):
                nn.init.normal_(lin.weight, std=0.02 / math.sqrt(2 * c["n_layers"]))

    def forward(self, frames, backend="mha", segment=None, window=0, drop=0.0, aux_dropped=None):
        x = self.embed(frames)
        if aux_dropped is not None:
            x = x + aux_dropped[:, None, None].to(x.dtype) * self.aux_dropped
        for layer in self.layers:
            x = layer(x, backend, segment or self.config["segment"], window, drop)
        return self.norm(x)

    def prefix_logits(self, h, ends, window=0):
        """h (B, L, d), ends (B, K) tokens: logits (B, K, n_classes) of the mean over the newest window / pool_block
        blocks of the first ends tokens, as pooled_logits of the reference."""
        total = F.pad(h.float().cumsum(1), (0, 0, 1, 0))
        first = torch.zeros_like(ends)
        if window:
            p = self.config["pool_block"]
            first = ((ends - 1) // p - window // p + 1).clamp(min=0) * p
        take = lambda at: total.gather(1, at[:, :, None].expand(-1, -1, h.shape[-1]))
        mean = (take(ends) - take(first)) / (ends - first)[:, :, None]
        return F.linear(mean, self.head.weight.float(), self.head.bias.float())
