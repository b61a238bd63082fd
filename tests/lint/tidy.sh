#!/bin/bash
# tidy.sh BUILD: clang-tidy (.clang-tidy) over the sources of a build made with clang; what the build wrote is left out.
# SPDX-License-Identifier: GPL-3.0-or-later
cd "$(dirname "$0")/../.." || exit 1
jq -r '.[].file | select(startswith("../")) | .[3:]' "$1/compile_commands.json" |
    grep -E '^(lib|backends|daemon|tools)/.*\.c$' | sort -u |
    xargs -r -n 4 -P "${JOBS:-$(nproc)}" clang-tidy -p "$1" --quiet
