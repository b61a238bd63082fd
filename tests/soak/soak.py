#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs attuned for a long time with three simulated radios, faults at random, HTTP clients and reloads, and measures
whether it stays what it was: memory by regression, descriptors, threads and processes at rest, the ledger of samples.
Usage: soak.py BUILD MODEL [--seconds 300] [--seed 1] [--rate 250k] [--kv-mb 480] [--out soak-report]
SIGTERM or SIGINT ends it early, with a verdict on what there is. Leaves report.json, soak.svg, attuned.log in --out; exits with 1 where something is wrong."""
import argparse
import collections
import json
import mmap
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../support"), HERE]
from attunesim import WORDS, counts  # noqa: E402
from child import bound  # noqa: E402
import report  # noqa: E402

NEVER = 10**15  # samples: a step of a script that waits until this program asks for it
LOSSES = ["overflow:1234", "gap:4321", "corrupt", "overlong", "nan:5", "corrupt:777"]
OTHERS = ["throw", "code:9", "zero", "back:5000", "timeout:400", "timeout:2500"]
LIVES = ["unplug:6500", "hang:0", "hang:2500", "abort", "crash"]
# steady: what is lost is known to the sample; wild: dies too; other: the same, and is made anew by reloads
RADIOS = {"steady": LOSSES, "wild": LOSSES + OTHERS + LIVES, "other": LOSSES + OTHERS + LIVES}
TOKEN = "s" * 32
EXPECTED_ERRORS = ("(the old configuration stays)",)
REST_S = 60.0
TICK_S = 2.0


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", help="folder with daemon/attuned, tools/attune and soapy-sim")
    p.add_argument("model")
    p.add_argument("--seconds", type=float, default=300)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--rate", default="250k")
    p.add_argument("--out", default="soak-report")
    p.add_argument("--fault-every", type=float, default=8, help="mean seconds from fault to fault")
    p.add_argument("--kv-mb", type=float, default=480, help="megabytes for caches: a short run wants few, so that it has seen all of them")
    p.add_argument("--bound", type=float, default=None, help="MiB an hour that memory may grow; by the length where not given")
    return p.parse_args()


class Script:
    """The receiver's counts, mapped: a fault is asked for by moving its script on."""

    def __init__(self, path, steps):
        self.path, self.steps, self.map = path, steps, None

    def ask(self, i, seconds=20):
        """Lets step i strike at the next read. Whether it did."""
        if not self.map:
            try:
                with open(self.path, "r+b") as f:
                    self.map = mmap.mmap(f.fileno(), 8 * len(WORDS))
            except (OSError, ValueError):
                return False
        at_steps, at_since = 8 * WORDS.index("steps"), 8 * WORDS.index("since_step")
        end = time.monotonic() + seconds
        struct.pack_into("<Q", self.map, at_steps, i)
        while time.monotonic() < end:
            struct.pack_into("<Q", self.map, at_since, 2 * NEVER)  # the receiver adds to it: it may win once or twice
            time.sleep(0.05)
            if struct.unpack_from("<Q", self.map, at_steps)[0] != i:
                return True
        struct.pack_into("<Q", self.map, at_since, 0)
        return False


def process_figures(pid):
    """Memory in KiB, descriptors by kind, threads of a process; None where it is gone."""
    try:
        roll = open(f"/proc/{pid}/smaps_rollup", encoding="ascii").read()
        kinds = collections.Counter()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                name = os.readlink(f"/proc/{pid}/fd/{fd}")
            except OSError:
                continue
            kinds[re.sub(r":\[\d+\]|[(]deleted[)]|\d+", "", name).strip()] += 1
        threads = len(os.listdir(f"/proc/{pid}/task"))
    except (OSError, ValueError):
        return None
    kib = {m[1].lower(): int(m[2]) for m in re.finditer(r"(?m)^(Rss|Pss|Private_Dirty):\s+(\d+) kB", roll)}
    return {"rss": kib["rss"], "pss": kib["pss"], "dirty": kib["private_dirty"], "fds": dict(kinds), "threads": threads}


def children(pid):
    try:
        return [int(x) for t in os.listdir(f"/proc/{pid}/task") for x in open(f"/proc/{pid}/task/{t}/children", encoding="ascii").read().split()]
    except (OSError, ValueError):
        return []


def helper_name(pid):
    try:
        return open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")[2].decode()
    except (OSError, IndexError):
        return None


