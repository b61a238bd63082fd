#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attuned with simulated radios that go wrong: the ledger against what was injected, and radios that do not disturb each
other."""
import os, re, signal, sys, tempfile, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

MODULES = os.path.abspath(arguments("ATTUNED", "MODULES")[1])
import attuned  # noqa: E402
from attunesim import counts  # noqa: E402
from attuned import check, until, write_model  # noqa: E402

started = []


class Daemon(attuned.Daemon):
    def __init__(self, config):
        super().__init__(config)
        started.append(self.p)

    def stop(self, number=signal.SIGTERM):
        code, took = super().stop(number)
        started.remove(self.p)
        return code, took


def write_config(path, radios, rate):
    """radios: name -> (arguments of the device, lines of the radio, lines of the band)"""
    with open(path, "w") as f:
        f.write(f"""log: {{level: info, format: json}}
soapy: {{modules: [{MODULES}]}}
model: {{path: model.safetensors}}
http: {{listen: "127.0.0.1:0"}}
bandplan: ""
cache_dir: cache
radios:
""")
        for name, (device, radio, band) in radios.items():
            driver = "" if device.startswith("driver=") else f"driver=attunesim,serial={name},counts={os.getcwd()}/{name}.counts,"
            f.write(f"  - {{name: {name}, device: \"{driver}{device}\"{radio}, "
                    f"bands: [{{name: {name}, center: 433.92M, rate: {rate}{band}}}]}}\n")


def radios(d):
    return {r["name"]: r for r in d.json("/api/v1/radios")["items"]}


def metric(page, name, **labels):
    """Sum of the samples of name whose labels are these."""
    total = 0
    for line in page.splitlines():
        m = re.match(rf"{name}\{{(.*)\}} (\S+)$", line)
        if m and all(f'{k}="{v}"' in m[1] for k, v in labels.items()):
            total += float(m[2])
    return total


def helpers(pid):
    """Process ids of a daemon's helpers, by radio."""
    out = {}
    for p in os.listdir("/proc"):
        try:
            words = open(f"/proc/{p}/cmdline", "rb").read().split(b"\0")
            parent = int(open(f"/proc/{p}/stat").read().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid and b"--radio-helper" in words:
            out[words[2].decode()] = int(p)
    return out


def run_ledger():
    """Five kinds of loss on five radios at once; then silence: each sum must be right to the sample, everywhere."""
    four = lambda fault: ";".join(f"{fault[0]}@{n}{fault[1]}" for n in (150001, 20000, 17, 129982)) + ";timeout@100000:0"
    script = {"over": four(("overflow", ":1234")), "gaps": four(("gap", ":4321")), "bad": four(("corrupt", "")),
              "nans": four(("nan", ":5")), "long": four(("overlong", "")), "none": "timeout@400000:0"}
    write_config("ledger.yaml", {n: (f"scene=tone,{'native=CF32,' if n == 'nans' else ''}script={s}", "", "") for n, s in script.items()},
                 rate="250k")
    d = Daemon("ledger.yaml")
    steps = {n: s.count(";") + 1 for n, s in script.items()}

    def silent():
        now = radios(d)
        return all(counts(n + ".counts").get("steps", 0) >= steps[n] and now[n]["state"] == "stalled" and
                   "no samples" in now[n].get("error", "") for n in script) and now

    now = until("all scripts end in silence", silent) or radios(d)
    page = d.get("/metrics")[2].decode()
    for name in script:
        # The state is one second behind the samples; processed follows within a read.
        r = now[name]["samples"]
        sim, lost = counts(name + ".counts"), r["lost"]
        check(f"{name}: requested = delivered + lost", r["requested"] == r["delivered"] + sum(lost.values()), r)
        check(f"{name}: all that was handed over", r["delivered"] + sim["not_finite"] + lost["ring_full"] == sim["handed"], (r, sim))
        check(f"{name}: overflow", lost["overflow"] == sim["overflow"], (lost, sim))
        check(f"{name}: gap", lost["gap"] == sim["gap"], (lost, sim))
        check(f"{name}: corrupt", lost["corrupt"] == sim["corrupt"] + sim["not_finite"], (lost, sim))
        check(f"{name}: processed", r["processed"] == r["delivered"], r)
        check(f"{name}: in the metrics", metric(page, "attune_samples_total", radio=name) == r["requested"] and all(
            metric(page, "attune_samples_lost_total", radio=name, reason=k) == v for k, v in lost.items()), lost)
    check("something was lost where something was injected", all(
        sum(counts(n + ".counts")[k] for k in ("overflow", "gap", "corrupt", "not_finite")) >= 20 for n in script if n != "none"))
    items = d.json("/api/v1/emissions?limit=500")["items"]
    near = {n: [e for e in items if e["radio"] == n and abs(e["center_hz"] - 433.95125e6) < 2000] for n in script}
    check("the tone is found by each radio", all(near.values()), {n: len(v) for n, v in near.items()})
    check("a decision near a gap says so", any(e.get("gap") for e in near["gaps"] + near["over"] + near["bad"]), near)
    if counts("none.counts")["late"] == 0 and now["none"]["samples"]["lost"]["ring_full"] == 0:
        check("and one without a gap does not", not any(e.get("gap") for e in near["none"]), near["none"])
    code, took = d.stop()
    check("SIGTERM ends it and every helper", code == 0 and took < 30, (code, took))


class Probe(threading.Thread):
    """Asks the daemon all the while; keeps the longest wait."""

    def __init__(self, d):
        super().__init__()
        self.d, self.worst, self.n, self.slow, self.stop = d, 0.0, 0, 0, False

    def run(self):
        while not self.stop:
            t = time.monotonic()
            ok = self.d.get("/healthz")[0] == 200
            took = time.monotonic() - t if ok else 99
            self.worst, self.n, self.slow = max(self.worst, took), self.n + 1, self.slow + (took > 2)
            time.sleep(0.02)


def run_together():
    """A good radio beside one that is missing, one that is refused, one that crashes, one that hangs in every way and one
    that is unplugged and comes back: the good one loses nothing, HTTP answers."""
    write_config("many.yaml", {
        "good": ("scene=tone", "", ""),
        "missing": ("driver=nosuchradio,token=secret", "", ""),
        "crash": ("says=Found a tuner,scene=tone,script=abort@200000,repeat=1", "", ""),
        "hangs": ("scene=tone,script=hang@200000:0", "", ""),
        "opens": ("scene=tone,bad_call=activate:hang", "", ""),
        "closes": ("scene=tone,script=throw@100000;timeout@100000:0,bad_call=deactivate:hang", "", ""),
        "back": ("scene=tone,script=unplug@300000:7000", "", "")}, rate="250k")
    d = Daemon("many.yaml")
    probe = Probe(d)
    probe.start()
    until("good runs", lambda: radios(d)["good"]["state"] == "running")
    seen = {}  # radio -> states that were shown

    def all_seen():
        for n, r in radios(d).items():
            seen.setdefault(n, set()).add(r["state"])
        c = {n: counts(n + ".counts").get("lives", 0) for n in ("crash", "hangs", "closes", "back")}
        return all(v >= 2 for v in c.values()) and "stalled" in seen["hangs"] and "stalled" in seen["closes"] \
            and "stalled" in seen["back"] and "running" in seen["crash"] and radios(d)["back"]["state"] == "running"

    until("crashed, hung, refused and unplugged radios are made again", all_seen)
    now = radios(d)
    good = now["good"]["samples"]
    sim = counts("good.counts")
    check("the good one goes on", now["good"]["state"] == "running" and now["good"]["reconnects"] == 0, now["good"])
    check("the good one has lost no more than the machine's own lateness",
          sum(good["lost"].values()) == sim["late"] + good["lost"]["ring_full"], (good, sim))
    check("the missing one says what to install", "soapysdr-module-nosuchradio" in now["missing"].get("error", ""), now["missing"])
    check("states", now["missing"]["state"] == "failed" and now["opens"]["state"] == "starting", {n: r["state"] for n, r in now.items()})
    page = d.get("/metrics")[2].decode()
    check("reconnects are counted", metric(page, "attune_radio_reconnects_total", radio="crash") >= 1)
    away = now["back"]["samples"]["lost"]["stall"] / 250e3
    check("the time away is in the ledger", away >= 6.9, away)
    probe.stop = True
    probe.join()
    print(f"radios: {probe.n} requests meanwhile, slowest {1e3 * probe.worst:.0f} ms; away {away:.2f} s; lives "
          f"{ {n: counts(n + '.counts').get('lives') for n in ('crash', 'hangs', 'closes', 'back')} }")
    # What waits for a driver waits for seconds, again and again; a machine that stands still for a moment does so once.
    check("HTTP answers meanwhile", probe.slow <= 1 + probe.n // 20 and probe.worst < 60, (probe.slow, probe.n, probe.worst))
    own = helpers(d.p.pid)
    check("no argument of a device stands in a process list", all(
        b"driver=" not in open(f"/proc/{p}/cmdline", "rb").read() for p in own.values()), own)
    os.kill(own["good"], signal.SIGKILL)  # somebody else does
    until("a killed helper is made again", lambda: counts("good.counts")["lives"] >= 2 and radios(d)["good"]["state"] == "running")
    code, took = d.stop()
    check("ends in time in spite of hanging drivers", code == 0 and took < 30, (code, took))
    check("the log says what crashed", any("crashed (SIG" in x or "the driver ended" in x for x in d.log), [x for x in d.log if "crash" in x])
    check("what the driver printed is in the log", any(
        '"message":"radio crash: driver: Found a tuner"' in x and '"radio":"crash"' in x for x in d.log), [x for x in d.log if "crash" in x])


def run_orphans():
    """A daemon that is killed takes its helpers with it, those whose driver hangs too."""
    write_config("orphans.yaml", {"good": ("scene=tone", "", ""), "hangs": ("scene=tone,script=hang@20000:0", "", "")}, rate="250k")
    d = Daemon("orphans.yaml")
    until("both run", lambda: counts("hangs.counts").get("steps") and len(helpers(d.p.pid)) == 2)
    own = helpers(d.p.pid)
    d.p.kill()
    d.p.wait()
    started.remove(d.p)
    alive = lambda: [p for p in own.values() if os.path.exists(f"/proc/{p}") and "Z" not in open(f"/proc/{p}/stat").read().rsplit(")", 1)[1][:3]]
    until("helpers die with their parent", lambda: not alive())


def run_settings():
    """Each setting of the configuration reaches the driver."""
    log = os.getcwd() + "/settings.log"
    write_config("settings.yaml", {"set": (
        f"scene=tone,gains=1,correction=1,log={log}", ", antenna: RX2, ppm: 1.5, bias_tee: true, settings: 'direct_samp=2'",
        ", gain: 'LNA=25,VGA=12', lo_offset: 50k"), "auto": (
        f"scene=tone,gains=1,log={log}2", ", ppm: -2", ", gain: auto"), "fixed": (
        f"scene=tone,gains=1,log={log}3", "", ", gain: 33")}, rate="250k")
    d = Daemon("settings.yaml")
    until("they run", lambda: all(r["state"] == "running" for r in radios(d).values()))
    lines = open(log).read().splitlines()
    for want in ("rate 250000.000000", "frequency 433970000.000000", "antenna RX2", "ppm 1.500000", "gain LNA 25.000000",
                 "gain VGA 12.000000", "agc off", "setting biastee true", "setting direct_samp 2", "stream CS16 bufflen 16384"):
        check(f"settings: {want}", want in lines, lines)
    # A radio that cannot correct itself is tuned aside: 433.92 MHz at -2 ppm.
    check("ppm by tuning", "frequency 433919132.160000" in open(log + "2").read().splitlines(), open(log + "2").read())
    check("gain in dB", counts("fixed.counts")["gain_mdb"] == 33000, counts("fixed.counts"))
    # The tone is half of full scale at 30 dB: the control begins at 36 dB, where it clips, and goes down until it does not.
    until("gain: auto steps down where it clips", lambda: counts("auto.counts")["gain_mdb"] == 30000)
    d.stop()


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_model("model.safetensors")
        try:
            for run in (run_ledger, run_together, run_orphans, run_settings):
                for f in os.listdir("."):
                    if f.endswith(".counts"):
                        os.unlink(f)
                t = time.monotonic()
                run()
                print(f"radios: {run.__name__}: {time.monotonic() - t:.1f} s", flush=True)
        finally:
            for p in started:
                p.kill()
                p.wait()
    sys.exit(attuned.verdict())


main()
