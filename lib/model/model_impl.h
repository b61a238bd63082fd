/* What the files of this room share. SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_MODEL_MODEL_IMPL_H
#define AT_MODEL_MODEL_IMPL_H

#include <jansson.h>

#include "lib/model/weights.h"

/* JSON from a stranger: text (n) nested at most max_depth levels, without duplicate keys. New
 * reference in ret_root. */
int at_model_json(const char *text, size_t n, int max_depth, struct at_error *err,
                  json_t **ret_root);

/* Fills m's config, aux_columns and segments from metadata `config`. */
int at_model_read_config(struct at_model *m, const struct at_safetensors *f, struct at_error *err);
/* Bounds and divisors of a config, as every other part relies on. */
int at_model_check_config(const struct at_model_config *c, struct at_error *err);
/* Fills labels, groups, accuracy, calibration, unknown and weak from metadata, defaults where it is
 * silent. */
int at_model_read_card(struct at_model *m, const struct at_safetensors *f, struct at_error *err);

#endif
