/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "daemon/log.h"

#include <ctype.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "daemon/systemd.h"
#include "lib/base/buf.h"

#define N_KINDS  64
#define MAX_LINE 4096
#define N_FIELDS 12 /* of one journal entry, its own four included */

/* One token bucket per format string; strangers that share a slot share its limit. */
struct kind {
    const char *format;
    int64_t since_ns;
    unsigned passed, left_out;
    enum at_log_level level; /* of the newest that was left out, and what it says */
    char newest[200];
};

static struct {
    pthread_mutex_t lock;
    _Atomic enum at_log_level level;
    bool json, journal;
    FILE *out;
    struct kind kinds[N_KINDS];
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = AT_LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void at_log_set_level(const char *level)
{
    enum at_log_level found = AT_LOG_INFO;
    for (int i = 0; level && i < 4; i++)
        if (!strcasecmp(level, level_names[i]))
            found = (enum at_log_level)i;
    atomic_store(&logger.level, found);
}

void at_log_init(const char *level, int json, FILE *out)
{
    at_log_set_level(level);
    logger.json = json;
    logger.out = out;
    logger.journal = !out && at_systemd_is_journal(STDERR_FILENO);
    memset(logger.kinds, 0, sizeof logger.kinds);
}

/* Whether a line of this kind may pass; *ret_left_out says how many before it could not. */
static bool may_pass(const char *format, enum at_log_level level, const char *message,
                     unsigned *ret_left_out)
{
    struct kind *k = &logger.kinds[((uintptr_t)format >> 3) % N_KINDS];
    int64_t now = at_clock_mono_ns();
    *ret_left_out = 0;
    if (!k->format || now - k->since_ns > AT_LOG_INTERVAL_NS) {
        *ret_left_out = k->left_out;
        *k = (struct kind){.format = format, .since_ns = now, .passed = 1};
        return true;
    }
    if (k->passed < AT_LOG_BURST) {
        k->passed++;
        return true;
    }
    k->left_out++;
    k->level = level;
    snprintf(k->newest, sizeof k->newest, "%.199s", message);
    return false;
}

/* Control characters never reach a terminal or a line parser: C0, DEL, and C1 in UTF-8. */
static void add_text(struct at_buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s, next = (unsigned char)s[1];
        if (c < 0x20 || c == 0x7f)
            at_buf_printf(b, "\\x%02x", c);
        else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
            at_buf_printf(b, "\\xc2\\x%02x", (unsigned char)*++s);
        else
            at_buf_add(b, s, 1);
    }
}

static void add_json_string(struct at_buf *b, const char *s)
{
    at_buf_add(b, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            at_buf_printf(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            at_buf_printf(b, "\\u%04x", c);
        else
            at_buf_add(b, s, 1);
    }
    at_buf_add(b, "\"", 1);
}

static void add_json_line(struct at_buf *b, enum at_log_level level,
                          const struct at_log_field *fields, const char *message, unsigned left_out)
{
    char time[AT_RFC3339_SIZE];
    at_clock_format_utc(at_clock_utc_ns(), time);
    at_buf_printf(b, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", time, level_names[level]);
    add_json_string(b, message);
    for (; fields && fields->key; fields++)
        if (fields->value) {
            at_buf_printf(b, ",\"%s\":", fields->key);
            add_json_string(b, fields->value);
        }
    if (left_out)
        at_buf_printf(b, ",\"left_out\":%u", left_out);
    at_buf_add(b, "}", 1);
}

static void add_text_line(struct at_buf *b, enum at_log_level level, const char *message,
                          unsigned left_out)
{
    if (!logger.journal) { /* journald knows time and priority */
        char time[AT_RFC3339_SIZE];
        at_clock_format_utc(at_clock_utc_ns(), time);
        at_buf_printf(b, "%s %-7s ", time, level_names[level]);
    }
    add_text(b, message);
    if (left_out)
        at_buf_printf(b, " (%u like it left out)", left_out);
}

/* Name of a field in the journal: capitals; an emission is known by its id. */
static void add_journal_name(struct at_buf *b, const char *key)
{
    if (!strcmp(key, "emission"))
        key = "emission_id";
    for (; *key; key++) {
        char c = (char)toupper((unsigned char)*key);
        at_buf_add(b, &c, 1);
    }
}

/* One entry: the line as its MESSAGE, and each field by itself, so that `journalctl RADIO=roof`
 * finds it. False: the line has to go to stderr after all. */
static bool send_to_journal(enum at_log_level level, const struct at_log_field *fields,
                            const char *line, unsigned left_out)
{
    static const int priorities[] = {7, 6, 4, 3};
    struct at_buf b;
    size_t ends[N_FIELDS], n = 0;
    struct iovec entry[N_FIELDS];
    at_buf_init(&b, 2 * MAX_LINE);
    at_buf_printf(&b, "MESSAGE=%s", line);
    ends[n++] = b.len;
    at_buf_printf(&b, "PRIORITY=%d", priorities[level]);
    ends[n++] = b.len;
    at_buf_printf(&b, "SYSLOG_IDENTIFIER=attuned");
    ends[n++] = b.len;
    if (left_out) {
        at_buf_printf(&b, "LEFT_OUT=%u", left_out);
        ends[n++] = b.len;
    }
    for (; fields && fields->key && n < N_FIELDS; fields++)
        if (fields->value) {
            add_journal_name(&b, fields->key);
            at_buf_printf(&b, "=%s", fields->value);
            ends[n++] = b.len;
        }
    for (size_t i = 0; i < n && !b.failed; i++) {
        size_t begin = i ? ends[i - 1] : 0;
        entry[i] = (struct iovec){b.data + begin, ends[i] - begin};
    }
    bool sent = !b.failed && !at_systemd_journal(entry, n);
    at_buf_finish(&b);
    return sent;
}

/* Without memory for a whole line the bare words are better than none. */
static void say_plainly(FILE *out, char *message)
{
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    fprintf(out, "%s\n", message);
    fflush(out);
}

/* Lock held. */
static void write_line(enum at_log_level level, const struct at_log_field *fields, char *message,
                       unsigned left_out)
{
    struct at_buf b;
    at_buf_init(&b, MAX_LINE);
    if (logger.json)
        add_json_line(&b, level, fields, message, left_out);
    else
        add_text_line(&b, level, message, left_out);
    FILE *out = logger.out ? logger.out : stderr;
    if (b.failed) {
        say_plainly(out, message);
    } else if (!(logger.journal && send_to_journal(level, fields, b.data, left_out))) {
        fprintf(out, "%s\n", b.data);
        fflush(out);
    }
    at_buf_finish(&b);
}

void at_log_settle(bool all)
{
    int64_t now = at_clock_mono_ns();
    pthread_mutex_lock(&logger.lock);
    for (size_t i = 0; i < N_KINDS; i++) {
        struct kind *k = &logger.kinds[i];
        if (!k->left_out || (!all && now - k->since_ns <= AT_LOG_INTERVAL_NS))
            continue;
        write_line(k->level, NULL, k->newest, k->left_out - 1);
        k->left_out = 0;
        k->passed = 1;
        k->since_ns = now;
    }
    pthread_mutex_unlock(&logger.lock);
}

void at_log(enum at_log_level level, const struct at_log_field *fields, const char *format, ...)
{
    if (level < logger.level)
        return;
    char message[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);

    pthread_mutex_lock(&logger.lock);
    unsigned left_out;
    if (may_pass(format, level, message, &left_out))
        write_line(level, fields, message, left_out);
    pthread_mutex_unlock(&logger.lock);
}
