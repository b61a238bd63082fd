#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs attuned on simulated radios for a while and states losses, latency, memory and processor time; what the simulator
itself takes stands apart. Usage: live_load.py ATTUNED MODULES MODEL [--seconds 300] [--radios 2.4M,2.4M,10M] [--scene demo]
[--cores 2] [--cpus 0,1]"""
import argparse, json, os, re, signal, subprocess, sys, tempfile, time, urllib.request

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from attunesim import counts  # noqa: E402
from child import bound  # noqa: E402


def as_unit():
    """In the child: the priority that the systemd unit gives attuned, where that is allowed."""
    try:
        os.nice(-10)
    except PermissionError:
        pass


def seconds_of(stat):
    f = open(stat).read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def threads(pid):
    """Seconds that each thread ran, and stood ready without a processor, by number, with its name."""
    out = {}
    for t in os.listdir(f"/proc/{pid}/task"):
        try:
            ran, stood = open(f"/proc/{pid}/task/{t}/schedstat").read().split()[:2]
            out[int(t)] = (open(f"/proc/{pid}/task/{t}/comm").read().strip(), 1e-9 * int(ran), 1e-9 * int(stood))
        except OSError:
            continue
    return out


def helpers(pid):
    """Processor seconds of each helper, by radio."""
    out = {}
    for p in os.listdir("/proc"):
        try:
            words = open(f"/proc/{p}/cmdline", "rb").read().split(b"\0")
            parent = int(open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[1])
            if parent == pid and b"--radio-helper" in words:
                out[words[2].decode()] = seconds_of(f"/proc/{p}/stat")
        except (OSError, ValueError):
            continue
    return out


def write_config(a, folder, names):
    with open(f"{folder}/c.yaml", "w") as f:
        f.write(f"""soapy: {{modules: [{os.path.abspath(a.modules)}]}}
