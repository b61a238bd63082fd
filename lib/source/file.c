/* Recordings as a source: what the file says about itself, then its samples at the speed that was
 * asked for. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/source/iqname.h"
#include "lib/source/recording.h"
#include "lib/source/source.h"

#define RAW_SAMPLES   32768
#define PACED_BLOCK_S 0.010 /* as a radio's driver would deliver */
#define CENTURY_S     3.15e9
#define SLICE_MS      100 /* how late a stop is seen */

struct file_source {
    struct at_source base;
    struct at_recording rec;
    struct at_source_info info;
    bool paced, loop;
    _Atomic bool stopped;
    _Atomic int state;
    /* reading thread */
    size_t segment;
    uint64_t done;      /* samples of the segment that were read */
    uint64_t round;     /* index of this round's first sample, when looping */
    uint64_t end_index; /* one past the newest sample delivered */
    uint64_t round_length;
    int64_t start_ns;
    size_t held; /* bytes of a stream that made no whole sample yet */
    unsigned char *raw;
    _Atomic uint64_t delivered, gap, corrupt, gap_events, corrupt_events;
};

static const struct at_source_ops file_ops;

static struct file_source *self(struct at_source *s)
{
    return (struct file_source *)s;
}

/* ---- opening ---- */

static bool has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n > m && strcasecmp(path + n - m, suffix) == 0;
}

/* The .sigmf-meta that path stands for; "" where it is no SigMF. 0 or -ENAMETOOLONG. */
static int find_sigmf_meta(const char *path, char out[4096])
{
    struct stat st;
    int n = 0;
    out[0] = 0;
    if (has_suffix(path, ".sigmf-meta"))
        n = snprintf(out, 4096, "%s", path);
    else if (has_suffix(path, ".sigmf-data"))
        n = snprintf(out, 4096, "%.*s-meta", (int)(strlen(path) - 5), path);
    else if (stat(path, &st) < 0)
        n = snprintf(out, 4096, "%s.sigmf-meta", path);
    if (n < 0 || n >= 4096)
        return -ENAMETOOLONG;
    if (n > 0 && !has_suffix(path, ".sigmf-meta") && !has_suffix(path, ".sigmf-data") &&
        stat(out, &st) < 0)
        out[0] = 0;
    return 0;
}

static bool is_riff(int fd)
{
    char magic[4];
    return at_recording_pread(fd, magic, 4, 0) == 0 &&
           (memcmp(magic, "RIFF", 4) == 0 || memcmp(magic, "RF64", 4) == 0 ||
            memcmp(magic, "BW64", 4) == 0);
}

static int take_raw(const char *path, uint64_t size, int format, struct at_error *err,
                    struct at_recording *r)
{
    if (format < 0)
        return at_error_set(err, -EINVAL, "%s: unknown format; say --format " AT_IQ_FORMAT_NAMES,
                            path);
    r->format = (enum at_iq_format)format;
    if (!r->stream)
        return at_recording_add_rest(path, 0, size, err, r);
    struct at_segment s = {.n = UINT64_MAX};
    return at_recording_add(r, &s);
}

typedef int parse_header(const char *path, uint64_t size, struct at_error *err,
                         struct at_recording *r);

