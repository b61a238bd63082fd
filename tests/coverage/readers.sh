#!/bin/bash
# readers.sh BUILD: every line of what reads the bytes of others, and of the ring, runs in its tests. Compiles those files
# alone with --coverage (the rest comes from BUILD, a release), runs their unit tests and the fuzz corpora, and fails
# where more lines of a file stay unrun than this table allows, each for its reason.
# SPDX-License-Identifier: GPL-3.0-or-later
set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD build=$(realpath "$1") work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ATTUNE_SRC=$top ATTUNE_BUILD=$build

# file, lines that no test here runs, why. "no memory": tests/faults/each_call.py makes each of these fail, in release.
files='
lib/source/ring.c 0 -
lib/source/convert.c 0 -
lib/source/iqname.c 0 -
lib/source/sigmf.c 3 a disk that fails (43, 44), no memory for captures
lib/source/wav.c 3 a disk that fails (twice), no memory for chunks
lib/config/yaml.c 8 no memory (6), a signal amid a read, an unreadable file met as root
lib/config/value.c 1 a locale that writes a comma: none is set
lib/config/bandplan.c 1 no memory
lib/config/load.c 4 no memory
lib/model/json.c 0 -
lib/model/safetensors.c 5 a disk that fails (3), a signal amid a read, the sum of sizes that were each checked
'
tests='ring convert iqname sigmf wav file yaml value bandplan config safetensors model'
corpora='config iqname model ring sigmf wav'

flags=(-O0 -g --coverage -w -std=c11 -D_GNU_SOURCE '-DAT_VERSION="0"' '-DAT_DATADIR="/usr/share"' '-DAT_SYSCONFDIR="/etc"'
    '-DAT_STATEDIR="/var"' "-I$top" "-I$build")
# shellcheck disable=SC2054 # commas of the linker's options
libraries=(-Wl,--whole-archive "$build"/lib/kernels/*.a -Wl,--no-whole-archive "$build/libattune.a" -lyaml -ljansson -lfftw3f
    -lm -lpthread -lcmocka)
cd "$work" || exit 1
objects=()
while read -r file _; do
    [ -n "$file" ] || continue
    objects+=("${file//\//_}.o")
    gcc "${flags[@]}" -c -o "${objects[-1]}" "$top/$file" || exit 1
done <<<"$files"

# program NAME SOURCE... -- ARGUMENT...: links and runs it
program() {
    local name=$1 sources=()
    shift
    while [ "$1" != -- ]; do sources+=("$1") && shift; done
    shift
    gcc -O0 -w -std=c11 -D_GNU_SOURCE '-DAT_VERSION="0"' "-I$top" "-I$build" -o "$name" "${sources[@]}" "${objects[@]}" --coverage \
        "${libraries[@]}" || exit 1
    "./$name" "$@" >"$name.log" 2>&1 || { tail -n 20 "$name.log"; echo "$name failed"; exit 1; }
}
for name in $tests; do program "test_$name" "$top/tests/unit/test_$name.c" --; done
for name in $corpora; do
    program "replay_$name" "$top/tests/fuzz/fuzz_$name.c" "$top/tests/fuzz/replay.c" -- "$top/tests/fuzz/corpus/$name"
done

gcovr -r "$top" --object-directory . --csv lines.csv . 2>gcovr.log || { cat gcovr.log; exit 1; }
failed=0
while read -r file allowed why; do
    [ -n "$file" ] || continue
    read -r total covered < <(awk -F, -v f="$file" '$1 == f {print $2, $3}' lines.csv)
    unrun=$((${total:-0} - ${covered:-0}))
    echo "$file: ${covered:-0} of ${total:-0} lines; $unrun unrun, $allowed allowed ($why)"
    if [ "${total:-0}" = 0 ] || [ $unrun -gt "$allowed" ]; then
        failed=1
        gcovr -r "$top" --object-directory . -f "$top/$file" . 2>/dev/null | grep "^$file"
    fi
done <<<"$files"
exit $failed
