#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units under a real systemd: start, stop, hang, crash, reload, what they may touch, HTTP through a passed socket."""
import json
import os
import re
import sys
import time

from machine import Machine, Refused

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

BUILD = os.path.abspath(*arguments("BUILD"))
CONFIG = """log: {level: debug}
http: {listen: "127.0.0.1:%d"}
radios:
  - {name: %s, device: "driver=attunesim,scene=demo,duration=5", bands: [{name: demo, center: 433.92M, rate: 1.024M}]}
"""
# Shorter waits than the shipped ones, so that the test ends in time; nothing of the sandbox is changed.
QUICK = "[Service]\nWatchdogSec=5\nRestartSec=1\n"
SOON_S = 60  # 0.3 s where the machine has time
TOKEN = "0123456789abcdef-secret-of-the-test"
failed = passed = 0


def check(what, ok, got=None):
    global failed, passed
    if ok:
        passed += 1
        print(f"ok   {what}", flush=True)
    else:
        failed += 1
        print(f"FAIL {what}: got {str(got)[:2000]}", flush=True)


class Service:
    def __init__(self, machine, unit, port=8650):
        self.m, self.unit, self.port = machine, unit, port

    def active(self):
        return self.m.show(self.unit, "ActiveState") == "active"

    def pid(self):
        return int(self.m.show(self.unit, "MainPID"))

    def restarts(self):
        return int(self.m.show(self.unit, "NRestarts"))

    def ready_after(self):
        """Seconds from the process's start to READY=1, by systemd's own clock."""
        a, b = self.m.show(self.unit, "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        return (int(b) - int(a)) / 1e6

    def status(self):
        text = self.m.get("/api/v1/status", self.port)
        return json.loads(text) if text else {}

    def receives(self):
        """Until samples move, which the first start's planning and calibration hold up."""
        return self.m.wait("samples", lambda: self.m.get("/readyz", self.port))

    def comes_back(self, what, before):
        self.m.wait(f"{what}: restarted", lambda: self.restarts() > before and self.active())
        check(f"{what}: the service is back", self.m.wait("HTTP", lambda: self.m.get("/healthz", self.port)))
        check(f"{what}: it receives again", self.receives())


def outside(m, pid):
    """PID in the namespace of whoever runs this."""
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                with open(f"/proc/{p}/status", encoding="utf-8") as f:
                    text = f.read()
                if os.readlink(f"/proc/{p}/ns/pid") == os.readlink(f"/proc/{m.pid1}/ns/pid") and \
                        re.search(rf"(?m)^NSpid:.*\t{pid}$", text):
                    return p
            except OSError:
                pass
    raise RuntimeError(f"no process {pid} inside")


def start_stop(s):
    m = s.m
    m.run("systemctl", "start", s.unit, check=True)
    check(f"{s.unit}: ready, by systemd's clock", 0 < s.ready_after() < SOON_S, s.ready_after())
    print(f"     ready after {s.ready_after():.3f} s", flush=True)
    check(f"{s.unit}: HTTP", '"alive"' in (m.get("/healthz", s.port) or ""))
    s.receives()
    text = m.wait("status", lambda: re.search("1 of 1 radios running.*p95 [0-9.]+ of 30 ms", m.show(s.unit, "StatusText")))
    check(f"{s.unit}: STATUS= says radios and budget", text)
    began = time.monotonic()
    m.run("systemctl", "stop", s.unit, check=True)
    took = time.monotonic() - began
    check(f"{s.unit}: stopped, soon", took < SOON_S, took)
    print(f"     stopped after {took:.2f} s", flush=True)
    check(f"{s.unit}: a clean end", m.show(s.unit, "Result", "ExecMainStatus") == ["success", "0"],
          m.show(s.unit, "Result", "ExecMainStatus"))


def faults(s):
    m = s.m
    m.run("systemctl", "start", s.unit, check=True)
    s.receives()
    before = s.restarts()
    m.run("kill", "-9", str(s.pid()), check=True)
    s.comes_back("kill -9", before)
    before = s.restarts()
    m.run("kill", "-STOP", str(s.pid()), check=True)
    s.comes_back("hang", before)
    check("hang: it was the watchdog", "Watchdog timeout" in m.journal("_PID=1"), m.journal("_PID=1")[-2000:])


def reload(s):
    m, pid = s.m, s.pid()
    config = m.read("/etc/attune/attuned.yaml")
    m.write("/etc/attune/attuned.yaml", "budget: {latency_ms: 25}\n" + config)
    m.run("systemctl", "reload", s.unit, check=True)
    check("reload: the new budget is in force", m.wait("STATUS=", lambda: "of 25 ms" in m.show(s.unit, "StatusText")))
    check("reload: the same process goes on", m.wait("active", s.active) and s.pid() == pid, s.pid())
    m.write("/etc/attune/attuned.yaml", "nonsense: 1\n" + config)
    m.run("systemctl", "reload", s.unit)
    m.wait("active", s.active)
    check("reload of a bad file: the old configuration goes on", s.pid() == pid and m.get("/healthz", s.port))
    m.write("/etc/attune/attuned.yaml", config)


def writable(m, pid):
    """Every place outside its own folders that the process may write to: mounts that are not read-only in its
    namespace, and what its user may write there."""
    places = []
    with open(f"/proc/{outside(m, pid)}/mountinfo", encoding="utf-8") as f:
        for line in f:
            fields = line.split()
            where, options, kind = fields[4], fields[5].split(","), line.split(" - ")[1].split()[0]
            if "rw" in options and kind not in ("proc", "devpts", "mqueue"):
                places.append(where)
    uid = m.run("stat", "-c", "%u %g", f"/proc/{pid}").stdout.split()
    out = set()
    for place in places:
        r = m.run("nsenter", "-t", str(pid), "-m", "--", "setpriv", "--reuid", uid[0], "--regid", uid[1],
                  "--groups", "plugdev", "find", place, "-xdev", "-writable", "-not", "-type", "l", "-not", "-type", "s")
        out |= {x for x in r.stdout.splitlines() if x.startswith("/")}
    return sorted(out)


def sandbox(s, own, steps_back):
    """steps_back: workers are ten steps nicer than what takes samples, which the strictest unit does not let them be."""
    m, pid = s.m, s.pid()
    status = m.read(f"/proc/{pid}/status")
    for key, value in (("CapEff", "0000000000000000"), ("CapBnd", "0000000000000000"), ("NoNewPrivs", "1"), ("Seccomp", "2")):
        check(f"{key} is {value}", re.search(rf"(?m)^{key}:\s+{value}$", status), status)
    check("not root", not re.search(r"(?m)^Uid:\s+0\s", status))
    nice = set(m.run("ps", "-L", "-o", "ni=", "-p", str(pid)).stdout.split())
    check(f"niceness of its threads: {'-10 and 0' if steps_back else '-10'}", nice == ({"-10", "0"} if steps_back else {"-10"}), nice)
    children = m.run("pgrep", "-P", str(pid)).stdout.split()
    check("the radio's helper process runs under it", len(children) == 1 and re.search(
        r"(?m)^Seccomp:\s+2$", m.read(f"/proc/{children[0]}/status")), children)
    allowed = re.compile(r"^(/var/lib|/var/cache|/var/log|/run)/(private/)?" + own + r"(/|$)|^(/tmp|/var/tmp)(/|$)|"
                         r"^/dev/(mqueue|null|zero|full|random|urandom|tty|bus/usb/001/002)(/|$)")
    found = writable(m, pid)
    check("nothing is writable outside its folders", not [x for x in found if not allowed.match(x)],
          [x for x in found if not allowed.match(x)])
    for folder in ("/var/lib", "/var/cache", "/var/log"):
        check(f"{folder}/{own} is its own", any(re.match(rf"{folder}/private/{own}$", x) for x in found), found)
        check(f"{folder}/{own} is nobody else's", m.run("stat", "-c", "%a", f"{folder}/private/{own}").stdout.strip() == "700")
    kept = m.wait("the cache", lambda: m.run("find", f"/var/cache/private/{own}", "-type", "f", "-printf", "%m %f\\n").stdout)
    check("the cache was written, for nobody else to read", all(x.startswith("600 ") for x in kept.splitlines()), kept)


def secrets(s):
    """The token works, and stands in no log, status, command line or environment."""
    m, pid = s.m, s.pid()
    creds = m.run("nsenter", "-t", str(pid), "-m", "--", "cat", f"/run/credentials/{s.unit}/http-token").stdout
    check("the credential is there", creds.strip() == TOKEN, creds)
    for word in (TOKEN, TOKEN + "-wrong"):
        m.run("curl", "-s", "-X", "PATCH", "-H", f"Authorization: Bearer {word}", f"http://127.0.0.1:{s.port}/api/v1/budget")
    # One that is refused: what it holds is not said.
    m.write("/run/short", "secret-of\n", 0o600)
    config = m.read("/etc/attune/attuned.yaml")
    m.write("/run/short.yaml", "cache_dir: /tmp\n" + config.replace("http: {", "http: {token_file: /run/short, "))
    refused = m.run("attuned", "-c", "/run/short.yaml", "--check").stdout
    check("a token that is too short is refused by its place", "/run/short" in refused and "secret-of" not in refused, refused)
    seen = {
        "the journal": m.run("journalctl", "--no-pager", "-o", "export").stdout,
        "systemctl status": m.run("systemctl", "status", "-l", "--no-pager", s.unit).stdout,
        "systemctl show": m.run("systemctl", "show", s.unit).stdout,
        "command lines": m.run("ps", "axww").stdout,
        "the environment": m.read(f"/proc/{pid}/environ"),
        "--print-config": m.run("attuned", "-c", "/etc/attune/attuned.yaml", "--print-config").stdout,
        "the API": "".join(m.get(p, s.port) or "" for p in ("/api/v1/status", "/api/v1/radios", "/metrics")),
    }
    for where, text in seen.items():
        check(f"the token is not in {where}", text and "secret-of-the-test" not in text, text[:200])


def tls(s):
    """The key is a credential that only root and this unit read."""
    m, config = s.m, s.m.read("/etc/attune/attuned.yaml")
    m.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout",
          "/etc/credstore/attune.tls-key", "-out", "/etc/attune/cert.pem", check=True)
    m.run("chmod", "644", "/etc/attune/cert.pem", check=True)
    m.write("/etc/attune/attuned.yaml", config.replace(
        "http: {", f"http: {{tls: {{cert: cert.pem, key: /run/credentials/{s.unit}/tls-key}}, "))
    m.run("systemctl", "restart", s.unit, check=True)
    check("TLS with its key as a credential", "alive" in m.run(
        "curl", "-s", "--cacert", "/etc/attune/cert.pem", f"https://localhost:{s.port}/healthz").stdout)
    m.write("/etc/attune/attuned.yaml", config)
    m.run("systemctl", "restart", s.unit, check=True)


