/* Scenes of lib/synth pushed through a band, and what it made of them against the truth.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TESTS_SCENES_H
#define AT_TESTS_SCENES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/dsp/band.h"
#include "lib/synth/synth.h"

enum { SCENE_MAX = 64, FOUND_MAX = 512 };

struct truth {
    double f_lo_hz, f_hi_hz; /* baseband; as DESIGN.md defines edges where asked for, else said */
    double start, end;       /* samples */
    double bin_hz;           /* of the spectrum that the edges were read from */
    unsigned sent_least,
        sent_most;   /* times that it was on, silences longer than the hang time between */
    unsigned pieces; /* emissions found for it */
    unsigned best;   /* index of the one that fits best, where pieces */
};

struct outcome {
    unsigned n, n_found, n_false, n_merged; /* merged: emissions that hold several truths */
    struct truth t[SCENE_MAX];
    struct at_emission found[FOUND_MAX]; /* as closed */
    bool is_false[FOUND_MAX];
    struct at_band_stats stats;
    double cpu_s, seconds; /* of the band alone; of signal */
};

struct play {
    bool exact;    /* edges of the truth read from its own clean spectrum */
    double hang_s; /* 0: the band's own */
    double cut_s;  /* samples before it are not pushed */
};

/* Found more often than it was sent; and as often. */
static inline bool is_split(const struct truth *t)
{
    return t->pieces > t->sent_most;
}
static inline bool is_right(const struct truth *t)
{
    return t->pieces >= t->sent_least && t->pieces <= t->sent_most;
}

/* 0 or negative errno. p may be NULL. */
int scene_play(const struct at_scene *s, const struct play *p, struct outcome *ret);
/* Appends an emitter and returns it. */
struct at_emitter *scene_add(struct at_scene *s, int class_id, const char *variant,
                             double offset_hz, double bandwidth_hz, double snr_db, uint64_t seed);
/* A band whose closed emissions go into o. NULL: no memory. */
struct at_band *scene_band(double rate_hz, double hang_s, struct outcome *o);
double scene_median(double *x, size_t n); /* reorders */

/* What a group of scenes reports: lines for people, and figures for the JSON and the floors. */
struct report {
    FILE *json;
    bool quick, first;
    unsigned failed;
    unsigned seeds; /* times so many scenes; 0: the group's own */
};
/* One figure; fails where it is below least or above most (NAN: not asserted). */
void report_figure(struct report *r, const char *name, double value, double least, double most);

void group_probability(struct report *r);
void group_bursts(struct report *r);
void group_edges(struct report *r);
void group_count(struct report *r);
void group_receiver(struct report *r);
void group_cold(struct report *r);
void group_noise(struct report *r, double rate_hz, double seconds);

#endif
