#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The whole training as one job that outlives the shell it was started from:
#
#     train/job.sh WORK OUT SECONDS     # call again to go on watching: the first call starts, each later one looks after it
#
# Returns after SECONDS or when all is done. Results (small) lie in OUT after every 15 s; WORK keeps examples and checkpoint.
# TRAIN_S (1080), ABLATE_S (40 each of six), COUNT (test signals), START (checkpoint to begin from), PYTHON, PROCESSES,
# EXTRA (options of train.py), EXTRA_ABLATE.
here=$(cd "$(dirname "$0")" && pwd); work=$1; out=$2; limit=$3
train_s=${TRAIN_S:-1080}; python=${PYTHON:-python3}; count=${COUNT:-17408}; ablate_s=${ABLATE_S:-40}
mkdir -p "$work" "$out"
alive() { [ -f "$work/$1.pid" ] && kill -0 "$(cat "$work/$1.pid")" 2>/dev/null; }
start() { # NAME COMMAND...: a session of its own
  name=$1; shift
  setsid nohup "$@" >>"$work/$name.log" 2>&1 </dev/null &
  echo $! >"$work/$name.pid"
}
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
[ -f "$work/began" ] || date +%s >"$work/began"
spent=$(($(date +%s) - $(cat "$work/began")))
if [ ! -f "$work/done" ] && ! alive examples; then
  left=$((train_s + 20 - spent)); [ $left -lt 1 ] && left=1
  OMP_NUM_THREADS=1 start examples "$python" "$here/examples.py" --out "$work/pool" --processes "${PROCESSES:-$(env -u OMP_NUM_THREADS nproc)}" \
    --plan "validation:${VALIDATION:-1536}" "train:${left}s" "calibration:$((count / 2))" "test:$count"
fi
if [ ! -f "$work/done" ] && ! alive train; then
  start train bash -c "
    [ -f '$work/trained' ] || '$python' '$here/train.py' --pool '$work/pool' --out '$work' --seconds $train_s ${START:+--start-from '$START'} $EXTRA && touch '$work/trained'
    [ -f '$work/trained' ] || exit 1
    '$python' '$here/ablate.py' --pool '$work/pool' --out '$work/ablate.json' --seconds $ablate_s $EXTRA_ABLATE
    '$python' '$here/evaluate.py' --checkpoint '$work/checkpoint.pt' --pool '$work/pool' --out '$work/eval.json' --count $((count * 95 / 100)) --wait 120 --monte-carlo 16 --logits '$work/logits.npz'
    touch '$work/done'"
fi
collect() {
  for f in checkpoint.pt log.jsonl journal.jsonl ablate.json eval.json logits.npz; do
    [ -f "$work/$f" ] && [ "$(stat -c %s "$work/$f")" -lt 16000000 ] && cp "$work/$f" "$out/"
  done
  tail -c 200000 "$work/train.log" "$work/examples.log" >"$out/job.log" 2>&1
}
end=$(($(date +%s) + limit)); shown=0
while [ "$(date +%s)" -lt "$end" ] && [ ! -f "$work/done" ]; do
  sleep 5
  n=$(wc -l <"$work/train.log"); [ "$n" -gt "$shown" ] && sed -n "$((shown + 1)),${n}p" "$work/train.log"; shown=$n
  [ $((SECONDS % 15)) -lt 5 ] && collect
  alive train || [ -f "$work/done" ] || { echo "training ended early; the last lines are above"; break; }
done
collect
[ -f "$work/done" ] && echo "all done" || echo "goes on: call again"
