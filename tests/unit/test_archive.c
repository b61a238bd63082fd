/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/source_files.h"

#include <math.h>

#define BLOCK 512

static const char meta_text[] =
    "{\"global\": {\"core:datatype\": \"cu8\", \"core:sample_rate\": 250000, \"core:version\": "
    "\"1.0.0\"}, \"captures\": [{\"core:sample_start\": 0, \"core:frequency\": 433920000}, "
    "{\"core:sample_start\": 2, \"core:frequency\": 868000000}], \"annotations\": []}";

struct tar {
    unsigned char data[64 * BLOCK];
    size_t n;
};

static void finish_header(unsigned char *h)
{
    unsigned sum = 0;
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += h[i];
    snprintf((char *)h + 148, 8, "%06o", sum);
}

/* size: what the header says, whatever follows it. */
static void add_member(struct tar *t, const char *name, char type, const char *size,
                       const void *data, size_t n)
{
    unsigned char *h = t->data + t->n;
    assert_true(t->n + 2 * BLOCK + n <= sizeof t->data);
    memset(h, 0, BLOCK + (n + BLOCK - 1) / BLOCK * BLOCK);
    snprintf((char *)h, 100, "%s", name);
    snprintf((char *)h + 124, 12, "%s", size);
    h[156] = (unsigned char)type;
    memcpy(h + 257, "ustar\00000", 8);
    finish_header(h);
    memcpy(h + BLOCK, data, n);
    t->n += BLOCK + (n + BLOCK - 1) / BLOCK * BLOCK;
}

static void add(struct tar *t, const char *name, char type, const void *data, size_t n)
{
    char size[12];
    snprintf(size, sizeof size, "%011o", (unsigned)n);
    add_member(t, name, type, size, data, n);
}

static void add_meta(struct tar *t)
{
    add(t, "x/x.sigmf-meta", '0', meta_text, strlen(meta_text));
}

static const char *put_tar(struct tar *t, const char *name, size_t zeros)
{
    memset(t->data + t->n, 0, zeros);
    return put(name, t->data, t->n + zeros);
}

/* Four samples, 1 to 8, in two captures. */
static void see(const char *path)
{
    struct at_source *s = open_good(path, NULL);
    struct at_source_info info;
    struct at_read got;
    float iq[16];
    s->ops->get_info(s, &info);
    assert_true(info.rate_hz == 250e3 && info.center_hz == 433.92e6);
    assert_int_equal(info.n_samples, 4);
    assert_string_equal(info.message, "");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(s->ops->read(s, iq + 4 * i, 8, 1000, &got, NULL), 0);
        assert_int_equal(got.n, 2);
        assert_true(got.center_hz == (i ? 868e6 : 433.92e6));
    }
    for (int i = 0; i < 8; i++)
        if (iq[i] != ((float)(i + 1) - 127.5f) / 128)
            fail_msg("%s: value %d is %g", path, i, (double)iq[i] * 128 + 127.5);
    s->ops->destroy(s);
}

/* As a tar of ustar's kind holds them: either first, folders and other files between, with or
 * without zeros behind. */
static void both_files_are_found(void **state)
{
    static struct tar t;
    const char samples[] = "\1\2\3\4\5\6\7\10";
    for (int i = 0; i < 2; i++) {
        t.n = 0;
        add(&t, "x/", '5', "", 0);
        add(&t, "x/._x.sigmf-meta", '0', "macOS", 5);
        add(&t, "x/notes.txt", '0', meta_text, 700 % sizeof meta_text);
        if (i)
            add_meta(&t);
        add_member(&t, "x/x.sigmf-data", i ? '0' : 0, i ? "00000000010" : "        10 ", samples,
                   8);
        if (!i)
            add_meta(&t);
        see(put_tar(&t, "x.sigmf", i ? 2 * BLOCK : 0));
    }
}

/* pax' and GNU's: names too long for the header, sizes that stand elsewhere, times of no use to us.
 */
static void newer_headers_are_understood(void **state)
{
    static struct tar t;
    const char samples[] = "\1\2\3\4\5\6\7\10",
               pax[] = "20 mtime=1600000000\n31 path=long/name/x.sigmf-data\n9 size=8\n",
               longer[] = "a/long/name/x.sigmf-data";
    t.n = 0;
    add(&t, "global", 'g', "19 comment=nothing\n", 19);
    add_meta(&t);
    add(&t, "PaxHeaders/x", 'x', pax, strlen(pax));
    add_member(&t, "cut-off", '0', "00000000000", samples, 8);
    see(put_tar(&t, "pax.sigmf", 2 * BLOCK));
    t.n = 0;
    add(&t, "././@LongLink", 'L', longer, sizeof longer);
    add_member(&t, "cut-off", '0', "", samples, 8);
    /* no string: it has zeros */
    memcpy(t.data + t.n - 2 * BLOCK + 124, "\x80\0\0\0\0\0\0\0\0\0\0\10", 12);
    finish_header(t.data + t.n - 2 * BLOCK);
    add_meta(&t);
    see(put_tar(&t, "gnu.sigmf", 2 * BLOCK));
}

