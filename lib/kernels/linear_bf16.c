/* Products in bf16, summed in fp32. SPDX-License-Identifier: GPL-3.0-or-later */
#define BF16 1
#include "lib/kernels/linear_tmpl.h"
