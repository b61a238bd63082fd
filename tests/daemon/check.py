#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attuned --check: each thing that would not work is one BAD line that names the key, all of them at once, exit 1; a
configuration that works has none. Nothing secret stands in its output."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

arguments("ATTUNED")
import attuned  # noqa: E402

TOKEN = "a-token-of-more-than-sixteen"
NO_PLAN = "bandplan: \"\"\n"
CACHE = "cache_dir: cache\n"
NO_HISTORY = "history: {path: \"\"}\n"
MODEL = "model: {path: model.safetensors}\n"
RADIO = "radios:\n  - {name: roof, device: \"driver=attunesim\", bands: [{center: 433.92M, rate: 250k}]}\n"

# "@" is the folder. What, HTTP's settings, other settings, environment, exit code, words that must stand there
CASES = [
    ("nothing wrong", "", "", {}, 0, ["ok  http: 127.0.0.1:0, this machine only",
                                      "ok  radio roof: driver=attunesim (not opened)", "ok  model", "(chosen)", "ok  budget"]),
    ("a token", ", token_file: token", "", {}, 0, ["ok  http: 127.0.0.1:0, with a token"]),
    ("a token of systemd's", "", "", {"CREDENTIALS_DIRECTORY": "."}, 0, ["with a token"]),
    ("no token among systemd's", "", "", {"CREDENTIALS_DIRECTORY": "none"}, 0, ["this machine only"]),
    ("no token file", ", token_file: none", "", {}, 1, ["BAD http: http.token_file: cannot read @/none"]),
    ("a short token", ", token_file: short", "", {}, 1, ["BAD http: http.token_file: @/short should hold one line"]),
    ("a token that only reads", ", read_token_file: token", "", {}, 0, ["ok  http: 127.0.0.1:0, with a token"]),
    ("no file of the token that only reads", ", token_file: token, read_token_file: none", "", {}, 1, ["BAD http: http.read_token_file: cannot read @/none"]),
    ("metrics for other machines", ", metrics_listen: \"0.0.0.0:0\"", "", {}, 1, ["BAD http: http.metrics_listen: http.listen: 0.0.0.0:0 is reachable from other machines"]),
    ("metrics for other machines, with a token", ", token_file: token, metrics_listen: \"0.0.0.0:0\"", "", {}, 0, ["ok  http: 127.0.0.1:0, with a token"]),
    ("a key without its certificate", ", tls: {key: token}", "", {}, 1, ["BAD http: http.tls: set both cert and key"]),
    ("a certificate without its key", ", tls: {cert: token}", "", {}, 1, ["BAD http: http.tls: set both cert and key"]),
    ("a certificate that is not there", ", tls: {cert: none, key: token}", "", {}, 1,
     ["BAD http: http.tls.cert: cannot read @/none"]),
    ("an empty key", ", tls: {cert: token, key: empty}", "", {}, 1, ["BAD http: http.tls.key: @/empty is no PEM file"]),
    ("a key that does not end", ", tls: {cert: token, key: long}", "", {}, 1, ["BAD http: http.tls.key: @/long is no PEM file"]),
    ("no certificate at all", ", tls: {cert: token, key: key.pem}", "", {}, 1, ["BAD http: http.tls: cert and key are no pair"]),
    ("another certificate's key", ", tls: {cert: cert.pem, key: other.pem}", "", {}, 1, ["BAD http: http.tls: cert and key are no pair"]),
    ("a certificate and its key", ", tls: {cert: cert.pem, key: key.pem}", "", {}, 0, ["ok  http: 127.0.0.1:0, this machine only"]),
    ("no memory for the caches", "", "budget: {kv_mb: 1, latency_ms: 60000}\nmodel: {path: model.safetensors, window: 16384, backend: flash}", {}, 1,
     ["BAD budget: nothing fits 60000 ms and 1 MB on this host"]),
    ("a broker without a password", "", "publish: {mqtt: {broker: \"mqtt://127.0.0.1\", username: u, password_file: none}}",
     {}, 1, ["BAD publish.mqtt.password_file: @/none"]),
    ("a broker's certificate that is not there", "", "publish: {mqtt: {broker: \"mqtts://127.0.0.1\", ca_file: none}}", {}, 1, ["BAD publish.mqtt.ca_file: @/none"]),
    ("a recording of another kind", "", "radios: [{name: tape, device: \"file=token\", format: cu8, bands: [{center: 1M, rate: 250k}]}, {name: none, device: \"file=none\"}]", {}, 1,
     ["ok  radio tape: @/token, cu8", "BAD radio none: @/none"]),
    ("ranges that the band does not reach", "", "radios: [{name: roof, device: \"driver=attunesim\", bands: [{name: ism, center: 433.92M, rate: 1M, "
     "ignore: [868.1M-868.2M, 433.1M-433.5M], watch: [433.1-433.2, 434.4M-500M]}]}]", {}, 0,
     ["note radio roof, band ism: ignore: 868.1 to 868.2 MHz lies outside", "note radio roof, band ism: watch: 0.0004331 to 0.0004332 MHz lies outside"]),
    ("folders that are not there", "", "history: {path: none/h.db}\nsoapy: {modules: [., nowhere]}", {}, 0,
     ["note history.path: @/none: No such file or directory: emissions would", "note soapy.modules: @/nowhere: No such file or directory"]),
    ("a cache that cannot be made", "", "cache_dir: none/cache", {}, 0, ["note cache_dir: @/none/cache: No such file or directory: each start"]),
    ("one device for two", "", "radios: [{name: a, device: \"driver=x\", bands: [{center: 1M, rate: 1M}]}, {name: b, device: \"driver=x\", bands: [{center: 1M, rate: 1M}]}, "
     "{name: c, device: \"driver=x\", channel: 1, bands: [{center: 1M, rate: 1M}]}]", {}, 0, ["note radio b: the device is that of radio a too"]),
    ("a broker of another kind", "", "publish: {mqtt: {broker: \"http://127.0.0.1\"}}", {}, 1, ["BAD publish.mqtt.broker"]),
    ("a band plan that is not there", "", "bandplan: none.yaml", {}, 1, ["BAD bandplan: @/none.yaml", "ok  model"]),
    ("two at once", ", token_file: none", "publish: {mqtt: {broker: \"mqtt://127.0.0.1\", topic: \"a/#\"}}", {}, 1,
     ["BAD http: http.token_file", "BAD publish.mqtt.topic", "ok  radio roof", "ok  model"]),
]


