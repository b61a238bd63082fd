#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes each allocation, mmap, open, write, fsync, thread, fork ... fail once, a run for each: of the program itself, of a
radio's helper, of SQLite and Jansson under it. It must end by itself with an exit code of its own and a word, or do its
work; free what it took; leave no half-written file.
Usage: each_call.py SHIM ATTUNE ATTUNED MODEL [--modules FOLDER] [--limit N] (runs of one kind, evenly spread; 0: every
call) [--jobs N] [--only NAME]"""
import argparse
import concurrent.futures
import glob
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

KINDS = ("malloc", "mmap", "open", "write", "fsync", "rename", "pthread_create", "fork", "socket", "eventfd", "memfd")
LIMIT_S = 240  # a loaded machine is slow, not wrong
p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("shim")
p.add_argument("attune")
p.add_argument("attuned")
p.add_argument("model")
p.add_argument("--modules", help="folder of the simulated radio; without it files alone are classified")
p.add_argument("--limit", type=int, default=40)
p.add_argument("--jobs", type=int, default=2)
p.add_argument("--only", default="")
a = p.parse_args()
SHIM, ATTUNE, ATTUNED, MODEL = (os.path.abspath(x) for x in (a.shim, a.attune, a.attuned, a.model))
passed = failed = failed_calls = 0


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("FAIL", what, flush=True)


def where(program, address):
    out = subprocess.run(["addr2line", "-fpse", program, address], capture_output=True, text=True, check=False)
    return out.stdout.strip() or address


def read_report(path):
    """Calls of each kind, the place of the one that failed, addresses of blocks that were not freed."""
    figures, leaks = {}, []
    if os.path.exists(path):
        for line in open(path, encoding="ascii"):
            word, rest = line.split(None, 1)
            if word == "leak":
                leaks.append(rest.split()[-1])
            else:
                figures[word] = rest.strip()
    return figures, leaks


class Job:
    """One program with one set of arguments. fail_in: libraries whose calls fail instead of the program's own; helper: the
    calls of a radio's helper. drive(child, folder): what is done with it while it runs; gives complaints."""

    def __init__(self, name, argv, codes, fresh, drive=None, fail_in="", helper=False, kinds=KINDS):
        self.name, self.argv, self.codes, self.fresh = name, argv, codes, fresh
        self.drive, self.fail_in, self.helper, self.kinds = drive, fail_in, helper, kinds

    def clean(self, folder):
        for pattern in ["report.txt*", "mark", "stderr.txt", *self.fresh]:
            for path in glob.glob(os.path.join(folder, pattern), recursive=True):
                if os.path.isfile(path):
                    os.unlink(path)

    def run(self, folder, fail=None):
        """-> exit code (negative: signal; None: hung), figures, leaks, standard error, complaints"""
        self.clean(folder)
        report = os.path.join(folder, "report.txt")
        env = dict(os.environ, LD_PRELOAD=SHIM, ATTUNE_FAIL_REPORT=report, XDG_CACHE_HOME=os.path.join(folder, "cache"))
        if self.fail_in:
            env["ATTUNE_FAIL_IN"] = self.fail_in
        if self.helper:
            env["ATTUNE_FAIL_HELPER"] = os.path.join(folder, "mark")
        if fail:
            env["ATTUNE_FAIL"] = fail
        error = os.path.join(folder, "stderr.txt")
        with open(error, "wb") as err:
            child = subprocess.Popen([x.replace("FOLDER", folder) for x in self.argv], cwd=folder, env=env,
                                     stdout=subprocess.DEVNULL, stderr=err)
            complaints = []
            try:
                if self.drive:
                    complaints = self.drive(child, folder)
                code = child.wait(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if child.poll() is None:
                    child.kill()
                    child.wait()
        figures, leaks = read_report(report)
        if self.helper:
            figures, more = read_report(report + ".helper")
            leaks += more
        with open(error, encoding="utf-8", errors="replace") as f:
            said = "".join(line for line in f if "GET /" not in line)  # not what was asked while it was waited for
        return code, figures, leaks, said, complaints

    def judge(self, folder, fail):
        """Complaints about one run with a fault, and whether the call was made at all."""
        code, got, leaks, err, complaints = self.run(folder, fail)
        words = got.get("failed", "- 0").split()
        at = where(words[0], words[1]) if words[0] != "-" else "?"
        what = f"{self.name}: {fail} at {at}"
        out = [f"{what}: {c}: {err[-300:]}" for c in complaints]
        if code is None:
            out.append(f"{what}: hung: {err[-300:]}")
        elif code < 0:
            out.append(f"{what}: killed by {signal.Signals(-code).name}: {err[-300:]}")
        else:
            if code not in self.codes:
                out.append(f"{what}: exit {code}: {err[-300:]}")
            if code != 0 and not err.strip():
                out.append(f"{what}: exit {code} without a word")
            if leaks:
                out.append(f"{what}: leaks from {sorted({where(self.argv[0], x) for x in leaks})}")
        if "crashed" in err:
            out.append(f"{what}: a helper crashed: {err[-300:]}")
        out += [f"{what}: half-written {os.path.basename(x)}" for x in self.broken(folder)]
        return out, words[0] != "-"

    def broken(self, folder):
        """Files that the program left and that are not whole, or that are no finished ones."""
        out = []
        for pattern in self.fresh:
            for path in glob.glob(os.path.join(folder, pattern), recursive=True):
                if os.path.isfile(path) and not whole(path):
                    out.append(path)
        return out


def whole(path):
    """Whether what the program left behind is a whole file of its kind."""
    if path.endswith((".db-wal", ".db-shm", ".lock")):
        return True
    if path.endswith(".db"):
        try:
            db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            try:
                return db.execute("pragma integrity_check").fetchone()[0] == "ok"
            finally:
                db.close()
        except sqlite3.Error as e:
            return "unable to open" in str(e) and os.path.getsize(path) == 0
    data = open(path, "rb").read()
    if path.endswith((".json", ".sigmf-meta")):
        try:
            json.loads(data)
        except ValueError:
            return False
    if path.endswith(".png"):
        return data[-8:-4] == b"IEND"
    return not re.search(r"\.(part|tmp)[^/]*$|\.corrupt-", path)


def prepare(folder):
    subprocess.run([ATTUNE, "synth", "--class", "ook", "--rate", "250k", "--seconds", "0.3", "a.cu8"], cwd=folder, check=True)
    head = f'model: {{path: "{MODEL}"}}\nhttp: {{listen: "127.0.0.1:0"}}\nbandplan: ""\ncache_dir: cache\n'
    with open(os.path.join(folder, "file.yaml"), "w", encoding="utf-8") as f:
        f.write(head + 'history: {path: history.db}\nradios:\n  - {name: r, device: "file=a.cu8", pace: fast, '
                       'bands: [{name: b, center: 433.92M, rate: 250k}]}\n')
    if not a.modules:
        return
    import attuned  # its model of random weights: what a decision is worth is not what is asked here
    attuned.write_model(os.path.join(folder, "tiny.safetensors"))
    with open(os.path.join(folder, "radio.yaml"), "w", encoding="utf-8") as f:
        f.write(head.replace(MODEL, "tiny.safetensors") + 'log: {format: json, level: debug}\nhistory: {path: history.db}\n'
                f'soapy: {{modules: ["{os.path.abspath(a.modules)}"]}}\n'
                'radios:\n  - {name: r, device: "driver=attunesim,scene=tone", bands: [{name: b, center: 433.92M, rate: 250k}]}\n')


def drive_radio(child, folder):
    """Until three windows of a live radio are decided, whatever failed before; a few answers; then the end."""
    url, end, decided = None, time.monotonic() + LIMIT_S, 0

    def get(path):
        try:
            with urllib.request.urlopen(url + path, timeout=60) as r:
                return r.read().decode()
        except urllib.error.HTTPError as e:
            return e.read().decode()
        except (OSError, ValueError):
            return ""

    while time.monotonic() < end and child.poll() is None:
        if not url:
            with open(os.path.join(folder, "stderr.txt"), encoding="utf-8", errors="replace") as f:
                m = re.search(r"listening on (http://[^,\s]+)", f.read())
            url = m and m[1]
        else:
            decided = sum(float(x) for x in re.findall(r"(?m)^attune_decisions_total\{[^}]*\} (\S+)$", get("/metrics")))
            if decided >= 3:
                break
        time.sleep(0.1)
    if child.poll() is not None:
        return []
    if decided < 3:
        return [f"no three windows within {LIMIT_S} s" if url else "neither listens nor ends"]
    out = [f"{path} gives nothing at the second try" for path in ("/api/v1/status", "/api/v1/radios", "/api/v1/emissions", "/healthz")
           if not get(path) and not get(path)]
    child.send_signal(signal.SIGTERM)
    return out


def matrix(pool, job):
    """One run without a fault, then one for each call of each kind."""
    global failed_calls
    if a.only and job.name not in a.only.split(","):
        return
    folders = [tempfile.TemporaryDirectory() for _ in range(a.jobs)]
    try:
        for f in folders:
            prepare(f.name)
        for f in folders:  # the second run has what the first leaves in the cache
            job.run(f.name)
        code, figures, leaks, err, complaints = job.run(folders[0].name)
        check(code == 0 and not complaints, f"{job.name}: without a fault exit {code}: {complaints} {err[-300:]}")
        check(not leaks, f"{job.name}: without a fault leaks from {[where(job.argv[0], x) for x in leaks]}")
        check(not job.broken(folders[0].name), f"{job.name}: without a fault half-written {job.broken(folders[0].name)}")
        counts = {k: int(figures.get(k, 0)) for k in job.kinds}
        todo = [f"{k}:{i}" for k, n in counts.items() for i in range(1, n + 1, max(1, -(-n // a.limit)) if a.limit else 1)]
        began, free, struck = time.monotonic(), [f.name for f in folders], 0

        def one(fail):
            folder = free.pop()
            try:
                return job.judge(folder, fail)
            finally:
                free.append(folder)

        for complaints, hit in pool.map(one, todo):
            struck += hit
            check(not complaints, "; ".join(complaints))
        failed_calls += struck
        print(f"{job.name}: {len(todo)} runs, {struck} with a call that failed, of {counts} ({time.monotonic() - began:.0f} s)", flush=True)
    finally:
        for f in folders:
            f.cleanup()


JOBS = [
    Job("classify", [ATTUNE, "classify", "--json", "--model", MODEL, "--rate", "250k", "--picture", "FOLDER/out.png", "FOLDER/a.cu8"],
        (0, 1), ["out.png", "cache/**/*"]),
    Job("synth", [ATTUNE, "synth", "--class", "gfsk", "--variant", "ais", "--rate", "250k", "--seconds", "0.3", "FOLDER/b.cu8"], (0, 1), ["b.*"]),
    Job("attuned", [ATTUNED, "-c", "FOLDER/file.yaml", "--exit-when-done"], (0, 1, 78), ["cache/**/*", "history.*"]),
]
if a.modules:
    radio = [ATTUNED, "-c", "FOLDER/radio.yaml"]
    JOBS += [
        # The first start plans and calibrates, which costs seconds: those of its calls that the others do not make.
        Job("first-start", radio, (0, 1, 78), ["cache/**/*", "history.*"], drive_radio, kinds=("mmap", "write", "fsync", "rename", "memfd")),
        Job("radio", radio, (0, 1, 78), ["history.*"], drive_radio),
        Job("helper", radio, (0, 1, 78), ["history.*"], drive_radio, helper=True),
        Job("sqlite", radio, (0, 1, 78), ["history.*"], drive_radio, fail_in="libsqlite3"),
        Job("jansson", radio, (0, 1, 78), ["history.*"], drive_radio, fail_in="libjansson", kinds=("malloc",)),
        # Not its writes: it ends the process by design where it cannot wake its own thread.
        Job("http", radio, (0, 1, 78), ["history.*"], drive_radio, fail_in="libmicrohttpd", kinds=("malloc", "pthread_create", "eventfd", "socket")),
    ]
with concurrent.futures.ThreadPoolExecutor(a.jobs) as workers:
    for j in JOBS:
        matrix(workers, j)
print(f"{failed_calls} calls failed, one a run")
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
