/* What the example generator makes, and how fast, on one core:
 *
 *     build/tests/bench/examples [SCENES [PER_SCENE [TOKENS [FIRST_SEED]]]]
 *
 * TOKENS 0: the lengths of training (32 to 1024). The scenes are made twice, the first time for FFT
 * plans and caches. Times are the thread's CPU time, so that a loaded machine does not spoil them.
 * Fails where a value is not finite. SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/dataset/dataset.h"
#include "lib/synth/synth.h"

#define MAX_PER_SCENE 16

struct tally {
    long scenes, examples, empty, tokens, detected, strong, strong_detected, false_alarms, bad;
    long of[AT_CLASS_COUNT + 1];
};

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint32_t length_of(long scene)
{
    static const struct {
        uint32_t tokens;
        double below;
    } mix[] = {{32, .10}, {64, .24}, {128, .39}, {256, .57}, {512, .77}, {1024, 1.01}};
    double u = fmod((double)scene * 0.6180339887, 1);
    size_t i = 0;
    while (u >= mix[i].below)
        i++;
    return mix[i].tokens;
}

static void count(struct tally *t, const struct at_example_info *info, const float *frames)
{
    size_t n = (size_t)info->n_tokens * (size_t)at_example_columns();
    t->examples++;
    t->tokens += info->n_tokens;
    t->detected += info->detected;
    t->false_alarms += !strcmp(info->variant, "false_alarm");
    t->of[info->class_id < 0 ? AT_CLASS_COUNT : info->class_id]++;
    if (info->class_id != AT_CLASS_NOISE && info->snr_db >= 12) {
        t->strong++;
        t->strong_detected += info->detected;
    }
    for (size_t i = 0; i < n; i++)
        t->bad += !isfinite(frames[i]);
}

static void report(const struct tally *t, double seconds)
{
    double n = (double)t->examples;
    printf("{\"scenes\": %ld, \"examples\": %ld, \"per_s\": %.1f, \"us_per_token\": %.1f, "
           "\"mean_tokens\": %.0f, \"detected\": %.3f, \"detected_at_12_db\": %.3f, "
           "\"empty_scenes\": %ld, \"false_alarms\": %ld, \"not_finite\": %ld, \"shares\": {",
           t->scenes, t->examples, n / seconds, 1e6 * seconds / (double)t->tokens,
           (double)t->tokens / n, (double)t->detected / n,
           (double)t->strong_detected / (double)t->strong, t->empty, t->false_alarms, t->bad);
    for (int c = 0; c < AT_CLASS_COUNT; c++)
        printf("%s\"%s\": %.3f", c ? ", " : "", at_class_name(c), (double)t->of[c] / n);
    printf("}}\n");
}

int main(int argc, char **argv)
{
    long scenes = argc > 1 ? atol(argv[1]) : 340;
    int32_t per_scene = argc > 2 ? atoi(argv[2]) : 1;
    uint32_t fixed = argc > 3 ? (uint32_t)atol(argv[3]) : 0, most = fixed > 1024 ? fixed : 1024;
    uint64_t first = argc > 4 ? strtoull(argv[4], NULL, 0) : UINT64_C(3) << 56;
    size_t each = most * (size_t)at_example_columns();
    if (scenes < 1 || per_scene < 1 || per_scene > MAX_PER_SCENE) {
        fprintf(stderr, "usage: examples [SCENES [PER_SCENE 1..%d [TOKENS [FIRST_SEED]]]]\n",
                MAX_PER_SCENE);
        return 2;
    }
    float *frames = malloc((size_t)per_scene * each * sizeof *frames);
    struct at_example_info info[MAX_PER_SCENE];
    struct tally t = {.scenes = scenes};
    double began = 0;
    for (long k = 0; frames && k < 2 * scenes; k++) {
        long i = k % scenes;
        const struct at_example_spec spec = {.seed = first + (uint64_t)i,
                                             .class_id = (int32_t)(i % AT_CLASS_COUNT),
                                             .max_tokens = fixed ? fixed : length_of(i),
                                             .snr_lo_db = -10,
                                             .snr_hi_db = 40};
        if (k == scenes)
            began = cpu_s();
        int32_t n = at_examples_make(&spec, per_scene, frames, info);
        if (n < 0) {
            fprintf(stderr, "examples: seed %llu: %s\n", (unsigned long long)spec.seed,
                    strerror(-n));
            return 1;
        }
        t.empty += k >= scenes && n == 0;
        for (int32_t e = 0; k >= scenes && e < n; e++)
            count(&t, &info[e],
                  frames + (size_t)e * spec.max_tokens * (size_t)at_example_columns());
    }
    if (frames)
        report(&t, cpu_s() - began);
    free(frames);
    return !frames || t.bad > 0;
}