def cpu_s(pid):
    try:
        words = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
        return sum(int(x) for x in words[11:15]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0


def connections(port):
    """TCP connections of the server's port that are not yet over on its side."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        words = [line.split() for line in f.readlines()[1:]]
    return sum(w[1].endswith(f":{port:04X}") and w[3] not in ("0A", "06") for w in words)


class Soak:
    def __init__(self, a):
        self.a, self.rng = a, random.Random(a.seed)
        self.out = os.path.abspath(a.out)
        shutil.rmtree(self.out, ignore_errors=True)
        os.makedirs(self.out)
        self.folder = os.path.join(self.out, "run")
        os.makedirs(self.folder)
        self.config = os.path.join(self.folder, "attuned.yaml")
        self.scripts = {n: Script(f"{self.folder}/{n}.counts", s) for n, s in RADIOS.items()}
        self.change = 0
        self.faults, self.samples, self.rests, self.wrong = [], [], [], []
        self.http = collections.Counter()
        self.events = self.longest = 0
        self.resting, self.ended, self.over = threading.Event(), threading.Event(), threading.Event()
        self.last = {}
        self.made = collections.Counter()  # radio -> how often a reload made it anew

    # ---- the daemon ----

    def write_config(self, broken=""):
        with open(self.config + ".new", "w", encoding="utf-8") as f:
            f.write(f"""log: {{level: info, format: json}}
site: {{name: soak{self.change}}}
soapy: {{modules: [{os.path.abspath(self.a.build)}/soapy-sim]}}
model: {{path: {os.path.abspath(self.a.model)}}}
http: {{listen: "127.0.0.1:0", token_file: token}}
history: {{path: history.db, max_mb: 16}}
budget: {{latency_ms: {30 + self.change % 3}, kv_mb: {self.a.kv_mb:g}}}
bandplan: ""
cache_dir: cache
{broken}
radios:
""")
            for name, steps in RADIOS.items():
                native = "native=CF32," if name != "wild" else ""
                script = ";".join(s.replace(":", f"@{NEVER}:") if ":" in s else f"{s}@{NEVER}" for s in [*steps, "timeout:0"])
                ppm = self.change if name == "other" else 0
                f.write(f'  - {{name: {name}, ppm: {ppm}, device: "driver=attunesim,serial={name},file={self.folder}/{name}.cs16,{native}'
                        f'counts={self.folder}/{name}.counts,script={script}", bands: [{{name: {name}, center: 433.92M, rate: {self.a.rate}}}]}}\n')
        os.replace(self.config + ".new", self.config)

    def make_band(self, path, seed):
        """A recording of 24 s that loops: steady and bursty signals side by side, then as long nothing but noise."""
        rate = float(self.a.rate.replace("k", "e3").replace("M", "e6"))
        signals = [("ook", "pt2262", -0.34), ("gfsk", "ais", -0.17), ("carrier", "carrier_steady", 0.02), ("fsk4", "dmr", 0.18),
                   ("afsk", "aprs_1200", 0.35)]
        total = np.zeros(int(12 * rate), np.complex64)
        one = os.path.join(self.folder, "one.cf32")
        for i, (kind, variant, at) in enumerate(signals):
            subprocess.run([os.path.abspath(self.a.build) + "/tools/attune", "synth", "--class", kind, "--variant", variant, "--rate", self.a.rate,
                            "--offset", str(at * rate), "--seconds", "12", "--seed", str(10 * seed + i), "--snr", "22", "--loop", one], check=True)
            iq = np.fromfile(one, np.complex64)[:len(total)]
            total[:len(iq)] += iq
        total *= 0.5 / np.abs(total).max()
        rng = np.random.default_rng(seed)
        quiet = (rng.standard_normal(2 * len(total)) * 3e-4).astype(np.float32).view(np.complex64)
        total = np.concatenate([total + quiet, quiet])
        (total.view(np.float32) * 32767).astype("<i2").tofile(path)
        os.unlink(one)

    def start(self):
        for i, name in enumerate(RADIOS):
            self.make_band(f"{self.folder}/{name}.cs16", 10 * self.a.seed + i)
        with open(os.path.join(self.folder, "token"), "w", encoding="ascii") as f:
            f.write(TOKEN + "\n")
        os.chmod(os.path.join(self.folder, "token"), 0o600)
        self.write_config()
        self.log_path = os.path.join(self.out, "attuned.log")
        with open(self.log_path, "wb") as log:
            self.p = subprocess.Popen([os.path.abspath(self.a.build) + "/daemon/attuned", "-c", self.config], stderr=log, stdin=subprocess.DEVNULL,
                                      preexec_fn=bound())
        end = time.monotonic() + 300
        while time.monotonic() < end and self.p.poll() is None:
            m = re.search(r'"url":"(http[^"]+)"', open(self.log_path, encoding="utf-8", errors="replace").read())
            if m:
                self.url = m[1]
                self.port = int(self.url.rsplit(":", 1)[1].strip("/"))
                return
            time.sleep(0.1)
        raise SystemExit(f"soak: attuned did not start: see {self.log_path}")

    def get(self, path, method="GET", body=None, headers=()):
        q = urllib.request.Request(self.url + path, method=method, data=body, headers=dict(headers))
        t = time.monotonic()
        try:
            with urllib.request.urlopen(q, timeout=120) as r:
                got = r.status, r.read()
        except urllib.error.HTTPError as e:
            got = e.code, e.read()
        if method == "GET":  # a reload waits for the radios that it ends
            self.longest = max(self.longest, time.monotonic() - t)
        self.http[f"{method} {got[0]}"] += 1
        return got

    def bad(self, text):
        self.wrong.append({"t": round(time.monotonic() - self.began, 1), "what": text})
        print(f"soak: WRONG at {time.monotonic() - self.began:.0f} s: {text}", flush=True)

    # ---- clients ----

    def ask_at_random(self, rng):
        paths = ["/", "/healthz", "/metrics", "/api/v1/status", "/api/v1/radios", "/api/v1/bands", "/api/v1/selector", "/api/v1/backends",
                 "/api/v1/model", "/api/v1/waterfall", "/api/v1/spectrum?radio=steady", "/api/v1/emissions?limit=50", "/nope",
                 "/api/v1/emissions?state=ended&min_snr=20&limit=200", "/api/v1/openapi.json", "/readyz", "/api/v1/emissions?cursor=zz"]
        path = rng.choice(paths)
        status, body = self.get(path)
        if path == "/healthz" and status != 200:
            self.bad(f"/healthz says {status}: {body[:200]}")
        if status >= 500 and path != "/readyz" and b'"not_ready"' not in body:
            self.bad(f"{path}: {status}: {body[:200]}")
        if path.startswith("/api/v1/emissions?limit") and rng.random() < 0.3:
            items = json.loads(body)["items"]
            if items:
                one = rng.choice(items)["id"]
                self.get(f"/api/v1/emissions/{one}")
                self.get(f"/api/v1/emissions/{one}/iq")
        if rng.random() < 0.01:
            n = 250000 // 4
            iq = bytes(rng.randrange(100, 156) for _ in range(2 * n))
            self.get("/api/v1/classify?datatype=cu8&rate_hz=250000&center_hz=433920000", "POST", iq,
                     {"Content-Type": "application/octet-stream", "Authorization": "Bearer " + TOKEN})

    def rude(self, rng):
        """Half a request, none, garbage, or one whose answer is not read."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
            s.sendall(rng.choice([b"", b"GET /metr", b"\0\xff\r\n\r\n", b"GET /api/v1/waterfall HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
                                  b"POST /api/v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"]))
            time.sleep(rng.random() * 0.3)

    def client(self, seed):
        rng = random.Random(seed)
        while not self.ended.is_set():
            if self.resting.is_set():
                time.sleep(0.2)
                continue
            try:
                self.rude(rng) if rng.random() < 0.15 else self.ask_at_random(rng)
            except (OSError, ValueError) as e:
                self.http[f"client {type(e).__name__}"] += 1
            time.sleep(rng.expovariate(2.5))

    def stream(self, seed):
        """Follows the events; leaves and comes back; now and then does not read."""
        rng = random.Random(seed)
        while not self.ended.is_set():
            if self.resting.is_set():
                time.sleep(0.2)
                continue
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as s:
                    s.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
                    deaf, until = rng.random() < 0.1, time.monotonic() + rng.uniform(1, 50)
                    while time.monotonic() < until and not self.ended.is_set() and not self.resting.is_set():
                        if deaf:
                            time.sleep(0.5)
                            continue
                        try:
                            got = s.recv(65536)
                        except TimeoutError:
                            continue
                        if not got:
                            break
                        self.events += got.count(b"\nid:") + got.count(b"\nevent:")
            except OSError as e:
                self.http[f"stream {type(e).__name__}"] += 1
                time.sleep(0.5)

    # ---- faults ----

    def fault(self):
        name = self.rng.choice(list(RADIOS))
        what = self.rng.choice([*RADIOS[name], *(["kill"] * 2 if name != "steady" else []), "reload", "reload", "broken", "hup"])
        done = True
        if what == "kill":
            own = [p for p in children(self.p.pid) if helper_name(p) == name]
            done = bool(own)
            for p in own:
                os.kill(p, signal.SIGKILL)
        elif what in ("reload", "hup"):
            self.change += 1
            self.write_config()
            self.reload(by_signal=what == "hup")
        elif what == "broken":
            self.write_config(self.rng.choice(["nonsense: 1", "budget: {latency_ms: x}", "lookback: {keep: 1s}", "site: [", "log: {level: loud}"]))
            if self.rng.random() < 0.5:
                self.reload(want=409)
            else:
                for _ in range(self.rng.choice([1, 50])):
                    os.kill(self.p.pid, signal.SIGHUP)
                time.sleep(1)
            self.write_config()
        else:
            done = self.scripts[name].ask(RADIOS[name].index(what))
        self.faults.append({"t": round(time.monotonic() - self.began, 2), "radio": name, "what": what, "struck": done})

    def reload(self, want=200, by_signal=False):
        """The radio `other` is made anew by each that is applied: its ledger begins again."""
        if by_signal:
            os.kill(self.p.pid, signal.SIGHUP)
            time.sleep(1)
        else:
            status, body = self.get("/api/v1/reload", "POST", b"", {"Authorization": "Bearer " + TOKEN})
            if status != want:
                self.bad(f"reload: {status} instead of {want}: {body[:300]}")
        if want == 200:
            self.made["other"] += 1

    # ---- measuring ----

    def radios(self):
        return {r["name"]: r for r in json.loads(self.get("/api/v1/radios")[1])["items"]}

    def check_ledger(self, now):
        """In each answer, for each radio: what was due is what arrived and what was lost, no more was processed than arrived,
        and nothing is counted back."""
        for name, r in now.items():
            s = r["samples"]
            if s["requested"] != s["delivered"] + sum(s["lost"].values()):
                self.bad(f"{name}: requested {s['requested']} != delivered {s['delivered']} + lost {s['lost']}")
            if s["processed"] > s["delivered"]:
                self.bad(f"{name}: processed {s['processed']} of {s['delivered']} that were delivered")
            before = self.last.get(name)
            if before and before[0] == self.made[name] and any(s[k] < before[1][k] for k in ("requested", "delivered", "processed")):
                self.bad(f"{name}: counted back from {before[1]} to {s}")
            self.last[name] = (self.made[name], s)

    def sample(self, rest=False):
        if self.p.poll() is not None:
            raise SystemExit(f"soak: attuned ended with {self.p.returncode}")
        own = children(self.p.pid)
        d = process_figures(self.p.pid)
        now = self.radios()
        self.check_ledger(now)
        one = {"t": round(time.monotonic() - self.began, 2), "daemon": d, "children": len(own), "cpu_s": cpu_s(self.p.pid),
               "helpers": {helper_name(p): process_figures(p) for p in own},
               "states": {n: r["state"] for n, r in now.items()}, "reconnects": {n: r["reconnects"] for n, r in now.items()},
               "samples": {n: r["samples"] for n, r in now.items()}}
        (self.rests if rest else self.samples).append(one)
        return one

    def rest(self):
        """Nobody asks, nothing breaks: all radios run, connections are closed (a stream that went while nothing happened is
        seen by the next comment that is sent to it, after 15 s). What it holds now, it holds at each rest."""
        self.resting.set()
        end, calm = time.monotonic() + 240, 0
        while time.monotonic() < end and calm < 4:
            running = all(r["state"] == "running" for r in self.radios().values())
            calm = calm + 1 if running and len(children(self.p.pid)) == len(RADIOS) else 0
            time.sleep(1)
        while connections(self.port) and time.monotonic() < end:
            time.sleep(0.2)
        if connections(self.port):
            self.bad(f"at rest {connections(self.port)} connections are still open after 240 s")
        if calm < 4:
            self.bad(f"at rest not all radios run within 240 s: { {n: (r['state'], r.get('error')) for n, r in self.radios().items()} }")
        one = self.sample(rest=True)
        status, body = self.get("/healthz")
        if status != 200:
            self.bad(f"/healthz at rest: {status} {body[:200]}")
        self.resting.clear()
        print(f"soak: {one['t']:.0f} s: rss {one['daemon']['rss'] / 1024:.2f} MiB, pss {one['daemon']['pss'] / 1024:.2f}, "
              f"{sum(one['daemon']['fds'].values())} descriptors, {one['daemon']['threads']} threads, {one['children']} helpers, "
              f"{len(self.faults)} faults, {sum(self.http.values())} requests, cpu {one['cpu_s']:.0f} s, {len(self.wrong)} wrong", flush=True)
        self.save()

    # ---- the end ----

    def final_ledger(self):
        """All radios fall silent; then the sums of the daemon and the simulator stand side by side (report.py compares)."""
        for name, script in self.scripts.items():
            if not script.ask(len(RADIOS[name]), 240):
                self.bad(f"{name}: could not be silenced at the end")
        end, before, now = time.monotonic() + 240, None, self.radios()
        while before != [r["samples"] for r in now.values()] and time.monotonic() < end:
            before = [r["samples"] for r in now.values()]
            time.sleep(4)  # for what still is in the rings
            now = self.radios()
        self.check_ledger(now)
        out = {}
        for name, r in now.items():
            s, sim = r["samples"], counts(self.scripts[name].path)
            out[name] = {"daemon": s, "simulator": sim, "reconnects": r["reconnects"]}
        return out

    def read_log(self):
        lines = collections.Counter()
        for text in open(self.log_path, encoding="utf-8", errors="replace"):
            if not text.strip():
                continue
            try:
                line = json.loads(text)
            except ValueError:
                self.bad(f"log line is no JSON: {text[:200]}")
                continue
            kind = re.sub(r"\d[\d.,]*", "N", line.get("message", ""))[:110]
            lines[f"{line['level']}: {kind}"] += 1
            if line["level"] == "error" and not any(w in line["message"] for w in EXPECTED_ERRORS):
                self.bad(f"log: {line['message'][:300]}")
        return dict(lines.most_common())

    def save(self, **more):
        text = {"seconds": round(min(self.a.seconds, time.monotonic() - self.began), 1), "seed": self.a.seed, "rate": self.a.rate, "faults": self.faults, "rests": self.rests,
                "samples": self.samples, "http": dict(self.http), "events": self.events, "slowest_answer_s": round(self.longest, 3),
                "wrong": self.wrong, **more}
        with open(os.path.join(self.out, "report.json.new"), "w", encoding="utf-8") as f:
            json.dump(text, f, indent=None, separators=(",", ":"))
        os.replace(os.path.join(self.out, "report.json.new"), os.path.join(self.out, "report.json"))
        return text

    def loop(self):
        """Faults, samples and rests until the time is over."""
        next_fault, next_rest, next_sample = 5.0, 20.0, 0.0
        while (t := time.monotonic() - self.began) < self.a.seconds and not self.over.is_set():
            try:
                if t >= next_rest:
                    next_rest = t + 2 * REST_S
                    self.rest()
                    next_rest = time.monotonic() - self.began + REST_S
                elif t >= next_fault:
                    next_fault = t + self.rng.expovariate(1 / self.a.fault_every)
                    self.fault()
                elif t >= next_sample:
                    next_sample = t + max(TICK_S, self.a.seconds / 2000)
                    self.sample()
                else:
                    time.sleep(0.1)
            except OSError as e:  # an answer that does not come is a finding, not the end of the run
                if self.p.poll() is not None:
                    raise
                self.bad(f"no answer: {e!r}")

    def run(self):
        self.began = time.monotonic()
        self.start()
        end = time.monotonic() + 300
        while self.get("/readyz")[0] != 200 and time.monotonic() < end:
            time.sleep(0.5)
        self.began = time.monotonic()
        signal.signal(signal.SIGTERM, lambda *_: self.over.set())
        signal.signal(signal.SIGINT, lambda *_: self.over.set())
        threads = [threading.Thread(target=f, args=(self.a.seed * 100 + i,), daemon=True)
                   for i, f in enumerate([self.client, self.client, self.stream, self.stream, self.stream])]
        for t in threads:
            t.start()
        try:
            self.loop()
            self.rest()
            self.ended.set()
            for t in threads:
                t.join(30)
            ledger = self.final_ledger()
            t = time.monotonic()
            self.p.send_signal(signal.SIGTERM)
            code = self.p.wait(30)
            if code != 0 or time.monotonic() - t > 5:
                self.bad(f"SIGTERM: exit {code} after {time.monotonic() - t:.1f} s")
        finally:
            if self.p.poll() is None:
                self.p.kill()
                self.p.wait()
        log = self.read_log()
        verdict = report.judge(self.save(ledger=ledger), self.a.bound)
        for text in verdict["failures"]:
            self.bad(text)
        whole = self.save(ledger=ledger, log=log, verdict=verdict)
        with open(os.path.join(self.out, "soak.svg"), "w", encoding="utf-8") as f:
            f.write(report.picture(whole))
        print(report.words(whole), flush=True)
        return 1 if self.wrong else 0


if __name__ == "__main__":
    sys.exit(Soak(arguments()).run())
