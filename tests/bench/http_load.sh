#!/bin/bash
# The load that the HTTP side must bear, on a quiet machine with wrk: /metrics on the second server while a simulated
# radio delivers 2.4 MS/s, and what was lost meanwhile. Usage: http_load.sh BUILD [SECONDS]
# SPDX-License-Identifier: GPL-3.0-or-later
set -eu
build=$(realpath "$1") seconds=${2:-20}
top=$(cd "$(dirname "$0")/../.." && pwd)
command -v wrk >/dev/null || { echo "http_load: install wrk" >&2; exit 2; }
work=$(mktemp -d)
cat >"$work/a.yaml" <<YAML
http: {listen: "127.0.0.1:18650", metrics_listen: "127.0.0.1:18651", max_connections: 1200}
model: {path: $top/models/attune-base.safetensors}
history: {path: $work/history.db}
cache_dir: $work/cache
bandplan: ""
soapy: {modules: ["$build/soapy-sim"]}
radios:
  - {name: sim, device: "driver=attunesim,scene=demo", bands: [{name: demo, center: 433.92M, rate: 2.4M}]}
YAML
"$build/daemon/attuned" -c "$work/a.yaml" 2>"$work/log" &
daemon=$!
trap 'kill $daemon 2>/dev/null; wait $daemon 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    curl -sf http://127.0.0.1:18650/readyz >/dev/null && break
    sleep 0.2
done
count() { curl -s http://127.0.0.1:18650/metrics | awk -v n="$1" 'index($1, n) == 1 { s += $2 } END { printf "%d", s }'; }
lost=$(count attune_samples_lost_total) due=$(count attune_samples_total)
wrk -t 1 -c 32 -d "${seconds}s" --latency http://127.0.0.1:18651/metrics | grep -E 'Requests/sec|99%|Non-2xx' || true
echo "samples due $(($(count attune_samples_total) - due)), lost $(($(count attune_samples_lost_total) - lost))"
