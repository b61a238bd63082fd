/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/picture.h"

#include <cairo.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/newfile.h"

#define WIDTH    1280
#define HEIGHT   800
#define LEFT     84.0
#define TOP      52.0
#define PLOT_W   1060
#define PLOT_H   676
#define BAR_X    (LEFT + PLOT_W + 26)
#define BAR_W    16.0
#define MAX_TEXT 48 /* labels placed at most */

struct rect {
    double x, y, w, h;
};

struct scene {
    cairo_t *cr;
    const struct at_picture *p;
    double f_lo_hz, lo_db, hi_db; /* left edge; colour scale */
    struct rect placed[MAX_TEXT];
    size_t n_placed;
};

/* Dark to light with rising luminance throughout (after viridis, its dark end drawn out so that
 * noise stays dark). t: 0..1. */
static void colour(double t, double *rgb)
{
    static const double stop[][4] = {
        {0.00, 0.02, 0.01, 0.06}, {0.15, 0.14, 0.04, 0.25}, {0.32, 0.25, 0.20, 0.48},
        {0.50, 0.15, 0.45, 0.55}, {0.68, 0.20, 0.66, 0.48}, {0.85, 0.64, 0.85, 0.24},
        {1.00, 1.00, 0.95, 0.60},
    };
    size_t i = 0, n = sizeof(stop) / sizeof(stop[0]);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    while (i + 2 < n && t > stop[i + 1][0])
        i++;
    double u = (t - stop[i][0]) / (stop[i + 1][0] - stop[i][0]);
    for (int k = 0; k < 3; k++)
        rgb[k] = stop[i][k + 1] * (1 - u) + stop[i + 1][k + 1] * u;
}

static uint32_t pixel_of(double t)
{
    double rgb[3];
    colour(t, rgb);
    return 0xff000000u | (uint32_t)(rgb[0] * 255 + 0.5) << 16 |
           (uint32_t)(rgb[1] * 255 + 0.5) << 8 | (uint32_t)(rgb[2] * 255 + 0.5);
}

/* ---- the waterfall ---- */

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Colours from just under the noise to the strongest but for a few pixels; at least 25, at most
 * 80 dB. */
static void scale_colours(struct scene *s)
{
    size_t all = s->p->n_rows * s->p->n_bins, step = all / 200000 + 1, n = 0;
    float *v = calloc(all / step + 1, sizeof(*v));
    s->lo_db = -140;
    s->hi_db = -60;
    for (size_t i = 0; v && i < all; i += step)
        if (isfinite(s->p->dbfs_hz[i]))
            v[n++] = s->p->dbfs_hz[i];
    if (n > 0) {
        qsort(v, n, sizeof(*v), by_value);
        s->hi_db = (double)v[n - 1 - n / 5000];
        s->lo_db = (double)v[n / 4] - 4;
        s->lo_db = fmax(s->lo_db, s->hi_db - 80);
        if (s->hi_db - s->lo_db < 25)
            s->hi_db = s->lo_db + 25;
    }
    free(v);
}

static float between(const float *row, size_t n_bins, double bin)
{
    double at = fmin(fmax(bin - 0.5, 0), (double)n_bins - 1);
    size_t b = (size_t)at, c = b + 1 < n_bins ? b + 1 : b;
    float u = (float)(at - (double)b);
    return row[b] * (1 - u) + row[c] * u;
}

/* What a pixel shows: of the rows under it the strongest; of the bins likewise, or between two
 * where bins are wider than pixels. NAN: no data. */
static float cell(const struct at_picture *p, double row0, double row1, double bin0, double bin1)
{
    size_t r1 = (size_t)ceil(row1), b1 = (size_t)ceil(bin1);
    float best = NAN;
    for (size_t r = (size_t)row0; r < r1 && r < p->n_rows; r++) {
        const float *row = p->dbfs_hz + r * p->n_bins;
        if (bin1 - bin0 < 1) {
            float db = between(row, p->n_bins, (bin0 + bin1) / 2);
            best = db <= best ? best : db;
            continue;
        }
        for (size_t b = (size_t)bin0; b < b1 && b < p->n_bins; b++)
            best = row[b] <= best ? best : row[b];
    }
    return best;
}

