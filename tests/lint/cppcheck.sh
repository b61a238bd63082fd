#!/bin/bash
# cppcheck over our sources: warnings, portability and performance; style is clang-tidy's.
# SPDX-License-Identifier: GPL-3.0-or-later
cd "$(dirname "$0")/../.." || exit 1
exec cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --language=c -j "${JOBS:-$(nproc)}" \
    --enable=warning,portability,performance --suppress=missingIncludeSystem --suppress=unknownMacro \
    -D_GNU_SOURCE '-DAT_VERSION="0"' -I . lib backends daemon tools
