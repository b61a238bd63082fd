#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the host, one row each: what is done to a running attuned, what it counts, what it logs, how it comes back.
Each row is asserted; samples must go on through all but the frozen stage. Rows of receivers: receiver.py.
As root: disk full and the frozen stage need mounts and ptrace."""
import argparse
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../support"))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("attuned", help="the program, such as build/daemon/attuned")
parser.add_argument("modules", help="the folder of the simulated radio's module, such as build/soapy-sim")
parser.add_argument("row", nargs="*", help="these faults alone, such as no_memory")
a = parser.parse_args()

import attuned  # noqa: E402  (reads the program's path from argv too)
from attuned import Daemon, check, write_model  # noqa: E402

MODULES = os.path.abspath(a.modules)
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
running = []
LIMIT_S = 300  # a loaded machine is slow, not wrong


def until(what, good, seconds=LIMIT_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = good()
        if got:
            return got
        time.sleep(0.1)
    check(what, False, f"not within {seconds} s")
    return None


def write_config(path, history="history.db", port=0, cache="cache"):
    """A radio whose band is never silent for long, so that history has something to write."""
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"""log: {{level: info, format: json}}
soapy: {{modules: [{MODULES}]}}
model: {{path: model.safetensors}}
http: {{listen: "127.0.0.1:{port}"}}
history: {{path: "{history}"}}
bandplan: ""
cache_dir: {cache}
radios:
  - {{name: sim, device: "driver=attunesim,scene=demo,duration=5", bands: [{{name: sim, center: 433.92M, rate: 1M}}]}}
""")


def metric(d, name):
    found = re.search(rf"(?m)^{name}(?:{{[^}}]*}})? (\S+)$", d.get("/metrics")[2].decode())
    return float(found[1]) if found else None


def delivered(d):
    return d.json("/api/v1/radios")["items"][0]["samples"]["delivered"]


def moves(d, what):
    """Samples and HTTP go on."""
    before = delivered(d)
    check(f"{what}: samples move", until("samples", lambda: delivered(d) > before + 100000))
    check(f"{what}: alive", d.get("/healthz")[0] == 200)


def started(config, env=None):
    d = Daemon(config, env=env)
    running.append(d.p)
    until("ready", lambda: d.get("/readyz")[0] == 200)
    return d


def ended(d, what):
    code, took = d.stop()
    check(f"{what}: a clean end", code == 0, (code, d.log[-5:]))
    return d.log


def row(what, done, counted, logged, back):
    print(f"| {what} | {done} | {counted} | {logged} | {back} |", flush=True)


def clock_jumps():
    """The wall clock leaps; what is measured by it must not."""
    def leap(offset):
        with open("clock", "w", encoding="ascii") as f:
            f.write(offset)
    leap("+0")
    env = os.environ | {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": os.path.abspath("clock"), "FAKETIME_NO_CACHE": "1",
                        "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    write_config("clock.yaml", "")
    d = started("clock.yaml", env)
    up = d.json("/api/v1/status")["uptime_s"]
    for offset in ("+3600", "-3600", "-1700000000", "+0"):
        leap(offset)
        moves(d, f"clock {offset} s")
        items = d.json("/api/v1/emissions?limit=500")["items"]
        check(f"clock {offset} s: ids stay apart", len({e["id"] for e in items}) == len(items))
        now = d.json("/api/v1/status")["uptime_s"]
        check(f"clock {offset} s: uptime goes on", up < now < up + LIMIT_S, (up, now))
        up = now
    ended(d, "clock")
    row("clock leaps by an hour, back, to 1970", "nothing stops", "uptime and ages by the monotonic clock", "times by the new clock",
        "at once")


def descriptors():
    """No descriptor is left: new connections wait or are refused, the radio goes on."""
    write_config("fds.yaml", "")
    d = started("fds.yaml")
    subprocess.run(["prlimit", "--pid", str(d.p.pid), "--nofile=3:4096"], check=True)  # what is open stays so
    refused = 0
    for _ in range(3):
        try:
            d.get("/healthz", timeout=20)  # nobody accepts it
        except OSError:
            refused += 1
    check("fd limit: connections are refused", refused > 0, refused)
    check("fd limit: the process lives", d.p.poll() is None)
    subprocess.run(["prlimit", "--pid", str(d.p.pid), "--nofile=1024:4096"], check=True)
    moves(d, "fd limit raised")
    ended(d, "fd limit")
    row("no descriptors", "connections wait, the radio goes on", "`process_open_fds`", "-", "as soon as there is one")


def no_memory():
    """The address space may grow by 2 MB only, while much is asked for and the radio needs a new helper: what cannot be
    had is refused, the rest goes on; with memory again all is as before."""
    write_config("memory.yaml", "")
    d = started("memory.yaml")
    size = int(re.search(r"VmSize:\s+(\d+) kB", open(f"/proc/{d.p.pid}/status", encoding="ascii").read())[1])
    subprocess.run(["prlimit", "--pid", str(d.p.pid), f"--as={(size + 2048) * 1024}:unlimited"], check=True)
    seen = set()
    for _ in range(3):  # an arena may have room in reserve: then it is answered, else refused
        seen.add(post(d, bytes(1000) * 2000))
    check("no memory: answered or refused", seen <= {200, 413, 500, 503, 0}, seen)
    for _ in range(20):
        for path in ("/api/v1/waterfall", "/api/v1/emissions?limit=500", "/metrics", "/healthz"):
            try:
                d.get(path)
            except OSError:
                pass  # refused is an answer too; ended is not
    child = open(f"/proc/{d.p.pid}/task/{d.p.pid}/children", encoding="ascii").read().split() or [
        c for t in os.listdir(f"/proc/{d.p.pid}/task") for c in open(f"/proc/{d.p.pid}/task/{t}/children", encoding="ascii").read().split()]
    os.kill(int(child[0]), signal.SIGKILL)
    until("no memory: the radio is seen to fail", lambda: any("was killed" in x for x in [radio(d).get("error", "")]) or
          radio(d)["reconnects"])
    time.sleep(3)
    check("no memory: the process lives", d.p.poll() is None)
    subprocess.run(["prlimit", "--pid", str(d.p.pid), "--as=unlimited:unlimited"], check=True)
    until("no memory: the radio is back", lambda: radio(d)["state"] == "running" and radio(d)["reconnects"] > 0)
    moves(d, "memory again")
    check("memory again: classified", until("classify", lambda: post(d, bytes(200000)) == 200), seen)
    log = ended(d, "no memory")
    check("no memory: the radio's fate is logged", any('"state":"failed"' in x for x in log), log[-5:])
    row("no memory (address space may not grow)", "a request is answered from what is in reserve or refused, the radio goes on; a new helper has to wait", "answers by code",
        "warning with the radio's reason", "at once with memory; the radio by its next try")


def radio(d):
    return d.json("/api/v1/radios")["items"][0]


def post(d, body):
    """The answer's code to samples that shall be classified; 0: the connection was closed."""
    try:
        return d.get("/api/v1/classify?datatype=cu8&rate_hz=250000&center_hz=433920000", "POST", body,
                     {"Content-Type": "application/octet-stream"})[0]
    except OSError:
        return 0


