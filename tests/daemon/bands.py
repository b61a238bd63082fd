#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attuned with a simulated radio that visits several bands: emissions that live across visits, what each band keeps, the
ledger, a band that the radio refuses, a reload, a floor without noise."""
import array, datetime, math, os, signal, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

MODULES = os.path.abspath(arguments("ATTUNED", "MODULES")[1])
import attuned  # noqa: E402
from attunesim import counts  # noqa: E402
from attuned import Daemon, check, until, write_model  # noqa: E402

RATE = 250e3
LOW, HIGH = 433.92e6, 868.3e6
SAMPLES = 4.5e6  # 18 s, then silence: 8 visits each of 1 s


def write_config(path, dwell, script=f"script=timeout@{SAMPLES:.0f}:0", aside=0):
    """Two bands with a carrier each at 1/8 of the rate above its centre (the second's `aside` higher), and one that the radio
    does not have."""
    device = f"driver=attunesim,serial=walk,scene=carrier@{LOW:.0f};carrier@{HIGH + aside:.0f},gains=1,log={os.getcwd()}/walk.log," \
             f"counts={os.getcwd()}/walk.counts,{script}"
    bands = [f"{{name: low, center: {LOW:.0f}, rate: 250k, dwell: {dwell}, antenna: RX, gain: 30}}",
             f"{{name: none, center: 20G, rate: 250k, dwell: {dwell}, antenna: RX, gain: 30}}",
             f"{{name: high, center: {HIGH:.0f}, rate: 250k, dwell: {dwell}, antenna: RX2, gain: 'LNA=22,VGA=10'}}"]
    with open(path, "w") as f:
        f.write(f"""log: {{level: info, format: json}}
soapy: {{modules: [{MODULES}]}}
model: {{path: model.safetensors}}
http: {{listen: "127.0.0.1:0"}}
bandplan: ""
cache_dir: cache
lookback: {{keep: 2s}}
radios:
  - {{name: walk, device: "{device}", bands: [{", ".join(bands)}]}}
""")


def items(d, what):
    return d.json(f"/api/v1/{what}")["items"]


def bands(d):
    return {b["name"]: b for b in items(d, "bands")}


def visited(d, n):
    """Whether both good bands were come to n times."""
    now = bands(d)
    return "low" in now and "high" in now and min(now["low"]["visits"], now["high"]["visits"]) >= n


def carriers(d, band, center, rate=RATE, **also):
    return [e for e in items(d, f"emissions?limit=500&band={band}") if abs(e["center_hz"] - center - rate / 8) < 500 and
            all(e.get(k) == v for k, v in also.items())]


def look(d, seen):
    """One look: which emissions are there, and that one band at most is visited."""
    now = bands(d)
    check("one band is visited, the others wait", sorted(b["state"] for b in now.values()) == ["visited", "waiting", "waiting"], now)
    for band, center in (("low", LOW), ("high", HIGH)):
        for e in items(d, f"emissions?limit=500&band={band}"):
            seen.setdefault(band, {}).setdefault(e["id"], set()).add(e["state"])
            check("an emission stands in its band", abs(e["center_hz"] - center) < RATE / 2, e)
    return now


def run_walk():
    write_config("walk.yaml", "1s")
    d = Daemon("walk.yaml")
    seen = {}
    until("the radio runs", lambda: items(d, "radios")[0]["state"] == "running")
    until("six visits of each", lambda: all(b["visits"] >= 6 for n, b in look(d, seen).items() if n != "none"))
    low, high = carriers(d, "low", LOW, state="active"), carriers(d, "high", HIGH, state="active")
    print("bands:", {n: [(e["id"], e.get("tokens"), e.get("bursts"), round(e.get("duty", 0), 3)) for e in x]
                     for n, x in (("low", low), ("high", high))})
    check("one emission in each band", len(low) == 1 and len(high) == 1, (low, high))
    check("and no other, with one id all the while", all(len(x) == 1 and x[next(iter(x))] == {"active"} for x in seen.values()), seen)
    for e in low + high:
        check("it says that it was not heard all the while", e.get("gap") is True, e)
        check("it is on whenever it is looked at", e.get("duty", 0) > 0.9 and e.get("bursts") == 1, e)
        check("it is decided", e.get("tokens", 0) > 0 and "class" in e, e)
        until("the samples of its newest visit are kept", lambda: d.get(f"/api/v1/emissions/{e['id']}/iq")[0] == 200)
    now = bands(d)
    check("a floor for each", all(isinstance(now[n].get("noise_floor_dbfs_per_hz"), float) for n in ("low", "high")), now)
    check("a waiting band shows since when", all(b["since_s"] >= 0 for n, b in now.items() if n != "none"), now)
    check("the band that is refused says why", "refuses a frequency" in now["none"].get("error", "") and now["none"]["visits"] == 0, now["none"])
    for band, center in (("low", LOW), ("high", HIGH)):
        rows = items(d, f"waterfall?band={band}&limit=500")
        check(f"rows of {band}", len(rows) >= 30 and all(r["band"] == band and r["center_hz"] == center for r in rows), len(rows))
        newest = d.json(f"/api/v1/spectrum?radio=walk&band={band}")
        top = max(range(len(newest["dbfs"])), key=newest["dbfs"].__getitem__)
        check("the carrier stands in its spectrum", abs(top / len(newest["dbfs"]) - 0.625) < 0.01, top)
    check("a band that is not there", d.get("/api/v1/waterfall?band=nowhere")[0] == 400)
    page = d.get("/metrics")[2].decode()
    for band in ("low", "high"):
        for name in ("attune_frames_total", "attune_noise_floor_dbfs_per_hz", "attune_occupancy_ratio", "attune_emissions_active"):
            check(f"{name} of {band}", f'{name}{{radio="walk",band="{band}"}} ' in page)
        check("emissions of waiting bands count", f'attune_emissions_active{{radio="walk",band="{band}"}} 1\n' in page, page)
        check("nobody is said to have ended", f'attune_emissions_total{{radio="walk",band="{band}"' not in page)
    until("the script ends in silence", lambda: counts("walk.counts")["steps"] >= 1 and items(d, "radios")[0]["state"] == "stalled" and
          "no samples" in items(d, "radios")[0].get("error", ""))
    samples, sim = items(d, "radios")[0]["samples"], counts("walk.counts")
    lost = samples["lost"]
    check("requested = delivered + lost", samples["requested"] == samples["delivered"] + sum(lost.values()), samples)
    check("all that was handed over", samples["delivered"] + lost["ring_full"] + lost["retune"] == sim["handed"], (samples, sim))
    check("what was lost on the way", lost["overflow"] == sim["overflow"] and lost["gap"] == lost["corrupt"] == 0, (samples, sim))
    check("processed", samples["processed"] == samples["delivered"], samples)
    # Each turn asks for the refused band as well, and is set back to where it was.
    changes = sum(b["visits"] for b in bands(d).values()) - 1
    print(f"bands: {changes} changes of band, {lost['retune'] / RATE / changes * 1e3:.1f} ms of samples lost at each")
    log = open("walk.log").read()
    check("each band has its antenna and gain", log.count("antenna RX2") >= 5 and log.count("gain LNA 22") >= 5, log[-2000:])
    code, took = d.stop()
    check("SIGTERM ends it", code == 0 and took < 30, (code, took))
    check("what is refused is said once", sum("band none is left out" in x for x in d.log) == 1, d.log)


def run_reload():
    """A radio whose bands changed is begun anew; the emissions of all of its bands are ended in order."""
    write_config("walk.yaml", "1s", "time=1")
    d = Daemon("walk.yaml")
    until("both are visited", lambda: visited(d, 2))
    before = carriers(d, "low", LOW) + carriers(d, "high", HIGH)
    check("one emission each", len(before) == 2, before)
    write_config("walk.yaml", "600ms", "time=1")
    d.p.send_signal(signal.SIGHUP)
    until("the other dwell is in force", lambda: [b["dwell_s"] for b in bands(d).values()] == [0.6] * 3)
    until("both are visited again", lambda: visited(d, 2))
    after = {e["id"]: e for e in carriers(d, "low", LOW) + carriers(d, "high", HIGH)}
    check("those of before have ended", all(after[e["id"]]["state"] == "ended" for e in before), after)
    until("new ones are there", lambda: all(len(carriers(d, n, c, state="active")) == 1 for n, c in (("low", LOW), ("high", HIGH))))
    code, took = d.stop()
    check("SIGTERM ends it", code == 0 and took < 30, (code, took))


def run_return():
    """A driver that crashes amid the walk: the next life begins where this one was, and the walk goes on; what is heard in
    each band is still its own."""
    aside = -50e3
    write_config("walk.yaml", "1s", "script=abort@900000;abort@700000", aside)
    d = Daemon("walk.yaml")
    until("it has crashed twice and walks", lambda: counts("walk.counts").get("lives", 0) >= 3 and visited(d, 5))
    until("each band has its own carrier again", lambda: carriers(d, "low", LOW, state="active") and carriers(d, "high", HIGH + aside, state="active"))
    for band, center in (("low", LOW), ("high", HIGH + aside)):
        others = [e for e in items(d, f"emissions?limit=500&band={band}") if abs(e["center_hz"] - center - RATE / 8) > 5000]
        check(f"nothing of the other band in {band}", not others, others)
    samples = items(d, "radios")[0]["samples"]
    check("the time away is in the ledger", samples["lost"]["stall"] > 0 and samples["requested"] == samples["delivered"] + sum(samples["lost"].values()), samples)
    code, took = d.stop()
    check("SIGTERM ends it", code == 0 and took < 30, (code, took))


def run_hang():
    """A driver that hangs whenever it is tuned to one of three bands: that one is left out, the others are walked, what is alive
    in them lives on, and nothing waits for the driver."""
    write_config("walk.yaml", "1s", "time=1,bad_call=retune:hang,bad_freq=20e9")
    text = open("walk.yaml").read().replace("center: 20G", "center: 2G").replace("bad_freq=20e9", "bad_freq=2e9")
    open("walk.yaml", "w").write(text)
    d = Daemon("walk.yaml")
    until("the first visit", lambda: carriers(d, "low", LOW, state="active"))
    first = carriers(d, "low", LOW, state="active")[0]["id"]
    until("it hangs", lambda: "hangs in tuning" in items(d, "radios")[0].get("error", ""))
    until("what was heard is decided all the same", lambda: carriers(d, "low", LOW)[0].get("tokens", 0) > 0 and
          d.json("/api/v1/status")["decisions"]["sessions"] == 0)
    until("the other band is visited all the same", lambda: visited(d, 2))
    now = bands(d)
    check("the band says why it is left out", "hung" in now["none"].get("error", "") and now["none"]["visits"] == 0, now["none"])
    low, high = carriers(d, "low", LOW), carriers(d, "high", HIGH)
    check("emissions outlive it", [e["id"] for e in low] == [first] and low[0]["state"] == "active" and len(high) == 1, (low, high))
    samples = items(d, "radios")[0]["samples"]
    check("the time is in the ledger", samples["lost"]["stall"] > 0 and samples["requested"] == samples["delivered"] + sum(samples["lost"].values()), samples)
    until("it hangs again", lambda: "hangs in tuning" in items(d, "radios")[0].get("error", ""))
    code, took = d.stop()
    check("SIGTERM ends it while it hangs", code == 0 and took < 30, (code, took))
    print(f"bands: ended within {took:.1f} s while the driver hangs")


def utc(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def run_rates():
    """Bands of different rates, one with its bias tee on: time passes in each at its own rate, ids live, the ledger is exact."""
    rates = {"low": RATE, "none": 4 * RATE, "high": 2 * RATE}
    write_config("walk.yaml", "800ms", f"rates={RATE:.0f};{2 * RATE:.0f},script=timeout@5000000:0")
    text = open("walk.yaml").read()
    text = text.replace("center: 20G, rate: 250k", "center: 20G, rate: 1M")
    text = text.replace(f"center: {HIGH:.0f}, rate: 250k", f"center: {HIGH:.0f}, rate: 500k, bias_tee: true")
    open("walk.yaml", "w").write(text)
    began = time.time()
    d = Daemon("walk.yaml")
    until("a carrier in each", lambda: all(carriers(d, n, c, rates[n], state="active") for n, c in (("low", LOW), ("high", HIGH))))
    seen = time.time()
    first = {n: carriers(d, n, c, rates[n])[0]["id"] for n, c in (("low", LOW), ("high", HIGH))}
    until("five visits of each", lambda: visited(d, 5))
    for name, center in (("low", LOW), ("high", HIGH)):
        all_of_it = items(d, f"emissions?limit=500&band={name}")
        check(f"one emission in {name}, with one id", [e["id"] for e in all_of_it] == [first[name]], all_of_it)
        e = all_of_it[0]
        print(f"bands: {name} at {rates[name]:.0f} S/s: {utc(e['start']) - began:.1f} s to {utc(e['end']) - began:.1f} s, "
              f"duty {e['duty']}, {e['bursts']} bursts")
        check("it is alive, on all the while", e["state"] == "active" and e["duty"] > 0.9 and e["bursts"] == 1, e)
        check("it began when it began", began < utc(e["start"]) <= seen, (began, seen, e))
        check("and was heard since", seen - 60 < utc(e["end"]) <= time.time() and e["end"] > e["start"], e)
        check("its edges do not hang on the other rate", e["bandwidth_hz"] < 2000, e)
        rows = items(d, f"waterfall?band={name}&limit=500")
        check(f"rows of {name}", len(rows) >= 20 and all(r["rate_hz"] == rates[name] and r["center_hz"] == center for r in rows), rows[-1:])
        times = [utc(r["time"]) for r in rows]
        check("in order of time", times == sorted(times) and began < times[0] and times[-1] < time.time(), times)
        until("the samples of its newest visit are kept", lambda: d.get(f"/api/v1/emissions/{e['id']}/iq")[0] == 200)
    now = bands(d)
    check("each says its rate", all(now[n]["rate_hz"] == r for n, r in rates.items()), now)
    check("the refused one says why", "refuses a frequency" in now["none"].get("error", ""), now["none"])
    until("the script ends in silence", lambda: counts("walk.counts")["steps"] >= 1 and items(d, "radios")[0]["state"] == "stalled" and
          "no samples" in items(d, "radios")[0].get("error", ""))
    samples, sim = items(d, "radios")[0]["samples"], counts("walk.counts")
    lost = samples["lost"]
    check("requested = delivered + lost", samples["requested"] == samples["delivered"] + sum(lost.values()), samples)
    check("what was handed over is delivered, or lost at a change", 0 <= sim["handed"] - samples["delivered"] - lost["ring_full"] <= lost["retune"],
          (samples, sim))
    check("nothing else is lost", lost["gap"] == lost["corrupt"] == 0 and lost["overflow"] == sim["overflow"], samples)
    check("processed", samples["processed"] == samples["delivered"], samples)
    check("one life of the device", sim["lives"] == 1, sim)
    changes = sum(b["visits"] for b in bands(d).values()) - 1
    print(f"bands: {changes} changes of rate, about {lost['retune'] / (1.5 * RATE) / changes * 1e3:.1f} ms of samples lost at each")
    log = open("walk.log").read()
    check("the bias tee follows the band", log.count("setting biastee true") >= 4 and log.count("setting biastee false") >= 4, log[-2000:])
    code, took = d.stop()
    check("SIGTERM ends it", code == 0 and took < 30, (code, took))


def run_floor():
    """A receiver whose samples are exact zeros at first (an output still muted) shows the converter's own noise and says that it
    is assumed; then noise comes, and later zeros do not lower it."""
    mute, hiss = 2_000_000, 500_000
    with open("mute.cs16", "wb") as f:
        f.write(bytes(4 * mute))
        array.array("h", (b - 128 for b in os.urandom(2 * hiss))).tofile(f)
    noise = 10 * math.log10(2 * (256**2 - 1) / 12 / 32768**2 / RATE)
    step = 10 * math.log10(2 / 12 / 32768**2 / RATE)
    attuned.write_config("mute.yaml", [("mute", f"driver=attunesim,serial=mute,file={os.getcwd()}/mute.cs16", "real")],
                         f"soapy: {{modules: [{MODULES}]}}")
    d = Daemon("mute.yaml")
    until("it runs", lambda: "floor_source" in bands(d).get("muteband", {}))
    b = bands(d)["muteband"]
    check("nothing but zeros: the converter's, assumed", b["floor_source"] == "assumed" and abs(b["noise_floor_dbfs_per_hz"] - step) < 0.5, (b, step))
    until("noise has come: measured", lambda: bands(d)["muteband"]["floor_source"] == "measured")
    for _ in range(10):
        time.sleep(0.1)
        b = bands(d)["muteband"]
        check("zeros or noise, it is the noise's", b["floor_source"] == "measured" and abs(b["noise_floor_dbfs_per_hz"] - noise) < 1.5, (b, noise))
    check("neither is an emission", b["emissions_seen"] == 0, b)
    code, took = d.stop()
    check("SIGTERM ends it", code == 0 and took < 5, (code, took))


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_model("model.safetensors")
        for run in (run_walk, run_reload, run_return, run_hang, run_rates, run_floor):
            for f in os.listdir("."):
                if f.endswith((".counts", ".log")):
                    os.unlink(f)
            t = time.monotonic()
            run()
            print(f"bands: {run.__name__}: {time.monotonic() - t:.1f} s", flush=True)
    sys.exit(attuned.verdict())


main()
