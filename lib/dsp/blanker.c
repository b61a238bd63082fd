/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/dsp/blanker.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define ORDER    AT_BLANKER_ORDER
#define CONTEXT  AT_BLANKER_CONTEXT
#define SLICE    4096 /* samples taken at once */
#define SHORTEST 48   /* samples that a pulse may last at low rates: filters ring */
#define SETTLE   256  /* samples from which the median is known */
#define MEDIAN_S 0.01 /* it follows so fast */
#define EDGE                                                                                       \
    6.0 /* times the median: a pulse's rise and decay reach as far as this (1.6 % of noise does)   \
         */
#define HOLE 4 /* samples below that within a pulse */
#define TAIL                                                                                       \
    8 /* samples beside it whose mean, each counted up to EDGE, tells what a filter's ringing      \
         leaves ... */
#define GUARD   1    /* samples more on either side: a pulse's first and last may be weak */
#define RINGS   2.5  /* ... by so many times the median (2 % of noise does) */
#define LEARN_S 2e-3 /* a prediction serves for so long */
#define CARRIED                                                                                    \
    128 /* samples carried on from either side; the middle of a longer pulse is left empty */
#define CREDIT_S 0.1 /* over which the share of what is taken out counts */

int at_blanker_init(struct at_blanker *b, struct at_mem *mem, double rate_hz, double threshold_db)
{
    size_t longest = (size_t)ceil(AT_BLANKER_LONGEST * rate_hz);
    *b = (struct at_blanker){
        .mem = mem, .ratio = pow(10, threshold_db / 10), .take = b->take, .ctx = b->ctx};
    b->slowest = fmin(1.0 / 512, 1 / (MEDIAN_S * rate_hz));
    b->longest = longest > SHORTEST ? longest : SHORTEST;
    b->most_credit = fmax(AT_BLANKER_SHARE * CREDIT_S * rate_hz, (double)b->longest);
    b->serves = LEARN_S * rate_hz;
    b->size = CONTEXT + 2 * b->longest + 2 * ORDER + SLICE;
    b->iq = at_mem_array_raw(mem, AT_MEM_IQ, 2 * b->size, sizeof(float));
    b->work = at_mem_array_raw(mem, AT_MEM_IQ, (size_t)4 * CONTEXT, sizeof(float));
    b->fill = at_mem_array_raw(mem, AT_MEM_IQ, 2 * b->longest, sizeof(float));
    if (!b->iq || !b->work || !b->fill) {
        at_blanker_finish(b);
        return -ENOMEM;
    }
    at_blanker_begin(b);
    return 0;
}

void at_blanker_finish(struct at_blanker *b)
{
    float **list[] = {&b->iq, &b->work, &b->fill};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        at_mem_free(b->mem, *list[i]);
        *list[i] = NULL;
    }
}

void at_blanker_begin(struct at_blanker *b)
{
    b->handed = b->seen = b->n = 0;
    b->age = 0;
    b->learned = 0;
    b->median = 0;
    b->credit = b->most_credit;
    b->open = b->too_long = false;
}

size_t at_blanker_held(const struct at_blanker *b)
{
    return b->n - b->handed;
}

static double power_at(const struct at_blanker *b, size_t i)
{
    double re = (double)b->iq[2 * i], im = (double)b->iq[2 * i + 1];
    return re * re + im * im;
}

/* ---- what goes on under a pulse ---- */

/* Burg's method over the CONTEXT samples x (n, 2) before the pulse: f and g are the errors of
 * prediction forwards and backwards (Marple 1987, ch. 8). Always stable. */
