/* Inside the room: what the parsers of the kinds of recordings tell the file source.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef AT_SOURCE_RECORDING_H
#define AT_SOURCE_RECORDING_H

#include "lib/source/convert.h"
#include "lib/source/source.h"

#define AT_RATE_MAX_HZ            1e10
#define AT_CENTER_MAX_HZ          1e13
#define AT_RECORDING_MAX_SEGMENTS (1u << 20) /* data chunks, captures */

/* Contiguous samples in the file. */
struct at_segment {
    uint64_t offset; /* bytes from the file's beginning */
    uint64_t n;      /* samples; UINT64_MAX: to the end of a stream */
    uint64_t index;  /* of its first sample, ascending, not overlapping */
    double center_hz;
    int64_t utc_ns; /* of its first sample; 0: by the segments before it */
};

struct at_recording {
    int fd;      /* owned; -1: none */
    bool stream; /* no size, no seeking: a pipe, standard input */
    enum at_iq_format format;
    double full_scale;         /* 0: the format's own */
    double rate_hz, center_hz; /* 0: not said; NAN never */
    int64_t start_utc_ns;
    struct at_segment *segments; /* owned, at_mem_free(NULL, .) */
    size_t n_segments, cap_segments;
    char hardware[64];
    char message[256]; /* what a person should know though it was no error */
};

/* Appends; 0, -ENOMEM, -E2BIG. */
int at_recording_add(struct at_recording *r, const struct at_segment *segment);
/* Appends all from offset to size, the file's end; r's format is set. Bytes that make no whole
 * sample are left out and said. -EINVAL: no sample. */
int at_recording_add_rest(const char *path, uint64_t offset, uint64_t size, struct at_error *err,
                          struct at_recording *r);
void at_recording_finish(struct at_recording *r);
/* Opens a regular file or a pipe, closed on exec; size 0 for pipes. Errors name the path. */
int at_recording_open_fd(const char *path, struct at_error *err, int *ret_fd, uint64_t *ret_size,
                         bool *ret_stream);
/* The whole of buf from offset, or -EIO; short files: -ENODATA. */
int at_recording_pread(int fd, void *buf, size_t n, uint64_t offset);

/* meta: path of the .sigmf-meta. Flags that the caller gave win; ret is filled and owns the data's
 * descriptor. */
int at_sigmf_open(const char *meta, const struct at_file_options *flags, struct at_error *err,
                  struct at_recording *ret);
/* ret->fd is open on a SigMF archive of size bytes; fills the rest. Likewise. */
int at_sigmf_open_archive(const char *path, uint64_t size, const struct at_file_options *flags,
                          struct at_error *err, struct at_recording *ret);
/* r->fd is open on a file that begins with RIFF or RF64; fills the rest. */
int at_wav_parse(const char *path, uint64_t size, struct at_error *err, struct at_recording *r);

/* r->fd is open on an SDRangel recording; fills the rest. */
int at_sdriq_parse(const char *path, uint64_t size, struct at_error *err, struct at_recording *r);
/* Rate and centre from the .TXT beside a PortaPack's .C16 or .C8, where there is one; 0 too where
 * there is none. */
int at_portapack_read(const char *path, const struct at_file_options *flags, struct at_error *err,
                      struct at_recording *r);

/* Of text from a file: what can't be shown on one line becomes a space. */
void at_recording_copy_text(char *out, size_t size, const char *text);

#endif
