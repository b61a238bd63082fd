#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole daemon: a file as its radio, a model of random weights, every route, bad starts, a quick end."""
import gzip, io, json, os, random, re, signal, socket, ssl, struct, subprocess, sys, tarfile, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

ATTUNE = arguments("ATTUNED", "[ATTUNE]")[1]
from attuned import ATTUNED, LABELS, Daemon, check, until, verdict, write_config, write_iq, write_model  # noqa: E402

SOON_S = 30  # 0.1 s where the machine has time
ATTUNE = ATTUNE and os.path.abspath(ATTUNE)


def binary_rows(d):
    """The rows as bytes are the rows as JSON."""
    _, _, text = d.get("/api/v1/waterfall?limit=3")
    items = json.loads(text)["items"]
    status, head, data = d.get(f"/api/v1/waterfall?format=binary&since={items[0]['seq'] - 1}")
    check("binary rows", status == 200 and head["Content-Type"] == "application/octet-stream", (status, dict(head)))
    at, seen = 0, {}
    while at < len(data):
        magic, version, size, seq, _, center, rate, span, floor, occupancy, n, _ = struct.unpack_from("<4sHHQqdddffII", data, at)
        bins = struct.unpack_from(f"<{n}h", data, at + size)
        check("head of a binary row", (magic, version, size) == (b"ATWF", 1, 64), (magic, version, size))
        seen[seq] = (center, rate, round(span, 6), round(floor, 1), [round(b / 100, 1) for b in bins])
        at += size + 2 * n
    check("binary rows end where the answer does", at == len(data), (at, len(data)))
    for row in items:
        center, rate, span, floor, bins = seen[row["seq"]]
        same = center == row["center_hz"] and rate == row["rate_hz"] and abs(span - row["span_s"]) < 1e-5
        close = len(bins) == len(row["dbfs"]) and all(abs(a - b) < 0.11 for a, b in zip(bins, row["dbfs"]))
        check("a binary row is the row", same and close and abs(floor - row["floor_dbfs_hz"]) < 0.11, row["seq"])
    status, _, _ = d.get("/api/v1/waterfall?format=xml")
    check("an unknown format", status == 400, status)


def run_routes(folder):
    write_config("a.yaml", [("rec", "file=iq.cu8", "real"), ("gone", "file=missing.cu8", "real")],
                 'site: {name: "<b>roof</b>"}')
    d = Daemon("a.yaml")
    check("alive at once", d.get("/healthz")[0] == 200)
    status, body = d.wait("/readyz", lambda s, b: s == 200)
    check("ready", status == 200, body)
    d.wait("/api/v1/emissions", lambda s, b: any("class" in e for e in json.loads(b)["items"]))
    for path in ("/", "/app.css", "/web/app.js", "/web/waterfall.js", "/favicon.svg", "/metrics", "/api/v1/openapi.json"):
        status, headers, body = d.get(path)
        check(path, status == 200 and len(body) > 100, (status, body[:80]))
        check(f"{path}: policy", "default-src 'none'" in headers["Content-Security-Policy"])
        check(f"{path}: HEAD", d.get(path, "HEAD")[2] == b"" and d.get(path, "HEAD")[0] == 200)
    _, headers, body = d.get("/api/v1/events", "HEAD")
    check("events: HEAD", (headers["Content-Type"], body) == ("text/event-stream", b""), headers)
    s = d.json("/api/v1/status")
    bands = {b["name"]: b for b in d.json("/api/v1/bands")["items"]}
    radios = {r["name"]: r for r in d.json("/api/v1/radios")["items"]}
    over = radios["rec"]["state"] == "ended"  # a machine that took 3 s for what is above
    check("status", s["ready"] and s["site"] == "<b>roof</b>" and (s["radios"]["running"] >= 1 or over), s)
    check("a missing file is shown", radios["gone"]["state"] == "failed" and "missing.cu8" in radios["gone"].get("error", ""),
          radios["gone"])
    rec = radios["rec"]
    check("running", rec["state"] in ("running", "ended") and rec["rate_hz"] == 250000 and rec["center_hz"] == 433920000, rec)
    check("bands", (bands["recband"]["running"] or over) and not bands["goneband"]["running"], bands)
    m = d.json("/api/v1/model")
    check("model", m["classes"] == LABELS and len(m["digest"]) == 64, m)
    b = {x["name"]: x for x in d.json("/api/v1/backends")["items"]}
    check("backends", {"mha", "flash", "gqa", "latent"} <= set(b), list(b))
    sel = d.json("/api/v1/selector")
    check("selector", sel["backend"] in b and sel["reason"] and len(sel["candidates"]) >= 4, sel)
    rows = d.wait("/api/v1/waterfall", lambda s, b: len(json.loads(b)["items"]) > 3)[1]
    check("waterfall", len(json.loads(rows)["items"]) > 3, rows[:200])
    binary_rows(d)
    row = d.json("/api/v1/spectrum?radio=rec")
    peak = max(range(len(row["dbfs"])), key=lambda i: row["dbfs"][i])
    hz = row["center_hz"] + (peak + 0.5 - len(row["dbfs"]) / 2) * row["rate_hz"] / len(row["dbfs"])
    check("the spectrum's peak is one of the two carriers", min(abs(hz - 433.96e6), abs(hz - 433.86e6)) < 2000, hz)
    status, body = d.wait("/api/v1/radios", lambda s, b: json.loads(b)["items"][0]["state"] == "ended")
    rec = json.loads(body)["items"][0]
    check("the file ends", rec["state"] == "ended", rec)
    lost = sum(rec["samples"]["lost"].values())
    check("samples: requested = delivered + lost = 750000", rec["samples"]["requested"] == rec["samples"]["delivered"] + lost == 750000, rec)
    check("samples: all processed", rec["samples"]["processed"] == rec["samples"]["delivered"], rec)
    run_emissions(d)
    run_openapi(d)
    check("404", d.get("/nope")[0] == 404 and "error" in d.json("/nope"))
    check("405", d.get("/healthz", "POST")[0] == 405 and d.get("/healthz", "POST")[1]["Allow"] == "GET, HEAD")
    page = d.get("/metrics")[2].decode()
    for name in ("attune_samples_total", "attune_radio_state", "attune_noise_floor_dbfs_per_hz", "attune_decisions_total",
                 "attune_inference_duration_seconds_bucket", "attune_decision_latency_seconds_count", "attune_backend_info",
                 "attune_kv_cache_peak_bytes", "attune_build_info", "process_open_fds"):
        check(f"metric {name}", re.search(rf"(?m)^{name}[ {{]", page), page[:200])
    code, took = d.stop()
    check("SIGTERM: 0, soon", code == 0 and took < SOON_S, (code, took))
    check("the missing file was said once more than never", any("missing.cu8" in x for x in d.log), d.log)
    check("each log line is JSON", all(json.loads(x) for x in d.log if x.strip()))