model: {{path: {os.path.abspath(a.model)}}}
bandplan: ""
cache_dir: {a.cache or folder + '/cache'}
budget: {{cores: {a.cores}}}
http: {{listen: "127.0.0.1:0"}}
log: {{format: json}}
radios:
""")
        for i, (name, rate) in enumerate(names.items()):
            f.write(f"  - {{name: {name}, device: \"driver=attunesim,scene={a.scene},seed={i + 1},serial={name},duration={a.duration},"
                    f"counts={folder}/{name}.counts\", bands: [{{name: {name}, center: {433.92 + 40 * i:.2f}M, rate: {rate}}}]}}\n")


def value(page, pattern):
    return sum(float(v) for v in re.findall(rf"(?m)^{pattern} (\S+)$", page))


def buckets(page):
    return [(float(le.replace("+Inf", "inf")), float(n)) for le, n in
            re.findall(r'attune_decision_latency_seconds_bucket\{le="([^"]+)"\} (\S+)', page)]


def slope(rows, wall):
    half = [r for r in rows if r[0] > wall / 2]
    mean = lambda k: sum(r[k] for r in half) / len(half)
    return sum((r[0] - mean(0)) * (r[1] - mean(1)) for r in half) / max(1e-9, sum((r[0] - mean(0)) ** 2 for r in half))


def ledger(ask, folder, names):
    """Per radio: unaccounted samples (handed over by the simulator and neither delivered nor lost), and losses."""
    out = {}
    for r in json.loads(ask("/api/v1/radios"))["items"]:
        s, sim = r["samples"], counts(f"{folder}/{r['name']}.counts")
        rate = r["rate_hz"]
        out[r["name"]] = {"rate_hz": rate, "delivered": s["delivered"], "lost": {k: v for k, v in s["lost"].items() if v},
                          "unaccounted": s["requested"] - s["delivered"] - sum(s["lost"].values()),
                          "under_way_ms": round(1e3 * (sim["handed"] - s["delivered"] - s["lost"]["ring_full"]) / rate, 1),
                          "simulator_late": sim["late"], "reconnects": r["reconnects"]}
    return out


def measure(a, p, ask, folder, names):
    begin, cpu, own, rows = time.monotonic(), threads(p.pid), helpers(p.pid), []
    played = {n: counts(f"{folder}/{n}.counts")["play_ns"] for n in names}
    first = page = ask("/metrics")
    while time.monotonic() - begin < a.seconds:
        time.sleep(5)
        page = ask("/metrics")
        rows.append((time.monotonic() - begin, value(page, "process_resident_memory_bytes"),
                     value(page, r"attune_samples_lost_total\{.*\}"), value(page, "process_open_fds")))
    wall, after, own_after = time.monotonic() - begin, threads(p.pid), helpers(p.pid)
    sim = {n: 1e-9 * (counts(f"{folder}/{n}.counts")["play_ns"] - played[n]) / wall for n in names}
    status = json.loads(ask("/api/v1/status"))
    n = [(le, n - m) for (le, n), (_, m) in zip(buckets(page), buckets(first))]
    total, decisions = n[-1][1], status["decisions"]
    quantile = lambda q: next((le for le, k in n if total and k >= q * total), None)
    shares = {k: (name, *((x - y) / wall for x, y in zip(s, cpu.get(k, ("", 0, 0))[1:]))) for k, (name, *s) in after.items()}
    capture = {n: (own_after[n] - own.get(n, 0)) / wall for n in own_after}
    return {
        "seconds": round(wall), "backend": status["backend"], "radios": ledger(ask, folder, names),
        "lost_in_run": rows[-1][2] - value(first, r"attune_samples_lost_total\{.*\}"),
        "decisions": total, "decisions_per_s": round(total / wall, 1), "latency_p50_s_below": quantile(0.5),
        "latency_p95_s_below": quantile(0.95), "share_within_30_ms": total and round(next(k for le, k in n if le == 0.03) / total, 4),
        "newest_1024_p95_ms": decisions.get("latency_p95_ms"), "inference_p95_ms": decisions.get("inference_p95_ms"),
        "tokens_skipped_share": round(decisions["tokens_skipped"] / max(1, decisions["tokens_skipped"] + decisions["tokens"]), 4),
        "emissions_alive": status["emissions"]["active"], "emissions_seen": status["emissions"]["seen"],
        "rss_mb": [round(rows[0][1] / 1e6, 1), round(rows[-1][1] / 1e6, 1)],
        "rss_slope_kb_per_min_2nd_half": round(slope(rows, wall) * 60 / 1e3, 1), "open_fds": [rows[0][3], rows[-1][3]],
        "cores": {"attuned": round(sum(s for _, s, _ in shares.values()), 3),
                  "capture": {n: round(c - sim[n], 3) for n, c in capture.items()},
                  "simulator": {n: round(s, 3) for n, s in sim.items()}},
        "cores_by_thread": {f"{name} {k}": round(s, 3) for k, (name, s, _) in sorted(shares.items()) if s > 0.002},
        "stood_ready_by_thread": {f"{name} {k}": round(w, 3) for k, (name, s, w) in sorted(shares.items()) if s > 0.002}}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for x in ("attuned", "modules", "model"):
        a.add_argument(x)
    a.add_argument("--seconds", type=float, default=300)
    a.add_argument("--radios", default="2.4M", help="their rates")
    a.add_argument("--scene", default="demo")
    a.add_argument("--duration", default="1", help="seconds of the scene that are rendered and looped")
    a.add_argument("--cores", type=int, default=2)
    a.add_argument("--cpus", help="run on these processors only (taskset)")
    a.add_argument("--cache", help="folder of plans and calibration of earlier runs")
    a = a.parse_args()
    folder = tempfile.mkdtemp()
    names = {f"r{i}": rate for i, rate in enumerate(a.radios.split(","))}
    write_config(a, folder, names)
    pin = ["taskset", "-c", a.cpus] if a.cpus else []
    p = subprocess.Popen([*pin, a.attuned, "-c", f"{folder}/c.yaml"], stderr=open(f"{folder}/log", "w"), preexec_fn=bound(as_unit))
    try:
        url = None
        while not url:
            time.sleep(0.1)
            if p.poll() is not None:
                sys.exit(open(f"{folder}/log").read())
            url = (re.search(r'"url":"(http[^"]+)"', open(f"{folder}/log").read()) or [None, None])[1]
        ask = lambda path: urllib.request.urlopen(url + path, timeout=10).read().decode()
        while not all(counts(f"{folder}/{n}.counts").get("handed") for n in names):
            time.sleep(0.2)
        time.sleep(5)
        out = measure(a, p, ask, folder, names)
    finally:
        t = time.monotonic()
        p.send_signal(signal.SIGTERM)
        code = p.wait(10)
    out |= {"machine_load": [round(x, 1) for x in os.getloadavg()], "sigterm_s": round(time.monotonic() - t, 2), "exit": code}
    print(json.dumps(out, indent=1))


main()
