/* attune verify: golden cases and models through every backend, kernel variant and mode that runs
 * here. SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/verify.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/tools.h"

extern const struct at_command at_command_verify;
#define SELF (&at_command_verify)

void verify_add(struct verify_sum *sum, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double d = (double)got[i] - want[i];
        sum->error += d * d;
        sum->power += (double)want[i] * want[i];
    }
}

double verify_nmse(const struct verify_sum *sum)
{
    if (sum->power > 0 || sum->error != 0)
        return sum->error / sum->power;
    return 0;
}

const struct at_tensor *verify_expected(const struct at_safetensors *f, const char *prefix,
                                        const char *backend)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", prefix, backend);
    const struct at_tensor *t = at_safetensors_find(f, name);
    if (t || strcmp(backend, "flash") != 0)
        return t;
    snprintf(name, sizeof name, "%smha", prefix); /* the same numbers by definition */
    return at_safetensors_find(f, name);
}

struct tally {
    bool json, failed_to_write;
    unsigned n, n_bad;
};

static void print_line(void *ctx, const struct verify_line *l)
{
    struct tally *t = ctx;
    t->n++;
    t->n_bad += !l->ok;
    if (t->json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:b}", "case", l->name, "backend",
                              l->backend, "kernel", l->kernel, "mode", at_mode_name(l->mode),
                              "nmse", at_json_real(l->nmse), "ok", l->ok);
        if (o && l->chunk)
            json_object_set_new(o, "chunk", json_integer((json_int_t)l->chunk));
        t->failed_to_write |= at_json_line(stdout, o) < 0;
        return;
    }
    char chunk[24] = "one run";
    if (l->chunk)
        snprintf(chunk, sizeof chunk, "by %zu", l->chunk);
    printf("%-20s %-7s %-8s %-5s %-8s %9.2e  %s%s%s\n", l->name, l->backend, l->kernel,
           at_mode_name(l->mode), chunk, l->nmse, at_sgr(stdout, l->ok ? "32" : "1;31"),
           l->ok ? "ok" : "NOT OK", at_sgr(stdout, "0"));
}

/* "/x/attention-0.safetensors" -> "attention-0" */
static void case_name(const char *path, char *out, size_t n)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path,
               *dot = strrchr(base, '.');
    snprintf(out, n, "%.*s", (int)(dot ? (size_t)(dot - base) : strlen(base)), base);
}

static int verify_file(const char *path, struct tally *t)
{
    struct at_safetensors *f = NULL;
    struct at_error err = {""};
    struct verify_sink sink = {.ctx = t, .line = print_line};
    char name[128];
    unsigned before = t->n;
    case_name(path, name, sizeof name);
    if (at_safetensors_read(NULL, path, &err, &f) < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s", err.text);
    int r;
    if (at_safetensors_find(f, "q")) {
        r = verify_attention(f, name, &sink, &err);
        at_safetensors_destroy(f);
    } else {
        r = verify_model(f, name, &sink, &err);
    }
    if (r < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s: %s", path, err.text);
    if (t->n == before)
        return at_fail(SELF, AT_EXIT_FAILED, "%s: no expected results for any backend", path);
    return 0;
}

static int is_case(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && strcmp(dot, ".safetensors") == 0;
}

static int verify_folder(const char *path, struct tally *t)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_case, versionsort), code = 0;
    if (n < 0)
        return at_fail(SELF, AT_EXIT_FAILED, "%s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        char file[4096];
        int len = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (len < (int)sizeof file && verify_file(file, t))
            code = AT_EXIT_FAILED;
        free(entries[i]);
    }
    free(entries);
    return n == 0 ? at_fail(SELF, AT_EXIT_FAILED, "%s: no .safetensors files", path) : code;
}

static const struct at_option options[] = {
    {"json", 'j', AT_OPTION_FLAG, offsetof(struct tally, json), NULL,
     "one JSON object per comparison"},
    {0},
};

static int run(int argc, char **argv)
{
    struct tally t = {0};
    int code = 0, n = at_options_parse(SELF, &t, argc, argv, &code);
    if (n < 0)
        return code;
    if (n == 0)
        return at_fail(SELF, AT_EXIT_USAGE, "a golden file, a model or a folder of them expected");
    for (int i = 1; i <= n; i++) {
        struct stat st;
        bool folder = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        if (folder ? verify_folder(argv[i], &t) : verify_file(argv[i], &t))
            code = AT_EXIT_FAILED;
    }
    if (!t.json && t.n)
        printf("%u compared, %u not ok\n", t.n, t.n_bad);
    return t.n_bad || t.failed_to_write ? AT_EXIT_FAILED : code;
}

const struct at_command at_command_verify = {
    .name = "verify",
    .summary = "Compare every backend and kernel variant with golden results",
    .usage = "[OPTION]... FILE|FOLDER...",
    .details =
        "FILE is an attention or encoder case (tests/golden) or a model, which carries golden "
        "frames and logits. Each is computed in one run and, where it is causal, in chunks of "
        "1, 7, 32 and 64 tokens. nmse is the normalised mean square error against the float64 "
        "reference: at most 1e-10 (fp32) or 1e-4 (bf16) is ok.\n"
        "ATTUNE_CPU_MASK=generic,v3,... leaves only these kernel variants. Exit code 1 where "
        "one is not ok.",
    .examples = "attune verify tests/golden\n"
                "attune verify --json models/attune-base.safetensors\n",
    .options = options,
    .files = true,
    .run = run,
};