def run_emissions(d):
    items = d.json("/api/v1/emissions?limit=500")["items"]
    near = [e for e in items if abs(e["center_hz"] - 433.96e6) < 3000]
    check("the carrier is found at 433.96 MHz", near, [(e["center_hz"], e["snr_db"]) for e in items])
    for e in items:
        check("emission keys", {"id", "radio", "band", "state", "f_lo_hz", "f_hi_hz", "snr_db"} <= set(e), e)
        check("by id", d.json("/api/v1/emissions/" + e["id"])["id"] == e["id"])
    one = d.json("/api/v1/emissions?limit=1")
    check("limit and cursor", len(one["items"]) == 1 and (one["next"] or len(items) == 1), one)
    ended = d.json("/api/v1/emissions?state=ended")["items"]
    one = d.json("/api/v1/emissions/" + ended[0]["id"])
    check("no decisions without a history", "decisions" not in one, one)
    check("all have ended", len(ended) == len(items), (len(ended), len(items)))
    status, _, body = d.get("/api/v1/emissions?class=oook")
    said = json.loads(body).get("error", {}).get("message")
    check("a class that is none", (status, said) == (400, f"class: 'oook' is none of {', '.join(LABELS)}, unknown, weak"), (status, said))
    for name in (*LABELS, "unknown", "weak"):
        check(f"class {name}", d.get(f"/api/v1/emissions?class={name}")[0] == 200, name)
    check("filters", d.json("/api/v1/emissions?min_snr=200")["items"] == [] == d.json("/api/v1/emissions?radio=gone&band=goneband")["items"])
    for route in ("emissions", "spectrum", "waterfall"):
        for query, what in (("radio=x", "radio: 'x' is none of rec, gone"), ("radio=rec&band=x", "band: 'x' is none of recband"), ("radio=", "radio: '' is none of rec, gone"),
                            ("band=x", "band: 'x' is none of recband, goneband"), ("radio=rec&band=goneband", "band: 'goneband' is none of recband")):
            status, _, body = d.get(f"/api/v1/{route}?{query}")
            said = json.loads(body).get("error", {})
            check(f"{route}?{query}", (status, said.get("code"), said.get("message")) == (400, "bad_parameter", what), (status, said))


KINDS = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None),
         "number": (int, float)}


