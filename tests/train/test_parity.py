#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PyTorch encoder equals the numpy reference under every backend, norm and window (double precision, 1e-10 NMSE).

Exit 77 (skipped) where PyTorch is not installed.
"""
import itertools
import sys

from with_torch import torch
import model
import reference

CONFIG = dict(model.REFERENCE_POINT, n_bins=16, n_aux=3, n_classes=5, d_model=32, d_ff=64, n_layers=2)
LENGTH, PREFIX = 192, 150


def nmse(a, b):
    return float(((a - b) ** 2).sum() / (b ** 2).sum())


def case(norm, window, backend, segment):
    config = dict(CONFIG, norm=norm, window=window, segment=segment)
    net = model.Encoder(config).double().eval()
    for p in net.parameters():
        p.data += 0.1 * torch.randn_like(p)
    frames = torch.randn(1, LENGTH, 19).double()
    with torch.no_grad():
        h = net(frames, backend, segment, window)
        logits = net.prefix_logits(h, torch.tensor([[LENGTH, PREFIX]]), window)[0].numpy()
    weights = {k: v.numpy() for k, v in net.state_dict().items()}
    hidden, whole = reference.encoder(frames[0].numpy(), weights, config, backend)
    part = reference.pooled_logits(hidden[:PREFIX], weights, config)
    return max(nmse(logits[0], whole), nmse(logits[1], part))


def main():
    torch.manual_seed(0)
    failed = 0
    cases = list(itertools.product(("rmsnorm", "layernorm"), (0, 64), (("mha", 16), ("gqa", 16), ("latent", 16), ("latent", 64))))
    for norm, window, (backend, segment) in cases:
        error = case(norm, window, backend, segment)
        if not error < 1e-10:
            failed += 1
        print(f"{'ok' if error < 1e-10 else 'FAILED'} {norm} window {window} {backend} segment {segment}: nmse {error:.2e}, bound 1e-10")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
