/* Scalars as people write them: 2.4M, 2_400_000, 5s, 433.1M-433.2M. Independent of the locale.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_CONFIG_VALUE_H
#define AT_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

/* Each returns 0, or -EINVAL with *ret untouched. Any thread. */

/* Decimal number of at most 15 significant digits, `_` between digits, exponent, then k, M or G,
 * then, where hz is true, Hz. No hex, octal, NaN or infinity. The result is the double nearest to
 * what is written. */
int at_value_number(const char *text, bool hz, double *ret);
/* A number with ms, s, m, h or d: seconds. A bare number is refused, 0 excepted. */
int at_value_duration(const char *text, double *ret_s);
/* true or false; YAML 1.1's yes/no/on/off are refused. */
int at_value_bool(const char *text, bool *ret);
/* "433.1M-433.2M", lo < hi, both in Hz and not negative. "433.1-433.2M" is refused: it would reach
 * from 433.1 Hz up. */
int at_value_range(const char *text, double *ret_lo_hz, double *ret_hi_hz);
/* 433.92 where 433.92M is meant: no radio is tuned to less than 1 kHz, 0 (baseband) excepted. */
bool at_value_lacks_unit(double center_hz);
/* "127.0.0.1:8650", "[::1]:8650": a numeric address and a port. host: n bytes. */
int at_value_listen(const char *text, char *ret_host, size_t n, unsigned *ret_port);

/* Writes value so that at_value_number() reads the same double, given at most 15 significant
 * digits. out: 32 bytes. */
void at_value_format(double value, char out[32]);

/* Edit distance (insert, delete, replace, swap neighbours) of two words of at most 63 characters.
 */
unsigned at_value_distance(const char *a, const char *b);

/* Copies text for an error message: at most 40 characters, anything unprintable as '?'. out: 48
 * bytes. */
void at_value_quote(const char *text, char out[48]);

#endif
