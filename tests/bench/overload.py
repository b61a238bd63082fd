#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The selector under a load that comes and goes: attuned on a simulated radio with some 40 emissions, then a busy loop
takes one of its two cores for a while. States the share of seconds in which 95 % of the decisions kept the budget, each
change of backend with its reason, and how long it took to come back. Exit 1 where one of them misses.
Usage: overload.py ATTUNED MODULES MODEL [--load 30] [--before 20] [--after 20] [--budget 30] [--rate 2.4M]"""
import argparse, json, os, re, signal, subprocess, sys, tempfile, time, urllib.request


def as_unit():
    """In the child: the priority that the systemd unit gives attuned, where that is allowed."""
    try:
        os.nice(-10)
    except PermissionError:
        pass


def buckets(page, name):
    """{upper bound in s: decisions so far}, all backends together."""
    out = {}
    for le, n in re.findall(name + r'_bucket\{[^}]*le="([^"]+)"\} (\S+)', page):
        bound = float(le.replace("+Inf", "inf"))
        out[bound] = out.get(bound, 0) + float(n)
    return out


def start(a, folder):
    with open(f"{folder}/c.yaml", "w") as f:
        f.write(f"""soapy: {{modules: [{os.path.abspath(a.modules)}]}}
model: {{path: {os.path.abspath(a.model)}}}
budget: {{latency_ms: {a.budget}, cores: 2}}
bandplan: ""
cache_dir: {folder}/cache
history: {{path: ""}}
http: {{listen: "127.0.0.1:0"}}
log: {{format: json}}
radios:
  - {{name: roof, device: "driver=attunesim,scene={a.scene},seed=1", bands: [{{name: all, center: 433.92M, rate: {a.rate}}}]}}
""")
    log = open(f"{folder}/log", "w+")
    p = subprocess.Popen([os.path.abspath(a.attuned), "-c", f"{folder}/c.yaml"], stderr=log, stdout=log,
                         preexec_fn=as_unit)
    for _ in range(600):
        m = re.search(r"127\.0\.0\.1:(\d+)", open(f"{folder}/log").read())
        if m or p.poll() is not None:
            break
        time.sleep(0.1)
    if not m:
        sys.exit(f"attuned did not start: {open(f'{folder}/log').read()[-2000:]}")
    return p, lambda path: urllib.request.urlopen(f"http://{m.group(0)}{path}", timeout=20).read().decode()


def watch(a, ask, kind):
    """One row a second: (s since the begin, decisions, share within the budget, backend)."""
    rows, last, load = [], buckets(ask("/metrics"), kind), None
    begin, limit = time.monotonic(), a.budget / 1e3
    while (at := time.monotonic() - begin) < a.before + a.load + a.after:
        if a.before <= at < a.before + a.load and load is None:
            load = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            os.sched_setaffinity(load.pid, {sorted(os.sched_getaffinity(0))[-1]})
        if load and at >= a.before + a.load and load.poll() is None:
            load.kill()
            load.wait()
        time.sleep(max(0, begin + len(rows) + 1 - time.monotonic()))
        now = buckets(ask("/metrics"), kind)
        s = json.loads(ask("/api/v1/selector"))
        n = now.get(float("inf"), 0) - last.get(float("inf"), 0)
        bound = max(le for le in now if le <= limit + 1e-9)
        within = (now[bound] - last.get(bound, 0)) / n if n else None
        rows.append((time.monotonic() - begin, n, within, f"{s['backend']} {s.get('mode')} {s.get('window')}"))
        last = now
    return rows, s


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for x in ("attuned", "modules", "model"):
        p.add_argument(x)
    for x, v in (("load", 30), ("before", 20), ("after", 20), ("budget", 30)):
        p.add_argument(f"--{x}", type=float, default=v)
    p.add_argument("--rate", default="2.4M")
    p.add_argument("--scene", default="dense")
    p.add_argument("--what", default="inference_duration", choices=("inference_duration", "decision_latency"))
    a = p.parse_args()
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))
    with tempfile.TemporaryDirectory() as folder:
        process, ask = start(a, folder)
        try:
            for _ in range(1200):
                try:
                    if json.loads(ask("/api/v1/status"))["decisions"]["count"] > 100:
                        break
                except (OSError, KeyError):
                    pass
                time.sleep(0.1)
            rows, selector = watch(a, ask, f"attune_{a.what}_seconds")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
    told = [r for r in rows if r[1]]
    kept = sum(r[2] >= 0.95 for r in told) / max(1, len(told))
    end = a.before + a.load
    usual = next((r[3] for r in reversed(rows) if r[0] <= a.before), None)
    back = next((r[0] - end for i, r in enumerate(rows) if r[0] > end and r[3] == usual), None)
    out = {"seconds": len(rows), "decisions": sum(r[1] for r in rows), "share_of_seconds_within_budget": round(kept, 4),
           "usual": usual, "backends": sorted({r[3] for r in rows}), "back_after_s": back and round(back, 1),
           "changes": selector["changes"], "load_average": os.getloadavg()[0]}
    print(json.dumps(out, indent=1))
    ok = kept >= 0.99 and back is not None and back <= 10 and all(c["reason"] for c in selector["changes"])
    return 0 if ok and told else 1


if __name__ == "__main__":
    sys.exit(main())
