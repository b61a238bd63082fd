#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""debian/ says what the rest of the tree says: packages that a build needs, the version."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402


def main():
    top, version = arguments("TOP", "VERSION")
    with open(f"{top}/scripts/packages.txt", encoding="utf-8") as f:
        wanted = {line.split()[1] for line in f if line.startswith("build ")}
    with open(f"{top}/debian/control", encoding="utf-8") as f:
        named = set(re.search(r"Build-Depends:\n((?: .*\n)+)", f.read())[1].replace(",", " ").split())
    with open(f"{top}/debian/changelog", encoding="utf-8") as f:
        newest = re.match(r"attune \(([^)]+)\)", f.readline())[1]
    # Of build-essential, and for tests alone.
    missing = wanted - named - {"gcc", "g++", "libc6-dev", "ninja-build", "libcmocka-dev"}
    failures = 0
    if missing:
        failures += 1
        print(f"FAIL debian/control: add to Build-Depends what scripts/packages.txt has for builds: {sorted(missing)}")
    if newest != version:
        failures += 1
        print(f"FAIL debian/changelog: its newest version is {newest}, meson.build has {version}")
    print(f"{2 - failures} passed, {failures} failed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
