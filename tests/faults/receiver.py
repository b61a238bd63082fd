#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the simulated receiver, and of its helper process, under a whole attuned: what it counts, what it shows
and logs, how it comes back. One row each, four radios to a daemon (the log lets 20 lines of a kind pass in 10 s)."""
import argparse
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("attuned", help="the program, such as build/daemon/attuned")
parser.add_argument("modules", help="the folder of the simulated radio's module, such as build/soapy-sim")
parser.add_argument("row", nargs="*", help="these faults alone, such as unplug")
a = parser.parse_args()

import attuned  # noqa: E402  (reads the program's path from argv too)
from attunesim import counts  # noqa: E402
from attuned import Daemon, check, write_model  # noqa: E402

MODULES = os.path.abspath(a.modules)
RATE = 64000
AT = f"@{3 * RATE}"  # three seconds after the start
LIMIT_S = 400  # a loaded machine is slow, not wrong
PER_DAEMON, AT_ONCE = 4, 3


class Row:
    """One fault. log: what a line of this radio says; seen: states that are shown; lost: reason -> samples, exact, or a
    function of all losses and the simulator's counts; again: it gets a new helper (a later life in the simulator's counts); back: it runs in the end."""

    def __init__(self, name, device, log="", seen=(), lost=None, again=False, back=True, act=None):
        self.name, self.device, self.log, self.seen, self.lost = name, device, log, set(seen), lost or {}
        self.again, self.back, self.act = again, back, act


def at_least(seconds):
    return lambda lost, sim: lost["stall"] >= seconds * RATE


ROWS = [
    Row("overflow", f"script=overflow{AT}:1234", "samples lost .*: .*overflow", lost={"overflow": 1234}),
    Row("gap", f"script=gap{AT}:4321", "samples lost .*: .*gap", lost={"gap": 4321}),
    Row("corrupt", f"script=corrupt{AT}:777", "samples lost .*: .*corrupt", lost={"corrupt": 777}),
    Row("nan", f"native=CF32,script=nan{AT}:5", "samples lost",  # A block that the ring had no room for takes those in it along.
        lost={"corrupt": lambda lost, sim: lost["corrupt"] == 5 or lost["ring_full"] > 0}),
    Row("overlong", f"script=overlong{AT}", "samples lost", lost={"corrupt": lambda lost, sim: lost["corrupt"] == sim["corrupt"] > 0}),
    Row("back", f"script=back{AT}:5000"),
    Row("throw", f"script=throw{AT}"),
    Row("code", f"script=code{AT}:9"),
    Row("zero", f"script=zero{AT}"),
    Row("timeout", f"script=timeout{AT}:2500", "no samples for", ["stalled"]),
    Row("silence", f"script=timeout{AT}:7500", "no samples for", ["stalled"], {"stall": at_least(5)}, again=True),
    Row("unplug", f"script=unplug{AT}:6500", "no samples for|not there", ["stalled"], {"stall": at_least(6)}, again=True),
    Row("hang", f"script=hang{AT}:2500", "hangs in readStream", ["stalled"]),
    Row("hang-on", f"script=hang{AT}:0", "hangs in readStream", ["stalled"], {"stall": at_least(4)}, again=True),
    Row("abort", f"script=abort{AT}", r"crashed \(SIGABRT\)", ["failed"], again=True),
    Row("crash", f"script=crash{AT}", r"crashed \(SIGSEGV\)", ["failed"], again=True),
    Row("killed", "", "was killed", ["failed"], again=True, act=signal.SIGKILL),
    Row("stopped", "", "no samples for|hangs", ["stalled"], {"stall": at_least(4)}, again=True, act=signal.SIGSTOP),
    Row("make-throw", "bad_call=make:throw,bad_lives=2", "injected into make", ["failed"], again=True),
    Row("make-crash", "bad_call=make:crash,bad_lives=2", r"crashed \(SIGSEGV\)", ["failed"], again=True),
    Row("activate-abort", "bad_call=activate:abort,bad_lives=1", r"crashed \(SIGABRT\)", ["failed"], again=True),
    Row("deactivate-hang", f"bad_call=deactivate:hang,script=timeout{AT}:7500", "no samples for|hangs in closing", ["stalled"], again=True),
    Row("close-crash", f"bad_call=close:crash,script=timeout{AT}:7500", "no samples for", ["stalled"], again=True),
    Row("rate-throw", "bad_call=rate:throw", "injected into rate", ["failed"], back=False),
    Row("wrong-rate", f"wrong_rate={RATE * 1.1:.0f}", "asked for 64000 S/s, the device gives 70400", ["failed"], back=False),
    Row("wrong-serial", "wrong_serial=other", "says its serial is other", ["failed"], back=False),
]


def agrees(want, reason, lost, sim):
    return want(lost, sim) if callable(want) else lost[reason] == want


def write_config(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'log: {{level: info, format: json}}\nsoapy: {{modules: [{MODULES}]}}\nmodel: {{path: model.safetensors}}\n'
                'http: {listen: "127.0.0.1:0"}\nbandplan: ""\ncache_dir: cache\nradios:\n')
        for r in rows:
            f.write(f'  - {{name: {r.name}, device: "driver=attunesim,serial={r.name},scene=tone,counts={os.getcwd()}/{r.name}.counts'
                    f'{"," if r.device else ""}{r.device}", bands: [{{name: {r.name}, center: 433.92M, rate: {RATE}}}]}}\n')


def helper_of(pid, radio):
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            for child in f.read().split():
                with open(f"/proc/{child}/cmdline", "rb") as line:
                    if radio.encode() in line.read().split(b"\0"):
                        return int(child)
    return None


class Group(threading.Thread):
    """One daemon with some rows, and what was seen of it."""

    def __init__(self, number, rows):
        super().__init__()
        self.config, self.rows, self.states, self.trouble = f"{number}.yaml", rows, {r.name: set() for r in rows}, None
        self.slowest, self.acted, self.done_at = 0.0, set(), {}

    def run(self):
        try:
            self.watch()
        except (OSError, ValueError, KeyError) as e:
            self.trouble = repr(e)

    def radios(self):
        t = time.monotonic()
        items = {r["name"]: r for r in self.d.json("/api/v1/radios")["items"]}
        self.slowest = max(self.slowest, time.monotonic() - t)
        return items

    def messages(self, row):
        """What was logged of this row's radio so far."""
        lines = [json.loads(x) for x in list(self.lines) if x.strip()]
        return [x["message"] for x in lines if x.get("radio") == row.name]

    def finished(self, row, r):
        """The fault has struck, was shown, and samples of a later life arrive, or it has been refused."""
        s = r["samples"]
        if s["requested"] != s["delivered"] + sum(s["lost"].values()):
            self.trouble = f"{row.name}: requested {s['requested']} != delivered {s['delivered']} + lost {s['lost']}"
        sim = counts(row.name + ".counts")
        if row.act and row.name not in self.acted:
            if s["delivered"] > 3 * RATE and (pid := helper_of(self.d.p.pid, row.name)):
                os.kill(pid, row.act)
                self.acted.add(row.name)
            return False
        logged = not row.log or any(re.search(row.log, x) for x in self.messages(row))
        if not row.back:
            return r["state"] == "failed" and logged
        struck = sim.get("steps", 0) >= row.device.count("@") and row.seen <= self.states[row.name]
        if not struck or r["state"] != "running" or not logged or (row.again and sim.get("lives", 0) < 2):
            return False
        if not all(agrees(want, reason, s["lost"], sim) for reason, want in row.lost.items()):  # the ring holds some seconds
            return False
        since = self.done_at.setdefault(row.name, s["delivered"])
        return s["delivered"] >= since + RATE

    def watch(self):
        self.d = Daemon(self.config)
        self.lines = []
        reader = threading.Thread(target=lambda: self.lines.extend(self.d.p.stderr), daemon=True)
        reader.start()
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            self.now = self.radios()
            for r in self.now.values():
                self.states[r["name"]].add(r["state"])
            if all([self.finished(row, self.now[row.name]) for row in self.rows]):
                break
            time.sleep(0.05)
        self.metrics = self.d.get("/metrics")[2].decode()
        t = time.monotonic()
        self.d.p.send_signal(signal.SIGTERM)
        self.code, self.took = self.d.p.wait(120), time.monotonic() - t
        reader.join(120)

    def judge(self):
        check(f"{[r.name for r in self.rows]}: no trouble", not self.trouble, self.trouble)
        check(f"{[r.name for r in self.rows]}: ends cleanly", self.code == 0 and self.took < 30, (self.code, self.took))
        log = [json.loads(x) for x in self.lines if x.strip()]
        for row in self.rows:
            r, sim = self.now[row.name], counts(row.name + ".counts")
            own = self.messages(row)
            lost, says = r["samples"]["lost"], [x for x in own if row.log and re.search(row.log, x)]
            check(f"{row.name}: runs in the end" if row.back else f"{row.name}: refused", (r["state"] == "running") == row.back, (r, own))
            check(f"{row.name}: shown as {row.seen}", row.seen <= self.states[row.name], self.states[row.name])
            check(f"{row.name}: logged", says or not row.log, own)
            check(f"{row.name}: no line of an error level", not [x for x in log if x["level"] == "error"], own)
            check(f"{row.name}: new helper: {row.again}", (sim["lives"] > 1) == row.again or not row.back, (r, sim))
            check(f"{row.name}: counted as away where it ran before", not row.again or "bad_call=make" in row.device or
                  "bad_call=activate" in row.device or (r["reconnects"] > 0 and lost["stall"] > 0), r)
            for reason, want in row.lost.items():
                check(f"{row.name}: lost {reason}", agrees(want, reason, lost, sim), (lost, sim))
            for reason, n in lost.items():
                metric = re.search(rf'attune_samples_lost_total\{{radio="{row.name}",reason="{reason}"\}} (\S+)', self.metrics)
                check(f"{row.name}: {reason} is in /metrics", metric and float(metric[1]) >= n, (metric and metric[0], n))
            print(f"| {row.name} | {', '.join(sorted(row.seen)) or 'running'} | { {k: v for k, v in lost.items() if v} or '-'} | "
                  f"{says[0][-90:] if says else '-'} | {r['reconnects']} |", flush=True)


def main():
    names = [r.name for r in ROWS]
    unknown = [name for name in a.row if name not in names]
    if unknown:
        parser.error(f"no row {unknown[0]}; there are {', '.join(names)}")
    rows = [r for r in ROWS if not a.row or r.name in a.row]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_model("model.safetensors")
        groups = []
        for i in range(0, len(rows), PER_DAEMON):
            groups.append(Group(i, rows[i:i + PER_DAEMON]))
            write_config(groups[-1].config, groups[-1].rows)
        for i in range(0, len(groups), AT_ONCE):
            for g in groups[i:i + AT_ONCE]:
                g.start()
            for g in groups[i:i + AT_ONCE]:
                g.join()
        for g in groups:
            g.judge()
        os.chdir("/")
    print(f"receiver: {len(rows)} faults, slowest answer {1e3 * max(g.slowest for g in groups):.0f} ms")
    return attuned.verdict()


if __name__ == "__main__":
    sys.exit(main())
