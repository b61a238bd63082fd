#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian packages: built, looked at by lintian, installed in a bare Debian under a booted systemd, run, removed and
purged without a trace. FOLDER: of finished packages. Needs root and Debian's mirror."""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

from machine import HERE, Machine, Refused

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

CONFIG = """radios:
  - {name: sim, device: "driver=attunesim,scene=demo,duration=5", bands: [{name: demo, center: 433.92M, rate: 1.024M}]}
"""
failed = passed = 0


def check(what, ok, got=None):
    global failed, passed
    if ok:
        passed += 1
        print(f"ok   {what}", flush=True)
    else:
        failed += 1
        print(f"FAIL {what}: got {str(got)[-3000:]}", flush=True)


def depends(packages):
    """Names of what they need, without what they are themselves."""
    out = set()
    for p in packages:
        text = subprocess.run(["dpkg-deb", "-f", p, "Depends"], check=True, text=True, stdout=subprocess.PIPE).stdout
        out |= {re.split(r"[ (|:]", x.strip())[0] for x in text.split(",") if x.strip()}
    return sorted(out - {"default-dbus-system-bus"})


def bare_root(folder, packages):
    """Debian's minimal system with what the packages depend on, and what this test uses."""
    root = os.path.join(folder, "root")
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--aptopt=APT::Install-Recommends false",
                    "--include=" + ",".join([*depends(packages), "systemd", "curl", "procps"]), "bookworm", root],
                   check=True)
    return root


def files(m):
    """Paths of the system that packages put there or leave behind."""
    text = m.run("find", "/", "-xdev", "(", "-path", "/var/lib/dpkg", "-o", "-path", "/var/log/journal", "-o", "-path",
                 "/old", ")", "-prune", "-o", "-print").stdout
    return set(text.splitlines())


def receives(m):
    return m.wait("samples", lambda: m.get("/readyz"), 90)


def install(m, packages):
    for p in packages:
        shutil.copy(p, m.path("/root/"))
    r = m.run("sh", "-c", "dpkg -i /root/*.deb && rm /root/*.deb")
    check("dpkg -i", r.returncode == 0, r.stdout)
    check("the service runs at once, with a radio or without", m.wait("active", lambda: m.show(
        "attuned", "ActiveState") == "active") and m.get("/healthz"))
    check("it is enabled", m.run("systemctl", "is-enabled", "attuned").stdout.strip() == "enabled")
    check("the socket is not", m.run("systemctl", "is-enabled", "attuned.socket").stdout.strip() == "disabled")
    check("conffiles", set(re.findall(r"(?m)^(?: )?(/etc/\S+)", m.run("dpkg-query", "-W", "-f=${Conffiles}", "attune").stdout))
          == {"/etc/attune/attuned.yaml", "/etc/attune/bandplan.yaml"})
    check("--check of the shipped configuration names the model", "ok  model" in m.run(
        "attuned", "--check", "-c", "/etc/attune/attuned.yaml").stdout)
    for name in ("/lib/udev/rules.d/60-attune.rules", "/usr/share/man/man1/attune.1.gz", "/usr/share/man/man8/attuned.8.gz",
                 "/usr/share/man/man5/attuned.yaml.5.gz", "/usr/share/bash-completion/completions/attune.bash"):
        check(name, os.path.exists(m.path(name)))
    check("attune finds the simulated radio", "attunesim" in m.run("attune", "devices").stdout)


def use(m):
    m.write("/etc/attune/attuned.yaml", CONFIG)
    m.run("systemctl", "restart", "attuned", check=True)
    check("a radio runs", receives(m))
    listing = m.run("sh", "-c", "timeout 240 attune listen -d driver=attunesim,scene=tone -f 433M -s 250k --json | head -n 1").stdout
    check("attune listen shows an emission", '"snr_db"' in listing, listing)
    m.run("systemctl", "enable", "--now", "attuned-standalone", check=True)
    check("the variant without a network takes over", m.wait("standalone", lambda: m.show("attuned", "ActiveState") == "inactive"
                                                             and m.get("/healthz")) and receives(m))
    m.run("systemctl", "disable", "attuned-standalone", check=True)
    m.run("systemctl", "start", "attuned", check=True)
    check("and back", m.show("attuned-standalone", "ActiveState") == "inactive" and receives(m))


def remove(m, before):
    r = m.run("dpkg", "-r", "attune", "attune-sim")
    check("dpkg -r", r.returncode == 0, r.stdout)
    check("the service is stopped", not m.get("/healthz", timeout=2) and not m.run("pgrep", "-x", "attuned").stdout)
    check("configuration and state stay", "attunesim" in m.read("/etc/attune/attuned.yaml")
          and m.run("ls", "/var/lib/private").stdout.strip() == "attune")
    r = m.run("dpkg", "-P", "attune", "attune-sim")
    check("dpkg -P", r.returncode == 0, r.stdout)
    left = {x for x in files(m) - before if not re.match(
        r"/var/(lib|cache|log)(/private)?$|/etc/credstore$|/var/lib/systemd|/var/log/(dpkg|alternatives)|/var/cache/(man|ldconfig)|"
        r"/etc/(group|gshadow|passwd|shadow)-?$|/root$|/tmp|/var/tmp|/etc/systemd", x)}
    check("nothing is left", not left, sorted(left))


def main():
    (work,) = arguments("[FOLDER]")
    folder = tempfile.mkdtemp(prefix="attune-package-")
    try:
        if not work:
            work = os.path.join(folder, "build")
            r = subprocess.run([os.path.join(HERE, "package.sh"), work], text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, cwd=os.path.join(HERE, "..", ".."), check=False)
            check("the packages build and lintian finds nothing", r.returncode == 0, r.stdout)
        packages = sorted(glob.glob(os.path.join(work, "*.deb")))
        check("two packages", len(packages) == 2, packages)
        with Machine(["true"], bare_root(folder, packages)) as m:
            before = files(m)
            install(m, packages)
            use(m)
            remove(m, before)
    except Refused as e:
        print(f"NOT RUN: this kernel or container does not let a systemd boot in namespaces of its own: {e}")
        return 77
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
