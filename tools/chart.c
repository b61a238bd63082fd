/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WIDTH  780.0
#define HEIGHT 440.0
#define LEFT   72.0
#define RIGHT  178.0 /* room for the names */
#define TOP    72.0
#define BOTTOM 54.0
#define LABEL  15.0 /* between two names */

/* Where values lie on the sheet. */
struct frame {
    double x0, x1, y0, y1; /* of the axes, in their own (logarithmic) units */
    bool log_x, log_y;
};

static double x_at(const struct frame *f, double x)
{
    double v = f->log_x ? log2(x) : x;
    return LEFT + (v - f->x0) / (f->x1 - f->x0) * (WIDTH - LEFT - RIGHT);
}

static double y_at(const struct frame *f, double y)
{
    double v = f->log_y ? log10(y) : y;
    return HEIGHT - BOTTOM - (v - f->y0) / (f->y1 - f->y0) * (HEIGHT - TOP - BOTTOM);
}

static bool is_shown(const struct frame *f, double y)
{
    return isfinite(y) && (!f->log_y || y > 0);
}

static void escape(struct at_buf *out, const char *text)
{
    for (; *text; text++) {
        const char *e = *text == '<'   ? "&lt;"
                        : *text == '>' ? "&gt;"
                        : *text == '&' ? "&amp;"
                                       : NULL;
        at_buf_add(out, e ? e : text, e ? strlen(e) : 1);
    }
}

static void text(struct at_buf *out, const char *class, double x, double y, const char *what)
{
    at_buf_printf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", class, x, y);
    escape(out, what);
    at_buf_printf(out, "</text>\n");
}

static void begin(const struct chart *c, struct at_buf *out)
{
    static const char *const light[CHART_COLOURS] = {"#5f6b76", "#0072b2", "#c46a00", "#007f5f",
                                                     "#a8487f"};
    static const char *const dark[CHART_COLOURS] = {"#b4bec8", "#6cbcf0", "#f0a53c", "#45c9a0",
                                                    "#e08fbe"};
    at_buf_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
                  "width=\"%.0f\" height=\"%.0f\" "
                  "role=\"img\">\n<title>",
                  WIDTH, HEIGHT, WIDTH, HEIGHT);
    escape(out, c->title);
    at_buf_printf(
        out, "</title>\n<style>\n"
             "text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #1c252c }\n"
             ".h { font-size: 17px; font-weight: 600 } .sub, .tick { fill: #56636e }\n"
             ".tick, .in { font-size: 12px } .in { fill: #fff }\n"
             ".mid { text-anchor: middle } .end { text-anchor: end }\n"
             ".paper { fill: #fff } .grid { stroke: #e3e8ec } .axis { stroke: #8c99a4 }\n"
             ".level { stroke: #b3261e; stroke-dasharray: 2 4 } .levelname { fill: #b3261e; "
             "paint-order: stroke; "
             "stroke: #fff; stroke-width: 4px; "
             "font-size: 12px }\n"
             "path, .whisker { fill: none; stroke-width: 2 } .dash { stroke-dasharray: 6 4 }\n");
    for (int i = 0; i < CHART_COLOURS; i++)
        at_buf_printf(out, ".s%d { stroke: %s } .f%d { fill: %s }\n", i, light[i], i, light[i]);
    at_buf_printf(out,
                  "@media (prefers-color-scheme: dark) {\n"
                  "text { fill: #e6ebef } .sub, .tick { fill: #a3b0bb }\n"
                  ".paper, .in { fill: #14191d }\n"
                  ".grid { stroke: #2a333a } .axis { stroke: #74818c } .level { stroke: #ff8a80 } "
                  ".levelname { fill: #ff8a80; stroke: #14191d }\n");
    for (int i = 0; i < CHART_COLOURS; i++)
        at_buf_printf(out, ".s%d { stroke: %s } .f%d { fill: %s }\n", i, dark[i], i, dark[i]);
    at_buf_printf(out, "}\n</style>\n<rect class=\"paper\" width=\"%.0f\" height=\"%.0f\"/>\n",
                  WIDTH, HEIGHT);
    text(out, "h", LEFT - 48, 30, c->title);
    text(out, "sub", LEFT - 48, 50, c->subtitle);
    text(out, "sub mid", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, c->x_label);
    at_buf_printf(out, "<text class=\"sub mid\" transform=\"translate(18 %.1f) rotate(-90)\">",
                  (TOP + HEIGHT - BOTTOM) / 2);
    escape(out, c->y_label);
    at_buf_printf(out, "</text>\n");
}

