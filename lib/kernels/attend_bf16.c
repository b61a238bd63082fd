/* Attention with bf16 queries, keys, values and weights, summed in fp32. SPDX-License-Identifier:
 * GPL-3.0-or-later */
#define BF16 1
#include "lib/kernels/attend_tmpl.h"
