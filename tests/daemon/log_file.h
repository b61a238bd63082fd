/* The daemon's log in a file, for tests of what it says.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_LOG_FILE_H
#define AT_TESTS_LOG_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"

static FILE *log_file;

static inline void log_open(const char *level)
{
    log_file = tmpfile();
    at_log_init(level, 0, log_file);
}

static inline void log_close(void)
{
    at_log_init("info", 0, NULL);
    fclose(log_file);
}

/* Whether `word` stands in it, whoever writes meanwhile. */
static inline bool log_says(const char *word)
{
    static char text[1 << 16];
    ssize_t n = pread(fileno(log_file), text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return strstr(text, word) != NULL;
}

/* Waits for it: as long as a slow machine may take. */
static inline bool log_comes_to_say(const char *word)
{
    for (int i = 0; i < 6000 && !log_says(word); i++)
        usleep(10000);
    return log_says(word);
}

#endif
