/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/systemd.h"

#ifdef AT_HAVE_SYSTEMD

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include "lib/base/clock.h"

int64_t at_systemd_watchdog_ns(void)
{
    uint64_t us = 0;
    return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)us * 500 : 0;
}

void at_systemd_ready(void)
{
    sd_notify(0, "READY=1");
}

void at_systemd_reloading(void)
{
    /* The time tells systemd which READY=1 belongs to this reload. */
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(at_clock_mono_ns() / 1000));
}

void at_systemd_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void at_systemd_status(const char *text)
{
    sd_notifyf(0, "STATUS=%s", text);
}

void at_systemd_feed(void)
{
    sd_notify(0, "WATCHDOG=1");
}

int at_systemd_take_listener(struct at_error *err)
{
    int n = sd_listen_fds(1), fd = SD_LISTEN_FDS_START;
    if (n <= 0)
        return 0;
    if (n > 1)
        return at_error_set(err, -EINVAL,
                            "attuned.socket passes %d sockets and one is served; leave one "
                            "ListenStream= in it (systemctl cat attuned.socket)",
                            n);
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
        return at_error_set(err, -EINVAL,
                            "what attuned.socket passes is no listening stream socket; it needs "
                            "ListenStream= and Accept=no");
    return fd;
}

bool at_systemd_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && !fstat(fd, &st) &&
           st.st_dev == device && st.st_ino == inode;
}

int at_systemd_journal(const struct iovec *fields, size_t n)
{
    return sd_journal_sendv(fields, (int)n);
}

#else

int64_t at_systemd_watchdog_ns(void)
{
    return 0;
}

void at_systemd_ready(void)
{
}

void at_systemd_reloading(void)
{
}

void at_systemd_stopping(void)
{
}

void at_systemd_status(const char *text)
{
}

void at_systemd_feed(void)
{
}

int at_systemd_take_listener(struct at_error *err)
{
    return 0;
}

bool at_systemd_is_journal(int fd)
{
    return false;
}

int at_systemd_journal(const struct iovec *fields, size_t n)
{
    return -ENOSYS;
}

#endif
