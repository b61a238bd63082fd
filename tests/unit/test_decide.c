/* Calibration, verdicts and the outcomes that are no class. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/model/decide.h"

/* Classes noise, fsk2, gfsk, cw; group fsk {fsk2, gfsk}. */
static struct at_model make_model(void)
{
    struct at_model m = {.config.n_classes = 4,
                         .weak_snr_db = -10,
                         .weak_tokens = 4,
                         .sure_snr_db = INFINITY,
                         .n_groups = 1};
    static const char *const labels[] = {"noise", "fsk2", "gfsk", "cw"};
    for (int i = 0; i < 4; i++)
        snprintf(m.labels[i], AT_LABEL_SIZE, "%s", labels[i]);
    m.groups[0] = (struct at_group){.name = "fsk", .members = 6};
    return m;
}

static void expect_near(double got, double want, double by)
{
    if (!(fabs(got - want) <= by))
        fail_msg("got %.9g, expected %.9g +- %.1g", got, want, by);
}

static void test_probs_are_a_softmax(void **state)
{
    struct at_model m = make_model();
    float logits[4] = {0, 1, 2, 1000}, p[4];
    at_decide_probs(&m, "mha", logits, 10, 64, p); /* huge logits must not overflow */
    assert_true(p[3] == 1 && p[0] == 0);
    logits[3] = 3;
    at_decide_probs(&m, "mha", logits, 10, 64, p);
    expect_near(p[3], 1 / (1 + exp(-1) + exp(-2) + exp(-3)), 1e-7);
    expect_near(p[0] + p[1] + p[2] + p[3], 1, 1e-6);
}

static void test_temperature_follows_the_card(void **state)
{
    struct at_model m = make_model();
    m.n_calibration = 2;
    strcpy(m.calibration[0].backend, "mha");
    m.calibration[0].a = 2, m.calibration[0].b = -0.1f, m.calibration[0].c = 0.25f;
    m.calibration[0].min = 0.5f, m.calibration[0].max = 4;
    strcpy(m.calibration[1].backend, "latent");
    m.calibration[1].a = 8, m.calibration[1].min = 1, m.calibration[1].max = 3;
    static const struct {
        const char *backend;
        float snr_db;
        double tokens, temperature;
    } rows[] = {
        {"mha", 10, 16, 2},      /* 2 - 1 + 0.25 x 4 */
        {"flash", 10, 16, 2},    /* the same numbers as mha */
        {"mha", 100, 16, 0.5},   /* held at min */
        {"mha", -100, 16, 4},    /* held at max */
        {"mha", NAN, 1, 3},      /* SNR not known: the least */
        {"latent", 10, 1024, 3}, /* its own row */
        {"gqa", 10, 16, 1},      /* no row: as it is */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float logits[4] = {0, 0, 0, 1}, p[4];
        at_decide_probs(&m, rows[i].backend, logits, rows[i].snr_db, rows[i].tokens, p);
        expect_near(log(p[3] / p[0]), 1 / rows[i].temperature, 1e-6);
    }
}

/* A network that leans to noise is less sure of its other classes than it says. */
static void test_temperature_knows_noise(void **state)
{
    struct at_model m = make_model();
    m.n_calibration = 1;
    m.config.window = 1024;
    strcpy(m.calibration[0].backend, "mha");
    m.calibration[0].a = 2, m.calibration[0].d = 0.1f;
    m.calibration[0].min = 0.5f, m.calibration[0].max = 4;
    static const struct {
        float noise, temperature;
    } rows[] = {{3, 2}, {8, 2.5f}, {-2, 1.5f}, {-50, 1.2f}, {50, 2.8f}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float logits[4] = {rows[i].noise, 1, 3, -4};
        expect_near(at_decide_temperature(&m, "flash", logits, 10, 64), rows[i].temperature, 1e-6);
    }
    float logits[4] = {3, 1, 3, 0};
    m.calibration[0].c = 0.1f; /* more tokens than the window count as it */
    expect_near(at_decide_temperature(&m, "mha", logits, 10, 1 << 20), 3, 1e-6);
    strcpy(m.labels[0], "hum"); /* no class for noise: as it is without */
    logits[0] = 50;
    expect_near(at_decide_temperature(&m, "mha", logits, 10, 1024), 3, 1e-6);
}