def full_disk():
    """A file system of 16 MB for history, filled: what cannot be written is counted, and it goes on after room is made."""
    os.makedirs("disk", exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "full", "disk"], check=False).returncode:
        print("NOT RUN: disk full: this kernel or container refuses the mount", flush=True)
        return
    try:
        write_config("disk.yaml", "disk/history.db")
        d = started("disk.yaml")
        until("history is written", lambda: (metric(d, "attune_history_written_total") or 0) > 0)
        subprocess.run(["dd", "if=/dev/zero", "of=disk/filler", "bs=4k"], stderr=subprocess.DEVNULL, check=False)
        down = until("disk full: attune_history_up falls", lambda: metric(d, "attune_history_up") == 0)
        check("disk full: attune_history_up falls", down)
        moves(d, "disk full")
        os.unlink("disk/filler")
        check("disk full: written again", until("up again", lambda: metric(d, "attune_history_up") == 1))
        log = ended(d, "disk full")
        check("disk full: logged once each way", 1 <= sum("no room on the disk" in x for x in log) <= 5 and
              any("is written again" in x for x in log), [x for x in log if "history" in x])
        r = subprocess.run(["/usr/bin/python3", "-c", "import sqlite3,sys; print(sqlite3.connect('disk/history.db').execute("
                            "'pragma integrity_check').fetchone()[0])"], stdout=subprocess.PIPE, text=True, check=False)
        check("disk full: the file is whole", r.stdout.strip() == "ok", r.stdout)
    finally:
        subprocess.run(["umount", "-l", "disk"], check=False)
    row("disk full", "emissions in memory, results go on", "`attune_history_up`, `attune_history_lost_total`",
        "error, once; \"is written again\"", "once there is room")


