#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""test_child.py: what a benchmark started ends with it, even where it is killed; and each of them starts its children so."""
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARENT = """
import subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from child import bound
p = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], preexec_fn=bound() if sys.argv[2] == "bound" else None)
print(p.pid, flush=True)
time.sleep(600)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Child(unittest.TestCase):
    def left_behind(self, how, seconds):
        """Whether a child is still there so long after its parent was killed at the latest; its end comes first where it does."""
        with subprocess.Popen([sys.executable, "-c", PARENT, HERE, how], stdout=subprocess.PIPE, text=True) as parent:
            pid = int(parent.stdout.readline())
            parent.kill()
        end = time.monotonic() + seconds
        while alive(pid) and time.monotonic() < end:
            time.sleep(0.02)
        left = alive(pid)
        if left:
            os.kill(pid, signal.SIGKILL)
        return left

    def test_a_bound_one_ends_with_its_parent(self):
        self.assertFalse(self.left_behind("bound", 60))
        self.assertTrue(self.left_behind("free", 0.2))  # so that this test can fail

    def test_what_then_does_is_done(self):
        sys.path.insert(0, str(HERE))
        from child import bound
        r = subprocess.run([sys.executable, "-c", "import os; print(os.getcwd())"], preexec_fn=bound(lambda: os.chdir("/")), capture_output=True,
                           text=True, check=True)
        self.assertEqual(r.stdout, "/\n")

    def test_every_daemon_of_a_benchmark_is_bound(self):
        n = 0
        for path in [*HERE.parent.glob("bench/*.py"), HERE / "attuned.py", HERE.parent / "soak/soak.py"]:
            for call in path.read_text(encoding="utf-8").split("subprocess.Popen(")[1:]:
                n += 1
                self.assertIn("preexec_fn=bound(", call[:300], path.name)
        self.assertGreaterEqual(n, 6)


if __name__ == "__main__":
    unittest.main()
