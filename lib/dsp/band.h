/* One band: IQ in, emissions and their tokens out. Everything between is here: block FFT, spectra,
 * noise floor, detector, tracker, look-back, channelizer, frames (DESIGN.md section 2).
 *
 * One thread at a time; no lock, log or system call inside (but for `aside`); memory is taken at
 * create and, bounded by max_emissions, when an emission opens.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_BAND_H
#define AT_DSP_BAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/dsp/emission.h"

#define AT_BAND_WIDE_HZ 20e6 /* from here on one thread may be too little for a band */

struct at_band_config {
    double rate_hz;               /* AT_RATE_MIN_HZ .. AT_RATE_MAX_HZ */
    unsigned n_bins;              /* of a frame; 0: AT_FRAME_BINS */
    unsigned max_emissions;       /* alive at once; 0: 256 */
    double lookback_s;            /* at least 0.1; 0: 0.1 */
    double false_per_hour;        /* detector's false-alarm rate on noise; 0: 1 */
    double assumed_floor_dbfs_hz; /* of the converter, where no noise is to be seen */
    double hang_s;                /* silence that ends an emission; 0: 0.5 s */
    double min_duration_s;        /* 0: as short as the detector sees */
    double blanker_db;    /* pulses so far over the running median of the power are taken out
                             (blanker.h), 9 .. 40; 0: none */
    const double *ignore; /* (n_ignore, 2) f_lo, f_hi in baseband Hz, borrowed during create */
    size_t n_ignore;
    unsigned waterfall_bins; /* bins of a row; 0: 512 */
    double waterfall_rate;   /* rows a second; 0: 10 */
    bool passing; /* one of many that live for seconds: memory is not brought in before it is used,
                     which costs more */
    bool rest_when_full; /* what the sink has no room for is not made; it counts as skipped, by the
                            emission's duty */
    bool aside; /* short spectra in a thread of the band's own: for wide bands; the same results,
                 * but that the full rest from push to push, not from block to block */
};

enum at_token_flags {
    AT_TOKENS_NEW_RUN =
        1, /* the first of these follows a gap (or a pause): the session must be reset */
};

/* A row of the waterfall: mean power per bin. */
struct at_row {
    uint64_t index;      /* sample index of its first sample */
    double span_s;       /* time it covers */
    unsigned n;          /* bins, rising frequency over the whole band */
    const float *dbfs;   /* (n) dBFS per bin, borrowed during the call */
    float floor_dbfs_hz; /* median over the bins */
    float occupancy;     /* share of bins above the detector's threshold, 0..1 */
};

/* What the band calls while it is pushed, in the pushing thread. Functions are required. */
struct at_band_sink {
    void *ctx;
    void (*opened)(void *ctx, const struct at_emission *e);
    /* How many tokens would be taken now for this emission. 0: none, then the band skips them (and
     * counts), and the next that are taken begin a run. */
    size_t (*room)(void *ctx, uint64_t id);
    /* n consecutive frames (n, n_bins + AT_AUX_COUNT); index: one past the last sample of the
     * newest frame. */
    void (*tokens)(void *ctx, const struct at_emission *e, const float *frames, size_t n,
                   unsigned flags, uint64_t index);
    void (*updated)(
        void *ctx,
        const struct at_emission *e); /* edges, SNR, end moved; at most 10 times a second each */
    void (*closed)(
        void *ctx,
        const struct at_emission *e); /* ended; after its last tokens; e is gone afterwards */
    void (*row)(void *ctx, const struct at_row *row);
};

struct at_band_stats {
    uint64_t samples, frames, tokens, tokens_skipped, emissions;
    unsigned active;
    float floor_dbfs_hz, occupancy;
    enum at_floor_source floor_source;
    unsigned n_artefacts; /* DC spike, images, clipping products, pulses now told apart and not
                             reported */
    uint64_t samples_blanked, pulses_blanked; /* that the noise blanker took out, of `samples` */
};

/* Samples that somebody has in another form. */
struct at_input {
    /* Writes samples [from, from + n) of those there are to iq (n, 2), full scale 1. Any thread,
     * several at once. */
    void (*write)(const void *ctx, size_t from, size_t n, float *iq);
    const void *ctx;
};

struct at_band;

int at_band_create(struct at_mem *mem, const struct at_band_config *config,
                   const struct at_band_sink *sink, struct at_error *err,
                   struct at_band **ret_band);
void at_band_destroy(struct at_band *b);

/* n samples iq (n, 2), full scale 1, at absolute index. An index that is not where the last push
 * ended is a gap: the frames it touches are dropped, overlap-save begins again, sessions' runs end.
 * Any n. 0 or -ENOMEM. */
int at_band_push(struct at_band *b, const float *iq, size_t n, uint64_t index);
/* The same of samples that are made where they are wanted. */
int at_band_take(struct at_band *b, const struct at_input *input, size_t n, uint64_t index);

/* The radio goes elsewhere for a while: decides what is still undecided of what has come, as far as
 * it is sure; emissions live on. The next push, whenever it comes, goes on with the floor as it is
 * and the emissions as they were: those that are still there keep their ids, in a new run and with
 * `gap`; those that are not end after their hang time, where they were last seen. 0 or -ENOMEM. */
int at_band_pause(struct at_band *b);

/* Quantisation noise of the converter (dBFS/Hz at the band's rate), where it is known only when the
 * device is open; 0 or above: unknown. Between pushes. RT-safe. */
void at_band_set_assumed_floor(struct at_band *b, double dbfs_hz);
/* Gain of the samples that follow, dB; another one than before: the floor learned at it stands in
 * until noise is measured (at_floor_set_gain). Between pushes. RT-safe. */
void at_band_set_gain(struct at_band *b, double gain_db);

/* End of the stream: decides what is still undecided (a file may be shorter than the detector's
 * reaction) and closes every emission. */
int at_band_flush(struct at_band *b);

/* Opens an emission by hand with these edges (baseband Hz) from sample index start, which must lie
 * within the look-back or the future, until end: for training below the detector's threshold and
 * for truth-driven tests. */
int at_band_open_emission(struct at_band *b, double f_lo_hz, double f_hi_hz, uint64_t start,
                          uint64_t end, uint64_t *ret_id);

void at_band_get_stats(const struct at_band *b, struct at_band_stats *ret);

/* Plans what a band of that rate does all the time: seconds for a wide one, and where wisdom was
 * loaded once for all. Before bands are created; any thread. */
void at_band_plan(double rate_hz);

/* Width of a bin of the short spectra at that rate: what shows in them alone is no narrower.
 * RT-safe. */
double at_band_short_bin_hz(double rate_hz);

/* FFTW wisdom, read and written once per process (NULL: none). Missing or unreadable: measured
 * anew. Main thread. */
void at_dsp_wisdom_load(const char *path);
int at_dsp_wisdom_save(const char *path);

#endif
