#!/bin/bash
# format.sh [--fix]: whether every source is laid out as .clang-format says (clang-format 14, Debian 12's); --fix lays it out.
# SPDX-License-Identifier: GPL-3.0-or-later
set -euo pipefail
cd "$(dirname "$0")/../.."
how=(--dry-run --Werror)
case ${1:-} in
--fix) how=(-i) ;;
'') ;;
*) echo "usage: format.sh [--fix]" && exit 2 ;;
esac
find backends conf daemon lib soapy-sim tests tools \( -name '*.[ch]' -o -name '*.cpp' \) -print0 |
    xargs -0 -r -n 16 -P "${JOBS:-$(nproc)}" clang-format "${how[@]}"
