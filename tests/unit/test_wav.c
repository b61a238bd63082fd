/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/source_files.h"

#include <math.h>

#include "lib/base/clock.h"

struct wav {
    unsigned char data[1 << 17];
    size_t n;
};

static void add(struct wav *w, const void *data, size_t n)
{
    assert_true(w->n + n <= sizeof w->data);
    memcpy(w->data + w->n, data, n);
    w->n += n;
}

static void add_u16(struct wav *w, uint16_t x)
{
    add(w, &x, 2);
}

static void add_u32(struct wav *w, uint32_t x)
{
    add(w, &x, 4);
}

static void begin(struct wav *w, const char *magic, uint16_t tag, uint16_t channels, uint32_t rate,
                  uint16_t bits)
{
    w->n = 0;
    add(w, magic, 4);
    add_u32(w, UINT32_MAX);
    add(w, "WAVEfmt ", 8);
    add_u32(w, tag == 0xfffe ? 40 : 16);
    add_u16(w, tag);
    add_u16(w, channels);
    add_u32(w, rate);
    add_u32(w, rate * channels * bits / 8);
    add_u16(w, (uint16_t)(channels * bits / 8));
    add_u16(w, bits);
    if (tag == 0xfffe) {
        add_u16(w, 22);
        add_u16(w, bits);
        add_u32(w, 3);
        add_u16(w, bits == 32 ? 3 : 1);
        add(w, "\0\0\0\0\20\0\200\0\0\252\0\70\233\161", 14);
    }
}

static void chunk(struct wav *w, const char *id, const void *data, uint32_t n)
{
    add(w, id, 4);
    add_u32(w, n);
    add(w, data, n);
    if (n & 1)
        add(w, "", 1);
}

static struct at_source *open_wav(const struct wav *w, const char *name)
{
    return open_good(put(name, w->data, w->n), NULL);
}

/* As a KiwiSDR writes them: 300 data chunks, an odd one of another kind between each two. */
static void hundreds_of_data_chunks_are_one_stream(void **state)
{
    static struct wav w;
    static float iq[2 * 20000];
    int16_t k = 0;
    begin(&w, "RIFF", 1, 2, 12001, 16);
    for (int i = 0; i < 300; i++) {
        int16_t x[64];
        for (int j = 0; j < 64; j++)
            x[j] = k++;
        chunk(&w, "kiwi", "123456789", 9);
        chunk(&w, "data", x, sizeof x);
    }
    struct at_source *s = open_wav(&w, "20171127T104156Z_77500_F1JEK_iq.wav");
    struct at_source_info info;
    s->ops->get_info(s, &info);
    assert_true(info.rate_hz == 12001 && info.center_hz == 77500);
    assert_int_equal(info.n_samples, 9600);
    assert_int_equal(read_all(s, iq, 20000, 100), 9600);
    for (int i = 0; i < 19200; i++)
        if (iq[i] != (float)(int16_t)i / 32768)
            fail_msg("%d: %g, expected %g", i, (double)iq[i], i / 32768.0);
    s->ops->destroy(s);
}

static void float_and_extensible_are_read(void **state)
{
    static struct wav w;
    const float x[4] = {0.25f, -0.5f, 1, -1};
    float iq[8];
    static const uint16_t tags[] = {3, 0xfffe};
    for (int i = 0; i < 2; i++) {
        begin(&w, "RIFF", tags[i], 2, 48000, 32);
        chunk(&w, "data", x, sizeof x);
        struct at_source *s = open_wav(&w, "x.wav");
        assert_int_equal(read_all(s, iq, 4, 4), 2);
        assert_memory_equal(iq, x, sizeof x);
        s->ops->destroy(s);
    }
}

/* As HDSDR, SDRuno and Perseus write them; in four bytes each they stand at the upper end. */
static void wide_integers_are_read(void **state)
{
    static struct wav w;
    static const uint16_t tags[] = {1, 0xfffe};
    static const unsigned char packed[] = {0, 0, 0x40, 0, 0, 0xc0, 1, 0, 0, 0xff, 0xff, 0xff},
                               wide[] = {0, 0, 0, 0x40, 0, 0,   0,   0xc0,
                                         0, 1, 0, 0,    0, 255, 255, 255};
    const float want[4] = {0.5f, -0.5f, 1 / 8388608.0f, -1 / 8388608.0f};
    float iq[8];
    for (int i = 0; i < 4; i++) {
        begin(&w, "RIFF", i < 3 ? tags[i & 1] : 1, 2, 48000, i == 2 ? 32 : 24);
        if (i == 3)
            w.data[32] = 8; /* bytes of a frame */
        chunk(&w, "data", i < 2 ? packed : wide, i < 2 ? sizeof packed : sizeof wide);
        struct at_source *s = open_wav(&w, "wide.wav");
        struct at_source_info info;
        s->ops->get_info(s, &info);
        assert_string_equal(info.format, i < 2 ? "cs24" : "cs32");
        assert_int_equal(info.n_samples, 2);
        assert_int_equal(read_all(s, iq, 4, 4), 2);
        for (int k = 0; k < 4; k++)
            if (iq[k] != want[k])
                fail_msg("case %d, value %d: %.9g, expected %.9g", i, k, (double)iq[k],
                         (double)want[k]);
        s->ops->destroy(s);
    }
}