def run(http, extra, env):
    with open("c.yaml", "w", encoding="utf-8") as f:
        f.write(f"{'' if 'model:' in extra else MODEL}http: {{listen: \"127.0.0.1:0\"{http}}}\n{'' if 'bandplan:' in extra else NO_PLAN}"
                f"{'' if 'cache_dir:' in extra else CACHE}{'' if 'history:' in extra else NO_HISTORY}{extra}\n{'' if 'radios:' in extra else RADIO}")
    return subprocess.run([attuned.ATTUNED, "-c", "c.yaml", "--check"], capture_output=True, timeout=300, text=True, check=False,
                          env={**os.environ, **env})


def run_starts():
    """What --check finds ends a start too; what cannot be printed is said; a name is no order to the terminal."""
    run(", tls: {key: token}", "", {})
    p = subprocess.run([attuned.ATTUNED, "-c", "c.yaml"], capture_output=True, timeout=300, text=True, check=False)
    attuned.check("a key without its certificate ends the start", p.returncode == 1 and "http.tls: set both cert and key" in p.stderr, p.stderr)
    run("", "", {})
    for args in (("--version",), ("-c", "c.yaml", "--check"), ("-c", "c.yaml", "--print-config")):
        with open("/dev/full", "w", encoding="ascii") as full:
            p = subprocess.run([attuned.ATTUNED, *args], stdout=full, stderr=subprocess.PIPE, timeout=300, text=True, check=False)
        attuned.check(f"attuned {args} on a full disk", (p.returncode, p.stderr) == (1, "attuned: standard output can't be written\n"), (p.returncode, p.stderr))
    p = subprocess.run([attuned.ATTUNED, "-c", "no\x1b[31m\nwhere"], capture_output=True, timeout=300, text=True, check=False)
    attuned.check("a name is no order", (p.returncode, p.stderr.count("\n")) == (78, 1) and "no?[31m?where" in p.stderr, p.stderr)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        attuned.write_model("model.safetensors")
        for name, text in (("token", TOKEN), ("http-token", TOKEN), ("short", "short"), ("empty", ""), ("long", "x" * (1 << 20))):
            with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
                f.write(text)
        for key, cert in (("key.pem", "cert.pem"), ("other.pem", "unused.pem")):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                            "-keyout", key, "-out", cert], capture_output=True, check=True)
        for what, http, extra, env, code, words in CASES:
            p = run(http, extra, env)
            bad = [line for line in p.stdout.splitlines() if line.startswith("BAD")]
            wanted = [word for word in words if word.startswith("BAD")]
            notes = [sum(x.startswith("note") for x in lines) for lines in (p.stdout.splitlines(), words)]
            attuned.check(f"{what}: notes", notes[0] == notes[1], p.stdout)
            attuned.check(f"{what}: exit {code}", p.returncode == code, (p.returncode, p.stdout, p.stderr))
            attuned.check(f"{what}: BAD lines", len(bad) == len(wanted), bad)
            for word in (word.replace("@", os.getcwd()) for word in words):
                attuned.check(f"{what}: says {word}", word in p.stdout, p.stdout + p.stderr)
            attuned.check(f"{what}: no secret", TOKEN not in p.stdout + p.stderr, p.stdout + p.stderr)
        run_starts()
        os.chdir("/")
    return attuned.verdict()


if __name__ == "__main__":
    sys.exit(main())
