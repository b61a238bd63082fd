/* Which backend, mode and window: a pure function over plain structs, tested as a table (DESIGN.md
 * section 5). SPDX-License-Identifier: GPL-3.0-or-later */
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
    int probe_error;      /* 0, or what probe said */
    double accuracy;      /* validated, 0..1; NAN: not known (then below all that are) */
    double calibrated_ms; /* p95 of one decision measured or extrapolated at start; NAN: none */
    double live_p50_ms, live_p95_ms; /* NAN: too few yet */
    double kv_bytes;                 /* of one session */
};

struct at_selector_input {
    double budget_ms, budget_kv_bytes; /* 0: no limit */
    double sessions;                   /* alive, at least 1: share the KV budget */
    double load;                       /* 0..1 share of the cores that decisions take now */
    double queue; /* tokens waiting over what is served in budget_ms; above 1: falling behind */
    const char *forced; /* backend name or NULL */
    int current;        /* index of what runs now; -1: nothing yet */
};

struct at_choice {
    int index;        /* -1: nothing can run at all */
    bool over_budget; /* nothing fits: this is the fastest */
    char reason[96];  /* why this one: "highest accuracy that fits", "forced", ... */
    struct {
        bool fits;
        char reason[96];
    } each[32];
};
#define AT_MAX_CANDIDATES 32

/* The rules, in the order they apply.
 *  - What probe refused never runs; a forced backend leaves only its own candidates, as long as one
 * of them can run.
 *  - p95 is the live one where known, else the calibrated one times live over calibrated of what
 * runs now.
 *  - What runs now fits while p95, KV and load (<= AT_SELECTOR_LOAD_STAY) are within their limits.
 * Anything else must be within AT_SELECTOR_ENTER of them, and be expected at a load of at most
 * AT_SELECTOR_LOAD_ENTER where it is dearer: enough for +-10 % of noise never to lead back and
 * forth. Before the first choice the plain limits hold.
 *  - queue above 1: what runs now doesn't fit, nor does anything that isn't faster by
 * AT_SELECTOR_ENTER.
 *  - Of those that fit: the highest accuracy; within AT_SELECTOR_TIE of it the fastest, what runs
 * now being left only for one faster by AT_SELECTOR_ENTER.
 *  - None fits: over_budget; of those within the KV budget (else: of the smallest KV) the fastest,
 * with the same hysteresis. candidates (n <= AT_MAX_CANDIDATES, more are ignored). Pure; any
 * thread. */
#define AT_SELECTOR_ENTER      0.8
#define AT_SELECTOR_LOAD_ENTER 0.7
#define AT_SELECTOR_LOAD_STAY  0.95
#define AT_SELECTOR_TIE        0.001
void at_selector_choose(const struct at_candidate *candidates, size_t n,
                        const struct at_selector_input *in, struct at_choice *ret);

/* What time adds to the rules: whoever fits is not left within AT_SELECTOR_HOLD_S of a change, and
 * whoever had to be left is not taken again before its hold is over: that long, twice as long each
 * time it stayed for less than four times the longest, at most AT_SELECTOR_HOLD_MOST_S. Its
 * calibration says that it fits, and under a load that lasts it is wrong each time anew.
 * Zero-initialised is ready. Times: of one rising clock. Pure; any thread. */
#define AT_SELECTOR_HOLD_S      2.0
#define AT_SELECTOR_HOLD_MOST_S 8.0
struct at_selector_hold {
    bool begun;
    double changed_s;
    struct {
        double entered_s, until_s, hold_s;
    } of[AT_MAX_CANDIDATES];
};
/* Whether the change from now to wanted (indices below AT_MAX_CANDIDATES) is to be made; notes it
 * where it is. fits: what runs now fits. */
bool at_selector_may_change(struct at_selector_hold *h, int now, int wanted, bool fits,
                            double now_s);

#endif