static int draw_waterfall(struct scene *s)
{
    const struct at_picture *p = s->p;
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, PLOT_W, PLOT_H);
    if (cairo_surface_status(image) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(image);
        return -ENOMEM;
    }
    unsigned char *data = cairo_image_surface_get_data(image);
    size_t stride = (size_t)cairo_image_surface_get_stride(image);
    double rows = p->seconds / p->row_s / PLOT_H, bins = (double)p->n_bins / PLOT_W;
    for (size_t y = 0; y < PLOT_H; y++) {
        uint32_t *line = (uint32_t *)(void *)(data + y * stride);
        double row = (double)y * rows;
        for (size_t x = 0; x < PLOT_W; x++) {
            double bin = (double)x * bins;
            float db = cell(p, row, row + rows, bin, bin + bins);
            line[x] = isfinite(db) ? pixel_of(((double)db - s->lo_db) / (s->hi_db - s->lo_db))
                                   : 0xff161a20u;
        }
    }
    cairo_surface_mark_dirty(image);
    cairo_set_source_surface(s->cr, image, LEFT, TOP);
    cairo_rectangle(s->cr, LEFT, TOP, PLOT_W, PLOT_H);
    cairo_fill(s->cr);
    cairo_surface_destroy(image);
    return 0;
}

/* ---- axes ---- */

static void text(cairo_t *cr, double x, double y, double align, const char *what)
{
    cairo_text_extents_t e;
    cairo_text_extents(cr, what, &e);
    cairo_move_to(cr, floor(x - e.x_advance * align) + 0.5, floor(y) + 0.5);
    cairo_show_text(cr, what);
}

/* 1, 2 or 5 times a power of ten, so that about n of them fill the span. */
static double nice_step(double span, double n)
{
    double raw = span / n, power = pow(10, floor(log10(raw))), x = raw / power;
    return power * (x < 1.5 ? 1 : x < 3.5 ? 2 : x < 7.5 ? 5 : 10);
}

static int decimals_of(double step)
{
    int d = (int)ceil(-log10(step) - 1e-9);
    return d < 0 ? 0 : d > 9 ? 9 : d;
}

static void draw_tick(struct scene *s, double x, double y, int vertical)
{
    cairo_set_source_rgba(s->cr, 1, 1, 1, 0.10);
    cairo_move_to(s->cr, vertical ? floor(x) + 0.5 : LEFT, vertical ? TOP : floor(y) + 0.5);
    cairo_line_to(s->cr, vertical ? floor(x) + 0.5 : LEFT + PLOT_W,
                  vertical ? TOP + PLOT_H : floor(y) + 0.5);
    cairo_stroke(s->cr);
    cairo_set_source_rgb(s->cr, 0.78, 0.80, 0.84);
}

static void draw_axes(struct scene *s)
{
    const struct at_picture *p = s->p;
    char label[64];
    cairo_set_font_size(s->cr, 13);
    double lo = s->f_lo_hz / 1e6, span = p->rate_hz / 1e6, step = nice_step(span, 9);
    for (double v = ceil(lo / step) * step; v <= lo + span * (1 + 1e-9); v += step) {
        double x = LEFT + (v - lo) / span * PLOT_W;
        draw_tick(s, x, 0, 1);
        snprintf(label, sizeof(label), "%.*f", decimals_of(step), fabs(v) < step / 1e3 ? 0.0 : v);
        text(s->cr, x, TOP + PLOT_H + 20, 0.5, label);
    }
    text(s->cr, LEFT + PLOT_W / 2.0, TOP + PLOT_H + 42, 0.5,
         p->center_hz > 0 ? "frequency, MHz" : "baseband frequency, MHz");
    step = nice_step(p->seconds, 8);
    for (int i = 0; i * step <= p->seconds * (1 + 1e-9); i++) {
        double y = TOP + i * step / p->seconds * PLOT_H;
        draw_tick(s, 0, y, 0);
        snprintf(label, sizeof(label), "%.*f", decimals_of(step), i * step);
        text(s->cr, LEFT - 8, y + 4.5, 1, label);
    }
    cairo_save(s->cr);
    cairo_translate(s->cr, 20, TOP + PLOT_H / 2.0);
    cairo_rotate(s->cr, -M_PI / 2);
    text(s->cr, 0, 0, 0.5, "time, s");
    cairo_restore(s->cr);
}

static void draw_bar(struct scene *s)
{
    char label[32];
    for (int y = 0; y < PLOT_H; y++) {
        double rgb[3];
        colour(1 - (y + 0.5) / PLOT_H, rgb);
        cairo_set_source_rgb(s->cr, rgb[0], rgb[1], rgb[2]);
        cairo_rectangle(s->cr, BAR_X, TOP + y, BAR_W, 1);
        cairo_fill(s->cr);
    }
    cairo_set_source_rgb(s->cr, 0.78, 0.80, 0.84);
    cairo_set_font_size(s->cr, 13);
    double span = s->hi_db - s->lo_db, step = nice_step(span, 7);
    for (double v = ceil(s->lo_db / step) * step; v <= s->hi_db + 1e-9; v += step) {
        double y = TOP + (s->hi_db - v) / span * PLOT_H;
        cairo_rectangle(s->cr, BAR_X + BAR_W, floor(y), 5, 1);
        cairo_fill(s->cr);
        snprintf(label, sizeof(label), "%.*f", decimals_of(step), v);
        text(s->cr, BAR_X + BAR_W + 9, y + 4.5, 0, label);
    }
    text(s->cr, BAR_X + BAR_W / 2, TOP - 9, 0.5, "dBFS/Hz");
}

