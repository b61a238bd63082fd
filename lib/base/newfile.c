/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static int create(const char *part)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, fd = open(part, flags, 0666);
    if (fd < 0 && errno == EEXIST &&
        unlink(part) == 0) /* of a process with our number that is gone */
        fd = open(part, flags, 0666);
    return fd;
}

int at_newfile_open(struct at_newfile *n, const char *path)
{
    static atomic_uint count;
    if ((size_t)snprintf(n->path, sizeof n->path, "%s", path) >= sizeof n->path)
        return -ENAMETOOLONG;
    snprintf(n->part, sizeof n->part, "%s.%ld-%u.part", n->path, (long)getpid(),
             atomic_fetch_add(&count, 1));
    int fd = create(n->part);
    if (fd < 0)
        return -errno;
    n->f = fdopen(fd, "wb");
    if (n->f)
        return 0;
    int error = -errno;
    close(fd);
    unlink(n->part);
    return error;
}

int at_newfile_close(struct at_newfile *n, int error)
{
    if (error == 0 && (fflush(n->f) != 0 || fsync(fileno(n->f)) != 0))
        error = -errno;
    if (error == 0 && ferror(n->f))
        error = -EIO;
    if (fclose(n->f) != 0 && error == 0)
        error = -errno;
    n->f = NULL;
    if (error == 0 && rename(n->part, n->path) < 0)
        error = -errno;
    if (error < 0)
        unlink(n->part);
    return error;
}

int at_newfile_write(const char *path, const void *data, size_t len)
{
    struct at_newfile n;
    int error = at_newfile_open(&n, path);
    if (error < 0)
        return error;
    errno = EIO;
    return at_newfile_close(&n, fwrite(data, 1, len, n.f) == len ? 0 : -errno);
}
