/* Charts as SVG: lines over a logarithmic axis, and bars. Legible without a script, in light and
 * dark, in colours that colour-blind people tell apart (Okabe and Ito), each series named at its
 * end. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_CHART_H
#define AT_TOOLS_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"

#define CHART_MAX_SERIES 16
#define CHART_MAX_POINTS 16

enum chart_colour {
    CHART_GREY,
    CHART_BLUE,
    CHART_ORANGE,
    CHART_GREEN,
    CHART_PURPLE,
    CHART_COLOURS
};

struct chart_series {
    char name[40];
    enum chart_colour colour;
    bool dashed;
    size_t n;
    double x[CHART_MAX_POINTS], y[CHART_MAX_POINTS];
    double high[CHART_MAX_POINTS]; /* a whisker from y up to it; 0: none */
};

struct chart {
    const char *title, *subtitle, *x_label, *y_label; /* borrowed; escaped here */
    struct chart_series series[CHART_MAX_SERIES];
    size_t n;
    bool log_y, plain_x; /* plain_x: x are ordinals with names, else powers of two */
    const char *x_names[CHART_MAX_POINTS];
    struct {
        double y;
        const char *label;
    } line; /* one level across; y 0: none */
};

/* Appends a whole SVG document of lines; of bars (x ordinals, one group a name). Points that are
 * not finite (or not above 0 on a logarithmic axis) are left out. What fails is in out->failed. */
void chart_lines(const struct chart *c, struct at_buf *out);
void chart_bars(const struct chart *c, struct at_buf *out);

#endif
