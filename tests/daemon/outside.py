#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The running server as others see it: its description under npm's @seriousme/openapi-schema-validator, its metrics
under promtool, each name of the design, the alert rules and the Grafana board by the same names.
What has no tool is said and fails, unless --skip-missing is given."""
import json, os, re, shutil, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

ATTUNED, SOURCE, LENIENT = arguments("ATTUNED", "SOURCE_ROOT", "--skip-missing")
ATTUNED, SOURCE = os.path.abspath(ATTUNED), os.path.abspath(SOURCE)
WANTED = """attune_samples_total attune_samples_processed_total attune_samples_lost_total attune_radio_up attune_radio_state
attune_radio_reconnects_total attune_frames_total attune_tokens_skipped_total attune_noise_floor_dbfs_per_hz
attune_occupancy_ratio attune_emissions_total attune_emissions_active attune_decisions_total
attune_inference_duration_seconds attune_decision_latency_seconds attune_first_decision_seconds
attune_budget_exceeded_total attune_kv_cache_bytes attune_kv_cache_peak_bytes attune_backend_info
attune_selector_changes_total attune_queue_depth attune_http_requests_total attune_sse_dropped_total
attune_config_last_reload_successful attune_build_info process_cpu_seconds_total process_resident_memory_bytes""".split()
sys.argv = ["attuned.py", ATTUNED]
sys.dont_write_bytecode = True
import attuned  # noqa: E402  the daemon, its model and its IQ


def tool(name, what):
    if shutil.which(name):
        return True
    print(f"SKIP {what}: {name} is not installed (scripts/packages.txt, section all)", flush=True)
    attuned.check(f"{name} is there", LENIENT, "missing")
    return False


def run_validator(text):
    if not tool("npm", "the description under an independent validator"):
        return
    got = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", ".",
                          "@seriousme/openapi-schema-validator@2"], capture_output=True, timeout=120)
    if got.returncode:
        print("SKIP the description under an independent validator: npm reaches no registry", flush=True)
        return attuned.check("npm install", LENIENT, got.stderr)
    with open("openapi.json", "wb") as f:
        f.write(text)
    with open("check.mjs", "w") as f:
        f.write('import { Validator } from "@seriousme/openapi-schema-validator";\n'
                'import { readFileSync } from "node:fs";\nconst v = new Validator();\n'
                'const r = await v.validate(JSON.parse(readFileSync("openapi.json")));\n'
                'console.log(JSON.stringify({ valid: r.valid, version: v.version, errors: r.errors }));\n')
    got = subprocess.run(["node", "check.mjs"], capture_output=True, timeout=60)
    said = json.loads(got.stdout or b"{}")
    attuned.check("openapi.json is valid OpenAPI 3.1", said.get("valid") and said.get("version") == "3.1", (said, got.stderr))


def run_promtool(page):
    if not tool("promtool", "metrics and alert rules under promtool"):
        return
    got = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, timeout=30)
    attuned.check("promtool check metrics", got.returncode == 0 and not got.stderr, got.stdout + got.stderr)
    got = subprocess.run(["promtool", "check", "rules", SOURCE + "/docs/prometheus/alerts.yml"], capture_output=True, timeout=30)
    attuned.check("promtool check rules", got.returncode == 0, got.stdout + got.stderr)


def run_names(page):
    have = set(re.findall(r"(?m)^# TYPE (\S+)", page.decode()))
    attuned.check("each metric of the design", set(WANTED) <= have, sorted(set(WANTED) - have))
    for path in ("/docs/prometheus/alerts.yml", "/docs/grafana/attune.json"):
        with open(SOURCE + path) as f:
            text = f.read()
        used = {re.sub(r"_(bucket|sum|count)$", "", n) for n in re.findall(r"\battune_[a-z_]+", text)}
        attuned.check(f"{path} names metrics that are there", used <= have, sorted(used - have))


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        attuned.write_model("model.safetensors")
        attuned.write_iq("iq.cu8")
        attuned.write_config("a.yaml", [("rec", "file=iq.cu8", "fast")])
        d = attuned.Daemon("a.yaml")
        d.wait("/api/v1/radios", lambda s, b: json.loads(b)["items"][0]["state"] == "ended", 60)
        page = d.get("/metrics")[2]
        run_names(page)
        run_promtool(page)
        run_validator(d.get("/api/v1/openapi.json")[2])
        d.stop()
        os.chdir("/")
    return attuned.verdict()


if __name__ == "__main__":
    sys.exit(main())
