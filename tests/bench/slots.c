/* Whether another thread shares the core: slots [CPU [PIECES]] prints how many operations that do
 * nothing this processor issues in a nanosecond (10th, 50th and 90th percentile of pieces of some
 * 10 us). It is some six a cycle on a core of one's own and half of that beside another busy
 * thread, which no clock, steal time or load shows. SPDX-License-Identifier: GPL-3.0-or-later */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"

#define MOST   100000
#define ROUNDS 1000
#define EIGHT  "nop\nnop\nnop\nnop\nnop\nnop\nnop\nnop\n"

static double piece(void)
{
    int64_t begin = at_clock_mono_ns();
    for (int i = 0; i < ROUNDS; i++)
        __asm__ volatile(EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT);
    return 64.0 * ROUNDS / (double)(at_clock_mono_ns() - begin);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double rates[MOST];
    char *end = "";
    long cpu = argc > 1 ? strtol(argv[1], &end, 10) : 0;
    long n = argc > 2 ? strtol(argv[2], NULL, 10) : 200;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (*end || n < 1 || n > MOST || sched_setaffinity(0, sizeof set, &set) < 0) {
        fprintf(stderr, "usage: slots [CPU [PIECES, 1 to %d]]\n", MOST);
        return 2;
    }
    for (long i = 0; i < n; i++)
        rates[i] = piece();
    qsort(rates, (size_t)n, sizeof *rates, compare);
    printf("cpu %ld: %.2f %.2f %.2f a ns\n", cpu, rates[n / 10], rates[n / 2], rates[n * 9 / 10]);
    return 0;
}
