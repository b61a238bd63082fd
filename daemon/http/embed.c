/* Build tool: embed OUT NAME=FILE... writes the files as C arrays, so that the dashboard lives in
 * the binary. SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>

/* Writes one array; returns its size or -1. */
static long write_array(FILE *out, int i, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (!in) {
        fprintf(stderr, "embed: cannot read %s\n", path);
        return -1;
    }
    long n = 0;
    fprintf(out, "static const unsigned char data%d[] = {", i);
    for (int c; (c = getc(in)) != EOF; n++)
        fprintf(out, "%s%d,", n % 24 ? "" : "\n", c);
    fprintf(out, "0};\n");
    fclose(in);
    return n;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    FILE *out = fopen(argv[1], "w");
    if (!out) {
        fprintf(stderr, "embed: cannot write %s\n", argv[1]);
        return 1;
    }
    long sizes[64];
    fprintf(out, "#include \"daemon/http/assets.h\"\n");
    for (int i = 2; i < argc && i < 64; i++) {
        char *path = strchr(argv[i], '=');
        if (!path || (sizes[i] = write_array(out, i, path + 1)) < 0)
            return 1;
        *path = 0;
    }
    fprintf(out, "const struct at_asset at_assets[] = {\n");
    for (int i = 2; i < argc && i < 64; i++)
        fprintf(out, "    {\"%s\", data%d, %ld},\n", argv[i], i, sizes[i]);
    fprintf(out, "    {0}};\n");
    return fclose(out) ? 1 : 0;
}
