#!/bin/bash
# afl.sh TARGET [SECONDS]: the fuzz target under AFL++ (persistent, in memory: its driver calls LLVMFuzzerTestOneInput),
# from corpus/TARGET, for SECONDS (60). Says executions and crashes; findings stand in build-afl/found/TARGET.
# SPDX-License-Identifier: GPL-3.0-or-later
set -u
cd "$(dirname "$0")/../.." || exit 1
[ $# -ge 1 ] || { echo "usage: afl.sh TARGET [SECONDS]"; exit 2; }
name=$1 seconds=${2:-60} found=build-afl/found/$1
export AFL_QUIET=1 AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1
if [ ! -f build-afl/build.ninja ]; then
    CC=afl-clang-fast CXX=afl-clang-fast++ meson setup build-afl -Dfuzz=true -Dbuildtype=release >/dev/null || exit 1
fi
ninja -C build-afl -j "${JOBS:-$(nproc)}" "tests/fuzz/fuzz_$name" >build-afl/fuzz.log 2>&1 ||
    { tail -n 20 build-afl/fuzz.log; exit 1; }
mkdir -p "$found"
timeout "$((seconds + 60))" afl-fuzz -V "$seconds" -i "tests/fuzz/corpus/$name" -o "$found" -- \
    "build-afl/tests/fuzz/fuzz_$name" >build-afl/afl.log 2>&1 || { tail -n 20 build-afl/afl.log; exit 1; }
grep -E '^(execs_done|saved_crashes|saved_hangs|edges_found)' "$found/default/fuzzer_stats"
grep -q '^saved_crashes *: 0$' "$found/default/fuzzer_stats"