static void a_cut_archive_gives_what_it_has(void **state)
{
    static struct tar t;
    struct at_source_info info;
    const struct at_file_options o = {.center_hz = NAN, .format = "cs8"};
    t.n = 0;
    add_meta(&t);
    add_member(&t, "x/x.sigmf-data", '0', "00000010000", "abcdefgh", 8);
    struct at_source *s = open_good(put("cut.sigmf", t.data, t.n - BLOCK + 8), &o);
    s->ops->get_info(s, &info);
    assert_non_null(strstr(info.message, "4096 bytes of samples, it holds 8: cut short"));
    assert_int_equal(info.n_samples, 4);
    assert_string_equal(info.format, "cs8");
    s->ops->destroy(s);
}

static void bad_archives_say_what_to_do(void **state)
{
    static struct tar t;
    const char *tar_xf = "unpack it: tar -xf /";
    open_bad(put("short.sigmf", "abcd", 4), NULL, -EINVAL, "0 .sigmf-meta and 0 .sigmf-data");
    memset(t.data, 0, BLOCK);
    open_bad(put("zero.sigmf", t.data, BLOCK), NULL, -EINVAL, "0 .sigmf-meta and 0 .sigmf-data");
    memset(t.data, 'x', BLOCK);
    open_bad(put("gz.sigmf", t.data, BLOCK), NULL, -EINVAL, "compressed, or no tar");
    t.n = 0;
    add_meta(&t);
    open_bad(put_tar(&t, "meta.sigmf", 0), NULL, -EINVAL, "1 .sigmf-meta and 0 .sigmf-data");
    size_t one = t.n;
    add(&t, "x/x.sigmf-data", '0', "abcd", 4);
    t.data[one + 5] ^= 1;
    open_bad(put_tar(&t, "sum.sigmf", 0), NULL, -EINVAL, "no tar header at byte 1024");
    t.data[one + 5] ^= 1;
    add_meta(&t);
    open_bad(put_tar(&t, "two.sigmf", 0), NULL, -EINVAL, "2 .sigmf-meta and 1 .sigmf-data");
    static const struct {
        const char *name, *size, *said;
        char type;
    } members[] = {
        {"x.sigmf-data", "00000000004", "no plain file", '2'},
        {"x.sigmf-meta", "00000010000", "beyond the file's end", '0'},
        {"x.sigmf-meta", "0000000000x", "a size that can't be at byte 124", '0'},
        {"x.sigmf-data", "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a size that can't be",
         '0'},
        {"x", "00000010000", "too long", 'x'},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        t.n = 0;
        add_member(&t, members[i].name, members[i].type, members[i].size, "abcd", 4);
        const char *path = put_tar(&t, "member.sigmf", 0);
        open_bad(path, NULL, -EINVAL, members[i].said);
        open_bad(path, NULL, -EINVAL, tar_xf);
    }
    t.n = 0;
    add(&t, "x", 'x', "22 GNU.sparse.major=1\n", 22);
    add(&t, "GNUSparseFile.0/x.sigmf-data", '0', "abcd", 4);
    open_bad(put_tar(&t, "sparse.sigmf", 0), NULL, -EINVAL, "no plain file");
    t.n = 0;
    add(&t, "x.sigmf-meta", '0', "{", 1);
    add(&t, "x.sigmf-data", '0', "abcd", 4);
    open_bad(put_tar(&t, "json.sigmf", 0), NULL, -EINVAL, "json.sigmf:1:1: no valid JSON");
    t.n = 0;
    add(&t, "x.sigmf-meta", '0', "", 0);
    add(&t, "x.sigmf-data", '0', "abcd", 4);
    open_bad(put_tar(&t, "empty.sigmf", 0), NULL, -EINVAL, "empty");
    t.n = 0;
    add_meta(&t);
    add(&t, "x.sigmf-data", '0', "", 0);
    open_bad(put_tar(&t, "none.sigmf", 0), NULL, -EINVAL, "captures[1] lies beyond");
}

/* A pax header that nothing can be made of changes nothing. */
static void odd_pax_records_are_passed_over(void **state)
{
    static struct tar t;
    static const char *const odd[] = {"",    "x",           "99 path=a\n", "1 path=a\n",
                                      "5\n", "-1 size=0\n", "12 size=-1xx"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        t.n = 0;
        add_meta(&t);
        add(&t, "PaxHeaders/x", 'x', odd[i], strlen(odd[i]));
        add(&t, "x.sigmf-data", '0', "\1\2\3\4\5\6\7\10", 8);
        see(put_tar(&t, "odd.sigmf", 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_files_are_found),
        cmocka_unit_test(newer_headers_are_understood),
        cmocka_unit_test(a_cut_archive_gives_what_it_has),
        cmocka_unit_test(bad_archives_say_what_to_do),
        cmocka_unit_test(odd_pax_records_are_passed_over),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
