#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the suite ran of a build made with FLAGS below, and fails under the floors: over everything, over each folder,
and over what reads the bytes of others and the ring, where each line that no test runs has its reason here. Lines and
branches are those of the source (clang's), so a branch is an outcome of a condition that somebody wrote.
Usage: coverage.py flags BUILD (what to put into CFLAGS and LDFLAGS) | coverage.py report BUILD [--worst N]"""
import argparse
import json
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# folder ("": all), percent of lines, of branches
FLOORS = [("", 92, 82), ("lib", 95, 86), ("daemon", 93, 83), ("backends", 95, 95), ("tools", 92, 79)]

FOLDERS = [folder for folder, _, _ in FLOORS if folder]

# Tables of constants. Files named *_none.c stand in for what a build leaves out; the minimal build compiles them.
NO_CODE = ("daemon/command.c", "lib/kernels/table.c")

# file, lines that no test here runs, why. "no memory": tests/faults/each_call.py makes each of these fail, in release.
READERS = [
    ("lib/source/ring.c", 0, ""),
    ("lib/source/convert.c", 0, ""),
    ("lib/source/archive.c", 2, "a disk that fails (twice)"),
    ("lib/source/iqname.c", 0, ""),
    ("lib/source/portapack.c", 2, "a disk that fails, a file that is taken away between two calls"),
    ("lib/source/sdriq.c", 0, ""),
    ("lib/source/sigmf.c", 5, "a disk that fails, no memory for captures"),
    ("lib/source/wav.c", 5, "a disk that fails (twice), no memory for chunks"),
    ("lib/config/yaml.c", 9, "no memory, a signal amid a read, an unreadable file met as root"),
    ("lib/config/value.c", 1, "a locale that writes a comma: none is set"),
    ("lib/config/bandplan.c", 1, "no memory"),
    ("lib/config/load.c", 5, "no memory"),
    ("lib/model/json.c", 0, ""),
    ("lib/model/safetensors.c", 5, "a disk that fails, a signal amid a read, the sum of sizes that were each checked"),
]


def is_object(path):
    """A program or a shared library of the build."""
    if os.path.islink(path) or not os.access(path, os.X_OK):
        return False
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def measure(build):
    """[(file, lines, of them run, branches, of them taken)] of each source and header of ours."""
    profiles = os.path.join(build, "profiles")
    raw = sorted(os.path.join(profiles, name) for name in os.listdir(profiles))
    merged = os.path.join(build, "all.profdata")
    subprocess.run(["llvm-profdata", "merge", "-sparse", "-failure-mode=all", "-o", merged, *raw], check=True)
    objects = [os.path.join(folder, name) for folder, _, names in os.walk(build) for name in sorted(names)
               if "meson-" not in folder and is_object(os.path.join(folder, name))]
    command = ["llvm-cov", "export", "-summary-only", "-instr-profile", merged, objects[0]]
    for path in objects[1:]:
        command += ["-object", path]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    rows = []
    for f in json.loads(out)["data"][0]["files"]:
        path = os.path.relpath(os.path.realpath(f["filename"]), TOP)
        if path.split("/")[0] in FOLDERS:
            lines, branches = f["summary"]["lines"], f["summary"]["branches"]
            rows.append((path, lines["count"], lines["covered"], branches["count"], branches["covered"]))
    return rows


def percent(part, whole):
    return 100 * part / whole if whole else 0


def check_folders(rows):
    good = True
    for folder, lines, branches in FLOORS:
        some = [r for r in rows if r[0].startswith(folder)]
        n, run, m, taken = (sum(r[i] for r in some) for i in range(1, 5))
        ok = percent(run, n) >= lines and percent(taken, m) >= branches
        good = good and ok
        print(f"{folder or 'all'}: {percent(run, n):.1f} % of {n} lines (floor {lines}), {percent(taken, m):.1f} % of "
              f"{m} branches (floor {branches}), {len(some)} files{'' if ok else ': TOO FEW'}")
    return good


def check_readers(rows):
    good = True
    by_name = {r[0]: r for r in rows}
    for path, allowed, why in READERS:
        n, run = by_name[path][1:3] if path in by_name else (0, 0)
        ok = n > 0 and n - run <= allowed
        good = good and ok
        reason = f" ({why})" if why else ""
        print(f"{path}: {run} of {n} lines; {n - run} unrun, {allowed} allowed{reason}{'' if ok else ': TOO MANY'}")
    return good


def check_complete(rows):
    """Each source is there: one that no program links would not count against the floors."""
    seen = {r[0] for r in rows}
    missing = []
    for folder in FOLDERS:
        for where, _, names in os.walk(os.path.join(TOP, folder)):
            paths = (os.path.relpath(os.path.join(where, name), TOP) for name in names if name.endswith(".c"))
            missing += [path for path in paths if path not in seen and path not in NO_CODE and
                        not path.endswith("_none.c")]
    for path in sorted(missing):
        print(f"{path}: in no program: NOT MEASURED")
    return not missing


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["flags", "report"])
    p.add_argument("build")
    p.add_argument("--worst", type=int, default=10, help="files with the most branches that nobody took")
    a = p.parse_args()
    build = os.path.abspath(a.build)
    if a.what == "flags":
        print(f"-fprofile-instr-generate={build}/profiles/%m.profraw -fcoverage-mapping")
        return 0
    rows = measure(build)
    for r in sorted(rows, key=lambda r: r[4] - r[3])[:a.worst]:
        print(f"{r[0]}: {r[2]} of {r[1]} lines, {r[4]} of {r[3]} branches")
    checks = [check_complete(rows), check_readers(rows), check_folders(rows)]
    return 0 if all(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