def read_only_cache():
    """The cache cannot be written: measured again at each start, said once."""
    write_config("cache.yaml", "", cache="/proc/nowhere")
    d = started("cache.yaml")
    moves(d, "no cache")
    log = ended(d, "no cache")
    check("no cache: said", any("cache_dir" in x for x in log), log[-5:])
    row("cache folder cannot be written", "measures at each start", "-", "warning", "-")


def two_instances():
    """The second one on a history refuses, and the first is not disturbed."""
    write_config("one.yaml", "shared.db")
    d = started("one.yaml")
    r = subprocess.run([attuned.ATTUNED, "-c", "one.yaml"], stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    check("two instances: the second refuses", r.returncode == 1 and "history.path" in r.stderr and "another attuned" in r.stderr,
          (r.returncode, r.stderr))
    moves(d, "two instances")
    ended(d, "two instances")
    row("two instances on one history", "the second does not start, exit 1", "-", "error with the key", "when the first has ended")


def hup_storm():
    """Thousands of reloads asked for at once."""
    write_config("hup.yaml", "")
    d = started("hup.yaml")
    began = time.monotonic()
    for i in range(3000):
        os.kill(d.p.pid, signal.SIGHUP)
        if i % 100 == 0:
            time.sleep(0.01)
    moves(d, "SIGHUP storm")
    log = ended(d, "SIGHUP storm")
    lines = [json.loads(x) for x in log if x.strip()]
    check("SIGHUP storm: few lines", len(lines) < 300, len(lines))
    kinds = [re.sub(r"\d+", "N", x["message"]) for x in lines]
    most = max(kinds.count(k) for k in set(kinds))
    check("SIGHUP storm: at most 20 of a kind in 10 s", most <= 20 * (1 + (time.monotonic() - began) // 10 + 1), most)
    row("3,000 SIGHUPs", "reloads are run together", "`attune_config_last_reload_successful`", "limited, with a count of the rest",
        "at once")


def no_systemd():
    """The socket that systemd named is gone."""
    write_config("notify.yaml", "")
    d = started("notify.yaml", os.environ | {"NOTIFY_SOCKET": "/run/nowhere/notify", "WATCHDOG_USEC": "1000000"})
    moves(d, "no notify socket")
    ended(d, "no notify socket")
    row("systemd's socket is gone", "nothing", "-", "-", "-")


def frozen_stage():
    """One thread of HTTP is stopped by ptrace: the stage is named, and well again when it runs on."""
    PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    write_config("frozen.yaml", "")
    d = started("frozen.yaml")
    threads = {t: open(f"/proc/{d.p.pid}/task/{t}/comm", encoding="ascii").read().strip()
               for t in os.listdir(f"/proc/{d.p.pid}/task")}
    pump = [int(t) for t, name in threads.items() if name == "http-pump"]
    check("frozen stage: the thread has a name", len(pump) == 1, threads)
    if libc.ptrace(PTRACE_SEIZE, pump[0], None, None) or libc.ptrace(PTRACE_INTERRUPT, pump[0], None, None):
        print(f"NOT RUN: frozen stage: ptrace is refused: {os.strerror(ctypes.get_errno())}", flush=True)
    else:
        os.waitpid(pump[0], 0x40000000)  # __WALL: another's thread
        bad = until("frozen stage: /healthz says so", lambda: d.get("/healthz")[0] == 503)
        check("frozen stage: named", bad and "http" in d.get("/healthz")[2].decode(), d.get("/healthz"))
        libc.ptrace(PTRACE_DETACH, pump[0], None, None)
        check("frozen stage: well again", until("healthy", lambda: d.get("/healthz")[0] == 200))
        moves(d, "frozen stage")
    log = ended(d, "frozen stage")
    check("frozen stage: logged", any("does not move" in x for x in log), log[-5:])
    row("a stage stands still for 10 s", "watchdog no longer fed: systemd restarts", "`/healthz` 503 names it", "error with STAGE=",
        "by itself where it moves again")


ROWS = [clock_jumps, descriptors, no_memory, full_disk, read_only_cache, two_instances, hup_storm, no_systemd, frozen_stage]


def main():
    names = [f.__name__ for f in ROWS]
    unknown = [name for name in a.row if name not in names]
    if unknown:
        parser.error(f"no row {unknown[0]}; there are {', '.join(names)}")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_model("model.safetensors")
        try:
            for f in ROWS:
                if not a.row or f.__name__ in a.row:
                    f()
        finally:
            for p in running:
                if p.poll() is None:
                    p.kill()
            os.chdir("/")
    return attuned.verdict()


if __name__ == "__main__":
    sys.exit(main())
