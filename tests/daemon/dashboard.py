#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads the dashboard of a running attuned in headless Chromium (its debugging pipe, no packages), checks that real
rows are drawn, that emissions are listed, that nothing was thrown or refused, and takes a picture.
Usage: dashboard.py URL [--out FILE.png] [--dark] [--size 1440x1000] [--seconds 8] [--detail]"""
import argparse, base64, json, os, shutil, subprocess, sys, tempfile, time

FLAGS = ("--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync --remote-debugging-pipe").split()
LOOK = """(() => {
  const c = document.getElementById("rows"), d = c.getContext("2d").getImageData(0, 0, c.width, Math.min(c.height, 60)).data;
  const colours = new Set();
  for (let i = 0; i < d.length; i += 4) if (d[i + 3]) colours.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
  return {colours: colours.size, rows: document.querySelectorAll("#emissions tbody tr").length,
    link: document.getElementById("link").textContent, backend: document.getElementById("backend").textContent,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth};
})()"""


class Browser:
    """Chromium over its pipe: JSON messages that end with NUL, to descriptor 3, from descriptor 4."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        in_r, self.out = os.pipe()
        self.back, out_w = os.pipe()
        setup = f"exec 3<&{in_r} 4>&{out_w}; exec chromium {' '.join(FLAGS)} --user-data-dir={self.folder} about:blank"
        self.p = subprocess.Popen(["bash", "-c", setup], pass_fds=(in_r, out_w), stderr=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL)
        os.close(in_r)
        os.close(out_w)
        self.buffer, self.n, self.session, self.troubles = b"", 0, None, []

    def read(self):
        while b"\0" not in self.buffer:
            data = os.read(self.back, 1 << 16)
            if not data:
                raise SystemExit("FAIL chromium ended")
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def note(self, m):
        p = m.get("params", {})
        if m.get("method") == "Runtime.exceptionThrown":
            self.troubles.append(p["exceptionDetails"].get("exception", {}).get("description", "exception"))
        if m.get("method") == "Log.entryAdded" and p["entry"]["level"] == "error" and p["entry"]["source"] != "network":
            self.troubles.append(p["entry"]["text"])

    def call(self, method, **params):
        self.n += 1
        message = {"id": self.n, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            m = self.read()
            if m.get("id") == self.n:
                return m.get("result", {})
            self.note(m)

    def close(self):
        self.p.kill()
        self.p.wait()
        time.sleep(0.3)
        shutil.rmtree(self.folder, ignore_errors=True)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("url")
    a.add_argument("--out")
    a.add_argument("--dark", action="store_true")
    a.add_argument("--size", default="1440x1000")
    a.add_argument("--seconds", type=float, default=8)
    a.add_argument("--detail", action="store_true")
    a = a.parse_args()
    width, height = map(int, a.size.split("x"))
    b = Browser()
    try:
        target = b.call("Target.createTarget", url="about:blank")["targetId"]
        b.session = b.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            b.call(domain + ".enable")
        b.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = "dark" if a.dark else "light"
        b.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        b.call("Page.navigate", url=a.url)
        time.sleep(a.seconds)
        if a.detail:
            b.call("Runtime.evaluate", expression="document.querySelector('#emissions tbody tr')?.click()")
        seen = b.call("Runtime.evaluate", expression=LOOK, returnByValue=True)["result"].get("value", {})
        if a.out:
            with open(a.out, "wb") as f:
                f.write(base64.b64decode(b.call("Page.captureScreenshot", format="png")["data"]))
        bad = list(b.troubles)
    finally:
        b.close()
    if not seen.get("colours", 0) > 20:
        bad.append(f"waterfall has {seen.get('colours')} colours, more than 20 expected")
    if not seen.get("rows"):
        bad.append("no emission is listed")
    if seen.get("link") != "live":
        bad.append(f"link says {seen.get('link')}")
    if seen.get("wide", 1) > 0:
        bad.append(f"page is {seen.get('wide')} px wider than the window")
    print(seen)
    print("FAIL " + "; ".join(bad) if bad else "ok")
    return bool(bad)


sys.exit(main())
