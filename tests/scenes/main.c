/* scene_suite [--quick] [--what LIST] [--seeds N] [--json FILE] [--noise RATE SECONDS]
 * Plays scenes through the detector and prints its figures; exit 1 where one misses its floor.
 * SCENE_ONLY names one kind, scene or fault of a group, SCENE_VERBOSE shows what was sent and
 * found, SCENE_KEEP is a folder for scenes with an image or constant as emission. LIST of:
 * probability,bursts,edges,count,receiver,cold,noise (all). --quick: few seeds, a minute of noise.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scenes/scenes.h"

void report_figure(struct report *r, const char *name, double value, double least, double most)
{
    bool bad = (isfinite(least) && !(value >= least)) || (isfinite(most) && !(value <= most));
    printf("%-44s %10.4g", name, value);
    if (isfinite(least))
        printf("  >= %g", least);
    if (isfinite(most))
        printf("  <= %g", most);
    printf("%s\n", bad ? "  MISSED" : "");
    fflush(stdout);
    r->failed += bad;
    if (r->json && isfinite(value))
        fprintf(r->json, "%s  \"%s\": %.6g", r->first ? "" : ",\n", name, value);
    r->first = r->first && !(r->json && isfinite(value));
}

static const struct {
    const char *name;
    void (*run)(struct report *r); /* NULL: noise, which has more arguments */
} groups[] = {{"probability", group_probability},
              {"bursts", group_bursts},
              {"edges", group_edges},
              {"count", group_count},
              {"receiver", group_receiver},
              {"cold", group_cold},
              {"noise", NULL}};
enum { GROUPS = sizeof groups / sizeof *groups };

/* Which groups the names, divided by commas, ask for; false, and says so, where one is none. */
static bool choose(const char *what, bool *ret_wanted)
{
    for (size_t n; *what; what += n + (what[n] == ',')) {
        bool known = false;
        n = strcspn(what, ",");
        for (int i = 0; i < GROUPS; i++) {
            bool it = strlen(groups[i].name) == n && memcmp(groups[i].name, what, n) == 0;
            ret_wanted[i] = ret_wanted[i] || it;
            known = known || it;
        }
        if (!known) {
            fprintf(stderr, "scene_suite: no group %.*s; there are", (int)n, what);
            for (int i = 0; i < GROUPS; i++)
                fprintf(stderr, " %s", groups[i].name);
            fputs("\n", stderr);
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    const char *what = NULL, *json = NULL;
    struct report r = {.first = true};
    double noise_rate = 2.4e6, noise_s = 0;
    bool wanted[GROUPS] = {false};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            r.quick = true;
        } else if (strcmp(argv[i], "--what") == 0 && i + 1 < argc) {
            what = argv[++i];
        } else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            r.seeds = (unsigned)atoi(argv[++i]);
        } else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
            json = argv[++i];
        } else if (strcmp(argv[i], "--noise") == 0 && i + 2 < argc) {
            what = what ? what : "noise";
            noise_rate = atof(argv[++i]);
            noise_s = atof(argv[++i]);
        } else {
            fprintf(stderr, "scene_suite [--quick] [--what LIST] [--seeds N] [--json FILE] "
                            "[--noise RATE SECONDS]\n");
            return 2;
        }
    }
    if (what && !choose(what, wanted))
        return 2;
    if (json && !(r.json = fopen(json, "w"))) {
        perror(json);
        return 1;
    }
    if (r.json)
        fputs("{\n", r.json);
    for (int i = 0; i < GROUPS; i++) {
        if (what && !wanted[i])
            continue;
        if (groups[i].run)
            groups[i].run(&r);
        else
            group_noise(&r, noise_rate, noise_s > 0 ? noise_s : r.quick ? 60 : 600);
    }
    if (r.json) {
        fputs("\n}\n", r.json);
        if (fclose(r.json) != 0)
            r.failed++;
    }
    printf("%u missed\n", r.failed);
    return r.failed > 0;
}