/* ---- boxes and labels ---- */

static int heavier_first(const void *a, const void *b)
{
    double x = ((const struct at_picture_box *)a)->weight,
           y = ((const struct at_picture_box *)b)->weight;
    return (x < y) - (x > y);
}

/* Within the plot, and never too thin to see. */
static struct rect rect_of(const struct scene *s, const struct at_picture_box *b)
{
    const struct at_picture *p = s->p;
    double x0 = LEFT + (b->f_lo_hz - s->f_lo_hz) / p->rate_hz * PLOT_W;
    double x1 = LEFT + (b->f_hi_hz - s->f_lo_hz) / p->rate_hz * PLOT_W;
    double y0 = TOP + b->start_s / p->seconds * PLOT_H, y1 = TOP + b->end_s / p->seconds * PLOT_H;
    double pad_x = fmax(2, (8 - (x1 - x0)) / 2), pad_y = fmax(2, (8 - (y1 - y0)) / 2);
    x0 = fmin(fmax(x0 - pad_x, LEFT + 1), LEFT + PLOT_W - 7);
    y0 = fmin(fmax(y0 - pad_y, TOP + 1), TOP + PLOT_H - 7);
    x1 = fmax(fmin(x1 + pad_x, LEFT + PLOT_W - 1), x0 + 6);
    y1 = fmax(fmin(y1 + pad_y, TOP + PLOT_H - 1), y0 + 6);
    return (struct rect){floor(x0) + 0.5, floor(y0) + 0.5, floor(x1 - x0), floor(y1 - y0)};
}

/* A colour of its own per class, bright on dark; grey where there is no class. */
static void hue_of(const struct at_picture_box *b, double *rgb)
{
    double hue = fmod(b->colour * 0.381966, 1) * 6; /* golden angle: neighbours lie far apart */
    for (int k = 0; k < 3; k++) {
        double d = fabs(fmod(hue + 2.0 * k, 6) - 3) - 1;
        rgb[k] = b->colour < 0 ? 0.8 : 0.5 + 0.5 * (d < 0 ? 0 : d > 1 ? 1 : d);
    }
}

static int collides(const struct scene *s, struct rect r)
{
    if (r.x < LEFT || r.y < TOP || r.x + r.w > LEFT + PLOT_W || r.y + r.h > TOP + PLOT_H)
        return 1;
    for (size_t i = 0; i < s->n_placed; i++) {
        struct rect o = s->placed[i];
        if (r.x < o.x + o.w && o.x < r.x + r.w && r.y < o.y + o.h && o.y < r.y + r.h)
            return 1;
    }
    return 0;
}

/* Above, below, right, left, or inside: the first place that is free. None: no label. */
static int place_label(struct scene *s, struct rect box, double w, double h, struct rect *ret)
{
    const double right = box.x + box.w, bottom = box.y + box.h, middle = box.y + (box.h - h) / 2;
    const struct rect places[] = {
        {box.x, box.y - h - 2, w, h},      {right - w, box.y - h - 2, w, h},
        {box.x, bottom + 2, w, h},         {right - w, bottom + 2, w, h},
        {right + 3, box.y, w, h},          {box.x - w - 3, box.y, w, h},
        {right + 3, middle, w, h},         {box.x - w - 3, middle, w, h},
        {right + 3, bottom - h, w, h},     {box.x - w - 3, bottom - h, w, h},
        {box.x + 3, box.y + 3, w, h},      {box.x + 3, middle, w, h},
        {box.x + 3, bottom - h - 3, w, h},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (collides(s, places[i]) || s->n_placed == MAX_TEXT)
            continue;
        *ret = s->placed[s->n_placed++] = places[i];
        return 1;
    }
    return 0;
}

static void draw_box(struct scene *s, const struct at_picture_box *b)
{
    double rgb[3];
    struct rect r = rect_of(s, b);
    hue_of(b, rgb);
    cairo_rectangle(s->cr, r.x, r.y, r.w, r.h);
    cairo_set_source_rgba(s->cr, 0, 0, 0, 0.55);
    cairo_set_line_width(s->cr, 3.5);
    cairo_stroke_preserve(s->cr);
    cairo_set_source_rgb(s->cr, rgb[0], rgb[1], rgb[2]);
    cairo_set_line_width(s->cr, 1.5);
    cairo_stroke(s->cr);
}

