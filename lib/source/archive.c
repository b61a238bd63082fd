/* SigMF archives: a tar with a recording's two files in it, which stay where they are. Sources:
 * SigMF 1.2, "SigMF Archives"; POSIX.1-2017, pax ("ustar Interchange Format", "pax Header Block");
 * GNU tar's long names and binary sizes. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/source/archive.h"

#include <stdlib.h>
#include <string.h>

#include "lib/source/recording.h"

#define BLOCK       512
#define MEMBERS_MAX (1u << 16)
#define EXTRA_MAX   4096 /* of a pax header or a long name */

enum kind { UNKNOWN, META, DATA, OTHER };

struct tar {
    const char *path;
    int fd;
    uint64_t size;
    struct at_error *err;
    /* what a header in front said of the member: UNKNOWN, UINT64_MAX and false where nothing */
    enum kind kind;
    uint64_t member_size;
    bool sparse;
    unsigned metas, datas;
    struct at_archive found;
};

static int refuse(const struct tar *t, uint64_t at, const char *why)
{
    return at_error_set(t->err, -EINVAL, "%s: %s at byte %llu; unpack it: tar -xf %s", t->path, why,
                        (unsigned long long)at, t->path);
}

/* name: n bytes, or up to a zero. macOS' tar puts a "._x.sigmf-data" beside x.sigmf-data. */
static enum kind kind_of(const char *name, size_t n)
{
    static const char meta[] = ".sigmf-meta", data[] = ".sigmf-data";
    const size_t m = sizeof meta - 1;
    n = strnlen(name, n);
    size_t base = n;
    while (base > 0 && name[base - 1] != '/')
        base--;
    if (n - base < m || strncmp(name + base, "._", 2) == 0)
        return OTHER;
    const char *end = name + n - m;
    return strncmp(end, meta, m) == 0 ? META : strncmp(end, data, m) == 0 ? DATA : OTHER;
}

/* Octal digits, or GNU's big-endian bytes behind 0x80. UINT64_MAX: neither, or no such size can be.
 */
static uint64_t parse_number(const unsigned char *p, size_t n)
{
    uint64_t x = 0;
    size_t i = 0;
    if (p[0] == 0x80) {
        for (i = 1; i < n && x >> 55 == 0; i++)
            x = x << 8 | p[i];
        return i < n ? UINT64_MAX : x;
    }
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        x = x << 3 | (uint64_t)(p[i] - '0');
    return i < n && p[i] != 0 && p[i] != ' ' ? UINT64_MAX : x;
}

static bool is_header(const unsigned char b[BLOCK])
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : b[i];
    return parse_number(b + 148, 8) == sum;
}

static bool is_zero(const unsigned char b[BLOCK])
{
    size_t i = 0;
    while (i < BLOCK && b[i] == 0)
        i++;
    return i == BLOCK;
}

/* Records "LENGTH key=value\n"; p ends in a zero. */
static void parse_pax(struct tar *t, const char *p, size_t n)
{
    while (n > 0) {
        char *space;
        unsigned long length = strtoul(p, &space, 10);
        size_t skip = (size_t)(space - p) + 1;
        if (*space != ' ' || length > n || length < skip + 6)
            return;
        if (strncmp(space + 1, "size=", 5) == 0)
            t->member_size = strtoull(space + 6, NULL, 10);
        if (strncmp(space + 1, "GNU.sparse.", 11) == 0)
            t->sparse = true;
        if (strncmp(space + 1, "path=", 5) == 0)
            t->kind = kind_of(space + 6, length - skip - 6);
        p += length;
        n -= length;
    }
}

/* What says something of the member behind it: pax' x, GNU's L. */
static int take_extra(struct tar *t, char type, uint64_t at, uint64_t n)
{
    char text[EXTRA_MAX + 1];
    if (n > EXTRA_MAX || n > t->size - at)
        return refuse(t, at, "a header that is too long");
    if (at_recording_pread(t->fd, text, (size_t)n, at) < 0)
        return at_error_set(t->err, -EIO, "%s: cannot be read; check the disk", t->path);
    text[n] = 0;
    if (type == 'x')
        parse_pax(t, text, (size_t)n);
    else
        t->kind = kind_of(text, (size_t)n);
    return 0;
}

static int take_member(struct tar *t, const unsigned char *head, uint64_t at, uint64_t n)
{
    enum kind kind = t->kind ? t->kind : kind_of((const char *)head, 100);
    bool plain = !t->sparse && (head[156] == '0' || head[156] == 0 || head[156] == '7');
    uint64_t rest = t->size - at;
    t->sparse = false;
    t->kind = UNKNOWN;
    t->member_size = UINT64_MAX;
    if (kind == OTHER)
        return 0;
    if (!plain)
        return refuse(t, at - BLOCK, "a member that is no plain file");
    if (kind == META && n > rest)
        return refuse(t, at, "metadata that goes beyond the file's end");
    struct at_archive_part part = {.offset = at, .size = n < rest ? n : rest};
    *(kind == META ? &t->found.meta : &t->found.data) = part;
    *(kind == META ? &t->metas : &t->datas) += 1;
    if (kind == DATA)
        t->found.missing = n - part.size;
    return 0;
}

/* One header and what belongs to it; *at moves behind them, to the file's end at most. */
static int take_block(struct tar *t, uint64_t *at, bool *ret_end)
{
    unsigned char head[BLOCK];
    if (at_recording_pread(t->fd, head, BLOCK, *at) < 0)
        return at_error_set(t->err, -EIO, "%s: cannot be read; check the disk", t->path);
    if ((*ret_end = is_zero(head)))
        return 0;
    if (!is_header(head))
        return refuse(t, *at, *at ? "no tar header" : "compressed, or no tar: no header");
    char type = (char)head[156];
    bool extra = type == 'x' || type == 'L';
    uint64_t n =
        extra || t->member_size == UINT64_MAX ? parse_number(head + 124, 12) : t->member_size;
    if (n == UINT64_MAX)
        return refuse(t, *at + 124, "a size that can't be");
    *at += BLOCK;
    int r = extra ? take_extra(t, type, *at, n) : type == 'g' ? 0 : take_member(t, head, *at, n);
    uint64_t rest = t->size - *at;
    *at = n < rest && rest - n > (BLOCK - n % BLOCK) % BLOCK ? *at + n + (BLOCK - n % BLOCK) % BLOCK
                                                             : t->size;
    return r;
}

int at_archive_find(const char *path, int fd, uint64_t size, struct at_error *err,
                    struct at_archive *ret)
{
    struct tar t = {.path = path, .fd = fd, .size = size, .err = err, .member_size = UINT64_MAX};
    bool end = false;
    uint64_t at = 0;
    for (unsigned i = 0; !end && size - at >= BLOCK; i++) {
        int r =
            i < MEMBERS_MAX ? take_block(&t, &at, &end) : refuse(&t, at, "more than 65536 members");
        if (r < 0)
            return r;
    }
    if (t.metas != 1 || t.datas != 1)
        return at_error_set(err, -EINVAL,
                            "%s: %u .sigmf-meta and %u .sigmf-data in it, not one of each; unpack "
                            "it and name one: tar -xf %s",
                            path, t.metas, t.datas, path);
    *ret = t.found;
    return 0;
}
