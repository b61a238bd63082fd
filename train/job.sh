#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Ablations, training, blending, evaluation and export as one job that outlives the shell it was started from:
#
#     train/job.sh WORK OUT SECONDS [CARRIED]     # call again to go on watching: the first call starts, each later one looks after it
#
# Returns after SECONDS or when all is done. What is small enough to keep (checkpoint.pt, ablate.json, ablate.pt and logs.tar.gz, with evaluations
# and models) lies in OUT after every 15 s; WORK keeps everything. CARRIED: such a folder, of a job whose machine was lost; where WORK
# is new, it goes on from there.
#
# ABLATE_S (60 each of seven; 0: none), TRAIN_S (780), COUNT (8704 test signals), VALIDATION (6144), START (checkpoint or model file to
# begin from; a model file is also what the result is blended with), SHARES ("0.5 1" of the trained weights, a model file of each; "": none),
# MONTE_CARLO (16 passes), PYTHON, PROCESSES, EXTRA (options of train.py), EXTRA_ABLATE, EXTRA_EXAMPLES.
here=$(cd "$(dirname "$0")" && pwd); work=$1; out=$2; limit=$3; carried=$4
[ -n "$limit" ] || { sed -n '3,15s/^# \?//p' "$0" >&2; exit 2; }
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
python=${PYTHON:-python3}; count=${COUNT:-8704}; shares=${SHARES-0.5 1}
mkdir -p "$work" "$out"; work=$(realpath "$work"); out=$(realpath "$out")
alive() { [ -f "$work/$1.pid" ] && kill -0 "$(cat "$work/$1.pid")" 2>/dev/null; }
has() { [ -f "$work/$1" ]; }
start() { # NAME COMMAND...: a session of its own
  name=$1; shift
  setsid nohup "$@" >>"$work/$name.log" 2>&1 </dev/null &
  echo $! >"$work/$name.pid"
}

if [ ! -e "$work/began" ]; then
  [ -n "$carried" ] && [ -f "$carried/logs.tar.gz" ] && tar -xzf "$carried/logs.tar.gz" -C "$work"
  for f in checkpoint.pt ablate.json ablate.pt; do
    [ -n "$carried" ] && [ -f "$carried/$f" ] && cp "$carried/$f" "$work/"
  done
  date +%s >"$work/began"
fi

# Muon where the ablation found it better after as many steps.
faster_optimizer() {
  has ablate.json && "$python" -c 'import json, sys; r = json.load(open(sys.argv[1]))["runs"]
if "muon" in r and r["muon"]["mha"]["overall"] > r["rmsnorm"]["mha"]["overall"]: print("--optimizer muon")' "$work/ablate.json"
  return 0
}

# Each stage leaves its result or a mark behind and is not done again.
stages() {
  set -e
  [ "${ABLATE_S:-60}" = 0 ] || has ablated || {
    "$python" "$here/ablate.py" --pool "$work/pool" --out "$work/ablate.json" --seconds "${ABLATE_S:-60}" $EXTRA_ABLATE
    touch "$work/ablated"
  }
  has trained || {
    "$python" "$here/train.py" --pool "$work/pool" --out "$work" --seconds "${TRAIN_S:-780}" ${START:+--start-from "$START"} $(faster_optimizer) $EXTRA
    touch "$work/trained"
  }
  touch "$work/enough"
  for share in $shares; do
    case "$START" in *.safetensors) from=(--begun-from "$START") ;; *) from=() ;; esac
    has "blend-$share.pt" || "$python" "$here/blend.py" --checkpoint "$work/checkpoint.pt" "${from[@]}" --share "$share" --out "$work/blend-$share.pt"
    has "eval-$share.json" || "$python" "$here/evaluate.py" --checkpoint "$work/blend-$share.pt" --pool "$work/pool" --out "$work/eval-$share.json" \
      --monte-carlo "${MONTE_CARLO:-16}"
    has "model-$share.safetensors" ||
      "$python" "$here/export.py" --checkpoint "$work/blend-$share.pt" --eval "$work/eval-$share.json" --out "$work/model-$share.safetensors"
  done
  touch "$work/done"
}
export -f stages has faster_optimizer
export work here python shares count

next_chunk() { # after a lost pool: once training has begun, examples that it has not seen
  has journal.jsonl || { echo 0; return; }
  "$python" -c 'import json, sys; print(1 + max((max(json.loads(l)["chunks"], default=-1) for l in open(sys.argv[1])), default=-1))' "$work/journal.jsonl"
}

if ! has done && ! alive examples; then
  OMP_NUM_THREADS=1 start examples nice -n 10 "$python" "$here/examples.py" --out "$work/pool" --processes "${PROCESSES:-$(env -u OMP_NUM_THREADS nproc)}" \
    --first-chunk "$(next_chunk)" --until "$work/enough" $EXTRA_EXAMPLES \
    --plan "validation:${VALIDATION:-6144}" train:7200s "calibration:$((count / 2))" "test:$count"
fi
has done || alive train || start train bash -c stages

collect() { # whole files only: the machine may go at any time
  for f in checkpoint.pt ablate.json ablate.pt; do
    has "$f" && [ "$(stat -c %s "$work/$f")" -lt 16000000 ] && [ "$work/$f" -nt "$out/$f" ] && cp "$work/$f" "$out/part" && mv "$out/part" "$out/$f"
  done
  has ablate.pt || rm -f "$out/ablate.pt"
  (cd "$work" && tar -czf "$out/part" --ignore-failed-read $(ls -- *.log log.jsonl journal.jsonl ablate.md eval-*.json model-*.safetensors model-*.md ablated trained done 2>/dev/null)) && mv "$out/part" "$out/logs.tar.gz"
}
end=$(($(date +%s) + limit)); shown=0; collected=$(date +%s)
while [ "$(date +%s)" -lt "$end" ] && ! has done; do
  sleep 2
  n=$(wc -l <"$work/train.log"); [ "$n" -gt "$shown" ] && sed -n "$((shown + 1)),${n}p" "$work/train.log"; shown=$n
  [ $(($(date +%s) - collected)) -ge 15 ] && { collect; collected=$(date +%s); }
  alive train || has done || { echo "a stage ended early; the last lines are above; call again to go on"; break; }
done
collect
has done && echo "all done" || echo "goes on: call again"
