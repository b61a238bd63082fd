# SPDX-License-Identifier: GPL-3.0-or-later
"""Training examples from lib/dataset: the C code that makes the daemon's features makes these.

An example is a function of its spec (seed, class, length, SNR range) alone, so a run is reproducible whatever the
number of processes. Seeds of training, validation and test differ in their top byte and can never meet; calibration
takes validation seeds that the checks during training do not use.

Examples travel as chunk files (examples.py writes them, the trainer reads them as they come): spectra as bytes
(0.47 dB a step), aux columns as float16, one record of INFO each, tokens packed end to end.
"""
import argparse
import ctypes
import json
import os
import time
from pathlib import Path

import numpy as np

SPLITS = {"train": 1, "validation": 2, "test": 3, "calibration": 2, "long": 3}
FIRST = {"calibration": 1 << 32, "long": 1 << 33}  # of the split's seeds
STRONG = (7, (30.0, 50.0))  # of the training's examples each n-th, in dB: a transmitter next door
# every second of these, of the classes whose power stands in so few hertz that a converter of 12 bits shows them so far
# over its own floor: 74 dB of range, and 10 log10(rate / 60 Hz) more (IEEE 1241: 6.02 bits + 1.76 dB)
STRONGEST = (("carrier", "cw", "am"), (50.0, 90.0))
BUCKETS = (32, 64, 128, 256, 512, 1024, 4096)
SHARE = {32: .10, 64: .14, 128: .14, 256: .17, 512: .18, 1024: .25, 4096: .02}
LEVELS = 21.25  # codes per 10 dB: 0..255 is -4..8


