/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/model/model_impl.h"

/* jansson recurses once per level: count before it does. */
static int too_deep(const char *text, size_t n, int max_depth)
{
    int depth = 0, in_string = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = 0;
        } else if (c == '"') {
            in_string = 1;
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth)
                return 1;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return 0;
}

int at_model_json(const char *text, size_t n, int max_depth, struct at_error *err,
                  json_t **ret_root)
{
    json_error_t je;
    if (too_deep(text, n, max_depth))
        return at_error_set(err, -EINVAL, "JSON is nested deeper than %d levels", max_depth);
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
    if (!root)
        return at_error_set(err, -EINVAL, "not valid JSON: %.200s (byte %d)", je.text, je.position);
    *ret_root = root;
    return 0;
}
