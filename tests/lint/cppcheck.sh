#!/bin/bash
# cppcheck over our sources: warnings, portability and performance; style is for clang-tidy. uninitvar is off: 2.10 takes
# an address handed to a function that fills it for a use; the compilers and sanitizers look for that.
# SPDX-License-Identifier: GPL-3.0-or-later
cd "$(dirname "$0")/../.." || exit 1
exec cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --language=c -j "${JOBS:-$(nproc)}" \
    --enable=warning,portability,performance --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=uninitvar --suppress=invalidPointerCast \
    -D_GNU_SOURCE '-DAT_VERSION="0"' -I . lib backends daemon tools
