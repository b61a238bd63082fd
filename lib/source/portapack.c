/* The text beside a PortaPack's .C16 or .C8, a line "key=value" each. Source:
 * portapack-mayhem/mayhem-firmware, firmware/application/metadata_file.cpp.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "lib/source/recording.h"

#define TEXT_MAX 4096

struct text {
    char path[4096];
    unsigned line;
    const struct at_file_options *flags;
    struct at_error *err;
    struct at_recording *r;
};

/* CAPTURE.C16 -> CAPTURE.TXT, or .txt; false where there is none. */
static bool find_text(const char *path, char out[4096])
{
    static const char *const ends[] = {"TXT", "txt"};
    const char *dot = strrchr(path, '.');
    if (!dot || (strcasecmp(dot, ".c16") != 0 && strcasecmp(dot, ".c8") != 0))
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        struct stat st;
        int n = snprintf(out, 4096, "%.*s%s", (int)(dot + 1 - path), path, ends[i]);
        if (n > 0 && n < 4096 && stat(out, &st) == 0 && S_ISREG(st.st_mode))
            return true;
    }
    return false;
}

static int take_value(const struct text *t, const char *key, const char *value, double most,
                      const char *remedy, double *ret)
{
    char shown[24];
    bool digits = *value && value[strspn(value, "0123456789")] == 0;
    double hz = digits ? strtod(value, NULL) : 0;
    if (hz >= 1 && hz <= most) {
        *ret = hz;
        return 0;
    }
    at_recording_copy_text(shown, sizeof shown, value);
    return at_error_set(t->err, -EINVAL, "%s:%u: %s=%s is no whole number of Hz from 1 to %g; %s",
                        t->path, t->line, key, shown, most, remedy);
}

/* What a flag says needs no look. Other keys (latitude and such) are nothing to us. */
static int take_line(const struct text *t, char *line)
{
    char *equals = strchr(line, '=');
    bool has_center = !isnan(t->flags->center_hz) && t->flags->center_hz != 0;
    if (!equals)
        return 0;
    *equals = 0;
    if (strcmp(line, "sample_rate") == 0 && !(t->flags->rate_hz > 0))
        return take_value(t, line, equals + 1, AT_RATE_MAX_HZ, "say --rate 500k", &t->r->rate_hz);
    if (strcmp(line, "center_frequency") == 0 && !has_center)
        return take_value(t, line, equals + 1, AT_CENTER_MAX_HZ, "say --freq 433.92M",
                          &t->r->center_hz);
    return 0;
}

int at_portapack_read(const char *path, const struct at_file_options *flags, struct at_error *err,
                      struct at_recording *r)
{
    struct text t = {.line = 1, .flags = flags, .err = err, .r = r};
    struct at_recording owner = {.fd = -1};
    char text[TEXT_MAX + 1];
    uint64_t size;
    bool stream;
    if (!find_text(path, t.path))
        return 0;
    int code = at_recording_open_fd(t.path, err, &owner.fd, &size, &stream);
    if (code < 0)
        return code;
    size_t n = size < TEXT_MAX ? (size_t)size : TEXT_MAX;
    code = at_recording_pread(owner.fd, text, n, 0);
    at_recording_finish(&owner);
    if (code < 0)
        return at_error_set(err, code, "%s: cannot be read; check the disk", t.path);
    text[n] = 0;
    for (char *line = text, *next; code == 0 && line; line = next, t.line++) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line[strcspn(line, "\r")] = 0;
        code = take_line(&t, line);
    }
    return code;
}
