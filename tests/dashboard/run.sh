#!/bin/bash
# The dashboard in Chromium with Playwright from npm, kept beside the build. Usage: run.sh BUILD [check.mjs|pictures.mjs FOLDER]
# SPDX-License-Identifier: GPL-3.0-or-later
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: run.sh BUILD [SCRIPT ARGUMENT...]}" && pwd)
script=${2:-check.mjs}
work=$build/dashboard-test
shift
[ $# = 0 ] || shift
mkdir -p "$work"
cp "$here"/*.mjs "$here"/package.json "$here"/package-lock.json "$work"/
[ -d "$work/node_modules/playwright-core" ] ||
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm --prefix "$work" ci --silent --no-audit --no-fund --ignore-scripts
export ATTUNE_TOP=${ATTUNE_TOP:-$(cd "$here/../.." && pwd)}
exec node "$work/$script" "$build" "$@"
