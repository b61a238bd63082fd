# SPDX-License-Identifier: GPL-3.0-or-later
"""The encoder in PyTorch, for training only: the same arithmetic as tests/reference/reference.py.

Parameter names are those of the model file, so that export is a copy. Runs on PyTorch 1.13 and 2.x; where 2.x brings a
fused operation (attention, RMSNorm, compiled layers) it is used, and the numbers stay.
Shapes: B sequences, L tokens, T = B L, H heads, D head width, S latent segment, M = L / S, G kv groups, W window.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

REFERENCE_POINT = dict(n_bins=128, d_model=128, n_layers=4, n_heads=4, d_ff=256, norm="rmsnorm", mask="causal",
                       window=1024, rope_base=10000.0, kv_groups=2, segment=32, pool_block=32)
HAS_SDPA = hasattr(F, "scaled_dot_product_attention")
HAS_RMS_NORM = hasattr(F, "rms_norm")
EPS = 1e-5


def normalise(x, kind, weight, bias):
    """rmsnorm or layernorm over the last axis, in x's own precision."""
    if kind == "layernorm":
        return F.layer_norm(x, x.shape[-1:], weight, bias, EPS)
    y = F.rms_norm(x, x.shape[-1:], weight, EPS) if HAS_RMS_NORM else x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight
    return y if bias is None else y + bias


class Norm(nn.Module):
    def __init__(self, d, kind):
        super().__init__()
        self.kind, self.weight = kind, nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d)) if kind == "layernorm" else None

    def forward(self, x):
        return normalise(x, self.kind, self.weight, self.bias)


def rotation(positions, half, base):
    """cos and sin (L, half) at positions (L,): angles in float64; base 0 is no rotation."""
    inverse = base ** (-torch.arange(half, device=positions.device, dtype=torch.float64) / half) if base else torch.zeros(
        half, device=positions.device, dtype=torch.float64)
    angle = positions.double()[:, None] * inverse
    return angle.cos(), angle.sin()


def rotate(x, c, s):
    """Rotate halves of x (..., D) by c, s (..., D / 2)."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * c - b * s, a * s + b * c], -1).to(x.dtype)


def attention(q, k, v, mask=None, causal=False):
    """softmax(q k^T / sqrt(D) + mask) v over (B, H, L, D). mask: bool (seen) or added to the score, broadcast."""
    if HAS_SDPA:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        i = torch.arange(q.shape[2], device=q.device)
        mask = i[None] <= i[:, None]
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else s + mask
    return s.softmax(-1) @ v


def dense(q, k, v, window):
    """Causal attention of (B, H, L, D), each query to its newest `window` keys (0: to all). A window shorter than the
    sequence goes by blocks of W queries against 2 W keys, so that nothing is L x L."""
    b, h, length, d = q.shape
    if not window or window >= length:
        return attention(q, k, v, causal=True)
    i, j = torch.arange(window, device=q.device), torch.arange(2 * window, device=q.device)
    mask = (j[None] <= i[:, None] + window) & (j[None] > i[:, None])
    blocks = lambda t: t.reshape(b, h, length // window, window, d).transpose(1, 2)
    before = lambda t: torch.cat([blocks(t)[:, :-1], blocks(t)[:, 1:]], 3).reshape(-1, h, 2 * window, d)
    first = attention(q[:, :, :window], k[:, :, :window], v[:, :, :window], causal=True)
    rest = attention(blocks(q)[:, 1:].reshape(-1, h, window, d), before(k), before(v), mask=mask)
    rest = rest.view(b, -1, h, window, d).transpose(1, 2).reshape(b, h, length - window, d)
    return torch.cat([first, rest], 2)


def latent_mask(segment, m, padded, window, device, dtype):
    """Added to the scores of the queries of each segment: (M, S, 2 S + padded); padded >= M latents, the rest unseen."""
    i, j = torch.arange(segment, device=device), torch.arange(2 * segment, device=device)
    block, far = torch.arange(m, device=device), torch.arange(padded, device=device)
    near = (j[None] <= i[:, None] + segment)[None] & ((block > 0)[:, None, None] | (j >= segment))
    seen = (far[None] < block[:, None] - 1)[:, None].expand(-1, segment, -1)
    if window:
        keep = window // segment
        seen = seen & (far[None] > block[:, None] - keep)[:, None]
        if keep < 2:
            near = near & (j >= segment)
    zero = torch.zeros((), device=device, dtype=dtype)
    never = torch.full((), float("-inf"), device=device, dtype=dtype)
    return torch.cat([torch.where(near, zero, never), torch.where(seen, zero + math.log(segment), never)], -1)


def latent(q, k, kr, v, segment, window, base):
    """Exact tokens of this and the previous segment, one mean per older one (+ log S). L is a multiple of S.

    q, kr: rotated queries and keys, k: unrotated keys, v: all (B, H, L, D). By blocks of S queries: 2 S tokens, M latents.
    """
    b, h, length, d = k.shape
    m = length // segment
    padded = -(-m // 8) * 8  # the fused kernels want keys in eights
    blocks = lambda t: t.reshape(b, h, m, segment, d)
    c, s = rotation(torch.arange(m, device=q.device) * segment + (segment - 1) / 2, d // 2, base)
    kl = rotate(blocks(k).mean(3), c.to(k.dtype), s.to(k.dtype))
    vl = blocks(v).mean(3)

    def seen(t, latents):  # (B M, H, 2 S + padded, D)
        x = blocks(t)
        old = F.pad(x, (0, 0, 0, 0, 1, 0))[:, :, :-1]
        far = F.pad(latents, (0, 0, 0, padded - m))[:, :, None].expand(-1, -1, m, -1, -1)
        return torch.cat([old, x, far], 3).transpose(1, 2).reshape(b * m, h, 2 * segment + padded, d)

    mask = latent_mask(segment, m, padded, window, q.device, q.dtype)
    mask = mask[None].expand(b, -1, -1, -1).reshape(b * m, 1, segment, -1)
    out = attention(blocks(q).transpose(1, 2).reshape(b * m, h, segment, d), seen(kr, kl), seen(v, vl), mask=mask)
    return out.view(b, m, h, segment, d).transpose(1, 2).reshape(b, h, length, d)


def before_attention(x, kind, norm_w, norm_b, wq, wk, wv, c, s, heads):
    """x (T, d) -> rotated q, k, rotated k, v, each (T, H, D); c, s (T, 1, D / 2)."""
    y = normalise(x, kind, norm_w, norm_b)
    q, k, v = (F.linear(y, w).view(x.shape[0], heads, -1) for w in (wq, wk, wv))
    return rotate(q, c, s), k, rotate(k, c, s), v


def after_attention(x, a, wo, kind, norm_w, norm_b, up, down, drop):
    """The residual of attention's output a (T, d) and the feed-forward part."""
    y = F.linear(a, wo)
    x = x + (F.dropout(y, drop) if drop else y)
    y = F.linear(F.gelu(F.linear(normalise(x, kind, norm_w, norm_b), up), approximate="tanh"), down)
    return x + (F.dropout(y, drop) if drop else y)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        for name in "qkvo":
            setattr(self, name, nn.Linear(c["d_model"], c["d_model"], bias=False))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.up = nn.Linear(c["d_model"], c["d_ff"], bias=False)
        self.down = nn.Linear(c["d_ff"], c["d_model"], bias=False)


