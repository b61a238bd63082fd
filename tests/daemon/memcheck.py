#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attuned from start to stop under valgrind: no error, nothing lost. A recording as its radio, a model of random weights,
a history, requests of each kind, a reload."""
import json, os, re, signal, subprocess, sys, tempfile, time, urllib.error, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

ATTUNED = os.path.abspath(*arguments("ATTUNED"))
from attuned import write_config, write_iq, write_model  # noqa: E402  (reads the program's path from argv too)

PATHS = ("/", "/healthz", "/metrics", "/api/v1/status", "/api/v1/radios", "/api/v1/bands", "/api/v1/model",
         "/api/v1/backends", "/api/v1/selector", "/api/v1/emissions?limit=5", "/api/v1/emissions/none", "/api/v1/waterfall",
         "/api/v1/openapi.json", "/api/v1/status?what=1")


def get(url, **request):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **request), timeout=180) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def wait_for(what, good, seconds=180):
    end = time.monotonic() + seconds
    while not good():
        if time.monotonic() > end:
            raise SystemExit(f"FAIL {what}: not in {seconds} s")
        time.sleep(0.3)


def drive(url):
    """What a day brings, once; returns the answers' statuses."""
    wait_for("ready", lambda: get(url + "/readyz")[0] == 200)
    wait_for("a decision", lambda: any("class" in e for e in json.loads(get(url + "/api/v1/emissions")[1])["items"]))
    seen = [get(url + path)[0] for path in PATHS]
    iq = bytes(range(256)) * 300
    seen.append(get(url + "/api/v1/classify?datatype=cu8&rate_hz=250000", method="POST", data=iq,
                    headers={"Content-Type": "application/octet-stream"})[0])
    return seen


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_model("model.safetensors")
        write_iq("iq.cu8", seconds=2.0)
        write_config("a.yaml", [("rec", "file=iq.cu8", "real")], history="h.db")
        p = subprocess.Popen(
            ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
             "--error-exitcode=99", "--num-callers=25", "--log-file=valgrind.txt",
             ATTUNED, "-c", "a.yaml"], stderr=subprocess.PIPE, text=True)
        try:
            url = None
            while not url:
                line = p.stderr.readline()
                if not line:
                    raise SystemExit("FAIL attuned ended: " + open("valgrind.txt").read()[-4000:])
                found = re.search(r'"url":"(http[^"]+)"', line)
                url = found and found[1]
            statuses = drive(url)
            p.send_signal(signal.SIGHUP)
            wait_for("alive after the reload", lambda: get(url + "/readyz")[0] == 200)
            p.send_signal(signal.SIGTERM)
            p.stderr.read()
            code = p.wait(120)
        finally:
            p.kill()
        text = open("valgrind.txt").read()
    print(f"exit {code}; answers {statuses}")
    if text:
        print(text[-12000:])
    ok = code == 0 and not text and set(statuses) <= {200, 400, 404} and statuses[-1] == 200
    print("1 passed, 0 failed" if ok else "0 passed, 1 failed")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
