#!/bin/bash
# The NEON kernels' numbers, under qemu-user: unit, parity and golden tests of kernels, backends, encoder and selector, built
# for aarch64. By hand, as root the first time (packages); no word about speed. Usage: tests/cross/neon.sh [FOLDER]
# SPDX-License-Identifier: GPL-3.0-or-later
set -eu
cd "$(dirname "$0")/../.."
folder=${1:-build-neon}
tests='kernels selector histogram backends_parity backends_encoder'

if ! command -v aarch64-linux-gnu-gcc qemu-aarch64-static >/dev/null ||
    [ ! -e /usr/lib/aarch64-linux-gnu/libjansson.so ]; then
    dpkg --add-architecture arm64
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static \
        libfftw3-dev:arm64 libyaml-dev:arm64 libjansson-dev:arm64 libcmocka-dev:arm64
fi
# Kernels have vectors of their own; Debian 12's cross gcc 12.2 breaks (ICE) where it vectorises lib/model/decide.c.
[ -e "$folder/build.ninja" ] || meson setup "$folder" --cross-file tests/cross/aarch64.ini \
    -Dsoapy=disabled -Dhttp=disabled -Dsystemd=disabled -Dpicture=disabled -Dc_args=-fno-tree-loop-vectorize
ninja -C "$folder" tests/unit/test_kernels tests/unit/test_selector tests/unit/test_histogram \
    tests/backends/test_backends_parity tests/backends/test_backends_encoder
# shellcheck disable=SC2086
meson test -C "$folder" --no-rebuild --timeout-multiplier 20 --print-errorlogs $tests