def existing(text):
    """For add_argument(type=): the path of a file that is there, else a message and no traceback."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text}: no such file")
    return Path(text)


class Spec(ctypes.Structure):
    _fields_ = [("seed", ctypes.c_uint64), ("class_id", ctypes.c_int32), ("max_tokens", ctypes.c_uint32),
                ("snr_lo_db", ctypes.c_float), ("snr_hi_db", ctypes.c_float)]


class Info(ctypes.Structure):
    _fields_ = [("class_id", ctypes.c_int32), ("n_tokens", ctypes.c_int32), ("detected", ctypes.c_int32),
                ("snr_db", ctypes.c_float), ("measured_snr_db", ctypes.c_float), ("share", ctypes.c_float),
                ("rate_hz", ctypes.c_float), ("bandwidth_hz", ctypes.c_float),
                ("truth_bandwidth_hz", ctypes.c_float), ("overlap", ctypes.c_float), ("variant", ctypes.c_char * 24)]


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
        np.finfo(np.float32), np.finfo(np.float64)  # asked before the library flushes denormals, numpy does not warn of it
        self.lib = ctypes.CDLL(find_library(path))
        self.lib.at_example_label.restype = ctypes.c_char_p
        # newer libraries also make outliers (class -1), and several examples from one scene
        self.many = getattr(self.lib, "at_examples_make", None)
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


    def make_many(self, seed, class_id, max_tokens, snr, most):
        """Up to `most` examples of one scene, the asked one first: a list of (frames (n_tokens, columns), Info)."""
        if self.many is None or most == 1:
            frames, info = self.make(seed, class_id, max_tokens, snr)
            return [(frames[:info.n_tokens].copy(), info)] if info.n_tokens > 0 else []
        frames, infos = np.zeros((most, max_tokens, self.columns), np.float32), (Info * most)()
        for again in range(8):
            spec = Spec(seed + (again << 44), class_id, max_tokens, *snr)
            r = self.many(ctypes.byref(spec), most, frames.ctypes.data_as(ctypes.c_void_p), infos)
            if r < 0:
                raise RuntimeError(f"at_examples_make(seed {spec.seed}, class {class_id}): {os.strerror(-r)}")
            if r > 0:
                break
        return [(frames[i, :infos[i].n_tokens].copy(), infos[i]) for i in range(r)]


def seed_of(split, index):
    return (SPLITS[split] << 56) | (FIRST.get(split, 0) + index)


def plan(split, first, count, n_classes, lengths=BUCKETS):
    """Class and length of examples first .. first + count: classes in turn, lengths drawn by a hash of the index."""
    index = np.arange(first, first + count, dtype=np.uint64)
    h = (index + np.uint64(SPLITS[split] << 56)) * np.uint64(0x9E3779B97F4A7C15)
    u = ((h >> np.uint64(40)).astype(np.float64)) / (1 << 24)
    weight = np.cumsum([SHARE.get(n, 1.0) for n in lengths])
    at = np.searchsorted(weight / weight[-1], u, side="right").clip(max=len(lengths) - 1)
    return (index % np.uint64(n_classes)).astype(np.int32), np.asarray(lengths)[at]


INFO = np.dtype([("class_id", "<i4"), ("n_tokens", "<i4"), ("detected", "<i4"), ("snr_db", "<f4"),
                 ("measured_snr_db", "<f4"), ("share", "<f4"), ("rate_hz", "<f4"), ("bandwidth_hz", "<f4"),
                 ("truth_bandwidth_hz", "<f4"), ("overlap", "<f4"), ("variant", "S24")])


def outliers(info):
    """(N,) bool: examples of no class (class_id -1), shown in training so that `unknown` is learned."""
    return info["class_id"] < 0


class Chunk:
    """Packed examples: spectra (T, n_bins) uint8, aux (T, n_aux) float16, info (N,) of INFO, tokens in its order."""

    def __init__(self, spectra, aux, info):
        self.spectra, self.aux, self.info = spectra, aux, info
        self.starts = np.concatenate([[0], np.cumsum(info["n_tokens"])[:-1]]).astype(np.int64)

    @classmethod
    def of(cls, frames, info, n_bins):
        """frames: a list of (n_tokens, columns) float32, info: one INFO record each."""
        x = np.concatenate(frames)
        codes = np.clip(np.rint((x[:, :n_bins] + 4) * LEVELS), 0, 255).astype(np.uint8)
        return cls(codes, x[:, n_bins:].astype(np.float16), np.asarray(info, INFO))

    @classmethod
    def read(cls, path):
        with np.load(path) as f:
            return cls(f["spectra"], f["aux"], f["info"])

    def write(self, path):
        """Whole or not at all: a reader never sees half a file."""
        part = Path(str(path) + ".part")
        with part.open("wb") as f:
            np.savez(f, spectra=self.spectra, aux=self.aux, info=self.info)
        part.replace(path)

    def frames(self, i, length=None):
        """float32 (n_tokens, n_bins + n_aux), or (length, ...) cut or zeroed past the end."""
        n = int(self.info["n_tokens"][i])
        at = slice(self.starts[i], self.starts[i] + min(n, length or n))
        x = np.concatenate([self.spectra[at].astype(np.float32) / LEVELS - 4, self.aux[at].astype(np.float32)], 1)
        return x if length is None or n >= length else np.pad(x, ((0, length - n), (0, 0)))

    @staticmethod
    def join(chunks):
        return Chunk(np.concatenate([c.spectra for c in chunks]), np.concatenate([c.aux for c in chunks]),
                     np.concatenate([c.info for c in chunks]))


def chunk_name(split, k):
    return f"{split}-{k:08d}.npz"


def make_chunk(generator, split, first, count, snr, lengths, scene=1, outliers=0):
    """Examples first .. first + count of a split, up to `scene` from each scene; every `outliers`-th is of no class."""
    n_classes = len(generator.labels())
    classes, lengths = plan(split, first, count, n_classes, lengths)
    labels, frames, records = generator.labels(), [], []
    for i in range(count):
        outlier = outliers and generator.many is not None and (first + i) % outliers == outliers - 1
        strong = split == "train" and (first + i) % STRONG[0] == 0
        strongest = strong and (first + i) // STRONG[0] % 2 == 0 and labels[classes[i]] in STRONGEST[0]
        levels = STRONGEST[1] if strongest else STRONG[1] if strong else snr
        for x, info in generator.make_many(seed_of(split, first + i), -1 if outlier else int(classes[i]), int(lengths[i]), levels, scene):
            frames.append(x)
            records.append(tuple(getattr(info, name) for name in INFO.names))
    return Chunk.of(frames, np.array(records, INFO), generator.n_bins)


def labels_of(folder):
    """The classes of the examples in a folder: examples.py writes them down first."""
    path = Path(folder) / "labels.json"
    for _ in range(300):
        if path.exists():
            return json.loads(path.read_text())["labels"]
        time.sleep(.1)
    raise SystemExit(f"{path} is missing: make examples with train/examples.py")


def shape_of(folder, patience_s=0):
    """(n_bins, columns) of the examples in a folder."""
    labels_of(folder)
    shape = json.loads((Path(folder) / "labels.json").read_text())
    return shape["n_bins"], shape["columns"]


def read_split(folder, split, at_least=0, patience_s=0, report=print):
    """All chunks of a split as one; waits up to patience_s for at_least examples, then goes on with what there is."""
    seen, have, began = {}, 0, time.time()
    while True:
        for path in sorted(Path(folder).glob(split + "-*.npz")):
            if path.name not in seen:
                seen[path.name] = Chunk.read(path)
                have += len(seen[path.name].info)
        if have >= at_least or time.time() - began > patience_s:
            break
        time.sleep(1)
    if not seen:
        raise SystemExit(f"no examples {split}-*.npz in {folder}: make them with train/examples.py")
    if have < at_least:
        report(f"{split}: {have} of {at_least} examples came; going on with these")
    return Chunk.join([seen[name] for name in sorted(seen)])
