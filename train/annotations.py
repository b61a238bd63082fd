# SPDX-License-Identifier: GPL-3.0-or-later
"""SigMF recordings and their annotations, read for a fine-tune. What is wrong is said with file and annotation."""
import difflib
import json
import re
from pathlib import Path

import numpy as np

# samples as stored, as lib/source/convert.c has them: numpy type, offset and scale of full scale
TYPES = {"cf32_le": ("<f4", 0, 1), "ci32_le": ("<i4", 0, 2**31), "ci16_le": ("<i2", 0, 32768), "ci8": ("i1", 0, 128),
         "cu8": ("u1", 127.5, 128)}
LARGEST = 1e10  # of a sample; its power is still finite
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,22}$")
SAME = .5  # overlap in time and frequency from which two annotations mean one signal


class Bad(Exception):
    """What is wrong, for the user to mend."""


def read_meta(path):
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise Bad(f"{path}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise Bad(f"{path}: not UTF-8 text at byte {e.start}") from e
    except json.JSONDecodeError as e:
        raise Bad(f"{path}: line {e.lineno}, column {e.colno}: {e.msg}") from e
    if not isinstance(meta, dict) or not isinstance(meta.get("global"), dict):
        raise Bad(f"{path}: no SigMF: an object with \"global\" expected")
    return meta


def number(path, where, table, key, least=None, default=None):
    v = table.get(key, default)
    if v is None:
        raise Bad(f"{path}, {where}: {key} is missing")
    if isinstance(v, bool) or not isinstance(v, (int, float)) or not np.isfinite(v) or (least is not None and v < least):
        raise Bad(f"{path}, {where}: {key} is {v!r}: a number{'' if least is None else f' of at least {least}'} expected")
    return v


class Recording:
    """One SigMF recording: rate, centre, samples on demand, annotations as dicts of first, last, lo, hi, label, where."""

    def __init__(self, path):
        path = Path(path)
        self.path = path.with_suffix(".sigmf-meta") if path.suffix == ".sigmf-data" else path
        meta = read_meta(self.path)
        head = meta["global"]
        kind = head.get("core:datatype")
        if kind not in TYPES:
            raise Bad(f"{self.path}: core:datatype is {kind!r}: one of {', '.join(TYPES)} expected")
        self.dtype, self.offset, self.scale = TYPES[kind]
        self.rate = number(self.path, "global", head, "core:sample_rate")
        if not 8e3 <= self.rate <= 61.44e6:
            raise Bad(f"{self.path}: core:sample_rate is {self.rate:g}: 8e3 to 61.44e6 expected")
        self.data = self.path.with_suffix(".sigmf-data")
        if not self.data.is_file():
            raise Bad(f"{self.path}: its samples are missing: {self.data}")
        self.n = self.data.stat().st_size // (2 * np.dtype(self.dtype).itemsize)
        self.captures = meta.get("captures") or [{}]
        self.annotations = [self.annotation(a, f"annotation {i + 1}") for i, a in enumerate(meta.get("annotations") or [])]
        self.annotations = [a for a in self.annotations if a]
        self.check()

    def center(self, sample):
        at = 0.0
        for c in self.captures:
            if c.get("core:sample_start", 0) <= sample:
                at = float(c.get("core:frequency", 0))
        return at

    def annotation(self, a, where):
        if not isinstance(a, dict):
            raise Bad(f"{self.path}, {where}: an object expected")
        first = int(number(self.path, where, a, "core:sample_start", 0))
        count = int(number(self.path, where, a, "core:sample_count", 1, self.n - first if first < self.n else None))
        label = a.get("core:label")
        if label is None:  # a comment, not a teaching
            return None
        if not isinstance(label, str) or not NAME.match(label):
            raise Bad(f"{self.path}, {where}: label {label!r}: 1 to 23 of a-z, 0-9, _ and - expected")
        if first + count > self.n:
            raise Bad(f"{self.path}, {where}: ends at sample {first + count}, the recording at {self.n}")
        center = self.center(first)
        lo = number(self.path, where, a, "core:freq_lower_edge") - center
        hi = number(self.path, where, a, "core:freq_upper_edge") - center
        if not lo < hi:
            raise Bad(f"{self.path}, {where}: core:freq_lower_edge is not below core:freq_upper_edge")
        if lo < -self.rate / 2 - 1 or hi > self.rate / 2 + 1:
            raise Bad(f"{self.path}, {where}: {lo + center:.0f} to {hi + center:.0f} Hz is outside the recording, "
                      f"{center - self.rate / 2:.0f} to {center + self.rate / 2:.0f} Hz")
        return {"first": first, "last": first + count, "lo": max(lo, -self.rate / 2), "hi": min(hi, self.rate / 2), "label": label, "where": where}

    def check(self):
        """Two annotations of one signal must agree."""
        common = lambda a, b, lo, hi: max(0, min(a[hi], b[hi]) - max(a[lo], b[lo])) / max(a[hi] - a[lo], b[hi] - b[lo])
        for i, a in enumerate(self.annotations):
            for b in self.annotations[:i]:
                if a["label"] != b["label"] and common(a, b, "first", "last") > SAME and common(a, b, "lo", "hi") > SAME:
                    raise Bad(f"{self.path}, {a['where']}: {a['label']}, but {b['where']} calls the same signal {b['label']}")

    def samples(self, first, last):
        """float32 (last - first, 2), full scale 1; 0 where a sample is not finite or larger than LARGEST."""
        x = np.fromfile(self.data, self.dtype, 2 * (last - first), offset=first * 2 * np.dtype(self.dtype).itemsize)
        x = ((x.astype(np.float32) - np.float32(self.offset)) / np.float32(self.scale)).reshape(-1, 2)
        x[~(np.abs(x) <= LARGEST).all(1)] = 0
        return x


def read_all(paths, known, fresh):
    """Recordings of these files and folders; every label known to the model or said to be new."""
    files = []
    for p in map(Path, paths):
        files += sorted(p.rglob("*.sigmf-meta")) if p.is_dir() else [p]
    recordings = [Recording(f) for f in files]
    allowed = list(known) + list(fresh)
    for r in recordings:
        for a in r.annotations:
            if a["label"] not in allowed:
                near = difflib.get_close_matches(a["label"], allowed, 1)
                raise Bad(f"{r.path}, {a['where']}: the model has no label {a['label']!r}" + (f" (did you mean {near[0]}?)" if near else "")
                          + f"; to teach it: --new-label {a['label']}")
    for label in fresh:
        if label in known:
            raise Bad(f"--new-label {label}: the model has that label already")
        if not NAME.match(label) or label in ("unknown", "weak"):
            raise Bad(f"--new-label {label}: 1 to 23 of a-z, 0-9, _ and - expected, not unknown or weak")
        if not any(a["label"] == label for r in recordings for a in r.annotations):
            raise Bad(f"--new-label {label}: no annotation has it")
    if not any(r.annotations for r in recordings):
        raise Bad("no labelled annotations in " + (", ".join(map(str, paths)) or "nothing"))
    return recordings
