/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/waterfall.h"

#include <errno.h>
#include <math.h>
#include <string.h>

int at_waterfall_init(struct at_waterfall *w, struct at_mem *mem, double rate_hz, unsigned bins,
                      double rows_s, unsigned n)
{
    *w = (struct at_waterfall){.mem = mem,
                               .rate_hz = rate_hz,
                               .row_s = 1 / rows_s,
                               .bins = bins,
                               .loops = at_loops_best()};
    w->sum = at_mem_array(mem, AT_MEM_IQ, n, sizeof *w->sum);
    w->dbfs = at_mem_array(mem, AT_MEM_IQ, bins, sizeof *w->dbfs);
    if (w->sum && w->dbfs)
        return 0;
    at_waterfall_finish(w);
    return -ENOMEM;
}

void at_waterfall_finish(struct at_waterfall *w)
{
    at_mem_free(w->mem, w->sum);
    at_mem_free(w->mem, w->dbfs);
    w->sum = w->dbfs = NULL;
}

void at_waterfall_begin(struct at_waterfall *w)
{
    w->n_rows = 0;
}

static void hand_row(struct at_waterfall *w, unsigned n, double span_s,
                     const struct at_band_sink *sink, float floor_density, float occupancy)
{
    float per_hz = 1 / (float)w->n_rows, bin = (float)(w->rate_hz / w->bins);
    for (unsigned j = 0; j < w->bins; j++) {
        unsigned lo = (unsigned)((uint64_t)j * n / w->bins),
                 hi = (unsigned)((uint64_t)(j + 1) * n / w->bins);
        float s = 0;
        hi = hi > lo ? hi : lo + 1;
        for (unsigned k = lo; k < hi; k++)
            s += w->sum[k];
        s = s * per_hz * bin / (float)(hi - lo);
        w->dbfs[j] = 10 * log10f(s > 1e-24f ? s : 1e-24f);
    }
    struct at_row row = {.index = w->index,
                         .span_s = span_s,
                         .n = w->bins,
                         .dbfs = w->dbfs,
                         .floor_dbfs_hz = (float)(10 * log10(floor_density)),
                         .occupancy = occupancy};
    sink->row(sink->ctx, &row);
    w->n_rows = 0;
}

static float occupied_share(const struct at_map *m)
{
    unsigned n = 0;
    for (unsigned k = 0; k < m->n; k++)
        n += m->sum[k] > 2 * m->floor[k] * (float)m->t;
    return (float)n / (float)m->n;
}

void at_waterfall_run(struct at_waterfall *w, const struct at_epoch *e,
                      const struct at_band_sink *sink, struct at_band_stats *stats,
                      float floor_density, bool last)
{
    /* Long rows where they are fine enough in time for this row rate, short ones else. */
    bool fine = e->slow.t && w->row_s * w->rate_hz >= 2.0 * e->slow.n * e->slow.looks;
    const struct at_map *m = fine ? &e->slow : &e->fast;
    if (m->t)
        stats->occupancy = occupied_share(m);
    uint64_t due = (uint64_t)(w->row_s * w->rate_hz);
    for (size_t t = 0; t < m->t; t++) {
        uint64_t at = m->first + t * m->hop + m->span / 4;
        if (w->n_rows && w->n != m->n) /* the file's tail has short rows only */
            hand_row(w, w->n, (double)(at - w->index) / w->rate_hz, sink, floor_density,
                     stats->occupancy);
        if (w->n_rows == 0) {
            w->n = m->n;
            w->index = at;
            memset(w->sum, 0, m->n * sizeof(float));
        }
        w->loops->add(m->rows + t * m->n, m->n, w->sum);
        w->n_rows++;
        if (at + m->hop - w->index >= due || (last && t + 1 == m->t))
            hand_row(w, m->n, (double)(at + m->hop - w->index) / w->rate_hz, sink, floor_density,
                     stats->occupancy);
    }
}