static void auxi_says_centre_and_time(void **state)
{
    static struct wav w;
    const uint16_t start[8] = {2020, 2, 6, 29, 12, 30, 45, 500};
    unsigned char auxi[64] = {0};
    memcpy(auxi, start, 16);
    memcpy(auxi + 32, "\100\145\334\31", 4); /* 433874240 */
    begin(&w, "RIFF", 1, 2, 192000, 16);
    chunk(&w, "auxi", auxi, sizeof auxi);
    chunk(&w, "data", "abcd", 4);
    struct at_source *s = open_wav(&w, "x_100MHz.wav");
    struct at_source_info info;
    s->ops->get_info(s, &info);
    char text[AT_RFC3339_SIZE];
    at_clock_format_utc(info.start_utc_ns, text);
    assert_string_equal(text, "2020-02-29T12:30:45.500000Z");
    if (info.center_hz != 0x19dc6540)
        fail_msg("centre %.0f", info.center_hz);
    s->ops->destroy(s);
}

static void see_centre_and_time(const struct wav *w, double center_hz, const char *utc)
{
    struct at_source *s = open_wav(w, "x_100MHz.wav");
    struct at_source_info info;
    char text[AT_RFC3339_SIZE];
    s->ops->get_info(s, &info);
    at_clock_format_utc(info.start_utc_ns, text);
    if (info.center_hz != center_hz || strcmp(text, utc))
        fail_msg("%.0f Hz at %s, expected %.0f at %s", info.center_hz, text, center_hz, utc);
    s->ops->destroy(s);
}

/* SDR Console's auxi, in UTF-16, and Perseus' rcvr, which auxi goes before. */
static void other_chunks_say_centre_and_time(void **state)
{
    static struct wav w;
    const char xml[] =
        "<?xml version=\"1.0\"?><SDR-XML-Root><Definition RadioCenterFreq=\"7150000\" "
        "SampleRate=\"96000\" UTCSeconds=\"1379238539\"/></SDR-XML-Root>";
    char wide[2 * sizeof xml] = {0};
    for (size_t i = 0; i < sizeof xml; i++)
        wide[2 * i] = xml[i];
    begin(&w, "RIFF", 1, 2, 96000, 16);
    chunk(&w, "auxi", wide, sizeof wide);
    chunk(&w, "data", "abcd", 4);
    see_centre_and_time(&w, 7150000, "2013-09-15T09:48:59.000000Z");
    const uint32_t rcvr[12] = {6070000, 0, 1262304000};
    begin(&w, "RIFF", 1, 2, 125000, 24);
    chunk(&w, "rcvr", rcvr, sizeof rcvr);
    chunk(&w, "data", "abcdef", 6);
    see_centre_and_time(&w, 6070000, "2010-01-01T00:00:00.000000Z");
    begin(&w, "RIFF", 1, 2, 96000, 16);
    chunk(&w, "auxi", wide, sizeof wide);
    chunk(&w, "rcvr", rcvr, sizeof rcvr);
    chunk(&w, "data", "abcd", 4);
    see_centre_and_time(&w, 7150000, "2013-09-15T09:48:59.000000Z");
    begin(&w, "RIFF", 1, 2, 96000, 16);
    chunk(&w, "rcvr", rcvr, 11); /* cut short: as if it were not there */
    chunk(&w, "data", "abcd", 4);
    see_centre_and_time(&w, 100e6, "1970-01-01T00:00:00.000000Z");
}

/* A plain RIFF's writer counts to 4 GiB and begins again: 5 GiB say 1 GiB. */
static void a_length_that_wrapped_round_is_seen(void **state)
{
    static struct wav w;
    begin(&w, "RIFF", 1, 2, 1000000, 16);
    add(&w, "data", 4);
    add_u32(&w, 1u << 30);
    const char *path = put("long.wav", w.data, w.n);
    assert_int_equal(truncate(path, (off_t)w.n + (INT64_C(5) << 30)), 0);
    struct at_source *s = open_good(path, NULL);
    struct at_source_info info;
    s->ops->get_info(s, &info);
    assert_int_equal(info.n_samples, INT64_C(5) << 28);
    s->ops->destroy(s);
    unlink(path);
}

