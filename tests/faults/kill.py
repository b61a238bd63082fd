#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attuned killed with SIGKILL at random moments, of the start and the first calibration too: each time its history is
whole, what was committed is there, no file is half-written, its helper goes with it, and the next start succeeds.
Usage: kill.py ATTUNED MODULES [--count 30] [--jobs 2] [--seed 1] (SIGTERM ends it early, with a verdict)"""
import argparse
import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("attuned")
p.add_argument("modules")
p.add_argument("--count", type=int, default=30)
p.add_argument("--jobs", type=int, default=2)
p.add_argument("--seed", type=int, default=1)
a = p.parse_args()
ATTUNED, MODULES = os.path.abspath(a.attuned), os.path.abspath(a.modules)
LIMIT_S = 180  # a loaded machine is slow, not wrong
lock, enough = threading.Lock(), threading.Event()
total = {"kills": 0, "before ready": 0, "committed": 0, "while calibrating": 0, "at work": 0, "failures": 0}


def say(ok, what):
    if not ok:
        with lock:
            total["failures"] += 1
            print("FAIL", what, flush=True)


def committed(path):
    """Emissions that another process can read now, and the decisions of each."""
    if not os.path.exists(path):
        return {}
    try:
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        try:
            return dict(db.execute("select e.id, count(d.seq) from emissions e left join decisions d on d.seq = e.seq group by e.seq"))
        finally:
            db.close()
    except sqlite3.OperationalError as e:
        if "no such table" not in str(e) and "unable to open" not in str(e):  # not made yet
            raise
        return {}


def whole(path):
    db = sqlite3.connect(path, timeout=5)
    try:
        return db.execute("pragma integrity_check").fetchone()[0]
    finally:
        db.close()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def helpers(pid):
    out = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            out += [int(x) for x in f.read().split()]
    return out


class Worker:
    """A folder of its own, in which attuned lives and dies again and again."""

    def __init__(self, folder, number, shared):
        self.folder, self.rng = folder, random.Random(a.seed * 1000 + number)
        self.seen = {}  # what was committed in any life: emission -> decisions
        for name in ("model.safetensors", "iq.cu8"):
            shutil.copy(os.path.join(shared, name), folder)
        with open(os.path.join(folder, "attuned.yaml"), "w", encoding="utf-8") as f:
            f.write(f'log: {{format: json}}\nmodel: {{path: model.safetensors}}\nhttp: {{listen: "127.0.0.1:0"}}\nbandplan: ""\n'
                    f'cache_dir: cache\nhistory: {{path: history.db}}\nsoapy: {{modules: ["{MODULES}"]}}\nradios:\n'
                    f'  - {{name: sim, device: "driver=attunesim,file={folder}/iq.cu8", bands: [{{name: sim, center: 433.92M, rate: 250k}}]}}\n'
                    '  - {name: one, device: "file=iq.cu8", loop: true, bands: [{name: one, center: 433.92M, rate: 250k}]}\n')

    def path(self, name):
        return os.path.join(self.folder, name)

    def life(self, n):
        """From the start to the kill, which comes at any moment of the first seconds."""
        fresh = n % 5 == 0
        if fresh:
            shutil.rmtree(self.path("cache"), ignore_errors=True)
        # Some in the start, some while it receives: then after something new was committed.
        moment, working = self.rng.uniform(0, self.rng.choice([0.3, 3])), self.rng.random() < 0.6
        began, log, known = time.monotonic(), self.path("log"), len(self.seen)
        with open(log, "wb") as err:
            child = subprocess.Popen([ATTUNED, "-c", "attuned.yaml"], cwd=self.folder, stderr=err, stdin=subprocess.DEVNULL)
        while working and len(committed(self.path("history.db"))) <= known and child.poll() is None and time.monotonic() - began < LIMIT_S:
            time.sleep(0.1)
        until = time.monotonic() + moment
        while time.monotonic() < until and child.poll() is None:
            time.sleep(0.01)
        ended = child.poll()
        own = helpers(child.pid) if ended is None else []
        before = committed(self.path("history.db"))
        child.kill()
        child.wait()
        text = open(log, encoding="utf-8", errors="replace").read()
        say(ended is None, f"start {n}: ended by itself with {ended}: {text[-500:]}")
        # A host that lets no thread of ours run for 10 s is no fault of this one.
        errors = [x for x in text.splitlines() if '"level":"error"' in x and "does not move" not in x]
        say(not errors, f"start {n}: errors in the log: {errors[:3]}")
        self.look(n, own, before, text)
        with lock:
            total["kills"] += 1
            total["at work"] += working and ended is None
            total["before ready"] += '"url"' not in text
            total["while calibrating"] += fresh and "model loaded" not in text

    def look(self, n, own, before, text):
        """What the kill has left."""
        self.seen.update(before)
        if os.path.exists(self.path("history.db")):
            try:
                verdict = whole(self.path("history.db"))
            except sqlite3.Error as e:
                verdict = str(e)
            say(verdict == "ok", f"kill {n}: history.db: {verdict}")
            now = committed(self.path("history.db"))
            lost = [e for e, decisions in self.seen.items() if now.get(e, -1) < decisions]
            say(not lost, f"kill {n}: {len(lost)} committed emissions are gone: {lost[:5]}")
        say("damaged" not in text and not [x for x in os.listdir(self.folder) if ".corrupt-" in x], f"kill {n}: a file was moved aside: {text[-500:]}")
        end = time.monotonic() + 60
        while any(alive(x) for x in own) and time.monotonic() < end:
            time.sleep(0.02)
        say(not any(alive(x) for x in own), f"kill {n}: helpers live on: {own}")

    def last(self):
        """A start after all kills: it serves every emission, and ends well."""
        with open(self.path("log"), "wb") as err:
            child = subprocess.Popen([ATTUNED, "-c", "attuned.yaml"], cwd=self.folder, stderr=err, stdin=subprocess.DEVNULL)
        try:
            end, text = time.monotonic() + LIMIT_S, ""
            while "model loaded" not in text and time.monotonic() < end and child.poll() is None:
                time.sleep(0.1)
                text = open(self.path("log"), encoding="utf-8", errors="replace").read()
            say("model loaded" in text, f"the last start: {text[-500:]}")
            url = re.search(r'"url":"(http[^"]+)"', text)
            if url:
                got, cursor = set(), ""
                while cursor is not None:
                    r = subprocess.run(["curl", "-s", f"{url[1]}/api/v1/emissions?limit=500&state=ended{cursor}"], stdout=subprocess.PIPE, check=True)
                    page = json.loads(r.stdout)
                    got |= {e["id"] for e in page["items"]}
                    cursor = f"&cursor={page['next']}" if page["next"] else None
                say(set(self.seen) <= got, f"{len(set(self.seen) - got)} of {len(self.seen)} committed emissions are not served")
        finally:
            child.terminate()
            try:
                say(child.wait(120) == 0, "the last end is clean")
            except subprocess.TimeoutExpired:
                child.kill()
                say(False, "the last end takes too long")
        with lock:
            total["committed"] += len(self.seen)

    def run(self, lives):
        for n in range(lives):
            if not enough.is_set():
                self.life(n)
        self.last()


def main():
    sys.argv = [sys.argv[0], ATTUNED]
    import attuned
    signal.signal(signal.SIGTERM, lambda *_: enough.set())
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as shared:
        attuned.write_model(os.path.join(shared, "model.safetensors"))
        attuned.write_iq(os.path.join(shared, "iq.cu8"))
        folders = [os.path.join(shared, str(i)) for i in range(a.jobs)]
        with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
            jobs = []
            for i, folder in enumerate(folders):
                os.mkdir(folder)
                jobs.append(pool.submit(Worker(folder, i, shared).run, (a.count + i) // a.jobs))
            for j in jobs:
                j.result()
    say(total["committed"] > 0, "nothing was ever committed: this would show nothing")
    print(f"kill: {total['kills']} kills ({total['before ready']} before it listened, {total['while calibrating']} while it calibrated, {total['at work']} after a new commit), "
          f"{total['committed']} committed emissions, {time.monotonic() - began:.0f} s")
    print(f"{total['kills']} passed, {total['failures']} failed")
    return total["failures"] > 0


if __name__ == "__main__":
    sys.exit(main())