def journal(s):
    m = s.m
    line = m.run("journalctl", "--no-pager", "-q", "-o", "json", "-u", s.unit, "RADIO=sim", "STATE=running").stdout
    entries = [json.loads(x) for x in line.splitlines()]
    check("journal: RADIO=, BAND= and PRIORITY=", entries and entries[0].get("BAND") == "demo" and
          entries[0].get("PRIORITY") == "6", line or m.journal("-u", s.unit)[-800:])
    ended = m.wait("an emission's end in the journal", lambda: m.run(
        "journalctl", "--no-pager", "-q", "-o", "json", "-n", "1", "-u", s.unit, "-g", "emission ended").stdout)
    check("journal: EMISSION_ID=", json.loads(ended.splitlines()[0]).get("EMISSION_ID"), ended)


def through_socket(m):
    """attuned.socket: no network of its own, HTTP all the same, and no refused connection while it restarts."""
    s = Service(m, "attuned-standalone.service")
    m.run("systemctl", "start", "attuned.socket", check=True)
    check("socket: nothing runs before the first request", not s.active())
    check("socket: the first request starts it", '"alive"' in (m.get("/healthz") or ""))
    s.receives()
    nets = [m.run("readlink", f"/proc/{p}/ns/net").stdout for p in (1, s.pid())]
    check("socket: no network but a loopback of its own", nets[0] != nets[1] and
          len(m.run("cat", f"/proc/{s.pid()}/net/dev").stdout.splitlines()) == 3, nets)
    sandbox(s, "attune", False)
    m.run("systemctl", "restart", "--no-block", s.unit, check=True)
    got = [m.get("/healthz", timeout=60) for _ in range(20)]
    check("socket: a restart refuses nobody", all(got), got)
    m.run("systemctl", "stop", "attuned.socket", s.unit, check=True)


