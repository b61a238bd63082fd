#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes each allocation, open, write, thread ... of the program fail once, a run for each: it must end by itself with an
exit code of its own, free what it took, and leave no half-written file.
Usage: each_call.py SHIM ATTUNE ATTUNED MODEL [--limit N] (runs of one kind, evenly spread; 0: every call)"""
import argparse, glob, json, os, signal, subprocess, sys, tempfile, time

KINDS = ("malloc", "mmap", "open", "write", "fsync", "rename", "pthread_create", "fork", "socket", "eventfd", "memfd")
p = argparse.ArgumentParser()
p.add_argument("shim")
p.add_argument("attune")
p.add_argument("attuned")
p.add_argument("model")
p.add_argument("--limit", type=int, default=40)
a = p.parse_args()
SHIM, ATTUNE, ATTUNED, MODEL = (os.path.abspath(x) for x in (a.shim, a.attune, a.attuned, a.model))
passed = failed = 0


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("FAIL", what, flush=True)


def where(program, address):
    out = subprocess.run(["addr2line", "-fpse", program, address], capture_output=True, text=True)
    return out.stdout.strip() or address


def run(argv, folder, fail=None):
    """-> exit code (negative: signal; None: hung), report, standard error"""
    report = os.path.join(folder, "report.txt")
    if os.path.exists(report):
        os.unlink(report)
    env = dict(os.environ, LD_PRELOAD=SHIM, ATTUNE_FAIL_REPORT=report, XDG_CACHE_HOME=os.path.join(folder, "cache"))
    if fail:
        env["ATTUNE_FAIL"] = fail
    child = subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = child.communicate(timeout=60)
        code = child.returncode
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        code = None
    figures, leaks = {}, []
    if os.path.exists(report):
        for line in open(report):
            word, rest = line.split(None, 1)
            if word == "leak":
                leaks.append(rest.split()[-1])
            else:
                figures[word] = rest.strip()
    return code, figures, leaks, err


def whole(path):
    """Whether what the program left behind is a whole file of its kind."""
    data = open(path, "rb").read()
    if path.endswith((".json", ".sigmf-meta")):
        try:
            json.loads(data)
        except ValueError:
            return False
    if path.endswith(".png"):
        return data[-8:-4] == b"IEND"
    return True


def matrix(name, program, argv, codes, fresh):
    """One run without a fault, then one for each call of each kind. codes: allowed exit codes. fresh: outputs to remove
    before each run."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([ATTUNE, "synth", "--class", "ook", "--rate", "250k", "--seconds", "0.3", "a.cu8"], cwd=folder, check=True)
        with open(os.path.join(folder, "attuned.yaml"), "w") as f:
            f.write(f'model: {{path: "{MODEL}"}}\nhttp: {{listen: "127.0.0.1:0"}}\nbandplan: ""\ncache_dir: cache\nradios:\n'
                    '  - {name: r, device: "file=a.cu8", pace: fast, bands: [{name: b, center: 433.92M, rate: 250k}]}\n')
        argv = [x.replace("FOLDER", folder) for x in argv]
        code, figures, leaks, err = run(argv, folder)
        check(code == 0, f"{name}: without a fault exit {code}: {err[-300:]}")
        check(not leaks, f"{name}: without a fault leaks from {[where(program, x) for x in leaks]}")
        began, runs = time.time(), 0
        for kind in KINDS:
            n = int(figures.get(kind, 0))
            step = max(1, n // a.limit) if a.limit else 1
            for i in range(1, n + 1, step):
                for pattern in fresh:
                    for path in glob.glob(os.path.join(folder, pattern), recursive=True):
                        if os.path.isfile(path):
                            os.unlink(path)
                code, got, leaks, err = run(argv, folder, f"{kind}:{i}")
                runs += 1
                at = where(program, got.get("failed", "0"))
                what = f"{name}: {kind}:{i} at {at}"
                if code is None:
                    check(False, f"{what}: hung")
                elif code < 0:
                    check(False, f"{what}: killed by {signal.Signals(-code).name}: {err[-300:]}")
                else:
                    check(code in codes, f"{what}: exit {code}: {err[-300:]}")
                    check(code == 0 or err.strip(), f"{what}: exit {code} without a word")
                    check(not leaks, f"{what}: leaks from {sorted({where(program, x) for x in leaks})}")
                for pattern in fresh:
                    for path in glob.glob(os.path.join(folder, pattern), recursive=True):
                        if os.path.isfile(path):
                            check(whole(path), f"{what}: half-written {os.path.basename(path)}")
        print(f"{name}: {runs} runs with one failing call of {({k: int(figures.get(k, 0)) for k in KINDS})} "
              f"({time.time() - began:.0f} s)", flush=True)


matrix("classify", ATTUNE, [ATTUNE, "classify", "--json", "--model", MODEL, "--rate", "250k", "--picture", "FOLDER/out.png", "FOLDER/a.cu8"],
       (0, 1), ["out.png", "cache/**/*"])
matrix("synth", ATTUNE, [ATTUNE, "synth", "--class", "gfsk", "--variant", "ais", "--rate", "250k", "--seconds", "0.3", "FOLDER/b.cu8"],
       (0, 1), ["b.*"])
matrix("attuned", ATTUNED, [ATTUNED, "-c", "FOLDER/attuned.yaml", "--exit-when-done"], (0, 1, 78), ["cache/**/*"])
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
