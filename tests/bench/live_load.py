#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs attuned on a simulated radio for a while and states losses, latency, memory and processor time.
Usage: live_load.py ATTUNED MODULES MODEL [--seconds 300] [--rate 2.4M] [--scene demo] [--cores 2]"""
import argparse, json, os, re, signal, subprocess, sys, tempfile, time, urllib.request


def threads(pid):
    """Processor seconds of each thread, by name."""
    out = {}
    for t in os.listdir(f"/proc/{pid}/task"):
        try:
            text = open(f"/proc/{pid}/task/{t}/stat").read()
        except OSError:
            continue
        f = text.rsplit(")", 1)[1].split()
        out[int(t)] = (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")
    return out


def main():
    a = argparse.ArgumentParser()
    for x in ("attuned", "modules", "model"):
        a.add_argument(x)
    a.add_argument("--seconds", type=float, default=300)
    a.add_argument("--rate", default="2.4M")
    a.add_argument("--scene", default="demo")
    a.add_argument("--cores", type=int, default=2)
    a = a.parse_args()
    folder = tempfile.mkdtemp()
    with open(f"{folder}/c.yaml", "w") as f:
        f.write(f"""soapy: {{modules: [{os.path.abspath(a.modules)}]}}
model: {{path: {os.path.abspath(a.model)}}}
bandplan: ""
cache_dir: {folder}/cache
history: {{path: {folder}/history.db}}
budget: {{cores: {a.cores}}}
http: {{listen: "127.0.0.1:0"}}
log: {{format: json}}
radios: [{{name: sim, device: "driver=attunesim,scene={a.scene}", bands: [{{name: demo, center: 433.92M, rate: {a.rate}}}]}}]
""")
    p = subprocess.Popen([a.attuned, "-c", f"{folder}/c.yaml"], stderr=open(f"{folder}/log", "w"))
    url = None
    while not url:
        time.sleep(0.1)
        url = (re.search(r'"url":"(http[^"]+)"', open(f"{folder}/log").read()) or [None, None])[1]
    ask = lambda path: urllib.request.urlopen(url + path, timeout=10).read().decode()
    while True:
        try:
            ask("/readyz")
            break
        except OSError:
            time.sleep(0.2)
    time.sleep(5)
    begin, cpu, rows = time.monotonic(), threads(p.pid), []
    def value(page, pattern):
        return sum(float(v) for v in re.findall(rf"(?m)^{pattern} (\S+)$", page))
    def buckets(page):
        return [(float(le.replace("+Inf", "inf")), float(n)) for le, n in
                re.findall(r'attune_decision_latency_seconds_bucket\{le="([^"]+)"\} (\S+)', page)]
    first = ask("/metrics")
    while time.monotonic() - begin < a.seconds:
        time.sleep(5)
        page = ask("/metrics")
        rows.append((time.monotonic() - begin, value(page, "process_resident_memory_bytes"), value(page, r"attune_samples_lost_total\{.*\}"),
                     value(page, "process_open_fds")))
    wall, after = time.monotonic() - begin, threads(p.pid)
    status, load = json.loads(ask("/api/v1/status")), os.getloadavg()
    counts = [(le, n - m) for (le, n), (_, m) in zip(buckets(page), buckets(first))]
    total = counts[-1][1]
    quantile = lambda q: next(le for le, n in counts if n >= q * total)
    half = [r for r in rows if r[0] > wall / 2]
    mean = lambda k: sum(r[k] for r in half) / len(half)
    slope = sum((r[0] - mean(0)) * (r[1] - mean(1)) for r in half) / sum((r[0] - mean(0)) ** 2 for r in half)
    t = time.monotonic()
    p.send_signal(signal.SIGTERM)
    code = p.wait(10)
    shares = sorted(((after[k] - cpu.get(k, 0)) / wall for k in after), reverse=True)
    print(json.dumps({
        "seconds": round(wall), "backend": status["backend"],
        "samples_due": value(page, r"attune_samples_total\{.*\}"), "samples_lost": rows[-1][2],
        "lost_in_run": rows[-1][2] - value(first, r"attune_samples_lost_total\{.*\}"),
        "decisions": total, "decisions_per_s": round(total / wall, 1), "latency_p50_s_below": quantile(0.5),
        "latency_p95_s_below": quantile(0.95), "share_within_30_ms": round(next(n for le, n in counts if le == 0.03) / total, 4),
        "newest_1024_p95_ms": round(status["decisions"]["latency_p95_ms"], 1),
        "inference_p95_ms": round(status["decisions"]["inference_p95_ms"], 2),
        "tokens_skipped_share": round(status["decisions"]["tokens_skipped"] / max(1, status["decisions"]["tokens_skipped"] + status["decisions"]["tokens"]), 4),
        "emissions_alive": status["emissions"]["active"], "emissions_seen": status["emissions"]["seen"],
        "rss_mb": [round(rows[0][1] / 1e6, 1), round(rows[-1][1] / 1e6, 1)], "rss_slope_kb_per_min_2nd_half": round(slope * 60 / 1e3, 1),
        "open_fds": [rows[0][3], rows[-1][3]], "cores_used": round(sum(shares), 3), "cores_by_thread": [round(s, 3) for s in shares if s > 0.002],
        "machine_load": [round(x, 1) for x in load], "sigterm_s": round(time.monotonic() - t, 2), "exit": code}, indent=1))


main()
