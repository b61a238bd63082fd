# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples on the training device: a ring of packed tokens that grows while training, and batches drawn from it."""
import queue
import threading
import time
from pathlib import Path

import numpy as np
import torch

import data

LENGTHS = (32, 64, 128, 256, 512, 1024)
# share of the steps per length; a step has the same number of tokens at each
LENGTH_SHARE = (.08, .10, .14, .18, .20, .30)
ENTRY = np.dtype([("start", np.int64), ("n", np.int16), ("label", np.int16), ("snr", np.float32), ("outlier", bool)], align=True)


class Pool:
    """Ring of `capacity` tokens on device: spectra (capacity, n_bins) uint8, aux (capacity, n_aux) float16.

    entries (made,) holds one ENTRY per example on the host; overwritten examples have n 0. held_out: labels not drawn."""

    def __init__(self, capacity, n_bins, n_aux, device, held_out=()):
        self.capacity, self.device, self.write = capacity, device, 0
        self.spectra = torch.zeros(capacity, n_bins, dtype=torch.uint8, device=device)
        self.aux = torch.zeros(capacity, n_aux, dtype=torch.float16, device=device)
        self.chunks, self.made = [], 0  # chunks: (first token, end, first example, end), oldest first
        self.entries = np.zeros(1 << 16, ENTRY)
        self.held_out = list(held_out)

    def add(self, chunk):
        tokens, count = len(chunk.spectra), len(chunk.info)
        if tokens == 0 or tokens > self.capacity:
            return
        if self.write + tokens > self.capacity:
            self.write = 0
        lo, hi = self.write, self.write + tokens
        while self.chunks and self.chunks[0][0] < hi and self.chunks[0][1] > lo:
            _, _, first, end = self.chunks.pop(0)
            self.entries["n"][first:end] = 0
        self.spectra[lo:hi] = torch.from_numpy(chunk.spectra).to(self.device)
        self.aux[lo:hi] = torch.from_numpy(chunk.aux).to(self.device)
        if self.made + count > len(self.entries):
            self.entries = np.concatenate([self.entries, np.zeros_like(self.entries)])
        e = self.entries[self.made:self.made + count]
        e["start"], e["n"], e["label"] = lo + chunk.starts, chunk.info["n_tokens"], chunk.info["class_id"]
        e["snr"], e["outlier"] = chunk.info["snr_db"], data.outliers(chunk.info)
        self.chunks.append((lo, hi, self.made, self.made + count))
        self.write = hi
        self.made += count

    def alive(self):
        return int((self.entries["n"] > 0).sum())

    def refresh(self):
        """Sorts the examples by length, so that draw() finds those for each; after add()."""
        e = self.entries[:self.made]
        usable = np.flatnonzero((e["n"] > 0) & ~np.isin(e["label"], self.held_out))
        self.order = usable[np.argsort(e["n"][usable], kind="stable")]
        self.sorted_n = e["n"][self.order]

    def between(self, lo, hi):
        """Examples of lo < n <= hi tokens; hi None: no limit."""
        a = np.searchsorted(self.sorted_n, lo, side="right")
        return self.order[a:] if hi is None else self.order[a:np.searchsorted(self.sorted_n, hi, side="right")]

    def draw(self, rng, length, size):
        """Indices (size,) of examples for sequences of `length` tokens: six in ten of about that length, the others
        cut from longer ones."""
        near, longer = self.between(length // 2 if length > LENGTHS[0] else 0, length), self.between(length, None)
        if length > LENGTHS[-1] and len(near) < 64:
            near = self.between(LENGTHS[-1] // 2, None)
        if len(near) + len(longer) == 0:
            near = self.order
        if len(near) == 0 or len(longer) == 0:
            return rng.choice(near if len(near) else longer, size)
        cut = rng.random(size) < .4
        return np.where(cut, rng.choice(longer, size), rng.choice(near, size))

    def batch(self, rng, length, size):
        """Spectra codes (B, L, n_bins) uint8, aux (B, L, n_aux) float16, and n, label, snr, outlier (B,) on the device.
        Sequences beyond 1024 repeat shorter examples to their length; rows past n are whatever stands there."""
        which = self.draw(rng, length, size)
        e = self.entries[which]
        have = e["n"].astype(np.int64)
        offset = (rng.random(size) * np.maximum(have - length + 1, 1)).astype(np.int64)
        n = np.minimum(have, length)
        put = lambda a: torch.from_numpy(np.array(a)).to(self.device)
        start, span, at = put(e["start"] + offset), put(n), torch.arange(length, device=self.device)
        if length > 1024:
            at = at % span[:, None]
            n = np.where(n < length, length, n)
            index = start[:, None] + at
        else:
            index = start[:, None] + torch.minimum(at[None], span[:, None] - 1)
        index = index.view(-1)
        shape = (size, length, -1)
        return (self.spectra.index_select(0, index).view(shape), self.aux.index_select(0, index).view(shape), put(n),
                put(e["label"].astype(np.int64)), put(e["snr"]), put(e["outlier"]))


class Feed:
    """A thread that reads chunk files as they appear; take() hands over what has come. share: (which, of how many)
    of the chunks' numbers are read."""

    def __init__(self, folder, split="train", ahead=256, share=(0, 1)):
        self.folder, self.split, self.share, self.ready = Path(folder), split, share, queue.Queue(ahead)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self):
        seen, (which, count) = set(), self.share
        mine = lambda p: int(p.stem.split("-")[1]) % count == which
        while not self.stopping.is_set():
            fresh = sorted(p for p in self.folder.glob(self.split + "-*.npz") if p.name not in seen and mine(p))
            for path in fresh:
                seen.add(path.name)
                try:
                    chunk = data.Chunk.read(path)
                except OSError:  # removed by the writer's bound
                    continue
                while not self.stopping.is_set():
                    try:
                        self.ready.put((int(path.stem.split("-")[1]), chunk), timeout=1)
                        break
                    except queue.Full:
                        continue
            time.sleep(.5 if fresh else 1)

    def take(self, most=256):
        out = []
        while len(out) < most:
            try:
                out.append(self.ready.get_nowait())
            except queue.Empty:
                break
        return out

    def close(self):
        self.stopping.set()
        self.thread.join(5)
