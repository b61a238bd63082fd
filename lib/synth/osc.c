/* The transmitter's oscillator and amplifier. SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/synth/gen.h"

void at_osc_draw(struct at_gen *g, double unit_hz, double len_s, struct at_osc *ret)
{
    struct at_osc o = {0};
    if (!g->clean) {
        if (at_gen_p(g, 0.4))
            o.drift_hz_s =
                at_gen_u(g, -0.15, 0.15) * unit_hz / (len_s > 0 ? len_s : at_gen_seconds(g));
        if (at_gen_p(g, 0.4)) { /* a synthesizer or crystal that settles after power-up */
            o.settle_hz = at_gen_u(g, -0.4, 0.4) * unit_hz;
            o.settle_s = at_gen_lu(g, 0.003, 0.5) * (len_s > 0 ? len_s : at_gen_seconds(g));
        }
        if (at_gen_p(g, 0.2)) {
            o.wander_hz = at_gen_u(g, 0, 0.05) * unit_hz;
            o.wander_s = at_gen_lu(g, 0.1, 3) * at_gen_seconds(g);
        }
    }
    *ret = o;
}

void at_osc_add(const struct at_osc *o, double fs, float *f_hz, long a, long b, double begin)
{
    double age = ((double)a - begin) / fs, dt = 1 / fs;
    if (o->offset_hz != 0 || o->drift_hz_s != 0) {
        float f = (float)(o->offset_hz + o->drift_hz_s * age), df = (float)(o->drift_hz_s * dt);
        for (long i = a; i < b; i++)
            f_hz[i] += f + df * (float)(i - a);
    }
    if (o->settle_hz != 0 && o->settle_s > 0) {
        float f = (float)(o->settle_hz * exp(-age / o->settle_s)),
              q = (float)exp(-dt / o->settle_s);
        for (long i = a; i < b && fabsf(f) > 1e-6f; i++, f *= q)
            f_hz[i] += f;
    }
    if (o->wander_hz != 0 && o->wander_s > 0) {
        float w = (float)(AT_TAU / o->wander_s / fs),
              p = (float)(AT_TAU * fmod(age / o->wander_s, 1.0));
        for (long i = a; i < b; i += 16) {
            float v = (float)o->wander_hz * sinf(p + w * (float)(i - a));
            for (long k = i; k < b && k < i + 16; k++)
                f_hz[k] += v;
        }
    }
}

void at_gen_amplifier(struct at_gen *g, double backoff_db)
{
    double sum = 0;
    size_t m = 0;
    for (size_t i = 0; i < g->n; i++) {
        float p = g->iq[2 * i] * g->iq[2 * i] + g->iq[2 * i + 1] * g->iq[2 * i + 1];
        sum += p;
        m += p > 0;
    }
    if (m == 0 || sum <= 0)
        return;
    float inv = (float)((double)m / sum / pow(10, backoff_db / 10));
    for (size_t i = 0; i < g->n; i++) {
        float p = g->iq[2 * i] * g->iq[2 * i] + g->iq[2 * i + 1] * g->iq[2 * i + 1];
        float k = 1 / sqrtf(1 + p * inv);
        g->iq[2 * i] *= k;
        g->iq[2 * i + 1] *= k;
    }
}
