# SPDX-License-Identifier: GPL-3.0-or-later
"""Training examples from lib/dataset: the C code that makes the daemon's features makes these.

An example is a function of its spec (seed, class, length, SNR range) alone, so a run is reproducible whatever the
number of processes. Seeds of training, validation and test differ in their top byte and can never meet.
"""
import ctypes
import mmap
import multiprocessing as mp
import os
import queue
from pathlib import Path

import numpy as np

SPLITS = {"train": 1, "validation": 2, "test": 3}
BUCKETS = (32, 64, 128, 256, 512, 1024)


class Spec(ctypes.Structure):
    _fields_ = [("seed", ctypes.c_uint64), ("class_id", ctypes.c_int32), ("max_tokens", ctypes.c_uint32),
                ("snr_lo_db", ctypes.c_float), ("snr_hi_db", ctypes.c_float)]


class Info(ctypes.Structure):
    _fields_ = [("class_id", ctypes.c_int32), ("n_tokens", ctypes.c_int32), ("detected", ctypes.c_int32),
                ("snr_db", ctypes.c_float), ("measured_snr_db", ctypes.c_float), ("share", ctypes.c_float),
                ("rate_hz", ctypes.c_float), ("bandwidth_hz", ctypes.c_float), ("variant", ctypes.c_char * 24)]


def find_library(path=None):
    root = Path(__file__).resolve().parent.parent
    names = [path] if path else [os.environ.get("ATTUNE_DATASET"), root / "build/lib/dataset/libattune-dataset.so"]
    for name in names:
        if name and Path(name).exists():
            return str(name)
    raise SystemExit("libattune-dataset.so not found: build it (ninja -C build) or set ATTUNE_DATASET to its path")


class Generator:
    """One process's handle on the library."""

    def __init__(self, path=None):
        self.lib = ctypes.CDLL(find_library(path))
        self.lib.at_example_label.restype = ctypes.c_char_p
        self.columns, self.n_bins = self.lib.at_example_columns(), self.lib.at_example_bins()

    def labels(self, n=64):
        found = [self.lib.at_example_label(i) for i in range(n)]
        return [x.decode() for x in found if x]

    def make(self, seed, class_id, max_tokens, snr=(-10.0, 40.0)):
        """frames (max_tokens, columns) float32 and Info; draws again (a new seed of the same chain) where nothing came."""
        frames = np.zeros((max_tokens, self.columns), np.float32)
        info = Info()
        for again in range(8):
            spec = Spec(seed + (again << 44), class_id, max_tokens, *snr)
            r = self.lib.at_example_make(ctypes.byref(spec), frames.ctypes.data_as(ctypes.c_void_p), ctypes.byref(info))
            if r < 0:
                raise RuntimeError(f"at_example_make(seed {spec.seed}, class {class_id}): {os.strerror(-r)}")
            if info.n_tokens > 0:
                break
        return frames, info


def seed_of(split, index):
    return (SPLITS[split] << 56) | index


def plan(split, first, count, n_classes, lengths=BUCKETS):
    """Class and length of examples first .. first + count: classes in turn, lengths drawn by a hash of the index."""
    index = np.arange(first, first + count, dtype=np.uint64)
    h = (index + np.uint64(SPLITS[split] << 56)) * np.uint64(0x9E3779B97F4A7C15)
    u = ((h >> np.uint64(40)).astype(np.float64)) / (1 << 24)
    share = {32: .10, 64: .14, 128: .15, 256: .18, 512: .20, 1024: .23}
    weight = np.cumsum([share.get(n, 1.0) for n in lengths])
    at = np.searchsorted(weight / weight[-1], u, side="right").clip(max=len(lengths) - 1)
    return (index % np.uint64(n_classes)).astype(np.int32), np.asarray(lengths)[at]


class Shard:
    """Room for count examples in memory that worker processes share: float16 frames and one record each."""

    RECORD = np.dtype([("class_id", "<i4"), ("n_tokens", "<i4"), ("detected", "<i4"), ("snr_db", "<f4"),
                       ("measured_snr_db", "<f4"), ("share", "<f4"), ("rate_hz", "<f4"), ("bandwidth_hz", "<f4"),
                       ("variant", "S24")])

    def __init__(self, count, length, columns):
        self.count, self.length, self.columns = count, length, columns
        self.frames = np.frombuffer(mmap.mmap(-1, count * length * columns * 2), np.float16).reshape(count, length, columns)
        self.info = np.frombuffer(mmap.mmap(-1, count * self.RECORD.itemsize), self.RECORD)


def _fill(shard, generator, split, first, which, classes, lengths, snr):
    for i in which:
        frames, info = generator.make(seed_of(split, first + int(i)), int(classes[i]), int(lengths[i]), snr)
        n = max(info.n_tokens, 0)
        shard.frames[i, :n] = frames[:n]
        shard.frames[i, n:] = 0
        shard.info[i] = tuple(getattr(info, f[0]) for f in Info._fields_[:1]) + (
            n, info.detected, info.snr_db, info.measured_snr_db, info.share, info.rate_hz, info.bandwidth_hz, info.variant)


class Factory:
    """Worker processes that fill shards in the background; shards are created before the fork so that all see them."""

    def __init__(self, shards, n_classes, processes, library=None):
        self.shards, self.n_classes = shards, n_classes
        self.tasks, self.done = mp.Queue(), mp.Queue()
        self.workers = [mp.Process(target=self._work, args=(library,), daemon=True) for _ in range(processes)]
        for w in self.workers:
            w.start()

    def _work(self, library):
        os.nice(5)
        generator = Generator(library)
        while True:
            task = self.tasks.get()
            if task is None:
                return
            which_shard, split, first, lo, hi, snr, lengths = task
            shard = self.shards[which_shard]
            try:
                classes, lengths = plan(split, first, shard.count, self.n_classes, lengths)
                _fill(shard, generator, split, first, range(lo, hi), classes, lengths, snr)
                self.done.put((first, hi - lo, None))
            except Exception as e:  # told to the trainer, which stops
                self.done.put((first, 0, repr(e)))

    def request(self, which_shard, split, first, snr=(-10.0, 40.0), lengths=BUCKETS, step=16):
        self.first = first
        self.shards[which_shard].info["n_tokens"] = 0  # what a worker does not deliver is left out
        for lo in range(0, self.shards[which_shard].count, step):
            self.tasks.put((which_shard, split, first, lo, min(lo + step, self.shards[which_shard].count), snr, lengths))

    def wait(self, which_shard, patience_s=60):
        """Waits until the shard asked for last is full. A worker that died or hangs costs its examples, not the run."""
        have = 0
        while have < self.shards[which_shard].count:
            try:
                first, n, error = self.done.get(timeout=patience_s)
            except queue.Empty:
                alive = sum(w.is_alive() for w in self.workers)
                print(f"examples: {self.shards[which_shard].count - have} of {self.shards[which_shard].count} did not come "
                      f"within {patience_s} s ({alive} of {len(self.workers)} processes alive); going on without", flush=True)
                if alive == 0 or have == 0:
                    raise SystemExit("example generator failed: no examples at all")
                return
            if error:
                raise SystemExit("example generator failed: " + error)
            if first == self.first:
                have += n

    def close(self):
        for _ in self.workers:
            self.tasks.put(None)
        for w in self.workers:
            w.join(5)
            if w.is_alive():
                w.terminate()
