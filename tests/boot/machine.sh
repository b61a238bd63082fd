#!/bin/bash
# Boots systemd as PID 1 over an overlay of LOWER, whose changes live in memory and go with it: nothing of the host is
# changed. Started by machine.py in namespaces of its own (mount, pid, net, uts, ipc, cgroup).
# Usage: machine.sh FOLDER LOWER PREPARE...; the command PREPARE gets the new root's path as its last argument.
# SPDX-License-Identifier: GPL-3.0-or-later
set -e
folder=$1 lower=$2
shift 2
root=$folder/root
mount --make-rprivate /
mkdir -p "$folder/memory" "$root"
mount -t tmpfs -o size=2g memory "$folder/memory"
mkdir "$folder/memory/upper" "$folder/memory/work"
mount -t overlay -o "lowerdir=$lower,upperdir=$folder/memory/upper,workdir=$folder/memory/work" machine "$root"

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/dev/bus/usb/001"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
# What the sandbox must refuse, and a USB device that it must not.
mknod "$root/dev/mem" c 1 1
mknod "$root/dev/vda" b 254 0
mknod -m 660 "$root/dev/bus/usb/001/002" c 189 1
chgrp plugdev "$root/dev/bus/usb/001/002"

# Only what attuned needs is started beside it: no devices, disks, consoles or timers of the host.
units=$root/lib/systemd/system
rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/systemd/system/*.requires "$units"/*.target.wants
mkdir "$units/sysinit.target.wants"
for unit in systemd-journald.service systemd-sysusers.service systemd-tmpfiles-setup.service; do
    ln -s "../$unit" "$units/sysinit.target.wants/$unit"
done
ln -sf multi-user.target "$units/default.target"
: >"$root/etc/fstab"
rm -rf "$root"/var/log/journal
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
"$@" "$root"

cd "$root"
mkdir -p old
pivot_root . old
cd /
umount -l /old
rmdir /old
mount --make-rshared /
exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=journal \
    --show-status=no
