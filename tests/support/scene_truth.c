/* scene_truth NAME: what a scene of lib/synth sends, one line for each transmitter: class, centre
 * (RF, Hz) and bandwidth (Hz, at most), separated by tabs. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/synth/synth.h"

/* As asked, or the widest that the variant comes in. */
static double bandwidth_of(const struct at_signal_spec *s)
{
    const struct at_variant *v;
    if (s->bandwidth_hz > 0)
        return s->bandwidth_hz;
    for (size_t i = 0; (v = at_variant_at(s->class_id, i)); i++)
        if (strcmp(v->name, s->variant) == 0)
            return v->bw_hi_hz;
    return 0;
}

int main(int argc, char **argv)
{
    struct at_scene *scene = calloc(1, sizeof *scene);
    if (argc != 2 || !scene || at_scene_named(argv[1], 0, 1, scene) < 0) {
        fprintf(stderr, "scene_truth: say a scene: scene_truth demo\n");
        free(scene);
        return 2;
    }
    for (size_t i = 0; i < scene->n_emitters; i++) {
        const struct at_emitter *e = &scene->emitters[i];
        printf("%s\t%.0f\t%.0f\n", at_class_name(e->signal.class_id),
               scene->center_hz + e->offset_hz, bandwidth_of(&e->signal));
    }
    free(scene);
    return 0;
}