static void y_tick(const struct frame *f, double v, struct at_buf *out)
{
    char label[32];
    double y = y_at(f, v);
    snprintf(label, sizeof label, "%.15g", v);
    at_buf_printf(out, "<path class=\"grid\" style=\"stroke-width:1\" d=\"M%.1f %.1fH%.1f\"/>\n",
                  LEFT, y, WIDTH - RIGHT);
    text(out, "tick end", LEFT - 8, y + 4, label);
}

/* Decades, with 2 and 5 between where there are few; or steps of 1, 2 or 5. */
static void y_axis(const struct frame *f, struct at_buf *out)
{
    if (f->log_y) {
        for (double e = floor(f->y0); e <= f->y1 + 1e-9; e++)
            for (int i = 0; i < 3; i++) {
                static const double parts[] = {1, 2, 5};
                double v = pow(10, e) * parts[i];
                bool fits = log10(v) >= f->y0 - 1e-9 && log10(v) <= f->y1 + 1e-9;
                if (fits && (i == 0 || f->y1 - f->y0 < 2.5))
                    y_tick(f, v, out);
            }
        return;
    }
    double step = pow(10, floor(log10((f->y1 - f->y0) / 4)));
    while ((f->y1 - f->y0) / step > 7)
        step *= (f->y1 - f->y0) / step > 14 ? 5 : 2;
    for (double v = ceil(f->y0 / step - 1e-9) * step; v <= f->y1 + step * 1e-9; v += step)
        y_tick(f, fabs(v) < step * 1e-9 ? 0 : v, out);
}

static struct frame frame_of(const struct chart *c, bool bars)
{
    struct frame f = {.x0 = 1e300,
                      .x1 = -1e300,
                      .y0 = 1e300,
                      .y1 = -1e300,
                      .log_x = !c->plain_x,
                      .log_y = c->log_y};
    for (size_t s = 0; s < c->n; s++)
        for (size_t i = 0; i < c->series[s].n; i++) {
            double x = c->series[s].x[i], y = c->series[s].y[i];
            double top = c->series[s].high[i] > y ? c->series[s].high[i] : y;
            if (!is_shown(&f, y))
                continue;
            x = f.log_x ? log2(x) : x;
            f.x0 = fmin(f.x0, x);
            f.x1 = fmax(f.x1, x);
            f.y0 = fmin(f.y0, f.log_y ? log10(y) : y);
            f.y1 = fmax(f.y1, f.log_y ? log10(top) : top);
        }
    if (f.x0 > f.x1) /* nothing to show */
        f.x0 = f.y0 = 0, f.x1 = f.y1 = 1;
    for (size_t i = 0; c->plain_x && i < CHART_MAX_POINTS && c->x_names[i]; i++) {
        f.x0 = 0; /* each name has its place, whether or not it has a value */
        f.x1 = (double)i;
    }
    if (c->line.y > 0) {
        double y = f.log_y ? log10(c->line.y) : c->line.y;
        f.y0 = fmin(f.y0, y);
        f.y1 = fmax(f.y1, y);
    }
    double pad = bars ? 0.5 : f.x1 > f.x0 ? (f.x1 - f.x0) * 0.03 : 1;
    f.x0 -= pad;
    f.x1 += pad;
    if (f.log_y) {
        f.y0 = floor(f.y0 * 2 - 0.1) / 2;
        f.y1 = ceil(f.y1 * 2 + 0.1) / 2;
    } else if (bars) { /* their length is what is compared */
        f.y0 = 0;
        f.y1 = f.y1 > 0 ? f.y1 * 1.08 : 1;
    } else {
        double room = f.y1 > f.y0 ? (f.y1 - f.y0) * 0.1 : 1;
        f.y0 -= room;
        f.y1 += room;
    }
    return f;
}

