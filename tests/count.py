#!/usr/bin/python3
"""What a meson test run passed and failed, in cases where a program says them, else programs.

Prints "PASSED FAILED"; names what failed on stderr with the end of its output.
SPDX-License-Identifier: GPL-3.0-or-later
"""
import argparse
import json
import re
import sys


def cases(test):
    """(passed, failed) of one program."""
    text = (test.get("stdout") or "") + "\n" + (test.get("stderr") or "")
    ok = test["result"] in ("OK", "EXPECTEDFAIL")
    found = re.findall(r"^(\d+) passed, (\d+) failed", text, re.M)
    if found:
        passed, failed = (sum(int(f[i]) for f in found) for i in (0, 1))
    else:  # cmocka: "[  PASSED  ] 3 test(s)." and "[  FAILED  ] 1 test(s), listed below:"
        passed = sum(int(n) for n in re.findall(r"^\[  PASSED  \] (\d+) test", text, re.M))
        failed = sum(int(n) for n in re.findall(r"^\[  FAILED  \] (\d+) test", text, re.M))
    if ok:
        return max(passed, 1), 0
    return passed, max(failed, 1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("testlog", help="such as build/meson-logs/testlog.json")
    a = p.parse_args()
    passed = failed = skipped = 0
    with open(a.testlog, encoding="utf-8", errors="replace") as log:
        for line in log:
            test = json.loads(line)
            if test["result"] == "SKIP":
                skipped += 1
                print(f"skipped: {test['name']}", file=sys.stderr)
                continue
            p, f = cases(test)
            passed += p
            failed += f
            if f:
                text = (test.get("stdout") or "") + (test.get("stderr") or "")
                bad = [s for s in text.splitlines() if re.search(r"FAILED|ERROR|error|Error|LINE", s)] or text.splitlines()
                print(f"FAILED: {test['name']}: {test['result']} ({test['duration']:.1f} s)", file=sys.stderr)
                print("\n".join("    " + s[:400] for s in bad[:25]), file=sys.stderr)
    print(passed, failed)


if __name__ == "__main__":
    main()
