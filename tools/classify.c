/* attune classify: the emissions of a recording, one a line, and a summary.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/limits.h"
#include "tools/picture.h"
#include "tools/receive.h"
#include "tools/spectrogram.h"
#include "tools/tools.h"

extern const struct at_command at_command_classify;
#define SELF (&at_command_classify)

#define READ_SAMPLES 65536
#define MAX_BOXES    4096

struct job {
    struct at_file_options file;
    struct at_reception reception;
    const char *path, *picture;
    bool json;
    struct at_source *source;
    struct at_source_info info;
    struct at_spectrogram *spectrogram;
    float *iq;
    /* what came out */
    struct at_summary summary;
    struct at_picture_box *boxes; /* (MAX_BOXES) */
    size_t n_boxes;
    uint64_t end; /* samples, gaps included */
    bool broken_output;
};

static void keep_box(struct job *j, const struct at_result *r)
{
    if (!j->boxes || j->n_boxes == MAX_BOXES)
        return;
    struct at_picture_box *b = &j->boxes[j->n_boxes++];
    *b = (struct at_picture_box){.start_s = r->start_s,
                                 .end_s = r->end_s,
                                 .f_lo_hz = r->center_rf_hz + r->emission.f_lo_hz,
                                 .f_hi_hz = r->center_rf_hz + r->emission.f_hi_hz,
                                 .colour = -1,
                                 .weight = r->emission.energy};
    if (!r->has_answer)
        return;
    b->colour = at_model_label_index(r->model, r->answer.label);
    snprintf(b->label, sizeof(b->label), "%s %.0f %%", r->answer.label,
             100 * (double)r->answer.confidence);
}

static void print_row(const struct job *j, const struct at_result *r)
{
    char line[320];
    if (j->summary.emissions == 1)
        printf("%s%10s %9s  %14s  %10s  %8s  %-8s %5s  %-6s %9s%s\n", at_sgr(stdout, "2"),
               "start s", "length s", "centre", "bandwidth", "SNR", "class", "conf", "via", "cost",
               at_sgr(stdout, "0"));
    at_result_format_line(r, line, sizeof(line));
    printf("%10.4f %9.4f  %s\n", r->start_s, r->end_s - r->start_s, line);
}

static void on_result(void *ctx, const struct at_result *r)
{
    struct job *j = ctx;
    if (!r->emission.ended)
        return;
    at_summary_add(&j->summary, r);
    keep_box(j, r);
    if (!j->json) {
        print_row(j, r);
        j->broken_output |= fflush(stdout) != 0;
    } else if (at_json_line(stdout, at_result_to_json(r)) < 0) {
        j->broken_output = true;
    }
}

/* ---- the way through the file ---- */

static void show_progress(const struct job *j, int64_t start_ns)
{
    static int64_t shown_ns;
    int64_t now_ns = at_clock_mono_ns();
    if (!isatty(STDERR_FILENO) || now_ns - start_ns < 2 * AT_NS_PER_S ||
        now_ns - shown_ns < AT_NS_PER_S / 5)
        return;
    shown_ns = now_ns;
    if (j->info.n_samples)
        fprintf(stderr, "\r%3.0f %% of %.1f s\033[K\r",
                100.0 * (double)j->end / (double)j->info.n_samples,
                (double)j->info.n_samples / j->info.rate_hz);
    else
        fprintf(stderr, "\r%.1f s\033[K\r", (double)j->end / j->info.rate_hz);
}

static int read_all(struct job *j, struct at_error *err)
{
    int64_t start_ns = at_clock_mono_ns();
    for (;;) {
        struct at_read got = {0};
        int ret = j->source->ops->read(j->source, j->iq, READ_SAMPLES, 1000, &got, err);
        if (ret == -ENODATA)
            break;
        if (ret < 0 && ret != -EAGAIN)
            return ret;
        if (ret < 0 || got.n == 0)
            continue;
        if (j->spectrogram)
            at_spectrogram_push(j->spectrogram, j->iq, got.n, got.index);
        ret = at_receiver_push(j->reception.receiver, j->iq, got.n, got.index, got.delivered_ns,
                               got.utc_ns);
        if (ret < 0)
            return at_error_set(err, ret, "%s: %s", j->path, strerror(-ret));
        j->end = got.index + got.n;
        show_progress(j, start_ns);
        if (j->broken_output)
            return at_error_set(err, -EPIPE, "standard output: %s", strerror(EPIPE));
    }
    int ret = at_receiver_flush(j->reception.receiver);
    return ret < 0 ? at_error_set(err, ret, "%s: %s", j->path, strerror(-ret)) : 0;
}

