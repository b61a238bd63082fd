#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""test_usage.py: each script of the tests answers --help, and the lack of what it needs, with its usage and no traceback."""
import re
import subprocess
import sys
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
NEEDS = re.compile(r"\barguments\(.*?\"[A-Z]")  # of usage.py, a word that has to be there


def run(script, *args):
    return subprocess.run([sys.executable, "-B", script, *args], capture_output=True, text=True, timeout=60, check=False,
                          stdin=subprocess.DEVNULL)


class Usage(unittest.TestCase):
    def scripts(self):
        """(path, text) of those that take words."""
        found = [(p, p.read_text(encoding="utf-8")) for p in sorted(TESTS.rglob("*.py")) if p != Path(__file__).resolve()]
        return [(p, text) for p, text in found if re.search(r"\barguments\(\"|\.ArgumentParser\(", text) and p.name != "usage.py"]

    def test_help(self):
        self.assertGreater(len(self.scripts()), 20)
        for path, _ in self.scripts():
            r = run(path, "--help")
            self.assertTrue(r.returncode == 0 and r.stdout.startswith("usage: ") and not r.stderr, f"{path}: {r}")

    def test_nothing_given(self):
        for path, text in self.scripts():
            if NEEDS.search(text):
                r = run(path)
                self.assertTrue(r.returncode == 2 and r.stderr.startswith("usage: ") and "required" in r.stderr, f"{path}: {r}")

    def test_nobody_counts_words_alone(self):
        for path in sorted(TESTS.rglob("*.py")):
            alone = re.findall(r"^(?:[A-Z_, ]+|\s+\w+(?:, \w+)*) = .*sys\.argv\[.*$", path.read_text(encoding="utf-8"), re.M)
            allowed = {"attuned.py": 1}.get(path.name, 0)
            self.assertEqual(len(alone), allowed, f"{path}: {alone}; take usage.arguments()")


if __name__ == "__main__":
    unittest.main()
