/* attune synth: a synthetic recording with the truth beside it, as SigMF annotations.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/newfile.h"
#include "lib/synth/synth.h"
#include "tools/tools.h"

extern const struct at_command at_command_synth;
#define SELF (&at_command_synth)

#define MAX_SAMPLES (512u << 20)

struct request {
    const char *class_name, *variant, *scene;
    double rate_hz, center_hz, bandwidth_hz, offset_hz, snr_db, seconds;
    uint32_t seed;
    bool loop, list;
};

enum format { CU8, CS8, CS16, CF32 };

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

/* By the name; -1: none that is known. */
static int format_of(const char *path)
{
    static const struct {
        const char *end;
        enum format format;
    } known[] = {
        {".cu8", CU8}, {".cs8", CS8}, {".cs16", CS16}, {".cf32", CF32}, {".sigmf-data", CF32}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (ends_with(path, known[i].end))
            return (int)known[i].format;
    return -1;
}

static int clamp(float v, float scale, int lo, int hi)
{
    int k = (int)lrintf(v * scale);
    return k < lo ? lo : k > hi ? hi : k;
}

/* n values of iq through a fixed buffer. */
static int write_samples(FILE *f, enum format format, const float *iq, size_t n)
{
    static const size_t sizes[] = {1, 1, 2, 4};
    unsigned char out[16384];
    size_t size = sizes[format], per = sizeof out / size;
    for (size_t k = 0; k < n; k += per) {
        size_t m = n - k < per ? n - k : per;
        for (size_t i = 0; i < m; i++) {
            float v = iq[k + i];
            int16_t s = (int16_t)clamp(v, 32767, -32768, 32767);
            switch (format) {
            case CU8:
                out[i] = (unsigned char)clamp(v * 127.5f + 127.5f, 1, 0, 255);
                break;
            case CS8:
                out[i] = (unsigned char)(signed char)clamp(v, 127, -128, 127);
                break;
            case CS16:
                out[2 * i] = (unsigned char)(s & 255);
                out[2 * i + 1] = (unsigned char)((s >> 8) & 255);
                break;
            case CF32:
                memcpy(out + 4 * i, &v, 4);
                break;
            }
        }
        errno = EIO;
        if (fwrite(out, size, m, f) != m)
            return -errno;
    }
    return 0;
}

/* Text, or without it samples. */
static int write_whole(const char *path, enum format format, const float *iq, size_t n,
                       const char *text)
{
    struct at_newfile file;
    if (text)
        return at_newfile_write(path, text, strlen(text));
    int error = at_newfile_open(&file, path);
    return error < 0 ? error : at_newfile_close(&file, write_samples(file.f, format, iq, 2 * n));
}

static json_t *annotation(const struct at_scene *scene, const struct at_emitter *e,
                          const struct at_signal_truth *t)
{
    double center = scene->center_hz + e->offset_hz + t->center_hz;
    return json_pack("{s:I, s:I, s:f, s:f, s:s, s:s, s:s, s:f, s:f}", "core:sample_start",
                     (json_int_t)t->first, "core:sample_count", (json_int_t)(t->last - t->first),
                     "core:freq_lower_edge", center - t->bandwidth_hz / 2, "core:freq_upper_edge",
                     center + t->bandwidth_hz / 2, "core:label", at_class_name(t->class_id),
                     "attune:class", at_class_name(t->class_id), "attune:variant", t->variant,
                     "attune:snr_db", e->snr_db, "attune:on_share", t->on_share);
}

static char *meta_text(const struct at_scene *scene, const struct at_signal_truth *truth,
                       enum format format, const char *dataset)
{
    static const char *const types[] = {"cu8", "ci8", "ci16_le", "cf32_le"};
    json_t *notes = json_array();
    for (size_t i = 0; i < scene->n_emitters; i++)
        if (truth[i].on_share > 0)
            json_array_append_new(notes, annotation(scene, &scene->emitters[i], &truth[i]));
    json_t *extension =
        json_pack("{s:s, s:s, s:b}", "name", "attune", "version", "0.1.0", "optional", 1);
    json_t *global = json_pack("{s:s, s:f, s:s, s:s, s:s, s:[o]}", "core:datatype", types[format],
                               "core:sample_rate", scene->rate_hz, "core:version", "1.0.0",
                               "core:description", "synthetic, by attune synth", "core:recorder",
                               "attune " AT_VERSION, "core:extensions", extension);
    if (dataset)
        json_object_set_new(global, "core:dataset", json_string(dataset));
    json_t *meta =
        json_pack("{s:o, s:[{s:i, s:f}], s:o}", "global", global, "captures", "core:sample_start",
                  0, "core:frequency", scene->center_hz, "annotations", notes);
    char *text = meta ? json_dumps(meta, JSON_INDENT(2)) : NULL;
    json_decref(meta);
    return text;
}

/* x.cu8 -> x.sigmf-meta. */
static int meta_path(const char *path, char *out, size_t n)
{
    const char *dot = strrchr(path, '.');
    return (size_t)snprintf(out, n, "%.*s.sigmf-meta", (int)(dot - path), path) < n ? 0
                                                                                    : -ENAMETOOLONG;
}

static int save(const char *path, const struct at_scene *scene, const struct at_signal_truth *truth,
                const float *iq, size_t n)
{
    enum format format = (enum format)format_of(path);
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    char beside[4096];
    int rc = meta_path(path, beside, sizeof beside);
    char *text = meta_text(scene, truth, format, ends_with(path, ".sigmf-data") ? NULL : name);
    if (!text)
        rc = -ENOMEM;
    if (!rc)
        rc = write_whole(path, format, iq, n, NULL);
    if (!rc)
        rc = write_whole(beside, format, NULL, 0, text);
    free(text);
    return rc ? at_fail(SELF, AT_EXIT_FAILED, "%s: %s", path, strerror(-rc)) : AT_EXIT_OK;
}

static int list_variants(void)
{
    for (int c = 0; c < AT_CLASS_COUNT; c++) {
        const struct at_variant *v;
        for (size_t i = 0; (v = at_variant_at(c, i)); i++)
            printf("%-8s %-18s %10.0f..%.0f Hz%s\n", at_class_name(c), v->name, v->bw_lo_hz,
                   v->bw_hi_hz, v->burst_hi_s > 0 ? ", bursts" : "");
    }
    return AT_EXIT_OK;
}

static int make_scene(const struct request *q, struct at_scene *ret)
{
    if (q->scene) {
        if (at_scene_named(q->scene, q->rate_hz, q->seed, ret) < 0)
            return at_fail(SELF, AT_EXIT_USAGE,
                           "no scene \"%.40s\"; there are demo, dense, fm30, quiet", q->scene);
        if (q->seconds > 0)
            ret->duration_s = q->seconds;
        if (q->center_hz > 0)
            ret->center_hz = q->center_hz;
        return 0;
    }
    int id = at_class_from_name(q->class_name);
    if (id < 0)
        return at_fail(SELF, AT_EXIT_USAGE, "no class \"%.40s\"; --list names all", q->class_name);
    *ret = (struct at_scene){.rate_hz = q->rate_hz > 0 ? q->rate_hz : 1e6,
                             .center_hz = q->center_hz,
                             .duration_s = q->seconds > 0 ? q->seconds : 2,
                             .n_emitters = id == AT_CLASS_NOISE ? 0 : 1};
    ret->channel = (struct at_channel_spec){.seed = q->seed + 1, .noise_dbfs_hz = -120};
    struct at_emitter *e = &ret->emitters[0];
    *e = (struct at_emitter){.offset_hz = q->offset_hz, .snr_db = q->snr_db};
    e->signal =
        (struct at_signal_spec){.class_id = id, .seed = q->seed, .bandwidth_hz = q->bandwidth_hz};
    if (q->variant)
        snprintf(e->signal.variant, sizeof e->signal.variant, "%s", q->variant);
    return 0;
}

/* What lies beyond the band would come in again at its other side, where the truth does not say it
 * is. */
static int check_offset(const struct request *q)
{
    double rate = q->rate_hz > 0 ? q->rate_hz : 1e6;
    if (q->scene || fabs(q->offset_hz) < rate / 2)
        return 0;
    return at_fail(SELF, AT_EXIT_USAGE, "--offset: %.0f Hz lies beyond a band of %.0f Hz",
                   q->offset_hz, rate);
}

static int check_variant(const struct request *q)
{
    int id = q->class_name ? at_class_from_name(q->class_name) : -1;
    const struct at_variant *v = NULL;
    for (size_t i = 0; q->variant && id >= 0 && (v = at_variant_at(id, i)); i++)
        if (strcmp(v->name, q->variant) == 0)
            return 0;
    if (q->variant && id >= 0)
        return at_fail(SELF, AT_EXIT_USAGE, "%s has no variant \"%.40s\"; --list names all",
                       q->class_name, q->variant);
    return 0;
}

/* The strongest peak at 0.8 of full scale: integer formats hold it. */
static void to_full_scale(float *iq, size_t n)
{
    float peak = 0;
    for (size_t i = 0; i < 2 * n; i++)
        peak = fabsf(iq[i]) > peak ? fabsf(iq[i]) : peak;
    for (size_t i = 0; peak > 0 && i < 2 * n; i++)
        iq[i] *= 0.8f / peak;
}

static int render(const struct request *q, const struct at_scene *scene, const char *path)
{
    double samples = scene->rate_hz * scene->duration_s;
    if (!(samples >= 1 && samples <= MAX_SAMPLES))
        return at_fail(SELF, AT_EXIT_USAGE, "%.0f samples; at most %u fit", samples, MAX_SAMPLES);
    size_t n = (size_t)samples;
    struct at_signal_truth truth[64] = {0};
    float *iq = malloc(2 * n * sizeof *iq);
    int rc = iq ? at_scene_render(scene, q->loop, iq, truth) : -ENOMEM, code;
    if (rc == -EINVAL)
        code =
            at_fail(SELF, AT_EXIT_FAILED,
                    "a signal doesn't fit %.0f Hz: take a higher --rate or a --bandwidth below it",
                    scene->rate_hz);
    else if (rc)
        code = at_fail(SELF, AT_EXIT_FAILED, "%s", strerror(-rc));
    else {
        to_full_scale(iq, n);
        code = save(path, scene, truth, iq, n);
    }
    free(iq);
    return code;
}

#define OF(m) offsetof(struct request, m)
static const struct at_option options[] = {
    {"class", 'c', AT_OPTION_TEXT, OF(class_name), "NAME", "what to send: ook, gfsk, ... (--list)",
     .choices =
         "carrier,cw,ook,am,ssb,nfm,wfm,fsk2,gfsk,fsk4,afsk,psk_qam,ofdm,css,ppm,chirp,noise"},
    {"variant", 'v', AT_OPTION_TEXT, OF(variant), "NAME",
     "member of the class; drawn by the seed if not given"},
    {"scene", 0, AT_OPTION_TEXT, OF(scene), "NAME",
     "a whole band instead: demo, dense, fm30, quiet", .choices = "demo,dense,fm30,quiet"},
    {"rate", 's', AT_OPTION_NUMBER, OF(rate_hz), "HZ",
     "samples a second; else 1M, or what the scene has", 1, 1e9},
    {"freq", 'f', AT_OPTION_NUMBER, OF(center_hz), "HZ", "centre that the metadata says"},
    {"bandwidth", 'b', AT_OPTION_NUMBER, OF(bandwidth_hz), "HZ",
     "occupied; scales time; the variant's own if not given"},
    {"offset", 'o', AT_OPTION_NUMBER, OF(offset_hz), "HZ", "of the signal against the centre", -1e9,
     1e9},
    {"snr", 0, AT_OPTION_NUMBER, OF(snr_db), "DB", "in the occupied bandwidth, while on", -60, 120,
     "20"},
    {"seconds", 't', AT_OPTION_NUMBER, OF(seconds), "S", "length; else 2, or what the scene has", 0,
     86400},
    {"seed", 0, AT_OPTION_COUNT, OF(seed), "N", "same seed, same samples", 0, 0, "1"},
    {"loop", 0, AT_OPTION_FLAG, OF(loop), NULL, "the end joins the beginning"},
    {"list", 0, AT_OPTION_FLAG, OF(list), NULL, "name classes and variants"},
    {0},
};

static int run(int argc, char **argv)
{
    struct request q = {0};
    int code = 0, n = at_options_parse(SELF, &q, argc, argv, &code);
    if (n < 0)
        return code;
    if (q.list)
        return list_variants();
    if (n != 1)
        return at_fail(SELF, AT_EXIT_USAGE, "give one output file");
    if (!q.class_name == !q.scene)
        return at_fail(SELF, AT_EXIT_USAGE, "give --class or --scene");
    if (format_of(argv[1]) < 0)
        return at_fail(SELF, AT_EXIT_USAGE,
                       "%.200s: end it in .cu8, .cs8, .cs16, .cf32 or .sigmf-data", argv[1]);
    struct at_scene *scene = calloc(1, sizeof *scene);
    code = scene ? check_variant(&q) : at_fail(SELF, AT_EXIT_FAILED, "out of memory");
    if (code == AT_EXIT_OK)
        code = check_offset(&q);
    if (!code)
        code = make_scene(&q, scene);
    if (!code)
        code = render(&q, scene, argv[1]);
    free(scene);
    return code;
}

const struct at_command at_command_synth = {
    .name = "synth",
    .summary = "Make a synthetic recording with its truth",
    .usage = "[OPTION]... OUT.cu8|cs8|cs16|cf32|sigmf-data",
    .details =
        "The truth stands beside it as OUT.sigmf-meta. Samples are scaled to 0.8 of full scale.",
    .examples = "attune synth --class gfsk --variant ais --rate 250k --snr 15 --seconds 2 ais.cu8\n"
                "attune synth --scene demo demo.sigmf-data\n",
    .options = options,
    .files = true,
    .run = run,
};