static int write_picture(struct job *j, struct at_error *err)
{
    char title[256];
    struct at_picture p = {.title = title,
                           .rate_hz = j->info.rate_hz,
                           .center_hz = j->info.center_hz,
                           .boxes = j->boxes,
                           .n_boxes = j->n_boxes};
    float *rows = NULL;
    int ret = at_spectrogram_get(j->spectrogram, &rows, &p.n_rows, &p.n_bins, &p.row_s);
    if (ret < 0)
        return at_error_set(err, ret,
                            ret == -ENODATA ? "too few samples for a picture" : "no memory");
    p.dbfs_hz = rows;
    p.seconds = (double)j->end / j->info.rate_hz;
    int n =
        snprintf(title, sizeof(title), "%.150s   %.4g MS/s", j->info.name, j->info.rate_hz / 1e6);
    if (j->info.center_hz > 0 && n > 0)
        snprintf(title + n, sizeof(title) - (size_t)n, " at %.6g MHz", j->info.center_hz / 1e6);
    ret = at_picture_write(&p, j->picture, err);
    free(rows);
    return ret;
}

static int print_summary(struct job *j, double wall_s)
{
    const struct at_summary *all = &j->summary;
    double seconds = (double)j->end / j->info.rate_hz;
    if (!j->json) {
        printf("%s%s%s", at_sgr(stdout, "1"), at_summary_class(all), at_sgr(stdout, "0"));
        if (all->best.label[0])
            printf(" (%.0f %%)", 100 * (double)all->best.confidence);
        printf(": %u emission%s in %.4g s, %.2f s of work\n", all->emissions,
               all->emissions == 1 ? "" : "s", seconds, wall_s);
        return ferror(stdout) ? -1 : 0;
    }
    json_t *s = at_summary_to_json(all, seconds, wall_s);
    return at_json_line(stdout, s ? json_pack("{s:o}", "summary", s) : NULL);
}

/* What the file is not: cut short, odd bytes at its end; what was lost in it. */
static void warn_lost(struct job *j)
{
    struct at_ledger ledger;
    char text[sizeof j->info.message];
    snprintf(text, sizeof text, "%s", j->info.message);
    at_text_clean(text);
    if (text[0])
        fprintf(stderr, "attune classify: %s: %s\n", j->path, text);
    j->source->ops->get_ledger(j->source, &ledger);
    j->summary.corrupt = ledger.lost[AT_LOST_CORRUPT];
    for (int i = 0; i < AT_LOST_REASONS; i++)
        if (ledger.lost[i] > 0)
            fprintf(stderr, "attune classify: %s: %llu samples left out (%s)\n", j->path,
                    (unsigned long long)ledger.lost[i],
                    at_lost_reason_name((enum at_lost_reason)i));
}

/* What its captures were tuned to: one band is read. */
static int get_one_band(struct job *j, struct at_error *err)
{
    j->source->ops->get_info(j->source, &j->info);
    if (j->info.other_center_hz == 0)
        return 0;
    return at_error_set(
        err, -EINVAL,
        "%s: its captures are tuned to %.10g and %.10g MHz; cut it apart there, or say "
        "--freq to read it as one",
        j->path, j->info.center_hz / 1e6, j->info.other_center_hz / 1e6);
}

static int open_all(struct job *j, struct at_error *err)
{
    struct at_receiver_sink sink = {.ctx = j, .result = on_result};
    int ret = at_source_open_file(j->path, &j->file, err, &j->source);
    if (ret == 0)
        ret = get_one_band(j, err);
    if (ret == 0)
        ret = j->source->ops->start(j->source, err);
    if (ret == 0)
        ret = at_reception_open(&j->reception, err);
    if (ret < 0)
        return ret;
    j->iq = malloc(READ_SAMPLES * 2 * sizeof(*j->iq));
    if (j->picture) {
        j->boxes = malloc(MAX_BOXES * sizeof(*j->boxes));
        ret = at_spectrogram_create(j->info.rate_hz, j->info.n_samples, &j->spectrogram);
    }
    if (ret < 0 || !j->iq || (j->picture && !j->boxes))
        return at_error_set(err, -ENOMEM, "no memory");
    return at_reception_start(&j->reception, &j->info, "file", j->info.name, &sink, err);
}

