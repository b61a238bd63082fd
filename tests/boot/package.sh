#!/bin/bash
# Builds the Debian packages of this tree in a copy of it, and lets lintian look at them. Usage: package.sh OUT
# SPDX-License-Identifier: GPL-3.0-or-later
set -e
out=$1
mkdir -p "$out/tree"
# What git would take along; in a released tree, all but builds.
if git rev-parse --git-dir >/dev/null 2>&1; then
    # shellcheck disable=SC2016 # it is the inner shell's
    git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' - |
        tar -c --null -T - | tar -x -C "$out/tree"
else
    tar -c --exclude='./build*' --exclude=./.git . | tar -x -C "$out/tree"
fi
cd "$out/tree"
export DEB_BUILD_OPTIONS="noautodbgsym parallel=${JOBS:-$(nproc)}" LC_ALL=C.UTF-8
dpkg-buildpackage --build=binary --no-sign
cd ..
# A first upload to Debian closes a bug of Debian's; this is none.
lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs --allow-root ./*.changes
ls -l ./*.deb