def faults(value, schema, defs, at=""):
    """What of value the schema does not say: types, required and undocumented keys, enumerations, bounds."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rsplit("/", 1)[1]]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(isinstance(value, KINDS[k]) and not (k != "boolean" and isinstance(value, bool)) for k in kinds):
        return [f"{at}: {value!r} is no {kinds}"]
    out = [f"{at}: {value!r} not in {schema['enum']}"] if "enum" in schema and value not in schema["enum"] else []
    if "minimum" in schema and value < schema["minimum"] or "maximum" in schema and value > schema["maximum"]:
        out.append(f"{at}: {value!r} out of bounds")
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties")
        out += [f"{at}: {k} is missing" for k in schema.get("required", []) if k not in value]
        for k, v in value.items():
            if k in known:
                out += faults(v, known[k], defs, f"{at}.{k}")
            elif isinstance(rest, dict):
                out += faults(v, rest, defs, f"{at}.{k}")
            elif known:
                out.append(f"{at}: {k} is not documented")
    if isinstance(value, list) and "items" in schema:
        for i, v in enumerate(value):
            out += faults(v, schema["items"], defs, f"{at}[{i}]")
    return out


def run_openapi(d):
    """The server answers as openapi.json says, for each path, parameter and object."""
    api = d.json("/api/v1/openapi.json")
    defs = api["components"]["schemas"]
    schemes = {name: (s["type"], s["scheme"]) for name, s in api["components"]["securitySchemes"].items()}
    check("openapi: how a program and how a browser says who asks",
          schemes == {"bearer": ("http", "bearer"), "basic": ("http", "basic")}, schemes)
    check("openapi: either reads, on loopback neither is needed", api["security"] == [{}, {"bearer": []}, {"basic": []}], api.get("security"))
    asked = {f"{method} {path}": o["security"] for path, item in api["paths"].items() for method, o in item.items() if "security" in o}
    check("openapi: changes need the token", asked == {w: [{"bearer": []}] for w in ("patch /api/v1/budget", "post /api/v1/reload")}, asked)
    check("openapi: any route may refuse", all({"401", "403"} <= set(o["responses"]) for item in api["paths"].values() for o in item.values()))
    first = d.json("/api/v1/emissions")["items"][0]["id"]
    for path, item in api["paths"].items():
        if "get" not in item:
            continue
        get = item["get"]
        if "text/event-stream" in get["responses"]["200"]["content"]:
            continue
        status, headers, body = d.get(path.replace("{id}", first))
        kind = headers["Content-Type"].split(";")[0]
        check(f"openapi {path}: status and type", str(status) in get["responses"] and kind in get["responses"][str(status)]["content"],
              (status, kind))
        schema = get["responses"][str(status)]["content"].get(kind, {}).get("schema", {})
        if kind == "application/json" and path != "/api/v1/openapi.json":
            wrong = faults(json.loads(body), schema, defs)
            check(f"openapi {path}: answer", not wrong, wrong[:5])
        for p in get["parameters"]:
            if p["in"] == "query":
                got = d.get(f"{path}?{p['name']}=%21")
                check(f"openapi {path}?{p['name']} is known", b"unknown_parameter" not in got[2], got[2])
    check("openapi: errors", not faults(d.json("/nope"), defs["Error"], defs), d.json("/nope"))


def run_done():
    write_config("b.yaml", [("rec", "file=iq.cu8", "fast")])
    d = Daemon("b.yaml", "--exit-when-done")
    check("--exit-when-done leaves with 0", d.p.wait(300) == 0, d.p.stderr.read())
    write_config("c.yaml", [("rec", "file=missing.cu8", "fast")])
    d = Daemon("c.yaml", "--exit-when-done")
    check("--exit-when-done with a missing file leaves with 1", d.p.wait(300) == 1, d.p.stderr.read())


def run_same():
    """The daemon and `attune classify` give the same results for the same file."""
    write_config("e.yaml", [("rec", "file=iq.cu8", "fast")])
    d = Daemon("e.yaml")
    d.wait("/api/v1/radios", lambda s, b: json.loads(b)["items"][0]["state"] == "ended")
    ours = d.json("/api/v1/emissions?limit=500")["items"]
    d.stop()
    p = subprocess.run([ATTUNE, "classify", "iq.cu8", "--format", "cu8", "--rate", "250k", "--freq", "433.92M", "--json",
                        "--model", "model.safetensors"], capture_output=True, timeout=300)
    theirs = [json.loads(x) for x in p.stdout.splitlines()]
    theirs = [x for x in theirs if "summary" not in x]
    # Each process measures its own plans of FFTs, which may differ in the last bits: so do rounded figures, by a step.
    steps = {"start_s": 1e-6, "end_s": 1e-6, "f_lo_hz": 1, "f_hi_hz": 1, "snr_db": 0.1, "confidence": 0.001, "tokens": 0}
    order = lambda items: sorted(items, key=lambda x: (round(x["start_s"], 3), x["f_lo_hz"]))
    near = lambda x, y, k: (k in x) == (k in y) and abs(x.get(k, 0) - y.get(k, 0)) <= 1.01 * steps[k]
    same = len(ours) == len(theirs) and all(
        all(near(x, y, k) for k in steps) and all(x.get(k) == y.get(k) for k in ("class", "backend"))
        for x, y in zip(order(ours), order(theirs)))
    check("same as attune classify", theirs and same, (ours, theirs, p.stderr[:300]))


def fails(what, config, code, *words):
    p = subprocess.run([ATTUNED, "-c", config], capture_output=True, timeout=300, text=True)
    lines = [x for x in p.stderr.splitlines() if x.strip() and '"level":"info"' not in x]
    check(f"{what}: exit {code}", p.returncode == code, (p.returncode, p.stderr))
    check(f"{what}: one line with {words}", len(lines) == 1 and all(w in lines[0] for w in words), p.stderr)


def run_bad_starts():
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    port = holder.getsockname()[1]
    write_config("f.yaml", [("rec", "file=iq.cu8", "real")], port=port)
    fails("port taken", "f.yaml", 1, str(port), "taken")
    fails("no such config", "nowhere.yaml", 78, "nowhere.yaml")
    open("g.yaml", "w").write("htpp: {listen: x}\n")
    fails("unknown key", "g.yaml", 78, "htpp", "http")
    write_config("h.yaml", [("rec", "file=iq.cu8", "real")])
    text = open("h.yaml").read()
    open("i.yaml", "w").write(text.replace("model.safetensors", "none.safetensors"))
    fails("no model", "i.yaml", 1, "none.safetensors")
    open("broken.safetensors", "wb").write(open("model.safetensors", "rb").read()[:5000])
    open("j.yaml", "w").write(text.replace("model.safetensors", "broken.safetensors"))
    fails("model cut short", "j.yaml", 1, "broken.safetensors")
    open("k.yaml", "w").write(text.replace("127.0.0.1:0", "0.0.0.0:0"))
    fails("open listen without a token", "k.yaml", 1, "token_file")
    for what, name in (("no band plan where one is named", "none.yaml"), ("a band plan that is none", "iq.cu8")):
        open("k.yaml", "w").write(text.replace('bandplan: ""', f"bandplan: {name}"))
        fails(what, "k.yaml", 1, "bandplan: ", os.path.abspath(name), '\\"\\" for none')
    for args, code in (((), 2), (("--nonsense",), 2), (("-c",), 2), (("--help",), 0), (("--version",), 0)):
        p = subprocess.run([ATTUNED, *args], capture_output=True, timeout=300)
        check(f"attuned {args}: exit {code}", p.returncode == code, p)


def run_without_plan():
    """The plan is only where it is by default, and is not there: said, and no more than that."""
    write_config("v.yaml", [("rec", "file=iq.cu8", "fast")])
    text = open("v.yaml").read().replace('bandplan: ""\n', "")
    open("v.yaml", "w").write(text)
    p = subprocess.run([ATTUNED, "-c", "v.yaml", "--print-config"], capture_output=True, timeout=300, text=True)
    path = re.search('(?m)^bandplan: "(.*)"$', p.stdout)[1]
    if os.path.exists(path):
        print(f"SKIP {path} is there")
        return
    p = subprocess.run([ATTUNED, "-c", "v.yaml", "--check"], capture_output=True, timeout=300, text=True)
    check("--check without the default plan", p.returncode == 0 and f"ok  bandplan: {path} is not there" in p.stdout, p.stdout)
    p = subprocess.run([ATTUNED, "-c", "v.yaml", "--exit-when-done"], capture_output=True, timeout=300, text=True)
    lines = [x for x in p.stderr.splitlines() if "bandplan: " in x]
    check("it runs without the default plan", p.returncode == 0, (p.returncode, p.stderr))
    check("and says so once, as a warning", len(lines) == 1 and path in lines[0] and '"level":"warning"' in lines[0], p.stderr)


def run_check():
    write_config("l.yaml", [("rec", "file=iq.cu8", "real")])
    p = subprocess.run([ATTUNED, "-c", "l.yaml", "--check"], capture_output=True, timeout=300, text=True)
    check("--check: ok", p.returncode == 0 and "ok  model" in p.stdout and "ok  budget" in p.stdout and "BAD" not in p.stdout,
          (p.returncode, p.stdout, p.stderr))
    write_config("m.yaml", [("rec", "file=missing.cu8", "real")])
    p = subprocess.run([ATTUNED, "-c", "m.yaml", "--check"], capture_output=True, timeout=300, text=True)
    check("--check: missing file", p.returncode == 1 and "missing.cu8" in p.stdout, (p.returncode, p.stdout))
    p = subprocess.run([ATTUNED, "-c", "l.yaml", "--print-config"], capture_output=True, timeout=300, text=True)
    open("n.yaml", "w").write(p.stdout)
    q = subprocess.run([ATTUNED, "-c", "n.yaml", "--print-config"], capture_output=True, timeout=300, text=True)
    check("--print-config prints what it reads", p.returncode == 0 and p.stdout == q.stdout and "iq.cu8" in p.stdout, p.stdout)


def run_notify():
    """READY, STATUS and WATCHDOG arrive without a radio that works."""
    path = os.path.abspath("notify")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    write_config("o.yaml", [("gone", "file=missing.cu8", "real")])
    d = Daemon("o.yaml", env=dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="1000000"))
    s.settimeout(0.2)
    text = ""

    def hear(good):
        """Reads on until good(text)."""
        nonlocal text
        end = time.monotonic() + 120
        while not good(text) and time.monotonic() < end:
            try:
                text += s.recv(4096).decode() + "\n"
            except socket.timeout:
                pass

    hear(lambda t: t.count("WATCHDOG=1") >= 4 and "READY=1" in t and "STATUS=0 of 1 radios" in t)
    for word in ("READY=1", "STATUS=0 of 1 radios", "WATCHDOG=1"):
        check(f"notify: {word}", word in text, text)
    check("a missing radio does not starve the watchdog", text.count("WATCHDOG=1") >= 4, text)
    check("not ready, and why", d.get("/readyz")[0] == 503 and "missing.cu8" in d.json("/readyz")["reason"], d.get("/readyz"))
    d.p.send_signal(signal.SIGHUP)
    hear(lambda t: "READY=1" in t.partition("RELOADING=1")[2])
    check("notify: RELOADING, its time, then READY", re.search(r"RELOADING=1\nMONOTONIC_USEC=\d+\n(?s:.*)READY=1", text), text)
    code, took = d.stop(signal.SIGINT)
    check("SIGINT: 0, soon", code == 0 and took < SOON_S, (code, took))
    while True:
        try:
            text += s.recv(4096).decode() + "\n"
        except socket.timeout:
            break
    check("notify: STOPPING", "STOPPING=1" in text, text)


def pages(d, query=""):
    """All emissions, page by page; each once, newest first."""
    out, cursor = [], None
    while True:
        page = d.json(f"/api/v1/emissions?limit=2{query}" + (f"&cursor={cursor}" if cursor else ""))
        out += page["items"]
        cursor = page["next"]
        if not cursor:
            return out


def run_history():
    """What has ended is there after kill -9, and pages go over from memory to file without a seam."""
    write_config("p.yaml", [("rec", "file=iq.cu8", "fast")], history="history.db")
    ids = []
    for life in range(3):
        d = Daemon("p.yaml")
        d.wait("/api/v1/radios", lambda s, b: json.loads(b)["items"][0]["state"] == "ended")
        items = d.json("/api/v1/emissions?limit=500")["items"]
        check(f"life {life}: emissions of earlier lives", [e["id"] for e in items if e["id"] in ids] == ids, (ids, items))
        check(f"life {life}: pages join", [e["id"] for e in pages(d)] == [e["id"] for e in items], pages(d))
        check(f"life {life}: filters reach the file", [e["id"] for e in pages(d, "&min_snr=20&state=ended")]
              == [e["id"] for e in items if e["snr_db"] >= 20])
        ids = [e["id"] for e in items]
        d.wait("/api/v1/status", lambda s, b: json.loads(b)["history"]["written"] and not json.loads(b)["history"]["waiting"])
        d.p.kill()
        d.p.wait()
        d.p.stderr.close()
    check("three lives' emissions", ids and len(ids) % 3 == 0 and len(set(ids)) == len(ids), ids)
    write_config("p.yaml", [("other", "file=iq.cu8", "fast")], history="history.db")
    d = Daemon("p.yaml")
    d.wait("/api/v1/radios", lambda s, b: json.loads(b)["items"])
    of = lambda query: d.get(f"/api/v1/emissions?limit=500&{query}")
    for query in ("radio=rec", "band=recband"):
        check(f"{query} is no more, and remembered", [e["id"] for e in json.loads(of(query)[2])["items"]] == ids, of(query))
    check("what never was is none", of("radio=x")[0] == of("band=x")[0] == 400, of("radio=x"))
    one = d.json("/api/v1/emissions/" + ids[-1])
    check("by id, with decisions", one["id"] == ids[-1] and one["decisions"][0]["backend"], one)
    check("metrics", b"\nattune_history_up 1\n" in d.get("/metrics")[2])
    d.stop()
    with open("history.db", "r+b") as f:  # a damaged file is moved aside, and said
        f.seek(100)
        f.write(os.urandom(6000))
    d = Daemon("p.yaml")
    d.wait("/api/v1/status", lambda s, b: json.loads(b)["history"]["moved_aside"] == 1)
    s = d.json("/api/v1/status")["history"]
    check("damaged file is moved aside", s["moved_aside"] == 1 and s["open"], s)
    check("it is there", any(x.startswith("history.db.corrupt-") for x in os.listdir(".")), os.listdir("."))
    d.stop()
    check("and the log says so", any("damaged" in x for x in d.log), d.log)
    write_config("q.yaml", [("rec", "file=iq.cu8", "fast")], history="nowhere/history.db")
    d = Daemon("q.yaml")
    check("without a folder it works from memory", d.json("/api/v1/status")["history"]["open"] is False)
    d.stop()


CU8 = {"Content-Type": "application/octet-stream"}


def bearer(token, **more):
    return {"Authorization": "Bearer " + token, **more}


def run_control():
    """POST classify, PATCH budget, roles, the second server, ETag, gzip, base_path, CORS."""
    full, reads = "f" * 32, "r" * 32
    for name, token in (("full", full), ("reads", reads)):
        with open(name, "w") as f:
            f.write(token + "\n")
        os.chmod(name, 0o600)
    write_config("r.yaml", [("rec", "file=iq.cu8", "real")], http=', token_file: full, read_token_file: reads, '
                 'metrics_listen: "127.0.0.1:0", base_path: /sdr, cors: "https://a.example", max_body_mb: 2')
    d = Daemon("r.yaml")
    second = next(m[1] for x in d.log for m in [re.search(r'"metrics_url":"([^"]+)"', x)] if m)
    base, d.url = d.url, d.url + "/sdr"
    check("base_path: outside it is nothing", d.get("/healthz", url=base)[0] == 404)
    d.wait("/readyz", lambda s, b: s == 200)
    check("metrics on the second server", b"attune_build_info" in d.get("/metrics", url=second)[2])
    check("health on the second server", d.get("/healthz", url=second)[0] == 200)
    check("nothing else there", d.get("/api/v1/status", url=second)[0] == 404)
    with open("iq.cu8", "rb") as f:
        iq = f.read()
    where = "/api/v1/classify?datatype=cu8&rate_hz=250000&center_hz=433920000"
    status, _, body = d.get(where, "POST", iq, CU8)
    items = json.loads(body).get("items", []) if status == 200 else []
    check("classify finds the carrier", any(abs(e["center_hz"] - 433.96e6) < 3000 and "class" in e for e in items), body)
    check("classify: summary", json.loads(body)["summary"]["seconds"] == 3.0, body)
    datatype = next(p["schema"]["enum"] for p in d.json("/api/v1/openapi.json")["paths"]["/api/v1/classify"]["post"]["parameters"]
                    if p["name"] == "datatype")
    said = d.get(where.replace("cu8", "cf64"), "POST", b"xx", CU8)[2].decode()
    check("classify: what is described and what is said are the same names", set(datatype) == set(re.findall(r"\bc[a-z]+\d+\w*", said)), (datatype, said))
    wide = [(b - 127.5) / 128 for b in iq]  # the same samples in each format
    for name, data in (("ci8", bytes(b ^ 0x80 for b in iq)), ("cs16", struct.pack(f"<{len(iq)}h", *(round(32767 * x) for x in wide))),
                       ("cs24", b"".join(round(8388607 * x).to_bytes(3, "little", signed=True) for x in wide)),
                       ("ci32_le", struct.pack(f"<{len(iq)}i", *(round(2147483647 * x) for x in wide))),
                       ("cf32_le", struct.pack(f"<{len(iq)}f", *wide))):
        status, _, body = d.get(where.replace("cu8", name), "POST", data[:2000000 // 24 * 24], CU8)
        check(f"classify: {name}", status == 200 and any(abs(e["center_hz"] - 433.96e6) < 3000 for e in json.loads(body)["items"]), body)
    holes = struct.pack(f"<{len(iq)}f", *(float("nan") if i < 50 else x for i, x in enumerate(wide)))
    body = d.get(where.replace("cu8", "cf32"), "POST", holes[:2000000 // 8 * 8], CU8)[2]
    check("classify: what is not finite is counted", json.loads(body)["summary"].get("corrupt") == 25, body)
    noise = random.Random(1).randbytes(200000)
    body = d.get(where, "POST", noise, CU8)[2]
    check("classify: nothing there", json.loads(body)["summary"]["class"] == "none", body)
    check("classify: a centre without its unit", b"in Hz it is 433920000" in d.get(where.replace("433920000", "433.92"), "POST", b"xx", CU8)[2])
    for name in datatype:
        check(f"classify: {name} is known", b"bad_body" in d.get(where.replace("cu8", name), "POST", b"x", CU8)[2])
    for what, args, want in (("GET", (where,), 405), ("no type", (where, "POST", b"xx", {"Content-Type": "text/plain"}), 415),
                             ("odd", (where, "POST", b"xxx", CU8), 400), ("empty", (where, "POST", b"", CU8), 400),
                             ("no rate", ("/api/v1/classify?datatype=cu8", "POST", b"xx", CU8), 400),
                             ("no datatype", ("/api/v1/classify?rate_hz=1e6", "POST", b"xx", CU8), 400),
                             ("slow", ("/api/v1/classify?datatype=cu8&rate_hz=1", "POST", b"xx", CU8), 400), ("no number", ("/api/v1/classify?datatype=cu8&rate_hz=fast", "POST", b"xx", CU8), 400),
                             ("below zero", (where.replace("hz=433", "hz=-433"), "POST", b"xx", CU8), 400), ("short", (where, "POST", b"xx", CU8), 200),
                             ("too large", (where, "POST", bytes(2100000), CU8), 413),
                             ("compressed", (where, "POST", b"xx", {"Content-Encoding": "gzip", **CU8}), 415), ("as it is", (where, "POST", b"xx", {"Content-Encoding": "identity", **CU8}), 200),
                             ("foreign page", (where, "POST", b"xx", {"Origin": "https://b.example", **CU8}), 403)):
        check(f"classify: {what}", d.get(*args)[0] == want, d.get(*args))
    js = {"Content-Type": "application/json"}
    for what, token, data, want in (("no token", None, b'{"latency_ms": 20}', 401), ("read-only", reads, b'{"latency_ms": 20}', 403),
                                    ("wrong", "w" * 32, b'{"latency_ms": 20}', 401), ("text", full, b'{"latency_ms": "20"}', 400),
                                    ("nothing", full, b"{}", 400), ("bounds", full, b'{"latency_ms": 0}', 400), ("upper bounds", full, b'{"kv_mb": 1e7}', 400),
                                    ("twice", full, b'{"kv_mb": 480, "kv_mb": 1}', 400), ("a list", full, b"[30]", 400),
                                    ("key", full, b'{"cores": 4}', 400), ("no JSON", full, b"latency", 400),
                                    ("NaN", full, b'{"kv_mb": NaN}', 400), ("deep", full, b"[" * 60000, 400),
                                    ("large", full, b" " * 70000, 413), ("good", full, b'{"latency_ms": 20}', 200)):
        got = d.get("/api/v1/budget", "PATCH", data, {**js, **(bearer(token) if token else {})})
        check(f"budget: {what}", got[0] == want, got)
    check("budget is in force", d.json("/api/v1/status")["budget"]["latency_ms"] == 20, d.json("/api/v1/status"))
    status, headers, body = d.get("/api/v1/openapi.json", headers={"Accept-Encoding": "gzip"})
    check("gzip", headers["Content-Encoding"] == "gzip" and json.loads(gzip.decompress(body))["openapi"] == "3.1.0")
    check("not modified", d.get("/api/v1/openapi.json", headers={"If-None-Match": headers["ETag"]})[0] == 304)
    check("q=0 is no", d.get("/api/v1/openapi.json", headers={"Accept-Encoding": "gzip;q=0"})[1]["Content-Encoding"] is None)
    check("CORS for the one named", d.get("/api/v1/status", headers={"Origin": "https://a.example"})[1]
          ["Access-Control-Allow-Origin"] == "https://a.example")
    check("none for others", d.get("/api/v1/status", headers={"Origin": "https://b.example"})[1]
          ["Access-Control-Allow-Origin"] is None)
    check("preflight", d.get("/api/v1/budget", "OPTIONS", headers={"Origin": "https://a.example"})[0] == 204)
    check("preflight of others", d.get("/api/v1/budget", "OPTIONS", headers={"Origin": "https://b.example"})[0] == 403)
    code, took = d.stop()
    check("clean end", code == 0 and took < SOON_S, (code, took))


def run_reload(path=None):
    """A radio that did not change goes on without a gap; a bad file changes nothing; by HTTP and by SIGHUP."""
    write_config("u.yaml", [("one", "file=iq.cu8", "real"), ("two", "file=iq.cu8", "real")], http=", token_file: full")
    good = re.sub("name: (one|two)band", "name: ism", open("u.yaml").read()).replace("pace: real", "pace: real, loop: true")
    open("u.yaml", "w").write(good)
    d = Daemon("u.yaml")
    d.wait("/api/v1/radios", lambda s, b: all(r["state"] == "running" for r in json.loads(b)["items"]))
    token = bearer("f" * 32)
    radios = lambda: {r["name"]: r for r in d.json("/api/v1/radios")["items"]}
    metric = lambda: re.search(rb"(?m)^attune_config_last_reload_successful (\d)", d.get("/metrics")[2])[1]
    check("reload needs the token", d.get("/api/v1/reload", "POST", b"")[0] == 401)
    for what, text, words in (("unknown key", good + "nonsense: 1\n", "nonsense"),
                              ("a key that needs a restart", good.replace("cache_dir: cache", "cache_dir: other"), "cache_dir"),
                              ("a bad rate", good.replace("rate: 250k", "rate: 1"), "rate")):
        open("u.yaml", "w").write(text)
        status, _, body = d.get("/api/v1/reload", "POST", b"", token)
        check(f"reload, {what}: refused and said", status == 409 and words in json.loads(body)["error"]["message"], (status, body))
        check(f"reload, {what}: radios are as they were", sorted(radios()) == ["one", "two"], radios())
    until("metric says failed", lambda: metric() == b"0")
    for name in ("attune_emissions_active", "attune_noise_floor_dbfs_per_hz"):
        d.wait("/metrics", lambda s, b: all(f'\n{name}{{radio="{r}",band="ism"}} '.encode() in b for r in ("one", "two")))
        check(f"{name}: like-named bands of two radios", all(f'\n{name}{{radio="{r}",band="ism"}} ' in d.get("/metrics")[2].decode()
                                                            for r in ("one", "two")))
    series = [x.rsplit(" ", 1)[0] for x in d.get("/metrics")[2].decode().splitlines() if not x.startswith("#")]
    check("no series stands there twice", len(set(series)) == len(series), sorted({x for x in series if series.count(x) > 1}))
    before = radios()["one"]["samples"]
    open("u.yaml", "w").write(good.replace("name: two,", "name: three,").replace("latency_ms", "latency_ms") + "budget: {latency_ms: 44}\n")
    status, _, body = d.get("/api/v1/reload", "POST", b"", token)
    check("reload", status == 200 and json.loads(body) == {"kept": 1, "stopped": 1, "started": 1}, (status, body))
    d.wait("/api/v1/radios", lambda s, b: all(r["state"] == "running" for r in json.loads(b)["items"]))
    after = radios()
    check("reload: the radios", sorted(after) == ["one", "three"], after)
    check("reload: the one that stayed goes on", after["one"]["samples"]["requested"] > before["requested"]
          and sum(after["one"]["samples"]["lost"].values()) == sum(before["lost"].values()) and after["one"]["reconnects"] == 0, after)
    check("reload: budget", d.json("/api/v1/status")["budget"]["latency_ms"] == 44)
    two = [e for e in d.json("/api/v1/emissions?radio=two&limit=500")["items"]]
    check("reload: emissions of the radio that went have ended", all(e["state"] == "ended" for e in two), two)
    check("reload: rows of the new one", d.wait("/api/v1/spectrum?radio=three", lambda s, b: s == 200)[0] == 200)
    until("metric says well", lambda: metric() == b"1")
    open("u.yaml", "w").write(good)
    d.p.send_signal(signal.SIGHUP)
    d.wait("/api/v1/radios", lambda s, b: sorted(r["name"] for r in json.loads(b)["items"]) == ["one", "two"])
    check("SIGHUP", sorted(radios()) == ["one", "two"], radios())
    ids = [e["id"] for e in d.json("/api/v1/emissions?limit=500")["items"]]
    check("ids stay unique over reloads", len(set(ids)) == len(ids), ids)
    def piece():  # the newest emission whose samples are still there
        for e in d.json("/api/v1/emissions?limit=50")["items"]:
            status, headers, body = d.get(f"/api/v1/emissions/{e['id']}/iq")
            if status == 200:
                return e, headers, body
        return None
    got = until("IQ of an emission", piece)
    if got:
        tar = tarfile.open(fileobj=io.BytesIO(got[2]))
        names = sorted(tar.getnames())
        meta, data = json.load(tar.extractfile(names[1])), tar.extractfile(names[0]).read()
        check("SigMF archive", names[0].endswith(".sigmf-data") and names[1].endswith(".sigmf-meta"), names)
        check("its meta", meta["global"]["core:datatype"] == "ci16_le" and meta["global"]["core:sample_rate"] == 250000
              and meta["captures"][0]["core:frequency"] == 433.92e6, meta)
        note = meta["annotations"][0]
        check("its annotation", note["core:sample_start"] + note["core:sample_count"] <= len(data) // 4
              and note["attune:emission"]["id"] == got[0]["id"], (note, len(data)))
        check("IQ is not empty", len(data) > 1000 and any(data), len(data))
        open("one.sigmf", "wb").write(got[2])
        subprocess.run(["tar", "xf", "one.sigmf"], check=True)
        for name in (names[1], "one.sigmf") if ATTUNE else ():
            p = subprocess.run([ATTUNE, "classify", name, "--json", "--model", "model.safetensors"], capture_output=True)
            check(f"attune reads {name} back", p.returncode == 0 and b"summary" in p.stdout, p.stderr)
    check("IQ of none", d.get("/api/v1/emissions/x/iq")[0] == 404)
    code, took = d.stop()
    check("clean end after reloads", code == 0 and took < SOON_S, (code, took))


def run_models():
    """A band with a model of its own: its decisions are that model's, and each answer that depends on it says so."""
    mine = ["left", "right"]
    write_model("mine.safetensors", mine, 7)
    write_config("w.yaml", [("one", "file=iq.cu8", "real"), ("two", "file=iq.cu8", "real")], http=", token_file: full")
    text = open("w.yaml").read().replace("pace: real", "pace: real, loop: true")
    good = text.replace("name: twoband,", "name: twoband, model: {path: mine.safetensors},")
    open("w.yaml", "w").write(good)
    p = subprocess.run([ATTUNED, "-c", "w.yaml", "--check"], capture_output=True, timeout=300, text=True)
    check("--check looks at both models", p.returncode == 0 and p.stdout.count("ok  model: ") == 2 and "/mine.safetensors, 2 classes" in p.stdout, p.stdout)
    d = Daemon("w.yaml")
    decided = lambda radio: [e for e in d.json(f"/api/v1/emissions?radio={radio}&limit=500")["items"] if "probs" in e]
    until("both decide", lambda: decided("one") and decided("two"))
    for radio, labels in (("one", set(LABELS)), ("two", set(mine))):
        check(f"{radio}: the classes are its model's", all(set(e["probs"]) <= labels for e in decided(radio)), decided(radio)[:1])
    check("each band says its model", {b["name"]: b["model"] for b in d.json("/api/v1/bands")["items"]} == {"oneband": "model", "twoband": "mine"},
          d.json("/api/v1/bands"))
    model, selector, status = d.json("/api/v1/model"), d.json("/api/v1/selector"), d.json("/api/v1/status")
    check("both models are told of", model["classes"] == LABELS and [m["classes"] for m in model["of_bands"]] == [mine], model)
    check("what runs for each", [b["model"] for b in selector["budgets"]] == ["model", "mine"], selector["budgets"])
    until("its first choice is told with its name", lambda: any(c.get("model") == "mine" for c in d.json("/api/v1/selector")["changes"]))
    page = d.get("/metrics")[2].decode()
    series = [x.rsplit(" ", 1)[0] for x in page.splitlines() if not x.startswith("#")]
    check("no series stands there twice", len(set(series)) == len(series), sorted({x for x in series if series.count(x) > 1}))
    check("the caches of both stay within the budget", 0 < status["kv_peak_bytes"] <= 480e6, status)
    e = next(e for e in decided("two") if d.get(f"/api/v1/emissions/{e['id']}/iq")[0] == 200)
    tar = tarfile.open(fileobj=io.BytesIO(d.get(f"/api/v1/emissions/{e['id']}/iq")[2]))
    meta = json.load(tar.extractfile(sorted(tar.getnames())[1]))
    check("its samples name the model that decided", model["of_bands"][0]["digest"] in json.dumps(meta), meta)
    open("w.yaml", "w").write(good.replace("mine.safetensors", "other.safetensors"))
    status, _, body = d.get("/api/v1/reload", "POST", b"", bearer("f" * 32))
    check("reload: another model needs a restart", status == 409 and "other.safetensors is not loaded" in json.loads(body)["error"]["message"], body)
    open("w.yaml", "w").write(text)
    status, _, body = d.get("/api/v1/reload", "POST", b"", bearer("f" * 32))
    check("reload: the band goes back to the common one", status == 200 and json.loads(body) == {"kept": 1, "stopped": 1, "started": 1}, body)
    until("and says so", lambda: [b["model"] for b in d.json("/api/v1/bands")["items"]] == ["model", "model"])
    code, took = d.stop()
    check("clean end", code == 0 and took < SOON_S, (code, took))
    open("w.yaml", "w").write(good.replace("mine.safetensors", "other.safetensors"))
    fails("no model of a band", "w.yaml", 1, "radios[].bands[].model.path", "other.safetensors")