/* Of a file with a header that says it all; NULL: raw. Its name tells, or else its first bytes. */
static parse_header *find_header(const char *path, const struct at_recording *r, int name_format)
{
    static const struct {
        const char *suffix;
        parse_header *parse;
    } known[] = {{".wav", at_wav_parse}, {".sdriq", at_sdriq_parse}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (has_suffix(path, known[i].suffix))
            return known[i].parse;
    return name_format < 0 && is_riff(r->fd) ? at_wav_parse : NULL;
}

/* Fills rec from the file and its name; what the caller's flags say comes afterwards. */
static int open_recording(const char *path, const struct at_file_options *o, int format,
                          struct at_error *err, struct at_recording *rec)
{
    char meta[4096];
    uint64_t size = 0;
    if (strcmp(path, "-") == 0) {
        rec->stream = true;
        rec->fd = dup(STDIN_FILENO);
        if (rec->fd < 0)
            return at_error_set(err, -errno, "standard input is closed");
        return take_raw("standard input", 0, format, err, rec);
    }
    if (find_sigmf_meta(path, meta) < 0)
        return at_error_set(err, -ENAMETOOLONG, "the path is too long: %.80s...", path);
    rec->format = format >= 0 ? (enum at_iq_format)format : AT_IQ_CU8;
    if (meta[0])
        return at_sigmf_open(meta, o, err, rec);
    int r = at_recording_open_fd(path, err, &rec->fd, &size, &rec->stream);
    if (r < 0)
        return r;
    if (!rec->stream && has_suffix(path, ".sigmf"))
        return at_sigmf_open_archive(path, size, o, err, rec);
    struct at_iq_name name;
    at_iq_name_parse(path, &name);
    parse_header *parse = rec->stream || o->format ? NULL : find_header(path, rec, name.format);
    r = parse ? parse(path, size, err, rec)
              : take_raw(path, size, format >= 0 ? format : name.format, err, rec);
    if (r == 0 && !parse)
        r = at_portapack_read(path, o, err, rec);
    if (rec->rate_hz == 0)
        rec->rate_hz = name.rate_hz;
    if (rec->center_hz == 0)
        rec->center_hz = name.center_hz;
    if (rec->start_utc_ns == 0)
        rec->start_utc_ns = name.start_utc_ns;
    return r;
}

/* The metadata that may be the raw file's own, as attune synth writes it: its name with another
 * end. */
static bool has_meta_beside(const char *path, char out[4096])
{
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    if (!dot || (slash && dot < slash))
        return false;
    int n = snprintf(out, 4096, "%.*s.sigmf-meta", (int)(dot - path), path);
    return n > 0 && n < 4096 && access(out, R_OK) == 0;
}

/* Flags win; then every segment knows its centre. */
static int apply_flags(const char *path, const struct at_file_options *o, struct at_error *err,
                       struct at_recording *rec)
{
    if (o->rate_hz > 0)
        rec->rate_hz = o->rate_hz;
    char meta[4096];
    if (!(rec->rate_hz > 0) && has_meta_beside(path, meta))
        return at_error_set(err, -EINVAL, "%s: unknown sample rate; say --rate 250k, or read %s",
                            path, meta);
    if (!(rec->rate_hz > 0))
        return at_error_set(err, -EINVAL, "%s: unknown sample rate; say --rate 250k", path);
    if (rec->rate_hz > AT_RATE_MAX_HZ || rec->rate_hz < 1)
        return at_error_set(err, -EINVAL, "%s: a rate of %g S/s is absurd; say --rate 250k", path,
                            rec->rate_hz);
    bool forced = !isnan(o->center_hz) && o->center_hz != 0;
    if (forced)
        rec->center_hz = o->center_hz;
    for (size_t i = 0; i < rec->n_segments; i++)
        if (forced || rec->segments[i].center_hz == 0)
            rec->segments[i].center_hz = rec->center_hz;
    return 0;
}

static void fill_info(struct file_source *f, const char *path)
{
    const struct at_recording *rec = &f->rec;
    const struct at_segment *last = &rec->segments[rec->n_segments - 1];
    f->round_length = rec->stream ? 0 : last->index + last->n;
    f->info = (struct at_source_info){
        .rate_hz = rec->rate_hz,
        .center_hz = rec->center_hz,
        .n_samples = f->loop ? 0 : f->round_length,
        .start_utc_ns = rec->start_utc_ns,
        .assumed_floor_dbfs_hz = at_iq_format_floor(rec->format, rec->full_scale, rec->rate_hz),
    };
    for (size_t i = rec->n_segments; i-- > 0;)
        if (rec->center_hz != 0 && rec->segments[i].center_hz != rec->center_hz)
            f->info.other_center_hz = rec->segments[i].center_hz;
    snprintf(f->info.format, sizeof f->info.format, "%s", at_iq_format_name(rec->format));
    const char *slash = strrchr(path, '/');
    const char *name = strcmp(path, "-") == 0 ? "stdin" : slash ? slash + 1 : path;
    at_recording_copy_text(f->info.name, sizeof f->info.name, name);
    snprintf(f->info.hardware, sizeof f->info.hardware, "%s", rec->hardware);
    snprintf(f->info.message, sizeof f->info.message, "%s", rec->message);
}

int at_source_open_file(const char *path, const struct at_file_options *options,
                        struct at_error *err, struct at_source **ret_source)
{
    struct at_file_options o = options ? *options : (struct at_file_options){.center_hz = NAN};
    int format = at_iq_format_from_name(o.format);
    if (o.format && format < 0)
        return at_error_set(err, -EINVAL, "format \"%.20s\" is unknown; say " AT_IQ_FORMAT_NAMES,
                            o.format);
    if (o.rate_hz < 0 || isnan(o.rate_hz) || isinf(o.center_hz))
        return at_error_set(err, -EINVAL, "%s: rate and frequency must be finite and positive",
                            path);
    struct file_source *f = at_mem_alloc(NULL, AT_MEM_OTHER, sizeof *f);
    if (!f)
        return at_error_set(err, -ENOMEM, "no memory");
    f->base.ops = &file_ops;
    f->rec.fd = -1;
    int r = open_recording(path, &o, format, err, &f->rec);
    if (r == 0)
        r = apply_flags(path, &o, err, &f->rec);
    if (r < 0)
        goto fail;
    if (f->rec.full_scale == 0)
        f->rec.full_scale = at_iq_format_full_scale(f->rec.format);
    f->paced = o.paced;
    f->loop = o.loop && !f->rec.stream;
    fill_info(f, path);
    f->raw = at_mem_alloc(NULL, AT_MEM_IQ, RAW_SAMPLES * at_iq_format_size(f->rec.format));
    if (!f->raw) {
        r = at_error_set(err, -ENOMEM, "no memory");
        goto fail;
    }
    atomic_store(&f->state, AT_SOURCE_STARTING);
    *ret_source = &f->base;
    return 0;
fail:
    f->base.ops->destroy(&f->base);
    return r;
}

/* ---- reading ---- */

static int start(struct at_source *s, struct at_error *err)
{
    struct file_source *f = self(s);
    f->start_ns = at_clock_mono_ns();
    atomic_store(&f->state, AT_SOURCE_RUNNING);
    return 0;
}

/* Up to max samples of a pipe within the time left, into raw. Bytes of a broken sample wait for the
 * rest. */
static int read_stream(struct file_source *f, size_t max, int64_t deadline_ns, size_t *ret_n)
{
    size_t bytes = at_iq_format_size(f->rec.format);
    while (f->held < bytes) {
        int64_t left_ms = (deadline_ns - at_clock_mono_ns()) / 1000000;
        struct pollfd p = {.fd = f->rec.fd, .events = POLLIN};
        int ready = poll(&p, 1, left_ms < 0 ? 0 : left_ms < SLICE_MS ? (int)left_ms : SLICE_MS);
        if (atomic_load(&f->stopped))
            return -ENODATA;
        if (ready <= 0 && left_ms > 0)
            continue;
        if (ready <= 0)
            break;
        ssize_t got = read(f->rec.fd, f->raw + f->held, max * bytes - f->held);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return got < 0 ? -EIO : -ENODATA;
        f->held += (size_t)got;
    }
    *ret_n = f->held / bytes;
    return 0;
}

static int read_raw(struct file_source *f, const struct at_segment *seg, size_t max,
                    int64_t deadline_ns, size_t *ret_n)
{
    if (f->rec.stream)
        return read_stream(f, max, deadline_ns, ret_n);
    uint64_t left = seg->n - f->done;
    size_t n = left < max ? (size_t)left : max, bytes = at_iq_format_size(f->rec.format);
    int r = at_recording_pread(f->rec.fd, f->raw, n * bytes, seg->offset + f->done * bytes);
    if (r == 0)
        *ret_n = n;
    return r;
}

static void sleep_until(struct file_source *f, int64_t until_ns)
{
    for (;;) {
        int64_t left = until_ns - at_clock_mono_ns();
        if (left <= 0 || atomic_load(&f->stopped))
            return;
        if (left > SLICE_MS * INT64_C(1000000))
            left = SLICE_MS * INT64_C(1000000);
        struct timespec t = {.tv_sec = 0, .tv_nsec = left};
        nanosleep(&t, NULL);
    }
}

/* Moves on to a segment with samples left. -ENODATA at the end. */
static int next_segment(struct file_source *f)
{
    while (f->done == f->rec.segments[f->segment].n) {
        f->done = 0;
        if (++f->segment < f->rec.n_segments)
            continue;
        f->segment = 0;
        f->round += f->round_length;
        if (!f->loop) {
            f->segment = f->rec.n_segments - 1;
            f->done = f->rec.segments[f->segment].n;
            return -ENODATA;
        }
    }
    return 0;
}

static void account(struct file_source *f, uint64_t index, size_t n, size_t masked)
{
    if (index > f->end_index) {
        atomic_fetch_add(&f->gap, index - f->end_index);
        atomic_fetch_add(&f->gap_events, 1);
    }
    atomic_fetch_add(&f->delivered, n - masked);
    if (masked) {
        atomic_fetch_add(&f->corrupt, masked);
        atomic_fetch_add(&f->corrupt_events, 1);
    }
    f->end_index = index + n;
}

/* A file may claim any index: what is longer than a century counts as one. */
static int64_t duration_ns(const struct file_source *f, uint64_t samples)
{
    return (int64_t)(fmin((double)samples / f->info.rate_hz, CENTURY_S) * 1e9);
}

static int64_t utc_of(const struct file_source *f, const struct at_segment *seg, uint64_t index)
{
    bool own = seg->utc_ns != 0 && f->round == 0;
    int64_t base = own ? seg->utc_ns : f->info.start_utc_ns;
    uint64_t since = own ? index - seg->index : index;
    int64_t utc_ns;
    if (base == 0 || __builtin_add_overflow(base, duration_ns(f, since), &utc_ns))
        return 0;
    return utc_ns;
}

/* The file ended before what it promised at open: the rest counts as lost, and that was all. */
static int end_early(struct file_source *f, int code, struct at_error *err)
{
    atomic_store(&f->state, code == -EIO ? AT_SOURCE_FAILED : AT_SOURCE_ENDED);
    if (!f->rec.stream && !atomic_load(&f->stopped)) {
        uint64_t end = f->round + f->round_length;
        uint64_t missing = end > f->end_index ? end - f->end_index : 0;
        atomic_fetch_add(&f->corrupt, missing);
        atomic_fetch_add(&f->corrupt_events, missing ? 1 : 0);
        f->end_index += missing;
        f->loop = false;
        f->segment = f->rec.n_segments - 1;
        f->done = f->rec.segments[f->segment].n;
    }
    if (code == -EIO)
        at_error_set(err, code, "%s: cannot be read on; check the disk", f->info.name);
    return code;
}

static int read_samples(struct at_source *s, float *iq, size_t max, int timeout_ms,
                        struct at_read *ret, struct at_error *err)
{
    struct file_source *f = self(s);
    if (atomic_load(&f->stopped) || next_segment(f) < 0) {
        atomic_store(&f->state, AT_SOURCE_ENDED);
        return -ENODATA;
    }
    const struct at_segment *seg = &f->rec.segments[f->segment];
    size_t limit = max < RAW_SAMPLES ? max : RAW_SAMPLES,
           block = (size_t)(f->info.rate_hz * PACED_BLOCK_S) + 1;
    if (f->paced && limit > block)
        limit = block;
    uint64_t index = f->round + seg->index + f->done;
    int64_t now = at_clock_mono_ns(), due = now, deadline = now + (int64_t)timeout_ms * 1000000;
    if (f->paced) {
        due = f->start_ns + duration_ns(f, index + limit);
        sleep_until(f, due < deadline ? due : deadline);
        if (due > deadline || atomic_load(&f->stopped)) {
            *ret = (struct at_read){.index = index, .delivered_ns = deadline};
            return 0;
        }
    }
    size_t n = 0;
    int r = read_raw(f, seg, limit, deadline, &n);
    if (r < 0)
        return end_early(f, r, err);
    size_t masked = at_iq_convert(f->rec.format, f->rec.full_scale, f->raw, n, iq);
    size_t bytes = at_iq_format_size(f->rec.format);
    if (f->rec.stream) {
        f->held -= n * bytes;
        memmove(f->raw, f->raw + n * bytes, f->held);
    }
    f->done += n;
    if (n)
        account(f, index, n, masked);
    *ret = (struct at_read){.n = n,
                            .index = index,
                            .delivered_ns = f->paced ? due : at_clock_mono_ns(),
                            .utc_ns = utc_of(f, seg, index),
                            .center_hz = seg->center_hz,
                            .rate_hz = f->rec.rate_hz,
                            .masked = masked};
    return 0;
}

static void stop(struct at_source *s)
{
    atomic_store(&self(s)->stopped, true);
    atomic_store(&self(s)->state, AT_SOURCE_ENDED);
}

static int tune(struct at_source *s, const struct at_tuning *tuning, uint64_t *ret_number,
                struct at_error *err)
{
    return at_error_set(err, -ENOTSUP, "%s: a recording can't be retuned", self(s)->info.name);
}

static int get_tuned(struct at_source *s, uint64_t number, struct at_error *err)
{
    return at_error_set(err, -ENOTSUP, "%s: a recording can't be retuned", self(s)->info.name);
}

static int lend(struct at_source *s, size_t max, int timeout_ms, struct at_read *ret,
                struct at_error *err)
{
    return -ENOTSUP; /* it is read from the disk into a buffer of few samples */
}

static void get_info(const struct at_source *s, struct at_source_info *ret)
{
    *ret = ((const struct file_source *)s)->info;
}

static void get_ledger(const struct at_source *s, struct at_ledger *ret)
{
    const struct file_source *f = (const struct file_source *)s;
    *ret = (struct at_ledger){.delivered = atomic_load(&f->delivered)};
    ret->lost[AT_LOST_GAP] = atomic_load(&f->gap);
    ret->events[AT_LOST_GAP] = atomic_load(&f->gap_events);
    ret->lost[AT_LOST_CORRUPT] = atomic_load(&f->corrupt);
    ret->events[AT_LOST_CORRUPT] = atomic_load(&f->corrupt_events);
    ret->requested = ret->delivered + ret->lost[AT_LOST_GAP] + ret->lost[AT_LOST_CORRUPT];
}

static enum at_source_state get_state(const struct at_source *s)
{
    return (enum at_source_state)atomic_load(&((const struct file_source *)s)->state);
}

static void destroy(struct at_source *s)
{
    if (!s)
        return;
    struct file_source *f = self(s);
    at_recording_finish(&f->rec);
    at_mem_free(NULL, f->raw);
    at_mem_free(NULL, f);
}

static const struct at_source_ops file_ops = {
    .version = AT_SOURCE_VERSION,
    .name = "file",
    .start = start,
    .read = read_samples,
    .stop = stop,
    .tune = tune,
    .get_info = get_info,
    .get_ledger = get_ledger,
    .get_state = get_state,
    .destroy = destroy,
    .get_tuned = get_tuned,
    .lend = lend,
};
