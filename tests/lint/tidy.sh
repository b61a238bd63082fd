#!/bin/bash
# tidy.sh BUILD: clang-tidy (.clang-tidy) over the sources of a build made with clang; what the build wrote is left out.
# SPDX-License-Identifier: GPL-3.0-or-later
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -f "${1:?usage: tidy.sh BUILD}/compile_commands.json" ] || { echo "tidy.sh: $1 is no build: no compile_commands.json"; exit 2; }
jq -r '.[].file | select(startswith("../")) | .[3:]' "$1/compile_commands.json" |
    grep -E '^(lib|backends|daemon|tools)/.*\.c$' | sort -u |
    xargs -r -n 4 -P "${JOBS:-$(nproc)}" clang-tidy -p "$1" --quiet
