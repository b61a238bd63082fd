#!/bin/bash
# run.sh [SECONDS [TARGET...]]: builds the fuzz targets with libFuzzer, ASan and UBSan and runs each for SECONDS (60), two
# at a time, over corpus/ and what earlier runs kept in build-fuzz/kept. Says executions and coverage of each; fails on
# the first input that breaks one, which it names: copy it into corpus/<name>, so that it is a test from then on.
#   FUZZ_BUILD=build-fuzz-plain FUZZ_OPTIONS=-Dbuildtype=release: without sanitizers, some times as fast
#   FUZZ_RUNS=10000000: as many executions instead of seconds
#   tests/fuzz/afl.sh TARGET: the same sources under AFL++
# SPDX-License-Identifier: GPL-3.0-or-later
set -u
cd "$(dirname "$0")/../.." || exit 1
seconds=${1:-60}
[ $# = 0 ] || shift
build=${FUZZ_BUILD:-build-fuzz}
options=${FUZZ_OPTIONS:--Dsanitize=address,undefined -Dbuildtype=debugoptimized}
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1

if [ ! -f "$build/build.ninja" ]; then
    # shellcheck disable=SC2086
    CC=clang CXX=clang++ meson setup "$build" -Dfuzz=true $options >/dev/null || exit 1
fi
ninja -C "$build" -j "${JOBS:-$(nproc)}" fuzz_targets >"$build/fuzz.log" 2>&1 || { tail -n 20 "$build/fuzz.log"; exit 1; }

# one NAME: the executions and edges in one line; what broke, and its end of the log.
one() {
    local name=$1 log=$build/fuzz-$1.log kept=$build/kept/$1 broken=$build/broken/$1 rc=0
    mkdir -p "$kept" "$broken"
    "$build/tests/fuzz/fuzz_$name" "-max_total_time=$seconds" "-runs=${FUZZ_RUNS:--1}" -max_len=4096 -timeout=20 \
        -rss_limit_mb=2048 -reduce_inputs=0 -print_final_stats=1 "-artifact_prefix=$broken/" "$kept" \
        "tests/fuzz/corpus/$name" >"$log" 2>&1 || rc=$?
    local runs edges
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(grep -ao 'cov: [0-9]*' "$log" | tail -n 1 | cut -d ' ' -f 2)
    echo "$name: ${runs:-0} executions, ${edges:-0} edges"
    [ $rc = 0 ] && [ "${runs:-0}" -gt 0 ] && return 0
    grep -aE 'ERROR|SUMMARY|Test unit|^    #[0-9]' "$log" | head -n 30
    return 1
}
export -f one
export build seconds

if [ $# = 0 ]; then
    for path in "$build"/tests/fuzz/fuzz_*; do
        [ -f "$path" ] && [ -x "$path" ] && set -- "$@" "${path##*/fuzz_}"
    done
fi
[ $# -gt 0 ] || { echo "run.sh: no targets"; exit 1; }
# shellcheck disable=SC2016 # the inner shell expands it
printf '%s\n' "$@" | xargs -n 1 -P 2 bash -c 'one "$0"'