static void learn(struct at_blanker *b, const float *x, size_t n)
{
    float *f = b->work, *g = b->work + 2 * (size_t)CONTEXT;
    double(*a)[2] = b->a;
    memcpy(f, x, 2 * n * sizeof *f);
    memcpy(g, x, 2 * n * sizeof *g);
    memset(b->a, 0, sizeof b->a);
    for (size_t m = 0; m < ORDER && 2 * m < n; m++) {
        double re = 0, im = 0, all = 0;
        for (size_t k = m + 1; k < n; k++) {
            double fr = (double)f[2 * k], fi = (double)f[2 * k + 1], gr = (double)g[2 * k - 2],
                   gi = (double)g[2 * k - 1];
            re += fr * gr + fi * gi;
            im += fi * gr - fr * gi;
            all += fr * fr + fi * fi + gr * gr + gi * gi;
        }
        if (!(all > 0))
            return;
        double kr = 2 * re / all, ki = 2 * im / all;
        for (size_t k = n - 1; k > m; k--) {
            double fr = (double)f[2 * k], fi = (double)f[2 * k + 1], gr = (double)g[2 * k - 2],
                   gi = (double)g[2 * k - 1];
            f[2 * k] = (float)(fr - kr * gr + ki * gi);
            f[2 * k + 1] = (float)(fi - kr * gi - ki * gr);
            g[2 * k] = (float)(gr - kr * fr - ki * fi);
            g[2 * k + 1] = (float)(gi - kr * fi + ki * fr);
        }
        double old[ORDER][2];
        memcpy(old, b->a, m * sizeof *old);
        for (size_t i = 0; i < m; i++) {
            double r = old[m - 1 - i][0], j = -old[m - 1 - i][1];
            a[i][0] -= kr * r - ki * j;
            a[i][1] -= kr * j + ki * r;
        }
        a[m][0] = kr;
        a[m][1] = ki;
    }
}

/* x[0] from x[-way], x[-2 way] ..: forwards, or backwards with conjugate weights. */
static void predict(const struct at_blanker *b, const float *x, int way, double ret[2])
{
    ret[0] = ret[1] = 0;
    for (int i = 0; i < ORDER; i++) {
        const float *y = x - 2 * (ptrdiff_t)way * (i + 1);
        double ar = b->a[i][0], ai = way > 0 ? b->a[i][1] : -b->a[i][1];
        ret[0] += ar * (double)y[0] - ai * (double)y[1];
        ret[1] += ar * (double)y[1] + ai * (double)y[0];
    }
}

/* Carries on what lies on both sides of samples [from, to), the one fading into the other. after:
 * clean samples behind. */
static void carry_on(struct at_blanker *b, size_t from, size_t to, size_t after)
{
    size_t m = to - from, before = from < CONTEXT ? from : CONTEXT;
    bool ahead = before >= 2 * ORDER, behind = ahead && after >= ORDER;
    if (ahead && (b->learned == 0 || (double)(b->age - b->learned) > b->serves)) {
        learn(b, b->iq + 2 * (from - before), before);
        b->learned = b->age;
    }
    float *x = b->iq;
    memset(x + 2 * from, 0, 2 * m * sizeof *x);
    memset(b->fill, 0, 2 * m * sizeof *x);
    double p[2];
    for (size_t k = 0; behind && k < m && k < CARRIED; k++) {
        predict(b, x + 2 * (to - 1 - k), -1, p);
        x[2 * (to - 1 - k)] = b->fill[2 * (m - 1 - k)] = (float)p[0];
        x[2 * (to - 1 - k) + 1] = b->fill[2 * (m - 1 - k) + 1] = (float)p[1];
    }
    memset(x + 2 * from, 0, 2 * m * sizeof *x);
    for (size_t k = 0; ahead && k < m && k < CARRIED; k++) {
        predict(b, x + 2 * (from + k), 1, p);
        x[2 * (from + k)] = (float)p[0];
        x[2 * (from + k) + 1] = (float)p[1];
    }
    for (size_t k = 0; k < m; k++) {
        float w = behind ? ((float)k + 1) / ((float)m + 1) : 0;
        for (size_t i = 0; i < 2; i++)
            x[2 * (from + k) + i] += w * (b->fill[2 * k + i] - x[2 * (from + k) + i]);
    }
}

/* ---- pulses ---- */

/* The pulse is over; samples behind its last, up to `end`, are clean. */
static void close_pulse(struct at_blanker *b, size_t end)
{
    size_t from = b->first, to = b->last + 1 + GUARD < end ? b->last + 1 + GUARD : end;
    b->open = false;
    if ((double)(to - from) > b->credit)
        return;
    b->credit -= (double)(to - from);
    b->n_samples += to - from;
    b->n_pulses++;
    carry_on(b, from, to, end - to);
}

