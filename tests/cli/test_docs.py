#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manual pages and completions of the build say what --help says, and their readers take them."""
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from usage import arguments  # noqa: E402

ATTUNE, DOCS = arguments("ATTUNE", "FOLDER")
DOCS = Path(DOCS)


def run(*args, **more):
    return subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=600, check=False, **more)


def commands():
    text = run(ATTUNE, "--help").stdout
    return [s.split()[0] for s in text.split("Commands:\n")[1].split("\n\n")[0].splitlines()]


def long_options(command):
    return set(re.findall(r"--[a-z][a-z-]*", run(ATTUNE, command, "--help").stdout.split("Options:")[1].split("Examples:")[0]))


def need(tool):
    return unittest.skipUnless(shutil.which(tool), f"{tool} is not installed")


class Docs(unittest.TestCase):
    pages = sorted(p for p in DOCS.iterdir() if re.fullmatch(r".*\.[158]", p.name))

    def test_every_option_stands_in_the_manual_and_the_completions(self):
        page = (DOCS / "attune.1").read_text().replace("\\-", "-").replace("\\fR", "")
        bash, zsh, fish = ((DOCS / n).read_text() for n in ("attune.bash", "_attune", "attune.fish"))
        for c in commands():
            section = page.split(f".SS attune {c} ")[1].split("\n.SS ")[0]
            names = re.search(rf"    {c}\)\n(.*?);;", bash, re.S)[1]
            for o in long_options(c) - {"--help"}:
                self.assertIn(o, section, (c, o))
                self.assertIn(o + " ", names, (c, o))
                self.assertIn(o, zsh.split(f"_attune_{c}()")[1].split("\n}")[0], (c, o))
                self.assertRegex(fish, rf"_from {c}'.* -l {o[2:]} ")

    def test_the_configuration_page_has_every_key(self):
        page = (DOCS / "attuned.yaml.5").read_text().replace("\\-", "-")
        for key in ("log.level", "budget.latency_ms", "http.listen", "radios[].device", "radios[].bands[].center"):
            self.assertIn(f"\\fB{key}\\fR", page)

    @need("mandoc")
    def test_mandoc_has_no_complaint(self):
        self.assertGreaterEqual(len(self.pages), 2)
        for p in self.pages:
            r = run("mandoc", "-Tlint", "-Wwarning", p)
            self.assertEqual((r.returncode, r.stdout), (0, ""), p)

    @need("man")
    def test_man_has_no_complaint(self):
        for p in self.pages:
            r = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", p)
            self.assertEqual((r.returncode, r.stderr), (0, ""), p)

    def test_bash_completes(self):
        script = f"source {DOCS}/attune.bash; compopt() {{ :; }}; COMP_WORDS=(%s); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _attune; echo ${{COMPREPLY[@]}}"
        for words, wanted in [("attune ver", "verify"), ("attune bench --what str", "stream"), ("attune bench -b mha,fl", "mha,flash"),
                              ("attune listen --bias", "--bias-tee")]:
            r = run("bash", "-c", script % words)
            self.assertEqual((r.stdout.strip(), r.stderr), (wanted, ""), words)

    @need("zsh")
    def test_zsh_reads_them(self):
        for p in DOCS.glob("_attune*"):
            if p.is_file():
                self.assertEqual(run("zsh", "-n", p).stderr, "")

    @need("fish")
    def test_fish_completes(self):
        for p in DOCS.glob("*.fish"):
            self.assertEqual(run("fish", "-n", p).stderr, "")
        r = run("fish", "-c", f"source {DOCS}/attune.fish; complete -C 'attune bench --thr'")
        self.assertIn("--threads\tthreads of a batch", r.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