static void rf64_takes_its_size_from_ds64(void **state)
{
    static struct wav w;
    unsigned char ds64[28] = {[8] = 8};
    float iq[8];
    begin(&w, "RF64", 1, 2, 1000, 16);
    chunk(&w, "ds64", ds64, sizeof ds64);
    add(&w, "data\377\377\377\377abcdefghJUNK", 20);
    struct at_source *s = open_wav(&w, "rf64.wav");
    assert_int_equal(read_all(s, iq, 4, 4), 2);
    s->ops->destroy(s);
}

static void a_cut_file_gives_what_it_has(void **state)
{
    static struct wav w;
    float iq[8];
    struct at_source_info info;
    begin(&w, "RIFF", 1, 2, 1000, 16);
    add(&w, "data\0\0\1\0abcdefghij", 18);
    struct at_source *s = open_wav(&w, "cut.wav");
    s->ops->get_info(s, &info);
    assert_non_null(strstr(info.message, "cut short"));
    assert_int_equal(read_all(s, iq, 4, 4), 2);
    s->ops->destroy(s);
}

/* As a writer on a pipe leaves it: the length of data is 0. */
static void data_without_a_length_reaches_to_the_end(void **state)
{
    static struct wav w;
    float iq[16];
    begin(&w, "RIFF", 1, 2, 48000, 16);
    chunk(&w, "data", "", 0);
    add(&w, "abcdefghijkl", 12);
    struct at_source *s = open_wav(&w, "pipe.wav");
    assert_int_equal(read_all(s, iq, 4, 4), 3);
    s->ops->destroy(s);
}

static void bad_wavs_say_what_is_wrong(void **state)
{
    static struct wav w;
    open_bad(put("short.wav", "RIFF", 4), NULL, -EINVAL, "no WAVE header");
    open_bad(put("zero.wav", "", 0), NULL, -EINVAL, "no WAVE header");
    begin(&w, "RIFF", 1, 1, 48000, 16);
    open_bad(put("mono.wav", w.data, w.n), NULL, -EINVAL, "IQ needs two");
    begin(&w, "RIFF", 1, 2, 48000, 12);
    open_bad(put("12bit.wav", w.data, w.n), NULL, -EINVAL, "sox");
    begin(&w, "RIFF", 1, 2, 48000, 16);
    open_bad(put("none.wav", w.data, w.n), NULL, -EINVAL, "no samples");
    open_bad(put("cutfmt.wav", w.data, 30), NULL, -EINVAL, "beyond the file's end");
    add(&w, "LIST\377\377\377\177", 8);
    open_bad(put("huge.wav", w.data, w.n), NULL, -EINVAL, "beyond the file's end");
    begin(&w, "RIFF", 1, 2, 0, 16);
    chunk(&w, "data", "abcd", 4);
    open_bad(put("rate0.wav", w.data, w.n), NULL, -EINVAL, "--rate");
    w.n = 0;
    add(&w, "RIFF\0\0\0\0WAVEfmt \10\0\0\0\1\0\2\0\200\273\0\0", 28);
    open_bad(put("shortfmt.wav", w.data, w.n), NULL, -EINVAL, "fmt chunk is cut short");
    static struct wav other;
    begin(&w, "RIFF", 1, 2, 48000, 16);
    begin(&other, "RIFF", 1, 2, 96000, 16);
    add(&w, other.data + 12, other.n - 12);
    open_bad(put("twofmt.wav", w.data, w.n), NULL, -EINVAL, "two fmt chunks disagree");
    begin(&w, "RIFF", 1, 2, 48000, 16);
    begin(&other, "RIFF", 1, 2, 48000, 24);
    add(&w, other.data + 12, other.n - 12);
    open_bad(put("twobits.wav", w.data, w.n), NULL, -EINVAL, "two fmt chunks disagree");
    w.n = 0;
    add(&w, "RIFF\0\0\0\0WAVEdata\4\0\0\0abcd", 24);
    open_bad(put("nofmt.wav", w.data, w.n), NULL, -EINVAL, "before the fmt chunk");
    w.n = 0;
    add(&w, "RIFF\0\0\0\0WAVE", 12);
    open_bad(put("nothing.wav", w.data, w.n), NULL, -EINVAL, "no fmt chunk");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hundreds_of_data_chunks_are_one_stream),
        cmocka_unit_test(float_and_extensible_are_read),
        cmocka_unit_test(wide_integers_are_read),
        cmocka_unit_test(auxi_says_centre_and_time),
        cmocka_unit_test(other_chunks_say_centre_and_time),
        cmocka_unit_test(a_length_that_wrapped_round_is_seen),
        cmocka_unit_test(rf64_takes_its_size_from_ds64),
        cmocka_unit_test(a_cut_file_gives_what_it_has),
        cmocka_unit_test(data_without_a_length_reaches_to_the_end),
        cmocka_unit_test(bad_wavs_say_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
