#!/bin/sh
# Installs configuration files. One that its owner has changed stays, and the shipped one comes beside it as NAME.new,
# which nothing reads. Usage: install-conf.sh FOLDER FILE...; below $DESTDIR where that is set.
# SPDX-License-Identifier: GPL-3.0-or-later
set -eu
to=${DESTDIR-}${1:?usage: install-conf.sh FOLDER FILE...}
shift
mkdir -p "$to"
for file; do
    there=$to/$(basename "$file")
    if [ -e "$there" ] && ! cmp -s "$file" "$there"; then
        echo "$there is kept; the shipped one is $there.new"
        install -m 644 "$file" "$there.new"
    else
        install -m 644 "$file" "$there"
        rm -f "$there.new"
    fi
done