static int work(struct job *j)
{
    struct at_error err = {0};
    int64_t start_ns = at_clock_mono_ns();
    int ret = open_all(j, &err);
    if (ret == 0)
        ret = read_all(j, &err);
    if (ret == 0 && j->end == 0) /* what should have written it has failed */
        ret = at_error_set(&err, -ENODATA, "%s: no samples came",
                           strcmp(j->path, "-") ? j->path : "standard input");
    if (j->end > 0 && isatty(STDERR_FILENO))
        fprintf(stderr, "\033[K");
    if (ret == 0 && j->picture)
        ret = write_picture(j, &err);
    if (ret == 0) {
        warn_lost(j);
        double wall_s = (double)(at_clock_mono_ns() - start_ns) / 1e9;
        if (print_summary(j, wall_s) < 0)
            ret = at_error_set(&err, -EPIPE, "standard output: cannot be written");
    }
    int code = ret == 0 ? AT_EXIT_OK : at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    at_reception_close(&j->reception);
    at_spectrogram_destroy(j->spectrogram);
    free(j->boxes);
    free(j->iq);
    if (j->source)
        j->source->ops->destroy(j->source);
    return code;
}

#define OF(m) offsetof(struct job, m)
static const struct at_option options[] = {
    {"format", 'F', AT_OPTION_CHOICE, OF(file.format), "NAME",
     "sample format " AT_IQ_FORMAT_NAMES "; wins over what the file says",
     .choices = "cu8,cs8,cs16,cs24,cs32,cf32"},
    {"rate", 's', AT_OPTION_NUMBER, OF(file.rate_hz), "HZ", "samples a second, such as 250k", 1,
     1e9},
    {"freq", 'f', AT_OPTION_NUMBER, OF(file.center_hz), "HZ", "centre frequency, such as 433.92M",
     0, AT_CENTER_MAX_HZ},
    AT_RECEPTION_OPTIONS(struct job, reception),
    {"picture", 'o', AT_OPTION_TEXT, OF(picture), "FILE.png",
     "write the waterfall with every emission boxed, as PNG"},
    {"json", 'j', AT_OPTION_FLAG, OF(json), NULL, "one JSON object per emission, then a summary"},
    {0},
};

/* `--picture capture.cu8` is a picture's name forgotten: the recording must outlive that. */
static bool is_png(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && !strcasecmp(path + n - 4, ".png");
}

static int run(int argc, char **argv)
{
    struct job j = {.file = {.center_hz = NAN}};
    int code, n = at_options_parse(SELF, &j, argc, argv, &code);
    if (n < 0)
        return code;
    if (j.picture && !is_png(j.picture))
        return at_fail(SELF, AT_EXIT_USAGE, "--picture: %s: end its name in .png", j.picture);
    if (n != 1)
        return at_fail(SELF, AT_EXIT_USAGE, n == 0 ? "which file?" : "one file at a time");
    if ((code = at_refuse_bare(SELF, j.file.center_hz)))
        return code;
    j.path = argv[1];
    return work(&j);
}

const struct at_command at_command_classify = {
    .name = "classify",
    .summary = "Name the emissions of a recording",
    .usage = "[OPTION]... FILE|-",
    .details =
        "FILE: raw .cu8 .cs8 .cs16 .cs24 .cs32 .cf32 or another name of theirs (.cfile, "
        ".complex16u, .sc16, "
        "...; beside a PortaPack's .C16 or .C8 its .TXT is read), SigMF (an archive too), "
        "two-channel WAV, or "
        "SDRangel's .sdriq; - reads raw samples from standard input. The summary's class is that "
        "of the emission with the most energy. An "
        "emission that makes more than 4096 tokens a second is read in part; share_seen says "
        "how much.",
    .examples = "attune classify g001_433.92M_250k.cu8\n"
                "attune classify --json --picture out.png capture.sigmf-meta\n"
                "rtl_sdr -f 433920000 -s 250000 -n 2500000 - | attune classify -F cu8 -s 250k -f "
                "433.92M -\n",
    .options = options,
    .files = true,
    .run = run,
};
