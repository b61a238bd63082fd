#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attuned beside a real broker, which is killed and comes back. 77 without mosquitto."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from usage import arguments  # noqa: E402

ATTUNED, ROOT, ATTUNE = arguments("ATTUNED", "SOURCE_ROOT", "ATTUNE")
ROOT = Path(ROOT)
BROKER = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
passed = failed = 0


def check(what, good, detail=""):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    print(("ok   " if good else "FAIL ") + what, "" if good else str(detail)[:500], flush=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait(good, seconds=180):
    end = time.monotonic() + seconds
    while not good() and time.monotonic() < end:
        time.sleep(0.1)
    return good()


class Broker:
    started = []
    def __init__(self, folder, port, more="", ca=()):
        config = Path(folder, "mosquitto.conf")
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {folder}/users\npersistence false\n{more}")
        self.port = port
        Broker.started.append(self)
        self.sub = None
        self.p = subprocess.Popen([BROKER, "-c", config], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        def answers():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        if not wait(answers):
            raise SystemExit("FAIL the broker does not come up")
        self.seen = []
        self.sub = subprocess.Popen(["mosquitto_sub", *ca, "-p", str(port), "-u", "home", "-P", "secret", "-q", "1", "-t", "#", "-F", "%t %p"],
                                    stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.sub.stdout:
            self.seen.append(line.rstrip("\n").split(" ", 1))

    def topics(self, pattern):
        return [(t, p) for t, p in list(self.seen) if re.fullmatch(pattern, t)]

    def kill(self):
        for p in (self.sub, self.p):
            if p and p.poll() is None:
                p.kill()
                p.wait()


def metrics(url):
    text = urllib.request.urlopen(url + "/metrics", timeout=60).read().decode()
    return {m[1]: float(m[2]) for m in re.finditer(r"^(attune_mqtt_\S+) (\S+)$", text, re.M)}


def run(folder):
    port, http = free_port(), free_port()
    subprocess.run([ATTUNE, "synth", "--scene", "demo", "-t", "3", f"{folder}/demo.sigmf-data"], check=True)
    Path(folder, "password").write_text("secret\n")
    subprocess.run(["mosquitto_passwd", "-c", "-b", f"{folder}/users", "home", "secret"], check=True)
    os.chmod(f"{folder}/users", 0o644)
    os.chmod(folder, 0o755)
    Path(folder, "attuned.yaml").write_text(f"""site: {{name: roof}}
model: {{path: "{ROOT}/models/attune-base.safetensors"}}
http: {{listen: "127.0.0.1:{http}"}}
publish: {{mqtt: {{broker: "mqtt://127.0.0.1:{port}", username: home, password_file: password, client_id: test, rate: 200}}}}
bandplan: ""
history: {{path: ""}}
cache_dir: cache
radios:
  - {{name: sim, device: "file=demo.sigmf-meta", loop: true, bands: [{{name: ism}}]}}
""")
    log = open(f"{folder}/log", "w", encoding="utf-8")
    d = subprocess.Popen([ATTUNED, "-c", f"{folder}/attuned.yaml"], stderr=log)
    url = f"http://127.0.0.1:{http}"
    try:
        time.sleep(1)  # no broker yet: the daemon starts all the same
        check("runs without its broker", d.poll() is None, Path(folder, "log").read_text())
        if failed:
            return
        b = Broker(folder, port)
        check("online", wait(lambda: ("attune/status", "online") in map(tuple, b.seen)), b.seen)
        check("radio", wait(lambda: any(json.loads(p)["state"] == "running" for _, p in b.topics("attune/radio/sim"))), b.seen)
        check("band", wait(lambda: any(json.loads(p)["occupied"] for _, p in b.topics("attune/band/sim/ism"))), b.topics("attune/band.*"))
        check("emissions", wait(lambda: len(b.topics("attune/emission/sim/ism/.*")) >= 3), b.topics("attune/emission.*"))
        for topic, payload in b.topics("attune/emission/sim/ism/.*"):
            o = json.loads(payload)
            if o["state"] != "ended" or o["band"] != "ism" or topic.split("/")[-1] != o.get("class", "none") or "end_s" not in o:
                check("an ended emission", False, payload)
        configs = {t: json.loads(p) for t, p in b.topics("homeassistant/.*/config")}
        check("discovery", "homeassistant/binary_sensor/test/sim_ism_occupied/config" in configs
              and "homeassistant/binary_sensor/test/radio_sim/config" in configs
              and any(re.fullmatch("homeassistant/sensor/test/sim_ism_.*/config", t) for t in configs), configs.keys())
        for t, c in configs.items():
            good = c["unique_id"] and c["availability_topic"] == "attune/status" and c["device"]["name"] == "roof" and c["state_topic"]
            if not good:
                check(f"{t} is whole", False, c)
        check("each announced once", len(configs) == len(b.topics("homeassistant/.*/config")), len(configs))
        m = metrics(url)
        check("counted", m["attune_mqtt_connected"] == 1 and m["attune_mqtt_acknowledged_total"] > 3, m)

        b.kill()
        check("the loss is logged", wait(lambda: re.search(r"warning MQTT broker 127\.0\.0\.1:\d+ lost", Path(folder, "log").read_text())),
              Path(folder, "log").read_text()[-800:])
        check("the loss is seen", wait(lambda: metrics(url)["attune_mqtt_connected"] == 0), metrics(url))
        check("and the daemon lives", d.poll() is None)
        time.sleep(2)
        b = Broker(folder, port)  # a new one, that has forgotten all
        check("online again", wait(lambda: ("attune/status", "online") in map(tuple, b.seen)), b.seen)
        check("emissions again", wait(lambda: len(b.topics("attune/emission/sim/ism/.*")) >= 2), b.seen)
        check("the return is logged", Path(folder, "log").read_text().count("connected") >= 2, Path(folder, "log").read_text()[-800:])
        check("discovery again", wait(lambda: b.topics("homeassistant/binary_sensor/test/sim_ism_occupied/config")), b.seen)
        m = metrics(url)
        check("two connections, nothing dropped", m["attune_mqtt_connects_total"] == 2 and m['attune_mqtt_dropped_total{reason="queue"}'] == 0, m)
        began = time.monotonic()
        d.send_signal(signal.SIGTERM)
        check("ends well", d.wait(120) == 0, Path(folder, "log").read_text()[-800:])
        print(f"     in {time.monotonic() - began:.1f} s")
        check("says farewell", wait(lambda: b.topics("attune/status")[-1][1] == "offline"), b.topics("attune/status"))
        d = subprocess.Popen([ATTUNED, "-c", f"{folder}/attuned.yaml"], stderr=log)
        check("back", wait(lambda: b.topics("attune/status")[-1][1] == "online"), b.topics("attune/status"))
        d.kill()
        check("the last will speaks where it cannot", wait(lambda: b.topics("attune/status")[-1][1] == "offline"), b.topics("attune/status"))
    finally:
        for b in Broker.started:
            b.kill()
        d.kill()
        d.wait()
        log.close()
    text = Path(folder, "attuned.yaml").read_text(encoding="utf-8")
    for broker in ("tcp://x", "mqtt://", "mqtt://user@host", "mqtt://h:99999"):
        Path(folder, "bad.yaml").write_text(re.sub('broker: "[^"]*"', f'broker: "{broker}"', text))
        r = subprocess.run([ATTUNED, "-c", f"{folder}/bad.yaml"], capture_output=True, text=True, timeout=300, check=False)
        check(f"{broker} is refused", r.returncode != 0 and "publish.mqtt.broker" in r.stderr, r.stderr)
    run_refused(folder, text)
    run_tls(folder, text)


def serve_shy(server):
    """What a broker under load may do: closes the first connection without a word, refuses each later one (CONNACK 5)."""
    for n in range(3):
        with server.accept()[0] as c:
            c.recv(4096)
            if n:
                c.sendall(b"\x20\x02\x00\x05")


def run_refused(folder, text):
    """A refusal is logged, once, though the first connection failed in another way, which is logged too."""
    with socket.create_server(("127.0.0.1", 0)) as server, open(f"{folder}/refused.log", "w", encoding="utf-8") as log:
        server.settimeout(180)
        port = server.getsockname()[1]
        t = threading.Thread(target=serve_shy, args=(server,))
        t.start()
        Path(folder, "refused.yaml").write_text(re.sub('broker: "[^"]*"', f'broker: "mqtt://127.0.0.1:{port}"', text), encoding="utf-8")
        d = subprocess.Popen([ATTUNED, "-c", f"{folder}/refused.yaml"], stderr=log)
        try:
            t.join()
            time.sleep(0.5)
            d.send_signal(signal.SIGTERM)
            check("ends well", d.wait(120) == 0)
        finally:
            d.kill()
            d.wait()
    said = Path(folder, "refused.log").read_text(encoding="utf-8")
    check("each kind of failure is said once", said.count("does not answer") == 1 and said.count("refuses") == 1, said[-800:])


def run_tls(folder, text):
    """A broker behind TLS: with its certificate, with another one, with the wrong password."""
    port = free_port()
    for name in ("broker", "other"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost", "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"], check=True, capture_output=True)
    os.chmod(f"{folder}/broker.key", 0o644)  # the broker leaves root
    Path(folder, "wrong").write_text("wrong\n", encoding="utf-8")
    b = Broker(folder, port, f"certfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n", ["-h", "localhost", "--cafile", f"{folder}/broker.pem"])
    for ca, password, word in (("broker.pem", "password", rf"MQTT broker localhost:{port} connected"), ("broker.pem", "wrong", "MQTT broker localhost refuses: "),
                               ("other.pem", "password", f"MQTT broker localhost:{port} (does not answer|lost)")):
        changed = re.sub('broker: "[^"]*"', f'broker: "mqtts://localhost:{port}", ca_file: {ca}', text).replace("password_file: password", f"password_file: {password}")
        Path(folder, "tls.yaml").write_text(changed.replace("client_id: test, ", 'discovery: false, '), encoding="utf-8")
        with open(f"{folder}/tls.log", "w", encoding="utf-8") as log:
            d = subprocess.Popen([ATTUNED, "-c", f"{folder}/tls.yaml"], stderr=log)
            try:
                wait(lambda: re.search(word, Path(folder, "tls.log").read_text(encoding="utf-8")) or d.poll() is not None)  # pylint: disable=cell-var-from-loop
                said = Path(folder, "tls.log").read_text(encoding="utf-8")
                check(f"TLS with {ca} and {password}: {word}", re.search(word, said), said[-800:])
                check("and no word of the password", "secret" not in said, said[-800:])
                if "connected" in word:
                    check("radio by TLS", wait(lambda: b.topics("attune/radio/sim")), b.seen)
                    check("no discovery where it is off", not b.topics("homeassistant/.*"), b.seen)
                d.send_signal(signal.SIGTERM)
                check("ends well", d.wait(120) == 0, said[-800:])
            finally:
                d.kill()
                d.wait()
    b.kill()


if not BROKER or not shutil.which("mosquitto_sub"):
    print("mosquitto is not installed")
    sys.exit(77)
with tempfile.TemporaryDirectory() as where:
    run(where)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
