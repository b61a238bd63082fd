#!/bin/bash
# tidy.sh BUILD: clang-tidy (.clang-tidy) over the sources of a build made with clang.
# SPDX-License-Identifier: GPL-3.0-or-later
cd "$(dirname "$0")/../.." || exit 1
jq -r '.[].file' "$1/compile_commands.json" | sed 's|^\.\./||' | grep -E '^(lib|backends|daemon|tools)/.*\.c$' | sort -u |
    xargs -r -n 4 -P "${JOBS:-$(nproc)}" clang-tidy -p "$1" --quiet
