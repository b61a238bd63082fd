/* The one list of keys. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_CONFIG_TABLE_H
#define AT_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/config/config.h"

enum at_config_type {
    AT_CONFIG_TEXT,     /* char[size]: printable */
    AT_CONFIG_NAME,     /* char[size]: letters, digits, `_`, `-`, `.` */
    AT_CONFIG_CHOICE,   /* char[size]: one of choices */
    AT_CONFIG_PATH,     /* char[size]: absolute, or counted from the file */
    AT_CONFIG_DEVICE,   /* char[size]: driver=... or file=... */
    AT_CONFIG_LISTEN,   /* char[size]: address:port */
    AT_CONFIG_BASE,     /* char[size]: what URLs begin with, "/" or "/sdr" */
    AT_CONFIG_ORIGINS,  /* char[size]: https://HOST[:PORT], separated by commas */
    AT_CONFIG_BOOL,     /* bool */
    AT_CONFIG_SWITCH,   /* int: 1, -1, 0 where not given */
    AT_CONFIG_COUNT,    /* uint32_t */
    AT_CONFIG_NUMBER,   /* double */
    AT_CONFIG_HZ,       /* double */
    AT_CONFIG_DURATION, /* double, seconds */
    AT_CONFIG_GAIN,     /* struct at_config_gain */
    AT_CONFIG_PATHS,    /* list: char[max][AT_CONFIG_PATH_SIZE], count follows */
    AT_CONFIG_HOSTS,    /* list: char[max][AT_CONFIG_HOST_SIZE], count follows */
    AT_CONFIG_RANGES,   /* list: struct at_config_range[max], count follows */
};

/* level: the "[]" in the path, which say what offset counts from: at_config (0), at_config_radio
 * (radios[]., 1) or at_config_band (radios[].bands[]., 2). */
struct at_config_key {
    const char *path;
    enum at_config_type type;
    int level;
    size_t offset, size; /* size: bytes of the member */
    double min, max;     /* of numbers; of lists: max items */
    const char *choices; /* "a|b|c" */
    const char *preset;  /* the default as text, read by the same parser; NULL: not given */
    const char *example; /* for the shipped file where the default says little, or NULL */
    const char *doc;     /* one line */
    bool shown;          /* the shipped file gives the example as a value, not as a comment */
};

extern const struct at_config_key at_config_table[];
extern const size_t at_config_table_n;

/* True where the key takes a list of scalars. */
bool at_config_is_list(const struct at_config_key *key);
/* The key with this path, or NULL. */
const struct at_config_key *at_config_table_find(const char *path);
/* True where keys begin with path: path is a section ("log") or, with list, a list of sections
 * ("radios"). */
bool at_config_table_is_section(const char *path, bool list);
/* Copies to out (64 bytes) the key below section ("": the root) nearest in spelling to name; false:
 * none is near. */
bool at_config_table_nearest(const char *section, const char *name, char out[64]);
/* Calls visit with each key below section once, in the table's order, and the first entry that
 * bears it. */
void at_config_table_children(const char *section,
                              void (*visit)(void *ctx, const char *name, size_t first), void *ctx);

/* Where the key's member stands in the struct that holds it. */
void *at_config_member(const struct at_config_key *key, struct at_config *config,
                       struct at_config_radio *radio, struct at_config_band *band);

/* Reads text into the member; lists take one more item. dir: absolute folder that relative paths
 * count from. 0, or -EINVAL with err as "what; remedy". */
int at_config_set(const struct at_config_key *key, void *member, const char *text, const char *dir,
                  struct at_error *err);

#endif
