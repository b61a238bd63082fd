/* A band full of transmitters. SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/synth/gen.h"

struct scratch {
    float *iq;      /* (n + fade, 2) of one emitter */
    float *half;    /* ((n + fade) / 2 + AT_GEN_EXTRA, 2) */
    uint8_t *on;    /* (n + fade) of one emitter */
    uint8_t *marks; /* (n + fade + AT_GEN_EXTRA) */
};

/* Joins the end to the beginning: what runs on past n is faded into the first `fade` samples, its
 * phase turned over the whole length so that both agree where they meet. */
static void close_loop(float *iq, size_t n, size_t fade)
{
    double re = 0, im = 0;
    for (size_t i = 0; i < fade; i++) {
        const float *a = iq + 2 * i, *b = iq + 2 * (n + i);
        re += (double)a[0] * b[0] + (double)a[1] * b[1];
        im += (double)b[1] * a[0] - (double)b[0] * a[1];
    }
    if (re != 0 || im != 0) {
        double turn = -atan2(im, re) / AT_TAU / (double)n;
        at_gen_mix(iq, n + fade, turn, 0);
    }
    for (size_t i = 0; i < fade; i++) {
        double w = ((double)i + 0.5) / (double)fade, in = w, out = 1 - w;
        for (int q = 0; q < 2; q++)
            iq[2 * i + q] = (float)(in * iq[2 * i + q] + out * iq[2 * (n + i) + q]);
    }
}

/* One echo, at most 3 dB down and a part of a symbol late; its phase turns a few times over the
 * scene, as a moving reflector makes it, which fades narrow signals. */
static void echo(struct at_rng *r, double strength, double rate_hz, double bw_hz, float *iq,
                 size_t n)
{
    size_t delay = 1 + (size_t)(at_rng_uniform(r, 0.02, 0.5) * rate_hz / bw_hz);
    double a = 0.7 * strength, p = at_rng_uniform(r, 0, 1), turns = at_rng_int(r, -3, 3),
           step = turns / (double)n;
    float c = 1, d = 0;
    for (size_t i = n; i-- > delay;) {
        if (i % 64 == 63 || i == n - 1) {
            double w = AT_TAU * (p + step * (double)i);
            c = (float)(a * cos(w));
            d = (float)(a * sin(w));
        }
        const float *s = iq + 2 * (i - delay);
        iq[2 * i] += c * s[0] - d * s[1];
        iq[2 * i + 1] += c * s[1] + d * s[0];
    }
}

static void drift(double cycles, float *iq, size_t n)
{
    for (size_t k = 0; k < n;
         k += 256) { /* frequency rises in steps of 256 samples, phase without a jump */
        double x = (double)k / (double)n, f = cycles / (double)n * x;
        at_gen_mix(iq + 2 * k, n - k < 256 ? n - k : 256, f, fmod(cycles * x * x / 2, 1));
    }
}

static int add_emitter(const struct at_scene *scene, const struct at_emitter *e, int loop, size_t n,
                       struct scratch *s, float *iq, uint8_t *any_on, struct at_signal_truth *ret)
{
    double rate = scene->rate_hz;
    size_t first = (size_t)(e->start_s * rate),
           len = e->duration_s > 0 ? (size_t)(e->duration_s * rate) : n;
    if (first >= n)
        return -EINVAL;
    len = len > n - first ? n - first : len;
    size_t fade = loop && first == 0 && len == n ? (size_t)(0.01 * rate) : 0;
    if (fade > n / 4)
        fade = n / 4;
    struct at_signal_spec spec = e->signal;
    struct at_signal_truth t;
    spec.rate_hz = rate;
    spec.n = len + fade;
    int rc = loop ? at_signal_render_marked(&spec, s->iq, s->on, &t)
                  : at_gen_render(&spec, s->iq, any_on ? s->on : NULL, s->half, s->marks, &t);
    if (rc < 0)
        return rc;
    struct at_rng r;
    at_rng_seed(&r, spec.seed ^ UINT64_C(0x5851f42d4c957f2d));
    if (e->multipath > 0)
        echo(&r, e->multipath, rate, t.bandwidth_hz, s->iq, len + fade);
    if (e->drift_hz != 0)
        drift(e->drift_hz * (double)n / rate, s->iq, len + fade);
    double room = fmax(0, (rate - t.bandwidth_hz) / 2);
    double moved = e->fits ? fmin(fmax(e->offset_hz, -room), room) - e->offset_hz : 0;
    double f = (e->offset_hz + moved - t.center_hz) / rate +
               scene->channel.ppm * 1e-6 * scene->center_hz / rate;
    if (fade) {
        f = floor(f * (double)n + 0.5) / (double)n;
        close_loop(s->iq, n, fade);
    }
    double n0 = scene->channel.noise_dbfs_hz < 0 ? scene->channel.noise_dbfs_hz : -120;
    double amp = sqrt(pow(10, (n0 + e->snr_db) / 10) * fmax(t.bandwidth_hz, rate / 65536));
    at_gen_mix_add(iq + 2 * first, s->iq, len, f, at_rng_uniform(&r, 0, 1), amp);
    for (size_t i = 0; any_on && i < len; i++)
        any_on[first + i] |= s->on[i];
    t.center_hz = moved; /* the occupied band was put onto offset_hz */
    t.first += first;
    t.last = (t.last > len ? len : t.last) + first;
    t.burst_first += first;
    t.burst_last = (t.burst_last > len ? len : t.burst_last) + first;
    t.on_share *= (double)len / (double)n;
    *ret = t;
    return 0;
}

int at_scene_render(const struct at_scene *scene, int loop, float *iq,
                    struct at_signal_truth *ret_truth)
{
    size_t n = (size_t)(scene->rate_hz * scene->duration_s),
           fade = (size_t)(0.01 * scene->rate_hz) + 1;
    if (!(scene->rate_hz > 0) || n == 0 ||
        scene->n_emitters > sizeof scene->emitters / sizeof *scene->emitters)
        return -EINVAL;
    struct scratch s = {
        at_mem_array_raw(NULL, AT_MEM_IQ, 2 * (n + fade), sizeof(float)),
        at_mem_array_raw(NULL, AT_MEM_IQ, n + fade + 2 * AT_GEN_EXTRA, sizeof(float)),
        at_mem_array_raw(NULL, AT_MEM_OTHER, n + fade, 1),
        at_mem_array_raw(NULL, AT_MEM_OTHER, n + fade + AT_GEN_EXTRA, 1)};
    uint8_t *any_on = scene->channel.gated ? at_mem_alloc(NULL, AT_MEM_OTHER, n) : NULL;
    int rc =
        !s.iq || !s.half || !s.on || !s.marks || (scene->channel.gated && !any_on) ? -ENOMEM : 0;
    memset(iq, 0, 2 * n * sizeof *iq);
    for (size_t i = 0; rc == 0 && i < scene->n_emitters; i++) {
        struct at_signal_truth t = {0};
        rc = add_emitter(scene, &scene->emitters[i], loop, n, &s, iq, any_on, &t);
        if (rc == 0 && ret_truth)
            ret_truth[i] = t;
    }
    if (rc == 0)
        rc = at_channel_apply(&scene->channel, scene->rate_hz, loop, any_on, iq, n);
    at_mem_free(NULL, s.iq);
    at_mem_free(NULL, s.half);
    at_mem_free(NULL, s.on);
    at_mem_free(NULL, s.marks);
    at_mem_free(NULL, any_on);
    return rc;
}
