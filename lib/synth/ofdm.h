/* OFDM inside the generator: what a system sends in each symbol. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#ifndef AT_SYNTH_OFDM_H
#define AT_SYNTH_OFDM_H

#include "lib/synth/gen.h"

enum at_ofdm_system {
    AT_OFDM_FULL,
    AT_OFDM_LTE,
    AT_OFDM_LTE_TDD,
    AT_OFDM_LTE_UL,
    AT_OFDM_SIDELINK,
    AT_OFDM_NBIOT,
    AT_OFDM_NR,
    AT_OFDM_WIFI,
    AT_OFDM_DAB,
    AT_OFDM_DVBT,
    AT_OFDM_DRM,
    AT_OFDM_HD,
};

struct at_ofdm_mode {
    struct at_variant v;
    enum at_ofdm_system system;
    double spacing_hz;
    int used_lo, used_hi; /* subcarriers, DC not counted */
    double cp_lo, cp_hi;  /* guard over useful time */
    int per_slot;         /* symbols a slot; 10 ms frames hold what fits */
    int cut;              /* 1: the receiver sees only the middle of a wider carrier */
};

#define AT_OFDM_MAX_RB 280
struct at_ofdm {
    const struct at_ofdm_mode *m;
    int used; /* carriers -used/2 .. used/2 without 0 */
    int n_fft;
    long k;          /* symbol number */
    int shift, step; /* CRS comb */
    double load;     /* share of resource blocks in use */
    int tdd, s_up;   /* uplink-downlink pattern */
    float boost;     /* amplitude of pilots */
    uint8_t rb[AT_OFDM_MAX_RB];
    long rb_time;     /* subframe that rb was drawn for */
    long left, pause; /* Wi-Fi: symbols left of packet, then of silence */
    int order;        /* constellation: 2, 4, 16, 64 */
    float level;      /* amplitude of this symbol: 0 is silent */
    float *re, *im;   /* (n_fft) what to send */
};

/* Fills re, im for symbol k; sets level. */
void at_ofdm_symbol(struct at_gen *g, struct at_ofdm *o);
void at_ofdm_start(struct at_gen *g, struct at_ofdm *o);

#endif
