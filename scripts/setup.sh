# shellcheck shell=bash
# Sourced by run-demo and run-tests: installs what is missing, builds a release into build/.
# The caller sets top (the repository) and log (a folder for what is not shown).
# SPDX-License-Identifier: GPL-3.0-or-later
: "${top:?}" "${log:?}"
targets=() # of ninja; none: all

# A benchmark setting of the caller's shell would halve OpenBLAS, and a foreign python lacks Debian's modules.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
export PATH="/usr/sbin:/usr/bin:/sbin:/bin:$PATH" LC_ALL=C.UTF-8

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
jobs() { echo "${JOBS:-$(nproc)}"; }

# packages SECTION...: installs those of scripts/packages.txt that are missing.
packages() {
    local sections=" $* " section name missing=()
    command -v dpkg-query >/dev/null || { say "not Debian: see scripts/packages.txt for what is needed"; return 0; }
    while read -r section name _; do
        case "$section" in '' | '#'*) continue ;; esac
        case "$sections" in *" $section "*) ;; *) continue ;; esac
        case " ${missing[*]} " in *" $name "*) continue ;; esac
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done <"$top/scripts/packages.txt"
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing: ${missing[*]}"
    if ! { as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y --no-install-recommends install "${missing[@]}"; } >"$log/apt.log" 2>&1; then
        tail -n 20 "$log/apt.log" >&2
        die "apt-get failed; see $log/apt.log"
    fi
}

# build FOLDER [MESON OPTION...]: configures once, compiles all or what the array targets names; the log is shown only on
# failure. CC, CXX count.
build() {
    local folder=$1
    shift
    local out="$log/${folder##*/}.log"
    if [ ! -f "$folder/build.ninja" ]; then
        meson setup "$folder" "$top" "$@" >"$out" 2>&1 || { tail -n 30 "$out" >&2; return 1; }
    fi
    ninja -C "$folder" -j "$(jobs)" "${targets[@]}" >>"$out" 2>&1 ||
        { grep -E 'error|FAILED|ERROR' "$out" | head -n 30 >&2; tail -n 5 "$out" >&2; return 1; }
}