static void draw_label(struct scene *s, const struct at_picture_box *b)
{
    double rgb[3];
    struct rect r = rect_of(s, b), l;
    cairo_text_extents_t e;
    cairo_text_extents(s->cr, b->label, &e);
    hue_of(b, rgb);
    if (!b->label[0] || !place_label(s, r, ceil(e.x_advance) + 10, 18, &l))
        return;
    cairo_set_source_rgba(s->cr, 0.03, 0.03, 0.06, 0.82);
    cairo_rectangle(s->cr, l.x, l.y, l.w, l.h);
    cairo_fill(s->cr);
    cairo_set_source_rgb(s->cr, rgb[0], rgb[1], rgb[2]);
    cairo_move_to(s->cr, floor(l.x) + 5.5, floor(l.y) + 13.5);
    cairo_show_text(s->cr, b->label);
}

static void draw_boxes(struct scene *s, struct at_picture *p)
{
    if (p->n_boxes > 0)
        qsort(p->boxes, p->n_boxes, sizeof(*p->boxes), heavier_first);
    cairo_set_font_size(s->cr, 12.5);
    for (size_t i = p->n_boxes; i-- > 0;) { /* light ones first, so that heavy ones lie on top */
        double rgb[3];
        struct rect r = rect_of(s, &p->boxes[i]);
        hue_of(&p->boxes[i], rgb);
        cairo_set_source_rgba(s->cr, rgb[0], rgb[1], rgb[2], 0.07);
        cairo_rectangle(s->cr, r.x, r.y, r.w, r.h);
        cairo_fill(s->cr);
    }
    for (size_t i = p->n_boxes; i-- > 0;)
        draw_box(s, &p->boxes[i]);
    /* The heaviest chooses its place first; the long tail goes without. */
    for (size_t i = 0; i < p->n_boxes && i < MAX_TEXT; i++)
        draw_label(s, &p->boxes[i]);
}

/* ---- the whole ---- */

static void draw_frame(struct scene *s)
{
    cairo_t *cr = s->cr;
    cairo_set_source_rgb(cr, 0.055, 0.065, 0.085);
    cairo_paint(cr);
    cairo_set_source_rgb(cr, 0.93, 0.94, 0.96);
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
    cairo_set_font_size(cr, 16);
    text(cr, LEFT, 33, 0, s->p->title);
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_line_width(cr, 1);
}

static cairo_status_t put(void *ctx, const unsigned char *data, unsigned len)
{
    return fwrite(data, 1, len, (FILE *)ctx) == len ? CAIRO_STATUS_SUCCESS
                                                    : CAIRO_STATUS_WRITE_ERROR;
}

static int save(cairo_surface_t *surface, const char *path, struct at_error *err)
{
    struct at_newfile file;
    int code = at_newfile_open(&file, path);
    cairo_status_t status = CAIRO_STATUS_SUCCESS;
    if (code == 0) {
        errno = EIO;
        status = cairo_surface_write_to_png_stream(surface, put, file.f);
        code = at_newfile_close(&file, status == CAIRO_STATUS_SUCCESS ? 0 : -errno);
    }
    bool ours = status != CAIRO_STATUS_SUCCESS && status != CAIRO_STATUS_WRITE_ERROR;
    return code == 0 ? 0
                     : at_error_set(err, code, "%s: cannot be written: %s", path,
                                    ours ? cairo_status_to_string(status) : strerror(-code));
}

int at_picture_write(struct at_picture *p, const char *path, struct at_error *err)
{
    struct scene s = {.p = p, .f_lo_hz = p->center_hz - p->rate_hz / 2};
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, WIDTH, HEIGHT);
    s.cr = cairo_create(surface);
    int ret = cairo_status(s.cr) == CAIRO_STATUS_SUCCESS ? 0 : -ENOMEM;
    if (ret == 0) {
        scale_colours(&s);
        draw_frame(&s);
        ret = draw_waterfall(&s);
    }
    if (ret < 0) {
        at_error_set(err, ret, "no memory for the picture");
    } else {
        draw_axes(&s);
        draw_boxes(&s, p);
        draw_bar(&s);
        ret = save(surface, path, err);
    }
    cairo_destroy(s.cr);
    cairo_surface_destroy(surface);
    cairo_debug_reset_static_data(); /* fonts too: a leak checker then sees only our own */
    return ret;
}