static void x_axis(const struct chart *c, const struct frame *f, struct at_buf *out)
{
    for (size_t i = 0; c->plain_x && i < CHART_MAX_POINTS && c->x_names[i]; i++)
        text(out, "tick mid", x_at(f, (double)i), HEIGHT - BOTTOM + 18, c->x_names[i]);
    for (double e = ceil(f->x0); !c->plain_x && e <= f->x1; e++) {
        char label[32];
        double v = exp2(e), x = x_at(f, v);
        snprintf(label, sizeof label, "%.0f", v);
        at_buf_printf(out, "<path class=\"axis\" style=\"stroke-width:1\" d=\"M%.1f %.1fv5\"/>\n",
                      x, HEIGHT - BOTTOM);
        text(out, "tick mid", x, HEIGHT - BOTTOM + 18, label);
    }
    at_buf_printf(out, "<path class=\"axis\" style=\"stroke-width:1\" d=\"M%.1f %.1fH%.1f\"/>\n",
                  LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT);
}

static void level(const struct chart *c, const struct frame *f, struct at_buf *out)
{
    if (c->line.y > 0)
        at_buf_printf(out,
                      "<path class=\"level\" style=\"stroke-width:1.5\" d=\"M%.1f %.1fH%.1f\"/>\n",
                      LEFT, y_at(f, c->line.y), WIDTH - RIGHT);
}

/* Where the end of series s lies; s = n: the level. NAN where nothing is shown. */
static double end_of(const struct chart *c, const struct frame *f, size_t s)
{
    if (s == c->n)
        return c->line.y > 0 ? y_at(f, c->line.y) : NAN;
    size_t last = c->series[s].n;
    while (last > 0 && !is_shown(f, c->series[s].y[last - 1]))
        last--;
    return last > 0 ? y_at(f, c->series[s].y[last - 1]) : NAN;
}

/* Names at the end of their lines and of the level, pushed apart where they would touch. */
static void names(const struct chart *c, const struct frame *f, struct at_buf *out)
{
    size_t order[CHART_MAX_SERIES + 1], n = 0;
    double at[CHART_MAX_SERIES + 1], want[CHART_MAX_SERIES + 1];
    for (size_t s = 0; s <= c->n; s++) {
        want[s] = end_of(c, f, s);
        if (!isfinite(want[s]))
            continue;
        size_t i = n++;
        for (; i > 0 && want[order[i - 1]] > want[s]; i--)
            order[i] = order[i - 1];
        order[i] = s;
    }
    for (size_t i = 0; i < n; i++)
        at[i] = i > 0 && want[order[i]] < at[i - 1] + LABEL ? at[i - 1] + LABEL : want[order[i]];
    double over = n > 0 ? at[n - 1] - (HEIGHT - BOTTOM) : 0;
    for (size_t i = n; over > 0 && i-- > 0;) { /* up again from the axis */
        double most = i + 1 < n ? at[i + 1] - LABEL : HEIGHT - BOTTOM;
        at[i] = fmin(at[i], most);
    }
    for (size_t i = 0; i < n; i++) {
        const struct chart_series *s = &c->series[order[i]];
        double x = WIDTH - RIGHT + 8;
        if (order[i] == c->n) {
            at_buf_printf(
                out, "<path class=\"level\" style=\"stroke-width:1.5\" d=\"M%.1f %.1fh18\"/>\n", x,
                at[i]);
            text(out, "levelname", x + 24, at[i] + 4, c->line.label);
            continue;
        }
        at_buf_printf(out, "<path class=\"s%d%s\" d=\"M%.1f %.1fh18\"/>\n", s->colour,
                      s->dashed ? " dash" : "", x, at[i]);
        text(out, "tick", x + 24, at[i] + 4, s->name);
    }
}

