/* Windows and the filters designed by them.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_DSP_WINDOW_H
#define AT_DSP_WINDOW_H

enum at_window {
    AT_WINDOW_RECT,
    AT_WINDOW_HANN,
    AT_WINDOW_HAMMING,
    AT_WINDOW_BLACKMAN_HARRIS,
    AT_WINDOW_COUNT
};
const char *at_window_name(enum at_window w); /* "rect", "hann", ... */

/* w (n): the periodic (DFT-even) window, peak 1. Any thread, RT-safe. */
void at_window_fill(enum at_window window, float *w, unsigned n);
/* Equivalent noise bandwidth in bins: n sum w^2 / (sum w)^2 (Harris 1978); Hann 1.5. */
double at_window_enbw(const float *w, unsigned n);
double at_window_power(const float *w, unsigned n); /* sum w^2 */
/* Half width of the main lobe in bins, to the first null: rect 1, Hann and Hamming 2,
 * Blackman-Harris 4. */
unsigned at_window_main_lobe(enum at_window window);

/* Power spectrum as seen through Hann from an unwindowed FFT: the window is -1/4, 1/2, -1/4 over
 * bins, with the block's ends as its zeros. x (n, 2) FFT bins in FFT order -> p (n) = |.|^2 in FFT
 * order. RT-safe. */
void at_window_hann_bins(const float *x, float *p, unsigned n);

/* h (n_taps, odd): linear-phase low-pass, unit gain at 0, cut-off (-6 dB) at cutoff cycles a
 * sample, Kaiser window for this stop-band attenuation (Kaiser 1974; Oppenheim and Schafer,
 * section 7.6). */
void at_window_lowpass(float *h, unsigned n_taps, double cutoff, double attenuation_db);
/* Response of such a filter at f cycles a sample, its delay taken out: real. */
double at_window_zero_phase(const float *h, unsigned n_taps, double f);
/* The same at f (n), which takes a fraction of the time each: ret (n). */
void at_window_zero_phases(const float *h, unsigned n_taps, const double *f, unsigned n,
                           double *ret);
/* Its power. */
double at_window_response(const float *h, unsigned n_taps, double f);

#endif