def instances(m):
    """attuned@NAME beside attuned: folders of its own."""
    s = Service(m, "attuned@roof.service", 8651)
    m.write("/etc/attune/roof.yaml", CONFIG % (8651, "roof"))
    start_stop(s)
    m.run("systemctl", "start", s.unit, check=True)
    s.receives()
    sandbox(s, "attune-roof", True)
    m.run("systemctl", "start", "attuned.service", check=True)
    check("attuned and an instance side by side", m.get("/healthz", 8650) and m.get("/healthz", 8651))
    m.run("systemctl", "stop", s.unit, check=True)


def boot(m):
    # What this host's own attune left is not part of the test.
    m.run("sh", "-c", "rm -rf /var/lib/attune* /var/cache/attune* /var/log/attune* /var/*/private/attune* /etc/attune/conf.d/*")
    m.write("/etc/attune/attuned.yaml", CONFIG % (8650, "sim"))
    m.write("/etc/credstore/attune.http-token", TOKEN + "\n", 0o600)
    for unit in ("attuned", "attuned-standalone", "attuned@"):
        m.write(f"/etc/systemd/system/{unit}.service.d/quick.conf", QUICK)
    m.run("systemctl", "daemon-reload", check=True)
    s = Service(m, "attuned.service")
    start_stop(s)
    faults(s)
    reload(s)
    sandbox(s, "attune", True)
    secrets(s)
    journal(s)
    tls(s)
    m.run("systemctl", "stop", s.unit, check=True)
    through_socket(m)
    instances(m)


def main():
    try:
        with Machine(["env", "DESTDIR=", "meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir"]) as m:
            boot(m)
    except Refused as e:
        print(f"NOT RUN: this kernel or container does not let a systemd boot in namespaces of its own: {e}")
        return 77
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
