/* A spectrogram of unknown length in bounded memory: rows merge in pairs when there are too many.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_TOOLS_SPECTROGRAM_H
#define AT_TOOLS_SPECTROGRAM_H

#include <stddef.h>
#include <stdint.h>

#define AT_SPECTROGRAM_ROWS 1440 /* at most */

struct at_spectrogram;

/* n_samples: how many will come, 0: not known; only the resolution depends on it. 0 or -ENOMEM. */
int at_spectrogram_create(double rate_hz, uint64_t n_samples, struct at_spectrogram **ret);
void at_spectrogram_destroy(struct at_spectrogram *s);
/* iq (n, 2) at absolute index; a jump leaves rows without data. */
void at_spectrogram_push(struct at_spectrogram *s, const float *iq, size_t n, uint64_t index);

/* What was gathered. dbfs_hz (n_rows, n_bins) dBFS/Hz, rising frequency, NAN where nothing came;
 * caller frees it with free(). A row covers row_s seconds. 0, -ENODATA (no row at all) or -ENOMEM.
 */
int at_spectrogram_get(const struct at_spectrogram *s, float **ret_dbfs_hz, size_t *ret_rows,
                       size_t *ret_bins, double *ret_row_s);

#endif
