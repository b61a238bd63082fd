/* Which backend, mode and window: a pure function over plain structs, tested as a table (DESIGN.md section 5).
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_ATTN_SELECTOR_H
#define AT_ATTN_SELECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/attn/attn_backend.h"
#include "lib/base/err.h"

struct at_candidate {
    char backend[16];
    enum at_mode mode;
    uint32_t window;
    int probe_error;        /* 0, or what probe said */
    double accuracy;        /* validated, 0..1; NAN: not known (then below all that are) */
    double calibrated_ms;   /* p95 of one decision measured or extrapolated at start; NAN: none */
    double live_p50_ms, live_p95_ms; /* NAN: too few yet */
    double kv_bytes;        /* of one session */
};

struct at_selector_input {
    double budget_ms, budget_kv_bytes; /* 0 ms: no latency limit */
    double sessions;                   /* alive, at least 1: share the KV budget */
    double load;                       /* 0..1 share of the cores that decisions take now */
    double queue;                      /* tokens waiting over what is served in budget_ms; above 1: falling behind */
    const char *forced;                /* backend name or NULL */
    int current;                       /* index of what runs now; -1: nothing yet */
};

struct at_choice {
    int index;             /* -1: nothing can run at all */
    bool over_budget;      /* nothing fits: this is the fastest */
    char reason[96];       /* why this one: "highest accuracy that fits", "forced", ... */
    struct { bool fits; char reason[96]; } each[32];
};
#define AT_MAX_CANDIDATES 32

/* candidates (n <= AT_MAX_CANDIDATES). Pure; any thread. */
void at_selector_choose(const struct at_candidate *candidates, size_t n, const struct at_selector_input *in,
                        struct at_choice *ret);

#endif
