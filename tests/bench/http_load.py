#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""http_load.py BUILD [--seconds N]: the load that the HTTP side must bear, beside a radio at 2.4 MS/s.

Three loads on loopback, one after the other: /metrics of the second server by wrk; 500 readers of events, of which 50 read
nothing; 200 connections of one address that send their headers a byte at a time, while another address asks. For each: what was
wanted, what came, and what the radio lost meanwhile. For a quiet machine with wrk; exit 1 where a row is missed.
"""
import argparse, json, os, re, selectors, socket, subprocess, sys, tempfile, time, urllib.request
from pathlib import Path

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from child import bound  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
MAIN, SECOND = 18650, 18651


def get(path, port=MAIN):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as r:
        return r.read().decode()


def count(name):
    return sum(float(s.rsplit(" ", 1)[1]) for s in get("/metrics").splitlines() if re.match(name + r"[ {]", s))


class Daemon:
    def __init__(self, build, folder):
        (folder / "a.yaml").write_text(f"""
http: {{listen: "127.0.0.1:{MAIN}", metrics_listen: "127.0.0.1:{SECOND}", max_connections: 1200}}
model: {{path: {ROOT}/models/attune-base.safetensors}}
history: {{path: {folder}/history.db}}
cache_dir: {folder}/cache
bandplan: ""
soapy: {{modules: ["{build}/soapy-sim"]}}
radios:
  - {{name: sim, device: "driver=attunesim,scene=demo,duration=2", bands: [{{name: demo, center: 433.92M, rate: 2.4M}}]}}
""")
        self.p = subprocess.Popen([build / "daemon/attuned", "-c", folder / "a.yaml"], stderr=open(folder / "log", "w"), preexec_fn=bound())
        end = time.monotonic() + 90
        while True:
            try:
                get("/readyz")
                break
            except OSError:
                if self.p.poll() is not None or time.monotonic() > end:
                    raise SystemExit((folder / "log").read_text())
                time.sleep(0.2)
        time.sleep(3)

    def stop(self):
        self.p.terminate()
        self.p.wait(20)


def metrics(seconds):
    text = subprocess.run(["wrk", "-t", "1", "-c", "32", "-d", f"{seconds}s", "--latency", f"http://127.0.0.1:{SECOND}/metrics"],
                          capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", text)[1])
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    p99_ms = float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return {"what": "metrics", "requests_per_s": rate, "p99_ms": p99_ms, "refused": int(bad[1]) if bad else 0,
            "ok": rate >= 20000 and p99_ms < 20 and not bad}


def connect(source, buffer=0):
    s = socket.socket()
    if buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    s.bind((source, 0))
    s.connect(("127.0.0.1", MAIN))
    return s


def events(seconds, readers=450, idle=50):
    """Readers take what they asked for (everything but spectra); the idle ones asked for all and take nothing: those that
    the ring of 4096 events has overtaken are dropped, which takes a minute of this scene."""
    before, sel, silent = count("attune_sse_dropped_total"), selectors.DefaultSelector(), []
    seen, lost = [0] * readers, 0
    for i in range(readers + idle):
        s = connect(f"127.0.1.{i // 50 + 1}", 0 if i < readers else 4096)  # of one address 64 are let in
        types = b"?types=emission,decision,selector,radio" if i < readers else b""
        s.sendall(b"GET /api/v1/events" + types + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if i < readers:
            s.setblocking(False)
            sel.register(s, selectors.EVENT_READ, i)
        else:
            silent.append(s)
    end, worst_ms = time.monotonic() + seconds, 0.0
    ask = time.monotonic() + 1
    while time.monotonic() < end:
        for key, _ in sel.select(0.05):
            try:
                data = key.fileobj.recv(1 << 16)
                seen[key.data] += data.count(b"\nid: ")
            except OSError:
                data = b""
            if not data:
                lost += 1
                sel.unregister(key.fileobj)
                key.fileobj.close()
        if time.monotonic() > ask:
            began = time.monotonic()
            get("/healthz", SECOND)
            worst_ms = max(worst_ms, 1e3 * (time.monotonic() - began))
            ask = time.monotonic() + 1
    dropped = count("attune_sse_dropped_total") - before
    streams = sum(n > 0 for n in seen)
    for key in list(sel.get_map().values()):
        key.fileobj.close()
    for s in silent:
        s.close()
    return {"what": "events", "clients": readers + idle, "readers_served": streams, "readers_lost": lost, "events_each": sorted(seen)[len(seen) // 2],
            "dropped": dropped, "healthz_worst_ms": worst_ms, "ok": streams == readers and lost == 0 and (dropped == idle or max(seen) < 4500)}


def slow_headers(seconds, n=200):
    slow, times = [], []
    for _ in range(n):
        try:
            s = connect("127.0.0.2")
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
            slow.append(s)
        except OSError:
            pass
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for s in slow:
            try:
                s.sendall(b"a")
            except OSError:
                pass
        for _ in range(10):
            began = time.monotonic()
            get("/healthz")
            times.append(1e3 * (time.monotonic() - began))
            time.sleep(0.02)
    for s in slow:
        s.close()
    return {"what": "slow_headers", "connections": n, "asked": len(times), "worst_ms": max(times),
            "median_ms": sorted(times)[len(times) // 2], "ok": max(times) < 100}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("build", type=lambda p: Path(p).resolve())
    a.add_argument("--seconds", type=int, default=15, help="of each load")
    a = a.parse_args()
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        d = Daemon(a.build, Path(folder))
        try:
            for load in (metrics, events, slow_headers):
                due, lost = count("attune_samples_total"), count("attune_samples_lost_total")
                row = load(a.seconds)
                row["samples_due"] = count("attune_samples_total") - due
                row["samples_lost"] = count("attune_samples_lost_total") - lost
                row["ok"] = row["ok"] and row["samples_lost"] == 0
                ok &= row["ok"]
                print(json.dumps({**row, "load": os.getloadavg()[0]}), flush=True)
        finally:
            d.stop()
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
