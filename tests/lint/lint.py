#!/usr/bin/python3
"""Checks the house: include arrows, one file per foreign library, sizes of files and functions, blanks, licences.

Prints FILE:LINE: what, and "N passed, N failed"; exit 1 where anything is wrong. ROOT: this folder where not given.
SPDX-License-Identifier: GPL-3.0-or-later
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

MAX_FILE, MAX_FUNCTION = 700, 120

# A room may include its own tier and those below, and rooms must not include each other in a circle.
TIERS = [{"lib/base"}, {"lib/config", "lib/dsp", "lib/kernels", "lib/synth"}, {"lib/source", "lib/model", "lib/attn", "lib/cli"},
         {"backends"}, {"lib/engine"}, {"daemon", "tools", "lib/dataset", "soapy-sim"}]
BACKEND_MAY = re.compile(r"^(lib/attn/attn_backend\.h|lib/kernels/kernels\.h|lib/base/.*|backends/.*)$")
# Headers of foreign libraries: each in one source of ours. The simulated radio is a SoapySDR module itself.
FOREIGN = {"SoapySDR": r"SoapySDR/", "libyaml": r"yaml\.h", "libmicrohttpd": r"microhttpd\.h", "SQLite": r"sqlite3\.h",
           "NATS": r"nats/", "libsystemd": r"systemd/sd-", "MQTT": r"mosquitto\.h", "libcairo": r"cairo(/|\.h|-)",
           "libcurl": r"curl/"}
FOREIGN_EXEMPT = ("soapy-sim/", "tests/")

SOURCE = (".c", ".h", ".cpp", ".hpp")
TEXT = SOURCE + (".py", ".sh", ".js", ".css", ".html", ".yaml", ".build", ".md", ".txt", ".service", ".tsv")
SIZED = SOURCE + (".py", ".sh", ".js", ".css", ".html")
SKIP = re.compile(r"^(build|\.git|\.venv|node_modules|\.cache|subprojects)")


def walk(root):
    for folder, folders, names in os.walk(root):
        rel = os.path.relpath(folder, root)
        folders[:] = sorted(f for f in folders if not (rel == "." and SKIP.match(f)) and f not in (".git", "__pycache__"))
        for name in sorted(names):
            path = os.path.normpath(os.path.join(rel, name))
            if name.endswith(TEXT) or path in ("run-tests", "run-demo"):
                yield path


def room_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "lib" and len(parts) > 2 else parts[0]


def tier_of(room):
    return next((i for i, rooms in enumerate(TIERS) if room in rooms), None)


class Lint:
    def __init__(self, root):
        self.root = root
        self.failures = {}  # rule -> count
        self.edges = {}  # (room, room) -> where
        self.foreign = {name: set() for name in FOREIGN}

    def fail(self, rule, path, line, what):
        self.failures[rule] = self.failures.get(rule, 0) + 1
        print(f"{path}:{line}: {rule}: {what}")

    def include(self, path, n, name):
        room, target = room_of(path), room_of(name)
        if path.startswith("tests/"):
            return
        if not os.path.exists(os.path.join(self.root, name)):
            if "/" not in name or not name.startswith(("lib/", "backends/", "daemon/", "tools/")):
                self.fail("includes", path, n, f'"{name}" is not counted from the root')
            return  # written by the build
        if room == "backends" and not BACKEND_MAY.match(name):
            self.fail("arrows", path, n, f"a backend must not see {name}")
        here, there = tier_of(room), tier_of(target)
        if here is None or there is None:
            return
        if there > here:
            self.fail("arrows", path, n, f"{room} must not see {target}")
        if room != target:
            self.edges.setdefault((room, target), f"{path}:{n}")

    def includes(self, path, lines):
        for n, line in enumerate(lines, 1):
            m = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
            if not m:
                continue
            if m[1]:
                self.include(path, n, m[1])
            for name, pattern in FOREIGN.items():
                if re.match(pattern, m[1] or m[2]) and not path.startswith(FOREIGN_EXEMPT):
                    self.foreign[name].add(path)
                    if path.endswith(".h"):
                        self.fail("foreign", path, n, f"{name} belongs in one .c, not in a header")

    def functions(self, path, lines):
        """Bodies begin with `{` in the first column and end with `}` there; the head is counted with them. A class of
        C++ opens so too and is none."""
        begin = None
        for n, line in enumerate(lines, 1):
            if line.rstrip() == "{":
                begin = n
                while begin > 1 and lines[begin - 2].strip() and not lines[begin - 2].startswith(("}", "#", "/", " *")):
                    begin -= 1
                if re.match(r"(class|struct|union|namespace)\b[^()]*$", lines[begin - 1]):
                    begin = None
            elif line.startswith("}") and begin is not None:
                if n - begin + 1 > MAX_FUNCTION:
                    self.fail("function-size", path, begin, f"{n - begin + 1} lines, at most {MAX_FUNCTION}")
                begin = None

    def file(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", newline="") as f:
            try:
                text = f.read()
            except UnicodeDecodeError:
                return self.fail("text", path, 1, "not UTF-8")
        lines = text.split("\n")
        for n, line in enumerate(lines, 1):
            if line != line.rstrip():
                self.fail("blanks", path, n, "blank at the end of the line")
            if "\t" in line and path.endswith(SOURCE + (".py", ".yaml")):
                self.fail("tabs", path, n, "tab")
        if text and (not text.endswith("\n") or text.endswith("\n\n")):
            self.fail("blanks", path, len(lines), "the file must end with one newline")
        if path.endswith(SIZED) and len(lines) - 1 > MAX_FILE:
            self.fail("file-size", path, 1, f"{len(lines) - 1} lines, at most {MAX_FILE}")
        if path.startswith("daemon/web/"):
            for n, line in enumerate(lines, 1):
                if re.search(r"(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|\bon\w+=\"", line):
                    self.fail("markup", path, n, "text from files and the air must not become markup")
        if path.endswith(SOURCE + (".py", ".sh")) and "SPDX-License-Identifier" not in "\n".join(lines[:16]):
            self.fail("licence", path, 1, "no SPDX line at the top")
        if path.endswith(SOURCE):
            self.includes(path, lines)
            self.functions(path, lines)

    def circles(self):
        rooms = {r for edge in self.edges for r in edge}
        while True:  # take rooms away that see no other that is left
            free = {r for r in rooms if not any(a == r and b in rooms for a, b in self.edges)}
            if not free:
                break
            rooms -= free
        for (a, b), where in sorted(self.edges.items()):
            if a in rooms and b in rooms:
                path, line = where.rsplit(":", 1)
                self.fail("arrows", path, line, f"{a} and {b} stand in a circle")

    def finish(self):
        self.circles()
        for name, paths in self.foreign.items():
            for path in sorted(paths)[1:]:
                self.fail("foreign", path, 1, f"{name} is used in {sorted(paths)[0]} already")


RULES = ["text", "blanks", "tabs", "file-size", "function-size", "licence", "markup", "includes", "arrows", "foreign"]


def main():
    lint = Lint(arguments("[ROOT]")[0] or ".")
    paths = list(walk(lint.root))
    if not any(path.endswith(SOURCE) for path in paths):
        sys.exit(f"{lint.root}: no sources there; name the top of the tree")
    for path in paths:
        lint.file(path)
    lint.finish()
    failed = len(lint.failures)
    print(f"{len(RULES) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
