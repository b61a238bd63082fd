# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes that train one network, one for each GPU: each draws its own batches from its own share of the
chunks, and the gradients are averaged, so that the weights stay the same everywhere."""
import os
import tempfile

import torch
import torch.distributed as dist


class Ranks:
    """This process among `count`; alone unless start() made it."""

    def __init__(self, rank=0, count=1, device="cpu"):
        self.rank, self.count, self.device = rank, count, device

    @property
    def first(self):
        """Whether this one logs, validates and writes the checkpoint."""
        return self.rank == 0

    def told(self, values):
        """The first one's list of floats."""
        if self.count == 1:
            return list(values)
        t = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(t, 0)
        return t.tolist()

    def all_true(self, flag):
        if self.count == 1:
            return bool(flag)
        t = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(t, dist.ReduceOp.MIN)
        return float(t) > 0

    @torch.no_grad()
    def same(self, net):
        """The first one's weights everywhere."""
        if self.count > 1:
            for p in net.state_dict().values():
                dist.broadcast(p, 0)

    @torch.no_grad()
    def average(self, parameters):
        """Gradients -> their mean over all processes."""
        if self.count == 1:
            return
        have = [p for p in parameters if p.grad is not None]
        flat = torch.cat([p.grad.reshape(-1) for p in have])
        dist.all_reduce(flat)
        flat /= self.count
        for p, g in zip(have, flat.split([p.numel() for p in have])):
            p.grad = g.view_as(p)


def _child(rank, count, device, meet, work, args):
    if device == "cuda":
        torch.cuda.set_device(rank)
    dist.init_process_group("nccl" if device == "cuda" else "gloo", init_method=f"file://{meet}", rank=rank, world_size=count)
    try:
        work(args, Ranks(rank, count, device))
    finally:
        dist.destroy_process_group()


def start(work, args, count, device):
    """work(args, ranks) in `count` processes (0: one for each GPU); returns when all have ended, raises where one failed."""
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    if count < 0 or (device == "cuda" and count > gpus):
        raise SystemExit(f"--processes {count}: 0 (one for each GPU) to {gpus if device == 'cuda' else 'as many as there are cores'} expected")
    count = count or max(1, gpus)
    if count == 1:
        work(args, Ranks(device=device))
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(_child, (count, device, os.path.join(folder, "meet"), work, args), nprocs=count)