/* The TAIL samples up to i stand over the noise together. */
static bool rings(const struct at_blanker *b, size_t i)
{
    double most = EDGE * b->median, sum = 0;
    for (size_t k = i + 1 > TAIL ? i + 1 - TAIL : 0; k <= i; k++) {
        double power = power_at(b, k);
        sum += power < most ? power : most;
    }
    return sum > TAIL * RINGS * b->median;
}

/* Begins at i, or before, as far as it rises there. */
static void open_pulse(struct at_blanker *b, size_t i)
{
    size_t back = i;
    while (i - back <= ORDER - TAIL && back > b->handed + TAIL) {
        size_t k = 1;
        while (k <= HOLE && power_at(b, back - k) <= EDGE * b->median)
            k++;
        if (k > HOLE && !rings(b, back - 1))
            break;
        back -= k <= HOLE ? k : TAIL / 2;
    }
    b->first = back > GUARD ? back - GUARD : 0;
    b->last = i;
    b->open = true;
}

static void follow(struct at_blanker *b, double power)
{
    double young = 1 / (8 + (double)b->age / 8), step = young > b->slowest ? young : b->slowest;
    if (b->age == 0)
        b->median = power;
    double median = b->median * (1 + copysign(step, power - b->median)),
           credit = b->credit + AT_BLANKER_SHARE;
    b->median = median > 1e-30 ? median : 1e-30;
    b->age++;
    b->credit = credit < b->most_credit ? credit : b->most_credit;
}

/* Sample i, all before it are seen. */
static void see(struct at_blanker *b, size_t i)
{
    double power = power_at(b, i);
    if (!isfinite(power))
        b->iq[2 * i] = b->iq[2 * i + 1] = (float)(power = 0);
    follow(b, power);
    bool high = b->age > SETTLE && power > b->ratio * b->median;
    if (b->too_long) {
        b->last = high ? i : b->last;
        b->too_long = i - b->last < ORDER;
        return;
    }
    bool goes_on = b->open && i - b->last <= TAIL;
    if (goes_on && i - b->last <= HOLE && power > EDGE * b->median)
        b->last = i;
    else if (goes_on && i - b->last == TAIL && rings(b, i))
        b->last = i - TAIL / 2;
    if (b->open && b->last + 1 + GUARD - b->first >= b->longest) {
        b->open = false;
        b->too_long = true;
    } else if (b->open && !goes_on && (high || i - b->last > ORDER + GUARD)) {
        close_pulse(b, i);
    }
    if (high && !b->open && !b->too_long)
        open_pulse(b, i);
}

static void write_own(const void *ctx, size_t from, size_t n, float *iq)
{
    memcpy(iq, (const float *)ctx + 2 * from, 2 * n * sizeof *iq);
}

/* Samples before `to` are known. */
static int hand_on(struct at_blanker *b, size_t to)
{
    struct at_input input = {write_own, b->iq};
    size_t from = b->handed;
    if (to <= from)
        return 0;
    b->handed = to;
    int ret = b->take(b->ctx, &input, from, to - from);
    size_t old = b->handed > CONTEXT ? b->handed - CONTEXT : 0;
    memmove(b->iq, b->iq + 2 * old, 2 * (b->n - old) * sizeof *b->iq);
    b->handed -= old;
    b->seen -= old;
    b->n -= old;
    b->first -= old;
    b->last -= old;
    return ret;
}

int at_blanker_push(struct at_blanker *b, const struct at_input *input, size_t n)
{
    int ret = 0;
    for (size_t from = 0, some; from < n && ret == 0; from += some) {
        some = n - from < SLICE ? n - from : SLICE;
        input->write(input->ctx, from, some, b->iq + 2 * b->n);
        b->n += some;
        while (b->seen < b->n)
            see(b, b->seen++);
        size_t known = b->open ? b->first : b->n;
        ret = hand_on(b, known > ORDER ? known - ORDER : 0);
    }
    return ret;
}

int at_blanker_flush(struct at_blanker *b)
{
    if (b->open)
        close_pulse(b, b->n);
    int ret = hand_on(b, b->n);
    at_blanker_begin(b);
    return ret;
}
