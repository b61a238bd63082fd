# SPDX-License-Identifier: GPL-3.0-or-later
"""attuned under test: a model of random weights, a recording, a configuration, the process, and what is counted of the checks.
The program's path is the first argument of whoever imports this."""
import array
import atexit
import cmath
import json
import math
import os
import random
import re
import signal
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

from child import bound

ATTUNED = os.path.abspath(sys.argv[1])
LABELS = ("noise carrier cw ook am ssb nfm wfm fsk2 gfsk fsk4 afsk psk_qam ofdm css ppm chirp").split()
failed = passed = 0


def until(what, good, seconds=300):
    """What good() gives once it is true; None and a failure after so long: a loaded machine is slow, not wrong."""
    end = time.monotonic() + seconds
    while True:
        got = good()
        if got:
            return got
        if time.monotonic() > end:
            check(what, False, "not within %d s" % seconds)
            return None
        time.sleep(0.1)


def check(what, ok, got=None):
    global failed, passed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAIL {what}: got {str(got)[:600]!r}", flush=True)


def write_model(path, labels=None, seed=1):
    """Seeded random weights at a small shape: what the daemon does with decisions does not hang on their truth."""
    labels, rng = labels or LABELS, random.Random(seed)
    d, ff, bins, classes, layers = 32, 64, 128, len(labels), 2
    tensors = {"embed.weight": (d, bins), "embed.bias": (d,), "norm.weight": (d,), "head.weight": (classes, d),
               "head.bias": (classes,)}
    for i in range(layers):
        p = f"layers.{i}."
        tensors |= {p + "norm1.weight": (d,), p + "norm2.weight": (d,), p + "mlp.up.weight": (ff, d),
                    p + "mlp.down.weight": (d, ff)}
        tensors |= {p + f"attn.{x}.weight": (d, d) for x in "qkvo"}
    config = {"n_bins": bins, "n_aux": 0, "d_model": d, "n_layers": layers, "n_heads": 2, "d_ff": ff,
              "n_classes": classes, "window": 1024, "kv_groups": 1, "segment": 32, "pool_block": 32, "mask": "causal",
              "norm": "rmsnorm", "rope_base": 1e4, "eps": 1e-5}
    head, blob = {"__metadata__": {"format": "attune-1", "config": json.dumps(config), "labels": json.dumps(labels)}}, b""
    for name, shape in tensors.items():
        n = math.prod(shape)
        scale = 1.0 if "norm" in name else 1 / math.sqrt(shape[-1])
        data = array.array("f", [1.0] * n if "norm" in name else [rng.gauss(0, scale) for _ in range(n)]).tobytes()
        head[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + blob)


def write_iq(path, rate=250000, seconds=3.0):
    """Noise, a steady carrier at +40 kHz and bursts of one at -60 kHz, as cu8."""
    rng = random.Random(2)
    n, out = int(rate * seconds), bytearray()
    noise = [rng.gauss(0, 4) for _ in range(65536)]
    a, b, wa, wb = 1 + 0j, 1 + 0j, cmath.exp(2j * math.pi * 40e3 / rate), cmath.exp(-2j * math.pi * 60e3 / rate)
    for i in range(n):
        k = (i * 40503) & 65535
        x = 25 * a + (40 * b if (i // 12500) % 8 == 3 else 0)
        a, b = a * wa, b * wb
        out.append(max(0, min(255, int(127.5 + x.real + noise[k]))))
        out.append(max(0, min(255, int(127.5 + x.imag + noise[(k + 32771 + i // 65536) & 65535]))))
    with open(path, "wb") as f:
        f.write(out)


def write_config(path, radios, extra="", port=0, history="", http=""):
    with open(path, "w") as f:
        f.write(f"""log: {{level: info, format: json}}
model: {{path: model.safetensors}}
http: {{listen: "127.0.0.1:{port}"{http}}}
bandplan: ""
cache_dir: cache
history: {{path: "{history}"}}
{extra}
radios:
""")
        for name, device, pace in radios:
            f.write(f"  - {{name: {name}, device: \"{device}\", pace: {pace}, "
                    f"bands: [{{name: {name}band, center: 433.92M, rate: 250k}}]}}\n")


class Daemon:
    def __init__(self, config, *args, env=None):
        self.p = subprocess.Popen([ATTUNED, "-c", config, *args], stderr=subprocess.PIPE, env=env, preexec_fn=bound())
        atexit.register(self.p.kill)  # a test that breaks off leaves none behind
        self.log, self.url = [], None
        while self.url is None:
            line = self.p.stderr.readline().decode()
            if not line:
                raise SystemExit(f"FAIL attuned ended: {self.log}")
            self.log.append(line)
            m = re.search(r'"url":"(http[^"]+)"', line)
            self.url = m and m[1]

    def get(self, path, method="GET", body=None, headers={}, url=None, context=None, timeout=120):
        q = urllib.request.Request((url or self.url) + path, method=method, data=body, headers=headers)
        try:
            with urllib.request.urlopen(q, timeout=timeout, context=context) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read()

    def json(self, path):
        return json.loads(self.get(path)[2])

    def wait(self, path, good, seconds=300):
        end = time.monotonic() + seconds
        while True:
            status, _, body = self.get(path)
            if good(status, body) or time.monotonic() > end:
                return status, body
            time.sleep(0.1)

    def stop(self, number=signal.SIGTERM):
        t = time.monotonic()
        self.p.send_signal(number)
        rest = self.p.stderr.read().decode()
        self.log += rest.splitlines()
        return self.p.wait(120), time.monotonic() - t


def verdict():
    """Says how many checks passed; the exit code."""
    print(f"{passed} passed, {failed} failed")
    return int(failed != 0)
