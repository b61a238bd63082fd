/* Model files: whatever the bytes, a model, or one line that says why not; and no byte kept.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "lib/model/weights.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct at_mem mem = {.limit = {[AT_MEM_OTHER] = 64u << 20, [AT_MEM_WEIGHTS] = 64u << 20}};
    struct at_error err = {{0}};
    struct at_safetensors *file = NULL;
    struct at_model *model = NULL;
    int r = at_safetensors_parse(&mem, data, n, &err, &file);
    if (r == 0) {
        r = at_model_from_file(&mem, file, &err, &model);
        if (r == 0)
            file = NULL; /* the model's now */
    }
    if (r < 0 && (!err.text[0] || strpbrk(err.text, "\n\r")))
        abort();
    at_model_destroy(model);
    at_safetensors_destroy(file);
    for (int tag = 0; tag < AT_MEM_TAGS; tag++)
        if (mem.bytes[tag])
            abort();
    return 0;
}
