/* From regions of single epochs to emissions that keep their id: matching, merging, bursts, edges,
 * levels. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_TRACK_H
#define AT_DSP_TRACK_H

#include "lib/dsp/detect.h"
#include "lib/dsp/emission.h"

#define AT_TRACK_LINES       8   /* that stand on one emission */
#define AT_TRACK_MAX_REGIONS 256 /* of one epoch */

/* Sums over a band's cells x and those y of its mirror image about some frequency: x y, the phase
 * of what stands there taken off, |x|^2 and |y|^2. */
struct at_mirror {
    double re, im, here, there; /* power per Hz */
    uint64_t cells;
};

/* One epoch as the tracker sees it. */
struct at_epoch {
    uint64_t index, end; /* absolute samples [index, end) */
    double rate_hz;
    struct at_map fast, slow; /* short and long spectra */
    enum at_floor_source floor_source;
    bool clipped;  /* samples at full scale */
    bool gated;    /* rows that a gate cuts */
    bool has_dc;   /* a DC line was taken off */
    bool constant; /* what stands at 0 Hz is one, and was not */
    bool gap;      /* it begins after lost samples */
    /* Adds the band f_lo .. f_hi and its mirror image about f_mid (Hz), where a carrier stands or
     * not; or NULL. */
    void (*mirror)(void *ctx, bool carrier, double f_mid_hz, double f_lo_hz, double f_hi_hz,
                   struct at_mirror *add);
    /* Runs parts 0 .. n - 1 in whatever threads there are; NULL: this one. */
    void (*share)(void *ctx, void (*part)(void *ctx, size_t i), void *part_ctx, size_t n);
    void *ctx;
};

/* An emission's spectra, rising frequency over the band: power per Hz. */
struct at_spectra {
    unsigned n;
    double rows, rows_off; /* taken while on (a fifth of the row at least), and while off */
    double rows_full;      /* of rows: on for half of the row at least */
    double rows_cut;       /* of rows: a burst begins or ends in it */
    float *sum, *hold;     /* (n) while on: sum of the rows, highest of them */
    float *cut;            /* (n) sum of those in which a burst begins or ends; short rows only */
    float *off;            /* (n) sum of the rows while off: what else is there */
};

struct at_track {
    struct at_emission e;
    bool pending; /* not reported yet */
    bool on;      /* at the end of the newest epoch */
    bool was_on;  /* at the end of the one before */
    bool moved;   /* a sweep: the newest epoch shows it beside where it was */
    bool by_hand; /* opened by hand: not ended, moved or merged by the tracker */
    bool sure;    /* strong enough, or seen more than once: not noise */
    bool fringe;  /* began beside a far stronger one: reported only if it stays */
    bool faint;   /* only the average of several epochs has shown it yet */
    bool dropped; /* to be forgotten unreported */
    uint64_t hand_end;
    uint64_t silent_since; /* one past the newest on-sample, absence not counted */
    uint64_t absent;       /* samples of its life that nobody received: the radio was elsewhere */
    uint64_t epochs;
    double on_s, power_s, noise_s; /* on-time; power x time; noise density x time */
    double beside_s;               /* power x time of lines beyond edges that hold one bin */
    double clipped_s;              /* on-time in epochs whose samples were clipped */
    struct at_region seen;         /* what of it this epoch showed */
    bool is_seen;
    struct at_region last;            /* what the newest epoch that showed it showed */
    double peak_hz;                   /* where its spectrum is highest */
    double stop_lo_hz, stop_hi_hz;    /* edges do not go beyond: there lies another emission */
    unsigned apart;                   /* epochs in a row that showed two in it */
    struct at_joint joint;            /* over which envelopes alone made it one, until more does */
    unsigned agreed, disagreed;       /* epochs in which they did, and did not */
    const struct at_region *sides[2]; /* of the joint, below and above, in this epoch */
    bool over_joint;                  /* one region reached over it */
    float over; /* a line on a wide signal: how far over it the newest epoch shows it; 0: none */
    unsigned n_lines;                /* such that stand on this one */
    double lines[AT_TRACK_LINES][2]; /* Hz */
    bool parted;                     /* it was a part of one: its place is known */
    struct at_mirror
        mirror; /* until it is reported, with what is 10 dB stronger at its mirror frequencies */
    double mirror_noise; /* over the same cells */
    uint64_t mirrored;   /* epochs in which there was such */
    struct at_spectra fast, slow;
    uint64_t decayed; /* sample index of the newest halving */
    void *user;       /* the band's */
};

struct at_tracker {
    struct at_mem *mem;
    double rate_hz, hang_s, min_duration_s;
    unsigned n_fast, n_slow, max_tracks, n_tracks;
    uint64_t next_id, n_emissions;
    struct at_track **tracks; /* (max_tracks) first n_tracks alive, by age */
    struct at_region *regions;
    uint8_t *on;           /* (max_rows) scratch */
    float *energy, *other; /* (max_rows) scratch */
    size_t max_rows;
    float *scratch;                   /* (2 n_fast or n_slow) */
    float *before_fast, *before_slow; /* mean spectra of the epoch before */
    bool has_before;
    double (*ignore)[2]; /* (n_ignore) owned */
    size_t n_ignore;
    unsigned n_artefacts; /* of the newest epoch */
};

/* max_rows: of short spectra in one epoch. 0 or -ENOMEM. */
int at_tracker_init(struct at_tracker *t, struct at_mem *mem, double rate_hz, unsigned n_fast,
                    unsigned n_slow, size_t max_rows, unsigned max_tracks);
void at_tracker_finish(struct at_tracker *t);
/* One epoch's regions (reordered). New tracks are pending; the caller reports those that are due,
 * and removes those that at_tracker_over() says are over. 0 or -ENOMEM. */
int at_tracker_run(struct at_tracker *t, const struct at_epoch *epoch, struct at_region *regions,
                   size_t n);
/* The radio was elsewhere for n samples: they count as no silence, and as no time that it was off.
 */
void at_tracker_absent(struct at_tracker *t, uint64_t n);
/* All that were not added by hand are over, and their energy is none: they were found over another
 * noise than there is. RT-safe. */
void at_tracker_drop(struct at_tracker *t);
/* A track by hand. NULL: no memory or too many. */
struct at_track *at_tracker_add(struct at_tracker *t, double f_lo_hz, double f_hi_hz,
                                uint64_t start);
bool at_tracker_over(const struct at_tracker *t, const struct at_track *k, uint64_t now);
/* Forgets it; its spectra are freed. */
void at_tracker_remove(struct at_tracker *t, struct at_track *k);

#endif
