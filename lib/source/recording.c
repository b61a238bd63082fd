/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/recording.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"

int at_recording_add(struct at_recording *r, const struct at_segment *segment)
{
    if (r->n_segments == r->cap_segments) {
        size_t cap = r->cap_segments ? 2 * r->cap_segments : 4;
        if (cap > AT_RECORDING_MAX_SEGMENTS)
            return -E2BIG;
        struct at_segment *more = at_mem_array(NULL, AT_MEM_OTHER, cap, sizeof *more);
        if (!more)
            return -ENOMEM;
        if (r->n_segments)
            memcpy(more, r->segments, r->n_segments * sizeof *more);
        at_mem_free(NULL, r->segments);
        r->segments = more;
        r->cap_segments = cap;
    }
    r->segments[r->n_segments++] = *segment;
    return 0;
}

int at_recording_add_rest(const char *path, uint64_t offset, uint64_t size, struct at_error *err,
                          struct at_recording *r)
{
    size_t bytes = at_iq_format_size(r->format);
    uint64_t rest = size - offset;
    if (rest < bytes)
        return at_error_set(err, -EINVAL, "%s: empty: no %s sample in %llu bytes", path,
                            at_iq_format_name(r->format), (unsigned long long)rest);
    if (rest % bytes)
        snprintf(r->message, sizeof r->message,
                 "%llu bytes at the end make no whole %s sample and are left out",
                 (unsigned long long)(rest % bytes), at_iq_format_name(r->format));
    struct at_segment s = {.offset = offset, .n = rest / bytes};
    int code = at_recording_add(r, &s);
    return code < 0 ? at_error_set(err, code, "%s: no memory", path) : 0;
}

void at_recording_finish(struct at_recording *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    at_mem_free(NULL, r->segments);
    r->segments = NULL;
    r->n_segments = r->cap_segments = 0;
}

int at_recording_open_fd(const char *path, struct at_error *err, int *ret_fd, uint64_t *ret_size,
                         bool *ret_stream)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int code = -errno;
        const char *remedy = code == -ENOENT   ? "; check the path"
                             : code == -EACCES ? "; check its permissions"
                                               : "";
        return at_error_set(err, code, "%s: %s%s", path, strerror(-code), remedy);
    }
    struct stat st;
    if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode)) {
        int code = S_ISDIR(st.st_mode) ? -EISDIR : -EIO;
        close(fd);
        return at_error_set(err, code, "%s: %s; name a recording", path, strerror(-code));
    }
    *ret_fd = fd;
    *ret_stream = !S_ISREG(st.st_mode);
    *ret_size = *ret_stream ? 0 : (uint64_t)st.st_size;
    return 0;
}

int at_recording_pread(int fd, void *buf, size_t n, uint64_t offset)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)buf + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -EIO : -ENODATA;
        done += (size_t)got;
    }
    return 0;
}

void at_recording_copy_text(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (; text[n] && n + 1 < size; n++)
        out[n] = (unsigned char)text[n] < 0x20 || text[n] == 0x7f ? ' ' : text[n];
    /* A multi-byte character is not cut in two. */
    if (text[n])
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    out[n] = 0;
}