def run_tls():
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                           "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"], capture_output=True)
    check("openssl makes a certificate", made.returncode == 0, made.stderr)
    write_config("s.yaml", [("rec", "file=iq.cu8", "real")], http=", tls: {cert: cert.pem, key: key.pem}")
    d = Daemon("s.yaml")
    check("the address says https", d.url.startswith("https://"), d.url)
    context = ssl.create_default_context(cafile="cert.pem")
    check("TLS", d.get("/healthz", context=context)[0] == 200)
    if ATTUNE:
        for more, code, word in (([], 1, "--ca-file"), (["--ca-file", "none.pem"], 2, "none.pem: No such file"), (["--ca-file", "key.pem"], 1, "--ca-file"),
                                 (["--ca-file", "cert.pem"], 0, "")):
            p = subprocess.run([ATTUNE, "top", "--once", "-u", d.url, *more], capture_output=True, text=True, timeout=60)
            check(f"attune and a certificate of one's own {more}", (p.returncode, word in p.stderr) == (code, True), (p.returncode, p.stderr))
    d.stop()
    write_config("t.yaml", [("rec", "file=iq.cu8", "real")], http=", tls: {cert: cert.pem}")
    fails("TLS without a key", "t.yaml", 1, "http.tls", "key")
    write_config("t.yaml", [("rec", "file=iq.cu8", "real")], http=", tls: {cert: key.pem, key: cert.pem}")
    fails("TLS with them swapped", "t.yaml", 1, "http.tls")


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_model("model.safetensors")
        write_iq("iq.cu8")
        run_bad_starts()
        run_without_plan()
        run_check()
        run_routes(folder)
        run_done()
        if ATTUNE and b"classify" in subprocess.run([ATTUNE, "--help"], capture_output=True).stdout:
            run_same()
        else:
            print("SKIP same as attune classify: no such command")
        run_notify()
        run_history()
        run_control()
        run_reload()
        run_models()
        run_tls()
        os.chdir("/")
    return verdict()


if __name__ == "__main__":
    sys.exit(main())