/* noise 0.5, others up to 4, SNR 10 dB, 256 tokens, 0.2 of the band. */
static void test_evidence_against_noise(void **state)
{
    struct at_model m = make_model();
    struct at_answer a;
    float logits[4] = {0.5f, 1, 4, -2};
    assert_true(isinf(at_decide_evidence(&m, "mha", logits, 10, 256, 0.2)));
    m.n_evidence = 1;
    m.evidence[0] = (struct at_evidence){.backend = "mha",
                                         .top = 0.75f,
                                         .noise = -1,
                                         .margin_db = 0.02f,
                                         .snr_db = -0.05f,
                                         .log2_tokens = 0.25f,
                                         .share = -3,
                                         .least = 2};
    /* 3 - 0.5 + 0.7 - 0.5 + 2 - 0.6 - 2 */
    expect_near(at_decide_evidence(&m, "flash", logits, 10, 256, 0.2), 2.1, 1e-6);
    assert_true(isinf(at_decide_evidence(&m, "gqa", logits, 10, 256, 0.2)));
    /* what is not known speaks against it; what lies outside is held */
    expect_near(at_decide_evidence(&m, "mha", logits, NAN, 256, 0.2), 1.7, 1e-6);
    expect_near(at_decide_evidence(&m, "mha", logits, 99, 256, NAN), 0.1, 1e-6);
    expect_near(at_decide_evidence(&m, "mha", logits, 30, 256, 7), 0.1, 1e-6);
    m.weak_tokens = 0;
    struct at_verdict v = {0};
    at_verdict_add(&v, &m, "mha", logits, 10, 256, 256);
    at_verdict_answer(&v, &m, "mha", 10, 0.2, &a);
    assert_string_equal(a.label, "gfsk");
    at_verdict_answer(&v, &m, "mha", 10, 0.95, &a);
    assert_string_equal(a.label, "weak");
    assert_int_equal(a.top, 2);
    m.sure_snr_db = 19; /* no noise stands so far above the floor */
    at_verdict_answer(&v, &m, "mha", 18.9f, 1, &a);
    assert_string_equal(a.label, "weak");
    at_verdict_answer(&v, &m, "mha", 19, 1, &a);
    assert_string_equal(a.label, "gfsk");
    /* the mean of two decisions: without the first one it would be weak */
    float torn[4] = {2.5f, 1, 3, -2};
    struct at_verdict other = {0};
    at_verdict_add(&other, &m, "mha", torn, 10, 256, 256);
    at_verdict_answer(&other, &m, "mha", 10, 0.4, &a);
    assert_string_equal(a.label, "weak");
    at_verdict_add(&v, &m, "mha", torn, 10, 256, 256);
    at_verdict_answer(&v, &m, "mha", 10, 0.4, &a);
    assert_string_equal(a.label, "gfsk");
    /* what resembles nothing is unknown, whether or not it resembles noise */
    m.n_unknown = 1;
    strcpy(m.unknown[0].backend, "mha");
    m.unknown[0].energy = -5;
    at_verdict_answer(&other, &m, "mha", 10, 0.4, &a);
    assert_string_equal(a.label, "unknown");
}

static void test_verdict_weighs_by_tokens(void **state)
{
    struct at_model m = make_model();
    struct at_verdict v = {0};
    struct at_answer a;
    float one[4] = {-9, 3, 0, 0}, other[4] = {-9, 0, 0, 3};
    at_verdict_add(&v, &m, "mha", one, 10, 16, 16);
    at_verdict_add(&v, &m, "mha", other, 10, 80, 64);
    at_verdict_answer(&v, &m, "mha", 10, 0.1, &a);
    assert_string_equal(a.label, "cw");
    assert_int_equal(a.top, 3);
    /* the mean log-probabilities differ by (64 - 16) x 3 / 80 */
    expect_near(log(a.probs[3] / a.probs[1]), 1.8, 1e-5);
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += a.probs[i];
    expect_near(sum, 1, 1e-6);
    struct at_verdict before = v;
    float broken[4] = {0, NAN, 0, 0};
    at_verdict_add(&v, &m, "mha", broken, 10, 80, 64);
    at_verdict_add(&v, &m, "mha", one, 10, 80, 0);
    assert_memory_equal(&v, &before, sizeof v);
}

static const char *label_of(const struct at_model *m, const float *logits, float snr_db,
                            double tokens, struct at_answer *a)
{
    struct at_verdict v = {0};
    at_verdict_add(&v, m, "flash", logits, snr_db, tokens, tokens);
    at_verdict_answer(&v, m, "flash", snr_db, 0.1, a);
    return a->label;
}

static void test_outcomes(void **state)
{
    struct at_model m = make_model();
    struct at_answer a;
    float sure[4] = {0, 9, 0, 0}, between[4] = {0, 5, 4.9f, 0}, torn[4] = {0, 5, 0, 4.9f},
          nothing[4] = {9, 0, 0, 0};
    assert_string_equal(label_of(&m, sure, 10, 64, &a), "fsk2");
    assert_true(a.confidence > 0.99f && !a.group[0]);
    /* no class above 0.6, the group above 0.9 */
    assert_string_equal(label_of(&m, between, 10, 64, &a), "fsk2");
    assert_string_equal(a.group, "fsk");
    assert_true(a.confidence < 0.6f);
    /* no group holds both */
    assert_string_equal(label_of(&m, torn, 10, 64, &a), "fsk2");
    assert_string_equal(a.group, "");
    /* too little to say */
    assert_string_equal(label_of(&m, sure, -10.5f, 64, &a), "weak");
    assert_true(a.top == 1 && a.confidence > 0.99f);
    assert_string_equal(label_of(&m, sure, -9.5f, 64, &a), "fsk2");
    assert_string_equal(label_of(&m, sure, 10, 3, &a), "weak");
    assert_string_equal(label_of(&m, sure, 10, 4, &a), "fsk2");
    assert_string_equal(label_of(&m, nothing, 10, 64, &a), "weak");
    /* open set: -logsumexp of (0, 9, 0, 0) is -9.0004 */
    m.n_unknown = 1;
    strcpy(m.unknown[0].backend, "mha");
    m.unknown[0].energy = -9.1f;
    assert_string_equal(label_of(&m, sure, 10, 64, &a), "unknown");
    m.unknown[0].energy = -8.9f;
    assert_string_equal(label_of(&m, sure, 10, 64, &a), "fsk2");
}

static void test_before_the_first_decision(void **state)
{
    struct at_model m = make_model();
    struct at_verdict v = {0};
    struct at_answer a;
    m.weak_tokens = 0;
    at_verdict_answer(&v, &m, "gqa", 10, 0.1, &a);
    assert_string_equal(a.label, "weak");
    expect_near(a.probs[3], 0.25, 1e-7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probs_are_a_softmax),
        cmocka_unit_test(test_temperature_follows_the_card),
        cmocka_unit_test(test_temperature_knows_noise),
        cmocka_unit_test(test_evidence_against_noise),
        cmocka_unit_test(test_verdict_weighs_by_tokens),
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_before_the_first_decision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
