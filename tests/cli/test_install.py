#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration that its owner changed outlives `ninja install`."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from usage import arguments  # noqa: E402

(SCRIPT,) = arguments("SCRIPT")


class Install(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.source = Path(self.folder.name, "attuned.yaml")
        self.there = Path(self.folder.name, "dest dir/etc/attune/attuned.yaml")
        self.new = self.there.with_name("attuned.yaml.new")

    def tearDown(self):
        self.folder.cleanup()

    def install(self, text):
        self.source.write_text(text)
        env = {**os.environ, "DESTDIR": f"{self.folder.name}/dest dir"}
        return subprocess.run([SCRIPT, "/etc/attune", self.source], env=env, capture_output=True, text=True, check=True).stdout

    def test_what_its_owner_wrote_stays(self):
        self.assertEqual((self.install("one"), self.there.read_text(), self.there.stat().st_mode & 0o777), ("", "one", 0o644))
        self.assertEqual((self.install("one"), self.new.exists()), ("", False))
        self.there.write_text("mine")
        self.assertIn("attuned.yaml is kept", self.install("two"))
        self.assertEqual((self.there.read_text(), self.new.read_text()), ("mine", "two"))
        self.install("three")
        self.assertEqual((self.there.read_text(), self.new.read_text()), ("mine", "three"))
        self.there.write_text("three")  # taken over
        self.install("three")
        self.assertEqual((self.there.read_text(), self.new.exists()), ("three", False))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