class Layer(nn.Module):
    """Weights of a layer; its arithmetic is in the two functions around the attention, which may be compiled."""

    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = Norm(c["d_model"], c["norm"]), Norm(c["d_model"], c["norm"])
        self.attn, self.mlp = Attention(c), Mlp(c)


def attend(q, k, kr, v, backend, shape, groups, segment, window, base):
    """The backends of DESIGN.md section 3 from the same q, k, v (T, H, D) of shape (B, L) tokens -> (T, H D)."""
    b, length = shape
    h, d = q.shape[1:]
    split = lambda t: t.view(b, length, h, d).transpose(1, 2)
    q, k, kr, v = split(q), split(k), split(kr), split(v)
    if backend == "gqa":  # one rotation for all heads: the mean of rotated keys is the rotated mean
        share = lambda t: t.reshape(b, groups, h // groups, length, d).mean(2, keepdim=True).expand(-1, -1, h // groups, -1, -1).reshape(b, h, length, d)
        kr, v = share(kr), share(v)
    a = latent(q, k, kr, v, segment, window, base) if backend == "latent" else dense(q, kr, v, window)
    return a.transpose(1, 2).reshape(b * length, h * d)


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
        self.before, self.after = before_attention, after_attention
        self.tables = {}

    def angles(self, b, length, x):
        key = (b, length, x.device, x.dtype)
        if key not in self.tables:
            half = self.config["d_model"] // self.config["n_heads"] // 2
            at = torch.arange(length, device=x.device)
            if len(self.tables) > 12:
                self.tables.clear()
            self.tables[key] = tuple(t.to(x.dtype).repeat(b, 1)[:, None] for t in rotation(at, half, self.config["rope_base"]))
        return self.tables[key]

    def forward(self, frames, backend="mha", segment=None, window=0, drop=0.0, aux_dropped=None):
        b, length, _ = frames.shape
        cfg, drop = self.config, drop if self.training else 0.0
        x = self.embed(frames).to(self.embed.weight.dtype)  # the residual stream stays in full precision
        if aux_dropped is not None:
            x = x + aux_dropped[:, None, None].to(x.dtype) * self.aux_dropped
        x = x.view(b * length, -1)
        c, s = self.angles(b, length, x)
        for layer in self.layers:
            at, n1, n2 = layer.attn, layer.norm1, layer.norm2
            q, k, kr, v = self.before(x, n1.kind, n1.weight, n1.bias, at.q.weight, at.k.weight, at.v.weight, c, s, cfg["n_heads"])
            a = attend(q, k, kr, v, backend, (b, length), cfg["kv_groups"], segment or cfg["segment"], window, cfg["rope_base"])
            x = self.after(x, a, at.o.weight, n2.kind, n2.weight, n2.bias, layer.mlp.up.weight, layer.mlp.down.weight, drop)
        return self.norm(x).view(b, length, -1)

    def pooled(self, h, ends, window=0):
        """h (B, L, d), ends (B, K) tokens: means (B, K, d) over the newest window / pool_block blocks of the first ends
        tokens, as pooled_logits of the reference."""
        first = torch.zeros_like(ends)
        if window:
            p = self.config["pool_block"]
            first = (torch.div(ends - 1, p, rounding_mode="floor") - window // p + 1).clamp(min=0) * p
        at = torch.arange(h.shape[1], device=h.device)
        wide = h.double() if h.dtype == torch.float64 else h.float()
        with torch.autocast(h.device.type, enabled=False):
            take = ((at >= first[:, :, None]) & (at < ends[:, :, None])).to(wide.dtype) / (ends - first)[:, :, None]
            return torch.bmm(take, wide)

    def logits(self, pooled):
        with torch.autocast(pooled.device.type, enabled=False):
            return F.linear(pooled, self.head.weight.to(pooled.dtype), self.head.bias.to(pooled.dtype))

    def prefix_logits(self, h, ends, window=0):
        """Logits (B, K, n_classes) of pooled()."""
        return self.logits(self.pooled(h, ends, window))
