/* What a band may be, the same for every way in: configuration, command lines, HTTP, files.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_BASE_LIMITS_H
#define AT_BASE_LIMITS_H

#define AT_RATE_MIN_HZ    8e3 /* samples a second */
#define AT_RATE_MAX_HZ    61.44e6
#define AT_CENTER_MAX_HZ  300e9 /* 0 is a band of unknown place */
#define AT_BLANKER_MIN_DB 9     /* over the running median: noise reaches it once in 250 samples */
#define AT_BLANKER_MAX_DB 40

#endif
