/* Runs a fuzz target over the files of a folder: any compiler, every test run.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

static void run_file(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_MAX);
    if (!f || !data)
        abort();
    size_t n = fread(data, 1, INPUT_MAX, f);
    /* Whole, and cut at each length: a truncated file is the commonest bad one. */
    for (size_t k = 0; k <= n; k += n > 4096 ? 64 : 1)
        LLVMFuzzerTestOneInput(data, k);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    fclose(f);
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
    if (!d) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        run_file(argv[1], e->d_name);
        files++;
    }
    closedir(d);
    printf("%u inputs\n", files);
    return files ? 0 : 1;
}
