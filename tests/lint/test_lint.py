#!/usr/bin/python3
"""Each rule of lint.py finds what it is for: a small tree with one fault at a time.

SPDX-License-Identifier: GPL-3.0-or-later
"""
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lint  # noqa: E402

HEAD = "/* SPDX-License-Identifier: GPL-3.0-or-later */\n"


def found(files):
    """Rules that complain about a tree {path: text}."""
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="latin-1") as f:
                f.write(text)
        check = lint.Lint(root)
        for path in lint.walk(root):
            check.file(path)
        check.finish()
        return sorted(check.failures)


def includes(path, *names):
    return {path: HEAD + "".join(f'#include {n if n[0] == "<" else chr(34) + n + chr(34)}\n' for n in names)}


class Rules(unittest.TestCase):
    def test_a_clean_tree_passes(self):
        tree = {"lib/base/a.h": HEAD, "lib/dsp/b.h": HEAD, "lib/model/c.h": HEAD, "lib/attn/attn_backend.h": HEAD}
        tree |= includes("lib/dsp/b.c", "lib/base/a.h", "lib/dsp/b.h", "<math.h>")
        tree |= includes("backends/mha/mha.c", "lib/attn/attn_backend.h", "lib/base/a.h")
        tree |= includes("lib/model/c.c", "lib/attn/attn_backend.h", "lib/dsp/b.h")
        self.assertEqual(found(tree), [])

    def test_a_folder_without_sources_is_no_clean_tree(self):
        with tempfile.TemporaryDirectory() as root:
            r = subprocess.run([sys.executable, lint.__file__, root], capture_output=True, text=True, check=False)
        self.assertEqual((r.returncode, "no sources" in r.stderr), (1, True), r)

    def test_arrows(self):
        tree = {"lib/base/a.h": HEAD, "lib/model/c.h": HEAD, "lib/attn/attn.h": HEAD, "daemon/d.h": HEAD}
        for path, name in [("lib/base/x.c", "lib/model/c.h"), ("lib/dsp/x.c", "lib/model/c.h"),
                           ("backends/mha/x.c", "lib/attn/attn.h"), ("backends/mha/x.c", "lib/model/c.h"),
                           ("lib/engine/x.c", "daemon/d.h")]:
            self.assertEqual(found(tree | includes(path, name)), ["arrows"], path)
        circle = includes("lib/model/x.c", "lib/attn/attn.h") | includes("lib/attn/x.c", "lib/model/c.h")
        self.assertEqual(found(tree | circle), ["arrows"])

    def test_foreign(self):
        one = includes("lib/config/x.c", "<yaml.h>")
        self.assertEqual(found(one), [])
        self.assertEqual(found(one | includes("daemon/y.c", "<yaml.h>")), ["foreign"])
        self.assertEqual(found(includes("lib/config/x.h", "<yaml.h>")), ["foreign"])

    def test_includes(self):
        self.assertEqual(found({"lib/dsp/b.h": HEAD} | includes("lib/dsp/b.c", "b.h")), ["includes"])

    def test_sizes(self):
        body = HEAD + "int f(void)\n{\n" + "    g();\n" * 117 + "}\n"
        self.assertEqual(found({"lib/dsp/b.c": body}), [])
        self.assertEqual(found({"lib/dsp/b.c": body.replace("    g();\n", "    g();\n    g();\n", 1)}), ["function-size"])
        self.assertEqual(found({"lib/dsp/b.c": HEAD + "int x;\n" * 699}), [])
        self.assertEqual(found({"lib/dsp/b.c": HEAD + "int x;\n" * 700}), ["file-size"])

    def test_text(self):
        self.assertEqual(found({"lib/dsp/b.c": HEAD + "int x; \n"}), ["blanks"])
        self.assertEqual(found({"lib/dsp/b.c": HEAD + "int x;"}), ["blanks"])
        self.assertEqual(found({"lib/dsp/b.c": HEAD + "\tint x;\n"}), ["tabs"])
        self.assertEqual(found({"lib/dsp/b.c": "int x;\n"}), ["licence"])
        self.assertEqual(found({"lib/dsp/b.c": HEAD + "/* \xe9 */\n"}), ["text"])


if __name__ == "__main__":
    unittest.main()
