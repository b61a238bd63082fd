/* Small files in a folder of their own, for the tests of lib/source.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_SOURCE_FILES_H
#define AT_TESTS_SOURCE_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/source/source.h"

static char folder[64];

static inline int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/attune-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

/* Writes the file and returns its path, good until the fourth next call. */
static inline const char *put(const char *name, const void *data, size_t n)
{
    static char paths[4][160];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline struct at_source *open_good(const char *path, const struct at_file_options *o)
{
    struct at_error err = {{0}};
    struct at_source *s = NULL;
    int r = at_source_open_file(path, o, &err, &s);
    if (r != 0)
        fail_msg("%s: %d: %s", path, r, err.text);
    assert_int_equal(s->ops->start(s, &err), 0);
    return s;
}

/* Opening must fail with code, in one line that names the file and holds the remedy. */
static inline void open_bad(const char *path, const struct at_file_options *o, int code,
                            const char *remedy)
{
    struct at_error err = {{0}};
    struct at_source *s = (struct at_source *)&err;
    int r = at_source_open_file(path, o, &err, &s);
    if (r != code || !strstr(err.text, remedy) || strchr(err.text, '\n'))
        fail_msg("%s: %d \"%s\", expected %d and \"%s\"", path, r, err.text, code, remedy);
    assert_ptr_equal(s, &err); /* untouched */
    if (path[0] == '/' && !strstr(err.text, strrchr(path, '/')))
        print_message("note: \"%s\" does not name %s\n", err.text, path);
}

/* Reads all into iq (max, 2); returns the count. The ledger must balance and the index never run
 * back. */
static inline size_t read_all(struct at_source *s, float *iq, size_t max, size_t chunk)
{
    struct at_read got;
    struct at_error err = {{0}};
    size_t n = 0;
    uint64_t end = 0;
    for (;;) {
        size_t room = max - n < chunk ? max - n : chunk;
        int r = s->ops->read(s, iq + 2 * n, room, 1000, &got, &err);
        if (r == -ENODATA || room == 0)
            break;
        if (r != 0)
            fail_msg("read: %d %s", r, err.text);
        assert_true(got.index >= end);
        end = got.index + got.n;
        n += got.n;
    }
    struct at_ledger l;
    s->ops->get_ledger(s, &l);
    uint64_t sum = l.delivered;
    for (int i = 0; i < AT_LOST_REASONS; i++)
        sum += l.lost[i];
    if (sum != l.requested || end != l.requested)
        fail_msg("ledger: requested %llu, delivered + lost %llu, index %llu",
                 (unsigned long long)l.requested, (unsigned long long)sum, (unsigned long long)end);
    return n;
}

#endif
