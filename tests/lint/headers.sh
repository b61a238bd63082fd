#!/bin/bash
# headers.sh ROOT CC [FLAG...]: each header of ours compiles alone, and twice. A _tmpl.h is a body, made by its includer.
# SPDX-License-Identifier: GPL-3.0-or-later
set -u
root=$1
shift
cd "$root" || exit 1
passed=0 failed=0
while IFS= read -r header; do
    if printf '#include "%s"\n#include "%s"\ntypedef int at_not_empty;\n' "$header" "$header" |
        "$@" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-parameter -I. -fsyntax-only -x c -; then
        passed=$((passed + 1))
    else
        echo "FAILED: $header"
        failed=$((failed + 1))
    fi
done < <(find lib backends daemon tools tests -name '*.h' ! -name '*_tmpl.h' | sort)
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