/* aside: to the right by so much, where the whiskers of several would hide each other. */
static void curve(const struct chart_series *s, const struct frame *f, double aside,
                  struct at_buf *out)
{
    bool pen = false;
    at_buf_printf(out, "<path class=\"s%d%s\" d=\"", s->colour, s->dashed ? " dash" : "");
    for (size_t i = 0; i < s->n; i++) {
        if (!is_shown(f, s->y[i]))
            continue;
        at_buf_printf(out, "%s%.1f %.1f", pen ? "L" : "M", x_at(f, s->x[i]) + aside,
                      y_at(f, s->y[i]));
        pen = true;
    }
    at_buf_printf(out, "\"/>\n");
    for (size_t i = 0; i < s->n; i++) {
        if (!is_shown(f, s->y[i]))
            continue;
        double x = x_at(f, s->x[i]) + aside, y = y_at(f, s->y[i]);
        if (s->high[i] > s->y[i])
            at_buf_printf(
                out,
                "<path class=\"s%d\" style=\"stroke-width:1.2\" d=\"M%.1f %.1fV%.1fm-4 0h8\"/>\n",
                s->colour, x, y, y_at(f, s->high[i]));
        at_buf_printf(out,
                      "<circle class=\"f%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>%s: "
                      "%.4g</title></circle>\n",
                      s->colour, x, y, s->dashed ? "2.6" : "3.6", s->name, s->y[i]);
    }
}

void chart_lines(const struct chart *c, struct at_buf *out)
{
    struct frame f = frame_of(c, false);
    begin(c, out);
    y_axis(&f, out);
    x_axis(c, &f, out);
    bool whiskers = false;
    for (size_t s = 0; s < c->n; s++)
        whiskers |= c->series[s].n > 0 && c->series[s].high[0] > 0;
    for (size_t s = 0; s < c->n; s++)
        curve(&c->series[s], &f, whiskers ? ((double)s - (double)(c->n - 1) / 2) * 3 : 0, out);
    level(c, &f, out);
    names(c, &f, out);
    at_buf_printf(out, "</svg>\n");
}

void chart_bars(const struct chart *c, struct at_buf *out)
{
    struct frame f = frame_of(c, true);
    double group = (WIDTH - LEFT - RIGHT) / (f.x1 - f.x0),
           bar = group * 0.76 / (double)(c->n ? c->n : 1);
    begin(c, out);
    y_axis(&f, out);
    x_axis(c, &f, out);
    for (size_t s = 0; s < c->n; s++)
        for (size_t i = 0; i < c->series[s].n; i++) {
            const struct chart_series *b = &c->series[s];
            if (!is_shown(&f, b->y[i]))
                continue;
            double x = x_at(&f, b->x[i]) + ((double)s - (double)c->n / 2) * bar,
                   y = y_at(&f, b->y[i]);
            char label[24];
            snprintf(label, sizeof label, "%.*f", b->y[i] < 10 ? 3 : 1, b->y[i]);
            at_buf_printf(
                out, "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                b->colour, x + 1, y, bar - 2, HEIGHT - BOTTOM - y);
            bool inside = HEIGHT - BOTTOM - y >= 24; /* what lies above may be a line */
            if (bar >= 24)
                text(out, inside ? "in mid" : "tick mid", x + bar / 2, inside ? y + 18 : y - 5,
                     label);
        }
    level(c, &f, out);
    if (c->line.y > 0)
        text(out, "levelname", WIDTH - RIGHT + 12, y_at(&f, c->line.y) + 4, c->line.label);
    for (size_t s = 0; s < c->n; s++) {
        double x = WIDTH - RIGHT + 12, y = TOP + 50 + (double)s * 20; /* below the level's name */
        at_buf_printf(out,
                      "<rect class=\"f%d\" x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\"/>\n",
                      c->series[s].colour, x, y - 10);
        text(out, "tick", x + 18, y, c->series[s].name);
    }
    at_buf_printf(out, "</svg>\n");
}
