/* What lib/model/decide.c makes of logits, for tests/train/test_rule.py: `rule MODEL` reads lines
 * of a backend, SNR in dB, tokens, the emission's share of the band and the model's n_classes
 * logits; prints temperature, evidence, largest probability and label of each.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "lib/model/decide.h"

static int answer(const struct at_model *m)
{
    char backend[16];
    double snr_db, tokens, share;
    while (scanf("%15s %lf %lf %lf", backend, &snr_db, &tokens, &share) == 4) {
        float logits[AT_MAX_CLASSES];
        struct at_verdict v = {0};
        struct at_answer a;
        for (uint32_t i = 0; i < m->config.n_classes; i++)
            if (scanf("%f", &logits[i]) != 1)
                return EXIT_FAILURE;
        at_verdict_add(&v, m, backend, logits, (float)snr_db, tokens, tokens);
        at_verdict_answer(&v, m, backend, (float)snr_db, share, &a);
        printf("%.9g %.9g %.9g %s\n",
               at_decide_temperature(m, backend, logits, (float)snr_db, tokens),
               at_decide_evidence(m, backend, logits, (float)snr_db, tokens, share),
               (double)a.confidence, a.label);
    }
    return feof(stdin) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct at_error err = {""};
    struct at_model *m = NULL;
    if (argc != 2 || at_model_read(NULL, argv[1], &err, &m) < 0) {
        fprintf(stderr, "rule: %s\n", argc == 2 ? err.text : "usage: rule MODEL");
        return EXIT_FAILURE;
    }
    int status = answer(m);
    at_model_destroy(m);
    return status;
}
