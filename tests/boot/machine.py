# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine to install services on: systemd as PID 1 in namespaces of its own, over a throw-away copy of a root.

Needs root and the right to make namespaces and mounts; Refused says what the kernel did not allow."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Refused(Exception):
    pass


def cgroup2():
    """Where the unified hierarchy is mounted: by itself, or beside the old ones."""
    with open("/proc/mounts", encoding="ascii") as f:
        for line in f:
            _, where, kind = line.split()[:3]
            if kind == "cgroup2":
                return where
    raise Refused("no cgroup2 hierarchy is mounted")


class Machine:
    """with Machine(prepare=["command", ...]) as m: m.run(...). prepare gets the path of the new root as last argument."""

    def __init__(self, prepare, lower="/"):
        self.folder = tempfile.mkdtemp(prefix="attune-machine-")
        self.cgroup = os.path.join(cgroup2(), os.path.basename(self.folder))
        self.console = os.path.join(self.folder, "console")
        self.command = [os.path.join(HERE, "machine.sh"), self.folder, lower, *prepare]
        self.process = self.pid1 = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        try:
            os.mkdir(self.cgroup)
        except OSError as e:
            raise Refused(f"cannot make a control group: {e}") from e

        def enter():
            with open(os.path.join(self.cgroup, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write(str(os.getpid()))

        with open(self.console, "wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "-m", "-p", "-n", "-u", "-i", "-C", "--fork", "--kill-child", *self.command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=enter)
        self.wait("systemd as PID 1", self.answers, 60)

    def answers(self):
        if self.process.poll() is not None:
            raise Refused("the machine does not start: " + self.said())
        if not self.pid1:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
                children = f.read().split()
            self.pid1 = children[0] if children else None
        if not self.pid1:
            return False
        try:
            with open(f"/proc/{self.pid1}/comm", encoding="ascii") as f:
                if f.read().strip() != "systemd":
                    return False
        except OSError:
            return False
        return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def said(self):
        with open(self.console, encoding="utf-8", errors="replace") as f:
            return f.read()[-10000:]

    def wait(self, what, good, seconds=300):
        """Until good() is true; returns what it gave."""
        end = time.monotonic() + seconds
        while True:
            got = good()
            if got:
                return got
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {seconds} s; console: {self.said()}")
            time.sleep(0.05)

    def run(self, *command, check=False, **options):
        """Runs a command inside, as root."""
        r = subprocess.run(["nsenter", "-t", self.pid1, "-m", "-p", "-n", "-u", "-i", "-C", "--", *command], text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", timeout=300, check=False,
                           env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}, **options)
        if check and r.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit {r.returncode}: {r.stdout}")
        return r

    def path(self, name):
        """A file inside as seen from outside."""
        return f"/proc/{self.pid1}/root{name}"

    def write(self, name, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.path(name), mode)

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def show(self, unit, *names):
        """Properties of a unit: one value, or a list of them."""
        r = self.run("systemctl", "show", unit, *(f"-p{n}" for n in names), check=True)
        values = dict(line.split("=", 1) for line in r.stdout.splitlines() if "=" in line)
        got = [values.get(n, "") for n in names]
        return got if len(got) > 1 else got[0]

    def get(self, path, port=8650, timeout=60):
        """Body of a page, or None."""
        r = self.run("curl", "-s", "-f", "--max-time", str(timeout), f"http://127.0.0.1:{port}{path}")
        return r.stdout if r.returncode == 0 else None

    def journal(self, *match):
        return self.run("journalctl", "--no-pager", "-q", *match).stdout

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)  # --kill-child takes PID 1 along, and that everything in it
            self.process.wait()
        end = time.monotonic() + 60
        while os.path.isdir(self.cgroup) and time.monotonic() < end:
            for folder, _, _ in os.walk(self.cgroup, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)
