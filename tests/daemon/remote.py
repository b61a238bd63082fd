#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio on another machine: attuned receives from SoapySDRServer over UDP and TCP, inside a network of its own that has
nothing but a loopback; the server is killed and comes back.
SoapySDRServer is taken from the PATH, else out of its Debian package without installing it (it would be a service that
root runs for everybody)."""
import glob, json, os, shutil, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

MODULES = os.path.abspath(arguments("ATTUNED", "MODULES")[1])
if os.environ.get("ATTUNE_ALONE") != "1":
    os.environ["ATTUNE_ALONE"] = "1"
    if not shutil.which("SoapySDRServer"):
        folder = tempfile.mkdtemp(prefix="soapyremote-")
        # apt drops its rights, and may not read the folder of a test.
        subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "soapyremote-server"], cwd=folder, check=True)
        subprocess.run(["dpkg-deb", "-x", glob.glob(folder + "/*.deb")[0], folder], check=True)
        os.environ["PATH"] += f":{folder}/usr/bin"
    ALONE = ["unshare", "-rn" if os.geteuid() else "-n"]
    if subprocess.run([*ALONE, "true"], check=False).returncode:
        print("skipped: this host lets nobody have a network of its own")
        sys.exit(77)
    os.execvp("unshare", [*ALONE, sys.executable, *sys.argv])

import attuned  # noqa: E402
from attunesim import counts  # noqa: E402
from attuned import Daemon, check, write_model  # noqa: E402

URL = "tcp://127.0.0.1:55132"
LIMIT_S = 300


def until(what, good, seconds=LIMIT_S, more=lambda: ""):
    end = time.monotonic() + seconds
    while not good():
        if time.monotonic() > end:
            check(what, False, f"not within {seconds} s; {more()}")
            return False
        time.sleep(0.1)
    return True


def listening():
    return any(line.split()[1].endswith(":D75C") and line.split()[3] == "0A" for line in open("/proc/net/tcp").readlines()[1:])


def start_server():
    """A server that listens."""
    env = {**os.environ, "SOAPY_SDR_PLUGIN_PATH": MODULES, "SOAPY_SDR_ROOT": "/nonexistent"}
    server = subprocess.Popen(["SoapySDRServer", "--bind=127.0.0.1:55132"], env=env, stdout=open("server.log", "a"),
                              stderr=subprocess.STDOUT)
    until("the server listens", lambda: listening() or server.poll() is not None)
    return server


def write_config(rate):
    with open("remote.yaml", "w") as f:
        f.write("log: {format: json}\nmodel: {path: model.safetensors}\nhttp: {listen: \"127.0.0.1:0\"}\nbandplan: \"\"\n"
                "cache_dir: cache\nradios:\n")
        for name, more in (("udp", ""), ("tcp", ",remote:prot=tcp,remote:mtu=65536")):
            sim = f"remote:driver=attunesim,remote:scene=tone,remote:serial={name},remote:counts={os.getcwd()}/{name}.counts"
            f.write(f"  - {{name: {name}, device: \"driver=remote,remote={URL},{sim}{more}\", "
                    f"bands: [{{name: {name}, center: 433.92M, rate: {rate}}}]}}\n")


def radios(d):
    return {r["name"]: r for r in d.json("/api/v1/radios")["items"]}


def both(d, *states):
    return all(r["state"] in states for r in radios(d).values())


def run():
    bus = subprocess.Popen(["dbus-daemon", "--session", "--nofork", f"--address=unix:path={os.getcwd()}/bus"])
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={os.getcwd()}/bus"
    server, d = None, None

    try:
        until("a bus", lambda: os.path.exists("bus"))
        server = start_server()
        write_config("1M")
        d = Daemon("remote.yaml")
        until("both run", lambda: both(d, "running") and all(r["samples"]["delivered"] > 2e6 for r in radios(d).values()),
              more=lambda: ({n: (r["state"], r.get("error")) for n, r in radios(d).items()}, open("server.log").read()[-800:]))
        for name, r in radios(d).items():
            s, sim = r["samples"], counts(name + ".counts")
            print(f"remote: {name}: delivered {s['delivered']}, lost {s['lost']}, simulated {sim['handed']}", flush=True)
            check(f"{name}: sums", s["requested"] == s["delivered"] + sum(s["lost"].values()), s)
            check(f"{name}: no more than was sent", s["delivered"] <= sim["handed"], (s, sim))
            # UDP may lose packets on a busy machine; that shows as a gap of the timestamps, never as silence.
            check(f"{name}: what is missing is said", s["requested"] >= 0.98 * (sim["handed"] - 1e6), (s, sim))
        check("tcp loses nothing of what was sent", sum(radios(d)["tcp"]["samples"]["lost"].values()) <= counts("tcp.counts")["overflow"]
              + radios(d)["tcp"]["samples"]["lost"]["ring_full"], radios(d)["tcp"])
        until("the tone is found over both", lambda: {e["radio"] for e in d.json("/api/v1/emissions?limit=500")["items"]
                                                      if abs(e["center_hz"] - 434.045e6) < 5000} == {"udp", "tcp"})
        server.kill()
        server.wait()
        t = time.monotonic()
        until("a dead server is seen", lambda: both(d, "stalled", "failed"))
        print(f"remote: shown after {time.monotonic() - t:.1f} s", flush=True)
        until("and the helpers are ended and made again", lambda: both(d, "failed"))
        slow = sorted(ask(d) for _ in range(50))[-3]  # a machine may stand still for a moment
        print(f"remote: {json.dumps({n: r.get('error') for n, r in radios(d).items()})}; 48 of 50 answers within {1e3 * slow:.0f} ms", flush=True)
        check("HTTP answers meanwhile", slow < 2, slow)
        server = start_server()
        t = time.monotonic()
        until("both are back", lambda: both(d, "running"))
        print(f"remote: back {time.monotonic() - t:.1f} s after the server", flush=True)
        for name, r in radios(d).items():
            check(f"{name}: counted", r["reconnects"] >= 1 and r["samples"]["lost"]["stall"] > 1e6, r)
        check("the server bears it", server.poll() is None, (server.poll(), open("server.log").read()[-500:]))
        code, took = d.stop()
        check("ends", code == 0 and took < 30, (code, took))
        for name, words in (("udp", "no samples for"), ("tcp", "hangs in readStream")):
            check(f"{name}: logged", any(f'"radio":"{name}"' in x and words in x for x in d.log), [x for x in d.log if "stalled" in x])
        d = None
    finally:
        for p in (d and d.p, server, bus):
            if p and p.poll() is None:
                p.kill()
                p.wait()


def ask(d):
    t = time.monotonic()
    d.get("/healthz")
    return time.monotonic() - t


def main():
    subprocess.run("ip link set lo up && ip route add 224.0.0.0/4 dev lo", shell=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_model("model.safetensors")
        run()
        os.chdir("/")
    sys.exit(attuned.verdict())


main()
